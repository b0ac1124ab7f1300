"""What start-up says about certificate files is what real clients and servers do."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from lab.certificates import write_mount
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import Pki
from lab.corpus import Situation
from lab.corpus import client_files
from lab.corpus import situations
from lab.corpus.connecting import postgresql_refusal
from lab.corpus.connecting import redis_refusal
from lab.corpus.connecting import refuses
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.users import NOBODY
from lab.users import as_user
from lab.users import clients
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates

OTHER = 4711
MODE_BITS = ((0, 4, 6), range(8), range(8))

Connect = Callable[[ClientFiles], str]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


def ways(postgres: PostgresServer, server: RedisServer) -> dict[str, Connect]:
    """How to connect: returns the reason why not, nothing when it worked."""
    found: dict[str, Connect] = {
        POSTGRESQL: lambda files: postgresql_refusal(files, postgres.port),
        REDIS: lambda files: redis_refusal(files, server.port),
    }
    for use, way in found.items():
        # Imports what it needs, while modules below a home can be read.
        assert way(client_files(use, postgres.directory))
    return found


@pytest.fixture(scope="module")
def connect(pki: Pki) -> Iterator[dict[str, Connect]]:
    """The servers of today."""
    options = {"authority": pki.root, "client_ca": pki.trusted_for_clients}
    with PostgresServer(18, **options) as postgres, RedisServer(**options) as server:
        yield ways(postgres, server)


@pytest.fixture(scope="module")
def connect_tls12(pki: Pki) -> Iterator[dict[str, Connect]]:
    """Servers that speak at most TLS 1.2, PostgreSQL with its default curve."""
    options = {"authority": pki.root, "client_ca": pki.trusted_for_clients}
    with (
        PostgresServer(
            15, **options, settings={"ssl_max_protocol_version": "TLSv1.2"}
        ) as postgres,
        RedisServer(**options, settings=['tls-protocols "TLSv1.2"']) as server,
    ):
        yield ways(postgres, server)


def _own(directory: Path, uid: int) -> None:
    for path in directory.iterdir():
        os.chown(path, uid, uid)


@pytest.mark.parametrize("use", [POSTGRESQL, REDIS])
@pytest.mark.parametrize("uid", clients(), ids="uid{}".format)
def test_certificate_verdict_equals_the_result_of_a_real_connection(
    pki: Pki, connect: dict[str, Connect], place: Path, use: str, uid: int
) -> None:
    corpus = situations(pki)
    for situation in corpus:
        situation.write(place / situation.name)
        _own(place / situation.name, uid)

    def outcome(situation: Situation) -> tuple[bool, str]:
        files = client_files(use, place / situation.name)
        return refuses(files), connect[use](files)

    with as_user(uid):
        outcomes = {one.name: outcome(one) for one in corpus}

    certain = [one for one in corpus if one.connects(use) is not None]
    fails = {one.name: bool(outcomes[one.name][1]) for one in certain}
    assert fails == {one.name: not one.connects(use) for one in certain}, outcomes
    accepted_in_vain = {
        one.name
        for one in certain
        for refused, reason in [outcomes[one.name]]
        if reason and not refused
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
        if one.connects(use) is False and not one.refusals(use, place)
    }


@pytest.mark.parametrize("use", [POSTGRESQL, REDIS])
def test_certificate_that_works_with_tls_1_2_is_accepted(
    pki: Pki, connect_tls12: dict[str, Connect], place: Path, use: str
) -> None:
    refused_in_vain, works = [], {}
    for situation in situations(pki):
        situation.write(place / situation.name)
        _own(place / situation.name, os.geteuid())
        files = client_files(use, place / situation.name)
        works[situation.name] = not connect_tls12[use](files)
        if works[situation.name] and refuses(files):
            refused_in_vain.append(situation.name)

    assert refused_in_vain == []
    # What start-up says that it may be refused: TLS 1.2 signs with DSA, and a
    # PostgreSQL of its time accepts client keys on its own curve only.
    assert (works["dsa"], works["p384"]) == (True, use == REDIS)


@pytest.mark.parametrize("uid", clients(), ids="uid{}".format)
def test_key_permission_verdict_equals_that_of_libpq(
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
