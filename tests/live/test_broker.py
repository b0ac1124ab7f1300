"""What the broker could not be told in time, it is told when it is back."""

import contextlib

import kombu
import pytest

from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from tests.live.deployment import broker
from tests.live.deployment import configured
from tests.live.deployment import redis_environment

QUEUE = kombu.Queue("broker-debts", kombu.Exchange(""), routing_key="broker-debts")


@pytest.fixture
def gateway(redis_server):
    """What goes away below the connections."""
    with Gateway(redis=Route(redis_server.port)) as gateway:
        yield gateway


@pytest.fixture
def settings(gateway, redis_server, mount):
    """Settings that lead through the gateway."""
    return configured(
        redis_environment(
            gateway.port("redis"),
            mount,
            redis_server.password,
            UNDERSTACK_CONNECTION_PROFILE="wan",
        )
    )


@pytest.fixture
def redis(redis_server):
    """The server's own view, and an empty queue."""
    with redis_server.admin() as admin:
        admin.delete("broker-debts", "unacked", "unacked_index")
        yield admin
        admin.delete("broker-debts", "unacked", "unacked_index")


def send(redis_server, mount, *words):
    """Put messages into the queue, beside the gateway."""
    env = redis_environment(redis_server.port, mount, redis_server.password)
    with broker(configured(env)) as connection:
        producer = connection.Producer()
        for word in words:
            producer.publish(
                word, routing_key="broker-debts", declare=[QUEUE], serializer="json"
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


@contextlib.contextmanager
def consuming(settings):
    """Connect, and drop the connection as a worker does that has lost it."""
    with broker(settings) as connection:
        yield connection
        connection.collect()


def test_what_was_not_acknowledged_goes_back_to_its_queue(
    gateway, settings, redis, redis_server, mount
):
    """kombu alone leaves it to the visibility timeout: an hour."""
    send(redis_server, mount, "one", "two")
    with consuming(settings) as connection:
        received(connection, 2)
        gateway.kill()
        connection.collect()
        assert (redis.llen("broker-debts"), redis.hlen("unacked")) == (0, 2)
        gateway.start()

        again = [message.payload for message in received(connection, 2)]

    assert sorted(again) == ["one", "two"]


def test_an_acknowledgement_that_was_lost_is_given_later(
    gateway, settings, redis, redis_server, mount
):
    """Otherwise the job runs again, an hour later."""
    send(redis_server, mount, "one")
    with consuming(settings) as connection:
        (message,) = received(connection, 1)
        gateway.kill()
        message.ack()
        connection.collect()
        assert redis.hlen("unacked") == 1
        gateway.start()

        connection.default_channel.client.ping()

        assert (redis.llen("broker-debts"), redis.hlen("unacked")) == (0, 0)


def test_an_acknowledgement_after_the_loss_takes_the_message_from_what_is_owed(
    gateway, settings, redis, redis_server, mount
):
    """The pool may take a job just when the connection is gone."""
    send(redis_server, mount, "one", "two")
    with consuming(settings) as connection:
        first, _ = received(connection, 2)
        gateway.kill()
        connection.collect()
        first.ack()
        gateway.start()

        (left,) = received(connection, 1)

        assert left.payload == "two"
        assert (redis.llen("broker-debts"), redis.hlen("unacked")) == (0, 1)


def test_a_message_that_could_not_be_noted_goes_back_to_its_queue(
    gateway, settings, redis, redis_server, mount
):
    """Redis has given it away, and only this process knows of it."""
    with consuming(settings) as connection:
        channel = connection.default_channel
        QUEUE(channel).declare()
        send(redis_server, mount, "one")
        raw = channel._get("broker-debts")
        message = channel.Message(raw, channel=channel)
        gateway.kill()
        with pytest.raises(connection.connection_errors):
            channel.qos.append(message, message.delivery_tag)
        connection.collect()
        assert redis.llen("broker-debts") == 0
        gateway.start()

        (again,) = received(connection, 1)

        assert again.payload == "one"
        again.ack()
        assert (redis.llen("broker-debts"), redis.hlen("unacked")) == (0, 0)


def test_a_channel_that_closes_with_its_broker_leaves_nothing(
    settings, redis, redis_server, mount
):
    """In peace it is kombu's own way: given back at once."""
    send(redis_server, mount, "one")
    with consuming(settings) as connection:
        received(connection, 1)
    assert (redis.llen("broker-debts"), redis.hlen("unacked")) == (1, 0)
