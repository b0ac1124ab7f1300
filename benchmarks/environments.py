"""Python environments for peers: Nautobot's packages, and one more on top.

A peer is measured where it would run, inside a Nautobot process, and what it needs
beyond Nautobot's own packages stays out of everybody else's way.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from lab.installation import cache_directory


def python_with(package: str) -> Path:
    """Return an interpreter that has a package beside all that this one has.

    Made once, in the cache; a package both need has the version that is here.
    """
    uv = shutil.which(
        "uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    )
    if uv is None:
        raise RuntimeError("uv is not on the PATH. Install it: pip install uv")
    have = sorted(
        f"{one.name}=={one.version}"
        for one in importlib.metadata.distributions()
        if one.name != "understack-nautobot-settings"
    )
    mark = hashlib.sha256("\n".join([sys.executable, *have]).encode()).hexdigest()
    directory = cache_directory() / f"peer-{package}-{mark[:16]}"
    python = directory / "bin" / "python"
    if (directory / "complete").exists():
        return python
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(directory))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(have))
        constraints.flush()
        _run(
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(python),
            "--constraint",
            constraints.name,
            package,
        )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = directory / "lib" / version / "site-packages"
    (packages / "beneath.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (directory / "complete").touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
