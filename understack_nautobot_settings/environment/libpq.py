"""Who uses libpq, and which one the process will use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DIRECT_SINCE = 170000
"""The libpq that knows ``sslnegotiation``."""

SSLCERTMODE_SINCE = 160000
"""The libpq that knows ``sslcertmode``."""


def is_postgresql(database: Mapping[str, Any]) -> bool:
    """Tell whether a ``DATABASES`` entry is PostgreSQL, which is the default.

    By substring: Nautobot swaps in the engine of ``django_prometheus``.
    """
    return "postgresql" in (database.get("ENGINE") or "postgresql")


def libpq_version() -> int | None:
    """Return the version of the loaded libpq, None where there is no driver.

    Asks the driver that Django will use: psycopg 3 where it can be imported,
    psycopg2 otherwise, in the order of ``django.db.backends.postgresql``.

    Returns:
        The number that ``PQlibVersion`` returns: 170005 for libpq 17.5.
    """
    try:
        from psycopg import pq
    except ImportError:
        pass
    else:
        return int(pq.version())
    try:
        from psycopg2.extensions import libpq_version as psycopg2_libpq_version
    except ImportError:
        return None
    return int(psycopg2_libpq_version())


def libpq_release(version: int) -> str:
    """Return a libpq version as people write it: ``17.5`` for 170005."""
    return f"{version // 10000}.{version % 10000}"
