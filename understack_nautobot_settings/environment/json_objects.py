"""JSON objects in variables and files: read strictly, refused with a position.

The standard parser judges; where it refuses, the text is gone through once more
to say what is wrong and where, the same on every Python. No message holds any
of the text, and no exception leaves this module that could carry it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.problems import Problem

if TYPE_CHECKING:
    from json import JSONDecoder

_SURROGATE_ESCAPE = r"\\u[dD][89a-fA-F]"

LONG = 2048
"""How many characters make it worth while to prepare for a fast reading."""

_BLANKS = b" \t\n\r"

_KINDS = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class _Refused(ValueError):
    """Something the parser would take, and we do not; holds nothing."""


def read_json_object(
    variable: str, text: str, problems: list[Problem]
) -> dict[str, Any] | None:
    """Return the JSON object that a text holds.

    Refused, beyond what is not JSON (RFC 8259): anything but an object, a name
    that occurs twice in one object, NaN, Infinity and numbers that overflow to
    them, escapes that are half a character (lone surrogates), a byte order mark,
    and nesting or numbers too large for Python's parser.

    Args:
        variable: The name that a problem is filed under.
        text: The text; blanks around it are ignored and counted in positions.
        problems: Takes what is wrong: one problem, with line and column (both
            counted from 1), never with any of the text.

    Returns:
        The object, None where a problem was added.
    """
    sound = sound_object(text) if len(text) >= LONG else None
    if sound is not None:
        return sound
    text = text.rstrip()
    start = len(text) - len(text.lstrip())
    too_deep = False
    value: Any = None
    try:
        value, end = _decoder().raw_decode(text, start)
        refused = end < len(text) or _may_have_surrogates(text)
    except RecursionError:
        refused = too_deep = True
    except ValueError:
        refused = True
    code, offset = codes.JSON_NOT_OBJECT, start
    fact = f"the JSON{{}} is {_KINDS.get(type(value))}, not an object."
    remedy = "Write one object: braces around names and values."
    if refused:
        from understack_nautobot_settings.environment.json_faults import depth_fault
        from understack_nautobot_settings.environment.json_faults import json_fault

        fault = depth_fault(text, start) if too_deep else json_fault(text, start)
        if fault is not None:
            code, offset, fact, remedy = fault
            value = None
    if type(value) is dict:
        return value
    line, column = line_and_column(text, offset)
    fact = fact.replace("{}", f" at line {line}, column {column}")
    problems.append(code.problem(variable, fact, remedy))
    return None


def sound_object(text: str) -> dict[str, Any] | None:
    """Return the object of a text without fault, at the least cost.

    What looks like a name and its colon is counted, and compared with the names that
    the objects have in the end: with as many, none was given twice. To be handed the
    pairs of every object, and to compare there, takes half as long again.

    Returns:
        The object; None where anything may be wrong, or is escaped, for
        `read_json_object` to tell.
    """
    if "\\" in text:
        return None
    # Imported where there is JSON to read: most pods have none.
    from json import JSONDecoder

    names = 0

    def counted(members: dict[str, Any]) -> dict[str, Any]:
        nonlocal names
        names += len(members)
        return members

    decoder = JSONDecoder(
        object_hook=counted, parse_float=_finite, parse_constant=_no_constant
    )
    try:
        value = decoder.decode(text.strip())
        content = text.encode()
    except (ValueError, RecursionError):
        return None
    if type(value) is not dict:
        return None
    seen = content.translate(None, _BLANKS).count(b'":')
    if seen != names:
        # A string can begin with a colon; outside of strings, only names have one.
        seen = "".join(text.split('"')[::2]).count(":")
    return value if seen == names else None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return where a character of a text is, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number:
        # Infinity less itself is not a number, hence true.
        raise _Refused
    return number


def _no_constant(_name: str) -> None:
    raise _Refused


@cache
def _decoder() -> JSONDecoder:
    from json import JSONDecoder

    return JSONDecoder(
        object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_no_constant
    )


def _may_have_surrogates(text: str) -> bool:
    """Tell whether a string may have one, as such or as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    # Few texts have any escape, and one character is looked for much faster.
    return "\\" in text and re.search(_SURROGATE_ESCAPE, text) is not None
