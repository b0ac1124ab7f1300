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
from understack_nautobot_settings.accounts.records import refused_fields
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
            record = QueueRecord()
        elif step.key:
            module, _, name = step.key.rpartition(".")
            record = JobRecord.objects.get(module_name=module, job_class_name=name)
        else:
            record = QueueRecord.objects.get(name=step.subject)
        if step.verb == plan.ALLOW_JOB:
            record.job_queues.add(QueueRecord.objects.get(name=step.subject))
        elif step.verb == plan.DISALLOW_JOB:
            record.job_queues.remove(QueueRecord.objects.get(name=step.subject))
        else:
            for field, value in plan.changed_fields(step).items():
                setattr(record, field, value)
            record.validated_save()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Hold a transaction."""
        reason = ""
        try:
            with transaction.atomic():
                yield
        except ValidationError as error:
            reason = refused_fields(error)
        except DatabaseError as error:
            # Its text may hold values: the class has to do.
            reason = type(error).__name__
        if reason:
            raise Refused(f"the database refused a change: {reason}")
