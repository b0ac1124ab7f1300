"""Waits until all is up, for init containers; stops where waiting does not help."""

import random
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Probe

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
"""Seconds between attempts: a random part of a bound that doubles up to the longest."""

STABLE_PAUSE = 1.0
"""Seconds between attempts while everything is up and has to stay so."""

LAST_ATTEMPTS = (1.0, 0.25)
"""Seconds before the end at which it is tried once more, however long the pause."""

_TOO_LATE = (codes.PROBE_TIMEOUT.id, codes.PROBE_SILENT.id)


class WaitResult(NamedTuple):
    """How the waiting ended.

    Attributes:
        ok: Whether everything was up, for as long as it had to be.
        probes: The last attempt, or the one before it where that had too little time.
        seconds: How long it took.
        gave_up: True where the time was up, false where the error does not pass.
    """

    ok: bool
    probes: list[Probe]
    seconds: float
    gave_up: bool


def pauses(chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the seconds to pause after each attempt, with exponential backoff.

    Half of each bound is certain and half is left to chance, a number from 0 to 1, so
    that a fleet that starts at once does not ask at once.
    """
    bound = FIRST_PAUSE
    while True:
        yield bound * (1 + chance()) / 2
        bound = min(bound * 2, LONGEST_PAUSE)


def wait_until_up(
    attempt: Callable[[float, list[Probe]], list[Probe]],
    *,
    timeout: float = 300.0,
    stable: float = 0.0,
    report: Callable[[list[Probe], float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> WaitResult:
    """Probe again and again until everything is up, or cannot come up by itself.

    A failure that somebody must fix ends it at once.

    Args:
        attempt: Probes everything within the seconds that it is given; is also given
            the results of the attempt before, so that a cause is looked for once.
        timeout: Seconds to wait in all.
        stable: Seconds for which everything has to stay up, without a failure.
        report: Told about every attempt, and how long it has taken so far.
        clock: Seconds, of any beginning.
        sleep: Waits a number of seconds.
        chance: Returns a number from 0 to 1.
    """
    started = clock()
    end = started + timeout
    up_since: float | None = None
    backoff = pauses(chance)
    probes: list[Probe] = []
    while True:
        began = clock()
        found = attempt(max(0.1, end - began), probes)
        # In a part of a second, no answer says less than what was seen before it.
        seen = probes if end - began <= LAST_ATTEMPTS[0] else []
        causes = {probe.target: probe for probe in seen if not probe.ok}
        probes = [
            causes.get(probe.target, probe)
            if probe.problem is not None and probe.problem.code in _TOO_LATE
            else probe
            for probe in found
        ]
        now = clock()
        if report is not None:
            report(probes, now - started)
        failed = [probe for probe in probes if not probe.ok]
        if not failed:
            up_since = began if up_since is None else up_since
            if now - up_since >= stable:
                return WaitResult(True, probes, now - started, False)
            pause = min(STABLE_PAUSE, stable - (now - up_since))
        else:
            if not all(probe.is_transient for probe in failed):
                return WaitResult(False, probes, now - started, False)
            if up_since is not None:
                backoff = pauses(chance)
            up_since = None
            pause = min(next(backoff), _longest_pause(end - now))
        if pause <= 0 or now + pause > end:
            sleep(max(0.0, end - now))
            return WaitResult(False, probes, clock() - started, True)
        sleep(pause)


def _longest_pause(left: float) -> float:
    """Return the seconds until the next of the last attempts, 0 after them."""
    return next((left - last for last in LAST_ATTEMPTS if left > last), 0.0)
