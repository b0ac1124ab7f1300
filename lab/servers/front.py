"""A server in front of another, which passes everything on and ends TLS if told to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

from lab.servers.listening import LoopbackServer

_CHUNK = 65536


class Front(LoopbackServer):
    """Passes bytes on in both directions until either side ends."""

    def __init__(self, behind: int, context: ssl.SSLContext | None = None) -> None:
        """Describe the server; it listens when the context is entered.

        Args:
            behind: Where the other server listens on loopback.
            context: How TLS is spoken with clients; by default nothing is ended here.
        """
        super().__init__()
        self._context = context
        self._behind = behind

    def server(self, connection: socket.socket) -> socket.socket:
        """Return how the server behind is spoken with; as it is, by default."""
        return connection

    def serve(self, connection: socket.socket) -> None:
        """Pass on one connection."""
        with contextlib.ExitStack() as stack:
            client = connection
            if self._context is not None:
                client = self._context.wrap_socket(connection, server_side=True)
                stack.enter_context(client)
            behind = socket.create_connection((self.host, self._behind))
            server = stack.enter_context(self.server(behind))
            answers = threading.Thread(target=_pass_on, args=(server, client))
            answers.start()
            _pass_on(client, server)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
