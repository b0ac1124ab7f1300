"""The TLS handshake in its stages, and why a server refuses our certificate."""

from __future__ import annotations

import socket
import ssl
import time

from understack_nautobot_settings.certificates.codes import CERTIFICATE_NOT_YET_VALID
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.gateway import Server
from understack_nautobot_settings.probes.tls import CLIENT_CA
from understack_nautobot_settings.probes.tls import Seen
from understack_nautobot_settings.probes.tls import alert_words
from understack_nautobot_settings.probes.tls import described_server
from understack_nautobot_settings.probes.tls import seen_certificate
from understack_nautobot_settings.probes.tls import server_problem
from understack_nautobot_settings.probes.tls import spaced
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.probes.tls import tls_context
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

_HEADER = 5
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")

_EXPIRED = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
_REVOKED = "SSLV3_ALERT_CERTIFICATE_REVOKED"
_NEW_ONE = "It is in the server's revocation list (CRL). Issue a new certificate."
_CLIENT_REFUSED = (
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "TLSV1_ALERT_ACCESS_DENIED",
    _EXPIRED,
    _REVOKED,
)


def secure(
    server: Server, connection: socket.socket
) -> tuple[ssl.SSLSocket, Seen | None]:
    """Pass the stages ``tls`` and ``identity`` on a new connection.

    Returns the connection over TLS, and the certificate of the server. Raises `Failed`
    where there is no TLS, or the server is not who it should be.
    """
    attempt, endpoint, tls = server.attempt, server.endpoint, server.tls
    with attempt.stage("tls"):
        context = tls_context(tls, endpoint)
        server.start_tls(connection)
        connection.settimeout(attempt.patience)
        refusal = None
        try:
            secured = context.wrap_socket(connection, server_hostname=server.name)
        except ssl.SSLCertVerificationError as error:
            refusal = error
            attempt.detail = "the server speaks TLS"
        except (OSError, ValueError) as error:
            failure = error if isinstance(error, OSError) else OSError(str(error))
            symptom = f"tls {symptom_of(failure)}"
            raise Failed(
                attempt.explained(symptom, lambda: _no_tls(failure, server))
            ) from None
        else:
            session = (secured.version(), (secured.cipher() or ("",))[0])
            attempt.detail = ", ".join(part for part in session if part)
    with attempt.stage("identity"):
        if refusal is None:
            seen = seen_certificate(secured.getpeercert(binary_form=True) or b"")
            attempt.detail = described_server(seen, tls, endpoint.name, refused=False)
            return secured, seen
        refused = refusal

        def look() -> Problem:
            seen = seen_certificate(shown_certificate(server))
            attempt.detail = described_server(seen, tls, endpoint.name, refused=True)
            return server_problem(refused, seen, tls, endpoint)

        raise Failed(attempt.explained(f"identity {refused.verify_code}", look))


def client_problem(reason: str, server: Server) -> Problem | None:
    """Return what an alert says against our certificate, None for nothing."""
    if "ALERT" in reason:
        server.attempt.quote(spaced(reason))
    endpoint, tls = server.endpoint, server.tls
    place, variable, own = endpoint.place, tls.cert.variable, tls.own_certificate
    fact = f"{place} refuses the client certificate ({_shown(own)})"
    if reason == "TLSV1_ALERT_UNKNOWN_CA":
        where = CLIENT_CA.get(endpoint.server, "")
        return codes.PROBE_CLIENT_CA.problem(
            variable,
            f"{place} does not trust the CA of the client certificate ({_shown(own)}).",
            f"Let {endpoint.server} trust that CA for clients{where}, or present a "
            "certificate of the CA that it trusts.",
        )
    if reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED" or (
        reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not tls.cert.path
    ):
        return codes.PROBE_CLIENT_REQUIRED.problem(
            variable,
            f"{place} requires a client certificate, and none is configured.",
            "Mount the secret nautobot-mtls-client and turn mutual TLS on."
            if endpoint.server in CLIENT_CA
            else f"Set {variable}, and the variable of its key.",
        )
    if reason == _EXPIRED and not (own is not None and own.is_expired):
        return codes.PROBE_CLIENT_EXPIRED.problem(
            variable, f"{fact}, which is expired by its clock."
        )
    if reason in _CLIENT_REFUSED:
        remedy = _NEW_ONE if reason == _REVOKED else None
        return _certificate_problem(server, fact, f": {alert_words(reason)}", remedy)
    return None


def _certificate_problem(
    server: Server, fact: str, otherwise: str, remedy: str | None = None
) -> Problem:
    """Blame the dates of our certificate, or say `otherwise` where they are right."""
    own, variable = server.tls.own_certificate, server.tls.cert.variable
    if own is not None and own.is_expired:
        return codes.PROBE_CLIENT_EXPIRED.problem(
            variable, f"{fact}, which {own.dates}."
        )
    if own is not None and own.is_early:
        return CERTIFICATE_NOT_YET_VALID.problem(
            variable, f"{fact}, which is {own.dates}."
        )
    return codes.PROBE_CLIENT_REFUSED.problem(variable, f"{fact}{otherwise}.", remedy)


def _shown(own: Certificate | None) -> str:
    return f"{own.subject}, issued by {own.issuer}" if own else "unreadable"


def lost_problem(error: OSError, server: Server) -> Problem:
    """Return why a connection was lost after its beginning.

    With TLS 1.3 a server judges the client after the client has finished its part, and
    what the client says meanwhile can make it lose the answer. So where the error
    itself does not tell, the handshake is made again, the certificate first and the
    rest after a pause.
    """
    if isinstance(error, TimeoutError):
        return server.silent()
    if server.is_plain:
        return server.hung_up()
    refused = client_problem(symptom_of(error), server)
    closed_on_certificate = False
    while refused is None and server.attempt.may_connect:
        end, on_certificate = _client_verdict(server)
        if end is None:
            break
        refused = client_problem(symptom_of(end), server)
        if refused is None and not isinstance(end, HUNG_UP):
            return _handshake_problem(end, server)
        closed_on_certificate = on_certificate and bool(server.tls.cert.path)
        if not closed_on_certificate:
            break
    if refused is not None:
        return refused
    if closed_on_certificate:
        return _closed_on_certificate(server)
    return server.closed("after the TLS handshake")


def _closed_on_certificate(server: Server) -> Problem:
    """Name the likeliest cause where a server closes and no alert arrives."""
    own, endpoint = server.tls.own_certificate, server.endpoint
    fact = (
        f"{endpoint.place} closed the connection after it received the client "
        f"certificate ({_shown(own)})"
    )
    if own is not None and not own.is_for("client auth"):
        return _certificate_problem(server, fact, ", which is not for clients")
    return _certificate_problem(
        server,
        fact,
        "; it probably does not trust that CA",
        f"Compare that issuer with the CA that {endpoint.server} trusts for "
        f"clients{CLIENT_CA.get(endpoint.server, '')}. Its log names the reason.",
    )


def _client_verdict(server: Server) -> tuple[OSError | None, bool]:
    """Send the client certificate, and the rest of the handshake after a pause.

    A server that refuses the certificate then closes a connection on which nothing is
    unread, and its alert arrives. Returns what the connection ended with, None where it
    stays open, and whether it ended on the certificate alone.
    """
    protocol = server.stranger or server.tls.protocol
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    on_certificate = False
    try:
        context = server.tls._replace(protocol=protocol).context()
        with server.connect() as connection:
            seconds_left = server.attempt.timer()
            inside = context.wrap_bio(incoming, outgoing, server_hostname=server.name)
            started = time.monotonic()
            finished = False
            while not finished:
                try:
                    inside.do_handshake()
                    finished = True
                except ssl.SSLWantReadError:  # noqa: PERF203
                    connection.sendall(outgoing.read())
                    _receive(connection, incoming, seconds_left())
            if server.stranger and inside.selected_alpn_protocol() == server.stranger:
                raise Failed(server.not_this_server())
            # Several times as long as the server took for its part.
            pause = min(VERDICT_SECONDS, 0.2 + 4 * (time.monotonic() - started))
            certificate, rest = _flight(outgoing.read(), inside.version())
            for octets in (certificate, rest):
                on_certificate = octets is certificate and bool(certificate)
                connection.sendall(octets)
                _read_alert(connection, inside, incoming, min(pause, seconds_left()))
    except TimeoutError:
        return None, False
    except OSError as error:
        return error, on_certificate
    return None, False


def _receive(connection: socket.socket, incoming: ssl.MemoryBIO, wait: float) -> None:
    connection.settimeout(wait)
    data = connection.recv(16384)
    if data:
        incoming.write(data)
    else:
        incoming.write_eof()


def _read_alert(
    connection: socket.socket,
    inside: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    seconds: float,
) -> None:
    """Read until an alert or the end raises an error, or for so many seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            _receive(connection, incoming, left)
            if inside.read(1) == b"":
                raise ConnectionResetError
        except ssl.SSLWantReadError:  # noqa: PERF203
            continue
        except TimeoutError:
            return


def _flight(octets: bytes, version: str | None) -> tuple[bytes, bytes]:
    """Divide our last flight: up to the certificate, and the two records after it."""
    if version != "TLSv1.3":
        return b"", octets
    records = []
    while octets:
        end = _HEADER + int.from_bytes(octets[3:_HEADER], "big")
        records.append(octets[:end])
        octets = octets[end:]
    return b"".join(records[:-2]), b"".join(records[-2:])


def _handshake_problem(error: OSError, server: Server) -> Problem:
    reason = symptom_of(error)
    if "ALERT" in reason:
        server.attempt.quote(spaced(reason))
    place = server.endpoint.place
    return codes.PROBE_TLS_HANDSHAKE.problem(
        server.endpoint.variable,
        f"the TLS handshake with {place} fails: {alert_words(reason)}.",
    )


def _no_tls(error: OSError, server: Server) -> Problem:
    if isinstance(error, TimeoutError):
        return server.silent()
    if isinstance(error, HUNG_UP):
        return server.hung_up()
    if getattr(error, "reason", None) in _NOT_TLS:
        return server.not_tls()
    refused = client_problem(symptom_of(error), server)
    return refused or _handshake_problem(error, server)


def shown_certificate(server: Server) -> bytes:
    """Return the certificate of a server without telling it anything, or nothing."""
    context = server.tls.context(shows_itself=False)
    try:
        with (
            server.connect() as connection,
            context.wrap_socket(connection, server_hostname=server.name) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except (OSError, ValueError, Failed):
        return b""
