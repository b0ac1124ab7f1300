"""Reading settings that a file wrote, and that may be of any type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.problems import Problem

Trail = tuple[str, ...]
"""The keys that lead to a value: ``("DATABASES", "default", "HOST")``."""


def mapping(value: object) -> Mapping[str, Any]:
    """Return the value where it is a mapping, an empty one otherwise."""
    return value if isinstance(value, Mapping) else {}


def entries(settings: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """Return the entries of ``DATABASES`` or ``CACHES`` that are mappings."""
    return {
        str(alias): entry
        for alias, entry in mapping(settings.get(name)).items()
        if isinstance(entry, Mapping)
    }


def databases(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the databases, without the copy that Nautobot makes of the default one.

    Nautobot makes it after the settings file.
    """
    found = entries(settings, "DATABASES")
    found.pop("job_logs", None)
    return found


def default_database(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the default database of any settings, empty where there is none."""
    return entries(settings, "DATABASES").get("default", {})


def at(settings: Mapping[str, Any], trail: Trail, otherwise: object = None) -> Any:
    """Return what stands at the end of a trail, `otherwise` if nothing does."""
    here: Any = settings
    for key in trail:
        if not isinstance(here, Mapping):
            return otherwise
        # Options of a socket are numbers, and tags of messages.
        names = [key] if key in here else [one for one in here if str(one) == key]
        if not names:
            return otherwise
        here = here[names[0]]
    return here


def well_formed(
    settings: Mapping[str, Any], problems: list[Problem], *names: str
) -> dict[str, Any]:
    """Return these settings of a settings module; one that is None counts as absent.

    One of the wrong type is left out, and a problem is added for it.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = settings.get(name)
        # Nautobot extends a list by what stands there, and cannot by None.
        absent = value is None and not (name in settings and name.startswith("EXTRA_"))
        wrong = None if absent else _wrong(value, _TYPES[name])
        if wrong is not None:
            place, expected = wrong
            fact = f"the settings file assigns a value that is not {expected}."
            hint = f"Assign {expected}."
            problems.append(codes.SETTING_TYPE.problem(name + place, fact, hint))
        elif value is not None:
            found[name] = value
    return found


def path_of(value: object) -> str:
    """Return a path of a settings file as text, empty for what is none."""
    return str(value) if isinstance(value, _PATH.types) else ""


class _Type(NamedTuple):
    """What a setting, or a part of one, has to be."""

    expected: str
    # Lists hold text, and dicts have text for names.
    types: tuple[type, ...]
    # Of some entries of a dict, or of every one.
    parts: Mapping[str, _Type] = {}
    every: _Type | None = None


def _wrong(value: object, right: _Type) -> tuple[str, str] | None:
    """Return which part has the wrong type (``.OPTIONS.sslmode``), and the right type.

    The part is empty for the whole value.
    """
    names = value if isinstance(value, _CONTAINERS) else ()
    if not (
        isinstance(value, right.types) and all(isinstance(one, str) for one in names)
    ):
        return "", right.expected
    if not isinstance(value, Mapping):
        return None
    parts = dict.fromkeys(value, right.every) if right.every else right.parts
    for name, part in parts.items():
        inner = value.get(name)
        absent = inner is None and not right.every
        wrong = None if absent else _wrong(inner, part)
        if wrong is not None:
            return f".{name}{wrong[0]}", wrong[1]
    return None


_CONTAINERS = (dict, list, tuple, Mapping)
_DICT = _Type("a dict with names of type str", (dict, Mapping))
_PATH = _Type("a str or a Path", (str, os.PathLike))
_TEXT = _Type("a str", (str,))
_TEXTS = _Type("a list of str", (list, tuple))
_URLS = _Type("a str or a list of str", (str, list, tuple))
_REDIS_PATHS = dict.fromkeys(variables.REDIS_FILES, _PATH)
_USE_SSL = _Type("a dict, or True or False", (bool, dict, Mapping), _REDIS_PATHS)
_DATABASE = {
    "ENGINE": _TEXT,
    "HOST": _TEXT,
    "PORT": _Type("a str or an int", (str, int)),
    "USER": _TEXT,
    "OPTIONS": _DICT._replace(
        parts={"sslmode": _TEXT, **dict.fromkeys(variables.DB_FILES, _PATH)}
    ),
}
_CACHE = {
    "BACKEND": _TEXT,
    "LOCATION": _URLS,
    "OPTIONS": _DICT._replace(
        parts={
            "CONNECTION_POOL_KWARGS": _DICT._replace(parts=_REDIS_PATHS),
            "CLIENT_CLASS": _TEXT,
            **_REDIS_PATHS,
        }
    ),
}

_TYPES = {
    "SECRET_KEY": _Type("a str", (str, bytes)),
    "DATABASES": _DICT._replace(every=_DICT._replace(parts=_DATABASE)),
    "CACHES": _DICT._replace(every=_DICT._replace(parts=_CACHE)),
    "CELERY_BROKER_URL": _URLS,
    "CELERY_BROKER_USE_SSL": _USE_SSL,
    "CELERY_REDIS_BACKEND_USE_SSL": _USE_SSL,
    "CELERY_BROKER_TRANSPORT": _TEXT,
    "CELERY_BROKER_TRANSPORT_OPTIONS": _DICT,
    "CELERY_RESULT_BACKEND": _TEXT,
    "PLUGINS": _TEXTS,
    "EXTRA_PLUGINS": _TEXTS,
    "PLUGINS_CONFIG": _DICT,
    "ALLOWED_HOSTS": _TEXTS,
    "AUTHENTICATION_BACKENDS": _TEXTS,
    "INSTALLED_APPS": _TEXTS,
    "MIDDLEWARE": _TEXTS,
    "LOGGING": _DICT._replace(
        parts={
            "loggers": _DICT._replace(every=_DICT),
            **dict.fromkeys(("root", "formatters", "filters", "handlers"), _DICT),
        }
    ),
    # Named as their variables.
    variables.PARTITION.name: _TEXT,
    variables.SITE.name: _TEXT,
    variables.OIDC_ENDPOINT.name: _TEXT,
    variables.OIDC_KEY.name: _TEXT,
    variables.OIDC_SECRET.name: _TEXT,
    variables.OIDC_SCOPE.name: _TEXTS,
    variables.EXPIRY_UNHEALTHY.name: _Type("a number", (int, float)),
}
