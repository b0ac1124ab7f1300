"""Jobs that will never run: PENDING, on no queue, and held by no worker.

Redis hands a message to a connection that may be dead, and forgets it. Nautobot's
record of the job stays PENDING for ever. This looks for such records in the database
and in the broker of the Nautobot it runs in.
"""

import json
from collections.abc import Iterable
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from typing import NamedTuple

from django.utils import timezone
from nautobot.core.celery import app
from nautobot.extras.jobs import run_job
from nautobot.extras.models import JobResult

GRACE_SECONDS = 900
"""How old a job has to be: what was just sent is on its way."""
INSPECT_SECONDS = 2.0
LOST = "The message of this job was lost; no queue and no worker has it."
_PAGE = 1000


class StuckJob(NamedTuple):
    """A job whose message is gone: its job result, and how long ago it was sent."""

    id: str
    name: str
    queue: str
    seconds: float

    def __str__(self) -> str:
        """Return who waits where and how long."""
        minutes = self.seconds / 60
        return f"{self.id} {self.name}, queue {self.queue}, {minutes:.0f} minutes old"


def stuck_jobs(
    older_than: float = GRACE_SECONDS, *, ask_workers: bool = False
) -> list[StuckJob]:
    """Return the jobs that will never run, oldest first.

    Args:
        older_than: Seconds.
        ask_workers: Whether to ask every worker what it holds, which takes some
            seconds. Without, a job counts as held while its message is unacknowledged.

    Raises:
        LookupError: The broker is not Redis, so nobody can look into its queues.
        kombu.exceptions.OperationalError: The broker does not answer.
    """
    found = _not_in_broker(_pending(older_than))
    if found and ask_workers:
        inspect = app.control.inspect(timeout=INSPECT_SECONDS)
        answers = inspect.query_task(*(job.id for job in found)) or {}
        held = {task for tasks in answers.values() for task in tasks}
        found = [job for job in found if job.id not in held]
    # A message that moves while it is looked for is seen by the second look.
    return _not_in_broker(found)


def end(job: StuckJob) -> bool:
    """End a stuck job as FAILURE; return whether it was still PENDING."""
    record = JobResult.objects.filter(pk=job.id, status="PENDING").first()
    if record is None:
        return False
    record.status = "FAILURE"
    record.date_done = timezone.now()
    record.result = {"exc_type": "LookupError", "exc_message": LOST}
    record.save()
    record.log(LOST, level_choice="error")
    return True


def inputs_of(job: StuckJob) -> dict[str, Any] | None:
    """Return the inputs to submit a job with, None if only its message had them."""
    record = JobResult.objects.get(pk=job.id)
    if record.scheduled_job is not None:
        return dict(record.scheduled_job.kwargs or {})
    model = record.job_model
    if model is None or model.job_class is None or model.job_class._get_vars():
        return None
    return {}


def resubmit(job: StuckJob, inputs: dict[str, Any]) -> bool:
    """Submit a stuck job under its own id; return whether it was still PENDING."""
    record = JobResult.objects.filter(pk=job.id, status="PENDING").first()
    if record is None:
        return False
    run_job.apply_async(
        args=[record.job_model.class_path],
        kwargs=inputs,
        task_id=job.id,
        **record.celery_kwargs,
    )
    return True


def _pending(older_than: float) -> list[StuckJob]:
    now = timezone.now()
    records = JobResult.objects.filter(
        status="PENDING", date_created__lt=now - timedelta(seconds=older_than)
    )
    return [
        StuckJob(
            str(record.pk),
            record.name,
            record.celery_kwargs["queue"],
            (now - record.date_created).total_seconds(),
        )
        for record in records.order_by("date_created")
        # Without a queue it was never sent; Kubernetes' queues are not the broker's.
        if record.celery_kwargs.get("queue")
        and record.celery_kwargs.get("nautobot_job_queue_type") != "kubernetes"
    ]


def _not_in_broker(jobs: list[StuckJob]) -> list[StuckJob]:
    known = set(_in_broker({job.queue for job in jobs})) if jobs else ()
    return [job for job in jobs if job.id not in known]


def _in_broker(queues: Iterable[str]) -> Iterator[str]:
    """Yield the ids of messages in these queues, and of unacknowledged ones."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        channel = connection.default_channel
        if connection.transport.driver_type != "redis":
            raise LookupError(
                f"The broker is {connection.transport.driver_type}; only the queues of "
                "Redis can be looked into."
            )
        client, prefix = channel.client, channel.global_keyprefix
        for queue in queues:
            for priority in channel.priority_steps:
                key = f"{prefix}{channel._q_for_pri(queue, priority)}"
                start = 0
                while page := client.lrange(key, start, start + _PAGE - 1):
                    yield from (json.loads(raw)["headers"]["id"] for raw in page)
                    start += _PAGE
        for _, raw in client.hscan_iter(f"{prefix}{channel.unacked_key}"):
            yield json.loads(raw)[0]["headers"]["id"]
