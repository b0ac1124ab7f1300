"""Servers and gateway killed and restarted in the middle of a stream of jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lab.nautobot.deployment import Nautobot
from lab.wire import stream
from lab.wire.deployment import PARTITION
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.promises import Promise
from lab.wire.stream import Outcome

SECTION = "faults"
JOBS_PER_SECOND = 4.0
JOB_MILLISECONDS = 300
OUTAGE_SECONDS = 4.0
QUIET_SECONDS = 4.0
END_SECONDS = 30.0
ON_THE_WIRE = 2
"""Messages that two kills may catch between Redis and the worker: `BRPOP`."""


class Fault(NamedTuple):
    """Something that goes away, and comes back.

    Attributes:
        name: What it is.
        kill: Makes it go away.
        start: Brings it back.
    """

    name: str
    kill: Callable[[], None]
    start: Callable[[], None]


class Stream:
    """A stream of jobs that goes on until the context ends, and waits for their end."""

    def __init__(
        self,
        directory: Path,
        behind: Servers,
        nautobot: Nautobot,
        *,
        queue: str = PARTITION,
        per_second: float = JOBS_PER_SECOND,
        milliseconds: int = JOB_MILLISECONDS,
    ) -> None:
        """Describe the stream.

        Args:
            directory: Where journal and diary go.
            behind: The servers, which know what became of each job.
            nautobot: Who submits.
            queue: Where the jobs go.
            per_second: Submissions per second.
            milliseconds: How long a job takes.
        """
        directory.mkdir(parents=True)
        self._behind = behind
        self._nautobot = nautobot
        self._queue = queue
        self._rate = per_second
        self._milliseconds = milliseconds
        self._diary = directory / "diary"
        self._journal = directory / "journal"
        self._stop = directory / "stop"
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._error: BaseException | None = None
        self.refusals: list[str] = []

    @property
    def sent(self) -> int:
        """Jobs sent so far."""
        return len(stream.journal_entries(self._journal)[0])

    def start(self) -> None:
        """Begin, and return when the first jobs have ended."""
        self._thread.start()
        self.wait_for_more(3)

    def ran_since(self, moment: float) -> bool:
        """Return whether a job ran that was sent after a moment, seconds by clock."""
        runs = set(self._diary.read_text().split()) if self._diary.exists() else set()
        later = set()
        for line in self._journal.read_text().splitlines():
            kind, name, *rest = line.split()
            if kind == "sent" and rest and float(rest[-1]) > moment:
                later.add(name)
        return bool(runs & later)

    def wait_for_more(self, count: int, seconds: float = 60.0) -> None:
        """Return when this many more jobs have run than now."""
        before = self._runs()
        end = time.monotonic() + seconds
        while self._runs() < before + count:
            if self._error is not None:
                raise self._error
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{self._runs() - before} jobs ran within {seconds:.0f} s"
                )
            time.sleep(0.1)

    def finish(self, seconds: float = END_SECONDS) -> Outcome:
        """Stop sending, wait until all have ended, and judge."""
        self._stop.touch()
        self._thread.join(120)
        if self._error is not None:
            raise self._error
        sent, self.refusals = stream.journal_entries(self._journal)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = stream.unfinished(self._behind.postgres, sent)
            if not left and self._left().isdisjoint(sent):
                break
            time.sleep(0.2)
        return stream.outcome(
            self._behind.postgres, sent, len(self.refusals), self._diary, self._left()
        )

    def _left(self) -> set[str]:
        with self._behind.redis.admin() as admin:
            return stream.left_on_broker(admin, self._queue)

    def _runs(self) -> int:
        return len(self._diary.read_text().split()) if self._diary.exists() else 0

    def _send(self) -> None:
        try:
            self._nautobot.call(
                stream.send,
                seconds=900,
                queue=self._queue,
                per_second=self._rate,
                milliseconds=self._milliseconds,
                diary=str(self._diary),
                journal=str(self._journal),
                stop=str(self._stop),
            )
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            self._error = error


def faults(behind: Servers) -> tuple[Fault, ...]:
    """Return what is killed, in this order."""
    gateway, redis, postgres = behind.gateway, behind.redis, behind.postgres
    return (
        Fault("gateway", gateway.kill, gateway.start),
        Fault("Redis", redis.kill, redis.start),
        Fault("PostgreSQL", postgres.kill, postgres.start),
    )


def show(
    directory: Path, behind: Servers, nautobot: Nautobot, say: Say
) -> list[Promise]:
    """Kill and restart each in the middle of a stream, and count."""
    promises = []
    for fault in faults(behind):
        jobs = Stream(directory / fault.name, behind, nautobot)
        jobs.start()
        began = time.monotonic()
        say(f"{fault.name}: killed, and back after {OUTAGE_SECONDS:.0f} s")
        fault.kill()
        time.sleep(OUTAGE_SECONDS)
        fault.start()
        back = time.monotonic()
        jobs.wait_for_more(5)
        say(f"{fault.name}: jobs run again {time.monotonic() - back:.1f} s later")
        # Again, with no time between: a restart.
        fault.kill()
        fault.start()
        jobs.wait_for_more(5)
        time.sleep(QUIET_SECONDS)
        outcome = jobs.finish()
        say(f"{fault.name}: {outcome} in {time.monotonic() - began:.0f} s")
        promises.append(
            Promise(
                SECTION,
                f"{fault.name} killed twice in a stream of jobs",
                "none twice; what has not ended is on the broker, but for the wire",
                str(outcome),
                not outcome.repeated and outcome.lost <= ON_THE_WIRE,
                {**outcome._asdict(), "finished": outcome.finished},
            )
        )
    return promises
