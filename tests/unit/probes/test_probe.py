import contextlib
import os
import socket
import threading

import pytest

from lab.certificates import CLIENT
from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import now
from lab.certificates import write_mount
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import authentication
from lab.servers.scripted import error_response
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import postgres_saying
from lab.servers.scripted import redis_saying
from lab.servers.scripted import silence
from lab.servers.scripted import without_alert
from understack_nautobot_settings.certificates.codes import CERTIFICATE_NOT_YET_VALID
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import NoDriver
from understack_nautobot_settings.probes.driver_session import Session
from understack_nautobot_settings.probes.https import probe_https
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_broker
from understack_nautobot_settings.probes.redis import probe_cache
from understack_nautobot_settings.probes.targets import Ping
from understack_nautobot_settings.probes.targets import Probe
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.targets import probe_targets
from understack_nautobot_settings.probes.targets import probes_as_json
from understack_nautobot_settings.probes.worker import probe_certificates
from understack_nautobot_settings.probes.worker import probe_heartbeat
from understack_nautobot_settings.probes.worker import probe_ping

CA = Authority()
PASSWORD = "canary-of-the-password"
SERIAL = "7"
REVOKED = CA.client()


@pytest.fixture(scope="module")
def mount(tmp_path_factory):
    return write_mount(tmp_path_factory.mktemp("mtls"), CA.client(), CA.ca_pem)


class Names(Network):
    """Every name leads to this machine, as an IPv4 address."""

    def resolve(self, host, port):
        return [(socket.AF_INET, ("127.0.0.1", port))]


ROW = ("app", "18.4", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "/CN=app", SERIAL)


def answering(*row):
    """A driver that is let in and gets this row."""

    def driver(parameters, statement, seconds, *, libpq_since=0):
        assert "pg_stat_ssl" in statement
        return Session("a driver, libpq 17.5", "127.0.0.1:5432", row)

    return driver


def failing(error):
    """A driver that fails."""

    def driver(parameters, statement, seconds, *, libpq_since=0):
        raise error

    return driver


accepting = answering(*ROW)
refusing = failing(DriverError("one text for many causes"))


def walk(probing, *arguments, seconds=5.0, **options):
    """Walk one attempt, and return it with its problem."""
    attempt = Attempt("target", seconds)
    with contextlib.suppress(Failed):
        probing(attempt, *arguments, **options)
    return attempt


def outcome(attempt):
    """Return the stages by their names, and the code of the problem."""
    stages = [stage.stage for stage in attempt.stages]
    passed = [stage.ok for stage in attempt.stages]
    assert passed == [True] * (len(passed) - 1) + [attempt.problem is None]
    return stages, attempt.problem and attempt.problem.code


def database(port, mount, host="localhost", mode="verify-full", **options):
    certificates = {}
    if mode in ("verify-full", "verify-ca"):
        certificates = {
            "sslcert": mount.certificate,
            "sslkey": mount.key,
            "sslrootcert": mount.ca,
        }
    parameters = {"sslmode": mode} if mode else {}
    return {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "app",
                "USER": "app",
                "PASSWORD": PASSWORD,
                "HOST": host,
                "PORT": str(port),
                "OPTIONS": {**parameters, **certificates, **options},
            }
        }
    }


def cache(port, mount, host="localhost", scheme="rediss", **pool):
    tls = {}
    if scheme == "rediss":
        tls = {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": mount.ca,
            "ssl_certfile": mount.certificate,
            "ssl_keyfile": mount.key,
        }
    pool = {"password": PASSWORD, **tls, **pool}
    return {
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": f"{scheme}://{host}:{port}/1",
                "OPTIONS": {"CONNECTION_POOL_KWARGS": pool},
            }
        }
    }


def good_redis(**answers):
    return redis_saying(ping=b"+PONG\r\n", acl=b"$7\r\ndefault\r\n", **answers)


def server_context(server=None, **options):
    return tls_context(
        server or CA.server(),
        clients=CA.ca_pem,
        revoked=CA.revocation_list(REVOKED),
        **options,
    )


def secured(script, server=None, **options):
    return over_tls(server_context(server, **options), script)


# --- the way there -------------------------------------------------------------


ALL_STAGES = ["dns", "tcp", "tls", "identity", "login", "query"]


def test_database_that_answers_is_reached_with_the_driver_alone(mount):
    with ScriptedServer(silence) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=accepting
        )

    assert outcome(attempt) == (ALL_STAGES, None)
    assert server.connections == 0
    assert {stage.stage: stage.detail for stage in attempt.stages} == {
        "dns": "resolved by libpq",
        "tcp": "127.0.0.1:5432",
        "tls": "TLSv1.3, TLS_AES_256_GCM_SHA384",
        "identity": "configured host localhost, certificate and name verified by libpq",
        "login": "accepted from a driver, libpq 17.5",
        "query": (
            "as app on PostgreSQL 18.4; the server sees TLSv1.3, client certificate "
            "/CN=app, serial 07"
        ),
    }


@pytest.mark.parametrize(
    ("mode", "row", "tls", "identity"),
    [
        (
            "verify-ca",
            ROW,
            "TLSv1.3, TLS_AES_256_GCM_SHA384",
            "configured host localhost, certificate verified by libpq without the name",
        ),
        (
            "require",
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "TLSv1.3, x",
            "configured host localhost, certificate not verified",
        ),
        (
            "require",
            ("app", "18.4", None, None, None, None),
            "TLS, because sslmode is require",
            "configured host localhost, certificate not verified",
        ),
        (
            None,
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "TLSv1.3, x: sslmode is unset",
            "not verified: sslmode does not ask for it",
        ),
        (
            "disable",
            ("app", "15.1", None, None, None, None),
            "no TLS: sslmode is disable",
            "not verified: sslmode does not ask for it",
        ),
    ],
    ids=["verify-ca", "require", "pooler", "unset", "disable"],
)
def test_database_details_name_what_was_verified(mount, mode, row, tls, identity):
    settings = database(1, mount, mode=mode)
    attempt = walk(probe_database, settings, Names(), driver=answering(*row))

    assert [stage.detail for stage in attempt.stages[2:4]] == [tls, identity]


def test_direct_negotiation_with_what_is_no_postgresql_is_not_waited_for(mount):
    """Redis behind the route of the database, say: TLS, and no answer ever after."""
    with ScriptedServer(secured(silence)) as server:
        settings = database(server.port, mount, sslnegotiation="direct")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-not-postgresql")


@pytest.mark.parametrize(
    ("options", "since"),
    [
        ({}, 0),
        ({"sslnegotiation": "direct"}, 170000),
        ({"sslcertmode": "disable"}, 160000),
    ],
    ids=["nothing", "direct", "sslcertmode"],
)
def test_driver_is_given_what_django_gives_it(mount, options, since):
    given = []

    def driver(parameters, statement, seconds, *, libpq_since=0):
        given.append((parameters, libpq_since))
        return Session("d", "a", ROW)

    settings = database(5, mount, mode="disable", isolation_level=1, connect_timeout=3)
    settings["DATABASES"]["default"]["OPTIONS"].update(options)
    walk(probe_database, settings, Names(), driver=driver)

    expected = {
        "sslmode": "disable",
        "connect_timeout": 3,
        "dbname": "app",
        "user": "app",
        "password": PASSWORD,
        "host": "localhost",
        "port": "5",
        **options,
    }
    assert given == [(expected, since)]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "as app on PostgreSQL 18.4; the server sees TLSv1.3, no client certificate",
        ),
        (
            ("app", "18.4", None, None, None, None),
            "as app on PostgreSQL 18.4; the server sees no TLS",
        ),
    ],
    ids=["no certificate", "no TLS"],
)
def test_database_details_show_what_the_server_sees(mount, row, detail):
    attempt = walk(probe_database, database(1, mount), Names(), driver=answering(*row))

    assert attempt.stages[-1].detail == detail


def test_database_without_an_answer_about_the_session_fails(mount):
    attempt = walk(probe_database, database(1, mount), Names(), driver=answering())

    assert outcome(attempt) == (["query"], "probe-db-error")


def test_a_cache_is_reached_stage_by_stage(mount):
    with ScriptedServer(secured(good_redis())) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (ALL_STAGES, None)
    assert [stage.detail for stage in attempt.stages[-2:]] == [
        "as default, database 1",
        "PING: PONG, writes accepted",
    ]


def test_a_broker_is_reached_with_the_credentials_of_its_url(mount):
    said = []

    def script(connection):
        data = connection.recv(65536)
        said.append(data)
        connection.sendall(b"-NOPERM no permissions to run the 'auth' command\r\n")

    with ScriptedServer(script) as server:
        settings = {"CELERY_BROKER_URL": f"redis://me:p%2Fw@localhost:{server.port}/0"}
        attempt = walk(probe_broker, settings, Names())

    assert said == [b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$3\r\np/w\r\n"]
    assert attempt.problem.message == (
        f"the ACL of localhost:{server.port} does not let user me run the 'auth' "
        "command."
    )


def test_a_socket_has_no_name_and_no_tls(mount, tmp_path):
    path = str(tmp_path / "redis.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        with connection:
            good_redis()(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    settings = {"CELERY_BROKER_URL": f"redis+socket://{path}?virtual_host=3"}
    attempt = walk(probe_broker, settings, Network())
    thread.join(5)
    listener.close()

    assert outcome(attempt) == (ALL_STAGES, None)
    assert [stage.detail for stage in attempt.stages[:4]] == [
        "a socket of this machine",
        path,
        "plain text, as configured",
        "no TLS: the server's identity is not verified",
    ]


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        (
            {"CELERY_BROKER_URL": "amqps://localhost:{port}//"},
            ["dns", "tcp", "tls"],
        ),
        (
            {
                "CACHES": {
                    "default": {
                        "LOCATION": "redis://mymaster/0",
                        "OPTIONS": {
                            "CLIENT_CLASS": "django_redis.client.SentinelClient",
                            "SENTINELS": [("localhost", "{port}")],
                        },
                    }
                }
            },
            ["dns", "tcp", "tls"],
        ),
        ({"CACHES": {"default": {"BACKEND": "a.LocMemCache"}}}, ["dns"]),
        ({"CELERY_BROKER_URL": "sqs://"}, ["dns"]),
        ({"CELERY_BROKER_URL": "sqs://key:sec/ret@"}, ["dns"]),
    ],
    ids=["another broker", "sentinel", "another cache", "no place", "no port"],
)
def test_what_is_not_redis_is_reached_and_no_more(settings, stages):
    with ScriptedServer(silence) as server:
        if "CELERY_BROKER_URL" in settings:
            url = settings["CELERY_BROKER_URL"].format(port=server.port)
            attempt = walk(probe_broker, {"CELERY_BROKER_URL": url}, Names())
        else:
            options = settings["CACHES"]["default"].get("OPTIONS", {})
            if "SENTINELS" in options:
                options["SENTINELS"] = [("localhost", server.port)]
            attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt) == (stages, None)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://b.example/0", "b.example:6379"),
        ("amqps://b.example//", "b.example:5671"),
        ("sentinel://b.example/0", "b.example:26379"),
    ],
)
def test_a_broker_has_the_port_of_its_kind_where_none_is_given(url, place):
    gone = Failing(ConnectionRefusedError())
    attempt = walk(probe_broker, {"CELERY_BROKER_URL": url}, gone, own_url=True)

    assert str(attempt.problem) == (
        f"NAUTOBOT_CELERY_BROKER_URL: {place} refuses the TCP connection: nothing "
        f"listens there. Start the server or the gateway in front of it, or correct "
        "host and port."
    )


def test_another_database_is_reached_and_no_more():
    with ScriptedServer(silence) as server:
        default = {"ENGINE": "mysql", "HOST": "localhost", "PORT": server.port}
        settings = {"DATABASES": {"default": default}}
        attempt = walk(probe_database, settings, Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], None)


def test_a_socket_of_postgresql_is_found_in_its_directory(mount, tmp_path):
    settings = database(7, mount, host=str(tmp_path))
    attempt = walk(probe_database, settings, Network(), driver=refusing)

    assert outcome(attempt) == (["dns", "tcp"], "probe-network")
    assert str(tmp_path / ".s.PGSQL.7") in attempt.problem.message


# --- names and addresses -------------------------------------------------------


class Failing(Network):
    def __init__(self, error, resolve=False):
        self._error = error
        self._resolve = resolve

    def resolve(self, host, port):
        if self._resolve:
            raise self._error
        return [(socket.AF_INET, ("10.0.0.1", port)), (socket.AF_INET6, ("::1", port))]

    def connect(self, address, seconds):
        raise self._error


@pytest.mark.parametrize(
    ("network", "stages", "code", "message"),
    [
        (
            Failing(socket.gaierror(-2, "Name or service not known"), resolve=True),
            ["dns"],
            "probe-dns",
            "the name db.example does not resolve: name or service not known.",
        ),
        (
            Failing(ConnectionRefusedError(111, "x")),
            ["dns", "tcp"],
            "probe-refused",
            "db.example:5 refuses the TCP connection: nothing listens there.",
        ),
        (
            Failing(TimeoutError()),
            ["dns", "tcp"],
            "probe-timeout",
            "db.example:5 does not answer a TCP connection in time.",
        ),
        (
            Failing(OSError(113, "x")),
            ["dns", "tcp"],
            "probe-network",
            "db.example:5 cannot be reached: EHOSTUNREACH.",
        ),
    ],
    ids=["name", "refused", "black hole", "no route"],
)
def test_what_cannot_be_reached_says_at_which_stage(
    mount, network, stages, code, message
):
    settings = database(5, mount, host="db.example")
    attempt = walk(probe_database, settings, network, driver=refusing)

    assert outcome(attempt) == (stages, code)
    assert attempt.problem.message == message
    assert attempt.problem.variable == "NAUTOBOT_DB_HOST"
    assert exit_status([Probe("database", False, (), attempt.problem)]) == 2


def test_a_name_without_addresses_cannot_be_reached(mount):
    class Nowhere(Network):
        def resolve(self, host, port):
            return []

    attempt = walk(probe_database, database(5, mount), Nowhere(), driver=refusing)

    assert attempt.problem.message == (
        "localhost:5 cannot be reached: it has no address."
    )


def test_the_second_address_is_tried_after_the_first(mount):
    class Two(Network):
        def resolve(self, host, port):
            return [
                (socket.AF_INET6, ("::1", port, 0, 0)),
                (socket.AF_INET, ("127.0.0.1", port)),
            ]

    with ScriptedServer(silence) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(probe_database, settings, Two(), driver=refusing, seconds=2)

    assert attempt.stages[0].detail == (f"[::1]:{server.port}, 127.0.0.1:{server.port}")
    assert attempt.stages[1].detail == f"127.0.0.1:{server.port}"


def test_many_addresses_are_counted(mount):
    class Many(Names):
        def resolve(self, host, port):
            return [(socket.AF_INET, ("127.0.0.1", port + one)) for one in range(5)]

    attempt = walk(probe_database, database(1, mount), Many(), driver=refusing)

    assert (
        attempt.stages[0].detail == "127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3 and 2 more"
    )


# --- who answers ---------------------------------------------------------------


OTHER = Authority("another-ca")


@pytest.mark.parametrize(
    ("leaf", "code", "message"),
    [
        (
            OTHER.server(),
            "probe-server-ca",
            "no CA in {ca} issued the certificate of {place} (CN=localhost). It was "
            "issued by CN=another-ca.",
        ),
        (
            CA.server("db.example", "db"),
            "probe-server-name",
            "the certificate of {place} is for db.example, db, not for localhost.",
        ),
        (
            CA.server(*(f"{one}.example" for one in range(8))),
            "probe-server-name",
            "the certificate of {place} is for 0.example, 1.example, 2.example, "
            "3.example, 4.example, 5.example and 2 more, not for localhost.",
        ),
        (
            CA.server(not_before=now() - 2 * DAY, not_after=now() - DAY),
            "probe-server-expired",
            "the certificate of {place} expired on {after}.",
        ),
        (
            CA.server(not_before=now() + DAY, not_after=now() + 2 * DAY),
            "probe-server-not-yet-valid",
            "the certificate of {place} is not valid before {before}.",
        ),
        (
            CA.server(usages=CLIENT),
            "probe-server-purpose",
            "the certificate of {place} (CN=localhost) is not for servers.",
        ),
    ],
    ids=["foreign", "name", "names", "expired", "early", "purpose"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_a_server_that_is_not_who_it_should_be(mount, kind, leaf, code, message):
    context = tls_context(leaf)
    script = over_tls(context, silence)
    libpq = "certificate verify failed"
    if code == "probe-server-name":
        libpq = 'server certificate for "db.example" does not match host name'
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        if kind == "database":
            attempt = walk(
                probe_database,
                database(server.port, mount),
                Names(),
                driver=failing(DriverError(libpq)),
            )
        else:
            attempt = walk(probe_cache, cache(server.port, mount), Names())

    form = "%Y-%m-%dT%H:%M:%SZ"
    assert outcome(attempt) == (["dns", "tcp", "tls", "identity"], code)
    assert attempt.problem.message == message.format(
        ca=mount.ca,
        place=f"localhost:{server.port}",
        after=leaf.certificate.not_valid_after_utc.strftime(form),
        before=leaf.certificate.not_valid_before_utc.strftime(form),
    )
    detail = attempt.stages[-1].detail
    assert detail.startswith("configured host localhost, certif")
    assert detail.endswith((", refused", ", verified"))
    assert ("expired " in detail) == (code == "probe-server-expired")


@pytest.mark.parametrize("host", ["db\x1b[2K\r\nok: all is well", "canary@db!example"])
@pytest.mark.parametrize("succeeds", [True, False], ids=["accepted", "refused"])
def test_host_that_is_no_host_name_is_shown_by_no_stage(mount, host, succeeds):
    """Neither escape sequences nor what may be a password reach the terminal."""
    driver = accepting
    if not succeeds:
        driver = failing(DriverError("does not match host name"))
    with ScriptedServer(after_ssl_request(secured(silence))) as server:
        settings = database(server.port, mount, host=host, hostaddr="127.0.0.1")
        attempt = walk(probe_database, settings, Names(), driver=driver)

    said = [stage.detail for stage in attempt.stages] + [str(attempt.problem or "")]
    assert "configured host (not shown), " in " ".join(said)
    assert all(text.isprintable() and "canary" not in text for text in said)


def test_a_ca_that_is_expired_is_told_from_a_certificate_that_is(tmp_path):
    old = Authority(not_before=now() - 9 * DAY, not_after=now() - DAY)
    mount = write_mount(tmp_path, CA.client(), old.ca_pem)
    script = after_ssl_request(over_tls(tls_context(old.server()), silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert attempt.problem.code == "probe-server-expired"
    assert attempt.problem.message == (
        f"a CA of the certificate of localhost:{server.port} is expired."
    )


@pytest.mark.parametrize("kind", ["database", "cache"])
def test_ca_for_clients_only_is_blamed_rather_than_the_server(tmp_path, kind):
    narrow = Authority("clients", usages=("cert sign", "client auth"))
    mount = write_mount(tmp_path, narrow.client(), narrow.ca_pem)
    script = over_tls(tls_context(narrow.server()), silence)
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        if kind == "database":
            attempt = walk(
                probe_database, database(server.port, mount), Names(), driver=refusing
            )
        else:
            attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert attempt.problem.code == "probe-server-purpose"
    assert attempt.problem.variable.endswith(("_SSLROOTCERT", "_SSL_CA_CERTS"))
    assert attempt.problem.message == (
        f"the CA CN=clients in {mount.ca} is not for server certificates: its usages "
        f"are client auth. Therefore the certificate of localhost:{server.port} "
        "(CN=localhost) is not accepted."
    )


def test_a_chain_without_its_intermediate_is_not_accepted(mount):
    leaf = CA.intermediate().server()
    bare = type(leaf)(leaf.certificate, leaf.key, leaf.key_pem)
    script = after_ssl_request(over_tls(tls_context(bare), silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert attempt.problem.code == "probe-server-ca"


# --- whom the server takes -----------------------------------------------------


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        (
            OTHER.client(),
            "probe-client-ca",
            "does not trust the CA of the client certificate "
            "(CN=app, issued by CN=another-ca).",
        ),
        (CA.expired(), "probe-client-expired", "it expired on"),
        (CA.not_yet_valid(), "certificate-not-yet-valid", "it is not valid before"),
        (
            CA.client(usages=("server auth",)),
            "probe-client-refused",
            "alert unsupported certificate.",
        ),
        (
            REVOKED,
            "probe-client-refused",
            "alert certificate revoked. It is in the server's revocation list (CRL). "
            "Issue a new certificate.",
        ),
    ],
    ids=["foreign", "expired", "early", "server only", "revoked"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_a_client_that_the_server_refuses(tmp_path, kind, client, code, words):
    mount = write_mount(tmp_path, client, CA.ca_pem)
    if kind == "database":
        script = after_ssl_request(secured(postgres_saying(authentication(0))))
    else:
        script = secured(good_redis())
    with ScriptedServer(script) as server:
        if kind == "database":
            attempt = walk(
                probe_database, database(server.port, mount), Names(), driver=refusing
            )
        else:
            attempt = walk(probe_cache, cache(server.port, mount), Names())

    stages, found = outcome(attempt)
    assert (stages[-1], found) == ("login", code)
    assert words in str(attempt.problem)


def test_a_server_that_wants_a_certificate_says_so(mount):
    with ScriptedServer(secured(good_redis())) as server:
        settings = cache(server.port, mount, ssl_certfile=None, ssl_keyfile=None)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-client-certificate-required"


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        (OTHER.client(), "probe-client-refused", "; it probably does not trust that"),
        (CA.expired(), "probe-client-expired", ", which expired on 20"),
        (CA.not_yet_valid(), "certificate-not-yet-valid", ", which is not valid befor"),
        (
            CA.client(usages=("server auth",)),
            "probe-client-refused",
            ", which is not for clients.",
        ),
    ],
    ids=["foreign", "expired", "early", "server only"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_server_that_closes_on_the_certificate_gets_the_honest_fallback(
    tmp_path, kind, client, code, words
):
    """The alert got lost on the way, as through a gateway."""
    mount = write_mount(tmp_path, client, CA.ca_pem)
    script = without_alert(server_context())
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        if kind == "database":
            attempt = walk(
                probe_database, database(server.port, mount), Names(), driver=refusing
            )
        else:
            attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    issuer = client.certificate.issuer.rfc4514_string()
    assert attempt.problem.message.startswith(
        f"localhost:{server.port} closed the connection after it received the client "
        f"certificate (CN=app, issued by {issuer}){words}"
    )
    assert server.connections <= 6


def test_server_that_closes_after_the_handshake_does_not_blame_the_certificate(mount):
    context = tls_context(CA.server(), clients=CA.ca_pem)

    def script(connection):
        context.wrap_socket(connection, server_side=True).close()

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt)[1] == "probe-closed"
    assert attempt.problem.message == (
        f"localhost:{server.port} accepts the connection and closes it after the TLS "
        "handshake."
    )


def test_a_server_that_hangs_up_later_is_not(mount):
    def script(connection):
        connection.recv(100)

    with ScriptedServer(secured(script)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=8)

    assert outcome(attempt)[1] == "probe-closed"


def test_without_a_client_certificate_its_refusal_is_no_explanation(mount):
    context = tls_context(CA.server())

    def script(connection):
        context.wrap_socket(connection, server_side=True).close()

    with ScriptedServer(script) as server:
        settings = cache(server.port, mount, ssl_certfile=None, ssl_keyfile=None)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-closed"


@pytest.mark.parametrize(
    ("said", "code", "variable"),
    [
        (
            error_response(
                "28000", 'no entry in "pg_hba.conf"', "ClientAuthentication"
            ),
            "probe-db-hba",
            "NAUTOBOT_DB_SSLMODE",
        ),
        (
            error_response("28000", "Rolle fehlt", "InitializeSessionUserId"),
            "probe-db-role",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("28000", "certificate authentication failed for user"),
            "probe-db-certificate-user",
            "NAUTOBOT_DB_USER",
        ),
        (error_response("28P01"), "probe-db-password", "NAUTOBOT_DB_PASSWORD"),
        (error_response("3D000"), "probe-db-name", "NAUTOBOT_DB_NAME"),
        (error_response("42501"), "probe-db-role", "NAUTOBOT_DB_USER"),
        (error_response("57P03"), "probe-db-starting", "NAUTOBOT_DB_HOST"),
        (error_response("53300"), "probe-db-full", "NAUTOBOT_DB_HOST"),
        (error_response("XX000"), "probe-db-error", "NAUTOBOT_DB_HOST"),
        # PgBouncer has one SQLSTATE for all that it refuses itself.
        (
            error_response("08P01", "unsupported startup parameter: replication"),
            "probe-db-options",
            "NAUTOBOT_DB_EXTRA_OPTIONS",
        ),
        (
            error_response("08P01", "unsupported startup parameter: options"),
            "probe-db-options",
            "UNDERSTACK_DB_POOLER",
        ),
        (
            error_response("08P01", "no such database: app"),
            "probe-db-name",
            "NAUTOBOT_DB_NAME",
        ),
        (
            error_response("08P01", "no such user: app"),
            "probe-db-role",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("08P01", "certificate authentication failed"),
            "probe-db-certificate-user",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("08P01", "no more connections allowed (max_client_conn)"),
            "probe-db-full",
            "NAUTOBOT_DB_HOST",
        ),
        (
            error_response("08P01", "SASL authentication failed"),
            "probe-db-password",
            "NAUTOBOT_DB_PASSWORD",
        ),
        (
            b"R\0\0\0\x08\0\0\0\0" + error_response("3D000"),
            "probe-db-name",
            "NAUTOBOT_DB_NAME",
        ),
        (authentication(10), "probe-db-passing", "NAUTOBOT_DB_HOST"),
        (authentication(0), "probe-db-passing", "NAUTOBOT_DB_HOST"),
        (b"R\0\0\0\1x", "probe-closed", "NAUTOBOT_DB_HOST"),
    ],
)
def test_a_refused_login_is_told_by_the_code_of_the_server(mount, said, code, variable):
    script = after_ssl_request(secured(postgres_saying(said)))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    assert attempt.problem.variable == variable
    assert PASSWORD not in str(attempt.problem)


@pytest.mark.parametrize(
    ("mode", "said", "code"),
    [
        ("disable", error_response("28000", "pg_hba.conf"), "probe-db-hba"),
        ("require", error_response("28000", "x"), "probe-client-certificate-required"),
        ("disable", b"", "probe-closed"),
    ],
)
def test_what_is_missing_is_named_by_the_mode(mount, mode, said, code):
    script = postgres_saying(said)
    if mode == "require":
        script = after_ssl_request(over_tls(tls_context(CA.server()), script))
    with ScriptedServer(script if said else goodbye) as server:
        settings = database(server.port, mount, mode=mode)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt)[1] == code


LIBPQ = 'connection to server at "localhost" (127.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            f'{LIBPQ}FATAL:  password authentication failed for user "app"',
            "probe-db-password",
            'password authentication failed for user "app"',
        ),
        (
            f'{LIBPQ}FATAL:  database "app" does not exist',
            "probe-db-name",
            'database "app" does not exist',
        ),
        (
            f'{LIBPQ}FATAL:  permission denied for database "app"',
            "probe-db-role",
            'permission denied for database "app"',
        ),
        (
            f'{LIBPQ}FATAL:  too many connections for role "app"',
            "probe-db-full",
            'too many connections for role "app"',
        ),
        (
            f'{LIBPQ}FATAL:  unrecognized configuration parameter "x"',
            "probe-db-options",
            'unrecognized configuration parameter "x"',
        ),
        (f"{LIBPQ}fe_sendauth: no password supplied", "probe-db-password", None),
        (f"{LIBPQ}session is read-only", "probe-db-session-attributes", None),
        (f"{LIBPQ}server is in hot standby mode", "probe-db-session-attributes", None),
        (
            f'{LIBPQ}authentication method requirement "md5" failed: server requested '
            "SCRAM-SHA-256 authentication",
            "probe-libpq",
            None,
        ),
        (
            f"{LIBPQ}channel binding required, but SSL not in use",
            "probe-libpq",
            None,
        ),
        (
            f"{LIBPQ}could not find digest for NID ED25519",
            "probe-libpq",
            None,
        ),
        (f'private key file "{PASSWORD}" has group access', "probe-libpq", None),
        (f"{LIBPQ}server closed the connection unexpectedly", "probe-db-passing", None),
        (f"{LIBPQ}FEHLER: ein anderes Wort", "probe-db-passing", None),
        ("", "probe-db-passing", ""),
    ],
)
def test_password_is_blamed_only_where_the_server_says_so(mount, text, code, said):
    """The server asks for a password; what happens after it only libpq sees."""
    with ScriptedServer(postgres_saying(authentication(10))) as server:
        settings = database(server.port, mount, mode="disable", options="-c x=1")
        error = DriverError(text) if text else TimeoutError()
        attempt = walk(probe_database, settings, Names(), driver=failing(error))

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    expected = text.replace(PASSWORD, "***") if said is None else said
    assert attempt.server_said == expected
    assert PASSWORD not in str(attempt.problem)


def test_second_look_that_is_let_in_makes_the_fault_a_passing_one(mount):
    """A connection slot became free between the driver and the look."""
    text = f"{LIBPQ}FATAL:  sorry, too many clients already"
    with ScriptedServer(postgres_saying(authentication(0))) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(
            probe_database, settings, Names(), driver=failing(DriverError(text))
        )

    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_HOST: the connection to localhost:{server.port} failed, and "
        "another one a moment later met no such fault: sorry, too many clients "
        "already. Try again, and read what the server said."
    )
    assert Probe("x", False, (), attempt.problem).is_transient


def test_second_look_at_another_fault_makes_the_first_a_passing_one(mount):
    text = f"{LIBPQ}FATAL:  the database system is starting up"
    said = error_response("28000", 'no entry in "pg_hba.conf"')
    with ScriptedServer(postgres_saying(said)) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(
            probe_database, settings, Names(), driver=failing(DriverError(text))
        )

    assert attempt.problem.code == "probe-db-passing"


def test_words_of_a_server_are_printable_and_bounded(mount):
    said = error_response("28000", "pg_hba.conf \x1b[31m\n" + "x" * 999)
    with ScriptedServer(postgres_saying(said)) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert attempt.server_said.startswith("pg_hba.conf \\x1b[31m\\nxxx")
    assert len(attempt.server_said) < 310


def test_no_driver_is_said_after_the_network_was_looked_at(mount):
    with ScriptedServer(silence) as server:
        attempt = walk(
            probe_database,
            database(server.port, mount, mode="disable"),
            Names(),
            driver=failing(NoDriver()),
        )

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-driver-missing")
    assert exit_status([Probe("database", False, (), attempt.problem)]) == 2


@pytest.mark.parametrize("error", [NoDriver(), DriverError("x"), TimeoutError()])
def test_database_without_a_host_is_left_to_libpq(mount, error):
    settings = database(1, mount, host="")
    attempt = walk(probe_database, settings, Names(), driver=failing(error))

    assert [stage.stage for stage in attempt.stages] == ["dns", "login"]


def test_query_that_fails_is_a_stage_of_its_own(mount):
    error = DriverError("lost", on_query=True)
    attempt = walk(probe_database, database(1, mount), Names(), driver=failing(error))

    assert outcome(attempt) == (["query"], "probe-db-error")


@pytest.mark.parametrize("hosts", ["localhost,127.0.0.1", "localhost"])
def test_hosts_on_which_nobody_listens_are_waited_for(mount, hosts):
    text = "\n".join(
        f'connection to server at "{host}", port 1 failed: Connection refused'
        for host in hosts.split(",")
    )
    attempt = walk(
        probe_database,
        database(1, mount, host=hosts),
        Names(),
        driver=failing(DriverError(text)),
    )

    probe = Probe("database", False, (), attempt.problem)
    assert outcome(attempt) == (["dns", "tcp"], "probe-refused")
    assert (exit_status([probe]), probe.is_transient) == (2, True)


def test_a_login_without_an_answer_is_silence(mount):
    script = after_ssl_request(secured(silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database,
            database(server.port, mount),
            Names(),
            driver=refusing,
            seconds=2,
        )

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-silent")


# --- what redis answers --------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "password", "code"),
    [
        ({"acl": b"-NOAUTH no\r\n"}, "", "probe-redis-auth"),
        ({"auth": b"-WRONGPASS no\r\n"}, PASSWORD, "probe-redis-auth"),
        ({"auth": b"-ERR invalid password\r\n"}, PASSWORD, "probe-redis-auth"),
        ({"select": b"-LOADING no\r\n"}, PASSWORD, "probe-redis-busy"),
        ({"ping": b"-OOM no\r\n"}, PASSWORD, "probe-redis-read-only"),
        ({"ping": b"-NOPERM no\r\n"}, PASSWORD, "probe-redis-permission"),
        ({"acl": b"-NOPERM no\r\n"}, PASSWORD, None),
        ({"acl": b"-LOADING no\r\n"}, PASSWORD, "probe-redis-busy"),
        ({"auth": b"HTTP/1.1 400\r\n"}, PASSWORD, "probe-not-redis"),
        ({"acl": b"$nonsense\r\n"}, PASSWORD, "probe-not-redis"),
        ({"acl": b"$999999\r\n"}, PASSWORD, "probe-not-redis"),
        ({"acl": b"+" + b"x" * 70000}, PASSWORD, "probe-not-redis"),
    ],
)
def test_what_redis_says_is_told_by_its_first_word(mount, answers, password, code):
    said = {"ping": b"+PONG\r\n", "acl": b"+default\r\n", **answers}
    with ScriptedServer(redis_saying(**said)) as server:
        settings = cache(server.port, mount, scheme="redis", password=password)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == code
    assert "canary" not in str(attempt.problem)


def test_a_redis_that_says_nothing(mount):
    with ScriptedServer(secured(silence)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=2)

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-silent")


def test_tls_at_a_plain_port_that_waits_for_the_end_of_a_line(mount):
    """A plain Redis reads a ClientHello as the beginning of a command."""

    def script(connection):
        while said := connection.recv(65536):
            if b"PING" in said:
                connection.sendall(b"-NOAUTH no\r\n")

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=2)

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-not-tls")


def test_tls_at_a_port_that_answers_in_plain_text(mount):
    def script(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-not-tls")


def test_plain_text_at_a_tls_port(mount):
    with ScriptedServer(secured(good_redis())) as server:
        settings = cache(server.port, mount, scheme="redis")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-tls-required"


def test_plain_text_at_a_port_that_hangs_up(mount):
    with ScriptedServer(goodbye) as server:
        settings = cache(server.port, mount, scheme="redis")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-closed"


def test_a_handshake_that_fails_for_another_reason(mount):
    context = tls_context(CA.server(), clients=CA.ca_pem)
    context.maximum_version = context.minimum_version = 0x0303
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with ScriptedServer(over_tls(context, silence)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-tls-handshake")


def test_files_that_cannot_be_loaded_are_named(mount):
    settings = cache(1, mount, ssl_certfile=mount.key)
    with ScriptedServer(silence) as server:
        settings["CACHES"]["default"]["LOCATION"] = f"rediss://localhost:{server.port}"
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-client-files")
    assert attempt.problem.variable == "NAUTOBOT_REDIS_SSL_CERTFILE"


# --- postgresql before tls -----------------------------------------------------


@pytest.mark.parametrize(
    ("script", "options", "code"),
    [
        (after_ssl_request(silence, b"N"), {}, "probe-tls-refused"),
        (after_ssl_request(silence, b"E"), {}, "probe-tls-refused"),
        (after_ssl_request(silence, b"H"), {}, "probe-not-postgresql"),
        (silence, {}, "probe-silent"),
        (lambda connection: None, {}, "probe-closed"),
        (lambda connection: None, {"sslnegotiation": "direct"}, "probe-closed"),
        (silence, {"sslnegotiation": "direct"}, "probe-silent"),
    ],
    ids=["N", "error", "HTTP", "silent", "hangs up", "direct, hangs up", "direct"],
)
def test_a_server_that_does_not_start_tls(mount, script, options, code):
    with ScriptedServer(script) as server:
        settings = database(server.port, mount, **options)
        seconds = 2 if code == "probe-silent" else 5
        attempt = walk(
            probe_database, settings, Names(), driver=refusing, seconds=seconds
        )

    assert outcome(attempt) == (["dns", "tcp", "tls"], code)


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"S", "probe-direct-unsupported"), (b"N", "probe-tls-refused")],
)
def test_direct_negotiation_with_an_older_server(mount, said, code):
    """It takes the ClientHello for a broken start-up message."""

    def script(connection):
        first = connection.recv(65536)
        if first[:1] != b"\x16":
            connection.sendall(said)

    with ScriptedServer(script) as server:
        settings = database(server.port, mount, sslnegotiation="direct")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt) == (["dns", "tcp", "tls"], code)


def test_a_restless_gateway_is_given_the_benefit_of_the_doubt(mount):
    with ScriptedServer(goodbye) as server:
        settings = cache(server.port, mount, host="redis.example")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-gateway-name"


# --- the worker ----------------------------------------------------------------


def heartbeat_env(path, **more):
    return {"NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE": str(path), **more}


def test_a_heartbeat_is_told_by_the_age_of_its_file(tmp_path):
    file = tmp_path / "heartbeat"
    file.touch()
    os.utime(file, (1000, 1000))

    fresh = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 1030.0)
    old = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 1031.0)

    assert outcome(fresh) == (["heartbeat"], None)
    assert fresh.stages[0].detail == f"{file}, 30 s old"
    assert outcome(old) == (["heartbeat"], "probe-heartbeat")
    assert old.problem.message == f"the last heartbeat in {file} is 31 s old."


def test_a_missing_heartbeat_may_only_be_turned_off(tmp_path):
    file = tmp_path / "heartbeat"
    switch = "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES"

    off = walk(probe_heartbeat, heartbeat_env(file))
    on = walk(probe_heartbeat, heartbeat_env(file, **{switch: "true"}))

    assert str(off.problem) == (
        f"{switch}: the worker writes no heartbeat. Set {switch}=true on the worker."
    )
    assert on.problem.message == f"there is no heartbeat in {file}."


def test_the_certificate_of_a_connected_worker_is_looked_at(mount, tmp_path):
    settings = {**database(1, mount), **cache(1, mount)}
    fine = walk(probe_certificates, settings)
    old = write_mount(tmp_path, CA.expired(), CA.ca_pem)
    expired = walk(probe_certificates, database(1, old))
    none = walk(probe_certificates, {})

    assert outcome(fine) == (["certificate"], None)
    assert fine.stages[0].detail == (
        "CN=app for PostgreSQL 1094 days, CN=app for Redis 1094 days"
    )
    assert outcome(expired) == (["certificate"], "probe-worker-certificate")
    assert outcome(none) == (["certificate"], None)
    assert none.stages[0].detail == "none in use"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda settings, name, seconds: [{"celery@a": {"ok": "pong"}}], None),
        (lambda settings, name, seconds: [], "probe-worker-silent"),
        (
            lambda settings, name, seconds: [{"celery@b": {"ok": "pong"}}],
            "probe-worker-silent",
        ),
        (
            lambda settings, name, seconds: (_ for _ in ()).throw(ValueError("canary")),
            "probe-worker-silent",
        ),
    ],
    ids=["answers", "silent", "another", "broken"],
)
def test_a_worker_answers_for_itself(ask, code):
    attempt = walk(probe_ping, {}, "celery@a", ask=ask)

    assert outcome(attempt) == (["ping"], code)
    assert "canary" not in str(attempt.problem)


def test_without_kombu_nobody_can_be_asked():
    def ask(settings, name, seconds):
        raise ImportError

    assert outcome(walk(probe_ping, {}, "celery@a", ask=ask))[1] == (
        "probe-driver-missing"
    )


# --- https ---------------------------------------------------------------------


def https_saying(answer):
    def script(connection):
        if connection.recv(65536):
            connection.sendall(answer)

    return script


@pytest.mark.parametrize(
    ("said", "code", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", None, "GET /api/health: 200"),
        (b"HTTP/1.1 403 No\r\n\r\n", "probe-http-status", "GET /api/health: 403"),
        (
            b"HTTP/1.1 503 Later\r\n\r\n",
            "probe-http-unavailable",
            "GET /api/health: 503",
        ),
        (b"SSH-2.0-x\r\n", "probe-http-status", "GET /api/health: no HTTP"),
    ],
)
def test_an_https_server_is_asked_with_the_certificate_of_any_prefix(
    mount, said, code, detail
):
    env = {
        "NOETL_TLS_CLIENT_CERT": mount.certificate,
        "NOETL_TLS_CLIENT_KEY": mount.key,
        "NOETL_TLS_CA": mount.ca,
    }
    with ScriptedServer(secured(https_saying(said))) as server:
        url = f"https://localhost:{server.port}/api/health?x=1"
        attempt = walk(probe_https, url, env, Names(), prefix="NOETL_TLS_")

    assert outcome(attempt) == (["dns", "tcp", "tls", "identity", "query"], code)
    assert attempt.stages[-1].detail == detail


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (silence, "probe-silent"),
        (over_tls(tls_context(CA.server()), silence), "probe-silent"),
        (over_tls(tls_context(CA.server()), goodbye), "probe-closed"),
        (secured(silence), "probe-client-certificate-required"),
        (lambda connection: None, "probe-closed"),
        (https_saying(b"HTTP/1.1 400\r\n\r\n"), "probe-not-tls"),
    ],
    ids=["silent", "silent in TLS", "closes", "certificate", "hangs up", "plain"],
)
def test_an_https_server_that_does_not_answer(mount, script, code):
    env = {"X_CA": mount.ca}
    with ScriptedServer(script) as server:
        url = f"https://localhost:{server.port}"
        seconds = 2 if code == "probe-silent" else 8
        attempt = walk(probe_https, url, env, Names(), prefix="X_", seconds=seconds)

    assert outcome(attempt)[1] == code


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {},
            "X_CA: no CA in the system store issued the certificate of {place} "
            "(CN=localhost). It was issued by CN=understack-mtls-ca. Put the CA that "
            "signed the certificate of the server into a file, and set X_CA, or find "
            "out who answers there.",
        ),
        (
            {"X_CA": "{ca}"},
            "X_CLIENT_CERT: {place} requires a client certificate, and none is "
            "configured. Set X_CLIENT_CERT, and the variable of its key.",
        ),
        (
            {"X_CA": "/nowhere/ca.crt"},
            "X_CA: /nowhere/ca.crt for the server cannot be loaded: no such file or "
            "directory. Mount it, or correct the path.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{ca}"},
            "X_CLIENT_KEY: it is unset, and {ca} holds no private key. Set it to the "
            "path of the key.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{ca}", "X_CLIENT_KEY": "/nowhere/key"},
            "X_CLIENT_KEY: /nowhere/key for the server cannot be loaded: no such file "
            "or directory. Mount it, or correct the path.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{key}", "X_CLIENT_KEY": "{cert}"},
            "X_CLIENT_CERT: {key} holds the private key, and {cert} holds the client "
            "certificate. Correct the keys of the Secret, or the paths.",
        ),
    ],
    ids=["no CA", "no certificate", "no such CA", "no key", "no such key", "swapped"],
)
def test_the_variables_of_a_neighbour_are_named_by_their_prefix(mount, env, line):
    files = {"ca": mount.ca, "cert": mount.certificate, "key": mount.key}
    env = {name: value.format(**files) for name, value in env.items()}
    with ScriptedServer(secured(silence)) as server:
        place = f"localhost:{server.port}"
        attempt = walk(probe_https, f"https://{place}", env, Names(), prefix="X_")

    assert str(attempt.problem) == line.format(place=place, **files)


# --- all targets at once -------------------------------------------------------


def environment(mount, db_port=1, redis_port=1, **more):
    return {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_HOST": "127.0.0.1",
        "NAUTOBOT_DB_PORT": str(db_port),
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_REDIS_HOST": "127.0.0.1",
        "NAUTOBOT_REDIS_PORT": str(redis_port),
        "NAUTOBOT_REDIS_PASSWORD": PASSWORD,
        "NAUTOBOT_REDIS_SSL_CA_CERTS": mount.ca,
        "NAUTOBOT_REDIS_SSL_CERTFILE": mount.certificate,
        "NAUTOBOT_REDIS_SSL_KEYFILE": mount.key,
        **more,
    }


def test_targets_are_reached_at_the_same_time(mount):
    meeting = threading.Barrier(3, timeout=5)

    def way(attempt):
        with attempt.stage("query"):
            meeting.wait()

    probes = probe_targets(["a", "b", "c", "a"], {}, ways=dict.fromkeys("abc", way))

    assert [(probe.target, probe.ok) for probe in probes] == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]


def test_cache_and_broker_are_reached_with_the_settings_of_the_environment(mount):
    with ScriptedServer(secured(good_redis())) as server:
        probes = probe_targets(
            ["cache", "broker"], environment(mount, redis_port=server.port)
        )

    assert [(probe.target, probe.ok, len(probe.stages)) for probe in probes] == [
        ("cache", True, 6),
        ("broker", True, 6),
    ]
    assert exit_status(probes) == 0


def test_settings_that_are_wrong_are_a_stage_of_their_own(mount):
    env = environment(mount, NAUTOBOT_REDIS_SSL_CERT_REQS="perhaps")
    probes = probe_targets(["cache", "database"], env, timeout=2)

    assert [one.stage for one in probes[0].stages] == ["settings"]
    assert probes[0].problem.variable == "NAUTOBOT_REDIS_SSL_CERT_REQS"
    assert not probes[0].is_transient
    # What is wrong with Redis is none of the database's business.
    assert [one.stage for one in probes[1].stages] == ["dns", "tcp"]
    assert exit_status(probes) == 1


def test_a_setting_that_is_wrong_concerns_its_target_alone(mount):
    url = "rediss://localhost/0?ssl_cert_reqs=none"
    env = environment(mount)
    base = {**env, "NAUTOBOT_CELERY_BROKER_URL": url}
    cache_probe, broker_probe = probe_targets(["cache", "broker"], base, timeout=2)

    assert broker_probe.problem.code == "redis-url-ssl-option"
    assert broker_probe.stages[0].stage == "settings"
    assert cache_probe.stages[0].stage == "settings"


def test_a_port_that_kubernetes_wrote_is_told_as_such(mount):
    env = environment(mount, NAUTOBOT_REDIS_PORT="tcp://10.0.0.1:6379")
    (probe,) = probe_targets(["broker"], env, timeout=2)

    assert (probe.problem.code, probe.problem.message) == (
        "service-link",
        "'tcp://10.0.0.1:6379' is what Kubernetes writes for a Service called "
        "nautobot-redis.",
    )


def test_a_probe_that_breaks_is_not_well_and_tells_no_secret():
    def way(attempt):
        with attempt.stage("tcp"):
            int("s3cret")

    (probe,) = probe_targets(["a"], {}, ways={"a": way})

    assert not probe.ok
    assert [(one.stage, one.ok, one.detail) for one in probe.stages] == [
        ("tcp", False, "")
    ]
    assert str(probe.problem) == (
        "a: the probe itself failed with ValueError. Look at the settings of the "
        "target in show, and report it."
    )
    assert exit_status([probe]) == 1


def test_a_missing_secret_key_keeps_nothing_from_being_reached(mount):
    env = environment(mount)
    del env["NAUTOBOT_SECRET_KEY"]
    (probe,) = probe_targets(["database"], env, timeout=2)

    assert probe.problem.code == "probe-refused"


def test_a_worker_is_looked_at(mount, tmp_path):
    file = tmp_path / "heartbeat"
    file.touch()
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, heartbeat_seconds=5)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate"]
    assert probe.ok


@pytest.mark.parametrize("destination", ["", f"second@{socket.gethostname()}"])
def test_a_worker_can_be_asked_as_well(mount, tmp_path, destination):
    file = tmp_path / "heartbeat"
    file.touch()
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, ping=Ping(destination), timeout=3)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate", "ping"]
    assert probe.stages[0].detail == f"{file}, 0 s old"
    assert not probe.ok


@pytest.mark.parametrize(
    ("more", "seen"),
    [
        ({}, "CN=app for PostgreSQL 1094 days, CN=app for Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": "require"}, "CN=app for Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": ""}, "CN=app for Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": "verify_full"}, "CN=app for Redis 1094 days"),
        ({"UNDERSTACK_REDIS_MTLS": "off"}, "CN=app for PostgreSQL 1094 days"),
        (
            {
                "UNDERSTACK_CONNECTION_PROFILE": "wan",
                "NAUTOBOT_CELERY_BROKER_URL": "amqps://mq/",
            },
            "CN=app for PostgreSQL 1094 days, CN=app for Redis 1094 days",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "", "UNDERSTACK_REDIS_MTLS": "off"},
            "none in use",
        ),
    ],
)
def test_worker_without_ping_looks_at_the_certificates_of_all_settings(
    mount, tmp_path, more, seen
):
    file = tmp_path / "heartbeat"
    file.touch()
    env = {
        **environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file)),
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_SSLCERT": mount.certificate,
        "NAUTOBOT_DB_SSLKEY": mount.key,
        "NAUTOBOT_DB_SSLROOTCERT": mount.ca,
        **more,
    }
    (alone,) = probe_targets(["worker"], env)
    (asked,) = probe_targets(["worker"], env, ping=Ping(), timeout=0.5)

    assert alone.stages[1].detail == seen
    assert asked.stages[1].detail == seen


def test_a_worker_on_another_host_is_asked_without_its_heartbeat(mount, tmp_path):
    file = tmp_path / "not-here"
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, ping=Ping("celery@there"), timeout=3)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate", "ping"]
    assert probe.stages[0].ok
    assert probe.stages[0].detail == "not looked at: celery@there is on another host"


def test_what_does_not_end_is_given_up(mount):
    waiting = threading.Event()

    def way(attempt):
        attempt.skip("dns", "passed")
        with attempt.stage("tcp"):
            waiting.wait(10)

    (probe,) = probe_targets(["a"], {}, ways={"a": way}, timeout=1)
    waiting.set()

    assert [(one.stage, one.ok) for one in probe.stages] == [
        ("dns", True),
        ("tcp", False),
    ]
    assert probe.problem.code == "probe-timeout"
    assert probe.problem.message == "the stage tcp did not end in time."
    assert probe.is_transient


def test_a_target_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"^unknown target 'everything'"):
        probe_targets(["everything"], {})


@pytest.mark.parametrize(
    "url",
    ["https://", "https://:443/", "https://h:port/", "https://h:0/", "https://[::1"],
)
@pytest.mark.parametrize("user", ["", "me:canary@"])
def test_a_url_that_leads_nowhere_is_refused(url, user):
    """Without showing it."""
    with pytest.raises(
        ValueError,
        match=r"^A URL is https://[^@]*, without a user and without blanks\.$",
    ):
        probe_targets([url.replace("//", f"//{user}")], {})


def test_a_url_with_a_password_is_refused():
    """No probe would send it, and the report would show it."""
    with pytest.raises(ValueError, match=r"without a user"):
        probe_targets(["https://me:canary@localhost/"], {})


def test_the_json_has_the_documented_shape():
    problem = codes.PROBE_DNS.problem("X", "fact.", "Remedy.")
    probes = [
        Probe("cache", True, (Stage("dns", True, 0.12345678, "here"),), None),
        Probe("broker", False, (), problem, "no"),
    ]

    assert probes_as_json(probes) == {
        "targets": [
            {
                "target": "cache",
                "ok": True,
                "stages": [
                    {"stage": "dns", "ok": True, "seconds": 0.123457, "detail": "here"}
                ],
                "problem": None,
                "server_said": None,
            },
            {
                "target": "broker",
                "ok": False,
                "stages": [],
                "problem": {
                    "code": "probe-dns",
                    "severity": "error",
                    "variable": "X",
                    "message": "fact.",
                    "hint": "Remedy.",
                },
                "server_said": "no",
            },
        ]
    }


def test_what_is_wrong_counts_more_than_what_could_not_be_told():
    def probe(code):
        return Probe("x", False, (), code.problem("X", "x"))

    unreachable = probe(codes.PROBE_REFUSED)
    wrong = probe(codes.PROBE_DB_PASSWORD)

    assert exit_status([]) == 0
    assert exit_status([unreachable]) == 2
    assert exit_status([unreachable, wrong]) == 1


# --- the command line ----------------------------------------------------------


class Terminal:
    encoding = "utf-8"

    def __init__(self, tty=False):
        self.text = ""
        self._tty = tty

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return self._tty


def command(*words, env=None, tty=False):
    stdout, stderr = Terminal(tty), Terminal(tty)
    status = main(list(words), env or {}, stdout=stdout, stderr=stderr)
    return status, stdout.text, stderr.text


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
def test_the_command_says_where_it_ends(mount, tty):
    with ScriptedServer(secured(good_redis())) as server:
        env = environment(mount, redis_port=server.port, NO_COLOR="1", COLUMNS="80")
        status, out, err = command("probe", "cache", "database", env=env, tty=tty)

    assert (status, err) == (2, "")
    assert "probe-refused" in out
    assert PASSWORD not in out
    assert ("1 of 2 targets ok" in out) != tty
    assert max(map(len, out.splitlines())) <= 80 or not tty


def test_the_command_prints_json(mount):
    import json

    status, out, _ = command("probe", "--json", "cache", env=environment(mount))

    assert status == 2
    assert json.loads(out)["targets"][0]["problem"]["code"] == "probe-refused"


def test_a_wrong_target_is_wrong_usage():
    status, out, err = command("probe", "everything")

    assert (status, out) == (2, "")
    assert err.startswith(
        "understack-nautobot-settings probe: unknown target 'everything'. Use one of: "
    )


@pytest.mark.parametrize("seconds", ["soon", "-1", "9999999999"])
def test_seconds_are_a_number(seconds):
    status, _, err = command("probe", f"--timeout={seconds}")

    assert status == 2
    assert "is not a number of seconds" in err


def test_waiting_ends_when_everything_is_up(mount):
    with ScriptedServer(secured(good_redis())) as server:
        env = environment(mount, redis_port=server.port)
        status, out, err = command("wait", "cache", "broker", "--timeout", "5", env=env)

    assert status == 0
    assert "2 of 2 targets ok" in out
    assert [line.split("  ")[-1] for line in err.splitlines()] == [
        "cache: up",
        "broker: up",
    ]


def test_waiting_ends_when_time_is_up(mount):
    env = environment(mount)
    status, _, err = command("wait", "cache", "--timeout", "0.5", env=env)

    assert status == 2
    assert "understack-nautobot-settings wait: gave up after " in err


def test_waiting_ends_where_it_is_no_use(mount):
    env = environment(mount, NAUTOBOT_REDIS_SSL_CERT_REQS="perhaps")
    status, _, err = command("wait", "cache", env=env, tty=True)

    assert status == 1
    assert "s: this error does not go away by itself\n" in err.replace("\r\n", "\n")


# --- bounds ----------------------------------------------------------------------


def endless(connection):
    """Answer for ever, whatever was asked."""
    if connection.recv(65536):
        while True:
            connection.sendall(b"*9\r\n" * 999)


@pytest.mark.parametrize(
    "script",
    [
        silence,
        goodbye,
        endless,
        lambda connection: None,
        over_tls(tls_context(OTHER.server()), silence),
        over_tls(tls_context(CA.server()), goodbye),
        over_tls(tls_context(CA.server()), endless),
        without_alert(tls_context(CA.server(), clients=OTHER.ca_pem)),
        after_ssl_request(goodbye),
        after_ssl_request(secured(goodbye)),
        after_ssl_request(secured(endless)),
        after_ssl_request(
            without_alert(tls_context(CA.server(), clients=OTHER.ca_pem))
        ),
    ],
)
@pytest.mark.parametrize("kind", ["database", "cache", "url"])
def test_failed_attempt_opens_six_connections_at_most(mount, kind, script):
    with ScriptedServer(script) as server:
        if kind == "database":
            settings = database(server.port, mount)
            attempt = walk(
                probe_database, settings, Names(), driver=refusing, seconds=3
            )
        elif kind == "cache":
            attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=3)
        else:
            url = f"https://localhost:{server.port}/"
            env = {"X_CA": mount.ca}
            attempt = walk(probe_https, url, env, Names(), prefix="X_", seconds=3)

        assert attempt.problem is not None
        # libpq's own is not seen here.
        assert server.connections <= (5 if kind == "database" else 6)


def test_token_in_the_query_of_a_url_is_not_shown(mount):
    with ScriptedServer(secured(https_saying(b"HTTP/1.1 403 No\r\n\r\n"))) as server:
        url = f"https://localhost:{server.port}/health?token=canary"
        env = {
            "X_CLIENT_CERT": mount.certificate,
            "X_CLIENT_KEY": mount.key,
            "X_CA": mount.ca,
        }
        probes = probe_targets([url], env, tls_prefix="X_")

    assert probes[0].problem.code == "probe-http-status"
    assert probes[0].server_said == "HTTP/1.1 403 No"
    assert "canary" not in str(probes_as_json(probes))


def test_redirect_is_named_and_not_followed(mount):
    said = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n"
    with ScriptedServer(
        over_tls(tls_context(CA.server()), https_saying(said))
    ) as server:
        url = f"https://localhost:{server.port}/"
        attempt = walk(probe_https, url, {"X_CA": mount.ca}, Names(), prefix="X_")

    assert attempt.stages[-1].detail == "GET /: 302, a redirect that is not followed"
    assert server.connections == 1


def test_certificate_that_becomes_valid_is_waited_for():
    problem = CERTIFICATE_NOT_YET_VALID.problem("X", "it is early.")

    assert Probe("cache", False, (), problem).is_transient
