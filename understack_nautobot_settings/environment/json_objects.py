"""JSON in variables and files: read strictly, refused with a position.

The standard parser judges. What it takes although RFC 8259 or common sense does not
(a name given twice, NaN, half a character) its hooks refuse, and one walk over the
tokens finds the place. No message holds any of the text, and no exception leaves
this module that could carry it.
"""

import json
import math
import re
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import BYTE_ORDER_MARK
from understack_nautobot_settings.text_files import encodable

_KINDS = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
# What the parsers of all Pythons say, by how it begins.
_EXPECTED = {
    "Expecting property name": "a name in double quotes is expected",
    "Expecting ':'": "a colon is expected",
    "Expecting ','": "a comma or a closing bracket is expected",
    "Expecting value": "a value is expected",
    "Extra data": "nothing more is expected",
    "Illegal trailing comma": "there is a comma too many",
    "Invalid \\": "JSON has no such escape",
    "Invalid control": "a control character in a string must be escaped",
    "Unterminated string": "the string that begins there has no end",
}
# Where looking for the deepest place ends.
_LEVELS = 200_000
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# A string without an end is one token, too: looking for its end at each quote anew
# would take quadratic time.
_TOKEN = re.compile(
    r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))(?P<colon>[ \t\n\r]*:)?'
    r"|[{}\[\]]|-?Infinity|NaN|-?[0-9][0-9.eE+-]*",
    re.DOTALL,
)


class Fault(NamedTuple):
    """What is wrong at which character; the fact has ``{}`` for line and column."""

    code: Code
    offset: int
    fact: str
    hint: str | None = None

    def sentence(self, text: str) -> str:
        """Return the fact with line and column, both counted from 1."""
        line = text.count("\n", 0, self.offset) + 1
        column = self.offset - text.rfind("\n", 0, self.offset)
        return self.fact.replace("{}", f" at line {line}, column {column}")


def read_json_object(
    variable: str, text: str, problems: list[Problem]
) -> dict[str, Any] | None:
    """Return the JSON object that a text holds, None where a problem was added.

    Refused, beyond what is not JSON (RFC 8259): anything but an object, a name
    that occurs twice in one object, NaN, Infinity and numbers that overflow to
    them, escapes that are half a character (lone surrogates), a byte order mark,
    and nesting or numbers too large for Python's parser.

    Args:
        variable: The name that a problem is filed under.
        text: The text; blanks around it are ignored and counted in positions.
        problems: Takes what is wrong: one problem, with line and column (both
            counted from 1), never with any of the text.
    """
    value, fault = json_value(text)
    if fault is None and type(value) is dict:
        return value
    if fault is None:
        start = len(text) - len(text.lstrip())
        fact = f"the JSON{{}} is {_KINDS[type(value)]}, not an object."
        fault = Fault(codes.JSON_NOT_OBJECT, start, fact)
    problems.append(fault.code.problem(variable, fault.sentence(text), fault.hint))
    return None


def json_value(text: str) -> tuple[Any, Fault | None]:
    """Return the value that a text holds and None, or None and what is wrong."""
    text = text.rstrip()
    start = len(text) - len(text.lstrip())
    if text.startswith(BYTE_ORDER_MARK, start):
        fact = "the text has a byte order mark{}."
        return None, Fault(codes.JSON_BYTE_ORDER_MARK, start, fact)
    too_deep = False
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return None, _malformed(text, error.msg, error.pos)
    except (ValueError, RecursionError) as error:
        value, too_deep = None, isinstance(error, RecursionError)
    else:
        if end < len(text):
            offset = len(text) - len(text[end:].lstrip())
            return None, _malformed(text, "Extra data", offset)
        if encodable(text) and not _SURROGATE_ESCAPE.search(text):
            return value, None
    fault = _first_fault(text, start, too_deep=too_deep)
    return (value if fault is None else None), fault


def _malformed(text: str, said: str, offset: int) -> Fault:
    words = next((own for begins, own in _EXPECTED.items() if said.startswith(begins)))
    before = text[:offset].rstrip()
    if before.endswith(",") and text[offset : offset + 1] in ("}", "]"):
        # Before Python 3.13 the bracket is what the parser names.
        words, offset = _EXPECTED["Illegal trailing comma"], len(before) - 1
    if said.startswith("Invalid \\"):
        # The parser names the backslash or what follows.
        offset = text.rindex("\\", 0, offset + 1)
    if offset == len(text):
        words += ", but the text ends"
    hint = None
    if text.lstrip().startswith("map["):
        hint = "Helm printed a map as Go writes it: use toJson in the template."
    return Fault(
        codes.JSON_MALFORMED, offset, f"the text is not JSON{{}}: {words}.", hint
    )


def _first_fault(text: str, start: int, *, too_deep: bool) -> Fault | None:
    """Return what the hooks of the parser refused, the deepest place if it gave up."""
    names: list[set[str]] = []
    level = depth = deepest = 0
    for token in _TOKEN.finditer(text, start):
        word = token["string"] or token.group()
        if word in "{[":
            level += 1
            if not too_deep:
                names.append(set())
            elif level > depth:
                depth, deepest = level, token.start()
                if depth == _LEVELS:
                    break
        elif word in "}]":
            # An unbalanced text can be too deep as well.
            level = max(0, level - 1)
            del names[-1:]
        elif not too_deep:
            found = _wrong_scalar(word, names if token["colon"] else [])
            if found:
                return Fault(found[0], token.start(), found[1])
    if not too_deep:
        return None
    more = " or more" if depth == _LEVELS else ""
    fact = f"the JSON is {depth}{more} levels deep{{}}, more than the parser accepts."
    return Fault(codes.JSON_TOO_DEEP, deepest, fact)


def _wrong_scalar(word: str, names: list[set[str]]) -> tuple[Code, str] | None:
    """Return what is wrong with a string or number; of a name, note that it is used."""
    try:
        value = _DECODER.decode(word)
    except ValueError:
        return (
            codes.JSON_NUMBER_INVALID,
            "the JSON{} has NaN, Infinity or a number too large to be kept.",
        )
    if not isinstance(value, str):
        return None
    if not encodable(value):
        return (
            codes.JSON_HALF_CHARACTER,
            "the JSON{} has a string with half a character or bytes that are no UTF-8.",
        )
    if names and value in names[-1]:
        return (
            codes.JSON_DUPLICATE_NAME,
            "the JSON{} gives a name a second time in the same object.",
        )
    if names:
        names[-1].add(value)
    return None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_float=_finite, parse_constant=_finite
)
