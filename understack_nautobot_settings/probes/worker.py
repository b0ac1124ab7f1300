"""A Celery worker, by the file it touches, its certificate, and its own answer."""

import datetime
import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from understack_nautobot_settings.certificates import openssl
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import Mount
from understack_nautobot_settings.certificates.files import closed_directory
from understack_nautobot_settings.certificates.files import read_file
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import status_of

HEARTBEAT_SECONDS = 30.0
"""Age at which a heartbeat is too old; a worker touches its file every second."""

# Of the time left: connecting comes on top of waiting for the answer.
_SHARE = 0.8

_CLOCKS = (
    "Compare the clock of the machine that writes it with the clock here. If this one "
    "was set back, the worker has not written since: look into its log."
)

CONTENT_TYPE = "application/x-nautobot-json"


def probe_heartbeat(
    attempt: Attempt,
    env: Mapping[str, str],
    *,
    oldest: float = HEARTBEAT_SECONDS,
    clock: Callable[[], float] = time.time,
) -> None:
    """Pass the stage ``heartbeat``: the worker has touched its file in so many seconds.

    Reads ``NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE`` and
    ``NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES``; the clock tells seconds since the epoch.
    Raises `Failed` where there is no heartbeat, or an old one.
    """
    problems: list[Problem] = []
    read = Reader(env, problems)
    path = read(variables.CELERY_WORKER_HEARTBEAT_FILE)
    switch = variables.CELERY_HEALTH_PROBES_AS_FILES
    with attempt.stage("heartbeat"):
        if problems:
            # The worker touches what the variable says, not the default.
            raise Failed(problems[0])
        status = status_of(path)
        if status is None and not read(switch):
            fact = "the worker writes no heartbeat."
            raise Failed(codes.PROBE_HEARTBEAT_OFF.problem(switch.name, fact))
        fact, remedy = f"there is no heartbeat in {path}.", None
        closed = closed_directory(path) if status is None else None
        if closed:
            fact = f"{path} cannot be seen: this process may not enter {closed}."
            remedy = "Run the probe as the user of the worker."
        if status is not None:
            age = clock() - status.st_mtime
            when = f"{max(age, 0):.0f} s old"
            if age < -oldest:
                when = f"{-age:.0f} s in the future"
                remedy = _CLOCKS
            attempt.detail = f"{path}, {when}"
            if abs(age) <= oldest:
                return
            fact = f"the last heartbeat in {path} is {when}."
        variable = variables.CELERY_WORKER_HEARTBEAT_FILE.name
        raise Failed(codes.PROBE_HEARTBEAT.problem(variable, fact, remedy))


def probe_certificates(attempt: Attempt, settings: Mapping[str, Any]) -> None:
    """Pass the stage ``certificate``: a connected worker says nothing about its own.

    Raises `Failed` where a client certificate is expired; of what stands behind it in
    its file, a server may have another copy.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    used: dict[str, list[ClientFiles]] = {}
    for files in client_files(settings):
        if files.cert is not None:
            used.setdefault(files.cert.path, []).append(files)
    with attempt.stage("certificate"):
        ends = {path: _end_of_validity(found[0]) for path, found in used.items()}
        attempt.detail = (
            ", ".join(
                f"{path} for {' and '.join(sorted({one.use for one in used[path]}))} "
                f"{_left(end, now)}"
                for path, end in ends.items()
            )
            or "none in use"
        )
        for path, end in ends.items():
            if end is not None and end <= now:
                fact = (
                    f"the client certificate in {path} expired on {utc(end)}, so "
                    "servers refuse new connections."
                )
                code = codes.PROBE_WORKER_CERTIFICATE
                raise Failed(code.problem(used[path][0].present()[0].variable, fact))


def _end_of_validity(files: ClientFiles) -> datetime.datetime | None:
    """Return when a client certificate ends, None where it cannot be read."""
    mount = Mount(files._replace(ca=None), time.time, read_file)
    if mount.cert and mount.key:
        # OpenSSL tells it of what it accepts, for half of what a reader costs.
        with suppress(openssl.NotJudged):
            accepted = openssl.present(mount.cert.content, mount.key.content, None)
            end = openssl.end_of(accepted.told)
            if end is not None:
                return datetime.datetime.fromtimestamp(end, datetime.timezone.utc)
    return mount.chain[0].not_after if mount.chain else None


def _left(end: datetime.datetime | None, now: datetime.datetime) -> str:
    if end is None:
        return "cannot be read"
    return "expired" if end <= now else f"{(end - now).days} days"


def probe_ping(
    attempt: Attempt,
    settings: Mapping[str, Any],
    destination: str,
    *,
    ask: Callable[[Mapping[str, Any], str, float], list[dict[str, Any]]] | None = None,
) -> None:
    """Pass the stage ``ping``: the worker ``celery@host`` answers through the broker.

    `ask` sends the question and returns the answers, as `ping` does. Raises `Failed`
    where the worker does not answer, or the broker cannot be reached.
    """
    variable = variables.CELERY_BROKER_URL.name
    silent = codes.PROBE_WORKER_SILENT
    with attempt.stage("ping"):
        try:
            answers = (ask or ping)(settings, destination, attempt.left * _SHARE)
        except ImportError:
            fact = "kombu cannot be imported here."
            raise Failed(codes.PROBE_DRIVER_MISSING.problem(variable, fact)) from None
        except Exception as error:  # noqa: BLE001 - of any transport of kombu
            fact = f"the broker did not accept the ping ({type(error).__name__})."
            remedy = "Run 'understack-nautobot-settings probe broker' for the reason."
            raise Failed(silent.problem(variable, fact, remedy)) from None
        if not any(destination in one for one in answers):
            fact = f"the worker {destination} does not answer."
            raise Failed(silent.problem(variable, fact))
        attempt.detail = f"{destination} answers"


def ping(
    settings: Mapping[str, Any], destination: str, seconds: float
) -> list[dict[str, Any]]:
    """Ask one worker over Celery's control protocol, without Celery.

    Waits so many seconds for its answer, and returns answers by worker:
    ``[{"celery@host": {"ok": "pong"}}]``.
    """
    # Loading kombu and connecting are part of it.
    end = time.monotonic() + seconds
    import json

    from kombu import Connection
    from kombu.pidbox import Mailbox
    from kombu.serialization import register

    # Nautobot's workers take no other content type; plain values need no more.
    register("nautobot_json", json.dumps, json.loads, CONTENT_TYPE, "utf-8")
    mailbox = Mailbox(
        "celery",
        type="fanout",
        accept=["nautobot_json", "json"],
        serializer="nautobot_json",
    )
    with Connection(
        settings.get("CELERY_BROKER_URL"),
        ssl=settings.get("CELERY_BROKER_USE_SSL") or False,
        transport=settings.get("CELERY_BROKER_TRANSPORT"),
        transport_options=dict(settings.get("CELERY_BROKER_TRANSPORT_OPTIONS") or {}),
    ) as connection:
        # Left to itself, kombu tries again for ever.
        connection.ensure_connection(max_retries=1, interval_start=0)
        # Answering at the first reply: one worker was asked.
        answers = mailbox(connection)._broadcast(
            "ping",
            {},
            destination=[destination],
            reply=True,
            timeout=max(0.0, end - time.monotonic()),
            limit=1,
        )
    return list(answers or ())
