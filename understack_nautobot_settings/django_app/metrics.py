"""Prometheus metrics: until when certificates live, and how connections are set.

The web server evaluates them at each scrape of ``/metrics``, through Nautobot's
registry for Apps, so there is nothing that several processes could disagree about.
A worker's metrics port serves only what processes have written to the directory
that prometheus-client shares; its main process writes them there once a minute,
and the most recent value wins over what earlier processes have left behind.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from celery import bootsteps
from django.conf import settings
from prometheus_client import REGISTRY
from prometheus_client import Gauge
from prometheus_client.core import Metric

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.django_app.measurements import METRICS
from understack_nautobot_settings.django_app.measurements import samples

REFRESH_SECONDS = 60.0


def families() -> Iterator[Any]:
    """Yield the metric families of the web server, for Nautobot's registry."""
    found = {name: Metric(name, text, "gauge") for name, text in METRICS.items()}
    for name, labels, value in samples(SettingsInForce(settings), "web"):
        found[name].add_sample(name, labels, value)
    yield from found.values()


@cache
def _gauge(registry: Any, name: str, labels: tuple[str, ...]) -> Gauge:
    """Declare one of them as a gauge that a worker's processes share by files."""
    mode, text = "mostrecent", METRICS[name]
    return Gauge(name, text, labels, multiprocess_mode=mode, registry=registry)


def refresh_gauges(registry: Any = REGISTRY) -> None:
    """Write the values of this moment, to prometheus-client's registry by default."""
    for name, labels, value in samples(SettingsInForce(settings), "worker"):
        _gauge(registry, name, (*labels,)).labels(**labels).set(value)


class CertificateMetrics(bootsteps.StartStopStep):
    """Writes a worker's gauges at start, after each reconnect, and once a minute."""

    # A lost connection to the broker clears the timer and starts these steps again.
    requires = {"celery.worker.consumer.connection:Connection"}

    def start(self, parent: Any) -> None:
        """Go on writing the gauges; a worker without a metrics port needs none."""
        if settings.CELERY_WORKER_PROMETHEUS_PORTS:
            refresh_gauges()
            parent.timer.call_repeatedly(REFRESH_SECONDS, refresh_gauges)
