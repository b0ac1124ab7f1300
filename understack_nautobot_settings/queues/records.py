"""Jobs and queues in the database of the Nautobot this runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db import transaction
from nautobot.extras.models import Job as JobRecord
from nautobot.extras.models import JobQueue as QueueRecord

from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.records import answering
from understack_nautobot_settings.queues import plan
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import Queue


class DatabaseQueues:
    """Jobs and queues through Django's models."""

    def jobs(self) -> list[Job]:
        """Return every job that Nautobot knows.

        Raises:
            Unreachable: The database does not answer.
        """
        records = JobRecord.objects.select_related("default_job_queue")
        with answering():
            return [
                Job(
                    record.name,
                    record.grouping,
                    record.class_path,
                    record.installed,
                    record.enabled,
                    frozenset(queue.name for queue in record.job_queues.all()),
                    record.default_job_queue.name,
                    record.job_queues_override,
                )
                for record in records.prefetch_related("job_queues")
            ]

    def queues(self) -> list[Queue]:
        """Return every queue that Nautobot has."""
        return [
            Queue(record.name, record.queue_type, record.description)
            for record in QueueRecord.objects.all()
        ]

    def apply(self, step: Step) -> None:
        """Carry out one step."""
        if step.verb == plan.CREATE_QUEUE:
            QueueRecord(name=step.subject, queue_type=plan.CELERY).validated_save()
        elif step.verb == plan.DESCRIBE_QUEUE:
            queue = QueueRecord.objects.get(name=step.subject)
            queue.description = step.detail
            queue.validated_save()
        else:
            _change_job(step)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Hold a transaction."""
        reason = ""
        try:
            with transaction.atomic():
                yield
        except (DatabaseError, ValidationError) as error:
            # The texts may hold values: the class has to do.
            reason = type(error).__name__
        if reason:
            raise Refused(f"the database refused a change ({reason})")


def _change_job(step: Step) -> None:
    module, _, name = step.key.rpartition(".")
    job = JobRecord.objects.get(module_name=module, job_class_name=name)
    if step.verb == plan.ENABLE_JOB:
        job.enabled = True
        job.validated_save()
    elif step.verb in (plan.KEEP_QUEUES, plan.RELEASE_QUEUES):
        job.job_queues_override = step.verb == plan.KEEP_QUEUES
        job.validated_save()
    else:
        queue = QueueRecord.objects.get(name=step.subject)
        if step.verb == plan.ALLOW_JOB:
            job.job_queues.add(queue)
        else:
            job.job_queues.remove(queue)
