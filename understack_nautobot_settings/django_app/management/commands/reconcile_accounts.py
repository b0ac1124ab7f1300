"""``nautobot-server reconcile_accounts``: API users and tokens from secrets."""

from understack_nautobot_settings.accounts.records import DatabaseAccounts
from understack_nautobot_settings.commands import reconcile_accounts
from understack_nautobot_settings.django_app.reconciling import ReconcilingCommand


class Command(ReconcilingCommand):
    """Makes API users and tokens equal to secrets."""

    help = reconcile_accounts.SUMMARY
    add_arguments = staticmethod(reconcile_accounts.add_account_arguments)
    run = staticmethod(reconcile_accounts.run_account_command)
    local = DatabaseAccounts
