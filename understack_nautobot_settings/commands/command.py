"""What a command is: its arguments, what it works with, how it ends."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple
from typing import NoReturn
from typing import TextIO

from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.problems import shown_argument

if TYPE_CHECKING:
    from understack_nautobot_settings.checks.settings_file import SettingsFile

PROGRAM = "understack-nautobot-settings"


class Console(NamedTuple):
    """What a command works with besides its arguments.

    Attributes:
        env: The environment that is looked at.
        stdin: Where ``-`` reads from.
        stdout: Where the result goes; commands return it, only `main` writes.
        stderr: Where progress goes.
        clock: Seconds since the epoch.
    """

    env: Mapping[str, str]
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    clock: Callable[[], float] = time.time


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        status: The exit status.
        text: The result, for standard output.
        remarks: What else is to be said, for standard error; whole lines.
    """

    status: int
    text: str = ""
    remarks: str = ""


class Stop(Exception):
    """There is nothing to run: help was asked for."""

    def __init__(self, text: str) -> None:
        """Take what to print."""
        super().__init__(text)
        self.text = text


class CouldNotCheck(Exception):
    """Nothing can be found out; the text says why, without a secret."""


class Command(NamedTuple):
    """One command.

    Attributes:
        name: Its name.
        help: What it does, one line for the overview.
        description: What it does, for its own help.
        add_arguments: Declares its arguments.
        run: Does it.
    """

    name: str
    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Any, Console], Outcome]


class Parser(argparse.ArgumentParser):
    """A parser that raises what argparse would print, and never ends the process.

    Its help is 78 columns wide, whatever the terminal.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        """Take what argparse takes."""
        options.setdefault("allow_abbrev", False)
        super().__init__(prog, formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        """Raise wrong usage."""
        # What follows the = of an option that takes no value may be a secret.
        said, ignored, _ = message.partition("ignored explicit argument")
        said += "it takes no value" if ignored else ""
        raise CouldNotCheck(f"{printable(said)}. Use --help for the arguments")

    def print_help(self, file: Any = None) -> NoReturn:
        """Raise the help."""
        del file
        raise Stop(self.format_help())

    def parsed(self, words: list[str]) -> argparse.Namespace:
        """Return the arguments.

        Raises:
            CouldNotCheck: They are wrong.
            Stop: Help was asked for.
        """
        arguments, unknown = self.parse_known_args(words)
        if unknown:
            unusable = unknown[0].partition("=")[0]
            if not unusable.startswith("-"):
                shown = shown_argument(unknown[0])
                raise CouldNotCheck(f"unexpected argument '{shown}'")
            options = [
                action.option_strings[-1]
                for action in self._actions
                if action.option_strings
            ]
            raise unknown_word("option", unusable, options)
        return arguments


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=78)


def word_of(
    noun: str, words: Iterable[str], listed_by: str = ""
) -> Callable[[str], str]:
    """Return a type of argument that takes these words and suggests the nearest.

    Args:
        noun: What a word is.
        words: The words.
        listed_by: The arguments that list them, where they are many.
    """
    known = tuple(words)

    def word(text: str) -> str:
        if text in known:
            return text
        raise unknown_word(noun, text, known, listed_by)

    return word


def unknown_word(
    noun: str, text: str, known: Iterable[str], listed_by: str = ""
) -> CouldNotCheck:
    """Return the error for a word that is not known, with the nearest that is."""
    from understack_nautobot_settings.environment.kinds import nearest

    words = list(known)
    near = nearest(text, words)
    said = f"Use one of: {', '.join(words)}."
    if near:
        said = f"Did you mean {near}?"
    elif listed_by:
        said = f"All of them: '{PROGRAM} {listed_by}'."
    return CouldNotCheck(f"unknown {noun} '{shown_argument(text)}'. {said}")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every command has that programs read."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_environment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which environment and which settings are looked at."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="load this settings file as nautobot-server does, and speak of the "
        "settings that it makes; needs Nautobot",
    )
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        help="look at the environment of another pod, as 'env' prints it there",
    )
    parser.add_argument(
        "--without-files",
        action="store_true",
        help="look at no certificate and no mounted secret, for CI without a mount",
    )


def environment_of(arguments: Any, console: Console) -> Mapping[str, str]:
    """Return the environment that the arguments name.

    Raises:
        CouldNotCheck: Its file holds no environment.
    """
    if arguments.env_file is None:
        return console.env
    from understack_nautobot_settings.checks import environment_file

    try:
        return environment_file.read_environment(arguments.env_file)
    except environment_file.EnvironmentFileError as error:
        file = printable(arguments.env_file)
        raise CouldNotCheck(f"--env-file: {file} {error}") from None


def settings_file_of(arguments: Any, env: Mapping[str, str]) -> SettingsFile | None:
    """Return the settings file that the arguments name, loaded.

    Raises:
        CouldNotCheck: It cannot be loaded.
    """
    if arguments.config is None:
        return None
    from understack_nautobot_settings.checks import settings_file

    with_files = not arguments.without_files
    try:
        return settings_file.load_settings_file(
            arguments.config, env, with_files=with_files
        )
    except settings_file.SettingsFileError as error:
        raise CouldNotCheck(f"--config: {printable(str(error))}") from None


def as_json(value: Any) -> str:
    """Return a report for programs."""
    import json

    return json.dumps(value, indent=2) + "\n"
