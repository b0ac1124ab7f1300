"""Jobs that nobody has any more, in a real Nautobot, broker and database."""

import io
import os
import signal
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.core.management import call_command
from django.utils import timezone
from nautobot.core.celery import app
from nautobot.extras.jobs import run_job
from nautobot.extras.models import Job
from nautobot.extras.models import JobQueue
from nautobot.extras.models import JobResult
from nautobot.extras.models import ScheduledJob

from lab.processes import Process
from understack_nautobot_settings.django_app.stuck_jobs import check_stuck_jobs
from understack_nautobot_settings.django_app.stuck_jobs import stuck_job_families

pytestmark = pytest.mark.django_db(databases=["default", "job_logs"], transaction=True)

QUEUE = "stuck-lab"
HOUR = timedelta(hours=1)
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def broker():
    """The broker's own view, empty before and after."""
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def pending():
    """Return what makes the record of a job that was sent a while ago."""
    made = []

    def make(*, age=HOUR, job="Logs Cleanup", **changed):
        model = Job.objects.get(name=job)
        record = JobResult.objects.create(
            id=uuid.uuid4(),
            name=model.name,
            job_model=model,
            celery_kwargs={"queue": QUEUE, "nautobot_job_queue_type": "celery"},
            **changed,
        )
        JobResult.objects.filter(pk=record.pk).update(date_created=timezone.now() - age)
        made.append(record)
        return record

    yield make
    for record in made:
        JobResult.objects.filter(pk=record.pk).delete()


def send(record, **options):
    """Submit the job of a record."""
    run_job.apply_async(
        args=["a.module.Job"], task_id=str(record.pk), queue=QUEUE, **options
    )


def run(*arguments):
    printed, complaints = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("stuck_jobs", *arguments, stdout=printed, stderr=complaints)
    except SystemExit as ended:
        status = ended.code
    return status, printed.getvalue().splitlines(), complaints.getvalue().splitlines()


def state(record):
    record.refresh_from_db()
    return record.status


def wait_for(happened, seconds=30):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def listed(record):
    return f"{record.pk} Logs Cleanup, queue {QUEUE}, 60 minutes old"


def test_job_without_message_is_listed_as_stuck(pending):
    lost = pending()

    assert run() == (1, [listed(lost), "stuck jobs: 1"], [])


@pytest.mark.parametrize("priority", [0, 9], ids=["usual", "low"])
def test_job_on_its_queue_is_not_stuck(pending, priority):
    send(pending(), priority=priority)

    assert run() == (0, ["stuck jobs: 0"], [])


def test_job_not_yet_acknowledged_by_worker_is_not_stuck(pending):
    waiting = pending()
    send(waiting)
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE)
        message = queue.get(timeout=10)

        assert run() == (0, ["stuck jobs: 0"], [])

        message.ack()
        assert run() == (1, [listed(waiting), "stuck jobs: 1"], [])


def test_running_job_is_not_stuck(pending, broker, tmp_path):
    """Its message was acknowledged when it started: only the worker has it."""
    running = pending()
    log = tmp_path / "worker.log"
    worker = Process(
        "worker",
        [sys.executable, "-m", "lab.nautobot.celery_worker", "w@lab", QUEUE, "threads"],
        log=log,
        ready=lambda: b" ready." in log.read_bytes(),
        environment={
            name: value
            for name, value in os.environ.items()
            if name != "DJANGO_SETTINGS_MODULE"
        },
        directory=REPOSITORY,
    )
    diary = tmp_path / "diary"
    try:
        app.send_task(
            "lab.run", (str(diary), 600), queue=QUEUE, task_id=str(running.pk)
        )
        wait_for(diary.exists)

        assert (broker.llen(QUEUE), broker.hlen("unacked")) == (0, 0)
        assert run() == (0, ["stuck jobs: 0"], [])
    finally:
        worker.end(signal.SIGKILL)

    assert run()[0] == 1


@pytest.mark.parametrize(
    "changed",
    [{"age": timedelta(seconds=1)}, {"status": "STARTED"}, {"status": "SUCCESS"}],
    ids=["just sent", "started", "ended"],
)
def test_job_that_is_new_or_started_is_not_stuck(pending, changed):
    pending(**changed)

    assert run() == (0, ["stuck jobs: 0"], [])


def test_job_of_kubernetes_queue_is_not_stuck(pending):
    other = pending()
    other.celery_kwargs = {"queue": "k", "nautobot_job_queue_type": "kubernetes"}
    other.save()

    assert run() == (0, ["stuck jobs: 0"], [])


def test_job_of_kubernetes_queue_whose_record_says_no_type_is_not_stuck(pending):
    """Nautobot 2.4 writes none."""
    JobQueue.objects.create(name="pods", queue_type="kubernetes")
    other = pending()
    other.celery_kwargs = {"queue": "pods"}
    other.save()

    assert run() == (0, ["stuck jobs: 0"], [])


@pytest.mark.parametrize("age", ["nan", "-1", "1e99"])
def test_age_that_is_no_number_of_seconds_is_wrong_usage(age):
    with pytest.raises(CommandError, match="is not a number of seconds"):
        run(f"--older-than={age}")


@pytest.mark.parametrize("named", ["id", "name"])
def test_named_job_is_ended(pending, named):
    lost = pending()
    name = {"id": str(lost.pk), "name": "Logs Cleanup"}[named]

    assert run("end", name, "--dry-run")[0] == 0
    assert state(lost) == "PENDING"

    assert run("end", name) == (
        0,
        [f"end {listed(lost)}", "stuck jobs: 1, named: 1"],
        [],
    )
    assert state(lost) == "FAILURE"
    assert lost.date_done is not None


def test_stuck_job_is_ended_only_if_named(pending):
    lost, waiting = pending(), pending(job="Export Object List")
    send(waiting)

    assert run("end") == (2, [], ["Name the jobs to end: their ids, or their names."])
    assert run("end", str(waiting.pk))[0::2] == (
        1,
        [f"{waiting.pk}: no stuck job older than 900 seconds has this id or name."],
    )
    assert (state(lost), state(waiting)) == ("PENDING", "PENDING")


def test_stuck_job_without_stored_inputs_cannot_be_resubmitted(pending, broker):
    lost = pending()

    status, _, complaints = run("resubmit", str(lost.pk))

    assert (status, complaints) == (
        1,
        [
            f"{listed(lost)} cannot be resubmitted: its inputs were in the lost "
            "message alone. End it, and run the job again."
        ],
    )
    assert broker.llen(QUEUE) == 0


def test_stuck_job_without_code_cannot_be_resubmitted(pending):
    lost = pending()
    JobResult.objects.filter(pk=lost.pk).update(job_model=None)

    assert run("resubmit", str(lost.pk))[0::2] == (
        1,
        [
            f"{listed(lost)} cannot be resubmitted: the code of the job is not "
            "installed. End it."
        ],
    )


def test_scheduled_job_is_resubmitted_with_its_inputs(pending, broker):
    from django.contrib.auth import get_user_model

    model = Job.objects.get(name="Logs Cleanup")
    user = get_user_model().objects.create(username=f"lab-{uuid.uuid4()}")
    schedule = ScheduledJob.objects.create(
        name="nightly",
        task=model.class_path,
        job_model=model,
        user=user,
        start_time=timezone.now(),
        kwargs={"max_age": 90},
    )
    lost = pending(scheduled_job=schedule)

    assert run("resubmit", str(lost.pk), "--dry-run")[0] == 0
    assert broker.llen(QUEUE) == 0
    assert run("resubmit", str(lost.pk))[0] == 0

    assert broker.llen(QUEUE) == 1
    assert run() == (0, ["stuck jobs: 0"], [])


def test_system_check_and_metric_name_the_stuck_job(pending):
    lost = pending()

    (message,) = check_stuck_jobs(databases=["default"])
    (family,) = stuck_job_families()

    assert (message.id, str(lost.pk) in message.msg) == ("understack.job-stuck", True)
    assert [(one.labels["queue"], one.value) for one in family.samples] == [(QUEUE, 1)]
    assert check_stuck_jobs(databases=None) == []


def test_broker_that_fails_meanwhile_ends_with_status_2(pending, broker):
    """And leaves the other metrics alone."""
    pending()
    broker.set(QUEUE, "no list")

    status, _, complaints = run()

    assert (status, len(complaints)) == (2, 1)
    assert "WRONGTYPE" in complaints[0]
    assert list(stuck_job_families()) == []


def test_stuck_jobs_without_broker_end_with_status_2(pending, monkeypatch):
    pending()
    monkeypatch.setattr(app.conf, "broker_url", "redis://localhost:1/0")
    monkeypatch.setattr(app.conf, "broker_read_url", "redis://localhost:1/0")

    status, _, complaints = run()

    assert (status, len(complaints)) == (2, 1)
    assert list(stuck_job_families()) == []
