"""Which plugins Nautobot loads, and their configuration."""

import keyword
import os
import re
import sys
from collections.abc import Callable
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.expansion import expanded
from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.kinds import LONGEST_ECHO
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.environment.merging import layered
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text
from understack_nautobot_settings.text_files import shown_path

DEFAULTS: dict[str, dict[str, Any]] = {
    "nautobot_plugin_nornir": {
        "nornir_settings": {
            "credentials": (
                "nautobot_plugin_nornir.plugins.credentials"
                ".nautobot_secrets.CredentialsNautobotSecrets"
            ),
            "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
        },
        "use_config_context": {"connection_options": True},
    },
    "nautobot_golden_config": {
        "per_feature_bar_width": 0.15,
        "per_feature_width": 13,
        "per_feature_height": 4,
        "enable_backup": True,
        "enable_compliance": True,
        "enable_intended": True,
        "enable_sotagg": True,
        "enable_postprocessing": True,
        "sot_agg_transposer": None,
        "platform_slug_map": None,
        "postprocessing_callables": [],
        "postprocessing_subscribed": [],
    },
}
"""The open-source plugins that load when installed, with their configuration."""

# Few digits, and no character that only passwords have.
_LETTERS = r"[A-Za-z_./ \[\]-]*"
_ALIKE = 0.8
_NAME = re.compile(rf"{_LETTERS}([0-9]{{1,3}}{_LETTERS}){{0,2}}")


def is_installed(name: str) -> bool:
    """Tell whether a module can be found, importing nothing.

    Asks `importlib.util.find_spec` for the first part of a dotted name, looks for the
    others in its path and asks the finders of editable installs, so that no package
    around it runs. A directory without Python files of its own (a namespace package)
    is not installed: any folder on the path would be. Where a finder fails, only the
    import can tell, so the answer is yes and the import gives the reason.
    """
    if name in sys.modules and getattr(sys.modules[name], "__path__", None) is None:
        # None is how an import is forbidden.
        return sys.modules[name] is not None
    whole, *inner = name.split(".")
    try:
        spec = find_spec(whole)
        for part in inner:
            whole = f"{whole}.{part}"
            path = (spec and spec.submodule_search_locations) or []
            # By the last part and the path: PathFinder would look for the package
            # around a directory in sys.modules, where it need not be.
            spec = PathFinder.find_spec(part, path)
            specs = (one.find_spec(whole, path) for one in sys.meta_path)
            spec = spec or next(filter(None, specs), None)
    except ValueError:
        # Made in memory, without a spec.
        return name in sys.modules
    except Exception:  # noqa: BLE001 - a finder may raise anything
        return True
    # A directory has a path, but no origin.
    return spec is not None and (
        spec.origin is not None or spec.submodule_search_locations is None
    )


def modules_of_distribution(name: str) -> tuple[str, ...]:
    """Return the packages of a distribution: of ``nautobot-welcome-wizard``.

    The one whose name is nearest comes first. There are none where it is not
    installed.
    """
    from importlib import metadata

    try:
        # For no name at all, Python 3.10 returns any distribution.
        files = metadata.distribution(name).files if name else None
    except (metadata.PackageNotFoundError, ValueError):
        return ()
    packages = {file.parent for file in files or () if file.match("?*/__init__.py")}
    # Those in no other: of a namespace package the part that it brings.
    outermost = (one for one in packages if packages.isdisjoint(one.parents))
    found = sorted(filter(_is_module_name, (".".join(one.parts) for one in outermost)))
    best = nearest(name, found, cutoff=0)
    return tuple(sorted(found, key=lambda one: one != best))


def plugin_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
    find: Callable[[str], bool] = is_installed,
    modules_of: Callable[[str], tuple[str, ...]] = modules_of_distribution,
) -> dict[str, Any]:
    """Return the plugins that Nautobot loads, and their configuration.

    Plugins: those of the base, the open-source defaults that are installed (none
    with ``UNDERSTACK_DEFAULT_PLUGINS=off``), then the extra ones that are installed,
    each once. One that breaks on import stays, so that Nautobot raises the real
    error.

    Configuration, a later layer over an earlier one, objects merged and all else
    replaced: the defaults of the plugins added here, the base, and the JSON of
    ``NAUTOBOT_EXTRA_PLUGINS_CONFIG`` (or of the file that
    ``NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE`` names), in which references to
    environment variables are expanded as `environment.expansion` says.

    An exception raised from here holds none of the JSON and no expanded value;
    its traceback leads to frames that hold the arguments, `env` among them.

    No part of the base's ``PLUGINS_CONFIG`` is returned, since Nautobot writes into
    the result. ``find`` tells whether a module is installed, ``modules_of`` which
    packages a distribution brings.

    Returns:
        ``{"PLUGINS": [...], "PLUGINS_CONFIG": {...}}``

    Raises:
        SettingsError: A name is no module name, an extra plugin is not installed
            while ``NAUTOBOT_EXTRA_PLUGINS_STRICT`` is on, the JSON is refused, a
            reference in it is unset, or the configuration of a plugin is not an
            object.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        given = well_formed(
            settings, found, "PLUGINS", "EXTRA_PLUGINS", "PLUGINS_CONFIG"
        )
        base = dict.fromkeys(given.get("PLUGINS", ()))
        # Nautobot adds these to PLUGINS when the file has run.
        later = [*base, *given.get("EXTRA_PLUGINS", ())]
        extra = [name for name in _valid(read, modules_of) if name not in later]
        missing = [name for name in extra if not find(name)]
        _report_missing(missing, read, modules_of)
        wanted = DEFAULTS if read(variables.DEFAULT_PLUGINS) else ()
        added = [name for name in wanted if name not in later and find(name)]
        added += [name for name in extra if name not in (*missing, *added)]
        return {
            "PLUGINS": [*base, *added],
            "PLUGINS_CONFIG": _configuration(
                added, later, missing, given.get("PLUGINS_CONFIG", {}), read
            ),
        }


def _valid(read: Reader, modules_of: Callable[[str], tuple[str, ...]]) -> list[str]:
    names = read(variables.EXTRA_PLUGINS)
    valid = []
    for name in dict.fromkeys(names):
        if _is_module_name(name):
            valid.append(name)
            continue
        mended = [*modules_of(name), name.replace("-", "_")][0]
        remedy = None
        # What looks like a token is not shown in another spelling either.
        if _is_module_name(mended) and _NAME.fullmatch(mended):
            remedy = f"Use the name as Python imports it, such as {mended}."
        read.report(
            codes.PLUGIN_NAME_INVALID,
            variables.EXTRA_PLUGINS.name,
            f"{_shown(name)} is not a module name.",
            remedy,
        )
    return valid


def _is_module_name(name: str) -> bool:
    return all(
        part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")
    )


def _report_missing(
    missing: list[str], read: Reader, modules_of: Callable[[str], tuple[str, ...]]
) -> None:
    strict = read(variables.EXTRA_PLUGINS_STRICT)
    for name in missing:
        right = next(iter(modules_of(name)), "") or nearest(name, DEFAULTS, _ALIKE)
        hint = None
        if right and right != name:
            hint = f"Correct the name to {right}, or install it in the image."
        if strict:
            code, fact = codes.PLUGIN_MISSING, "is not installed"
        else:
            code, fact = codes.PLUGIN_SKIPPED, "is not installed and is skipped"
        read.report(code, variables.EXTRA_PLUGINS.name, f"{_shown(name)} {fact}.", hint)


def _shown(name: str) -> str:
    """Return a name in quotes, unless it looks like a token that was put there."""
    looks_like_a_name = len(name) <= LONGEST_ECHO and _NAME.fullmatch(name)
    return echo(name) if looks_like_a_name else "one of the names"


def _configuration(
    added: list[str],
    later: list[str],
    missing: list[str],
    given: Mapping[str, Any],
    read: Reader,
) -> dict[str, Any]:
    source, objects = given_configuration(read)
    extra = expanded(objects, read.env, source, read.problems)
    names = [*later, *added]
    # Nautobot reads only what it loads.
    left_over = dict.fromkeys(n for n in given if given[n] is None and n not in names)
    listed = {name: one for name, one in given.items() if name not in left_over}
    base = _objects(listed, "PLUGINS_CONFIG", read)
    # Who lists one of them configures it: a default might replace what its own code
    # does without one, as with the credentials of nautobot_plugin_nornir.
    defaults = {name: config for name, config in DEFAULTS.items() if name in added}
    merged = layered(defaults, base, extra)
    for name in [*merged, *left_over]:
        # What is not installed was reported already.
        if name not in names and name not in missing:
            right = nearest(name, names, _ALIKE)
            read.report(
                codes.PLUGIN_CONFIG_UNUSED,
                source if name in extra else "PLUGINS_CONFIG",
                f"{echo(name)} is configured and not loaded.",
                f"Correct the name to {right}." if right else None,
            )
    return {**left_over, **merged}


def given_configuration(read: Reader) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the variable that gives the JSON, and the objects in it, not expanded."""
    by_value = variables.EXTRA_PLUGINS_CONFIG
    by_file = variables.EXTRA_PLUGINS_CONFIG_FILE
    path = read.given(by_file)
    if read.is_set(by_file) and read.is_set(by_value):
        read.report(
            environment_codes.FILE_AND_VALUE,
            by_value.name,
            f"{by_file.name} is set as well.",
        )
        return by_value.name, {}
    text: str | None
    if path is not None:
        source, text = by_file.name, _file_text(path, read)
    else:
        # As it stands in the environment, so that positions are true.
        source, text = by_value.name, read.given(by_value) and read.env[by_value.name]
    config = None if text is None else read_json_object(source, text, read.problems)
    return source, _objects(config or {}, source, read)


def _objects(
    config: Mapping[str, Any], source: str, read: Reader
) -> dict[str, dict[str, Any]]:
    """Return the plugins whose configuration is an object; report the others."""
    objects = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            # Nautobot writes into it.
            objects[name] = dict(value)
            continue
        kind = "null" if value is None else "not an object"
        read.report(
            codes.PLUGIN_CONFIG_NOT_OBJECT,
            source,
            f"the configuration of {echo(name)} is {kind}.",
        )
    return objects


def _file_text(path: str, read: Reader) -> str | None:
    try:
        text = read_text(path, CONFIGURATION_BYTES)
    except FileRefused as refused:
        fact = f"{shown_path(path)} {refused.words}."
    else:
        if text.strip():
            return text
        fact = f"{path} is empty."
    source = variables.EXTRA_PLUGINS_CONFIG_FILE.name
    read.report(codes.PLUGIN_CONFIG_FILE_UNREADABLE, source, fact)
    return None
