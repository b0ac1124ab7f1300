"""A Celery worker without Nautobot, on the settings that the environment gives.

Talks as Nautobot's workers do: ``application/x-nautobot-json`` and nothing else.

    python -m lab.nautobot.celery_worker NAME QUEUE
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from celery import Celery
from kombu.serialization import register

from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.nautobot_base import nautobot_settings


def celery_app() -> Celery:
    """Return an application on the settings of this process' environment."""
    namespace = nautobot_settings(os.environ)
    configure(namespace, os.environ)
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

    return app


if __name__ == "__main__":
    celery_app().worker_main(
        [
            "worker",
            f"--hostname={sys.argv[1]}",
            f"--queues={sys.argv[2]}",
            "--pool=solo",
            "--loglevel=INFO",
            "--without-gossip",
            "--without-mingle",
        ]
    )
