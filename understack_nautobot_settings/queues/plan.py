"""How to get from the jobs and queues that are there to those wanted; pure."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import nearest_ones
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.queues.wishes import REPLACE
from understack_nautobot_settings.queues.wishes import Assignment
from understack_nautobot_settings.queues.wishes import JobChoice
from understack_nautobot_settings.queues.wishes import QueueWish
from understack_nautobot_settings.queues.wishes import Wishes
from understack_nautobot_settings.reconciliation.steps import Step

CREATE_QUEUE = "create queue"
ALLOW_JOB = "allow"
DISALLOW_JOB = "no longer allow"
KEEP_QUEUES = "keep the queues set here for"
CELERY = "celery"


class Job(NamedTuple):
    """A job as Nautobot has it.

    Attributes:
        name: Its name, unique.
        class_path: Module and class.
        installed: False where its code is gone.
        queues: Names of the queues it is allowed on.
        default_queue: Name of the queue it is sent to unless told otherwise.
        overridden: True where Nautobot keeps these queues when it reads the class
            of the job again; otherwise it sets back those that the class names.
    """

    name: str
    grouping: str
    class_path: str
    installed: bool
    enabled: bool
    queues: frozenset[str]
    default_queue: str
    overridden: bool


class Queue(NamedTuple):
    """A queue as Nautobot has it."""

    name: str
    queue_type: str
    description: str


def queue_steps(
    wishes: Wishes,
    jobs: Sequence[Job],
    queues: Iterable[Queue],
    *,
    problems: list[Problem],
) -> list[Step]:
    """Return the changes, in their order, that give each queue the jobs it is to take.

    ``problems`` collects why a wish cannot be granted.
    """
    fail = wishes.fail_on_missing
    missing_job = codes.QUEUE_JOB_MISSING if fail else codes.QUEUE_JOB_SKIPPED
    plan = _Plan(missing_job, jobs, problems)
    there = {queue.name: queue for queue in queues}
    for wish in wishes.queues:
        plan.grant(wish, there.get(wish.name))
    for job in plan.chosen("jobs.enable", wishes.enable):
        plan.enable(job)
    known = {*there, *(wish.name for wish in wishes.queues)}
    for assignment in wishes.assignments:
        missing = [name for name in assignment.queues if name not in known]
        for name in missing:
            fact = "there is no queue of that name."
            problems.append(codes.QUEUE_MISSING.problem(name, fact))
        if not missing:
            plan.assign(assignment)
    steps = [
        step
        for step in dict.fromkeys(plan.steps)
        if step.verb != DISALLOW_JOB or (step.subject, step.key) not in plan.assigned
    ]
    # Nautobot sets the queues of a job back whenever it is saved without the override.
    return sorted(steps, key=lambda step: step.verb != KEEP_QUEUES)


def missing_jobs(wishes: Wishes, jobs: Iterable[Job]) -> list[str]:
    """Return the names of wanted jobs that are not registered (yet)."""
    choices = [
        *(choice for wish in wishes.queues for choice in wish.jobs),
        *wishes.enable,
        *(choice for one in wishes.assignments for choice in one.jobs),
    ]
    there = {job.name for job in jobs if job.installed}
    names = [one.value for one in choices if one.by == "name"]
    return [name for name in dict.fromkeys(names) if name not in there]


@dataclass
class _Plan:
    """The steps so far, in order; some may be there twice.

    What one assignment gives a job, as queue and class, no other may take away.
    """

    missing: Code
    jobs: Sequence[Job]
    problems: list[Problem]
    steps: list[Step] = field(default_factory=list)
    assigned: set[tuple[str, str]] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)
    overrides: dict[str, bool] = field(default_factory=dict)

    def grant(self, wish: QueueWish, queue: Queue | None) -> None:
        if queue is None:
            fields = {"name": wish.name, "queue_type": CELERY}
            self.steps.append(Step(CREATE_QUEUE, wish.name, fields=fields))
            queue = Queue(wish.name, CELERY, "")
        if queue.queue_type != CELERY:
            fact = f"the queue exists and is of type {queue.queue_type!r}."
            self.problems.append(codes.QUEUE_NOT_CELERY.problem(wish.name, fact))
            return
        if wish.description not in (None, queue.description):
            text, fields = wish.description or "", {"description": wish.description}
            self.steps.append(Step("describe queue", wish.name, text, fields=fields))
        wanted: dict[str, Job] = {}
        for choice in wish.jobs:
            for job in self.chosen(wish.name, (choice,)):
                wanted[job.class_path] = job
                if choice.enable and not job.enabled:
                    self._override(job, wanted=True)
                    self.enable(job)
        for job in wanted.values():
            if wish.name not in job.queues:
                self._override(job, wanted=True)
                self._add(ALLOW_JOB, wish.name, job)
        for job in self.jobs if wish.existing == REPLACE else ():
            if wish.name not in job.queues or job.class_path in wanted:
                continue
            if job.default_queue == wish.name:
                fact = f"the queue is the default queue of the job {job.name!r}."
                self.problems.append(codes.QUEUE_IS_DEFAULT.problem(wish.name, fact))
            else:
                self._override(job, wanted=True)
                self._add(DISALLOW_JOB, wish.name, job)

    def assign(self, assignment: Assignment) -> None:
        for job in self.chosen("jobs.queueAssignments", assignment.jobs):
            override = assignment.override
            if self.overrides.setdefault(job.class_path, override) != override:
                fact = f"the job {job.name!r} is assigned with and without override."
                invalid = codes.QUEUE_FILE_INVALID
                self.problems.append(invalid.problem("jobs.queueAssignments", fact))
            self._override(job, wanted=override)
            saved = job.overridden or job.class_path in self.enabled
            for name in assignment.queues:
                self.assigned.add((name, job.class_path))
                if name not in job.queues or (saved and not override):
                    self._add(ALLOW_JOB, name, job)
            kept = {*assignment.queues, job.default_queue}
            if assignment.existing == REPLACE:
                for name in sorted(job.queues - kept):
                    self._add(DISALLOW_JOB, name, job)

    def enable(self, job: Job) -> None:
        if not job.enabled:
            self.enabled.add(job.class_path)
            self._add("enable", "", job, enabled=True)

    def chosen(self, where: str, choices: Iterable[JobChoice]) -> list[Job]:
        """Return the installed jobs that are chosen; say which are missing."""
        found: list[Job] = []
        for choice in choices:
            jobs = [job for job in self.jobs if getattr(job, choice.by) == choice.value]
            installed = [job for job in jobs if job.installed]
            if not installed:
                fact, hint = self._nothing(choice, gone=bool(jobs))
                self.problems.append(self.missing.problem(where, fact, hint))
            found += installed
        return list(dict.fromkeys(found))

    def _nothing(self, choice: JobChoice, *, gone: bool) -> tuple[str, str]:
        what = "job" if choice.by == "name" else f"job with the {choice.by}"
        what = f"{what} {echo(choice.value)}"
        if gone:
            hint = "Install the App that provides it, or remove it from the file."
            return f"the code of the {what} is not installed.", hint
        known = sorted({getattr(job, choice.by) for job in self.jobs if job.installed})
        near = nearest_ones(choice.value, known, 3)
        hint = f"Is it {one_of(map(repr, near))}?" if near else "Correct the file."
        return f"there is no {what}.", hint

    def _override(self, job: Job, *, wanted: bool) -> None:
        if job.overridden != wanted:
            verb = KEEP_QUEUES if wanted else "leave the queues to the class of"
            self._add(verb, "", job, job_queues_override=wanted)

    def _add(self, verb: str, queue: str, job: Job, **fields: Any) -> None:
        self.steps.append(Step(verb, queue, job.name, job.class_path, fields))
