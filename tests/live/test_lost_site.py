"""What `docs/guides/lost-site.md` promises, with its own commands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509

from lab.certificates import HOUR
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.certificates import Mount
from lab.certificates import now
from lab.certificates import write_mount
from lab.corpus.situation import pem_key
from lab.servers.databases import HOST
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.databases import driver
from understack_nautobot_settings.runtime.redis_connections import TlsConnection

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "lost-site.md"


def commands() -> str:
    """Return the commands of the guide that make the list."""
    (block,) = re.findall(r"(?ms)^```sh\n(.*?)^```", GUIDE.read_text())
    return block


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def sites(authority: Authority, tmp_path: Path) -> dict[str, Mount]:
    return {
        name: write_mount(tmp_path / name, authority.client(), authority.ca_pem)
        for name in ("lost", "other")
    }


@pytest.fixture(params=[15, 18], ids="PostgreSQL {}".format)
def postgres(
    request: pytest.FixtureRequest, authority: Authority
) -> Iterator[PostgresServer]:
    with PostgresServer(request.param, authority=authority) as server:
        yield server


def connected(mount: Mount, server: PostgresServer) -> Any:
    return driver().connect(
        host="localhost",
        hostaddr=HOST,
        port=server.port,
        user="app",
        dbname="app",
        sslmode="verify-full",
        sslcert=mount.certificate,
        sslkey=mount.key,
        sslrootcert=mount.ca,
        connect_timeout=10,
    )


def refusal(mount: Mount, server: PostgresServer) -> str:
    """Return why a site is not let in, nothing where it is."""
    try:
        connected(mount, server).close()
    except driver().Error as error:
        return str(error)
    return ""


def revocation_list(authority: Authority, lost: Mount, place: Path) -> Path:
    """Make the list with the commands of the guide."""
    place.mkdir()
    (place / "ca.crt").write_bytes(authority.cert_pem)
    (place / "ca.key").write_bytes(pem_key(authority))
    (place / "lost.crt").write_bytes(Path(lost.certificate).read_bytes())
    subprocess.run(
        ["sh", "-e", "-c", commands()], cwd=place, check=True, capture_output=True
    )
    return place / "crl.pem"


def configure(server: PostgresServer, name: str, path: Path) -> None:
    with (server.directory / "data" / "postgresql.auto.conf").open("a") as file:
        file.write(f"{name} = '{path}'\n")
    server.reload()


@pytest.mark.parametrize("option", ["ssl_crl_file", "ssl_crl_dir"])
def test_revoked_certificate_is_refused_and_others_are_accepted(
    option: str,
    postgres: PostgresServer,
    authority: Authority,
    sites: dict[str, Mount],
    tmp_path: Path,
) -> None:
    lost, other = sites["lost"], sites["other"]
    content = revocation_list(authority, lost, tmp_path / "revoking").read_bytes()
    lists = postgres.directory / "lists"
    lists.mkdir()
    (lists / "crl.pem").write_bytes(content)
    subprocess.run(["openssl", "rehash", lists], check=True)
    for path in (lists, *lists.iterdir()):
        path.chmod(0o755)
    assert [refusal(site, postgres) for site in (lost, other)] == ["", ""]

    with closing(connected(lost, postgres)):
        place = lists / "crl.pem" if option == "ssl_crl_file" else lists
        configure(postgres, option, place)

        assert "certificate revoked" in refusal(lost, postgres)
        assert refusal(other, postgres) == ""
        # What is connected stays, until it is ended by its serial number.
        serial = x509.load_pem_x509_certificate(
            Path(lost.certificate).read_bytes()
        ).serial_number
        ended = postgres.sql(
            "select pg_terminate_backend(pid) from pg_stat_ssl "
            f"where client_serial = {serial}"
        )

    assert ended == [(True,)]


def test_outdated_revocation_list_refuses_every_client(
    postgres: PostgresServer, authority: Authority, sites: dict[str, Mount]
) -> None:
    old = authority.revocation_list(next_update=now() - HOUR)
    path = postgres.directory / "old.pem"
    path.write_bytes(old)
    path.chmod(0o644)
    configure(postgres, "ssl_crl_file", path)

    assert all(refusal(site, postgres) for site in sites.values())


def answers(leaf: Leaf, ca_pem: bytes, server: RedisServer, place: Path) -> bool:
    mount = write_mount(place, leaf, ca_pem)
    pool = redis.ConnectionPool(
        connection_class=TlsConnection,
        host="localhost",
        port=server.port,
        ssl_certfile=mount.certificate,
        ssl_keyfile=mount.key,
        ssl_ca_certs=mount.ca,
        socket_timeout=10,
    )
    try:
        with redis.Redis(connection_pool=pool) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        pool.disconnect()


def test_redis_after_ca_change_refuses_the_lost_site_only(
    authority: Authority, sites: dict[str, Mount], tmp_path: Path
) -> None:
    """Through both steps of the change, the other sites always get in."""
    new = Authority("understack-mtls-ca-2")
    both = authority.ca_pem + new.ca_pem
    lost, other = authority.client(), authority.client()
    with RedisServer(authority=authority) as server:
        with server.admin() as admin:
            options = admin.config_get("tls-*")
        assert not [name for name in options if "crl" in name or "revo" in name]

        def let_in(*leaves: Leaf) -> list[bool]:
            return [
                answers(leaf, both, server, tmp_path / f"{number}")
                for number, leaf in enumerate(leaves)
            ]

        assert let_in(lost, other) == [True, True]
        server.install_certificates(client_ca=both)
        server.reload()
        renewed = new.client()
        assert let_in(lost, other, renewed) == [True, True, True]
        server.install_certificates(server=new.server(), client_ca=new.ca_pem)
        server.reload()
        assert let_in(lost, renewed) == [False, True]
