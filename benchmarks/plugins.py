"""Whether the default plugins are installed: looked up, or imported."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.measuring import python_environment
from benchmarks.measuring import usage
from benchmarks.settings import Stand
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from benchmarks.table import within

ROUNDS = 11
AT_MOST = 1 / 10
IMPORT = "import nautobot_plugin_nornir, nautobot_golden_config"


def rows() -> Iterator[Row]:
    """Measure both, each in a fresh fork of a Nautobot process."""
    with mounted() as mount, ExitStack() as stack:
        environment = python_environment(
            **site_worker(mount), NAUTOBOT_ROOT=str(Path(mount.ca).parent)
        )
        stands = {
            name: stack.enter_context(Stand(Path(sys.executable), name, environment))
            for name in ("detected", "imported")
        }
        results = {
            name: stand.ask("result", "configure") for name, stand in stands.items()
        }
        assert results["detected"] == results["imported"], results
        answers = {
            name: [stand.ask("forked", "configure") for _ in range(ROUNDS)]
            for name, stand in stands.items()
        }
        calls = {
            name: Figure(statistics.median(one["call"] for one in given), "s")
            for name, given in answers.items()
        }
        work = "are the default plugins installed, first time"
        yield compared(
            work,
            calls["detected"],
            "__import__ of both",
            calls["imported"],
            at_most=AT_MOST,
        )
        loaded = [
            name
            for name in answers["detected"][0]["modules"]
            if not name.startswith(("understack_nautobot_settings", "benchmarks"))
            and name not in sys.stdlib_module_names
        ]
        yield within(
            "modules imported by it", Figure(len(loaded), ""), Figure(0, "")
        )._replace(
            against="__import__ of both",
            theirs=Figure(len(answers["imported"][0]["modules"]) - 1, ""),
        )
        bare = [
            usage([sys.executable, "-c", IMPORT], environment, statuses=(0, 1)).cpu
            for _ in range(3)
        ]
        yield Row(
            work,
            calls["detected"],
            "import of both in a bare process",
            Figure(statistics.median(bare), "s"),
        )
