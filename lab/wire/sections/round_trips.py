"""Round trips of a new connection, to its first answer, counted at the client."""

from __future__ import annotations

from collections.abc import Mapping

from lab.nautobot.celery_worker import BY_HAND
from lab.servers.delay_proxy import DelayProxy
from lab.wire.client import Client
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise

SECTION = "round trips"
AWAY = 0.05
"""Seconds there and back, as between two sites of one continent."""
DEFAULTS = {"UNDERSTACK_CONNECTION_PROFILE": "", "NAUTOBOT_DB_SSLNEGOTIATION": ""}


def show(behind: Servers, say: Say) -> list[Promise]:
    """Count with the profile through the gateway, and without in front of it."""
    promises = []
    for kind in ("psycopg2", "psycopg"):
        say(f"round trips of {kind}")
        # Only direct negotiation passes the gateway, so what it is compared with
        # goes to the server itself.
        before = _counted(
            kind, behind, "NAUTOBOT_DB_PORT", behind.postgres.port, DEFAULTS
        )
        after = _counted(
            kind, behind, "NAUTOBOT_DB_PORT", behind.gateway.port("postgres"), {}
        )
        promises.append(
            _promise(f"database connection ({kind})", "4 instead of 6", before, after)
        )
        promises[-1] = promises[-1]._replace(held=(before[0], after[0]) == (6, 4))
    say("round trips of Redis")
    redis = behind.gateway.port("redis")
    before = _counted("cache", behind, "NAUTOBOT_REDIS_PORT", redis, {BY_HAND: "1"})
    for kind in ("cache", "broker"):
        after = _counted(kind, behind, "NAUTOBOT_REDIS_PORT", redis, {})
        promise = _promise(
            f"Redis connection ({kind})", "5 or fewer instead of 8", before, after
        )
        promises.append(promise._replace(held=after[0] <= 5 < before[0]))
    return promises


def _counted(
    kind: str, behind: Servers, variable: str, port: int, extra: Mapping[str, str]
) -> tuple[int, float]:
    """Return the round trips of a new connection, and its seconds from afar."""
    with DelayProxy(port, round_trip=AWAY) as proxy:
        env = site_environment(behind, extra={**extra, variable: str(proxy.port)})
        with Client(kind, env) as client:
            # Imports and caches are not what is measured.
            client.ask("new")
            seen = len(proxy.conversations)
            answer = client.ask("new")
            assert answer["ok"], answer
            made = proxy.conversations[seen:]
            return sum(one.round_trips for one in made), answer["seconds"]


def _promise(
    name: str, promised: str, before: tuple[int, float], after: tuple[int, float]
) -> Promise:
    return Promise(
        SECTION,
        f"new {name}",
        promised,
        f"{after[0]} instead of {before[0]}; {AWAY * 1000:.0f} ms away "
        f"{after[1] * 1000:.0f} ms instead of {before[1] * 1000:.0f}",
        False,
        {
            "round_trips": after[0],
            "round_trips_without": before[0],
            "seconds": after[1],
            "seconds_without": before[1],
        },
    )
