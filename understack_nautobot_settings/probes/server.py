"""A server: the way to it, its TLS in stages, and why a connection to it ends.

A gateway that routes by the name in TLS closes a connection without an answer for half
a dozen reasons. Those that one more connection tells are looked for. Whether it has no
route for the name, or the server behind the route is down or full, cannot be seen from
outside.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial

from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Address
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import resolve
from understack_nautobot_settings.probes.network import shown_address
from understack_nautobot_settings.probes.network import unreachable
from understack_nautobot_settings.probes.tls import ALPN
from understack_nautobot_settings.probes.tls import CLIENT_CA
from understack_nautobot_settings.probes.tls import NO_TLS
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import client_problem
from understack_nautobot_settings.probes.tls import closed_on_certificate
from understack_nautobot_settings.probes.tls import described_server
from understack_nautobot_settings.probes.tls import handshake_problem
from understack_nautobot_settings.probes.tls import name_problem
from understack_nautobot_settings.probes.tls import seen_certificate
from understack_nautobot_settings.probes.tls import server_problem
from understack_nautobot_settings.probes.tls import spaced
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.probes.tls import tls_context
from understack_nautobot_settings.problems import Problem

LOOK_SECONDS = 3.0
"""How long a server gets to answer a question that is asked to find a cause."""

UNASKED_SECONDS = 0.4
"""How long to wait for a server that closes a connection by itself."""

VERDICT_SECONDS = 2.0
"""How long a server gets to say what it thinks of the client certificate."""

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""PostgreSQL's question for TLS; it answers ``S`` or ``N`` alone, and nobody else."""

LONGEST_ANSWER = 4096
"""Octets of an answer that are looked at."""

HUNG_UP = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
)
"""How the end of a connection shows while TLS is spoken."""

REFUSED, LEFT = "refused", "left to libpq"
_HEADER = 5
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


class Server:
    """A server, the way to it, and why a connection to it ends.

    The protocols on top of TLS know more; each has a class of its own.

    Attributes:
        plain: Why TLS is not demanded, for people; empty where it is.
        verdict: What the driver has made of the certificate, which is then not judged
            again: `REFUSED` for its name, or `LEFT` where it has not complained.
        endpoint: The one that was reached, and its `address`.
    """

    verdict = ""
    endpoint: Endpoint
    address: Address

    def __init__(
        self,
        attempt: Attempt,
        network: Network,
        endpoints: Sequence[Endpoint],
        tls: Tls | None,
        plain: str = "",
    ) -> None:
        """Keep the ways to it; `plain` is why TLS is not demanded, without `tls`."""
        self.attempt = attempt
        self.network = network
        self.endpoints = endpoints
        self.tls = tls or NO_TLS
        self.plain = "" if tls else plain

    @property
    def name(self) -> str | None:
        """The name that the ClientHello carries (SNI), None for none."""
        return self.endpoint.host if self.tls.names_host else None

    # The stages.

    def reach(self) -> socket.socket:
        """Pass the stages ``dns`` and ``tcp``, and return the connection.

        The first endpoint that accepts is taken. Raises `Failed` where none does.
        """
        attempt, failures = self.attempt, dict[Endpoint, OSError]()
        ways = resolve(attempt, self.network, self.endpoints)
        with attempt.stage("tcp"):
            for count, (self.endpoint, self.address) in enumerate(ways):
                # A dead address may not use up the time of those after it.
                share = attempt.left / (len(ways) - count)
                try:
                    connection = self.network.connect(self.address, share)
                except OSError as error:
                    # The last addresses are those that the system has no route to.
                    failures.setdefault(self.endpoint, error)
                    continue
                attempt.connections += 1
                connection.settimeout(attempt.left)
                attempt.detail = shown_address(self.address)
                return connection
            raise Failed(unreachable(self.endpoints, failures))

    def secure(self, connection: socket.socket) -> socket.socket:
        """Pass the stages ``tls`` and ``identity`` on a new connection, and return it.

        Raises `Failed` where there is no TLS, or the server is not who it should be.
        """
        attempt, host = self.attempt, self.endpoint.name
        if self.plain:
            attempt.skip("tls", self.plain)
            attempt.skip("identity", "no TLS: the server's identity is not verified")
            return connection
        with attempt.stage("tls"):
            tls = self.tls._replace(verify=self.tls.verify and not self.verdict)
            context = tls_context(tls, self.endpoint)
            self.start_tls(connection)
            connection.settimeout(attempt.patience)
            refusal = None
            try:
                secured = context.wrap_socket(connection, server_hostname=self.name)
            except ssl.SSLCertVerificationError as error:
                refusal = error
                attempt.detail = "the server speaks TLS"
            except (OSError, ValueError) as error:
                failure = error if isinstance(error, OSError) else OSError(str(error))
                look = partial(self._no_tls, failure)
                raise attempt.explained(symptom_of(failure), look) from None
            else:
                session = (secured.version(), (secured.cipher() or ("",))[0])
                attempt.detail = ", ".join(part for part in session if part)
        with attempt.stage("identity"):
            if refusal is not None:
                look = partial(self._refused, refusal)
                raise attempt.explained(str(refusal.verify_code), look)
            seen = seen_certificate(secured.getpeercert(binary_form=True))
            attempt.detail = described_server(seen, self.tls, host, self.verdict)
            if self.verdict == REFUSED:
                secured.close()
                raise Failed(name_problem(seen, self.endpoint))
        return secured

    @contextmanager
    def talk(self, stage: str) -> Iterator[None]:
        """Pass a stage in which the server is spoken with.

        Raises `Failed` with the cause where the connection is lost, or time is up.
        """
        with self.attempt.stage(stage):
            try:
                yield
            except OSError as error:
                look = partial(self.lost, error)
                raise self.attempt.explained(symptom_of(error), look) from None

    # Further connections.

    def tcp_connection(self, seconds: float = math.inf) -> socket.socket:
        """Return a new connection; it waits for what is left, or for less."""
        self.attempt.connections += 1
        return self.network.connect(self.address, min(seconds, self.attempt.left))

    def start_tls(self, connection: socket.socket) -> None:
        """Bring a new connection to where TLS starts; `Failed` where it does not."""

    def connect(self) -> socket.socket:
        """Return a new connection where TLS starts; raises ``OSError`` or `Failed`."""
        connection = self.tcp_connection()
        try:
            self.start_tls(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    # Why a connection ended.

    def not_tls(self) -> Problem:
        """Return why something else than TLS is answered."""
        known = self.endpoint.server in CLIENT_CA
        remedy = None if known else "Use its TLS port, or turn TLS on there."
        return self.endpoint.problem(codes.PROBE_NOT_TLS, "does not speak TLS.", remedy)

    def silent(self) -> Problem:
        """Return why nothing is answered."""
        return self.endpoint.problem(
            codes.PROBE_SILENT, "accepts the connection and does not answer in time."
        )

    def closed(self, when: str = "without an answer") -> Problem:
        """Return the problem of a server that closes the connection by itself."""
        return self.endpoint.problem(
            codes.PROBE_CLOSED, f"accepts the connection and closes it {when}."
        )

    def hung_up(self) -> Problem:
        """Return why the connection is closed on the ClientHello."""
        if self.closes_unasked():
            return self.closed()
        if self.is_postgresql():
            return self.not_this_server()
        return self.gateway_problem(self.tls.protocol)

    def not_this_server(self) -> Problem:
        """Return the problem of PostgreSQL in the place of another server."""
        endpoint = self.endpoint
        return codes.PROBE_NOT_REDIS.problem(
            endpoint.variable,
            f"{POSTGRESQL} answers at {endpoint.place}, not {endpoint.server}.",
        )

    def gateway_problem(self, protocol: str | None) -> Problem:
        """Return why a gateway closes a ClientHello that offers this protocol."""
        endpoint, host = self.endpoint, self.endpoint.host
        if endpoint.is_ip:
            return endpoint.problem(
                codes.PROBE_GATEWAY_IP,
                "closes the connection when TLS starts. The host is an IP address, so "
                "TLS names no host that a gateway could route by.",
            )
        if not self.tls.names_host and self.chosen(protocol, host) is not None:
            return codes.PROBE_GATEWAY_SNI_OFF.problem(
                endpoint.variable,
                f"sslsni is off, and {endpoint.place} closes the connection unless TLS "
                f"names {endpoint.name}.",
            )
        closes = f"closes the connection when TLS names {endpoint.name}"
        bare = host.rstrip(".")
        if bare != host and self.chosen(protocol, bare) is not None:
            return endpoint.problem(
                codes.PROBE_GATEWAY_TRAILING_DOT,
                f"{closes}, and answers to the name without the dot.",
            )
        return endpoint.problem(
            codes.PROBE_GATEWAY_NAME,
            f"{closes}, like a gateway that has no route for this name, or whose "
            "server behind the route does not run or has no connection left, or like a "
            "listener that expects the PROXY protocol.",
        )

    def refusal(self, reason: str) -> Problem | None:
        """Return what an alert says against us, None for nothing that is known."""
        if "ALERT" in reason:
            self.attempt.quote(spaced(reason))
        named = self.name and not self.endpoint.is_ip
        if named and reason == "TLSV1_UNRECOGNIZED_NAME":
            return self.endpoint.problem(
                codes.PROBE_GATEWAY_NAME,
                f"answers that it does not know the name {self.endpoint.name}.",
            )
        return client_problem(reason, self.tls, self.endpoint)

    def lost(self, error: OSError) -> Problem:
        """Return why a connection was lost after its beginning.

        With TLS 1.3 a server judges the client after the client has finished its part,
        and what the client says meanwhile can make it lose the answer. So where the
        error itself does not tell, the handshake is made again, the certificate first
        and the rest after a pause.
        """
        if isinstance(error, TimeoutError):
            return self.silent()
        if self.plain:
            return self.hung_up()
        refused = self.refusal(symptom_of(error))
        likely = closed = self.closed("after the TLS handshake")
        while refused is None and self.attempt.may_connect:
            end, on_certificate = self._verdict()
            if end is None:
                break
            refused = self.refusal(symptom_of(end))
            if refused is None and not isinstance(end, HUNG_UP):
                return handshake_problem(end, self.endpoint)
            if not (on_certificate and self.tls.cert.path):
                likely = closed
                break
            likely = closed_on_certificate(self.tls, self.endpoint)
        return refused or likely

    def _no_tls(self, error: OSError) -> Problem:
        if isinstance(error, TimeoutError):
            return self.silent()
        if isinstance(error, HUNG_UP):
            return self.hung_up()
        symptom = symptom_of(error)
        if symptom in _NOT_TLS:
            return self.not_tls()
        refused = self.refusal(symptom)
        return refused or handshake_problem(error, self.endpoint)

    def _refused(self, refusal: ssl.SSLCertVerificationError) -> Problem:
        """Return why the certificate of the server is refused; it is looked at."""
        seen, host = self.shown_certificate(), self.endpoint.name
        self.attempt.detail = described_server(seen, self.tls, host, REFUSED)
        return server_problem(refusal, seen, self.tls, self.endpoint)

    # Questions, each on a connection of its own.

    def chosen(self, protocol: str | None, name: str) -> str | None:
        """Return what is chosen from ALPN when TLS names this host.

        Nothing is verified or told. Empty where TLS is answered and nothing chosen,
        None where TLS is not answered.
        """
        if not self.attempt.may_connect:
            return None
        context = NO_TLS._replace(protocol=protocol).context()
        named = None if self.endpoint.is_ip else name
        try:
            with (
                self.tcp_connection(LOOK_SECONDS) as connection,
                context.wrap_socket(connection, server_hostname=named) as secured,
            ):
                return secured.selected_alpn_protocol() or ""
        except ssl.SSLError as error:
            return "" if "ALERT" in symptom_of(error) else None
        except (OSError, ValueError):
            return None

    def shown_certificate(self) -> Certificate | None:
        """Return the certificate of the server without telling it anything."""
        context = self.tls.anonymous.context()
        try:
            with (
                self.connect() as connection,
                context.wrap_socket(connection, server_hostname=self.name) as secured,
            ):
                return seen_certificate(secured.getpeercert(binary_form=True))
        except (OSError, ValueError, Failed):
            return None

    def said_to(self, words: bytes, seconds: float = LOOK_SECONDS) -> bytes | None:
        """Return what is answered to these words at once.

        Empty where the connection ends instead, None where nothing is said in time.
        """
        if not self.attempt.may_connect:
            return None
        try:
            with self.tcp_connection(seconds) as connection:
                connection.sendall(words)
                return connection.recv(LONGEST_ANSWER)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def closes_unasked(self) -> bool:
        """Tell whether a connection is closed before the client has said anything."""
        return self.said_to(b"", UNASKED_SECONDS) == b""

    def is_postgresql(self) -> bool:
        """Tell whether the question of PostgreSQL for TLS is answered."""
        return self.said_to(SSL_REQUEST) in (b"S", b"N")

    def is_plain_redis(self) -> bool:
        """Tell whether a command of Redis is answered in plain text."""
        return (self.said_to(b"PING\r\n") or b"").startswith((b"+", b"-"))

    def _verdict(self) -> tuple[OSError | None, bool]:
        """Send the client certificate, and the rest of the handshake after a pause.

        A server that refuses the certificate then closes a connection on which nothing
        is unread, and its alert arrives. Returns what the connection ended with, None
        where it stays open, and whether it ended on the certificate alone.
        """
        # Where nothing is negotiated, to be told whether PostgreSQL answers.
        protocol = self.tls.protocol or ALPN
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        on_certificate = False
        try:
            context = self.tls._replace(protocol=protocol).context()
            with self.connect() as connection:
                seconds_left = self.attempt.timer()
                inside = context.wrap_bio(incoming, outgoing, server_hostname=self.name)
                started = time.monotonic()
                while not _is_done(inside):
                    connection.sendall(outgoing.read())
                    _receive(connection, incoming, seconds_left())
                is_postgresql = inside.selected_alpn_protocol() == ALPN
                if is_postgresql and self.endpoint.server != POSTGRESQL:
                    raise Failed(self.not_this_server())
                # Several times as long as the server took for its part.
                pause = min(VERDICT_SECONDS, 0.2 + 4 * (time.monotonic() - started))
                certificate, rest = _flight(outgoing.read(), inside.version())
                for octets in (certificate, rest):
                    on_certificate = octets is certificate and bool(certificate)
                    connection.sendall(octets)
                    wait = min(pause, seconds_left())
                    _read_alert(connection, inside, incoming, wait)
        except TimeoutError:
            return None, False
        except OSError as error:
            return error, on_certificate
        return None, False


def _is_done(inside: ssl.SSLObject) -> bool:
    """Go on with a handshake, and tell whether it needs nothing from the server."""
    try:
        inside.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


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
