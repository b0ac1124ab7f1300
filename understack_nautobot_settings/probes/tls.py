"""How a client of ours speaks TLS, and what is wrong with the server it meets.

The result of the verification is a code of OpenSSL; no text is interpreted.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from understack_nautobot_settings.certificates.codes import CA_NOT_FOR_SERVERS
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.certificates.openssl import EXPIRED
from understack_nautobot_settings.certificates.openssl import NAME_MISMATCH
from understack_nautobot_settings.certificates.openssl import NO_ISSUER
from understack_nautobot_settings.certificates.openssl import NOT_YET_VALID
from understack_nautobot_settings.certificates.openssl import PURPOSE
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import alternative_names
from understack_nautobot_settings.certificates.reading import read_certificate
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.problems import Problem

POSTGRESQL = "PostgreSQL"
ALPN = "postgresql"
"""The protocol that PostgreSQL 17 and later choose, and nobody else."""

SYSTEM = "system"
"""What libpq's ``sslrootcert`` calls the CAs of the system."""

_SHOWN_NAMES = 6
# Where the servers of the examples are told whom they trust.
CLIENT_CA = {
    POSTGRESQL: " (CloudNativePG: clientCASecret together with replicationTLSSecret)",
    "Redis": " (ca.crt of the secret in redis.tls.existingSecret)",
}


class Tls(NamedTuple):
    """How a client of ours speaks TLS.

    Attributes:
        ca: Path of the CAs that are trusted, None or ``system`` for the system's.
        verify: Whether the server certificate is verified.
        check_hostname: Whether it has to carry the host's name.
        cert: Path of the client certificate, None to present none.
        key: Path of its private key.
        driver_judges: Whether the driver has the last word (libpq): names are left to
            it, and no suite or key is refused that it may take. Otherwise Python's
            own rules apply, as in redis-py.
        names_host: Whether the ClientHello names the host (SNI).
        protocol: What ALPN offers, None for nothing.
        ca_variable: The variable that names the CA file.
        cert_variable: The variable that names the certificate file.
        key_variable: The variable that names the key file.
        key_password: Password of the key, empty for none.
    """

    ca: str | None
    verify: bool
    check_hostname: bool
    cert: str | None
    key: str | None
    driver_judges: bool
    names_host: bool
    protocol: str | None
    ca_variable: str
    cert_variable: str
    key_variable: str
    key_password: str = ""

    def context(self, *, shows_itself: bool = True) -> ssl.SSLContext:
        """Return the context.

        Args:
            shows_itself: False to verify nobody and to present no certificate.

        Raises:
            OSError: A file cannot be loaded (an ``ssl.SSLError`` is one).
        """
        verify = self.verify and shows_itself
        ca = None if self.ca == SYSTEM else self.ca
        if self.driver_judges:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            if verify and ca:
                context.load_verify_locations(ca)
            elif verify:
                context.load_default_certs()
        else:
            context = ssl.create_default_context(cafile=ca if verify else None)
        context.check_hostname = (
            verify and self.check_hostname and not self.driver_judges
        )
        if not verify:
            context.verify_mode = ssl.CERT_NONE
        if shows_itself and self.cert:
            # Without any password, OpenSSL asks the terminal for one.
            context.load_cert_chain(self.cert, self.key, self.key_password)
        if self.protocol:
            context.set_alpn_protocols([self.protocol])
        return context

    def files(self, use: str) -> ClientFiles:
        """Return the files, and the variables to change."""
        named = (
            (self.cert, self.cert_variable),
            (self.key, self.key_variable),
            (None if self.ca == SYSTEM else self.ca, self.ca_variable),
        )
        return ClientFiles(
            use,
            *(CertificateFile(path, name) if path else None for path, name in named),
        )

    @property
    def own_certificate(self) -> Certificate | None:
        """The certificate that is presented, None where there is none."""
        described = describe_certificates(self.files("")._replace(key=None, ca=None))
        return described[0] if described else None


class Seen(NamedTuple):
    """The certificate that a server showed.

    Attributes:
        certificate: Its fields.
        names: The host names and addresses it is for.
    """

    certificate: Certificate
    names: tuple[str, ...]


class Explain(NamedTuple):
    """What only the protocol on top of TLS knows.

    Attributes:
        open: Returns a new connection at the point where TLS starts.
        hung_up: Tells why a server closes the connection on the ClientHello.
        silent: Tells why it says nothing.
        not_tls: Tells why it answers something else.
        closed: Tells why it closes a connection over TLS.
        stranger: Tells whose server it is where it chose PostgreSQL's protocol.
    """

    open: Callable[[], socket.socket]
    hung_up: Callable[[], Problem]
    silent: Callable[[], Problem]
    not_tls: Callable[[], Problem]
    closed: Callable[[], Problem]
    stranger: Callable[[], Problem] | None = None


def symptom_of(error: OSError) -> str:
    """Return what an error is, without the moment's details."""
    return str(getattr(error, "reason", None) or type(error).__name__)


def described_session(version: str | None, cipher: tuple[object, ...] | None) -> str:
    """Return ``TLSv1.3, TLS_AES_256_GCM_SHA384``."""
    return ", ".join(str(part) for part in (version, cipher and cipher[0]) if part)


def server_problem(
    refusal: ssl.SSLCertVerificationError,
    seen: Seen | None,
    tls: Tls,
    endpoint: Endpoint,
) -> Problem:
    """Return why OpenSSL does not accept the certificate of a server."""
    code, place, server = refusal.verify_code, endpoint.place, endpoint.server
    subject = f" ({seen.certificate.subject})" if seen else ""
    if code in NAME_MISMATCH:
        return name_problem(seen, endpoint)
    if code in NO_ISSUER:
        issuer = f" It was issued by {seen.certificate.issuer}." if seen else ""
        is_file = tls.ca and tls.ca != SYSTEM
        there = (
            f"into {tls.ca}" if is_file else f"into a file, and set {tls.ca_variable}"
        )
        return codes.PROBE_SERVER_CA.problem(
            tls.ca_variable,
            f"no CA in {tls.ca if is_file else 'the system store'} issued the "
            f"certificate of {place}{subject}.{issuer}",
            f"Put the CA that signed the certificate of {server} {there}, or find out "
            "who answers there.",
        )
    if code in {EXPIRED, NOT_YET_VALID}:
        return _server_dates(code, seen, tls, endpoint)
    if code == PURPOSE:
        return _server_purpose(subject, seen, tls, endpoint)
    return codes.PROBE_SERVER_UNVERIFIED.problem(
        endpoint.variable,
        f"the certificate of {place}{subject} is not accepted: "
        f"{refusal.verify_message.lower()} (OpenSSL {code}).",
    )


def name_problem(seen: Seen | None, endpoint: Endpoint) -> Problem:
    """Return the problem of a server certificate for other names."""
    return codes.PROBE_SERVER_NAME.problem(
        endpoint.variable,
        f"the certificate of {endpoint.place} is for {_names(seen)}, not for "
        f"{endpoint.host}.",
        "Use one of these names as host, or add the host to the dnsNames of the "
        "server's Certificate.",
    )


def _server_purpose(
    subject: str, seen: Seen | None, tls: Tls, endpoint: Endpoint
) -> Problem:
    """Blame a CA of ours that excludes servers, where the certificate does not."""
    usages = seen.certificate.extended_usages if seen else None
    files = tls.files(endpoint.server)._replace(cert=None, key=None)
    for one in inspect_certificates(files):
        if one.code == CA_NOT_FOR_SERVERS.id and {"server auth", "any"} & set(
            usages or ("any",)
        ):
            return codes.PROBE_SERVER_PURPOSE.problem(
                tls.ca_variable,
                f"{one.message} Therefore the certificate of {endpoint.place}"
                f"{subject} is not accepted.",
                one.hint,
            )
    return codes.PROBE_SERVER_PURPOSE.problem(
        endpoint.variable,
        f"the certificate of {endpoint.place}{subject} is not for servers.",
    )


def _server_dates(
    code: int, seen: Seen | None, tls: Tls, endpoint: Endpoint
) -> Problem:
    place, server = endpoint.place, endpoint.server
    kind = codes.PROBE_SERVER_EXPIRED
    leaf = seen.certificate if seen else None
    if code == EXPIRED:
        if leaf is not None and not leaf.is_expired:
            fact = f"a CA of the certificate of {place} is expired."
            remedy = f"Put the current CA into {tls.ca}, or renew it at {server}."
            return kind.problem(tls.ca_variable, fact, remedy)
        since = f" on {utc(leaf.not_after)}" if leaf else ""
        return kind.problem(
            endpoint.variable,
            f"the certificate of {place} expired{since}.",
            f"Renew the server certificate of {server} and reload the server.",
        )
    until = f" before {utc(leaf.not_before)}" if leaf else " yet"
    return codes.PROBE_SERVER_NOT_YET_VALID.problem(
        endpoint.variable,
        f"the certificate of {place} is not valid{until}.",
        "Set the clock of this machine, or wait.",
    )


def tls_context(tls: Tls, endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context.

    Raises:
        Failed: A file cannot be loaded.
    """
    try:
        return tls.context()
    except OSError as error:
        words = getattr(error, "reason", None) or error.strerror or "unreadable"
        # "[SSL] PEM lib (_ssl.c:4149)" where OpenSSL names no reason.
        words = words.removeprefix("[SSL] ").partition(" (_ssl.c")[0]
        raise Failed(_unloaded_problem(tls, endpoint, alert_words(words))) from None


def _unloaded_problem(tls: Tls, endpoint: Endpoint, words: str) -> Problem:
    """Return why files that TLS needs cannot be loaded."""
    files = tls.files(endpoint.server)
    absent = [one for one in files.present() if not os.path.exists(one.path)]
    if absent:
        what, variable = absent[0]
        remedy = "Mount it, or correct the path."
    elif tls.cert and not tls.key:
        return codes.PROBE_CLIENT_FILES.problem(
            tls.key_variable,
            f"it is unset, and {tls.cert} holds no private key.",
            "Set it to the path of the key.",
        )
    else:
        # What `check` knows nothing of is judged here.
        refused = [] if endpoint.server in CLIENT_CA else check_certificates(files)
        if refused:
            return refused[0]
        what, variable = "the certificate files", tls.cert_variable
        remedy = "Run `check` for the details."
    return codes.PROBE_CLIENT_FILES.problem(
        variable, f"{what} for {endpoint.server} cannot be loaded: {words}.", remedy
    )


def seen_certificate(der: bytes, now: float) -> Seen | None:
    """Return what a server showed, None where it cannot be read."""
    try:
        return Seen(read_certificate(der, now=now), alternative_names(der))
    except ValueError:
        return None


def _names(seen: Seen | None) -> str:
    if seen is None:
        return "other names"
    names = seen.names or (seen.certificate.common_name,)
    shown = ", ".join(name for name in names[:_SHOWN_NAMES] if name) or "no name"
    more = len(names) - _SHOWN_NAMES
    return shown + (f" and {more} more" if more > 0 else "")


def described_server(
    seen: Seen | None, tls: Tls, endpoint: Endpoint, *, refused: bool
) -> str:
    """Return what the stage ``identity`` shows of a server certificate."""
    if seen is None:
        return f"configured host {endpoint.host}, certificate not readable"
    leaf = seen.certificate
    days = leaf.days_left
    checked = "verified" if tls.verify else "not verified"
    if tls.verify and not tls.check_hostname:
        checked = "verified without the name"
    if refused:
        checked = "refused"
    end = utc(leaf.not_after)
    until = f"expired {end}" if days < 0 else f"expires {end} ({days} days)"
    return (
        f"configured host {endpoint.host}, certificate for {_names(seen)}, issued by "
        f"{leaf.issuer or 'nobody'}, {until}, {checked}"
    )


def spaced(reason: str) -> str:
    """Return a reason of OpenSSL as it writes it: ``tlsv1 alert unknown ca``."""
    return reason.replace("_", " ").lower()


def alert_words(reason: str) -> str:
    """Return a reason of OpenSSL without the version that its name begins with."""
    return spaced(reason).replace("sslv3 ", "").replace("tlsv1 ", "")
