"""HTTPS in front of a web server that speaks plain HTTP, as an ingress does."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from lab.certificates import Leaf
from lab.servers.listening import LoopbackServer
from lab.servers.listening import tls_context

_CHUNK = 65536


class HttpsFront(LoopbackServer):
    """Ends TLS, and passes bytes on in both directions until either side ends."""

    def __init__(self, leaf: Leaf, behind: int) -> None:
        """Describe the server; it listens when the context is entered.

        Args:
            leaf: Certificate and key that it presents.
            behind: Where the web server listens on loopback.
        """
        super().__init__()
        self._context = tls_context(leaf)
        self._behind = behind

    def serve(self, connection: socket.socket) -> None:
        """Pass on one connection."""
        with (
            self._context.wrap_socket(connection, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._behind)) as web,
        ):
            answers = threading.Thread(target=_pass_on, args=(web, client))
            answers.start()
            _pass_on(client, web)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
