"""Which settings are in force, and where each of them comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.environment import check_nautobot_values
from understack_nautobot_settings.checks.in_force import is_decided
from understack_nautobot_settings.checks.inspection import ABOUT_FILES
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import raw
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.fragments import sso
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text

Trail = tuple[str, ...]
"""The keys that lead to a value: ``("DATABASES", "default", "HOST")``."""

BASE = "base"
DEFAULT = "default"

DEEPEST = 40
"""Levels of nesting below which a configuration is not told apart any further."""

_NOTHING = object()
_PLAIN_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
# What gives settings as JSON, by their trail.
_JSON: dict[Trail, Variable[str | None]] = {
    tuple(variable.settings[0].split(".")): variable
    for variable in (variables.DB_EXTRA_OPTIONS, variables.EXTRA_PLUGINS_CONFIG)
}


def _deciding() -> dict[Trail, list[Variable[Any]]]:
    found: dict[Trail, list[Variable[Any]]] = {}
    for variable in variables.VARIABLES:
        if variable not in (*_JSON.values(), variables.EXTRA_PLUGINS_CONFIG_FILE):
            for setting in variable.settings:
                found.setdefault(tuple(setting.split(".")), []).append(variable)
    return found


DECIDED_BY = _deciding()
"""The variables that decide a setting, by its trail; JSON is told apart."""


class Provenance(NamedTuple):
    """What is in force.

    Attributes:
        settings: The settings of every fragment, secrets included.
        sources: For each value of them by its trail: ``variable NAME``,
            ``file NAME`` (the variable that names the file, or the path),
            ``default`` (this library's) or ``base`` (what it extends).
        variables: For each declared variable: ``variable``, ``file`` or ``default``.
        given: What the plugin configuration of the environment gives, by its trail,
            references not expanded.
        problems: Every problem of every fragment, and the values that Nautobot
            stops at: what it builds of them is not among the settings.
    """

    settings: dict[str, Any]
    sources: dict[Trail, str]
    variables: dict[str, str]
    given: dict[Trail, Any]
    problems: list[Problem]


def settings_provenance(
    env: Mapping[str, str] = os.environ,
    *,
    namespace: Mapping[str, Any] | None = None,
    file: SettingsFile | None = None,
    with_files: bool = True,
) -> Provenance:
    """Return the settings in force, and where each comes from.

    Args:
        env: The environment.
        namespace: The settings that are extended, `base_settings` by default.
        file: A file loaded in this environment, whose settings are taken as they
            are; its path is the source of what it decides itself.
        with_files: False where certificates and secrets are not mounted.
    """
    if file is None:
        base = base_settings(env) if namespace is None else namespace
        judge = None if with_files else no_files
        settings, problems = evaluate(base, env, check_files=judge)
    else:
        base, settings, problems = file.base, file.settings, file.problems
    problems = [*check_nautobot_values(env), *problems]
    if not with_files:
        problems = [one for one in problems if one.code not in ABOUT_FILES]
    given = _given(env)
    origins = _Origins(base, env, given, file)
    return Provenance(
        settings,
        {trail: origins.of(trail, value) for trail, value in values(settings)},
        {one.name: source(one, env) for one in variables.VARIABLES},
        {t: value for t, value in given.items() if t[0] == "PLUGINS_CONFIG"},
        without_consequences(problems),
    )


def values(settings: Mapping[str, Any]) -> Iterator[tuple[Trail, Any]]:
    """Yield every value that is no (further) dict, with its trail, in order."""
    stack: list[tuple[Trail, Any]] = [((), settings)]
    while stack:
        trail, value = stack.pop()
        if isinstance(value, Mapping) and value and len(trail) < DEEPEST:
            inner = [((*trail, str(key)), item) for key, item in value.items()]
            stack.extend(reversed(inner))
        elif trail:
            yield trail, value


def at(settings: Mapping[str, Any], trail: Trail, otherwise: object = None) -> Any:
    """Return what stands at the end of a trail."""
    here: Any = settings
    for key in trail:
        if not isinstance(here, Mapping) or key not in here:
            return otherwise
        here = here[key]
    return here


def dotted(trail: Trail) -> str:
    """Return a trail as one word: ``DATABASES.default.HOST``, ``A["b.c"]``."""
    word = ""
    for key in trail:
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        word += f".{key}" if re.fullmatch(_PLAIN_KEY, key) else f'["{escaped}"]'
    return word.removeprefix(".")


def _given(env: Mapping[str, str]) -> dict[Trail, Any]:
    """Return what the JSON variables give, by the trail of the setting."""
    given: dict[Trail, Any] = {}
    for root, variable in _JSON.items():
        text = raw(variable, env)
        path = raw(variables.EXTRA_PLUGINS_CONFIG_FILE, env)
        if variable is variables.EXTRA_PLUGINS_CONFIG and path is not None:
            try:
                text = read_text(path, CONFIGURATION_BYTES)
            except FileRefused:
                text = None
        content = read_json_object(variable.name, text, []) if text else None
        given |= {root + trail: value for trail, value in values(content or {})}
    return given


class _Origins(NamedTuple):
    """Where values come from, in one environment."""

    base: Mapping[str, Any]
    env: Mapping[str, str]
    given: Mapping[Trail, Any]
    file: SettingsFile | None

    def of(self, trail: Trail, value: Any) -> str:
        """Return the origin of one value."""
        file = self.file
        if file is None:
            return self._of_decided(trail, value)
        if trail[:2] == ("DATABASES", "job_logs") and "TEST" not in trail:
            # Nautobot's copy of the default database.
            trail = ("DATABASES", "default", *trail[2:])
        if file.decided is not None and is_decided(file.decided, trail, value):
            return self._of_decided(trail, value)
        if self._is_base(trail, value):
            names = [one.name for one in self._read(trail) if one.nautobots]
            return f"variable {', '.join(names)}" if names else BASE
        return f"file {file.path}"

    def _of_decided(self, trail: Trail, value: Any) -> str:
        """Return the origin of a value that this library decided, or left."""
        if trail in self.given and self.given[trail] == value:
            return self._of_json(trail)
        trails = [trail[:length] for length in range(len(trail), 0, -1)]
        for above in trails:
            names = [one.name for one in self._read(above)]
            if names:
                return f"variable {', '.join(names)}"
            names = [one.file_name for one in self._read(above, "file")]
            if names:
                return f"file {', '.join(names)}"
            if above in _JSON and not self.given.keys().isdisjoint(trails):
                return self._of_json(trail)
        directory = Reader(self.env, [])(variables.SSO_DIR)
        for part, variable in sso.PARTS.items():
            path = os.path.join(directory, part)
            if trail[0] in variable.settings and os.path.exists(path):
                return f"file {path}"
        return BASE if self._is_base(trail, value) else DEFAULT

    def _read(self, trail: Trail, origin: str = "variable") -> list[Variable[Any]]:
        """Return the variables that decide a setting and are read from there."""
        deciding = DECIDED_BY.get(trail, ())
        return [one for one in deciding if source(one, self.env) == origin]

    def _of_json(self, trail: Trail) -> str:
        file = variables.EXTRA_PLUGINS_CONFIG_FILE
        if trail[0] in file.settings and raw(file, self.env) is not None:
            return f"file {file.name}"
        return next(
            f"variable {variable.name}"
            for root, variable in _JSON.items()
            if trail[0] == root[0]
        )

    def _is_base(self, trail: Trail, value: Any) -> bool:
        """Tell whether a value is that of the settings that are extended."""
        here = at(self.base, trail, _NOTHING)
        if here is value:
            return True
        try:
            return type(here) is type(value) and bool(here == value)
        except Exception:  # noqa: BLE001 - translations cannot be compared yet
            return False
