"""How to get from the jobs and queues that are there to those wanted; pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple
from typing import Protocol

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

CREATE_QUEUE = "create queue"
DESCRIBE_QUEUE = "describe queue"
ALLOW_JOB = "allow"
DISALLOW_JOB = "no longer allow"
ENABLE_JOB = "enable"
KEEP_QUEUES = "keep the queues set here for"
RELEASE_QUEUES = "leave the queues to the class of"
CELERY = "celery"


class Job(NamedTuple):
    """A job as Nautobot has it.

    Attributes:
        name: Its name, unique.
        grouping: The group that it is listed under.
        class_path: Module and class.
        installed: False where its code is gone.
        enabled: True where it may be run.
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


class QueueStep(NamedTuple):
    """One change, as it is reported and carried out.

    Attributes:
        verb: One of the constants of this module.
        queue: Name of the queue; empty for what is about the job alone.
        job: Module and class of the job; empty for the queue itself.
        detail: What the line shows beside them: the job's name, the description.
    """

    verb: str
    queue: str
    job: str = ""
    detail: str = ""

    def __str__(self) -> str:
        """Return the change as one line."""
        subject = f"{self.queue}: " if self.queue else ""
        return f"{subject}{self.verb}" + (f" {self.detail!r}" if self.detail else "")


class Backend(Protocol):
    """A Nautobot, by whatever way it is reached."""

    def queues(self) -> list[Queue]:
        """Return every queue that Nautobot has."""

    def jobs(self) -> list[Job]:
        """Return every job that Nautobot knows."""

    def apply(self, step: QueueStep) -> None:
        """Carry out one step."""

    def all_or_nothing(self) -> AbstractContextManager[object]:
        """Return what keeps the steps together, where that can be."""


def queue_steps(
    wishes: Wishes,
    jobs: Sequence[Job],
    queues: Iterable[Queue],
    *,
    problems: list[Problem],
) -> list[QueueStep]:
    """Return the changes that give each queue the jobs it is to take.

    Args:
        wishes: The wanted state.
        jobs: Every job that Nautobot knows.
        queues: Every queue that Nautobot has.
        problems: Collects why a wish cannot be granted.

    Returns:
        The steps in the order they have to be made; empty where nothing differs.
    """
    plan = _Plan(wishes, jobs, problems)
    there = {queue.name: queue for queue in queues}
    for wish in wishes.queues:
        queue = there.get(wish.name)
        if queue is not None and queue.queue_type != CELERY:
            problems.append(
                codes.QUEUE_NOT_CELERY.problem(
                    wish.name,
                    f"the queue exists and is of type {queue.queue_type!r}.",
                )
            )
            continue
        plan.queue(wish, queue)
        plan.jobs_of(wish)
    for job in plan.chosen("jobs.enable", wishes.enable):
        plan.enable(job)
    known = {*there, *(wish.name for wish in wishes.queues)}
    for assignment in wishes.assignments:
        missing = [name for name in assignment.queues if name not in known]
        problems.extend(
            codes.QUEUE_MISSING.problem(name, "there is no queue of that name.")
            for name in missing
        )
        if not missing:
            plan.assign(assignment)
    return list(plan.steps)


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


class _Plan:
    """The steps so far, in order, none of them twice."""

    def __init__(
        self, wishes: Wishes, jobs: Sequence[Job], problems: list[Problem]
    ) -> None:
        self.steps: dict[QueueStep, None] = {}
        self._fail = wishes.fail_on_missing
        self._jobs = jobs
        self._problems = problems

    def queue(self, wish: QueueWish, queue: Queue | None) -> None:
        if queue is None:
            self._add(CREATE_QUEUE, wish.name)
        described = queue is not None and queue.description == wish.description
        if wish.description and not described:
            self._add(DESCRIBE_QUEUE, wish.name, detail=wish.description)

    def jobs_of(self, wish: QueueWish) -> None:
        wanted: dict[str, Job] = {}
        for choice in wish.jobs:
            for job in self.chosen(wish.name, (choice,)):
                wanted[job.class_path] = job
                if choice.enable:
                    self.enable(job)
        for job in wanted.values():
            if wish.name not in job.queues:
                self._override(job, wanted=True)
                self._add(ALLOW_JOB, wish.name, job)
        for job in self._jobs if wish.existing == REPLACE else ():
            if wish.name not in job.queues or job.class_path in wanted:
                continue
            if job.default_queue == wish.name:
                self._problems.append(
                    codes.QUEUE_IS_DEFAULT.problem(
                        wish.name,
                        f"the queue is the default queue of the job {job.name!r}.",
                    )
                )
            else:
                self._override(job, wanted=True)
                self._add(DISALLOW_JOB, wish.name, job)

    def assign(self, assignment: Assignment) -> None:
        for job in self.chosen("jobs.queueAssignments", assignment.jobs):
            self._override(job, wanted=assignment.override)
            for name in assignment.queues:
                if name not in job.queues:
                    self._add(ALLOW_JOB, name, job)
            kept = {*assignment.queues, job.default_queue}
            if assignment.existing == REPLACE:
                for name in sorted(job.queues - kept):
                    self._add(DISALLOW_JOB, name, job)

    def enable(self, job: Job) -> None:
        if not job.enabled:
            self._add(ENABLE_JOB, "", job)

    def chosen(self, where: str, choices: Iterable[JobChoice]) -> list[Job]:
        """Return the installed jobs that are chosen; say which are missing."""
        found: list[Job] = []
        for choice in choices:
            jobs = [
                job for job in self._jobs if getattr(job, choice.by) == choice.value
            ]
            installed = [job for job in jobs if job.installed]
            if not installed:
                code = (
                    codes.QUEUE_JOB_MISSING if self._fail else codes.QUEUE_JOB_SKIPPED
                )
                self._problems.append(
                    _no_such_job(code, where, choice, jobs, self._jobs)
                )
            found += installed
        return list(dict.fromkeys(found))

    def _override(self, job: Job, *, wanted: bool) -> None:
        if job.overridden != wanted:
            self._add(KEEP_QUEUES if wanted else RELEASE_QUEUES, "", job)

    def _add(
        self, verb: str, queue: str, job: Job | None = None, detail: str = ""
    ) -> None:
        step = (
            QueueStep(verb, queue, detail=detail)
            if job is None
            else QueueStep(verb, queue, job.class_path, job.name)
        )
        self.steps[step] = None


def _no_such_job(
    code: Code,
    where: str,
    choice: JobChoice,
    chosen: Sequence[Job],
    jobs: Sequence[Job],
) -> Problem:
    what = "job" if choice.by == "name" else f"job with the {choice.by}"
    if chosen:
        return code.problem(
            where,
            f"the code of the {what} {echo(choice.value)} is not installed.",
            "Install the App that provides it, or remove it from the file.",
        )
    known = sorted({getattr(job, choice.by) for job in jobs if job.installed})
    near = nearest_ones(choice.value, known, 3)
    offer = f"Is it {one_of(map(repr, near))}?" if near else "Correct the file."
    return code.problem(where, f"there is no {what} {echo(choice.value)}.", offer)
