"""What lies in front of a server, found out by asking again in other words.

A gateway that routes by the name in TLS closes a connection without a word for half a
dozen reasons. Those that one more connection tells are looked for. Whether it has no
route for the name or no server behind the route cannot be seen from outside.
"""

from __future__ import annotations

import ssl

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.tls import POSTGRESQL
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.problems import Problem

LOOK_SECONDS = 3.0
"""How long a server gets to answer a question that is asked to find a cause."""

UNASKED_SECONDS = 0.4
"""How long to wait for a server that closes a connection by itself."""

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""PostgreSQL's question for TLS; it answers ``S`` or ``N``, and nobody else does."""


def protocol_for_name(
    route: Route, name: str | None, protocol: str | None
) -> str | None:
    """Return what a server chooses from ALPN when TLS names this host.

    Nothing is verified or told to it.

    Returns:
        The protocol; empty where it answers and chooses none, None where it does not
        answer to TLS.
    """
    if not route.attempt.may_connect:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocol:
        context.set_alpn_protocols([protocol])
    try:
        with (
            route.connect(LOOK_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=name) as secured,
        ):
            return secured.selected_alpn_protocol() or ""
    except ssl.SSLError as error:
        return "" if "ALERT" in symptom_of(error) else None
    except OSError:
        return None


def said_to(route: Route, words: bytes) -> bytes:
    """Return the first octet of the answer to these words, empty without any."""
    if not route.attempt.may_connect:
        return b""
    try:
        with route.connect(LOOK_SECONDS) as connection:
            connection.sendall(words)
            return connection.recv(1)
    except OSError:
        return b""


def closes_unasked(route: Route) -> bool:
    """Tell whether a connection is closed before the client has said anything."""
    if not route.attempt.may_connect:
        return False
    try:
        with route.connect(UNASKED_SECONDS) as connection:
            connection.settimeout(UNASKED_SECONDS)
            return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def closed_problem(route: Route, when: str = "without a word") -> Problem:
    """Return the problem of a server that closes the connection by itself."""
    endpoint = route.endpoint
    return codes.PROBE_CLOSED.problem(
        endpoint.variable,
        f"{endpoint.place} accepts the connection and closes it {when}.",
        f"Check that {endpoint.server} runs behind this address, that it is not "
        "shutting down, and that it has connections left.",
    )


def silent_problem(route: Route) -> Problem:
    """Return the problem of a server that takes a connection and nothing else."""
    endpoint = route.endpoint
    return codes.PROBE_SILENT.problem(
        endpoint.variable,
        f"{endpoint.place} accepts the connection and says nothing.",
    )


def closed_on_hello_problem(route: Route, tls: Tls) -> Problem:
    """Return why a server, or the gateway before it, closes on a ClientHello."""
    if closes_unasked(route):
        return closed_problem(route)
    endpoint = route.endpoint
    if endpoint.server != POSTGRESQL and said_to(route, SSL_REQUEST) in (b"S", b"N"):
        return not_this_server(route, "PostgreSQL")
    return gateway_problem(route, tls)


def not_this_server(route: Route, who: str) -> Problem:
    """Return the problem of PostgreSQL or another server in the place of Redis."""
    endpoint = route.endpoint
    return codes.PROBE_NOT_REDIS.problem(
        endpoint.variable,
        f"{who} answers at {endpoint.place}, not {endpoint.server}.",
    )


def gateway_problem(route: Route, tls: Tls) -> Problem:
    """Return why a gateway closes the connection on a ClientHello.

    Args:
        route: The way to the gateway.
        tls: How TLS was spoken.
    """
    endpoint = route.endpoint
    host, place, variable = endpoint.host, endpoint.place, endpoint.variable
    if endpoint.is_ip:
        return codes.PROBE_GATEWAY_IP.problem(
            variable,
            f"{place} closes the connection when TLS starts. The host is an IP "
            "address, so TLS names no host that a gateway could route by.",
        )
    if not tls.names_host and _answers(route, host, tls):
        return codes.PROBE_GATEWAY_SNI_OFF.problem(
            variable,
            f"sslsni is off, and {place} closes the connection unless TLS names "
            f"{host}.",
        )
    bare = host.rstrip(".")
    if bare != host and _answers(route, bare, tls):
        return codes.PROBE_GATEWAY_DOT.problem(
            variable,
            f"{place} closes the connection when TLS names {host}, and answers to "
            f"{bare}.",
        )
    return codes.PROBE_GATEWAY_NAME.problem(
        variable,
        f"{place} closes the connection when TLS names {host}: the gateway has no "
        "route for this name, or no server runs behind the route.",
        f"Add {host} to the hostnames of the gateway's TLSRoute. If it is there, check "
        f"that {endpoint.server} runs and that the Service behind the route has "
        "endpoints.",
    )


def _answers(route: Route, name: str, tls: Tls) -> bool:
    return protocol_for_name(route, name, tls.protocol) is not None
