"""Probes against real PostgreSQL, Redis, Envoy and Celery."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import kombu
import pytest

from lab.certificates import CLIENT
from lab.certificates import Authority
from lab.certificates import write_mount
from lab.processes import Process
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from lab.servers.recording import RecordingServer
from lab.wire.sections.beside import wait_for
from tests.live.deployment import database_environment
from tests.live.deployment import database_settings
from tests.live.deployment import is_let_in
from tests.live.deployment import parameters
from tests.live.deployment import redis_environment
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.targets import probe_targets

REPOSITORY = Path(__file__).parents[2]
STAGES = ["dns", "tcp", "tls", "identity", "login", "query"]
CANARY = "canary-of-the-database"
DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}
HOSTADDR = {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"hostaddr": "127.0.0.1"}'}


def probe(target, env, **options):
    (found,) = probe_targets([target], env, **options)
    return found


def code(found):
    return None if found.problem is None else found.problem.code


def details(found):
    return {stage.stage: stage.detail for stage in found.stages}


# --- all is well ---------------------------------------------------------------


def test_database_probe_passes_and_reports_user_and_certificate(
    postgres, mount, authority
):
    found = probe("database", database_environment(postgres.port, mount, "verify-full"))

    assert [stage.stage for stage in found.stages] == STAGES
    assert found.ok, found.problem
    said = details(found)
    assert said["tls"].startswith("TLSv1.3, ")
    assert said["query"].startswith(f"as app on PostgreSQL {postgres.version}.")
    assert "client certificate /CN=app, serial " in said["query"]


def without(monkeypatch, directory, *drivers):
    """Take a driver's place with a module that cannot be imported."""
    for driver in drivers:
        (directory / f"{driver}.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(directory)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_probe_uses_the_installed_driver(
    postgres18, mount, driver, monkeypatch, tmp_path
):
    if find_spec(driver) is None:
        assert driver == "psycopg"
        return
    without(
        monkeypatch, tmp_path, {"psycopg2": "psycopg", "psycopg": "psycopg2"}[driver]
    )
    found = probe(
        "database", database_environment(postgres18.port, mount, "verify-full")
    )

    assert found.ok, found.problem
    assert details(found)["login"].startswith(f"accepted from {driver}, libpq ")


def test_database_probe_with_encrypted_key_passes(postgres18, authority, tmp_path):
    leaf = authority.client(password="open sesame")
    mount = write_mount(tmp_path, leaf, authority.ca_pem)
    options = {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslpassword": "open sesame"}'}
    found = probe(
        "database",
        database_environment(postgres18.port, mount, "verify-full", **options),
    )

    assert found.ok, found.problem


def test_probe_without_driver_reports_it(postgres18, mount, monkeypatch, tmp_path):
    without(monkeypatch, tmp_path, "psycopg", "psycopg2")
    found = probe(
        "database", database_environment(postgres18.port, mount, "verify-full")
    )

    assert code(found) == "probe-driver-missing"
    assert exit_status([found]) == 2


@pytest.mark.parametrize("target", ["cache", "broker"])
def test_redis_probe_passes_and_reports_user_and_database(redis_server, mount, target):
    env = redis_environment(redis_server.port, mount, redis_server.password)
    found = probe(target, env)

    assert [stage.stage for stage in found.stages] == STAGES
    assert found.ok, found.problem
    number = {"cache": 1, "broker": 0}[target]
    assert details(found)["login"] == f"as default, database {number}"


def test_plain_redis_probe_passes(authority):
    with RedisServer(tls=False, password="p") as server:
        found = probe("cache", redis_environment(server.port, None, "p"))

    assert found.ok, found.problem


# --- what the documents list ---------------------------------------------------


def database_env(server, mount, mode="verify-full", **more):
    return database_environment(server.port, mount, mode, **more)


def test_client_ca_unknown_to_postgresql_is_reported(authority, mount):
    """CloudNativePG without clientCASecret trusts its own CA for clients."""
    own = Authority("nautobot-cluster")
    with PostgresServer(18, authority=authority, client_ca=own.ca_pem) as server:
        found = probe("database", database_env(server, mount))

    assert code(found) == "probe-client-ca"
    assert found.problem.message == (
        f"localhost:{server.port} does not trust the CA of the client certificate "
        "(CN=app, issued by CN=understack-mtls-ca)."
    )


@pytest.mark.parametrize(
    ("mode", "hba", "expected"),
    [
        ("require", None, "probe-client-certificate-required"),
        ("disable", None, "probe-db-hba"),
        ("", None, "probe-db-hba"),
        (
            "verify-full",
            ["hostssl all all 10.0.0.0/8 cert", "host all all all reject"],
            "probe-db-hba",
        ),
        # CloudNativePG's own last rule asks for the password.
        ("verify-full", ["hostssl all all 10.0.0.0/8 cert"], "probe-db-password"),
        (
            "verify-full",
            ["hostssl all all 0.0.0.0/0 scram-sha-256"],
            "probe-db-password",
        ),
        ("verify-full", ["hostssl all all 0.0.0.0/0 reject"], "probe-db-hba"),
    ],
)
@pytest.mark.parametrize("version", [15, 18])
def test_refusal_by_pg_hba_is_reported(request, mount, version, mode, hba, expected):
    server = request.getfixturevalue(f"postgres{version}")
    before = server.hba
    if hba is not None:
        server.set_hba(*hba)
    try:
        found = probe("database", database_env(server, mount, mode))
    finally:
        server.set_hba(*before)

    assert code(found) == expected
    assert CANARY not in str(found)
    if "rejects connection" in found.server_said:
        assert "has a pg_hba.conf rule that rejects" in found.problem.message
        assert found.problem.hint.endswith(
            "above that rule." if mode == "verify-full" else "or verify-ca."
        )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"NAUTOBOT_DB_USER": "somebody"}, "probe-db-certificate-user"),
        ({"NAUTOBOT_DB_NAME": "nowhere"}, "probe-db-name"),
    ],
)
def test_wrong_database_user_or_name_is_reported(postgres, mount, changed, expected):
    env = {**database_env(postgres, mount), **changed}

    assert code(probe("database", env)) == expected


def test_missing_database_role_is_reported(postgres18, authority, tmp_path):
    mount = write_mount(tmp_path, authority.client("ghost"), authority.ca_pem)
    env = {**database_env(postgres18, mount), "NAUTOBOT_DB_USER": "ghost"}

    assert code(probe("database", env)) == "probe-db-role"


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (lambda ca: ca.client(usages=("server auth",)), "settings"),
        (lambda ca: ca.client(), None),
        (lambda ca: ca.client("other"), "probe-db-certificate-user"),
        (lambda ca: Authority("foreign").client(), "probe-client-ca"),
        (lambda ca: ca.expired(), "settings"),
    ],
    ids=["server only", "good", "another CN", "foreign", "expired"],
)
def test_client_certificate_of_each_kind_gets_its_code(
    postgres, authority, tmp_path, leaf, expected
):
    mount = write_mount(tmp_path, leaf(authority), authority.ca_pem)
    found = probe("database", database_env(postgres, mount))

    if expected == "settings":
        # Refused before anything connects, as at the start of Nautobot.
        assert [stage.stage for stage in found.stages] == ["settings"]
    else:
        assert code(found) == expected


def test_server_certificate_for_other_name_is_reported(authority, mount):
    elsewhere = authority.server("db.example")
    with PostgresServer(18, authority=authority, server=elsewhere) as server:
        found = probe("database", database_env(server, mount))
        relaxed = probe("database", database_env(server, mount, "verify-ca"))

    assert code(found) == "probe-server-name"
    assert details(found)["identity"].endswith(", refused")
    assert found.problem.message == (
        f"the certificate of localhost:{server.port} is for db.example, not for "
        "localhost."
    )
    assert relaxed.ok
    assert details(relaxed)["identity"].startswith(
        "configured host localhost, certificate for db.example, issued by "
    )


def test_server_certificate_from_foreign_ca_is_reported(mount):
    with PostgresServer(18, authority=Authority("foreign")) as server:
        found = probe("database", database_env(server, mount))

    assert code(found) == "probe-server-ca"


def test_server_without_tls_is_reported(mount):
    with PostgresServer(18, tls=False, password="p") as server:
        found = probe("database", database_env(server, mount))

    assert code(found) == "probe-tls-refused"


def test_direct_negotiation_with_postgresql_15_is_reported_unsupported(
    postgres15, mount
):
    found = probe("database", database_env(postgres15, mount, **DIRECT))

    assert code(found) == "probe-direct-unsupported"


def test_name_in_the_place_of_an_address_is_reported_as_libpq_says_it(postgres, mount):
    options = {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"hostaddr": "db.invalid"}'}
    found = probe("database", database_env(postgres, mount, **options))

    assert code(found) == "probe-libpq"
    assert found.problem.variable == "NAUTOBOT_DB_EXTRA_OPTIONS"
    assert 'could not parse network address "db.invalid"' in found.problem.message


def test_server_without_free_connection_is_reported_as_transient(authority, mount):
    settings = {"max_connections": "4", "superuser_reserved_connections": "3"}
    with PostgresServer(18, authority=authority, settings=settings) as server:
        env = database_env(server, mount)
        import psycopg2

        held = psycopg2.connect(**parameters(database_settings(server.port, mount)))
        try:
            found = probe("database", env)
        finally:
            held.close()

    assert code(found) == "probe-db-full"
    assert found.is_transient
    assert details(found)["identity"].endswith(", left to libpq")


@pytest.mark.parametrize(
    ("password", "expected"),
    [("", "probe-redis-auth"), ("wrong", "probe-redis-auth")],
    ids=["none", "wrong"],
)
def test_redis_password_gets_its_code(redis_server, mount, password, expected):
    found = probe("cache", redis_environment(redis_server.port, mount, password))

    assert code(found) == expected


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (lambda: Authority("foreign").client(), "probe-client-ca"),
        (lambda: None, "probe-client-certificate-required"),
    ],
    ids=["foreign", "none"],
)
def test_client_refused_by_redis_is_reported(
    redis_server, authority, tmp_path, leaf, expected
):
    client = leaf()
    if client is None:
        env = redis_environment(redis_server.port, None, "p", NAUTOBOT_REDIS_SSL="true")
        env["NAUTOBOT_REDIS_SSL_CERT_REQS"] = "none"
    else:
        mount = write_mount(tmp_path, client, authority.ca_pem)
        env = redis_environment(redis_server.port, mount, "p")
    found = probe("cache", env)

    assert code(found) == expected


def test_foreign_redis_gets_no_password(mount):
    with RecordingServer("tls redis") as hostile:
        found = probe("cache", redis_environment(hostile.port, mount, "canary"))

        assert code(found) == "probe-server-ca"
        assert b"canary" not in hostile.received


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("silent", "probe-silent"),
        ("plain text", "probe-not-postgresql"),
        ("hangs up", "probe-closed"),
        ("postgresql refuses tls", "probe-tls-refused"),
        ("postgresql", "probe-server-ca"),
    ],
)
def test_hostile_postgresql_is_reported_and_gets_no_password(mount, mode, expected):
    with RecordingServer(mode) as hostile:
        env = database_environment(hostile.port, mount, "verify-full")
        found = probe("database", env, timeout=4)

        assert code(found) == expected
        assert CANARY.encode() not in hostile.received


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("silent", "probe-silent"),
        ("plain text", "probe-not-tls"),
        ("hangs up", "probe-closed"),
        ("tls silent", "probe-server-ca"),
        ("tls redis", "probe-server-ca"),
    ],
)
def test_hostile_redis_is_reported_and_gets_no_password(mount, mode, expected):
    with RecordingServer(mode) as hostile:
        env = redis_environment(hostile.port, mount, "canary")
        found = probe("cache", env, timeout=4)

        assert code(found) == expected
        assert b"canary" not in hostile.received


def test_plain_redis_with_tls_configured_is_reported(mount):
    with RedisServer(tls=False) as server:
        found = probe("cache", redis_environment(server.port, mount, ""), timeout=4)

    assert code(found) == "probe-not-tls"


@pytest.mark.parametrize(
    "scheme", ["http", "sqla+http", "my.module:Class", "memory", "sqla+mysql"]
)
def test_broker_url_is_refused_where_kombu_has_no_transport(mount, scheme):
    url = f"{scheme}://broker.example/"
    try:
        kombu.Connection(url).get_transport_cls()
        known = True
    except (KeyError, ValueError):
        # kombu 5.7 and later take no module from a URL.
        known = False
    except ImportError:
        known = True
    env = {"NAUTOBOT_CELERY_BROKER_URL": url}
    found = probe("broker", redis_environment(1, mount, "", **env), timeout=4)

    assert code(found) == (None if known else "probe-broker-scheme")
    assert known or str(found.problem) == (
        "NAUTOBOT_CELERY_BROKER_URL: Celery has no transport for the scheme of the "
        "broker URL. Begin NAUTOBOT_CELERY_BROKER_URL with redis:// or rediss://; for "
        "a socket write redis+socket:///path?virtual_host=0."
    )


def test_plain_text_to_redis_with_tls_is_reported(redis_server):
    found = probe("cache", redis_environment(redis_server.port, None, "p"), timeout=4)

    assert code(found) == "probe-tls-required"
    assert found.problem.hint == (
        "Mount the client certificate and unset UNDERSTACK_REDIS_MTLS, or set "
        "NAUTOBOT_REDIS_SSL=true if Redis asks for none."
    )


# --- the gateway ---------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(postgres18, redis_server):
    dead = free_port()
    with Gateway(
        postgres=Route(postgres18.port),
        redis=Route(redis_server.port),
        dead=Route(dead),
    ) as running:
        yield running


def through(gateway, mount, redis_server, **more):
    return {
        **database_environment(gateway.port("postgres"), mount, "verify-full"),
        **redis_environment(gateway.port("redis"), mount, redis_server.password),
        **DIRECT,
        **more,
    }


def test_probe_with_direct_negotiation_passes_the_gateway(gateway, mount, redis_server):
    env = through(gateway, mount, redis_server)
    probes = probe_targets(env=env)

    assert [(one.target, one.ok) for one in probes] == [
        ("database", True),
        ("cache", True),
        ("broker", True),
    ]
    assert exit_status(probes) == 0


GATEWAY_ROWS = [
    ("classic", {"NAUTOBOT_DB_SSLNEGOTIATION": ""}, "probe-gateway-negotiation"),
    (
        "postgres",
        {"NAUTOBOT_DB_SSLNEGOTIATION": "postgres"},
        "probe-gateway-negotiation",
    ),
    ("IP host", {"NAUTOBOT_DB_HOST": "127.0.0.1"}, "probe-gateway-ip"),
    (
        "trailing dot",
        {"NAUTOBOT_DB_HOST": "localhost.", **HOSTADDR},
        "probe-gateway-trailing-dot",
    ),
    (
        "sslsni=0",
        {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslsni": "0"}'},
        "probe-gateway-sni-off",
    ),
    ("PGSSLSNI=0", {"PGSSLSNI": "0"}, "probe-gateway-sni-off"),
    (
        "unknown name",
        {"NAUTOBOT_DB_HOST": "nowhere.example", **HOSTADDR},
        "probe-gateway-name",
    ),
    ("dead backend", {"NAUTOBOT_DB_PORT": "{dead}"}, "probe-gateway-name"),
]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [row[1:] for row in GATEWAY_ROWS],
    ids=[row[0] for row in GATEWAY_ROWS],
)
def test_database_failure_at_gateway_gets_its_own_code(
    gateway, mount, redis_server, changed, expected
):
    dead = str(gateway.port("dead"))
    changed = {
        name: dead if value == "{dead}" else value for name, value in changed.items()
    }
    env = through(gateway, mount, redis_server, **changed)
    found = probe("database", env, timeout=20)

    assert code(found) == expected
    assert [stage.stage for stage in found.stages] == ["dns", "tcp", "tls"]


@pytest.mark.parametrize("mode", ["disable", ""], ids=["disable", "unset"])
def test_plain_text_to_a_gateway_before_postgresql_is_reported(
    gateway, mount, redis_server, mode
):
    env = through(gateway, mount, redis_server, NAUTOBOT_DB_SSLNEGOTIATION="")
    found = probe("database", {**env, "NAUTOBOT_DB_SSLMODE": mode})

    assert str(found.problem) == (
        f"NAUTOBOT_DB_SSLMODE: PostgreSQL at localhost:{gateway.port('postgres')} "
        f"answers to direct TLS alone, and sslmode is {mode or 'unset'}. Set "
        "NAUTOBOT_DB_SSLMODE=verify-full and NAUTOBOT_DB_SSLNEGOTIATION=direct."
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"NAUTOBOT_REDIS_HOST": "127.0.0.1"}, "probe-gateway-ip"),
        ({"NAUTOBOT_REDIS_PORT": "{dead}"}, "probe-gateway-name"),
    ],
)
@pytest.mark.parametrize("target", ["cache", "broker"])
def test_redis_failure_at_gateway_gets_its_own_code(
    gateway, mount, redis_server, target, changed, expected
):
    changed = {
        name: value.format(dead=gateway.port("dead")) for name, value in changed.items()
    }
    env = through(gateway, mount, redis_server, **changed)
    found = probe(target, env, timeout=20)

    assert code(found) == expected


def test_redis_name_unknown_to_gateway_is_reported(mount, redis_server):
    with Gateway(redis=Route(redis_server.port, "redis.example")) as gateway:
        env = redis_environment(gateway.port("redis"), mount, redis_server.password)
        found = probe("cache", env)

    assert code(found) == "probe-gateway-name"


def test_full_redis_behind_the_gateway_is_among_the_causes(authority, mount):
    """It closes what it accepts, and the gateway what leads to it."""
    with (
        RedisServer(authority=authority, settings=("maxclients 1",)) as server,
        Gateway(redis=Route(server.port)) as gateway,
        server.admin() as held,
    ):
        # The connection with which the lab found the server ready may linger.
        wait_for(lambda: is_let_in(held), 10)
        env = redis_environment(gateway.port("redis"), mount, "")
        found = probe("cache", env)

    assert (code(found), found.is_transient) == ("probe-gateway-name", True)
    assert (
        "or whose server behind the route does not run or has no connection left"
        in (found.problem.message)
    )


def test_gateway_that_is_down_is_reported_transient_until_restarted(
    postgres18, mount, redis_server
):
    with Gateway(postgres=Route(postgres18.port)) as gateway:
        env = database_environment(
            gateway.port("postgres"), mount, "verify-full", **DIRECT
        )
        assert probe("database", env).ok
        gateway.kill()
        down = probe("database", env)
        gateway.start()

        assert (code(down), down.is_transient) == ("probe-refused", True)
        assert probe("database", env).ok


# --- a worker ------------------------------------------------------------------


def test_worker_ping_reports_the_answer_of_the_worker(redis_server, mount, tmp_path):
    """Also to who is on another host, where its heartbeat file is not."""
    env = {
        **redis_environment(redis_server.port, mount, redis_server.password),
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
    }
    log = tmp_path / "worker.log"
    log.touch()
    worker = Process(
        "A Celery worker",
        [
            sys.executable,
            "-m",
            "lab.nautobot.celery_worker",
            "celery@lab",
            "lab-queue",
        ],
        log=log,
        ready=lambda: b" ready." in log.read_bytes(),
        environment={**os.environ, **env, "PYTHONPATH": str(REPOSITORY)},
        directory=tmp_path,
    )
    try:
        answered = probe("worker", env, ping="celery@lab", timeout=20)
        silent = probe("worker", env, ping="celery@other", timeout=3)
    finally:
        worker.end()

    assert answered.ok, answered.problem
    assert answered.stages[-1].detail == "celery@lab answers"
    assert code(silent) == "probe-worker-silent"


def test_worker_ping_without_broker_is_reported_silent(mount, tmp_path):
    """Said in time, although kombu would go on trying."""
    env = redis_environment(free_port(), mount, "p")
    found = probe("worker", env, ping="celery@lab", timeout=3)

    assert code(found) == "probe-worker-silent"
    assert found.problem.message == (
        "the broker did not accept the ping (OperationalError)."
    )


# --- as a command --------------------------------------------------------------


def test_probe_command_works_without_django_and_nautobot(
    postgres18, redis_server, mount, tmp_path
):
    """Their places are taken by packages that fail on import."""
    for name in ("django", "nautobot", "celery", "kombu", "redis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemError('imported')")
    env = {
        **database_environment(postgres18.port, mount, "verify-full"),
        **redis_environment(redis_server.port, mount, redis_server.password),
    }
    done = subprocess.run(
        [sys.executable, "-m", "understack_nautobot_settings", "probe"],
        env={
            **os.environ,
            **env,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("3 of 3 targets ok\n")


def test_wait_command_ends_after_the_server_starts(authority, mount):
    with PostgresServer(18, authority=authority) as server:
        env = database_environment(server.port, mount, "verify-full")
        server.stop()
        waiting = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "understack_nautobot_settings",
                "wait",
                "database",
                "--timeout=60",
                "--stable=1",
            ],
            env={**os.environ, **env, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            first = waiting.stderr.readline()
            server.start()
            out, err = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
            waiting.wait()

    assert waiting.returncode == 0
    assert "database: failed at tcp: NAUTOBOT_DB_HOST: " in first
    assert err.splitlines()[-1].endswith("database: up")
    assert "database query ok" in out


@pytest.mark.parametrize("usages", [CLIENT])
def test_https_server_without_client_certificate_is_reported(
    authority, tmp_path, usages
):
    from lab.servers.listening import tls_context
    from lab.servers.scripted import ScriptedServer
    from lab.servers.scripted import over_tls

    mount = write_mount(tmp_path, authority.client(usages=usages), authority.ca_pem)

    def script(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    context = tls_context(authority.server(), clients=authority.ca_pem)
    with ScriptedServer(over_tls(context, script)) as server:
        env = {
            "NOETL_TLS_CLIENT_CERT": mount.certificate,
            "NOETL_TLS_CLIENT_KEY": mount.key,
            "NOETL_TLS_CA": mount.ca,
        }
        url = f"https://localhost:{server.port}/api/health"
        known = probe(url, env, tls_prefix="NOETL_TLS_")
        stranger = probe(url, {"NOETL_TLS_CA": mount.ca}, tls_prefix="NOETL_TLS_")

    assert known.ok, known.problem
    assert known.stages[-1].detail == "GET /api/health: 200"
    assert code(stranger) == "probe-client-certificate-required"
