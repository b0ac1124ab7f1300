"""Shows what the library promises on the wire: ``tox run -e wire``.

Progress goes to standard error, the table to standard output. Exit status 0 only if
every promise held, 1 if one did not, 2 if a program is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.demo import end_in_order
from lab.demo import progress
from lab.demo import tell
from lab.installation import MissingProgram
from lab.wire import promises
from lab.wire.promises import Promise
from lab.wire.run import SECTIONS
from lab.wire.run import everything

WIDTH_WITHOUT_TERMINAL = 160


def main(argv: Sequence[str] | None = None) -> int:
    """Show everything, print the table and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lab wire",
        description="Shows on real servers what the library promises on the wire.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write figures here")
    parser.add_argument(
        "--only",
        metavar="SECTION",
        action="append",
        choices=SECTIONS,
        help=f"show one section, or several: {', '.join(SECTIONS)}",
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end_in_order)
    if importlib.util.find_spec("nautobot") is None:
        tell("Nautobot is not installed. Run: tox run -e wire")
        return 2
    say = progress()
    try:
        with tempfile.TemporaryDirectory(prefix="understack-wire-") as directory:
            shown = everything(Path(directory), say, arguments.only or SECTIONS)
    except MissingProgram as error:
        tell(str(error))
        return 2
    say("everything ended and removed")
    show(shown)
    report = promises.as_json(shown)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["held"] else 1


def show(shown: Sequence[Promise]) -> None:
    """Print the table on standard output."""
    console = Console(
        width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False
    )
    table = Table("", "who, and what happened", "promised", "seen", "held")
    table.title = "Promises on the wire"
    for section, members in promises.sections(shown):
        for number, one in enumerate(members):
            table.add_row(
                section if number == 0 else "",
                Text(one.name),
                Text(one.promised),
                Text(one.seen),
                "[green]yes[/]" if one.held else "[bold red]NO[/]",
            )
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
