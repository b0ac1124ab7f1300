"""The default database with TLS, from a URL, with dj-database-url."""

from __future__ import annotations

from typing import Any

import dj_database_url

from benchmarks.contestants.database_url_ours import comparable


def configure(namespace: dict[str, Any]) -> None:
    """Read the URL, assign DATABASES."""
    namespace["DATABASES"] = {"default": comparable(dj_database_url.config())}
