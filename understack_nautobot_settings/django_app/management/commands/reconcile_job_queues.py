"""``nautobot-server reconcile_job_queues``: queues of sites and their jobs."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from django.core.management.base import BaseCommand

from understack_nautobot_settings.commands import reconcile_queues
from understack_nautobot_settings.queues.records import DatabaseQueues


class Command(BaseCommand):
    """Creates queues, and allows jobs on them, as one file describes it."""

    help = reconcile_queues.SUMMARY
    # A Kubernetes Job runs this one thing; what else is wrong is not its concern.
    requires_system_checks: list[str] = []
    add_arguments = staticmethod(reconcile_queues.add_queue_arguments)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Reconcile, and leave with the status."""
        status = reconcile_queues.run_queue_command(
            SimpleNamespace(**options),
            local=DatabaseQueues,
            write=self.stdout.write,
            complain=self.stderr.write,
        )
        if status:
            sys.exit(status)
