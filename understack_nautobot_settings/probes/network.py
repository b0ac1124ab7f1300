"""Names to addresses, addresses to connections; each failure with a code of its own."""

from __future__ import annotations

import errno
import socket
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.attempt import Journey

Address = tuple[int, Any]
"""Address family and socket address."""

_SHOWN = 3


class Endpoint(NamedTuple):
    """Where a server is.

    Attributes:
        server: What it is: ``PostgreSQL``, ``Redis``.
        host: The configured host, or the path of a socket.
        port: TCP port; 0 for a socket.
        variable: The variable that names the host.
        address: What is connected to instead of the host's own address (libpq
            ``hostaddr``), empty for none.
    """

    server: str
    host: str
    port: int
    variable: str
    address: str = ""

    @property
    def is_socket(self) -> bool:
        """Whether the host is the path of a Unix socket."""
        return self.host.startswith("/")

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, which no ClientHello can name."""
        return is_ip(self.host)

    @property
    def place(self) -> str:
        """Host and port as people write them."""
        return self.host if self.is_socket else f"{self.host}:{self.port}"


class Network:
    """The real network; tests bring their own."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, in order of preference.

        Raises:
            OSError: The name does not resolve.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(
            dict.fromkeys((family, address) for family, _, _, _, address in found)
        )

    def connect(self, address: Address, seconds: float) -> socket.socket:
        """Return a connected socket that waits no longer than that.

        Raises:
            OSError: Nobody there accepts.
        """
        connection = socket.socket(address[0], socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(address[1])
            if address[0] != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection


class Route:
    """An endpoint that was reached once, and can be reached again."""

    def __init__(
        self, journey: Journey, network: Network, endpoint: Endpoint, address: Address
    ) -> None:
        """Remember the address that answered."""
        self.journey = journey
        self.endpoint = endpoint
        self._network = network
        self._address = address

    def connect(self, seconds: float | None = None) -> socket.socket:
        """Return a new connection; it waits for what is left, or for less."""
        left = self.journey.left
        return self._network.connect(
            self._address, left if seconds is None else min(seconds, left)
        )


def is_ip(host: str) -> bool:
    """Tell whether a host is an IP address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.strip("[]").partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False


def reach(
    journey: Journey, network: Network, endpoint: Endpoint
) -> tuple[Route, socket.socket]:
    """Pass the stages ``dns`` and ``tcp``.

    Returns:
        The way to the endpoint, and a connection that was made on it.

    Raises:
        Failed: The name does not resolve, or nobody accepts.
    """
    addresses = _resolve(journey, network, endpoint)
    with journey.stage("tcp") as stage:
        error: OSError | None = None
        for count, address in enumerate(addresses):
            # A dead address may not use up the time of those after it.
            share = journey.left / (len(addresses) - count)
            try:
                connection = network.connect(address, share)
            except OSError as refused:
                error = refused
                continue
            connection.settimeout(journey.left)
            stage.detail = _shown(address)
            return Route(journey, network, endpoint, address), connection
        raise Failed(_unreachable(endpoint, error))


def _resolve(journey: Journey, network: Network, endpoint: Endpoint) -> list[Address]:
    if endpoint.is_socket:
        journey.skip("dns", "a socket of this machine")
        return [(socket.AF_UNIX, endpoint.host)]
    with journey.stage("dns") as stage:
        host = endpoint.address or endpoint.host.strip("[]")
        try:
            addresses = network.resolve(host, endpoint.port)
        except OSError as error:
            raise Failed(
                codes.PROBE_DNS.problem(
                    endpoint.variable,
                    f"the name {host} does not resolve: {_reason(error)}.",
                    "Correct the host name, or the DNS of the cluster.",
                )
            ) from None
        shown = ", ".join(map(_shown, addresses[:_SHOWN]))
        more = len(addresses) - _SHOWN
        stage.detail = shown + (f" and {more} more" if more > 0 else "")
        return addresses


def _shown(address: Address) -> str:
    family, where = address
    if family == socket.AF_UNIX:
        return str(where)
    host = f"[{where[0]}]" if family == socket.AF_INET6 else where[0]
    return f"{host}:{where[1]}"


def _unreachable(endpoint: Endpoint, error: OSError | None) -> Any:
    place, variable, server = endpoint.place, endpoint.variable, endpoint.server
    if isinstance(error, TimeoutError):
        return codes.PROBE_TIMEOUT.problem(
            variable,
            f"{place} does not answer a TCP connection in time.",
            "Check routes, firewalls and network policies on the way, and the address.",
        )
    if isinstance(error, ConnectionRefusedError):
        return codes.PROBE_REFUSED.problem(
            variable,
            f"{place} refuses the TCP connection: nothing listens there.",
            f"Start {server} or the gateway in front of it, or correct host and port.",
        )
    return codes.PROBE_NETWORK.problem(
        variable,
        f"{place} cannot be reached: {_reason(error)}.",
        "Check the address, the routes and the network policies on the way.",
    )


def _reason(error: OSError | None) -> str:
    if error is None:
        return "it has no address"
    number = error.errno
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    return errno.errorcode.get(number or 0, type(error).__name__)
