"""The result backend of the profile wan, against the database it writes to."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from billiard import Process
from billiard import Queue
from celery._state import _task_stack
from celery.app.task import Context
from django.db import IntegrityError
from django.db import InterfaceError
from django.db import OperationalError
from django.db import connection
from django.db import connections
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


@contextmanager
def task_of(job):
    """Run a task in this thread, as a worker does."""
    task = app.tasks["nautobot.extras.jobs.run_job"]
    _task_stack.push(task)
    task.request_stack.push(Context(id=str(job.pk), called_directly=False))
    yield
    task.request_stack.pop()
    _task_stack.pop()


@pytest.fixture
def running(job):
    """Be a worker that runs a task."""
    with task_of(job):
        yield


def status(job):
    job.refresh_from_db()
    return job.status


def lose_the_connection():
    """End the session below Django, as a gateway does."""
    connection.ensure_connection()
    connection.connection.close()


@pytest.fixture
def in_a_pool():
    """Return what runs something in a process of its own, as the prefork pool does."""

    def run(function):
        # What two processes share, each would end for the other.
        connections.close_all()
        answers = Queue()
        process = Process(target=lambda: answers.put(function()))
        process.start()
        answer = answers.get(timeout=60)
        process.join()
        return answer

    return run


def test_job_state_after_lost_connection_is_stored(store, job):
    """The thread of a job waits; the result is stored over a new connection."""

    def lose_and_store():
        with task_of(job):
            lose_the_connection()
            store(str(job.pk), "done", "SUCCESS")
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lose_and_store).result(60)

    assert status(job) == "SUCCESS"


def test_main_process_without_database_does_not_wait(store, job):
    """It has heartbeats to send: a hard time limit is stored at once or not at all."""
    lose_the_connection()

    with pytest.raises((InterfaceError, OperationalError)):
        store(str(job.pk), "killed", "FAILURE")
    connection.close()


def test_solo_pool_job_without_database_does_not_wait(backend, running):
    """It runs in the main process."""
    assert not backend.exception_safe_to_retry(OperationalError("gone"))


def test_prefork_process_without_database_waits(backend, running, in_a_pool):
    assert in_a_pool(lambda: backend.exception_safe_to_retry(OperationalError("gone")))


def test_process_without_task_does_not_wait_for_the_database(backend, in_a_pool):
    gone = OperationalError("gone")

    assert not in_a_pool(lambda: backend.exception_safe_to_retry(gone))


def test_job_started_again_is_stored_as_started(store, job):
    """A retry, and `self.replace()`, start one id more than once."""
    for state in ("STARTED", "RETRY", "STARTED", "SUCCESS", "STARTED"):
        store(str(job.pk), None, state)

    assert status(job) == "STARTED"


def test_open_transaction_is_not_tried_again(backend, running, in_a_pool):
    def judge():
        with transaction.atomic():
            return backend.exception_safe_to_retry(OperationalError("gone"))

    assert not in_a_pool(judge)


def test_integrity_error_is_not_tried_again(backend, running, in_a_pool):
    assert not in_a_pool(
        lambda: backend.exception_safe_to_retry(IntegrityError("twice"))
    )
