"""What a deployment that faces users sets beyond Nautobot's defaults."""

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

_SAFE = {
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "CSRF_COOKIE_SECURE": True,
    "SECURE_CONTENT_TYPE_NOSNIFF": True,
}
_REMOVE = "Remove {} from the settings file, which assigns it."


def hardening_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return the security settings of Django, where hardening is on.

    ``SameSite`` is ``Lax``: the redirect back from an OpenID Connect provider
    has to carry the session cookie. ``SECURE_PROXY_SSL_HEADER`` stays as it is. What
    the settings file says of SameSite and HSTS is kept, unless the variable of HSTS is
    set; cookies are secure and ``nosniff`` is sent whatever the file says.

    Returns:
        Settings of Django's security middleware, sessions and CSRF protection;
        empty where hardening is off.

    Raises:
        SettingsError: ``DEBUG`` is on, or ``ALLOWED_HOSTS`` takes any host.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        if not read(variables.HARDENING):
            return {}
        name = variables.HARDENING.name
        base = well_formed(settings, found, "ALLOWED_HOSTS")
        if settings.get("DEBUG"):
            read.report(
                codes.HARDENING_DEBUG,
                name,
                "DEBUG is on, and its error pages show settings to everybody.",
                None if read(variables.DEBUG) else _REMOVE.format("DEBUG"),
            )
        if "*" in base.get("ALLOWED_HOSTS", ()):
            hint = f"List the host names in {variables.ALLOWED_HOSTS.name}."
            if "*" not in env.get(variables.ALLOWED_HOSTS.name, "").split(" "):
                hint = f"{_REMOVE.format('ALLOWED_HOSTS')} {hint}"
            read.report(
                codes.HARDENING_ALLOWED_HOSTS,
                name,
                "ALLOWED_HOSTS is '*', so any Host header is accepted.",
                hint,
            )
        for setting, safe in _SAFE.items():
            if not settings.get(setting, safe):
                read.report(
                    codes.FILE_OVERRULED,
                    setting,
                    f"the settings file says {settings[setting]!r}, and {name}=on "
                    f"makes it {safe!r}.",
                    f"Set {name}=off and write the other settings into the file.",
                )
        hsts = "SECURE_HSTS_SECONDS"
        return {
            "SESSION_COOKIE_SAMESITE": settings.get("SESSION_COOKIE_SAMESITE", "Lax"),
            "CSRF_COOKIE_SAMESITE": settings.get("CSRF_COOKIE_SAMESITE", "Lax"),
            hsts: read.chosen(variables.HSTS_SECONDS, settings, hsts),
            **_SAFE,
        }
