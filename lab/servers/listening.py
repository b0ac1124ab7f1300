"""What every server in this process has in common: it listens, and it is gone after."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any
from typing import TypeVar

from lab.certificates import Leaf

Server = TypeVar("Server", bound="LoopbackServer")


class LoopbackServer(socketserver.ThreadingTCPServer):
    """Listens on a free loopback port; each connection is served in its own thread.

    Attributes:
        port: Where it listens.
        connections: How many were accepted.
    """

    host = "127.0.0.1"
    request_queue_size = 128

    def __init__(self) -> None:
        """Describe the server; it listens when the context is entered."""
        super().__init__(
            (self.host, 0), socketserver.BaseRequestHandler, bind_and_activate=False
        )
        self.port = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._handles: dict[socket.socket, socket.socket] = {}

    def serve(self, connection: socket.socket) -> None:
        """Talk to a client; what the network refuses ends the conversation."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            for handle in self._handles.values():
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self: Server) -> Server:
        """Listen."""
        self.server_bind()
        self.server_activate()
        self.port = self.server_address[1]
        self._loop = threading.Thread(target=self.serve_forever, args=(0.005,))
        self._loop.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Hang up and wait for the threads."""
        self.shutdown()
        self._loop.join()
        self.hang_up()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count a connection, and keep a handle on it that TLS does not take away."""
        self.connections += 1
        with self._lock:
            self._handles[request] = request.dup()
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve it."""
        with contextlib.suppress(OSError):
            self.serve(request)

    def shutdown_request(self, request: Any) -> None:
        """Close it as it is left: a reset that was asked for is no orderly end."""
        with self._lock:
            handle = self._handles.pop(request)
        request.close()
        handle.close()


def tls_context(
    server: Leaf, *, clients: bytes = b"", revoked: bytes = b"", alpn: str = ""
) -> ssl.SSLContext:
    """Return the context of a server, which lets in what these CAs have signed.

    `revoked` is a revocation list (CRL) of the CA.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="understack-lab-") as directory:
        chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        chain.write_bytes(server.chain_pem)
        key.write_bytes(server.key_pem)
        context.load_cert_chain(chain, key)
        if revoked:
            chain.write_bytes(revoked)
            context.load_verify_locations(chain)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if clients:
        context.load_verify_locations(cadata=clients.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
