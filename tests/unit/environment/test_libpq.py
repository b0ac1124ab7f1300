import pytest

from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import libpq_release
from understack_nautobot_settings.environment.libpq import libpq_version


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("django.db.backends.postgresql", True),
        ("django_prometheus.db.backends.postgresql", True),
        (None, True),
        ("", True),
        ("django.db.backends.mysql", False),
    ],
)
def test_engine_is_known_by_its_name(engine, expected):
    assert is_postgresql({"ENGINE": engine}) is expected


@pytest.mark.parametrize(
    ("number", "release"), [(170005, "17.5"), (160000, "16.0"), (180011, "18.11")]
)
def test_libpq_version_number_is_written_as_release(number, release):
    assert libpq_release(number) == release


def test_libpq_version_without_driver_is_none():
    """This environment has neither psycopg nor psycopg2; live tests have both."""
    assert libpq_version() is None
