"""Which default plugins are installed, looked up."""

from __future__ import annotations

from typing import Any

from understack_nautobot_settings.fragments.plugins import DEFAULTS
from understack_nautobot_settings.fragments.plugins import is_installed


def configure(namespace: dict[str, Any]) -> None:
    """Assign PLUGINS."""
    namespace["PLUGINS"] = [name for name in DEFAULTS if is_installed(name)]
