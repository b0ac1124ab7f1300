"""Runs the tests with Nautobot: ``python -m tests.nautobot [PYTEST ARGUMENT ...]``.

Those inside Nautobot set up Django in their own process, which the others must not
have, so both kinds run at once, each in a pytest of its own. ``--whole`` traces them,
and shows the fleet meanwhile. With other arguments, pytest gets those alone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

PYTEST = (sys.executable, "-m", "pytest")
# A file's servers are started once, and the slow files have few tests.
BY_FILE = (*PYTEST, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
INSIDE = "tests/nautobot/inside"
BOTH = (
    (*BY_FILE, "tests/nautobot", f"--ignore={INSIDE}"),
    (*BY_FILE, INSIDE),
)
WHOLE = (
    BOTH[0],
    (*BOTH[1], "--cov", "--cov-report="),
    (sys.executable, "-m", "lab", "fleet"),
)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, or everything, and return 1 if any of it failed."""
    whole = [*arguments] == ["--whole"]
    if arguments and not whole:
        return subprocess.call([*PYTEST, *arguments])
    with ThreadPoolExecutor() as pool:
        ended = [*pool.map(_run, WHOLE if whole else BOTH)]
    for process in ended:
        sys.stdout.write(process.stdout)
    return int(any(process.returncode for process in ended))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
