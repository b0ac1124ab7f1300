"""Queues and jobs in a real Nautobot's database, by the management command."""

import io

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.db import connection
from nautobot.extras.models import Job
from nautobot.extras.models import JobQueue

pytestmark = pytest.mark.django_db

CLEANUP = "Logs Cleanup"


def run(path, *options):
    printed, complaints = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command(
            "reconcile_job_queues",
            str(path),
            *options,
            stdout=printed,
            stderr=complaints,
        )
    except SystemExit as end:
        status = end.code
    return status, printed.getvalue().splitlines(), complaints.getvalue().splitlines()


def queues_of(name=CLEANUP):
    job = Job.objects.get(name=name)
    return sorted(queue.name for queue in job.job_queues.all())


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "queues.yaml"
    path.write_text(
        "queues:\n"
        "  iad3-prod:\n"
        "    description: Workers of iad3\n"
        "    jobs: [{name: Logs Cleanup, enable: true}]\n"
        "  dfw3: {jobs: [{grouping: System Jobs}]}\n"
    )
    return path


def test_a_second_run_changes_nothing(wanted):
    Job.objects.filter(name=CLEANUP).update(enabled=False)
    before = queues_of()
    status, said, complaints = run(wanted, "--dry-run")
    assert (status, complaints, queues_of()) == (0, [], before)
    status, done, complaints = run(wanted)
    assert (status, complaints) == (0, [])
    assert [f"would {line}" for line in done[:-1]] == said[:-1]
    assert done[:4] == [
        "iad3-prod: create queue",
        "iad3-prod: describe queue 'Workers of iad3'",
        "enable 'Logs Cleanup'",
        "iad3-prod: allow 'Logs Cleanup'",
    ]
    assert queues_of() == sorted([*before, "dfw3", "iad3-prod"])
    queue = JobQueue.objects.get(name="iad3-prod")
    assert (queue.queue_type, queue.description) == ("celery", "Workers of iad3")
    assert Job.objects.get(name=CLEANUP).enabled
    assert run(wanted) == (0, ["queues: 2, changes: 0"], [])


def test_the_queues_outlive_a_restart_of_nautobot(wanted):
    """Without the override Nautobot would set them back to those of the class."""
    run(wanted)
    Job.objects.get(name=CLEANUP).validated_save()
    assert "iad3-prod" in queues_of()


def test_other_jobs_leave_the_queue_when_they_are_to_be_replaced(wanted, tmp_path):
    run(wanted)
    path = tmp_path / "replace.yaml"
    path.write_text("queues: {dfw3: {existing: replace, jobs: [Logs Cleanup]}}")
    status, _, complaints = run(path)
    assert (status, complaints) == (0, [])
    queue = JobQueue.objects.get(name="dfw3")
    assert [job.name for job in queue.jobs.all()] == [CLEANUP]
    assert run(path) == (0, ["queues: 1, changes: 0"], [])


def test_a_missing_job_is_an_error_and_nothing_is_changed(wanted):
    wanted.write_text("queues: {iad3-prod: {jobs: [Log Cleanup]}}")
    assert run(wanted) == (
        1,
        [],
        ["iad3-prod: there is no job 'Log Cleanup'. Is it 'Logs Cleanup'?"],
    )
    assert not JobQueue.objects.filter(name="iad3-prod").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "{path}: cannot be read: No such file or directory. Correct the path."),
        (b"\xff", "{path}: does not hold UTF-8 text. Correct the path."),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, content, line):
    path = tmp_path / "queues.yaml"
    if content is not None:
        path.write_bytes(content)
    assert run(path) == (1, [], [line.replace("{path}", str(path))])


def test_a_database_that_does_not_answer_is_status_2(wanted):
    def refuse(*_args):
        raise OperationalError("connection refused\n\tIs the server running?")

    with connection.execute_wrapper(refuse):
        assert run(wanted) == (
            2,
            [],
            ["Nautobot's database could not be asked: connection refused"],
        )
