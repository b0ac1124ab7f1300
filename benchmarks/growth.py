"""How cost grows with what there is to look at."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.measuring import warm_medians
from benchmarks.table import Figure
from benchmarks.table import Row
from lab.certificates import Authority
from lab.corpus import POSTGRESQL
from lab.corpus import client_files
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.evaluation import evaluate

ROUNDS = 5
COUNTS = (1, 10, 100, 1000)
LINEAR = 15
"""Times as much for ten times as many, at the most."""


def rows() -> Iterator[Row]:
    """Measure each series; a row is compared with the one before it."""
    with mounted() as mount:
        environment = site_worker(mount)
        yield from _series("configure, warm", "plugins", _plugins(environment))
        yield from _series("certificates, warm", "CAs", _authorities(Path(mount.ca)))


def _series(work: str, unit: str, figures: dict[int, Figure]) -> Iterator[Row]:
    before: int | None = None
    for count, figure in figures.items():
        row = Row(f"{work}, {count:,} {unit}", figure)
        if before is not None:
            row = row._replace(
                against=f"{before:,} {unit}",
                theirs=figures[before],
                budget=f"≤ {LINEAR} x",
                met=figure.value <= LINEAR * figures[before].value,
            )
        yield row
        before = count


@contextmanager
def _installed(count: int, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Install that many plugins, each with a configuration in a file."""
    with tempfile.TemporaryDirectory() as name:
        plugins = {}
        for number in range(count):
            package = Path(name, f"bench_plugin_{number}")
            package.mkdir()
            (package / "__init__.py").touch()
            plugins[package.name] = {
                "url": f"https://plugin-{number}.example.com/",
                "token": "${SITE_SECRET_0}",
                "options": {"timeout": 30, "verify": True},
            }
        config = Path(name, "plugins.json")
        config.write_text(json.dumps(plugins))
        sys.path.append(name)
        try:
            yield {
                **environment,
                "NAUTOBOT_EXTRA_PLUGINS": ",".join(plugins),
                "NAUTOBOT_EXTRA_PLUGINS_CONFIG": "",
                "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": str(config),
            }
        finally:
            sys.path.remove(name)


def _plugins(environment: dict[str, str]) -> dict[int, Figure]:
    taken = {}
    for count in COUNTS:
        with _installed(count, environment) as env:
            base = base_settings(env)
            work = partial(evaluate, base, env, check_files=lambda _: [])
            evaluation = work()
            assert len(evaluation.settings["PLUGINS"]) >= count, evaluation.problems
            taken[count] = Figure(warm_medians({"warm": work}, ROUNDS)["warm"], "s")
    return taken


def _authorities(path: Path) -> dict[int, Figure]:
    own = path.read_bytes()
    others = [Authority(f"ca-{number}").cert_pem for number in range(max(COUNTS) - 1)]
    work = partial(check_certificates, client_files(POSTGRESQL, path.parent))
    taken = {}
    for count in COUNTS:
        path.write_bytes(own + b"".join(others[: count - 1]))
        assert work() == []
        taken[count] = Figure(warm_medians({"warm": work}, ROUNDS)["warm"], "s")
    return taken
