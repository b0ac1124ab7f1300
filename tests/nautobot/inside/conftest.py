"""Django with the settings that the example makes, over mutual TLS.

Servers have to be there before Django is set up, and Django before tests are
collected, so both happen as the session starts, in each process that runs tests, and
after its coverage has begun.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from lab.nautobot.deployment import nautobot_for
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer

LAB = contextlib.ExitStack()
DIRECTORY = Path(LAB.enter_context(tempfile.TemporaryDirectory(prefix="understack-")))
AUTHORITY = Authority()
LEAF = AUTHORITY.client()
MOUNT = write_mount(DIRECTORY / "mtls", LEAF, AUTHORITY.ca_pem)
PASSWORD = "p/a#s?s[w]o%41rd"


def _set_up() -> None:
    postgres = LAB.enter_context(PostgresServer(18, authority=AUTHORITY))
    redis = LAB.enter_context(RedisServer(authority=AUTHORITY, password=PASSWORD))
    nautobot = nautobot_for(
        DIRECTORY,
        MOUNT,
        postgres,
        redis,
        partition="site-a",
        role="web",
        extra={"NAUTOBOT_ROOT": str(DIRECTORY / "root"), "UNDERSTACK_APP": "true"},
    )
    nautobot.prepare_database()
    os.environ.update(nautobot.deployment)
    os.environ["NAUTOBOT_CONFIG"] = str(nautobot.config)
    os.environ["DJANGO_SETTINGS_MODULE"] = "nautobot_config"
    with warnings.catch_warnings():
        # Nautobot's own dependencies are not ours to mend.
        warnings.simplefilter("ignore")
        import nautobot as package

        package.setup()
    from django.conf import settings

    # What a password is worth is Django's; its hashes cost half of these tests.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_configure(config: pytest.Config) -> None:
    """Let other packages warn; this one still may not."""
    config.addinivalue_line("filterwarnings", "default")
    config.addinivalue_line("filterwarnings", "error:::understack_nautobot_settings")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Set up Django, but for the process that hands out the tests and runs none."""
    config = session.config
    if getattr(config.option, "numprocesses", None) and not hasattr(
        config, "workerinput"
    ):
        return
    try:
        _set_up()
    except BaseException:
        LAB.close()
        raise


def pytest_unconfigure() -> None:
    """End the servers."""
    LAB.close()


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """Use the prepared database: pytest-django would create another."""


@pytest.fixture(autouse=True)
def known_worker() -> None:
    """Tell Nautobot of a worker: it would wait a second for one at every change."""
    from django.core.cache import cache

    cache.set("nautobot.extras.utils.get_celery_queues", {"default": 1}, timeout=60)
