"""What is wrong with the files of a client certificate, and until when they live.

File paths in, problems out; no environment, no network. OpenSSL is the judge, as it
is in the drivers: what the start-up check refuses, libpq or redis-py or the server
would refuse as well. The rest of this module turns a refusal into words.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from typing import NamedTuple

from understack_nautobot_settings import pem
from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.errors import Problem
from understack_nautobot_settings.x509 import X509
from understack_nautobot_settings.x509 import read_x509
from understack_nautobot_settings.x509 import utc

if TYPE_CHECKING:
    import ssl

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"

_DAY = 86400
_LARGEST_FILE = 16 * 1024 * 1024

# A renewal writes certificate and key one after the other, or swaps both at once
# under a reader that has read only one of them.
_RETRY_SECONDS = 0.2
_ATTEMPTS = 5

# libpq, fe-secure-openssl.c: group may read where root owns the key, nobody else.
_ROOT_OWNED_KEY = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_OTHERWISE_OWNED_KEY = stat.S_IRWXG | stat.S_IRWXO

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_NO_ISSUER = (2, 18, 19, 20, 21)
_PURPOSE = 26
_STRICT_WORDS = {
    85: "a certificate has no AuthorityKeyIdentifier",
    86: "a CA has no SubjectKeyIdentifier",
    89: "basicConstraints of a CA is not critical",
    92: "a CA has no key usage",
}
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

_PINNED_VERSION = r"/\.\.\d{4}_"
_OCTAL = r"\\([0-7]{3})"
_MOUNTINFO_ROOT, _MOUNTINFO_POINT = 3, 4


class CertificateFile(NamedTuple):
    """One file, and the variable to change when something is wrong with it."""

    path: str
    variable: str


class ClientFiles(NamedTuple):
    """The files with which one client presents itself and trusts its server.

    Attributes:
        use: The client: ``"PostgreSQL"`` (libpq) or ``"Redis"`` (Python's ssl).
        cert: The client certificate, intermediates after it; None to present none.
        key: Its private key; None where the certificate file holds it.
        ca: The certificate authorities that the server is verified with; None
            where it is not.
    """

    use: str
    cert: CertificateFile | None
    key: CertificateFile | None
    ca: CertificateFile | None

    def present(self) -> Iterator[CertificateFile]:
        """Yield the files that are configured."""
        for file in (self.cert, self.key, self.ca):
            if file is not None:
                yield file


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


def check_files(files: ClientFiles) -> list[Problem]:
    """Tell which files are missing, no files, empty or unreadable.

    Args:
        files: The files of one client.

    Returns:
        At most one problem for each file, all of severity error.
    """
    looks = map(_look_at, files.present())
    return [look for look in looks if isinstance(look, Problem)]


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
        before = _generation(files)
        problems = _refusals(files, key_password, clock)
        if not problems:
            break
        still = _generation(files) == before
        if still and (attempt or not _perhaps_caught_half_way(files, problems)):
            break
        sleep(_RETRY_SECONDS)
    return problems


def inspect_certificates(
    files: ClientFiles,
    *,
    key_password: str | None = None,
    clock: Callable[[], float] = time.time,
    expiry_warning_days: int = 30,
    database_user: str | None = None,
    mountinfo: str = "/proc/self/mountinfo",
) -> list[Problem]:
    """Tell what will go wrong, or may be meant otherwise, about these files.

    Comes in addition to `check_certificates` and repeats none of it. What cannot be
    read is left out.

    Args:
        files: The files of one client.
        key_password: As for `check_certificates`.
        clock: Seconds since the epoch.
        expiry_warning_days: Days before notAfter from which to warn.
        database_user: The user that PostgreSQL compares the CN with, None to leave
            that out.
        mountinfo: Table of the mounts of this process (Linux, proc(5)).

    Returns:
        Problems, all of severity warning.
    """
    moment = _Moment(int(clock()), expiry_warning_days)
    chain = _certificates_in(files.cert)
    authorities = _certificates_in(files.ca)
    problems = [
        *(problem for file in files.present() for problem in _form_warnings(file)),
        *_key_warnings(files),
        *_name_warnings(files, chain, database_user),
        *_chain_dates(files.cert, chain, moment),
        *_issuer_warnings(files, chain, authorities, key_password),
        *_authority_warnings(files.ca, authorities, chain, moment),
        *_mount_warnings(files, mountinfo),
    ]
    return list(dict.fromkeys(problems))


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
        for one in _certificates_in(file)
    ]


# --- files ---------------------------------------------------------------------


def _look_at(file: CertificateFile) -> os.stat_result | Problem:
    """Return the status of a file that can be read, or why it cannot."""
    path, variable = file
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with open(path, "rb") as content:
                content.read(1)
    except (FileNotFoundError, NotADirectoryError):
        return problem_codes.FILE_MISSING.missing_file(
            variable,
            f"SSL certificate file required by {variable} not found: {path}",
            "Mount the secret nautobot-mtls-client at "
            f"{os.path.dirname(path) or '.'}, or correct the path.",
        )
    except PermissionError:
        return _unreadable(file)
    except OSError as error:
        return problem_codes.FILE_UNREADABLE.problem(
            variable,
            f"{path} cannot be read: {os.strerror(error.errno or 0)}.",
            "Correct the path, or look at the volume and its node.",
        )
    if stat.S_ISDIR(status.st_mode):
        return problem_codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a directory.",
            "Point it at the file in it; a subPath mount of a key that the secret "
            "does not have makes a directory as well.",
        )
    if not stat.S_ISREG(status.st_mode):
        return problem_codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a device, a pipe or a socket.",
            "Point it at a regular file.",
        )
    if not status.st_size:
        return problem_codes.FILE_EMPTY.problem(
            variable,
            f"{path} is empty.",
            f"Fill the key {os.path.basename(path)} of the mounted secret at its "
            "source.",
        )
    return status


def _unreadable(file: CertificateFile) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = _closed_directory(path) or path
    status = os.stat(place)
    group = os.getegid() or os.geteuid()
    groups = sorted({os.getegid(), *os.getgroups()})
    return problem_codes.FILE_UNREADABLE.problem(
        variable,
        f"{path} cannot be read: {'it' if place == path else place} has mode "
        f"{_mode(status)} and owner {_owner(status)}, this process has uid "
        f"{os.geteuid()} and gids {', '.join(map(str, groups))}.",
        f"Set 'securityContext: {{fsGroup: {group}}}' on the pod and "
        "'defaultMode: 256' on the secret volume.",
    )


def _closed_directory(path: str) -> str | None:
    """Return the first directory on the way to a file that lets us not through."""
    place = os.path.realpath(path)
    above: list[str] = []
    while place != os.path.dirname(place):
        place = os.path.dirname(place)
        above.append(place)
    for directory in reversed(above):
        if not os.access(directory, os.X_OK, effective_ids=True):
            return directory
    return None


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _owner(status: os.stat_result) -> str:
    return f"{status.st_uid}:{status.st_gid}"


def _generation(files: ClientFiles) -> list[tuple[int, ...] | None]:
    """Return what tells one set of mounted files from the next."""
    return [_identity(file.path) for file in files.present()]


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _perhaps_caught_half_way(files: ClientFiles, problems: Iterable[Problem]) -> bool:
    codes = {problem.code for problem in problems}
    if problem_codes.FILE_MISSING.id in codes:
        # A link without a target: the volume is there, its content is not.
        return any(os.path.islink(file.path) for file in files.present())
    return problem_codes.CERTIFICATE_KEY_MISMATCH.id in codes


# --- what is refused -----------------------------------------------------------


def _refusals(
    files: ClientFiles, key_password: str | None, clock: Callable[[], float]
) -> list[Problem]:
    """Look once."""
    looks = {file: _look_at(file) for file in files.present()}
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
        problem_codes.KEY_MODE.problem(
            key.variable,
            f"{key.path} has mode {_mode(status)} and owner {_owner(status)}; libpq "
            f"takes a key of {'root' if roots else 'this owner'} up to mode "
            f"{'0640' if roots else '0600'}.",
            "Set 'defaultMode: 256' on the secret volume."
            if roots
            else "Mount the secret itself, or make the copy 0600.",
        )
    ]


class _Presented(NamedTuple):
    """How OpenSSL took a certificate.

    Attributes:
        leaf: The certificate that a server sees, DER; None when not even loaded.
        error: Why it was refused, None when it was not.
        asked: True where a password was asked for.
    """

    leaf: bytes | None
    error: Exception | None
    asked: bool = False


def _present(
    cert: str,
    key: str,
    key_password: str | None,
    *,
    trust: str | None = None,
    strict: bool = False,
) -> _Presented:
    """Present a certificate to a server in memory, which demands one.

    In TLS 1.3 the client is through before the server looks at its certificate:
    time enough to tell the server which certificate to trust.

    Args:
        cert: Path of the certificate.
        key: Path of its key.
        key_password: Password of the key.
        trust: Path of the CAs that the server trusts; None to trust the certificate
            itself and judge nothing but it.
        strict: Apply the strict rules of RFC 5280.
    """
    import ssl

    asked: list[bool] = []

    def password() -> str:
        asked.append(True)
        return key_password or ""

    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.num_tickets = 0
    if trust is None:
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        server.verify_flags |= ssl.VERIFY_X509_STRICT
    leaf: bytes | None = None
    try:
        for context in (client, server):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.maximum_version = ssl.TLSVersion.TLSv1_3
            # The server shows the same certificate; the client does not mind.
            context.load_cert_chain(cert, key, password)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server)
        theirs = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        ours.do_handshake()
        leaf = ours.getpeercert(binary_form=True)
        if trust is None:
            server.load_verify_locations(cadata=leaf)
        else:
            server.load_verify_locations(cafile=trust)
        theirs.do_handshake()
    except (OSError, ValueError) as error:
        return _Presented(leaf, error, bool(asked))
    return _Presented(leaf, None, bool(asked))


def _pair_problems(
    use: str,
    cert: CertificateFile,
    key: CertificateFile,
    key_password: str | None,
    clock: Callable[[], float],
) -> tuple[X509 | None, list[Problem]]:
    """Return the client certificate and what is refused about it and its key."""
    presented = _present(cert.path, key.path, key_password)
    if presented.leaf is None and use == POSTGRESQL:
        presented = _present_der_key(cert, key, key_password) or presented
    if presented.leaf is None:
        return None, _loading_problems(cert, key, key_password, presented)
    try:
        leaf = read_x509(presented.leaf)
    except ValueError:
        leaf = None
    problems = []
    if use != POSTGRESQL and presented.asked and not key_password:
        # An empty password opens it, which libpq tries and Python asks for.
        problems.append(_encrypted(key, key_password))
    problems += _verdict_problems(cert, key, leaf, presented.error, int(clock()))
    return leaf, problems


def _present_der_key(
    cert: CertificateFile, key: CertificateFile, key_password: str | None
) -> _Presented | None:
    """Present a certificate whose key is binary, which libpq takes and Python not."""
    content = _content(key.path)
    if not pem.is_der(content) or not hasattr(os, "memfd_create"):
        return None
    for label in _DER_KEY_LABELS:
        handle = os.memfd_create("key", os.MFD_CLOEXEC)
        try:
            os.write(handle, pem.armoured(content, label))
            path = f"/proc/self/fd/{handle}"
            presented = _present(cert.path, path, key_password)
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
    if reason == _PURPOSE:
        yield problem_codes.CERTIFICATE_NOT_FOR_CLIENTS.problem(
            cert.variable,
            f"{cert.path} is not for client authentication: {_usages(leaf)}.",
            "Issue it with 'usages: [client auth]' in the cert-manager Certificate.",
        )
    elif error is not None and reason not in (_EXPIRED, _NOT_YET_VALID):
        yield from _refused(cert, key, error)
    named = f"{cert.path} ({leaf.subject})" if leaf else cert.path
    if leaf.not_after <= now if leaf else reason == _EXPIRED:
        yield problem_codes.CERTIFICATE_EXPIRED.problem(
            cert.variable,
            f"{named} expired{f' on {utc(leaf.not_after)}' if leaf else ''}.",
            "Renew it; on a site, copy the renewed certificate there.",
        )
    if leaf.not_before > now if leaf else reason == _NOT_YET_VALID:
        yield problem_codes.CERTIFICATE_NOT_YET_VALID.problem(
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
    return problem_codes.CERTIFICATE_WEAK.problem(
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
        problem_codes.CERTIFICATE_REFUSED.problem(
            cert.variable,
            f"OpenSSL refuses {cert.path}: {_words(error)}.",
            "Issue the certificate anew.",
        )
    ]


def _words(error: Exception | None) -> str:
    """Return OpenSSL's reason, which never holds content of a file."""
    words = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    text = str(words or "no reason given")
    return text.replace("_", " ") if text.isupper() else text


def _encrypted(key: CertificateFile, key_password: str | None) -> Problem:
    if key_password:
        return problem_codes.KEY_ENCRYPTED.problem(
            key.variable,
            f"{key.path} is encrypted, and the password does not open it.",
            "Correct sslpassword, or store the key without a password.",
        )
    return problem_codes.KEY_ENCRYPTED.problem(
        key.variable,
        f"{key.path} is encrypted, and a pod has nobody to type the password.",
        "Store the key without a password: 'openssl pkey'.",
    )


# --- why a pair cannot be loaded -----------------------------------------------


def _loading_problems(
    cert: CertificateFile,
    key: CertificateFile,
    key_password: str | None,
    presented: _Presented,
) -> list[Problem]:
    """Find the file that OpenSSL stumbled over, and name what it is about it."""
    error = presented.error
    reason = getattr(error, "reason", None)
    if reason in _MISMATCHED:
        return [_mismatch(cert, key)]
    if reason in _WEAK_REASONS:
        return [_weak(cert, _WEAK_REASONS[reason])]
    cert_content, key_content = _content(cert.path), _content(key.path)
    if _are_swapped(cert_content, key_content):
        return [
            problem_codes.CERTIFICATE_KEY_SWAPPED.problem(
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
    chain = _certificates_in(cert)
    first = chain[0] if chain else None
    below = next((one for one in chain[1:] if not one.is_ca), None)
    if first is not None and first.is_ca and below is not None:
        return problem_codes.CERTIFICATE_CA_FIRST.problem(
            cert.variable,
            f"{cert.path} starts with the CA {first.subject}, and the certificate "
            f"{below.subject} comes later.",
            "Put the client certificate first and its intermediates after it.",
        )
    subject = f" ({first.subject})" if first else ""
    return problem_codes.CERTIFICATE_KEY_MISMATCH.problem(
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
    if _read_by_openssl(file.path) is not None:
        return []
    fault = pem.pem_fault(_content(file.path), pem.CERTIFICATE)
    return list(_fault_problems(file, fault or pem.damaged(pem.CERTIFICATE)))


def _fault_problems(
    file: CertificateFile, fault: pem.PemFault | None
) -> Iterator[Problem]:
    if fault is not None:
        yield fault.code.problem(
            file.variable, f"{file.path} {fault.fact}", fault.remedy
        )


def _read_by_openssl(path: str) -> ssl.SSLContext | None:
    """Return a context that trusts what is in a file, None where it is unreadable."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except OSError:
        return None
    return context if _count(context) else None


def _count(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509"]


def _content(path: str) -> bytes:
    """Return the content of a file, nothing where it has just gone."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError:
        return b""


# --- what is trusted -----------------------------------------------------------


def _trust_problems(
    use: str, ca: CertificateFile, leaf: X509 | None, clock: Callable[[], float]
) -> list[Problem]:
    """Return why no server can be verified with a CA file."""
    context = _read_by_openssl(ca.path)
    if context is None:
        return _certificate_form_problems(ca)
    now = int(clock())

    def is_anchor(one: X509) -> bool:
        return one.same_names or _pins(use)

    ders = context.get_ca_certs(binary_form=True)
    if any(is_anchor(one) and _is_valid(one, now) for one in _readable(ders)):
        return []
    authorities = list(_readable(ders))
    anchors = [one for one in authorities if is_anchor(one)]
    if not anchors:
        others = _certificates_in(ca)
        anchors = [one for one in others if is_anchor(one)]
        if not anchors and len({one.der for one in others}) >= _count(context):
            return [_no_anchor(ca, authorities, others, leaf)]
    unclear = len(authorities) < len(ders) or not anchors
    if unclear or any(_is_valid(one, now) for one in anchors):
        # Where OpenSSL reads what we cannot, nothing is certain.
        return []
    named = ", ".join(f"{one.subject} ({_dates(one, now)})" for one in anchors)
    return [
        problem_codes.CA_EXPIRED.problem(
            ca.variable,
            f"{ca.path} holds no CA that is valid now: {named}.",
            "Mount the renewed CA certificate.",
        )
    ]


def _is_valid(certificate: X509, now: int) -> bool:
    return certificate.not_before <= now < certificate.not_after


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
        return problem_codes.CA_WITHOUT_ROOT.problem(
            ca.variable,
            f"{ca.path} holds only intermediates: {named}.",
            f"Add the root certificate: {roots}.",
        )
    if leaf is not None and any(one.der == leaf.der for one in others):
        return problem_codes.CA_IS_CERTIFICATE.problem(
            ca.variable,
            f"{ca.path} holds the client certificate {leaf.subject}, not a CA.",
            f"Store the certificate of {leaf.issuer} there.",
        )
    named = ", ".join(one.subject for one in others)
    return problem_codes.CA_NONE.problem(
        ca.variable,
        f"{ca.path} holds no CA, only {named or 'certificates that have no name'}.",
        "Store the certificate of the CA that signed the server certificate there.",
    )


def _readable(ders: Iterable[bytes]) -> Iterator[X509]:
    for der in ders:
        with suppress(ValueError):
            yield read_x509(der)


def _certificates_in(file: CertificateFile | None) -> list[X509]:
    if file is None:
        return []
    return list(_readable(pem.certificates(_content(file.path))))


# --- warnings ------------------------------------------------------------------


class _Moment(NamedTuple):
    """The present, and how far from it a date is too near."""

    now: int
    warning_days: int

    def is_near(self, certificate: X509) -> bool:
        """Tell whether a certificate that is valid ends within the warning days."""
        left = certificate.not_after - self.now
        return not self.is_outside(certificate) and left <= self.warning_days * _DAY

    def is_outside(self, certificate: X509) -> bool:
        """Tell whether a certificate is outside of its validity."""
        return not _is_valid(certificate, self.now)

    def days(self, certificate: X509) -> str:
        """Return the whole days left: ``in 12 days``."""
        days = (certificate.not_after - self.now) // _DAY
        return f"in {days} day{'' if days == 1 else 's'}"


def _dates(certificate: X509, now: int) -> str:
    if certificate.not_after <= now:
        return f"expired on {utc(certificate.not_after)}"
    if certificate.not_before > now:
        return f"not valid before {utc(certificate.not_before)}"
    return f"until {utc(certificate.not_after)}"


def _form_warnings(file: CertificateFile) -> Iterator[Problem]:
    content = _content(file.path)
    if b"-----BEGIN " not in content:
        return
    if b"-----\r\n" in content:
        yield problem_codes.PEM_CRLF.problem(
            file.variable,
            f"{file.path} ends its lines with CR LF.",
            "Extract its blocks with filterPEM in the ExternalSecret template.",
        )
    if content.startswith(pem.BYTE_ORDER_MARK):
        yield problem_codes.PEM_BYTE_ORDER_MARK.problem(
            file.variable,
            f"{file.path} starts with a byte order mark.",
            "Save it as UTF-8 without one.",
        )


def _key_warnings(files: ClientFiles) -> Iterator[Problem]:
    if files.use != POSTGRESQL or files.key is None:
        return
    if pem.is_der(_content(files.key.path)):
        yield problem_codes.KEY_DER.problem(
            files.key.variable,
            f"{files.key.path} is DER, which libpq takes and Redis clients do not.",
            "Convert it: 'openssl pkey -inform DER'.",
        )
    if ":" in files.key.path:
        yield problem_codes.KEY_PATH_ENGINE.problem(
            files.key.variable,
            f"{files.key.path} has a colon; libpq may take what stands before it for "
            "an OpenSSL engine.",
            "Use a path without a colon.",
        )


def _name_warnings(
    files: ClientFiles, chain: Sequence[X509], database_user: str | None
) -> Iterator[Problem]:
    if files.use != POSTGRESQL or not (files.cert and chain and database_user):
        return
    if chain[0].common_name != database_user:
        yield problem_codes.CERTIFICATE_NAME_MISMATCH.problem(
            files.cert.variable,
            f"{files.cert.path} is {chain[0].subject or 'without a name'}, and the "
            f"database user is {database_user}.",
            f"Issue it with commonName {database_user}; only an identity map on the "
            "server makes another name work.",
        )


def _chain_dates(
    cert: CertificateFile | None, chain: Sequence[X509], moment: _Moment
) -> Iterator[Problem]:
    if cert is None:
        return
    for position, one in enumerate(chain):
        if moment.is_near(one):
            yield problem_codes.CERTIFICATE_EXPIRING.problem(
                cert.variable,
                f"{one.subject} in {cert.path} expires {moment.days(one)}, on "
                f"{utc(one.not_after)}.",
                "Renew it; on a site, copy the renewed certificate there.",
            )
        if position and moment.is_outside(one):
            yield problem_codes.CERTIFICATE_INTERMEDIATE_DATES.problem(
                cert.variable,
                f"the intermediate {one.subject} in {cert.path} is "
                f"{_dates(one, moment.now)}.",
                "Put the renewed intermediate after the client certificate.",
            )


def _issuer_warnings(
    files: ClientFiles,
    chain: Sequence[X509],
    authorities: Sequence[X509],
    key_password: str | None,
) -> Iterator[Problem]:
    """Warn of a chain that a server with the same CA file would refuse."""
    cert, key, ca = files.cert, files.key or files.cert, files.ca
    if cert is None or key is None or ca is None:
        return
    code = _refusal_by(cert, key, ca, key_password, strict=False)
    if code is not None:
        words = "" if code[0] in _NO_ISSUER else f": {code[1]}"
        names = "".join(
            f" ({one.subject}, issued by {one.issuer})" for one in chain[:1]
        )
        yield problem_codes.CERTIFICATE_ISSUER_UNKNOWN.problem(
            cert.variable,
            f"{cert.path}{names} does not lead to a CA in {ca.path}{words}.",
            "Where one CA signs clients and servers, mount its certificate; where "
            "two do, ask the server with 'probe'.",
        )
        return
    code = _refusal_by(cert, key, ca, key_password, strict=True)
    if code is not None and not any(map(_is_lax, authorities)):
        yield problem_codes.CERTIFICATE_NOT_STRICT.problem(
            cert.variable,
            f"OpenSSL's strict rules refuse {cert.path} under {ca.path}: "
            f"{_STRICT_WORDS.get(code[0], code[1])}.",
            "Issue CA and certificates as RFC 5280 asks; Python 3.13 holds servers "
            "of this CA to it.",
        )


def _is_lax(certificate: X509) -> bool:
    """Tell whether the constraints of a CA are not strict enough for Python 3.13."""
    return certificate.is_ca and not certificate.has_critical_constraints


def _refusal_by(
    cert: CertificateFile,
    key: CertificateFile,
    ca: CertificateFile,
    key_password: str | None,
    *,
    strict: bool,
) -> tuple[int, str] | None:
    """Return code and words of what a server with this CA file objects to.

    Leaves out dates and purpose, which have problems of their own, and files that
    cannot be loaded.
    """
    presented = _present(
        cert.path, key.path, key_password, trust=ca.path, strict=strict
    )
    code = getattr(presented.error, "verify_code", None)
    if presented.error is None or code is None:
        return None
    if code in (_EXPIRED, _NOT_YET_VALID, _PURPOSE):
        return None
    return code, _words(presented.error)


def _authority_warnings(
    ca: CertificateFile | None,
    authorities: Sequence[X509],
    chain: Sequence[X509],
    moment: _Moment,
) -> Iterator[Problem]:
    if ca is None:
        return
    if pem.holds(_content(ca.path), pem.PRIVATE_KEY):
        yield problem_codes.CA_HOLDS_KEY.problem(
            ca.variable,
            f"{ca.path} holds a private key.",
            "Store the CA certificate alone; if the key is the CA's, replace the CA.",
        )
    usable = [one for one in authorities if one.is_ca]
    if any(not moment.is_outside(one) for one in usable):
        yield from _authority_dates(ca, usable, moment)
    yield from _authority_changes(ca, usable, moment)
    for one in filter(_is_lax, usable):
        yield problem_codes.CERTIFICATE_NOT_STRICT.problem(
            ca.variable,
            f"basicConstraints of the CA {one.subject} in {ca.path} is not critical.",
            "Issue the CA anew as RFC 5280 asks; Python 3.13 refuses the servers of "
            "this one.",
        )
    for one in authorities:
        if not one.is_ca:
            yield _no_authority(ca, one, chain)


def _authority_dates(
    ca: CertificateFile, authorities: Sequence[X509], moment: _Moment
) -> Iterator[Problem]:
    for one in authorities:
        if moment.is_near(one):
            yield problem_codes.CA_EXPIRING.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} expires {moment.days(one)}, on "
                f"{utc(one.not_after)}.",
                "Distribute the new CA beside the old one before any certificate "
                "changes.",
            )
        if moment.is_outside(one):
            yield problem_codes.CA_DATES.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} is {_dates(one, moment.now)}.",
                "Remove it, unless it only waits for its time.",
            )


def _authority_changes(
    ca: CertificateFile, authorities: Sequence[X509], moment: _Moment
) -> Iterator[Problem]:
    distinct = list({one.der: one for one in authorities}.values())
    roots = [one for one in distinct if one.same_names]
    if len(roots) > 1:
        named = "; ".join(f"{one.subject} {_dates(one, moment.now)}" for one in roots)
        yield problem_codes.CA_SEVERAL.problem(
            ca.variable,
            f"{ca.path} holds {len(roots)} CAs: {named}.",
            "Right during a change of CA; remove the old one when no certificate of "
            "it is left.",
        )
    subjects = [one.subject for one in distinct]
    for subject in dict.fromkeys(subjects):
        if subjects.count(subject) > 1:
            yield problem_codes.CA_SAME_SUBJECT.problem(
                ca.variable,
                f"{ca.path} holds {subjects.count(subject)} CAs named {subject}.",
                "Give a new CA a new name; a certificate without "
                "AuthorityKeyIdentifier is checked with the first one only.",
            )


def _no_authority(ca: CertificateFile, one: X509, chain: Sequence[X509]) -> Problem:
    ours = bool(chain) and one.der == chain[0].der
    if ours and one.same_names:
        return problem_codes.CA_OF_ITSELF.problem(
            ca.variable,
            f"{ca.path} lists the self-signed client certificate {one.subject} as "
            "its own CA.",
            "Issue it with the CA issuer, not with a selfSigned one.",
        )
    if ours:
        return problem_codes.CA_HOLDS_CERTIFICATE.problem(
            ca.variable,
            f"{ca.path} lists the client certificate {one.subject} among the CAs.",
            "Remove it from the CA file.",
        )
    return problem_codes.CA_HOLDS_OTHER.problem(
        ca.variable,
        f"{ca.path} lists {one.subject or 'a certificate without a name'}, which is "
        "no CA.",
        "Remove it from the CA file.",
    )


def _mount_warnings(files: ClientFiles, mountinfo: str) -> Iterator[Problem]:
    mounts = dict(_mounts(mountinfo))
    for file in files.present():
        path = os.path.abspath(file.path)
        if path in mounts or re.search(
            _PINNED_VERSION, mounts.get(_mount(path, mounts), "")
        ):
            yield problem_codes.CERTIFICATE_SUBPATH.problem(
                file.variable,
                f"{file.path} is mounted by subPath, so a renewal never reaches it.",
                f"Mount the whole volume at {os.path.dirname(file.path)}.",
            )


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """Yield mount point and mounted directory; nothing on systems without."""
    for line in os.fsdecode(_content(mountinfo)).splitlines():
        fields = line.split(" ")
        if len(fields) > _MOUNTINFO_POINT:
            point, root = (
                re.sub(_OCTAL, lambda octal: chr(int(octal[1], 8)), fields[number])
                for number in (_MOUNTINFO_POINT, _MOUNTINFO_ROOT)
            )
            yield point, root


def _mount(path: str, mounts: Iterable[str]) -> str:
    """Return the mount point that a path lies under."""
    above = (point for point in mounts if path.startswith(point.rstrip("/") + "/"))
    return max(above, key=len, default="")
