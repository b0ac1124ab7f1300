"""The main job through the gateway, with the worker in the role of a site."""

from __future__ import annotations

import contextlib

from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import recorded_sessions
from lab.processes import Process
from lab.wire.client import Client
from lab.wire.deployment import PARTITION
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise

SECTION = "gateway"
JOBS = 3


def show(
    behind: Servers, site: Nautobot, web: Nautobot, worker: Process, say: Say
) -> list[Promise]:
    """Connect with every client, and run Nautobot's LogsCleanup on the site."""
    promises = [_client(kind, behind) for kind in ("psycopg2", "psycopg", "cache")]
    classic = _refused(behind)
    promises.append(classic)
    say("gateway restarted below open connections")
    promises += _restarted(behind)

    say(f"{JOBS} Nautobot jobs on queue {PARTITION}")
    passed = behind.gateway.statistics()
    result = web.run_job(PARTITION, count=JOBS)
    expected = (
        f"nautobot-site-worker@{PARTITION}",
        True,
        "/CN=app",
        behind.leaf.serial,
    )
    sessions = {
        (
            one["application_name"],
            one["ssl"],
            one["client_dn"],
            one["client_serial"],
        )
        for one in recorded_sessions(behind.postgres)
    }
    say(f"jobs ended: {', '.join(result['statuses'])}")
    promises.append(
        Promise(
            SECTION,
            "LogsCleanup, submitted by web, run by the worker of the site",
            f"{JOBS} x SUCCESS",
            ", ".join(result["statuses"]),
            result["statuses"] == ["SUCCESS"] * JOBS,
        )
    )
    promises.append(
        Promise(
            SECTION,
            "who wrote the results, as PostgreSQL saw it",
            "the site's certificate, over TLS",
            "; ".join(sorted(f"{name} {dn}" for name, _, dn, _ in sessions)),
            sessions == {expected},
            {"client_serial": str(behind.leaf.serial)},
        )
    )
    now = behind.gateway.statistics()
    counts = {
        route: now[f"tcp.{route}.downstream_cx_total"]
        - passed.get(f"tcp.{route}.downstream_cx_total", 0)
        for route in ("postgres", "redis")
    }
    # The worker's ports are those of its sockets to the gateway, never to a server.
    direct = [
        session
        for session in behind.postgres.sessions()
        if session["client_port"] in worker.tcp_ports
    ]
    promises.append(
        Promise(
            SECTION,
            "connections through Envoy while the jobs ran",
            "all of them, none beside it",
            f"PostgreSQL {counts['postgres']}, Redis {counts['redis']}, "
            f"beside it {len(direct)}",
            counts["postgres"] >= JOBS and not direct,
            counts,
        )
    )
    return promises


def _client(kind: str, behind: Servers) -> Promise:
    with Client(kind, site_environment(behind)) as client:
        answer = client.ask("new")
    if kind == "cache":
        right = bool(answer["ok"])
        seen = "answered by a Redis that demands certificates"
    else:
        right = (answer.get("ssl"), answer.get("client_dn"), answer.get("serial")) == (
            True,
            "/CN=app",
            behind.leaf.serial,
        )
        seen = f"client_dn {answer.get('client_dn')}, over {answer.get('driver')}"
    return Promise(
        SECTION,
        f"{kind}: settings of configure, SNI, direct negotiation",
        "connects, and is known by its certificate",
        seen if right else str(answer["error"] or answer),
        right,
    )


def _restarted(behind: Servers) -> list[Promise]:
    """Restart the gateway between two requests of a web process."""
    kinds = ("psycopg2", "psycopg", "cache")
    env = site_environment(behind)
    unchecked = {**env, "UNDERSTACK_CONNECTION_PROFILE": ""}
    with contextlib.ExitStack() as stack:
        started = {kind: Client(kind, env) for kind in kinds}
        started["control"] = Client("psycopg2", unchecked)
        clients = {name: stack.enter_context(one) for name, one in started.items()}
        before = [client.ask("new") for client in clients.values()]
        assert all(answer["ok"] for answer in before), before
        behind.gateway.restart()
        answers = {name: client.ask("request") for name, client in clients.items()}
    control = answers.pop("control")
    promised = sum(bool(answer["ok"]) for answer in answers.values())
    return [
        Promise(
            SECTION,
            "the first request after a restart of the gateway",
            "succeeds over psycopg2, psycopg and in the cache",
            f"{promised} of {len(answers)} succeed",
            promised == len(answers),
            answers,
        ),
        Promise(
            SECTION,
            "control: the same request without the profile wan",
            "fails",
            "succeeds" if control["ok"] else "fails",
            not control["ok"],
            control,
        ),
    ]


def _refused(behind: Servers) -> Promise:
    """Show that it is the gateway which routes: nothing else gets through."""
    env = site_environment(behind, extra={"NAUTOBOT_DB_SSLNEGOTIATION": ""})
    with Client("psycopg2", env) as client:
        answer = client.ask("new")
    return Promise(
        SECTION,
        "control: classic negotiation names no host",
        "does not pass the gateway",
        "refused" if not answer["ok"] else "passed",
        not answer["ok"],
    )
