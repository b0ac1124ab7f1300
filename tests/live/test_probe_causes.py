"""The cause that a probe names, against real servers that produce it."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import DNSName
from cryptography.x509 import load_pem_x509_certificate
from redis.exceptions import RedisError

from lab.certificates import DAY
from lab.certificates import SERVER
from lab.certificates import Authority
from lab.certificates import now
from lab.certificates import write_mount
from lab.processes import Process
from lab.processes import accepts
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.front import Front
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import silence
from lab.wire.sections.beside import wait_for
from tests.live.deployment import cache
from tests.live.deployment import configured
from tests.live.deployment import database_environment
from tests.live.deployment import database_settings
from tests.live.deployment import is_let_in
from tests.live.deployment import parameters
from tests.live.deployment import redis_environment
from tests.live.deployment import redis_settings
from tests.unit.probes.attempts import SCRIPTS
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_broker
from understack_nautobot_settings.probes.redis import probe_cache
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.targets import probe_targets
from understack_nautobot_settings.probes.wait import wait_until_up

DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}
PASSWORDS = ("hostssl all all 0.0.0.0/0 scram-sha-256",)
HONEST = "closed the connection after it received the client certificate"


def probe(target, env, **options):
    (found,) = probe_targets([target], env, **options)
    return found


def code(found):
    return None if found.problem is None else found.problem.code


def options(**parameters):
    return {"NAUTOBOT_DB_EXTRA_OPTIONS": json.dumps(parameters)}


# --- PostgreSQL: the password was right --------------------------------------------


ROWS = [
    ("wrong password", {"NAUTOBOT_DB_PASSWORD": "wrong"}, (), (), "probe-db-password"),
    ("no database", {"NAUTOBOT_DB_NAME": "nowhere"}, (), (), "probe-db-name"),
    (
        "no CONNECT",
        {},
        ("revoke connect on database app from public, app",),
        ("grant connect on database app to public, app",),
        "probe-db-role",
    ),
    (
        "limit of the role",
        {},
        ("alter role app connection limit 0",),
        ("alter role app connection limit -1",),
        "probe-db-full",
    ),
    (
        "standby wanted",
        options(target_session_attrs="standby"),
        (),
        (),
        "probe-db-session-attributes",
    ),
    ("unknown name", options(options="-c nonsense=1"), (), (), "probe-db-options"),
    ("require_auth", options(require_auth="md5"), (), (), "probe-libpq"),
    (
        "superuser's parameter",
        options(options="-c log_statement=all"),
        (),
        (),
        "probe-db-options",
    ),
    (
        "no TLS version in common",
        options(ssl_min_protocol_version="TLSv1", ssl_max_protocol_version="TLSv1.1"),
        (),
        (),
        "probe-tls-handshake",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("version", [15, 18])
@pytest.mark.parametrize("auth", ["password", "certificate"])
def test_database_failure_gets_the_code_of_its_cause(
    request, mount, version, row, auth
):
    name, env, statements, back, expected = row
    if auth == "certificate" and name in {"wrong password", "require_auth"}:
        return
    server = request.getfixturevalue(f"postgres{version}")
    server.set_password("right")
    env = {
        **database_environment(server.port, mount, "verify-full"),
        "NAUTOBOT_DB_PASSWORD": "right",
        **env,
    }
    hba = PASSWORDS if auth == "password" else None
    with server.changed(*statements, back=back, hba=hba):
        found = probe("database", env)

    assert code(found) == expected, found
    assert found.server_said


def test_certificate_of_another_user_with_verify_full_names_both_causes(
    postgres18, authority, tmp_path
):
    postgres18.set_password("right")
    mount = write_mount(tmp_path, authority.client("other"), authority.ca_pem)
    env = {
        **database_environment(postgres18.port, mount, "verify-full"),
        "NAUTOBOT_DB_PASSWORD": "right",
    }
    with postgres18.changed(hba=(f"{PASSWORDS[0]} clientcert=verify-full",)):
        found = probe("database", env)

    assert code(found) == "probe-db-password"
    assert "or not with a client certificate of another user (CN=other)" in str(
        found.problem
    )


def test_stale_revocation_list_of_libpq_is_reported(
    postgres18, authority, mount, tmp_path
):
    stale = tmp_path / "stale.crl"
    stale.write_bytes(authority.revocation_list(next_update=now() - DAY))
    env = database_environment(postgres18.port, mount, "verify-full")
    found = probe("database", {**env, **options(sslcrl=str(stale))})

    assert found.problem.message == (
        f"libpq does not accept the certificate of localhost:{postgres18.port}."
    )
    assert found.problem.hint == (
        "OpenSSL accepts it without the revocation list that libpq is given (sslcrl, "
        "sslcrldir): see whether the certificate is in the list, or the list is out of "
        "date."
    )


def test_file_in_the_home_directory_is_named_where_libpq_verifies_by_it(
    postgres18, mount, tmp_path, monkeypatch
):
    """With sslmode require libpq takes it, and nobody asked for a verification."""
    home = tmp_path / ".postgresql"
    home.mkdir()
    (home / "root.crt").write_bytes(Authority("another").ca_pem)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = probe("database", database_environment(postgres18.port, mount, "require"))

    assert (code(found), found.problem.hint) == (
        "probe-server-unverified",
        "With sslmode require, libpq verifies it only if PGSSLROOTCERT or "
        "~/.postgresql/root.crt gives it CAs: unset or remove that, or set "
        "NAUTOBOT_DB_SSLMODE=verify-full.",
    )


def test_revocation_list_of_the_home_directory_is_among_the_causes(
    postgres18, authority, mount, tmp_path, monkeypatch
):
    home = tmp_path / ".postgresql"
    home.mkdir()
    stale = authority.revocation_list(next_update=now() - DAY)
    (home / "root.crl").write_bytes(stale)
    monkeypatch.setenv("HOME", str(tmp_path))
    env = database_environment(postgres18.port, mount, "verify-full")
    found = probe("database", env)

    assert code(found) == "probe-server-unverified"
    assert "~/.postgresql/root.crl gives libpq a revocation list" in found.problem.hint


@pytest.mark.parametrize(
    ("mode", "rule"),
    [
        ("verify-full", "hostssl all all all ident"),
        ("require", "hostssl all all all ident"),
        ("require", "hostssl all all all ldap ldapserver=127.0.0.1 ldapprefix=x"),
    ],
)
def test_login_refused_by_other_means_is_not_blamed_on_the_certificate(
    postgres15, mount, mode, rule
):
    env = database_environment(postgres15.port, mount, mode)
    with postgres15.changed(hba=(rule,)):
        found = probe("database", env)

    assert str(found.problem) == (
        f"NAUTOBOT_DB_HOST: PostgreSQL at localhost:{postgres15.port} does not admit "
        "the user app. Look into its log."
    )
    assert found.server_said.endswith('authentication failed for user "app"')


def test_database_that_takes_no_writes_passes_and_says_so(postgres, mount):
    """As a standby does, which a Nautobot in maintenance mode may use."""
    env = database_environment(postgres.port, mount, "verify-full")
    set_up, back = (
        f"alter role app {words}"
        for words in ("set default_transaction_read_only = on", "reset all")
    )
    with postgres.changed(set_up, back=(back,)):
        found = probe("database", env)

    assert found.ok
    assert ", which takes no writes; the server sees" in found.stages[-1].detail


def test_database_with_another_role_for_its_sessions_passes(postgres, mount):
    """As for users that a secrets engine makes; the role may not see the TLS."""
    env = database_environment(postgres.port, mount, "verify-full")
    with postgres.changed(
        "create role owner",
        "grant owner to app",
        "alter role app set role = 'owner'",
        back=("alter role app reset all", "drop role owner"),
    ):
        found = probe("database", env)

    assert found.ok, found.problem
    assert found.stages[-1].detail.startswith("as owner on PostgreSQL ")
    assert found.stages[-1].detail.endswith("TLS or not, which it does not tell us")


@pytest.mark.parametrize(
    "hidden", ["select on pg_stat_ssl", "execute on function pg_stat_get_activity(int)"]
)
def test_database_that_hides_its_sessions_passes(postgres, mount, hidden):
    """Nautobot does not look at them."""
    env = database_environment(postgres.port, mount, "verify-full")
    postgres.sql(f"revoke {hidden} from public")
    try:
        found = probe("database", env)
    finally:
        postgres.sql(f"grant {hidden} to public")

    assert found.ok, found.problem
    assert found.stages[-1].detail.endswith("TLS or not, which it does not tell us")


def test_failure_behind_a_password_is_not_said_to_have_passed(postgres18, mount):
    postgres18.set_password("right")
    env = database_environment(postgres18.port, mount, "verify-full")
    with postgres18.changed(
        "alter role app set session_preload_libraries = 'nowhere'",
        back=("alter role app reset all",),
        hba=PASSWORDS,
    ):
        found = probe("database", {**env, "NAUTOBOT_DB_PASSWORD": "right"})

    assert code(found) == "probe-db-passing"
    assert (
        "a second attempt does not show why, because it sends no password: could "
        in (found.problem.message)
    )


def test_login_by_kerberos_is_not_reported_as_passing(postgres15, mount):
    env = database_environment(postgres15.port, mount, "verify-full")
    with postgres15.changed(hba=("hostssl all all all gss",)):
        found = probe("database", env)

    assert (code(found), found.is_transient) == ("probe-libpq", False)
    assert "GSSAPI continuation error" in found.problem.message


def test_channel_binding_with_certificate_login_is_reported(postgres18, mount):
    env = database_environment(postgres18.port, mount, "verify-full")
    found = probe("database", {**env, **options(channel_binding="require")})

    assert code(found) == "probe-libpq"
    assert "channel binding required" in found.problem.message


def test_unsupported_signature_is_not_reported_as_wrong_password(mount, tmp_path):
    """A CA with an Ed25519 key, and a password by SCRAM."""
    authority = Authority(key=Ed25519PrivateKey.generate())
    mount = write_mount(tmp_path, authority.client(), authority.ca_pem)
    with PostgresServer(authority=authority, hba=PASSWORDS, password="right") as server:
        env = database_environment(server.port, mount, "verify-full")
        found = probe("database", {**env, "NAUTOBOT_DB_PASSWORD": "right"})

    assert code(found) == "probe-libpq"
    assert "could not find digest for NID" in found.problem.message


def test_wait_with_full_database_ends_after_a_connection_is_free(authority, mount):
    """However often the slot becomes free between libpq's attempt and the look."""
    settings = {"max_connections": "4", "superuser_reserved_connections": "3"}
    with PostgresServer(authority=authority, settings=settings) as server:
        env = database_environment(server.port, mount, "verify-full")
        held = psycopg2.connect(**parameters(database_settings(server.port, mount)))
        seen = []

        def attempt(seconds, before):
            found = probe_targets(["database"], env, timeout=seconds, before=before)
            seen.append(code(found[0]))
            if len(seen) == 2:
                held.close()
            return found

        result = wait_until_up(attempt, timeout=20)

    assert result.ok
    assert set(seen[:-1]) <= {"probe-db-full", "probe-db-passing"}
    assert len(seen) >= 3


NAMES = [
    ("address", None, ["127.0.0.1"], "127.0.0.1", True),
    ("address as DNS name", None, [DNSName("127.0.0.1")], "127.0.0.1", True),
    ("IPv6 address as DNS name", None, [DNSName("::1")], "::1", True),
    ("address in the CN", "127.0.0.1", [], "127.0.0.1", True),
    ("IPv6 address in the CN", "::1", [], "::1", True),
    ("name in the CN", "db.example", [], "db.example", True),
    ("wildcard", None, ["*.example"], "db.example", True),
    ("wildcard for two labels", None, ["*.example"], "a.db.example", False),
    ("CN beside a DNS name", "db.example", ["other"], "db.example", False),
    ("no name", None, [], "db.example", False),
]


@pytest.mark.parametrize("row", NAMES, ids=[row[0] for row in NAMES])
def test_database_name_is_accepted_where_libpq_accepts_it(server, mount, row):
    _, common_name, names, host, accepted = row
    leaf = server.authority.issue(common_name, san=names, usages=SERVER)
    server.install_certificates(server=leaf)
    server.reload()
    env = database_environment(server.port, mount, "verify-full")
    env |= {"NAUTOBOT_DB_HOST": host, **options(hostaddr="127.0.0.1")}
    found = probe("database", env)

    assert found.ok == accepted, found.problem
    assert code(found) == (None if accepted else "probe-server-name")


@pytest.fixture(scope="module")
def server(authority):
    """A PostgreSQL whose certificate changes."""
    with PostgresServer(authority=authority) as running:
        yield running


def test_redis_certificate_with_the_host_as_its_cn_says_so(authority, mount):
    leaf = authority.issue("localhost", san=["db.example"], usages=SERVER)
    with RedisServer(authority=authority, server=leaf, password="p") as server:
        found = probe("cache", redis_environment(server.port, mount, "p"))

    assert str(found.problem) == (
        f"NAUTOBOT_REDIS_HOST: the certificate of localhost:{server.port} has "
        "localhost as its CN and not as a DNS name. Use one of its names as host, or "
        "add the host to the dnsNames of the server's Certificate."
    )


def test_redis_certificate_with_address_as_dns_name_is_reported(authority, mount):
    """Python does not take what libpq takes, nor does redis-py."""
    leaf = authority.issue(san=[DNSName("127.0.0.1")], usages=SERVER)
    with RedisServer(authority=authority, server=leaf) as running:
        env = redis_environment(running.port, mount, "")
        found = probe("cache", {**env, "NAUTOBOT_REDIS_HOST": "127.0.0.1"})

    assert code(found) == "probe-server-name"
    assert found.problem.message == (
        f"the certificate of 127.0.0.1:{running.port} has 127.0.0.1 as a DNS name and "
        "not as an IP address."
    )


def test_verify_ca_probe_shows_host_and_certificate_names(server, mount):
    names = ["db.example", "127.0.0.1"]
    server.install_certificates(
        server=server.authority.issue("db", san=names, usages=SERVER)
    )
    server.reload()
    with Front(server.port) as counting:
        env = database_environment(counting.port, mount, "verify-ca")
        found = probe("database", env)

    assert found.ok, found.problem
    assert counting.connections == 2
    assert found.stages[3].detail.startswith(
        "configured host localhost, certificate for db.example, 127.0.0.1, issued by "
        "CN=understack-mtls-ca, expires "
    )
    assert found.stages[3].detail.endswith(" days), verified without the name")


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "foreign"])
def test_database_with_system_cas_is_verified(
    postgres18, mount, monkeypatch, tmp_path, trusted
):
    system = tmp_path / "system.pem"
    ca = Path(mount.ca).read_bytes() if trusted else Authority("foreign").ca_pem
    system.write_bytes(ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    env = database_environment(postgres18.port, mount, "verify-full")
    found = probe("database", {**env, "NAUTOBOT_DB_SSLROOTCERT": "system"})

    assert code(found) == (None if trusted else "probe-server-ca")


# Only with SHA-1 in the suite: Python offers none of these, OpenSSL and libpq do.
NARROW = "ECDHE-ECDSA-AES256-SHA"


def test_database_with_tls_1_2_and_own_cipher_passes(authority, mount):
    settings = {"ssl_max_protocol_version": "TLSv1.2", "ssl_ciphers": NARROW}
    with PostgresServer(15, authority=authority, settings=settings) as narrow:
        env = database_environment(narrow.port, mount, "verify-full")
        found = probe("database", env)
        stranger = probe("database", {**env, "NAUTOBOT_DB_USER": "other"})

    assert found.ok, found.problem
    assert found.stages[2].detail == f"TLSv1.2, {NARROW}"
    # Also where a second connection looks for the cause.
    assert code(stranger) == "probe-db-certificate-user"


def test_redis_with_tls_1_2_and_own_cipher_fails_like_redis_py(authority, mount):
    lines = ['tls-protocols "TLSv1.2"', f"tls-ciphers {NARROW}"]
    with RedisServer(authority=authority, settings=lines) as narrow:
        env = redis_environment(narrow.port, mount, "")
        with cache(configured(env)) as client, pytest.raises(RedisError):
            client.get("x")
        found = probe("cache", env)

    assert code(found) == "probe-tls-handshake"


@pytest.mark.parametrize("ports", ["{dead},{dead}", "{dead},{live}"])
def test_database_host_list_passes_if_one_host_answers(postgres18, mount, ports):
    text = ports.format(dead=free_port(), live=postgres18.port)
    env = database_environment(postgres18.port, mount, "verify-full")
    env |= {"NAUTOBOT_DB_HOST": "localhost,localhost", "NAUTOBOT_DB_PORT": text}
    found = probe("database", env)

    if "live" in ports:
        assert found.ok, found.problem
    else:
        assert (code(found), exit_status([found])) == ("probe-refused", 2)
        assert found.is_transient


def test_database_host_list_passes_after_two_hosts_that_say_nothing(postgres18, mount):
    with ScriptedServer(silence) as one, ScriptedServer(silence) as other:
        ports = f"{one.port},{other.port},{postgres18.port}"
        env = database_environment(postgres18.port, mount, "verify-full")
        env |= {"NAUTOBOT_DB_HOST": ",".join(["localhost"] * 3)}
        found = probe("database", {**env, "NAUTOBOT_DB_PORT": ports})

    assert found.ok, found.problem


# --- Redis that no worker can use --------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "target", "expected"),
    [
        (("replicaof 127.0.0.1 1",), "broker", "probe-redis-read-only"),
        (("maxmemory 1",), "cache", "probe-redis-read-only"),
        (("user default on nopass ~* resetchannels +@all",), "broker", "{acl}"),
        (("user default on nopass ~* resetchannels +@all",), "cache", None),
        (("user default on nopass %R~* &* +@all",), "cache", "{acl}"),
        (("user default on nopass ~other:* &* +@all",), "broker", "{acl}"),
        (("user default on nopass ~* &* +@read +@connection",), "cache", "{acl}"),
        (("cluster-enabled yes",), "broker", "probe-redis-cluster"),
        (("cluster-enabled yes",), "cache", "probe-redis-cluster"),
    ],
)
def test_redis_that_workers_cannot_use_fails(lines, target, expected):
    with RedisServer(tls=False, settings=lines) as server:
        found = probe(target, redis_environment(server.port, None, ""))
        with server.admin() as admin:
            keys = admin.keys() if "maxmemory 1" not in lines else []

    expected = expected and expected.format(acl="probe-redis-permission")
    assert code(found) == expected, found
    assert keys == []


def test_redis_without_auth_is_not_reported_as_wrong_password():
    with RedisServer(tls=False, settings=('rename-command AUTH ""',)) as server:
        found = probe("cache", redis_environment(server.port, None, "canary"))

    assert code(found) == "probe-redis-error"
    assert "does not know the command AUTH" in found.problem.message
    assert "canary" not in str(found)


@pytest.mark.parametrize("target", ["cache", "broker"])
def test_redis_cluster_is_not_quoted_with_words_of_ours(target):
    with RedisServer(tls=False, settings=("cluster-enabled yes",)) as server:
        found = probe(target, redis_environment(server.port, None, ""))

    said = {"cache": "ERR SELECT is not allowed in cluster mode", "broker": ""}
    assert found.server_said == said[target]


@pytest.mark.parametrize("default", ["on nopass ~* &* +@all", "off"])
@pytest.mark.parametrize("username", ["joe", "ghost"])
def test_redis_user_without_password_is_probed_as_redis_py_logs_in(default, username):
    lines = ("user joe on nopass ~* &* +@all", f"user default {default}")
    with RedisServer(tls=False, settings=lines) as server:
        env = redis_environment(server.port, None, "", NAUTOBOT_REDIS_USERNAME=username)
        probes = probe_targets(["cache", "broker"], env)
        with cache(configured(env)) as client:
            if username == "joe":
                client.set("a", 1)
            else:
                with pytest.raises(RedisError, match="user is disabled"):
                    client.set("a", 1)

    expected = None if username == "joe" else "probe-redis-auth"
    assert [code(found) for found in probes] == [expected, expected]


def test_redis_without_a_connection_left_is_reported_as_transient():
    with (
        RedisServer(tls=False, settings=("maxclients 2",)) as server,
        server.admin() as one,
        server.admin() as another,
    ):
        # The connection with which the lab found the server ready may linger.
        wait_for(lambda: is_let_in(one) and is_let_in(another), 10)
        found = probe("cache", redis_environment(server.port, None, "p"))

    assert (code(found), found.is_transient) == ("probe-redis-busy", True)


def test_broker_url_with_unix_socket_is_refused(tmp_path):
    env = {"NAUTOBOT_CELERY_BROKER_URL": "unix:///run/redis.sock"}
    found = probe("broker", {**redis_environment(1, None, ""), **env})

    assert not found.ok
    assert found.stages[-1].stage == "settings"


# --- what a server finds expired ---------------------------------------------------


def _stale_list(authority, place):
    path = place / "stale.crl"
    path.write_bytes(authority.revocation_list(next_update=now() - DAY))
    return {"settings": {"ssl_crl_file": str(path)}}


def _expired_copy(authority, place):
    dates = {"not_before": now() - 9 * DAY, "not_after": now() - DAY}
    copy = Authority(key=authority.key, **dates)
    return {"client_ca": copy.cert_pem}


@pytest.mark.parametrize("bend", [_stale_list, _expired_copy])
def test_alert_of_something_expired_at_the_server_is_not_blamed_on_the_certificate(
    authority, mount, bend
):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        with PostgresServer(
            18, authority=authority, **bend(authority, place)
        ) as server:
            found = probe(
                "database", database_environment(server.port, mount, "verify-full")
            )
            log = server.log

    assert "has expired" in log
    assert found.server_said == "sslv3 alert certificate expired"
    end = Path(mount.certificate).read_bytes()
    valid = load_pem_x509_certificate(end).not_valid_after_utc
    assert found.problem.message == (
        f"localhost:{server.port} refuses the client certificate (CN=app, issued by "
        "CN=understack-mtls-ca) with the alert 'certificate expired', and by the clock "
        f"here it is valid until {utc(valid)}."
    )
    assert found.problem.hint == (
        "Read in the log of PostgreSQL what is expired: the certificate by the clock "
        "there, the CA that it trusts for clients, or its revocation list (CRL)."
    )


def test_expired_intermediate_is_named_as_what_the_server_refuses(
    postgres18, authority, tmp_path
):
    weary = authority.intermediate(
        "weary", not_before=now() - 9 * DAY, not_after=now() - DAY
    )
    mount = write_mount(tmp_path, weary.issue(), authority.ca_pem)
    found = probe(
        "database", database_environment(postgres18.port, mount, "verify-full")
    )

    ended = utc(weary.certificate.not_valid_after_utc)
    assert found.problem.message == (
        f"localhost:{postgres18.port} refuses the client certificate (CN=app, issued "
        f"by CN=weary): the intermediate CN=weary behind it expired on {ended}, 1 day "
        "ago."
    )


# --- the gateway -------------------------------------------------------------------


@pytest.fixture(scope="module")
def revoked(authority):
    return authority.client()


@pytest.fixture(scope="module")
def servers(authority, revoked):
    """Redis knows no revocation list; what ends TLS before it may."""
    unwanted = authority.revocation_list(revoked)
    context = tls_context(
        authority.server(), clients=authority.ca_pem, revoked=unwanted
    )
    with (
        PostgresServer(authority=authority) as database,
        RedisServer(authority=authority) as redis,
        RedisServer(tls=False) as plain,
        Front(plain.port, context) as front,
        Gateway(
            postgres=Route(database.port),
            redis=Route(redis.port),
            front=Route(front.port),
        ) as gateway,
    ):
        database.revoke(unwanted)
        yield gateway


ALERTS = [
    (
        lambda ca, _: Authority("other-ca").client(),
        "probe-client-ca",
        "tlsv1 alert unknown ca",
    ),
    (
        lambda ca, _: ca.expired(),
        "probe-client-expired",
        "sslv3 alert certificate expired",
    ),
    (
        lambda ca, _: ca.client(usages=("server auth",)),
        "probe-client-refused",
        "sslv3 alert unsupported certificate",
    ),
    (
        lambda _, revoked: revoked,
        "probe-client-refused",
        "sslv3 alert certificate revoked",
    ),
]


@pytest.mark.parametrize(
    ("leaf", "expected", "alert"), ALERTS, ids=[row[2] for row in ALERTS]
)
@pytest.mark.parametrize("probing", [probe_database, probe_cache, probe_broker])
def test_refused_certificate_through_gateway_is_reported_in_forty_runs(
    servers, authority, revoked, tmp_path, probing, leaf, expected, alert
):
    """The right code, or the honest fallback where the alert got lost."""
    client = leaf(authority, revoked)
    mount = write_mount(tmp_path, client, authority.ca_pem)
    redis = "front" if client is revoked else "redis"
    settings = {
        **database_settings(servers.port("postgres"), mount, sslnegotiation="direct"),
        **redis_settings(servers.port(redis), mount),
    }
    for _ in range(40):
        attempt = Attempt("target", 10.0)
        with pytest.raises(Failed) as failed:
            probing(attempt, settings, Network())

        problem = failed.value.problem
        assert attempt.connections <= 6
        if attempt.server_said == alert:
            assert problem.code == expected
        else:
            assert HONEST in problem.message


def test_exchanged_ports_at_gateway_are_reported(servers, mount):
    swapped = {
        **database_environment(servers.port("redis"), mount, "verify-full"),
        **redis_environment(servers.port("postgres"), mount, ""),
        **DIRECT,
    }
    found = probe_targets(env=swapped)

    assert [code(one) for one in found] == [
        "probe-not-postgresql",
        "probe-not-redis",
        "probe-not-redis",
    ]


@pytest.fixture(scope="module")
def strangers():
    """Servers without TLS."""
    with PostgresServer(tls=False) as database, RedisServer(tls=False) as redis:
        yield database, redis


@pytest.mark.parametrize("kind", ["postgres15", "postgres18", "plain"])
@pytest.mark.parametrize("tls", [True, False], ids=["TLS wanted", "plain text wanted"])
def test_exchanged_ports_without_gateway_are_reported(
    request, redis_server, strangers, mount, kind, tls
):
    if kind == "plain":
        database, redis = strangers
    else:
        database, redis = request.getfixturevalue(kind), redis_server
    swapped = {
        **database_environment(redis.port, mount, "verify-full" if tls else "disable"),
        **redis_environment(database.port, mount if tls else None, ""),
    }
    found = probe_targets(env=swapped, timeout=3)

    assert [code(one) for one in found] == [
        "probe-not-postgresql",
        "probe-not-redis",
        "probe-not-redis",
    ]
    assert exit_status(found) == 1


@contextmanager
def web_server(authority, place, *options):
    """Run a server of OpenSSL's, and yield its port."""
    mount, port = write_mount(place, authority.server(), authority.ca_pem), free_port()
    process = Process(
        "A web server",
        [
            *("openssl", "s_server", "-www", "-accept", f"127.0.0.1:{port}"),
            *("-cert", mount.certificate, "-key", mount.key, "-CAfile", mount.ca),
            *options,
        ],
        log=place / "log",
        ready=lambda: accepts(port),
    )
    try:
        yield port
    finally:
        process.end()


@pytest.mark.parametrize("more", [DIRECT, {}], ids=["direct", "classic"])
def test_web_server_in_the_place_of_postgresql_is_reported(
    authority, mount, tmp_path, more
):
    """It refuses every protocol but its own, as nginx and Go do."""
    with web_server(authority, tmp_path, "-alpn", "h2,http/1.1") as port:
        found = probe(
            "database", database_environment(port, mount, "verify-full", **more)
        )

    assert code(found) == "probe-not-postgresql"


def test_certificate_that_the_client_does_not_send_is_not_called_unset(
    authority, mount, tmp_path
):
    options = ("-Verify", "2", "-client_sigalgs", "rsa_pss_rsae_sha256")
    with web_server(authority, tmp_path, *options) as port:
        found = probe("cache", redis_environment(port, mount, ""))

    assert code(found) == "probe-client-certificate-required"
    assert found.problem.message == (
        f"localhost:{port} requires a client certificate, and the configured one "
        "(CN=app, issued by CN=understack-mtls-ca) was not sent."
    )
    assert "of a kind that the server accepts" in found.problem.hint


# --- connections -------------------------------------------------------------------


@pytest.mark.parametrize("target", ["database", "cache", "broker"])
def test_successful_probe_opens_one_connection(postgres18, redis_server, mount, target):
    port = postgres18.port if target == "database" else redis_server.port
    with Front(port) as counting:
        env = {
            **database_environment(counting.port, mount, "verify-full"),
            **redis_environment(counting.port, mount, redis_server.password),
        }
        found = probe(target, env)

    assert found.ok, found.problem
    assert counting.connections == 1


def environment_at(port, mount):
    """Both servers at one port, which is neither."""
    database = database_environment(port, mount, "verify-full")
    return {**database, **redis_environment(port, mount, "")}


@pytest.mark.parametrize("target", ["database", "cache", "broker"])
@pytest.mark.parametrize("more", [{}, DIRECT], ids=["classic", "direct"])
def test_probe_of_closing_gateway_opens_six_connections_at_most(mount, target, more):
    with ScriptedServer(goodbye) as server:
        env = {
            **environment_at(server.port, mount),
            **more,
        }
        found = probe(target, env)
        first = server.connections
        again = probe(target, env, before=[found])

    assert code(found) == "probe-gateway-name"
    assert first <= 6
    assert again.problem == found.problem
    assert server.connections == first + 1


@pytest.mark.parametrize("target", ["database", "cache", "broker"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_wait_opens_six_connections_per_symptom_and_one_per_further_attempt(
    mount, target, script
):
    """Nobody answers better meanwhile; what does not pass by itself ends at once."""
    symptoms = []
    with ScriptedServer(SCRIPTS[script]) as server:
        env = {
            **environment_at(server.port, mount),
            "UNDERSTACK_DB_CONNECT_TIMEOUT": "2",
        }
        result = wait_until_up(
            lambda seconds, before: probe_targets(
                [target], env, timeout=min(seconds, 0.5), before=before
            ),
            timeout=2,
            report=lambda probes, seconds: symptoms.append(probes[0].symptom),
        )

    assert not result.ok
    changes = [a != b for a, b in zip([None, *symptoms], symptoms, strict=False)]
    assert 1 <= server.connections <= len(symptoms) + 5 * sum(changes)


@pytest.mark.parametrize(
    ("target", "count", "expected"),
    [
        ("cache", 3_000, "probe-server-name"),
        # libpq judges the certificate, once a PostgreSQL has answered.
        ("database", 3_000, "probe-not-postgresql"),
        # More than OpenSSL takes.
        ("cache", 40_000, "probe-tls-handshake"),
        ("database", 40_000, "probe-tls-handshake"),
    ],
)
def test_problem_with_many_names_is_short(authority, mount, target, count, expected):
    leaf = authority.server(*(f"{one}.example" for one in range(count)))
    with ScriptedServer(over_tls(tls_context(leaf), goodbye)) as server:
        env = {
            **environment_at(server.port, mount),
            **DIRECT,
        }
        found = probe(target, env)

    assert code(found) == expected
    assert len(str(found)) < 4096


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("ulimit -v 131072", None),
        ("ulimit -d 65536", None),
        ("kill -9 $$", "probe-db-passing"),
    ],
)
def test_driver_with_little_memory_is_not_blamed_on_the_server(
    postgres18, mount, tmp_path, monkeypatch, limits, expected
):
    """A container that is at its limit ends the process of the driver."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n{limits}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    env = database_environment(postgres18.port, mount, "verify-full")
    found = probe("database", env)

    assert code(found) == expected
    if expected:
        assert "the process of the driver ended with status -9" in str(found.problem)


def test_probe_of_endless_server_uses_bounded_memory(mount):
    """In the process that probes, and in the one that holds the driver."""

    def flood(connection):
        if connection.recv(65536):
            connection.sendall(b"R\0\0\0\x08\0\0\0\0S\x7f\0\0\0")
            while True:
                connection.sendall(b"x" * 65536)

    with ScriptedServer(flood) as server:
        env = database_environment(server.port, mount, "disable")
        program = (
            "import resource, sys;"
            "from understack_nautobot_settings.commands.main import main;"
            "status = main(['probe', 'database', '--timeout', '4']);"
            "kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN;"
            "most = [resource.getrusage(kind).ru_maxrss for kind in kinds];"
            "print(max(most) // 1024, status, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **env, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    mebibytes, status = map(int, done.stderr.split()[-2:])
    assert mebibytes < 256
    assert status in {1, 2}
