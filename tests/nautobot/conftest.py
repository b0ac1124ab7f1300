"""One site for the whole run: servers, a prepared database, a worker on its queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.certificates import write_mount
from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import nautobot_for
from lab.nautobot.deployment import record_sessions
from lab.processes import Process
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer

IMPORT = "from nautobot.core.settings import *\n"
CALL = "from understack_nautobot_settings import configure\nconfigure(globals())\n"
KEY = "key-0123456789" * 4
APP = """
from nautobot.apps import NautobotAppConfig

class Config(NautobotAppConfig):
    name = "site_app"
    verbose_name = "Site app"
    version = "1.0"
    base_url = "site-app"

config = Config
"""


LOGS = """
from logging.config import dictConfig

from django.conf import settings

class Router:
    def db_for_read(self, model, **hints):
        return "job_logs"


def configure(logging):
    settings.DATABASES["default"]["OPTIONS"].clear()
    dictConfig(logging)
"""


class Site(NamedTuple):
    """A site cluster and the global servers that it reaches."""

    partition: str
    leaf: Leaf
    mount: KubernetesMount
    postgres: PostgresServer
    redis: RedisServer
    web: Nautobot
    worker: Process


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that takes jobs, over mutual TLS."""
    directory: Path = tmp_path_factory.mktemp("site")
    authority = Authority()
    leaf = authority.client()
    mount = KubernetesMount(directory / "mtls")
    mount.write(leaf, authority.ca_pem)
    partition = "site-a"
    with (
        PostgresServer(18, authority=authority) as postgres,
        RedisServer(authority=authority, password="p/a#s?s[w]o%41rd") as redis,
    ):
        worker = nautobot_for(
            directory, mount, postgres, redis, partition=partition, role="site-worker"
        )
        worker.prepare_database()
        record_sessions(postgres)
        with worker.worker(partition) as process:
            web = worker.having(UNDERSTACK_ROLE="web")
            yield Site(partition, leaf, mount, postgres, redis, web, process)


class Servers(NamedTuple):
    """What the files connect to."""

    authority: Authority
    postgres: PostgresServer
    redis: RedisServer


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A PostgreSQL that asks for no TLS, and a Redis with a plain port beside its own.

    Whoever comes without TLS is let in, and seen.
    """
    authority = Authority()
    with (
        PostgresServer(authority=authority, hba=["host all all all trust"]) as postgres,
        RedisServer(
            authority=authority,
            password="c4n4ry",
            settings=[f"port {free_port()}"],
        ) as redis,
    ):
        yield Servers(authority, postgres, redis)


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, servers: Servers
) -> dict[str, str]:
    """Mutual TLS to database and Redis."""
    directory = tmp_path_factory.mktemp("files")
    authority = servers.authority
    mount = write_mount(directory / "mtls", authority.client(), authority.ca_pem)
    app = directory / "apps" / "site_app"
    app.mkdir(parents=True)
    (app / "__init__.py").write_text(APP)
    (app / "logs.py").write_text(LOGS)
    repository = str(Path(__file__).parents[2])
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([repository, str(app.parent)]),
        "NAUTOBOT_ROOT": str(directory / "root"),
        "NAUTOBOT_SECRET_KEY": KEY,
        "NAUTOBOT_DB_HOST": "127.0.0.1",
        "NAUTOBOT_DB_NAME": "app",
        "NAUTOBOT_DB_PORT": str(servers.postgres.port),
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_PASSWORD": "c4n4ry",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        "NAUTOBOT_REDIS_HOST": "127.0.0.1",
        "NAUTOBOT_REDIS_PORT": str(servers.redis.port),
        "NAUTOBOT_REDIS_PASSWORD": "c4n4ry",
        "NAUTOBOT_REDIS_SSL": "false",
        **mount.redis_variables,
        "UNDERSTACK_DB_CONNECT_TIMEOUT": "2",
    }
