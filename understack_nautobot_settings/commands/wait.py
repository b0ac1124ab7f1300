"""The command ``wait``: probes until everything is up."""

from __future__ import annotations

import argparse
from signal import SIGTERM
from signal import default_int_handler
from signal import signal
from typing import Any

from understack_nautobot_settings.commands.command import PROGRAM
from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import Console
from understack_nautobot_settings.commands.command import Outcome
from understack_nautobot_settings.commands.probe import add_target_arguments
from understack_nautobot_settings.commands.probe import attempt
from understack_nautobot_settings.commands.probe import report
from understack_nautobot_settings.commands.probe import seconds
from understack_nautobot_settings.probes.wait import Progress
from understack_nautobot_settings.probes.wait import wait_until_up


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait in all (default: 300)",
    )
    parser.add_argument(
        "--stable",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long everything has to stay up (default: 0)",
    )
    add_target_arguments(parser, attempt="--attempt-timeout")


def _run(arguments: Any, console: Console) -> Outcome:
    progress = Progress(console.stderr)
    # The first process of a container is not ended by a signal that it does not handle.
    before = signal(SIGTERM, default_int_handler)
    try:
        waited = wait_until_up(
            lambda left, probes: attempt(
                arguments, console, min(left, arguments.attempt_timeout), probes
            ),
            timeout=arguments.timeout,
            stable=arguments.stable,
            report=progress,
        )
    finally:
        signal(SIGTERM, before)
        progress.close()
    remarks = ""
    if not waited.ok:
        reason = "" if waited.gave_up else ": this error does not go away by itself"
        remarks = f"{PROGRAM} wait: gave up after {waited.seconds:.1f} s{reason}\n"
    return Outcome(waited.status, report(arguments, console, waited.probes), remarks)


COMMAND = Command(
    "wait",
    "probe until everything is up, for init containers",
    "Probe until everything is up. What can pass by itself is tried again with "
    "backoff; an error that does not go away by itself ends the waiting at once.",
    _add_arguments,
    _run,
)
