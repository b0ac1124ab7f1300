"""The wanted job queues: what a file says, in the own form or that of the chart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import encodable
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


# What a value is that is not of this kind.
_OTHERWISE = {
    dict: "no mapping",
    list: "no list",
    str: "no text",
    bool: "neither true nor false",
    int: "no whole number",
}

Fields = Mapping[Any, Any]
Value = TypeVar("Value")

_NO_FIELDS: Fields = {}
_NO_ITEMS: list[Any] = []


class Malformed(Exception):
    """The file cannot be taken as YAML; says where and why."""


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
        problems: Collects what is wrong with it.
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
    reader = _Reader()
    wishes = Wishes()
    try:
        if path.endswith(".json"):
            content = read_json_object(path, text, problems)
        else:
            # Nautobot's image has PyYAML; a plain Python may not.
            from understack_nautobot_settings.queues.strict_yaml import yaml_content

            content = yaml_content(text)
        if not problems:
            wishes = reader.wishes(content)
    except ModuleNotFoundError:
        fact = "is read as YAML, which needs PyYAML."
        hint = "Install pyyaml, or write the file as JSON, NAME.json."
        problems.append(codes.QUEUE_FILE_UNREADABLE.problem(path, fact, hint))
    except Malformed as malformed:
        reader.faults.append(str(malformed))
    if not reader.faults:
        return wishes
    facts = " ".join(reader.faults)
    problems.append(codes.QUEUE_FILE_INVALID.problem(path, facts, _FORM))
    return Wishes()


class _Reader:
    """Reads the content of a file, and keeps what is wrong in any part of it."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def wishes(self, content: Any) -> Wishes:
        content = self.checked(content, "the file", _NO_FIELDS)
        if "jobs" in content or isinstance(content.get("queues"), list):
            return self.chart(content)
        queues = self.fields(content, "the file", "queues").get("queues")
        if self.faults:
            return Wishes()
        queues = self.checked(queues, "queues", _NO_FIELDS)
        return Wishes(tuple(self.queue(*one) for one in queues.items()))

    def queue(self, name: Any, wish: Any) -> QueueWish:
        where = f"queues.{name}"
        queue = self.queue_name(name, where)
        wish = {} if wish is None else wish
        fields = self.fields(wish, where, "description", "existing", "jobs")
        existing = fields.get("existing", KEEP)
        if existing not in (KEEP, REPLACE):
            self.faults.append(f"{where}.existing is neither {KEEP} nor {REPLACE}.")
        description = fields.get("description")
        if description is not None:
            # The REST API strips blanks, and the description would always differ.
            description = self.checked(description, f"{where}.description", "").strip()
            if "\0" in description or not encodable(description):
                fact = f"{where}.description holds a NUL or half a character."
                self.faults.append(fact)
        jobs = (self.choice(*one) for one in self.items(fields, where, "jobs"))
        return QueueWish(queue, description, existing, tuple(jobs))

    def choice(self, job: Any, where: str) -> JobChoice:
        job = {"name": job} if isinstance(job, str) else job
        fields = self.fields(job, where, *SELECTORS, "enable")
        chosen = {by: fields[by] for by in SELECTORS if fields.get(by)}
        by, value = next(iter(chosen.items()), ("", None))
        if fields is job and not (len(chosen) == 1 and isinstance(value, str)):
            self.faults.append(f"{where} needs one of {one_of(SELECTORS)}.")
        enable = self.value(fields, where, "enable", default=False)
        return JobChoice(by, value or "", enable)

    # --- the values of UnderStack's chart ---

    def chart(self, content: Fields) -> Wishes:
        # How the chart reaches Nautobot is not for this file to say.
        known = ("queues", "jobs", "api", "dbPasswordSecretRef", *_POLICY)
        content = self.fields(content, "the file", *known)
        jobs = self.value(content, "", "jobs", default=_NO_FIELDS)
        jobs = self.fields(jobs, "jobs", "enable", "queueAssignments", *_POLICY)
        policy = {**content, **jobs}
        wait = self.value(policy, "", "waitFor", default=_NO_FIELDS)
        wait = self.fields(wait, "waitFor", "attempts", "delaySeconds")
        enable = jobs.get("enable") or []
        if isinstance(enable, list):
            enable = {"names": enable}
        assignments = self.items(jobs, "jobs", "queueAssignments")
        return Wishes(
            tuple(map(QueueWish, self.queue_names(content, ""))),
            self.choices(self.fields(enable, "jobs.enable", *_CHOICES), "jobs.enable"),
            tuple(self.assignment(*one) for one in assignments),
            self.value(policy, "jobs", "failOnMissing", default=True),
            self.number(wait, "attempts", 1, 1000),
            self.number(wait, "delaySeconds", 0, 3600),
        )

    def assignment(self, value: Any, where: str) -> Assignment:
        known = (*_CHOICES, "queues", "includeExistingQueues", "override")
        fields = self.fields(value, where, *known)
        chosen = any(fields.get(name) for name in _CHOICES)
        if fields is value and not (chosen and fields.get("queues")):
            fact = f"{where} needs queues, and job, names or groupings."
            self.faults.append(fact)
        keep = self.value(fields, where, "includeExistingQueues", default=True)
        return Assignment(
            self.choices(fields, where),
            self.queue_names(fields, where),
            KEEP if keep else REPLACE,
            self.value(fields, where, "override", default=True),
        )

    def choices(self, fields: Fields, where: str) -> tuple[JobChoice, ...]:
        names = [fields[name] for name in ("job", "name") if name in fields]
        names += self.value(fields, where, "names", default=_NO_ITEMS)
        groupings = self.value(fields, where, "groupings", default=_NO_ITEMS)
        chosen = [("name", one) for one in names]
        chosen += [("grouping", one) for one in groupings]
        if not all(isinstance(value, str) and value for _, value in chosen):
            fact = f"{where} names a job or grouping that is no text."
            self.faults.append(fact)
            return ()
        return tuple(JobChoice(*one) for one in dict.fromkeys(chosen))

    def queue_names(self, fields: Fields, where: str) -> tuple[str, ...]:
        items = self.items(fields, where, "queues")
        return tuple(dict.fromkeys(self.queue_name(*one) for one in items))

    # --- one value ---

    def queue_name(self, name: Any, where: str) -> str:
        fact = ""
        if not isinstance(name, str):
            # YAML takes 1234 for a number, and no for false.
            fact = "is no text: put the name in quotes."
        elif not _QUEUE_NAME.fullmatch(name):
            fact = "is no name for a queue: letters, digits, '.', '_' and '-'."
        if fact:
            self.faults.append(f"{where} {fact}")
        return str(name)

    def number(self, fields: Fields, name: str, least: int, most: int) -> int:
        value = self.value(fields, "waitFor", name, default=least)
        if not least <= value <= most:
            self.faults.append(f"waitFor.{name} is not from {least} to {most}.")
        return value

    def fields(self, value: Any, where: str, *known: str) -> Fields:
        fields = self.checked(value, where, _NO_FIELDS)
        unknown = [echo(str(key)) for key in fields if key not in known]
        self.faults += [f"{where} has {key}, which is unknown." for key in unknown]
        return fields

    def items(self, fields: Fields, where: str, name: str) -> list[tuple[Any, str]]:
        """Return the items of a list, each with its place."""
        place = f"{where}.{name}".removeprefix(".")
        items = self.value(fields, where, name, default=_NO_ITEMS)
        return [(item, f"{place}[{index}]") for index, item in enumerate(items)]

    def value(self, fields: Fields, where: str, name: str, *, default: Value) -> Value:
        """Return a field, or the default, which tells of what kind it has to be."""
        place = f"{where}.{name}".removeprefix(".")
        value = fields.get(name)
        return default if value is None else self.checked(value, place, default)

    def checked(self, value: Any, where: str, default: Value) -> Value:
        # A truth value is also an int.
        if type(value) is type(default):
            found: Value = value
            return found
        self.faults.append(f"{where} is {_OTHERWISE[type(default)]}.")
        return default


_POLICY = ("failOnMissing", "waitFor")
_CHOICES = ("job", "name", "names", "groupings")
