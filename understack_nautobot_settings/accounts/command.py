"""Arguments, report and exit status of the account reconciliation.

Shared by the management command inside Nautobot and the command line outside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import read_credentials
from understack_nautobot_settings.accounts.credentials import read_token
from understack_nautobot_settings.accounts.plan import DEFAULT_OWNER
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.reconcile import Backend
from understack_nautobot_settings.accounts.reconcile import Unreachable
from understack_nautobot_settings.accounts.reconcile import reconcile_accounts
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

FINE = 0
WRONG = 1
COULD_NOT = 2

SUMMARY = (
    "Make API users and their tokens equal to mounted secrets: create, update, "
    "rotate, or leave alone."
)

Write = Callable[[str], object]
Connect = Callable[..., Any]


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
        default=DEFAULT_OWNER,
        help="whose accounts these are; only accounts with this mark are ever "
        "changed (default: %(default)s)",
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
        metavar="NAME",
        help="a group that every account joins, for its permissions; repeatable",
    )
    parser.add_argument(
        "--superuser", action="store_true", help="make every account a superuser"
    )
    remote = parser.add_argument_group(
        "remote Nautobot", "over the REST API instead of the database"
    )
    if not remote_only:
        remote.add_argument(
            "--remote",
            action="store_true",
            help="use the REST API of the host that the secrets name",
        )
    remote.add_argument(
        "--url", help="base URL, instead of https:// and the secrets' hostname"
    )
    remote.add_argument(
        "--token-file",
        metavar="PATH",
        help="file with the bootstrap token, or the directory that holds it as 'token'",
    )
    remote.add_argument(
        "--ca-file", metavar="PATH", help="CA certificates of the server"
    )


def run_account_command(
    options: SimpleNamespace,
    *,
    local: Callable[[], Backend] | None,
    write: Write,
    complain: Write,
    connect: Connect | None = None,
) -> int:
    """Reconcile as the arguments say.

    Args:
        options: What `add_account_arguments` parsed.
        local: Makes the back end for the database; None outside Nautobot.
        write: Takes the lines of the result.
        complain: Takes the lines of what is wrong.
        connect: Makes the API object of a remote Nautobot; default pynautobot's.

    Returns:
        0 when every account equals its secret, 1 when something has to be mended
        first, 2 when Nautobot could not be asked and trying again may help.
    """
    problems: list[Problem] = []
    credentials = read_credentials(options.secrets, problems=problems)
    policy = Policy(
        options.owner,
        options.adopt,
        options.prune,
        options.superuser,
        tuple(dict.fromkeys(options.groups)),
    )
    try:
        backend = _backend(options, local, connect, credentials)
        summary = reconcile_accounts(
            backend,
            credentials,
            policy,
            dry_run=options.dry_run,
            problems=problems,
            progress=write,
        )
    except _Misused as misused:
        for problem in problems:
            complain(str(problem))
        complain(f"{misused}")
        return COULD_NOT
    except Unreachable as unreachable:
        complain(f"Nautobot could not be asked: {unreachable}.")
        return COULD_NOT
    for username in summary.stale:
        write(f"{username}: in no usable secret, kept")
    for problem in summary.problems:
        complain(str(problem))
    write(f"{summary}{' (dry run)' if options.dry_run else ''}")
    return WRONG if any(one.severity == ERROR for one in summary.problems) else FINE


class _Misused(Exception):
    """The arguments do not fit together."""


def _backend(
    options: SimpleNamespace,
    local: Callable[[], Backend] | None,
    connect: Connect | None,
    credentials: list[Credential],
) -> Backend:
    if local is not None and not (options.remote or options.url or options.token_file):
        return local()
    if not options.token_file:
        raise _Misused("A remote Nautobot needs --token-file.")
    problems: list[Problem] = []
    bootstrap = read_token(options.token_file, problems=problems)
    if bootstrap is None:
        raise _Misused(str(problems[0]))
    # Only this way needs an HTTP client.
    from understack_nautobot_settings.accounts.remote import RemoteAccounts

    url = options.url or _url(credentials)
    return RemoteAccounts(url, bootstrap, ca_file=options.ca_file, connect=connect)


def _url(credentials: list[Credential]) -> str:
    hosts = sorted({one.hostname for one in credentials if one.hostname})
    if len(hosts) != 1:
        seen = ", ".join(hosts) or "none"
        raise _Misused(f"The secrets name no single host ({seen}). Use --url.")
    host = hosts[0]
    return host if "://" in host else f"https://{host}"
