"""What the lab does inside a Nautobot process; see `lab.nautobot.deployment`.

Runs under every supported Nautobot, in its own interpreter.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit

SHOWN_LIBPQ_OPTIONS = (
    "sslmode",
    "sslnegotiation",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "connect_timeout",
    "application_name",
)
SHOWN_REDIS_OPTIONS = (
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_ca_certs",
)
LOGS_CLEANUP = ("nautobot.core.jobs.cleanup", "LogsCleanup")


def create_queue(name: str) -> None:
    """Create the Celery job queue of that name, unless it is there."""
    from nautobot.extras.models import JobQueue

    JobQueue.objects.get_or_create(name=name, defaults={"queue_type": "celery"})


def give_to_queue(job: Any, queue: str) -> Any:
    """Enable a job on this queue alone; return the queue, created if need be."""
    from nautobot.extras.models import JobQueue

    create_queue(queue)
    job_queue = JobQueue.objects.get(name=queue)
    job.enabled = True
    job.default_job_queue_override = True
    job.default_job_queue = job_queue
    job.job_queues_override = True
    job.validated_save()
    job.job_queues.set([job_queue])
    return job_queue


def run_job(queue: str, count: int = 1, seconds: float = 120) -> dict[str, Any]:
    """Enable Nautobot's LogsCleanup, run it on the queue and wait for its end.

    Args:
        queue: Name of the job queue; created where it is missing.
        count: How many to enqueue, one after the other.
        seconds: How long to wait for all of them.

    Returns:
        ``statuses`` and ``workers`` of the results in the order of their enqueuing,
        ``traceback`` of the first that failed, and what this process is made of:
        ``plugins``, ``partition``, ``nautobot`` (its version) and ``settings``: see
        `settings_in_use`.
    """
    import nautobot
    from django.apps import apps
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from nautobot.extras.models import Job
    from nautobot.extras.models import JobResult

    module, name = LOGS_CLEANUP
    job = Job.objects.get(module_name=module, job_class_name=name)
    job_queue = give_to_queue(job, queue)
    user, _ = get_user_model().objects.get_or_create(
        username="lab", defaults={"is_superuser": True, "is_staff": True}
    )
    arguments: dict[str, Any] = {
        "cleanup_types": ["extras.ObjectChange"],
        "max_age": 30,
    }
    # Nautobot 3.2 takes them as one mapping; before, they were all other keywords.
    taken = inspect.signature(JobResult.enqueue_job).parameters["job_kwargs"]
    if taken.kind is not inspect.Parameter.VAR_KEYWORD:
        arguments = {"job_kwargs": arguments}
    results = [
        JobResult.enqueue_job(job, user, job_queue=job_queue, **arguments)
        for _ in range(count)
    ]
    deadline = time.monotonic() + seconds
    while True:
        for result in results:
            result.refresh_from_db()
        unfinished = [one for one in results if one.date_done is None]
        if not unfinished or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return {
        "statuses": [result.status for result in results],
        "workers": [result.worker for result in results],
        "traceback": next((one.traceback for one in results if one.traceback), None),
        "plugins": [name for name in settings.PLUGINS if apps.is_installed(name)],
        "partition": getattr(settings, "UNDERSTACK_PARTITION", None),
        "nautobot": nautobot.__version__,
        "settings": settings_in_use(),
    }


def settings_in_use() -> dict[str, str]:
    """Return what this process connects to and how, without any secret.

    What is shown is listed here; nothing is masked that could be forgotten.
    """
    from django.conf import settings

    database = settings.DATABASES["default"]
    options = database.get("OPTIONS", {})
    cache = settings.CACHES["default"]
    pool = cache.get("OPTIONS", {}).get("CONNECTION_POOL_KWARGS", {})
    broker = urlsplit(settings.CELERY_BROKER_URL)
    broker_tls = settings.CELERY_BROKER_USE_SSL or {}
    shown = {
        "database": f"{database['USER']}@{database['HOST']}:{database['PORT']}"
        f"/{database['NAME']}",
        "database engine": database["ENGINE"],
        **{f"database {name}": options.get(name) for name in SHOWN_LIBPQ_OPTIONS},
        "broker": f"{broker.scheme}://{'***@' if broker.password else ''}"
        f"{broker.hostname}:{broker.port}{broker.path}",
        **{f"broker {name}": broker_tls.get(name) for name in SHOWN_REDIS_OPTIONS},
        "cache": cache["LOCATION"].rpartition("@")[2],
        **{f"cache {name}": pool.get(name) for name in SHOWN_REDIS_OPTIONS},
        "partition": getattr(settings, "UNDERSTACK_PARTITION", ""),
        "plugins": ", ".join(settings.PLUGINS),
    }
    return {name: str(value) for name, value in shown.items() if value is not None}


def main() -> None:
    """Run one function in a Nautobot that is set up; the request comes on stdin.

    The answer goes into a file: standard output belongs to Nautobot.
    """
    request = json.load(sys.stdin)
    import nautobot

    nautobot.setup()
    function = getattr(importlib.import_module(request["module"]), request["name"])
    answer = function(**request["arguments"])
    with open(request["answer"], "w") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
