"""The command ``probe``: connects as Nautobot would."""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from understack_nautobot_settings.commands import command
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import counted
from understack_nautobot_settings.commands.terminal import problem_line
from understack_nautobot_settings.probes import targets
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.problems import printable

_HTTPS = "https://"
_STAGE_COLUMNS = len("certificate")


def add_target_arguments(parser: argparse.ArgumentParser, *, attempt: str) -> None:
    """Add what ``probe`` and ``wait`` have in common.

    `attempt` is the option for the time limit of one attempt.
    """
    parser.add_argument(
        "targets",
        nargs="*",
        type=_target,
        metavar="TARGET",
        help="database, cache, broker, worker, or an https:// URL "
        "(default: database cache broker)",
    )
    parser.add_argument(
        attempt,
        dest="attempt_timeout",
        type=command.seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long each attempt may take (default: 10)",
    )
    parser.add_argument(
        "--ping",
        action="store_true",
        help="ask the worker itself through the broker, too",
    )
    parser.add_argument(
        "--destination",
        default="",
        metavar="NAME",
        help="name of the worker to ask (default: celery@ and this host's name)",
    )
    parser.add_argument(
        "--heartbeat",
        type=command.seconds,
        metavar="SECONDS",
        help="age at which a worker's heartbeat is too old (default: 30)",
    )
    parser.add_argument(
        "--tls-prefix",
        default="",
        metavar="PREFIX",
        help="for URLs: prefix of the variables CLIENT_CERT, CLIENT_KEY and CA, "
        "such as NOETL_TLS_",
    )
    command.add_json(parser)


def _target(text: str) -> str:
    if not text.startswith(_HTTPS):
        return command.known_word("target", (*targets.TARGETS, f"{_HTTPS}HOST"), text)
    from understack_nautobot_settings.probes.https import leads_somewhere

    if not leads_somewhere(text):
        # Not shown: it may hold a password.
        raise command.CouldNotCheck(
            "A URL is https://HOST:PORT/PATH, port and path optional, without a user "
            "and without blanks."
        )
    return text


def attempt(
    arguments: Any,
    console: command.Console,
    timeout: float,
    before: Sequence[Probe] = (),
) -> list[Probe]:
    """Probe every target once."""
    return targets.probe_targets(
        arguments.targets or targets.DEFAULT_TARGETS,
        console.env,
        timeout=timeout,
        ping=arguments.destination or ("" if arguments.ping else None),
        tls_prefix=arguments.tls_prefix,
        heartbeat_seconds=arguments.heartbeat,
        before=before,
    )


def report(arguments: Any, console: command.Console, probes: list[Probe]) -> str:
    """Return what came of an attempt, in the form that was asked for."""
    text = partial(probes_text, probes)
    return console.report(arguments, targets.probes_as_json(probes), text)


def _run(arguments: Any, console: command.Console) -> command.Outcome:
    probes = attempt(arguments, console, arguments.attempt_timeout)
    return command.Outcome(
        targets.exit_status(probes), report(arguments, console, probes)
    )


COMMAND = command.Command(
    "connect as Nautobot would, and say where it fails",
    "Connect as Nautobot would, with the client certificate, stage by stage: DNS, "
    "TCP, TLS, identity, login, query. Exit status 1 if something is wrong, 2 if "
    "something cannot be reached.",
    partial(add_target_arguments, attempt="--timeout"),
    _run,
)


def probes_text(probes: Sequence[Probe], terminal: Terminal) -> str:
    """Return the stages of every target as a table, or one to a line."""
    if terminal.table:
        blocks = ["\n".join(_block(probe, terminal)) for probe in probes]
        return "\n\n".join(blocks) + "\n"
    lines = []
    for probe in probes:
        for stage in probe.stages:
            state = "ok" if stage.ok else "failed"
            seen = _beside(stage.detail, probe)
            text = f"{probe.target} {stage.stage} {state} {stage.seconds:.3f} s"
            lines.append(printable(f"{text}: {seen}" if seen else text))
        if probe.problem is not None:
            lines.append(problem_line(probe.problem))
        if probe.quotation:
            lines.append(probe.quotation)
    well = sum(probe.ok for probe in probes)
    lines.append(f"{well} of {counted(len(probes), 'target')} ok")
    return "\n".join(lines) + "\n"


def _beside(detail: str, probe: Probe) -> str:
    """Return what a stage saw, nothing where the problem below says the same."""
    said = probe.problem is not None and detail == probe.problem.message
    return "" if said else detail


def _block(probe: Probe, terminal: Terminal) -> list[str]:
    total = sum(stage.seconds for stage in probe.stages)
    lines = terminal.heading(printable(probe.target), f"{total:.3f} s")
    for stage in probe.stages:
        mark = terminal.painted(terminal.mark(stage.ok), "green" if stage.ok else "red")
        start = f"{mark} {stage.stage:<{_STAGE_COLUMNS}}  "
        lines += terminal.wrapped(_beside(stage.detail, probe), start)
    if probe.problem is not None:
        lines += ["", *terminal.block(probe.problem)]
    if probe.quotation:
        lines += terminal.wrapped(probe.quotation)
    return lines
