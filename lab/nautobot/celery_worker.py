"""A Celery worker without Nautobot, on the settings that the environment gives.

Talks as Nautobot's workers do: ``application/x-nautobot-json`` and nothing else.

    python -m lab.nautobot.celery_worker NAME QUEUE [POOL [CONCURRENCY]]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu.serialization import register

from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.nautobot_base import base_settings

BY_HAND = "LAB_BY_HAND"
"""Set, a process takes nothing from the library but the TLS options."""
FURTHER = "LAB_CELERY"
"""Further Celery settings as JSON, by their names in Django."""


def without_library(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the TLS options, and the drivers' own in everything else."""
    default = settings["DATABASES"]["default"]
    cache = settings["CACHES"]["default"]
    pool = cache["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    kept = {
        name: value
        for name, value in pool.items()
        if name.startswith("ssl_") or name in {"username", "password"}
    }
    tls = {
        name: value
        for name, value in default.get("OPTIONS", {}).items()
        if name.startswith("ssl")
    }
    return {
        **settings,
        "DATABASES": {"default": {**default, "OPTIONS": tls}},
        "CACHES": {
            "default": {
                **cache,
                "OPTIONS": {**cache["OPTIONS"], "CONNECTION_POOL_KWARGS": kept},
            }
        },
        "CELERY_BROKER_TRANSPORT": None,
        "CELERY_BROKER_TRANSPORT_OPTIONS": {},
    }


def celery_app() -> Celery:
    """Return an application on the settings of this process' environment."""
    further = json.loads(os.environ.get(FURTHER, "{}"))
    namespace = base_settings(os.environ) | further
    configure(namespace, os.environ)
    if os.environ.get(BY_HAND):
        namespace = without_library(namespace) | further
    register(
        "nautobot_json", json.dumps, json.loads, "application/x-nautobot-json", "utf-8"
    )
    app = Celery("lab", set_as_current=False)
    app.config_from_object(
        {
            **{
                name: value
                for name, value in namespace.items()
                if name.startswith("CELERY_")
            },
            "CELERY_ACCEPT_CONTENT": ["nautobot_json"],
            "CELERY_TASK_SERIALIZER": "nautobot_json",
            "CELERY_RESULT_SERIALIZER": "nautobot_json",
            "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
        },
        namespace="CELERY",
    )

    @app.task(name="lab.note", bind=True)
    def note(self: Any, key: str) -> None:
        """Leave a mark in Redis, through the same kind of connection."""
        with self.app.connection_for_write() as connection:
            connection.channel().client.rpush(key, self.request.id)

    @app.task(name="lab.run", bind=True)
    def run(self: Any, diary: str, seconds: float = 0.0) -> None:
        """Write into a file, which no network can take away, and take a while."""
        handle = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{self.request.id}\n".encode())
        os.close(handle)
        time.sleep(seconds)

    return app


if __name__ == "__main__":
    name, queue, *pool = sys.argv[1:]
    celery_app().worker_main(
        [
            "worker",
            f"--hostname={name}",
            f"--queues={queue}",
            f"--pool={pool[0] if pool else 'solo'}",
            f"--concurrency={pool[1] if pool[1:] else '1'}",
            "--loglevel=INFO",
            # A pool as Nautobot starts it talks to other workers as well.
            *(() if pool else ("--without-gossip", "--without-mingle")),
        ]
    )
