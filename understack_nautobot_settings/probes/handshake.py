"""The TLS handshake in its stages, and why a server refuses our certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from functools import partial

from understack_nautobot_settings.certificates.codes import CERTIFICATE_NOT_YET_VALID
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.gateway import Server
from understack_nautobot_settings.probes.tls import ALPN
from understack_nautobot_settings.probes.tls import CLIENT_CA
from understack_nautobot_settings.probes.tls import alert_words
from understack_nautobot_settings.probes.tls import described_server
from understack_nautobot_settings.probes.tls import name_problem
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


def secure(server: Server, connection: socket.socket) -> socket.socket:
    """Pass the stages ``tls`` and ``identity`` on a new connection, and return it.

    Raises `Failed` where there is no TLS, or the server is not who it should be.
    """
    attempt, endpoint, tls = server.attempt, server.endpoint, server.tls
    if server.plain:
        attempt.skip("tls", server.plain)
        attempt.skip("identity", "no TLS: the server's identity is not verified")
        return connection
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
            cause = attempt.explained(symptom, partial(_no_tls, failure, server))
            raise Failed(cause) from None
        else:
            session = (secured.version(), (secured.cipher() or ("",))[0])
            attempt.detail = ", ".join(part for part in session if part)
    with attempt.stage("identity"):
        if refusal is not None:
            symptom = f"identity {refusal.verify_code}"
            look = partial(_refused_server, refusal, server)
            raise Failed(attempt.explained(symptom, look))
        seen = seen_certificate(secured.getpeercert(binary_form=True))
        attempt.detail = described_server(seen, tls, endpoint.name)
        if server.name_refused:
            secured.close()
            raise Failed(name_problem(seen, endpoint))
    return secured


@contextlib.contextmanager
def talk(server: Server, stage: str) -> Iterator[None]:
    """Pass a stage in which the server is spoken with.

    Raises `Failed` with the cause where the connection is lost, or time is up.
    """
    with server.attempt.stage(stage):
        try:
            yield
        except OSError as error:
            symptom = f"{stage} {symptom_of(error)}"
            look = partial(lost_problem, error, server)
            raise Failed(server.attempt.explained(symptom, look)) from None


def _refused_server(refusal: ssl.SSLCertVerificationError, server: Server) -> Problem:
    """Return why the certificate of a server is refused, which is looked at again."""
    attempt, endpoint, tls = server.attempt, server.endpoint, server.tls
    seen = shown_certificate(server)
    attempt.detail = described_server(seen, tls, endpoint.name, refused=True)
    return server_problem(refusal, seen, tls, endpoint)


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
            "certificate of the CA that it trusts. If it does trust it, its log gives "
            "the reason.",
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
        return _expired_above(server, fact)
    if reason in _CLIENT_REFUSED:
        remedy = _NEW_ONE if reason == _REVOKED else None
        return _certificate_problem(server, fact, f": {alert_words(reason)}", remedy)
    return None


def _expired_above(server: Server, fact: str) -> Problem:
    """Say what a server may find expired where our certificate is not.

    It gives the same alert for a CA and for a revocation list.
    """
    chain, variable = server.tls.own_chain, server.tls.cert.variable
    for one in chain[1:]:
        if one.is_expired:
            return codes.PROBE_CLIENT_EXPIRED.problem(
                variable,
                f"{fact}: the intermediate {one.subject} behind it {one.dates}.",
                "Renew the intermediate, and put it after the client certificate.",
            )
    ours = f", and by the clock here it is {chain[0].dates}" if chain else ""
    return codes.PROBE_CLIENT_EXPIRED.problem(
        variable,
        f"{fact} with the alert 'certificate expired'{ours}.",
        f"Read in the log of {server.endpoint.server} what is expired: the certificate "
        "by the clock there, the CA that it trusts for clients, or its revocation list "
        "(CRL).",
    )


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
    if server.plain:
        return server.hung_up()
    refused = client_problem(symptom_of(error), server)
    likely = closed = server.closed("after the TLS handshake")
    while refused is None and server.attempt.may_connect:
        end, on_certificate = _client_verdict(server)
        if end is None:
            break
        refused = client_problem(symptom_of(end), server)
        if refused is None and not isinstance(end, HUNG_UP):
            return _handshake_problem(end, server)
        if not (on_certificate and server.tls.cert.path):
            likely = closed
            break
        likely = _closed_on_certificate(server)
    return refused or likely


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
    # Where nothing is negotiated, to be told whether PostgreSQL answers.
    protocol = server.tls.protocol or ALPN
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    on_certificate = False
    try:
        context = server.tls._replace(protocol=protocol).context()
        with server.connect() as connection:
            seconds_left = server.attempt.timer()
            inside = context.wrap_bio(incoming, outgoing, server_hostname=server.name)
            started = time.monotonic()
            while True:
                try:
                    inside.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    _receive(connection, incoming, seconds_left())
            is_postgresql = inside.selected_alpn_protocol() == ALPN
            if is_postgresql and server.endpoint.server != POSTGRESQL:
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
    place, words = server.endpoint.place, alert_words(symptom_of(error))
    return codes.PROBE_TLS_HANDSHAKE.problem(
        server.endpoint.variable, f"the TLS handshake with {place} fails: {words}."
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


def shown_certificate(server: Server) -> Certificate | None:
    """Return the certificate of a server without telling it anything."""
    context = server.tls.anonymous.context()
    try:
        with (
            server.connect() as connection,
            context.wrap_socket(connection, server_hostname=server.name) as secured,
        ):
            return seen_certificate(secured.getpeercert(binary_form=True))
    except (OSError, ValueError, Failed):
        return None
