"""How a report is laid out: its width, colours and lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from unicodedata import combining
from unicodedata import east_asian_width

from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable

NARROWEST = 40
WIDEST = 100


class Terminal(NamedTuple):
    """What a report is written on: a table for people, or lines for programs."""

    table: bool = False
    width: int = 80
    colour: bool = False
    symbols: bool = False

    def painted(self, text: str, *styles: str) -> str:
        """Return the text in a style, where there are any."""
        if not self.colour:
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def mark(self, good: bool) -> str:
        """Return the mark of what is well, or is not."""
        if self.symbols:
            return "✓" if good else "✗"
        return "+" if good else "E"

    def rule(self) -> str:
        """Return a line across the terminal."""
        return self.painted(("─" if self.symbols else "-") * self.width, "faint")


_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33"}


def terminal_of(stream: object, env: Mapping[str, str]) -> Terminal:
    """Return what a stream writes on: there are tables at a terminal alone.

    Reads ``NO_COLOR``, ``TERM`` and ``COLUMNS``, which terminals and shells set.
    """
    encoding = str(getattr(stream, "encoding", None) or "ascii").lower()
    symbols = encoding.replace("-", "") == "utf8"
    try:
        terminal = bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        terminal = False
    if not terminal:
        return Terminal(symbols=symbols)
    colour = not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return Terminal(True, _width(stream, env), colour, symbols)


def _width(stream: object, env: Mapping[str, str]) -> int:
    said = env.get("COLUMNS", "")
    width = int(said) if said.isdecimal() and len(said) <= len("99999") else 0
    if not width:
        try:
            width = os.get_terminal_size(stream.fileno()).columns  # type: ignore[attr-defined]
        except (AttributeError, OSError, ValueError):
            width = 0
    return max(NARROWEST, min(width or 80, WIDEST))


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in text
    )


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines at blanks, and words that are too long anywhere."""
    lines = [""]
    for word in printable(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if columns(lines[-1]) + columns(character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def headed(left: str, right: str, terminal: Terminal) -> str:
    """Return a heading with a remark at the right margin."""
    room = terminal.width - columns(left)
    return terminal.painted(left, "bold") + right.rjust(room)


def counted(number: int, noun: str) -> str:
    """Return ``1 error``, ``2 errors``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def problem_line(problem: Problem) -> str:
    """Return a problem as one line: severity, code, variable, fact, remedy."""
    # The documented text of a missing file ends with its path.
    fact = problem.message.removesuffix(".") + "." * bool(problem.message)
    text = " ".join(word for word in (fact, problem.hint) if word)
    return printable(f"{problem.severity} {problem.code} {problem.variable}: {text}")


def problem_block(problem: Problem, terminal: Terminal) -> list[str]:
    """Return a problem as a few lines of a table."""
    error = problem.severity == ERROR
    mark = terminal.mark(False) if error else "!" if terminal.symbols else "W"
    arrow = "→ " if terminal.symbols else "> "
    names = wrapped(problem.variable, terminal.width - 2)
    lines = [
        terminal.painted(
            f"{' ' if number else mark} {name}", "bold", "red" if error else "yellow"
        )
        for number, name in enumerate(names)
    ]
    room = terminal.width - columns(names[-1]) - 3
    if len(problem.code) <= room:
        lines[-1] += " " + terminal.painted(problem.code.rjust(room), "faint")
    else:
        lines.append(terminal.painted(f"  {problem.code}", "faint"))
    lines += [f"  {line}" for line in wrapped(problem.message, terminal.width - 2)]
    if problem.hint:
        first, *rest = wrapped(problem.hint, terminal.width - 4)
        lines += [f"  {arrow}{first}", *(f"    {line}" for line in rest)]
    return lines
