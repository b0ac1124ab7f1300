"""A release, made and tried: ``tox run -e release``.

Builds the sdist and the wheel, the wheel once from the checkout and once from the
sdist, and everything twice; installs the wheel into a Nautobot environment of its own
and tries it there. What is left in ``dist/``: sdist, wheel, software bill of materials
(CycloneDX) and SHA256SUMS. Exit status 0 only if every line of the table is right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.demo import WIDTH_WITHOUT_TERMINAL
from lab.demo import Row
from lab.demo import progress

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "understack_nautobot_settings"
NAUTOBOT = "nautobot>=3.2,<3.3"
# What an sdist holds at its top, beside the metadata that the build adds.
SDIST = {
    ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "PKG-INFO",
    "README.md", "SECURITY.md", "benchmarks", "docs", "examples", "lab", "mkdocs.yml",
    "pyproject.toml", "tests", "tox.ini", PACKAGE,
}  # fmt: skip
UNWANTED = ("__pycache__", ".pyc", ".git/", ".tox", ".hypothesis", ".coverage")
# As an image does it: the config file, then the first command of every entrypoint.
TRIAL = """
import nautobot.core.cli
nautobot.core.cli.load_settings({config!r})
import nautobot_config
assert nautobot_config.UNDERSTACK_PARTITION == "site-a", "not configured"
print("configured")
"""


class ReleaseFailed(Exception):
    """A step did not work; the text ends with what the program said."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the release, print the table and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab release", description=__doc__)
    parser.add_argument("--directory", type=Path, default=REPOSITORY / "dist")
    directory = parser.parse_args(argv).directory
    say = progress()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    table = Table("", "seen", "right")
    right = True
    with tempfile.TemporaryDirectory(prefix="understack-release-") as name:
        try:
            for row in release(Path(name), directory):
                say(f"{row.fact}: {row.seen}")
                right &= row.right is not False
                table.add_row(row.fact, row.seen, {True: "yes", False: "NO"}[row.right])
        except ReleaseFailed as error:
            say(str(error))
            return 2
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    Console(width=width).print(table)
    return 0 if right else 1


def release(scratch: Path, directory: Path) -> Iterator[Row]:
    """Yield a row for each thing that a release promises."""
    changed = _run(["git", "status", "--porcelain"]).strip()
    yield Row("release", "uncommitted changes", changed or "none", not changed)
    sdist = _build(REPOSITORY, scratch / "first", "--sdist")
    wheel = _build(REPOSITORY, scratch / "first", "--wheel")
    for first in (sdist, wheel):
        kind = "--wheel" if first.suffix == ".whl" else "--sdist"
        again = _build(REPOSITORY, scratch / "second", kind)
        yield _equal(f"{first.name}, built again", first, again)
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
        names = archive.getnames()
    (source,) = (scratch / "unpacked").iterdir()
    from_sdist = _build(source, scratch / "third", "--wheel")
    yield _equal("wheel built from the sdist", wheel, from_sdist)
    yield _contents("in the sdist", names, {path.name for path in source.iterdir()})
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        page = archive.read(metadata).decode()
    tops = {name.partition("/")[0] for name in names}
    info = {name for name in tops if name.endswith(".dist-info")}
    yield _contents("in the wheel", names, (tops - info) | {PACKAGE}, {PACKAGE})
    loose = re.findall(r"\]\((?!https://)[^)]*\)", page)
    yield Row(
        "release",
        "links on the package page that lead nowhere",
        ", ".join(loose) or "none",
        not loose,
    )
    python = _environment(scratch / "nautobot", NAUTOBOT)
    before = _installed(python)
    _install(python, str(wheel))
    added = sorted(_installed(python).items() - before.items())
    shown = ", ".join("==".join(one) for one in added)
    alone = [name for name, _ in added] == [PACKAGE.replace("_", "-")]
    yield Row("release", "what it adds to a Nautobot environment", shown, alone)
    yield from _trial(python, scratch)
    for path in (sdist, wheel):
        shutil.copy(path, directory)
    yield _bill(scratch, directory, wheel, set(before))
    yield _checksums(directory)


def _build(source: Path, target: Path, kind: str) -> Path:
    """Return the one file that a build makes; the time in it is the last commit's."""
    epoch = _run(["git", "log", "-1", "--format=%ct"]).strip()
    target = Path(tempfile.mkdtemp(dir=_made(target)))
    _run(
        [sys.executable, "-m", "build", kind, "--outdir", str(target), str(source)],
        SOURCE_DATE_EPOCH=epoch,
    )
    (built,) = target.iterdir()
    return built


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _equal(fact: str, first: Path, second: Path) -> Row:
    digests = {_sha256(first), _sha256(second)}
    seen = "the same bytes" if len(digests) == 1 else "differs"
    return Row("release", fact, seen, len(digests) == 1)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _contents(
    fact: str, names: list[str], tops: set[str], allowed: set[str] = SDIST
) -> Row:
    wrong = sorted(tops - allowed)
    wrong += [name for name in names if any(part in name for part in UNWANTED)]
    seen = f"{len(names)} entries, unwanted: {', '.join(wrong) or 'none'}"
    return Row("release", fact, seen, not wrong)


def _environment(directory: Path, *requirements: str) -> Path:
    _run([_uv(), "venv", "--quiet", "--python", sys.executable, str(directory)])
    python = directory / "bin" / "python"
    if requirements:
        _install(python, *requirements)
    return python


def _install(python: Path, *requirements: str) -> None:
    _run([_uv(), "pip", "install", "--quiet", "--python", str(python), *requirements])


def _installed(python: Path) -> dict[str, str]:
    listed = _run([_uv(), "pip", "list", "--format=json", "--python", str(python)])
    return {one["name"]: one["version"] for one in json.loads(listed)}


def _uv() -> str:
    found = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if found is None:
        raise ReleaseFailed("uv is not on the PATH. Install it: pip install uv")
    return found


def _trial(python: Path, scratch: Path) -> Iterator[Row]:
    """Use the installed package as an operator and as Nautobot would."""
    env = {
        "NAUTOBOT_SECRET_KEY": os.urandom(40).hex(),
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_SSLMODE": "disable",
        "NAUTOBOT_ROOT": str(scratch),
        "UNDERSTACK_PARTITION": "site-a",
    }
    command = str(python.with_name("understack-nautobot-settings"))
    version = _run([command, "--version"], cwd=scratch, **env).splitlines()[0]
    yield Row("release", "--version", version, "0." in version)
    said = _run([command, "check"], cwd=scratch, **env).strip().splitlines()[-1]
    yield Row("release", "check", said, "0 errors" in said)
    config = REPOSITORY / "examples" / "nautobot_config.py"
    trial = TRIAL.format(config=str(config))
    said = _run([str(python), "-c", trial], cwd=scratch, **env).splitlines()[-1]
    yield Row("release", "the example under Nautobot", said, said == "configured")


def _bill(scratch: Path, directory: Path, wheel: Path, image: set[str]) -> Row:
    """Write the bill of materials of the wheel and what it needs."""
    python = _environment(scratch / "alone", str(wheel))
    path = directory / wheel.name.replace("-py3-none-any.whl", ".cdx.json")
    project = str(REPOSITORY / "pyproject.toml")
    tool = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
    _run(
        [*tool, "--pyproject", project, "--output-reproducible", "-o", str(path)],
    )
    bill = json.loads(path.read_text(encoding="utf-8"))
    parts = {part["name"] for part in bill.get("components", [])}
    foreign = parts - image - {PACKAGE.replace("_", "-")}
    seen = f"{bill['bomFormat']} {bill['specVersion']}: {', '.join(sorted(parts))}"
    seen += f"; not in a Nautobot image: {', '.join(sorted(foreign)) or 'none'}"
    return Row("release", "bill of materials", seen, not foreign)


def _checksums(directory: Path) -> Row:
    files = sorted(directory.iterdir())
    lines = [f"{_sha256(path)}  {path.name}\n" for path in files]
    (directory / "SHA256SUMS").write_text("".join(lines))
    checked = _run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=directory)
    return Row("release", "SHA256SUMS", f"{len(files)} files", not checked)


def _run(command: Sequence[str], cwd: Path = REPOSITORY, **variables: str) -> str:
    kept: Mapping[str, str] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(
            ("NAUTOBOT_", "UNDERSTACK_", "VIRTUAL_ENV", "PYTHONPATH")
        )
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout)[-3000:]
        raise ReleaseFailed(f"{' '.join(command[:4])} … failed:\n{said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
