"""What will go wrong with certificate files, or may be meant otherwise."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import certificates_in
from understack_nautobot_settings.certificates.files import content_of
from understack_nautobot_settings.certificates.openssl import EXPIRED
from understack_nautobot_settings.certificates.openssl import NO_ISSUER
from understack_nautobot_settings.certificates.openssl import NOT_YET_VALID
from understack_nautobot_settings.certificates.openssl import PURPOSE
from understack_nautobot_settings.certificates.openssl import present
from understack_nautobot_settings.certificates.openssl import reason_words
from understack_nautobot_settings.certificates.reading import X509
from understack_nautobot_settings.certificates.reading import dates
from understack_nautobot_settings.certificates.reading import is_valid
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.problems import Problem

_DAY = 86400

_STRICT_WORDS = {
    85: "a certificate has no AuthorityKeyIdentifier",
    86: "a CA has no SubjectKeyIdentifier",
    89: "basicConstraints of a CA is not critical",
    92: "a CA has no key usage",
}

_PINNED_VERSION = r"/\.\.\d{4}_"
_OCTAL = r"\\([0-7]{3})"
_MOUNTINFO_ROOT, _MOUNTINFO_POINT = 3, 4


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
    chain = certificates_in(files.cert)
    authorities = certificates_in(files.ca)
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
        return not is_valid(certificate, self.now)

    def days(self, certificate: X509) -> str:
        """Return the whole days left: ``in 12 days``."""
        days = (certificate.not_after - self.now) // _DAY
        return f"in {days} day{'' if days == 1 else 's'}"


def _form_warnings(file: CertificateFile) -> Iterator[Problem]:
    content = content_of(file.path)
    if b"-----BEGIN " not in content:
        return
    if b"-----\r\n" in content:
        yield codes.PEM_CRLF.problem(
            file.variable,
            f"{file.path} ends its lines with CR LF.",
            "Extract its blocks with filterPEM in the ExternalSecret template.",
        )
    if content.startswith(pem.BYTE_ORDER_MARK):
        yield codes.PEM_BYTE_ORDER_MARK.problem(
            file.variable,
            f"{file.path} starts with a byte order mark.",
            "Save it as UTF-8 without one.",
        )


def _key_warnings(files: ClientFiles) -> Iterator[Problem]:
    if files.use != POSTGRESQL or files.key is None:
        return
    if pem.is_der(content_of(files.key.path)):
        yield codes.KEY_DER.problem(
            files.key.variable,
            f"{files.key.path} is DER, which libpq takes and Redis clients do not.",
            "Convert it: 'openssl pkey -inform DER'.",
        )
    if ":" in files.key.path:
        yield codes.KEY_PATH_ENGINE.problem(
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
        yield codes.CERTIFICATE_NAME_MISMATCH.problem(
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
            yield codes.CERTIFICATE_EXPIRING.problem(
                cert.variable,
                f"{one.subject} in {cert.path} expires {moment.days(one)}, on "
                f"{utc(one.not_after)}.",
                "Renew it; on a site, copy the renewed certificate there.",
            )
        if position and moment.is_outside(one):
            yield codes.CERTIFICATE_INTERMEDIATE_DATES.problem(
                cert.variable,
                f"the intermediate {one.subject} in {cert.path} is "
                f"{dates(one, moment.now)}.",
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
    strictly = _refusal_by(cert, key, ca, key_password, strict=True)
    if strictly is None:
        return
    code = _refusal_by(cert, key, ca, key_password, strict=False)
    if code is not None:
        words = "" if code[0] in NO_ISSUER else f": {code[1]}"
        names = "".join(
            f" ({one.subject}, issued by {one.issuer})" for one in chain[:1]
        )
        twin = chain and any(one.subject == chain[-1].issuer for one in authorities)
        if twin and code[0] in NO_ISSUER:
            words += "; the CA of that name there has another key"
        yield codes.CERTIFICATE_ISSUER_UNKNOWN.problem(
            cert.variable,
            f"{cert.path}{names} does not lead to a CA in {ca.path}{words}.",
            "Where one CA signs clients and servers, mount its certificate; where "
            "two do, ask the server with 'probe'.",
        )
        return
    if not any(map(_is_lax, authorities)):
        yield codes.CERTIFICATE_NOT_STRICT.problem(
            cert.variable,
            f"OpenSSL's strict rules refuse {cert.path} under {ca.path}: "
            f"{_STRICT_WORDS.get(strictly[0], strictly[1])}.",
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
    presented = present(cert.path, key.path, key_password, trust=ca.path, strict=strict)
    code = getattr(presented.error, "verify_code", None)
    if presented.error is None or code is None:
        return None
    if code in (EXPIRED, NOT_YET_VALID, PURPOSE):
        return None
    return code, reason_words(presented.error)


def _authority_warnings(
    ca: CertificateFile | None,
    authorities: Sequence[X509],
    chain: Sequence[X509],
    moment: _Moment,
) -> Iterator[Problem]:
    if ca is None:
        return
    if pem.holds(content_of(ca.path), pem.PRIVATE_KEY):
        yield codes.CA_HOLDS_KEY.problem(
            ca.variable,
            f"{ca.path} holds a private key.",
            "Store the CA certificate alone; if the key is the CA's, replace the CA.",
        )
    usable = [one for one in authorities if one.is_ca]
    if any(not moment.is_outside(one) for one in usable):
        yield from _authority_dates(ca, usable, moment)
    yield from _authority_changes(ca, usable, moment)
    for one in filter(_is_lax, usable):
        yield codes.CERTIFICATE_NOT_STRICT.problem(
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
            yield codes.CA_EXPIRING.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} expires {moment.days(one)}, on "
                f"{utc(one.not_after)}.",
                "Distribute the new CA beside the old one before any certificate "
                "changes.",
            )
        if moment.is_outside(one):
            yield codes.CA_DATES.problem(
                ca.variable,
                f"the CA {one.subject} in {ca.path} is {dates(one, moment.now)}.",
                "Remove it, unless it only waits for its time.",
            )


def _authority_changes(
    ca: CertificateFile, authorities: Sequence[X509], moment: _Moment
) -> Iterator[Problem]:
    distinct = list({one.der: one for one in authorities}.values())
    roots = [one for one in distinct if one.same_names]
    if len(roots) > 1:
        named = "; ".join(f"{one.subject} {dates(one, moment.now)}" for one in roots)
        yield codes.CA_SEVERAL.problem(
            ca.variable,
            f"{ca.path} holds {len(roots)} CAs: {named}.",
            "Right during a change of CA; remove the old one when no certificate of "
            "it is left.",
        )
    subjects = [one.subject for one in distinct]
    for subject in dict.fromkeys(subjects):
        if subjects.count(subject) > 1:
            yield codes.CA_SAME_SUBJECT.problem(
                ca.variable,
                f"{ca.path} holds {subjects.count(subject)} CAs named {subject}.",
                "Give a new CA a new name; a certificate without "
                "AuthorityKeyIdentifier is checked with the first one only.",
            )


def _no_authority(ca: CertificateFile, one: X509, chain: Sequence[X509]) -> Problem:
    ours = bool(chain) and one.der == chain[0].der
    if ours and one.same_names:
        return codes.CA_OF_ITSELF.problem(
            ca.variable,
            f"{ca.path} lists the self-signed client certificate {one.subject} as "
            "its own CA.",
            "Issue it with the CA issuer, not with a selfSigned one.",
        )
    if ours:
        return codes.CA_HOLDS_CERTIFICATE.problem(
            ca.variable,
            f"{ca.path} lists the client certificate {one.subject} among the CAs.",
            "Remove it from the CA file.",
        )
    return codes.CA_HOLDS_OTHER.problem(
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
            yield codes.CERTIFICATE_SUBPATH.problem(
                file.variable,
                f"{file.path} is mounted by subPath, so a renewal never reaches it.",
                f"Mount the whole volume at {os.path.dirname(file.path)}.",
            )


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """Yield mount point and mounted directory; nothing on systems without."""
    for line in os.fsdecode(content_of(mountinfo)).splitlines():
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
