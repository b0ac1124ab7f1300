"""The TLS handshake as a client of ours makes it, and what its failures mean.

An alert of the server and the result of the verification are codes of the protocol
and of OpenSSL; no text is interpreted.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.judging import describe_certificates
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
from understack_nautobot_settings.probes.attempt import Journey
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.problems import Problem

HUNG_UP = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
)
"""How the end of a connection shows while TLS is spoken."""

VERDICT_SECONDS = 2.0
"""How long a server gets to say what it thinks of the client certificate."""

_SHOWN_NAMES = 6

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


# Where the servers of the examples are told whom they trust.
_CLIENT_CA = {
    "PostgreSQL": " (CloudNativePG: clientCASecret together with replicationTLSSecret)",
    "Redis": " (ca.crt of the secret in redis.tls.existingSecret)",
}

_CLIENT_REFUSED = (
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "TLSV1_ALERT_ACCESS_DENIED",
)


class Tls(NamedTuple):
    """How a client of ours speaks TLS.

    Attributes:
        ca: Path of the CAs that are trusted, None for those of the system.
        verify: Whether the server certificate is verified.
        check_hostname: Whether it has to carry the host's name.
        cert: Path of the client certificate, None to present none.
        key: Path of its private key.
        strict: Whether Python's own stricter rules apply, as in redis-py.
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
    strict: bool
    names_host: bool
    protocol: str | None
    ca_variable: str
    cert_variable: str
    key_variable: str
    key_password: str = ""

    def context(self, *, verify: bool = True) -> ssl.SSLContext:
        """Return the context; unverified ones present no certificate.

        Raises:
            OSError: A file cannot be loaded (an ``ssl.SSLError`` is one).
        """
        if self.strict:
            context = ssl.create_default_context(cafile=self.ca if verify else None)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.hostname_checks_common_name = True
            if verify and self.verify:
                if self.ca:
                    context.load_verify_locations(self.ca)
                else:
                    context.load_default_certs()
        # Without SNI, OpenSSL is given no name to compare; libpq compares later.
        context.check_hostname = (
            verify and self.verify and self.check_hostname and self.names_host
        )
        if not (verify and self.verify):
            context.verify_mode = ssl.CERT_NONE
        if verify and self.cert:
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
            (self.ca, self.ca_variable),
        )
        return ClientFiles(
            use,
            *(CertificateFile(path, name) if path else None for path, name in named),
        )


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
        hung_up: Tells why a server hangs up on the ClientHello.
        silent: Tells why it says nothing.
        not_tls: Tells why it answers something else.
        closed: Tells why it closes a connection over TLS.
    """

    open: Callable[[], socket.socket]
    hung_up: Callable[[], Problem]
    silent: Callable[[], Problem]
    not_tls: Callable[[], Problem]
    closed: Callable[[], Problem]


def secure(
    journey: Journey,
    route: Route,
    connection: socket.socket,
    tls: Tls,
    explain: Explain,
    *,
    start: Callable[[socket.socket], None] | None = None,
    clock: Callable[[], float] = time.time,
) -> ssl.SSLSocket:
    """Pass the stages ``tls`` and ``identity``.

    Args:
        journey: Where the stages go.
        route: The way to the server.
        connection: A connection at its beginning.
        tls: How TLS is spoken.
        explain: What only the protocol knows.
        start: Brings the connection to the point where TLS starts, None where it is
            there.
        clock: Seconds since the epoch.

    Returns:
        The connection, over TLS.

    Raises:
        Failed: There is no TLS, or the server is not who it should be.
    """
    endpoint = route.endpoint
    refusal: ssl.SSLCertVerificationError | None = None
    with journey.stage("tls") as stage:
        context = _context(tls, endpoint)
        if start is not None:
            start(connection)
        connection.settimeout(journey.patience)
        name = endpoint.host if tls.names_host else None
        try:
            secured = context.wrap_socket(connection, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            refusal = error
            stage.detail = "the server speaks TLS"
        except (OSError, ValueError) as error:
            raise Failed(_no_tls(error, tls, endpoint, explain)) from None
        else:
            cipher = secured.cipher()
            stage.detail = ", ".join(
                part for part in (secured.version(), cipher and cipher[0]) if part
            )
    with journey.stage("identity") as stage:
        if refusal is None:
            der = secured.getpeercert(binary_form=True) or b""
        else:
            der = _shown_certificate(tls, endpoint, explain)
        seen = _seen(der, clock())
        stage.detail = _described(seen, tls, endpoint, refusal is not None)
        if refusal is not None:
            raise Failed(server_problem(refusal, seen, tls, endpoint))
    return secured


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
        names = _names(seen)
        return codes.PROBE_SERVER_NAME.problem(
            endpoint.variable,
            f"the certificate of {place} is for {names}, not for {endpoint.host}.",
            "Use one of these names as host, or add the host to the dnsNames of the "
            "server's Certificate.",
        )
    if code in NO_ISSUER:
        issuer = f" It was issued by {seen.certificate.issuer}." if seen else ""
        there = (
            f"into {tls.ca}" if tls.ca else f"into a file, and set {tls.ca_variable}"
        )
        return codes.PROBE_SERVER_CA.problem(
            tls.ca_variable,
            f"no CA in {tls.ca or 'the system store'} issued the certificate of "
            f"{place}{subject}.{issuer}",
            f"Put the CA that signed the certificate of {server} {there}, or find out "
            "who answers there.",
        )
    if code in {EXPIRED, NOT_YET_VALID}:
        return _server_dates(code, seen, tls, endpoint)
    if code == PURPOSE:
        return codes.PROBE_SERVER_PURPOSE.problem(
            endpoint.variable,
            f"the certificate of {place}{subject} is not for servers.",
            "Issue the server certificate with the usage 'server auth'.",
        )
    return codes.PROBE_SERVER_UNVERIFIED.problem(
        endpoint.variable,
        f"the certificate of {place}{subject} is not accepted: "
        f"{refusal.verify_message.lower()} (OpenSSL {code}).",
        "Issue the server certificate, or its CA, again with what is missing.",
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


def client_problem(
    error: OSError | None, tls: Tls, endpoint: Endpoint, now: float
) -> Problem | None:
    """Return what a server says against our certificate, None for nothing.

    Args:
        error: What the connection ended with.
        tls: How TLS was spoken.
        endpoint: Who ended it.
        now: Seconds since the epoch.
    """
    reason = getattr(error, "reason", None) or ""
    place, variable = endpoint.place, tls.cert_variable
    own = own_certificate(tls)
    shown = f"{own.subject}, issued by {own.issuer}" if own else "our certificate"
    if reason == "TLSV1_ALERT_UNKNOWN_CA":
        where = _CLIENT_CA.get(endpoint.server, "")
        return codes.PROBE_CLIENT_CA.problem(
            variable,
            f"{place} does not know the CA of the client certificate ({shown}).",
            f"Let {endpoint.server} trust that CA for clients{where}, or present a "
            "certificate of the CA that it trusts.",
        )
    expired = own is not None and own.days_left < 0
    if reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED" or (expired and _is_end(error)):
        since = f" expired on {utc(own.not_after)}" if own else " is expired"
        return codes.PROBE_CLIENT_EXPIRED.problem(
            variable,
            f"{place} refuses the client certificate, which{since}.",
            "Renew it (cert-manager), check that the ExternalSecret has synchronised, "
            "and that the volume is not mounted by subPath.",
        )
    if reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED" or (
        reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not tls.cert
    ):
        return codes.PROBE_CLIENT_REQUIRED.problem(
            variable,
            f"{place} wants a client certificate, and none is configured.",
            "Mount the secret nautobot-mtls-client and turn mutual TLS on."
            if endpoint.server in _CLIENT_CA
            else f"Set {variable}, and the variable of its key.",
        )
    if reason in _CLIENT_REFUSED:
        early = own is not None and own.not_before.timestamp() > now
        since = utc(own.not_before) if own else ""
        why = f", which is not valid before {since}" if early else ""
        return codes.PROBE_CLIENT_REFUSED.problem(
            variable,
            f"{place} refuses the client certificate ({shown}){why}: {_words(reason)}.",
            "Issue it for client authentication (usage 'client auth'), valid now, by "
            "the CA that the server trusts for clients.",
        )
    return None


def lost_problem(
    error: OSError, tls: Tls, endpoint: Endpoint, explain: Explain, now: float
) -> Problem:
    """Return why a connection over TLS was lost.

    With TLS 1.3 a server judges the client after the client has finished its part, and
    what the client says meanwhile can make it lose the answer. So where the error
    itself does not tell, the handshake is made once more and nothing is said.

    Args:
        error: What the connection ended with.
        tls: How TLS was spoken.
        endpoint: Who ended it.
        explain: What only the protocol knows.
        now: Seconds since the epoch.
    """
    refused = client_problem(error, tls, endpoint, now)
    if refused is not None:
        return refused
    verdict = _verdict_on_client(tls, endpoint, explain)
    if verdict is None:
        return explain.closed()
    refused = client_problem(verdict, tls, endpoint, now)
    if refused is not None:
        return refused
    if not isinstance(verdict, HUNG_UP):
        return handshake_problem(verdict, endpoint)
    if not tls.cert:
        return explain.closed()
    return codes.PROBE_CLIENT_REFUSED.problem(
        tls.cert_variable,
        f"{endpoint.place} hangs up as soon as it has seen the client certificate.",
        f"Look into the log of {endpoint.server} for what it has against it.",
    )


def _verdict_on_client(
    tls: Tls, endpoint: Endpoint, explain: Explain
) -> OSError | None:
    """Return what a server answers to our certificate alone, None for no objection."""
    name = endpoint.host if tls.names_host else None
    try:
        with (
            explain.open() as connection,
            tls.context().wrap_socket(connection, server_hostname=name) as secured,
        ):
            secured.settimeout(
                min(VERDICT_SECONDS, secured.gettimeout() or VERDICT_SECONDS)
            )
            if secured.recv(1) == b"":
                return ConnectionResetError()
    except TimeoutError:
        return None
    except OSError as error:
        return error
    return None


def own_certificate(tls: Tls) -> Certificate | None:
    """Return the certificate that we present, None where there is none."""
    described = describe_certificates(tls.files("")._replace(key=None, ca=None))
    return described[0] if described else None


def handshake_problem(error: OSError, endpoint: Endpoint) -> Problem:
    """Return the problem of a handshake that ended in a way of its own."""
    words = _words(getattr(error, "reason", None) or type(error).__name__)
    return codes.PROBE_TLS_HANDSHAKE.problem(
        endpoint.variable,
        f"the TLS handshake with {endpoint.place} fails: {words}.",
        "Compare the TLS versions and ciphers that both sides allow.",
    )


def _no_tls(
    error: Exception, tls: Tls, endpoint: Endpoint, explain: Explain
) -> Problem:
    if isinstance(error, TimeoutError):
        return explain.silent()
    if isinstance(error, HUNG_UP):
        return explain.hung_up()
    if getattr(error, "reason", None) in _NOT_TLS:
        return explain.not_tls()
    failure = error if isinstance(error, OSError) else OSError(str(error))
    refused = client_problem(failure, tls, endpoint, time.time())
    return refused or handshake_problem(failure, endpoint)


def _context(tls: Tls, endpoint: Endpoint) -> ssl.SSLContext:
    try:
        return tls.context()
    except OSError as error:
        words = getattr(error, "reason", None) or error.strerror or "unreadable"
        # "[SSL] PEM lib (_ssl.c:4149)" where OpenSSL names no reason.
        words = words.removeprefix("[SSL] ").partition(" (_ssl.c")[0]
        raise Failed(_unloaded_problem(tls, endpoint, _words(words))) from None


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
        refused = [] if endpoint.server in _CLIENT_CA else check_certificates(files)
        if refused:
            return refused[0]
        what, variable = "the certificate files", tls.cert_variable
        remedy = "Run `check` for the details."
    return codes.PROBE_CLIENT_FILES.problem(
        variable, f"{what} for {endpoint.server} cannot be loaded: {words}.", remedy
    )


def _shown_certificate(tls: Tls, endpoint: Endpoint, explain: Explain) -> bytes:
    """Return the certificate of a server that is not trusted; nothing is told to it."""
    name = endpoint.host if tls.names_host else None
    try:
        with (
            explain.open() as connection,
            tls.context(verify=False).wrap_socket(
                connection, server_hostname=name
            ) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except (OSError, ValueError):
        return b""


def _seen(der: bytes, now: float) -> Seen | None:
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


def _described(seen: Seen | None, tls: Tls, endpoint: Endpoint, refused: bool) -> str:
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


def _is_end(error: OSError | None) -> bool:
    return error is None or isinstance(error, HUNG_UP)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower().replace("sslv3 ", "").replace("tlsv1 ", "")
