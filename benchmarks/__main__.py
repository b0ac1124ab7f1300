"""``python -m benchmarks``: measures everything, prints one table.

Needs an environment with Nautobot; ``tox run -e bench`` makes one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Sequence

from benchmarks.measuring import progress
from benchmarks.table import Row
from benchmarks.table import rendered

GROUPS = {
    "settings": "a configuration, inside a Nautobot process",
    "certificates": "certificates",
    "plugins": "plugins",
    "expansion": "JSON and references",
    "commands": "the command line, as a process",
    "probes": "probes, as processes",
    "connections": "connections",
    "growth": "growth",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the groups that were asked for, and say which budgets are not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"default all: {', '.join(GROUPS)}")
    parser.add_argument(
        "--json", metavar="FILE", help="write the figures there as well"
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.groups if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}")
    tables: dict[str, list[Row]] = {}
    for name in options.groups or GROUPS:
        progress(f"{name} …")
        rows = importlib.import_module(f"benchmarks.{name}").rows
        tables[name] = list(rows())
        print(f"\n{rendered(GROUPS[name], tables[name])}", flush=True)
    every = [row for rows in tables.values() for row in rows]
    promised = [row for row in every if row.met is not None]
    missed = [row for row in promised if not row.met]
    print(f"\n{machine()}")
    print(f"{len(promised) - len(missed)} of {len(promised)} budgets met.")
    for row in missed:
        print(f"Not met: {row.work}, {row.ours}, {row.budget}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "machine": machine(),
                    "tables": {
                        name: [row.as_json() for row in rows]
                        for name, rows in tables.items()
                    },
                },
                file,
                indent=2,
            )
    return 0


def machine() -> str:
    """Return what the figures were measured on."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"CPython {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {load}."
    )


if __name__ == "__main__":
    sys.exit(main())
