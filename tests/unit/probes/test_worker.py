import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lab.certificates import DAY
from lab.certificates import now
from lab.certificates import write_mount
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.worker import probe_certificates
from understack_nautobot_settings.probes.worker import probe_heartbeat
from understack_nautobot_settings.probes.worker import probe_ping


def heartbeat_env(path, **more):
    return {"NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE": str(path), **more}


def heartbeat_at(directory, seconds):
    file = directory / "heartbeat"
    file.touch()
    os.utime(file, (seconds, seconds))
    return file


def test_heartbeat_older_than_limit_fails(tmp_path):
    file = heartbeat_at(tmp_path, 1000)

    fresh = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 1030.0)
    old = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 1031.0)

    assert outcome(fresh) == (["heartbeat"], None)
    assert fresh.stages[0].detail == f"{file}, 30 s old"
    assert outcome(old) == (["heartbeat"], "probe-heartbeat")
    assert old.problem.message == f"the last heartbeat in {file} is 31 s old."


def test_heartbeat_of_the_future_fails(tmp_path):
    """The clock was set back since then, and a worker would have written another."""
    file = heartbeat_at(tmp_path, 1000)

    fresh = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 970.0)
    ahead = walk(probe_heartbeat, heartbeat_env(file), clock=lambda: 969.0)

    assert outcome(fresh) == (["heartbeat"], None)
    assert outcome(ahead) == (["heartbeat"], "probe-heartbeat")
    assert ahead.problem.message == (
        f"the last heartbeat in {file} is 31 s in the future."
    )
    assert ahead.problem.hint == (
        "Compare the clock of the machine that writes it with the clock here. If this "
        "one was set back, the worker has not written since: look into its log."
    )
    assert ahead.stages[0].detail == f"{file}, 31 s in the future"


def test_heartbeat_in_a_closed_directory_is_not_called_missing():
    directory = Path(tempfile.mkdtemp())
    file = heartbeat_at(directory, 1000)
    directory.chmod(0)
    switch = "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES"
    before = os.geteuid()
    if before == 0:
        # Root enters everything.
        os.seteuid(65534)
    try:
        attempt = walk(probe_heartbeat, heartbeat_env(file, **{switch: "true"}))
    finally:
        os.seteuid(before)
        directory.chmod(0o700)
        shutil.rmtree(directory)

    assert str(attempt.problem) == (
        f"NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE: {file} cannot be seen: this process "
        f"may not enter {directory}. Run the probe as the user of the worker."
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "'/tmp/beat'",
            "the value is wrapped in quotes. Remove the quotes; they are part of the "
            "value.",
        ),
        (
            "/tmp/be\0at",
            "the value is no path that a file can have. Set it to the path of the "
            "file.",
        ),
    ],
)
def test_heartbeat_of_a_refused_path_is_not_looked_for_elsewhere(path, said):
    attempt = walk(probe_heartbeat, heartbeat_env(path))

    name = "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE"
    assert str(attempt.problem) == f"{name}: {said}"


@pytest.mark.parametrize("where", ["heartbeat", "no/directory/heartbeat"])
def test_missing_heartbeat_is_reported_with_its_switch(tmp_path, where):
    file = tmp_path / where
    switch = "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES"

    off = walk(probe_heartbeat, heartbeat_env(file))
    on = walk(probe_heartbeat, heartbeat_env(file, **{switch: "true"}))

    assert str(off.problem) == (
        f"{switch}: the worker writes no heartbeat. Set {switch}=true on the worker."
    )
    assert on.problem.message == f"there is no heartbeat in {file}."


def test_worker_with_expired_intermediate_passes(tmp_path):
    """Servers that have a copy of their own go on to accept the certificate."""
    gone = CA.intermediate("gone", not_before=now() - 9 * DAY, not_after=now() - DAY)
    mount = write_mount(tmp_path, gone.issue(), CA.ca_pem)
    attempt = walk(probe_certificates, database(1, mount))

    assert outcome(attempt) == (["certificate"], None)
    assert attempt.stages[0].detail == f"{mount.certificate} for PostgreSQL 1094 days"


def test_worker_with_expired_certificate_fails(mount, tmp_path):
    settings = {**database(1, mount), **cache(1, mount)}
    fine = walk(probe_certificates, settings)
    old = write_mount(tmp_path, CA.expired(), CA.ca_pem)
    expired = walk(probe_certificates, database(1, old))
    none = walk(probe_certificates, {})

    assert outcome(fine) == (["certificate"], None)
    assert fine.stages[0].detail == (
        f"{mount.certificate} for PostgreSQL and Redis 1094 days"
    )
    assert outcome(expired) == (["certificate"], "probe-worker-certificate")
    assert outcome(none) == (["certificate"], None)
    assert none.stages[0].detail == "none in use"


def test_worker_with_certificate_that_cannot_be_read_passes(tmp_path):
    mount = write_mount(tmp_path, CA.client(), CA.ca_pem)
    with open(mount.certificate, "w") as file:
        file.write("nothing")
    attempt = walk(probe_certificates, database(1, mount))

    assert outcome(attempt) == (["certificate"], None)
    assert attempt.stages[0].detail == (
        f"{mount.certificate} for PostgreSQL cannot be read"
    )


def test_worker_without_its_key_still_tells_the_days_of_its_certificate(tmp_path):
    mount = write_mount(tmp_path, CA.client(), CA.ca_pem)
    os.remove(mount.key)
    attempt = walk(probe_certificates, database(1, mount))

    assert attempt.stages[0].detail == f"{mount.certificate} for PostgreSQL 1094 days"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda settings, name, seconds: [{"celery@a": {"ok": "pong"}}], None),
        (lambda settings, name, seconds: [], "probe-worker-silent"),
        (
            lambda settings, name, seconds: [{"celery@b": {"ok": "pong"}}],
            "probe-worker-silent",
        ),
        (
            lambda settings, name, seconds: (_ for _ in ()).throw(ValueError("canary")),
            "probe-worker-silent",
        ),
    ],
    ids=["answers", "silent", "another", "broken"],
)
def test_worker_ping_reports_the_answer_of_the_worker(ask, code):
    attempt = walk(probe_ping, {}, "celery@a", ask=ask)

    assert outcome(attempt) == (["ping"], code)
    assert "canary" not in str(attempt.problem)


def test_worker_ping_without_kombu_is_reported():
    def ask(settings, name, seconds):
        raise ImportError

    assert outcome(walk(probe_ping, {}, "celery@a", ask=ask))[1] == (
        "probe-driver-missing"
    )
