"""What Django does with the settings, read back over the connections it made."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from nautobot.extras.health_checks import RedisBackend

from tests.nautobot.inside.conftest import LEAF


@pytest.mark.django_db(databases=["default", "job_logs"], transaction=True)
@pytest.mark.parametrize("alias", ["default", "job_logs"])
def test_both_database_connections_use_the_certificate(alias):
    """Nautobot copies the default connection for job logs; both present it."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "select ssl, version, client_dn, client_serial::text, application_name "
            "from pg_stat_ssl join pg_stat_activity using (pid) "
            "where pid = pg_backend_pid()"
        )
        session = cursor.fetchone()

    assert session == (
        True,
        "TLSv1.3",
        "/CN=app",
        str(LEAF.serial),
        "nautobot-web@site-a",
    )


def test_cache_works_over_tls():
    cache.set("key", "value")

    assert cache.get("key") == "value"
    assert settings.CACHES["default"]["LOCATION"].startswith("rediss://localhost:")


def test_redis_health_check_of_nautobot_passes():
    check = RedisBackend()

    check.run_check()

    assert check.errors == []


def test_broker_answers_over_tls():
    from nautobot.core.celery import app

    with app.connection_for_write() as connection:
        assert connection.default_channel.client.ping()


def test_partition_is_a_django_setting():
    assert settings.UNDERSTACK_PARTITION == "site-a"
    assert settings.UNDERSTACK_SITE == ""


def test_debug_page_of_django_shows_no_password():
    """Django masks by key; what it does not mask must not hold a password."""
    from django.views.debug import SafeExceptionReporterFilter

    shown = SafeExceptionReporterFilter().get_safe_settings()

    assert "p/a#s" not in repr(shown["CACHES"])
