"""``nautobot-server reconcile_job_queues``: queues of sites and their jobs."""

from understack_nautobot_settings.commands import reconcile_queues
from understack_nautobot_settings.django_app.reconciling import ReconcilingCommand
from understack_nautobot_settings.queues.records import DatabaseQueues


class Command(ReconcilingCommand):
    """Creates queues, and allows jobs on them, as one file describes it."""

    help = reconcile_queues.SUMMARY
    add_arguments = staticmethod(reconcile_queues.add_queue_arguments)
    run = staticmethod(reconcile_queues.run_queue_command)
    local = DatabaseQueues
