"""Names to addresses, addresses to connections; each failure has a code."""

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment.kinds import shown_host
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem

Address = tuple[int, Any]
"""Address family and socket address."""

_SHOWN = 3
_TLS_ALERT = b"\x15"
# What this process lacks.
_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


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
        try:
            ipaddress.ip_address(self.host.strip("[]").partition("%")[0])
        except ValueError:
            return False
        return True

    @property
    def name(self) -> str:
        """The host, as it is shown: some put a password where it belongs."""
        return shown_host(self.host, "(not shown)")

    @property
    def place(self) -> str:
        """Host and port as people write them."""
        host = shown_host(self.host, "")
        if not host:
            return "the configured host"
        if self.is_socket:
            return host
        at = f" at {self.address}" if self.address not in ("", self.host) else ""
        host = f"[{host.strip('[]')}]" if ":" in host else host
        return f"{host}:{self.port}{at}"

    def problem(self, code: Code, fact: str, hint: str | None = None) -> Problem:
        """Return the problem that the server at this place causes: place and fact."""
        return code.problem(self.variable, f"{self.place} {fact}", hint)


class Incoming:
    """What a server answers, in the time that there is for it.

    Every method raises ``OSError`` where the connection is lost, or time is up.
    """

    def __init__(self, connection: socket.socket, attempt: Attempt) -> None:
        """Talk over this connection, for as long in all as the attempt has patience."""
        self._connection = connection
        self._seconds_left = attempt.timer()
        self._said = b""

    def send(self, octets: bytes) -> None:
        """Say something."""
        self._connection.settimeout(self._seconds_left())
        self._connection.sendall(octets)

    def take(self, count: int) -> bytes:
        """Return so many octets."""
        while len(self._said) < count:
            self._receive()
        taken, self._said = self._said[:count], self._said[count:]
        return taken

    def line(self, longest: int) -> bytes:
        """Return a line without its end, nothing where it is longer than that."""
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
    """The real network; tests bring their own. Its methods raise ``OSError``."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, in order of preference."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(
            dict.fromkeys((family, address) for family, _, _, _, address in found)
        )

    def connect(self, address: Address, seconds: float) -> socket.socket:
        """Return a connected socket that waits no longer than that."""
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


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names as a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def resolve(
    attempt: Attempt, network: Network, endpoints: Sequence[Endpoint]
) -> list[tuple[Endpoint, Address]]:
    """Pass the stage ``dns``, and return every way to one of the endpoints.

    Raises `Failed` where no name resolves.
    """
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
                failed = codes.PROBE_DNS.problem(
                    endpoint.variable,
                    f"the name {shown_host(host)} does not resolve: {_reason(error)}.",
                )
            else:
                ways += [(endpoint, address) for address in found]
        if failed is not None and not ways:
            raise Failed(failed)
        shown = [shown_address(address) for _, address in ways]
        attempt.detail = listed(shown, _SHOWN)
    return ways


def shown_address(address: Address) -> str:
    """Return an address as people write it."""
    family, where = address
    if family == socket.AF_UNIX:
        return str(where)
    host = f"[{where[0]}]" if family == socket.AF_INET6 else where[0]
    return f"{host}:{where[1]}"


def unreachable(
    endpoints: Sequence[Endpoint], failures: Mapping[Endpoint, OSError]
) -> Problem:
    """Return the problem of endpoints at which nobody accepts a connection.

    `failures` are the first ones of those that have an address.
    """
    code, facts = codes.PROBE_NETWORK, []
    for endpoint in dict.fromkeys(endpoints):
        if failures and endpoint not in failures:
            facts.append(f"{endpoint.name} does not resolve.")
            continue
        code, fact = _failure(failures.get(endpoint))
        facts.append(f"{endpoint.place} {fact}")
    return code.problem(endpoints[0].variable, " ".join(facts))


def _failure(error: OSError | None) -> tuple[Code, str]:
    if isinstance(error, TimeoutError):
        return codes.PROBE_TIMEOUT, "does not answer a TCP connection in time."
    if isinstance(error, ConnectionRefusedError):
        return codes.PROBE_REFUSED, "refuses the TCP connection."
    if error is not None and error.errno in _LIMITS:
        # Nothing was sent to the server.
        raise error
    return codes.PROBE_NETWORK, f"cannot be reached: {_reason(error)}."


def _reason(error: OSError | UnicodeError | None) -> str:
    if error is None:
        return "it has no address"
    if isinstance(error, UnicodeError):
        return "a part of it is empty, or longer than 63 characters"
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
