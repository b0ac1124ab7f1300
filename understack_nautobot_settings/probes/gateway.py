"""What a TLS-passthrough gateway does with a name, found out by asking again.

A gateway that routes by name closes a connection without a word for half a dozen
reasons. Each of them is looked for: another first word, another name, no name, a name
that cannot exist.
"""

from __future__ import annotations

import secrets
import ssl
import statistics
import time

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.errors import Problem
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.tls import Tls

ANSWERS = "answers"
HANGS_UP = "hangs up"
SILENT = "silent"

LOOK_SECONDS = 3.0
UNASKED_SECONDS = 0.4

_TLS_RECORDS = (b"\x15", b"\x16")
_PAIRS = 16
_FEWEST_PAIRS = 6
# Asking a backend takes a gateway longer than knowing none: by more than this many
# seconds, and in three rounds of four.
_BACKEND_SECONDS = 0.00006
_BACKEND_SHARE = 0.75
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
    return problem_codes.PROBE_CLOSED.problem(
        endpoint.variable,
        f"{endpoint.place} accepts the connection and closes it without a word.",
        f"Check that {endpoint.server} runs behind this address, that it is not "
        "shutting down, and that it has connections left.",
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
        return problem_codes.PROBE_GATEWAY_IP.problem(
            variable,
            f"the host is an IP address, so TLS names no host, and {place} hangs up.",
            "Use the host name that the TLSRoute of the gateway has.",
        )
    if not tls.names_host and answer(route, greeting(host, tls.protocol)) == ANSWERS:
        return problem_codes.PROBE_GATEWAY_SNI_OFF.problem(
            variable,
            f"sslsni is off, and {place} hangs up unless TLS names {host}.",
            "Remove sslsni=0 from the options and PGSSLSNI from the environment.",
        )
    if host.endswith("."):
        bare = host.rstrip(".")
        if answer(route, greeting(bare, tls.protocol)) == ANSWERS:
            return problem_codes.PROBE_GATEWAY_DOT.problem(
                variable,
                f"{place} hangs up on the name {host} and answers to {bare}.",
                "Remove the dot at the end.",
            )
    if asks_a_backend(route, tls):
        return problem_codes.PROBE_GATEWAY_BACKEND.problem(
            variable,
            f"the gateway at {place} has a route for {host}, and nothing behind it "
            "answers.",
            f"Start {endpoint.server}, and check the endpoints of the Service that the "
            "TLSRoute names.",
        )
    return problem_codes.PROBE_GATEWAY_NAME.problem(
        variable,
        f"{place} hangs up on the name {host} as it does on a name that cannot exist.",
        f"Add {host} to the hostnames of the gateway's TLSRoute; where it is there, "
        "check that the Service behind it has endpoints.",
    )


def asks_a_backend(route: Route, tls: Tls) -> bool:
    """Tell whether a gateway tries to connect somewhere before it hangs up.

    There is nothing to see but the time it takes, compared with a name that no route
    can have, in turns. Where the network is too restless to tell, the answer is no.
    """
    ours: list[float] = []
    strangers: list[float] = []
    name = route.endpoint.host if tls.names_host else None
    hello = greeting(name, tls.protocol)
    for turn in range(_PAIRS):
        stranger = greeting(f"{secrets.token_hex(4)}.invalid", tls.protocol)
        order = ((hello, ours), (stranger, strangers))
        for said, times in order if turn % 2 else reversed(order):
            taken = _time_to_hang_up(route, said)
            if taken is None:
                return False
            times.append(taken)
        if ours[0] > _SLOW_SECONDS + strangers[0]:
            return True
        if (
            route.journey.left < 2 * (ours[-1] + strangers[-1])
            and turn >= _FEWEST_PAIRS
        ):
            break
    if len(ours) < _FEWEST_PAIRS:
        return False
    slower = sum(one > other for one, other in zip(ours, strangers, strict=True))
    difference = statistics.median(ours) - statistics.median(strangers)
    return difference > _BACKEND_SECONDS and slower >= _BACKEND_SHARE * len(ours)


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
