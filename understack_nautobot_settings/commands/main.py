"""The command line ``understack-nautobot-settings``.

Results go to standard output, everything else to standard error. Exit status: 0
fine, 1 something is wrong, 2 nothing could be told (usage, unreadable, broken).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import NoReturn
    from typing import TextIO

    from understack_nautobot_settings.probes.targets import Probe

PROGRAM = "understack-nautobot-settings"

FINE = 0
WRONG = 1
UNTOLD = 2
INTERRUPTED = 130

_GARBAGE = 100_000
"""Objects between two collections: no command but `wait` ever makes so many."""

ROLES = ("web", "worker", "beat", "site-worker")


class Console(NamedTuple):
    """What a command works with besides its arguments.

    Attributes:
        env: The environment that is looked at.
        stdout: Where the result goes; commands return it, only `main` writes.
        stderr: Where progress goes.
        clock: Seconds since the epoch.
    """

    env: Mapping[str, str]
    stdout: TextIO
    stderr: TextIO
    clock: Callable[[], float] = time.time

    def say(self, text: str) -> None:
        """Write a line of progress, or what went wrong, to standard error."""
        # There is nowhere else to say that this one is full.
        with suppress(OSError):
            write(self.stderr, f"{text}\n")


class Outcome(NamedTuple):
    """What a command has to say: the exit status, and text for standard output."""

    status: int
    text: str = ""


class Untold(Exception):
    """Nothing can be told; the text says why, without a secret."""


class Stop(Exception):
    """Everything has been said: help, or wrong usage."""

    def __init__(self, status: int) -> None:
        """Take the exit status."""
        super().__init__(status)
        self.status = status


class Command(NamedTuple):
    """One command.

    Attributes:
        name: Its name.
        help: What it does, one line for the overview.
        description: What it does, for its own help.
        add_arguments: Declares its arguments.
        run: Does it. Imports what it needs itself, so that no command pays for
            another.
        defaults: What its arguments are where they are not given, by name; None
            where only argparse knows.
    """

    name: str
    help: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[SimpleNamespace, Console], Outcome]
    defaults: Mapping[str, Any] | None = None


# --- check ---------------------------------------------------------------------

_CHECK_DEFAULTS = {"role": None, "expiry_warning": None, "json": False}


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--role",
        choices=ROLES,
        help="what the pod does (default: UNDERSTACK_ROLE); site-worker wants a "
        "partition and its queue",
    )
    parser.add_argument(
        "--expiry-warning",
        type=_days,
        metavar="DAYS",
        help="warn of certificates that expire within DAYS "
        "(default: UNDERSTACK_EXPIRY_WARNING, 30)",
    )
    _add_json(parser)


def _check(arguments: SimpleNamespace, console: Console) -> Outcome:
    from understack_nautobot_settings.checks.inspection import inspect_environment
    from understack_nautobot_settings.commands.report import as_json
    from understack_nautobot_settings.commands.report import inspection_json
    from understack_nautobot_settings.commands.report import inspection_text
    from understack_nautobot_settings.commands.terminal import page_for
    from understack_nautobot_settings.problems import ERROR

    inspection = inspect_environment(
        console.env,
        role=arguments.role,
        expiry_warning_days=arguments.expiry_warning,
        clock=console.clock,
    )
    wrong = any(one.severity == ERROR for one in inspection.problems)
    if arguments.json:
        text = as_json(inspection_json(inspection))
    else:
        text = inspection_text(inspection, page_for(console.stdout, console.env))
    return Outcome(WRONG if wrong else FINE, text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len("99999")):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"{text!r} is not a number of days")
    return int(text)


# --- show ----------------------------------------------------------------------

_SHOW_DEFAULTS = {"diff": None, "with_nautobot": False, "json": False}


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--diff",
        metavar="FILE",
        help="show what differs from another pod's 'show --json' (- for standard "
        "input); exit status 1 where anything does",
    )
    parser.add_argument(
        "--with-nautobot",
        action="store_true",
        help="extend nautobot.core.settings itself, which imports Nautobot",
    )
    _add_json(parser)


def _show(arguments: SimpleNamespace, console: Console) -> Outcome:
    from understack_nautobot_settings.checks.provenance import settings_provenance
    from understack_nautobot_settings.commands import report
    from understack_nautobot_settings.commands.terminal import page_for
    from understack_nautobot_settings.problems import settings_error

    namespace = _nautobot_namespace() if arguments.with_nautobot else None
    there = None if arguments.diff is None else _shown_by(arguments.diff)
    provenance = settings_provenance(console.env, namespace=namespace)
    here = report.shown(provenance, console.env)
    for problem in provenance.problems:
        console.say(report.problem_line(problem))
    wrong = settings_error(provenance.problems) is not None
    page = page_for(console.stdout, console.env)
    if there is not None:
        found = report.differences(here, there)
        if arguments.json:
            text = report.as_json(report.differences_json(found, here, there))
        else:
            alike = here.fingerprint == there.fingerprint
            text = report.differences_text(found, page, alike=alike)
        wrong = wrong or bool(found)
    elif arguments.json:
        text = report.as_json(here._asdict())
    else:
        text = report.shown_text(here, page)
    return Outcome(WRONG if wrong else FINE, text)


def _nautobot_namespace() -> dict[str, Any]:
    try:
        from nautobot.core import settings
    except ImportError as error:
        raise Untold(f"Nautobot cannot be imported: {error}") from None
    except Exception as error:  # noqa: BLE001 - its text may hold a value
        raise Untold(
            f"Nautobot's own settings raise {type(error).__name__}; 'check' tells why"
        ) from None
    return {name: value for name, value in vars(settings).items() if name.isupper()}


def _shown_by(path: str) -> Any:
    from understack_nautobot_settings.commands.report import read_shown

    try:
        if path == "-":
            return read_shown(sys.stdin.read())
        with open(path, encoding="utf-8") as file:
            return read_shown(file.read())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
    except ValueError:
        reason = "not the output of 'show --json'"
    raise Untold(f"{path}: {reason}")


# --- probe and wait ------------------------------------------------------------

_PROBE_DEFAULTS = {
    "targets": (),
    "attempt_timeout": 10.0,
    "ping": False,
    "destination": "",
    "heartbeat": None,
    "tls_prefix": "",
    "json": False,
}
_WAIT_DEFAULTS = {"timeout": 300.0, "stable": 0.0, **_PROBE_DEFAULTS}


def _target_arguments(parser: ArgumentParser, *, attempt: str) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="database, cache, broker, worker, or an https:// URL "
        "(default: database cache broker)",
    )
    parser.add_argument(
        attempt,
        dest="attempt_timeout",
        type=_seconds,
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
        metavar="NAME",
        help="name of the worker to ask (default: celery@ and this host's name)",
    )
    parser.add_argument(
        "--heartbeat",
        type=_seconds,
        metavar="SECONDS",
        help="age at which a worker's heartbeat is too old (default: 30)",
    )
    parser.add_argument(
        "--tls-prefix",
        metavar="PREFIX",
        help="for URLs: prefix of the variables CLIENT_CERT, CLIENT_KEY and CA, as "
        "NOETL_TLS_",
    )
    _add_json(parser)


def _probe_arguments(parser: ArgumentParser) -> None:
    _target_arguments(parser, attempt="--timeout")
    parser.set_defaults(**_PROBE_DEFAULTS)


def _probe(arguments: SimpleNamespace, console: Console) -> Outcome:
    from understack_nautobot_settings.probes.targets import exit_status

    probes = _attempt(arguments, console, arguments.attempt_timeout)
    return Outcome(exit_status(probes), _probes_report(arguments, console, probes))


def _wait_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait in all (default: 300)",
    )
    parser.add_argument(
        "--stable",
        type=_seconds,
        metavar="SECONDS",
        help="how long everything has to stay up (default: 0)",
    )
    _target_arguments(parser, attempt="--attempt-timeout")
    parser.set_defaults(**_WAIT_DEFAULTS)


def _wait(arguments: SimpleNamespace, console: Console) -> Outcome:
    from signal import SIGTERM
    from signal import default_int_handler
    from signal import signal

    from understack_nautobot_settings.probes.wait import Progress
    from understack_nautobot_settings.probes.wait import wait_until_up

    progress = Progress(console.stderr)
    # The first process of a container is not ended by a signal that it does not handle.
    before = signal(SIGTERM, default_int_handler)
    try:
        waited = wait_until_up(
            lambda seconds: _attempt(
                arguments, console, min(seconds, arguments.attempt_timeout)
            ),
            timeout=arguments.timeout,
            stable=arguments.stable,
            report=progress,
        )
    finally:
        signal(SIGTERM, before)
        progress.close()
    if not waited.ok:
        reason = "time is up" if waited.gave_up else "waiting does not mend this"
        console.say(f"{PROGRAM} wait: {reason} after {waited.seconds:.1f} s")
    return Outcome(waited.status, _probes_report(arguments, console, waited.probes))


def _attempt(
    arguments: SimpleNamespace, console: Console, seconds: float
) -> list[Probe]:
    from understack_nautobot_settings.probes.targets import DEFAULT_TARGETS
    from understack_nautobot_settings.probes.targets import Ping
    from understack_nautobot_settings.probes.targets import probe_targets

    try:
        return probe_targets(
            arguments.targets or DEFAULT_TARGETS,
            console.env,
            timeout=seconds,
            ping=Ping(arguments.destination) if arguments.ping else None,
            tls_prefix=arguments.tls_prefix,
            heartbeat_seconds=arguments.heartbeat,
        )
    except ValueError as error:
        raise Untold(str(error)) from None


def _probes_report(
    arguments: SimpleNamespace, console: Console, probes: list[Probe]
) -> str:
    from understack_nautobot_settings.commands.report import as_json
    from understack_nautobot_settings.commands.report import probes_text
    from understack_nautobot_settings.commands.terminal import page_for
    from understack_nautobot_settings.probes.targets import probes_as_json

    if arguments.json:
        return as_json(probes_as_json(probes))
    return probes_text(probes, page_for(console.stdout, console.env))


def _seconds(text: str) -> float:
    digits = text.replace(".", "", 1)
    if not (digits.isascii() and digits.isdecimal() and len(text) <= len("99999.999")):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


# --- reconcile-accounts, reconcile-queues ----------------------------------------


def _accounts_arguments(parser: ArgumentParser) -> None:
    from understack_nautobot_settings.commands import reconcile_accounts

    reconcile_accounts.add_account_arguments(parser, remote_only=True)


def _reconcile_accounts(arguments: SimpleNamespace, console: Console) -> Outcome:
    from understack_nautobot_settings.commands.reconcile_accounts import (
        run_account_command,
    )

    lines: list[str] = []
    status = run_account_command(
        arguments, local=None, write=lines.append, complain=console.say
    )
    return Outcome(status, "".join(f"{line}\n" for line in lines))


def _queues_arguments(parser: ArgumentParser) -> None:
    from understack_nautobot_settings.commands import reconcile_queues

    reconcile_queues.add_queue_arguments(parser, remote_only=True)


def _reconcile_queues(arguments: SimpleNamespace, console: Console) -> Outcome:
    from understack_nautobot_settings.commands.reconcile_queues import run_queue_command

    lines: list[str] = []
    status = run_queue_command(
        arguments, local=None, write=lines.append, complain=console.say
    )
    return Outcome(status, "".join(f"{line}\n" for line in lines))


# --- reference -----------------------------------------------------------------


def _reference_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        nargs="?",
        choices=("variables", "problems"),
        default="variables",
        help="what to print (default: variables)",
    )
    parser.add_argument(
        "--format",
        choices=("markdown", "json-schema", "env"),
        metavar="FORM",
        default="markdown",
        help="form of the variables: markdown, json-schema or env (default: markdown)",
    )


def _reference(arguments: SimpleNamespace, console: Console) -> Outcome:
    del console
    from understack_nautobot_settings.commands import reference

    if arguments.topic == "problems":
        if arguments.format != "markdown":
            raise Untold("problems are printed as markdown only")
        return Outcome(FINE, reference.problems_markdown())
    formats = {
        "markdown": reference.variables_markdown,
        "json-schema": reference.variables_schema,
        "env": reference.variables_env_file,
    }
    return Outcome(FINE, formats[arguments.format]())


# --- the program ---------------------------------------------------------------


COMMANDS: tuple[Command, ...] = (
    Command(
        "check",
        "tell all problems of this environment, connecting to nothing",
        "Tell everything that is wrong with the environment and the certificate "
        "files, connecting to nothing. Needs neither Nautobot nor a settings file. "
        "Exit status 1 where there is an error.",
        _check_arguments,
        _check,
        _CHECK_DEFAULTS,
    ),
    Command(
        "show",
        "show the settings in force and where each comes from",
        "Show the settings in force, where each comes from, and a fingerprint to "
        "compare two pods by. Secrets are masked, and no part of the fingerprint.",
        _show_arguments,
        _show,
        _SHOW_DEFAULTS,
    ),
    Command(
        "probe",
        "connect as Nautobot would, and say where it ends",
        "Connect as Nautobot would, the client certificate presented, stage by stage: "
        "DNS, TCP, TLS, identity, login, query. Exit status 1 where something is "
        "wrong, 2 where something cannot be reached.",
        _probe_arguments,
        _probe,
        _PROBE_DEFAULTS,
    ),
    Command(
        "wait",
        "probe until everything is up, for init containers",
        "Probe until everything is up. What can pass by itself is tried again with "
        "backoff; what somebody has to mend ends the waiting at once.",
        _wait_arguments,
        _wait,
        _WAIT_DEFAULTS,
    ),
    Command(
        "reconcile-accounts",
        "make API users of a remote Nautobot equal to mounted secrets",
        "Make API users and their tokens equal to mounted secrets, over the REST API "
        "with a bootstrap token. Inside Nautobot, use 'nautobot-server "
        "reconcile_accounts'. Exit status 2 where Nautobot could not be asked.",
        _accounts_arguments,
        _reconcile_accounts,
    ),
    Command(
        "reconcile-queues",
        "make job queues of a remote Nautobot equal to a file",
        "Make job queues, and the jobs allowed on them, equal to a file, over the "
        "REST API with a token. Inside Nautobot, use 'nautobot-server "
        "reconcile_job_queues'. Exit status 2 where Nautobot could not be asked.",
        _queues_arguments,
        _reconcile_queues,
    ),
    Command(
        "reference",
        "print the reference of variables or problems",
        "Print every variable, or every problem code with its cause and fix.",
        _reference_arguments,
        _reference,
    ),
)


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _arguments(console: Console, words: Sequence[str]) -> SimpleNamespace:
    """Return the parsed arguments, with the function of the command as ``run``."""
    for command in COMMANDS:
        if words and words[0] == command.name:
            plain = plain_arguments(command, words[1:])
            if plain is not None:
                return plain
    from understack_nautobot_settings.commands.parser import parsed

    return parsed(console, words)


def plain_arguments(command: Command, words: Sequence[str]) -> SimpleNamespace | None:
    """Return the arguments that are targets and then switches, as they usually are.

    All others, and all that are wrong, are argparse's, which takes as long to import
    and to set up as variables and certificates to judge.

    Args:
        command: The command.
        words: What follows its name.

    Returns:
        What argparse would return; None where it has to be asked.
    """
    if command.defaults is None:
        return None
    taken = dict(command.defaults)
    switches = {
        f"--{name.replace('_', '-')}": name
        for name, default in taken.items()
        if default is False
    }
    targets = list(takewhile(lambda word: not word.startswith("-"), words))
    if targets:
        if "targets" not in taken:
            return None
        taken["targets"] = targets
    for word in words[len(targets) :]:
        if word not in switches:
            return None
        taken[switches[word]] = True
    return SimpleNamespace(run=command.run, **taken)


def run() -> NoReturn:
    """Be the process: run a command, then end.

    What the process holds is the kernel's to take back: collecting garbage, and
    freeing every object one by one, take longer than the judgement of a certificate.
    """
    import gc

    gc.set_threshold(_GARBAGE)
    for name in ("stdout", "stderr"):
        # Closed by who started the process: nobody is there to read.
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - kept
            setattr(sys, name, nowhere)
    status = main()
    for stream in (sys.stdout, sys.stderr):
        # Perhaps nobody reads any more.
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def main(
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    *,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    clock: Callable[[], float] = time.time,
) -> int:
    """Run a command and return the exit status.

    Args:
        argv: The arguments without the program; those of the process by default.
        env: The environment to look at; that of the process by default.
        stdout: Where the result goes.
        stderr: Where progress and errors go.
        clock: Seconds since the epoch.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    console = Console(
        os.environ if env is None else env,
        sys.stdout if stdout is None else stdout,
        sys.stderr if stderr is None else stderr,
        clock,
    )
    try:
        arguments = _arguments(console, words)
        run: Callable[[SimpleNamespace, Console], Outcome] = arguments.run
        status, text = run(arguments, console)
    except Stop as stop:
        return stop.status
    except Untold as reason:
        console.say(f"{PROGRAM}: {reason}")
        return UNTOLD
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        console.say(f"{PROGRAM}: {_place_of(error)}")
        return UNTOLD
    try:
        write(console.stdout, text)
    except OSError as error:
        console.say(f"{PROGRAM}: standard output: {os.strerror(error.errno or 0)}")
        return UNTOLD
    return status


def _place_of(error: Exception) -> str:
    """Return where an unexpected error was raised; its text may hold a secret."""
    from traceback import walk_tb

    *_, (frame, line) = walk_tb(error.__traceback__)
    file = os.path.basename(frame.f_code.co_filename)
    return f"{type(error).__name__} in {file}, line {line}; please report this"


def write(stream: TextIO, text: str) -> None:
    """Write to a stream whatever its encoding, and whether or not anybody reads."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    encodable = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        stream.write(encodable)
        stream.flush()
    except BrokenPipeError:
        # The reader has seen enough; Python would complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
