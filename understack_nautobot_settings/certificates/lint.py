"""What will go wrong with certificate files, or may be meant otherwise."""

import datetime
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import openssl
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import Mount
from understack_nautobot_settings.certificates.files import MountedFile
from understack_nautobot_settings.certificates.files import ReadFile
from understack_nautobot_settings.certificates.files import read_file
from understack_nautobot_settings.certificates.reading import NO_NAME
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import distance
from understack_nautobot_settings.certificates.reading import is_signed_by
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import shown_path

_STRICT_WORDS = {
    85: "a certificate has no AuthorityKeyIdentifier",
    86: "a CA has no SubjectKeyIdentifier",
    89: "basicConstraints of a CA is not critical",
    92: "a CA has no key usage",
}

_STRONGER_CA = (
    "Issue the CA, and what it signs, anew with ECDSA P-256 or RSA 2048, signed with "
    "SHA-256."
)
_UNLESS_PRESENTED = (
    "Remove it, unless a server presents this very certificate. If it was meant as a "
    "CA, issue it anew with basicConstraints CA:TRUE and the key usage cert sign."
)
_OTHER_CURVES = ("secp384r1", "secp521r1")
_PINNED_VERSION = r"/\.\.\d{4}_"
_OCTAL = r"\\([0-7]{3})"
_ROOT_AND_POINT = r"(?m)^(?:[^ \n]+ ){3}([^ \n]+) ([^ \n]+)"


def inspect_certificates(
    files: ClientFiles,
    *,
    key_password: str | None = None,
    clock: Callable[[], float] = time.time,
    read: ReadFile = read_file,
    expiry_warning_days: int = 30,
    mountinfo: str = "/proc/self/mountinfo",
) -> list[Problem]:
    """Tell what `check_certificates` does not: what will go wrong, or may be meant so.

    What cannot be read is left out.

    Args:
        files: The files of one client.
        key_password: As for `check_certificates`.
        clock: Seconds since the epoch.
        read: Reads a file.
        expiry_warning_days: Days before notAfter from which to warn.
        mountinfo: Table of the mounts of this process (Linux, proc(5)).
    """
    mount = Mount(files, clock, read)
    window = datetime.timedelta(days=expiry_warning_days)
    issuer: list[Problem] = []
    # `check_certificates` tells of it.
    with suppress(openssl.NotJudged):
        issuer += _issuer_warnings(mount, key_password)
    problems = [
        *(one for file in mount.files for one in _form_warnings(file)),
        *_key_warnings(files, mount),
        *_name_problems(mount, files.user),
        *_chain_dates(mount, window),
        *issuer,
        *_authority_warnings(mount, window),
        *_mount_warnings(files, mountinfo),
    ]
    return list(dict.fromkeys(problems))


def check_name(files: ClientFiles, *, read: ReadFile) -> list[Problem]:
    """Warn where PostgreSQL's ``cert`` rule does not let a certificate in as its user.

    The server compares the octets of the first CN with the name of the user
    (be-secure-openssl.c), so that the encoding counts as well. An identity map makes
    other names work.
    """
    mount = Mount(files._replace(key=None, ca=None), time.time, read)
    return list(_name_problems(mount, files.user))


def _form_warnings(file: MountedFile) -> Iterator[Problem]:
    if b"-----BEGIN " not in file.content:
        return
    if b"-----\r\n" in file.content:
        yield file.problem(codes.PEM_CRLF, "ends its lines with CR LF.")
    if file.content.startswith(pem.BYTE_ORDER_MARK):
        words = "starts with a byte order mark."
        yield file.problem(codes.PEM_BYTE_ORDER_MARK, words)


def _key_warnings(files: ClientFiles, mount: Mount) -> Iterator[Problem]:
    if files.use != POSTGRESQL:
        return
    curve = mount.chain[0].key_kind if mount.chain else ""
    if mount.cert and curve in _OTHER_CURVES:
        yield codes.CERTIFICATE_CURVE.problem(
            mount.cert.variable,
            f"the key of {mount.cert.path} is on the curve {curve}, which a "
            "PostgreSQL that speaks only TLS 1.2 refuses by default.",
        )
    if files.key and mount.key and pem.is_der_key(mount.key.content):
        words = "is DER, which libpq accepts and Redis clients do not."
        yield mount.key.problem(codes.KEY_DER, words)
    if files.key and ":" in files.key.path:
        yield codes.KEY_PATH_ENGINE.problem(
            files.key.variable,
            f"{shown_path(files.key.path)} has a colon; libpq may take the "
            "part before it as the name of an OpenSSL engine.",
        )


def _name_problems(mount: Mount, user: str | None) -> Iterator[Problem]:
    if not (mount.cert and mount.chain and user):
        return
    leaf = mount.chain[0]
    is_first = not leaf.is_ca or all(one.is_ca for one in mount.chain)
    if leaf.encoded_name == user.encode(errors="surrogatepass") or not is_first:
        return
    subject = "has no name" if leaf.subject == NO_NAME else f"is {leaf.subject}"
    if leaf.common_name == user:
        subject += " in an encoding that PostgreSQL does not accept (BMPString)"
    yield codes.CERTIFICATE_NAME_MISMATCH.problem(
        mount.cert.variable,
        f"the certificate in {mount.cert.path} {subject}, and the database user is "
        f"{user}.",
    )


def _chain_dates(mount: Mount, window: datetime.timedelta) -> Iterator[Problem]:
    cert = mount.cert
    if cert is None:
        return
    # A copy that is valid takes the place of one that is not.
    good = {(one.subject, one.public_key) for one in mount.chain if one.is_valid}
    for position, one in enumerate(mount.chain):
        if _is_near(one, window):
            fact = f"{one.subject} in {cert.path} {_expires(one)}."
            yield codes.CERTIFICATE_EXPIRING.problem(cert.variable, fact)
        is_needed = (one.subject, one.public_key) not in good
        if position and not one.is_valid and is_needed:
            fact = f"the intermediate {one.subject} in {cert.path} {_is_dated(one)}."
            yield codes.CERTIFICATE_INTERMEDIATE_DATES.problem(cert.variable, fact)


def _is_near(one: Certificate, window: datetime.timedelta) -> bool:
    """Tell whether a certificate that is valid ends within the warning period."""
    return one.is_valid and one.not_after - one.seen_at <= window


def _expires(one: Certificate) -> str:
    return f"expires {distance(one.not_after - one.seen_at)}, on {utc(one.not_after)}"


def _is_dated(one: Certificate) -> str:
    return one.dates if one.is_expired else f"is {one.dates}"


def _issuer_warnings(mount: Mount, key_password: str | None) -> Iterator[Problem]:
    """Warn of a chain that a server with the same CA file would refuse."""
    cert, key, ca = mount.cert, mount.key, mount.ca
    if not (cert and key and ca):
        return
    judge = partial(
        openssl.present, cert.content, key.content, key_password, trust=ca.content
    )
    if judge(strict=True, level=None).error is None:
        return
    refusal = _refusal(judge())
    if refusal is not None:
        code, words = refusal
        if code in (openssl.SIGNATURE, *openssl.NO_ISSUER):
            yield _issuer_unknown(mount, cert, ca, words)
            return
        listed = any(one.is_ca is False for one in mount.trusted)
        if code in openssl.INVALID_CA and listed:
            # `_no_authority` tells which of them is no CA.
            return
        if judge(trust=None).verify_code != code:
            # What is refused without a CA as well is an error already.
            fact = f"OpenSSL refuses {cert.path} with the CAs of {ca.path}: {words}."
            yield codes.CERTIFICATE_CHAIN_REFUSED.problem(cert.variable, fact)
        return
    weak, strict = _refusal(judge(level=None)), _refusal(judge(strict=True))
    if weak is not None:
        words = f"may be refused with the CAs of {ca.path}: {weak[1]}."
        yield cert.problem(codes.CERTIFICATE_WEAK, words, _STRONGER_CA)
    if strict is not None and not any(map(_is_lax, mount.trusted)):
        yield codes.CERTIFICATE_NOT_STRICT.problem(
            cert.variable,
            f"OpenSSL's strict rules refuse {cert.path} with the CAs of {ca.path}: "
            f"{_STRICT_WORDS.get(strict[0], strict[1])}.",
        )


def _refusal(verdict: openssl.Verdict) -> tuple[int, str] | None:
    """Return code and words of what a server with this CA file objects to.

    Leaves out dates and purpose, which have problems of their own, and files that
    cannot be loaded.
    """
    code = verdict.verify_code
    if code in (None, openssl.EXPIRED, openssl.NOT_YET_VALID, openssl.PURPOSE):
        return None
    return code, openssl.reason_words(verdict.error)


def _issuer_unknown(
    mount: Mount, cert: MountedFile, ca: MountedFile, words: str
) -> Problem:
    leaf = mount.chain[0] if mount.chain else None
    named = f"({leaf.subject}, issued by {leaf.issuer}) " if leaf else ""
    found = _end_of_chain(mount)
    end = f": {words}" if found is None else found
    fact = f"{named}does not lead to a CA in {ca.path}{end}."
    return cert.problem(codes.CERTIFICATE_ISSUER_UNKNOWN, fact)


def _end_of_chain(mount: Mount) -> str | None:
    """Return what is missing above the certificate, for people.

    Empty where it is the issuer that the certificate names, None where a signature
    leads on to a root that OpenSSL does not take all the same.
    """
    others = [*mount.chain[1:], *mount.trusted]
    one = mount.chain[0] if mount.chain else None
    for _ in others:
        if one is None or one.is_self_issued:
            return None
        named = [other for other in others if other.subject == one.issuer]
        signed = [is_signed_by(one, other) for other in named]
        if True in signed:
            one = named[signed.index(True)]
        elif None in signed:
            return None
        elif named:
            return f"; the CA {one.issuer} there has another key"
        elif one is mount.chain[0]:
            return ""
        else:
            return f"; the certificate of {one.issuer}, above {one.subject}, is missing"
    return None


def _is_lax(certificate: Certificate) -> bool:
    """Tell whether the constraints of a CA are not strict enough for Python 3.13."""
    return bool(certificate.is_ca) and not certificate.has_critical_constraints


def _authority_warnings(mount: Mount, window: datetime.timedelta) -> Iterator[Problem]:
    ca = mount.ca
    if ca is None:
        return
    if mount.trusted and pem.holds(ca.content, pem.PRIVATE_KEY):
        yield ca.problem(codes.CA_HOLDS_KEY, "holds a private key.")
    usable = [one for one in mount.trusted if one.is_ca]
    if any(one.is_valid for one in usable):
        yield from _authority_dates(ca, usable, window)
    yield from _authority_changes(ca, usable)
    for one in usable:
        if _is_lax(one):
            yield codes.CERTIFICATE_NOT_STRICT.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} has no critical basicConstraints.",
            )
        if not one.is_for("server auth"):
            yield codes.CA_NOT_FOR_SERVERS.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} is not for server certificates: "
                f"its usages are {', '.join(one.extended_usages or ())}.",
            )
    for one in mount.trusted:
        if one.is_ca is False:
            yield _no_authority(ca, one, mount.chain)


def _authority_dates(
    ca: MountedFile, authorities: Sequence[Certificate], window: datetime.timedelta
) -> Iterator[Problem]:
    for one in authorities:
        named = f"the CA {one.subject} in {ca.path}"
        if _is_near(one, window):
            fact = f"{named} {_expires(one)}."
            yield codes.CA_EXPIRING.problem(ca.variable, fact)
        if not one.is_valid:
            yield codes.CA_DATES.problem(ca.variable, f"{named} {_is_dated(one)}.")


def _authority_changes(
    ca: MountedFile, authorities: Sequence[Certificate]
) -> Iterator[Problem]:
    distinct = list({one.der: one for one in authorities}.values())
    roots = [one for one in distinct if one.is_self_issued]
    if len(roots) > 1:
        named = "; ".join(f"{one.subject} ({one.dates})" for one in roots)
        yield ca.problem(codes.CA_SEVERAL, f"holds {len(roots)} CAs: {named}.")
    # A CA that was renewed with the same key vouches for the same certificates.
    keys = {(one.subject, one.public_key or one.der) for one in distinct}
    for subject, count in Counter(subject for subject, _ in keys).items():
        if count > 1:
            words = f"holds {count} CAs named {subject}."
            yield ca.problem(codes.CA_SAME_SUBJECT, words)


def _no_authority(
    ca: MountedFile, one: Certificate, chain: Sequence[Certificate]
) -> Problem:
    ours = bool(chain) and one.der == chain[0].der
    if ours and one.is_self_issued:
        words = f"lists the self-signed client certificate {one.subject} as its own CA."
        return ca.problem(codes.CA_OF_ITSELF, words)
    if ours:
        words = f"lists the client certificate {one.subject} among the CAs."
        return ca.problem(codes.CA_HOLDS_CLIENT_CERTIFICATE, words)
    words = f"lists {one.subject}, which is not a CA."
    # Self-signed, it vouches for a server that presents it.
    remedy = _UNLESS_PRESENTED if one.is_self_issued else None
    return ca.problem(codes.CA_HOLDS_LEAF, words, remedy)


def _mount_warnings(files: ClientFiles, mountinfo: str) -> Iterator[Problem]:
    mounts = _mounts(mountinfo)
    for file in files.present():
        path = os.path.abspath(file.path)
        above = (point for point in mounts if path.startswith(point.rstrip("/") + "/"))
        root = mounts.get(max(above, key=len, default=""), "")
        if path in mounts or re.search(_PINNED_VERSION, root):
            yield codes.CERTIFICATE_SUBPATH.problem(
                file.variable,
                f"{file.path} is mounted by subPath, so a renewal never reaches it.",
                f"Mount the whole volume at {os.path.dirname(file.path)}.",
            )


def _mounts(mountinfo: str) -> dict[str, str]:
    """Return the mounted directories by mount point; none on systems without."""
    try:
        with open(mountinfo, "rb") as table:
            found = re.findall(_ROOT_AND_POINT, os.fsdecode(table.read()))
    except OSError:
        return {}
    return {_unescaped(point): _unescaped(root) for root, point in found}


def _unescaped(field: str) -> str:
    return re.sub(_OCTAL, lambda octal: chr(int(octal[1], 8)), field)
