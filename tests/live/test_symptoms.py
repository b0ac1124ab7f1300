"""Every error text of the troubleshooting page, as real drivers and servers give it.

A situation makes the driver fail. Each text is in what the driver says, the page has
a heading with the text, and what stands below it names the code that a probe gives.
"""

import contextlib
import re
import signal
import subprocess
import traceback
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import OperationalError
from redis.exceptions import RedisError

from lab import installation
from lab.certificates import CLIENT
from lab.certificates import Authority
from lab.certificates import write_mount
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.databases import driver
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from lab.servers.listening import tls_context
from lab.servers.pooler import pooler
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import silence
from lab.wire.sections.beside import wait_for
from lab.wire.sections.hostile import BlackHole
from tests.live.deployment import cache
from tests.live.deployment import database
from tests.live.deployment import database_settings
from tests.live.deployment import parameters
from tests.live.deployment import redis_settings
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGE = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")
SECTIONS = ("Certificate files", "PostgreSQL", "Redis and Celery")
PASSWORDS = ("hostssl all all 0.0.0.0/0 scram-sha-256",)

ELSEWHERE = {
    # Root may read everything: tests/live/test_certificates_differential.py.
    "[Errno 13]",
    "could not open certificate file",
    # A terminal, which no test has.
    "Enter PEM pass phrase",
    # Certificates that `cryptography` signs no more: the corpus has them ready-made.
    "CA_MD_TOO_WEAK",
    "ca md too weak",
    # Python 3.13.
    "Missing Authority Key Identifier",
    "Basic Constraints of CA cert not marked critical",
    "record layer failure",
    # CloudNativePG.
    "missing ca.key secret data",
    "x509: certificate signed by unknown authority",
    # Depends on the resolver and the routes of the machine.
    "Name or service not known",
    "Temporary failure in name resolution",
    "No route to host",
    # Passes within milliseconds.
    "the database system is starting up",
    # Several nodes.
    "MOVED",
}
"""Texts that nothing here produces, each with the reason."""

SITUATIONS = []


OF_PSYCOPG_3 = "SSL error: unexpected eof while reading"
"""What the OpenSSL says that psycopg 3 brings, where that of psycopg2 says EOF."""


def shows(code, *texts):
    """A situation in which these texts appear, and a probe gives this code."""

    def noted(situation):
        SITUATIONS.append(
            pytest.param(contextlib.contextmanager(situation), code, texts, id=texts[0])
        )
        return situation

    return noted


@pytest.fixture(scope="module")
def bench(authority, mount, postgres15, postgres18, redis_server):
    """Servers that stay as they are, or are changed for a while only."""
    return SimpleNamespace(
        authority=authority,
        mount=mount,
        postgres15=postgres15,
        postgres18=postgres18,
        redis=redis_server,
    )


def presenting(leaf, place, bench, ca=None):
    return write_mount(place / "presented", leaf, ca or bench.authority.ca_pem)


# --- PostgreSQL ----------------------------------------------------------------


@shows("probe-client-ca", "tlsv1 alert unknown ca")
def unknown_client_ca(bench, place):
    mount = presenting(Authority("other").client(), place, bench)
    yield database_settings(bench.postgres18.port, mount)


@shows("probe-server-ca", "certificate verify failed")
def another_server_ca(bench, place):
    ca = Authority("other").ca_pem
    mount = presenting(bench.authority.client(), place, bench, ca)
    yield database_settings(bench.postgres18.port, mount)


@shows("probe-server-name", "does not match host name")
def another_server_name(bench, place):
    yield database_settings(
        bench.postgres18.port, bench.mount, HOST="db.example", hostaddr="127.0.0.1"
    )


@shows("probe-db-hba", "no pg_hba.conf entry")
def no_rule(bench, place):
    with bench.postgres18.changed(hba=(), last_rule=""):
        yield database_settings(bench.postgres18.port, bench.mount)


@shows("probe-db-hba", "pg_hba.conf rejects connection")
def rejecting_rule(bench, place):
    yield database_settings(bench.postgres18.port, bench.mount, "disable")


@shows(
    "probe-client-certificate-required",
    "connection requires a valid client certificate",
)
def no_client_certificate(bench, place):
    yield database_settings(bench.postgres18.port, bench.mount, "require")


@shows("probe-db-certificate-user", "certificate authentication failed for user")
def another_user(bench, place):
    yield database_settings(bench.postgres18.port, bench.mount, USER="other")


@shows("probe-db-password", "password authentication failed")
def wrong_password(bench, place):
    with (
        bench.postgres18.changed(
            "alter role app password 'right'", back=("alter role app password null",)
        ),
        bench.postgres18.changed(hba=PASSWORDS),
    ):
        yield database_settings(bench.postgres18.port, bench.mount, PASSWORD="wrong")


@shows(
    "probe-client-expired",
    "ssl/tls alert certificate expired",
    "sslv3 alert certificate expired",
)
def expired_client(bench, place):
    mount = presenting(bench.authority.expired(), place, bench)
    yield database_settings(bench.postgres18.port, mount)


@shows("probe-gateway-negotiation", "server closed the connection unexpectedly")
def classic_negotiation_at_a_gateway(bench, place):
    with Gateway(postgres=Route(bench.postgres18.port)) as gateway:
        yield database_settings(gateway.port("postgres"), bench.mount)


@shows("probe-libpq", "weak sslmode")
def direct_and_prefer(bench, place):
    yield database_settings(
        bench.postgres18.port, bench.mount, "prefer", sslnegotiation="direct"
    )


@shows("probe-timeout", "timeout expired")
def database_in_a_black_hole(bench, place):
    with BlackHole() as hole:
        yield database_settings(
            hole.port, bench.mount, HOST="127.0.0.1", connect_timeout=2
        )


@shows("probe-silent", "timeout expired")
def silent_database(bench, place):
    with ScriptedServer(silence) as server:
        yield database_settings(server.port, bench.mount, connect_timeout=2)


@shows("probe-dns", "could not translate host name")
def unknown_host(bench, place):
    yield database_settings(1, bench.mount, HOST="nowhere.invalid")


@shows("probe-refused", "Connection refused")
def nobody_listens(bench, place):
    yield database_settings(free_port(), bench.mount)


@shows("probe-network", "Network is unreachable")
def no_route(bench, place):
    """To a group of hosts no connection can be made."""
    yield database_settings(1, bench.mount, HOST="224.0.0.1")


@shows("probe-db-full", "too many connections")
def limit_of_the_role(bench, place):
    with bench.postgres18.changed(
        "alter role app connection limit 0",
        back=("alter role app connection limit -1",),
    ):
        yield database_settings(bench.postgres18.port, bench.mount)


SETTLING_SECONDS = 10.0


def connects(connection):
    with contextlib.suppress(OperationalError):
        connection.ensure_connection()
    return connection.connection is not None


@contextlib.contextmanager
def held(settings, count=1):
    """Sessions that stay, once the one that found the server ready has ended."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(database(settings))
            wait_for(partial(connects, connection), SETTLING_SECONDS)
            assert connection.connection is not None
        yield


@shows("probe-db-full", "sorry, too many clients already")
def no_connection_left(bench, place):
    options = {"max_connections": "2", "superuser_reserved_connections": "0"}
    options |= {"reserved_connections": "0"}
    with PostgresServer(authority=bench.authority, settings=options) as server:
        settings = database_settings(server.port, bench.mount)
        with held(settings, 2):
            yield settings


@shows("probe-db-full", "remaining connection slots are reserved")
def only_reserved_connections_left(bench, place):
    options = {"max_connections": "4", "superuser_reserved_connections": "3"}
    with PostgresServer(authority=bench.authority, settings=options) as server:
        settings = database_settings(server.port, bench.mount)
        with held(settings):
            yield settings


@shows("probe-db-starting", "the database system is shutting down")
def database_that_waits_for_its_clients(bench, place):
    with PostgresServer(authority=bench.authority) as server:
        settings = database_settings(server.port, bench.mount)
        with held(settings):
            server.process.send(signal.SIGTERM)
            while "received smart shutdown request" not in server.log:
                pass
            yield settings


@shows("probe-db-role", 'role "app" does not exist')
def no_role(bench, place):
    with bench.postgres18.changed(
        "alter role app rename to other", back=("alter role other rename to app",)
    ):
        yield database_settings(bench.postgres18.port, bench.mount)


@shows("probe-db-role", "permission denied for database")
def no_privilege(bench, place):
    with bench.postgres18.changed(
        "revoke connect on database app from public, app",
        back=("grant connect on database app to public, app",),
    ):
        yield database_settings(bench.postgres18.port, bench.mount)


@shows("probe-db-name", 'database "app" does not exist')
def no_database(bench, place):
    with bench.postgres18.changed(
        "alter database app rename to other",
        back=("alter database other rename to app",),
    ):
        yield database_settings(bench.postgres18.port, bench.mount)


@shows("probe-tls-refused", "server does not support SSL, but SSL was required")
def database_without_tls(bench, place):
    with PostgresServer(tls=False) as server:
        yield database_settings(server.port, bench.mount)


@shows(
    "probe-direct-unsupported",
    "SSL SYSCALL error: EOF detected",
    OF_PSYCOPG_3,
)
def direct_negotiation_with_an_old_server(bench, place):
    yield database_settings(bench.postgres15.port, bench.mount, sslnegotiation="direct")


@shows("probe-not-postgresql", "direct SSL connection was established without ALPN")
def direct_negotiation_with_another_server(bench, place):
    yield database_settings(bench.redis.port, bench.mount, sslnegotiation="direct")


@shows("probe-db-options", "unsupported startup parameter: options")
def pooler_without_options(bench, place):
    with pooler(bench.postgres15, size=1) as port:
        yield database_settings(port, bench.mount, options="-c TimeZone=UTC")


@shows(
    "probe-client-refused",
    "ssl/tls alert certificate revoked",
    "sslv3 alert certificate revoked",
)
def revoked_client(bench, place):
    leaf = bench.authority.client()
    with PostgresServer(authority=bench.authority) as server:
        server.revoke(bench.authority.revocation_list(leaf))
        yield database_settings(server.port, presenting(leaf, place, bench))


@shows("probe-client-refused", "unsupported certificate")
def client_for_servers(bench, place):
    leaf = bench.authority.client(usages=("server auth",))
    yield database_settings(bench.postgres18.port, presenting(leaf, place, bench))


@shows("certificate-not-yet-valid", "bad certificate")
def early_client(bench, place):
    leaf = bench.authority.not_yet_valid()
    yield database_settings(bench.postgres18.port, presenting(leaf, place, bench))


@shows("file-missing", "root certificate file", "does not exist")
def no_root_certificate(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    Path(mount.ca).unlink()
    yield database_settings(bench.postgres18.port, mount)


@shows("file-missing", "certificate present, but not private key file")
def no_key(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    Path(mount.key).unlink()
    yield database_settings(bench.postgres18.port, mount)


@shows("key-mode", "has group or world access")
def key_for_everybody(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    Path(mount.key).chmod(0o644)
    yield database_settings(bench.postgres18.port, mount)


def another_key(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    Path(mount.key).write_bytes(bench.authority.client().key_pem)
    return mount


@shows("certificate-key-mismatch", "key values mismatch")
def another_key_for_libpq(bench, place):
    yield database_settings(bench.postgres18.port, another_key(bench, place))


@shows("certificate-key-mismatch", "KEY_VALUES_MISMATCH")
def another_key_for_redis(bench, place):
    yield redis_settings(bench.redis.port, another_key(bench, place))


def certificate_in_one_line(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    path = Path(mount.certificate)
    path.write_bytes(path.read_bytes().replace(b"\n", b" "))
    return mount


@shows("pem-one-line", "no start line")
def one_line_for_libpq(bench, place):
    mount = certificate_in_one_line(bench, place)
    yield database_settings(bench.postgres18.port, mount)


@shows("pem-one-line", "[SSL] PEM lib", "Error 524297")
def one_line_for_redis(bench, place):
    yield redis_settings(bench.redis.port, certificate_in_one_line(bench, place))


def short_key(bench, place):
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return presenting(bench.authority.client(key=key), place, bench)


@shows("certificate-weak", "ee key too small")
def short_key_for_libpq(bench, place):
    yield database_settings(bench.postgres18.port, short_key(bench, place))


@shows("certificate-weak", "EE_KEY_TOO_SMALL")
def short_key_for_redis(bench, place):
    yield redis_settings(bench.redis.port, short_key(bench, place))


@shows("file-missing", "connection requires a valid client certificate")
def no_certificate(bench, place):
    mount = presenting(bench.authority.client(), place, bench)
    Path(mount.certificate).unlink()
    yield database_settings(bench.postgres18.port, mount)


@shows("probe-gateway-name", "Connection reset by peer")
def name_that_the_gateway_does_not_know(bench, place):
    with Gateway(postgres=Route(bench.postgres18.port, "other.example")) as gateway:
        yield database_settings(
            gateway.port("postgres"), bench.mount, sslnegotiation="direct"
        )


@shows("probe-gateway-name", "Error 104 connecting")
def redis_name_that_the_gateway_does_not_know(bench, place):
    with Gateway(redis=Route(bench.redis.port, "other.example")) as gateway:
        yield redis_settings(gateway.port("redis"), bench.mount)


# --- Redis ---------------------------------------------------------------------


@shows(
    "probe-server-ca",
    "[SSL: CERTIFICATE_VERIFY_FAILED]",
    "self-signed certificate in certificate chain",
)
def another_redis_ca(bench, place):
    own = Authority("own")
    leaf = own.server()
    chained = type(leaf)(leaf.certificate, leaf.key, leaf.key_pem, (own.certificate,))
    with RedisServer(authority=bench.authority, server=chained) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-server-expired", "certificate has expired")
def expired_redis(bench, place):
    leaf = bench.authority.expired("localhost", san=["localhost"], usages=())
    with RedisServer(authority=bench.authority, server=leaf) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-server-not-yet-valid", "certificate is not yet valid")
def early_redis(bench, place):
    leaf = bench.authority.not_yet_valid("localhost", san=["localhost"], usages=())
    with RedisServer(authority=bench.authority, server=leaf) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-server-purpose", "unsuitable certificate purpose")
def redis_for_clients(bench, place):
    leaf = bench.authority.server(usages=CLIENT)
    with RedisServer(authority=bench.authority, server=leaf) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-server-name", "Hostname mismatch, certificate is not valid for")
def another_redis_name(bench, place):
    leaf = bench.authority.server("redis.example")
    with RedisServer(authority=bench.authority, server=leaf) as server:
        yield redis_settings(server.port, bench.mount)


def without_certificate(port, bench):
    return redis_settings(port, bench.mount, ssl_certfile=None, ssl_keyfile=None)


@shows(
    "probe-client-certificate-required",
    "certificate required",
)
def redis_without_client_certificate(bench, place):
    yield without_certificate(bench.redis.port, bench)


@shows("probe-client-certificate-required", "sslv3 alert handshake failure")
def old_redis_without_client_certificate(bench, place):
    lines = ['tls-protocols "TLSv1.2"']
    with RedisServer(authority=bench.authority, settings=lines) as server:
        yield without_certificate(server.port, bench)


@shows("probe-gateway-name", "EOF occurred in violation of protocol")
def gateway_that_closes_in_order(bench, place):
    with ScriptedServer(goodbye) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-closed", "Connection closed by server")
def redis_that_closes(bench, place):
    context = tls_context(bench.authority.server(), clients=bench.authority.ca_pem)
    with ScriptedServer(over_tls(context, goodbye)) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-not-tls", "wrong version number")
def tls_to_plain_text(bench, place):
    def script(connection):
        connection.recv(65536)
        connection.sendall(b"-ERR unknown command\r\n")

    with ScriptedServer(script) as server:
        yield redis_settings(server.port, bench.mount)


@shows("probe-redis-auth", "WRONGPASS", "invalid username-password pair")
def wrong_redis_password(bench, place):
    yield redis_settings(bench.redis.port, bench.mount, password="wrong")


@shows("probe-redis-auth", "NOAUTH Authentication required")
def no_redis_password(bench, place):
    yield redis_settings(bench.redis.port, bench.mount)


@contextlib.contextmanager
def plain_redis(*lines):
    with RedisServer(tls=False, settings=lines) as server:
        yield redis_settings(server.port, None)


@shows("probe-redis-read-only", "READONLY", "read only replica")
def redis_replica(bench, place):
    with plain_redis("replicaof 127.0.0.1 1") as settings:
        yield settings


@shows("probe-redis-read-only", "OOM command not allowed")
def full_redis(bench, place):
    with plain_redis("maxmemory 1") as settings:
        yield settings


@shows("probe-redis-read-only", "MISCONF")
def redis_that_cannot_save(bench, place):
    lines = ("save 3600 1", "stop-writes-on-bgsave-error yes")
    with (
        RedisServer(tls=False, settings=lines) as server,
        server.admin() as admin,
    ):
        # Its port is open before it has looked for what it saved last.
        admin.ping()
        (server.directory / "dump.rdb").mkdir()
        admin.bgsave()
        while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
            pass
        yield redis_settings(server.port, None)
        # It saves when it ends.
        (server.directory / "dump.rdb").rmdir()


@shows("probe-redis-permission", "NOPERM", "this user has no permissions to run")
def redis_user_without_permissions(bench, place):
    rule = "user default on nopass ~* &* +@connection"
    with plain_redis(rule) as settings:
        yield settings


@shows("probe-redis-busy", "MASTERDOWN")
def redis_without_master(bench, place):
    lines = ("replicaof 127.0.0.1 1", "replica-serve-stale-data no")
    with plain_redis(*lines) as settings:
        yield settings


@shows("probe-redis-busy", "LOADING Redis is loading the dataset in memory")
def redis_that_loads_its_data(bench, place):
    with RedisServer(tls=False) as server:
        with server.admin() as admin:
            admin.mset({f"key{number}": "x" * 64 for number in range(2000)})
            admin.save()
        server.kill()
        slowly = ("key-load-delay 2000", "loading-process-events-interval-bytes 1024")
        server.settings += slowly
        server.start()
        yield redis_settings(server.port, None)


@shows("probe-redis-cluster", "CLUSTERDOWN")
def redis_cluster(bench, place):
    with plain_redis("cluster-enabled yes") as settings:
        yield settings


@shows("probe-silent", "Timeout reading from")
def silent_redis(bench, place):
    with ScriptedServer(silence) as server:
        yield redis_settings(server.port, None, socket_timeout=0.3)


@shows("probe-timeout", "Timeout connecting to server")
def black_hole(bench, place):
    with BlackHole() as hole:
        yield redis_settings(
            hole.port, None, host="127.0.0.1", socket_connect_timeout=0.3
        )


@shows("probe-refused", "Error 111 connecting")
def nobody_listens_as_redis(bench, place):
    yield redis_settings(free_port(), None)


# --- the page ------------------------------------------------------------------


def said_by_the_driver(settings):
    """Connect as Django does, with each driver; all that they said about it."""
    if "CACHES" in settings:
        with cache(settings) as client, pytest.raises(RedisError) as raised:
            client.set("x", "y")
        return "".join(traceback.format_exception(raised.value))
    texts = []
    for one in {psycopg2, driver()}:
        with pytest.raises(one.Error) as raised:
            one.connect(**parameters(settings))
        texts.append(str(raised.value))
    return "\n".join(texts)


def probed(settings):
    """What the server says to a probe, its code, and what `check` says of the files."""
    probing = probe_cache if "CACHES" in settings else probe_database
    attempt = Attempt("target", 3.0)
    with contextlib.suppress(Failed):
        probing(attempt, settings, Network())
    codes = {attempt.problem and attempt.problem.code}
    if "CACHES" in settings:
        options = settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
        names = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
    else:
        options = settings["DATABASES"]["default"]["OPTIONS"]
        names = ("sslcert", "sslkey", "sslrootcert")
    if all(options.get(name) for name in names):
        files = (CertificateFile(options[name], "X") for name in names)
        use = "Redis" if "CACHES" in settings else "PostgreSQL"
        codes |= {one.code for one in check_certificates(ClientFiles(use, *files))}
    return attempt.server_said, codes


@pytest.mark.parametrize(("situation", "code", "texts"), SITUATIONS)
def test_symptom_on_the_page_equals_the_real_message(
    bench, tmp_path, situation, code, texts
):
    with situation(bench, tmp_path) as settings:
        said = said_by_the_driver(settings)
        server_said, codes = probed(settings)

    assert code in codes
    for text in texts:
        if text != OF_PSYCOPG_3 or driver() is not psycopg2:
            assert text.lower() in f"{said}\n{server_said}".lower()


def cut(bench):
    """A session that the server ends."""
    settings = database_settings(bench.postgres18.port, bench.mount)
    with contextlib.closing(psycopg2.connect(**parameters(settings))) as connection:
        bench.postgres18.end_sessions()
        connection.cursor().execute("select 1")


def tls_options_without_tls(bench):
    with cache(redis_settings(1, None, ssl_cert_reqs="required")) as client:
        client.get("x")


def old_libpq(bench):
    command = [installation.postgres(15) / "psql", "sslnegotiation=direct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    raise RuntimeError(done.stderr)


LATER = [
    (cut, "SSL connection has been closed unexpectedly"),
    (tls_options_without_tls, "unexpected keyword argument 'ssl_cert_reqs'"),
    (old_libpq, 'invalid connection option "sslnegotiation"'),
]


@pytest.mark.parametrize(("fails", "text"), LATER, ids=[row[1] for row in LATER])
def test_symptom_without_probe_code_equals_the_driver_message(bench, fails, text):
    with pytest.raises(Exception, match=re.escape(text)):
        fails(bench)


@pytest.mark.parametrize(("situation", "code", "texts"), SITUATIONS)
def test_symptom_is_on_the_page_with_its_code(situation, code, texts):
    for text in texts:
        assert [
            heading
            for heading, below in sections()
            if text.lower() in heading.lower() and f"#{code})" in below
        ], text


def sections():
    """Headings about servers on the page, and what stands below each."""
    found = []
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        if part.partition("\n")[0] in SECTIONS:
            for section in part.split("\n### ")[1:]:
                heading, _, below = section.partition("\n")
                found.append((heading, below))
    return found


def test_symptoms_on_the_page_all_have_a_test():
    shown = [text.lower() for row in SITUATIONS for text in row.values[2]]
    shown += [text.lower() for _, text in LATER]
    headed = {
        text
        for heading, _ in sections()
        for text in re.findall("`([^`]+)`", heading)
        if not any(one in text.lower() or text.lower() in one for one in shown)
    }

    assert headed == ELSEWHERE
