"""The command ``wait``: probes until everything is up."""

import argparse
from collections.abc import Mapping
from contextlib import closing
from contextlib import suppress
from itertools import cycle
from typing import Any
from typing import TextIO

from understack_nautobot_settings.commands.command import PROGRAM
from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import Console
from understack_nautobot_settings.commands.command import CouldNotCheck
from understack_nautobot_settings.commands.command import Outcome
from understack_nautobot_settings.commands.command import seconds
from understack_nautobot_settings.commands.command import write
from understack_nautobot_settings.commands.probe import add_target_arguments
from understack_nautobot_settings.commands.probe import attempt
from understack_nautobot_settings.commands.probe import report
from understack_nautobot_settings.commands.terminal import terminal_of
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.wait import wait_until_up
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import printable


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
    if arguments.stable and arguments.stable >= arguments.timeout:
        raise CouldNotCheck(
            f"--stable {arguments.stable:g} cannot be reached within --timeout "
            f"{arguments.timeout:g}. Use a longer --timeout."
        )
    progress = Progress(console.stderr, console.env)
    with closing(progress):
        waited = wait_until_up(
            lambda left, probes: attempt(
                arguments, console, min(left, arguments.attempt_timeout), probes
            ),
            timeout=arguments.timeout,
            stable=arguments.stable,
            report=progress,
        )
    status, remarks = exit_status(waited.probes), ""
    if not waited.ok:
        reason = "" if waited.gave_up else ": this error does not go away by itself"
        if status == FINE:
            reason = f": everything is up, but not for {arguments.stable:g} s yet"
            status = COULD_NOT_CHECK
        remarks = f"{PROGRAM} wait: gave up after {waited.seconds:.1f} s{reason}\n"
    return Outcome(status, report(arguments, console, waited.probes), remarks)


COMMAND = Command(
    "probe until everything is up, for init containers",
    "Probe until everything is up. What can pass by itself is tried again with "
    "backoff; an error that does not go away by itself ends the waiting at once.",
    _add_arguments,
    _run,
)


class Progress:
    """Says how the waiting goes: one line that moves on a terminal, else a log.

    A log gets a line whenever a target changes its state, and none in between.
    """

    def __init__(self, stream: TextIO, env: Mapping[str, str]) -> None:
        """Write to a stream; standard error. The environment is the terminal's."""
        self._stream = stream
        terminal = terminal_of(stream, env)
        self._terminal = terminal.table
        # A line that fills the last column as well would move on to the next.
        self._width = terminal.width - 1
        self._said: dict[str, str] = {}
        self._spinner = cycle("/-\\|")

    def __call__(self, probes: list[Probe], seconds: float) -> None:
        """Report one attempt."""
        for probe in probes:
            state = _state(probe)
            if self._said.get(probe.target) != state:
                self._said[probe.target] = state
                self.close()
                line = printable(f"{seconds:7.1f} s  {probe.target}: {state}")
                self._write(f"{line}\n")
        waiting = [probe.target for probe in probes if not probe.ok]
        if self._terminal and waiting:
            width = self._width
            said = f"{seconds:.0f} s, waiting for {', '.join(waiting)}"
            line = f"{next(self._spinner)} {said}"
            self._write(f"\r{line[:width]:<{width}}")

    def close(self) -> None:
        """Clear the line that moves."""
        if self._terminal:
            self._write(f"\r{'':<{self._width}}\r")

    def _write(self, text: str) -> None:
        # Nobody may read how it goes: whether all is up does not depend on that.
        with suppress(OSError):
            write(self._stream, text)


def _state(probe: Probe) -> str:
    if probe.problem is None:
        return "up"
    failed = probe.stages[-1].stage if probe.stages else "settings"
    said = f" ({probe.quotation})" if probe.quotation else ""
    return f"failed at {failed}: {probe.problem}{said}"
