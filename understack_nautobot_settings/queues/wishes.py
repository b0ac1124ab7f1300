"""The wanted job queues: what a file says, in the own form or that of the chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import read_text

KEEP = "keep"
REPLACE = "replace"
SELECTORS = ("name", "grouping", "class_path")

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_FORM = (
    "Write queues: {<site>: {jobs: [{name: <job>}, {grouping: <grouping>}]}}; a queue "
    "also takes description and existing: keep or replace, a job also enable. Or "
    "write the values of UnderStack's chart: queues: [<site>], jobs: {enable, "
    "queueAssignments, failOnMissing, waitFor}."
)


class Malformed(Exception):
    """The file does not have the form; says where and why."""


class JobChoice(NamedTuple):
    """The jobs of which the field ``by``, one of `SELECTORS`, has this value."""

    by: str
    value: str
    enable: bool = False


class QueueWish(NamedTuple):
    """The wanted state of one queue.

    Attributes:
        name: Name of the queue: the partition of the site, or the site.
        description: Its description; None to leave it alone.
        existing: `KEEP` or `REPLACE` the jobs it takes now.
    """

    name: str
    description: str | None = None
    existing: str = KEEP
    jobs: tuple[JobChoice, ...] = ()


class Assignment(NamedTuple):
    """The queues that some jobs are to be allowed on, as the chart writes it.

    Attributes:
        queues: Names of queues; none is created for this.
        existing: `KEEP` or `REPLACE` the queues the jobs are allowed on now; their
            default queue always stays.
        override: Whether Nautobot keeps these queues when it reads the job's class.
    """

    jobs: tuple[JobChoice, ...]
    queues: tuple[str, ...]
    existing: str = KEEP
    override: bool = True


class Wishes(NamedTuple):
    """What a file wants.

    Attributes:
        enable: Jobs to enable.
        fail_on_missing: False where a missing job is only a warning.
        attempts: How often to look for the jobs.
        delay: Seconds between two looks.
    """

    queues: tuple[QueueWish, ...] = ()
    enable: tuple[JobChoice, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    fail_on_missing: bool = True
    attempts: int = 1
    delay: int = 0


def read_wishes(path: str, *, problems: list[Problem]) -> Wishes:
    """Return the wanted state that a file describes.

    Args:
        path: The file; ``.json`` is read as JSON, any other as YAML.
        problems: Collects what is wrong with it, at most one problem.
    """
    text = ""
    try:
        text = read_text(path)
    except FileRefused as refused:
        if refused.reason is not Reason.EMPTY:
            fact = f"{refused.words}."
            problems.append(codes.QUEUE_FILE_UNREADABLE.problem(path, fact))
            return Wishes()
    return wishes_in(path, text, problems=problems)


def wishes_in(path: str, text: str, *, problems: list[Problem]) -> Wishes:
    """Return the wanted state that the text of a file describes; see `read_wishes`."""
    try:
        if not path.endswith(".json"):
            # Nautobot's image has PyYAML; a plain Python may not.
            from understack_nautobot_settings.queues.strict_yaml import yaml_content

            return _wishes(yaml_content(text))
        content = read_json_object(path, text, problems)
        return Wishes() if content is None else _wishes(content)
    except ModuleNotFoundError:
        fact = "is read as YAML, which needs PyYAML."
        hint = "Install pyyaml, or write the file as JSON, NAME.json."
        problems.append(codes.QUEUE_FILE_UNREADABLE.problem(path, fact, hint))
        return Wishes()
    except Malformed as malformed:
        problems.append(codes.QUEUE_FILE_INVALID.problem(path, str(malformed), _FORM))
        return Wishes()


def _wishes(content: Any) -> Wishes:
    content = _mapping(content, "the file")
    if "jobs" in content or isinstance(content.get("queues"), list):
        return _chart_wishes(content)
    queues = _mapping(_fields(content, "the file", ("queues",)).get("queues"), "queues")
    return Wishes(tuple(_queue_wish(*one) for one in queues.items()))


def _queue_wish(name: Any, wish: Any) -> QueueWish:
    where = f"queues.{name}"
    queue = _queue_name(name, where)
    fields = _fields(wish or {}, where, ("description", "existing", "jobs"))
    existing = fields.get("existing", KEEP)
    if existing not in (KEEP, REPLACE):
        raise Malformed(f"{where}.existing is neither {KEEP} nor {REPLACE}.")
    description = fields.get("description")
    if not isinstance(description, str | None):
        raise Malformed(f"{where}.description is no text.")
    jobs = _list(fields, "jobs", where)
    choices = (_choice(job, f"{where}.jobs[{i}]") for i, job in enumerate(jobs))
    return QueueWish(queue, description, existing, tuple(choices))


def _choice(job: Any, where: str) -> JobChoice:
    job = {"name": job} if isinstance(job, str) else job
    fields = _fields(job, where, (*SELECTORS, "enable"))
    chosen = [by for by in SELECTORS if fields.get(by)]
    if len(chosen) != 1 or not isinstance(fields[chosen[0]], str):
        raise Malformed(f"{where} needs one of {one_of(SELECTORS)}.")
    enable = _truth(fields, "enable", where, default=False)
    return JobChoice(chosen[0], fields[chosen[0]], enable)


# --- the values of UnderStack's chart -------------------------------------------


def _chart_wishes(content: Mapping[str, Any]) -> Wishes:
    # How the chart reaches Nautobot is not for this file to say.
    known = ("queues", "jobs", "api", "dbPasswordSecretRef", *_POLICY)
    content = _fields(content, "the file", known)
    jobs = _fields(
        content.get("jobs") or {}, "jobs", ("enable", "queueAssignments", *_POLICY)
    )
    policy = {**content, **jobs}
    names = [
        _queue_name(name, f"queues[{index}]")
        for index, name in enumerate(_list(content, "queues", "the file"))
    ]
    wait = _fields(policy.get("waitFor") or {}, "waitFor", ("attempts", "delaySeconds"))
    enable = jobs.get("enable") or []
    if isinstance(enable, list):
        enable = {"names": enable}
    return Wishes(
        tuple(QueueWish(name) for name in dict.fromkeys(names)),
        _choices(_fields(enable, "jobs.enable", _CHOICES), "jobs.enable"),
        tuple(
            _assignment(one, f"jobs.queueAssignments[{index}]")
            for index, one in enumerate(_list(jobs, "queueAssignments", "jobs"))
        ),
        _truth(policy, "failOnMissing", "jobs", default=True),
        _number(wait, "attempts", 1, 1000),
        _number(wait, "delaySeconds", 0, 3600),
    )


_POLICY = ("failOnMissing", "waitFor")
_CHOICES = ("job", "name", "names", "groupings")


def _assignment(value: Any, where: str) -> Assignment:
    known = (*_CHOICES, "queues", "includeExistingQueues", "override")
    fields = _fields(value, where, known)
    queues = [
        _queue_name(name, f"{where}.queues[{index}]")
        for index, name in enumerate(_list(fields, "queues", where))
    ]
    jobs = _choices(fields, where)
    if not queues or not jobs:
        raise Malformed(f"{where} needs queues, and job, names or groupings.")
    keep = _truth(fields, "includeExistingQueues", where, default=True)
    return Assignment(
        jobs,
        tuple(dict.fromkeys(queues)),
        KEEP if keep else REPLACE,
        _truth(fields, "override", where, default=True),
    )


def _choices(fields: Mapping[str, Any], where: str) -> tuple[JobChoice, ...]:
    single = [fields[name] for name in ("job", "name") if name in fields]
    chosen = [("name", one) for one in [*single, *_list(fields, "names", where)]]
    chosen += [("grouping", one) for one in _list(fields, "groupings", where)]
    for _, value in chosen:
        if not isinstance(value, str) or not value:
            raise Malformed(f"{where} names a job or grouping that is no text.")
    return tuple(JobChoice(by, value) for by, value in dict.fromkeys(chosen))


# --- one value -------------------------------------------------------------------


def _queue_name(name: Any, where: str) -> str:
    if not isinstance(name, str):
        # YAML takes 1234 for a number, and no for false.
        raise Malformed(f"{where} is no text: put the name in quotes.")
    if not _QUEUE_NAME.fullmatch(name):
        raise Malformed(
            f"{where} is no name for a queue: letters, digits, '.', '_' and '-'."
        )
    return name


def _list(fields: Mapping[str, Any], name: str, where: str) -> Sequence[Any]:
    value = fields.get(name) or []
    if not isinstance(value, list):
        raise Malformed(f"{where}.{name} is no list.")
    return value


def _truth(fields: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise Malformed(f"{where}.{name} is neither true nor false.")
    return value


def _number(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = fields.get(name, least)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"waitFor.{name} is no whole number.")
    if not least <= value <= most:
        raise Malformed(f"waitFor.{name} is not from {least} to {most}.")
    return value


def _fields(value: Any, where: str, known: Sequence[str]) -> Mapping[str, Any]:
    fields = _mapping(value, where)
    for key in fields:
        if key not in known:
            raise Malformed(f"{where} has {echo(str(key))}, which is unknown.")
    return fields


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{where} is no mapping.")
    return value
