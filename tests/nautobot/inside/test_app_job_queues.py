"""Queues and jobs in a real Nautobot's database, by the management command."""

import argparse
import hashlib
import io

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import OperationalError
from django.db import connection
from nautobot.extras.models import Job
from nautobot.extras.models import JobQueue
from nautobot.users.models import ObjectPermission
from nautobot.users.models import Token

from tests.nautobot.inside.in_process import InProcess
from understack_nautobot_settings.commands.reconcile_queues import add_queue_arguments
from understack_nautobot_settings.commands.reconcile_queues import run_queue_command
from understack_nautobot_settings.queues.records import DatabaseQueues

pytestmark = pytest.mark.django_db

CLEANUP = "Logs Cleanup"


TOKEN = hashlib.sha1(b"administrator").hexdigest()


def run(path, *options, **more):
    return reconcile(path, *options, local=DatabaseQueues, **more)


def reconcile(path, *options, local=None, waited=None):
    parser = argparse.ArgumentParser()
    add_queue_arguments(parser, remote_only=local is None)
    printed, complaints = [], []
    status = run_queue_command(
        parser.parse_args([str(path), *options]),
        local=local,
        write=printed.append,
        complain=complaints.append,
        connect=InProcess,
        sleep=waited,
    )
    assert TOKEN not in "\n".join([*printed, *complaints])
    return status, printed, complaints


@pytest.fixture
def over_rest(tmp_path):
    user = get_user_model().objects.create_superuser("administrator", "", "x")
    Token(user=user, key=TOKEN).validated_save()
    (tmp_path / "token").write_text(TOKEN)

    def over_rest(path, *options, **more):
        where = ["--url=https://nautobot", f"--token-file={tmp_path / 'token'}"]
        return reconcile(path, *options, *where, **more)

    return over_rest


@pytest.fixture(params=["inside", "REST"])
def either(request):
    """Both ways to the same Nautobot."""
    return run if request.param == "inside" else request.getfixturevalue("over_rest")


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


def test_second_run_changes_nothing(wanted, either):
    run = either
    Job.objects.filter(name=CLEANUP).update(enabled=False)
    before = queues_of()
    status, said, complaints = run(wanted, "--dry-run")
    assert (status, complaints, queues_of()) == (0, [], before)
    status, done, complaints = run(wanted)
    assert (status, complaints) == (0, [])
    assert [f"would {line}" for line in done[:-1]] == said[:-1]
    kept = [line for line in done if line.startswith("keep the queues set here for ")]
    assert done[: len(kept) + 4] == [
        *kept,
        "iad3-prod: create queue",
        "iad3-prod: describe queue 'Workers of iad3'",
        "enable 'Logs Cleanup'",
        "iad3-prod: allow 'Logs Cleanup'",
    ]
    assert kept[0] == "keep the queues set here for 'Logs Cleanup'"
    assert queues_of() == sorted([*before, "dfw3", "iad3-prod"])
    queue = JobQueue.objects.get(name="iad3-prod")
    assert (queue.queue_type, queue.description) == ("celery", "Workers of iad3")
    assert Job.objects.get(name=CLEANUP).enabled
    assert run(wanted) == (0, ["queues: 2, changes: 0"], [])


def test_queues_after_restart_of_nautobot_are_kept(wanted, either):
    """Without the override Nautobot would set them back to those of the class."""
    run = either
    run(wanted)
    Job.objects.get(name=CLEANUP).validated_save()
    assert "iad3-prod" in queues_of()


def test_other_jobs_with_replace_are_removed_from_the_queue(wanted, tmp_path, either):
    run = either
    run(wanted)
    path = tmp_path / "replace.yaml"
    path.write_text("queues: {dfw3: {existing: replace, jobs: [Logs Cleanup]}}")
    status, _, complaints = run(path)
    assert (status, complaints) == (0, [])
    queue = JobQueue.objects.get(name="dfw3")
    assert [job.name for job in queue.jobs.all()] == [CLEANUP]
    assert run(path) == (0, ["queues: 1, changes: 0"], [])


def test_missing_job_is_an_error_and_nothing_is_changed(wanted, either):
    run = either
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
        (None, "{path}: does not exist. Mount the file, or correct the path."),
        (
            b"\xff",
            "{path}: does not hold UTF-8 text. Mount the file, or correct the path.",
        ),
    ],
)
def test_unreadable_queue_file_ends_with_status_1(tmp_path, content, line):
    path = tmp_path / "queues.yaml"
    if content is not None:
        path.write_bytes(content)
    assert run(path) == (1, [], [line.replace("{path}", str(path))])


def test_database_without_answer_ends_with_status_2(wanted):
    def refuse(*_args):
        raise OperationalError("connection refused\n\tIs the server running?")

    with connection.execute_wrapper(refuse):
        assert run(wanted) == (
            2,
            [],
            ["Nautobot could not be asked: the database failed: connection refused."],
        )


def test_value_that_nautobot_refuses_is_named_by_its_field(tmp_path):
    path = tmp_path / "queues.yaml"
    path.write_text(f"queues: [{'x' * 300}]")

    status, printed, (complaint,) = run(path)

    assert (status, printed) == (1, [])
    assert complaint == (
        f'{path}: "{"x" * 300}: create queue" was refused: name (max_length). Correct '
        "the permissions of the token's user, or the value that is refused."
    )


def test_management_command_applies_the_same_file(wanted):
    printed = io.StringIO()
    call_command("reconcile_job_queues", str(wanted), stdout=printed)
    assert printed.getvalue().splitlines()[-1].startswith("queues: 2, changes: ")
    assert run(wanted) == (0, ["queues: 2, changes: 0"], [])


CHART = """\
queues: [site-dc]
jobs:
  failOnMissing: true
  waitFor: {attempts: 3, delaySeconds: 10}
  enable: {groupings: [], names: [Logs Cleanup]}
  queueAssignments:
    - {names: [Logs Cleanup], queues: [site-dc, default]}
"""


def test_values_of_chart_are_applied_once(tmp_path, either):
    path = tmp_path / "values.yaml"
    path.write_text(CHART)
    Job.objects.filter(name=CLEANUP).update(enabled=False)
    before = queues_of()
    status, printed, complaints = either(path)
    assert (status, complaints) == (0, [])
    assert printed[:4] == [
        "keep the queues set here for 'Logs Cleanup'",
        "site-dc: create queue",
        "enable 'Logs Cleanup'",
        "site-dc: allow 'Logs Cleanup'",
    ]
    assert queues_of() == sorted({*before, "site-dc", "default"})
    assert Job.objects.get(name=CLEANUP).enabled
    assert either(path) == (0, ["queues: 1, changes: 0"], [])
    path.write_text(
        CHART.replace("site-dc, default]", "site-dc], override: true").replace(
            "override: true", "includeExistingQueues: false"
        )
    )
    status, _, complaints = either(path)
    assert (status, complaints) == (0, [])
    default = Job.objects.get(name=CLEANUP).default_job_queue.name
    assert queues_of() == sorted({default, "site-dc"})


def test_job_not_yet_registered_is_waited_for(tmp_path, either):
    path = tmp_path / "values.yaml"
    path.write_text(CHART)
    Job.objects.filter(name=CLEANUP).update(installed=False)
    waited = []

    def register(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            Job.objects.filter(name=CLEANUP).update(installed=True)

    status, printed, complaints = either(path, waited=register)
    assert (status, complaints, waited) == (0, [], [10, 10])
    assert printed[0] == "waiting until jobs are registered: 'Logs Cleanup'"


def test_token_without_permission_is_reported(wanted, over_rest):
    user = get_user_model().objects.get(username="administrator")
    user.is_superuser = False
    user.save()
    assert over_rest(wanted) == (
        1,
        [],
        [
            f"{wanted}: the listing of extras/job-queues/ was refused: HTTP 403. "
            "Correct the permissions of the token's user, or the value that is refused."
        ],
    )


def permit(user, model, *actions, **constraints):
    permission = ObjectPermission.objects.create(
        name=model, actions=list(actions), constraints=constraints or None
    )
    kind = ContentType.objects.get(app_label="extras", model=model)
    permission.object_types.add(kind)
    permission.users.add(user)


def test_queue_that_is_hidden_from_the_token_is_taken_from_a_job(tmp_path, over_rest):
    """Its name is not known, but its id is."""
    path = tmp_path / "values.yaml"
    path.write_text(CHART)
    assert over_rest(path)[0] == 0
    user = get_user_model().objects.get(username="administrator")
    user.is_superuser = False
    user.save()
    permit(user, "job", "view", "change")
    permit(user, "jobqueue", "view", name="default")
    permit(user, "jobqueueassignment", "view", "add", "delete")
    path.write_text(
        "{queues: [], jobs: {queueAssignments: [{names: [Logs Cleanup], queues: "
        "[default], includeExistingQueues: false}]}}"
    )
    hidden = JobQueue.objects.get(name="site-dc").pk
    assert over_rest(path) == (
        0,
        [f"{hidden}: no longer allow 'Logs Cleanup'", "queues: 0, changes: 1"],
        [],
    )
    assert queues_of() == ["default"]
    assert over_rest(path) == (0, ["queues: 0, changes: 0"], [])


def test_refusal_half_way_over_rest_says_what_was_done(wanted, over_rest):
    user = get_user_model().objects.get(username="administrator")
    user.is_superuser = False
    user.save()
    permit(user, "jobqueue", "view", "add")
    permit(user, "job", "view", "change")
    status, printed, complaints = over_rest(wanted)
    assert (status, complaints) == (
        1,
        [
            f"{wanted}: \"iad3-prod: describe queue 'Workers of iad3'\" was refused: "
            "HTTP 403 (the user lacks a permission, or its token may not write). "
            "Correct the permissions of the token's user, or the value that is refused."
        ],
    )
    number = printed.index("iad3-prod: create queue") + 1
    assert printed[number : number + 2] == [
        "not done: iad3-prod: describe queue 'Workers of iad3'",
        "not done: iad3-prod: allow 'Logs Cleanup'",
    ]
    assert all(line.startswith("not done: ") for line in printed[number:])
    assert JobQueue.objects.filter(name="iad3-prod").exists()
    assert "iad3-prod" not in queues_of()
    user.is_superuser = True
    user.save()
    status, done, complaints = over_rest(wanted)
    assert (status, complaints) == (0, [])
    assert done[:-1] == [line.removeprefix("not done: ") for line in printed[number:]]


def test_database_that_fails_half_way_keeps_nothing(wanted):
    def refuse(execute, sql, *arguments):
        if 'INSERT INTO "extras_jobqueueassignment"' in sql:
            raise OperationalError("server closed the connection\nunexpectedly")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        assert run(wanted) == (
            2,
            [],
            [
                "Nautobot could not be asked: the database failed: server closed the "
                "connection."
            ],
        )
    assert not JobQueue.objects.filter(name="iad3-prod").exists()


def test_description_with_blanks_around_it_comes_to_rest(tmp_path, either):
    path = tmp_path / "queues.json"
    path.write_text('{"queues": {"site-a": {"description": "  of site-a\\n"}}}')
    assert either(path)[:2] == (
        0,
        [
            "site-a: create queue",
            "site-a: describe queue 'of site-a'",
            "queues: 1, changes: 2",
        ],
    )
    assert either(path) == (0, ["queues: 1, changes: 0"], [])


@pytest.mark.parametrize("override", ["true", "false"])
def test_job_that_is_enabled_or_released_keeps_its_queue(tmp_path, either, override):
    """Nautobot sets queues back to the class's as it saves the job."""
    path = tmp_path / "values.yaml"
    text = CHART.replace("default]}", "default], override: %s}")
    path.write_text(text % "true")
    assert either(path)[0] == 0
    Job.objects.filter(name=CLEANUP).update(enabled=False)
    if override == "true":
        Job.objects.filter(name=CLEANUP).update(job_queues_override=False)
    path.write_text(text % override)
    assert either(path)[0] == 0
    assert "site-dc" in queues_of()
    assert either(path) == (0, ["queues: 1, changes: 0"], [])
