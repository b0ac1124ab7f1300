"""What is measured: the gauges, and their values at one moment; pure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.django_app.expiry import FileEnds
from understack_nautobot_settings.django_app.expiry import file_ends
from understack_nautobot_settings.django_app.expiry import file_expiries


class Metric(NamedTuple):
    """A gauge, as both ways of exporting it declare it; both add the label process."""

    name: str
    help: str
    labels: tuple[str, ...]


SECONDS_LEFT = Metric(
    "understack_certificate_seconds_left",
    "Seconds until the certificate file expires (notAfter), negative once it has; "
    "NaN where it cannot be read",
    ("path", "use"),
)
READABLE = Metric(
    "understack_certificate_readable",
    "1 where the certificate file holds certificates that can be read, else 0",
    ("path", "use"),
)
TLS = Metric(
    "understack_connection_tls_info",
    "1 for the way each connection is protected",
    ("connection", "tls", "verify"),
)
METRICS = (SECONDS_LEFT, READABLE, TLS)

Sample = tuple[Metric, tuple[str, ...], float]


def samples(
    settings: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
    read: Callable[[ClientFiles, float], FileEnds] = file_ends,
) -> Iterator[Sample]:
    """Yield every gauge with the values of its labels and its value at this moment.

    `clock` and `read` are as for `file_expiries`.
    """
    for expiry in file_expiries(settings, clock=clock, read=read):
        labels = (expiry.path, expiry.use)
        left = math.nan if expiry.seconds_left is None else expiry.seconds_left
        yield SECONDS_LEFT, labels, left
        yield READABLE, labels, float(expiry.seconds_left is not None)
    for mode in connection_modes(settings):
        yield TLS, mode, 1.0
