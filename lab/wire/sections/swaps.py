"""A thousand swaps of the mounted directory under constant start-up checks."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Mount
from lab.certificates import mount_files
from lab.nautobot.deployment import REPOSITORY
from lab.processes import dying_with_us
from lab.wire.deployment import Say
from lab.wire.promises import Promise
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.nautobot_base import base_settings

SECTION = "swaps"
SWAPS = 1000
CERTIFICATES = 20
LONGEST_PAUSE = 0.02
"""Seconds between two swaps: a check takes some milliseconds."""
CHECKERS = 2


def show(directory: Path, say: Say) -> list[Promise]:
    """Swap as fast as files can be written, while others start and check."""
    authority = Authority()
    renewals = [
        mount_files(authority.client(), authority.ca_pem) for _ in range(CERTIFICATES)
    ]
    mount = KubernetesMount(directory / "swapped-mtls")
    mount.swap(renewals[0])
    stop = directory / "swapped"
    say(f"{SWAPS} swaps, {CHECKERS} processes that check all the time")
    checkers = [
        subprocess.Popen(
            [*dying_with_us(), sys.executable, "-m", __name__, mount.directory, stop],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(CHECKERS)
    ]
    try:
        for checker in checkers:
            assert checker.stdout is not None
            assert checker.stdout.readline() == "ready\n"
        began = time.monotonic()
        for number in range(SWAPS):
            # A check has to be able to end between two swaps, and not always.
            time.sleep(random.uniform(0, LONGEST_PAUSE))
            mount.swap(renewals[number % CERTIFICATES])
        seconds = time.monotonic() - began
    finally:
        stop.touch()
        reports = [
            json.loads(checker.communicate(timeout=60)[0]) for checker in checkers
        ]
    checks = sum(report["checks"] for report in reports)
    seen = sum(report["certificates"] for report in reports)
    alarms = [alarm for report in reports for alarm in report["alarms"]]
    say(f"{checks} checks in {seconds:.1f} s, {len(alarms)} alarms")
    return [
        Promise(
            SECTION,
            f"{SWAPS} swaps under constant start-up checks",
            "not one false alarm",
            f"{len(alarms)} alarms in {checks} checks, {SWAPS / seconds:.0f} swaps a "
            f"second{': ' + alarms[0] if alarms else ''}",
            not alarms and checks >= SWAPS / 10 and seen > CHECKERS,
            {"swaps": SWAPS, "checks": checks, "alarms": alarms, "seconds": seconds},
        )
    ]


def environment(mount: Mount) -> dict[str, str]:
    """Return what makes a start check the files of PostgreSQL and Redis."""
    return {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        **mount.redis_variables,
    }


def main() -> None:
    """Check as a starting pod does, again and again, until a file appears."""
    mount, stop = Mount(Path(sys.argv[1])), sys.argv[2]
    env = environment(mount)
    checks = 0
    alarms: list[str] = []
    certificates: set[bytes] = set()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not os.path.exists(stop):
        checks += 1
        try:
            configure(base_settings(env), env)
        except SettingsError as error:
            alarms.append(str(error))
        # A swap removes the directory that was opened.
        with contextlib.suppress(FileNotFoundError), open(mount.certificate, "rb") as f:
            certificates.add(f.read())
    report = {"checks": checks, "alarms": alarms, "certificates": len(certificates)}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
