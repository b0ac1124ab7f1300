"""The result backend of the profile wan, against the database it writes to."""

import uuid

import pytest
from celery._state import _task_stack
from celery.app.task import Context
from celery.exceptions import Reject
from django.db import IntegrityError
from django.db import OperationalError
from django.db import connection
from django.db import transaction
from nautobot.core.celery import app
from nautobot.extras.models import JobResult

from understack_nautobot_settings.runtime.job_results import JobResultBackend

pytestmark = pytest.mark.django_db(databases=["default", "job_logs"], transaction=True)


@pytest.fixture
def backend():
    """The backend as Celery makes it from the settings of the example."""
    assert type(app.backend) is JobResultBackend
    return app.backend


@pytest.fixture
def job():
    """A job that waits in its queue."""
    created = JobResult.objects.create(name="job", id=uuid.uuid4())
    yield created
    created.delete()


@pytest.fixture
def store(backend):
    """Store a state as Celery does: with the request that a worker was handed."""

    def storing(task_id, result, state):
        handed = Context(
            id=task_id,
            task="nautobot.extras.jobs.run_job",
            args=["a.module.Job"],
            kwargs={},
            properties={},
            hostname="celery@pod",
            delivery_info={"routing_key": "site-a"},
            called_directly=False,
        )
        return backend.store_result(task_id, result, state, request=handed)

    return storing


@pytest.fixture
def running(job):
    """Be a worker that runs a task."""
    task = app.tasks["nautobot.extras.jobs.run_job"]
    _task_stack.push(task)
    task.request_stack.push(Context(id=str(job.pk), called_directly=False))
    yield task
    task.request_stack.pop()
    _task_stack.pop()


def status(job):
    job.refresh_from_db()
    return job.status


def lose_the_connection():
    """End the session below Django, as a gateway does."""
    connection.ensure_connection()
    connection.connection.close()


def test_the_state_of_a_job_survives_a_lost_connection(store, job):
    lose_the_connection()

    store(str(job.pk), "done", "SUCCESS")

    assert status(job) == "SUCCESS"


def test_a_job_starts_once(store, job, running):
    store(str(job.pk), None, "STARTED")
    assert status(job) == "STARTED"
    job.status = "SUCCESS"
    job.save()

    with pytest.raises(Reject):
        store(str(job.pk), None, "STARTED")

    assert status(job) == "SUCCESS"


def test_a_start_that_is_being_stored_by_somebody_else_is_refused(store, job, running):
    JobResult.objects.filter(pk=job.pk).update(status="STARTED", worker="other 1")

    with pytest.raises(Reject):
        store(str(job.pk), None, "STARTED")


def test_a_start_whose_answer_was_lost_is_still_ours(backend, store, job, running):
    backend._claim(str(job.pk))
    lose_the_connection()

    store(str(job.pk), None, "STARTED")

    assert status(job) == "STARTED"


def test_a_task_that_is_no_job_has_no_record_before_it_starts(store, running):
    task = str(uuid.uuid4())

    store(task, None, "STARTED")

    JobResult.objects.get(pk=task).delete()


def test_the_refusal_of_a_second_copy_is_no_state(store, job):
    """Some releases of Celery would store it as a failure."""
    store(str(job.pk), Reject("started before"), "FAILURE")

    assert status(job) == "PENDING"


def test_half_a_transaction_is_nothing_to_try_again(backend):
    with transaction.atomic():
        assert not backend.exception_safe_to_retry(OperationalError("gone"))


def test_what_no_connection_can_mend_is_not_tried_again(backend):
    assert not backend.exception_safe_to_retry(IntegrityError("twice"))
