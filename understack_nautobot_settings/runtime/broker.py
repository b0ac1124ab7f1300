"""kombu's Redis transport, over connections that trust the configured CA alone.

A message that is not acknowledged when the connection is lost goes back to its queue
when the connection is back. kombu tries that once, at the moment of the loss, and
then leaves it to the visibility timeout: such a job runs an hour later, or, where
it was the acknowledgement that got lost, once more.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any
from typing import NamedTuple

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from understack_nautobot_settings.runtime.redis_connections import TcpConnection
from understack_nautobot_settings.runtime.redis_connections import TlsConnection

logger = logging.getLogger(__name__)


class Debts(NamedTuple):
    """What this process owes a broker that it could not reach.

    Attributes:
        acknowledged: Delivery tags of messages whose task has been taken.
        returned: Delivery tags of messages that go back to their queue.
        received: Messages that were read and never noted, by delivery tag: raw
            message, exchange, routing key.
    """

    acknowledged: dict[str, None]
    returned: dict[str, None]
    received: dict[str, tuple[Any, str, str]]

    def __bool__(self) -> bool:
        """Return whether anything is owed."""
        return bool(self.acknowledged or self.returned or self.received)


# By process and broker: channels end with their connection, and what a forked pool
# process inherited is not its own.
_DEBTS: dict[tuple[int, str], Debts] = {}


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """kombu's acknowledgements, paid later where the broker is away."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as received, or owe it to its queue."""
        try:
            super().append(message, delivery_tag)
        except self.channel.connection_errors:
            # Redis has given it away already: it exists here alone.
            info = message.delivery_info
            self.channel.debts.received[delivery_tag] = (
                message._raw,
                info["exchange"],
                info["routing_key"],
            )
            raise

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, or owe the acknowledgement."""
        debts = self.channel.debts
        debts.returned.pop(delivery_tag, None)
        try:
            super().ack(delivery_tag)
        except self.channel.connection_errors as error:
            debts.acknowledged[delivery_tag] = None
            logger.warning("An acknowledgement waits for the broker: %s", error)
            # Otherwise the channel gives it back when it is closed.
            virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what is not acknowledged, or owe it."""
        try:
            super().restore_unacked(client)
        except self.channel.connection_errors as error:
            self.channel.debts.returned.update(dict.fromkeys(self._delivered))
            logger.warning(
                "%d messages go back to their queue when the broker is back: %s",
                len(self._delivered),
                error,
            )
            self._delivered.clear()

    def settle(self, debts: Debts) -> None:
        """Pay what is owed; whatever fails is owed on."""
        for tag in tuple(debts.acknowledged):
            self._remove_from_indices(tag).execute()
            debts.acknowledged.pop(tag, None)
        for tag, noted in tuple(debts.received.items()):
            with self.pipe_or_acquire() as pipe:
                # As `append` does, which may have come through after all.
                pipe.hset(self.unacked_key, tag, dumps(noted)).execute()
            debts.returned[tag] = None
            debts.received.pop(tag, None)
        for tag in tuple(debts.returned):
            self.restore_by_tag(tag)
            debts.returned.pop(tag, None)


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that makes our connections, and forgets no message.

    Takes two transport options beyond kombu's: ``protocol``, the version of the Redis
    protocol, and ``client_info``, see `redis_connections`.
    """

    QoS = QoS
    connection_class = TcpConnection
    connection_class_ssl = TlsConnection
    protocol: int | None = None
    client_info: bool = True

    from_transport_options = (
        *kombu_redis.Channel.from_transport_options,
        "protocol",
        "client_info",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Connect, and pay what an earlier connection owes."""
        super().__init__(*arguments, **options)
        broker = (os.getpid(), self.connection.client.as_uri())
        self.debts = _DEBTS.setdefault(broker, Debts({}, {}, {}))
        if self.debts:
            self.qos.settle(self.debts)

    def close(self) -> None:
        """Close, also where the broker is away: kombu's own stops half-way then."""
        for _ in range(2):
            # The first attempt may fail at a reply that never comes.
            with contextlib.suppress(*self.connection_errors):
                super().close()
                return
        if self._qos is not None:
            self._qos.restore_unacked_once()
        if self.connection is not None:
            self.connection.close_channel(self)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        made = parameters["connection_class"]
        if not issubclass(made, redis.UnixDomainSocketConnection):
            parameters["client_info"] = self.client_info
            if self.protocol is not None:
                parameters["protocol"] = self.protocol
        return parameters


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with our channel."""

    Channel = Channel
