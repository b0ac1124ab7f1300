"""What lies in front of a server, found out by asking again in other words.

A gateway that routes by the name in TLS closes a connection without an answer for half
a dozen reasons. Those that one more connection tells are looked for. Whether it has no
route for the name or no server behind the route cannot be seen from outside.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Sequence

from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.network import Address
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.tls import CLIENT_CA
from understack_nautobot_settings.probes.tls import NO_TLS
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.problems import Problem

LOOK_SECONDS = 3.0
"""How long a server gets to answer a question that is asked to find a cause."""

UNASKED_SECONDS = 0.4
"""How long to wait for a server that closes a connection by itself."""

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""PostgreSQL's question for TLS; it answers ``S`` or ``N``, and nobody else does."""


class Server:
    """A server, the way to it, and why a connection to it ends.

    The protocols on top of TLS know more; each has a class of its own.

    Attributes:
        plain: Why TLS is not demanded, for people; empty where it is.
        name_refused: Whether the driver does not accept the certificate for the host.
        endpoint: The one that was reached, and its `address`.
    """

    name_refused = False
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

    def reach(self) -> socket.socket:
        """Pass the stages ``dns`` and ``tcp``, and return the connection.

        Raises `Failed` where no endpoint can be reached.
        """
        self.endpoint, self.address, connection = reach(
            self.attempt, self.network, self.endpoints
        )
        return connection

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
            codes.PROBE_SILENT, "accepts the connection and says nothing."
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
                codes.PROBE_GATEWAY_DOT,
                f"{closes}, and answers to the name without the dot.",
            )
        return endpoint.problem(
            codes.PROBE_GATEWAY_NAME,
            f"{closes}: the gateway has no route for this name, or no server runs "
            "behind the route.",
        )

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

    def said_to(self, words: bytes, seconds: float = LOOK_SECONDS) -> bytes | None:
        """Return the first octet of the answer to these words.

        Empty where the connection ends instead, None where nothing is said in time.
        """
        if not self.attempt.may_connect:
            return None
        try:
            with self.tcp_connection(seconds) as connection:
                connection.sendall(words)
                return connection.recv(1)
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
        return self.said_to(b"PING\r\n") in (b"+", b"-")
