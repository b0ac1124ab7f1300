"""Load settings files as nautobot-server does: a program, a fork for each file.

Reads ``[{"path", "env", "shown", "connects"}, …]`` from standard input and writes for
each ``{"refused", "shown", "log"}``: what was raised, the values of expressions over
the settings in force, and what was logged.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from typing import Any

import celery
import django.core.cache
import django.db
import django.utils.log
import django_redis.cache  # noqa: F401 - in the parent, once for all
import nautobot.core.cli
from django.conf import settings


def load(case: dict[str, Any]) -> dict[str, Any]:
    """Load one file, and connect to everything it configures where asked to."""
    os.environ.update(case["env"])
    os.environ["DJANGO_SETTINGS_MODULE"] = "nautobot_config"
    found: dict[str, Any] = {"refused": "", "shown": []}
    with tempfile.TemporaryFile("w+") as log:
        sys.stderr.flush()
        os.dup2(log.fileno(), 2)
        try:
            nautobot.core.cli.load_settings(case["path"])
            django.utils.log.configure_logging(
                settings.LOGGING_CONFIG, settings.LOGGING
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            found["refused"] = f"{type(error).__name__}: {error}"
        else:
            module = vars(sys.modules["nautobot_config"])
            found["shown"] = [eval(one, dict(module)) for one in case["shown"]]
            if case["connects"]:
                connect()
        sys.stderr.flush()
        log.seek(0)
        found["log"] = log.read()
    return found


def connect() -> None:
    """Reach for database, cache and broker as Nautobot does; nobody need answer."""
    with contextlib.suppress(Exception):
        django.db.connections["default"].ensure_connection()
    for alias in settings.CACHES:
        with contextlib.suppress(Exception):
            django.core.cache.caches[alias].get("name")
    app = celery.Celery("loading")
    app.config_from_object(settings, namespace="CELERY")
    for connection in (app.connection_for_read(), app.connection_for_write()):
        with contextlib.suppress(Exception):
            connection.ensure_connection(max_retries=1, timeout=2)


def main() -> None:
    """Load every file in a process of its own."""
    for case in json.load(sys.stdin):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, json.dumps(load(case), default=repr).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            sys.stdout.write(f"{answer.read()}\n")
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
