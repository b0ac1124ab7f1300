"""Which jobs each site's queue takes: the wanted state, and how to get there; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes

CREATE_QUEUE = "create queue"
DESCRIBE_QUEUE = "describe queue"
ALLOW_JOB = "allow"
DISALLOW_JOB = "no longer allow"
ENABLE_JOB = "enable"

KEEP = "keep"
REPLACE = "replace"
SELECTORS = ("name", "grouping", "class_path")
CELERY = "celery"

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_FORM = (
    "Write queues: {<site>: {jobs: [{name: <job>}, {grouping: <grouping>}]}}; a queue "
    "also takes description and existing: keep or replace, a job also enable."
)


class JobChoice(NamedTuple):
    """One or more jobs, as the file chooses them.

    Attributes:
        by: One of `SELECTORS`.
        value: The job's name, grouping, or module and class.
        enable: True where the jobs are to be enabled as well.
    """

    by: str
    value: str
    enable: bool


class QueueWish(NamedTuple):
    """The wanted state of one queue.

    Attributes:
        name: Name of the queue: the partition of the site.
        description: Its description; None to leave it alone.
        existing: `KEEP` or `REPLACE` the jobs it takes now.
        jobs: The jobs it is to take.
    """

    name: str
    description: str | None
    existing: str
    jobs: tuple[JobChoice, ...]


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
    """

    name: str
    grouping: str
    class_path: str
    installed: bool
    enabled: bool
    queues: frozenset[str]
    default_queue: str


class Queue(NamedTuple):
    """A queue as Nautobot has it."""

    name: str
    queue_type: str
    description: str


class QueueStep(NamedTuple):
    """One change, as it is reported and carried out.

    Attributes:
        verb: One of the constants of this module.
        queue: Name of the queue; empty for `ENABLE_JOB`.
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


class _Malformed(Exception):
    """The file does not have the form; says where and why."""


def read_wishes(path: str, text: str, *, problems: list[Problem]) -> list[QueueWish]:
    """Return the wanted state that a file describes.

    Args:
        path: The file, for messages; ``.json`` is read as JSON, any other as YAML.
        text: Its content.
        problems: Collects what is wrong with it, at most one problem.

    Returns:
        The queues in the order of the file.
    """
    try:
        if not path.endswith(".json"):
            return list(_wishes(_yaml(text)))
        content = read_json_object(path, text, problems)
        return [] if content is None else list(_wishes(content))
    except _Malformed as malformed:
        problems.append(codes.QUEUE_FILE_INVALID.problem(path, str(malformed), _FORM))
        return []


def queue_steps(
    wishes: Iterable[QueueWish],
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
    there = {queue.name: queue for queue in queues}
    steps: dict[QueueStep, None] = {}
    for wish in wishes:
        queue = there.get(wish.name)
        if queue is not None and queue.queue_type != CELERY:
            problems.append(
                codes.QUEUE_NOT_CELERY.problem(
                    wish.name,
                    f"the queue exists and is of type {queue.queue_type!r}.",
                    "Remove that queue, or choose another name.",
                )
            )
            continue
        steps |= dict.fromkeys(_queue_steps(wish, queue))
        steps |= dict.fromkeys(_job_steps(wish, jobs, problems))
    return list(steps)


def _queue_steps(wish: QueueWish, queue: Queue | None) -> Iterator[QueueStep]:
    if queue is None:
        yield QueueStep(CREATE_QUEUE, wish.name)
    if wish.description and (queue is None or queue.description != wish.description):
        yield QueueStep(DESCRIBE_QUEUE, wish.name, detail=wish.description)


def _job_steps(
    wish: QueueWish, jobs: Sequence[Job], problems: list[Problem]
) -> Iterator[QueueStep]:
    wanted: dict[str, Job] = {}
    for choice in wish.jobs:
        chosen = [job for job in jobs if getattr(job, choice.by) == choice.value]
        usable = [job for job in chosen if job.installed]
        if not usable:
            problems.append(_no_such_job(wish, choice, chosen, jobs))
        for job in usable:
            wanted[job.class_path] = job
            if choice.enable and not job.enabled:
                yield QueueStep(ENABLE_JOB, "", job.class_path, job.name)
    for job in wanted.values():
        if wish.name not in job.queues:
            yield QueueStep(ALLOW_JOB, wish.name, job.class_path, job.name)
    if wish.existing == KEEP:
        return
    for job in jobs:
        if wish.name not in job.queues or job.class_path in wanted:
            continue
        if job.default_queue == wish.name:
            problems.append(
                codes.QUEUE_IS_DEFAULT.problem(
                    wish.name,
                    f"the queue is the default queue of the job {job.name!r}.",
                    "Give the job another default queue first, or list it.",
                )
            )
        else:
            yield QueueStep(DISALLOW_JOB, wish.name, job.class_path, job.name)


def _no_such_job(
    wish: QueueWish, choice: JobChoice, chosen: Sequence[Job], jobs: Sequence[Job]
) -> Problem:
    from difflib import get_close_matches

    what = "job" if choice.by == "name" else f"job with the {choice.by}"
    if chosen:
        return codes.QUEUE_JOB_MISSING.problem(
            wish.name,
            f"the code of the {what} {echo(choice.value)} is not installed.",
            "Install the App that provides it, or remove it from the file.",
        )
    known = sorted({getattr(job, choice.by) for job in jobs if job.installed})
    near = get_close_matches(choice.value, known, n=3)
    offer = f"Is it {one_of(map(repr, near))}?" if near else "Correct the file."
    return codes.QUEUE_JOB_MISSING.problem(
        wish.name, f"there is no {what} {echo(choice.value)}.", offer
    )


def _yaml(text: str) -> Any:
    """Return what YAML says; a key that is there twice is an error, not the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML without surprises."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Refuse what a dict would drop."""
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = sorted({str(key) for key in keys if keys.count(key) > 1})
            if twice:
                line = node.start_mark.line + 1
                raise _Malformed(f"{echo(twice[0])} is there twice, from line {line}.")
            return super().construct_mapping(node, deep)

    place = ""
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            place = f" from line {mark.line + 1}, column {mark.column + 1}"
    raise _Malformed(f"is not YAML{place}.")


def _wishes(content: Any) -> Iterator[QueueWish]:
    queues = _fields(content, "the file", ("queues",)).get("queues")
    for name, wish in _mapping(queues, "queues").items():
        where = f"queues.{name}"
        if not isinstance(name, str) or not _QUEUE_NAME.fullmatch(name):
            raise _Malformed(
                f"{where} is no name for a queue: letters, digits, '.', '_' and '-'."
            )
        fields = _fields(wish or {}, where, ("description", "existing", "jobs"))
        existing = fields.get("existing", KEEP)
        if existing not in (KEEP, REPLACE):
            raise _Malformed(f"{where}.existing is neither {KEEP} nor {REPLACE}.")
        description = fields.get("description")
        if not isinstance(description, str | None):
            raise _Malformed(f"{where}.description is no text.")
        jobs = fields.get("jobs") or []
        if not isinstance(jobs, list):
            raise _Malformed(f"{where}.jobs is no list.")
        choices = (
            _choice(job, f"{where}.jobs[{index}]") for index, job in enumerate(jobs)
        )
        yield QueueWish(name, description, existing, tuple(choices))


def _choice(job: Any, where: str) -> JobChoice:
    fields = (
        {"name": job}
        if isinstance(job, str)
        else _fields(job, where, (*SELECTORS, "enable"))
    )
    chosen = [by for by in SELECTORS if fields.get(by)]
    if len(chosen) != 1 or not isinstance(fields[chosen[0]], str):
        raise _Malformed(f"{where} needs one of {one_of(SELECTORS)}.")
    enable = fields.get("enable", False)
    if not isinstance(enable, bool):
        raise _Malformed(f"{where}.enable is neither true nor false.")
    return JobChoice(chosen[0], fields[chosen[0]], enable)


def _fields(value: Any, where: str, known: Sequence[str]) -> Mapping[str, Any]:
    fields = _mapping(value, where)
    for key in fields:
        if key not in known:
            raise _Malformed(f"{where} has {echo(str(key))}, which is unknown.")
    return fields


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Malformed(f"{where} is no mapping.")
    return value
