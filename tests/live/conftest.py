"""Real servers for a whole run; a test that bends one starts its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.certificates import Authority
from lab.certificates import Mount
from lab.certificates import write_mount
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the file that takes longest first: the others fit beside it."""
    items.sort(key=lambda item: item.path.name != "test_wire.py")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The CA that the servers trust and are certified by."""
    return Authority()


@pytest.fixture(scope="session")
def mount(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Mount:
    """A mounted client certificate, CN=app."""
    directory = tmp_path_factory.mktemp("mtls")
    return write_mount(directory, authority.client(), authority.ca_pem)


@pytest.fixture(scope="session")
def postgres15(authority: Authority) -> Iterator[PostgresServer]:
    """PostgreSQL 15, client certificates only."""
    with PostgresServer(15, authority=authority) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18(authority: Authority) -> Iterator[PostgresServer]:
    """PostgreSQL 18, client certificates only."""
    with PostgresServer(18, authority=authority) as server:
        yield server


@pytest.fixture(scope="session", params=[15, 18], ids="postgres{}".format)
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """Each PostgreSQL in turn."""
    server = request.getfixturevalue(f"postgres{request.param}")
    assert isinstance(server, PostgresServer)
    return server


@pytest.fixture(scope="session")
def redis_server(authority: Authority) -> Iterator[RedisServer]:
    """Redis 7: client certificates and a password."""
    with RedisServer(authority=authority, password="p/a#s?s[w]o%41rd") as server:
        yield server
