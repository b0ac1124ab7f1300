"""Flows that are forgotten in silence, and how long until a site is back.

A worker and its servers are in network namespaces of their own, see `lab.network`. The
packets of every connection that a worker holds vanish, in both directions or in one,
as in a NAT table, a firewall or a load balancer that was restarted; new connections
work. Jobs are sent in that moment and on; the servers tell what became of them.

Runs as a process of its own in the namespace of the servers: `main`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from typing import NamedTuple

from lab import network
from lab.certificates import mount_files
from lab.nautobot.celery_worker import BY_HAND
from lab.nautobot.deployment import BY_HAND_CONFIG
from lab.nautobot.deployment import REPOSITORY
from lab.nautobot.deployment import Nautobot
from lab.processes import Process
from lab.processes import dying_with_us
from lab.processes import tcp_ports
from lab.servers.databases import RedisServer
from lab.wire import stream
from lab.wire.client import KINDS
from lab.wire.client import Client
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import prepared_nautobot
from lab.wire.deployment import servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise
from lab.wire.sections.faults import Stream

SECTION = "flows"
BACK_SECONDS = 60.0
"""Within which a worker of the profile wan takes its next job: spec of the fleet."""
WATCHED_SECONDS = 100.0
SEND_EVERY = 2.0
ERROR_SECONDS = 6.0
"""How long a request on a forgotten cache connection may hang: redis-py's 5 s."""
DATABASE_SECONDS = 45.0
HELD_SECONDS = 3.0
HOLD_RESULTS = f"""
do $$ begin
    lock table extras_jobresult in share mode; perform pg_sleep({HELD_SECONDS});
end $$
"""
"""Every result that a job writes in the meantime is on its way, without an answer."""
PROFILES: Mapping[str, Mapping[str, str]] = {
    "wan": {"UNDERSTACK_CONNECTION_PROFILE": "wan"},
    "default": {"UNDERSTACK_CONNECTION_PROFILE": ""},
    "by hand": {"UNDERSTACK_CONNECTION_PROFILE": "", BY_HAND: "1"},
}
POOLS = ("prefork", "threads", "solo")
QUICK = "quick"
"""Only the profile that a promise is made for, without a control."""
EVERYTHING = ("clients", "prefork", "nautobot")
DIRECTIONS: tuple[network.Direction, ...] = ("both", "in", "out")


class Ran(NamedTuple):
    """What became of the jobs of one worker.

    Attributes:
        sent: Jobs sent since the flows were forgotten.
        finished: Of these, how many ran.
        lost: How many never ran and are neither on the queue nor unacknowledged.
        repeated: How many ran more than once.
        next_job: Seconds until a job ran, None if none did.
    """

    sent: int
    finished: int
    lost: int
    repeated: int
    next_job: float | None

    def __str__(self) -> str:
        """Return the figures in words."""
        back = "no job" if self.next_job is None else f"next job {self.next_job:.0f} s"
        return (
            f"{back}; sent {self.sent}, finished {self.finished}, lost {self.lost}, "
            f"repeated {self.repeated}"
        )


def show(
    directory: Path, say: Say, *, wanted: Sequence[str] = EVERYTHING
) -> list[Promise]:
    """Run `main` in a namespace of its own, and return what it saw.

    Raises:
        MissingProgram: There is no namespace without root, `ip` and `nft`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with network.cluster() as name:
        done = subprocess.run(
            [
                *dying_with_us(),
                *network.inside(name),
                *(sys.executable, "-m", __name__, name, directory, *wanted),
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    *lines, last = done.stdout.splitlines()
    for line in lines:
        say(line)
    return [Promise(**one) for one in json.loads(last)]


class _Worker:
    """A Celery worker of a profile at the site, on a queue of its own."""

    def __init__(self, profile: str, direction: network.Direction, pool: str) -> None:
        self.profile = profile
        self.direction = direction
        self.pool = pool
        self.queue = f"{profile}-{direction}-{pool}".replace(" ", "-")
        self.sent: list[str] = []
        self.next_job: float | None = None

    def start(
        self, stack: ExitStack, site: network.Site, env: Mapping[str, str], logs: Path
    ) -> None:
        log = logs / f"{self.queue}.log"
        command = [site.python, "-m", "lab.nautobot.celery_worker"]
        self.process = Process(
            self.queue,
            [*command, f"{self.queue}@site", self.queue, self.pool],
            log=log,
            ready=lambda: b" ready." in log.read_bytes(),
            environment=env,
            directory=REPOSITORY,
        )
        stack.callback(self.process.end, signal.SIGQUIT)

    def judge(self, admin: Any) -> Ran:
        runs = Counter(admin.lrange(f"ran-{self.queue}", 0, -1))
        waiting = stream.left_on_broker(admin, self.queue)
        return Ran(
            sent=len(self.sent),
            finished=sum(id_ in runs for id_ in self.sent),
            lost=sum(id_ not in runs and id_ not in waiting for id_ in self.sent),
            repeated=sum(runs[id_] > 1 for id_ in self.sent),
            next_job=self.next_job,
        )


def main() -> None:
    """Show everything from within the namespace of the servers."""
    name, directory, *wanted = sys.argv[1:]
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="understack-flows-"))
        )
        site = stack.enter_context(network.site(scratch, name))
        behind = stack.enter_context(servers(scratch / "servers"))
        env = {
            **site_environment(behind),
            # Beside the gateway: it would close what leads nowhere for its client.
            "NAUTOBOT_DB_PORT": str(behind.postgres.port),
            "NAUTOBOT_REDIS_PORT": str(behind.redis.port),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
        }
        profiles = ("wan",) if QUICK in wanted else tuple(PROFILES)
        promises = _clients(site, env, profiles) if "clients" in wanted else []
        workers = [
            _Worker(profile, direction, pool)
            for pool in wanted
            if pool in POOLS
            for profile in profiles
            for direction in DIRECTIONS
        ]
        promises += _workers(site, env, behind, Path(directory), workers)
        if "nautobot" in wanted:
            promises += _nautobot(site, scratch / "nautobot", behind)
    print(json.dumps([one._asdict() for one in promises]))  # noqa: T201


def _clients(
    site: network.Site, env: Mapping[str, str], profiles: Sequence[str]
) -> list[Promise]:
    """Forget the idle connection of each kind of client, and use it then."""
    promises = []
    who = [(kind, profile) for kind in KINDS for profile in profiles]
    with ExitStack() as stack, ThreadPoolExecutor(len(who)) as at_once:

        def ask(client: Client) -> dict[str, Any]:
            return client.ask("request") if client.running else {"ok": False}

        clients = [
            Client(kind, {**env, **PROFILES[profile]}, python=site.python)
            for kind, profile in who
        ]
        for client in clients:
            stack.enter_context(client)
            opened = client.ask("new")
            assert opened["ok"], opened
        for client in clients:
            site.forget(tcp_ports(client.pid))
        first = dict(zip(who, at_once.map(ask, clients), strict=True))
        again = dict(zip(who, at_once.map(ask, clients), strict=True))
    for (kind, profile), answer in first.items():
        bound = ERROR_SECONDS if kind == "cache" else DATABASE_SECONDS
        control = profile != "wan" and kind != "cache"
        after = again.get((kind, profile), {"ok": False})
        promises.append(
            Promise(
                SECTION,
                f"{kind}, {profile}: idle connection forgotten, then used",
                "control" if control else f"answer or error within {bound:.0f} s",
                f"{'answer' if answer['ok'] else 'error'} after "
                f"{answer['seconds']:.1f} s, next "
                f"{'works' if after['ok'] else 'fails'}",
                control or (answer["seconds"] <= bound and bool(after["ok"])),
                {"seconds": answer["seconds"], "ok": answer["ok"]},
            )
        )
    return promises


def _workers(
    site: network.Site,
    env: Mapping[str, str],
    behind: Servers,
    logs: Path,
    workers: Sequence[_Worker],
) -> list[Promise]:
    """Forget the flows of workers at once, and count their jobs."""
    if not workers:
        return []
    from celery import Celery
    from kombu.serialization import register

    register(
        "nautobot_json", json.dumps, json.loads, "application/x-nautobot-json", "utf-8"
    )
    with ExitStack() as stack:
        for worker in workers:
            worker.start(stack, site, {**env, **PROFILES[worker.profile]}, logs)
        admin = stack.enter_context(behind.redis.admin())
        app = Celery("sender", set_as_current=False, broker=_url(behind.redis))
        app.conf.task_serializer = "nautobot_json"
        stack.callback(app.close)

        def send(worker: _Worker) -> str:
            task = app.send_task(
                "lab.note", (f"ran-{worker.queue}",), queue=worker.queue
            )
            return str(task.id)

        for worker in workers:
            send(worker)
        _wait(lambda: all(admin.llen(f"ran-{one.queue}") for one in workers), 60)
        time.sleep(5)
        # A renewal in the same moment: what connects anew has to use it.
        _renew(behind)
        for worker in workers:
            site.forget(worker.process.tcp_ports, worker.direction)
        lost = time.monotonic()
        while time.monotonic() - lost < WATCHED_SECONDS:
            waiting = [one for one in workers if one.next_job is None]
            if not waiting:
                break
            for worker in waiting:
                worker.sent.append(send(worker))
            end = time.monotonic() + SEND_EVERY
            while time.monotonic() < end:
                for worker in waiting:
                    ran = admin.llen(f"ran-{worker.queue}") > 1
                    if ran and worker.next_job is None:
                        worker.next_job = time.monotonic() - lost
                time.sleep(0.2)
        time.sleep(5)
        return [_promise(worker, worker.judge(admin)) for worker in workers]


def _promise(worker: _Worker, ran: Ran) -> Promise:
    wan = worker.profile == "wan"
    return Promise(
        SECTION,
        f"{worker.pool} worker, {worker.profile}: idle, direction {worker.direction}",
        f"next job within {BACK_SECONDS:.0f} s" if wan else "control",
        str(ran),
        not wan
        or (
            ran.next_job is not None
            and ran.next_job <= BACK_SECONDS
            and not ran.repeated
        ),
        ran._asdict(),
    )


def _nautobot(site: network.Site, directory: Path, behind: Servers) -> list[Promise]:
    """Forget the flows of whole Nautobot workers in the middle of a stream of jobs.

    While jobs run, results are written and the certificate is renewed.
    """
    web = prepared_nautobot(directory, behind, stream.SOURCE)
    stream.record_ends(behind.postgres)
    workers: dict[tuple[str, network.Direction], Nautobot] = {
        ("wan", "both"): Nautobot(directory, web.deployment, python=site.python),
        ("wan", "out"): Nautobot(directory, web.deployment, python=site.python),
        ("by hand", "both"): Nautobot(
            directory, web.deployment, python=site.python, config=BY_HAND_CONFIG
        ),
    }
    queues = {who: f"site-{'-'.join(who).replace(' ', '-')}" for who in workers}
    with ExitStack() as stack, ThreadPoolExecutor(4) as at_once:
        streams = {}
        running = {}
        for who, nautobot in workers.items():
            web.call(stream.prepare, queue=queues[who])
            nautobot.deployment["CELERY_TASK_QUEUES"] = queues[who]
            running[who] = stack.enter_context(
                nautobot.worker(queues[who], concurrency=2, ready_seconds=180)
            )
            streams[who] = Stream(
                directory / queues[who],
                behind,
                web,
                queue=queues[who],
                per_second=0.5,
                milliseconds=1500,
            )
        list(at_once.map(Stream.start, streams.values()))
        _renew(behind)
        at_once.submit(behind.postgres.sql, HOLD_RESULTS)
        time.sleep(HELD_SECONDS - 0.5)
        for (_, direction), worker in running.items():
            site.forget(worker.tcp_ports, direction)
        lost = time.time()
        back: dict[Any, float | None] = dict.fromkeys(streams)
        while time.time() - lost < WATCHED_SECONDS and None in back.values():
            for who, jobs in streams.items():
                if back[who] is None and jobs.ran_since(lost):
                    back[who] = time.time() - lost
            time.sleep(0.5)
        outcomes = dict(
            zip(streams, at_once.map(Stream.finish, streams.values()), strict=True)
        )
    promises = []
    for who, outcome in outcomes.items():
        next_job = back[who]
        took = "no job" if next_job is None else f"next job {next_job:.0f} s"
        profile, direction = who
        wan = profile == "wan"
        promises.append(
            Promise(
                SECTION,
                f"Nautobot worker, {profile}: results written, direction {direction}",
                f"next job within {BACK_SECONDS:.0f} s" if wan else "control",
                f"{took}; {outcome}",
                not wan or (next_job is not None and next_job <= BACK_SECONDS),
                {**outcome._asdict(), "next_job": next_job},
            )
        )
    return promises


def _renew(behind: Servers) -> None:
    """Renew the certificate: what connects anew has to use it."""
    leaf = behind.authority.client()
    behind.mount.swap(mount_files(leaf, behind.authority.ca_pem))


def _url(redis: RedisServer) -> str:
    return f"redis+socket://lab:{redis._admin_password}@{redis.directory}/redis.sock"


def _wait(ready: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not ready within {seconds:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
