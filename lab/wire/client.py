"""A live process that holds connections made by the library's settings, on request.

`Client` starts one; `main` is what runs in it. Requests and answers are lines of
JSON. The process lives on whatever happens to its connections, and its settings are
made once, when it starts, as a pod's are.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from lab.nautobot.celery_worker import BY_HAND
from lab.nautobot.celery_worker import without_library
from lab.nautobot.deployment import REPOSITORY
from lab.processes import dying_with_us

PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
ANSWER_SECONDS = 60.0
KINDS = ("psycopg2", "psycopg", "cache", "broker")


class Client:
    """One live process.

    Kinds: ``psycopg2`` and ``psycopg`` are Django's database connection over either
    driver, ``cache`` is Django's cache, ``broker`` a connection as Celery makes it.
    """

    def __init__(
        self,
        kind: str,
        environment: Mapping[str, str],
        *,
        python: str | os.PathLike[str] = sys.executable,
    ) -> None:
        """Start the process.

        Args:
            kind: See above.
            environment: What the deployment sets.
            python: The interpreter, where it runs elsewhere.
        """
        self.kind = kind
        self._popen = subprocess.Popen(
            [*dying_with_us(), python, "-m", __name__, kind],
            env={
                **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
                "PYTHONPATH": str(REPOSITORY),
                **environment,
            },
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has never ended."""
        return self._popen.poll() is None

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something: a method of its kind in `ACTIONS`.

        ``ready`` does nothing; ``become`` changes its environment, given by name, and
        makes the settings anew.

        Returns:
            ``ok``, ``seconds``, ``error`` (empty or what was raised) and what the
            action itself returned.
        """
        return self.begin(request, **arguments)()

    def begin(self, request: str, **arguments: Any) -> Callable[[], dict[str, Any]]:
        """Let it do something, and return what waits for the answer."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps([request, arguments]) + "\n")
        self._popen.stdin.flush()
        stdout = self._popen.stdout

        def answer() -> dict[str, Any]:
            timer = threading.Timer(ANSWER_SECONDS, self._popen.kill)
            timer.start()
            line = stdout.readline()
            timer.cancel()
            if not line:
                return {
                    "ok": False,
                    "seconds": ANSWER_SECONDS,
                    "error": f"no answer within {ANSWER_SECONDS:.0f} s",
                }
            return json.loads(line)  # type: ignore[no-any-return]

        return answer

    def __enter__(self) -> Client:
        """Wait until it is ready: importing takes a while."""
        ready = self.ask("ready")
        assert ready["ok"], ready
        return self

    def __exit__(self, *raised: object) -> None:
        """End it."""
        self._popen.terminate()
        self._popen.wait(30)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class _Database:
    """Django's connection, which PostgreSQL describes."""

    SESSION = (
        "select ssl, client_dn, client_serial::text, pg_backend_pid() "
        "from pg_stat_ssl where pid = pg_backend_pid()"
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from django.db.utils import ConnectionHandler

        # As long as Nautobot keeps one.
        default = {"CONN_MAX_AGE": 300, **settings["DATABASES"]["default"]}
        self._connection = ConnectionHandler({"default": default})["default"]

    def new(self) -> dict[str, Any]:
        """Drop the connection and make another."""
        self._connection.close()
        return self.use()

    def use(self) -> dict[str, Any]:
        """Use the connection that is there."""
        with self._connection.cursor() as cursor:
            cursor.execute(self.SESSION)
            ssl, name, serial, pid = cursor.fetchone()
        return {
            "ssl": ssl,
            "client_dn": name,
            "serial": int(serial) if serial else None,
            "session": pid,
            "driver": self._connection.Database.__name__,
        }

    def request(self) -> dict[str, Any]:
        """Use the connection as a web request does: kept, and checked before."""
        self._connection.health_check_done = False
        self._connection.close_if_unusable_or_obsolete()
        return self.use()


class _Cache:
    """Django's cache."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from django.core.cache import CacheHandler

        self._cache = CacheHandler(settings["CACHES"])["default"]

    @property
    def _client(self) -> Any:
        return self._cache.client.get_client()

    def new(self) -> dict[str, Any]:
        """Drop the connection and make another, for one command."""
        self._client.connection_pool.disconnect()
        self._client.ping()
        return {}

    def use(self) -> dict[str, Any]:
        """Use the connection that is there."""
        self._cache.set("wire", "value", timeout=60)
        return {"value": self._cache.get("wire"), "session": self._client.client_id()}

    request = use

    def pop(self, key: str, seconds: float) -> dict[str, Any]:
        """Wait for an element of a list, longer than a socket may be silent."""
        element = self._client.blpop([key], timeout=seconds)
        return {"value": element[1].decode() if element else None}

    def push(self, key: str, value: str) -> dict[str, Any]:
        """Append an element to a list."""
        self._client.rpush(key, value)
        return {}


class _Broker:
    """A connection as Celery makes it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from celery import Celery

        self._app = Celery("wire", set_as_current=False)
        celery = {
            name: value
            for name, value in settings.items()
            if name.startswith("CELERY_") and "RESULT" not in name
        }
        self._app.config_from_object(celery, namespace="CELERY")
        self._connection: Any = None
        self._channel: Any = None

    def new(self) -> dict[str, Any]:
        """Drop the connection and make another, for one command."""
        if self._connection is not None:
            self._connection.release()
        self._channel = None
        self._connection = self._app.connection_for_write()
        # Not `default_channel`, which tries again and again.
        self._connection.connect()
        return self.use()

    def use(self) -> dict[str, Any]:
        """Use the connection that is there."""
        if self._channel is None:
            self._channel = self._connection.channel()
        self._channel.client.ping()
        return {}

    request = use

    def publish(self, queue: str) -> dict[str, Any]:
        """Submit a message as Celery does, tried again where a connection is lost."""
        self._connection.Producer(self._channel).publish(
            {},
            routing_key=queue,
            serializer="json",
            retry=True,
            retry_policy=dict(self._app.conf.task_publish_retry_policy),
        )
        return {}


ACTIONS = {
    "psycopg2": _Database,
    "psycopg": _Database,
    "cache": _Cache,
    "broker": _Broker,
}


def _settings() -> dict[str, Any]:
    from tests.live.deployment import configured

    # What Nautobot does not decide from the environment is not ours to repeat.
    settings = configured(dict(os.environ))
    return without_library(settings) if os.environ.get(BY_HAND) else settings


def _answer(client: Any, request: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        seen = {} if request == "ready" else getattr(client, request)(**arguments)
    except Exception as error:  # noqa: BLE001 - whatever a client sees is the answer
        said = " ".join(str(error).split())
        seen = {"ok": False, "error": f"{type(error).__name__}: {said}"}
    else:
        seen = {"ok": True, "error": "", **seen}
    return {**seen, "seconds": round(time.monotonic() - started, 3)}


def _become(kind: str) -> None:
    """Let Django find one driver."""
    if kind == "psycopg2":
        sys.modules["psycopg"] = None  # type: ignore[assignment]


def main() -> None:
    """Answer requests until standard input ends."""
    kind = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _become(kind)
    client = ACTIONS[kind](_settings())
    for line in sys.stdin:
        request, arguments = json.loads(line)
        if request == "become":
            # Another deployment, without the price of another process.
            os.environ.update(arguments)
            client, request, arguments = ACTIONS[kind](_settings()), "ready", {}
        answers.write(json.dumps(_answer(client, request, arguments)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
