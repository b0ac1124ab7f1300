"""How long connections may take, and how they survive a gateway in between."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import LETTERS_AND_DIGITS
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import takes_pool_arguments
from understack_nautobot_settings.fragments.redis_caches import with_pool_arguments
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import TCP_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

LONGEST_APPLICATION_NAME = 63
"""Bytes that PostgreSQL keeps of an ``application_name`` (NAMEDATALEN - 1)."""

_DB_ALWAYS = {"connect_timeout": variables.DB_CONNECT_TIMEOUT}
_REDIS_ALWAYS: dict[str, Variable[Any]] = {
    "socket_connect_timeout": variables.REDIS_CONNECT_TIMEOUT,
    "socket_timeout": variables.REDIS_SOCKET_TIMEOUT,
}
_REDIS_WAN: dict[str, Variable[Any]] = {
    **_REDIS_ALWAYS,
    "health_check_interval": variables.REDIS_HEALTH_CHECK_INTERVAL,
}
# Options of a TCP socket, see tcp(7). Not every system has every one.
_KEEPALIVE: dict[str, Variable[Any]] = {
    "TCP_KEEPIDLE": variables.REDIS_KEEPALIVES_IDLE,
    "TCP_KEEPINTVL": variables.REDIS_KEEPALIVES_INTERVAL,
    "TCP_KEEPCNT": variables.REDIS_KEEPALIVES_COUNT,
    "TCP_USER_TIMEOUT": variables.REDIS_TCP_USER_TIMEOUT,
}
# django-redis' own names, which its pool's arguments would hide.
_DJANGO_REDIS_WAITS = {
    "SOCKET_CONNECT_TIMEOUT": "socket_connect_timeout",
    "SOCKET_TIMEOUT": "socket_timeout",
}
# RESP3 and the name of the client library cost a round trip each, or two.
_REDIS_QUIET = {"protocol": 2, "client_info": False}

BROKER_TRANSPORT = "understack_nautobot_settings.runtime.broker:Transport"
"""kombu's Redis transport over `redis_connections`."""

_CONNECTIONS = "understack_nautobot_settings.runtime.redis_connections"

NAUTOBOTS_RESULT_BACKEND = "nautobot.core.celery.backends.NautobotDatabaseBackend"
RESULT_BACKEND = "understack_nautobot_settings.runtime.job_results.JobResultBackend"
"""Nautobot's result backend, which waits for a database that is away."""

# Milliseconds: the n-th retry waits for a random part of ``0.25 s * 2 ** n``.
_MAX_RETRIES = "CELERY_RESULT_BACKEND_MAX_RETRIES"
_RESULT_RETRIES = {
    "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
    _MAX_RETRIES: variables.JOB_RESULT_RETRIES.default,
    "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS": 250,
    "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS": 5000,
}

_READ = (
    "DATABASES",
    "CACHES",
    "CELERY_BROKER_URL",
    "CELERY_BROKER_TRANSPORT_OPTIONS",
    "CELERY_BROKER_TRANSPORT",
    "CELERY_RESULT_BACKEND",
)

_Given = dict[Any, tuple[Any, Any]]
"""Options by name: the value that is given, None for none, and the default."""

_ZONE = LETTERS_AND_DIGITS.union("_+/-")


def connection_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return database, cache and broker settings with timeouts, and the profile.

    Timeouts are always set: libpq and redis-py wait for ever on a server that
    accepts a connection and says nothing. The profile ``wan`` adds what a worker
    behind a gateway needs. A variable that is set decides; otherwise what the
    base has is kept; otherwise the default of the variable is used.

    Redis connections over TCP are made by `redis_connections`: over TLS they trust
    the configured CA and nobody else, and a blocking command may take longer than
    the socket timeout. The cache names the class in its pool's keyword arguments,
    where Nautobot's health check finds it as well; the broker names a transport.
    Where the base names its own, it is kept.

    Args:
        settings: The settings module as a mapping; reads ``DATABASES``, ``CACHES``,
            ``CELERY_BROKER_URL``, ``CELERY_BROKER_TRANSPORT_OPTIONS``,
            ``CELERY_BROKER_TRANSPORT`` and ``CELERY_RESULT_BACKEND``, changes
            nothing. Nautobot's own result backend is replaced with ``wan``; one in
            Redis is only warned about.
        env: The environment.
        problems: Collects problems instead of raising them.

    Returns:
        ``DATABASES``, ``CACHES``, ``CELERY_BROKER_TRANSPORT_OPTIONS`` and
        ``CELERY_BROKER_TRANSPORT``, the last two only for Redis or where given;
        with ``wan`` ``CELERY_RESULT_BACKEND`` and how patient it is.

    Raises:
        SettingsError: A variable is wrong.
    """
    with Collecting(problems) as found:
        read = Reader(env, found)
        wan = read(variables.CONNECTION_PROFILE) == "wan"
        base = well_formed(settings, found, *_READ)
        caches = base.get("CACHES")
        result_backend = base.get("CELERY_RESULT_BACKEND")
        partition = read.given(variables.PARTITION) or settings.get(
            variables.PARTITION.name
        )
        decided: dict[str, Any] = {
            "DATABASES": _databases(base.get("DATABASES"), partition, read, wan)
        }
        waits = _given(read, _REDIS_WAN if wan else _REDIS_ALWAYS)
        decided["CACHES"] = {
            alias: _cache(cache, waits, read, wan) if _is_ours(cache) else cache
            for alias, cache in ({"default": {}} if caches is None else caches).items()
        }
        decided |= _broker(
            urls_of(base.get("CELERY_BROKER_URL"), ";"),
            base.get("CELERY_BROKER_TRANSPORT_OPTIONS"),
            base.get("CELERY_BROKER_TRANSPORT"),
            waits=waits,
            read=read,
            wan=wan,
        )
        if scheme_of(result_backend or "") == "rediss":
            found.append(
                codes.REDIS_RESULT_BACKEND_TRUST.problem(
                    "CELERY_RESULT_BACKEND",
                    "Celery's Redis result backend names its connection class itself, "
                    "so it trusts the system's CAs beside the configured one.",
                )
            )
        return decided | _results(settings, result_backend, read, wan)


def _given(read: Reader, declared: Mapping[str, Variable[Any]]) -> _Given:
    return {
        option: (read.given(variable), variable.default)
        for option, variable in declared.items()
    }


def _chosen(base: Mapping[Any, Any], given: _Given) -> dict[Any, Any]:
    """Return options: what is given, else what the base has, else the default."""
    chosen = dict(base)
    for option, (value, default) in given.items():
        if value is not None:
            chosen[option] = value
        elif option not in chosen:
            chosen[option] = default
    return chosen


def _databases(
    databases: Mapping[str, Any] | None, partition: object, read: Reader, wan: bool
) -> dict[str, Any]:
    base = dict(databases or {})
    default = dict(base.get("default") or {})
    if not is_postgresql(default):
        return base
    options = dict(default.get("OPTIONS") or {})
    pooler = read(variables.DB_POOLER)
    if wan:
        options = {"keepalives": 1, **options}
    options = _chosen(options, _given(read, variables.DB_WAITS if wan else _DB_ALWAYS))
    if wan:
        options.setdefault("application_name", _application_name(partition, read))
        if pooler is None:
            zone = str(default.get("TIME_ZONE") or "UTC")
            options |= _time_zone(options.get("options"), zone)
        default.setdefault("CONN_HEALTH_CHECKS", True)
    if pooler == "transaction":
        default["DISABLE_SERVER_SIDE_CURSORS"] = True
    if pooler is not None and options.get("options"):
        read.problems.append(
            codes.DB_POOLER_OPTIONS.problem(
                "DATABASES", "OPTIONS has options, and PgBouncer refuses them."
            )
        )
    default["OPTIONS"] = options
    base["default"] = default
    return base


def _time_zone(given: str | None, zone: str) -> dict[str, str]:
    """Return libpq's ``options`` with the time zone that Django would set next."""
    # An empty text is somebody's wish: PgBouncer refuses the parameter.
    if given == "" or "timezone" in str(given).lower() or set(zone) - _ZONE:
        return {}
    return {"options": f"{given or ''} -c TimeZone={zone}".strip()}


def _application_name(partition: object, read: Reader) -> str:
    role = read(variables.ROLE)
    name = "-".join(part for part in ("nautobot", role) if part)
    if partition:
        name = f"{name}@{partition}"
    if len(name.encode()) > LONGEST_APPLICATION_NAME:
        read.problems.append(
            codes.APPLICATION_NAME_LONG.problem(
                variables.PARTITION.name,
                f"the application_name {name!r} has more than "
                f"{LONGEST_APPLICATION_NAME} bytes.",
                "PostgreSQL cuts it; use a shorter name to tell workers apart.",
            )
        )
    return name


def _is_ours(cache: Mapping[str, Any]) -> bool:
    # Django's own backend refuses the options of django-redis.
    options = cache.get("OPTIONS") or {}
    return is_redis_cache(cache) and (
        takes_pool_arguments(cache) or "CLIENT_CLASS" not in options
    )


def _cache(
    cache: Mapping[str, Any], waits: _Given, read: Reader, wan: bool
) -> dict[str, Any]:
    options = dict(cache.get("OPTIONS") or {})
    written = {
        name: options[djangos]
        for djangos, name in _DJANGO_REDIS_WAITS.items()
        if djangos in options
    }
    pool = written | pool_arguments(cache)
    location = cache.get("LOCATION") or ""
    first = location if isinstance(location, str) else next(iter(location), "")
    local = scheme_of(first) == "unix"
    pool = _redis_options(pool, waits, read if wan and not local else None)
    if not (local or "connection_class" in pool or _names_own_classes(options)):
        secured = scheme_of(first) == "rediss" or "ssl_cert_reqs" in pool
        pool["connection_class"] = _connection_class(secured)
        if wan:
            pool = {**_REDIS_QUIET, **pool}
            retries = _given(read, {"retries": variables.REDIS_RETRIES})
            pool = _chosen(pool, retries)
    return with_pool_arguments(cache, pool)


def _connection_class(secured: bool) -> Any:
    """Return a class of `redis_connections`, or its name where no Django runs.

    Whoever only looks at settings, as the command line does, makes no connection, and
    redis-py takes longer to load than the rest of the package.
    """
    name = "TlsConnection" if secured else "TcpConnection"
    if "django" in sys.modules:
        with suppress(ImportError):
            return getattr(import_module(_CONNECTIONS), name)
    return f"{_CONNECTIONS}.{name}"


def _names_own_classes(options: Mapping[str, Any]) -> bool:
    """Tell whether a cache decides on its connections elsewhere, as Sentinel does."""
    return (
        "Sentinel" in str(options.get("CLIENT_CLASS"))
        or "CONNECTION_FACTORY" in options
        or "CONNECTION_POOL_CLASS" in options
    )


def _broker(
    urls: list[str],
    transport_options: Mapping[str, Any] | None,
    transport: str | None,
    *,
    waits: _Given,
    read: Reader,
    wan: bool,
) -> dict[str, Any]:
    schemes = {scheme_of(url) for url in urls} or {"redis"}
    options = dict(transport_options or {})
    settings: dict[str, Any] = {}
    if schemes & {*REDIS_SCHEMES, "sentinel"}:
        # Longer than the cache's: what is given up too early is submitted again.
        given = read.given(variables.BROKER_SOCKET_TIMEOUT)
        if given is None:
            given = read.given(variables.REDIS_SOCKET_TIMEOUT)
        default = variables.BROKER_SOCKET_TIMEOUT.default
        waits = {**waits, "socket_timeout": (given, default)}
        options = _redis_options(options, waits, read if wan else None)
    if schemes <= TCP_SCHEMES and transport in {None, BROKER_TRANSPORT}:
        if wan:
            options = {**_REDIS_QUIET, **options}
        if wan or "rediss" in schemes:
            transport = BROKER_TRANSPORT
            if "rediss" in schemes and len(urls) > 1:
                read.problems.append(
                    codes.REDIS_BROKER_FAILOVER_TRUST.problem(
                        variables.CELERY_BROKER_URL.name,
                        "the URL lists several brokers, and kombu goes on with its "
                        "own transport after the first, which trusts the system's "
                        "CAs beside the configured one.",
                    )
                )
    if options or transport_options is not None:
        settings["CELERY_BROKER_TRANSPORT_OPTIONS"] = options
    if transport is not None:
        settings["CELERY_BROKER_TRANSPORT"] = transport
    return settings


def _results(
    settings: Mapping[str, Any], result_backend: str | None, read: Reader, wan: bool
) -> dict[str, Any]:
    given = read.given(variables.JOB_RESULT_RETRIES)
    known = (NAUTOBOTS_RESULT_BACKEND, RESULT_BACKEND)
    if not wan or result_backend not in known:
        return {}
    return {
        "CELERY_RESULT_BACKEND": RESULT_BACKEND,
        **{name: settings.get(name, value) for name, value in _RESULT_RETRIES.items()},
        **({} if given is None else {_MAX_RETRIES: given}),
    }


def _redis_options(
    base: Mapping[str, Any], waits: _Given, wan: Reader | None
) -> dict[str, Any]:
    """Return options with timeouts, and for `wan` with keepalive."""
    options = _chosen(base, waits)
    if wan is not None:
        options.setdefault("socket_keepalive", True)
        known = {
            getattr(socket, name): figures
            for name, figures in _given(wan, _KEEPALIVE).items()
            if hasattr(socket, name)
        }
        kept = options.get("socket_keepalive_options")
        options["socket_keepalive_options"] = _chosen(kept or {}, known)
    return options
