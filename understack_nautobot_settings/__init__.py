"""Settings for a Nautobot fleet that reaches PostgreSQL and Redis over mutual TLS.

``configure(globals())`` in ``nautobot_config.py`` is all that most deployments
need; the fragments it is made of can be used one by one.

A name is imported when it is asked for (PEP 562): ``probe worker``, which kubelet
runs day and night, needs few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from understack_nautobot_settings.checks.nautobot_base import base_settings
    from understack_nautobot_settings.checks.nautobot_base import no_files
    from understack_nautobot_settings.checks.nautobot_base import settings_for
    from understack_nautobot_settings.configuration import configure
    from understack_nautobot_settings.fragments.connections import connection_settings
    from understack_nautobot_settings.fragments.django_app import app_settings
    from understack_nautobot_settings.fragments.hardening import hardening_settings
    from understack_nautobot_settings.fragments.logs import log_settings
    from understack_nautobot_settings.fragments.plugins import plugin_settings
    from understack_nautobot_settings.fragments.postgresql_tls import (
        postgresql_tls_settings,
    )
    from understack_nautobot_settings.fragments.redis_tls import redis_tls_settings
    from understack_nautobot_settings.fragments.secret_files import secret_settings
    from understack_nautobot_settings.fragments.site_identity import site_settings
    from understack_nautobot_settings.fragments.sso import sso_settings
    from understack_nautobot_settings.problems import MissingFileError
    from understack_nautobot_settings.problems import Problem
    from understack_nautobot_settings.problems import SettingsError
    from understack_nautobot_settings.problems import SettingsWarning

__all__ = [
    "MissingFileError",
    "Problem",
    "SettingsError",
    "SettingsWarning",
    "app_settings",
    "base_settings",
    "configure",
    "connection_settings",
    "hardening_settings",
    "log_settings",
    "no_files",
    "plugin_settings",
    "postgresql_tls_settings",
    "redis_tls_settings",
    "secret_settings",
    "settings_for",
    "site_settings",
    "sso_settings",
]

_MODULES = {
    "MissingFileError": "problems",
    "Problem": "problems",
    "SettingsError": "problems",
    "SettingsWarning": "problems",
    "app_settings": "fragments.django_app",
    "base_settings": "checks.nautobot_base",
    "configure": "configuration",
    "connection_settings": "fragments.connections",
    "hardening_settings": "fragments.hardening",
    "log_settings": "fragments.logs",
    "no_files": "checks.nautobot_base",
    "plugin_settings": "fragments.plugins",
    "postgresql_tls_settings": "fragments.postgresql_tls",
    "redis_tls_settings": "fragments.redis_tls",
    "secret_settings": "fragments.secret_files",
    "settings_for": "checks.nautobot_base",
    "site_settings": "fragments.site_identity",
    "sso_settings": "fragments.sso",
}


def __getattr__(name: str) -> Any:
    """Return a public name, imported from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
