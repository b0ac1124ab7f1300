"""Many sites behind one gateway, each with a certificate and a queue of its own.

A site here is a thread with a broker connection and a database connection made from
the settings that `configure` gives it: what a Nautobot worker holds, without its
weight. Whatever it receives it writes into the database, where the server notes with
which certificate.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.certificates import write_mount
from lab.nautobot.deployment import REPOSITORY
from lab.processes import dying_with_us
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise

SECTION = "fleet"
SITES = 50
PROCESSES = 2
READY_SECONDS = 60
BACK_SECONDS = 60
OUTAGE_SECONDS = 3
DIARY = """
create schema if not exists fleet;
create table fleet.diary (
    site text, round text, serial text, at timestamptz default clock_timestamp()
);
grant usage on schema fleet to app;
grant insert on fleet.diary to app;
"""


def show(directory: Path, behind: Servers, say: Say) -> list[Promise]:
    """Start the fleet, restart the gateway below it, and wait for the last one."""
    behind.postgres.sql(DIARY)
    sites: dict[str, dict[str, str]] = {}
    serials: dict[str, str] = {}
    for number in range(SITES):
        site = f"site-{number:02}"
        leaf = behind.authority.client()
        mount = write_mount(directory / site, leaf, behind.authority.ca_pem)
        serials[site] = str(leaf.serial)
        sites[site] = site_environment(
            behind._replace(mount=mount),  # type: ignore[arg-type]
            extra={
                "UNDERSTACK_PARTITION": site,
                "CELERY_TASK_QUEUES": site,
                "UNDERSTACK_LOG_FORMAT": "",
            },
        )
    names = list(sites)
    processes = []
    for number in range(PROCESSES):
        part = {name: sites[name] for name in names[number::PROCESSES]}
        file = directory / f"part-{number}.json"
        file.write_text(json.dumps(part))
        with open(directory / f"part-{number}.log", "wb") as log:
            processes.append(
                subprocess.Popen(
                    [*dying_with_us(), sys.executable, "-m", __name__, file],
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=log,
                )
            )
    try:
        fleet = _Fleet(behind, names)
        began = time.monotonic()
        fleet.send("first")
        first = fleet.wait("first", READY_SECONDS)
        say(f"{len(first)} sites at work after {time.monotonic() - began:.1f} s")
        before = fleet.connections()
        say(f"gateway killed, back after {OUTAGE_SECONDS} s, connections {before}")
        behind.gateway.kill()
        time.sleep(OUTAGE_SECONDS)
        behind.gateway.start()
        back = time.monotonic()
        fleet.send("second")
        second = fleet.wait("second", BACK_SECONDS)
        last = time.monotonic() - back
        after = fleet.connections()
        say(f"{len(second)} sites back after {last:.1f} s, connections {after}")
        running = all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
    return [
        Promise(
            SECTION,
            f"{SITES} sites at work through one gateway",
            "each on its queue, with its own certificate",
            f"{len(first)} sites, {len(set(first.values()))} serials, connections: "
            f"PostgreSQL {before['postgres']}, Redis {before['redis']}",
            first == serials,
            {"sites": len(first), "connections": before},
        ),
        Promise(
            SECTION,
            f"gateway killed for {OUTAGE_SECONDS} s",
            f"all {SITES} come back, no restart",
            f"{len(second)} back, the last after {last:.1f} s, connections: "
            f"PostgreSQL {after['postgres']}, Redis {after['redis']}",
            second == serials and running,
            {"sites": len(second), "connections": after, "seconds": round(last, 1)},
        ),
        Promise(
            SECTION,
            "messages sent to the fleet",
            "each handled once",
            f"{fleet.handled()} handled of {fleet.sent} sent",
            fleet.handled() == fleet.sent,
            {"sent": fleet.sent, "handled": fleet.handled()},
        ),
    ]


class _Fleet:
    """The fleet as its global cluster sees it."""

    def __init__(self, behind: Servers, names: list[str]) -> None:
        from tests.live.deployment import configured

        self._behind = behind
        self._names = names
        self.sent = 0
        # Beside the gateway, as a pod of the global cluster.
        self._settings = configured(
            site_environment(
                behind,
                extra={
                    "NAUTOBOT_DB_PORT": str(behind.postgres.port),
                    "NAUTOBOT_REDIS_PORT": str(behind.redis.port),
                },
            )
        )

    def send(self, round_: str) -> None:
        """Put a message into the queue of every site."""
        from tests.live.deployment import broker

        with broker(self._settings) as connection:
            producer = connection.Producer()
            for name in self._names:
                producer.publish(
                    {"round": round_},
                    routing_key=name,
                    declare=[_queue(name)],
                    serializer="json",
                )
                self.sent += 1

    def wait(self, round_: str, seconds: float) -> dict[str, str]:
        """Return the serial of each site that answered, when all have."""
        end = time.monotonic() + seconds
        while True:
            rows = self._behind.postgres.sql(
                "select site, serial from fleet.diary where round = %s", [round_]
            )
            if len(dict(rows)) == len(self._names) or time.monotonic() > end:
                return dict(rows)
            time.sleep(0.1)

    def handled(self) -> int:
        """Return how many messages were handled, each time it was."""
        return int(self._behind.postgres.sql("select count(*) from fleet.diary")[0][0])

    def connections(self) -> dict[str, int]:
        """Return what the gateway carries."""
        return {
            route: self._behind.gateway.connections(route)
            for route in ("postgres", "redis")
        }


def _queue(name: str) -> Any:
    import kombu

    return kombu.Queue(name, kombu.Exchange(""), routing_key=name)


class Site(threading.Thread):
    """One site: consumes its queue, and writes into the database what it gets."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__(name=name, daemon=True)
        self._settings = settings
        self._handled: set[str] = set()

    def run(self) -> None:
        """Consume for ever; connect again as a Celery worker does."""
        from celery import Celery
        from django.db.utils import ConnectionHandler

        app = Celery(self.name, set_as_current=False)
        celery = {
            name: value
            for name, value in self._settings.items()
            if name.startswith("CELERY_") and "RESULT" not in name
        }
        app.config_from_object(celery, namespace="CELERY")
        # Each thread has its own.
        self._database = ConnectionHandler(self._settings["DATABASES"])["default"]
        while True:
            connection = app.connection_for_read()
            try:
                # Two seconds, then four …: Celery's own intervals.
                connection.ensure_connection()
                with connection.Consumer(
                    [_queue(self.name)], callbacks=[self._handle], accept=["json"]
                ):
                    while True:
                        with contextlib.suppress(TimeoutError):
                            connection.drain_events(timeout=5)
            except (*connection.connection_errors, *connection.channel_errors) as lost:
                sys.stderr.write(f"{self.name}: {lost!r}\n")
            finally:
                connection.collect()

    def _handle(self, body: Mapping[str, str], message: Any) -> None:
        # As the result backend of the profile does: wait for the database.
        while body["round"] not in self._handled:
            with self._database_may_be_away():
                self._write(body["round"])
                self._handled.add(body["round"])
        message.ack()

    @contextlib.contextmanager
    def _database_may_be_away(self) -> Iterator[None]:
        from django.db import DatabaseError

        try:
            yield
        except DatabaseError as away:
            sys.stderr.write(f"{self.name}: {away!r}\n")
            self._database.close()
            time.sleep(0.5)

    def _write(self, round_: str) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(
                "insert into fleet.diary (site, round, serial) "
                "select %s, %s, client_serial::text from pg_stat_ssl "
                "where pid = pg_backend_pid()",
                [self.name, round_],
            )


def main() -> None:
    """Run the sites of a file until somebody ends the process."""
    # Lazy modules are no good at being imported by fifty threads at once.
    importlib.import_module("celery.app.base")
    from tests.live.deployment import configured

    with open(sys.argv[1]) as file:
        environments = json.load(file)
    sites = [Site(name, configured(env)) for name, env in environments.items()]
    for site in sites:
        site.start()
    for site in sites:
        site.join()


if __name__ == "__main__":
    try:
        main()
    finally:
        os._exit(1)
