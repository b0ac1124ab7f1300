"""``reconcile-accounts``: API users and tokens from secrets.

Shared by the management command inside Nautobot and the command line outside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace

from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import read_credentials
from understack_nautobot_settings.accounts.failures import Unreachable
from understack_nautobot_settings.accounts.failures import Unusable
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import is_mark
from understack_nautobot_settings.accounts.plan import is_owner
from understack_nautobot_settings.accounts.reconcile import Backend
from understack_nautobot_settings.accounts.reconcile import reconcile_accounts
from understack_nautobot_settings.accounts.remote import RemoteAccounts
from understack_nautobot_settings.accounts.rest import RestApi
from understack_nautobot_settings.commands.remote_nautobot import Connect
from understack_nautobot_settings.commands.remote_nautobot import Misused
from understack_nautobot_settings.commands.remote_nautobot import Write
from understack_nautobot_settings.commands.remote_nautobot import add_remote_arguments
from understack_nautobot_settings.commands.remote_nautobot import is_remote
from understack_nautobot_settings.commands.remote_nautobot import printing
from understack_nautobot_settings.commands.remote_nautobot import remote_nautobot
from understack_nautobot_settings.commands.remote_nautobot import unusable_problem
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import WRONG
from understack_nautobot_settings.problems import Problem

SUMMARY = (
    "Make API users and their tokens equal to mounted secrets: create, update, "
    "rotate, or leave alone."
)


def owner(text: str) -> str:
    """Return the name of an owner, checked."""
    if not is_owner(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be an owner: write letters, digits, '.', '_' and '-'"
        )
    return text


def group(text: str) -> str:
    """Return the name of a group, which may not be one that marks accounts."""
    if not text or is_mark(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is a group that marks accounts of an owner"
            if text
            else "a group has a name"
        )
    return text


def add_account_arguments(
    parser: argparse.ArgumentParser, *, remote_only: bool = False
) -> None:
    """Add the arguments.

    Args:
        parser: Takes them.
        remote_only: True where there is no database to fall back to.
    """
    parser.add_argument(
        "secrets",
        nargs="+",
        metavar="PATH",
        help="a mounted secret, a directory of them, or a JSON file",
    )
    parser.add_argument(
        "--owner",
        required=True,
        type=owner,
        metavar="NAME",
        help="whose accounts these are, such as the name of the cluster: letters, "
        "digits, '.', '_' and '-'; only accounts with this mark are ever changed",
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="take over users that exist without the mark",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove accounts and tokens with the mark that are in no secret",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change, change nothing"
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        dest="groups",
        type=group,
        metavar="NAME",
        help="a group that every account joins, for its permissions; repeatable",
    )
    parser.add_argument(
        "--superuser",
        action="store_true",
        help="make every account a superuser whose secret does not say otherwise",
    )
    add_remote_arguments(parser, remote_only=remote_only)


def run_account_command(
    options: SimpleNamespace,
    *,
    local: Callable[[], Backend] | None,
    write: Write,
    complain: Write,
    connect: Connect = RestApi,
) -> int:
    """Reconcile as the arguments say.

    Args:
        options: What `add_account_arguments` parsed.
        local: Makes the back end for the database; None outside Nautobot.
        write: Takes the lines of the result.
        complain: Takes the lines of what is wrong.
        connect: Makes the API of a remote Nautobot.

    Returns:
        0 when every account equals its secret, 1 when something has to be corrected
        first, 2 when Nautobot could not be asked and trying again may help, or when
        the arguments do not fit together.
    """
    write, complain = printing(write), printing(complain)
    problems: list[Problem] = []
    credentials = read_credentials(options.secrets, problems=problems)
    failure = last = ""
    try:
        backend = _backend(options, problems, local, connect)
        if backend is not None:
            last = _reconcile(options, backend, credentials, problems, write)
    except Misused as misused:
        failure = str(misused)
    except Unreachable as unreachable:
        failure = f"Nautobot could not be asked: {unreachable}."
    except Unusable as unusable:
        problems.append(unusable_problem(unusable))
    for problem in problems:
        complain(str(problem))
    if failure:
        complain(failure)
    if last:
        write(last)
    if any(one.severity == ERROR for one in problems):
        return WRONG
    return COULD_NOT_CHECK if failure else FINE


def _backend(
    options: SimpleNamespace,
    problems: list[Problem],
    local: Callable[[], Backend] | None,
    connect: Connect,
) -> Backend | None:
    if local is not None and not is_remote(options):
        return local()
    remote = remote_nautobot(options, connect=connect, problems=problems)
    return None if remote is None else RemoteAccounts(*remote)


def _reconcile(
    options: SimpleNamespace,
    backend: Backend,
    credentials: list[Credential],
    problems: list[Problem],
    write: Write,
) -> str:
    policy = Policy(
        options.owner,
        options.adopt,
        options.prune,
        options.superuser,
        tuple(dict.fromkeys(options.groups)),
    )
    summary = reconcile_accounts(
        backend,
        credentials,
        policy,
        dry_run=options.dry_run,
        problems=problems,
        progress=write,
    )
    problems[:] = summary.problems
    for username in summary.stale:
        write(f"{username}: in no usable secret, kept")
    return f"{summary}{' (dry run)' if options.dry_run else ''}"
