"""Results that a job writes in a transaction of its own, beside Nautobot's backend.

Three Nautobot workers on the same servers: one with the settings file that the library
replaces, one with the default profile, one with ``wan``. A job writes a row and its
own state in one transaction; in half of the jobs the server ends the session between
the two, as a failover does.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lab.nautobot.deployment import BY_HAND_CONFIG
from lab.nautobot.deployment import Nautobot
from lab.wire import stream
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.promises import Promise
from lab.wire.sections.beside import Seen
from lab.wire.sections.beside import behind_plain
from lab.wire.sections.beside import wait_for

SECTION = "transactions"
JOB = "Transaction"
JOBS = 3
END_SECONDS = 60.0
# What psycopg says of a session that the server has ended.
LOST = ("terminating connection", "server closed the connection", "already closed")
SOURCE = """\
import os

from celery import current_task
from django.db import connection
from django.db import connections
from django.db import transaction
from nautobot.apps.jobs import BooleanVar, Job, StringVar, register_jobs
from nautobot.extras.models import Tag


class Transaction(Job):
    mark = StringVar()
    diary = StringVar()
    lost = BooleanVar()

    class Meta:
        name = "Transaction"
        has_sensitive_variables = False

    def run(self, mark, diary, lost):
        handle = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{mark}\\n".encode())
        os.close(handle)
        with transaction.atomic():
            Tag.objects.create(name=mark)
            if lost:
                with connection.cursor() as cursor:
                    cursor.execute("select pg_backend_pid()")
                    (session,) = cursor.fetchone()
                with connections["job_logs"].cursor() as cursor:
                    cursor.execute("select pg_terminate_backend(%s)", [session])
            current_task.update_state(state="STARTED")


register_jobs(Transaction)
"""


def show(
    directory: Path, behind: Servers, nautobot: Nautobot, say: Say
) -> list[Promise]:
    """Run both kinds of job on each worker, and compare what is left of them."""
    directory.mkdir(parents=True)
    workers = {
        "plain": Nautobot(
            nautobot.directory,
            nautobot.deployment,
            python=nautobot.python,
            config=BY_HAND_CONFIG,
        ),
        "default": nautobot.having(UNDERSTACK_CONNECTION_PROFILE=""),
        "wan": nautobot.having(UNDERSTACK_CONNECTION_PROFILE="wan"),
    }
    diary = directory / "diary"
    with ExitStack() as stack:
        for who, worker in workers.items():
            queue = f"transaction-{who}"
            nautobot.call(stream.prepare, queue=queue, name=JOB)
            worker.deployment["CELERY_TASK_QUEUES"] = queue
            stack.enter_context(worker.worker(queue))
        promises = []
        for name, lost in (
            ("result written in a transaction", False),
            ("result written in a transaction whose session the server ends", True),
        ):
            marks = {
                who: [f"{who} {lost} {number}" for number in range(JOBS)]
                for who in workers
            }
            sent = {
                who: nautobot.call(
                    stream.submit,
                    queue=f"transaction-{who}",
                    name=JOB,
                    inputs=[
                        {"mark": mark, "diary": str(diary), "lost": lost}
                        for mark in marks[who]
                    ],
                )
                for who in workers
            }
            seen = {
                who: _judged(behind, ids, marks[who], diary, lost=lost)
                for who, ids in sent.items()
            }
            text = "; ".join(f"{who}: {one}" for who, one in seen.items())
            say(f"{name}: {text}")
            promises.append(
                Promise(
                    SECTION,
                    f"{JOBS} jobs, {name}",
                    "not behind plain",
                    text,
                    not behind_plain(seen),
                    {who: dict(one.figures) for who, one in seen.items()},
                )
            )
    return promises


def _judged(
    behind: Servers, ids: list[str], marks: list[str], diary: Path, *, lost: bool
) -> Seen:
    """Return what became of the jobs of a worker, once they have ended."""
    wait_for(lambda: not stream.unfinished(behind.postgres, ids), END_SECONDS)
    results = {
        row["id"]: row
        for row in behind.postgres.rows(
            "select id::text, status, traceback from extras_jobresult"
        )
    }
    tags = {name for (name,) in behind.postgres.sql("select name from extras_tag")}
    runs = diary.read_text().splitlines()
    status = "FAILURE" if lost else "SUCCESS"
    figures = {
        "not run": sum(mark not in runs for mark in marks),
        "again": sum(runs.count(mark) > 1 for mark in marks),
        f"not {status}": sum(results[one]["status"] != status for one in ids),
    }
    if lost:
        said = [results[one]["traceback"] or "" for one in ids]
        figures["half written"] = sum(mark in tags for mark in marks)
        figures["other error"] = sum(not any(w in one for w in LOST) for one in said)
    else:
        figures["not written"] = sum(mark not in tags for mark in marks)
    return Seen(figures)
