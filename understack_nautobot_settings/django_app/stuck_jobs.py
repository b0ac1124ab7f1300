"""Jobs that will never run, as a system check and as a metric."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

from django.core.checks import CheckMessage
from prometheus_client.core import GaugeMetricFamily

from understack_nautobot_settings.django_app.checks import message
from understack_nautobot_settings.queues import codes

if TYPE_CHECKING:
    from understack_nautobot_settings.queues.stuck_jobs import StuckJob

logger = logging.getLogger(__name__)


def check_stuck_jobs(databases: Any = None, **options: Any) -> list[CheckMessage]:
    """Return every job that will never run, where the database may be asked.

    Django does so for ``check --database default``, and before it migrates. Asks the
    broker as well.
    """
    del options
    found = _found() if "default" in (databases or ()) else None
    fact = "no queue and no worker has the message of {}."
    return [
        message(codes.JOB_STUCK.problem("JobResult", fact.format(job)))
        for job in found or ()
    ]


def stuck_job_families() -> Iterator[Any]:
    """Yield how many jobs of each queue will never run, for Nautobot's registry.

    Nothing is yielded where the database or the broker cannot be asked.
    """
    found = _found()
    if found is None:
        return
    family = GaugeMetricFamily(
        "understack_stuck_jobs",
        "Jobs that are PENDING, on no queue and held by no worker",
        labels=["queue"],
    )
    for queue, count in Counter(job.queue for job in found).items():
        family.add_metric([queue], count)
    yield family


def _found() -> list[StuckJob] | None:
    # Models can be imported once every app is ready.
    from understack_nautobot_settings.queues import stuck_jobs

    try:
        return stuck_jobs.stuck_jobs()
    except stuck_jobs.FAILURES as error:
        logger.warning("Cannot look for stuck jobs: %s", error)
        return None
