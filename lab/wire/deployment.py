"""One site behind the gateway: servers, Envoy, Nautobot and its worker."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import nautobot_environment
from lab.nautobot.deployment import record_sessions
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route

Say = Callable[[str], None]

PARTITION = "site-a"
REDIS_PASSWORD = "a/b#c?d[e]%41"
CONCURRENCY = 4
# Nothing that a server has confirmed may be lost when it is killed; what a server
# loses is not what is measured here.
DURABLE_POSTGRES = {"synchronous_commit": "on", "max_connections": "300"}
DURABLE_REDIS = ("appendonly yes", "appendfsync always")
WITHOUT_PSYCOPG = 'raise ImportError("psycopg 3 is kept away from this process")\n'


class Servers(NamedTuple):
    """PostgreSQL and Redis behind a gateway, and the mount of a client."""

    authority: Authority
    leaf: Leaf
    mount: KubernetesMount
    postgres: PostgresServer
    redis: RedisServer
    gateway: Gateway


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """Start both servers and Envoy in front of them, and mount a certificate."""
    authority = Authority()
    mount = KubernetesMount(directory / "mtls")
    leaf = authority.client()
    mount.write(leaf, authority.ca_pem)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(
            PostgresServer(18, authority=authority, settings=DURABLE_POSTGRES)
        )
        redis = stack.enter_context(
            RedisServer(
                authority=authority, password=REDIS_PASSWORD, settings=DURABLE_REDIS
            )
        )
        gateway = stack.enter_context(
            Gateway(postgres=Route(postgres.port), redis=Route(redis.port))
        )
        yield Servers(authority, leaf, mount, postgres, redis, gateway)


def site_environment(
    behind: Servers, *, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what a site worker is given: everything through the gateway."""
    return nautobot_environment(
        behind.mount,
        db_port=behind.gateway.port("postgres"),
        redis_port=behind.gateway.port("redis"),
        redis_password=behind.redis.password,
        partition=PARTITION,
        role="site-worker",
        extra={"NAUTOBOT_DB_SSLNEGOTIATION": "direct", **(extra or {})},
    )


def psycopg2_path(directory: Path) -> Path:
    """Return a directory that hides psycopg 3 when it comes first on the path."""
    hidden = directory / "without-psycopg-3"
    hidden.mkdir(parents=True, exist_ok=True)
    (hidden / "psycopg.py").write_text(WITHOUT_PSYCOPG)
    return hidden


def prepared_nautobot(directory: Path, behind: Servers, jobs: str) -> Nautobot:
    """Return a Nautobot behind the gateway whose database is ready.

    Args:
        directory: Where its files and logs go.
        behind: What it reaches.
        jobs: Source of the file in its ``JOBS_ROOT``.
    """
    # psycopg2 is what Nautobot's own image has.
    path = f"{psycopg2_path(directory)}:{Path(__file__).parents[2]}"
    nautobot = Nautobot(
        directory,
        site_environment(behind, extra={"PYTHONPATH": path}),
        python=sys.executable,
    )
    jobs_root = directory / "root" / "jobs"
    jobs_root.mkdir(parents=True)
    (jobs_root / "__init__.py").touch()
    (jobs_root / "lab_stream.py").write_text(jobs)
    # Beside the gateway: tables are the business of the global cluster.
    nautobot.having(
        NAUTOBOT_DB_PORT=str(behind.postgres.port),
        NAUTOBOT_REDIS_PORT=str(behind.redis.port),
    ).prepare_database()
    record_sessions(behind.postgres)
    return nautobot
