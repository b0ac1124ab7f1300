"""A thousand sites behind one gateway: how long until the last is back.

A site here is one client over the library's own connection class and settings, many
in a process. Each pings once a second, as a worker's heartbeat does.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.nautobot.deployment import REPOSITORY
from lab.processes import dying_with_us
from lab.servers.databases import PostgresServer
from lab.servers.pooler import pooler
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise

SECTION = "scale"
FLEETS = (50, 1000)
PROCESSES = 2
POOL_SIZE = 80
OUTAGE_SECONDS = 3
BACK_SECONDS = 90.0


def show(directory: Path, behind: Servers, say: Say) -> list[Promise]:
    """Restart gateway, Redis and PostgreSQL below fleets of both sizes."""
    directory.mkdir(parents=True, exist_ok=True)
    promises = [
        _restarted(
            directory / f"{name}-{sites}",
            site_environment(behind),
            sites,
            (name, getattr(behind, name)),
            say,
        )
        for sites in FLEETS
        for name in ("gateway", "redis")
    ]
    # As CloudNativePG ships it, with its Pooler: this PgBouncer knows no direct
    # negotiation, so it is reached beside the gateway.
    limit = {"max_connections": "100"}
    with (
        PostgresServer(18, authority=behind.authority, settings=limit) as postgres,
        pooler(postgres, size=POOL_SIZE) as port,
    ):
        pooled = {
            "NAUTOBOT_DB_PORT": str(port),
            "NAUTOBOT_DB_SSLNEGOTIATION": "",
            "UNDERSTACK_DB_POOLER": "transaction",
        }
        promises += [
            _restarted(
                directory / f"postgres-{sites}",
                site_environment(behind, extra=pooled),
                sites,
                ("PostgreSQL behind PgBouncer", postgres),
                say,
            )
            for sites in FLEETS
        ]
    return promises


def _restarted(
    directory: Path,
    deployment: Mapping[str, str],
    sites: int,
    what: tuple[str, Any],
    say: Say,
) -> Promise:
    directory.mkdir()
    name, server = what
    kind = "database" if name.startswith("PostgreSQL") else "redis"
    journals = [directory / f"journal-{number}" for number in range(PROCESSES)]
    environment = {
        **deployment,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
    }
    processes = []
    for journal in journals:
        journal.touch()
        share = str(sites // PROCESSES)
        with open(f"{journal}.log", "wb") as log:
            processes.append(
                subprocess.Popen(
                    [
                        *dying_with_us(),
                        *(sys.executable, "-m", __name__, kind, journal, share),
                    ],
                    env=environment,
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=log,
                )
            )

    def noted(word: str) -> list[float]:
        lines = [
            line.split() for one in journals for line in one.read_text().splitlines()
        ]
        return [float(at) for said, at in lines if said == word]

    def wait(word: str) -> None:
        end = time.monotonic() + BACK_SECONDS
        while len(noted(word)) < sites and time.monotonic() < end:
            time.sleep(0.2)

    try:
        wait("up")
        up = len(noted("up"))
        server.kill()
        time.sleep(OUTAGE_SECONDS)
        server.start()
        began = time.time()
        # Some wait in the pooler, and never see that it was away.
        end = time.monotonic() + BACK_SECONDS
        time.sleep(2)
        while noted("lost") and len(noted("back")) < len(noted("lost")):
            if time.monotonic() > end:
                break
            time.sleep(0.2)
        lost = len(noted("lost"))
    finally:
        for process in processes:
            process.kill()
            process.wait(30)
    back = sorted(at - began for at in noted("back"))
    peak = max((sum(at <= one < at + 1 for one in back) for at in back), default=0)
    last = back[-1] if back else 0.0
    say(f"{sites} sites, {name}: {len(back)} back, the last after {last:.1f} s")
    return Promise(
        SECTION,
        f"{sites} sites, {name} away for {OUTAGE_SECONDS} s",
        f"all back within {BACK_SECONDS:.0f} s",
        f"{len(back)} back of {lost} lost, {up} up, the last after {last:.1f} s, "
        f"at most {peak} in a second",
        len(back) == lost > 0 and up == sites,
        {"last": round(last, 1), "peak": peak},
    )


def _redis(settings: Mapping[str, Any]) -> Callable[[], Any]:
    """Return what uses a connection of the cache's own class and settings."""
    import redis

    cache = settings["CACHES"]["default"]
    # Without retries every failure is seen; a site tries again once a second.
    kept = {**cache["OPTIONS"]["CONNECTION_POOL_KWARGS"], "retries": 0}
    pool = redis.ConnectionPool.from_url(cache["LOCATION"], max_connections=1, **kept)
    return redis.Redis(connection_pool=pool).ping


def _database(settings: Mapping[str, Any]) -> Callable[[], Any]:
    """Return what uses a database connection as a request does."""
    from django.db.utils import ConnectionHandler

    default = {"CONN_MAX_AGE": 300, **settings["DATABASES"]["default"]}
    connections = ConnectionHandler({"default": default})

    def use() -> None:
        connection = connections["default"]
        connection.health_check_done = False
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute("select 1")

    return use


def _live(use: Callable[[], Any], note: Callable[[str], None]) -> None:
    """Use a connection for ever, and note when it is up, and when it is back."""
    known, was_up = False, False
    while True:
        try:
            use()
        except Exception:  # noqa: BLE001 - whatever a client sees, it is away
            if was_up:
                note("lost")
            was_up = False
        else:
            if not was_up:
                note("back" if known else "up")
            known = was_up = True
        time.sleep(random.uniform(0.5, 1.5))


def main() -> None:
    """Run a share of the sites until somebody ends the process."""
    from tests.live.deployment import configured

    kind, journal, sites = sys.argv[1:]
    settings = configured(dict(os.environ))
    client = {"redis": _redis, "database": _database}[kind]
    threading.stack_size(256 * 1024)
    lock = threading.Lock()
    with open(journal, "a", buffering=1) as lines:

        def note(word: str) -> None:
            with lock:
                lines.write(f"{word} {time.time()}\n")

        threads = [
            threading.Thread(target=_live, args=(client(settings), note), daemon=True)
            for _ in range(int(sites))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
