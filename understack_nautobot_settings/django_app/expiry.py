"""Until when each certificate file serves its purpose.

Settings in, facts out. A renewal replaces the files under a running process, so they
are read again and again, but not for every request.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.reading import distance
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files

DAY = 86400.0
KEPT_SECONDS = 5.0
"""How long `RecentFiles` answers without reading a file."""

_MOST_KEPT = 16


class FileExpiry(NamedTuple):
    """Until when one file can be used by one client.

    Attributes:
        path: The file.
        use: The client: ``"PostgreSQL"`` or ``"Redis"``.
        not_after: End of validity, UTC, ``2026-11-22T04:21:00Z``; empty where the
            file holds no certificate that can be read.
        seconds_left: Seconds until then, negative once it is past; None where empty.
    """

    path: str
    use: str
    not_after: str
    seconds_left: float | None


FileEnds = list[tuple[str, datetime.datetime | None]]
"""Path and end of validity of each file with certificates."""


def file_ends(files: ClientFiles, now: float) -> FileEnds:
    """Return path and end of validity of the files of one client.

    A certificate file is good until the first certificate of its chain ends, and of
    two of the same name and key the later one counts; a CA file, as long as one CA in
    it is valid: during a change of the CA it holds the old one and the new one. None
    where no certificate can be read.
    """
    ends: dict[str, dict[tuple[str, bytes], datetime.datetime]] = {}
    for one in describe_certificates(files, clock=lambda: now):
        chain = ends.setdefault(one.path, {})
        key = one.subject, one.public_key
        chain[key] = max(one.not_after, chain.get(key, one.not_after))
    found: dict[str, datetime.datetime | None] = {}
    for file, deciding in ((files.cert, min), (files.ca, max)):
        if file is not None:
            chain = ends.get(file.path, {})
            found.setdefault(file.path, deciding(chain.values(), default=None))
    return list(found.items())


class RecentFiles:
    """Reads files at most every few seconds, whoever and however many ask.

    ``/metrics`` and ``/health/`` answer anybody: requests must not become reads.
    """

    def __init__(
        self, read: Callable[[ClientFiles, float], FileEnds] = file_ends
    ) -> None:
        """Know nothing yet."""
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[ClientFiles, tuple[float, FileEnds]] = {}

    def __call__(self, files: ClientFiles, now: float) -> FileEnds:
        """Return the ends of the files, as `file_ends` does."""
        with self._lock:
            read_at, ends = self._known.get(files, (0.0, []))
            if not 0 <= now - read_at < KEPT_SECONDS:
                if len(self._known) >= _MOST_KEPT:
                    self._known.clear()
                ends = self._read(files, now)
                self._known[files] = now, ends
            return ends


def file_expiries(
    settings: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
    read: Callable[[ClientFiles, float], FileEnds] = file_ends,
) -> list[FileExpiry]:
    """Return until when each file with certificates can be used.

    One entry for each file and client, in the order database, Redis; `clock` tells
    seconds since the epoch.
    """
    now = clock()
    return [
        FileExpiry(
            path,
            files.use,
            utc(end) if end else "",
            end.timestamp() - now if end else None,
        )
        for files in client_files(settings)
        for path, end in read(files, now)
    ]


def unhealthy(expiry: FileExpiry, days: float) -> str:
    """Return why a file makes its process unhealthy so many days before its end."""
    file, left = f"{expiry.path} ({expiry.use})", expiry.seconds_left
    if left is None:
        return f"{file} holds no certificate that can be read"
    if left <= 0:
        return f"{file} expired on {expiry.not_after}"
    if left < days * DAY:
        return f"{file} expires on {expiry.not_after}, {_remaining(left)}"
    return ""


def outlook(expiries: list[FileExpiry]) -> str:
    """Return what comes first, as the health page shows it."""
    known = [
        (one.seconds_left, one) for one in expiries if one.seconds_left is not None
    ]
    if not known:
        return "no certificates in use"
    left, first = min(known, key=lambda one: one[0])
    return (
        f"working; {first.path} ({first.use}) is the first to expire, on "
        f"{first.not_after}, {_remaining(left)}"
    )


def unhealthy_days(settings: Mapping[str, Any]) -> float:
    """Return how long before its end a certificate makes its process unhealthy."""
    name = variables.EXPIRY_UNHEALTHY.name
    days: float = settings.get(name, variables.EXPIRY_UNHEALTHY.default)
    return days


def _remaining(seconds: float) -> str:
    return distance(datetime.timedelta(seconds=seconds))
