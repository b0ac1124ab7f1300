"""A TLS front before Redis that notes whose certificate came in.

Redis itself tells nobody which certificate a client presented, so this ends TLS as
Redis does (a client certificate is demanded) and passes on the words through the
socket of the real server.
"""

from __future__ import annotations

import select
import socket
import ssl
from pathlib import Path

from lab.certificates import Leaf
from lab.servers.listening import LoopbackServer
from lab.servers.listening import tls_context

CHUNK = 65536


class RedisFront(LoopbackServer):
    """Its certificates can be replaced while it runs.

    Attributes:
        serials: Serial number of each client certificate that was let in, in order.
        refused: How many handshakes failed.
    """

    def __init__(self, redis_socket: Path, server: Leaf, client_ca: bytes) -> None:
        """Describe the front; it listens when the context is entered."""
        super().__init__()
        self._socket = str(redis_socket)
        self.serials: list[int] = []
        self.refused = 0
        self.install(server, client_ca)

    def install(self, server: Leaf, client_ca: bytes) -> None:
        """Use these for new connections."""
        self._context = tls_context(server, clients=client_ca)

    def serve(self, connection: socket.socket) -> None:
        """Note who comes in, and pass on the words."""
        try:
            connection.settimeout(10)
            client = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            self.refused += 1
            return
        client.settimeout(None)
        certificate = client.getpeercert() or {}
        self.serials.append(int(str(certificate["serialNumber"]), 16))
        with client, socket.socket(socket.AF_UNIX) as redis:
            redis.connect(self._socket)
            _forward(client, redis)


def _forward(client: ssl.SSLSocket, redis: socket.socket) -> None:
    """Pass on both directions in one thread: a TLS connection is not for two."""
    while True:
        readable = [client] if client.pending() else []
        if not readable:
            readable, _, _ = select.select([client, redis], [], [])
        for source in readable:
            data = source.recv(CHUNK)
            if not data:
                return
            (redis if source is client else client).sendall(data)
