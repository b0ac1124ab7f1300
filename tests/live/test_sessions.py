"""Settings in, sessions out: read back on the server that was reached."""

import contextlib

import pytest
import redis
from django.db import OperationalError
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lab.certificates import Authority
from lab.certificates import write_mount
from lab.servers.databases import PostgresServer
from lab.servers.recording import RecordingServer
from tests.live.deployment import broker
from tests.live.deployment import cache
from tests.live.deployment import configured
from tests.live.deployment import database
from tests.live.deployment import database_environment
from tests.live.deployment import redis_environment
from understack_nautobot_settings import SettingsError

SESSION = (
    "select ssl, version, client_dn, client_serial::text "
    "from pg_stat_ssl where pid = pg_backend_pid()"
)
CANARY = b"canary"


def session(settings):
    with database(settings) as connection, connection.cursor() as cursor:
        cursor.execute(SESSION)
        return cursor.fetchone()


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_verified_sslmode_connects_with_the_client_certificate(
    postgres, authority, tmp_path, sslmode
):
    leaf = authority.client()
    mount = write_mount(tmp_path, leaf, authority.ca_pem)

    settings = configured(database_environment(postgres.port, mount, sslmode))

    assert session(settings) == (True, "TLSv1.3", "/CN=app", str(leaf.serial))


def test_direct_negotiation_connects_with_the_client_certificate(postgres18, mount):
    env = database_environment(
        postgres18.port, mount, "verify-full", NAUTOBOT_DB_SSLNEGOTIATION="direct"
    )

    assert session(configured(env))[:3] == (True, "TLSv1.3", "/CN=app")


@pytest.mark.parametrize(
    ("sslmode", "reason"),
    [
        ("require", "client certificate"),
        ("disable", "pg_hba.conf rejects connection"),
    ],
)
def test_sslmode_without_client_certificate_is_refused_by_the_server(
    postgres, mount, sslmode, reason
):
    settings = configured(database_environment(postgres.port, mount, sslmode))

    with pytest.raises(OperationalError, match=reason):
        session(settings)


@pytest.mark.parametrize(
    ("sslmode", "ssl"),
    [
        ("require", (True, "TLSv1.3", None, None)),
        ("disable", (False, None, None, None)),
    ],
)
def test_sslmode_without_client_certificate_connects_to_a_password_server(
    authority, mount, sslmode, ssl
):
    with PostgresServer(18, authority=authority) as server:
        server.set_hba("host all all 127.0.0.1/32 scram-sha-256")
        server.set_password("canary-of-the-database")

        assert (
            session(configured(database_environment(server.port, mount, sslmode)))
            == ssl
        )


def test_unset_sslmode_sets_no_tls_option(postgres, mount):
    settings = configured(database_environment(postgres.port, mount, ""))

    assert not [
        name for name in settings["DATABASES"]["default"]["OPTIONS"] if "ssl" in name
    ]


def test_certificate_of_another_user_is_refused_by_the_server(
    postgres, authority, tmp_path
):
    mount = write_mount(tmp_path, authority.client("not-app"), authority.ca_pem)
    settings = configured(database_environment(postgres.port, mount, "verify-full"))

    with pytest.raises(OperationalError, match="certificate authentication failed"):
        session(settings)


def test_certificate_of_foreign_ca_is_refused_by_the_server(
    postgres, authority, tmp_path
):
    mount = write_mount(tmp_path, Authority().client(), authority.ca_pem)
    settings = configured(database_environment(postgres.port, mount, "verify-full"))

    with pytest.raises(OperationalError, match=r"unknown ca|closed the connection"):
        session(settings)


@pytest.mark.parametrize("direct", ["", "direct"], ids=["classic", "direct"])
@pytest.mark.parametrize(
    ("sslmode", "kind"),
    [
        ("verify-ca", "postgresql refuses tls"),
        ("verify-full", "postgresql refuses tls"),
        ("require", "postgresql refuses tls"),
        ("verify-ca", "postgresql"),
        ("verify-full", "postgresql"),
    ],
)
def test_server_without_tls_or_known_ca_gets_no_password(mount, sslmode, kind, direct):
    with RecordingServer(kind) as server:
        env = database_environment(
            server.port, mount, sslmode, NAUTOBOT_DB_SSLNEGOTIATION=direct
        )
        with pytest.raises(OperationalError):
            session(configured(env))

    assert server.connections
    assert CANARY not in server.received
    assert b"app" not in server.received


def test_recording_server_without_verification_gets_the_password(mount):
    """Without verification the same server records it, so silence means something."""
    with RecordingServer("postgresql") as server:
        settings = configured(database_environment(server.port, mount, "require"))
        with pytest.raises(OperationalError):
            session(settings)

    assert CANARY in server.received


@pytest.mark.parametrize(
    "sslmode",
    ["verify_full", "verify_ca", "Verify-Full", "required", "true", "prefer", "allow"],
)
def test_misspelt_sslmode_opens_no_connection(mount, sslmode):
    with RecordingServer("postgresql refuses tls") as server:
        env = database_environment(server.port, mount, sslmode)
        with pytest.raises(SettingsError):
            configured(env)

    assert (server.connections, server.received) == (0, b"")


def test_redis_sees_tls_connections_of_cache_and_broker(redis_server, mount):
    """Redis takes TLS with a client certificate only, and both are connected."""
    settings = configured(
        redis_environment(redis_server.port, mount, redis_server.password)
    )

    with cache(settings) as django_cache, broker(settings) as connection:
        django_cache.set("key", "value")
        assert django_cache.get("key") == "value"
        assert connection.default_channel.client.ping()
        databases = sorted(client["db"] for client in redis_server.sessions())

    assert redis_server.tls
    assert redis_server.auth_clients
    assert databases == ["0", "1"]


PASSWORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
)


@hypothesis_settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(PASSWORDS)
@example("p/a#s?s[w]o@r:d%41 \n")
@example("%")
@example("ключ 🔑")
def test_any_redis_password_works_for_cache_broker_and_health_check(
    redis_server, mount, password
):
    before = redis_server.password
    redis_server.set_password(password)
    try:
        settings = configured(redis_environment(redis_server.port, mount, password))
        options = settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
        with (
            cache(settings) as django_cache,
            broker(settings) as connection,
            # As Nautobot's own health check calls it.
            redis.from_url(
                settings["CACHES"]["default"]["LOCATION"], **options
            ) as health,
        ):
            assert django_cache.add("key", "value", timeout=1) in (True, False)
            assert connection.default_channel.client.ping()
            assert health.ping()
    finally:
        redis_server.set_password(before)


def talk(settings):
    """Make every client try; none may raise anything but a refusal to talk."""
    for client in (cache, broker):
        with client(settings) as one, contextlib.suppress(Exception):
            if client is cache:
                one.set("key", "value")
            else:
                one.connect()
                one.default_channel.client.ping()


@pytest.mark.parametrize("mode", ["tls redis", "redis"])
@pytest.mark.parametrize("mounted", [True, False], ids=["private CA", "system store"])
def test_hostile_redis_gets_no_password(mount, mounted, mode):
    """Neither behind TLS with a foreign certificate nor in place of a TLS server."""
    with RecordingServer(mode) as server:
        env = redis_environment(server.port, mount if mounted else None, "canary")
        talk(configured({**env, "NAUTOBOT_REDIS_SSL": "true"}))

    assert server.connections >= 2
    assert CANARY not in server.received


def test_recording_redis_without_verification_gets_the_password(mount):
    with RecordingServer("tls redis") as server:
        env = redis_environment(
            server.port, mount, "canary", NAUTOBOT_REDIS_SSL_CERT_REQS="none"
        )
        talk(configured(env))

    assert CANARY in server.received
