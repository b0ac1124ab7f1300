"""The default database with TLS and a timeout, as the fragments make it."""

from __future__ import annotations

from typing import Any

from understack_nautobot_settings.fragments.postgresql_tls import (
    postgresql_tls_settings,
)

KEYS = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")


def configure(namespace: dict[str, Any]) -> None:
    """Read the variables over what Nautobot has read, assign DATABASES."""
    databases = postgresql_tls_settings(
        # A URL names files and nobody looks at them.
        namespace["DATABASES"],
        check_files=lambda _: [],
    )["DATABASES"]
    namespace["DATABASES"] = {"default": comparable(databases["default"])}


def comparable(database: dict[str, Any]) -> dict[str, Any]:
    """Return what a URL can say as well, in text."""
    options = {
        name: value for name, value in database["OPTIONS"].items() if name[:3] == "ssl"
    }
    return {**{key: str(database[key]) for key in KEYS}, "OPTIONS": options}
