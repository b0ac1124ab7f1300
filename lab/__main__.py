"""The programs of the lab: ``python -m lab breakages``, ``demo`` and others."""

from __future__ import annotations

import sys
from importlib import import_module

PROGRAMS = {
    "breakages": "lab.breakages",
    "demo": "lab.demo",
    "fleet": "lab.fleet",
    "fuzz": "lab.fuzz",
    "reference": "lab.reference",
    "release": "lab.release",
    "wire": "lab.wire.__main__",
}


def main(argv: list[str]) -> int:
    """Run one program and return its exit status."""
    if not argv or argv[0] not in PROGRAMS:
        sys.stderr.write(f"usage: python -m lab {{{','.join(PROGRAMS)}}} …\n")
        return 2
    status: int = import_module(PROGRAMS[argv[0]]).main(argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
