"""Writes what is generated of the documentation anew: ``tox run -e reference``."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from understack_nautobot_settings.commands import reference

ROOT = Path(__file__).resolve().parents[1]
# The session of the README that shows what `check` prints, and its exit status.
_SESSION = re.compile(
    r"(?<=```console\n)(?:\$ export .*\n)+"
    r"\$ understack-nautobot-settings check\n.*?(?=\$ echo)",
    re.DOTALL,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages of the reference, and the session of the README."""
    del argv
    pages = {
        "docs/reference/variables.md": reference.variables_markdown(),
        "docs/reference/problems.md": reference.problems_markdown(),
        "README.md": with_session((ROOT / "README.md").read_text(encoding="utf-8")),
    }
    for name, text in pages.items():
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


def with_session(readme: str) -> str:
    """Return the README with what its session prints today."""
    (session,) = _SESSION.findall(readme)
    typed = [line for line in session.splitlines() if line.startswith("$ ")]
    printed = on_a_terminal("\n".join(line[2:] for line in typed))
    return readme.replace(session, "\n".join([*typed, printed]))


def on_a_terminal(script: str) -> str:
    """Return what bash shows on a terminal of 80 columns without colours."""
    with tempfile.TemporaryDirectory() as name:
        program = Path(name, "understack-nautobot-settings")
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m understack_nautobot_settings "$@"\n'
        )
        program.chmod(0o755)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", script],
            env={
                "PATH": f"{name}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "PYTHONIOENCODING": "utf-8",
                "COLUMNS": "80",
                "NO_COLOR": "1",
            },
            cwd=name,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed.
                break
            if not part:
                break
            said += part
        os.close(ours)
        process.wait()
    return said.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    sys.exit(main())
