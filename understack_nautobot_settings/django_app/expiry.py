"""Until when each certificate file serves its purpose.

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
