"""The settings job, inside Nautobot processes: ours, hand-written, and with peers."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.environments import python_with
from benchmarks.measuring import Failed
from benchmarks.measuring import medians
from benchmarks.measuring import progress
from benchmarks.measuring import python_environment
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import ahead
from benchmarks.table import compared
from benchmarks.table import within

OURS = "ours"
INLINE = "hand-written inline"
PEERS = {
    "environs": "with_environs",
    "django-environ": "with_django_environ",
    "pydantic-settings": "with_pydantic_settings",
}
WARM_CALLS = 100
ROUNDS = 21
FRESH_PROCESSES = 5
MOST_WARM = 1.5
FIRST_CALL = 0.001
URL_OURS = "database_url_ours"
URL_THEIRS = "database_url_theirs"


class Stand:
    """A process of `benchmarks.stand`."""

    def __init__(
        self, python: Path, module: str, environment: Mapping[str, str]
    ) -> None:
        """Start it."""
        self.module = module
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.stand", f"benchmarks.contestants.{module}"],
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
            **site_worker(mount),
            NAUTOBOT_ROOT=str(Path(mount.ca).parent),
            # For dj-database-url, which reads nothing else.
            DATABASE_URL=_database_url(mount.certificate, mount.key, mount.ca),
        )

        def stand(name: str) -> Stand:
            module, python = contestants[name]
            return Stand(python, module, environment)

        here = Path(sys.executable)
        contestants = {
            OURS: ("ours", here),
            INLINE: ("inline", here),
            **{peer: (module, python_with(peer)) for peer, module in PEERS.items()},
        }
        waiting = {name: stack.enter_context(stand(name)) for name in contestants}
        _prove_equal(waiting)
        yield from _warm(waiting)
        yield from _first(stand, contestants)
        contestants[URL_OURS] = URL_OURS, here
        contestants[URL_THEIRS] = URL_THEIRS, python_with("dj-database-url")
        urls = {
            name: stack.enter_context(stand(name)) for name in (URL_OURS, URL_THEIRS)
        }
        _prove_equal(urls)
        yield from _database_url_rows(urls)


def _prove_equal(stands: Mapping[str, Stand]) -> None:
    """Make sure that everybody does the same job."""
    results = {name: stand.ask("result", "configure") for name, stand in stands.items()}
    first, *others = results
    for other in others:
        if results[other] != results[first]:
            differing = [
                name
                for name in {*results[first], *results[other]}
                if results[first].get(name) != results[other].get(name)
            ]
            raise Failed(
                f"{other} and {first} differ in {', '.join(sorted(differing))}"
            )
    progress(f"  {', '.join(results)}: {len(results[first])} settings, all equal")


def _warm(stands: Mapping[str, Stand]) -> Iterator[Row]:
    warm = medians(
        {
            name: lambda stand=stand: stand.ask("warm", "configure", str(WARM_CALLS))
            for name, stand in stands.items()
        },
        ROUNDS,
    )
    ours = Figure(warm[OURS], "s")
    work = "configure, warm"
    yield compared(work, ours, INLINE, Figure(warm[INLINE], "s"), at_most=MOST_WARM)
    for peer in PEERS:
        yield ahead(work, ours, peer, Figure(warm[peer], "s"))


def _first(stand: Callable[[str], Stand], names: Iterable[str]) -> Iterator[Row]:
    """Measure what happens once, each time in a Nautobot process of its own."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    judged: list[float] = []
    for _ in range(FRESH_PROCESSES):
        for name, given in answers.items():
            with stand(name) as fresh:
                given.append(fresh.ask("once", "configure"))
        with stand(OURS) as fresh:
            judged.append(fresh.ask("once", "configure_with_certificates")["call"])

    def median(name: str, part: str) -> Figure:
        return Figure(statistics.median(one[part] for one in answers[name]), "s")

    def both(name: str) -> Figure:
        return Figure(median(name, "import").value + median(name, "call").value, "s")

    row = within(
        "configure, first call, without the certificate check",
        median(OURS, "call"),
        Figure(FIRST_CALL, "s"),
    )
    yield row._replace(against=INLINE, theirs=median(INLINE, "call"))
    yield Row(
        "configure, first call, certificates judged",
        Figure(statistics.median(judged), "s"),
    )
    for other in (INLINE, *PEERS):
        yield compared("import and first call", both(OURS), other, both(other))
    yield _foreign_modules(answers[OURS][0]["modules"])
    for peer in PEERS:
        foreign = _foreign(answers[peer][0]["modules"])
        yield Row(
            "third-party modules that Nautobot has not loaded",
            Figure(len(_foreign(answers[OURS][0]["modules"])), ""),
            peer,
            Figure(len(foreign), ""),
        )


def _foreign(modules: list[str]) -> list[str]:
    own = ("understack_nautobot_settings", "benchmarks", "tests")
    return [
        name
        for name in modules
        if name.partition(".")[0] not in {*sys.stdlib_module_names, *own}
    ]


def _foreign_modules(modules: list[str]) -> Row:
    foreign = _foreign(modules)
    if foreign:
        progress(f"  third-party modules of ours: {', '.join(foreign)}")
    return within(
        "third-party modules that Nautobot has not loaded",
        Figure(len(foreign), ""),
        Figure(0, ""),
    )


def _database_url(cert: str, key: str, ca: str) -> str:
    options = {
        "sslmode": "verify-full",
        "sslcert": cert,
        "sslkey": key,
        "sslrootcert": ca,
        "connect_timeout": "10",
    }
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"postgres://app@localhost:5432/app?{query}"


def _database_url_rows(stands: Mapping[str, Stand]) -> Iterator[Row]:
    warm = medians(
        {
            name: lambda stand=stand: stand.ask("warm", "configure", str(WARM_CALLS))
            for name, stand in stands.items()
        },
        ROUNDS,
    )
    yield compared(
        "DATABASES alone, warm",
        Figure(warm[URL_OURS], "s"),
        "dj-database-url",
        Figure(warm[URL_THEIRS], "s"),
    )
