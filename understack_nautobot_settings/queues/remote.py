"""Jobs and queues of a Nautobot that is reached over its REST API."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextlib import nullcontext
from typing import Any

from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.rest import Record
from understack_nautobot_settings.accounts.rest import RestApi
from understack_nautobot_settings.accounts.rest import checked
from understack_nautobot_settings.accounts.rest import field
from understack_nautobot_settings.accounts.rest import place
from understack_nautobot_settings.queues import plan
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import Queue

QUEUES = "extras/job-queues/"
JOBS = "extras/jobs/"
ASSIGNMENTS = "extras/job-queue-assignments/"


class RemoteQueues:
    """Jobs and queues through the REST API."""

    def __init__(self, api: RestApi) -> None:
        """Take an API whose token may view and change jobs and their queues."""
        self._api = api
        self._queues: dict[str, str] = {}
        self._jobs: dict[str, str] = {}

    def queues(self) -> list[Queue]:
        """Return every queue that Nautobot has."""
        found = self._api.records(QUEUES)
        self._queues = {field(one, "name", str): field(one, "id", str) for one in found}
        return [
            Queue(
                field(one, "name", str),
                str(checked(_choice(one.get("queue_type")), str)),
                field(one, "description", str),
            )
            for one in found
        ]

    def jobs(self) -> list[Job]:
        """Return every job that Nautobot knows."""
        self.queues()
        names = {key: name for name, key in self._queues.items()}
        found = self._api.records(JOBS)
        self._jobs = {_class_path(one): field(one, "id", str) for one in found}
        return [
            Job(
                field(one, "name", str),
                field(one, "grouping", str),
                _class_path(one),
                field(one, "installed", bool),
                field(one, "enabled", bool),
                frozenset(
                    names.get(_key(queue), "")
                    for queue in field(one, "job_queues", list)
                ),
                names.get(_key(one.get("default_job_queue")), ""),
                field(one, "job_queues_override", bool),
            )
            for one in found
        ]

    def apply(self, step: Step) -> None:
        """Carry out one step."""
        fields = plan.changed_fields(step)
        if step.verb == plan.CREATE_QUEUE:
            self._queues[step.subject] = _key(self._api.change("POST", QUEUES, fields))
        elif step.verb in (plan.ALLOW_JOB, plan.DISALLOW_JOB):
            self._assign(step)
        elif step.key:
            self._api.change("PATCH", place(JOBS, self._jobs[step.key]), fields)
        else:
            self._api.change("PATCH", place(QUEUES, self._queues[step.subject]), fields)

    def all_or_nothing(self) -> AbstractContextManager[object]:
        """Return nothing that helps: the REST API has no transactions."""
        return nullcontext()

    def _assign(self, step: Step) -> None:
        both = {"job": self._jobs[step.key], "job_queue": self._queues[step.subject]}
        there = [
            one
            for one in self._api.records(ASSIGNMENTS, both)
            if all(_key(one.get(name)) == key for name, key in both.items())
        ]
        if step.verb == plan.ALLOW_JOB and not there:
            body = {name: {"id": key} for name, key in both.items()}
            self._api.change("POST", ASSIGNMENTS, body)
        elif step.verb == plan.DISALLOW_JOB:
            for one in there:
                self._api.change("DELETE", place(ASSIGNMENTS, one.get("id")))


def _class_path(job: Record) -> str:
    return f"{field(job, 'module_name', str)}.{field(job, 'job_class_name', str)}"


def _key(reference: Any) -> str:
    """Return the id of a related record."""
    return field(checked(reference, dict), "id", str)


def _choice(value: Any) -> Any:
    """Return a value out of a list of choices, which the API gives with its label."""
    return value.get("value") if isinstance(value, dict) else value
