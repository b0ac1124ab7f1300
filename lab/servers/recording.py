"""Servers that mislead, and write down every byte that a client gives them.

What a client must never say to the wrong server is searched for in `received`, after
the context has ended: by then everything sent has been read.
"""

from __future__ import annotations

import socket
import struct
from typing import Literal

from lab.certificates import Authority
from lab.certificates import Leaf
from lab.servers.listening import LoopbackServer
from lab.servers.listening import tls_context

Mode = Literal[
    "silent",
    "plain text",
    "hangs up",
    "resets",
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
# SO_LINGER for no time at all: what is unread is thrown away, and the peer told so.
AT_ONCE = struct.pack("ii", 1, 0)


class RecordingServer(LoopbackServer):
    """Misbehaves, and records.

    Modes:
        silent: reads for ever and never answers.
        plain text: answers the first bytes in HTTP, then reads on.
        hangs up: closes the connection as soon as it is accepted.
        resets: the same after the first words, and not in order.
        postgresql refuses tls: answers SSLRequest with ``N``, then asks whoever goes
            on in plain text for the password.
        postgresql: does TLS with a certificate of a foreign authority, negotiated or
            direct, then asks for the password.
        redis: a plain Redis that says OK to everything.
        tls redis: the same, behind TLS with a foreign certificate.
        tls silent: completes the handshake with a foreign certificate, then silence.

    Attributes:
        received: What clients said: before TLS, and inside it. The handshake is not
            part of it.
        handshakes: How each TLS handshake ended: ``completed``, or OpenSSL's reason.
    """

    def __init__(self, mode: Mode = "silent", *, server: Leaf | None = None) -> None:
        """Describe the server; it listens when the context is entered.

        Args:
            mode: See above.
            server: What it presents; by default a certificate for localhost of an
                authority that nobody knows, with the same name as the real one.
        """
        super().__init__()
        self.mode = mode
        self.handshakes: list[str] = []
        self._received = bytearray()
        # libpq insists on ALPN for direct negotiation.
        self._context = tls_context(server or Authority().server(), alpn="postgresql")

    @property
    def received(self) -> bytes:
        """Everything received so far, of all connections."""
        with self._lock:
            return bytes(self._received)

    def serve(self, connection: socket.socket) -> None:
        """Misbehave."""
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
            elif self.mode == "resets":
                self._read(current)
                current.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            elif self.mode.startswith("postgresql"):
                self._postgresql(current)
            elif self.mode.endswith("redis"):
                self._redis(current)
        finally:
            current.close()

    def _read(self, connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        with self._lock:
            self._received += data
        return data

    def _handshake(self, connection: socket.socket) -> socket.socket:
        try:
            wrapped = self._context.wrap_socket(connection, server_side=True)
        except OSError as error:
            self.handshakes.append(getattr(error, "reason", None) or str(error))
            raise
        self.handshakes.append("completed")
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
