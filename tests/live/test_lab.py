"""The lab itself: what the other tests rely on without looking."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Mount
from lab.certificates import write_mount
from lab.processes import NotStarted
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.databases import driver
from lab.servers.delay_proxy import DelayProxy
from lab.servers.recording import RecordingServer
from lab.servers.scripted import ScriptedServer

OperationalError = driver().OperationalError


def connect(server: PostgresServer, mount: Mount, **options: object):
    return driver().connect(
        host="localhost",
        port=server.port,
        user="app",
        dbname="app",
        sslmode="verify-full",
        sslcert=mount.certificate,
        sslkey=mount.key,
        sslrootcert=mount.ca,
        **options,
    )


def redis_client(
    server: RedisServer, mount: Mount, *, certificate: bool = True, **options: object
) -> redis.Redis:
    if certificate:
        options |= {"ssl_certfile": mount.certificate, "ssl_keyfile": mount.key}
    return redis.Redis(
        host="localhost",
        port=server.port,
        password=server.password,
        ssl=True,
        ssl_ca_certs=mount.ca,
        retry=None,
        **options,
    )


def test_postgres_reports_user_and_serial_of_the_certificate(
    postgres, authority, tmp_path
):
    """The server reports TLS, the user of the certificate and its serial number."""
    leaf = authority.client()
    mount = write_mount(tmp_path, leaf, authority.ca_pem)
    with contextlib.closing(connect(postgres, mount, application_name="lab")):
        mine = [one for one in postgres.sessions() if one["application_name"] == "lab"]
    assert [
        (one["user"], one["version"], one["client_dn"], one["client_serial"])
        for one in mine
    ] == [("app", "TLSv1.3", "/CN=app", leaf.serial)]


def test_postgres_client_without_certificate_is_refused(postgres, mount):
    """Encryption alone opens nothing."""
    with pytest.raises(OperationalError, match="client certificate"):
        driver().connect(
            host="localhost",
            port=postgres.port,
            user="app",
            dbname="app",
            sslmode="verify-full",
            sslrootcert=mount.ca,
            sslcertmode="disable",
        )


def test_postgres_after_reload_uses_the_new_certificate(authority, mount):
    """A renewed server certificate of another CA is presented, and refused here."""
    with PostgresServer(authority=authority) as server:
        connect(server, mount).close()
        server.install_certificates(Authority().server())
        server.reload()
        with pytest.raises(OperationalError, match="certificate verify"):
            connect(server, mount)


def test_postgres_after_crash_starts_on_the_same_port(authority, mount):
    """Killed and started, it listens on the same port; others keep their data."""
    with PostgresServer(authority=authority) as server:
        server.sql("create table kept as select 1 as one")
        port = server.port
        server.stop()
        server.start()
        server.kill()
        server.start()
        assert server.port == port
        connect(server, mount).close()


def test_redis_client_without_certificate_is_refused(redis_server, mount):
    """TLS with the right password but without a certificate is refused."""
    with (
        redis_client(redis_server, mount, certificate=False) as anonymous,
        pytest.raises(redis.ConnectionError),
    ):
        anonymous.ping()
    with redis_client(redis_server, mount) as known:
        assert known.ping() is True
        assert len(redis_server.sessions()) == 1


def test_redis_accepts_any_password(mount, authority):
    """Passwords are written into redis.conf so that every character survives."""
    with (
        RedisServer(authority=authority, password="a\n'\"\\ é%41") as server,
        redis_client(server, mount) as client,
    ):
        assert client.ping() is True


@pytest.mark.parametrize("kind", [PostgresServer, RedisServer])
def test_server_after_an_error_leaves_no_port_and_no_files(kind):
    """After an error the port is closed and the files are gone."""
    with pytest.raises(ZeroDivisionError), kind() as server:
        1 / 0  # noqa: B018 - the error
    assert not server.directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_server_that_does_not_start_reports_its_log():
    """The log of the program ends the error."""
    with pytest.raises(NotStarted, match="no_such_setting"):
        PostgresServer(settings={"no_such_setting": "1"}).__enter__()


def test_killed_server_leaves_no_child_process(authority, mount):
    """Its children have sessions of their own, and hold what the next one needs."""
    with PostgresServer(authority=authority) as server, contextlib.ExitStack() as open_:
        for _ in range(5):
            connection = connect(server, mount)
            open_.callback(connection.close)
        children = [row["pid"] for row in server.sessions()]
        server.kill()

        assert len(children) == 5
        assert not any(_runs(pid) for pid in children)
        server.start()


def test_server_ends_if_its_starter_is_killed():
    """Killed without a chance to clean up, the starter takes its server along."""
    script = (
        "import sys, time; from lab.servers.databases import RedisServer\n"
        "with RedisServer() as server:\n"
        "    print(server.process.pid, server.directory, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, directory = starter.stdout.readline().split()
        starter.kill()
    try:
        deadline = time.monotonic() + 10
        while _runs(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(int(pid))
    finally:
        subprocess.run(["rm", "-r", directory], check=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Ended, but nobody has asked how yet.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize(
    ("mode", "arguments", "given_away"),
    [
        ("postgresql refuses tls", {"sslmode": "prefer"}, True),
        ("postgresql refuses tls", {"sslmode": "require"}, False),
        ("postgresql", {"sslmode": "require"}, True),
        ("postgresql", {"sslmode": "require", "sslnegotiation": "direct"}, True),
        ("postgresql", {"sslmode": "verify-ca", "sslrootcert": "ca.crt"}, False),
    ],
)
def test_hostile_postgres_records_a_password_only_if_it_is_sent(
    tmp_path, monkeypatch, mode, arguments, given_away
):
    """The recorder sees a password exactly where the client gives it away."""
    monkeypatch.chdir(tmp_path)
    Path("ca.crt").write_bytes(Authority().ca_pem)
    with RecordingServer(mode) as server, pytest.raises(OperationalError):
        driver().connect(
            host=server.host,
            port=server.port,
            user="app",
            dbname="app",
            password="sesame",
            connect_timeout=5,
            **arguments,
        )
    assert (b"sesame" in server.received) is given_away


def test_hostile_redis_without_verification_records_the_password():
    """Without verification the password goes to whoever answers."""
    with (
        RecordingServer("tls redis") as server,
        redis.Redis(
            host=server.host,
            port=server.port,
            password="sesame",
            ssl=True,
            ssl_cert_reqs="none",
            ssl_check_hostname=False,
        ) as client,
    ):
        assert client.ping() is True
    assert b"sesame" in server.received
    assert server.handshakes == ["completed"]


def test_round_trips_count_the_turns_of_the_conversation():
    """What is said at once is one turn, and so is what is answered in pieces."""

    def converse(connection: socket.socket) -> None:
        while said := connection.recv(1):
            if said == b"?":
                connection.sendall(b"in ")
                time.sleep(0.1)
                connection.sendall(b"pieces.")

    with (
        ScriptedServer(converse) as server,
        DelayProxy(server.port, round_trip=1) as proxy,
        socket.create_connection((proxy.host, proxy.port)) as client,
        client.makefile("rwb", buffering=0) as talk,
    ):
        started = time.monotonic()
        for _ in range(2):
            talk.write(b"one, ")
            time.sleep(0.1)
            talk.write(b"two?")
            assert talk.read(3) + talk.read(7) == b"in pieces."
        assert [one.round_trips for one in proxy.conversations] == [3]
        assert time.monotonic() - started > 2


def test_kubernetes_mount_is_swapped_in_one_step(tmp_path, authority):
    """The paths stay, the content changes, and one old directory is gone."""
    mount = KubernetesMount(tmp_path / "mtls")
    first, second = authority.client(), authority.client()
    mount.write(first, authority.ca_pem)
    before = os.readlink(mount.directory / "..data")
    mount.write(second, authority.ca_pem)
    assert os.readlink(mount.directory / "..data") != before
    assert not (mount.directory / before).exists()
    assert Path(mount.certificate).read_bytes() == second.chain_pem
    assert sorted(path.name for path in mount.directory.iterdir())[-3:] == [
        "ca.crt",
        "tls.crt",
        "tls.key",
    ]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda one: one.expired(), id="expired"),
        pytest.param(lambda one: one.not_yet_valid(), id="not yet valid"),
        pytest.param(lambda one: one.issue(usages=["server auth"]), id="server only"),
        pytest.param(lambda _: Authority().client(), id="unknown CA"),
    ],
)
def test_broken_certificate_is_refused_by_both_servers(
    tmp_path, authority, postgres18, redis_server, broken
):
    """What the certificates module breaks is broken for OpenSSL as well."""
    mount = write_mount(tmp_path, broken(authority), authority.ca_pem)
    with pytest.raises(OperationalError):
        connect(postgres18, mount)
    with (
        redis_client(redis_server, mount) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


def test_paused_server_is_silent_until_resumed(redis_server, mount):
    """A pause neither closes connections nor loses them."""
    with redis_client(redis_server, mount, socket_timeout=0.3) as client:
        client.ping()
        redis_server.pause()
        try:
            with pytest.raises(redis.TimeoutError):
                client.ping()
        finally:
            redis_server.resume()
        assert client.ping() is True
