"""One line in the log where a connection fails: which command says why.

Drivers, Django, Celery and kombu log failed connections in words of their own, each
in another place and format. What they have in common is the exception, which every
log record carries, as ``exc_info`` or among its arguments.
"""

import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from itertools import chain
from typing import Any

LOGGER = "understack_nautobot_settings"
PAUSE = 60.0
"""Seconds in which a hint is given once, however many connections fail."""

_HINT = (
    "A connection to %s failed. To see at which stage and why, run in this pod: "
    "understack-nautobot-settings probe %s"
)
# Where the classes of these exceptions are defined, and what connects there.
_OF = {
    "django.db": ("PostgreSQL", "database"),
    "psycopg": ("PostgreSQL", "database"),
    "redis": ("Redis", "cache broker"),
    "django_redis": ("Redis", "cache broker"),
    "kombu": ("the Celery broker", "broker"),
}
_FAILED = (
    "OperationalError",
    "ConnectionError",
    "ConnectionInterrupted",
    "TimeoutError",
)


class ConnectionHints:
    """Makes log records as another factory does, and says the hint after some."""

    def __init__(
        self,
        make: Callable[..., logging.LogRecord],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over from a factory of log records; the clock tells seconds."""
        self._make = make
        self.clock = clock
        self._said: dict[str, float] = {}

    def __call__(self, *arguments: Any, **options: Any) -> logging.LogRecord:
        """Return the record; log a hint where it tells of a failed connection."""
        record = self._make(*arguments, **options)
        # A copy is first made without a level (`logging.makeLogRecord`).
        level = record.levelno or logging.NOTSET
        if level >= logging.WARNING and record.name != LOGGER:
            for what, targets in _failed_connections(record):
                now = self.clock()
                if now - self._said.get(targets, -PAUSE) >= PAUSE:
                    self._said[targets] = now
                    logging.getLogger(LOGGER).warning(_HINT, what, targets)
        return record


def hint_at_failed_connections() -> None:
    """Have every log record looked at from now on; a second call changes nothing."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, ConnectionHints):
        logging.setLogRecordFactory(ConnectionHints(make))


def _failed_connections(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    given = (record.exc_info, record.args)
    for one in chain(*(part for part in given if isinstance(part, tuple))):
        kind = type(one)
        if kind.__name__ not in _FAILED or _is_of_statement(one):
            continue
        for module, connection in _OF.items():
            if kind.__module__.startswith(module):
                yield connection


def _is_of_statement(error: Any) -> bool:
    """Tell whether PostgreSQL refused a statement, on a connection that goes on.

    Django has the same class for deadlocks and time limits; its cause has the SQLSTATE,
    which a connection that failed does not have. Class 08 and 57P end a connection.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    state = state or getattr(error.__cause__, "pgcode", None)
    return bool(state) and not str(state).startswith(("08", "57P"))
