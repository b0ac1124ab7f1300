"""A TCP proxy on loopback that is as far away as it is told to be, and counts trips.

A round trip is a turn of the conversation: the client says something after the server
has answered. Two words in one direction without an answer in between are one trip.
The TCP handshake, which no proxy sees, is the first.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

CHUNK = 65536


class Conversation:
    """One proxied connection.

    Attributes:
        round_trips: The TCP handshake, and every turn of the client that the server
            answered.
        sent: Bytes from the client.
        received: Bytes from the server.
    """

    def __init__(self) -> None:
        """Start with the TCP handshake."""
        self.round_trips = 1
        self.sent = 0
        self.received = 0
        self._asked = False
        self._lock = threading.Lock()

    def client_said(self, count: int) -> None:
        """Count what the client said."""
        with self._lock:
            self.sent += count
            self._asked = True

    def server_said(self, count: int) -> None:
        """Count what the server said; an answer completes a round trip."""
        with self._lock:
            self.received += count
            if self._asked:
                self.round_trips += 1
                self._asked = False


class DelayProxy:
    """Forwards connections to a port, each chunk late by half of a round trip.

    Attributes:
        port: Where it listens.
        conversations: Every connection so far, in the order they were accepted.
    """

    host = "127.0.0.1"

    def __init__(self, target: int, *, round_trip: float = 0.02) -> None:
        """Describe the proxy; it listens when the context is entered.

        Args:
            target: Loopback port to forward to.
            round_trip: Seconds there and back. Without any, what the client says at
                once may be answered piece by piece, and counted so.
        """
        self.target = target
        self.round_trip = round_trip
        self.port = 0
        self.conversations: list[Conversation] = []
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def round_trips(self) -> int:
        """Round trips of all connections so far."""
        return sum(one.round_trips for one in self.conversations)

    def __enter__(self) -> DelayProxy:
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
        self.reset()
        for thread in list(self._threads):
            thread.join(10)

    def reset(self) -> None:
        """Drop every connection."""
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

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
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((self.host, self.target))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation()
            with self._lock:
                self.conversations.append(conversation)
                self._open |= {client, server}
            self._spawn(self._converse, client, server, conversation)

    def _converse(
        self, client: socket.socket, server: socket.socket, conversation: Conversation
    ) -> None:
        answers = threading.Thread(
            target=self._forward,
            args=(server, client, conversation.server_said),
            daemon=True,
        )
        answers.start()
        self._forward(client, server, conversation.client_said)
        answers.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _forward(
        self,
        source: socket.socket,
        target: socket.socket,
        said: Callable[[int], None],
    ) -> None:
        try:
            while data := source.recv(CHUNK):
                said(len(data))
                if self.round_trip:
                    time.sleep(self.round_trip / 2)
                target.sendall(data)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
