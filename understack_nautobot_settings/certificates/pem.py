"""Why OpenSSL cannot read a PEM file (RFC 7468), in words.

OpenSSL says ``no start line`` or ``PEM lib`` to most of it. Nothing here decides
whether a file is good; it is asked once OpenSSL has said no. No message holds any
part of the content.
"""

import binascii
import re
from collections.abc import Iterator

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.problems import Code

CERTIFICATE = "certificate"
PRIVATE_KEY = "private key"

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

OLD_CIPHER = rb"(?m)^DEK-Info: *(?:DES-C|DES-O|DESX|RC[245]|IDEA|BF|CAST|SEED)"
"""The header of a key whose cipher OpenSSL 3 keeps in its legacy provider."""

# A pattern here never reaches over more than one line: any content takes linear time.
_LABELS = {
    CERTIFICATE: rb"(?:X509 |TRUSTED )?CERTIFICATE",
    PRIVATE_KEY: rb"(?!OPENSSH)(?:[A-Z0-9]+ )?PRIVATE KEY",
}
_KINDS = (
    (_LABELS[CERTIFICATE], "a certificate"),
    (_LABELS[PRIVATE_KEY], "a private key"),
    (rb"OPENSSH PRIVATE KEY", "a key in OpenSSH's own format"),
    (rb"(?:NEW )?CERTIFICATE REQUEST", "a certificate request"),
    (rb"(?:[A-Z]+ )?PUBLIC KEY", "a public key"),
    (rb"CMS|PKCS ?#?7.*", "a PKCS #7 bundle"),
    (rb"X509 CRL", "a revocation list"),
)

_BEGIN = rb"-----BEGIN ([^\r\n-]*)-----"
# OpenSSL ends a line at a NUL, and strips what is not above a blank as a signed char.
_BOUNDARY = (
    rb"(?m)^-----(?:BEGIN ([^\r\n-]*)-----[\x01-\x09\x0b-\x20\x80-\xff]*(?:\0.*)?$|"
    rb"END ([^\r\n-]*)-----)"
)
_END = rb"-----END ([^\r\n-]*)-----"
_ONE_LINE = rb"-----BEGIN [^\r\n-]*-----[ \t]*[A-Za-z0-9+/]{16}"
_BOUNDARY_LINE = rb"-----(?:BEGIN|END) [^\r\n-]*-----"
_BLANK_LINE = rb"\n[ \t\r]*\n"
_INDENTED = rb"(?m)^[ \t]+-----(?:BEGIN|END) "
_LITERAL_LINE_END = rb"-----(?:\\r)?\\n"
_BASE64 = rb"[A-Za-z0-9+/]+={0,2}"
_ENCRYPTED = rb"(?m)-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: *4, *ENCRYPTED"
# A sequence, of a length below or above 128 octets, or of no given length.
_SEQUENCE = rb"(?s)0(?:[\x00-\x80]|\x81.|\x82..|\x83...)"
_PKCS7 = _SEQUENCE + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_PKCS12 = _SEQUENCE + rb"\x02\x01\x03" + _PKCS7.replace(b"(?s)", b"")
# What a certificate begins with, and no key: two sequences, and a version, [0].
_CERTIFICATE = rb"(?s)0(?:\x81.|\x82..)0(?:\x81.|\x82..)\xa0\x03\x02\x01"
# What a key begins with: a sequence, and its version.
_KEY = rb"(?s)0(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01"
_LONG_LENGTHS = range(0x80, 0x85)


Fault = tuple[Code, str]
"""What keeps OpenSSL from reading a file: a code, and words that follow its path."""


def holds(content: bytes, wanted: str) -> bool:
    """Tell whether a file has a block of a kind, well-formed or not."""
    labels = re.findall(_BEGIN, content)
    return any(re.fullmatch(_LABELS[wanted], label) for label in labels)


def is_encrypted(content: bytes) -> bool:
    """Tell whether a file holds a private key that needs a password."""
    return re.search(_ENCRYPTED, content) is not None


def is_der(content: bytes) -> bool:
    """Tell whether a file is a single binary object rather than text."""
    if not content.startswith(b"0") or len(content) < len(b"0\0"):
        return False
    # The length of a short object is one octet, which can look like a letter.
    return content[1] in _LONG_LENGTHS or content[1] == len(content) - 2


def is_der_key(content: bytes) -> bool:
    """Tell whether a file may be an unencrypted binary key, which libpq accepts."""
    return re.match(_KEY, content) is not None and not _is_pkcs12(content)


def certificates(content: bytes) -> list[bytes]:
    """Return every readable certificate of a file as DER, in their order."""
    bodies = (body for _, body in _blocks(content, CERTIFICATE))
    ders = (_first_object(_decoded(body) or b"") for body in bodies)
    return [der for der in ders if der]


def first_block(content: bytes, wanted: str) -> bytes | None:
    """Return the first block of a kind as it stands there, None without one."""
    for label, body in _blocks(content, wanted):
        return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, body, label)
    return None


def armoured(der: bytes, label: str) -> bytes:
    """Return a binary object as a PEM block."""
    body = binascii.b2a_base64(der, newline=False)
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    return b"\n".join([begin.encode(), *lines, end.encode(), b""])


def pem_fault(content: bytes, wanted: str) -> Fault | None:
    """Return the first fault in the form of a file that OpenSSL has refused.

    Args:
        content: The file.
        wanted: `CERTIFICATE` or `PRIVATE_KEY`.
    """
    return (
        _form_fault(content, wanted)
        or _layout_fault(content, wanted)
        or _block_fault(content, wanted)
    )


def _blocks(content: bytes, wanted: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield label and body of each complete block of a kind."""
    content = content.removeprefix(BYTE_ORDER_MARK)
    label, start = None, 0
    for line in re.finditer(_BOUNDARY, content):
        if line[1] is not None:
            label, start = line[1], line.end() + 1
        elif line[2] == label:
            if re.fullmatch(_LABELS[wanted], line[2]):
                yield line[2], content[start : line.start() - 1]
            label = None


def _form_fault(content: bytes, wanted: str) -> Fault | None:
    if not content.strip():
        return codes.FILE_EMPTY, "holds only blanks."
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"-\0-\0" in content:
        return codes.PEM_UTF16, "is UTF-16 text."
    if is_der(content):
        return _der_fault(content, wanted) or (codes.PEM_DER, "is DER, not PEM.")
    labels = set(re.findall(_BEGIN, content))
    if not labels:
        return _unarmoured_fault(content, wanted)
    if re.search(_LITERAL_LINE_END, content):
        fact = r"has the two characters \n where a line should end."
        return codes.PEM_LITERAL_LINE_ENDS, fact
    if b"\r" in content and b"\n" not in content:
        return codes.PEM_CR_ONLY, "ends its lines with CR alone."
    if holds(content, wanted):
        return None
    seen = "a PEM block of another kind"
    for pattern, kind in reversed(_KINDS):
        if any(re.fullmatch(pattern, label) for label in labels):
            seen = kind
    return codes.PEM_OTHER_KIND, f"holds {seen}, not a {wanted}."


def _der_fault(der: bytes, wanted: str) -> Fault | None:
    """Return what a binary object is, None where it may be what is wanted."""
    if re.match(_PKCS7, der):
        return codes.PEM_OTHER_KIND, f"holds a PKCS #7 bundle (DER), not a {wanted}."
    if _is_pkcs12(der):
        return codes.PEM_PKCS12, "is a PKCS #12 archive, not PEM."
    if wanted == PRIVATE_KEY and re.match(_CERTIFICATE, der):
        return codes.PEM_OTHER_KIND, "holds a certificate (DER), not a private key."
    return None


def _unarmoured_fault(content: bytes, wanted: str) -> Fault:
    """Return what a file is that has no BEGIN line."""
    decoded = _decoded(content) or b""
    if re.search(_BEGIN, decoded):
        return codes.PEM_BASE64, "is base64 of a PEM file."
    if is_der(decoded):
        fact = "is base64 without BEGIN and END lines."
        return _der_fault(decoded, wanted) or (codes.PEM_NO_ARMOUR, fact)
    if b"-----END " in content:
        return codes.PEM_TRUNCATED, "starts after the BEGIN line of its first block."
    return codes.PEM_NONE, "holds no PEM block."


def _is_pkcs12(content: bytes) -> bool:
    return re.match(_PKCS12, content) is not None


def _layout_fault(content: bytes, wanted: str) -> Fault | None:
    for line in content.split(b"\n"):
        end = line.find(b"-----END ")
        if 0 <= end < line.rfind(b"-----BEGIN "):
            fact = "has an END line and the next BEGIN line joined into one."
            return codes.PEM_GLUED, fact
    if re.search(_ONE_LINE, content):
        return codes.PEM_ONE_LINE, "has lost its line ends."
    if re.search(_INDENTED, content):
        return codes.PEM_INDENTED, "has indented BEGIN or END lines."
    for line in content.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        found = re.search(_BOUNDARY_LINE, line)
        if found and found[0] != line.rstrip(b" \t\r"):
            fact = "has other characters on the line of a BEGIN or END."
            return codes.PEM_LINES, fact
    ends = {end.group(1): end.start() for end in re.finditer(_END, content)}
    for begin in re.finditer(_BEGIN, content):
        label = begin.group(1)
        if re.fullmatch(_LABELS[wanted], label) and ends.get(label, -1) < begin.end():
            return codes.PEM_TRUNCATED, "ends before the END line of its last block."
    return None


def _block_fault(content: bytes, wanted: str) -> Fault | None:
    for _, body in _blocks(content, wanted):
        if is_encrypted(body):
            continue
        decoded = _decoded(_without_headers(body))
        if decoded is None:
            return damaged(wanted)
        if is_der(decoded) and _first_object(decoded) is None:
            return codes.PEM_TRUNCATED, f"holds a {wanted} of which a part is missing."
        if re.search(_BLANK_LINE, _without_headers(body).lstrip() + b"\n"):
            return codes.PEM_LINES, f"has blank lines within a {wanted}."
    return None


def damaged(wanted: str) -> Fault:
    """Return the fault of a block whose content is not what its label says."""
    return codes.PEM_DAMAGED, f"holds a {wanted} that is damaged."


def _without_headers(body: bytes) -> bytes:
    """Return a body without lines such as ``DEK-Info:`` and the blank one after."""
    first, separator, rest = body.replace(b"\r\n", b"\n").partition(b"\n\n")
    return rest if separator and b":" in first else body


def _decoded(text: bytes) -> bytes | None:
    """Return what a text is base64 of, None where it is not base64."""
    joined = b"".join(text.split())
    if len(joined) % 4 or not re.fullmatch(_BASE64, joined):
        return None
    return binascii.a2b_base64(joined)


def _first_object(data: bytes) -> bytes | None:
    """Return the first DER object of the data, None where it is cut off."""
    end = der_content(data).stop
    return data[:end] if len(data) >= end else None


def der_content(data: bytes) -> slice:
    """Return where the content of the first DER object of the data lies."""
    octet = int.from_bytes(data[1:2], "big")
    size = octet & 0x7F if octet & 0x80 else 0
    length = int.from_bytes(data[2 : 2 + size], "big") if size else octet
    return slice(2 + size, 2 + size + length)
