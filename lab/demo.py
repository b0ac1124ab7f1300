"""The main job of the library, shown on real servers: ``tox run -e demo``.

Progress goes to standard error, the table to standard output. Exit status 0 only if
everything in the table is as it should be, 1 if something is not, 2 if a program is
missing and nothing could be shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Any
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.certificates import Mount
from lab.installation import MissingProgram
from lab.installation import downloads
from lab.nautobot.deployment import NautobotFailed
from lab.nautobot.deployment import nautobot_for
from lab.nautobot.deployment import record_sessions
from lab.nautobot.deployment import recorded_sessions
from lab.nautobot.deployment import startup_line
from lab.processes import NotStarted
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.databases import driver

PLUGINS = ["nautobot_plugin_nornir", "nautobot_golden_config"]
REDIS_PASSWORD = "a/b#c?d[e]%41"  # what breaks a URL that is not encoded
WIDTH_WITHOUT_TERMINAL = 120

Say = Callable[[str], None]


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        section: What it belongs to; its lines head as many rows.
        fact: What was looked at.
        seen: What was found.
        right: Whether that is as it should be; None where there is nothing to judge.
    """

    section: str
    fact: str
    seen: str
    right: bool | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lab demo",
        description="Runs a Nautobot job over mutual TLS to PostgreSQL and Redis.",
    )
    parser.add_argument("--partition", default="site-a", help="name of the queue")
    parser.add_argument(
        "--postgres", type=int, choices=(15, 18), default=18, help="major version"
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end_in_order)
    if importlib.util.find_spec("nautobot") is None:
        tell("Nautobot is not installed. Run: tox run -e demo")
        return 2
    tell(downloads())
    say = progress()
    try:
        rows = demonstrate(arguments.partition, arguments.postgres, say)
    except MissingProgram as error:
        tell(str(error))
        return 2
    except (NotStarted, NautobotFailed) as error:
        tell(str(error))
        return 1
    say("everything ended and removed")
    show(rows)
    return exit_status(rows)


def demonstrate(partition: str, postgres_version: Any, say: Say) -> list[Row]:
    """Do all of it, and return what was seen.

    Args:
        partition: Partition of the site, and name of its queue.
        postgres_version: 15 or 18.
        say: Told what happens.
    """
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="understack-lab-"))
        )
        say("certificate authority, server and client certificates")
        authority = Authority()
        mount = KubernetesMount(directory / "mtls")
        leaf = authority.client("app")
        mount.write(leaf, authority.ca_pem)

        say(f"PostgreSQL {postgres_version} and Redis: finding, installing, starting")
        postgres = stack.enter_context(
            PostgresServer(postgres_version, authority=authority)
        )
        redis = stack.enter_context(
            RedisServer(authority=authority, password=REDIS_PASSWORD)
        )
        say(f"{postgres.name} on port {postgres.port}, Redis on port {redis.port}")

        worker_nautobot = nautobot_for(
            directory,
            mount,
            postgres,
            redis,
            partition=partition,
            role="site-worker",
        )
        say("Nautobot's database: tables from the models")
        worker_nautobot.prepare_database()
        record_sessions(postgres)

        say(f"Nautobot's worker on queue {partition}")
        worker = stack.enter_context(worker_nautobot.worker(partition))

        say(f"job queue {partition}, and LogsCleanup on it")
        # As a web pod: what the worker does is told apart by its role.
        web_nautobot = worker_nautobot.having(UNDERSTACK_ROLE="web")
        result = web_nautobot.run_job(partition)
        say(f"job ended: {', '.join(result['statuses'])}")

        sessions = recorded_sessions(postgres)
        ports = {str(port) for port in worker.tcp_ports}
        clients = [
            client
            for client in redis.sessions()
            if client["addr"].rpartition(":")[2] in ports
        ]
        rows = [
            *_configured(result["settings"]),
            *_postgresql(postgres, sessions, partition, leaf, mount),
            *_redis(redis, clients, mount),
            *_nautobot(result, partition, startup_line(worker)),
        ]
        say("ending everything")
    return rows


def exit_status(rows: Sequence[Row]) -> int:
    """Return 0 if all that was judged is right, 1 otherwise."""
    judged = [row.right for row in rows if row.right is not None]
    return 0 if judged and all(judged) else 1


def show(rows: Sequence[Row], title: str = "Nautobot over mutual TLS") -> None:
    """Print the table on standard output."""
    console = Console(
        width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False
    )
    table = Table("", "what", "seen", "", title=title)
    marks = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: ""}
    for section, members in groupby(rows, key=lambda row: row.section):
        headings = section.split("\n")
        for heading, row in zip_longest(headings, members, fillvalue=None):
            if row is not None:
                seen = Text(row.seen)
                table.add_row(heading, row.fact, seen, marks[row.right])
        table.add_section()
    console.print(table)


def _configured(settings: Mapping[str, str]) -> Iterator[Row]:
    for name, value in settings.items():
        yield Row("configured", name, value)


def _postgresql(
    postgres: PostgresServer,
    sessions: Sequence[Mapping[str, Any]],
    partition: str,
    leaf: Leaf,
    mount: Mount,
) -> Iterator[Row]:
    section = f"{postgres.name}\nsees the worker"
    session = sessions[-1] if sessions else {}
    name = f"nautobot-site-worker@{partition}"
    version = postgres.sql("show server_version")[0][0]
    yield Row(section, "server_version", version)
    yield Row(section, "pg_hba.conf", ", ".join(postgres.hba))
    for column, right in (
        ("application_name", session.get("application_name") == name),
        ("ssl", session.get("ssl") is True),
        ("version", session.get("version") in {"TLSv1.2", "TLSv1.3"}),
        ("cipher", None),
        ("client_dn", session.get("client_dn") == "/CN=app"),
        ("issuer_dn", session.get("issuer_dn") == "/CN=understack-mtls-ca"),
        ("client_serial", session.get("client_serial") == leaf.serial),
    ):
        yield Row(section, column, str(session.get(column, "no session")), right)
    refusal = _refusal(lambda: _postgres_login(postgres, mount))
    yield Row(section, "without certificate", refusal or "let in", bool(refusal))


def _redis(
    redis: RedisServer, clients: Sequence[Mapping[str, str]], mount: Mount
) -> Iterator[Row]:
    section = "Redis\nsees the worker"
    with redis.admin() as admin:
        version = admin.info("server")["redis_version"]
        settings = admin.config_get("port", "tls-port", "tls-auth-clients")
    yield Row(section, "redis_version", version)
    yield Row(section, "port (plain text)", settings["port"], settings["port"] == "0")
    yield Row(
        section,
        "tls-port",
        settings["tls-port"],
        settings["tls-port"] == str(redis.port),
    )
    demanded = settings["tls-auth-clients"]
    yield Row(section, "tls-auth-clients", demanded, demanded == "yes")
    commands = sorted({client["cmd"] for client in clients})
    yield Row(
        section,
        "its connections",
        f"{len(clients)} to the TLS port, last commands: {', '.join(commands)}",
        bool(clients),
    )
    refusal = _refusal(lambda: _redis_login(redis, mount))
    yield Row(section, "without certificate", refusal or "let in", bool(refusal))


def _nautobot(
    result: Mapping[str, Any], partition: str, worker_line: str
) -> Iterator[Row]:
    section = "Nautobot"
    plugins = result["plugins"]
    yield Row(section, "version", result["nautobot"])
    yield Row(section, "plugins loaded", ", ".join(plugins), plugins == PLUGINS)
    yield Row(
        section, "partition", str(result["partition"]), result["partition"] == partition
    )
    yield Row(section, "worker", ", ".join(map(str, result["workers"])))
    expected = (*PLUGINS, f"partition {partition}", "mTLS on", "sslmode=verify-full")
    yield Row(
        section,
        "its line at start-up",
        worker_line or "none",
        all(words in worker_line for words in expected),
    )
    statuses = result["statuses"]
    yield Row(section, "job LogsCleanup", ", ".join(statuses), statuses == ["SUCCESS"])


def _refusal(login: Callable[[], None]) -> str:
    """Return what the server says when somebody comes without a certificate."""
    try:
        login()
    except Exception as error:  # noqa: BLE001 - of two drivers
        return f"refused: {' '.join(str(error).split())}"
    return ""


def _postgres_login(postgres: PostgresServer, mount: Mount) -> None:
    driver().connect(
        host=postgres.host,
        port=postgres.port,
        user="app",
        dbname="app",
        sslmode="verify-ca",
        sslrootcert=mount.ca,
        sslcertmode="disable",
    ).close()


def _redis_login(server: RedisServer, mount: Mount) -> None:
    import redis

    with redis.Redis(
        host=server.host,
        port=server.port,
        password=server.password,
        ssl=True,
        ssl_ca_certs=mount.ca,
        retry=None,
    ) as client:
        client.ping()


def progress() -> Say:
    """Return what tells each step with the time since now."""
    start = time.monotonic()

    def say(text: str) -> None:
        tell(f"{time.monotonic() - start:6.1f} s  {text}")

    return say


def tell(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def end_in_order(number: int, frame: FrameType | None) -> None:
    """Leave every context on the way out; a signal handler."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
