"""The same scenarios with Celery's own transport and with this library's, in one run.

Both workers meet the same servers, the same gateway and the same fault at the same
time; a row holds if the library's worker is not behind. What the result backend adds
is shown in Nautobot itself, see `faults`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import Any
from typing import NamedTuple

from lab.nautobot.celery_worker import BY_HAND
from lab.nautobot.celery_worker import FURTHER
from lab.nautobot.deployment import REPOSITORY
from lab.processes import Process
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.promises import Promise

SECTION = "beside"
WHO: Mapping[str, Mapping[str, str]] = {
    "plain": {"UNDERSTACK_CONNECTION_PROFILE": "", BY_HAND: "1"},
    "default": {"UNDERSTACK_CONNECTION_PROFILE": ""},
    "wan": {"UNDERSTACK_CONNECTION_PROFILE": "wan"},
}
SPEED_JOBS = 2500
SPEED_TURNS = 4
LEAST_SPEED = 0.95
BROKER_SECONDS = 30
"""How long a submission waits for Redis; after that it is an error."""
AFTER_TIMEOUT = "errors after the time-out"
SILENT_FOR_LONG = "Redis silent for 40 s during a submission"
TAKEN_BACK = {"unacked_restore_interval": 1, "unacked_restore_throttle": 1}
"""How often kombu looks for what was not acknowledged: not every 100 s, its default."""
TRADED = {SILENT_FOR_LONG: AFTER_TIMEOUT}
"""Rows in which ours is behind plain in one figure, on purpose."""


class Seen(NamedTuple):
    """What a scenario showed of one worker: figures by name, the fewer the better."""

    figures: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in self.figures.items())


class Worker:
    """A worker of one kind, on a queue of its own, with its diary."""

    def __init__(
        self,
        directory: Path,
        behind: Servers,
        who: str,
        queue: str,
        pool: Sequence[str],
        celery: Mapping[str, Any],
    ) -> None:
        """Start, and return when it takes jobs."""
        self.who = who
        self.queue = queue
        self.diary = directory / f"{queue}.diary"
        self.environment = {
            **site_environment(behind),
            **WHO[who],
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            FURTHER: json.dumps(celery),
        }
        self.transport = celery.get("CELERY_BROKER_TRANSPORT_OPTIONS", {})
        self.log = directory / f"{queue}.log"
        self.command = [
            *(sys.executable, "-m", "lab.nautobot.celery_worker"),
            *(f"{queue}@site", queue, *pool),
        ]
        self.start()

    def start(self) -> None:
        """Start, again if it was ended, and return when it takes jobs."""
        before = self.log.read_bytes().count(b" ready.") if self.log.exists() else 0
        self.process = Process(
            self.queue,
            self.command,
            log=self.log,
            ready=lambda: self.log.read_bytes().count(b" ready.") > before,
            environment=self.environment,
            directory=REPOSITORY,
        )

    def runs(self) -> Counter[str]:
        """Return how often each job ran."""
        return Counter(self.diary.read_text().split() if self.diary.exists() else ())

    def descriptors(self) -> int:
        """Return how many descriptors its main process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kilobytes(self) -> int:
        """Return the resident memory of its main process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


class Bench:
    """Workers of every kind, and who sends to them beside the gateway."""

    def __init__(self, directory: Path, behind: Servers) -> None:
        """Describe it; workers start with each scenario."""
        self.directory = directory
        self.behind = behind
        self.number = 0

    @contextmanager
    def workers(
        self, *pool: str, who: Sequence[str] = tuple(WHO), **celery: Any
    ) -> Iterator[list[Worker]]:
        """Start one of each kind for a scenario."""
        self.number += 1
        with ExitStack() as stack:
            started = []
            for one in who:
                queue = f"beside-{self.number}-{one}"
                worker = Worker(self.directory, self.behind, one, queue, pool, celery)
                stack.callback(lambda one=worker: one.process.end(signal.SIGQUIT))
                started.append(worker)
            yield started

    @contextmanager
    def sender(self, worker: Worker) -> Iterator[Any]:
        """Return an application that sends to a worker through Redis' own socket."""
        from celery import Celery
        from kombu.serialization import register

        register(
            *("nautobot_json", json.dumps, json.loads),
            *("application/x-nautobot-json", "utf-8"),
        )
        redis = self.behind.redis
        url = f"redis+socket://lab:{redis._admin_password}@{redis.directory}/redis.sock"
        with Celery("sender", set_as_current=False, broker=url) as app:
            app.conf.task_serializer = "nautobot_json"
            app.conf.accept_content = ["nautobot_json"]
            app.conf.broker_transport_options = worker.transport
            yield app

    def send(self, worker: Worker, count: int = 1, **options: Any) -> list[str]:
        """Send jobs to a worker, and return their ids."""
        seconds = options.pop("seconds", 0.0)
        with self.sender(worker) as app:
            return [
                str(
                    app.send_task(
                        "lab.run",
                        (str(worker.diary), seconds),
                        queue=worker.queue,
                        **options,
                    ).id
                )
                for _ in range(count)
            ]

    def judged(
        self, workers: Sequence[Worker], sent: Mapping[str, list[str]]
    ) -> dict[str, Seen]:
        """Return how many jobs of each worker never ran, and how many run again.

        A job that ran and is still unacknowledged will be delivered again, an hour
        later by default.
        """
        with self.behind.redis.admin() as admin:
            held = {
                json.loads(raw)[0]["headers"]["id"]
                for key in admin.keys("*unacked")
                for raw in admin.hvals(key)
            }
        seen = {}
        for worker in workers:
            runs = worker.runs()
            ids = sent[worker.who]
            again = sum(runs[id_] + (id_ in held) > 1 for id_ in ids)
            not_run = sum(runs[id_] == 0 for id_ in ids)
            seen[worker.who] = Seen({"not run": not_run, "again": again})
        return seen


def wait_for(ready: Callable[[], bool], seconds: float) -> float:
    """Wait until something is so, or the time is up; return how long it took."""
    began = time.monotonic()
    while not ready() and time.monotonic() - began < seconds:
        time.sleep(0.1)
    return time.monotonic() - began


def gateway_away(bench: Bench, *pool: str, jobs: int, **celery: Any) -> dict[str, Seen]:
    """Take the gateway away for three seconds while jobs run and wait."""
    with bench.workers(*pool, **celery) as workers:
        sent = {one.who: bench.send(one, jobs, seconds=1.0) for one in workers}
        # What is on the wire in this moment is lost in either: all have theirs.
        with bench.behind.redis.admin() as admin:
            wait_for(lambda: not any(admin.llen(one.queue) for one in workers), 20)
        wait_for(lambda: all(one.runs() for one in workers), 20)
        bench.behind.gateway.kill()
        time.sleep(3)
        bench.behind.gateway.start()
        fresh = {one.who: bench.send(one) for one in workers}
        wait_for(
            lambda: all(
                set(fresh[one.who] + sent[one.who]) <= set(one.runs())
                for one in workers
            ),
            40,
        )
        time.sleep(3)
        return bench.judged(
            workers, {who: ids + fresh[who] for who, ids in sent.items()}
        )


def gateway_restarts(bench: Bench) -> dict[str, Seen]:
    """Restart the gateway eight times: jobs, descriptors, time until the next job."""
    with bench.workers("prefork", "2") as workers:
        for one in workers:
            bench.send(one)
        wait_for(lambda: all(one.runs() for one in workers), 20)
        before = {one.who: one.descriptors() for one in workers}
        sent: dict[str, list[str]] = {one.who: [] for one in workers}
        for _ in range(8):
            bench.behind.gateway.restart()
            for one in workers:
                sent[one.who] += bench.send(one)
            wait_for(
                lambda: all(set(sent[one.who]) <= set(one.runs()) for one in workers),
                30,
            )
        seen = bench.judged(workers, sent)
        return {
            one.who: Seen(
                {
                    **seen[one.who].figures,
                    "more descriptors": max(0, one.descriptors() - before[one.who]),
                }
            )
            for one in workers
        }


def redis_silent(bench: Bench, seconds: float) -> dict[str, Seen]:
    """Stop Redis while a job is submitted, and count its messages."""
    from lab.wire.client import Client

    redis = bench.behind.redis
    seen = {}
    with ExitStack() as stack:
        clients = {
            who: stack.enter_context(
                Client("broker", {**site_environment(bench.behind), **env})
            )
            for who, env in WHO.items()
        }
        for client in clients.values():
            assert client.ask("new")["ok"]
        redis.pause()
        answers = {
            who: client.begin("publish", queue=f"silent-{who}")
            for who, client in clients.items()
        }
        time.sleep(seconds)
        redis.resume()
        told = {who: answer() for who, answer in answers.items()}
        time.sleep(1)
        with redis.admin() as admin:
            for who in clients:
                messages, failed = admin.llen(f"silent-{who}"), not told[who]["ok"]
                figures = {
                    "twice": max(0, messages - 1),
                    "lost unsaid": int(not messages and not failed),
                }
                early = seconds < BROKER_SECONDS
                figures["errors" if early else AFTER_TIMEOUT] = int(failed)
                seen[who] = Seen(figures)
                admin.delete(f"silent-{who}")
    return seen


def warm_shutdown(
    bench: Bench, away: Callable[[], None], back: Callable[[], None]
) -> dict[str, Seen]:
    """End workers in an orderly way while something is away, for 60 s at most."""
    with bench.workers("prefork", "1") as workers:
        for one in workers:
            bench.send(one)
        wait_for(lambda: all(one.runs() for one in workers), 20)
        away()
        try:
            took: dict[str, float] = {}
            began = time.monotonic()
            for one in workers:
                one.process.send(signal.SIGTERM)
            while len(took) < len(workers) and time.monotonic() - began < 60:
                for one in workers:
                    if one.who not in took and not one.process.running:
                        took[one.who] = round(time.monotonic() - began)
                time.sleep(0.2)
        finally:
            back()
        return {one.who: Seen({"seconds": took.get(one.who, 60)}) for one in workers}


def delivery_options(bench: Bench) -> dict[str, Seen]:
    """Send two priorities to a worker with a prefetch of four and a key prefix."""
    with bench.workers(
        "solo",
        CELERY_WORKER_PREFETCH_MULTIPLIER=4,
        CELERY_TASK_QUEUE_MAX_PRIORITY=10,
        CELERY_BROKER_TRANSPORT_OPTIONS={"global_keyprefix": "site:"},
    ) as workers:
        for one in workers:
            bench.send(one, seconds=6.0)
        wait_for(lambda: all(one.runs() for one in workers), 20)
        # Redis hands out the lower number first.
        late = {one.who: bench.send(one, 4, priority=9) for one in workers}
        early = {one.who: bench.send(one, 4, priority=3) for one in workers}
        wait_for(lambda: all(len(one.runs()) >= 9 for one in workers), 30)
        seen = bench.judged(workers, {who: late[who] + early[who] for who in late})
        for one in workers:
            turns = [
                id_ for id_ in one.runs() if id_ in {*late[one.who], *early[one.who]}
            ]
            wrong = len(set(turns[:4]) - set(early[one.who]))
            seen[one.who] = Seen({**seen[one.who].figures, "out of turn": wrong})
        return seen


def remote_control(bench: Bench) -> dict[str, Seen]:
    """Revoke three of four jobs, inspect the worker, and listen to its events."""
    seen = {}
    with bench.workers("prefork", "1") as workers:
        for worker in workers:
            with bench.sender(worker) as app:
                events: list[str] = []
                name = f"{worker.queue}@site"
                inspect = app.control.inspect(destination=[name], timeout=5)
                app.control.enable_events(destination=[name], reply=True, timeout=5)
                receiver = app.events.Receiver(
                    app.connection_for_read(),
                    {"*": lambda one, all_=events: all_.append(one["type"])},
                    accept=["nautobot_json", "json"],
                )
                with receiver.consumer_context() as (connection, *_):
                    first, *revoked = bench.send(worker, 4, seconds=3.0)
                    app.control.revoke(revoked, destination=[name])
                    wait_for(lambda one=worker, id_=first: id_ in one.runs(), 20)
                    answers = [inspect.ping(), inspect.active()]
                    # kombu subscribes when it first waits.
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=1)
                    (last,) = bench.send(worker)
                    end = time.monotonic() + 20
                    while "task-succeeded" not in events and time.monotonic() < end:
                        with suppress(TimeoutError):
                            connection.drain_events(timeout=1)
            runs = worker.runs()
            seen[worker.who] = Seen(
                {
                    "ran though revoked": sum(runs[id_] for id_ in revoked),
                    "not run": sum(not runs[id_] for id_ in (first, last)),
                    "no answer": sum(not answer for answer in answers),
                    "no event": int("task-succeeded" not in events),
                }
            )
    return seen


def killed(bench: Bench) -> dict[str, Seen]:
    """Kill workers in a late acknowledged job; the next has to run it again."""
    with bench.workers(
        "solo",
        CELERY_TASK_ACKS_LATE=True,
        CELERY_BROKER_TRANSPORT_OPTIONS={"visibility_timeout": 5, **TAKEN_BACK},
    ) as workers:
        sent = {one.who: bench.send(one, seconds=2.0) for one in workers}
        wait_for(lambda: all(one.runs() for one in workers), 20)
        for one in workers:
            one.process.end(signal.SIGKILL)
        for one in workers:
            one.start()
        wait_for(lambda: all(max(one.runs().values()) > 1 for one in workers), 40)
        return {
            one.who: Seen({"not run again": int(one.runs()[sent[one.who][0]] < 2)})
            for one in workers
        }


def visibility_timeout(bench: Bench) -> dict[str, Seen]:
    """Let the visibility timeout end during a late acknowledged job.

    One worker after another: each takes back what any has not acknowledged.
    """
    options = {"visibility_timeout": 3, **TAKEN_BACK}
    seen = {}
    for who in WHO:
        with bench.workers(
            *("prefork", "1"),
            who=(who,),
            CELERY_TASK_ACKS_LATE=True,
            CELERY_BROKER_TRANSPORT_OPTIONS=options,
        ) as workers:
            sent = {who: bench.send(workers[0], seconds=8.0)}
            time.sleep(13)
            seen |= bench.judged(workers, sent)
    return seen


def redis_full(bench: Bench) -> dict[str, Seen]:
    """Let workers connect anew to a Redis whose memory is full, for 8 s."""
    with bench.workers("prefork", "1") as workers:
        with bench.behind.redis.admin() as admin:
            admin.config_set("maxmemory", 1)
            try:
                bench.behind.gateway.restart()
                time.sleep(8)
            finally:
                admin.config_set("maxmemory", 0)
        sent = {one.who: bench.send(one, 2) for one in workers}
        wait_for(lambda: all(len(one.runs()) > 1 for one in workers), 20)
        return bench.judged(workers, sent)


def speed(bench: Bench, *, turns: int = SPEED_TURNS) -> dict[str, Seen]:
    """Run the same number of jobs in turns: the best time, and memory that stays."""
    best: dict[str, float] = {}
    grown: dict[str, float] = {}
    with bench.workers("prefork", "1", who=("plain", "wan")) as workers:
        for turn in range(turns):
            for worker in workers:
                done = len(worker.runs())
                before = worker.kilobytes()
                began = time.monotonic()
                bench.send(worker, SPEED_JOBS)
                wanted = done + SPEED_JOBS
                wait_for(lambda one=worker, all_=wanted: len(one.runs()) >= all_, 120)
                took = 1000 * (time.monotonic() - began) / SPEED_JOBS
                best[worker.who] = min(took, best.get(worker.who, took))
                if turn:
                    more = (worker.kilobytes() - before) / 1024
                    grown[worker.who] = grown.get(worker.who, 0) + more
    return {
        who: Seen({"ms per job": round(took, 2), "MiB more": round(grown[who], 1)})
        for who, took in best.items()
    }


def show(directory: Path, behind: Servers, say: Say) -> list[Promise]:
    """Run every scenario and compare."""
    directory.mkdir(parents=True, exist_ok=True)
    bench = Bench(directory, behind)
    late = {"CELERY_TASK_ACKS_LATE": True}
    rows: list[tuple[str, Callable[[], dict[str, Seen]]]] = [
        (
            "late acknowledgement, gateway away for 3 s",
            lambda: gateway_away(bench, "prefork", "1", jobs=2, **late),
        ),
        (
            "12 jobs, pool of threads, gateway away for 3 s",
            lambda: gateway_away(bench, "threads", "4", jobs=12),
        ),
        (
            "6 jobs, pool solo, gateway away for 3 s",
            lambda: gateway_away(bench, "solo", jobs=6),
        ),
        (
            "12 jobs, prefork, gateway away for 3 s",
            lambda: gateway_away(bench, "prefork", "2", jobs=12),
        ),
        ("gateway restarted 8 times, prefork", lambda: gateway_restarts(bench)),
        ("Redis silent for 20 s during a submission", lambda: redis_silent(bench, 20)),
        (SILENT_FOR_LONG, lambda: redis_silent(bench, 40)),
        (
            "warm shutdown while Redis is silent",
            lambda: warm_shutdown(bench, behind.redis.pause, behind.redis.resume),
        ),
        (
            "warm shutdown while the gateway is away",
            lambda: warm_shutdown(bench, behind.gateway.kill, behind.gateway.start),
        ),
        ("priorities, prefetch of four, key prefix", lambda: delivery_options(bench)),
        ("revoked jobs, inspect and events", lambda: remote_control(bench)),
        ("worker killed in a late acknowledged job", lambda: killed(bench)),
        (
            "visibility timeout of 3 s, late job of 8 s",
            lambda: visibility_timeout(bench),
        ),
        ("Redis full as the gateway restarts", lambda: redis_full(bench)),
        (
            f"{SPEED_TURNS} times {SPEED_JOBS} jobs in turns, prefork",
            lambda: speed(bench),
        ),
    ]
    promises = []
    for name, scenario in rows:
        seen = scenario()
        text = "; ".join(f"{who}: {one}" for who, one in seen.items())
        say(f"{name}: {text}")
        traded = TRADED.get(name, "")
        promises.append(
            Promise(
                SECTION,
                name,
                f"behind on purpose in {traded} alone"
                if traded
                else "not behind plain",
                text,
                not behind_plain(seen, traded),
                {who: dict(one.figures) for who, one in seen.items()},
            )
        )
    return promises


def behind_plain(seen: Mapping[str, Seen], traded: str = "") -> list[str]:
    """Return the figures in which somebody is behind Celery's own, but for one."""
    plain = seen["plain"].figures
    return [
        f"{who}: {name}"
        for who, one in seen.items()
        for name, value in one.figures.items()
        if name != traded and value > plain[name] / LEAST_SPEED + SLACK.get(name, 0)
    ]


# What two runs of the same program differ by.
SLACK = {
    "seconds": 2,
    "more descriptors": 2,
    "MiB more": 2,
    "ms per job": 0.5,
}
