"""Until when each certificate file serves its purpose, and how connections are set.

Pure: settings in, facts out. The files are read each time, since a renewal replaces
them under a running process.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import describe_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.client_files import postgresql_options

DAY = 86400.0
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"


class FileExpiry(NamedTuple):
    """Until when one file can be used by one client.

    A certificate file is good until the first certificate of its chain ends; a CA
    file, as long as one CA in it is valid: during a change of the CA it holds the
    old one and the new one.

    Attributes:
        path: The file.
        use: The client: ``"PostgreSQL"`` or ``"Redis"``.
        not_after: End of validity, UTC, ``2026-11-22T04:21:00Z``; empty where the
            file holds no certificate that can be read.
        seconds_left: Seconds until then, negative once it is past; None where the
            file holds no certificate that can be read.
    """

    path: str
    use: str
    not_after: str
    seconds_left: float | None


class ConnectionMode(NamedTuple):
    """How one connection is protected.

    Attributes:
        connection: ``"database"``, ``"cache"`` or ``"broker"``.
        tls: ``"mutual"`` with a client certificate, ``"server"`` without one,
            ``"off"``, or ``"unset"`` where the client decides (libpq's default).
        verify: How the server is verified: the sslmode of PostgreSQL, the
            ``ssl_cert_reqs`` of Redis, ``"none"`` where it is not.
    """

    connection: str
    tls: str
    verify: str


def file_expiries(
    settings: Mapping[str, Any], *, clock: Callable[[], float] = time.time
) -> list[FileExpiry]:
    """Return until when each file with certificates can be used.

    Args:
        settings: Django settings by name.
        clock: Seconds since the epoch.

    Returns:
        One entry for each file and client, in the order database, Redis.
    """
    now = clock()
    return [
        expiry
        for files in client_files(settings)
        for expiry in _file_expiries(files, now)
    ]


def connection_modes(settings: Mapping[str, Any]) -> list[ConnectionMode]:
    """Return how database, cache and broker are protected.

    Args:
        settings: Django settings by name.
    """
    default_cache = (settings.get("CACHES") or {}).get("default") or {}
    pool = (default_cache.get("OPTIONS") or {}).get("CONNECTION_POOL_KWARGS")
    return [
        _database_mode(settings),
        _redis_mode("cache", default_cache.get("LOCATION"), pool),
        _redis_mode(
            "broker",
            settings.get("CELERY_BROKER_URL"),
            settings.get("CELERY_BROKER_USE_SSL"),
        ),
    ]


def unhealthy(expiry: FileExpiry, days: float) -> str:
    """Return why a file makes its process unhealthy, nothing where it does not.

    Args:
        expiry: The file.
        days: How long before the end of its validity it does.
    """
    if expiry.seconds_left is None:
        return f"{expiry.path} ({expiry.use}) holds no certificate that can be read"
    if expiry.seconds_left <= 0:
        return f"{expiry.path} ({expiry.use}) expired on {expiry.not_after}"
    if expiry.seconds_left < days * DAY:
        return (
            f"{expiry.path} ({expiry.use}) expires on {expiry.not_after}, "
            f"in {_remaining(expiry.seconds_left)}"
        )
    return ""


def outlook(expiries: list[FileExpiry]) -> str:
    """Return what comes first, as the health page shows it."""
    known = [one for one in expiries if one.seconds_left is not None]
    if not known:
        return "no certificates in use"
    first = min(known, key=lambda one: one.seconds_left or 0.0)
    return (
        f"working; {first.path} ({first.use}) is the first to expire, on "
        f"{first.not_after}, in {_remaining(first.seconds_left or 0.0)}"
    )


def unhealthy_days(settings: Mapping[str, Any]) -> float:
    """Return how long before its end a certificate makes its process unhealthy."""
    name = variables.EXPIRY_UNHEALTHY.name
    days: float = settings.get(name, variables.EXPIRY_UNHEALTHY.default)
    return days


def _file_expiries(files: ClientFiles, now: float) -> list[FileExpiry]:
    ends: dict[str, list[str]] = {}
    for certificate in describe_certificates(files, clock=lambda: now):
        ends.setdefault(certificate.path, []).append(certificate.not_after)
    places = [(files.cert, min), (files.ca, max)]
    found: dict[str, FileExpiry] = {}
    for file, deciding in places:
        if file is None or file.path in found:
            continue
        # ISO 8601 in UTC sorts as text.
        end: str = deciding(ends.get(file.path, [""]))
        left = _seconds(end) - now if end else None
        found[file.path] = FileExpiry(file.path, files.use, end, left)
    return list(found.values())


def _seconds(timestamp: str) -> float:
    return float(calendar.timegm(time.strptime(timestamp, _TIMESTAMP)))


def _remaining(seconds: float) -> str:
    days = int(seconds // DAY)
    if days > 1:
        return f"{days} days"
    return f"{int(seconds // 3600)} hours"


def _database_mode(settings: Mapping[str, Any]) -> ConnectionMode:
    options = postgresql_options(settings)
    sslmode = options.get("sslmode")
    if not sslmode:
        return ConnectionMode("database", "unset", "none")
    if sslmode == "disable":
        return ConnectionMode("database", "off", "none")
    tls = "mutual" if options.get("sslcert") else "server"
    verify = sslmode if sslmode.startswith("verify-") else "none"
    return ConnectionMode("database", tls, verify)


def _redis_mode(connection: str, url: Any, options: Any) -> ConnectionMode:
    if isinstance(options, Mapping) and "ssl_cert_reqs" in options:
        tls = "mutual" if options.get("ssl_certfile") else "server"
        return ConnectionMode(connection, tls, str(options["ssl_cert_reqs"]))
    if isinstance(url, str) and url.partition("://")[0] in ("rediss", "amqps"):
        return ConnectionMode(connection, "server", "default")
    return ConnectionMode(connection, "off", "none")
