"""What a command is: its arguments, what it works with, how it ends."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple
from typing import NoReturn
from typing import TextIO

from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import terminal_of
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.problems import shown_argument
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text

if TYPE_CHECKING:
    from understack_nautobot_settings.checks.settings_file import SettingsFile

PROGRAM = "understack-nautobot-settings"

# What a key of a ConfigMap may be: Kubernetes makes a variable of each.
_VARIABLE_NAME = r"[A-Za-z0-9_.-]+"
_LONGEST_NUMBER = len("99999.999")


class Console(NamedTuple):
    """What a command works with besides its arguments.

    Commands return what goes to standard output, and `main` writes it, but for what a
    run that takes minutes writes at once. The clock gives seconds since the epoch.
    """

    env: Mapping[str, str]
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    clock: Callable[[], float]

    def report(
        self, arguments: Any, found: Any, text: Callable[[Terminal], str]
    ) -> str:
        """Return what was found as JSON with ``--json``, else as text."""
        if arguments.json:
            return as_json(found)
        return text(terminal_of(self.stdout, self.env))


class Outcome(NamedTuple):
    """How a command ended: text for standard output, lines for standard error."""

    status: int
    text: str = ""
    remarks: str = ""


class Stop(Exception):
    """There is nothing to run: help was asked for, which is the text."""


class CouldNotCheck(Exception):
    """Nothing can be found out; the text says why, without a secret."""


class Command(NamedTuple):
    """One command; `help` is for the overview, `description` for its own help."""

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
        form = partial(argparse.HelpFormatter, max_help_position=28, width=78)
        super().__init__(prog, formatter_class=form, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise wrong usage."""
        # What follows the = of an option that takes no value may be a secret.
        named = message.removeprefix("argument ")
        said, ignored, _ = named.partition("ignored explicit argument")
        said += "it takes no value" if ignored else ""
        raise CouldNotCheck(f"{printable(said)}. Use --help for the arguments.")

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
            if unknown[0].startswith("-"):
                spellings = (action.option_strings for action in self._actions)
                options = [spelt[-1] for spelt in spellings if spelt]
                known_word("option", options, unknown[0].partition("=")[0])
            shown = shown_argument(unknown[0])
            raise CouldNotCheck(
                f"unexpected argument '{shown}'. Use --help for the arguments."
            )
        return arguments


def known_word(noun: str, words: Sequence[str], text: str, listed_by: str = "") -> str:
    """Return a text that is one of these words.

    Raises:
        CouldNotCheck: It is not; names the nearest word that is, or all of them, or
            where they are many the arguments `listed_by` that print them.
    """
    if text in words:
        return text
    near = nearest(text, words)
    said = f"Use one of: {', '.join(words)}."
    if near:
        said = f"Did you mean {near}?"
    elif listed_by:
        said = f"To list all: '{PROGRAM} {listed_by}'."
    raise CouldNotCheck(f"unknown {noun} '{shown_argument(text)}'. {said}")


def seconds(text: str, *, least: float = 0.0) -> float:
    """Return the seconds that an argument gives, at least so many, below 100,000."""
    digits = text.replace(".", "", 1)
    is_number = digits.isascii() and digits.isdecimal()
    if not is_number or len(text) > _LONGEST_NUMBER or float(text) < least:
        shown = shown_argument(text)
        raise argparse.ArgumentTypeError(f"'{shown}' is not a number of seconds")
    return float(text)


def given_path(text: str) -> str:
    """Return the path that an argument gives; a shell variable may be empty."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every command has that programs read."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_environment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which environment and which settings are looked at; ``--json``."""
    parser.add_argument(
        "--config",
        type=given_path,
        metavar="FILE",
        help="load this settings file as nautobot-server does, and report on its "
        "settings; needs Nautobot",
    )
    parser.add_argument(
        "--env-file",
        type=given_path,
        metavar="FILE",
        help="look at the environment of another pod, as 'env' prints it there",
    )
    parser.add_argument(
        "--without-files",
        action="store_true",
        help="skip certificates and mounted secrets, for CI without a mount",
    )
    add_json(parser)


def environment_of(
    arguments: Any, console: Console
) -> tuple[Mapping[str, str], SettingsFile | None]:
    """Return the environment and the settings file, loaded, that arguments name.

    Raises:
        CouldNotCheck: A file holds no environment, or cannot be loaded.
    """
    env = console.env
    if arguments.env_file is not None:
        env = read_environment(arguments.env_file)
    if arguments.config is None:
        return env, None
    from understack_nautobot_settings.checks import settings_file

    load = partial(settings_file.load_settings_file, arguments.config, env)
    try:
        file = load(with_files=not arguments.without_files)
    except settings_file.SettingsFileError as error:
        raise CouldNotCheck(f"--config: {printable(str(error))}") from None
    # A file may set variables, which Celery and libpq read as well.
    return file.env, file


def read_environment(path: str) -> dict[str, str]:
    """Return the environment that a file lists.

    The file is what ``kubectl exec POD -- env`` prints or ``docker --env-file``
    takes: ``NAME=VALUE`` on each line, the value as it stands, quotes included;
    blank lines and lines that begin with ``#`` are left out. What ``env -0`` prints,
    or ``/proc/1/environ`` holds, may have line breaks in its values.

    Raises:
        CouldNotCheck: It cannot be read, or a line, which is not shown, is
            something else.
    """
    where = f"--env-file: {printable(path)}"
    try:
        text = read_text(path)
    except FileRefused as refused:
        raise CouldNotCheck(
            f"{where} {refused.words}. Write it with 'kubectl exec POD -- env'."
        ) from None
    env: dict[str, str] = {}
    nul = "\0" in text
    for number, line in enumerate(text.split("\0" if nul else "\n"), 1):
        if not line or (not nul and re.fullmatch(r"\s*(#.*)?", line)):
            continue
        name, equals, value = line.partition("=")
        # Only a line can be the rest of a value; Bash names functions with %%.
        named = nul or re.fullmatch(_VARIABLE_NAME, name)
        if not (equals and name and named):
            raise CouldNotCheck(
                f"{where} has no NAME=VALUE in line {number}. Write the file with "
                "'env', or with 'env -0' if a value has line breaks."
            )
        if name in env:
            raise CouldNotCheck(
                f"{where} sets {name} again in line {number}. Remove one of the two "
                "lines."
            )
        # As Windows writes it.
        env[name] = value if nul else value.removesuffix("\r")
    return env


def as_json(value: Any) -> str:
    """Return a report for programs."""
    return json.dumps(value, indent=2) + "\n"


def write(stream: TextIO, text: str) -> None:
    """Write to a stream whatever its encoding, and whether or not anybody reads.

    Raises:
        OSError: The stream takes nothing, though its reader is still there.
    """
    if not text:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    encodable = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        stream.write(encodable)
        stream.flush()
    except OSError as error:
        # Python would write what is left, and complain, when it closes the stream.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise
