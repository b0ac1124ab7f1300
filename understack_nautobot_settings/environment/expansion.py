"""References to environment variables inside JSON values.

The grammar, inside string values only, never in the names of an object:

======================  =====================================================
``${NAME}``             the value of the variable; unset or empty is an error
``${NAME:-text}``       the value, or the text where it is unset or empty
``${NAME|int}``         a whole string alone: the value as ``bool``, ``int``,
                        ``float`` or ``json``; with a default ``${NAME|int:-5}``
                        or ``${NAME:-5|int}``
``$<NAME>`` …           the same, for templates that take ``${`` for their own
``$${``, ``$$<``        a literal ``${`` and ``$<``
any other ``$``         itself: ``$NAME``, ``$$``, ``$2b$12$…``
======================  =====================================================

A name is an ASCII letter or ``_``, then letters, digits and ``_``. A default ends
at the first closing bracket and holds no reference of its own spelling. A ``${``
that fits none of this is an error, since it is a reference someone got wrong. A
``$<`` that fits none of this is text: passwords hold it, and hashes hold neither.
Text that comes from a variable or a default is never looked at again.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment.json_objects import json_value
from understack_nautobot_settings.environment.kinds import shortened
from understack_nautobot_settings.environment.kinds import truth
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import encodable

MOST_CHARACTERS = 16 * 2**20
"""How many characters references may insert."""

_LONGEST_PATH = 64

_DOLLAR = re.compile(
    r"""
      \$\$ (?P<literal> [{<] )
    | \$ (?: (?P<brace> \{ ) | < ) (?P<name> [A-Za-z_]\w* )
        (?: \| (?P<cast> bool|int|float|json ) )?
        (?: :- (?P<default> (?(brace) [^}$]* (?: \$(?!\{) [^}$]* )*
                                    | [^>$]* (?: \$(?!<) [^>$]* )* ) ) )?
        (?(brace) \} | > )
    | (?P<malformed> \$\{ )
    | \$\( (?P<left> [A-Z_][A-Z0-9_]* ) \)
    """,
    re.VERBOSE | re.ASCII,
)
# `${NAME:-5|int}` is what a reader of `|int` writes as well.
_CAST_AT_END = re.compile(r"(?P<default>.*)\|(?P<cast>bool|int|float|json)", re.DOTALL)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class _Step(NamedTuple):
    """A container, and how it was reached."""

    container: Any
    before: _Step | None
    key: Any


def expanded(
    value: Any,
    env: Mapping[str, str],
    variable: str,
    problems: list[Problem],
    *,
    most: int = MOST_CHARACTERS,
) -> Any:
    """Return a copy of a JSON value with the references in its strings replaced.

    Time grows with the size of the value, however deep it is.

    Args:
        value: What a JSON parser returns; not changed.
        env: The environment that references name.
        variable: The name that problems are filed under.
        problems: Takes a problem for each reference that is unset, does not fit its
            cast or is malformed, by JSON path; what has one stays as written.
        most: How many characters references may insert.
    """
    root = [value]
    todo = deque([_Step(root, None, None)])
    while todo:
        step = todo.popleft()
        container = step.container
        pairs = container.items() if type(container) is dict else enumerate(container)
        # Only values change while the pairs are gone through.
        for key, item in pairs:
            if type(item) in (dict, list):
                container[key] = item.copy()
                todo.append(_Step(container[key], step, key))
            elif type(item) is str and ("$" in item or item.startswith("map[")):
                text = _Text(env, most)
                container[key] = text.of(item)
                problems.extend(
                    code.problem(variable, f"{_path(step, key)} {fact}", hint)
                    for code, fact, hint in text.remarks
                )
                most = text.left
                if most < 0:
                    return value
    return root[0]


class _Text:
    """Replaces the references of one string.

    Attributes:
        left: How many characters may still be inserted; negative beyond the limit.
        remarks: What is wrong: code, fact and hint.
    """

    def __init__(self, env: Mapping[str, str], left: int) -> None:
        """Replace by the environment, within a bound."""
        self._env = env
        self.left = left
        self.remarks: dict[tuple[Code, str, str | None], None] = {}

    def of(self, written: str) -> Any:
        """Return the string with its references replaced, as written if refused."""
        if written.startswith("map[") and written.endswith("]"):
            self._remark(
                codes.TEMPLATE_LEFTOVER,
                "looks like a map that Helm printed.",
                "Use toJson in the template.",
            )
        match = _DOLLAR.fullmatch(written)
        if match and match["name"]:
            value = self._alone(match)
        else:
            value = _DOLLAR.sub(self._piece, written)
        if self.left < 0:
            fact = "takes the expanded text beyond the limit."
            self._remark(codes.EXPANSION_TOO_LARGE, fact)
        refused = any(code.severity == ERROR for code, _, _ in self.remarks)
        return written if refused else value

    def _piece(self, match: re.Match[str]) -> str:
        """Return what a match becomes within a longer text."""
        if match["literal"]:
            return f"${match['literal']}"
        if match["left"]:
            self._remark(
                codes.TEMPLATE_LEFTOVER,
                f"holds $({match['left']}), which Kubernetes did not replace.",
                f"Write ${{{match['left']}}}, which this library replaces.",
            )
            return match.group()
        if match["malformed"]:
            fact = f"has a malformed reference at character {match.start() + 1}."
            self._remark(codes.REFERENCE_MALFORMED, fact)
            return ""
        cast, default = _cast_and_default(match)
        if cast:
            fact = f"has |{cast} inside a longer text."
            self._remark(codes.REFERENCE_TYPE, fact)
            return ""
        return self._found(match, default) or ""

    def _alone(self, match: re.Match[str]) -> Any:
        """Return what a string becomes that is one reference."""
        cast, default = _cast_and_default(match)
        found = self._found(match, default, is_cast=bool(cast))
        if found is None:
            return None
        shown = shortened(match["name"])
        if cast:
            value, fault = _typed(cast, found)
            if fault:
                which = "value" if self._env.get(match["name"]) else "default"
                fact = f"refers to {shown}, whose {which} is {fault}"
                self._remark(codes.REFERENCE_TYPE, fact)
            return value
        cast = "bool" if found.strip().lower() in ("true", "false") else "int"
        if cast == "bool" or _INTEGER.fullmatch(found.strip()):
            self._remark(
                codes.REFERENCE_UNTYPED,
                f"refers to {shown} and stays text, although the value reads as "
                f"{_NOUNS[cast]}.",
            )
        return found

    def _found(
        self, match: re.Match[str], default: str | None, *, is_cast: bool = False
    ) -> str | None:
        """Return the text that a reference stands for, None beyond the limit."""
        name, shown = match["name"], shortened(match["name"])
        value = self._env.get(name)
        if value and not encodable(value):
            fact = f"refers to {shown}, whose value holds bytes that are not UTF-8."
            self._remark(codes.REFERENCE_NOT_UTF8, fact)
        elif value and value.endswith("\n") and not is_cast:
            fact = f"refers to {shown}, whose value ends with a line break."
            self._remark(codes.REFERENCE_LINE_BREAK, fact)
        elif not value and default is None:
            state = "not set" if value is None else "empty"
            if self._env.get(f"{name}_FILE"):
                state += f"; {shown}_FILE is set, but no file is read here"
            self._remark(codes.REFERENCE_UNSET, f"refers to {shown}, which is {state}.")
        found = value or default
        self.left -= len(found or "")
        # More would fill the memory.
        return found if self.left >= 0 else None

    def _remark(self, code: Code, fact: str, hint: str | None = None) -> None:
        self.remarks[code, fact, hint] = None


_NOUNS = {
    "bool": "a boolean",
    "int": "a whole number",
    "float": "a number",
}


def _cast_and_default(match: re.Match[str]) -> tuple[str | None, str | None]:
    cast, default = match["cast"], match["default"]
    at_end = _CAST_AT_END.fullmatch(default or "")
    if at_end and not cast:
        default, cast = at_end.groups()
    return cast, default


def _typed(cast: str, text: str) -> tuple[Any, str]:
    """Return a text as the type of a cast and nothing, or None and what it is."""
    if cast == "json":
        value, fault = json_value(text)
        return value, f"refused: {fault.sentence(text)}" if fault else ""
    text = text.strip()
    with suppress(ValueError):
        if cast == "bool":
            return truth(text), ""
        if cast == "int" and _INTEGER.fullmatch(text):
            return int(text), ""
        if cast == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text), ""
    return None, f"not {_NOUNS[cast]}."


def _path(step: _Step, key: Any) -> str:
    """Return where a string is: ``nautobot_golden_config.users[0].token``."""
    steps: list[str] = []
    # The outermost container is a list of one, made here.
    while step.before and len(steps) < _LONGEST_PATH:
        steps.append(_part(key))
        key, step = step.key, step.before
    beginning = "…" if step.before else ""
    return beginning + "".join(reversed(steps)).removeprefix(".") or "the text"


def _part(key: Any) -> str:
    if not isinstance(key, str):
        return f"[{key}]"
    shown = shortened(key)
    return f".{shown}" if _PLAIN_NAME.fullmatch(key) else f"[{json.dumps(shown)}]"
