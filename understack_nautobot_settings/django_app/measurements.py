"""What health and metrics tell: until when certificates serve, how connections are set.

Settings in, facts out. A renewal replaces the files under a running process, so they
are read again and again, but not for every request.
"""

import datetime
import math
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.reading import distance
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.settings_module import well_formed

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
        seconds_left: Seconds until then, negative once it is past; NaN where empty.
    """

    path: str
    use: str
    not_after: str
    seconds_left: float


FileEnds = list[tuple[str, datetime.datetime | None]]
"""Path and end of validity of each file with certificates."""


def file_ends(files: ClientFiles) -> FileEnds:
    """Return path and end of validity of the files of one client.

    A certificate file is good until the first certificate of its chain ends, and of
    two of the same name and key the later one counts; a CA file, as long as one CA in
    it is valid: during a change of the CA it holds the old one and the new one. None
    where no certificate can be read.
    """
    ends: dict[str, dict[tuple[str, bytes], datetime.datetime]] = {}
    for one in describe_certificates(files):
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
    """Reads files once in every few seconds, whoever and however many ask.

    ``/metrics`` and ``/health/`` answer anybody: requests must not become reads.
    """

    def __init__(self, read: Callable[[ClientFiles], FileEnds] = file_ends) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._read = lru_cache(_MOST_KEPT)(lambda files, _period: read(files))

    def __call__(self, files: ClientFiles, now: float) -> FileEnds:
        """Return the ends of the files, as `file_ends` does."""
        with self._lock:
            return self._read(files, now // KEPT_SECONDS)


_RECENT_FILES = RecentFiles()


def file_expiries(
    settings: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
    read: Callable[[ClientFiles, float], FileEnds] = _RECENT_FILES,
) -> list[FileExpiry]:
    """Return until when each file with certificates can be used.

    One entry for each file and client, in the order database, Redis; `clock` tells
    seconds since the epoch. By default all calls of this process share what is read.
    """
    now = clock()
    return [
        FileExpiry(
            path,
            files.use,
            utc(end) if end else "",
            end.timestamp() - now if end else math.nan,
        )
        for files in client_files(settings)
        for path, end in read(files, now)
    ]


def unhealthy(expiry: FileExpiry, days: float) -> str:
    """Return why a file makes its process unhealthy so many days before its end."""
    file, left = f"{expiry.path} ({expiry.use})", expiry.seconds_left
    if not expiry.not_after:
        return f"{file}: no certificate can be read"
    if left <= 0:
        return f"{file} expired on {expiry.not_after}"
    if left < days * DAY:
        return f"{file} expires on {expiry.not_after}, {_remaining(left)}"
    return ""


def outlook(expiries: list[FileExpiry]) -> str:
    """Return what comes first, as the health page shows it."""
    readable = [one for one in expiries if one.not_after]
    if not readable:
        return "no certificates in use"
    first = min(readable, key=lambda one: one.seconds_left)
    return (
        f"working; {first.path} ({first.use}) is the first to expire, on "
        f"{first.not_after}, {_remaining(first.seconds_left)}"
    )


def unhealthy_days(settings: Mapping[str, Any]) -> float:
    """Return how long before its end a certificate makes its process unhealthy."""
    name = variables.EXPIRY_UNHEALTHY.name
    said = well_formed(settings, [], name)
    days: float = said.get(name, variables.EXPIRY_UNHEALTHY.default)
    return days


def _remaining(seconds: float) -> str:
    return distance(datetime.timedelta(seconds=seconds))


SECONDS_LEFT = "understack_certificate_seconds_left"
READABLE = "understack_certificate_readable"
TLS = "understack_connection_tls_info"
METRICS = {
    SECONDS_LEFT: "Seconds until the certificate file expires (notAfter), negative "
    "once it has; NaN where it cannot be read",
    READABLE: "1 where the certificate file holds certificates that can be read, "
    "else 0",
    TLS: "1 for the way each connection is protected",
}
"""Every gauge and its help text."""


def samples(
    settings: Mapping[str, Any],
    process: str,
    *,
    clock: Callable[[], float] = time.time,
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value at this moment of every gauge.

    `process` is ``"web"`` or ``"worker"``; `clock` is as for `file_expiries`.
    """
    for path, use, not_after, left in file_expiries(settings, clock=clock):
        labels = {"path": path, "use": use, "process": process}
        yield SECONDS_LEFT, labels, left
        yield READABLE, labels, float(bool(not_after))
    for mode in connection_modes(settings):
        yield TLS, {**mode._asdict(), "process": process}, 1.0
