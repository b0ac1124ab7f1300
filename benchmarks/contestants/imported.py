"""Which default plugins are installed, by importing them."""

from __future__ import annotations

from typing import Any


def configure(namespace: dict[str, Any]) -> None:
    """Assign PLUGINS."""
    plugins = []
    for name in ("nautobot_plugin_nornir", "nautobot_golden_config"):
        try:
            __import__(name)
        except ImportError:
            continue
        plugins.append(name)
    namespace["PLUGINS"] = plugins
