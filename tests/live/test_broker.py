"""What our transport adds to kombu's: an end to waiting, and a URL with its scheme."""

import contextlib
import threading
from urllib.parse import urlsplit

import kombu
import pytest
from kombu.exceptions import OperationalError

from lab.servers.databases import RedisServer
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from tests.live.deployment import broker
from tests.live.deployment import configured
from tests.live.deployment import redis_environment
from understack_nautobot_settings.runtime.redis_connections import NoReply

NAME = "broker-lab"
QUEUE = kombu.Queue(NAME, kombu.Exchange(""), routing_key=NAME)


@pytest.fixture
def server(authority):
    """A Redis that a test may stop and end."""
    with RedisServer(authority=authority, password="p") as server:
        yield server


def settings(port, mount, **env):
    """Return settings that wait for a second at most."""
    env = {"UNDERSTACK_BROKER_SOCKET_TIMEOUT": "1", **env}
    return configured(
        redis_environment(port, mount, "p", UNDERSTACK_CONNECTION_PROFILE="wan", **env)
    )


def publish(connection, word, **options):
    """Submit a message as Celery does: tried again where the connection is lost."""
    connection.Producer().publish(
        word,
        routing_key=NAME,
        declare=[QUEUE],
        serializer="json",
        retry=True,
        retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0.2},
        **options,
    )


def received(connection, count):
    """Return messages, not acknowledged."""
    messages = []
    consumer = connection.Consumer([QUEUE], accept=["json"])
    consumer.register_callback(lambda body, message: messages.append(message))
    consumer.consume()
    while len(messages) < count:
        connection.drain_events(timeout=5)
    return messages


def drain(connection):
    """Wait for messages for ten seconds, as a worker without an event loop does."""
    for _ in range(100):
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.1)


@pytest.mark.parametrize("mtls", [True, False], ids=["rediss", "redis"])
@pytest.mark.parametrize("profile", ["lan", "wan"])
def test_broker_url_shows_the_scheme_of_redis(mount, mtls, profile):
    """Flower looks the scheme up, and Celery's banner shows it."""
    env = redis_environment(6399, mount if mtls else None, "p@ss")
    env["UNDERSTACK_CONNECTION_PROFILE"] = profile
    scheme = "rediss" if mtls else "redis"

    with broker(configured(env)) as connection:
        assert connection.as_uri() == f"{scheme}://:**@localhost:6399/0"
        whole = urlsplit(connection.as_uri(include_password=True))

    assert (whole.scheme, whole.password) == (scheme, "p%40ss")


def test_message_without_confirmation_is_not_sent_again(server, mount):
    with broker(settings(server.port, mount)) as connection:
        publish(connection, "before")
        server.pause()
        try:
            with pytest.raises(OperationalError, match="did not confirm a message"):
                publish(connection, "silent")
        finally:
            server.resume()
        with server.admin() as admin:
            assert admin.llen(NAME) == 2


def test_message_after_lost_connection_is_sent_again(server, mount):
    with Gateway(redis=Route(server.port)) as gateway:
        with broker(settings(gateway.port("redis"), mount)) as connection:
            publish(connection, "before")
            gateway.restart()
            publish(connection, "after")
        with server.admin() as admin:
            assert admin.llen(NAME) == 2


def test_missing_reply_of_redis_ends_the_wait_for_a_message(server, mount):
    with broker(settings(server.port, mount)) as connection:
        publish(connection, "before")
        received(connection, 1)
        # A consumer sends the next BRPOP before it waits.
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        server.pause()
        try:
            with pytest.raises(NoReply):
                drain(connection)
        finally:
            server.resume()


def test_event_after_close_of_another_channel_uses_a_new_connection(server, mount):
    """The other one was lost, so that this one may be lost as well."""
    events = kombu.Exchange("celeryev", type="fanout")

    def publisher(producer):
        """Publish an event, and return which connection Redis saw it on."""
        producer.publish("event", serializer="json")
        with server.admin() as admin:
            return [one["id"] for one in admin.client_list() if one["cmd"] == "publish"]

    with broker(settings(server.port, mount)) as connection:
        producer = connection.Producer(exchange=events)
        with broker(settings(server.port, mount)) as other:
            other.default_channel.client.ping()
            first = publisher(producer)
            again = publisher(producer)
        after = publisher(producer)

    assert len(first) == len(after) == 1
    assert first == again != after


def test_messages_of_closed_channel_return_to_the_queue(server, mount):
    with broker(settings(server.port, mount)) as connection:
        publish(connection, "one")
        received(connection, 1)
    with server.admin() as admin:
        assert (admin.llen(NAME), admin.hlen("unacked")) == (1, 0)


def test_late_acknowledgement_after_gateway_restart_succeeds(server, mount):
    """A job that is acknowledged when it ends may have lost its connection by then."""
    with (
        Gateway(redis=Route(server.port)) as gateway,
        broker(settings(gateway.port("redis"), mount)) as connection,
    ):
        publish(connection, "one")
        (message,) = received(connection, 1)
        gateway.kill()
        connection.collect()
        gateway.start()

        message.ack()

        with server.admin() as admin:
            assert (admin.llen(NAME), admin.hlen("unacked")) == (0, 0)


def test_channel_with_silent_redis_closes_in_time(server, mount):
    # Waiting for ever would end in the timeout of the thread below.
    with broker(
        settings(server.port, mount, UNDERSTACK_REDIS_CONNECT_TIMEOUT="1")
    ) as connection:
        publish(connection, "one")
        received(connection, 1)
        server.pause()
        closing = threading.Thread(target=connection.collect, daemon=True)
        try:
            closing.start()
            closing.join(60)
            assert not closing.is_alive()
        finally:
            server.resume()
