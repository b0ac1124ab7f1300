"""Jobs and queues of a Nautobot that is reached over its REST API."""

from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.queues import plan
from understack_nautobot_settings.reconciliation import rest
from understack_nautobot_settings.reconciliation.steps import Backend
from understack_nautobot_settings.reconciliation.steps import Step

QUEUES = "extras/job-queues/"
JOBS = "extras/jobs/"
ASSIGNMENTS = "extras/job-queue-assignments/"


class RemoteQueues(Backend):
    """Jobs and queues through the REST API."""

    def __init__(self, api: rest.RestApi) -> None:
        """Take an API whose token may view and change jobs and their queues."""
        self._api = api
        self._queues: dict[str, str] = {}
        self._jobs: dict[str, str] = {}

    def jobs_and_queues(self) -> tuple[list[plan.Job], list[plan.Queue]]:
        """Return every job that Nautobot knows, and every queue that it has."""
        queues = self._api.records(QUEUES)
        jobs = self._api.records(JOBS)
        self._queues = {rest.field(one, "name", str): _key(one) for one in queues}
        self._jobs = {_class_path(one): _key(one) for one in jobs}
        names = {key: name for name, key in self._queues.items()}
        return [_job(one, names) for one in jobs], [
            plan.Queue(
                rest.field(one, "name", str),
                str(rest.checked(_choice(one.get("queue_type")), str)),
                rest.field(one, "description", str),
            )
            for one in queues
        ]

    def apply(self, step: Step) -> None:
        """Make one step; raise `Refused` with the reason."""
        if step.verb == plan.CREATE_QUEUE:
            made = self._api.change("POST", QUEUES, step.fields)
            self._queues[step.subject] = _key(made)
        elif step.verb in (plan.ALLOW_JOB, plan.DISALLOW_JOB):
            self._assign(step)
        elif step.key:
            self._api.change(
                "PATCH", rest.record_path(JOBS, self._jobs[step.key]), step.fields
            )
        else:
            path = rest.record_path(QUEUES, self._queues[step.subject])
            self._api.change("PATCH", path, step.fields)

    def _assign(self, step: Step) -> None:
        queue = self._queues.get(step.subject, step.subject)
        both = {"job": self._jobs[step.key], "job_queue": queue}
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
                self._api.change("DELETE", rest.record_path(ASSIGNMENTS, one.get("id")))


def _job(record: rest.Record, queues: Mapping[str, str]) -> plan.Job:
    # A queue that is hidden from the user of the token goes by its id.
    keys = [_key(one) for one in rest.field(record, "job_queues", list)]
    default = _key(record.get("default_job_queue"))
    return plan.Job(
        rest.field(record, "name", str),
        rest.field(record, "grouping", str),
        _class_path(record),
        rest.field(record, "installed", bool),
        rest.field(record, "enabled", bool),
        frozenset(queues.get(key, key) for key in keys),
        queues.get(default, default),
        rest.field(record, "job_queues_override", bool),
    )


def _class_path(job: rest.Record) -> str:
    module = rest.field(job, "module_name", str)
    return f"{module}.{rest.field(job, 'job_class_name', str)}"


def _key(reference: Any) -> str:
    return rest.field(rest.checked(reference, dict), "id", str)


def _choice(value: Any) -> Any:
    """Return a value out of a list of choices, which the API gives with its label."""
    return value.get("value") if isinstance(value, dict) else value
