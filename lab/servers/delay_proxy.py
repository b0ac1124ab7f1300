"""A TCP proxy on loopback that is as far away as it is told to be, and counts trips.

A round trip is a turn of the conversation, as the client lives it: it says something,
and what the server says to that arrives. Words in one direction without an answer in
between are one trip. The TCP handshake, which no proxy sees, is the first.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable

from lab.servers.listening import LoopbackServer

CHUNK = 65536


class Conversation:
    """One proxied connection.

    Attributes:
        round_trips: The TCP handshake, and every turn of the client that the server
            answered.
    """

    def __init__(self) -> None:
        """Start with the TCP handshake."""
        self.round_trips = 1
        self._asked = False
        self._lock = threading.Lock()

    def client_said(self) -> None:
        """Note that an answer is due."""
        with self._lock:
            self._asked = True

    def client_heard(self) -> None:
        """Count; an answer completes a round trip, whatever else follows it."""
        with self._lock:
            self.round_trips += self._asked
            self._asked = False


class DelayProxy(LoopbackServer):
    """Forwards connections to a port, whatever is said late by half of a round trip.

    Attributes:
        conversations: Every connection so far, in the order they were accepted.
    """

    def __init__(self, target: int, *, round_trip: float = 0.1) -> None:
        """Describe the proxy; it listens when the context is entered.

        Args:
            target: Loopback port to forward to.
            round_trip: Seconds there and back. A client that takes longer from one
                word to the next hears an answer in between, and a trip more is
                counted.
        """
        super().__init__()
        self.target = target
        self.round_trip = round_trip
        self.conversations: list[Conversation] = []

    @property
    def round_trips(self) -> int:
        """Round trips of all connections so far."""
        return sum(one.round_trips for one in self.conversations)

    def serve(self, connection: socket.socket) -> None:
        """Forward both directions until both ends have said all."""
        conversation = Conversation()
        self.conversations.append(conversation)
        with socket.create_connection((self.host, self.target)) as server:
            for end in (connection, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = threading.Thread(
                target=self._forward,
                args=(server, connection, _nothing, conversation.client_heard),
            )
            answers.start()
            self._forward(connection, server, conversation.client_said, _nothing)
            answers.join()

    def _forward(
        self,
        source: socket.socket,
        target: socket.socket,
        said: Callable[[], None],
        heard: Callable[[], None],
    ) -> None:
        # What is on its way holds up nothing that is said after it.
        on_its_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        arrival = threading.Thread(target=_deliver, args=(on_its_way, target, heard))
        arrival.start()
        data = b"any"
        while data:
            try:
                data = source.recv(CHUNK)
            except OSError:
                data = b""
            if data:
                said()
            on_its_way.put((time.monotonic() + self.round_trip / 2, data))
        arrival.join()


def _deliver(
    on_its_way: queue.SimpleQueue[tuple[float, bytes]],
    target: socket.socket,
    heard: Callable[[], None],
) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = on_its_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            heard()
            target.sendall(data)


def _nothing() -> None:
    """Count nothing."""
