"""The settings job, inside Nautobot processes: ours, and what peers take for less."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.measuring import Failed
from benchmarks.measuring import medians
from benchmarks.measuring import progress
from benchmarks.measuring import python_environment
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import ahead

OURS = "ours"
PEERS = {
    "environs": "with_environs",
    "pydantic-settings": "with_pydantic_settings",
}
WARM_CALLS = 50
ROUNDS = 15


class Stand:
    """A process of `benchmarks.stand`."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        """Start it."""
        self.module = module
        contestant = f"benchmarks.contestants.{module}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stand", contestant],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, *words: str) -> Any:
        """Give an order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(words) + "\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise Failed(f"the contestant {self.module} ended without an answer")
        return json.loads(answer)

    def __enter__(self) -> Stand:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Let it end."""
        self._process.communicate()


def rows() -> Iterator[Row]:
    """Measure and compare."""
    with mounted() as mount, ExitStack() as stack:
        environment = python_environment(
            **site_worker(mount), NAUTOBOT_ROOT=str(Path(mount.ca).parent)
        )
        stands = {
            name: stack.enter_context(Stand(module, environment))
            for name, module in ((OURS, "ours"), *PEERS.items())
        }
        _prove_contained(stands)
        yield from _warm(stands)


def _prove_contained(stands: Mapping[str, Stand]) -> None:
    """Make sure that only matching results are compared."""
    ours = stands[OURS].ask("result", "configure")
    for peer in PEERS:
        theirs = stands[peer].ask("result", "configure")
        if not _contained(theirs, ours):
            differing = [
                name for name in theirs if not _contained(theirs[name], ours.get(name))
            ]
            raise Failed(f"{peer} and {OURS} differ in {', '.join(differing)}")
        progress(f"  {peer}: {len(theirs)} of {len(ours)} settings, equal")


def _contained(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(
            name in whole and _contained(value, whole[name])
            for name, value in part.items()
        )
    return bool(part == whole)


def _warm(stands: Mapping[str, Stand]) -> Iterator[Row]:
    def turn(name: str, function: str) -> float:
        return float(stands[name].ask("warm", function, str(WARM_CALLS)))

    warm = medians(
        {
            OURS: lambda: turn(OURS, "configure_without_files"),
            **{peer: lambda peer=peer: turn(peer, "configure") for peer in PEERS},
        },
        ROUNDS,
    )
    for peer in PEERS:
        yield ahead(
            "configure, warm, certificates not judged",
            Figure(warm[OURS], "s"),
            peer,
            Figure(warm[peer], "s"),
        )


def first_call(environment: Mapping[str, str], function: str) -> float:
    """Return the CPU seconds of import and first call, in a process of their own."""
    with Stand("ours", environment) as fresh:
        return float(fresh.ask("once", function))
