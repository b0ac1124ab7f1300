"""The command ``show``: the settings in force, and where each comes from."""

import argparse
import json
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks.provenance import Provenance
from understack_nautobot_settings.checks.provenance import dotted
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.checks.provenance import values
from understack_nautobot_settings.checks.settings_file import SettingsFileError
from understack_nautobot_settings.checks.settings_file import nautobot_settings
from understack_nautobot_settings.commands import command
from understack_nautobot_settings.commands.masking import Masking
from understack_nautobot_settings.commands.masking import fingerprint
from understack_nautobot_settings.commands.masking import known_secrets
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import problem_line
from understack_nautobot_settings.problems import WRONG
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.problems import status_with
from understack_nautobot_settings.text_files import BYTE_ORDER_MARK
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text

_NOT_OURS = "is not the output of 'show --json'"


class Report(NamedTuple):
    """What ``show`` tells: a source for each setting (dotted) and each variable."""

    settings: dict[str, Any]
    sources: dict[str, str]
    fingerprint: str


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--diff",
        type=command.given_path,
        metavar="FILE",
        help="show what differs from another pod's 'show --json' (- for standard "
        "input); exit status 1 if anything does",
    )
    parser.add_argument(
        "--with-nautobot",
        action="store_true",
        help="extend nautobot.core.settings itself, which imports Nautobot",
    )
    command.add_environment_arguments(parser)


def _run(arguments: Any, console: command.Console) -> command.Outcome:
    there = None if arguments.diff is None else _shown_by(arguments.diff, console)
    if arguments.with_nautobot and arguments.config is not None:
        raise command.CouldNotCheck(
            "--with-nautobot: --config names a settings file, which extends Nautobot's "
            "settings itself. Use one of the two."
        )
    env, file = command.environment_of(arguments, console)
    namespace = None
    if arguments.with_nautobot:
        try:
            namespace = nautobot_settings(env)
        except SettingsFileError as error:
            raise command.CouldNotCheck(str(error)) from None
    provenance = settings_provenance(
        env, namespace=namespace, file=file, with_files=not arguments.without_files
    )
    here = shown(provenance, env)
    remarks = "".join(f"{problem_line(one)}\n" for one in provenance.problems)
    status = status_with(provenance.problems)
    report = partial(console.report, arguments)
    if there is None:
        text = report(here._asdict(), partial(shown_text, here))
        return command.Outcome(status, text, remarks)
    found = differences(here, there)
    marks = {"here": here.fingerprint, "there": there.fingerprint}
    changed = {"differences": [one._asdict() for one in found], "fingerprints": marks}
    alike = here.fingerprint == there.fingerprint
    text = report(changed, partial(differences_text, found, alike=alike))
    return command.Outcome(WRONG if found else status, text, remarks)


COMMAND = command.Command(
    "show the settings in force and where each comes from",
    "Show the settings in force, where each comes from, and a fingerprint to compare "
    "two pods by. Secrets are masked and are not part of the fingerprint.",
    _add_arguments,
    _run,
)


def shown(provenance: Provenance, env: Mapping[str, str]) -> Report:
    """Return what ``show`` tells, without any secret."""
    settings, given = provenance.settings, provenance.given
    masking = Masking(given, known_secrets(env, settings))
    # Some put a secret into a key.
    sources = {
        dotted((top, *map(masking.masked_text, below))): source
        for (top, *below), source in provenance.sources.items()
    }
    return Report(
        masking.masked(settings),
        # A setting may have the name of its variable; it tells more.
        provenance.variables | sources,
        fingerprint(settings, env, given),
    )


def shown_text(show: Report, terminal: Terminal) -> str:
    """Return the settings as a table, or one to a line: name, value, source."""
    rows = [
        (name, value, show.sources.get(name, ""))
        for name, value in _value_texts(show).items()
    ]
    if not terminal.table:
        lines = ["\t".join(map(printable, row)) for row in rows]
        return "\n".join([*lines, f"fingerprint\t{show.fingerprint}\t"]) + "\n"
    lines = terminal.heading("Settings", f"fingerprint {show.fingerprint}")
    for name, value, source in rows:
        texts = terminal.wrapped(f"{name} = {value}")
        lines += terminal.noted(texts, source, "    ")
    return "\n".join(lines) + "\n"


def _value_texts(show: Report) -> dict[str, str]:
    return {
        dotted(trail): value if isinstance(value, str) and value else json.dumps(value)
        for trail, value in values(show.settings)
    }


class Difference(NamedTuple):
    """A setting (dotted) that two pods do not have in common, its values as text."""

    setting: str
    here: str | None
    there: str | None


def differences(here: Report, there: Report) -> list[Difference]:
    """Return the settings in which two pods differ, secrets not compared."""
    ours, theirs = _value_texts(here), _value_texts(there)
    return [
        Difference(name, ours.get(name), theirs.get(name))
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    ]


def differences_text(
    found: Sequence[Difference], terminal: Terminal, *, alike: bool = True
) -> str:
    """Return what differs: ``-`` there, ``+`` here; `alike` are the fingerprints."""
    if not found and alike:
        return "The settings are the same; secrets are not compared.\n"
    if not found:
        return (
            "The settings are the same, but the fingerprints differ: a variable that "
            "decides no setting differs, or the release of this library. Secrets are "
            "not compared.\n"
        )
    lines = []
    for name, here, there in found:
        lines.append(terminal.painted(printable(name), "bold"))
        for sign, value, style in (("-", there, "red"), ("+", here, "green")):
            if value is not None:
                lines.append(terminal.painted(f"  {sign} {printable(value)}", style))
    return "\n".join(lines) + "\n"


def _shown_by(path: str, console: command.Console) -> Report:
    try:
        if path != "-":
            return read_shown(read_text(path, CONFIGURATION_BYTES))
        # What is longer is cut off, and no JSON any more.
        text = console.stdin.read(CONFIGURATION_BYTES)
        return read_shown(text.removeprefix(BYTE_ORDER_MARK))
    except FileRefused as refused:
        reason = refused.words
    except (OSError, ValueError):
        reason = _NOT_OURS
    raise command.CouldNotCheck(
        f"--diff: {printable(path)} {reason}. Name the file that 'show --json' of the "
        "other pod wrote."
    )


def read_shown(text: str) -> Report:
    """Return what another pod's ``show --json`` printed.

    Raises:
        ValueError: It is something else.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        content = None
    match content:
        case {
            "settings": dict(ours),
            "sources": dict(sources),
            "fingerprint": str(mark),
        }:
            return Report(ours, sources, mark)
    raise ValueError(_NOT_OURS)
