"""Workers with this package's connections, beside workers with Celery's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import progress
from benchmarks.table import Figure
from benchmarks.table import Row
from lab.installation import MissingProgram
from lab.wire.deployment import servers
from lab.wire.sections import beside
from lab.wire.sections import flows

PLAIN = "Celery's own transport"
TURNS = 5
"""The first one warms up; the others are ten thousand jobs."""


def rows() -> Iterator[Row]:
    """Run jobs in turns, then let the flows of idle workers vanish."""
    with tempfile.TemporaryDirectory() as name:
        with servers(Path(name, "servers")) as behind:
            bench = beside.Bench(Path(name), behind)
            yield from _jobs(beside.speed(bench, turns=TURNS))
        try:
            yield _lost_flows(Path(name, "flows"))
        except MissingProgram as error:
            progress(f"  lost flows are not measured: {error}")


def _jobs(seen: dict[str, beside.Seen]) -> Iterator[Row]:
    ours, theirs = seen["wan"].figures, seen["plain"].figures
    speed, plain = (
        Figure(1000 / one["ms per job"], "jobs per second") for one in (ours, theirs)
    )
    met = speed.value >= beside.LEAST_SPEED * plain.value
    work, budget = "jobs of one worker, wan, gateway", f"≥ {beside.LEAST_SPEED} x"
    yield Row(work, speed, PLAIN, plain, budget, met)
    slack = beside.SLACK["MiB more"]
    gained, plain = (Figure(one["MiB more"], "MiB") for one in (ours, theirs))
    met = gained.value <= plain.value + slack
    work, budget = "memory that it gained in 10,000 jobs", f"≤ {slack} MiB more"
    yield Row(work, gained, PLAIN, plain, budget, met)


def _lost_flows(directory: Path) -> Row:
    """Return the worst of all directions in which packets vanish."""
    seen = flows.show(directory, progress, wanted=("prefork",))
    ours, theirs = (
        max(
            one.figures["next_job"] or flows.WATCHED_SECONDS
            for one in seen
            if f", {profile}:" in one.name
        )
        for profile in ("wan", "by hand")
    )
    return Row(
        "next job of a worker whose flows were lost, wan",
        Figure(ours, "s"),
        f"{PLAIN}, watched for {flows.WATCHED_SECONDS:.0f} s",
        Figure(theirs, "s"),
        f"≤ {flows.BACK_SECONDS:.0f} s, and no later",
        ours <= min(flows.BACK_SECONDS, theirs),
    )
