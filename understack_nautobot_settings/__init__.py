"""Settings for a Nautobot fleet that reaches PostgreSQL and Redis over mutual TLS.

``configure(globals())`` in ``nautobot_config.py`` is all that most deployments
need; the fragments it is made of can be used one by one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from understack_nautobot_settings.configuration import configure
    from understack_nautobot_settings.connections import connection_settings
    from understack_nautobot_settings.errors import MissingFileError
    from understack_nautobot_settings.errors import Problem
    from understack_nautobot_settings.errors import SettingsError
    from understack_nautobot_settings.errors import SettingsWarning
    from understack_nautobot_settings.hardening import hardening_settings
    from understack_nautobot_settings.inside_nautobot import app_settings
    from understack_nautobot_settings.logs import log_settings
    from understack_nautobot_settings.plugins import plugin_settings
    from understack_nautobot_settings.postgresql_tls import postgresql_tls_settings
    from understack_nautobot_settings.redis_tls import redis_tls_settings
    from understack_nautobot_settings.secrets import secret_settings
    from understack_nautobot_settings.site import site_settings
    from understack_nautobot_settings.sso import sso_settings

__all__ = [
    "MissingFileError",
    "Problem",
    "SettingsError",
    "SettingsWarning",
    "app_settings",
    "configure",
    "connection_settings",
    "hardening_settings",
    "log_settings",
    "plugin_settings",
    "postgresql_tls_settings",
    "redis_tls_settings",
    "secret_settings",
    "site_settings",
    "sso_settings",
]

_HOME = {
    "MissingFileError": "errors",
    "Problem": "errors",
    "SettingsError": "errors",
    "SettingsWarning": "errors",
    "app_settings": "inside_nautobot",
    "configure": "configuration",
    "connection_settings": "connections",
    "hardening_settings": "hardening",
    "log_settings": "logs",
    "plugin_settings": "plugins",
    "postgresql_tls_settings": "postgresql_tls",
    "redis_tls_settings": "redis_tls",
    "secret_settings": "secrets",
    "site_settings": "site",
    "sso_settings": "sso",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})
