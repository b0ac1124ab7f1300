"""Probes as kubelet runs them, against what a Nautobot pod has without this package."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.deployment import mounted_by
from benchmarks.measuring import Usage
from benchmarks.measuring import progress
from benchmarks.measuring import usage
from benchmarks.measuring import usages
from benchmarks.settings import first_call
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from benchmarks.table import within
from lab.certificates import Authority
from lab.nautobot.deployment import nautobot_for
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.wire.deployment import psycopg2_path
from lab.wire.sections.beside import wait_for

# What an installed console script does.
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from understack_nautobot_settings.commands.main import main; "
    "sys.exit(main())",
)
ROUNDS = 5
STARTS = 3
SITE = "dfw3"
FIRST = 1 / 100
WORKER = 1 / 50
PING = 1 / 12
CONNECTIONS = 1 / 15
CHECK = 1 / 40
MEMORY = {"worker": Figure(32, "MiB"), "all": Figure(48, "MiB")}
INSPECT = "nautobot-server celery inspect ping"
HEALTH = "nautobot-server health_check"
SYSTEM_CHECK = "nautobot-server check"
PROBES_A_DAY = 86400 // 15


def rows() -> Iterator[Row]:
    """Run a real worker on real servers, and probe it."""
    authority = Authority()
    with ExitStack() as stack:
        mount = stack.enter_context(mounted_by(authority))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        heartbeat = directory / "heartbeat"
        postgres = stack.enter_context(PostgresServer(18, authority=authority))
        redis = stack.enter_context(RedisServer(authority=authority, password="p/a#s"))
        nautobot = nautobot_for(
            directory,
            mount,
            postgres,
            redis,
            partition=SITE,
            role="site-worker",
            extra={
                "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
                # The driver that Nautobot brings.
                "PYTHONPATH": f"{psycopg2_path(directory)}:{Path(__file__).parents[1]}",
                "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES": "true",
                "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE": str(heartbeat),
            },
        )
        progress("  a Nautobot database, 20 s or more")
        nautobot.prepare_database()
        plain = nautobot.without_migrations()
        environment = nautobot.environment
        starts, firsts, looks = [], [], []
        for _ in range(STARTS):
            with nautobot.worker(SITE) as worker:
                starts.append(worker.cpu_seconds)
            firsts.append(first_call(environment, "configure"))
            looks.append(first_call(environment, "configure_and_look"))
        stack.enter_context(nautobot.worker(SITE))
        wait_for(heartbeat.exists, 30)
        assert heartbeat.exists(), "the worker writes no heartbeat"
        destination = f"celery@{socket.gethostname()}"
        ping = ("celery", "inspect", "ping", "--destination", destination)

        def probe(*arguments: str) -> Usage:
            return usage(
                [*COMMAND, "probe", *arguments], environment, directory=directory
            )

        def server(*arguments: str) -> Usage:
            return usage(
                nautobot.command(*arguments),
                {**environment, "NAUTOBOT_CONFIG": str(plain)},
                directory=directory,
            )

        for targets in (("worker", "--ping"), ("database", "cache", "broker")):
            answer = json.loads(probe(*targets, "--json").output)
            assert all(target["ok"] for target in answer["targets"]), answer
        assert "pong" in server(*ping).output
        measured = usages(
            {
                INSPECT: lambda: server(*ping),
                "worker": lambda: probe("worker"),
                "ping": lambda: probe("worker", "--ping"),
                HEALTH: lambda: server("health_check"),
                "all": lambda: probe("database", "cache", "broker"),
                SYSTEM_CHECK: lambda: server("check"),
                "check": lambda: usage(
                    [*COMMAND, "check"], environment, statuses=(0, 1)
                ),
            },
            ROUNDS,
        )
    yield compared(
        "import and first configure, certificates judged",
        Figure(median(firsts), "s"),
        "start of a Nautobot worker",
        Figure(median(starts), "s"),
        at_most=FIRST,
    )
    yield compared(
        "the same, and the look at the settings in force",
        Figure(median(looks), "s"),
        "start of a Nautobot worker",
        Figure(median(starts), "s"),
    )
    for work, name, against, at_most in (
        ("probe worker", "worker", INSPECT, WORKER),
        ("probe worker --ping", "ping", INSPECT, PING),
        ("probe database cache broker", "all", HEALTH, CONNECTIONS),
        ("check", "check", SYSTEM_CHECK, CHECK),
    ):
        cpu, memory = measured[name]
        their_cpu, their_memory = measured[against]
        yield compared(f"{work}, CPU", cpu, against, their_cpu, at_most=at_most)
        if name in MEMORY:
            yield within(f"{work}, memory", memory, MEMORY[name])._replace(
                against=against, theirs=their_memory
            )
        if name != "check":
            yield compared(
                f"{work}, every 15 s for a day",
                Figure(cpu.value * PROBES_A_DAY / 60, "CPU minutes"),
                against,
                Figure(their_cpu.value * PROBES_A_DAY / 60, "CPU minutes"),
            )
