"""The command line ``understack-nautobot-settings``.

Results go to standard output, everything else to standard error. Exit status: 0
fine, 1 something is wrong, 2 could not check (usage, unreadable, unreachable).
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from importlib import import_module
from io import StringIO
from signal import SIGTERM
from signal import default_int_handler
from signal import signal
from typing import NoReturn
from typing import TextIO

from understack_nautobot_settings.commands.command import PROGRAM
from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import Console
from understack_nautobot_settings.commands.command import CouldNotCheck
from understack_nautobot_settings.commands.command import Outcome
from understack_nautobot_settings.commands.command import Parser
from understack_nautobot_settings.commands.command import Stop
from understack_nautobot_settings.commands.command import known_word
from understack_nautobot_settings.commands.command import write
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import INTERRUPTED

COMMANDS = (
    "check",
    "show",
    "probe",
    "wait",
    "reconcile-accounts",
    "reconcile-queues",
    "explain",
    "reference",
)
"""The commands, each in a module of its name, imported when it is asked for."""


def command(name: str) -> Command:
    """Return a command of `COMMANDS`."""
    module = import_module(f"{__package__}.{name.replace('-', '_')}")
    found: Command = module.COMMAND
    return found


def main(
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    clock: Callable[[], float] = time.time,
) -> int:
    """Run a command and return the exit status.

    The arguments, without the program, the environment to look at and the streams
    are those of the process by default. The clock gives seconds since the epoch.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    console = Console(
        os.environ if env is None else env,
        # A process may be started without any of them.
        stdin or sys.stdin or StringIO(),
        stdout or sys.stdout or StringIO(),
        stderr or sys.stderr or StringIO(),
        clock,
    )
    with _interruptible():
        outcome = _outcome(words, console)
    # There is nowhere else to say that standard error takes nothing.
    with suppress(OSError):
        write(console.stderr, outcome.remarks)
    try:
        write(console.stdout, outcome.text)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        with suppress(OSError):
            write(console.stderr, f"{PROGRAM}: standard output: {reason}\n")
        return COULD_NOT_CHECK
    return outcome.status


def run() -> NoReturn:
    """Run the command that the process was started with, and end with its status."""
    status = main()
    if any(thread.daemon for thread in threading.enumerate()):
        # A probe that is late. Its thread would be ended inside of foreign code, at
        # which that of `cryptography` aborts the process.
        os._exit(status)
    sys.exit(status)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt, as Ctrl-C does, where signals arrive at this thread.

    The first process of a container is not ended by a signal that it does not handle.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal(SIGTERM, default_int_handler)
    try:
        yield
    finally:
        signal(SIGTERM, before)


def _outcome(words: list[str], console: Console) -> Outcome:
    name = PROGRAM
    try:
        if not words:
            return Outcome(COULD_NOT_CHECK, remarks=_overview())
        if words[0] in ("-h", "--help"):
            return Outcome(FINE, _overview())
        if words[0] == "--version":
            from understack_nautobot_settings.commands.explain import versions

            return Outcome(FINE, versions())
        asked = command(known_word("command", COMMANDS, words[0]))
        name = f"{PROGRAM} {words[0]}"
        parser = Parser(name, description=asked.description)
        asked.add_arguments(parser)
        return asked.run(parser.parsed(words[1:]), console)
    except Stop as stop:
        return Outcome(FINE, str(stop))
    except CouldNotCheck as reason:
        return Outcome(COULD_NOT_CHECK, remarks=f"{name}: {reason}\n")
    except KeyboardInterrupt:
        return Outcome(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        return Outcome(COULD_NOT_CHECK, remarks=f"{name}: {_raised_at(error)}\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command(name).help}\n" for name in COMMANDS]
    return (
        f"usage: {PROGRAM} [-h] [--version] COMMAND ...\n\n"
        "Show and check the settings that Nautobot gets from the environment.\n\n"
        f"commands:\n{''.join(lines)}\n"
        "Exit status: 0 fine, 1 something is wrong, 2 could not check.\n"
    )


def _raised_at(error: Exception) -> str:
    """Return where an unexpected error was raised; its text may hold a secret."""
    from traceback import extract_tb

    last = extract_tb(error.__traceback__)[-1]
    file = os.path.basename(last.filename)
    return f"{type(error).__name__} in {file}, line {last.lineno}. Please report this."
