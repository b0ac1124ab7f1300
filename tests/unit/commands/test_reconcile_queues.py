"""``reconcile-queues`` with a Nautobot made of dicts."""

import argparse
import contextlib
import os

import pytest

from understack_nautobot_settings.commands.reconcile_queues import add_queue_arguments
from understack_nautobot_settings.commands.reconcile_queues import run_queue_command
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import Queue
from understack_nautobot_settings.queues.wishes import Wishes
from understack_nautobot_settings.queues.wishes import read_wishes
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable

TOKEN = "5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83"
BACKUP = Job(
    "Backup",
    "Golden",
    "package.Backup",
    installed=True,
    enabled=True,
    queues=frozenset({"default"}),
    default_queue="default",
    overridden=True,
)


class InMemory:
    """A back end that writes down what is done to it.

    After so many steps it answers with a failure. Over REST nothing is undone then.
    """

    def __init__(self, *looks, failure=None, after=0, remote=False):
        self.looks = [*looks]
        self.failure = failure
        self.after = after
        self.takes_back = not remote
        self.there = [Queue("default", "celery", "")]
        self.done = []

    def jobs_and_queues(self):
        looks = self.looks
        return looks.pop(0) if len(looks) > 1 else looks[0], self.there

    def apply(self, step):
        if self.failure is not None and len(self.done) == self.after:
            raise self.failure
        self.done.append(str(step))
        if step.verb == "create queue":
            self.there.append(Queue(step.subject, "celery", ""))

    @contextlib.contextmanager
    def transaction(self):
        before = [*self.there], [*self.done]
        try:
            yield
        except Exception:
            if self.takes_back:
                self.there, self.done = before
            raise


@pytest.fixture
def run(tmp_path):
    def run(text, nautobot, *options):
        path = tmp_path / "queues.yaml"
        path.write_text(text)
        parser = argparse.ArgumentParser()
        add_queue_arguments(parser)
        printed, complaints, waited = [], [], []
        status = run_queue_command(
            parser.parse_args([str(path), *options]),
            local=None if nautobot is None else lambda: nautobot,
            write=printed.append,
            complain=complaints.append,
            sleep=waited.append,
        )
        return status, printed, complaints, waited

    return run


def test_queue_steps_are_applied_and_printed(run):
    nautobot = InMemory([BACKUP])
    steps = ["site-a: create queue", "site-a: allow 'Backup'"]

    assert run("queues: {site-a: {jobs: [Backup]}}", nautobot) == (
        0,
        [*steps, "queues: 1, changes: 2"],
        [],
        [],
    )
    assert nautobot.done == steps


def test_dry_run_changes_nothing(run):
    nautobot = InMemory([BACKUP])

    assert run("queues: {site-a: }", nautobot, "--dry-run") == (
        0,
        ["would site-a: create queue", "queues: 1, changes: 1 (dry run)"],
        [],
        [],
    )
    assert nautobot.done == []


WAITING = (
    "{queues: [], jobs: {enable: [Backup], waitFor: {attempts: 3, delaySeconds: 7}}}"
)


def test_missing_job_is_waited_for(run):
    waiting = "waiting until jobs are registered: 'Backup'"

    assert run(WAITING, InMemory([], [BACKUP])) == (
        0,
        [waiting, "queues: 0, changes: 0"],
        [],
        [7],
    )
    assert run(WAITING, InMemory([])) == (
        1,
        [waiting, waiting],
        ["jobs.enable: there is no job 'Backup'. Correct the file."],
        [7, 7],
    )


def test_skipped_job_is_a_warning_and_status_0(run):
    text = "{queues: [site-a], jobs: {enable: [Gone], failOnMissing: false}}"

    assert run(text, InMemory([BACKUP])) == (
        0,
        ["site-a: create queue", "queues: 1, changes: 1"],
        ["jobs.enable: there is no job 'Gone'. Correct the file."],
        [],
    )


REFUSED = (
    '{path}: "site-b: create queue" was refused: HTTP 403. Correct the permissions of '
    "the token's user, or the value that is refused."
)
AWAY = "Nautobot could not be asked: no connection."


@pytest.mark.parametrize(
    ("remote", "failure", "status", "printed", "complaint"),
    [
        (False, Refused("HTTP 403"), 1, [], REFUSED),
        (False, Unreachable("no connection"), 2, [], AWAY),
        (
            True,
            Refused("HTTP 403"),
            1,
            [
                "site-a: create queue",
                "not done: site-b: create queue",
                "not done: site-c: create queue",
            ],
            REFUSED,
        ),
        (
            True,
            Unreachable("no connection"),
            2,
            [
                "site-a: create queue",
                "perhaps done: site-b: create queue",
                "not done: site-c: create queue",
            ],
            AWAY,
        ),
        (
            True,
            Unusable("a redirect", "Correct --url."),
            1,
            [
                "site-a: create queue",
                "perhaps done: site-b: create queue",
                "not done: site-c: create queue",
            ],
            "Nautobot: a redirect. Correct --url.",
        ),
    ],
    ids=[
        "database refuses",
        "database away",
        "REST refuses",
        "REST away",
        "REST of no use",
    ],
)
def test_failure_half_way_says_what_was_done_and_what_was_not(
    run, tmp_path, remote, failure, status, printed, complaint
):
    """A database takes everything back; over REST, what was changed stays."""
    nautobot = InMemory([BACKUP], failure=failure, after=1, remote=remote)

    assert run("queues: [site-a, site-b, site-c]", nautobot) == (
        status,
        printed,
        [complaint.replace("{path}", str(tmp_path / "queues.yaml"))],
        [],
    )
    assert nautobot.done == printed[:1]


def test_queue_made_by_a_parallel_run_is_no_problem(run):
    """What was refused is looked at again."""

    class Raced(InMemory):
        def apply(self, step):
            super().apply(step)
            raise Refused("HTTP 400 for name")

    nautobot = Raced([BACKUP], remote=True)

    assert run("queues: [site-a]", nautobot) == (0, ["queues: 1, changes: 0"], [], [])
    assert nautobot.done == ["site-a: create queue"]


def test_invalid_queue_file_does_not_contact_nautobot(run):
    status, printed, complaints, _ = run("queues: 7", None)

    assert (status, printed, len(complaints)) == (1, [], 1)


def test_remote_queues_without_token_file_are_refused(run):
    assert run("queues: []", None, "--url=https://x")[:3] == (
        2,
        [],
        ["A remote Nautobot needs --token-file."],
    )


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("pipe", "is a named pipe, not a file."),
        ("directory", "is a directory, not a file."),
        ("/dev/zero", "is a device, not a file."),
        ("large", "holds more than 1 MiB."),
        ("nowhere", "does not exist."),
    ],
)
def test_file_that_cannot_be_read_whole_is_refused(tmp_path, kind, fact):
    path = tmp_path / "queues.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "large":
        path.write_text("#" * (1 << 20) + "#")
    else:
        path.symlink_to(kind)
    problems = []

    assert read_wishes(str(path), problems=problems) == Wishes()
    assert [str(problem) for problem in problems] == [
        f"{path}: {fact} Mount the file, or correct the path."
    ]
