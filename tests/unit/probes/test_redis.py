import socket
import threading

import pytest

from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import goodbye
from lab.servers.scripted import redis_saying
from lab.servers.scripted import silence
from tests.unit.probes.attempts import ALL_STAGES
from tests.unit.probes.attempts import PASSWORD
from tests.unit.probes.attempts import Failing
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import good_redis
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.redis import probe_broker
from understack_nautobot_settings.probes.redis import probe_cache


def test_cache_probe_passes_all_stages(mount):
    with ScriptedServer(secured(good_redis())) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (ALL_STAGES, None)
    assert [stage.detail for stage in attempt.stages[-2:]] == [
        "as default, database 1",
        "PING: PONG, writes accepted",
    ]


def test_broker_probe_uses_the_credentials_of_its_url(mount):
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


@pytest.mark.parametrize(
    ("said", "own_url", "variable", "by_variable"),
    [
        (b"-WRONGPASS no\r\n", True, "NAUTOBOT_CELERY_BROKER_URL", False),
        (b"-WRONGPASS no\r\n", False, "NAUTOBOT_REDIS_PASSWORD", True),
        (b"-NOPERM no\r\n", True, "NAUTOBOT_CELERY_BROKER_URL", False),
        (b"-NOPERM no\r\n", False, "NAUTOBOT_REDIS_USERNAME", False),
    ],
)
def test_broker_probe_names_what_says_the_credentials(
    said, own_url, variable, by_variable
):
    with ScriptedServer(redis_saying(auth=said)) as server:
        settings = {"CELERY_BROKER_URL": f"redis://:pw@localhost:{server.port}/0"}
        attempt = walk(probe_broker, settings, Names(), own_url=own_url)

    assert attempt.problem.variable == variable
    assert ("NAUTOBOT_REDIS_PASSWORD" in attempt.problem.hint) is by_variable


def test_broker_probe_goes_on_with_the_next_url(mount):
    """As kombu does; each URL has its own credentials and database."""
    with ScriptedServer(good_redis()) as server:
        urls = f"redis://:a@127.0.0.1:1/0;redis://:b@localhost:{server.port}/3"
        attempt = walk(probe_broker, {"CELERY_BROKER_URL": urls}, Names())

    assert outcome(attempt) == (ALL_STAGES, None)
    assert attempt.stages[-2].detail == "as default, database 3"


def test_database_that_redis_lacks_is_reported(mount):
    said = redis_saying(select=b"-ERR DB index is out of range\r\n")
    with ScriptedServer(said) as server:
        url = f"redis://localhost:{server.port}/99"
        attempt = walk(probe_broker, {"CELERY_BROKER_URL": url}, Names())

    assert attempt.problem.code == "probe-redis-error"
    assert attempt.problem.message == f"localhost:{server.port} has no database 99."
    assert attempt.problem.hint == (
        "End the URL with a lower number, or raise 'databases' of Redis, 16 by "
        "default: without a URL of your own, Nautobot's cache is in database 1."
    )


@pytest.mark.parametrize(
    ("password", "said", "fact"),
    [
        (
            "password",
            b"-ERR AUTH <password> called without any password configured\r\n",
            "has no password for the default user, and one is configured.",
        ),
        ("AUTH", b"-ERR AUTH failed\r\n", "does not accept this password for the"),
        ("s3cret", b"-s3cret no\r\n", "refuses to serve (***)."),
        ("s3cret", b"-ERR unknown command 's3cret'\r\n", "refuses to serve (ERR)."),
        (
            "s3cret",
            b"-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n",
            "does not know the command AUTH.",
        ),
    ],
    ids=["a word of the text", "the command", "first word", "a command", "no AUTH"],
)
def test_password_that_redis_says_is_hidden_and_understood(password, said, fact):
    with ScriptedServer(redis_saying(auth=said)) as server:
        url = f"redis://:{password}@localhost:{server.port}/0"
        attempt = walk(probe_broker, {"CELERY_BROKER_URL": url}, Names())

    assert f"localhost:{server.port} {fact}" in attempt.problem.message
    assert password not in attempt.server_said


def test_redis_socket_probe_has_no_name_and_no_tls(mount, tmp_path):
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
    assert [stage.detail for stage in attempt.stages] == [
        "a socket of this machine",
        path,
        "plain text, as configured",
        "no TLS: the server's identity is not verified",
        "as default, database 3",
        "PING: PONG, writes accepted",
    ]


@pytest.mark.parametrize(
    ("path", "pool", "database"),
    [("1?db=5", {"db": 7}, 5), ("1", {"db": 7}, 1), ("", {"db": 7}, 7), ("", {}, 0)],
    ids=["query", "path", "pool", "none"],
)
def test_cache_probe_selects_the_database_that_redis_py_does(path, pool, database):
    with ScriptedServer(good_redis()) as server:
        location = f"redis://localhost:{server.port}/{path}"
        options = {"CONNECTION_POOL_KWARGS": pool}
        settings = {"CACHES": {"default": {"LOCATION": location, "OPTIONS": options}}}
        attempt = walk(probe_cache, settings, Names())

    assert attempt.stages[-2].detail == f"as default, database {database}"


def test_broker_probe_subscribes_below_a_prefix_with_braces():
    """A hash tag of Redis, as in {site}:"""
    said = []

    def script(connection):
        while words := connection.recv(65536):
            said.append(words)
            connection.sendall(b"+OK\r\n" * words.count(b"*"))

    with ScriptedServer(script) as server:
        settings = {
            "CELERY_BROKER_URL": f"redis://localhost:{server.port}/2",
            "CELERY_BROKER_TRANSPORT_OPTIONS": {"global_keyprefix": "{site}:"},
        }
        attempt = walk(probe_broker, settings, Names())

    assert outcome(attempt) == (ALL_STAGES, None)
    assert said[-1].endswith(b"\r\n{site}:/2.celery.pidbox\r\n")


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
def test_cache_or_broker_that_is_not_redis_is_probed_without_login(settings, stages):
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
        ("rediss://b.example/0", "b.example:6379"),
        ("amqps://b.example//", "b.example:5671"),
        ("sentinel://b.example/0", "b.example:26379"),
    ],
)
@pytest.mark.parametrize("tls", [None, True])
def test_broker_url_without_port_uses_the_default_port(url, place, tls):
    gone = Failing(ConnectionRefusedError())
    settings = {"CELERY_BROKER_URL": url, "CELERY_BROKER_USE_SSL": tls}
    attempt = walk(probe_broker, settings, gone, own_url=True)

    assert str(attempt.problem) == (
        f"NAUTOBOT_CELERY_BROKER_URL: {place} refuses the TCP connection. Start the "
        "server or the gateway in front of it, and see that its Service has a ready "
        "pod; or correct host and port."
    )


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
def test_redis_error_is_reported_by_its_first_word(mount, answers, password, code):
    said = {"ping": b"+PONG\r\n", "acl": b"+default\r\n", **answers}
    with ScriptedServer(redis_saying(**said)) as server:
        settings = cache(server.port, mount, scheme="redis", password=password)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == code
    assert "canary" not in str(attempt.problem)


PROTECTED = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled "
    b"and no password is set for the default user.\r\n"
)
WRONG_PAIR = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
FULL = b"-ERR max number of clients reached\r\n"


@pytest.mark.parametrize(
    ("answers", "credentials", "code", "fact", "hint"),
    [
        (
            {"auth": PROTECTED, "acl": PROTECTED},
            {},
            "probe-redis-auth",
            "has no password, so its protected mode admits local clients only.",
            "Set a password there (requirepass) and here, or 'protected-mode no' if "
            "it demands client certificates.",
        ),
        (
            {
                "auth": b"-ERR AUTH <password> called without any password configured "
                b"for the default user. Are you sure your configuration is correct?\r\n"
            },
            {},
            "probe-redis-auth",
            "has no password for the default user, and one is configured.",
            "Unset it, or set the same one there (requirepass).",
        ),
        (
            {"auth": b"-ERR Client sent AUTH, but no password is set\r\n"},
            {},
            "probe-redis-auth",
            "has no password for the default user, and one is configured.",
            "Unset it, or set the same one there (requirepass).",
        ),
        (
            {"auth": WRONG_PAIR},
            {},
            "probe-redis-auth",
            "does not accept this password for the default user.",
            "Set NAUTOBOT_REDIS_PASSWORD to the password in the secret nautobot-redis. "
            "If it is percent-encoded there, set NAUTOBOT_REDIS_PASSWORD_ENCODED=true. "
            "If the default user is off (ACL LIST), set NAUTOBOT_REDIS_USERNAME.",
        ),
        (
            {"auth": WRONG_PAIR},
            {"username": "joe"},
            "probe-redis-auth",
            "does not accept the user joe with this password: there is no such user, "
            "or it is disabled or has another password.",
            "Compare user and password with those of Redis (ACL LIST).",
        ),
        (
            {"auth": WRONG_PAIR},
            {"username": "joe", "password": ""},
            "probe-redis-auth",
            "does not accept the user joe without a password: there is no such user, "
            "or it is disabled or has another password.",
            "Compare user and password with those of Redis (ACL LIST).",
        ),
        (
            {"acl": FULL, "auth": FULL},
            {"password": ""},
            "probe-redis-busy",
            "has no connection left.",
            "Wait until clients disconnect, or raise maxclients.",
        ),
        (
            {"set": b"-ERR unknown command 'SET', with args beginning with: 'x'\r\n"},
            {},
            "probe-redis-error",
            "does not know the command SET.",
            "Enable it there (rename-command). If a Sentinel answers there, use host "
            "and port of Redis itself.",
        ),
        (
            {"set": b"-MOVED 866 10.0.0.1:6379\r\n"},
            {},
            "probe-redis-cluster",
            "is a Redis Cluster.",
            "Use a Redis without cluster mode.",
        ),
        (
            {"select": b"-ERR SELECT is not allowed in cluster mode\r\n"},
            {"db": 1},
            "probe-redis-cluster",
            "is a Redis Cluster.",
            "Use a Redis without cluster mode.",
        ),
        (
            {"ping": b"-ERR unknown command 'PROXY', with args: 'TCP4'\r\n"},
            {},
            "probe-redis-error",
            "gets the PROXY protocol from what is in front of it.",
            "Turn the PROXY protocol off there (HAProxy: send-proxy).",
        ),
    ],
    ids=[
        "protected mode",
        "password that Redis lacks",
        "password that Redis 5 lacks",
        "wrong password",
        "wrong user",
        "user without password",
        "full",
        "command removed",
        "key elsewhere",
        "database in a cluster",
        "PROXY protocol",
    ],
)
def test_refusal_by_redis_is_reported_with_the_cause_it_gives(
    mount, answers, credentials, code, fact, hint
):
    said = {"ping": b"+PONG\r\n", "acl": b"+default\r\n", **answers}
    with ScriptedServer(redis_saying(**said)) as server:
        settings = cache(server.port, mount, scheme="redis", **credentials)
        attempt = walk(probe_cache, settings, Names())

    found = attempt.problem
    assert (found.code, found.message, found.hint) == (
        code,
        f"localhost:{server.port} {fact}",
        hint,
    )


def test_server_that_greets_in_another_protocol_is_reported_at_once(mount):
    """MySQL sends a packet without a line end, and waits."""

    def script(connection):
        connection.sendall(b"J\0\0\0\n8.0.33\0")
        while connection.recv(65536):
            pass

    with ScriptedServer(script) as server:
        settings = cache(server.port, mount, scheme="redis")
        attempt = walk(probe_cache, settings, Names())

    assert attempt.problem.message == (
        f"localhost:{server.port} answers, but not as Redis does."
    )


def test_silent_redis_is_reported(mount):
    with ScriptedServer(secured(silence)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=1)

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-silent")


def test_tls_to_plain_redis_that_stays_silent_is_reported_not_tls(mount):
    """A plain Redis reads a ClientHello as the beginning of a command."""

    def script(connection):
        while said := connection.recv(65536):
            if b"PING" in said:
                connection.sendall(b"-NOAUTH no\r\n")

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=1)

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-not-tls")


def test_tls_to_port_that_answers_in_plain_text_is_reported_not_tls(mount):
    def script(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-not-tls")
    assert attempt.problem.hint == "Use host and port of Redis with TLS."


def test_plain_text_to_tls_port_is_reported(mount):
    with ScriptedServer(secured(good_redis())) as server:
        settings = cache(server.port, mount, scheme="redis")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-tls-required"


def test_plain_text_to_port_that_closes_is_reported_closed(mount):
    with ScriptedServer(goodbye) as server:
        settings = cache(server.port, mount, scheme="redis")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-closed"
