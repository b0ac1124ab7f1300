"""The command ``check``: all problems, offline."""

import argparse
import re
from collections.abc import Collection
from collections.abc import Sequence
from functools import partial
from typing import Any

from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import distance
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.checks.inspection import Inspection
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.commands import command
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.commands.terminal import counted
from understack_nautobot_settings.commands.terminal import problem_line
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.problems import shown_argument
from understack_nautobot_settings.problems import status_with


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    roles = variables.ROLE.kind.words  # type: ignore[attr-defined]
    parser.add_argument(
        "--role",
        type=partial(command.known_word, "role", roles),
        metavar=f"{{{','.join(roles)}}}",
        help="what the pod does (default: UNDERSTACK_ROLE); site-worker needs a "
        "partition, its queue and hosts",
    )
    parser.add_argument(
        "--expiry-warning",
        type=_days,
        metavar="DAYS",
        help="warn of certificates that expire within DAYS "
        "(default: UNDERSTACK_EXPIRY_WARNING, 30)",
    )
    command.add_environment_arguments(parser)


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        shown = shown_argument(text)
        raise argparse.ArgumentTypeError(f"'{shown}' is not a number of days")
    return int(text)


def _run(arguments: Any, console: command.Console) -> command.Outcome:
    env, file = command.environment_of(arguments, console)
    inspection = inspect_environment(
        env,
        file=file,
        with_files=not arguments.without_files,
        role=arguments.role,
        expiry_warning_days=arguments.expiry_warning,
        clock=console.clock,
    )
    found = {
        "problems": [one._asdict() for one in inspection.problems],
        "certificates": [one.as_json() for one in inspection.certificates],
    }
    text = console.report(arguments, found, partial(inspection_text, inspection))
    return command.Outcome(status_with(inspection.problems), text)


COMMAND = command.Command(
    "list all problems, without connecting to anything",
    "List everything that is wrong with the environment and the certificate files, "
    "without connecting to anything. Only --config needs Nautobot. Exit status 1 if "
    "there is an error.",
    _add_arguments,
    _run,
)


def inspection_text(inspection: Inspection, terminal: Terminal) -> str:
    """Return the problems, then the certificates; without a terminal one to a line."""
    problems, certificates = inspection
    if not terminal.table:
        lines = [problem_line(problem) for problem in problems]
        lines += [_certificate_line(certificate) for certificate in certificates]
        lines.append(_summary(problems))
        return "\n".join(lines) + "\n"
    parts = [_problem_table(problems, terminal)]
    if certificates:
        parts.append(_certificate_table(certificates, terminal))
    return "\n".join(parts)


def _summary(problems: Collection[Problem]) -> str:
    errors = sum(problem.severity == ERROR for problem in problems)
    warnings = len(problems) - errors
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"


def _problem_table(problems: Sequence[Problem], terminal: Terminal) -> str:
    if not problems:
        well = f"{terminal.mark(True)} No problems found."
        return terminal.painted(well, "green") + "\n"
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for one in problems:
        alike.setdefault((one.code, one.severity, one.hint), []).append(one)
    # What is said of several variables is one problem.
    facts = {one._replace(variable="") for one in problems}
    heading = terminal.heading("Problems", _summary(facts))
    blocks = ["\n".join(terminal.block(*same)) for same in alike.values()]
    return "\n".join([*heading, "\n\n".join(blocks), ""])


def _left(certificate: Certificate) -> str:
    if certificate.is_expired:
        return f"expired {distance(certificate.not_after - certificate.seen_at)}"
    return f"{counted(certificate.days_left, 'day')} left"


def _certificate_line(one: Certificate) -> str:
    return printable(
        f"certificate {one.path} ({one.use}): subject {one.subject}, issuer "
        f"{one.issuer}, serial {one.serial}, valid from {utc(one.not_before)} to "
        f"{utc(one.not_after)}, {_left(one)}"
    )


def _certificate_table(certificates: Sequence[Certificate], terminal: Terminal) -> str:
    grouped: dict[tuple[str, str, bytes], tuple[Certificate, list[str]]] = {}
    for one in certificates:
        key = one.path, one.serial, one.der
        grouped.setdefault(key, (one, []))[1].append(one.use)
    lines = terminal.heading("Certificates", str(len(grouped)))
    for one, uses in grouped.values():
        left = terminal.painted(_left(one), "green" if one.days_left > 0 else "red")
        where = f"{one.path} ({', '.join(dict.fromkeys(uses))})"
        beside = terminal._replace(width=terminal.width - columns(left) - 2)
        first, *rest = (terminal.painted(n, "bold") for n in beside.wrapped(where))
        lines += [terminal.apart(first, left), *rest]
        for name, value in (
            ("subject", one.subject),
            ("issuer", one.issuer),
            ("serial", one.serial),
            ("valid", f"{utc(one.not_before)} to {utc(one.not_after)}"),
        ):
            lines += terminal.wrapped(value, f"  {name:<8}  ")
    return "\n".join(lines) + "\n"
