"""What the management commands that reconcile have in common."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from django.core.management.base import BaseCommand


class ReconcilingCommand(BaseCommand):
    """Reconciles in the database, or over REST with a bootstrap token.

    Attributes:
        run: Takes the options and returns the exit status, see `run_command`.
        local: Makes the back end for the database.
    """

    # A Kubernetes Job runs this one thing; what else is wrong is not its concern.
    requires_system_checks: list[str] = []
    run: Callable[..., int]
    local: Callable[[], Any]

    def handle(self, *_args: Any, **options: Any) -> None:
        """Reconcile, and leave with the status."""
        status = self.run(
            SimpleNamespace(**options),
            local=self.local,
            write=self.stdout.write,
            complain=self.stderr.write,
        )
        if status:
            sys.exit(status)
