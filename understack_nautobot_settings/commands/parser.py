"""The command line as argparse reads it: options with values, help, wrong usage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from understack_nautobot_settings.commands.main import COMMANDS
from understack_nautobot_settings.commands.main import PROGRAM
from understack_nautobot_settings.commands.main import Console
from understack_nautobot_settings.commands.main import Stop
from understack_nautobot_settings.commands.main import write

if TYPE_CHECKING:
    from typing import Any
    from typing import NoReturn


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:
        # Told the width, argparse need not import shutil to find it out.
        width = options.pop("width", None) or 78
        super().__init__(prog, max_help_position=28, width=width, **options)
        # argparse forgets the indent of commands when it makes room for them.
        self._action_max_length = max(len(one.name) for one in COMMANDS) + 4


class _Parser(argparse.ArgumentParser):
    """A parser that writes to given streams and never ends the process."""

    def __init__(self, *, console: Console, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)
        self.console = console

    def _print_message(self, message: str, file: Any = None) -> None:
        del file
        write(self.console.stderr, message)

    def print_help(self, file: Any = None) -> None:
        write(file or self.console.stdout, self.format_help())

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            write(self.console.stderr, message)
        raise Stop(status)


def parsed(console: Console, words: Sequence[str]) -> SimpleNamespace:
    """Return the parsed arguments, with the function of the command as ``run``.

    The usual case makes the parser of one command and no other.

    Raises:
        Stop: Help has been written, or what is wrong.
    """
    for command in COMMANDS:
        if words and words[0] == command.name:
            parser = _Parser(
                console=console,
                prog=f"{PROGRAM} {command.name}",
                description=command.description,
            )
            command.add_arguments(parser)
            parser.set_defaults(run=command.run)
            return parser.parse_args(words[1:], SimpleNamespace())
    parser = _Parser(
        console=console,
        prog=PROGRAM,
        description="Settings of Nautobot from the environment: what they are, and "
        "what is wrong with them.",
        epilog="Exit status: 0 fine, 1 something is wrong, 2 nothing could be told.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        below = commands.add_parser(command.name, console=console, help=command.help)
        command.add_arguments(below)
        below.set_defaults(run=command.run)
    return parser.parse_args(words, SimpleNamespace())
