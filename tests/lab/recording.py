"""Servers that mislead, and write down every byte that a client gives them.

What a client must never say to the wrong server is searched for in `received`, after
the context has ended: by then everything sent has been read.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal

from tests.lab.certificates import Authority
from tests.lab.certificates import Leaf

Mode = Literal[
    "silent",
    "plain text",
    "hangs up",
    "postgresql refuses tls",
    "postgresql",
    "redis",
    "tls redis",
    "tls silent",
]
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)
# AuthenticationCleartextPassword: a hostile server asks for what it wants.
ASK_FOR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
_REASON = b"SFATAL\0C28P01\0Mno\0\0"
REFUSED = b"E" + struct.pack("!i", 4 + len(_REASON)) + _REASON
HELLO_2 = b"*2\r\n$5\r\nproto\r\n:2\r\n"
HELLO_3 = b"%1\r\n$5\r\nproto\r\n:3\r\n"
PLAIN_TEXT = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
TLS_HANDSHAKE = 0x16


class RecordingServer:
    """Accepts TCP on a free loopback port, misbehaves, and records.

    Modes:
        silent: reads for ever and never answers.
        plain text: answers the first bytes in HTTP, then reads on.
        hangs up: closes the connection as soon as it is accepted.
        postgresql refuses tls: answers SSLRequest with ``N``, then asks whoever goes
            on in plain text for the password.
        postgresql: does TLS with a certificate of a foreign authority, negotiated or
            direct, then asks for the password.
        redis: a plain Redis that says OK to everything.
        tls redis: the same, behind TLS with a foreign certificate.
        tls silent: completes the handshake with a foreign certificate, then silence.

    Attributes:
        port: Where it listens.
        received: What clients said: before TLS, and inside it. The handshake is not
            part of it.
        connections: How many were accepted.
        handshakes: How each TLS handshake ended: ``completed``, or OpenSSL's reason.
    """

    host = "127.0.0.1"

    def __init__(self, mode: Mode = "silent", *, server: Leaf | None = None) -> None:
        """Describe the server; it listens when the context is entered.

        Args:
            mode: See above.
            server: What it presents; by default a certificate for localhost of an
                authority that nobody knows, with the same name as the real one.
        """
        self.mode = mode
        self.port = 0
        self.connections = 0
        self.handshakes: list[str] = []
        self._server = server
        self._received = bytearray()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def received(self) -> bytes:
        """Everything received so far, of all connections."""
        with self._lock:
            return bytes(self._received)

    def __enter__(self) -> RecordingServer:
        """Listen."""
        self._context = _context(self._server or Authority().server())
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
        # shutdown wakes the thread that accepts; close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(
            target=target,  # type: ignore[arg-type]
            args=arguments,
            daemon=True,
        )
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
            with self._lock:
                self._open.add(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        current = connection
        try:
            if self.mode.startswith("tls"):
                current = self._handshake(connection)
            if self.mode == "plain text":
                self._read(current)
                current.sendall(PLAIN_TEXT)
            if self.mode in {"silent", "plain text", "tls silent"}:
                while self._read(current):
                    pass
            elif self.mode.startswith("postgresql"):
                self._postgresql(current)
            elif self.mode.endswith("redis"):
                self._redis(current)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
                self._open.discard(current)
            current.close()
            connection.close()

    def _read(self, connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        with self._lock:
            self._received += data
        return data

    def _handshake(self, connection: socket.socket) -> socket.socket:
        assert self._context is not None
        try:
            wrapped = self._context.wrap_socket(connection, server_side=True)
        except OSError as error:
            self.handshakes.append(getattr(error, "reason", None) or str(error))
            raise
        self.handshakes.append("completed")
        with self._lock:
            # The plain socket was detached by wrapping.
            self._open.discard(connection)
            self._open.add(wrapped)
        return wrapped

    def _postgresql(self, connection: socket.socket) -> None:
        secured = connection
        if connection.recv(1, socket.MSG_PEEK) == bytes([TLS_HANDSHAKE]):
            if self.mode == "postgresql refuses tls":
                return
            secured = self._handshake(connection)
        said = self._read(secured)
        while said in {SSL_REQUEST, GSS_REQUEST}:
            if said == SSL_REQUEST and self.mode == "postgresql":
                secured.sendall(b"S")
                secured = self._handshake(secured)
            else:
                secured.sendall(b"N")
            said = self._read(secured)
        try:
            if said:
                secured.sendall(ASK_FOR_PASSWORD)
                self._read(secured)
                secured.sendall(REFUSED)
        finally:
            secured.close()

    def _redis(self, connection: socket.socket) -> None:
        while said := self._read(connection):
            # One answer for each command of a pipeline.
            for command in said.split(b"\r\n*"):
                words = command.upper()
                if b"HELLO" in words:
                    connection.sendall(HELLO_3 if b"\r\n3" in words else HELLO_2)
                elif b"PING" in words:
                    connection.sendall(b"+PONG\r\n")
                else:
                    connection.sendall(b"+OK\r\n")


def _context(leaf: Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # libpq insists on it for direct negotiation.
    context.set_alpn_protocols(["postgresql"])
    with tempfile.TemporaryDirectory(prefix="understack-lab-") as directory:
        chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        chain.write_bytes(leaf.chain_pem)
        key.write_bytes(leaf.key_pem)
        context.load_cert_chain(chain, key)
    return context
