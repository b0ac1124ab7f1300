"""Settings for a Nautobot fleet that reaches PostgreSQL and Redis over mutual TLS.

``configure(globals())`` in ``nautobot_config.py`` is all that most deployments
need; the fragments it is made of can be used one by one.
"""

from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.checks.nautobot_base import settings_for
from understack_nautobot_settings.configure import configure
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
