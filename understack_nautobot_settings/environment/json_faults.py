"""Where and why a text is not the JSON object it should be.

Works only once the parser has refused a text. It goes through the tokens with a
stack of its own, so that neither depth nor the version of Python matters.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.problems import Code

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


class JsonFault(NamedTuple):
    """What is wrong in a text.

    Attributes:
        code: The kind of problem.
        offset: The character, counted from 0.
        fact: A sentence with ``{}`` for the line and column, and none of the text.
        remedy: What to do about it.
    """

    code: Code
    offset: int
    fact: str
    remedy: str


def json_fault(text: str, start: int) -> JsonFault | None:
    """Return the first fault of a text from a character on, None without any.

    Faults are, beyond what is not JSON: a byte order mark, a name given twice in
    an object, numbers that are none or overflow, and lone surrogates.
    """
    return _gone_through(text, start)[0]


def depth_fault(text: str, start: int) -> JsonFault:
    """Return the fault of a text that is nested too deep, at its deepest."""
    _, depth, deepest = _gone_through(text, start)
    return JsonFault(
        codes.JSON_TOO_DEEP,
        deepest,
        f"the JSON is {depth} levels deep{{}}, more than the parser takes.",
        "Flatten it.",
    )


def _malformed(offset: int, expected: str) -> JsonFault:
    return JsonFault(
        codes.JSON_MALFORMED,
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


def _gone_through(text: str, start: int) -> tuple[JsonFault | None, int, int]:
    """Return the first fault, the greatest depth, and where that was reached.

    Keeps a stack of its own: the names seen in each object, `_ARRAY` for an array.
    """
    if text.startswith(_BYTE_ORDER_MARK, start):
        return (
            JsonFault(
                codes.JSON_BYTE_ORDER_MARK,
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


def _repeated(names: set[str], word: str, at: int) -> JsonFault | None:
    name = json.loads(word)
    if name not in names:
        names.add(name)
        return None
    return JsonFault(
        codes.JSON_DUPLICATE_NAME,
        at,
        "the JSON{} gives a name a second time in the same object.",
        "Remove one of the two.",
    )


def _bad_scalar(kind: str, word: str, at: int) -> JsonFault | None:
    if kind == "constant" or (kind == "number" and not _takes(word)):
        return JsonFault(
            codes.JSON_NUMBER_INVALID,
            at,
            "the JSON{} has NaN, Infinity or a number too large to be kept.",
            "Write a finite number, or a string.",
        )
    if kind == "string" and not _encodable(json.loads(word)):
        return JsonFault(
            codes.JSON_HALF_CHARACTER,
            at,
            "the JSON{} has a string with half a character or bytes that are no UTF-8.",
            "Write the character itself, or both of its escapes.",
        )
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _takes(number: str) -> bool:
    """Tell whether a number is one to Python: not too many digits, not infinite."""
    try:
        value = json.loads(number)
    except ValueError:
        return False
    return type(value) is int or value - value == 0


def _no_token(text: str, at: int, expected: str) -> JsonFault:
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
