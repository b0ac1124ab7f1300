"""Redis connections trust the configured CA and nobody else, and notice renewals."""

import os
import ssl
import subprocess
import sys

import pytest
import redis

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.servers.databases import RedisServer
from lab.servers.recording import RecordingServer
from tests.live.deployment import broker
from tests.live.deployment import cache
from tests.live.deployment import configured
from tests.live.deployment import redis_environment
from understack_nautobot_settings.runtime import redis_connections

CANARY = "canary-of-redis"


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A public CA: it is in the system store, and certified a hostile server."""
    authority = Authority("public-ca")
    store = tmp_path_factory.mktemp("system") / "cert.pem"
    store.write_bytes(authority.ca_pem)
    return authority, store


@pytest.fixture
def system_store(public, monkeypatch):
    """What OpenSSL takes for the system's trust store."""
    monkeypatch.setenv("SSL_CERT_FILE", str(public[1]))
    return public[0]


def use_cache(settings):
    with cache(settings) as client:
        client.set("key", "value")


def use_health_check(settings):
    """Connect as Nautobot's own health check does."""
    default = settings["CACHES"]["default"]
    pool = default["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    with redis.from_url(default["LOCATION"], **pool) as client:
        client.ping()


def use_broker(settings):
    with broker(settings) as connection:
        connection.connect()
        connection.channel().client.ping()


CONSUMERS = pytest.mark.parametrize(
    "use", [use_cache, use_health_check, use_broker], ids=lambda use: use.__name__[4:]
)
PROFILES = pytest.mark.parametrize("profile", ["lan", "wan"])


@CONSUMERS
@PROFILES
def test_redis_with_private_ca_refuses_a_public_ca(system_store, mount, use, profile):
    with RecordingServer("tls redis", server=system_store.server()) as hostile:
        env = redis_environment(
            hostile.port, mount, CANARY, UNDERSTACK_CONNECTION_PROFILE=profile
        )

        with pytest.raises(Exception, match="certificate verify failed"):
            use(configured(env))

        assert hostile.connections >= 1
        assert CANARY.encode() not in hostile.received


def test_redis_py_alone_accepts_the_hostile_server(system_store, mount):
    """Otherwise the test above would show nothing."""
    with RecordingServer("tls redis", server=system_store.server()) as hostile:
        client = redis.Redis(
            host="localhost",
            port=hostile.port,
            password=CANARY,
            ssl=True,
            ssl_ca_certs=mount.ca,
            socket_timeout=5,
        )
        with client:
            client.ping()

        assert CANARY.encode() in hostile.received


@CONSUMERS
def test_redis_without_private_ca_is_verified_with_system_store(
    public, system_store, use
):
    server = system_store.server()
    with RedisServer(server=server, auth_clients="no", password=CANARY) as server:
        env = redis_environment(server.port, None, CANARY, NAUTOBOT_REDIS_SSL="true")

        use(configured(env))


@CONSUMERS
def test_redis_without_private_ca_refuses_an_unknown_ca(public, system_store, use):
    with RecordingServer("tls redis") as hostile:
        env = redis_environment(hostile.port, None, CANARY, NAUTOBOT_REDIS_SSL="true")

        with pytest.raises(Exception, match="certificate verify failed"):
            use(configured(env))

        assert CANARY.encode() not in hostile.received


@CONSUMERS
@PROFILES
def test_redis_with_expected_certificate_is_accepted(redis_server, mount, use, profile):
    env = redis_environment(
        redis_server.port,
        mount,
        redis_server.password,
        UNDERSTACK_CONNECTION_PROFILE=profile,
    )

    use(configured(env))


@CONSUMERS
@PROFILES
def test_redis_with_other_name_is_refused_unless_check_is_off(
    authority, mount, use, profile
):
    elsewhere = authority.server("elsewhere.example")
    with RedisServer(authority=authority, server=elsewhere) as server:
        env = redis_environment(
            server.port, mount, "", UNDERSTACK_CONNECTION_PROFILE=profile
        )
        with pytest.raises(Exception, match="Hostname mismatch"):
            use(configured(env))

        use(configured({**env, "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME": "false"}))


@CONSUMERS
def test_redis_connection_does_not_read_the_system_store(
    redis_server, mount, use, monkeypatch, tmp_path
):
    """A store that cannot even be opened is no hindrance."""
    missing = tmp_path / "missing.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(missing))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    loaded = []
    load = ssl.SSLContext.load_default_certs

    def counted(self, *arguments):
        loaded.append(self)
        return load(self, *arguments)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", counted)
    env = redis_environment(redis_server.port, mount, redis_server.password)

    use(configured(env))

    assert loaded == []


@CONSUMERS
def test_redis_connection_after_renewal_uses_the_new_certificate(
    authority, tmp_path, use
):
    """The files are read again for each connection, and so is the CA."""
    other = Authority("the-next-ca")
    mount = KubernetesMount(tmp_path / "mtls")
    mount.write(authority.client(), authority.ca_pem)
    with RedisServer(authority=authority, password=CANARY) as server:
        settings = configured(redis_environment(server.port, mount, CANARY))
        use(settings)

        server.install_certificates(other.server(), other.ca_pem)
        server.reload()
        with pytest.raises(Exception, match="certificate verify failed"):
            use(settings)
        mount.write(other.client(), other.ca_pem)

        use(settings)


def test_settings_name_the_connection_class_without_importing_redis():
    code = (
        "import sys\n"
        "from understack_nautobot_settings.evaluation import evaluate\n"
        "from understack_nautobot_settings.checks.nautobot_base "
        "import base_settings\n"
        "env = {'UNDERSTACK_CONNECTION_PROFILE': 'wan'}\n"
        "evaluate(base_settings(env), env)\n"
        "print(sorted({'redis', 'kombu', 'django'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )

    assert done.stdout == "[]\n"


def test_encrypted_redis_key_is_refused_without_a_prompt(authority, tmp_path):
    leaf = authority.client(password="secret-of-the-key")
    mount = KubernetesMount(tmp_path / "mtls")
    mount.write(leaf, authority.ca_pem)
    with RecordingServer("tls redis", server=authority.server()) as server:
        connection = redis_connections.TlsConnection(
            host="localhost",
            port=server.port,
            ssl_certfile=mount.certificate,
            ssl_keyfile=mount.key,
            ssl_ca_certs=mount.ca,
        )

        with pytest.raises(redis.ConnectionError):
            connection.connect()


def test_other_tls_options_of_redis_py_are_kept(redis_server, mount):
    options = {
        "host": "localhost",
        "port": redis_server.port,
        "password": redis_server.password,
        "ssl_certfile": mount.certificate,
        "ssl_keyfile": mount.key,
        "ssl_ca_certs": mount.ca,
        "ssl_min_version": ssl.TLSVersion.TLSv1_3,
        "ssl_ciphers": "ECDHE+AESGCM",
    }
    if int(redis.__version__.split(".")[0]) > 6:
        options["ssl_include_verify_flags"] = [ssl.VerifyFlags.VERIFY_X509_STRICT]
        options["ssl_exclude_verify_flags"] = [ssl.VerifyFlags.VERIFY_X509_STRICT]
    connection = redis_connections.TlsConnection(**options)
    connection.connect()
    try:
        assert connection._sock.version() == "TLSv1.3"
    finally:
        connection.disconnect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("option", ["ssl_validate_ocsp", "ssl_validate_ocsp_stapled"])
def test_revocation_check_option_is_not_ignored(redis_server, mount, option):
    connection = redis_connections.TlsConnection(
        host="localhost",
        port=redis_server.port,
        ssl_certfile=mount.certificate,
        ssl_keyfile=mount.key,
        ssl_ca_certs=mount.ca,
        **{option: True},
    )

    # The certificates of this lab name no responder, and pyOpenSSL may be missing.
    # redis-py leaves its socket open then.
    with pytest.raises((redis.RedisError, ImportError)):
        connection.connect()
