"""The wanted job queues: what a file says, in the own form or that of the chart."""

import re
from collections.abc import Callable
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

Value = TypeVar("Value")


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
        content = self.checked(content, "the file", {})
        if "jobs" in content or isinstance(content.get("queues"), list):
            return self.chart(content)
        queues = self.fields(content, "the file", queues=None)["queues"]
        # A misspelt name is one mistake.
        queues = {} if self.faults else self.checked(queues, "queues", {})
        return Wishes(tuple(self.queue(*one) for one in queues.items()))

    def queue(self, name: Any, wish: Any) -> QueueWish:
        where = f"queues.{name}"
        queue = self.queue_name(name, where)
        fields = self.fields(wish, where, description=None, existing=KEEP, jobs=[])
        if fields["existing"] not in (KEEP, REPLACE):
            self.faults.append(f"{where}.existing is neither {KEEP} nor {REPLACE}.")
        description = fields["description"]
        if description is not None:
            # The REST API strips blanks, and the description would always differ.
            description = self.checked(description, f"{where}.description", "").strip()
            if "\0" in description or not encodable(description):
                fact = f"{where}.description holds a NUL or half a character."
                self.faults.append(fact)
        jobs = self.each(fields["jobs"], f"{where}.jobs", self.choice)
        return QueueWish(queue, description, fields["existing"], jobs)

    def choice(self, job: Any, where: str) -> JobChoice:
        job = {"name": job} if isinstance(job, str) else job
        so_far = len(self.faults)
        texts = dict.fromkeys(SELECTORS, "")
        fields = self.fields(job, where, **texts, enable=False)
        chosen = [by for by in SELECTORS if fields[by]]
        if len(chosen) != 1 and len(self.faults) == so_far:
            self.faults.append(f"{where} needs one of {one_of(SELECTORS)}.")
        by = "".join(chosen[:1])
        return JobChoice(by, fields.get(by, ""), fields["enable"])

    # --- the values of UnderStack's chart ---

    def chart(self, content: dict[str, Any]) -> Wishes:
        # How the chart reaches Nautobot is not for this file to say.
        known = dict.fromkeys(("api", "dbPasswordSecretRef", *_POLICY))
        content = self.fields(content, "the file", queues=[], jobs={}, **known)
        known = dict.fromkeys(("enable", *_POLICY))
        jobs = self.fields(content["jobs"], "jobs", queueAssignments=[], **known)
        policy = {
            name: content[name] if jobs[name] is None else jobs[name]
            for name in _POLICY
        }
        policy = self.fields(policy, "jobs", failOnMissing=True, waitFor={})
        wait = self.fields(policy["waitFor"], "waitFor", attempts=1, delaySeconds=0)
        for name, least, most in (("attempts", 1, 1000), ("delaySeconds", 0, 3600)):
            if not least <= wait[name] <= most:
                self.faults.append(f"waitFor.{name} is not from {least} to {most}.")
        enable = jobs["enable"]
        enable = {"names": enable} if isinstance(enable, list) else enable
        return Wishes(
            tuple(
                QueueWish(one) for one in self.queue_names(content["queues"], "queues")
            ),
            self.choices(self.fields(enable, "jobs.enable", **_CHOICES), "jobs.enable"),
            self.each(
                jobs["queueAssignments"], "jobs.queueAssignments", self.assignment
            ),
            policy["failOnMissing"],
            wait["attempts"],
            wait["delaySeconds"],
        )

    def assignment(self, value: Any, where: str) -> Assignment:
        so_far = len(self.faults)
        own = {"queues": [], "includeExistingQueues": True, "override": True}
        fields = self.fields(value, where, **_CHOICES, **own)
        jobs = self.choices(fields, where)
        if not (jobs and fields["queues"]) and len(self.faults) == so_far:
            fact = f"{where} needs queues, and job, names or groupings."
            self.faults.append(fact)
        return Assignment(
            jobs,
            self.queue_names(fields["queues"], f"{where}.queues"),
            KEEP if fields["includeExistingQueues"] else REPLACE,
            fields["override"],
        )

    def choices(self, fields: dict[str, Any], where: str) -> tuple[JobChoice, ...]:
        single = [fields[name] for name in ("job", "name") if fields[name]]
        chosen = [("name", one) for one in (*single, *fields["names"])]
        chosen += [("grouping", one) for one in fields["groupings"]]
        if not all(isinstance(value, str) and value for _, value in chosen):
            fact = f"{where} names a job or grouping that is no text."
            self.faults.append(fact)
            return ()
        return tuple(JobChoice(*one) for one in dict.fromkeys(chosen))

    def queue_names(self, names: list[Any], where: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.each(names, where, self.queue_name)))

    # --- one value ---

    def queue_name(self, name: Any, where: str) -> str:
        fact = ""
        if not isinstance(name, str):
            # YAML takes 1234 for a number, and no for false.
            fact = "is no text: put the name in quotes."
        elif not _QUEUE_NAME.fullmatch(name):
            fact = "is no name for a queue: use letters, digits, '.', '_' or '-'."
        if fact:
            self.faults.append(f"{where} {fact}")
        return str(name)

    def each(
        self, items: list[Any], where: str, read: Callable[[Any, str], Value]
    ) -> tuple[Value, ...]:
        return tuple(read(one, f"{where}[{index}]") for index, one in enumerate(items))

    def fields(self, value: Any, where: str, **defaults: Any) -> dict[str, Any]:
        """Return the fields of a mapping; a default tells of what kind its field is."""
        given = self.checked({} if value is None else value, where, {})
        unknown = [echo(str(name)) for name in given if name not in defaults]
        self.faults += [f"{where} has {name}, which is unknown." for name in unknown]
        found = dict(defaults)
        for name, default in defaults.items():
            place = f"{where}.{name}".removeprefix("the file.")
            if given.get(name) is not None:
                found[name] = self.checked(given[name], place, default)
        return found

    def checked(self, value: Any, where: str, default: Any) -> Any:
        # A truth value is also an int.
        if default is None or type(value) is type(default):
            return value
        self.faults.append(f"{where} is {_OTHERWISE[type(default)]}.")
        return default


_POLICY = ("failOnMissing", "waitFor")
_CHOICES: dict[str, Any] = {"job": "", "name": "", "names": [], "groupings": []}
