"""How cost grows with what there is to look at."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.commands import COMMAND
from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.expansion import SIZES
from benchmarks.expansion import compare
from benchmarks.expansion import document
from benchmarks.measuring import python_environment
from benchmarks.measuring import usage
from benchmarks.measuring import usages
from benchmarks.measuring import warm_medians
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from lab.certificates import Authority
from lab.corpus import POSTGRESQL
from lab.corpus import client_files
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.judging import check_files
from understack_nautobot_settings.checks.nautobot_base import nautobot_settings
from understack_nautobot_settings.configure import evaluate

ROUNDS = 5
PLUGINS = (1, 10, 100, 1000)
AUTHORITIES = (1, 10, 50, 200)


def rows() -> Iterator[Row]:
    """Measure each series; a row is compared with the one before it."""
    with mounted() as mount:
        environment = site_worker(mount)
        yield from _plugins(environment)
        yield from _expansion()
        yield from _authorities(Path(mount.ca), environment)


def _series(work: str, unit: str, figures: dict[int, Figure]) -> Iterator[Row]:
    before: int | None = None
    for count, figure in figures.items():
        name = f"{work}, {count:,} {unit}"
        if before is None:
            yield Row(name, figure)
        else:
            yield compared(name, figure, f"{before:,} {unit}", figures[before])
        before = count


@contextmanager
def _installed(count: int, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Install that many plugins, each with a configuration in a file."""
    with tempfile.TemporaryDirectory() as name:
        plugins: dict[str, Any] = {}
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
                **{
                    variable: text
                    for variable, text in environment.items()
                    if not variable.startswith("NAUTOBOT_EXTRA_PLUGINS")
                },
                "NAUTOBOT_EXTRA_PLUGINS": ",".join(plugins),
                "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": str(config),
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), name]),
            }
        finally:
            sys.path.remove(name)


def _plugins(environment: dict[str, str]) -> Iterator[Row]:
    warm: dict[int, Figure] = {}
    checked: dict[int, Figure] = {}
    for count in PLUGINS:
        with _installed(count, environment) as env:
            base = nautobot_settings(env)
            evaluation = evaluate(base, env, check_files=check_files)
            assert len(evaluation.settings["PLUGINS"]) >= count, evaluation.problems
            work = partial(evaluate, base, env, check_files=check_files)
            taken = warm_medians({"warm": work}, ROUNDS)
            warm[count] = Figure(taken["warm"], "s")
            checked[count] = _check(env)
    yield from _series("configure, warm", "plugins", warm)
    yield from _series("check as a process", "plugins", checked)


def _check(env: dict[str, str]) -> Figure:
    environment = python_environment(**env)
    taken = usages(
        {"check": lambda: usage([*COMMAND, "check"], environment, statuses=(0, 1))},
        ROUNDS,
    )
    return taken["check"][0]


def _expansion() -> Iterator[Row]:
    for name, size in SIZES.items():
        warm = compare(document(size, references=True), ROUNDS)
        yield compared(
            f"JSON with references, {name}",
            Figure(warm["ours"], "s"),
            "json.loads",
            Figure(warm["json"], "s"),
        )


def _authorities(path: Path, environment: dict[str, str]) -> Iterator[Row]:
    own = path.read_bytes()
    warm: dict[int, Figure] = {}
    checked: dict[int, Figure] = {}
    others = [
        Authority(f"ca-{number}").cert_pem for number in range(max(AUTHORITIES) - 1)
    ]
    files = client_files(POSTGRESQL, path.parent)
    assert files.cert is not None
    for count in AUTHORITIES:
        path.write_bytes(own + b"".join(others[: count - 1]))
        assert check_certificates(files) == []

        def check() -> None:
            os.utime(files.cert.path)
            check_certificates(files)

        taken = warm_medians({"warm": check}, ROUNDS)
        warm[count] = Figure(taken["warm"], "s")
        checked[count] = _check(environment)
    yield from _series("certificate check, warm", "CAs", warm)
    yield from _series("check as a process", "CAs", checked)
