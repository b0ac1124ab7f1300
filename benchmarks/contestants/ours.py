"""This package, as `examples/nautobot_config.py` calls it."""

from __future__ import annotations

from typing import Any

from understack_nautobot_settings import configure as configure_all
from understack_nautobot_settings.checks.start_up import look_again


def configure(namespace: dict[str, Any]) -> None:
    """Configure, with OpenSSL judging the certificates."""
    configure_all(namespace)


def configure_and_look(namespace: dict[str, Any]) -> None:
    """Configure, and look at the settings in force as when the file has run."""
    configure_all(namespace)
    look_again(namespace)


def configure_without_files(namespace: dict[str, Any]) -> None:
    """Configure without a look at the certificates, which the others do not take."""
    configure_all(namespace, check_files=lambda _: [])
