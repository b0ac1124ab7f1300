"""One site for the whole run: servers, a prepared database, a worker on its queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import nautobot_for
from lab.nautobot.deployment import record_sessions
from lab.processes import Process
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer


class Site(NamedTuple):
    """A site cluster and the global servers that it reaches."""

    partition: str
    leaf: Leaf
    mount: KubernetesMount
    postgres: PostgresServer
    redis: RedisServer
    web: Nautobot
    worker: Process


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the site once where tests run side by side; else keep a module together."""
    for item in items:
        needs_site = "site" in getattr(item, "fixturenames", ())
        group = "site" if needs_site else item.location[0]
        item.add_marker(pytest.mark.xdist_group(group))


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
