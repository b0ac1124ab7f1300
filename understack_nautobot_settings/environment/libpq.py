"""Who uses libpq, and which one the process will use."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from collections.abc import Sequence
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


def libpq_of_wheels(path: Sequence[str] | None = None) -> int | None:
    """Return the version of the libpq that will be loaded, importing no driver.

    psycopg takes a tenth of a second to import, and 15 MiB. Its wheels, and those of
    psycopg2, bring a libpq whose file is named after its version. One that is too
    old for direct negotiation, or that no file name tells, is asked of the driver.

    Args:
        path: Directories to look in; ``sys.path`` by default.

    Returns:
        As `libpq_version`; of a file name, which tells no minor version, 170000.
    """
    version = _version_in_wheel(sys.path if path is None else path)
    return version if version >= DIRECT_SINCE else libpq_version()


def _version_in_wheel(path: Sequence[str]) -> int:
    for driver in ("psycopg", "psycopg2"):
        for directory in path:
            if os.path.isfile(f"{directory or '.'}/{driver}/__init__.py"):
                # psycopg_c, where it is built, goes before the wheel.
                if os.path.isdir(f"{directory}/psycopg_c"):
                    return 0
                return _version_of_file(f"{directory or '.'}/{driver}_binary.libs")
    return 0


def _version_of_file(directory: str) -> int:
    try:
        names = os.listdir(directory)
    except OSError:
        return 0
    for name in names:
        if name.startswith("libpq-"):
            major = name.rpartition(".")[2]
            return int(major) * 10000 if major.isdecimal() else 0
    return 0


def libpq_release(version: int) -> str:
    """Return a libpq version as people write it: ``17.5`` for 170005."""
    return f"{version // 10000}.{version % 10000}"
