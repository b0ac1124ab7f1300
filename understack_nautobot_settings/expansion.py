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
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.environment import LONGEST_ECHO
from understack_nautobot_settings.errors import Collecting
from understack_nautobot_settings.errors import Problem
from understack_nautobot_settings.problem_codes import Code

MOST_CHARACTERS = 16 * 2**20
"""How many characters all references together may put in."""

_LONGEST_PATH = 64

_DOLLAR = re.compile(
    r"""
      \$\$ (?P<literal> [{<] )
    | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* )
        (?: :- (?P<default> [^}$]* (?: \$(?!\{) [^}$]* )* ) )? \}
    | \$<  (?P<other_name> [A-Za-z_][A-Za-z0-9_]* )
        (?: :- (?P<other_default> [^>$]* (?: \$(?!<) [^>$]* )* ) )? >
    | (?P<malformed> \$\{ )
    """,
    re.VERBOSE,
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

# Where a container is: the trail of the container around it, and its key there.
_Trail = tuple[Any, Any]


def expanded(
    value: Any,
    env: Mapping[str, str] = os.environ,
    *,
    variable: str = "value",
    problems: list[Problem] | None = None,
    most: int = MOST_CHARACTERS,
) -> Any:
    """Return a JSON value with the references in its strings replaced.

    Time grows with the size of the value, however deep it is.

    Args:
        value: What a JSON parser returns: str, list and dict are gone through,
            anything else is returned as it is. Never changed.
        env: The environment that references name.
        variable: The name that problems are filed under.
        problems: Collects problems instead of raising them; what has a problem
            stays as written.
        most: How many characters all references together may put in.

    Returns:
        The value itself where no string has a ``$``, else a copy that shares no
        list or dict with it.

    Raises:
        SettingsError: A variable is unset, a ``${`` is malformed, or the result
            is too large. Lists all of them by JSON path, none with any content.
    """
    with Collecting(problems) as found:
        if not _has_dollar(value):
            return value
        return _Expansion(env, variable, found, most).of(value)


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


class _Expansion:
    """One pass over one value."""

    def __init__(
        self,
        env: Mapping[str, str],
        variable: str,
        problems: list[Problem],
        most: int,
    ) -> None:
        self._env = env
        self._variable = variable
        self._problems = problems
        self._left = most
        self._unset: list[str] = []
        self._malformed: list[int] = []

    def of(self, value: Any) -> Any:
        root = [value]
        todo: list[tuple[Any, _Trail | None]] = [(root, None)]
        for container, trail in todo:
            pairs = (
                container.items() if type(container) is dict else enumerate(container)
            )
            for key, item in pairs:
                kind = type(item)
                if kind is str:
                    if "$" in item:
                        container[key] = self._text(item, (trail, key))
                        if self._left < 0:
                            return value
                elif kind is dict or kind is list:
                    # Only values change while the pairs are gone through.
                    container[key] = copy = item.copy()
                    todo.append((copy, (trail, key)))
        return root[0]

    def _text(self, text: str, trail: _Trail) -> str:
        result = _DOLLAR.sub(self._replaced, text)
        if self._left < 0:
            self._add(
                problem_codes.EXPANSION_TOO_LARGE,
                f"{_path(trail)} takes what references put in beyond the limit.",
                "Refer to shorter values, or less often.",
            )
            return text
        if not (self._unset or self._malformed):
            return result
        path = _path(trail)
        for name in dict.fromkeys(map(_shortened, self._unset)):
            self._add(
                problem_codes.REFERENCE_UNSET,
                f"{path} refers to {name}, which is not set.",
                f"Set {name}, or give a default: ${{{name}:-text}}.",
            )
        for offset in self._malformed:
            self._add(
                problem_codes.REFERENCE_MALFORMED,
                f"{path} has a '${{' at character {offset + 1} that is no reference.",
                "Write ${NAME} or ${NAME:-default}, or $${ for '${' itself.",
            )
        self._unset.clear()
        self._malformed.clear()
        return text

    def _replaced(self, match: re.Match[str]) -> str:
        literal, name, default, other_name, other_default, malformed = match.groups()
        if literal:
            return f"${literal}"
        if malformed:
            self._malformed.append(match.start())
            return malformed
        name = name or other_name
        found = self._env.get(name) or (other_default if default is None else default)
        if found is None:
            self._unset.append(name)
            return ""
        # Counted while the pieces are collected: joined, they might fill the memory.
        self._left -= len(found)
        return found if self._left >= 0 else ""

    def _add(self, code: Code, message: str, hint: str) -> None:
        self._problems.append(code.problem(self._variable, message, hint))


def _path(trail: _Trail) -> str:
    """Return where a string is: ``nautobot_golden_config.users[0].token``."""
    keys: list[Any] = []
    around, key = trail
    while around is not None and len(keys) < _LONGEST_PATH:
        keys.append(key)
        around, key = around
    path = "".join(_step(key) for key in reversed(keys)).removeprefix(".")
    if around is not None:
        path = f"…{path}"
    return path or "the text"


def _step(key: Any) -> str:
    if not isinstance(key, str):
        return f"[{key}]"
    shown = _shortened(key)
    return f".{shown}" if _PLAIN_NAME.fullmatch(key) else f"[{json.dumps(shown)}]"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_ECHO else f"{name[: LONGEST_ECHO - 1]}…"
