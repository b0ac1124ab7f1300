"""Load settings files as nautobot-server does: a program, a fork for each file.

Reads ``[{"path", "env", "shown"}, …]`` from standard input and writes for each
``{"refused", "shown", "log", "seen"}``: what was raised, the values of expressions over
the settings in force, what was logged, and what the servers say of its sessions.
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

OWN_SESSION = "select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()"


def load(case: dict[str, Any]) -> dict[str, Any]:
    """Load one file, and connect to everything it configures."""
    os.environ.update(case["env"])
    os.environ["DJANGO_SETTINGS_MODULE"] = "nautobot_config"
    found: dict[str, Any] = {"refused": "", "shown": [], "seen": {}}
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
            found["seen"] = seen()
        sys.stderr.flush()
        log.seek(0)
        found["log"] = log.read()
    return found


def seen() -> dict[str, Any]:
    """Connect as Nautobot does, and return what each server says of the session.

    Of PostgreSQL whether it is encrypted and for whom the client certificate is, of
    Redis the port; nothing of those that nobody answers at.
    """
    found: dict[str, Any] = {}
    for alias in set(settings.DATABASES) - {"job_logs"}:
        with (
            contextlib.suppress(Exception),
            django.db.connections[alias].cursor() as cursor,
        ):
            cursor.execute(OWN_SESSION)
            found[_name("database", alias)] = cursor.fetchone()
    for alias in settings.CACHES:
        with contextlib.suppress(Exception):
            cache = django.core.cache.caches[alias]
            inner = cache.client if hasattr(cache, "client") else cache._cache
            found[_name("cache", alias)] = _port(inner.get_client())
    app = celery.Celery("loading")
    app.config_from_object(settings, namespace="CELERY")
    for name, connection in (
        ("broker", app.connection_for_write()),
        ("broker for reading", app.connection_for_read()),
    ):
        with contextlib.suppress(Exception):
            connection.ensure_connection(max_retries=1, timeout=2)
            found[name] = _port(connection.default_channel.client)
    if str(settings.CELERY_RESULT_BACKEND).startswith("redis"):
        with contextlib.suppress(Exception):
            found["results"] = _port(app.backend.client)
    return found


def _name(kind: str, alias: str) -> str:
    return kind if alias == "default" else f"{kind} {alias}"


def _port(client: Any) -> int:
    """Return the port of Redis at which a session came in."""
    said = client.execute_command("CLIENT", "INFO")
    text = said.decode() if isinstance(said, bytes) else str(said)
    return int(text.partition(" laddr=")[2].partition(" ")[0].rpartition(":")[2])


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
