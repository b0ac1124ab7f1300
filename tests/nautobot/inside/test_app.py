"""What the app plugs into Django, Nautobot and Celery."""

import datetime
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from health_check.plugins import plugin_dir
from nautobot.core.celery import app as celery_app
from nautobot.extras.registry import registry
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest

from lab.certificates import now
from lab.certificates import write_mount
from tests.nautobot.inside.conftest import AUTHORITY
from tests.nautobot.inside.conftest import MOUNT
from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.django_app.checks import check_environment
from understack_nautobot_settings.django_app.health import CertificateBackend
from understack_nautobot_settings.django_app.metrics import REFRESH_SECONDS
from understack_nautobot_settings.django_app.metrics import CertificateMetrics
from understack_nautobot_settings.django_app.metrics import families
from understack_nautobot_settings.django_app.metrics import refresh_gauges

FILES = [
    (path, use)
    for use in ("PostgreSQL", "Redis")
    for path in (MOUNT.certificate, MOUNT.ca)
]


def test_app_is_registered_once():
    assert apps.is_installed("understack_nautobot_settings.django_app")
    assert [plugin for plugin, _ in plugin_dir._registry].count(CertificateBackend) == 1
    assert registry["app_metrics"].count(families) == 1
    assert CertificateMetrics in celery_app.steps["consumer"]
    assert check_environment in checks.registry.registry.registered_checks


FIRST_SCRAPE = """
import nautobot
nautobot.setup()
from django.test import RequestFactory
from nautobot.core.views import NautobotMetricsView
answer = NautobotMetricsView.as_view()(RequestFactory().get("/metrics/"))
print(answer.data.decode())
"""


def test_metrics_as_first_request_of_process_are_answered():
    """A scrape that comes before any other request is answered, with our gauges.

    Without a directory for metrics that processes share, as outside of the image.
    """
    done = subprocess.run(
        [sys.executable, "-c", FIRST_SCRAPE],
        env={**os.environ, "NAUTOBOT_METRICS_ENABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "understack_certificate_seconds_left{" in done.stdout


def test_settings_in_force_are_those_of_the_file():
    settings = SettingsInForce(django_settings)
    assert settings["UNDERSTACK_PARTITION"] == "site-a"
    assert "UNDERSTACK_PARTITION" in set(settings)
    assert len(settings) == len(list(settings))
    # A default of Django that no settings file mentions.
    assert "EMAIL_SSL_CERTFILE" not in settings


def test_sound_environment_has_no_errors():
    assert [one for one in check_environment() if one.is_serious(checks.ERROR)] == []


def test_tls_changed_by_plugin_after_start_is_an_error():
    """Its code runs after the settings were looked at."""
    default = django_settings.DATABASES["default"]
    before = default["OPTIONS"]
    default["OPTIONS"] = {}
    try:
        ids = [one.id for one in check_environment()]
    finally:
        default["OPTIONS"] = before

    assert "understack.tls-not-in-force" in ids
    assert "understack.tls-not-in-force" not in [one.id for one in check_environment()]


def test_errors_and_warnings_have_stable_ids(monkeypatch):
    monkeypatch.setenv("NAUTOBOT_DB_SSLMODE", "verify_full")
    monkeypatch.setenv("UNDERSTACK_EXPIRY_WARNING", "36500")
    found = {one.id: one for one in check_environment()}
    error = found["understack.value-invalid"]
    assert (error.level, error.msg, error.hint) == (
        checks.ERROR,
        "NAUTOBOT_DB_SSLMODE: 'verify_full' is not a valid sslmode.",
        "Did you mean verify-full? (Also valid: verify-ca, require; disable for "
        "plain TCP.)",
    )
    warnings = [one for one in found.values() if one.level == checks.WARNING]
    assert any("expire" in one.msg for one in warnings)


def settings_with(mount, **changed):
    options = {
        "sslmode": "verify-full",
        "sslcert": mount.certificate,
        "sslkey": mount.key,
        "sslrootcert": mount.ca,
    }
    return {"DATABASES": {"default": {"OPTIONS": options}}, **changed}


@pytest.mark.parametrize(
    ("days", "hours", "healthy", "words"),
    [
        (90, 1, True, "in 90 days"),
        (29, 1, True, "in 29 days"),
        (0, 5, False, "in 4 hours"),
        (0, -1, False, "expired on"),
    ],
    ids=["90 days", "29 days", "0 days", "expired"],
)
def test_health_is_bad_before_the_certificate_expires(
    tmp_path, days, hours, healthy, words
):
    end = now() + datetime.timedelta(days=days, hours=hours)
    start = now() - datetime.timedelta(days=1)
    leaf = AUTHORITY.client(not_before=start, not_after=end)
    mount = write_mount(tmp_path, leaf, AUTHORITY.ca_pem)
    backend = CertificateBackend(settings_with(mount))
    backend.run_check()
    assert bool(backend.status) is healthy
    status = str(backend.pretty_status())
    assert words in status
    assert mount.certificate in status
    assert end.strftime("%Y-%m-%dT%H:%M:%SZ") in status
    assert CertificateBackend.metric._value.get() == float(healthy)


def test_health_uses_the_threshold_of_the_settings(tmp_path):
    end = now() + datetime.timedelta(hours=5)
    mount = write_mount(tmp_path, AUTHORITY.client(not_after=end), AUTHORITY.ca_pem)
    backend = CertificateBackend(settings_with(mount, UNDERSTACK_EXPIRY_UNHEALTHY=0.1))
    backend.run_check()
    assert backend.errors == []


def test_web_metrics_show_files_and_connections_in_use():
    found = {family.name: family for family in families()}
    assert {*found} == {
        "understack_certificate_seconds_left",
        "understack_certificate_readable",
        "understack_connection_tls_info",
    }
    left = found["understack_certificate_seconds_left"].samples
    assert [(one.labels["path"], one.labels["use"]) for one in left] == FILES
    assert all(one.value > 90 * 86400 for one in left)
    modes = found["understack_connection_tls_info"].samples
    assert [one.labels for one in modes] == [
        {"connection": name, "tls": "mutual", "verify": verify, "process": "web"}
        for name, verify in (
            ("database", "verify-full"),
            ("cache", "required"),
            ("broker", "required"),
        )
    ]


def test_worker_metrics_have_the_same_values_as_web():
    shared = CollectorRegistry()
    refresh_gauges(shared)
    page = generate_latest(shared).decode()
    for path, use in FILES:
        assert (
            f'understack_certificate_readable{{path="{path}",process="worker",'
            f'use="{use}"}} 1.0' in page
        )


class Timer:
    def __init__(self):
        self.calls = []

    def call_repeatedly(self, seconds, function):
        self.calls.append((seconds, function))


def test_worker_with_metrics_port_refreshes_every_minute(settings):
    """Again after each reconnect, which clears the timer."""
    parent = SimpleNamespace(timer=Timer())
    step = CertificateMetrics(parent)
    settings.CELERY_WORKER_PROMETHEUS_PORTS = []
    step.start(parent)
    assert parent.timer.calls == []
    settings.CELERY_WORKER_PROMETHEUS_PORTS = [8080]
    step.start(parent)
    step.start(parent)
    assert [seconds for seconds, _ in parent.timer.calls] == [REFRESH_SECONDS] * 2
    for _, refresh in parent.timer.calls:
        refresh()
