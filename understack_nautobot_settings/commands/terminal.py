"""How a report is laid out: its width, colours and lines."""

import os
import re
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

    def wrapped(self, text: str, start: str = "") -> list[str]:
        """Break a text into lines at blanks, and words that are too long anywhere.

        `start` stands before the first line, and blanks before the others.
        """
        indent = columns(start)
        width = self.width - indent
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
        return [start + lines[0], *(" " * indent + line for line in lines[1:])]

    def apart(self, left: str, right: str) -> str:
        """Return two texts at the two margins of one line."""
        return left + " " * (self.width - columns(left) - columns(right)) + right

    def heading(self, left: str, right: str) -> list[str]:
        """Return a heading with a remark at the right margin, and a line below it."""
        rule = ("─" if self.symbols else "-") * self.width
        first = self.apart(self.painted(left, "bold"), right)
        return [first, self.painted(rule, "faint")]

    def noted(self, lines: list[str], note: str, indent: str) -> list[str]:
        """Return lines with a note at the end of the last, or below if it is full."""
        if columns(lines[-1]) + 2 + columns(note) <= self.width:
            note = self.painted(note, "faint")
            return [*lines[:-1], self.apart(lines[-1], note)]
        below = self.wrapped(note, indent)
        return [*lines, *(self.painted(line, "faint") for line in below)]

    def block(self, *alike: Problem) -> list[str]:
        """Return problems of one kind with one remedy as a few lines of a table."""
        first = alike[0]
        error = first.severity == ERROR
        mark = self.mark(False) if error else "!" if self.symbols else "W"
        arrow = "→" if self.symbols else ">"
        styles = ("bold", "red" if error else "yellow")
        variables = ", ".join(dict.fromkeys(one.variable for one in alike))
        names = self.wrapped(variables, f"{mark} ")
        painted = [self.painted(name, *styles) for name in names]
        lines = self.noted(painted, first.code, "  ")
        facts = dict.fromkeys(one.message for one in alike)
        if len(facts) > 1:
            facts = dict.fromkeys(one.fact for one in alike)
        for fact in facts:
            lines += self.wrapped(fact, "  ")
        if first.hint:
            lines += self.wrapped(first.hint, f"  {arrow} ")
        return lines


_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33"}
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


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
    """Return how many columns of a terminal a text takes, painted or not."""
    return sum(
        0 if combining(one) else 1 + (east_asian_width(one) in "WF")
        for one in _STYLE.sub("", text)
    )


def counted(number: int, noun: str) -> str:
    """Return ``1 error``, ``2 errors``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def problem_line(problem: Problem) -> str:
    """Return a problem as one line: severity, code, variable, fact, remedy."""
    # The documented text of a missing file ends with its path.
    fact = problem.message.removesuffix(".") + "." * bool(problem.message)
    text = " ".join(word for word in (fact, problem.hint) if word)
    return printable(f"{problem.severity} {problem.code} {problem.variable}: {text}")
