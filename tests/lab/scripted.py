"""Servers in this process that say what they are told to, for looking at clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.lab.certificates import Authority
from tests.lab.certificates import Leaf

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Accepts on a free loopback port and runs a script for every connection."""

    host = "127.0.0.1"

    def __init__(self, script: Script) -> None:
        """Describe the server; it listens when the context is entered."""
        self.port = 0
        self.connections = 0
        self._script = script
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ScriptedServer:
        """Listen."""
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything and wait for the threads."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ssl.SSLError):
            self._script(connection)


def tls_context(
    server: Leaf, *, clients: Authority | None = None, alpn: str | None = None
) -> ssl.SSLContext:
    """Return the context of a server, which wants certificates of these clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="understack-lab-") as directory:
        chain, key, ca = (Path(directory, name) for name in ("crt", "key", "ca"))
        chain.write_bytes(server.chain_pem)
        key.write_bytes(server.key_pem)
        context.load_cert_chain(chain, key)
        if clients is not None:
            ca.write_bytes(clients.ca_pem)
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    """Return the script behind a handshake."""

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            script(inside)

    return secured


def after_ssl_request(script: Script, answer: bytes = b"S") -> Script:
    """Return the script behind PostgreSQL's question for TLS."""

    def negotiated(connection: socket.socket) -> None:
        if connection.recv(8):
            connection.sendall(answer)
            script(connection)

    return negotiated


def redis_saying(**answers: bytes) -> Script:
    """Return a Redis that answers commands by their name, OK by default."""

    def converse(connection: socket.socket) -> None:
        while said := connection.recv(65536):
            for command in said.split(b"*")[1:]:
                word = command.split(b"\r\n")[2].decode().lower()
                connection.sendall(answers.get(word, b"+OK\r\n"))

    return converse


def postgres_saying(answer: bytes) -> Script:
    """Return a PostgreSQL that answers the start-up message."""

    def converse(connection: socket.socket) -> None:
        if connection.recv(65536):
            connection.sendall(answer)
            connection.recv(1)

    return converse


def error_response(sqlstate: str, message: str = "no", routine: str = "r") -> bytes:
    """Return PostgreSQL's ErrorResponse."""
    fields = (("S", "FATAL"), ("C", sqlstate), ("M", message), ("R", routine))
    body = b"".join(f"{kind}{text}\0".encode() for kind, text in fields) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def authentication(method: int) -> bytes:
    """Return PostgreSQL's request for authentication; for 0, all up to its prompt."""
    request = b"R" + struct.pack("!ii", 8, method)
    return request if method else request + b"Z\0\0\0\5I"


def silence(connection: socket.socket) -> None:
    """Read for ever."""
    while connection.recv(65536):
        pass


def goodbye(connection: socket.socket) -> None:
    """Hang up on the first word, without a sign."""
    connection.recv(65536)
