"""Prometheus metrics: until when certificates live, and how connections are set.

The web server evaluates them at each scrape of ``/metrics``, through Nautobot's
registry for Apps, so there is nothing that several processes could disagree about.
A worker's metrics port serves only what processes have written to the directory
that prometheus-client shares; its main process writes them there once a minute,
and the most recent value wins over what earlier processes have left behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily

from understack_nautobot_settings.app.expiry import connection_modes
from understack_nautobot_settings.app.expiry import file_expiries
from understack_nautobot_settings.app.settings_in_force import SettingsInForce

WEB = "web"
WORKER = "worker"


class Metric(NamedTuple):
    """A gauge, as both ways of exporting it declare it.

    Attributes:
        name: Its name.
        help: What it says.
        labels: The names of its labels, ``process`` aside.
    """

    name: str
    help: str
    labels: tuple[str, ...]


SECONDS_LEFT = Metric(
    "understack_certificate_seconds_left",
    "Seconds until the certificate file expires (notAfter), negative once it has; "
    "NaN where it cannot be read",
    ("path", "use"),
)
READABLE = Metric(
    "understack_certificate_readable",
    "1 where the certificate file holds certificates that can be read, else 0",
    ("path", "use"),
)
TLS = Metric(
    "understack_connection_tls_info",
    "1 for the way each connection is protected",
    ("connection", "tls", "verify"),
)
METRICS = (SECONDS_LEFT, READABLE, TLS)

Sample = tuple[Metric, tuple[str, ...], float]


def samples() -> Iterator[Sample]:
    """Yield every value, read from the files at this moment."""
    settings = SettingsInForce()
    for expiry in file_expiries(settings):
        labels = (expiry.path, expiry.use)
        left = math.nan if expiry.seconds_left is None else expiry.seconds_left
        yield SECONDS_LEFT, labels, left
        yield READABLE, labels, float(expiry.seconds_left is not None)
    for mode in connection_modes(settings):
        yield TLS, mode, 1.0


def families() -> Iterator[Any]:
    """Yield the metric families of the web server, for Nautobot's registry."""
    found: dict[Metric, Any] = {
        metric: GaugeMetricFamily(
            metric.name, metric.help, labels=[*metric.labels, "process"]
        )
        for metric in METRICS
    }
    for metric, labels, value in samples():
        found[metric].add_metric([*labels, WEB], value)
    yield from found.values()


class WorkerGauges:
    """The same values as gauges that a worker's processes share through files."""

    def __init__(self, registry: Any = None) -> None:
        """Declare the gauges.

        Args:
            registry: Where; prometheus-client's own by default.
        """
        options = {} if registry is None else {"registry": registry}
        self._gauges = {
            metric: Gauge(
                metric.name,
                metric.help,
                [*metric.labels, "process"],
                multiprocess_mode="mostrecent",
                **options,
            )
            for metric in METRICS
        }

    def set(self, values: Iterable[Sample]) -> None:
        """Write the values."""
        for metric, labels, value in values:
            self._gauges[metric].labels(*labels, WORKER).set(value)
