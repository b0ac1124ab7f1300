"""The commands that make a remote Nautobot equal to files: accounts, job queues."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import Console
from understack_nautobot_settings.commands.command import Outcome
from understack_nautobot_settings.commands.reconcile_accounts import (
    add_account_arguments,
)
from understack_nautobot_settings.commands.reconcile_accounts import run_account_command
from understack_nautobot_settings.commands.reconcile_queues import add_queue_arguments
from understack_nautobot_settings.commands.reconcile_queues import run_queue_command


def _run(command: Callable[..., int], arguments: Any, console: Console) -> Outcome:
    del console
    results: list[str] = []
    remarks: list[str] = []
    status = command(
        arguments, local=None, write=results.append, complain=remarks.append
    )
    return Outcome(status, _lines(results), _lines(remarks))


def _lines(texts: list[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


ACCOUNTS = Command(
    "reconcile-accounts",
    "make API users of a remote Nautobot as secrets say",
    "Make API users and their tokens equal to mounted secrets, over the REST API "
    "with a bootstrap token. Inside Nautobot, use 'nautobot-server "
    "reconcile_accounts'. Exit status 2 where Nautobot could not be asked.",
    partial(add_account_arguments, remote_only=True),
    partial(_run, run_account_command),
)
QUEUES = Command(
    "reconcile-queues",
    "make job queues of a remote Nautobot as a file says",
    "Make job queues, and the jobs allowed on them, equal to a file, over the REST "
    "API with a token. Inside Nautobot, use 'nautobot-server reconcile_job_queues'. "
    "Exit status 2 where Nautobot could not be asked.",
    partial(add_queue_arguments, remote_only=True),
    partial(_run, run_queue_command),
)
