"""Reading settings that a file wrote, and that may be of any type."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.problems import Problem


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


def well_formed(
    settings: Mapping[str, Any], problems: list[Problem], *names: str
) -> dict[str, Any]:
    """Return these settings of a settings module; one that is None counts as absent.

    One of the wrong type is left out, and a problem is added for it.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = settings.get(name)
        wrong = None if value is None else _wrong(name, value)
        if wrong is not None:
            place, expected = wrong
            fact = f"the settings file assigns a value that is not {expected}."
            hint = f"Assign {expected}."
            problems.append(codes.SETTING_TYPE.problem(place, fact, hint))
        elif value is not None:
            found[name] = value
    return found


def _wrong(name: str, value: object) -> tuple[str, str] | None:
    """Return which part of a setting has the wrong type, and the right type."""
    expected, fits = _TYPES[name]
    if not fits(value):
        return name, expected
    inside = {name: value}
    if name in ("DATABASES", "CACHES") and isinstance(value, Mapping):
        inside = {f"{name}.{alias}": entry for alias, entry in value.items()}
        if not all(isinstance(one, Mapping) for one in inside.values()):
            return name, "a dict of dicts by alias"
    for place, entry in inside.items():
        for part, (right, fits_part) in _PARTS.get(name, {}).items():
            inner: object = entry
            for key in part.split("."):
                inner = mapping(inner).get(key)
            if inner is not None and not fits_part(inner):
                return f"{place}.{part}", right
    return None


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(one, str) for one in value
    )


def path_of(value: object) -> str:
    """Return a path of a settings file as text, empty for what is none."""
    return str(value) if _is_path(value) else ""


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


_Type = tuple[str, Callable[[object], bool]]
_MAPPING: _Type = ("a dict with names of type str", _is_mapping)
_TEXT: _Type = ("a str", lambda value: isinstance(value, str))
_TEXTS: _Type = ("a list of str", _is_texts)
_URLS: _Type = (
    "a str or a list of str",
    lambda value: isinstance(value, str) or _is_texts(value),
)
_SWITCH: _Type = (
    "a dict, or True or False",
    lambda value: isinstance(value, bool) or _is_mapping(value),
)

_TYPES: dict[str, _Type] = {
    "SECRET_KEY": ("a str", lambda value: isinstance(value, str | bytes)),
    "DATABASES": _MAPPING,
    "CACHES": _MAPPING,
    "CELERY_BROKER_URL": _URLS,
    "CELERY_BROKER_USE_SSL": _SWITCH,
    "CELERY_REDIS_BACKEND_USE_SSL": _SWITCH,
    "CELERY_BROKER_TRANSPORT": _TEXT,
    "CELERY_BROKER_TRANSPORT_OPTIONS": _MAPPING,
    "CELERY_RESULT_BACKEND": _TEXT,
    "PLUGINS": _TEXTS,
    "EXTRA_PLUGINS": _TEXTS,
    "ALLOWED_HOSTS": _TEXTS,
    "AUTHENTICATION_BACKENDS": _TEXTS,
    "INSTALLED_APPS": _TEXTS,
    "MIDDLEWARE": _TEXTS,
    "LOGGING": _MAPPING,
    "EVENT_BROKERS": _MAPPING,
    # Named as their variables.
    variables.PARTITION.name: _TEXT,
    variables.SITE.name: _TEXT,
    variables.OIDC_ENDPOINT.name: _TEXT,
    variables.OIDC_KEY.name: _TEXT,
    variables.OIDC_SECRET.name: _TEXT,
    variables.OIDC_SCOPE.name: _TEXTS,
    variables.EXPIRY_UNHEALTHY.name: (
        "a number",
        lambda value: isinstance(value, int | float),
    ),
}
_PATH: _Type = ("a str or a Path", _is_path)
_REDIS_PATHS = dict.fromkeys(variables.REDIS_FILES, _PATH)
_PARTS: dict[str, dict[str, _Type]] = {
    "DATABASES": {
        "OPTIONS": _MAPPING,
        "ENGINE": _TEXT,
        "HOST": _TEXT,
        "PORT": ("a str or an int", lambda value: isinstance(value, str | int)),
        "USER": _TEXT,
        "OPTIONS.sslmode": _TEXT,
        **{f"OPTIONS.{parameter}": _PATH for parameter in variables.DB_FILES},
    },
    "CACHES": {
        "BACKEND": _TEXT,
        "LOCATION": _URLS,
        "OPTIONS": _MAPPING,
        "OPTIONS.CONNECTION_POOL_KWARGS": _MAPPING,
        "OPTIONS.CLIENT_CLASS": _TEXT,
        **{
            f"OPTIONS.{level}{option}": _PATH
            for level in ("", "CONNECTION_POOL_KWARGS.")
            for option in _REDIS_PATHS
        },
    },
    "CELERY_BROKER_USE_SSL": _REDIS_PATHS,
    "CELERY_REDIS_BACKEND_USE_SSL": _REDIS_PATHS,
}
