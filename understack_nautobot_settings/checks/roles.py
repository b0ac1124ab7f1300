"""What a pod of a role lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import raw
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem

SITE_WORKER = "site-worker"


def check_role(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None
) -> list[Problem]:
    """Tell what a pod of this role lacks."""
    if role != SITE_WORKER:
        return []
    problems = _local_hosts(settings, env)
    partition = raw(variables.PARTITION, env)
    if partition is None:
        missing = codes.SITE_PARTITION_MISSING.problem(
            variables.PARTITION.name,
            "it is unset, and a site worker must know its partition.",
            "Set it to the partition of the site (cluster-data ConfigMap).",
        )
        return [*problems, missing]
    # UnderStack's documents name queues after partitions, its Argo CD after sites.
    wanted = [one for one in (partition, raw(variables.SITE, env)) if one]
    # Celery splits at commas and strips nothing.
    text = env.get(variables.TASK_QUEUES.name, "")
    queues = text.split(",") if text else []
    if not set(queues).isdisjoint(wanted) or (not text and _is_init_container(env)):
        return problems
    names = " or ".join(dict.fromkeys(wanted))
    if any(one in Reader(env, [])(variables.TASK_QUEUES) for one in wanted):
        fact = f"{echo(text)} has blanks, which Celery takes for part of a queue's name"
        hint = f"Write {','.join(queue.strip() for queue in queues)}."
    else:
        seen = echo(text) if text else "it is unset, so it"
        fact = f"{seen} does not have the queue {names} of the site"
        hint = f"Add {names} to taskQueues of the worker in the chart's values."
    name = variables.TASK_QUEUES.name
    return [*problems, codes.SITE_QUEUE_MISSING.problem(name, f"{fact}.", hint)]


def _local_hosts(settings: Mapping[str, Any], env: Mapping[str, str]) -> list[Problem]:
    database = str(entries(settings, "DATABASES").get("default", {}).get("HOST") or "")
    cache = entries(settings, "CACHES").get("default", {}).get("LOCATION")
    urls = urls_of(cache, ",") + urls_of(settings.get("CELERY_BROKER_URL"), ";")
    local: dict[Variable[Any], list[str]] = {
        variables.DB_HOST: [database] if is_local(database) else [],
        variables.REDIS_HOST: [host_of(url) for url in urls if is_local(host_of(url))],
    }
    return [
        codes.SITE_HOST_MISSING.problem(
            variable.name,
            f"{'it is unset, so ' if raw(variable, env) is None else ''}a site worker "
            f"would connect to {hosts[0] or 'a socket'} in its own pod.",
        )
        for variable, hosts in local.items()
        if hosts
    ]


def is_local(host: str) -> bool:
    """Tell whether a host is the pod itself."""
    names = ("", "localhost", "::1", "[::1]")
    return host in names or host.startswith(("127.", "/", "@"))


def _is_init_container(env: Mapping[str, str]) -> bool:
    """Tell a container of the chart that runs `wait`, with a worker's environment."""
    return (
        raw(variables.CELERY_HEALTH_PROBES_AS_FILES, env) is not None
        and raw(variables.K8S_COMPONENT, env) is None
    )
