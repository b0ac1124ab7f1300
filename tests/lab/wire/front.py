"""A TLS front before Redis that notes whose certificate came in.

Redis itself tells nobody which certificate a client presented, so this ends TLS as
Redis does (a client certificate is demanded) and passes on the words through the
socket of the real server.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from tests.lab.certificates import Leaf

CHUNK = 65536


class RedisFront:
    """Listens on a free loopback port; certificates can be replaced while it runs.

    Attributes:
        port: Where it listens.
        serials: Serial number of each client certificate that was let in, in order.
        refused: How many handshakes failed.
    """

    host = "127.0.0.1"

    def __init__(self, redis_socket: Path, server: Leaf, client_ca: bytes) -> None:
        """Describe the front; it listens when the context is entered."""
        self._socket = str(redis_socket)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.port = 0
        self.serials: list[int] = []
        self.refused = 0
        self.install(server, client_ca)

    def install(self, server: Leaf, client_ca: bytes) -> None:
        """Use these for new connections."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.decode())
        with tempfile.TemporaryDirectory(prefix="understack-lab-") as directory:
            chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
            chain.write_bytes(server.chain_pem)
            key.write_bytes(server.key_pem)
            context.load_cert_chain(chain, key)
        self._context = context

    def drop(self) -> None:
        """Drop every connection, as a restart does."""
        with self._lock:
            still_open = list(self._open)
        for one in still_open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> RedisFront:
        """Listen."""
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            plain.settimeout(10)
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            self.refused += 1
            plain.close()
            return
        client.settimeout(None)
        certificate = client.getpeercert() or {}
        self.serials.append(int(str(certificate["serialNumber"]), 16))
        with client, socket.socket(socket.AF_UNIX) as redis:
            with self._lock:
                self._open.add(client)
            try:
                redis.connect(self._socket)
                _forward(client, redis)
            except OSError:
                pass
            finally:
                with self._lock:
                    self._open.discard(client)


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
