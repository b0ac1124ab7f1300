"""``python -m benchmarks``: measures everything, prints one table.

Needs an environment with Nautobot; ``tox run -e bench`` makes one.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Sequence

from benchmarks.measuring import progress
from benchmarks.table import rendered

GROUPS = {
    "settings": "a configuration, inside a Nautobot process",
    "probes": "processes",
    "connections": "new connections",
    "workers": "workers",
    "verdicts": "verdicts on certificates",
    "growth": "growth",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the groups that were asked for, and say which budgets are not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"default all: {', '.join(GROUPS)}")
    options = parser.parse_args(argv)
    unknown = [name for name in options.groups if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}")
    promised = []
    for name in options.groups or GROUPS:
        progress(f"{name} …")
        rows = list(importlib.import_module(f"benchmarks.{name}").rows())
        promised += [row for row in rows if row.met is not None]
        print(f"\n{rendered(GROUPS[name], rows)}", flush=True)
    missed = [row for row in promised if not row.met]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"\nCPython {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {load}."
    )
    print(f"{len(promised) - len(missed)} of {len(promised)} budgets met.")
    for row in missed:
        print(f"Not met: {row.work}, {row.ours}, {row.budget}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
