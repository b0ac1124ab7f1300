"""Runs the tests with Nautobot: ``python -m tests.nautobot [PYTEST ARGUMENT ...]``.

Those inside Nautobot set up Django in their own processes, which the others must not
have; each kind waits for servers half of its time, so both run at once. With arguments,
pytest gets those alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

PYTEST = (sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile")
INSIDE = "tests/nautobot/inside"
TRACED = ("--cov", "--cov-report=") if os.environ.get("COVERAGE_FILE") else ()
RUNS = (("tests/nautobot", f"--ignore={INSIDE}"), (INSIDE, *TRACED))


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or everything, and return the worst exit status."""
    if arguments:
        return subprocess.call([*PYTEST, *arguments])
    with ThreadPoolExecutor() as pool:
        statuses = []
        for done in pool.map(_run, RUNS):
            sys.stdout.write(done.stdout)
            statuses.append(done.returncode)
    return max(statuses)


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTEST, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
