import sys

import pytest

from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import NoDriver
from understack_nautobot_settings.probes.driver_session import database_session

DRIVER = """
import os, sys

class Error(Exception):
    pass

def connect(**parameters):
    {}
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a driver into the path that does this when it connects."""

    def put(words):
        package = tmp_path / "psycopg2"
        package.mkdir()
        (package / "__init__.py").write_text(DRIVER.format(words))
        (package / "extensions.py").write_text("libpq_version = lambda: 170005")
        monkeypatch.syspath_prepend(tmp_path)

    return put


@pytest.mark.parametrize(
    ("does", "text"),
    [
        ("raise Error('no')", "no"),
        ("raise MemoryError", "the server sent more than the driver could hold"),
        (
            "os.kill(os.getpid(), 9)",
            "the process of the driver ended with status -9 and without an answer",
        ),
        (
            "raise OSError",
            "the process of the driver ended with status 1 and without an answer",
        ),
    ],
    ids=["error", "memory", "killed", "broken"],
)
def test_session_that_fails_says_what_was_seen(driver, does, text):
    driver(does)
    with pytest.raises(DriverError) as failure:
        database_session({}, "select 1", 10)

    assert str(failure.value) == text
    assert not failure.value.on_query


def test_session_that_hangs_ends_in_time(driver):
    driver("import time; time.sleep(60)")
    with pytest.raises(TimeoutError):
        database_session({}, "select 1", 1)


def test_session_without_driver_is_told_apart(monkeypatch):
    standard = [one for one in sys.path if "site-packages" not in one]
    monkeypatch.setattr(sys, "path", standard)
    with pytest.raises(NoDriver):
        database_session({}, "select 1", 10)
