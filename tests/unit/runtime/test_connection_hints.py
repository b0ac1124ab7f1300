"""A failed connection in the log is followed by the command that says why."""

import logging

import pytest

from understack_nautobot_settings.runtime.connection_hints import LOGGER
from understack_nautobot_settings.runtime.connection_hints import ConnectionHints
from understack_nautobot_settings.runtime.connection_hints import (
    hint_at_failed_connections,
)

HINT = (
    "A connection to {} failed. To see at which stage and why, run in this pod: "
    "understack-nautobot-settings probe {}"
)


def raised_by(module, name):
    return type(name, (Exception,), {"__module__": module})("refused")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    before = logging.getLogRecordFactory()
    clock = Clock()
    # Whatever an earlier test has left there.
    logging.setLogRecordFactory(ConnectionHints(logging.LogRecord, clock=clock))
    yield clock
    logging.setLogRecordFactory(before)


def hints(caplog):
    return [one.getMessage() for one in caplog.records if one.name == LOGGER]


@pytest.mark.parametrize(
    ("module", "name", "what", "targets"),
    [
        ("django.db.utils", "OperationalError", "PostgreSQL", "database"),
        ("psycopg2", "OperationalError", "PostgreSQL", "database"),
        ("psycopg.errors", "OperationalError", "PostgreSQL", "database"),
        ("redis.exceptions", "ConnectionError", "Redis", "cache broker"),
        ("redis.exceptions", "TimeoutError", "Redis", "cache broker"),
        ("kombu.exceptions", "OperationalError", "the Celery broker", "broker"),
    ],
)
def test_failed_connection_in_a_record_is_followed_by_a_hint(
    module, name, what, targets, clock, caplog
):
    error = raised_by(module, name)

    # As Celery's consumer does.
    logging.getLogger("celery").error("Cannot connect to %s: %s.", "rediss://h", error)

    assert hints(caplog) == [HINT.format(what, targets)]


def test_failed_connection_as_exc_info_is_followed_by_a_hint(clock, caplog):
    try:
        raise raised_by("django.db.utils", "OperationalError")
    except Exception:
        logging.getLogger("django.request").exception("Internal Server Error")

    assert hints(caplog) == [HINT.format("PostgreSQL", "database")]


@pytest.mark.parametrize("name", ["pgcode", "sqlstate"])
@pytest.mark.parametrize(
    ("state", "count"), [("40P01", 0), ("57014", 0), ("57P01", 1), (None, 1)]
)
def test_refused_statement_is_not_called_a_failed_connection(
    name, state, count, clock, caplog
):
    error = raised_by("django.db.utils", "OperationalError")
    error.__cause__ = ValueError()
    setattr(error.__cause__, name, state)

    logging.getLogger("nautobot").error("%s", error)

    assert len(hints(caplog)) == count


def test_failures_within_a_minute_give_one_hint(clock, caplog):
    error = raised_by("redis.exceptions", "ConnectionError")
    for clock.now in (0.0, 1.0, 59.0, 60.0, 61.0):
        logging.getLogger("celery").error("%s", error)

    assert len(hints(caplog)) == 2


@pytest.mark.parametrize(
    "error",
    [
        raised_by("django.db.utils", "IntegrityError"),
        raised_by("requests.exceptions", "ConnectionError"),
        ValueError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_give_no_hint(error, clock, caplog):
    logging.getLogger("celery").error("%s", error)

    assert hints(caplog) == []


def test_copy_of_a_record_is_made_without_a_hint(clock, caplog):
    """As structlog does with every record that it formats."""
    error = raised_by("redis.exceptions", "ConnectionError")
    logging.getLogger("celery").error("%s", error)

    copy = logging.makeLogRecord(caplog.records[0].__dict__)

    assert copy.getMessage() == caplog.records[0].getMessage()
    assert len(hints(caplog)) == 1


def test_connection_hints_installed_twice_are_installed_once():
    before = logging.getLogRecordFactory()
    try:
        hint_at_failed_connections()
        once = logging.getLogRecordFactory()
        hint_at_failed_connections()
        assert logging.getLogRecordFactory() is once
    finally:
        logging.setLogRecordFactory(before)
