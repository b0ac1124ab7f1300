"""Servers in this process that say what they are told to, for looking at clients."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

from lab.servers.listening import LoopbackServer

Script = Callable[[socket.socket], None]


class ScriptedServer(LoopbackServer):
    """Runs a script for every connection."""

    def __init__(self, script: Script) -> None:
        """Describe the server; it listens when the context is entered."""
        super().__init__()
        self._script = script

    def serve(self, connection: socket.socket) -> None:
        """Run it."""
        self._script(connection)


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    """Return the script behind a handshake."""

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            script(inside)

    return secured


def without_alert(context: ssl.SSLContext) -> Script:
    """Return a script that closes on a certificate it refuses, and loses its alert."""

    def refusing(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(incoming, outgoing, server_side=True)
        while data := connection.recv(65536):
            incoming.write(data)
            try:
                inside.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
            except ssl.SSLError:
                return

    return refusing


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
