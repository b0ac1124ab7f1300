"""What start-up says about certificate files is what real clients and servers do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.certificates import write_mount
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import Pki
from lab.corpus import Situation
from lab.corpus import client_files
from lab.corpus import situations
from lab.servers.databases import HOST
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.databases import driver
from lab.users import NOBODY
from lab.users import as_user
from lab.users import clients
from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.runtime.redis_connections import TlsConnection

OTHER = 4711
MODE_BITS = ((0, 4, 6), range(8), range(8))

Connect = Callable[[ClientFiles], str]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


@pytest.fixture(scope="module")
def connect(pki: Pki) -> Iterator[dict[str, Connect]]:
    """How to connect: returns the reason why not, nothing when it worked."""
    options = {"authority": pki.root, "client_ca": pki.trusted_for_clients}
    with PostgresServer(18, **options) as postgres, RedisServer(**options) as server:
        ways: dict[str, Connect] = {
            POSTGRESQL: lambda files: _libpq(files, postgres.port),
            REDIS: lambda files: _redis(files, server.port),
        }
        for use, way in ways.items():
            # Imports what it needs, while modules below a home can be read.
            assert way(client_files(use, postgres.directory))
        yield ways


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def _libpq(files: ClientFiles, port: int) -> str:
    cert, key, ca = (file.path for file in files.present())
    psycopg = driver()
    try:
        psycopg.connect(
            host="localhost",
            hostaddr=HOST,
            port=port,
            user="app",
            dbname="app",
            sslmode="verify-full",
            sslcert=cert,
            sslkey=key,
            sslrootcert=ca,
            connect_timeout=10,
        ).close()
    except (psycopg.Error, UnicodeDecodeError) as error:
        # psycopg2 has no message for an unreadable key, and may print what it finds
        # in its place.
        return repr(error)
    return ""


def _redis(files: ClientFiles, port: int) -> str:
    cert, key, ca = (file.path for file in files.present())
    pool = redis.ConnectionPool(
        connection_class=TlsConnection,
        host="localhost",
        port=port,
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_ca_certs=ca,
        ssl_check_hostname=True,
        socket_timeout=10,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with redis.Redis(connection_pool=pool) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return repr(error)
    finally:
        pool.disconnect()
    return ""


def _own(directory: Path, uid: int) -> None:
    for path in directory.iterdir():
        os.chown(path, uid, uid)


@pytest.mark.parametrize("use", [POSTGRESQL, REDIS])
@pytest.mark.parametrize("uid", clients(), ids="uid{}".format)
def test_nothing_is_refused_that_works_and_nothing_accepted_that_fails(
    pki: Pki, connect: dict[str, Connect], place: Path, use: str, uid: int
) -> None:
    corpus = situations(pki)
    for situation in corpus:
        situation.write(place / situation.name)
        _own(place / situation.name, uid)

    def outcome(situation: Situation) -> tuple[bool, str]:
        files = client_files(use, place / situation.name)
        refused = bool(check_certificates(files, sleep=lambda _: None))
        return refused, connect[use](files)

    with as_user(uid):
        outcomes = {one.name: outcome(one) for one in corpus}

    fails = {name: bool(reason) for name, (_, reason) in outcomes.items()}
    assert fails == {one.name: not one.connects(use) for one in corpus}, outcomes
    accepted_in_vain = {
        name for name, (refused, reason) in outcomes.items() if reason and not refused
    }
    refused_in_vain = {
        name: reason
        for name, (refused, reason) in outcomes.items()
        if refused and not reason
    }
    assert refused_in_vain == {}
    assert accepted_in_vain == {
        one.name
        for one in corpus
        if not one.connects(use) and not one.refusals(use, place)
    }


@pytest.mark.parametrize("uid", clients(), ids="uid{}".format)
def test_key_permissions_are_those_of_libpq(
    pki: Pki, connect: dict[str, Connect], place: Path, uid: int
) -> None:
    mount = write_mount(place / "mtls", pki.root.client(), pki.root.ca_pem)
    key = Path(mount.key).read_bytes()
    owners = (0, NOBODY, OTHER) if os.geteuid() == 0 else (os.geteuid(),)
    files: dict[str, ClientFiles] = {}
    for owner, group, bits in product(owners, {uid, OTHER}, product(*MODE_BITS)):
        mode = bits[0] << 6 | bits[1] << 3 | bits[2]
        path = place / f"owner {owner} group {group} mode {mode:04o}"
        path.write_bytes(key)
        if os.geteuid() == 0:
            os.chown(path, owner, group)
        path.chmod(mode)
        good = client_files(POSTGRESQL, mount.directory)
        files[path.name] = good._replace(
            key=CertificateFile(str(path), "NAUTOBOT_DB_SSLKEY")
        )

    with as_user(uid):
        verdicts = {
            name: (bool(check_certificates(one)), connect[POSTGRESQL](one))
            for name, one in files.items()
        }

    assert {
        f"{name}: {reason or 'it connects'}"
        for name, (refused, reason) in verdicts.items()
        if refused != bool(reason)
    } == set()
    assert {bool(reason) for _, reason in verdicts.values()} == {True, False}
