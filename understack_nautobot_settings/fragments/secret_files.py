"""The secret key, and the database password where it comes from a file."""

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import name_given
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

# Characters, different ones, and a beginning, by which Django (security.W009) calls a
# key weak.
_SECRET_KEY_LENGTH = 50
_SECRET_KEY_UNIQUE = 5
_INSECURE = "django-insecure-"


def secret_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return the secrets that Django needs.

    Reads ``NAUTOBOT_SECRET_KEY`` and ``NAUTOBOT_DB_PASSWORD``, each also by its
    ``_FILE`` form.

    Returns:
        ``{"SECRET_KEY": str, "DATABASES": dict}``; ``DATABASES`` only where given
        or where a file holds the password.

    Raises:
        SettingsError: There is no secret key, a secret is given twice, or its
            file cannot be read.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        before = len(found)
        base = well_formed(settings, found, "SECRET_KEY", "DATABASES")
        said = base.get("SECRET_KEY")
        given = read.given(variables.SECRET_KEY)
        key = given or said
        decided: dict[str, Any] = {}
        if key:
            decided["SECRET_KEY"] = key
            _warn_weak(key, read)
            if given and said not in {None, "", given}:
                read.report(
                    codes.FILE_OVERRULED,
                    name_given(variables.SECRET_KEY, env),
                    "the settings file assigns another secret key, and the "
                    "variable wins.",
                    "Unset the variable to use the key of the file.",
                )
        elif len(found) == before:
            read.report(
                codes.SECRET_KEY_MISSING,
                variables.SECRET_KEY.name,
                "there is no secret key.",
            )
        databases = dict(base.get("DATABASES", {}))
        password = read.given(variables.DB_PASSWORD)
        if password and source(variables.DB_PASSWORD, env) == "file":
            default = databases.get("default", {})
            databases["default"] = {**default, "PASSWORD": password}
        if databases or "DATABASES" in base:
            decided["DATABASES"] = databases
        return decided


def _warn_weak(key: str | bytes, read: Reader) -> None:
    """Warn of a key that Django's own check (security.W009) calls weak."""
    fact = ""
    if len(key) < _SECRET_KEY_LENGTH:
        fact = f"the key has fewer than {_SECRET_KEY_LENGTH} characters."
    elif len(set(key)) < _SECRET_KEY_UNIQUE:
        fact = f"the key has fewer than {_SECRET_KEY_UNIQUE} different characters."
    elif key[: len(_INSECURE)] in {_INSECURE, _INSECURE.encode()}:
        fact = f"the key begins with {_INSECURE}, so it was made for development."
    if fact:
        read.report(
            codes.SECRET_KEY_SHORT,
            place_of(variables.SECRET_KEY, key, "SECRET_KEY", read.env),
            fact,
        )
