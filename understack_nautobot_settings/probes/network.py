"""Names to addresses, addresses to connections; each failure has a code."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment.kinds import HOST_FORM
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.problems import Problem

Address = tuple[int, Any]
"""Address family and socket address."""

_SHOWN = 3
_TLS_ALERT = b"\x15"


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
    def name(self) -> str:
        """The host, as it is shown: some put a password where it belongs."""
        return _shown_host(self.host, "(not shown)")

    @property
    def place(self) -> str:
        """Host and port as people write them."""
        host = _shown_host(self.host, "")
        if not host:
            return "the configured host"
        return host if self.is_socket else f"{host}:{self.port}"


class Incoming:
    """What a server answers, in the time that there is for it."""

    def __init__(
        self, connection: socket.socket, seconds_left: Callable[[], float]
    ) -> None:
        """Talk over this connection; `seconds_left` tells how long, for all of it."""
        self._connection = connection
        self._seconds_left = seconds_left
        self._said = b""

    def send(self, octets: bytes) -> None:
        """Say something.

        Raises:
            OSError: The connection is lost, or time is up.
        """
        self._connection.settimeout(self._seconds_left())
        self._connection.sendall(octets)

    def take(self, count: int) -> bytes:
        """Return so many octets.

        Raises:
            OSError: The connection is lost, or time is up.
        """
        while len(self._said) < count:
            self._receive()
        taken, self._said = self._said[:count], self._said[count:]
        return taken

    def line(self, longest: int) -> bytes:
        """Return a line without its end, nothing where it is longer than that.

        Raises:
            OSError: The connection is lost, or time is up.
        """
        while b"\r\n" not in self._said:
            if len(self._said) > longest:
                return b""
            self._receive()
        line, _, self._said = self._said.partition(b"\r\n")
        return line

    def _receive(self) -> None:
        self._connection.settimeout(self._seconds_left())
        data = self._connection.recv(4096)
        if not data:
            raise ConnectionResetError
        if not self._said and data[:1] == _TLS_ALERT:
            raise ConnectionAbortedError
        self._said += data


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
        self, attempt: Attempt, network: Network, endpoint: Endpoint, address: Address
    ) -> None:
        """Remember the address that answered."""
        self.attempt = attempt
        self.endpoint = endpoint
        self._network = network
        self._address = address

    def connect(self, seconds: float | None = None) -> socket.socket:
        """Return a new connection; it waits for what is left, or for less.

        Raises:
            OSError: Nobody accepts.
        """
        left = self.attempt.left
        self.attempt.connections += 1
        return self._network.connect(
            self._address, left if seconds is None else min(seconds, left)
        )


def _shown_host(host: str, instead: str) -> str:
    return host if re.fullmatch(HOST_FORM, host) else instead


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
    attempt: Attempt, network: Network, *endpoints: Endpoint
) -> tuple[Route, socket.socket]:
    """Pass the stages ``dns`` and ``tcp``; the first endpoint that accepts is taken.

    Raises:
        Failed: No name resolves, or nobody accepts.
    """
    ways = _resolve(attempt, network, endpoints)
    with attempt.stage("tcp"):
        failed: OSError | None = None
        for count, (endpoint, address) in enumerate(ways):
            # A dead address may not use up the time of those after it.
            share = attempt.left / (len(ways) - count)
            try:
                connection = network.connect(address, share)
            except OSError as error:
                failed = error
                continue
            attempt.connections += 1
            connection.settimeout(attempt.left)
            attempt.detail = shown_address(address)
            return Route(attempt, network, endpoint, address), connection
        raise Failed(_unreachable(endpoints, failed))


def _resolve(
    attempt: Attempt, network: Network, endpoints: Sequence[Endpoint]
) -> list[tuple[Endpoint, Address]]:
    if all(endpoint.is_socket for endpoint in endpoints):
        attempt.skip("dns", "a socket of this machine")
        return [(one, (socket.AF_UNIX, one.host)) for one in endpoints]
    ways: list[tuple[Endpoint, Address]] = []
    with attempt.stage("dns"):
        failed = None
        for endpoint in endpoints:
            host = endpoint.address or endpoint.host.strip("[]")
            try:
                found = network.resolve(host, endpoint.port)
            except (OSError, UnicodeError) as error:
                # No name has a part of more than 63 characters.
                reason = _reason(error) if isinstance(error, OSError) else "too long"
                shown = _shown_host(host, "that is configured")
                failed = codes.PROBE_DNS.problem(
                    endpoint.variable, f"the name {shown} does not resolve: {reason}."
                )
            else:
                ways += [(endpoint, address) for address in found]
        if failed is not None and not ways:
            raise Failed(failed)
        shown = ", ".join(shown_address(address) for _, address in ways[:_SHOWN])
        more = len(ways) - _SHOWN
        attempt.detail = shown + (f" and {more} more" if more > 0 else "")
    return ways


def shown_address(address: Address) -> str:
    """Return an address as people write it."""
    family, where = address
    if family == socket.AF_UNIX:
        return str(where)
    host = f"[{where[0]}]" if family == socket.AF_INET6 else where[0]
    return f"{host}:{where[1]}"


def _unreachable(endpoints: Sequence[Endpoint], error: OSError | None) -> Problem:
    place = " and ".join(endpoint.place for endpoint in endpoints)
    several = len(endpoints) > 1
    variable = endpoints[0].variable
    if isinstance(error, TimeoutError):
        return codes.PROBE_TIMEOUT.problem(
            variable,
            f"{place} {'do' if several else 'does'} not answer a TCP connection in "
            "time.",
        )
    if isinstance(error, ConnectionRefusedError):
        return codes.PROBE_REFUSED.problem(
            variable,
            f"{place} refuse{'' if several else 's'} the TCP connection: nothing "
            "listens there.",
        )
    return codes.PROBE_NETWORK.problem(
        variable, f"{place} cannot be reached: {_reason(error)}."
    )


def _reason(error: OSError | None) -> str:
    if error is None:
        return "it has no address"
    number = error.errno
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    return errno.errorcode.get(number or 0, type(error).__name__)
