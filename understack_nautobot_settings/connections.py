"""How long connections may take, and how they survive a gateway in between."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings import variables
from understack_nautobot_settings.environment import Reader
from understack_nautobot_settings.environment import Variable
from understack_nautobot_settings.errors import Collecting
from understack_nautobot_settings.errors import Problem

LONGEST_APPLICATION_NAME = 63
"""Bytes that PostgreSQL keeps of an ``application_name`` (NAMEDATALEN - 1)."""

_DB_ALWAYS = {"connect_timeout": variables.DB_CONNECT_TIMEOUT}
_DB_WAN = {
    "keepalives_idle": variables.DB_KEEPALIVES_IDLE,
    "keepalives_interval": variables.DB_KEEPALIVES_INTERVAL,
    "keepalives_count": variables.DB_KEEPALIVES_COUNT,
    "tcp_user_timeout": variables.DB_TCP_USER_TIMEOUT,
}
_REDIS_ALWAYS = {
    "socket_connect_timeout": variables.REDIS_CONNECT_TIMEOUT,
    "socket_timeout": variables.REDIS_SOCKET_TIMEOUT,
}
_REDIS_WAN = {"health_check_interval": variables.REDIS_HEALTH_CHECK_INTERVAL}

_UTC = "-c TimeZone=UTC"


def connection_settings(
    databases: Mapping[str, Any] | None,
    caches: Mapping[str, Any] | None,
    broker_url: str | None,
    broker_transport_options: Mapping[str, Any] | None,
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return database, cache and broker settings with timeouts, and the profile.

    Timeouts are always set: libpq and redis-py wait for ever on a server that
    accepts a connection and says nothing. The profile ``wan`` adds what a worker
    behind a gateway needs. A variable that is set decides; otherwise what the
    base has is kept; otherwise the default of the variable is used.

    Args:
        databases: The base ``DATABASES``; not changed.
        caches: The base ``CACHES``; not changed.
        broker_url: The base ``CELERY_BROKER_URL``.
        broker_transport_options: The base ``CELERY_BROKER_TRANSPORT_OPTIONS``.
        env: The environment.
        problems: Collects problems instead of raising them.

    Returns:
        ``DATABASES``, ``CACHES`` and ``CELERY_BROKER_TRANSPORT_OPTIONS``.

    Raises:
        SettingsError: A variable is wrong.
    """
    with Collecting(problems) as found:
        read = Reader(env, found)
        wan = read(variables.CONNECTION_PROFILE) == "wan"
        settings: dict[str, Any] = {"DATABASES": _databases(databases, read, wan)}
        settings["CACHES"] = {
            alias: _cache(cache, read, wan) if _is_redis_cache(cache) else cache
            for alias, cache in ({"default": {}} if caches is None else caches).items()
        }
        options = dict(broker_transport_options or {})
        if _is_redis_broker(broker_url):
            options = _redis_options(options, read, wan)
        if options or broker_transport_options is not None:
            settings["CELERY_BROKER_TRANSPORT_OPTIONS"] = options
        return settings


def _chosen(
    read: Reader, base: Mapping[str, Any], declared: Mapping[str, Variable[Any]]
) -> dict[str, Any]:
    chosen = dict(base)
    for option, variable in declared.items():
        given = read.given(variable)
        if given is not None or option not in chosen:
            chosen[option] = variable.default if given is None else given
    return chosen


def _databases(
    databases: Mapping[str, Any] | None, read: Reader, wan: bool
) -> dict[str, Any]:
    base = dict(databases or {})
    default = dict(base.get("default") or {})
    if "postgresql" not in (default.get("ENGINE") or "postgresql"):
        return base
    options = _chosen(read, default.get("OPTIONS") or {}, _DB_ALWAYS)
    if wan:
        options = _chosen(read, {"keepalives": 1, **options}, _DB_WAN)
        options.setdefault("application_name", _application_name(read))
        server_options = options.get("options", "")
        if "timezone" not in server_options.lower():
            options["options"] = f"{server_options} {_UTC}".strip()
        default.setdefault("CONN_HEALTH_CHECKS", True)
    default["OPTIONS"] = options
    base["default"] = default
    return base


def _application_name(read: Reader) -> str:
    role = read(variables.ROLE)
    partition = read(variables.PARTITION)
    name = "-".join(part for part in ("nautobot", role) if part)
    if partition:
        name = f"{name}@{partition}"
    if len(name.encode()) > LONGEST_APPLICATION_NAME:
        read.problems.append(
            problem_codes.APPLICATION_NAME_LONG.problem(
                variables.PARTITION.name,
                f"the application_name {name!r} has more than "
                f"{LONGEST_APPLICATION_NAME} bytes.",
                "PostgreSQL cuts it; use a shorter name to tell workers apart.",
            )
        )
    return name


def _is_redis_cache(cache: Mapping[str, Any]) -> bool:
    return "redis" in cache.get("BACKEND", "redis").lower()


def _is_redis_broker(broker_url: str | None) -> bool:
    return (broker_url or "redis").startswith(("redis", "sentinel"))


def _cache(cache: Mapping[str, Any], read: Reader, wan: bool) -> dict[str, Any]:
    options = dict(cache.get("OPTIONS") or {})
    pool = options.get("CONNECTION_POOL_KWARGS") or {}
    location = cache.get("LOCATION")
    socket = isinstance(location, str) and location.startswith("unix:")
    options["CONNECTION_POOL_KWARGS"] = _redis_options(pool, read, wan, tcp=not socket)
    return {**cache, "OPTIONS": options}


def _redis_options(
    base: Mapping[str, Any], read: Reader, wan: bool, *, tcp: bool = True
) -> dict[str, Any]:
    options = _chosen(read, base, _REDIS_ALWAYS)
    if wan:
        options = _chosen(read, options, _REDIS_WAN)
        if tcp:
            options.setdefault("socket_keepalive", True)
    return options
