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

from django.db import Error
from django.utils import timezone
from kombu.exceptions import OperationalError
from nautobot.core.celery import app
from nautobot.extras.jobs import run_job
from nautobot.extras.models import JobQueue
from nautobot.extras.models import JobResult
from redis import RedisError

GRACE_SECONDS = 900
"""How old a job has to be: what was just sent is on its way."""
INSPECT_SECONDS = 2.0
FAILURES = (Error, LookupError, OSError, OperationalError, RedisError)
"""What is raised where the database or the broker cannot be asked: before the first
migration there is no table, and a broker that is not Redis is a `LookupError`."""
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
        FAILURES: The database or the broker cannot be asked.
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


def inputs_of(job: StuckJob) -> dict[str, Any] | str:
    """Return the inputs to submit a job with, or why it cannot be submitted."""
    record = JobResult.objects.get(pk=job.id)
    job_class = record.job_model and record.job_model.job_class
    if job_class is None:
        return "the code of the job is not installed. End it."
    if record.scheduled_job is not None:
        return dict(record.scheduled_job.kwargs or {})
    if job_class._get_vars():
        fact = "its inputs were in the lost message alone."
        return f"{fact} End it, and run the job again."
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
    # Nautobot 2.4 does not write it into the record.
    types = dict(JobQueue.objects.values_list("name", "queue_type"))
    found = []
    for record in records.order_by("date_created"):
        queue = record.celery_kwargs.get("queue")
        kind = record.celery_kwargs.get("nautobot_job_queue_type", types.get(queue))
        # Without a queue it was never sent; Kubernetes' queues are not the broker's.
        if queue and kind != "kubernetes":
            age = (now - record.date_created).total_seconds()
            found.append(StuckJob(str(record.pk), record.name, queue, age))
    return found


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
