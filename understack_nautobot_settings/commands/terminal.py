"""How a report is laid out: its width, colours and lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from understack_nautobot_settings.problems import printable

NARROWEST = 40
WIDEST = 100


class Page(NamedTuple):
    """What a report is written on.

    Attributes:
        table: True for people at a terminal, False for programs.
        width: Columns of the terminal.
        colour: True where it shows colours.
        symbols: True where it shows more than ASCII.
    """

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

    def rule(self) -> str:
        """Return a line across the page."""
        return self.painted(("─" if self.symbols else "-") * self.width, "faint")


_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33"}


def page_for(stream: object, env: Mapping[str, str]) -> Page:
    """Return the page that a stream writes on: a table at a terminal alone.

    Args:
        stream: Where the report goes, a text file.
        env: The environment; reads ``NO_COLOR``, ``TERM`` and ``COLUMNS``, which
            terminals and shells set.
    """
    encoding = str(getattr(stream, "encoding", None) or "ascii").lower()
    symbols = encoding.replace("-", "") == "utf8"
    try:
        terminal = bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        terminal = False
    if not terminal:
        return Page(symbols=symbols)
    colour = not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return Page(True, _width(stream, env), colour, symbols)


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
    if text.isascii():
        return len(text)
    from unicodedata import combining
    from unicodedata import east_asian_width

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


def padded(text: str, width: int) -> str:
    """Return the text with blanks up to the width."""
    return text + " " * (width - columns(text))


def headed(left: str, right: str, page: Page) -> str:
    """Return a heading with a remark at the right margin."""
    room = page.width - columns(left)
    return page.painted(left, "bold") + right.rjust(room)


def counted(number: int, noun: str) -> str:
    """Return ``1 error``, ``2 errors``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
