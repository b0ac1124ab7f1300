"""Timeouts, keepalives and round trips, as the clients really make them."""

import logging
import time
from contextlib import contextmanager

import pytest
import redis
from django.db import OperationalError

from lab.servers.delay_proxy import DelayProxy
from lab.servers.recording import RecordingServer
from tests.live.deployment import broker
from tests.live.deployment import cache
from tests.live.deployment import configured
from tests.live.deployment import database
from tests.live.deployment import database_environment
from tests.live.deployment import redis_environment
from understack_nautobot_settings.runtime.connection_hints import ConnectionHints
from understack_nautobot_settings.runtime.redis_connections import TcpConnection
from understack_nautobot_settings.runtime.redis_connections import TlsConnection
from understack_nautobot_settings.runtime.redis_connections import blocking_seconds

WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
LAN = {"UNDERSTACK_CONNECTION_PROFILE": "lan"}
SILENT = ["silent", "tls silent"]


def raw_client(settings):
    from django_redis import get_redis_connection  # noqa: F401 - django is set up

    default = settings["CACHES"]["default"]
    pool = default["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    return redis.from_url(default["LOCATION"], **pool)


@pytest.mark.parametrize("profile", [LAN, WAN], ids=["lan", "wan"])
@pytest.mark.parametrize("mode", SILENT)
def test_silent_redis_times_out(mount, profile, mode):
    with RecordingServer(mode) as server:
        env = redis_environment(
            server.port,
            mount,
            "canary",
            UNDERSTACK_REDIS_SOCKET_TIMEOUT="0.5",
            **profile,
        )
        settings = configured(env)
        started = time.monotonic()
        with pytest.raises(redis.RedisError), raw_client(settings) as client:
            client.ping()
        with (
            pytest.raises((redis.RedisError, OSError)),
            broker(settings) as connection,
        ):
            connection.channel().client.ping()

        assert time.monotonic() - started < 10
        assert b"canary" not in server.received


@pytest.mark.parametrize("mode", ["silent"])
def test_silent_database_times_out(mount, mode):
    with RecordingServer(mode) as server:
        env = database_environment(
            server.port, mount, "verify-full", UNDERSTACK_DB_CONNECT_TIMEOUT="2"
        )
        started = time.monotonic()
        with (
            pytest.raises(OperationalError),
            database(configured(env)) as connection,
        ):
            connection.ensure_connection()

        assert time.monotonic() - started < 6


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("set statement_timeout = 1; select pg_sleep(9)", 0),
        ("select pg_terminate_backend(pg_backend_pid())", 1),
    ],
    ids=["statement", "session"],
)
def test_hint_at_failed_connections_follows_those_alone(
    postgres18, mount, statement, count, caplog
):
    env = database_environment(postgres18.port, mount, "verify-full")
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(ConnectionHints(logging.LogRecord))
    try:
        with database(configured(env)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except OperationalError:
                logging.getLogger("nautobot").exception("A job failed.")
    finally:
        logging.setLogRecordFactory(before)

    hints = [one for one in caplog.records if "probe database" in one.getMessage()]
    assert (len(caplog.records), len(hints)) == (1 + count, count)


@pytest.mark.parametrize("profile", [LAN, WAN], ids=["lan", "wan"])
def test_blocking_pop_may_last_longer_than_socket_timeout(redis_server, mount, profile):
    env = redis_environment(
        redis_server.port,
        mount,
        redis_server.password,
        UNDERSTACK_REDIS_SOCKET_TIMEOUT="0.5",
        **profile,
    )
    with raw_client(configured(env)) as client:
        started = time.monotonic()
        assert client.blpop("nothing-here", timeout=2) is None
        assert time.monotonic() - started > 1.9
        assert client.xread({"no-stream": 0}, block=1000) in ([], {})
        # The next answer is waited for as long as any other.
        assert client.connection_pool.make_connection().socket_timeout == 0.5


def test_blocking_pop_with_silent_redis_times_out(authority, mount):
    from lab.servers.databases import RedisServer

    with RedisServer(authority=authority, password="p") as server:
        env = redis_environment(
            server.port, mount, "p", UNDERSTACK_REDIS_SOCKET_TIMEOUT="0.5"
        )
        with raw_client(configured(env)) as client:
            client.ping()
            server.pause()
            try:
                started = time.monotonic()
                with pytest.raises(redis.TimeoutError):
                    client.blpop("nothing-here", timeout=1)
                assert time.monotonic() - started < 5
            finally:
                server.resume()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ((), 0.0),
        (("GET", "key"), 0.0),
        (("BLPOP", "a", "b", 20), 20.0),
        ((b"brpop", "a", b"2.5"), 2.5),
        (("BRPOP", "a", 0), None),
        (("BLMPOP", 3, 1, "a", "LEFT"), 3.0),
        (("XREAD", "BLOCK", 1500, "STREAMS", "a", "$"), 1.5),
        (("XREAD", "STREAMS", "a", "$"), 0.0),
        (("XREADGROUP", "GROUP", "g", "c", b"BLOCK", 0, "STREAMS", "a", ">"), None),
        (("BLPOP", "a", "soon"), 0.0),
    ],
)
def test_blocking_time_of_command_is_read_from_its_arguments(words, seconds):
    assert blocking_seconds(words) == seconds


def test_celery_consumer_may_wait_longer_than_socket_timeout(redis_server, mount):
    env = redis_environment(
        redis_server.port,
        mount,
        redis_server.password,
        UNDERSTACK_REDIS_SOCKET_TIMEOUT="0.5",
        **WAN,
    )
    with broker(configured(env)) as connection:
        queue = connection.SimpleQueue("test-blocking")
        try:
            with pytest.raises(queue.Empty):
                queue.get(timeout=2)
            queue.put("late")
            message = queue.get(timeout=5)
            message.ack()
            assert message.payload == "late"
        finally:
            queue.close()


def round_trips(answered, port, environment):
    """Count up to an answer; of three, for a slow client makes more, never fewer."""
    counted = []
    for _ in range(3):
        with (
            DelayProxy(port) as proxy,
            answered(configured(environment(proxy.port))),
        ):
            (conversation,) = proxy.conversations
            counted.append(conversation.round_trips)
    return min(counted)


@contextmanager
def database_answered(settings):
    with database(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
        yield


def test_database_connection_under_wan_takes_four_round_trips(postgres18, mount):
    def trips(**env):
        return round_trips(
            database_answered,
            postgres18.port,
            lambda port: database_environment(port, mount, "verify-full", **env),
        )

    assert (trips(), trips(NAUTOBOT_DB_SSLNEGOTIATION="direct", **WAN)) == (6, 4)


@contextmanager
def cache_answered(settings):
    with raw_client(settings) as client:
        client.ping()
        yield


@contextmanager
def broker_answered(settings):
    with broker(settings) as connection:
        connection.channel().client.ping()
        yield


@pytest.mark.parametrize("answered", [cache_answered, broker_answered])
def test_redis_connection_under_wan_takes_at_most_five_round_trips(
    redis_server, mount, answered
):
    trips = round_trips(
        answered,
        redis_server.port,
        lambda port: redis_environment(port, mount, redis_server.password, **WAN),
    )

    assert trips <= 5


def test_application_name_is_seen_by_the_server(postgres18, mount):
    env = database_environment(
        postgres18.port,
        mount,
        "verify-full",
        UNDERSTACK_PARTITION="dfw3",
        UNDERSTACK_ROLE="site-worker",
        **WAN,
    )
    with database(configured(env)) as connection:
        connection.ensure_connection()
        names = [one["application_name"] for one in postgres18.sessions()]

    assert "nautobot-site-worker@dfw3" in names


def test_database_session_starts_in_utc(postgres18, mount):
    settings = configured(
        database_environment(postgres18.port, mount, "verify-full", **WAN)
    )
    with database(settings) as connection, connection.cursor() as cursor:
        cursor.execute("select reset_val from pg_settings where name = 'TimeZone'")
        assert cursor.fetchone() == ("UTC",)


def test_cache_request_after_lost_connection_under_wan_succeeds(authority, mount):
    from lab.servers.databases import RedisServer

    with RedisServer(authority=authority, password="p") as server:
        settings = configured(redis_environment(server.port, mount, "p", **WAN))
        with cache(settings) as client:
            client.set("key", "value")
            server.restart()
            client.set("key", "again")
            assert client.get("key") == "again"


def test_refused_redis_connection_is_tried_again_with_backoff(authority):
    with RecordingServer("hangs up") as server:
        port = server.port
        connection = TlsConnection(host="localhost", port=port, retries=2)
        started = time.monotonic()
        with pytest.raises(redis.ConnectionError):
            connection.connect()

        assert server.connections == 3
        assert time.monotonic() - started < 5


def test_retry_of_the_caller_is_not_replaced():
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    connection = TcpConnection(retries=5, retry=Retry(NoBackoff(), 1))

    assert connection.retry._retries == 1
