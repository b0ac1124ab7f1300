"""``reconcile-accounts``: API users and tokens from secrets.

Shared by the management command inside Nautobot and the command line outside.
"""

import argparse
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from understack_nautobot_settings.accounts.credentials import read_credentials
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import is_mark
from understack_nautobot_settings.accounts.reconcile import reconcile_accounts
from understack_nautobot_settings.accounts.remote import RemoteAccounts
from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import given_path
from understack_nautobot_settings.commands.remote_nautobot import Write
from understack_nautobot_settings.commands.remote_nautobot import add_remote_arguments
from understack_nautobot_settings.commands.remote_nautobot import outcome_of
from understack_nautobot_settings.commands.remote_nautobot import run_command
from understack_nautobot_settings.problems import Problem

SUMMARY = (
    "Make API users and their tokens equal to mounted secrets: create, update, "
    "rotate, or leave alone."
)


def _owner(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be an owner: write letters, digits, '.', '_' and '-'"
        )
    return text


def _group(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of the group is empty")
    if is_mark(text):
        fact = f"{text!r} is a group that marks accounts of an owner"
        raise argparse.ArgumentTypeError(fact)
    return text


def add_account_arguments(
    parser: argparse.ArgumentParser, *, remote_only: bool = False
) -> None:
    """Add the arguments; see `add_remote_arguments`."""
    parser.add_argument(
        "secrets",
        nargs="+",
        type=given_path,
        metavar="PATH",
        help="a mounted secret, a directory of them, or a JSON file",
    )
    parser.add_argument(
        "--owner",
        required=True,
        type=_owner,
        metavar="NAME",
        help="whose accounts these are, such as the name of the cluster: letters, "
        "digits, '.', '_' and '-'; only accounts that are marked with it are changed",
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="take over users that exist without a mark",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove marked accounts and tokens that are in no secret",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        dest="groups",
        type=_group,
        metavar="NAME",
        help="a group that every account joins, for its permissions; may be repeated",
    )
    parser.add_argument(
        "--superuser",
        action="store_true",
        help="make every account a superuser, unless its secret says otherwise",
    )
    add_remote_arguments(parser, remote_only=remote_only)


def _reconcile(
    options: Any,
    backend_of: Callable[[type[RemoteAccounts]], Any],
    problems: list[Problem],
    write: Write,
) -> str:
    credentials = read_credentials(options.secrets, problems=problems)
    backend = backend_of(RemoteAccounts)
    if backend is None:
        return ""
    groups = tuple(dict.fromkeys(options.groups))
    policy = Policy(
        options.owner, options.adopt, options.prune, options.superuser, groups
    )
    summary = reconcile_accounts(
        backend,
        credentials,
        policy,
        dry_run=options.dry_run,
        problems=problems,
        progress=write,
    )
    for username in summary.stale:
        write(f"{username}: in no usable secret, kept")
    return f"{summary}{' (dry run)' if options.dry_run else ''}"


run_account_command = partial(run_command, _reconcile)
"""Reconciles as the arguments say, and returns the exit status; see `run_command`."""

COMMAND = Command(
    "make API users of a remote Nautobot match secrets",
    "Make API users and their tokens equal to mounted secrets, over the REST API "
    "with a bootstrap token. Inside Nautobot, use 'nautobot-server "
    "reconcile_accounts'. Exit status 2 if Nautobot could not be asked.",
    partial(add_account_arguments, remote_only=True),
    partial(outcome_of, _reconcile),
)
