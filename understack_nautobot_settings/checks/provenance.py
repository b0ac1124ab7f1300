"""Which settings are in force, and where each of them comes from."""

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Set
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.in_force import is_decided
from understack_nautobot_settings.checks.inspection import ABOUT_FILES
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.checks.start_up import CONFIGURE_LOGGING
from understack_nautobot_settings.checks.values import check_nautobot_values
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.environment.settings_module import Trail
from understack_nautobot_settings.environment.settings_module import at
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.fragments import sso
from understack_nautobot_settings.fragments.plugins import given_configuration
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import broker_place
from understack_nautobot_settings.fragments.redis_urls import redis_address
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem

BASE = "base"
"""The settings that are extended, and what Nautobot and its apps add to a file."""
DEFAULT = "default"

DEEPEST = 40
"""Levels of nesting below which a configuration is not told apart any further."""

_NOTHING = object()
_PLAIN_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
_OPTIONS: Trail = ("DATABASES", "default", "OPTIONS")
_PLUGINS: Trail = ("PLUGINS_CONFIG",)
# What gives settings as JSON.
_JSON = (
    variables.DB_EXTRA_OPTIONS,
    variables.EXTRA_PLUGINS_CONFIG,
    variables.EXTRA_PLUGINS_CONFIG_FILE,
)


def _deciding() -> dict[Trail, list[Variable[Any]]]:
    found: dict[Trail, list[Variable[Any]]] = {}
    for variable in variables.VARIABLES:
        if variable not in _JSON:
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
            ``default`` (this library's) or ``base`` (what it extends, and what
            Nautobot and its apps add to a file).
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
    plugins = given[_PLUGINS].values
    # A reference is one value: names in the JSON that it stands for may be secret.
    texts = {trail for trail, value in plugins.items() if isinstance(value, str)}
    found = values(settings, (), texts)
    return Provenance(
        settings,
        {trail: origins.of(trail, value) for trail, value in found},
        {one.name: source(one, env) for one in variables.VARIABLES},
        plugins,
        without_consequences(problems),
    )


def values(
    settings: Mapping[str, Any], above: Trail = (), whole: Set[Trail] = frozenset()
) -> Iterator[tuple[Trail, Any]]:
    """Yield every value that is no (further) dict, with its trail, in order.

    A dict that stands at one of the trails in `whole` is yielded as it is.
    """
    for key, value in settings.items():
        trail = (*above, str(key))
        is_dict = isinstance(value, Mapping) and value and trail not in whole
        if is_dict and len(trail) < DEEPEST:
            yield from values(value, trail, whole)
        else:
            yield trail, value


def dotted(trail: Trail) -> str:
    """Return a trail as one word: ``DATABASES.default.HOST``, ``A["b.c"]``."""
    word = ""
    for key in trail:
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        word += f".{key}" if re.fullmatch(_PLAIN_KEY, key) else f'["{escaped}"]'
    return word.removeprefix(".")


def _of_default(trail: Trail) -> Trail:
    """Return where the default database or cache has an option of another one.

    They share TLS and timeouts. Django's own backend has the arguments of the pool
    among its options.
    """
    if trail[0] not in ("DATABASES", "CACHES") or trail[2:3] != ("OPTIONS",):
        return trail
    below = trail[3:]
    if trail[0] == "CACHES" and "CONNECTION_POOL_KWARGS" not in below:
        below = ("CONNECTION_POOL_KWARGS", *below)
    return (trail[0], "default", "OPTIONS", *below)


class _Given(NamedTuple):
    """What one JSON gives: where it comes from, and its values by their trail."""

    origin: str
    values: dict[Trail, Any]


def _given(env: Mapping[str, str]) -> dict[Trail, _Given]:
    """Return what is given as JSON, by the trail of the setting that it goes into."""
    read = Reader(env, [])
    name, text = variables.DB_EXTRA_OPTIONS.name, read(variables.DB_EXTRA_OPTIONS)
    options = read_json_object(name, text, []) if text else None
    source, configuration = given_configuration(read)
    by_file = source == variables.EXTRA_PLUGINS_CONFIG_FILE.name
    kind = "file" if by_file else "variable"
    return {
        root: _Given(origin, dict(values(content, root)))
        for root, origin, content in (
            (_OPTIONS, f"variable {name}", options or {}),
            (_PLUGINS, f"{kind} {source}", configuration),
        )
    }


class _Origins(NamedTuple):
    """Where values come from, in one environment."""

    base: Mapping[str, Any]
    env: Mapping[str, str]
    given: Mapping[Trail, _Given]
    file: SettingsFile | None

    def of(self, trail: Trail, value: Any) -> str:
        """Return the origin of one value."""
        file = self.file
        if file is None:
            return self._of_decided(trail, value)
        if trail[:2] == ("DATABASES", "job_logs"):
            # Nautobot's copy of the default database.
            trail = ("DATABASES", "default", *trail[2:])
        if trail == ("LOGGING_CONFIG",) and value == CONFIGURE_LOGGING:
            return DEFAULT
        parts = values({trail[-1]: value}, trail[:-1])
        if file.decided and any(is_decided(file.decided, *part) for part in parts):
            if self._is_url_of_file(trail, value):
                return f"file {file.path}"
            return self._of_decided(trail, value)
        if self._is_base(trail, at(file.written, trail, _NOTHING)):
            names = [one.name for one in self._read(trail) if one.nautobots]
            return f"variable {', '.join(names)}" if names else BASE
        return f"file {file.path}"

    def _of_decided(self, trail: Trail, value: Any) -> str:
        """Return the origin of a value that this library decided, or left."""
        shared = _of_default(trail)
        if shared != trail:
            if self._is_base(trail, value):
                return BASE
            trail = shared
        for root, given in self.given.items():
            # A reference in the plugin configuration is expanded by now.
            if trail in given.values and (
                root == _PLUGINS or given.values[trail] == value
            ):
                return given.origin
        for length in range(len(trail), 0, -1):
            above = trail[:length]
            names = [one.name for one in self._read(above)]
            if names:
                return f"variable {', '.join(names)}"
            names = [one.file_name for one in self._read(above, "file")]
            if names:
                return f"file {', '.join(names)}"
        directory = Reader(self.env, [])(variables.SSO_DIR)
        for part, variable in sso.PARTS.items():
            path = os.path.join(directory, part)
            if trail[0] in variable.settings and os.path.exists(path):
                return f"file {path}"
        return BASE if self._is_base(trail, value) else DEFAULT

    def _is_url_of_file(self, trail: Trail, value: Any) -> bool:
        """Tell whether a URL of Redis is the file's, whoever decided its scheme."""
        urls = urls_of(value, ";")
        if not urls or not REDIS_SCHEMES.issuperset(map(scheme_of, urls)):
            return False
        if trail not in DECIDED_BY:
            return True
        if broker_place(value, self.env) == variables.CELERY_BROKER_URL.name:
            return False
        address = redis_address(Reader(self.env, []))
        return not all(map(address.describes, urls))

    def _read(self, trail: Trail, origin: str = "variable") -> list[Variable[Any]]:
        """Return the variables that decide a setting and are read from there."""
        deciding = DECIDED_BY.get(trail, [])
        for own in (variables.CELERY_BROKER_URL, variables.BROKER_SOCKET_TIMEOUT):
            if own in deciding and source(own, self.env) != "default":
                # The others do not count then.
                deciding = [own]
        return [one for one in deciding if source(one, self.env) == origin]

    def _is_base(self, trail: Trail, value: Any) -> bool:
        """Tell whether a value is that of the settings that are extended."""
        here = at(self.base, trail, _NOTHING)
        if here is value:
            return True
        try:
            return type(here) is type(value) and bool(here == value)
        except Exception:  # noqa: BLE001 - translations cannot be compared yet
            return False
