"""Nautobot's result backend, which waits for a database that is away.

Celery tells the result backend when a job starts and ends. Nautobot's own gives up at
the first lost connection, and the job stays PENDING or STARTED for ever, although it
ran. Only the process or thread that runs the job waits: a worker's main process has
heartbeats to send and other jobs to hand out.

Imported by Celery, under Nautobot only.
"""

import contextlib
import logging
import threading

from billiard.process import current_process
from celery import Celery
from django.db import DatabaseError
from django.db import InterfaceError
from django.db import OperationalError
from django.db import connections
from nautobot.core.celery.backends import NautobotDatabaseBackend

logger = logging.getLogger(__name__)


class JobResultBackend(NautobotDatabaseBackend):  # type: ignore[misc]
    """Tries again while the database cannot be reached, where a job runs.

    How often and how slowly is in Celery's ``result_backend_max_retries`` and its
    neighbours, and nothing is tried again without ``result_backend_always_retry``.
    """

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether a new connection may help, and drop the old ones."""
        if not may_wait(self.app):
            return False
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
            "Waiting for the database to save the state of a job: %s",
            " ".join(str(exc).split()),
        )
        return True


def may_wait(app: Celery) -> bool:
    """Return whether nothing but the job at hand waits with this thread.

    A process of the prefork pool and a thread of the threads pool may wait; a web
    request, the main process of a worker, and the pool ``solo``, which runs jobs in
    the main process, may not.
    """
    if app.current_worker_task is None:
        return False
    in_pool = current_process().name != "MainProcess"
    return in_pool or threading.current_thread() is not threading.main_thread()
