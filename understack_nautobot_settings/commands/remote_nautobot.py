"""What the commands that reconcile have in common.

Each is a command of `nautobot-server`, which has the database, and one of the command
line, which reaches a remote Nautobot over REST.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from understack_nautobot_settings.accounts.credentials import read_bootstrap
from understack_nautobot_settings.certificates.openssl import NotJudged
from understack_nautobot_settings.certificates.openssl import trusting
from understack_nautobot_settings.commands.command import Console
from understack_nautobot_settings.commands.command import CouldNotCheck
from understack_nautobot_settings.commands.command import Outcome
from understack_nautobot_settings.commands.command import given_path
from understack_nautobot_settings.commands.command import seconds
from understack_nautobot_settings.commands.command import write
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.problems import status_with
from understack_nautobot_settings.reconciliation import codes
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.rest import RestApi
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_bytes

_SHORTEST_RUN = 0.001

Write = Callable[[str], object]
Work = Callable[..., str]
"""Takes what the arguments say; what returns the back end, or None, when it is given
the class that reaches a remote Nautobot; a list for problems; and what writes a line of
the result. Returns the last line, which follows the problems."""


def add_remote_arguments(parser: argparse.ArgumentParser, *, remote_only: bool) -> None:
    """Add ``--dry-run``, and what says which Nautobot, and how to reach it.

    With ``remote_only`` there is no database to fall back to.
    """
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change, change nothing"
    )
    instead = "" if remote_only else " instead of the database"
    remote = parser.add_argument_group("remote Nautobot", f"over the REST API{instead}")
    if not remote_only:
        remote.add_argument(
            "--remote",
            action="store_true",
            help="use the REST API of the host that the bootstrap secret names",
        )
    remote.add_argument(
        "--url",
        help="base URL, https://HOST[:PORT]; default: the hostname in the directory of "
        "the token",
    )
    remote.add_argument(
        "--token-file",
        type=given_path,
        metavar="PATH",
        help="file with the token of an administrator, or the directory of the secret "
        "that holds it as 'token' or 'apitoken'",
    )
    remote.add_argument(
        "--ca-file",
        type=given_path,
        metavar="PATH",
        help="CA certificates of the server (default: the system's)",
    )
    remote.add_argument(
        "--timeout",
        type=partial(seconds, least=_SHORTEST_RUN),
        default=300.0,
        metavar="SECONDS",
        help="give up after so many seconds (default: 300)",
    )


def run_command(
    work: Work,
    options: Any,
    *,
    local: Callable[[], Any] | None,
    write: Write,
    complain: Write,
    connect: Callable[..., RestApi] = RestApi,
    **more: Any,
) -> int:
    """Reconcile, say what came of it, and return the exit status.

    Names of users and jobs come from a server, and may hold escape sequences: each
    line is written so that a terminal shows it as it is. ``local`` makes the back end
    for the database, None outside Nautobot; ``more`` is for `work`.

    Returns:
        0 when everything is as wanted, 1 when something has to be corrected first,
        2 when Nautobot could not be asked and trying again may help, or when the
        arguments do not fit together.
    """
    problems: list[Problem] = []
    failure = last = ""
    backend_of = partial(_backend, options, local, connect, problems)
    try:
        last = work(
            options, backend_of, problems, lambda text: write(printable(text)), **more
        )
    except CouldNotCheck as reason:
        failure = str(reason)
    except Unreachable as unreachable:
        failure = f"Nautobot could not be asked: {unreachable}."
    except Unusable as unusable:
        fact = f"{unusable}."
        unfit = codes.NAUTOBOT_UNUSABLE.problem("Nautobot", fact, unusable.hint)
        problems.append(unfit)
    for text in filter(None, (*map(str, problems), failure)):
        complain(printable(text))
    if last:
        write(printable(last))
    status = status_with(problems)
    return COULD_NOT_CHECK if failure and status == FINE else status


def _backend(
    options: Any,
    local: Callable[[], Any] | None,
    connect: Callable[..., RestApi],
    problems: list[Problem],
    remote: Callable[[RestApi], Any],
) -> Any:
    """Return what reaches the Nautobot that is meant, None where a problem was added.

    Host names of accounts' secrets play no part: the token goes to the host of
    ``--url``, or to the one that the token's own secret names.
    """
    named = options.url or options.token_file or options.ca_file
    if local is not None and not (options.remote or named):
        return local()
    if not options.token_file:
        raise CouldNotCheck("A remote Nautobot needs --token-file.")
    bootstrap = read_bootstrap(options.token_file, problems=problems)
    if bootstrap is None:
        return None
    token, host = bootstrap
    if not (options.url or host):
        raise CouldNotCheck(f"{options.token_file} names no hostname. Use --url.")
    url = options.url or (host if "://" in host else f"https://{host}")
    context = None
    if options.ca_file:
        try:
            context = trusting(read_bytes(options.ca_file))
            fact = "holds no certificate."
        except FileRefused as refused:
            fact = f"{refused.words}."
        except NotJudged as failure:
            raise CouldNotCheck(
                f"{options.ca_file} could not be shown to OpenSSL: {failure}."
            ) from None
        if context is None:
            problems.append(codes.NAUTOBOT_UNUSABLE.problem(options.ca_file, fact))
            return None
    return remote(connect(url, token, context=context, seconds=options.timeout))


def outcome_of(work: Work, arguments: Any, console: Console) -> Outcome:
    """Reconcile a remote Nautobot as a command of the command line.

    A run may take minutes, and may be killed: what it has done is written at once.

    Raises:
        CouldNotCheck: Standard output did not take it all; the run went on.
    """
    failures: list[str] = []

    def say(text: str) -> None:
        try:
            write(console.stdout, f"{text}\n")
        except OSError as error:
            failures.append(os.strerror(error.errno or 0))

    def complain(text: str) -> None:
        with suppress(OSError):
            write(console.stderr, f"{text}\n")

    status = run_command(work, arguments, local=None, write=say, complain=complain)
    if failures:
        raise CouldNotCheck(f"standard output: {failures[0]}")
    return Outcome(status)
