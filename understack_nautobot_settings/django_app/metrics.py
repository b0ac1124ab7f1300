"""Prometheus metrics: until when certificates live, and how connections are set.

The web server evaluates them at each scrape of ``/metrics``, through Nautobot's
registry for Apps, so there is nothing that several processes could disagree about.
A worker's metrics port serves only what processes have written to the directory
that prometheus-client shares; its main process writes them there once a minute,
and the most recent value wins over what earlier processes have left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from prometheus_client import REGISTRY
from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.django_app.expiry import RecentFiles
from understack_nautobot_settings.django_app.measurements import METRICS
from understack_nautobot_settings.django_app.measurements import Metric
from understack_nautobot_settings.django_app.measurements import samples

RECENT_FILES = RecentFiles()
"""What the requests of this process share."""

WEB = "web"
WORKER = "worker"


def import_cache_backend() -> None:
    """Import the cache back end before anybody asks for metrics.

    With metrics on it is django-prometheus', which registers gauges of its own when
    it is imported. Where processes share no directory for metrics, Nautobot's
    ``/metrics`` asks the cache while it holds the lock of that very registry: a web
    process that nobody has asked for anything else yet would wait for itself for ever.
    """
    import_string(settings.CACHES["default"]["BACKEND"])


def families() -> Iterator[Any]:
    """Yield the metric families of the web server, for Nautobot's registry."""
    found: dict[Metric, Any] = {
        metric: GaugeMetricFamily(
            metric.name, metric.help, labels=[*metric.labels, "process"]
        )
        for metric in METRICS
    }
    for metric, labels, value in samples(SettingsInForce(settings), read=RECENT_FILES):
        found[metric].add_metric([*labels, WEB], value)
    yield from found.values()


class WorkerGauges:
    """The same values as gauges that a worker's processes share through files."""

    def __init__(self, registry: Any = REGISTRY) -> None:
        """Declare the gauges in a registry, prometheus-client's own by default."""
        self._gauges = {
            metric: Gauge(
                metric.name,
                metric.help,
                [*metric.labels, "process"],
                multiprocess_mode="mostrecent",
                registry=registry,
            )
            for metric in METRICS
        }

    def refresh(self) -> None:
        """Write the values of this moment."""
        in_force = SettingsInForce(settings)
        for metric, labels, value in samples(in_force, read=RECENT_FILES):
            self._gauges[metric].labels(*labels, WORKER).set(value)
