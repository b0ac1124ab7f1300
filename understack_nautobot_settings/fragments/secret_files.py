"""The secret key, and the database password where it comes from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

SECRET_KEY_LENGTH = 50
"""Characters below which Django's own check (security.W009) calls a key weak."""


def secret_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return the secrets that Django needs.

    Args:
        settings: The settings module as a mapping; reads ``SECRET_KEY`` and
            ``DATABASES``, changes nothing.
        env: The environment; reads ``NAUTOBOT_SECRET_KEY`` and
            ``NAUTOBOT_DB_PASSWORD``, each also by its ``_FILE`` form.
        problems: Collects problems instead of raising them.

    Returns:
        ``{"SECRET_KEY": str, "DATABASES": dict}``; ``DATABASES`` only where given
        or where a file holds the password.

    Raises:
        SettingsError: There is no secret key, a secret is given twice, or its
            file cannot be read.
    """
    with Collecting(problems) as found:
        read = Reader(env, found)
        before = len(found)
        key = read.given(variables.SECRET_KEY) or settings.get("SECRET_KEY")
        decided: dict[str, Any] = {}
        if key:
            decided["SECRET_KEY"] = key
            _warn_short(key, found)
        elif len(found) == before:
            found.append(
                codes.SECRET_KEY_MISSING.problem(
                    variables.SECRET_KEY.name,
                    "there is no secret key.",
                    f"Set it, or {variables.SECRET_KEY.file_name}, to the value that "
                    "all pods share.",
                )
            )
        databases = settings.get("DATABASES")
        password = read.given(variables.DB_PASSWORD)
        if databases is not None:
            decided["DATABASES"] = dict(databases)
        if password and source(variables.DB_PASSWORD, env) == "file":
            default = {**((databases or {}).get("default") or {}), "PASSWORD": password}
            decided["DATABASES"] = {**(databases or {}), "default": default}
        return decided


def _warn_short(key: str, problems: list[Problem]) -> None:
    if len(key) < SECRET_KEY_LENGTH:
        problems.append(
            codes.SECRET_KEY_SHORT.problem(
                variables.SECRET_KEY.name,
                f"the key has fewer than {SECRET_KEY_LENGTH} characters.",
                f"Use {SECRET_KEY_LENGTH} or more random characters, the same on "
                "every pod.",
            )
        )
