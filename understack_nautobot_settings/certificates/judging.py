"""What is wrong with the files of a client certificate.

File paths in, problems out; no environment, no network. OpenSSL is the judge, as it
is in the drivers: what the start-up check refuses, libpq or redis-py or the server
would refuse as well. The rest of this module turns a refusal into words.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import openssl
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import Mount
from understack_nautobot_settings.certificates.files import MountedFile
from understack_nautobot_settings.certificates.files import ReadFile
from understack_nautobot_settings.certificates.files import access
from understack_nautobot_settings.certificates.files import read_file
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import has_explicit_curve
from understack_nautobot_settings.problems import Problem

# A renewal writes certificate and key one after the other, or swaps both at once
# under a reader that has read only one of them.
_RETRY_SECONDS = 0.2
_ATTEMPTS = 5

_MISMATCHED = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_WEAK_REASONS = {
    "EE_KEY_TOO_SMALL": "its key is too small",
    "CA_KEY_TOO_SMALL": "the key of an issuer is too small",
    "CA_MD_TOO_WEAK": "the hash of its signature is too weak",
}
# The client found no signature that it can make with its key.
_NO_SIGNATURE = ("UNSUPPORTED_PROTOCOL", "NO_SUITABLE_SIGNATURE_ALGORITHM")
# None: an error of a decoder, for which Python has no name.
_UNREADABLE_REASONS = ("PEM_LIB", "ASN1_LIB", None)

# What belongs into the files of a mount.
_LEAF, _KEY, _CA = "client certificate", "private key", "CA certificate"

_LOCKED = "is encrypted, and a pod cannot ask for its password."

_DER_KEY_KINDS = ("", "EC ", "RSA ", "DSA ")


def check_certificates(
    files: ClientFiles,
    *,
    key_password: str | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    read: ReadFile = read_file,
) -> list[Problem]:
    """Tell what a driver or a server would refuse about these files.

    The certificate is presented to OpenSSL in a handshake in memory, alone and with
    nothing trusted but itself: only the server knows which issuers it trusts. A key
    that does not match, or files that change meanwhile, are looked at again: a
    renewal can be caught half-way. Nothing ever waits for a password.

    Args:
        files: The files of one client.
        key_password: Password of the key (libpq ``sslpassword``).
        clock: Seconds since the epoch.
        sleep: Waits a number of seconds.
        read: Reads a file.

    Returns:
        Errors: what is refused for certain. Warnings: what this Python's OpenSSL
        refuses and the driver's may accept.
    """
    problems: list[Problem] = []
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_RETRY_SECONDS)
        mount = Mount(files, clock, read)
        try:
            problems = _refusals(mount, key_password)
        except openssl.NotJudged as failure:
            code, words = codes.CERTIFICATE_NOT_JUDGED, "could not be shown to OpenSSL"
            found = [one.problem(code, f"{words}: {failure}.") for one in mount.files]
            return [*mount.problems, *found[:1]]
        half_way = not attempt and _is_perhaps_half_way(files, problems)
        is_current = all(file.is_current() for file in mount.files)
        if not problems or (is_current and not half_way):
            break
    return problems


def _is_perhaps_half_way(files: ClientFiles, problems: Sequence[Problem]) -> bool:
    seen = {problem.code for problem in problems}
    if codes.FILE_MISSING.id in seen:
        # A link without a target: the volume is there, its content is not.
        return any(os.path.islink(file.path) for file in files.present())
    return codes.CERTIFICATE_KEY_MISMATCH.id in seen


# --- what is refused -----------------------------------------------------------


def _refusals(mount: Mount, key_password: str | None) -> list[Problem]:
    problems = [*mount.problems]
    leaf: bytes | None = None
    key = mount.key
    if key and mount.use == POSTGRESQL and _holding(mount, key) in ("", _KEY):
        problems += _key_mode_problems(key)
    if mount.cert and key:
        leaf, refused = _pair_problems(mount, mount.cert, key, key_password)
        problems += refused
    elif mount.cert:
        problems += _certificate_form_problems(mount.cert)
    elif key and _opens(key.content, key_password) is False:
        fault = pem.pem_fault(key.content, pem.PRIVATE_KEY)
        # libpq accepts a key that is DER.
        if fault and not pem.is_der_key(key.content):
            problems.append(key.problem(*fault))
    if mount.ca:
        problems += _trust_problems(mount, mount.ca, leaf)
    exchanged = _exchanged(mount) if problems else None
    return [exchanged] if exchanged else problems


def _exchanged(mount: Mount) -> Problem | None:
    """Return which files hold what belongs into another of them, None for none."""
    if mount.problems:
        return None
    wanted = zip(mount.files, (_LEAF, _KEY, _CA), strict=False)
    held = ((file, kind, _holding(mount, file)) for file, kind in wanted)
    away = [(file, kind, found) for file, kind, found in held if kind != found]
    if not away or sorted(one[1] for one in away) != sorted(one[2] for one in away):
        return None
    facts = [f"{file.path} holds the {found}" for file, _, found in away]
    return codes.CERTIFICATE_KEY_SWAPPED.problem(
        away[0][0].variable, f"{', '.join(facts[:-1])}, and {facts[-1]}."
    )


def _holding(mount: Mount, file: MountedFile) -> str:
    """Return what a file holds, empty for nothing, several things or what is broken."""
    has_key = pem.holds(file.content, pem.PRIVATE_KEY)
    if has_key == pem.holds(file.content, pem.CERTIFICATE):
        return ""
    if has_key:
        return _KEY
    chain = mount.certificates(file)
    if not chain or chain[0].is_ca is None:
        return ""
    return _CA if chain[0].is_ca else _LEAF


def _key_mode_problems(key: MountedFile) -> Iterator[Problem]:
    status = key.status
    # libpq, fe-secure-openssl.c: group may read where root owns the key, nobody else.
    refused, whose, most = 0o077, "this owner", "0600"
    remedy = "Mount the secret itself, or make the copy 0600."
    if status.st_uid == 0:
        refused, whose, most = 0o037, "root", "0640"
        remedy = "Set 'defaultMode: 256' on the secret volume."
    if status.st_mode & refused:
        words = f"libpq accepts a key of {whose} up to mode {most}."
        yield key.problem(codes.KEY_MODE, f"has {access(status)}; {words}", remedy)


def _pair_problems(
    mount: Mount, cert: MountedFile, key: MountedFile, key_password: str | None
) -> tuple[bytes | None, list[Problem]]:
    """Return the client certificate, DER, and what is refused about it and its key."""
    by_libpq = mount.use == POSTGRESQL
    presented, weak = _presented(cert.content, key.content, key_password)
    if presented.leaf is None and by_libpq and pem.is_der_key(key.content):
        for kind in _DER_KEY_KINDS:
            armoured = pem.armoured(key.content, f"{kind}PRIVATE KEY")
            as_pem, as_weak = _presented(cert.content, armoured, key_password)
            if as_pem.leaf is not None or as_pem.reason not in _UNREADABLE_REASONS:
                presented, weak = as_pem, as_weak
                break
    if presented.leaf is None:
        if presented.reason in _NO_SIGNATURE:
            return None, [_key_kind_problem(cert, mount.chain)]
        return None, _loading_problems(mount, cert, key, key_password, presented)
    problems = []
    if not by_libpq and presented.asked and not key_password:
        # An empty password opens it, which libpq tries and Python asks for.
        problems.append(key.problem(codes.KEY_ENCRYPTED, _LOCKED))
    explicit = has_explicit_curve(presented.leaf)
    # Only what there are words to find for is read.
    if explicit or not openssl.is_valid(presented.told, mount.now):
        leaf = mount.certificate(presented.leaf, cert)
        problems += _verdict_problems(cert, key, leaf, presented)
    if weak and not problems:
        words = f"may be refused: {weak}."
        problems.append(cert.problem(codes.CERTIFICATE_WEAK, words))
    return presented.leaf, problems


def _presented(
    cert: bytes, key: bytes, password: str | None
) -> tuple[openssl.Verdict, str]:
    """Return OpenSSL's verdict, and what it refuses at its own security level alone."""
    usual = openssl.present(cert, key, password, level=None)
    if usual.error is None:
        return usual, ""
    weak = _WEAK_REASONS.get(usual.reason or "", "")
    return openssl.present(cert, key, password), weak


def _verdict_problems(
    cert: MountedFile,
    key: MountedFile,
    leaf: Certificate | None,
    presented: openssl.Verdict,
) -> Iterator[Problem]:
    """Translate the verdict on a certificate that could be loaded.

    OpenSSL judges the dates last, so that with an error about them everything else
    is well; the dates themselves are compared with the clock that was given.
    """
    reason = presented.verify_code
    if reason == openssl.PURPOSE:
        words = f"is not for client authentication: {_usages(leaf)}."
        yield cert.problem(codes.CERTIFICATE_NOT_FOR_CLIENTS, words)
    elif presented.error and reason not in (openssl.EXPIRED, openssl.NOT_YET_VALID):
        yield _refused(cert, key, presented)
    elif has_explicit_curve(presented.leaf or b""):
        yield codes.CERTIFICATE_EXPLICIT_CURVE.problem(
            cert.variable,
            f"the key of {cert.path} has explicit curve parameters, which servers "
            "refuse.",
        )
    if leaf.is_expired if leaf else reason == openssl.EXPIRED:
        words = f"({leaf.subject}) {leaf.dates}." if leaf else "has expired."
        yield cert.problem(codes.CERTIFICATE_EXPIRED, words)
    if leaf.is_early if leaf else reason == openssl.NOT_YET_VALID:
        words = f"({leaf.subject}) is {leaf.dates}." if leaf else "is not valid yet."
        yield cert.problem(codes.CERTIFICATE_NOT_YET_VALID, words)


def _usages(leaf: Certificate | None) -> str:
    extended = None if leaf is None else leaf.extended_usages
    if extended is not None and "client auth" not in extended:
        return f"its usages are {', '.join(extended) or 'none'}"
    if leaf is not None and leaf.key_usages is not None:
        return (
            f"its key usages are {', '.join(leaf.key_usages) or 'none'}, and "
            "neither digital signature nor key agreement"
        )
    return "its usages exclude it"


def _key_kind_problem(cert: MountedFile, chain: Sequence[Certificate]) -> Problem:
    """Return what keeps a key from signing a TLS 1.3 handshake."""
    kind = chain[0].key_kind if chain else ""
    if kind and not kind.startswith("DSA"):
        return codes.CERTIFICATE_KEY_TYPE.problem(
            cert.variable,
            f"the key of {cert.path} ({kind}) cannot sign a TLS handshake.",
        )
    what = f"a {kind} key" if kind else "a key of an unknown kind"
    words = f"may be refused: {what} works at most with TLS 1.2."
    return cert.problem(codes.CERTIFICATE_WEAK, words)


def _refused(
    cert: MountedFile, key: MountedFile, presented: openssl.Verdict
) -> Problem:
    if presented.reason == "BAD_SIGNATURE":
        # The public half of the key fits the certificate, the private one does not.
        return key.problem(*pem.damaged(pem.PRIVATE_KEY))
    if presented.reason == "INVALID_CERTIFICATE":
        return cert.problem(
            codes.CERTIFICATE_REFUSED,
            "has an extension that OpenSSL does not accept.",
            "Copy the file again from where it was issued. If it is the same there, "
            "issue the certificate anew.",
        )
    words = openssl.reason_words(presented.error)
    return codes.CERTIFICATE_REFUSED.problem(
        cert.variable, f"OpenSSL refuses {cert.path}: {words}."
    )


# --- why a pair cannot be loaded -----------------------------------------------


def _loading_problems(
    mount: Mount,
    cert: MountedFile,
    key: MountedFile,
    key_password: str | None,
    presented: openssl.Verdict,
) -> list[Problem]:
    """Find the file that OpenSSL stumbled over, and name what it is about it."""
    if presented.reason in _MISMATCHED:
        return [_mismatch(mount, cert, key)]
    problems = _certificate_form_problems(cert)
    if presented.asked or pem.is_encrypted(key.content):
        return [*problems, _locked(key, key_password)]
    fault = pem.pem_fault(key.content, pem.PRIVATE_KEY)
    if fault is None and not problems:
        if presented.reason not in _UNREADABLE_REASONS:
            return [_refused(cert, key, presented)]
        if _opens(key.content, None):
            words = openssl.reason_words(presented.error)
            return [
                codes.CERTIFICATE_REFUSED.problem(
                    cert.variable,
                    f"OpenSSL refuses {cert.path} or {key.path}: {words}.",
                    "Copy both files again from where they were issued.",
                )
            ]
        fault = pem.damaged(pem.PRIVATE_KEY)
    return [*problems, *([key.problem(*fault)] if fault else [])]


def _locked(key: MountedFile, password: str | None) -> Problem:
    """Return why an encrypted key stays closed; OpenSSL gives no reason."""
    if not password:
        return key.problem(codes.KEY_ENCRYPTED, _LOCKED)
    if _opens(key.content, password) is False:
        return key.problem(
            codes.KEY_ENCRYPTED,
            "is encrypted, and sslpassword does not open it.",
            "Correct sslpassword, or store the key without a password.",
        )
    words = "is encrypted with a cipher that the OpenSSL of this Python does not load."
    return key.problem(codes.KEY_OLD_CIPHER, words)


def _opens(content: bytes, password: str | None) -> bool | None:
    """Tell whether `cryptography` can load a key, None where it cannot tell."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if re.search(pem.OLD_CIPHER, content):
        return None
    block = pem.first_block(content, pem.PRIVATE_KEY) or content
    try:
        load_pem_private_key(block, password.encode() if password else None)
    except UnsupportedAlgorithm:
        return None
    except Exception:  # noqa: BLE001 - of many classes, and with content
        return False
    return True


def _mismatch(mount: Mount, cert: MountedFile, key: MountedFile) -> Problem:
    first = mount.chain[0] if mount.chain else None
    below = next((one for one in mount.chain[1:] if one.is_ca is False), None)
    if first is not None and first.is_ca and below is not None:
        return cert.problem(
            codes.CERTIFICATE_CA_FIRST,
            f"starts with the CA {first.subject}, and the certificate "
            f"{below.subject} comes later.",
        )
    subject = f" ({first.subject})" if first else ""
    words = f"is not the key of {cert.path}{subject}."
    return key.problem(codes.CERTIFICATE_KEY_MISMATCH, words)


def _certificate_form_problems(file: MountedFile) -> list[Problem]:
    """Return why a file of certificates cannot be read, nothing when it can."""
    if openssl.trusting(file.content):
        return []
    fault = pem.pem_fault(file.content, pem.CERTIFICATE)
    return [file.problem(*(fault or pem.damaged(pem.CERTIFICATE)))]


# --- what is trusted -----------------------------------------------------------


def _trust_problems(mount: Mount, ca: MountedFile, leaf: bytes | None) -> list[Problem]:
    """Return why no server can be verified with a CA file."""
    context = openssl.trusting(ca.content)
    if context is None:
        return _certificate_form_problems(ca)
    if b"-----BEGIN TRUSTED CERTIFICATE-----" in ca.content:
        # OpenSSL may trust such a certificate although it is no root.
        return []
    # Python's default contexts trust any certificate of the file from 3.13 on; libpq
    # wants a self-signed one.
    pins = mount.use == REDIS and sys.version_info >= (3, 13)
    if any(
        (pins or told["subject"] == told["issuer"])
        and openssl.is_valid(told, mount.now)
        for told in openssl.authorities(context)
    ):
        return []
    ders = set(context.get_ca_certs(binary_form=True))
    authorities = [one for one in mount.trusted if one.der in ders]
    anchors = [one for one in authorities if one.is_self_issued or pins]
    if not anchors:
        anchors = [one for one in mount.trusted if one.is_self_issued or pins]
        read = len({one.der for one in mount.trusted})
        if not anchors and read >= context.cert_store_stats()["x509"]:
            return [_no_anchor(ca, authorities, mount.trusted, leaf)]
    # Where OpenSSL reads what we cannot, nothing is certain.
    unclear = len({one.der for one in authorities}) < len(ders) or not anchors
    if unclear or any(one.is_valid for one in anchors):
        return []
    named = ", ".join(f"{one.subject} ({one.dates})" for one in anchors)
    words = f"holds no CA that is valid now: {named}."
    over = any(one.is_expired for one in anchors)
    code = codes.CA_EXPIRED if over else codes.CA_NOT_YET_VALID
    return [ca.problem(code, words)]


def _no_anchor(
    ca: MountedFile,
    authorities: Sequence[Certificate],
    others: Sequence[Certificate],
    leaf: bytes | None,
) -> Problem:
    if authorities:
        named = ", ".join(one.subject for one in authorities)
        roots = ", ".join(dict.fromkeys(one.issuer for one in authorities))
        return ca.problem(
            codes.CA_WITHOUT_ROOT,
            f"holds only intermediates: {named}.",
            f"Add the root certificate: {roots}.",
        )
    for one in others:
        if one.der == leaf:
            return ca.problem(
                codes.CA_IS_CLIENT_CERTIFICATE,
                f"holds the client certificate {one.subject}, not a CA.",
                f"Store the certificate of {one.issuer} there.",
            )
    named = ", ".join(one.subject for one in others)
    words = f"holds no CA, only {named or 'certificates that have no name'}."
    return ca.problem(codes.CA_NONE, words)
