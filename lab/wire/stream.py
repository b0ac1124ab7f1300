"""A stream of Nautobot jobs, and what became of each of them.

`send` runs inside Nautobot, as a web pod that submits. The job writes down that it
ran before it does anything else: the database may be away just then.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

from lab.servers.databases import PostgresServer

MODULE, JOB = "lab_stream", "Stream"
FINAL = ("SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED")
SOURCE = """\
import os
import time

from nautobot.apps.jobs import Job, IntegerVar, StringVar, register_jobs


class Stream(Job):
    milliseconds = IntegerVar()
    diary = StringVar()

    class Meta:
        name = "Stream"
        has_sensitive_variables = False

    def run(self, milliseconds, diary):
        handle = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{self.request.id}\\n".encode())
        os.close(handle)
        time.sleep(milliseconds / 1000)
        return "done"


register_jobs(Stream)
"""
# A job that runs a second time ends a second time.
RECORD_ENDS = """
create table lab.ends (id uuid, status text, at timestamptz default clock_timestamp());
create function lab.record_end() returns trigger language plpgsql security definer as $$
begin
    if new.status in ('SUCCESS', 'FAILURE', 'REVOKED', 'REJECTED', 'IGNORED')
       and new.status is distinct from old.status then
        insert into lab.ends (id, status) values (new.id, new.status);
    end if;
    return null;
end $$;
create trigger lab_record_end after update on extras_jobresult
    for each row execute function lab.record_end();
"""


class Outcome(NamedTuple):
    """What became of a stream.

    Attributes:
        sent: Jobs that Nautobot took.
        refused: Submissions that raised; a user would see it and try again.
        succeeded: Jobs whose result is SUCCESS.
        failed: Jobs that ended otherwise, once.
        lost: Jobs that neither ended nor have a message on the broker.
        repeated: Jobs that ran, or ended, more than once.
        pending: Messages of these jobs left on the broker, which would run some day.
    """

    sent: int
    refused: int
    succeeded: int
    failed: int
    lost: int
    repeated: int
    pending: int

    @property
    def finished(self) -> int:
        """Jobs that ended."""
        return self.succeeded + self.failed

    @property
    def exactly_once(self) -> bool:
        """Whether every job that was sent ended, ran once, and left nothing behind."""
        return (
            self.sent > 0
            and self.finished == self.sent
            and not (self.lost or self.repeated or self.pending)
        )

    def __str__(self) -> str:
        """Return the figures in words."""
        return (
            f"sent {self.sent}, finished {self.finished} "
            f"({self.failed} as FAILURE), lost {self.lost}, repeated {self.repeated}, "
            f"left on the broker {self.pending}"
        )


def record_ends(postgres: PostgresServer) -> None:
    """Let the server note each end of each job."""
    postgres.sql(RECORD_ENDS)


def prepare(queue: str, name: str = JOB) -> None:
    """Enable the job of the stream, or another, on a queue; runs inside Nautobot."""
    from lab.nautobot.inside import give_to_queue

    give_to_queue(_job(name), queue)


def submit(queue: str, name: str, inputs: list[dict[str, Any]]) -> list[str]:
    """Submit a job once for each inputs, return the ids; runs inside Nautobot."""
    from nautobot.extras.models import JobQueue
    from nautobot.extras.models import JobResult

    job, user = _job(name), _user()
    job_queue = JobQueue.objects.get(name=queue)
    return [
        str(JobResult.enqueue_job(job, user, job_queue=job_queue, job_kwargs=one).id)
        for one in inputs
    ]


def _job(name: str) -> Any:
    from nautobot.extras.models import Job

    return Job.objects.get(module_name__endswith=MODULE, job_class_name=name)


def _user() -> Any:
    from django.contrib.auth import get_user_model

    user, _ = get_user_model().objects.get_or_create(
        username="lab", defaults={"is_superuser": True, "is_staff": True}
    )
    return user


def send(
    queue: str,
    per_second: float,
    milliseconds: int,
    diary: str,
    journal: str,
    stop: str,
) -> None:
    """Submit jobs until a file appears; runs inside Nautobot, as a web pod would.

    Each submission is a request of its own. The journal gets a line for each:
    ``sent <id> <time>`` or ``refused <error> <time>``.
    """
    from django.db import close_old_connections
    from nautobot.extras.models import JobQueue
    from nautobot.extras.models import JobResult

    user, job = _user(), _job(JOB)
    job_queue = JobQueue.objects.get(name=queue)
    start = time.monotonic()
    number = 0
    with open(journal, "a", buffering=1) as lines:
        while not os.path.exists(stop):
            number += 1
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            # What Django does between requests.
            close_old_connections()
            try:
                result = JobResult.enqueue_job(
                    job,
                    user,
                    job_queue=job_queue,
                    job_kwargs={"milliseconds": milliseconds, "diary": diary},
                )
            except Exception as error:  # noqa: BLE001 - whatever a user would see
                said = " ".join(str(error).split())
                lines.write(f"refused {type(error).__name__}: {said} {time.time()}\n")
            else:
                lines.write(f"sent {result.id} {time.time()}\n")


def journal_entries(journal: Path) -> tuple[list[str], list[str]]:
    """Return the ids of the jobs that were sent, and the errors of the refused."""
    sent, refused = [], []
    lines = journal.read_text().splitlines() if journal.exists() else []
    for line in lines:
        kind, _, rest = line.partition(" ")
        (sent if kind == "sent" else refused).append(rest.rpartition(" ")[0])
    return sent, refused


def unfinished(postgres: PostgresServer, sent: Iterable[str]) -> list[str]:
    """Return which of these jobs have not ended."""
    rows = postgres.sql("select id::text, status from extras_jobresult")
    ended = {id_ for id_, status in rows if status in FINAL}
    return [id_ for id_ in sent if id_ not in ended]


def outcome(
    postgres: PostgresServer, sent: list[str], refused: int, diary: Path, left: set[str]
) -> Outcome:
    """Judge each job by the database, by the diary and by the broker."""
    statuses: Mapping[str, str] = dict(
        postgres.sql("select id::text, status from extras_jobresult")
    )
    ends: Mapping[str, int] = dict(
        postgres.sql("select id::text, count(*)::int from lab.ends group by id")
    )
    runs: Counter[str] = Counter(diary.read_text().split() if diary.exists() else [])
    final = {id_: statuses.get(id_) for id_ in sent if statuses.get(id_) in FINAL}
    everyone = {*sent, *runs}
    return Outcome(
        sent=len(sent),
        refused=refused,
        succeeded=sum(status == "SUCCESS" for status in final.values()),
        failed=sum(status != "SUCCESS" for status in final.values()),
        lost=len({*sent} - {*final} - left),
        repeated=sum(runs.get(id_, 0) > 1 or ends.get(id_, 0) > 1 for id_ in everyone),
        pending=len(left & everyone),
    )


def left_on_broker(admin: Any, queue: str) -> set[str]:
    """Return the jobs whose message is in the queue or waits to be acknowledged."""
    keys = admin.scan_iter(f"{queue}*", _type="list")
    messages = [json.loads(raw) for key in keys for raw in admin.lrange(key, 0, -1)]
    messages += [json.loads(raw)[0] for raw in admin.hvals("unacked")]
    return {message["headers"]["id"] for message in messages}
