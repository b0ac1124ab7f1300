"""Servers that are silent, broken or hostile: nobody hangs, and nobody talks."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.certificates import Authority
from lab.certificates import write_mount
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.listening import LoopbackServer
from lab.servers.recording import Mode
from lab.servers.recording import RecordingServer
from lab.wire.client import KINDS
from lab.wire.client import Client
from lab.wire.deployment import Say
from lab.wire.promises import Promise

SECTION = "hostile servers"
DATABASE = ("psycopg2", "psycopg")
REDIS = ("cache", "broker")
SECRETS = {
    "NAUTOBOT_DB_PASSWORD": "canary-of-the-database",
    "NAUTOBOT_REDIS_PASSWORD": "canary-of-redis",
}
CONNECT_SECONDS = 2
SOCKET_SECONDS = 2
TIMEOUTS = {
    "UNDERSTACK_DB_CONNECT_TIMEOUT": str(CONNECT_SECONDS),
    "UNDERSTACK_REDIS_CONNECT_TIMEOUT": str(CONNECT_SECONDS),
    "UNDERSTACK_REDIS_SOCKET_TIMEOUT": str(SOCKET_SECONDS),
}
# A cache tries again after a lost connection, up to 0.25 + 0.5 + 1 s later.
BACKOFF_SECONDS = 1.75
SPARE_SECONDS = 1.5
LIMITS = {
    "psycopg2": CONNECT_SECONDS + SPARE_SECONDS,
    "psycopg": CONNECT_SECONDS + SPARE_SECONDS,
    "cache": CONNECT_SECONDS + SOCKET_SECONDS + BACKOFF_SECONDS + SPARE_SECONDS,
    # kombu connects a second time, two seconds after the first.
    "broker": 2 * (CONNECT_SECONDS + SOCKET_SECONDS) + 2 + SPARE_SECONDS,
}
POP_SECONDS = SOCKET_SECONDS + 2


class BlackHole:
    """A port that nobody answers: the queue of its listener is full."""

    host = "127.0.0.1"
    received = b""

    def __enter__(self) -> BlackHole:
        self._listener = socket.create_server((self.host, 0), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect((self.host, self.port))
            self._waiting.append(one)
        return self

    def __exit__(self, *raised: object) -> None:
        for one in (*self._waiting, self._listener):
            one.close()


class SlowServer(LoopbackServer):
    """Passes on the words of a real server, a byte every half second.

    Attributes:
        received: What clients said.
    """

    def __init__(self, target: int) -> None:
        """Describe the server; it listens when the context is entered."""
        super().__init__()
        self.received = b""
        self._target = target

    def serve(self, connection: socket.socket) -> None:
        """Let it drip."""
        with socket.create_connection((self.host, self._target)) as server:
            listening = threading.Thread(target=self._listen, args=(connection, server))
            listening.start()
            while byte := server.recv(1):
                time.sleep(0.5)
                connection.sendall(byte)
        listening.join()

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.received += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)


def show(directory: Path, say: Say) -> list[Promise]:
    """Send every client to every server."""
    authority = Authority()
    mount = write_mount(
        directory / "hostile-mtls", authority.client(), authority.ca_pem
    )
    environment = {
        "NAUTOBOT_DB_HOST": "localhost",
        "NAUTOBOT_DB_PORT": "1",
        "NAUTOBOT_DB_NAME": "app",
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        "NAUTOBOT_REDIS_HOST": "localhost",
        "NAUTOBOT_REDIS_PORT": "1",
        **mount.redis_variables,
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
        **SECRETS,
        **TIMEOUTS,
    }
    public = Authority("a-public-ca")
    store = directory / "system-store.pem"
    store.write_bytes(public.ca_pem)
    with contextlib.ExitStack() as stack:
        started = [Client(kind, environment) for kind in KINDS]
        clients = {one.kind: stack.enter_context(one) for one in started}
        postgres = stack.enter_context(PostgresServer(18, authority=authority))
        redis = stack.enter_context(
            RedisServer(
                authority=authority, password=SECRETS["NAUTOBOT_REDIS_PASSWORD"]
            )
        )
        table = _Table(clients, say)

        table.refused("black hole", BlackHole(), KINDS)
        table.refused("silent", RecordingServer("silent"), KINDS)
        table.refused("plain text", RecordingServer("plain text"), KINDS)
        table.refused("hangs up", RecordingServer("hangs up"), KINDS)
        table.refused("resets connections", RecordingServer("resets"), KINDS)
        table.refused(
            "PostgreSQL, two bytes a second",
            SlowServer(postgres.port),
            DATABASE,
        )
        table.refused("Redis, two bytes a second", SlowServer(redis.port), REDIS)
        table.refused(
            "refuses TLS, asks for the password",
            RecordingServer("postgresql refuses tls"),
            DATABASE,
        )
        foreign: dict[Mode, tuple[str, ...]] = {
            "postgresql": DATABASE,
            "tls redis": REDIS,
            "tls silent": REDIS,
            "redis": REDIS,
        }
        for mode, kinds in foreign.items():
            table.refused(f"foreign certificate: {mode}", RecordingServer(mode), kinds)
        other = authority.server("other.example")
        for mode, kinds in (("postgresql", DATABASE), ("tls redis", REDIS)):
            table.refused(
                f"own CA, other name: {mode}",
                RecordingServer(mode, server=other),
                kinds,
            )
        certified = public.server()
        for mode, kinds in (("postgresql", DATABASE), ("tls redis", REDIS)):
            table.refused(
                f"CA in the system store: {mode}",
                RecordingServer(mode, server=certified),
                kinds,
                SSL_CERT_FILE=str(store),
            )
        table.heard()
        table.half_open(postgres, redis)
        table.pops(redis)
        return table.promises


class _Table:
    """Rows of promises about the same clients."""

    def __init__(self, clients: Mapping[str, Client], say: Say) -> None:
        self._clients = clients
        self._say = say
        self.promises: list[Promise] = []

    def refused(
        self,
        name: str,
        server: Any,
        kinds: tuple[str, ...],
        **environment: str,
    ) -> None:
        """Send clients to a server that none of them may get along with."""
        with server:
            answers = self._ask("new", kinds, server.port, environment)
        leaked = any(secret.encode() in server.received for secret in SECRETS.values())
        held = not leaked and all(
            not answer["ok"] and answer["seconds"] <= LIMITS[kind]
            for kind, answer in answers.items()
        )
        self._add(
            name,
            "an error within the timeout, no secret said",
            f"{_said(answers)}{'; A SECRET WAS RECORDED' if leaked else ''}",
            held,
            answers,
        )

    def heard(self) -> None:
        """Show that a recorder would have heard what nobody said."""
        with RecordingServer("postgresql") as postgres:
            self._ask(
                "new", ("psycopg2",), postgres.port, {"NAUTOBOT_DB_SSLMODE": "require"}
            )
        with RecordingServer("tls redis") as redis:
            self._ask(
                "new",
                ("cache",),
                redis.port,
                {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none"},
            )
        heard = [
            SECRETS["NAUTOBOT_DB_PASSWORD"].encode() in postgres.received,
            SECRETS["NAUTOBOT_REDIS_PASSWORD"].encode() in redis.received,
        ]
        self._add(
            "control: the same servers, verification switched off",
            "the password is recorded",
            f"{sum(heard)} of {len(heard)} recorded it",
            all(heard),
            {},
        )

    def half_open(self, postgres: PostgresServer, redis: RedisServer) -> None:
        """Let servers fall silent below a connection, and before one."""
        self._ask("new", REDIS, redis.port, {})
        with _paused(redis), _paused(postgres):
            answers = {
                **_together(self._clients, "use", REDIS),
                **self._ask("new", DATABASE, postgres.port, {}),
            }
        held = all(
            not answer["ok"] and answer["seconds"] <= LIMITS[kind]
            for kind, answer in answers.items()
        )
        self._add(
            "half-open: Redis stops below a connection, PostgreSQL before one",
            "an error within the timeout",
            _said(answers),
            held,
            answers,
        )
        again = {
            **self._ask("new", REDIS, redis.port, {}),
            **self._ask("new", DATABASE, postgres.port, {}),
        }
        self._add(
            "the same servers, answering again",
            "every client connects, without a restart",
            _said(again),
            all(answer["ok"] for answer in again.values()),
            again,
        )

    def pops(self, redis: RedisServer) -> None:
        """Wait for longer than a socket may be silent."""
        self._ask("new", ("cache",), redis.port, {})
        cache = self._clients["cache"]
        nothing = cache.ask("pop", key="wire-empty", seconds=POP_SECONDS)
        answer = cache.begin("pop", key="wire-late", seconds=POP_SECONDS + 2)
        time.sleep(SOCKET_SECONDS + 1)
        with redis.admin() as admin:
            admin.select(1)
            admin.rpush("wire-late", "here")
        something = answer()
        held = (
            nothing["ok"]
            and nothing["value"] is None
            and nothing["seconds"] >= POP_SECONDS
            and something["ok"]
            and something.get("value") == "here"
        )
        self._add(
            f"blocking pop of {POP_SECONDS} s, socket timeout {SOCKET_SECONDS} s",
            "waits its time, and takes what comes late",
            f"nothing after {nothing['seconds']:.1f} s, an element after "
            f"{something['seconds']:.1f} s",
            held,
            {"empty": nothing, "late": something},
        )

    def _ask(
        self,
        request: str,
        kinds: tuple[str, ...],
        port: int,
        environment: Mapping[str, str],
    ) -> dict[str, dict[str, Any]]:
        changed = {
            "NAUTOBOT_DB_PORT": str(port),
            "NAUTOBOT_REDIS_PORT": str(port),
            "NAUTOBOT_DB_SSLMODE": "verify-full",
            "NAUTOBOT_REDIS_SSL_CERT_REQS": "",
            "SSL_CERT_FILE": "",
            **environment,
        }
        _together(self._clients, "become", kinds, **changed)
        return _together(self._clients, request, kinds)

    def _add(
        self,
        name: str,
        promised: str,
        seen: str,
        held: bool,
        answers: Mapping[str, Any],
    ) -> None:
        self._say(f"{name}: {seen}")
        self.promises.append(Promise(SECTION, name, promised, seen, held, answers))


def _together(
    clients: Mapping[str, Client],
    request: str,
    kinds: tuple[str, ...],
    **arguments: Any,
) -> dict[str, dict[str, Any]]:
    waiting = {kind: clients[kind].begin(request, **arguments) for kind in kinds}
    return {kind: answer() for kind, answer in waiting.items()}


@contextmanager
def _paused(server: PostgresServer | RedisServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


def _said(answers: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{kind} {'in' if answer['ok'] else 'error in'} {answer['seconds']:.1f} s"
        for kind, answer in answers.items()
    )
