"""Arguments and connection of the commands that change a Nautobot over REST."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts.credentials import read_hostname
from understack_nautobot_settings.accounts.credentials import read_token
from understack_nautobot_settings.accounts.failures import Unusable
from understack_nautobot_settings.accounts.rest import RestApi
from understack_nautobot_settings.accounts.secret import Secret
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text

DAY = 86400

Write = Callable[[str], object]
Connect = Callable[..., RestApi]


class Misused(Exception):
    """The arguments do not fit together."""


def run_seconds(text: str) -> float:
    """Return a positive number of seconds, at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def add_remote_arguments(parser: argparse.ArgumentParser, *, remote_only: bool) -> None:
    """Add the arguments that say which Nautobot, and how to reach it.

    Args:
        parser: Takes them.
        remote_only: True where there is no database to fall back to.
    """
    remote = parser.add_argument_group(
        "remote Nautobot", "over the REST API instead of the database"
    )
    if not remote_only:
        remote.add_argument(
            "--remote",
            action="store_true",
            help="use the REST API of the host that the bootstrap secret names",
        )
    remote.add_argument(
        "--url",
        help="base URL, https://HOST[:PORT]; default the hostname in the directory "
        "of the token",
    )
    remote.add_argument(
        "--token-file",
        metavar="PATH",
        help="file with the token of an administrator, or the directory of the secret "
        "that holds it as 'token' or 'apitoken'",
    )
    remote.add_argument(
        "--ca-file", metavar="PATH", help="CA certificates of the server"
    )
    remote.add_argument(
        "--timeout",
        type=run_seconds,
        default=300.0,
        metavar="SECONDS",
        help="give up after so many seconds (default: 300)",
    )


def is_remote(options: SimpleNamespace) -> bool:
    """Tell whether the arguments name a remote Nautobot."""
    named = options.url or options.token_file or options.ca_file
    return bool(getattr(options, "remote", False) or named)


def remote_nautobot(
    options: SimpleNamespace, *, connect: Connect, problems: list[Problem]
) -> tuple[RestApi, Secret] | None:
    """Return the API and the token, None where a problem was added.

    Host names of accounts' secrets play no part: the token goes to the host of
    ``--url``, or to the one that the token's own secret names.

    Raises:
        Misused: An argument is missing.
    """
    if not options.token_file:
        raise Misused("A remote Nautobot needs --token-file.")
    token = read_token(options.token_file, problems=problems)
    if token is None:
        return None
    url = options.url
    if not url:
        host = read_hostname(options.token_file, problems=problems)
        if not host:
            raise Misused(f"{options.token_file} names no hostname. Use --url.")
        url = host if "://" in host else f"https://{host}"
    pem = None
    try:
        if options.ca_file:
            pem = read_text(options.ca_file)
        return connect(url, ca_pem=pem, seconds=options.timeout), token
    except FileRefused as refused:
        fact = f"{refused.words}."
        problems.append(codes.NAUTOBOT_UNUSABLE.problem(options.ca_file, fact))
    except Unusable as unusable:
        problems.append(unusable_problem(unusable))
    return None


def printing(write: Write) -> Write:
    """Return what writes a line so that a terminal shows it as it is.

    Names of users and jobs come from a server, and may hold escape sequences.
    """
    return lambda text: write(printable(text))


def unusable_problem(unusable: Unusable) -> Problem:
    """Return what somebody has to do about a Nautobot that cannot be used."""
    return codes.NAUTOBOT_UNUSABLE.problem("Nautobot", f"{unusable}.")
