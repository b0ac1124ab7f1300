import pytest

from understack_nautobot_settings.environment.libpq import libpq_of_wheels
from understack_nautobot_settings.environment.libpq import libpq_version

DRIVERS = {
    "psycopg": "psycopg/__init__.py",
    "psycopg2": "psycopg2/__init__.py",
    "psycopg_c": "psycopg_c/__init__.py",
    "libpq 18": "psycopg_binary.libs/libpq-e9b5c9ac.so.5.18",
    "libpq 17 of psycopg2": "psycopg2_binary.libs/libpq-a17e3caa.so.5.17",
    "libpq 16 of psycopg2": "psycopg2_binary.libs/libpq-a17e3caa.so.5.16",
    "libssl": "psycopg_binary.libs/libssl-3a4bd9c6.so.3",
    "nameless": "psycopg_binary.libs/libpq-e9b5c9ac.so",
}


@pytest.mark.parametrize(
    ("installed", "version"),
    [
        (["psycopg", "libssl", "libpq 18"], 180000),
        (["psycopg2", "libpq 17 of psycopg2"], 170000),
        (["psycopg", "libpq 18", "psycopg2", "libpq 17 of psycopg2"], 180000),
        (["psycopg2", "libpq 16 of psycopg2"], None),
        (["psycopg", "psycopg2", "libpq 17 of psycopg2"], None),
        (["psycopg", "psycopg_c", "libpq 18"], None),
        (["psycopg", "libssl"], None),
        (["psycopg", "nameless"], None),
        ([], None),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_the_wheel_of_the_driver_tells_its_libpq(tmp_path, installed, version):
    """Where it does not tell enough, the driver itself is asked."""
    for name in installed:
        file = tmp_path / DRIVERS[name]
        file.parent.mkdir(exist_ok=True)
        file.touch()

    expected = libpq_version() if version is None else version

    assert libpq_of_wheels([str(tmp_path / "empty"), str(tmp_path)]) == expected
