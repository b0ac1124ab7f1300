"""Attacks the package with whatever comes to mind: ``tox run -e fuzz``.

Environments and base settings through `configure`; argument lists and standard input
through the command line; bytes through the readers of PEM, X.509, JSON, RESP,
PostgreSQL messages and HTTP, over real sockets where a server would send them.

A finding is anything but a `SettingsError` or exit status 0, 1, 2 with a text; a
canary or an unprintable character in any output; more than 256 MiB; a time limit that
is exceeded. Guided by coverage where atheris is installed, by hypothesis otherwise.
Exit status 0 when the time is up without a finding, 1 at the first one, which is
printed as an example that becomes a test.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from lab.certificates import Authority
from lab.certificates import write_mount
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import over_tls
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.commands.main import COMMANDS
from understack_nautobot_settings.commands.main import main as command_line
from understack_nautobot_settings.configuration import configure
from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.problems import SettingsError

SECONDS = 600
EXAMPLE_SECONDS = 20
MEBIBYTES = 256
BATCH = 100
CANARY = "c4n4ry"
SECRET = f"{CANARY}-0123456789-{'x' * 40}"


class Found(AssertionError):
    """Something that must never happen."""


# --- what is tried -------------------------------------------------------------

NAMES = sorted({name for one in VARIABLES for name in one.names})
SECRETS = {one.name for one in VARIABLES if one.secret}
# Words that some variable takes, and what people write instead.
WORDS = st.sampled_from(
    [
        *("", " ", "true", "off", "on", "none", "auto", "wan", "direct", "require"),
        *("verify-full", "verify_full", "disable", "json", "site-worker", "0", "-1"),
        *("65536", "9" * 5000, "1e400", "nan", "a,b", "a;b", "'x'", '"x"', "{}", "[]"),
        *("/etc/nautobot/mtls/ca.crt", "/dev/zero", "/dev/null", "/", "~", "\x00"),
        *("redis://h:6379/0", "rediss://:p@h/0?ssl_cert_reqs=none", "amqps://h"),
        *("sentinel://h:26379;sentinel://h2", "unix:///x", "memory://", "redis://[::1"),
        *("postgresql", "django.db.backends.mysql", "tcp://10.0.0.1:6379", "\x1b[31m"),
        *("${A}", "$${A}", "$<A|json>", "${A:-b}", "${", "${A|bool}", "$(A)", "map[]"),
    ]
)
TEXTS = WORDS | st.text(max_size=40) | st.text('{}[]":,$<>|-0\\u1eE.\n', max_size=60)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from([*NAMES, "A", "PGHOST", "CELERY_BROKER_URL", "SSL_CERT_FILE"]),
    TEXTS,
    max_size=12,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)
# What a file writes where options of TLS belong, in settings and in their entries.
OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            *("sslmode", "sslcert", "sslkey", "sslrootcert", "service", "options"),
            *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"),
            *("CONNECTION_POOL_KWARGS", "CLIENT_CLASS", "PASSWORD", "url"),
        ]
    ),
    VALUES | st.dictionaries(st.sampled_from(["ssl_ca_certs", "password"]), VALUES),
)
BASES = st.dictionaries(
    st.sampled_from(
        [
            *("DATABASES", "CACHES", "CELERY_BROKER_URL", "CELERY_BROKER_USE_SSL"),
            *("CELERY_REDIS_BACKEND_USE_SSL", "CELERY_BROKER_TRANSPORT_OPTIONS"),
            *("CELERY_BROKER_TRANSPORT", "CELERY_RESULT_BACKEND", "PLUGINS", "LOGGING"),
            *("PLUGINS_CONFIG", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "MIDDLEWARE"),
            *("AUTHENTICATION_BACKENDS", "INSTALLED_APPS", "LOGGING_CONFIG"),
            *("UNDERSTACK_PARTITION", "SOCIAL_AUTH_OIDC_SCOPE", "SECURE_HSTS_SECONDS"),
        ]
    ),
    VALUES
    | OPTIONS
    | st.dictionaries(
        st.sampled_from(["default", "replica", "other"]),
        VALUES
        | st.dictionaries(
            st.sampled_from(
                ["ENGINE", "BACKEND", "LOCATION", "OPTIONS", "HOST", "PORT", "USER"]
            ),
            VALUES | OPTIONS,
        ),
    ),
    max_size=4,
)
ARGUMENTS = st.lists(
    st.sampled_from(
        [
            *(name for name in COMMANDS if name != "wait"),
            *("--json", "--help", "--version", "--role", "worker", "--diff", "-", "--"),
            *("/dev/zero", "/dev/null", "/", "--expiry-warning", "3", "--timeout"),
            *("0.1", "database", "cache", "broker", "https://127.0.0.1:1/?t=x"),
            *("--ping", "variables", "problems", "--format", "env", "--tls-prefix"),
            *("--config", "--env-file", "--without-files", "--url", "--token-file"),
            *("/\udcff", "/\ud800", "/a\nb", "/" * 5000, "x" * 70000),
        ]
    )
    | TEXTS,
    max_size=6,
)
ANSWERS = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [
            *(b"+OK\r\n", b"-ERR \x1b[31m\r\n", b"$-1\r\n", b"*", b":", b"%", b"\r\n"),
            *(b"*1\r\n", b"*99999999999\r\n", b"$99999999\r\n", b"9" * 3000, b"\0"),
            *(b"R\0\0\0\x08\0\0\0\0", b"Z\0\0\0\x05I", b"E\0\0\0\x20SFATAL\0C28P01\0"),
            *(b"E\xff\xff\xff\xff", b"N", b"S", b"M\x1b]0;x\x07\0", b"\0\0\0\0"),
            *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 F\r\nLocation: http://x/\r\n"),
            *(b"Content-Length: 9999999999\r\n", b"Transfer-Encoding: chunked\r\n"),
        ]
    ),
    max_size=12,
).map(b"".join)
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=60)),
    max_size=4,
)


# --- what must hold ------------------------------------------------------------


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raise `Found` where an example takes too long or too much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def late(number: int, frame: FrameType | None) -> None:
        raise Found(f"took longer than {EXAMPLE_SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(EXAMPLE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MEBIBYTES * 1024:
        raise Found(f"took {grown // 1024} MiB")


def look_at(text: str) -> None:
    """Raise `Found` where a text shows a secret or what a terminal acts upon."""
    if CANARY in text:
        raise Found("shows a secret")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise Found(f"is not printable: {text!r}")


def run(argv: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> None:
    """Run the command line and hold what it says and returns to the promise."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with bounded():
            status = command_line(list(argv), env, stdout=out, stderr=err)
    finally:
        sys.stdin = before
    look_at(out.getvalue())
    look_at(err.getvalue())
    if status not in (0, 1, 2):
        raise Found(f"exit status {status}")
    if "please report this" in err.getvalue():
        raise Found(err.getvalue())
    if status and not (out.getvalue() or err.getvalue()):
        raise Found(f"exit status {status} without a text")


def with_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with a canary in every secret that it has."""
    canaries = {name: SECRET for name in env if name in SECRETS and env[name].strip()}
    return {**env, "NAUTOBOT_SECRET_KEY": SECRET, "A": SECRET, **canaries}


# --- targets -------------------------------------------------------------------

often = settings(
    max_examples=BATCH,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@often
@given(ENVIRONMENTS, BASES)
def configuring(env: dict[str, str], base: dict[str, Any]) -> None:
    """Any environment over any base: settings, or a `SettingsError`."""
    env = with_secrets(env)
    namespace = {**base_settings(env), **base}
    with bounded():
        try:
            configure(namespace, env)
        except SettingsError as error:
            look_at(str(error))
            for problem in error.problems:
                look_at("".join(problem))


@often
@given(ARGUMENTS, ENVIRONMENTS, st.binary(max_size=300))
def commanding(argv: list[str], env: dict[str, str], stdin: bytes) -> None:
    """Any arguments: exit status 0, 1 or 2 with a text."""
    local = {
        "NAUTOBOT_DB_HOST": "127.0.0.1",
        "NAUTOBOT_DB_PORT": "1",
        "NAUTOBOT_REDIS_HOST": "127.0.0.1",
        "NAUTOBOT_REDIS_PORT": "1",
    }
    if {"probe", "reconcile-accounts"} & {*argv}:
        # Nothing here ever leaves this machine.
        env = {name: env[name] for name in env if "URL" not in name}
        argv = [word for word in argv if "//" not in word or "127.0.0.1" in word]
        env |= local
    run(argv, with_secrets(env), stdin)


@often
@given(
    st.sampled_from(["tls.crt", "tls.key", "ca.crt"]),
    MUTATIONS,
    st.binary(max_size=300) | st.none(),
)
def reading_certificates(
    name: str, changes: list[tuple[int, int, bytes]], instead: bytes | None
) -> None:
    """Any bytes in a mounted file: verdicts in words."""
    with tempfile.TemporaryDirectory() as directory:
        mount = write_mount(directory, *_leaf_and_ca())
        path = Path(directory, name)
        content = path.read_bytes() if instead is None else instead
        for start, length, bytes_ in changes:
            content = content[:start] + bytes_ + content[start + length :]
        path.write_bytes(content)
        env = {
            "NAUTOBOT_DB_SSLMODE": "verify-full",
            "NAUTOBOT_DB_USER": "app",
            **mount.database_variables,
            **mount.redis_variables,
        }
        run(["check"], with_secrets(env))


@often
@given(
    st.binary(max_size=400) | TEXTS.map(lambda text: text.encode("utf-8", "replace"))
)
def reading_json(content: bytes) -> None:
    """Any bytes where JSON is expected."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "plugins.json")
        path.write_bytes(content)
        env = with_secrets({"NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": str(path)})
        run(["check"], env)
        run(["show", "--diff", str(path)], env)


@often
@given(ANSWERS)
def hearing_redis(answer: bytes) -> None:
    """Any answer of a Redis."""
    with _saying(answer) as port:
        env = {"NAUTOBOT_REDIS_HOST": "127.0.0.1", "NAUTOBOT_REDIS_PORT": str(port)}
        env |= {"UNDERSTACK_REDIS_MTLS": "off", "NAUTOBOT_REDIS_PASSWORD": SECRET}
        run(["probe", "cache", "broker", "--timeout", "2"], with_secrets(env))


@often
@given(ANSWERS)
def hearing_postgresql(answer: bytes) -> None:
    """Any answer of a PostgreSQL."""
    with _saying(answer) as port:
        env = {"NAUTOBOT_DB_HOST": "127.0.0.1", "NAUTOBOT_DB_PORT": str(port)}
        env |= {"NAUTOBOT_DB_USER": "app", "NAUTOBOT_DB_SSLMODE": "disable"}
        env["NAUTOBOT_DB_PASSWORD"] = SECRET
        run(["probe", "database", "--timeout", "2"], with_secrets(env))


@often
@given(ANSWERS)
def hearing_https(answer: bytes) -> None:
    """Any answer of an HTTPS server."""
    with tempfile.TemporaryDirectory() as directory:
        mount = write_mount(directory, *_leaf_and_ca())
        env = {
            "X_CA": mount.ca,
            "X_CLIENT_CERT": mount.certificate,
            "X_CLIENT_KEY": mount.key,
        }
        with _saying(answer, tls=True) as port:
            url = f"https://127.0.0.1:{port}/?token={CANARY}"
            argv = ["probe", url, "--tls-prefix", "X_", "--timeout", "2"]
            run(argv, with_secrets(env))


TARGETS: dict[str, Callable[[], None]] = {
    target.__name__: target
    for target in (
        configuring,
        commanding,
        reading_certificates,
        reading_json,
        hearing_redis,
        hearing_postgresql,
        hearing_https,
    )
}

_AUTHORITY = Authority()
_LEAF = _AUTHORITY.client("app")
_SERVER = _AUTHORITY.server()


def _leaf_and_ca() -> tuple[Any, bytes]:
    return _LEAF, _AUTHORITY.ca_pem


@contextlib.contextmanager
def _saying(answer: bytes, *, tls: bool = False) -> Iterator[int]:
    def converse(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    script = over_tls(tls_context(_SERVER), converse) if tls else converse
    with ScriptedServer(script) as server:
        yield server.port


# --- the program ---------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Attack until the time is up, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}")
    arguments = parser.parse_args(argv)
    names = arguments.targets or list(TARGETS)
    share = arguments.seconds / len(names)
    guided = importlib.util.find_spec("atheris") is not None
    tell(f"{share:.0f} s for each of {', '.join(names)}")
    if guided:
        # In processes of their own: one on each core.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            statuses = [*pool.map(lambda name: _guided(name, share), names)]
    else:
        # In this thread, which alone can be stopped by an alarm.
        statuses = [_by_hypothesis(name, share) for name in names]
    found = [name for name, status in zip(names, statuses, strict=True) if status]
    if found:
        tell(f"a finding, see above: {', '.join(found)}")
        return 1
    tell(f"no finding in {arguments.seconds} s, {len(names)} targets")
    return 0


def tell(text: str) -> None:
    """Write a line to standard output, now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _by_hypothesis(name: str, seconds: float) -> int:
    end, batches = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        TARGETS[name]()
        batches += 1
    tell(f"{name}: {batches * BATCH} examples")
    return 0


def _guided(name: str, seconds: float) -> int:
    """Run a target in a process of its own, whose imports atheris watches."""
    code = (
        "import sys, atheris\n"
        "with atheris.instrument_imports(include=['understack_nautobot_settings']):\n"
        "    from lab import fuzz\n"
        "target = fuzz.TARGETS[sys.argv.pop(1)].hypothesis.fuzz_one_input\n"
        "atheris.Setup(sys.argv, target)\n"
        "atheris.Fuzz()\n"
    )
    with tempfile.TemporaryDirectory(prefix="understack-fuzz-") as directory:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                name,
                f"-max_total_time={max(1, round(seconds))}",
                f"-artifact_prefix={directory}/",
                "-print_final_stats=1",
                "-verbosity=0",
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
