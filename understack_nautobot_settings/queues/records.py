"""Jobs and queues in the database of the Nautobot this runs in."""

from __future__ import annotations

from nautobot.extras.models import Job as JobRecord
from nautobot.extras.models import JobQueue as QueueRecord

from understack_nautobot_settings.queues import plan as job_queues
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import Queue
from understack_nautobot_settings.queues.plan import QueueStep


def jobs() -> list[Job]:
    """Return every job that Nautobot knows."""
    records = JobRecord.objects.select_related("default_job_queue")
    return [
        Job(
            record.name,
            record.grouping,
            record.class_path,
            record.installed,
            record.enabled,
            frozenset(queue.name for queue in record.job_queues.all()),
            record.default_job_queue.name,
        )
        for record in records.prefetch_related("job_queues")
    ]


def queues() -> list[Queue]:
    """Return every queue that Nautobot has."""
    return [
        Queue(record.name, record.queue_type, record.description)
        for record in QueueRecord.objects.all()
    ]


def apply(step: QueueStep) -> None:
    """Carry out one step."""
    if step.verb == job_queues.CREATE_QUEUE:
        QueueRecord(name=step.queue, queue_type=job_queues.CELERY).validated_save()
    elif step.verb == job_queues.DESCRIBE_QUEUE:
        queue = QueueRecord.objects.get(name=step.queue)
        queue.description = step.detail
        queue.validated_save()
    else:
        _change_job(step)


def _change_job(step: QueueStep) -> None:
    module, _, name = step.job.rpartition(".")
    job = JobRecord.objects.get(module_name=module, job_class_name=name)
    if step.verb == job_queues.ENABLE_JOB:
        job.enabled = True
        job.validated_save()
        return
    # Without the override, the next start of Nautobot sets the queues back to those
    # that the job's class names.
    if not job.job_queues_override:
        job.job_queues_override = True
        job.validated_save()
    queue = QueueRecord.objects.get(name=step.queue)
    if step.verb == job_queues.ALLOW_JOB:
        job.job_queues.add(queue)
    else:
        job.job_queues.remove(queue)
