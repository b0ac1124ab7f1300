"""Which settings are in force, and where each of them comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.environment import check_nautobot_values
from understack_nautobot_settings.checks.in_force import is_decided
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import JsonObject
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

_PLAIN_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"


class Provenance(NamedTuple):
    """What is in force.

    Attributes:
        settings: The settings of every fragment, secrets included.
        sources: For each value of them by its trail: ``variable NAME``,
            ``file NAME`` (the variable that names the file, or the path),
            ``default`` (this library's) or ``base`` (what it extends).
        variables: For each declared variable: ``variable``, ``file`` or
            ``default``.
        given: Trails of what the plugin configuration of the environment gives,
            with the text as it stands there, references not expanded.
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
    with_files: bool = True,
) -> Provenance:
    """Return the settings in force, and where each comes from.

    Args:
        env: The environment.
        namespace: The settings that are extended; those that Nautobot derives
            from the environment by default, for which Nautobot is not needed.
        with_files: False where certificates are not mounted.
    """
    base = base_settings(env) if namespace is None else namespace
    judge = check_certificates if with_files else no_files
    settings, problems = evaluate(base, env, check_files=judge)
    problems = without_consequences([*check_nautobot_values(env), *problems])
    given = _given(env)
    origins = _Origins(base, env, given)
    sources = {trail: origins.of(trail, value) for trail, value in values(settings)}
    return Provenance(
        settings,
        sources,
        {one.name: source(one, env) for one in variables.VARIABLES},
        {t: value for t, value in given.items() if t[0] == "PLUGINS_CONFIG"},
        problems,
    )


def file_provenance(
    file: SettingsFile, env: Mapping[str, str] = os.environ
) -> Provenance:
    """Return the settings that a settings file makes, and where each comes from.

    Args:
        file: The loaded file; its path is the source of what it decides itself.
        env: The environment in which it was loaded.
    """
    given = _given(env)
    origins = _Origins(file.base, env, given)

    def origin(trail: Trail, value: Any) -> str:
        if trail[:2] == ("DATABASES", "job_logs") and "TEST" not in trail:
            # Nautobot's copy of the default database.
            trail = ("DATABASES", "default", *trail[2:])
        if file.decided is not None and is_decided(file.decided, trail, value):
            return origins.of(trail, value)
        if origins.is_base(trail, value):
            return origins.of_base(trail)
        return f"file {file.path}"

    return Provenance(
        file.settings,
        {trail: origin(trail, value) for trail, value in values(file.settings)},
        {one.name: source(one, env) for one in variables.VARIABLES},
        {t: value for t, value in given.items() if t[0] == "PLUGINS_CONFIG"},
        without_consequences([*check_nautobot_values(env), *file.problems]),
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


def dotted(trail: Trail) -> str:
    """Return a trail as one word: ``DATABASES.default.HOST``, ``A["b.c"]``."""
    return "".join(
        f".{key}" if re.fullmatch(_PLAIN_KEY, key) else f'["{_escaped(key)}"]'
        for key in trail
    ).removeprefix(".")


def _escaped(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')


def _given(env: Mapping[str, str]) -> dict[Trail, Any]:
    """Return what the JSON variables give, by the trail of the setting."""
    from understack_nautobot_settings.environment.json_objects import read_json_object

    given: dict[Trail, Any] = {}
    for variable, text in (
        (variables.DB_EXTRA_OPTIONS, raw(variables.DB_EXTRA_OPTIONS, env)),
        (variables.EXTRA_PLUGINS_CONFIG, _plugins_text(env)),
    ):
        content = read_json_object(variable.name, text, []) if text else None
        root = tuple(variable.settings[0].split("."))
        for trail, value in values(content or {}):
            given[root + trail] = value
    return given


def _plugins_text(env: Mapping[str, str]) -> str | None:
    path = raw(variables.EXTRA_PLUGINS_CONFIG_FILE, env)
    if path is None:
        return raw(variables.EXTRA_PLUGINS_CONFIG, env)
    try:
        return read_text(path, CONFIGURATION_BYTES)
    except FileRefused:
        return None


class _Origins:
    """Where values come from, in one environment."""

    def __init__(
        self,
        base: Mapping[str, Any],
        env: Mapping[str, str],
        given: Mapping[Trail, Any],
    ) -> None:
        self._base = base
        self._env = env
        self._given = given
        self._exact: dict[Trail, list[Variable[Any]]] = {}
        self._json: dict[Trail, Variable[Any]] = {}
        for variable in variables.VARIABLES:
            for setting in variable.settings:
                trail = tuple(setting.split("."))
                if isinstance(variable.kind, JsonObject):
                    self._json[trail] = variable
                elif variable is not variables.EXTRA_PLUGINS_CONFIG_FILE:
                    self._exact.setdefault(trail, []).append(variable)

    def of(self, trail: Trail, value: Any) -> str:
        """Return the origin of one value."""
        by_variable = self._by_json(trail, value) or self._by_variable(trail)
        if by_variable:
            return by_variable
        by_file = self._by_file(trail[0])
        if by_file:
            return by_file
        return BASE if self.is_base(trail, value) else DEFAULT

    def of_base(self, trail: Trail) -> str:
        """Return the origin of a value that is Nautobot's own."""
        names = [
            one.name
            for one in self._exact.get(trail, ())
            if one.nautobots and raw(one, self._env) is not None
        ]
        return f"variable {', '.join(names)}" if names else BASE

    def _by_json(self, trail: Trail, value: Any) -> str:
        """Return the origin of what stands in the JSON as it is in force."""
        if trail not in self._given or self._given[trail] != value:
            return ""
        return next(
            self._json_origin(variable)
            for root, variable in self._json.items()
            if trail[: len(root)] == root
        )

    def _by_variable(self, trail: Trail) -> str:
        for length in range(len(trail), 0, -1):
            above = trail[:length]
            origins = [
                (source(one, self._env), one) for one in self._exact.get(above, ())
            ]
            read_from = [(origin, one) for origin, one in origins if origin != DEFAULT]
            for kind in ("variable", "file"):
                names = [
                    one.name if kind == "variable" else one.file_name
                    for origin, one in read_from
                    if origin == kind
                ]
                if names:
                    return f"{kind} {', '.join(names)}"
            if above in self._json and self._gives(trail):
                return self._json_origin(self._json[above])
        return ""

    def _gives(self, trail: Trail) -> bool:
        return any(trail[:length] in self._given for length in range(len(trail), 0, -1))

    def _json_origin(self, variable: Variable[Any]) -> str:
        file = variables.EXTRA_PLUGINS_CONFIG_FILE
        if variable.concern == file.concern and raw(file, self._env) is not None:
            return f"file {file.name}"
        return f"variable {variable.name}"

    def _by_file(self, setting: str) -> str:
        part = next(
            (part for part, one in sso.PARTS.items() if setting in one.settings), None
        )
        if part is None:
            return ""
        directory = Reader(self._env, [])(variables.SSO_DIR)
        path = os.path.join(directory, part)
        return f"file {path}" if os.path.exists(path) else ""

    def is_base(self, trail: Trail, value: Any) -> bool:
        """Tell whether a value is that of the settings that are extended."""
        here: Any = self._base
        for key in trail:
            if not isinstance(here, Mapping) or key not in here:
                return False
            here = here[key]
        if here is value:
            return True
        try:
            return type(here) is type(value) and bool(here == value)
        except Exception:  # noqa: BLE001 - translations cannot be compared yet
            return False
