"""``nautobot-server reconcile_accounts``: API users and tokens from secrets."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from django.core.management.base import BaseCommand

from understack_nautobot_settings.accounts.records import answering_accounts
from understack_nautobot_settings.commands import reconcile_accounts


class Command(BaseCommand):
    """Reconciles accounts in the database, or over REST with a bootstrap token."""

    help = reconcile_accounts.SUMMARY
    # A Kubernetes Job runs this one thing; what else is wrong is not its concern.
    requires_system_checks: list[str] = []
    add_arguments = staticmethod(reconcile_accounts.add_account_arguments)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Reconcile, and leave with the status."""
        status = reconcile_accounts.run_account_command(
            SimpleNamespace(**options),
            local=answering_accounts,
            write=self.stdout.write,
            complain=self.stderr.write,
        )
        if status:
            sys.exit(status)
