"""What a TLS-passthrough gateway does with a name, found out by asking again.

A gateway that routes by name closes a connection without a word for half a dozen
reasons. Each of them is looked for: another first word, another name, no name, a name
that cannot exist.
"""

from __future__ import annotations

import math
import secrets
import ssl
import time
from collections.abc import Sequence

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.problems import Problem

ANSWERS = "answers"
HANGS_UP = "hangs up"
SILENT = "silent"

LOOK_SECONDS = 3.0
UNASKED_SECONDS = 0.4

_TLS_RECORDS = (b"\x15", b"\x16")
_FEWEST_PAIRS = 12
_MOST_PAIRS = 200
_TIMING_SECONDS = 5.0
# Asking a backend takes a gateway longer than knowing none. How many standard
# deviations of the rank sum (Mann and Whitney) are beyond chance, and how many seconds
# beyond the cost of comparing two names.
_BEYOND_CHANCE = 4.0
_BACKEND_SECONDS = 0.00004
_SLOW_SECONDS = 0.8


def greeting(name: str | None, protocol: str | None) -> bytes:
    """Return a ClientHello that names this host, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocol:
        context.set_alpn_protocols([protocol])
    hello = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return hello.read()


def answer(route: Route, hello: bytes, seconds: float = LOOK_SECONDS) -> str:
    """Tell what a server does with a ClientHello."""
    try:
        with route.connect(seconds) as connection:
            connection.sendall(hello)
            said = connection.recv(1)
    except TimeoutError:
        return SILENT
    except OSError:
        return HANGS_UP
    return ANSWERS if said in _TLS_RECORDS else HANGS_UP


def hangs_up_unasked(route: Route) -> bool:
    """Tell whether a connection is closed before the client has said anything."""
    try:
        with route.connect(UNASKED_SECONDS) as connection:
            connection.settimeout(UNASKED_SECONDS)
            return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def closed_problem(route: Route) -> Problem:
    """Return the problem of a server that closes the connection by itself."""
    endpoint = route.endpoint
    return codes.PROBE_CLOSED.problem(
        endpoint.variable,
        f"{endpoint.place} accepts the connection and closes it without a word.",
        f"Check that {endpoint.server} runs behind this address, that it is not "
        "shutting down, and that it has connections left.",
    )


def silent_problem(route: Route) -> Problem:
    """Return the problem of a server that takes a connection and nothing else."""
    endpoint = route.endpoint
    return codes.PROBE_SILENT.problem(
        endpoint.variable,
        f"{endpoint.place} accepts the connection and says nothing.",
        "Look at the server and at the load on it; something in between may hold "
        "connections that lead nowhere.",
    )


def hang_up_problem(route: Route, tls: Tls) -> Problem:
    """Return why a server, or the gateway in front of it, hangs up on a ClientHello."""
    if hangs_up_unasked(route):
        return closed_problem(route)
    return gateway_problem(route, tls)


def gateway_problem(route: Route, tls: Tls) -> Problem:
    """Return why a gateway hangs up on a ClientHello.

    Args:
        route: The way to the gateway.
        tls: How TLS was spoken.
    """
    endpoint = route.endpoint
    host, place, variable = endpoint.host, endpoint.place, endpoint.variable
    if endpoint.is_ip:
        return codes.PROBE_GATEWAY_IP.problem(
            variable,
            f"the host is an IP address, so TLS names no host, and {place} hangs up.",
            "Use the host name that the TLSRoute of the gateway has.",
        )
    if not tls.names_host and answer(route, greeting(host, tls.protocol)) == ANSWERS:
        return codes.PROBE_GATEWAY_SNI_OFF.problem(
            variable,
            f"sslsni is off, and {place} hangs up unless TLS names {host}.",
            "Remove sslsni=0 from the options and PGSSLSNI from the environment.",
        )
    if host.endswith("."):
        bare = host.rstrip(".")
        if answer(route, greeting(bare, tls.protocol)) == ANSWERS:
            return codes.PROBE_GATEWAY_DOT.problem(
                variable,
                f"{place} hangs up on the name {host} and answers to {bare}.",
                "Remove the dot at the end.",
            )
    if asks_a_backend(route, tls):
        return codes.PROBE_GATEWAY_BACKEND.problem(
            variable,
            f"the gateway at {place} has a route for {host}, and nothing behind it "
            "answers.",
            f"Start {endpoint.server}, and check the endpoints of the Service that the "
            "TLSRoute names.",
        )
    return codes.PROBE_GATEWAY_NAME.problem(
        variable,
        f"{place} hangs up on the name {host} as it does on a name that cannot exist.",
        f"Add {host} to the hostnames of the gateway's TLSRoute; where it is there, "
        "check that the Service behind it has endpoints.",
    )


def asks_a_backend(route: Route, tls: Tls) -> bool:
    """Tell whether a gateway tries to connect somewhere before it hangs up.

    There is nothing to see but the time it takes, compared with names that no route can
    have, in turns and until the difference is beyond chance. Where the network is too
    restless to tell in the time there is, the answer is no.
    """
    ours: list[float] = []
    strangers: list[float] = []
    name = route.endpoint.host if tls.names_host else None
    hello = greeting(name, tls.protocol)
    end = time.monotonic() + min(_TIMING_SECONDS, route.journey.left / 2)
    for turn in range(_MOST_PAIRS):
        stranger = greeting(_stranger(name or ""), tls.protocol)
        order = ((hello, ours), (stranger, strangers))
        for said, times in order if turn % 2 else reversed(order):
            taken = _time_to_hang_up(route, said)
            if taken is None:
                return False
            times.append(taken)
        if ours[0] > _SLOW_SECONDS + strangers[0]:
            return True
        if turn + 1 >= _FEWEST_PAIRS and is_slower(ours, strangers):
            return True
        if time.monotonic() > end:
            break
    return False


def is_slower(times: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether times are longer than others, beyond chance and by enough to count.

    Args:
        times: Seconds.
        others: Seconds, as many.
    """
    count = len(times)
    ranked = sorted(
        [*((one, True) for one in times), *((one, False) for one in others)]
    )
    ranks = sum(rank for rank, (_, ours) in enumerate(ranked, 1) if ours)
    expected = count * (2 * count + 1) / 2
    deviation = math.sqrt(count * count * (2 * count + 1) / 12)
    # A low quantile: what a busy machine adds comes on top, and is not the gateway's.
    low = count // 5
    difference = sorted(times)[low] - sorted(others)[low]
    return (
        ranks - expected > _BEYOND_CHANCE * deviation and difference > _BACKEND_SECONDS
    )


def _stranger(name: str) -> str:
    """Return a name that no route can have, as long as this one."""
    suffix = ".invalid"
    length = max(4, len(name) - len(suffix))
    return secrets.token_hex(length)[:length] + suffix


def _time_to_hang_up(route: Route, hello: bytes) -> float | None:
    try:
        connection = route.connect(LOOK_SECONDS)
    except OSError:
        return None
    with connection:
        # The gateway accepts in its own time, which is not what is measured.
        time.sleep(0.002)
        started = time.perf_counter()
        try:
            connection.sendall(hello)
            said = connection.recv(1)
        except TimeoutError:
            return None
        except OSError:
            said = b""
        return None if said else time.perf_counter() - started
