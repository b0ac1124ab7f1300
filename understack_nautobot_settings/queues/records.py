"""Jobs and queues in the database of the Nautobot this runs in."""

from nautobot.extras.models import Job as JobRecord
from nautobot.extras.models import JobQueue as QueueRecord

from understack_nautobot_settings.queues import plan
from understack_nautobot_settings.reconciliation.database import Database
from understack_nautobot_settings.reconciliation.database import save
from understack_nautobot_settings.reconciliation.steps import Step


class DatabaseQueues(Database):
    """Jobs and queues through Django's models."""

    def jobs_and_queues(self) -> tuple[list[plan.Job], list[plan.Queue]]:
        """Return every job that Nautobot knows, and every queue that it has."""
        records = JobRecord.objects.select_related("default_job_queue")
        jobs = [
            plan.Job(
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
        queues = QueueRecord.objects.values_list("name", "queue_type", "description")
        return jobs, [plan.Queue(*values) for values in queues]

    def make(self, step: Step) -> None:
        """Make one step."""
        queues = QueueRecord.objects.filter(name=step.subject)
        if step.verb == plan.CREATE_QUEUE:
            save(QueueRecord(), step)
        elif not step.key:
            save(queues.get(), step)
        else:
            module, _, name = step.key.rpartition(".")
            job = JobRecord.objects.get(module_name=module, job_class_name=name)
            if step.verb == plan.ALLOW_JOB:
                job.job_queues.add(queues.get())
            elif step.verb == plan.DISALLOW_JOB:
                job.job_queues.remove(queues.get())
            else:
                save(job, step)
