import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.queues import plan as job_queues
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import Queue
from understack_nautobot_settings.queues.plan import queue_steps
from understack_nautobot_settings.queues.wishes import Assignment
from understack_nautobot_settings.queues.wishes import JobChoice
from understack_nautobot_settings.queues.wishes import QueueWish
from understack_nautobot_settings.queues.wishes import Wishes
from understack_nautobot_settings.queues.wishes import wishes_in

FORM = (
    "Write queues: {<site>: {jobs: [{name: <job>}, {grouping: <grouping>}]}}; a queue "
    "also takes description and existing: keep or replace, a job also enable. Or "
    "write the values of UnderStack's chart: queues: [<site>], jobs: {enable, "
    "queueAssignments, failOnMissing, waitFor}."
)
YAML = """\
queues:
  iad3-prod:
    description: Workers of iad3
    existing: replace
    jobs:
      - Logs Cleanup
      - name: Backup
        enable: true
      - grouping: Golden Configuration
      - class_path: package.jobs.Sync
  dfw3.staging:
"""
WISHES = (
    QueueWish(
        "iad3-prod",
        "Workers of iad3",
        "replace",
        (
            JobChoice("name", "Logs Cleanup", False),
            JobChoice("name", "Backup", True),
            JobChoice("grouping", "Golden Configuration", False),
            JobChoice("class_path", "package.jobs.Sync", False),
        ),
    ),
    QueueWish("dfw3.staging"),
)


def read(path, text):
    problems = []
    wishes = wishes_in(path, text, problems=problems)
    return wishes, [str(problem) for problem in problems]


def test_wanted_state_is_read_from_yaml():
    assert read("/etc/queues.yaml", YAML) == (Wishes(WISHES), [])


def test_blanks_around_description_are_left_out():
    """The REST API strips them: the description would differ again at each run."""
    assert read("q.json", '{"queues": {"a": {"description": " of a\\n"}}}') == (
        Wishes((QueueWish("a", "of a"),)),
        [],
    )


def test_wanted_state_is_read_from_json():
    text = json.dumps(
        {
            "queues": {
                "iad3-prod": {
                    "description": "Workers of iad3",
                    "existing": "replace",
                    "jobs": [
                        "Logs Cleanup",
                        {"name": "Backup", "enable": True},
                        {"grouping": "Golden Configuration"},
                        {"class_path": "package.jobs.Sync"},
                    ],
                },
                "dfw3.staging": None,
            }
        }
    )
    assert read("/etc/queues.json", text) == (Wishes(WISHES), [])


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "the file is no mapping."),
        ("[]", "the file is no mapping."),
        ("{}", "queues is no mapping."),
        ("queus: {}", "the file has 'queus', which is unknown."),
        ("queues: {a: 1}", "queues.a is no mapping."),
        ("queues: {a: {job: []}}", "queues.a has 'job', which is unknown."),
        ("queues: {a: {jobs: Backup}}", "queues.a.jobs is no list."),
        ("queues: {a: {jobs: [7]}}", "queues.a.jobs[0] is no mapping."),
        (
            "queues: {a: {jobs: [{}]}}",
            "queues.a.jobs[0] needs one of name, grouping or class_path.",
        ),
        (
            "queues: {a: {jobs: [x, {name: a, grouping: b}]}}",
            "queues.a.jobs[1] needs one of name, grouping or class_path.",
        ),
        (
            "queues: {a: {jobs: [{name: 7}]}}",
            "queues.a.jobs[0].name is no text.",
        ),
        (
            "queues: {a: {jobs: [{name: a, enable: perhaps}]}}",
            "queues.a.jobs[0].enable is neither true nor false.",
        ),
        (
            "queues: {a: {existing: drop}}",
            "queues.a.existing is neither keep nor replace.",
        ),
        ("queues: {a: {description: [7]}}", "queues.a.description is no text."),
        (
            'queues: {a: {description: "\\0"}}',
            "queues.a.description holds a NUL or half a character.",
        ),
        (
            'queues: {a: {description: "\\ud800"}}',
            "queues.a.description holds a NUL or half a character.",
        ),
        (
            "queues: {a/b: {}}",
            "queues.a/b is no name for a queue: use letters, digits, '.', '_' or '-'.",
        ),
        (
            "queues: {..: {}}",
            "queues... is no name for a queue: use letters, digits, '.', '_' or '-'.",
        ),
        (
            "queues: {7: {}}",
            "queues.7 is no text: put the name in quotes.",
        ),
        (
            "queues:\n  a: {jobs: [x]}\n  b: {}\n  a: {jobs: [y]}\n",
            "has 'a' twice in the mapping that begins in line 2.",
        ),
        ("queues: {a", "is not YAML at line 1, column 11."),
        ("queues: \0", "is not YAML."),
        (
            "queues: !!python/object:os.system {}",
            "has a tag in line 1, which is not accepted.",
        ),
        (
            "queues: &a {x: {}}\nqueues2: *a",
            "has an anchor or alias in line 1, which is not accepted.",
        ),
        ("queues: {a: *x}", "has an anchor or alias in line 1, which is not accepted."),
        ("queues: " + "9" * 5000, "is not YAML."),
        ("queues: 2026-99-99", "is not YAML."),
        ("[" * 100_000, "is not YAML."),
        ("? {a: b}\n: c", "is not YAML at line 1, column 3."),
    ],
)
def test_fault_in_file_is_refused(text, fact):
    """Nothing is guessed, nothing dropped, and no YAML tag runs code."""
    assert read("q.yaml", text) == (Wishes(), [f"q.yaml: {fact} {FORM}"])


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "queues: {a/b: {job: []}, b: 7, c: {jobs: [x, 7, {}], existing: drop}}",
            "queues.a/b is no name for a queue: use letters, digits, '.', '_' or '-'. "
            "queues.a/b has 'job', which is unknown. queues.b is no mapping. "
            "queues.c.existing is neither keep nor replace. queues.c.jobs[1] is no "
            "mapping. queues.c.jobs[2] needs one of name, grouping or class_path.",
        ),
        (
            "{queues: [a, 7], jobs: {queueAssignments: [7, {job: x}, {job: x, queues: "
            "[b, no]}], waitFor: {attempts: x, delaySeconds: -1}}}",
            "waitFor.attempts is no whole number. waitFor.delaySeconds is not from 0 "
            "to 3600. queues[1] is no text: put the name in quotes. "
            "jobs.queueAssignments[0] is no mapping. jobs.queueAssignments[1] needs "
            "queues, and job, names or groupings. jobs.queueAssignments[2].queues[1] "
            "is no text: put the name in quotes.",
        ),
    ],
    ids=["own form", "chart"],
)
def test_every_fault_in_file_is_named_at_once(text, facts):
    assert read("q.yaml", text) == (Wishes(), [f"q.yaml: {facts} {FORM}"])


def test_json_with_a_name_twice_is_refused():
    wishes, problems = read("q.json", '{"queues": {"a": {}, "a": {}}}')
    assert wishes == Wishes()
    assert len(problems) == 1
    assert problems[0].startswith("q.json: ")


def job(name, grouping="Golden", queues=("default",), **changed):
    return Job(
        name,
        grouping,
        f"package.jobs.{name.replace(' ', '')}",
        installed=True,
        enabled=True,
        queues=frozenset(queues),
        default_queue="default",
        overridden=True,
    )._replace(**changed)


BACKUP = job("Backup")
INTENDED = job("Intended")
CLEANUP = job("Logs Cleanup", "System", enabled=False)
JOBS = [BACKUP, INTENDED, CLEANUP]
DEFAULT = Queue("default", "celery", "")


def wish(*choices, name="iad3", description=None, existing="keep"):
    return QueueWish(name, description, existing, choices)


def chosen(by, value, enable=False):
    return JobChoice(by, value, enable)


def steps(wishes, jobs=JOBS, queues=(DEFAULT,)):
    problems = []
    if not isinstance(wishes, Wishes):
        wishes = Wishes(tuple(wishes))
    found = queue_steps(wishes, jobs, queues, problems=problems)
    return [str(step) for step in found], [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        (wish(), ["iad3: create queue"]),
        (
            wish(description="Workers"),
            ["iad3: create queue", "iad3: describe queue 'Workers'"],
        ),
        (
            wish(chosen("name", "Backup")),
            ["iad3: create queue", "iad3: allow 'Backup'"],
        ),
        (
            wish(chosen("class_path", "package.jobs.Backup")),
            ["iad3: create queue", "iad3: allow 'Backup'"],
        ),
        (
            wish(chosen("grouping", "Golden"), chosen("name", "Backup")),
            ["iad3: create queue", "iad3: allow 'Backup'", "iad3: allow 'Intended'"],
        ),
        (
            wish(chosen("name", "Logs Cleanup", True)),
            [
                "iad3: create queue",
                "enable 'Logs Cleanup'",
                "iad3: allow 'Logs Cleanup'",
            ],
        ),
        (wish(chosen("name", "Backup", True), name="default"), []),
    ],
    ids=[
        "queue",
        "description",
        "by name",
        "by class",
        "by grouping, one twice",
        "disabled job",
        "all there",
    ],
)
def test_missing_queue_and_jobs_are_added(wanted, lines):
    assert steps([wanted]) == (lines, [])


def test_job_on_two_queues_is_enabled_once():
    cleanup = chosen("name", "Logs Cleanup", True)
    lines, problems = steps([wish(cleanup), wish(cleanup, name="dfw3")])
    assert problems == []
    assert lines.count("enable 'Logs Cleanup'") == 1


def test_other_jobs_on_queue_are_kept_unless_replaced():
    jobs = [BACKUP, INTENDED._replace(queues=frozenset({"default", "iad3"}))]
    queues = [DEFAULT, Queue("iad3", "celery", "")]
    backup = chosen("name", "Backup")
    assert steps([wish(backup)], jobs, queues) == (["iad3: allow 'Backup'"], [])
    assert steps([wish(backup, existing="replace")], jobs, queues) == (
        ["iad3: allow 'Backup'", "iad3: no longer allow 'Intended'"],
        [],
    )


def test_default_queue_of_job_is_never_removed():
    jobs = [INTENDED._replace(queues=frozenset({"iad3"}), default_queue="iad3")]
    queues = [Queue("iad3", "celery", "")]
    assert steps([wish(existing="replace")], jobs, queues) == (
        [],
        [
            "iad3: the queue is the default queue of the job 'Intended'. Give the job "
            "another default queue, or list the job for this queue in the file."
        ],
    )


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        (
            chosen("name", "Backups"),
            "iad3: there is no job 'Backups'. Is it 'Backup'?",
        ),
        (
            chosen("grouping", "golden"),
            "iad3: there is no job with the grouping 'golden'. Is it 'Golden'?",
        ),
        (
            chosen("class_path", "x"),
            "iad3: there is no job with the class_path 'x'. Correct the file.",
        ),
        (
            chosen("name", "Gone"),
            "iad3: the code of the job 'Gone' is not installed. Install the App that "
            "provides it, or remove it from the file.",
        ),
    ],
    ids=["name", "grouping", "nothing near", "not installed"],
)
def test_missing_job_is_an_error(choice, line):
    jobs = [*JOBS, job("Gone", installed=False)]
    assert steps([wish(choice)], jobs)[1] == [line]


def test_queue_of_another_kind_is_an_error():
    assert steps([wish()], queues=[Queue("iad3", "kubernetes", "")]) == (
        [],
        [
            "iad3: the queue exists and is of type 'kubernetes'. Remove that queue, or "
            "choose another name."
        ],
    )


NAMES = st.sampled_from(["iad3", "dfw3", "default"])
CHOICES = st.sampled_from(
    [
        chosen("name", "Backup"),
        chosen("name", "Logs Cleanup", True),
        chosen("grouping", "Golden"),
        chosen("grouping", "System"),
    ]
)


@given(
    st.lists(
        st.builds(
            QueueWish,
            NAMES,
            st.sampled_from([None, "Workers"]),
            st.just("keep"),
            st.lists(CHOICES).map(tuple),
        )
    )
)
def test_second_plan_is_empty(wishes):
    jobs = {one.class_path: one for one in JOBS}
    queues = {"default": DEFAULT}
    wishes = Wishes(tuple(wishes))
    for step in queue_steps(wishes, list(jobs.values()), queues.values(), problems=[]):
        if step.verb == job_queues.CREATE_QUEUE:
            queues[step.subject] = Queue(step.subject, "celery", "")
        elif step.verb == "describe queue":
            queues[step.subject] = queues[step.subject]._replace(
                description=step.detail
            )
        elif step.verb == "enable":
            jobs[step.key] = jobs[step.key]._replace(enabled=True)
        else:
            assert step.verb == job_queues.ALLOW_JOB
            one = jobs[step.key]
            jobs[step.key] = one._replace(queues=one.queues | {step.subject})
    problems = []
    left = queue_steps(wishes, list(jobs.values()), queues.values(), problems=problems)
    assert (left, problems) == ([], [])


# --- the values of UnderStack's chart --------------------------------------------

CHART = """\
queues: [site-a, site-b]
jobs:
  failOnMissing: false
  waitFor: {attempts: 30, delaySeconds: 10}
  enable:
    groupings: [Golden]
    names: [Backup]
  queueAssignments:
    - names: [Backup]
      groupings: [System]
      queues: [site-a, default]
      includeExistingQueues: false
      override: false
    - {job: Intended, queues: [site-b]}
"""


def test_values_of_chart_are_read():
    assert read("q.yaml", CHART) == (
        Wishes(
            (QueueWish("site-a"), QueueWish("site-b")),
            (chosen("name", "Backup"), chosen("grouping", "Golden")),
            (
                Assignment(
                    (chosen("name", "Backup"), chosen("grouping", "System")),
                    ("site-a", "default"),
                    "replace",
                    override=False,
                ),
                Assignment((chosen("name", "Intended"),), ("site-b",)),
            ),
            fail_on_missing=False,
            attempts=30,
            delay=10,
        ),
        [],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("queues: [site-a]", Wishes((QueueWish("site-a"),))),
        ("queues: []", Wishes()),
        (
            "{queues: [], jobs: {enable: [Backup]}}",
            Wishes(enable=(chosen("name", "Backup"),)),
        ),
        (
            "{queues: [], failOnMissing: false, waitFor: {attempts: 2}}",
            Wishes(fail_on_missing=False, attempts=2),
        ),
        (
            "{api: {url: 'http://x', tokenSecretRef: {name: a, key: b}}, queues: [a]}",
            Wishes((QueueWish("a"),)),
        ),
    ],
    ids=["names only", "nothing", "list of jobs", "policy beside", "way of the chart"],
)
def test_part_of_values_of_chart_is_read(text, expected):
    assert read("q.yaml", text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (
            "queues: [7]",
            "queues[0] is no text: put the name in quotes.",
        ),
        ("{queues: [], job: {}}", "the file has 'job', which is unknown."),
        ("{queues: [], jobs: {enabled: []}}", "jobs has 'enabled', which is unknown."),
        (
            "{queues: [], jobs: {enable: [7]}}",
            "jobs.enable names a job or grouping that is no text.",
        ),
        (
            "{queues: [], jobs: {queueAssignments: [{job: a}]}}",
            "jobs.queueAssignments[0] needs queues, and job, names or groupings.",
        ),
        (
            "{queues: [], jobs: {failOnMissing: 1}}",
            "jobs.failOnMissing is neither true nor false.",
        ),
        (
            "{queues: [], jobs: {waitFor: {attempts: 0}}}",
            "waitFor.attempts is not from 1 to 1000.",
        ),
        (
            "{queues: [], jobs: {waitFor: {delaySeconds: 1.5}}}",
            "waitFor.delaySeconds is no whole number.",
        ),
    ],
)
def test_fault_in_values_of_chart_is_refused(text, fact):
    assert read("q.yaml", text) == (Wishes(), [f"q.yaml: {fact} {FORM}"])


def assigned(*jobs, queues=("site-a",), **options):
    choices = tuple(chosen("name", name) for name in jobs)
    return Assignment(choices, queues, **options)


def test_assignment_allows_job_and_keeps_its_queues():
    wishes = Wishes((QueueWish("site-a"),), (), (assigned("Backup", "Intended"),))

    assert steps(wishes) == (
        ["site-a: create queue", "site-a: allow 'Backup'", "site-a: allow 'Intended'"],
        [],
    )


def test_assignment_with_replace_keeps_only_the_default_queue():
    jobs = [job("Backup", queues=("default", "old", "site-a"))]
    wishes = Wishes(assignments=(assigned("Backup", existing="replace"),))
    queues = [DEFAULT, Queue("old", "celery", ""), Queue("site-a", "celery", "")]

    assert steps(wishes, jobs, queues) == (["old: no longer allow 'Backup'"], [])


def test_assignments_with_replace_leave_each_other_the_queues_of_a_job():
    """Else each run would take away what the run before has given."""
    queues = [DEFAULT, Queue("site-a", "celery", ""), Queue("site-b", "celery", "")]
    both = tuple(
        assigned("Backup", queues=(name,), existing="replace")
        for name in ("site-a", "site-b")
    )
    jobs = [job("Backup", queues=("default", "site-a", "site-b"))]

    assert steps(Wishes(assignments=both), jobs, queues) == ([], [])


@pytest.mark.parametrize(
    ("overridden", "override", "lines"),
    [
        (False, True, ["keep the queues set here for 'Backup'"]),
        (
            True,
            False,
            ["leave the queues to the class of 'Backup'", "site-a: allow 'Backup'"],
        ),
        (True, True, []),
        (False, False, []),
    ],
)
def test_assignment_sets_the_queue_override(overridden, override, lines):
    jobs = [job("Backup", queues=("default", "site-a"), overridden=overridden)]
    wishes = Wishes(assignments=(assigned("Backup", override=override),))

    assert steps(wishes, jobs, [DEFAULT, Queue("site-a", "celery", "")]) == (lines, [])


@pytest.mark.parametrize(
    ("wishes", "lines"),
    [
        (
            Wishes((wish(chosen("name", "Backup", enable=True), name="site-a"),)),
            ["keep the queues set here for 'Backup'", "enable 'Backup'"],
        ),
        (
            Wishes((), (chosen("name", "Backup"),), (assigned("Backup"),)),
            ["keep the queues set here for 'Backup'", "enable 'Backup'"],
        ),
        (
            Wishes(
                (), (chosen("name", "Backup"),), (assigned("Backup", override=False),)
            ),
            ["enable 'Backup'", "site-a: allow 'Backup'"],
        ),
    ],
    ids=["own form", "with override", "without override"],
)
def test_job_that_is_enabled_keeps_its_queue(wishes, lines):
    """Nautobot sets the queues of a job back that it saves without the override."""
    jobs = [job("Backup", queues=("site-a",), overridden=False, enabled=False)]

    assert steps(wishes, jobs, [Queue("site-a", "celery", "")]) == (lines, [])


@pytest.mark.parametrize("overridden", [True, False])
def test_assignments_that_disagree_about_override_are_refused(overridden):
    """Each run would undo what the one before has done."""
    jobs = [job("Backup", queues=("default", "site-a"), overridden=overridden)]
    both = assigned("Backup"), assigned("Backup", override=False)
    queues = [DEFAULT, Queue("site-a", "celery", "")]

    assert steps(Wishes(assignments=both), jobs, queues)[1] == [
        "jobs.queueAssignments: the job 'Backup' is assigned with and without "
        "override. Correct what the message names."
    ]


def test_job_allowed_on_a_queue_keeps_it():
    """Without the override, the next start sets the queues back to the class's."""
    jobs = [job("Backup", overridden=False)]

    assert steps([wish(chosen("name", "Backup"), name="site-a")], jobs) == (
        [
            "keep the queues set here for 'Backup'",
            "site-a: create queue",
            "site-a: allow 'Backup'",
        ],
        [],
    )


def test_empty_description_takes_the_description_away():
    queues = [DEFAULT, Queue("iad3", "celery", "Workers")]

    assert steps([wish(description="")], [], queues) == (["iad3: describe queue"], [])
    assert steps([wish(description=None)], [], queues) == ([], [])


def test_assignment_creates_no_queue():
    wishes = Wishes(assignments=(assigned("Backup"),))

    assert steps(wishes) == (
        [],
        [
            "site-a: there is no queue of that name. Add it to queues of the file, or "
            "correct its name."
        ],
    )


@pytest.mark.parametrize("fail", [True, False])
def test_missing_job_of_chart_fails_or_is_skipped(fail):
    wishes = Wishes(enable=(chosen("name", "Gone"),), fail_on_missing=fail)
    problems = []
    queue_steps(wishes, JOBS, [DEFAULT], problems=problems)

    assert [(one.code, one.severity) for one in problems] == [
        ("queue-job-missing", "error") if fail else ("queue-job-skipped", "warning")
    ]


def test_jobs_to_wait_for_are_those_named_in_the_file():
    wishes = Wishes(
        (wish(chosen("name", "A"), chosen("grouping", "x")),),
        (chosen("name", "Backup"), chosen("name", "B")),
        (assigned("C", "A"),),
    )

    assert job_queues.missing_jobs(wishes, JOBS) == ["A", "B", "C"]
