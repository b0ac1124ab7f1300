"""References to environment variables inside JSON values.

The grammar, inside string values only, never in the names of an object:

==================  =========================================================
``${NAME}``         the value of the variable; unset or empty is an error
``${NAME:-text}``   the value, or the text where the variable is unset or empty
``$<NAME>``         the same, for templates that take ``${`` for their own
``$<NAME:-text>``   the same
``$${``, ``$$<``    a literal ``${`` and ``$<``
any other ``$``     itself: ``$NAME``, ``$$``, ``$2b$12$…``
==================  =========================================================

A name is an ASCII letter or ``_``, then letters, digits and ``_``. A default ends
at the first closing bracket and holds no reference of its own spelling; an empty
one (``${NAME:-}``) makes a variable optional. A ``${`` that fits none of this is
an error, since it is a reference someone got wrong. A ``$<`` that fits none of
this is text: passwords hold it, and hashes (bcrypt, crypt) hold neither. Text
that comes from a variable or a default is never looked at again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment.json_objects import sound_object
from understack_nautobot_settings.environment.kinds import LONGEST_ECHO
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

MOST_CHARACTERS = 16 * 2**20
"""How many characters longer than written all strings together may become."""

_LONGEST_PATH = 64
_MOST_BLANKS = 64
_AFTER_VALUE = frozenset(",}]")
_encode = json.JSONEncoder(ensure_ascii=False).encode

_DOLLAR = re.compile(
    r"""
      \$\$ (?P<literal> [{<] )
    | \$\{ (?P<name> [A-Za-z_]\w* )
        (?: :- (?P<default> [^}$]* (?: \$(?!\{) [^}$]* )* ) )? \}
    | \$<  (?P<other_name> [A-Za-z_]\w* )
        (?: :- (?P<other_default> [^>$]* (?: \$(?!<) [^>$]* )* ) )? >
    | (?P<malformed> \$\{ )
    """,
    re.VERBOSE | re.ASCII,
)
_PLAIN_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"


def expanded(
    value: Any,
    env: Mapping[str, str] = os.environ,
    *,
    variable: str = "value",
    problems: list[Problem] | None = None,
    most: int = MOST_CHARACTERS,
    in_place: bool = False,
) -> Any:
    """Return a JSON value with the references in its strings replaced.

    Time grows with the size of the value, however deep it is.

    Args:
        value: What a JSON parser returns: str, list and dict are gone through,
            anything else is returned as it is. Not changed.
        env: The environment that references name.
        variable: The name that problems are filed under.
        problems: Collects problems instead of raising them; what has a problem
            stays as written.
        most: How many characters longer than written all strings together may
            become.
        in_place: Spares the copy: strings are replaced in the lists and dicts of
            the value itself. For one that nobody else holds.

    Returns:
        The value itself where no string has a ``$``, else a copy that shares no
        list or dict with it.

    Raises:
        SettingsError: A variable is unset, a ``${`` is malformed, or the result
            is too large. Lists all of them by JSON path, none with any content.
    """
    with Collecting(problems) as found:
        if not (in_place or _has_dollar(value)):
            return value
        expansion = _Expansion(env, most, in_place=in_place)
        try:
            return expansion.of(value)
        finally:
            found.extend(expansion.problems(variable))
            # Holds what was expanded, and this frame is part of a traceback.
            del expansion


def expanded_object(
    text: str, env: Mapping[str, str], most: int = MOST_CHARACTERS
) -> dict[str, Any] | None:
    """Return the JSON object of a text with its references replaced, at least cost.

    Strings that are one ``${NAME}``, as most are, are replaced in the text itself
    before it is read: to walk through what was read takes as long as reading it.

    Args:
        text: The text.
        env: The environment that references name.
        most: How many characters all values together may have, encoded.

    Returns:
        What `read_json_object` and then `expanded` make of it; None where they have
        to look themselves: at other references, at escapes, at anything wrong.
    """
    replaced = _replaced_in_text(text, env, most)
    return None if replaced is None else sound_object(replaced)


def _replaced_in_text(text: str, env: Mapping[str, str], most: int) -> str | None:
    """Return a JSON text with other strings in the place of references.

    Without a backslash every quote begins or ends a string, whether the text is JSON
    or not. So a string, encoded as one, is all that a value can become.
    """
    first, *pieces = text.split('"${')
    if "\\" in text or text.count("$") != len(pieces) or first.count('"') % 2:
        return None
    result = [first]
    encoded: dict[str, str] = {}
    for piece in pieces:
        name, closed, rest = piece.partition('}"')
        value = encoded.get(name)
        if value is None:
            found = env.get(name) if name.isidentifier() and name.isascii() else None
            if not found:
                return None
            value = encoded[name] = _encode(found)
        most -= len(value)
        if not closed or most < 0 or rest.count('"') % 2:
            return None
        # The name of a member, which stays as it is, has a colon there.
        following = rest[:1].strip() or rest[:_MOST_BLANKS].lstrip()[:1]
        if following not in _AFTER_VALUE:
            return None
        result += (value, rest)
    return "".join(result)


def _has_dollar(value: Any) -> bool:
    """Tell whether any string has a dollar sign; twice as fast as a copy."""
    todo: list[Any] = [(value,)]
    for container in todo:
        for item in container.values() if type(container) is dict else container:
            kind = type(item)
            if kind is str:
                if "$" in item:
                    return True
            elif kind is dict or kind is list:
                todo.append(item)
    return False


class _Fault(NamedTuple):
    """What is wrong with one string; the fact continues its path."""

    code: Code
    fact: str
    hint: str


_TOO_LARGE = _Fault(
    codes.EXPANSION_TOO_LARGE,
    "takes the expanded text beyond the limit.",
    "Refer to shorter values, or less often.",
)


class _Expansion:
    """One pass over one value."""

    def __init__(self, env: Mapping[str, str], most: int, *, in_place: bool) -> None:
        self._env = env
        self._in_place = in_place
        self._left = most
        self._room = self._inserted = 0
        self._faults: dict[_Fault, None] = {}
        self._containers: list[Any] = []
        self._refused: list[tuple[Any, Any, Iterable[_Fault]]] = []

    def of(self, value: Any) -> Any:
        """Return a copy with references replaced, the value itself if too large."""
        root = [value]
        self._containers = [root]
        return root[0] if self._fill() else value

    def problems(self, variable: str) -> list[Problem]:
        """Return the problem of every string that was left as written."""
        if not self._refused:
            return []
        places = {
            id(item): (container, key)
            for container in self._containers
            for key, item in _pairs(container)
        }
        return [
            fault.code.problem(
                variable, f"{_path(container, key, places)} {fault.fact}", fault.hint
            )
            for container, key, faults in self._refused
            for fault in faults
        ]

    def _fill(self) -> bool:
        """Go through the containers, replace strings; False if too large."""
        todo, in_place = self._containers, self._in_place
        known: dict[str, str] = {}
        for container in todo:
            # Only values change while the pairs are gone through.
            pairs = (
                container.items() if type(container) is dict else enumerate(container)
            )
            for key, item in pairs:
                kind = type(item)
                if kind is str:
                    if "$" not in item:
                        continue
                    text = known.get(item) or self._whole(item) or self._text(item)
                    self._left -= len(text) - len(item)
                    if self._left < 0:
                        self._faults = {_TOO_LARGE: None}
                    if self._faults:
                        self._refused.append((container, key, self._faults))
                        self._faults = {}
                    else:
                        known[item] = container[key] = text
                    if self._left < 0:
                        return False
                elif kind is dict or kind is list:
                    inner = item
                    if not in_place:
                        container[key] = inner = item.copy()
                    todo.append(inner)
        return True

    def _whole(self, text: str) -> str | None:
        """Return what a string becomes that is one plain reference, as most are."""
        name = text[2:-1]
        if text[:2] == "${" and text[-1] == "}" and name.isidentifier():
            return self._env.get(name) if name.isascii() else None
        return None

    def _text(self, text: str) -> str:
        """Return a string with its references replaced; note what is wrong."""
        self._inserted = 0
        self._room = self._left + len(text)
        result = _DOLLAR.sub(self._replaced, text)
        return text if self._faults else result

    def _replaced(self, match: re.Match[str]) -> str:
        literal, name, default, other_name, other_default, malformed = match.groups()
        if literal:
            return f"${literal}"
        if malformed:
            fault = _Fault(
                codes.REFERENCE_MALFORMED,
                f"has a malformed reference at character {match.start() + 1}.",
                "Write ${NAME} or ${NAME:-default}, or $${ for '${' itself.",
            )
            self._faults[fault] = None
            return ""
        name = name or other_name
        found = self._env.get(name) or (other_default if default is None else default)
        if found is None:
            shown = _shortened(name)
            fault = _Fault(
                codes.REFERENCE_UNSET,
                f"refers to {shown}, which is not set.",
                f"Set {shown}, or give a default: ${{{shown}:-text}}.",
            )
            self._faults[fault] = None
            return ""
        # Once too large, nothing more goes in: joined, it might fill the memory.
        if self._inserted > self._room:
            return ""
        self._inserted += len(found)
        return found


def _pairs(container: Any) -> Iterable[tuple[Any, Any]]:
    return container.items() if type(container) is dict else enumerate(container)


def _path(container: Any, key: Any, places: Mapping[int, tuple[Any, Any]]) -> str:
    """Return where a string is: ``nautobot_golden_config.users[0].token``."""
    steps: list[str] = []
    while id(container) in places and len(steps) < _LONGEST_PATH:
        steps.append(_step(key))
        container, key = places[id(container)]
    beginning = "…" if id(container) in places else ""
    return beginning + "".join(reversed(steps)).removeprefix(".") or "the text"


def _step(key: Any) -> str:
    if not isinstance(key, str):
        return f"[{key}]"
    shown = _shortened(key)
    return f".{shown}" if re.fullmatch(_PLAIN_NAME, key) else f"[{json.dumps(shown)}]"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_ECHO else f"{name[: LONGEST_ECHO - 1]}…"
