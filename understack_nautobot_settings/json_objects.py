"""JSON objects in variables and files: read strictly, refused with a position.

The standard parser judges; where it refuses, the text is gone through once more
to say what is wrong and where, the same on every Python. No message holds any
of the text, and no exception leaves this module that could carry it.
"""

from __future__ import annotations

import json
import re
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.errors import Problem
from understack_nautobot_settings.problem_codes import Code

_BYTE_ORDER_MARK = "\ufeff"

_TOKEN = re.compile(
    r"""
      (?P<string> "[^"\\\x00-\x1f]*
                  (?: \\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}) [^"\\\x00-\x1f]* )*" )
    | (?P<constant> NaN | -?Infinity )
    | (?P<number> -?(?:0|[1-9][0-9]*) (?:\.[0-9]+)? (?:[eE][+-]?[0-9]+)? )
    | (?P<word> true | false | null )
    | (?P<mark> [{}\[\]:,] )
    | (?P<end> \Z )
    """,
    re.VERBOSE,
)
_BLANKS = re.compile(r"[ \t\n\r]*")
_STRING_STOP = re.compile(
    r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_KINDS = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class _Fault(NamedTuple):
    """What is wrong in a text, and at which character."""

    code: Code
    offset: int
    fact: str
    remedy: str


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
    text = text.rstrip()
    start = len(text) - len(text.lstrip())
    too_deep = False
    value: Any = None
    try:
        value, end = _DECODER.raw_decode(text, start)
        refused = end < len(text) or _half_characters(text, start)
    except RecursionError:
        refused = too_deep = True
    except ValueError:
        refused = True
    if refused:
        fault = _fault(text, start, too_deep=too_deep)
    elif type(value) is dict:
        return value
    else:
        fault = _Fault(
            problem_codes.JSON_NOT_OBJECT,
            start,
            f"the JSON{{}} is {_KINDS[type(value)]}, not an object.",
            "Write one object: braces around names and values.",
        )
    line, column = line_and_column(text, fault.offset)
    fact = fault.fact.replace("{}", f" at line {line}, column {column}")
    problems.append(fault.code.problem(variable, fact, fault.remedy))
    return None


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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_no_constant
)


def _half_characters(text: str, start: int) -> bool:
    """Tell whether strings hold surrogates, as such or as escapes."""
    if _SURROGATE_ESCAPE.search(text):
        return _first_fault(text, start)[0] is not None
    return not _encodable(text)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(text: str, start: int, *, too_deep: bool) -> _Fault:
    fault, depth, deepest = _first_fault(text, start)
    if too_deep:
        return _Fault(
            problem_codes.JSON_TOO_DEEP,
            deepest,
            f"the JSON is {depth} levels deep{{}}, more than the parser takes.",
            "Flatten it.",
        )
    return fault or _malformed(start, "something else is expected")


def _malformed(offset: int, expected: str) -> _Fault:
    return _Fault(
        problem_codes.JSON_MALFORMED,
        offset,
        f"the text is not JSON{{}}: {expected}.",
        "Correct the JSON there.",
    )


# What may come next, by what a text holds so far.
_VALUE = "a value is expected"
_VALUE_OR_END = "a value or ']' is expected"
_NAME = "a name in double quotes is expected"
_NAME_OR_END = "a name in double quotes or '}' is expected"
_COLON = "':' is expected"
_OBJECT_GOES_ON = "',' or '}' is expected"
_ARRAY_GOES_ON = "',' or ']' is expected"
_END = "nothing more is expected"

_NAMES = (_NAME, _NAME_OR_END)
_ARRAY: set[str] = set()

_AFTER_COMMA = {_OBJECT_GOES_ON: _NAME, _ARRAY_GOES_ON: _VALUE}
_CLOSED_BY = {
    _NAME_OR_END: "}",
    _OBJECT_GOES_ON: "}",
    _VALUE_OR_END: "]",
    _ARRAY_GOES_ON: "]",
}


def _first_fault(text: str, start: int) -> tuple[_Fault | None, int, int]:
    """Return the first fault, the greatest depth, and where that was reached.

    Keeps a stack of its own: the names seen in each object, `_ARRAY` for an array.
    """
    if text.startswith(_BYTE_ORDER_MARK, start):
        return (
            _Fault(
                problem_codes.JSON_BYTE_ORDER_MARK,
                start,
                "the text has a byte order mark{}.",
                "Save it as UTF-8 without one.",
            ),
            0,
            start,
        )
    stack: list[set[str]] = []
    depth = deepest = 0
    expected = _VALUE
    at = start
    while True:
        at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
        token = _TOKEN.match(text, at)
        if token is None:
            return _no_token(text, at, expected), depth, deepest
        kind, word = str(token.lastgroup), token.group()
        if kind == "end" and expected == _END:
            return None, depth, deepest
        if kind == "end":
            return _malformed(at, f"{expected}, the text ends"), depth, deepest
        fits = _fits(expected, kind, word)
        fault = _bad_scalar(kind, word, at) if fits else _malformed(at, expected)
        if fits and expected in _NAMES and kind == "string":
            fault = fault or _repeated(stack[-1], word, at)
        if fault:
            return fault, depth, deepest
        expected = _after(expected, kind, word, stack)
        if len(stack) > depth:
            depth, deepest = len(stack), at
        at = token.end()


def _fits(expected: str, kind: str, word: str) -> bool:
    if word == _CLOSED_BY.get(expected):
        return True
    if expected in _NAMES:
        return kind == "string"
    if expected in (_VALUE, _VALUE_OR_END):
        return kind != "mark" or word in ("{", "[")
    return word == ("," if expected in _AFTER_COMMA else ":" * (expected == _COLON))


def _after(expected: str, kind: str, word: str, stack: list[set[str]]) -> str:
    """Return what is expected after a token that fits; open and close containers."""
    if word == "{":
        stack.append(set())
        return _NAME_OR_END
    if word == "[":
        stack.append(_ARRAY)
        return _VALUE_OR_END
    if word == ":":
        return _VALUE
    if word == ",":
        return _AFTER_COMMA[expected]
    if expected in _NAMES and kind == "string":
        return _COLON
    if kind == "mark":
        stack.pop()
    return _after_value(stack)


def _after_value(stack: list[set[str]]) -> str:
    if not stack:
        return _END
    return _ARRAY_GOES_ON if stack[-1] is _ARRAY else _OBJECT_GOES_ON


def _repeated(names: set[str], word: str, at: int) -> _Fault | None:
    name = json.loads(word)
    if name not in names:
        names.add(name)
        return None
    return _Fault(
        problem_codes.JSON_DUPLICATE_NAME,
        at,
        "the JSON{} gives a name a second time in the same object.",
        "Remove one of the two.",
    )


def _bad_scalar(kind: str, word: str, at: int) -> _Fault | None:
    if kind == "constant" or (kind == "number" and not _takes(word)):
        return _Fault(
            problem_codes.JSON_NUMBER_INVALID,
            at,
            "the JSON{} has NaN, Infinity or a number too large to be kept.",
            "Write a finite number, or a string.",
        )
    if kind == "string" and not _encodable(json.loads(word)):
        return _Fault(
            problem_codes.JSON_HALF_CHARACTER,
            at,
            "the JSON{} has a string with half a character or bytes that are no UTF-8.",
            "Write the character itself, or both of its escapes.",
        )
    return None


def _takes(number: str) -> bool:
    try:
        _DECODER.decode(number)
    except ValueError:
        return False
    return True


def _no_token(text: str, at: int, expected: str) -> _Fault:
    """Return the fault of a character that begins no token."""
    string = _STRING_STOP.match(text, at)
    if string is None:
        return _malformed(at, expected)
    stop = string.end()
    if stop == len(text):
        return _malformed(at, "a string begins that does not end")
    if text[stop] == "\\":
        return _malformed(stop, "an escape that JSON does not have")
    return _malformed(stop, "a control character in a string has to be escaped")
