"""What is wrong with the files of a client certificate, and until when they live.

File paths in, problems out; no environment, no network. OpenSSL is the judge, as it
is in the drivers: what the start-up check refuses, libpq or redis-py or the server
would refuse as well. The rest of this module turns a refusal into words.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import certificates_in
from understack_nautobot_settings.certificates.files import check_files
from understack_nautobot_settings.certificates.files import content_of
from understack_nautobot_settings.certificates.files import generation
from understack_nautobot_settings.certificates.files import look_at
from understack_nautobot_settings.certificates.files import mode
from understack_nautobot_settings.certificates.files import owner
from understack_nautobot_settings.certificates.openssl import EXPIRED
from understack_nautobot_settings.certificates.openssl import NOT_YET_VALID
from understack_nautobot_settings.certificates.openssl import PURPOSE
from understack_nautobot_settings.certificates.openssl import Presented
from understack_nautobot_settings.certificates.openssl import certificate_count
from understack_nautobot_settings.certificates.openssl import present
from understack_nautobot_settings.certificates.openssl import reason_words
from understack_nautobot_settings.certificates.openssl import trusting
from understack_nautobot_settings.certificates.reading import X509
from understack_nautobot_settings.certificates.reading import dates
from understack_nautobot_settings.certificates.reading import is_valid
from understack_nautobot_settings.certificates.reading import readable
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.problems import Problem

__all__ = [
    "Certificate",
    "CertificateFile",
    "ClientFiles",
    "check_certificates",
    "check_files",
    "describe_certificates",
]

_DAY = 86400

# A renewal writes certificate and key one after the other, or swaps both at once
# under a reader that has read only one of them.
_RETRY_SECONDS = 0.2
_ATTEMPTS = 5

# libpq, fe-secure-openssl.c: group may read where root owns the key, nobody else.
_ROOT_OWNED_KEY = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_OTHERWISE_OWNED_KEY = stat.S_IRWXG | stat.S_IRWXO

_MISMATCHED = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_WEAK_REASONS = {
    "EE_KEY_TOO_SMALL": "its key is too small, or damaged",
    "CA_KEY_TOO_SMALL": "the key of an issuer is too small",
    "CA_MD_TOO_WEAK": "its signature algorithm is too weak",
}
_SIGNED_WRONG = "BAD_SIGNATURE"
_INVALID = "INVALID_CERTIFICATE"
# None: an error of a decoder, for which Python has no name.
_UNREADABLE_REASONS = ("PEM_LIB", "ASN1_LIB", None)

_DER_KEY_LABELS = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")


class Certificate(NamedTuple):
    """One certificate in one file.

    Attributes:
        path: The file.
        use: As in `ClientFiles`.
        subject: ``CN=app``.
        issuer: ``CN=understack-mtls-ca``.
        serial: Upper-case hexadecimal, as OpenSSL prints it.
        not_before: Start of validity, UTC, ``2026-11-22T04:21:00Z``.
        not_after: End of validity, UTC.
        days_left: Whole days until then, negative once it is past.
    """

    path: str
    use: str
    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    days_left: int


def check_certificates(
    files: ClientFiles,
    *,
    key_password: str | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Problem]:
    """Tell what a driver or a server would refuse about these files.

    The certificate is presented to OpenSSL in a handshake in memory, with nothing
    trusted but itself, since only the server knows which issuers it trusts. A key
    that does not match, or files that change meanwhile, are looked at again: a
    renewal can be caught half-way. Nothing ever waits for a password.

    Args:
        files: The files of one client.
        key_password: Password of the key (libpq ``sslpassword``), None for none.
        clock: Seconds since the epoch.
        sleep: Waits a number of seconds.

    Returns:
        Problems, all of severity error; none in a few milliseconds.
    """
    problems: list[Problem] = []
    for attempt in range(_ATTEMPTS):
        before = generation(files)
        problems = _refusals(files, key_password, clock)
        if not problems:
            break
        still = generation(files) == before
        if still and (attempt or not _perhaps_caught_half_way(files, problems)):
            break
        if attempt < _ATTEMPTS - 1:
            sleep(_RETRY_SECONDS)
    return problems


def describe_certificates(
    files: ClientFiles, *, clock: Callable[[], float] = time.time
) -> list[Certificate]:
    """Return every certificate in the files that can be read.

    Args:
        files: The files of one client; the key is not looked at.
        clock: Seconds since the epoch.

    Returns:
        The client certificate, its intermediates, then the CAs, each file in its
        own order.
    """
    now = clock()
    places = dict.fromkeys(file for file in (files.cert, files.ca) if file is not None)
    return [
        Certificate(
            path=file.path,
            use=files.use,
            subject=one.subject,
            issuer=one.issuer,
            serial=one.serial,
            not_before=utc(one.not_before),
            not_after=utc(one.not_after),
            days_left=int((one.not_after - now) // _DAY),
        )
        for file in places
        for one in certificates_in(file)
    ]


def _perhaps_caught_half_way(files: ClientFiles, problems: Iterable[Problem]) -> bool:
    seen = {problem.code for problem in problems}
    if codes.FILE_MISSING.id in seen:
        # A link without a target: the volume is there, its content is not.
        return any(os.path.islink(file.path) for file in files.present())
    return codes.CERTIFICATE_KEY_MISMATCH.id in seen


# --- what is refused -----------------------------------------------------------


def _refusals(
    files: ClientFiles, key_password: str | None, clock: Callable[[], float]
) -> list[Problem]:
    """Look once."""
    looks = {file: look_at(file) for file in files.present()}
    problems = [look for look in looks.values() if isinstance(look, Problem)]
    cert, ca, key = files.cert, files.ca, files.key or files.cert
    leaf: X509 | None = None
    if cert is not None and key is not None and not isinstance(looks[cert], Problem):
        status = looks[key]
        if isinstance(status, Problem):
            problems += _certificate_form_problems(cert)
        else:
            if files.use == POSTGRESQL:
                problems += _key_mode_problems(key, status)
            leaf, refused = _pair_problems(files.use, cert, key, key_password, clock)
            problems += refused
    if ca is not None and not isinstance(looks[ca], Problem):
        problems += _trust_problems(files.use, ca, leaf, clock)
    return problems


def _key_mode_problems(key: CertificateFile, status: os.stat_result) -> list[Problem]:
    roots = status.st_uid == 0
    if not status.st_mode & (_ROOT_OWNED_KEY if roots else _OTHERWISE_OWNED_KEY):
        return []
    return [
        codes.KEY_MODE.problem(
            key.variable,
            f"{key.path} has mode {mode(status)} and owner {owner(status)}; libpq "
            f"takes a key of {'root' if roots else 'this owner'} up to mode "
            f"{'0640' if roots else '0600'}.",
            "Set 'defaultMode: 256' on the secret volume."
            if roots
            else "Mount the secret itself, or make the copy 0600.",
        )
    ]


def _pair_problems(
    use: str,
    cert: CertificateFile,
    key: CertificateFile,
    key_password: str | None,
    clock: Callable[[], float],
) -> tuple[X509 | None, list[Problem]]:
    """Return the client certificate and what is refused about it and its key."""
    presented = present(cert.path, key.path, key_password)
    if presented.leaf is None and use == POSTGRESQL:
        presented = _present_der_key(cert, key, key_password) or presented
    if presented.leaf is None:
        return None, _loading_problems(cert, key, key_password, presented)
    leaf = next(readable([presented.leaf]), None)
    problems = []
    if use != POSTGRESQL and presented.asked and not key_password:
        # An empty password opens it, which libpq tries and Python asks for.
        problems.append(_encrypted(key, key_password))
    problems += _verdict_problems(cert, key, leaf, presented.error, int(clock()))
    return leaf, problems


def _present_der_key(
    cert: CertificateFile, key: CertificateFile, key_password: str | None
) -> Presented | None:
    """Present a certificate whose key is binary, which libpq takes and Python not."""
    content = content_of(key.path)
    if not pem.is_der(content) or not hasattr(os, "memfd_create"):
        return None
    for label in _DER_KEY_LABELS:
        handle = os.memfd_create("key", os.MFD_CLOEXEC)
        try:
            os.write(handle, pem.armoured(content, label))
            path = f"/proc/self/fd/{handle}"
            presented = present(cert.path, path, key_password)
        finally:
            os.close(handle)
        if presented.leaf is not None:
            return presented
    return None


def _verdict_problems(
    cert: CertificateFile,
    key: CertificateFile,
    leaf: X509 | None,
    error: Exception | None,
    now: int,
) -> Iterator[Problem]:
    """Translate the verdict on a certificate that could be loaded.

    OpenSSL judges the dates last, so that with an error about them everything else
    is well; the dates themselves are compared with the clock that was given.
    """
    reason = getattr(error, "verify_code", None)
    if reason == PURPOSE:
        yield codes.CERTIFICATE_NOT_FOR_CLIENTS.problem(
            cert.variable,
            f"{cert.path} is not for client authentication: {_usages(leaf)}.",
            "Issue it with 'usages: [client auth]' in the cert-manager Certificate.",
        )
    elif error is not None and reason not in (EXPIRED, NOT_YET_VALID):
        yield from _refused(cert, key, error)
    named = f"{cert.path} ({leaf.subject})" if leaf else cert.path
    if leaf.not_after <= now if leaf else reason == EXPIRED:
        yield codes.CERTIFICATE_EXPIRED.problem(
            cert.variable,
            f"{named} expired{f' on {utc(leaf.not_after)}' if leaf else ''}.",
            "Renew it; on a site, copy the renewed certificate there.",
        )
    if leaf.not_before > now if leaf else reason == NOT_YET_VALID:
        yield codes.CERTIFICATE_NOT_YET_VALID.problem(
            cert.variable,
            f"{named} is not valid"
            f"{f' before {utc(leaf.not_before)}' if leaf else ' yet'}.",
            "Wait until then, or set the clock of the node.",
        )


def _usages(leaf: X509 | None) -> str:
    extended = None if leaf is None else leaf.extended_usages
    if extended is not None and "client auth" not in extended:
        return f"its usages are {', '.join(extended) or 'none'}"
    if leaf is not None and leaf.key_usages is not None:
        return (
            f"its key usages are {', '.join(leaf.key_usages) or 'none'}, and "
            "neither digital signature nor key agreement"
        )
    return "its usages exclude it"


def _weak(cert: CertificateFile, fact: str) -> Problem:
    return codes.CERTIFICATE_WEAK.problem(
        cert.variable,
        f"OpenSSL refuses {cert.path}: {fact}.",
        "Issue it with ECDSA P-256 or RSA 2048, signed with SHA-256.",
    )


def _refused(
    cert: CertificateFile, key: CertificateFile, error: Exception | None
) -> list[Problem]:
    reason = getattr(error, "reason", None)
    if reason == _SIGNED_WRONG:
        # The public half of the key fits the certificate, the private one does not.
        return list(_fault_problems(key, pem.damaged(pem.PRIVATE_KEY)))
    if reason == _INVALID:
        return list(_fault_problems(cert, pem.damaged(pem.CERTIFICATE)))
    return [
        codes.CERTIFICATE_REFUSED.problem(
            cert.variable,
            f"OpenSSL refuses {cert.path}: {reason_words(error)}.",
            "Issue the certificate anew.",
        )
    ]


def _encrypted(key: CertificateFile, key_password: str | None) -> Problem:
    if key_password:
        return codes.KEY_ENCRYPTED.problem(
            key.variable,
            f"{key.path} is encrypted, and the password does not open it.",
            "Correct sslpassword, or store the key without a password.",
        )
    return codes.KEY_ENCRYPTED.problem(
        key.variable,
        f"{key.path} is encrypted, and a pod has nobody to type the password.",
        "Store the key without a password: 'openssl pkey'.",
    )


# --- why a pair cannot be loaded -----------------------------------------------


def _loading_problems(
    cert: CertificateFile,
    key: CertificateFile,
    key_password: str | None,
    presented: Presented,
) -> list[Problem]:
    """Find the file that OpenSSL stumbled over, and name what it is about it."""
    error = presented.error
    reason = getattr(error, "reason", None)
    if reason in _MISMATCHED:
        return [_mismatch(cert, key)]
    if reason in _WEAK_REASONS:
        return [_weak(cert, _WEAK_REASONS[reason])]
    cert_content, key_content = content_of(cert.path), content_of(key.path)
    if _are_swapped(cert_content, key_content):
        return [
            codes.CERTIFICATE_KEY_SWAPPED.problem(
                cert.variable,
                f"{cert.path} holds the private key, and {key.path} the certificate.",
                f"Swap {cert.variable} and {key.variable}, or the two keys of the "
                "secret.",
            )
        ]
    problems = _certificate_form_problems(cert)
    if presented.asked or pem.is_encrypted(key_content):
        return [*problems, _encrypted(key, key_password)]
    fault = pem.pem_fault(key_content, pem.PRIVATE_KEY)
    if fault is None and not problems:
        if reason not in _UNREADABLE_REASONS:
            return _refused(cert, key, error)
        fault = pem.damaged(pem.PRIVATE_KEY)
    return [*problems, *_fault_problems(key, fault)]


def _mismatch(cert: CertificateFile, key: CertificateFile) -> Problem:
    chain = certificates_in(cert)
    first = chain[0] if chain else None
    below = next((one for one in chain[1:] if not one.is_ca), None)
    if first is not None and first.is_ca and below is not None:
        return codes.CERTIFICATE_CA_FIRST.problem(
            cert.variable,
            f"{cert.path} starts with the CA {first.subject}, and the certificate "
            f"{below.subject} comes later.",
            "Put the client certificate first and its intermediates after it.",
        )
    subject = f" ({first.subject})" if first else ""
    return codes.CERTIFICATE_KEY_MISMATCH.problem(
        key.variable,
        f"{key.path} is not the key of {cert.path}{subject}.",
        "Mount certificate and key of the same secret.",
    )


def _are_swapped(cert: bytes, key: bytes) -> bool:
    return (
        pem.holds(cert, pem.PRIVATE_KEY)
        and not pem.holds(cert, pem.CERTIFICATE)
        and pem.holds(key, pem.CERTIFICATE)
        and not pem.holds(key, pem.PRIVATE_KEY)
    )


def _certificate_form_problems(file: CertificateFile) -> list[Problem]:
    """Return why a file of certificates cannot be read, nothing when it can."""
    if trusting(file.path) is not None:
        return []
    fault = pem.pem_fault(content_of(file.path), pem.CERTIFICATE)
    return list(_fault_problems(file, fault or pem.damaged(pem.CERTIFICATE)))


def _fault_problems(
    file: CertificateFile, fault: pem.PemFault | None
) -> Iterator[Problem]:
    if fault is not None:
        yield fault.code.problem(
            file.variable, f"{file.path} {fault.fact}", fault.remedy
        )


# --- what is trusted -----------------------------------------------------------


def _trust_problems(
    use: str, ca: CertificateFile, leaf: X509 | None, clock: Callable[[], float]
) -> list[Problem]:
    """Return why no server can be verified with a CA file."""
    context = trusting(ca.path)
    if context is None:
        return _certificate_form_problems(ca)
    now = int(clock())

    def is_anchor(one: X509) -> bool:
        return one.same_names or _pins(use)

    ders = context.get_ca_certs(binary_form=True)
    if any(is_anchor(one) and is_valid(one, now) for one in readable(ders)):
        return []
    authorities = list(readable(ders))
    anchors = [one for one in authorities if is_anchor(one)]
    if not anchors:
        others = certificates_in(ca)
        anchors = [one for one in others if is_anchor(one)]
        if not anchors and len({one.der for one in others}) >= certificate_count(
            context
        ):
            return [_no_anchor(ca, authorities, others, leaf)]
    unclear = len(authorities) < len(ders) or not anchors
    if unclear or any(is_valid(one, now) for one in anchors):
        # Where OpenSSL reads what we cannot, nothing is certain.
        return []
    named = ", ".join(f"{one.subject} ({dates(one, now)})" for one in anchors)
    return [
        codes.CA_EXPIRED.problem(
            ca.variable,
            f"{ca.path} holds no CA that is valid now: {named}.",
            "Mount the renewed CA certificate.",
        )
    ]


def _pins(use: str) -> bool:
    """Tell whether a driver trusts any certificate in its CA file, root or not.

    Python's default contexts do from 3.13 on; libpq wants a self-signed one.
    """
    return use == REDIS and sys.version_info >= (3, 13)


def _no_anchor(
    ca: CertificateFile,
    authorities: Sequence[X509],
    others: Sequence[X509],
    leaf: X509 | None,
) -> Problem:
    if authorities:
        named = ", ".join(one.subject for one in authorities)
        roots = ", ".join(dict.fromkeys(one.issuer for one in authorities))
        return codes.CA_WITHOUT_ROOT.problem(
            ca.variable,
            f"{ca.path} holds only intermediates: {named}.",
            f"Add the root certificate: {roots}.",
        )
    if leaf is not None and any(one.der == leaf.der for one in others):
        return codes.CA_IS_CERTIFICATE.problem(
            ca.variable,
            f"{ca.path} holds the client certificate {leaf.subject}, not a CA.",
            f"Store the certificate of {leaf.issuer} there.",
        )
    named = ", ".join(one.subject for one in others)
    return codes.CA_NONE.problem(
        ca.variable,
        f"{ca.path} holds no CA, only {named or 'certificates that have no name'}.",
        "Store the certificate of the CA that signed the server certificate there.",
    )
