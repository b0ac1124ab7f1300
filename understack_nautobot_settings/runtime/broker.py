"""kombu's Redis transport, over connections that trust the configured CA alone.

What is delivered, when, and to whom is kombu's. This transport names its connection
classes, bounds how long an answer is waited for, and closes what it opened.
"""

import time
from typing import Any
from typing import ClassVar

import redis
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis

from understack_nautobot_settings.runtime.redis_connections import NoReply
from understack_nautobot_settings.runtime.redis_connections import TcpConnection
from understack_nautobot_settings.runtime.redis_connections import TlsConnection

OVERDUE_CHECK_SECONDS = 5.0


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that makes our connections.

    Takes two transport options beyond kombu's: ``protocol``, the version of the Redis
    protocol, and ``client_info``, see `redis_connections`.
    """

    connection_class = TcpConnection
    connection_class_ssl = TlsConnection
    protocol: int | None = None
    client_info: bool = True
    last_end: ClassVar[float] = 0.0
    """When a channel of this process was last closed, by `time.monotonic`."""
    _last_event: float = 0.0

    from_transport_options = (
        *kombu_redis.Channel.from_transport_options,
        "protocol",
        "client_info",
    )

    def close(self) -> None:
        """Close, without waiting long for the reply to the last BRPOP.

        It may hold a message, but a silent server would hold up the end of a worker.
        """
        Channel.last_end = time.monotonic()
        if self._in_poll:
            self._in_poll.socket_timeout = self.socket_connect_timeout
        try:
            super().close()
        finally:
            # kombu stops at the first error. The pools stay: a late acknowledgement
            # makes a new connection with them.
            for pool in (self._pool, self._async_pool):
                if pool is not None:
                    pool.disconnect()

    def raise_for_overdue_reply(self) -> None:
        """Disconnect where a reply does not come, which a gateway may never tell.

        kombu waits for a message in its event loop, where no socket timeout applies. On
        `NoReply`, Celery connects anew, as after any lost connection.
        """
        for name in ("client", "subclient"):
            connection = getattr(self.__dict__.get(name), "connection", None)
            if isinstance(connection, TcpConnection) and connection.overdue():
                connection.disconnect()
                raise NoReply("Redis does not answer any more; connecting anew.")

    def _put_fanout(self, *arguments: Any, **options: Any) -> None:
        """Publish an event, on a new connection if another channel has been closed.

        A worker that lost its connection says goodbye on a second one, which is often
        lost as well: it would wait for a reply before it connects anew.
        """
        if self._last_event < Channel.last_end:
            self.pool.disconnect(inuse_connections=False)
        super()._put_fanout(*arguments, **options)
        self._last_event = time.monotonic()

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        try:
            super()._put(queue, message, **options)
        except NoReply as error:
            # Redis may have the message: sent again, it would run twice.
            raise OperationalError(
                f"Redis did not confirm a message for {queue!r}: {error}. Check "
                "whether it arrived before you send it again."
            ) from error

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        if issubclass(parameters["connection_class"], TcpConnection):
            parameters["client_info"] = self.client_info
            if self.protocol is not None:
                parameters["protocol"] = self.protocol
        return parameters


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with our channel."""

    Channel = Channel
    # A Redis that takes no writes for a moment would otherwise end the worker.
    connection_errors = (
        *kombu_redis.Transport.connection_errors,
        redis.OutOfMemoryError,
        redis.ReadOnlyError,
    )
    _timer: Any = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Set up, without connecting."""
        super().__init__(*arguments, **options)
        # Makes kombu ask `as_uri`. On the class, it would not read the URL either.
        self.can_parse_url = True

    def as_uri(
        self, _uri: str, include_password: bool = False, mask: str = "**"
    ) -> str:
        """Return the URL with a scheme of Redis, as Flower looks it up.

        kombu shows the name of a transport that it does not know as the scheme.
        """
        scheme = "rediss" if self.client.ssl else "redis"
        shown = self.client.clone(transport=scheme)
        return str(shown.as_uri(include_password, mask))

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the event loop of a worker look for replies that do not come."""
        super().register_with_event_loop(connection, loop)
        self._timer = loop.call_repeatedly(
            OVERDUE_CHECK_SECONDS, self._raise_for_overdue_replies
        )

    def close_connection(self, connection: Any) -> None:
        """Close the channels; the event loop lives on with the next connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().close_connection(connection)

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Wait for an event, as pools without an event loop do."""
        self._raise_for_overdue_replies()
        super().drain_events(connection, timeout=timeout)

    def _raise_for_overdue_replies(self) -> None:
        for channel in tuple(self.channels or ()):
            channel.raise_for_overdue_reply()
