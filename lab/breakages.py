"""Breakages of a pod, and what two editions of this package say of each.

``python -m lab breakages FOLDER`` prints a table: what the edition in FOLDER (a work
tree of this repository) says first, and what this one says.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.certificates import now
from lab.certificates import write_mount
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from lab.servers.pooler import pooler

HERE = Path(__file__).parents[1]
PASSWORD = "a password of Redis"
CERT, KEY, CA = "tls.crt", "tls.key", "ca.crt"
FILES = {
    "NAUTOBOT_DB_SSLCERT": CERT,
    "NAUTOBOT_DB_SSLKEY": KEY,
    "NAUTOBOT_DB_SSLROOTCERT": CA,
    "NAUTOBOT_REDIS_SSL_CERTFILE": CERT,
    "NAUTOBOT_REDIS_SSL_KEYFILE": KEY,
    "NAUTOBOT_REDIS_SSL_CA_CERTS": CA,
}

Change = Callable[["Pod"], None]


class Pod(NamedTuple):
    """What can be broken.

    Attributes:
        env: Its environment.
        mount: Where its certificate is mounted.
        ports: Ports of servers by name.
        authority: The CA of both sides.
        leaf: Its certificate.
    """

    env: dict[str, str]
    mount: Path
    ports: dict[str, int]
    authority: Authority
    leaf: Leaf


def setting(name: str, text: str | None) -> Change:
    """Set a variable, or unset it; ``@redis`` is the port of a server by name."""

    def change(pod: Pod) -> None:
        pod.env.pop(name, None)
        if text is not None:
            pod.env[name] = str(pod.ports.get(text[1:], text))

    return change


def writing(name: str, content: Callable[[Pod], bytes | None]) -> Change:
    """Write a file of the mount, or remove it."""

    def change(pod: Pod) -> None:
        written = content(pod)
        (pod.mount / name).unlink(missing_ok=True)
        if written is not None:
            (pod.mount / name).write_bytes(written)
            (pod.mount / name).chmod(0o600)

    return change


def presenting(leaf: Callable[[Authority], Leaf]) -> Change:
    """Mount another certificate of the same CA."""

    def change(pod: Pod) -> None:
        write_mount(pod.mount, leaf(pod.authority), pod.authority.ca_pem)

    return change


def all_of(*changes: Change) -> Change:
    """Change several things."""

    def change(pod: Pod) -> None:
        for one in changes:
            one(pod)

    return change


def asked(**env: str) -> Change:
    """Go to a server that asks for a password as well, with these variables."""
    given = {"NAUTOBOT_DB_PORT": "@asking", "NAUTOBOT_DB_PASSWORD": PASSWORD, **env}
    return all_of(*(setting(name, text) for name, text in given.items()))


def exchanged(first: str, second: str) -> Change:
    """Store each of two files under the name of the other."""

    def change(pod: Pod) -> None:
        one, other = (pod.mount / first).read_bytes(), (pod.mount / second).read_bytes()
        (pod.mount / first).write_bytes(other)
        (pod.mount / second).write_bytes(one)

    return change


def _without_files(pod: Pod) -> None:
    for name in (CERT, KEY, CA):
        (pod.mount / name).unlink()


def _old_authority(pod: Pod) -> bytes:
    return Authority(not_before=now() - 9 * DAY, not_after=now() - DAY).cert_pem


CHECK, SITE, PROBE = ("check",), ("check", "--role", "site-worker"), ("probe",)
DATABASE, CACHE = ("probe", "database"), ("probe", "cache")
BREAKAGES: list[tuple[str, tuple[str, ...], Change]] = [
    ("sslmode misspelt", CHECK, setting("NAUTOBOT_DB_SSLMODE", "verify_full")),
    ("sslmode prefer", CHECK, setting("NAUTOBOT_DB_SSLMODE", "prefer")),
    ("no sslmode", CHECK, setting("NAUTOBOT_DB_SSLMODE", None)),
    ("no database user", CHECK, setting("NAUTOBOT_DB_USER", None)),
    ("user other than the CN", CHECK, setting("NAUTOBOT_DB_USER", "nautobot")),
    ("no database host", SITE, setting("NAUTOBOT_DB_HOST", None)),
    ("no Redis host", SITE, setting("NAUTOBOT_REDIS_HOST", None)),
    (
        "port of a service link",
        CHECK,
        setting("NAUTOBOT_REDIS_PORT", "tcp://10.0.0.1:6379"),
    ),
    ("boolean misspelt", CHECK, setting("NAUTOBOT_REDIS_SSL", "ture")),
    ("cert_reqs misspelt", CHECK, setting("NAUTOBOT_REDIS_SSL_CERT_REQS", "always")),
    ("Redis not verified", CHECK, setting("NAUTOBOT_REDIS_SSL_CERT_REQS", "none")),
    ("Redis without TLS", CHECK, setting("UNDERSTACK_REDIS_MTLS", "off")),
    ("no secret key", CHECK, setting("NAUTOBOT_SECRET_KEY", None)),
    ("no partition", SITE, setting("UNDERSTACK_PARTITION", None)),
    (
        "plugin misspelt",
        CHECK,
        setting("NAUTOBOT_EXTRA_PLUGINS", "nautobot-golden config"),
    ),
    ("negotiation misspelt", CHECK, setting("NAUTOBOT_DB_SSLNEGOTIATION", "direkt")),
    ("nothing mounted", CHECK, _without_files),
    ("no key", CHECK, writing(KEY, lambda pod: None)),
    ("key empty", CHECK, writing(KEY, lambda pod: b"")),
    ("key 0644", CHECK, lambda pod: (pod.mount / KEY).chmod(0o644)),
    ("another key", CHECK, writing(KEY, lambda pod: pod.authority.client().key_pem)),
    ("certificate and key exchanged", CHECK, exchanged(CERT, KEY)),
    ("certificate and CA exchanged", CHECK, exchanged(CERT, CA)),
    (
        "PEM in one line",
        CHECK,
        writing(CERT, lambda pod: pod.leaf.cert_pem.replace(b"\n", b" ")),
    ),
    (
        "DER",
        CHECK,
        writing(CERT, lambda pod: pod.leaf.certificate.public_bytes(Encoding.DER)),
    ),
    (
        "base64 of PEM",
        CHECK,
        writing(CERT, lambda pod: base64.b64encode(pod.leaf.cert_pem)),
    ),
    ("certificate cut off", CHECK, writing(CERT, lambda pod: pod.leaf.cert_pem[:300])),
    ("key encrypted", CHECK, presenting(lambda ca: ca.client(password="x"))),
    ("certificate expired", CHECK, presenting(lambda ca: ca.expired())),
    ("certificate too early", CHECK, presenting(lambda ca: ca.not_yet_valid())),
    (
        "certificate for servers",
        CHECK,
        presenting(lambda ca: ca.client(usages=("server auth",))),
    ),
    ("CA expired", CHECK, writing(CA, _old_authority)),
    ("host unknown", DATABASE, setting("NAUTOBOT_DB_HOST", "nowhere.invalid")),
    ("nobody listens", DATABASE, setting("NAUTOBOT_DB_PORT", "@free")),
    (
        "server of another CA",
        DATABASE,
        writing(CA, lambda pod: Authority("other").ca_pem),
    ),
    (
        "certificate of another CA",
        DATABASE,
        presenting(lambda _: Authority("other-ca").client()),
    ),
    (
        "certificate of another CA at Redis",
        CACHE,
        presenting(lambda _: Authority("other-ca").client()),
    ),
    (
        "name not in the certificate",
        DATABASE,
        all_of(
            setting("NAUTOBOT_DB_HOST", "127.0.0.1"),
            setting("NAUTOBOT_DB_PORT", "@named"),
        ),
    ),
    ("no such database", DATABASE, setting("NAUTOBOT_DB_NAME", "nautobot")),
    (
        "no such database, and a password",
        DATABASE,
        asked(NAUTOBOT_DB_NAME="nautobot"),
    ),
    ("no right to connect", DATABASE, asked(NAUTOBOT_DB_NAME="closed")),
    ("limit of connections", DATABASE, asked(NAUTOBOT_DB_NAME="narrow")),
    (
        "options with an unknown name",
        DATABASE,
        asked(NAUTOBOT_DB_EXTRA_OPTIONS='{"options": "-c nonsense=1"}'),
    ),
    (
        "another way to log in demanded",
        DATABASE,
        asked(NAUTOBOT_DB_EXTRA_OPTIONS='{"require_auth": "md5"}'),
    ),
    (
        "no standby",
        DATABASE,
        asked(NAUTOBOT_DB_EXTRA_OPTIONS='{"target_session_attrs": "standby"}'),
    ),
    ("wrong database password", DATABASE, asked(NAUTOBOT_DB_PASSWORD="wrong")),
    (
        "nobody listens at two hosts",
        DATABASE,
        all_of(
            setting("NAUTOBOT_DB_HOST", "localhost,localhost"),
            setting("NAUTOBOT_DB_PORT", "@free"),
        ),
    ),
    (
        "PgBouncer and the profile wan",
        DATABASE,
        all_of(
            setting("NAUTOBOT_DB_PORT", "@pooler"),
            setting("UNDERSTACK_CONNECTION_PROFILE", "wan"),
        ),
    ),
    (
        "certificate of another CA at the gateway",
        CACHE,
        all_of(
            presenting(lambda _: Authority("other-ca").client()),
            setting("NAUTOBOT_REDIS_PORT", "@gateway_redis"),
        ),
    ),
    ("plain text", DATABASE, setting("NAUTOBOT_DB_SSLMODE", "disable")),
    (
        "classic negotiation at the gateway",
        DATABASE,
        setting("NAUTOBOT_DB_PORT", "@gateway"),
    ),
    ("wrong Redis password", CACHE, setting("NAUTOBOT_REDIS_PASSWORD", "wrong")),
    (
        "Redis is a replica",
        CACHE,
        setting("NAUTOBOT_REDIS_PORT", "@replica"),
    ),
    (
        "ports exchanged",
        PROBE,
        all_of(
            setting("NAUTOBOT_DB_PORT", "@redis"),
            setting("NAUTOBOT_REDIS_PORT", "@postgres"),
        ),
    ),
]


def told(folder: Path, words: tuple[str, ...], pod: Pod) -> str:
    """Return how a command of the edition in a folder ends, and its first problem."""
    done = subprocess.run(
        [sys.executable, "-m", "understack_nautobot_settings", *words, "--json"],
        env={"PATH": os.environ["PATH"], **pod.env, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    problems = found.get("problems")
    if problems is None:
        problems = [one["problem"] for one in found["targets"] if one["problem"]]
    problems.sort(key=lambda one: one["severity"] != "error")
    text = f"{done.returncode}: nothing"
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        text = "{}: {variable}: {message} {hint}".format(done.returncode, **first)
        text += more
    text = text.replace(str(pod.mount), "/etc/nautobot/mtls")
    for name, port in pod.ports.items():
        text = text.replace(str(port), name)
    return " ".join(text.replace("|", "\\|").split())


def pods(place: Path) -> Iterator[tuple[str, tuple[str, ...], Pod]]:
    """Break one pod after the other; servers run meanwhile."""
    authority = Authority()
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(authority=authority))
        leaf = authority.server("localhost")
        options = {"authority": authority, "server": leaf}
        named = stack.enter_context(PostgresServer(**options))  # type: ignore[arg-type]
        redis = stack.enter_context(RedisServer(authority=authority, password=PASSWORD))
        replica = stack.enter_context(
            RedisServer(
                authority=authority,
                password=PASSWORD,
                settings=("replicaof 127.0.0.1 1",),
            )
        )
        asking = stack.enter_context(
            PostgresServer(
                authority=authority,
                password=PASSWORD,
                hba=("hostssl all all all scram-sha-256 clientcert=verify-ca",),
            )
        )
        for statement in (
            "create database closed",
            "revoke connect on database closed from public",
            "create database narrow connection limit 0",
        ):
            asking.sql(statement)
        behind = stack.enter_context(PostgresServer(15, authority=authority))
        gateway = stack.enter_context(
            Gateway(postgres=Route(postgres.port), redis=Route(redis.port))
        )
        ports = {
            "postgres": postgres.port,
            "named": named.port,
            "redis": redis.port,
            "replica": replica.port,
            "asking": asking.port,
            "pooler": stack.enter_context(pooler(behind)),
            "gateway": gateway.port("postgres"),
            "gateway_redis": gateway.port("redis"),
            "free": free_port(),
        }
        for number, (name, words, change) in enumerate(BREAKAGES):
            client = authority.client()
            mount = place / str(number)
            write_mount(mount, client, authority.ca_pem)
            host = "localhost" if words[0] == "probe" else "gateway.example"
            env = {
                "NAUTOBOT_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
                "NAUTOBOT_DB_HOST": host,
                "NAUTOBOT_DB_PORT": str(postgres.port),
                "NAUTOBOT_DB_NAME": "app",
                "NAUTOBOT_DB_USER": "app",
                "NAUTOBOT_DB_SSLMODE": "verify-full",
                "NAUTOBOT_REDIS_HOST": host,
                "NAUTOBOT_REDIS_PORT": str(redis.port),
                "NAUTOBOT_REDIS_PASSWORD": PASSWORD,
                "UNDERSTACK_PARTITION": "site-b",
                "CELERY_TASK_QUEUES": "site-b",
                **{variable: str(mount / file) for variable, file in FILES.items()},
            }
            pod = Pod(env, mount, ports, authority, client)
            change(pod)
            yield name, words, pod


def main(argv: list[str]) -> int:
    """Print the table; the only argument is the folder of the other edition."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m lab breakages FOLDER\n")
        return 2
    write = sys.stdout.write
    write("| breakage | command | the other edition | this one |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory(prefix="understack-lab-") as name:
        for breakage, words, pod in pods(Path(name)):
            before, after = (told(one, words, pod) for one in (Path(argv[0]), HERE))
            write(f"| {breakage} | `{' '.join(words)}` | {before} | {after} |\n")
            sys.stdout.flush()
    return 0
