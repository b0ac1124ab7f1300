"""How work is timed: CPU time, in rounds that take turns, the median of them.

Wall time on a shared machine counts what others do. CPU time does not, apart from
what they do to the caches; turns spread that over all contestants alike.
"""

from __future__ import annotations

import gc
import marshal
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from typing import NamedTuple

from benchmarks.table import Figure

ROUND_SECONDS = 0.03


class Failed(Exception):
    """A command that is measured did not do its work; the text ends with its output."""


class Usage(NamedTuple):
    """What a process took, the ones it waited for included.

    Attributes:
        cpu: Seconds of CPU time, user and system.
        mebibytes: The largest resident set.
        output: What it printed.
    """

    cpu: float
    mebibytes: float
    output: str


def cpu_seconds(work: Callable[[], Any], times: int = 1) -> float:
    """Return the CPU seconds of one call, the mean of as many calls as told."""
    gc.collect()
    start = time.process_time_ns()
    for _ in range(times):
        work()
    return (time.process_time_ns() - start) / times / 1e9


def times_for(work: Callable[[], Any], seconds: float = ROUND_SECONDS) -> int:
    """Return how often to call something, warmed up, for a round worth timing."""
    work()
    return max(1, int(seconds / max(cpu_seconds(work, 3), 1e-7)))


def medians(
    contestants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """Let contestants take turns, each measuring itself; return their medians."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        # Whoever goes first finds cold caches: let that be everybody in turn.
        names = list(contestants)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            taken[name].append(contestants[name]())
    return {name: statistics.median(values) for name, values in taken.items()}


def warm_medians(
    works: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, float]:
    """Return the median CPU seconds of warm calls in this process."""
    counts = {name: times_for(work) for name, work in works.items()}

    def turn(name: str) -> Callable[[], float]:
        return lambda: cpu_seconds(works[name], counts[name])

    return medians({name: turn(name) for name in works}, rounds)


def usage(
    command: Sequence[str | os.PathLike[str]],
    environment: Mapping[str, str],
    *,
    statuses: Iterable[int] = (0,),
    directory: Path | None = None,
) -> Usage:
    """Run a command to its end and return what it took.

    Raises:
        Failed: Its exit status is none of those that mean work done.
    """
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        order = (
            [os.fspath(word) for word in command],
            dict(environment),
            os.fspath(directory or os.getcwd()),
            output.name,
        )
        launcher = _launcher()
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        marshal.dump(order, launcher.stdin)
        launcher.stdin.flush()
        status, cpu, kibibytes = marshal.load(launcher.stdout)
        text = output.read()
    if status not in set(statuses):
        words = " ".join(map(str, command))
        raise Failed(f"{words} ended with {status}:\n{text[-3000:]}")
    return Usage(cpu, kibibytes / 1024, text)


@cache
def _launcher() -> subprocess.Popen[bytes]:
    """Return the small process that starts what is measured; it ends with this one."""
    program = Path(__file__).with_name("launcher.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def usages(
    commands: Mapping[str, Callable[[], Usage]], rounds: int
) -> dict[str, tuple[Figure, Figure]]:
    """Let processes take turns; return the median CPU time and memory of each."""
    taken: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, run in commands.items():
            taken[name].append(run())
    return {
        name: (
            Figure(statistics.median(one.cpu for one in all_of_it), "s"),
            Figure(statistics.median(one.mebibytes for one in all_of_it), "MiB"),
        )
        for name, all_of_it in taken.items()
    }


def python_environment(**variables: str) -> dict[str, str]:
    """Return an environment for a process that can import this repository."""
    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        **variables,
    }


def progress(text: str) -> None:
    """Tell whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)
