"""The certificate check at start-up, and what cheaper checks let through."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.deployment import mounted
from benchmarks.measuring import progress
from benchmarks.measuring import warm_medians
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import within
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import Pki
from lab.corpus import client_files
from lab.corpus import situations
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.judging import describe_certificates

ROUNDS = 21
BUDGET = Figure(0.005, "s")


def rows() -> Iterator[Row]:
    """Measure the check, count its verdicts."""
    with mounted() as mount:
        directory = Path(mount.ca).parent
        clients = [client_files(use, directory) for use in (POSTGRESQL, REDIS)]

        def both() -> None:
            # A file that has just been written is one that nobody knows yet.
            os.utime(mount.certificate)
            for files in clients:
                assert check_certificates(files) == []

        def one() -> None:
            os.utime(mount.certificate)
            assert check_certificates(clients[0]) == []

        warm = warm_medians(
            {
                "one": one,
                "both": both,
                "isfile": lambda: looked_for(clients[0]),
                "described": lambda: describe_certificates(clients[0]),
            },
            ROUNDS,
        )
    isfile = "os.path.isfile x 3"
    yield _within("check of one client, warm", warm["one"], isfile, warm["isfile"])
    yield _within(
        "check at start, PostgreSQL and Redis with the same files, warm",
        warm["both"],
        isfile,
        warm["isfile"],
    )
    yield Row(
        "dates of the start-up line, when it is logged", Figure(warm["described"], "s")
    )
    yield from _verdicts()


def looked_for(files: ClientFiles) -> bool:
    """Do what a hand-written configuration does."""
    return all(os.path.isfile(file.path) for file in files.present())


def _within(work: str, ours: float, against: str, theirs: float) -> Row:
    row = within(work, Figure(ours, "s"), BUDGET)
    return row._replace(against=against, theirs=Figure(theirs, "s"))


def _verdicts() -> Iterator[Row]:
    """Count the wrong verdicts over the corpus that real servers have judged.

    `tests/live` asks PostgreSQL and Redis about every one of these situations.
    """
    wrong = accepted = bad = 0
    for situation in situations(Pki()):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name) / "mtls"
            situation.write(directory)
            for use in (POSTGRESQL, REDIS):
                files = client_files(use, directory)
                refused = bool(check_certificates(files, sleep=lambda _: None))
                expected = bool(situation.refusals(use, directory))
                wrong += refused != expected
                bad += expected
                accepted += expected and looked_for(files)
    progress(f"  {bad} bad situations, each for one client")
    yield within(
        "wrong verdicts over the corpus", Figure(wrong, ""), Figure(0, "")
    )._replace(
        against=f"isfile: accepted of {bad} bad cases", theirs=Figure(accepted, "")
    )
