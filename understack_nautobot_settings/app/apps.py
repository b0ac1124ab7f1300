"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class UnderstackConfig(AppConfig):
    """Plugs into Nautobot's own registries once Django is ready."""

    name = "understack_nautobot_settings.app"
    label = "understack_nautobot_settings"
    verbose_name = "UnderStack settings"
