"""Nautobot's result backend, which waits for a database that is away.

Celery tells the result backend when a job starts and ends. Nautobot's own gives up at
the first lost connection, and the job stays PENDING or STARTED for ever, although it
ran. And Celery hands out a message again whose acknowledgement was lost, so a job may
be asked for twice: the first to store its start runs it, and nobody else.

Imported by Celery, under Nautobot only.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from celery import states
from celery.exceptions import Reject
from celery.utils.nodenames import gethostname
from django.db import DatabaseError
from django.db import InterfaceError
from django.db import OperationalError
from django.db import connections
from nautobot.core.celery.backends import NautobotDatabaseBackend

logger = logging.getLogger(__name__)

NOT_STARTED = (states.PENDING, states.RECEIVED, states.RETRY)
LONGEST_WORKER = 100
"""Characters of ``JobResult.worker``."""


class JobResultBackend(NautobotDatabaseBackend):  # type: ignore[misc]
    """Tries again while the database cannot be reached, and starts a job once.

    How often and how slowly is in Celery's ``result_backend_max_retries`` and its
    neighbours, and nothing is tried again without ``result_backend_always_retry``.
    """

    def store_result(
        self, task_id: str, result: Any, state: str, *arguments: Any, **options: Any
    ) -> Any:
        """Store the state of a job, unless it is the state of a second copy."""
        if isinstance(result, Reject):
            return result
        return super().store_result(task_id, result, state, *arguments, **options)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether a new connection may help, and drop the old ones."""
        if not isinstance(exc, (InterfaceError, OperationalError)):
            return bool(super().exception_safe_to_retry(exc))
        opened = connections.all(initialized_only=True)
        if any(connection.in_atomic_block for connection in opened):
            # Half a transaction is gone, and whoever opened it has to know.
            return False
        for connection in opened:
            # The server may have closed it before us.
            with contextlib.suppress(DatabaseError):
                connection.close()
        logger.warning(
            "The state of a job waits for the database: %s",
            " ".join(str(exc).split()),
        )
        return True

    def _store_result(  # noqa: PLR0917 - the signature is Celery's
        self,
        task_id: str,
        result: Any,
        status: str,
        traceback: Any = None,
        request: Any = None,
        using: str | None = None,
    ) -> Any:
        task = self.app.current_worker_task
        if status == states.STARTED and task is not None and not task.acks_late:
            self._claim(task_id)
        return super()._store_result(
            task_id, result, status, traceback, request=request, using=using
        )

    def _claim(self, task_id: str) -> None:
        """Mark a job as started by this process.

        Raises:
            Reject: Somebody else has started it.
        """
        jobs = self.TaskModel.objects.filter(pk=task_id)
        # The answer to an earlier attempt may be lost, so the claim has a name.
        us = f"{gethostname()} {os.getpid()}"[-LONGEST_WORKER:]
        claimed = jobs.filter(status__in=NOT_STARTED).update(
            status=states.STARTED, worker=us
        )
        if (
            claimed
            or jobs.filter(status=states.STARTED, worker=us).exists()
            # A task that is no job has no record before it starts.
            or not jobs.exists()
        ):
            return
        logger.warning("Job %s was handed out twice; it runs once.", task_id)
        raise Reject("started before", requeue=False)
