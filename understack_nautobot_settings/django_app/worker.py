"""Keeps the metrics of a Celery worker current."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from django.conf import settings

from understack_nautobot_settings.django_app.metrics import WorkerGauges

REFRESH_SECONDS = 60.0


class CertificateMetrics(bootsteps.StartStopStep):
    """Writes the gauges at start, after each reconnect, and once a minute."""

    # A lost connection to the broker clears the timer and starts these steps again.
    requires = {"celery.worker.consumer.connection:Connection"}

    def __init__(self, parent: Any, **options: Any) -> None:
        """Declare nothing yet: a worker without a metrics port needs no gauges."""
        super().__init__(parent, **options)
        self._gauges: WorkerGauges | None = None

    def start(self, parent: Any) -> None:
        """Write the gauges, and go on doing so."""
        if not settings.CELERY_WORKER_PROMETHEUS_PORTS:
            return
        if self._gauges is None:
            self._gauges = WorkerGauges()
        self._gauges.refresh()
        parent.timer.call_repeatedly(REFRESH_SECONDS, self._gauges.refresh)
