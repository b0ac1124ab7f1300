"""Connects as Nautobot would, and says at which stage it ends and why.

Needs neither Django nor Nautobot: the settings come from the environment alone.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache as cached
from functools import partial
from typing import Any

from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import WRONG
from understack_nautobot_settings.problems import Problem

TARGETS = ("database", "cache", "broker", "worker")
DEFAULT_TARGETS = ("database", "cache", "broker")

_GRACE = 0.5
_MACHINE = (
    "The operating system refuses it to this process: look at the limits of the "
    "container and of the process (files, processes, memory, disk)."
)

# What could not be found out, rather than what was found to be wrong.
_NOT_CHECKED = frozenset(
    code.id
    for code in (
        codes.PROBE_DNS,
        codes.PROBE_REFUSED,
        codes.PROBE_TIMEOUT,
        codes.PROBE_NETWORK,
        codes.PROBE_SILENT,
        codes.PROBE_CLOSED,
        codes.PROBE_DRIVER_MISSING,
        codes.PROBE_BROKEN,
        codes.PROBE_DB_PASSING,
    )
)
# Which variables and settings keep a target from being reached. A heartbeat says what
# it says, whatever the settings are worth.
_CONCERNS = {
    "database": ("postgresql_tls", "secret_files", "connections"),
    "cache": ("redis_tls", "connections"),
    "broker": ("redis_tls", "connections"),
}
_SETTINGS = {"database": "DATABASES", "cache": "CACHES", "broker": "CELERY_"}


def probe_targets(
    targets: Iterable[str] = DEFAULT_TARGETS,
    env: Mapping[str, str] = os.environ,
    *,
    timeout: float = 10.0,
    ping: str | None = None,
    tls_prefix: str = "",
    heartbeat_seconds: float | None = None,
    before: Iterable[Probe] = (),
    network: Network | None = None,
    way: Callable[[str, Attempt], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Probe]:
    """Reach every target at the same time, as Nautobot would.

    Args:
        targets: Any of `TARGETS`, and ``https://`` URLs that lead somewhere.
        env: The environment.
        timeout: Seconds that each target gets, all of them at the same time.
        ping: Name of the worker that ``worker`` asks through the broker, in addition
            to its heartbeat file and certificate; ``celery@<host name>`` where empty.
        tls_prefix: Prefix of the variables with the client certificate for URLs, see
            `probe_https`.
        heartbeat_seconds: Age at which a worker's heartbeat is too old.
        before: The attempt before this one: where a target fails with the same
            symptom, the cause is not looked for again.
        network: The network.
        way: Another way to reach targets.
        clock: Seconds, of any beginning.

    Returns:
        One result for each target, in the order they were named.
    """
    network = network or Network()
    way = way or _way(env, network, ping, tls_prefix, heartbeat_seconds)
    earlier = {probe.target: probe for probe in before}
    started = []
    for target in dict.fromkeys(targets):
        # What follows the path may hold a token.
        shown = re.split("[?#;]", target)[0]
        attempt = Attempt(shown, timeout, before=earlier.get(shown), clock=clock)
        # A daemon: what hangs in a system call may not keep the process alive.
        walk = partial(_walk, way, target, attempt)
        thread = threading.Thread(target=walk, daemon=True)
        thread.start()
        started.append((attempt, thread))
    for attempt, thread in started:
        thread.join(max(0.0, attempt.end + _GRACE - clock()))
    return [_result(attempt, thread.is_alive()) for attempt, thread in started]


def exit_status(probes: Iterable[Probe]) -> int:
    """Return 0 where all is well, 1 where something is wrong, 2 where unreachable."""
    codes = {probe.problem.code for probe in probes if probe.problem is not None}
    if codes - _NOT_CHECKED:
        return WRONG
    return COULD_NOT_CHECK if codes else FINE


def probes_as_json(probes: Iterable[Probe]) -> dict[str, Any]:
    """Return the documented form: target, ok, stages, problem, server_said of each."""
    return {
        "targets": [
            {
                "target": probe.target,
                "ok": probe.ok,
                "stages": [
                    {**stage._asdict(), "seconds": round(stage.seconds, 6)}
                    for stage in probe.stages
                ],
                "problem": None if probe.problem is None else probe.problem._asdict(),
                "server_said": probe.server_said or None,
            }
            for probe in probes
        ]
    }


def _way(
    env: Mapping[str, str],
    network: Network,
    ping: str | None,
    tls_prefix: str,
    heartbeat_seconds: float | None,
) -> Callable[[str, Attempt], None]:
    """Return how a target is reached; what that needs is imported by then."""
    lock = threading.Lock()

    @cached
    def judged() -> tuple[dict[str, Any], list[Problem]]:
        from understack_nautobot_settings.checks import consequences
        from understack_nautobot_settings.checks.values import check_nautobot_values

        settings, problems = _evaluated(env)
        # Nautobot stops at values that are unset to this library: empty ones.
        found = [*check_nautobot_values(env), *problems]
        return settings, consequences.without_consequences(found)

    def settings_for(attempt: Attempt) -> dict[str, Any]:
        with lock:
            settings, problems = judged()
        for problem in problems:
            if problem.severity == ERROR and _concerns(problem, attempt.target):
                with attempt.stage("settings"):
                    raise Failed(problem)
        return settings

    def reach(target: str, attempt: Attempt) -> None:
        if target == "worker":
            _probe_worker(attempt, env, ping, heartbeat_seconds)
        elif target == "database":
            from understack_nautobot_settings.probes.postgresql import probe_database

            probe_database(attempt, settings_for(attempt), network, env=env)
        elif target == "cache":
            from understack_nautobot_settings.probes.redis import probe_cache

            probe_cache(attempt, settings_for(attempt), network)
        elif target == "broker":
            from understack_nautobot_settings.probes.redis import probe_broker

            own_url = Reader(env, []).is_set(variables.CELERY_BROKER_URL)
            probe_broker(attempt, settings_for(attempt), network, own_url=own_url)
        else:
            from understack_nautobot_settings.probes.https import probe_https

            probe_https(attempt, target, env, network, prefix=tls_prefix)

    return reach


def _probe_worker(
    attempt: Attempt,
    env: Mapping[str, str],
    ping: str | None,
    heartbeat_seconds: float | None,
) -> None:
    from understack_nautobot_settings.probes import worker

    if ping is None:
        settings = _file_settings(env)
    else:
        settings, _ = _evaluated(env, check_files=no_files, libpq=lambda: None)
    here = socket.gethostname()
    name = ping or f"celery@{here}"
    if name.endswith(f"@{here}"):
        oldest = heartbeat_seconds or worker.HEARTBEAT_SECONDS
        worker.probe_heartbeat(attempt, env, oldest=oldest)
    else:
        attempt.skip("heartbeat", f"skipped: {name} is on another host")
    worker.probe_certificates(attempt, settings)
    if ping is not None:
        worker.probe_ping(attempt, settings, name)


def _file_settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that name certificate files, for those who look no further.

    No file is judged and no database driver asked, which takes longer to import than
    everything else a heartbeat is worth.
    """
    from understack_nautobot_settings.fragments import postgresql_tls
    from understack_nautobot_settings.fragments import redis_tls

    settings = base_settings(env)
    settings |= postgresql_tls.postgresql_tls_settings(
        settings, env, problems=[], check_files=no_files, libpq=lambda: None
    )
    return settings | redis_tls.redis_tls_settings(
        settings, env, problems=[], check_files=no_files
    )


def _evaluated(
    env: Mapping[str, str], **options: Any
) -> tuple[dict[str, Any], list[Problem]]:
    """Return all settings, and what `evaluate` finds wrong with them."""
    from understack_nautobot_settings.evaluation import evaluate

    base = base_settings(env)
    settings, problems = evaluate(base, env, **options)
    return {**base, **settings}, problems


def _walk(way: Callable[[str, Attempt], None], target: str, attempt: Attempt) -> None:
    try:
        way(target, attempt)
    except Failed as failed:
        attempt.problem = failed.problem
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        why, hint = type(error).__name__, None
        if isinstance(error, OSError) and error.errno:
            why += f": {os.strerror(error.errno)}"
            hint = _MACHINE
        attempt.problem = codes.PROBE_BROKEN.problem(
            attempt.target, f"the probe itself failed with {why}.", hint
        )


def _result(attempt: Attempt, unfinished: bool) -> Probe:
    target, stages, problem = attempt.target, tuple(attempt.stages), attempt.problem
    if not unfinished:
        said, symptom, by = attempt.server_said, attempt.symptom, attempt.said_by
        return Probe(target, problem is None, stages, problem, said, symptom, by)
    stage = attempt.current or "settings"
    code = codes.PROBE_DNS if stage == "dns" else codes.PROBE_TIMEOUT
    problem = code.problem(target, f"the stage {stage} did not end in time.")
    late = Stage(stage, False, attempt.clock() - attempt.since, problem.message)
    return Probe(target, False, (*stages, late), problem)


def _concerns(problem: Problem, target: str) -> bool:
    """Tell whether a problem of the settings keeps a target from being reached."""
    for variable in variables.VARIABLES:
        if problem.variable in variable.names:
            return (
                variable.concern in _CONCERNS[target]
                and variable is not variables.SECRET_KEY
            )
    return problem.variable.startswith(_SETTINGS[target])
