"""kombu's Redis transport, over connections that trust the configured CA alone."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import redis as kombu_redis

from understack_nautobot_settings.redis_connections import TcpConnection
from understack_nautobot_settings.redis_connections import TlsConnection


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that makes our connections.

    Takes two transport options beyond kombu's: ``protocol``, the version of the Redis
    protocol, and ``client_info``, see `redis_connections`.
    """

    connection_class = TcpConnection
    connection_class_ssl = TlsConnection
    protocol: int | None = None
    client_info: bool = True

    from_transport_options = (
        *kombu_redis.Channel.from_transport_options,
        "protocol",
        "client_info",
    )

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
