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
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import sentinel_options
from understack_nautobot_settings.fragments.redis_caches import takes_pool_arguments
from understack_nautobot_settings.fragments.redis_caches import with_pool_arguments
from understack_nautobot_settings.fragments.redis_urls import BROKER_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import TCP_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import broker_place
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

# Bytes that PostgreSQL keeps of an ``application_name`` (NAMEDATALEN - 1).
_LONGEST_APPLICATION_NAME = 63

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
_KEEPALIVE: dict[int, Variable[Any]] = {
    getattr(socket, name): variable
    for name, variable in {
        "TCP_KEEPIDLE": variables.REDIS_KEEPALIVES_IDLE,
        "TCP_KEEPINTVL": variables.REDIS_KEEPALIVES_INTERVAL,
        "TCP_KEEPCNT": variables.REDIS_KEEPALIVES_COUNT,
        "TCP_USER_TIMEOUT": variables.REDIS_TCP_USER_TIMEOUT,
    }.items()
    if hasattr(socket, name)
}
# django-redis' own names, which its pool's arguments would hide.
_DJANGO_REDIS_WAITS = {
    "SOCKET_CONNECT_TIMEOUT": "socket_connect_timeout",
    "SOCKET_TIMEOUT": "socket_timeout",
}
# RESP3 and the name of the client library cost a round trip each, or two.
_REDIS_QUIET = {"protocol": 2, "client_info": False}

# kombu's Redis transport over `redis_connections`.
_BROKER_TRANSPORT = "understack_nautobot_settings.runtime.broker:Transport"
_CONNECTIONS = "understack_nautobot_settings.runtime.redis_connections"

NAUTOBOTS_RESULT_BACKEND = "nautobot.core.celery.backends.NautobotDatabaseBackend"
# Nautobot's result backend, which waits for a database that is away.
_RESULT_BACKEND = "understack_nautobot_settings.runtime.job_results.JobResultBackend"

# Milliseconds: the n-th retry waits for a random part of ``0.25 s * 2 ** n``.
_RESULT_RETRIES = {
    "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
    "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS": 250,
    "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS": 5000,
}

# Options by name, and the variables that decide them.
_Declared = Mapping[Any, Variable[Any]]
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
    Where the base names its own, it is kept. Nautobot's own result backend is replaced
    with ``wan``; one in Redis is only warned about.

    Returns:
        ``DATABASES``, ``CACHES``, ``CELERY_BROKER_TRANSPORT_OPTIONS`` and
        ``CELERY_BROKER_TRANSPORT``, the last two only for Redis or where given;
        with ``wan`` ``CELERY_RESULT_BACKEND`` and how patient it is.

    Raises:
        SettingsError: A variable is wrong.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        wan = read(variables.CONNECTION_PROFILE) == "wan"
        base = well_formed(
            settings,
            found,
            "DATABASES",
            "CACHES",
            "CELERY_BROKER_URL",
            "CELERY_BROKER_TRANSPORT_OPTIONS",
            "CELERY_BROKER_TRANSPORT",
            "CELERY_RESULT_BACKEND",
        )
        caches = base.get("CACHES", {"default": {}})
        result_backend = base.get("CELERY_RESULT_BACKEND")
        partition = read.chosen(variables.PARTITION, settings, variables.PARTITION.name)
        databases = _databases(base.get("DATABASES", {}), partition, read, wan)
        waits = _REDIS_WAN if wan else _REDIS_ALWAYS
        for variable in waits.values():
            # Judged even where nothing reaches Redis.
            read.given(variable)
        decided: dict[str, Any] = {
            "DATABASES": databases,
            "CACHES": {
                alias: _cache(cache, waits, read, wan, settings)
                if _is_ours(cache)
                else cache
                for alias, cache in caches.items()
            },
            **_broker(base, waits, read, wan),
        }
        for alias, cache in decided["CACHES"].items():
            if _names_own_tls_class(cache):
                _warn_of_own_class(f"CACHES.{alias}", read)
        if scheme_of(result_backend or "") == "rediss":
            read.report(
                codes.REDIS_RESULT_BACKEND_TRUST,
                "CELERY_RESULT_BACKEND",
                "Celery's Redis result backend names its connection class itself, "
                "so it trusts the system's CAs beside the configured one.",
            )
        return decided | _results(settings, result_backend, read, wan)


def _chosen(
    base: Mapping[Any, Any], declared: _Declared, read: Reader
) -> dict[Any, Any]:
    """Return the base with the options that these variables decide."""
    chosen = dict(base)
    for option, variable in declared.items():
        chosen[option] = read.chosen(variable, base, option)
    return chosen


def _databases(
    databases: Mapping[str, Any], partition: object, read: Reader, wan: bool
) -> dict[str, Any]:
    base = {
        alias: {**database, "OPTIONS": _patience(database, read, wan)}
        if alias != "default" and is_postgresql(database)
        else database
        for alias, database in databases.items()
    }
    default = dict(base.get("default", {}))
    if not is_postgresql(default):
        return base
    options = _patience(default, read, wan)
    pooler = read(variables.DB_POOLER)
    if wan:
        options.setdefault("application_name", _application_name(partition, read))
        if pooler is None:
            zone = str(default.get("TIME_ZONE") or "UTC")
            options |= _time_zone(options.get("options"), zone)
        default.setdefault("CONN_HEALTH_CHECKS", True)
    if pooler == "transaction":
        default["DISABLE_SERVER_SIDE_CURSORS"] = True
    if pooler is not None and options.get("options"):
        read.report(
            codes.DB_POOLER_OPTIONS,
            "DATABASES",
            "OPTIONS has options, and PgBouncer refuses them.",
        )
    default["OPTIONS"] = options
    base["default"] = default
    return base


def _patience(database: Mapping[str, Any], read: Reader, wan: bool) -> dict[str, Any]:
    """Return the parameters of libpq with those of how long it waits."""
    options = {"keepalives": 1} if wan else {}
    options |= database.get("OPTIONS") or {}
    return _chosen(options, variables.DB_WAITS if wan else _DB_ALWAYS, read)


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
    # Of a settings file; the partition itself is refused elsewhere.
    if len(name.encode(errors="replace")) > _LONGEST_APPLICATION_NAME:
        read.report(
            codes.APPLICATION_NAME_LONG,
            variables.PARTITION.name,
            f"the application_name {name!r} has more than "
            f"{_LONGEST_APPLICATION_NAME} bytes.",
            "PostgreSQL cuts it; use a shorter name to tell workers apart.",
        )
    return name


def _is_ours(cache: Mapping[str, Any]) -> bool:
    # Django's own backend refuses the options of django-redis.
    options = cache.get("OPTIONS") or {}
    return is_redis_cache(cache) and (
        takes_pool_arguments(cache) or "CLIENT_CLASS" not in options
    )


def _cache(
    cache: Mapping[str, Any],
    waits: _Declared,
    read: Reader,
    wan: bool,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    options = dict(cache.get("OPTIONS") or {})
    written = {
        name: options[djangos]
        for djangos, name in _DJANGO_REDIS_WAITS.items()
        if djangos in options
    }
    pool = written | pool_arguments(cache)
    scheme = scheme_of(next(iter(urls_of(cache.get("LOCATION"), ",")), ""))
    local = scheme == "unix"
    pool = _chosen(pool, waits, read)
    if wan and not local:
        pool |= _keepalive(pool, read)
    own = _names_own_classes(options) or sentinel_options(settings, cache)
    if not (local or "connection_class" in pool or own):
        secured = scheme == "rediss" or "ssl_cert_reqs" in pool
        pool["connection_class"] = _connection_class(secured)
        if wan:
            pool = {**_REDIS_QUIET, **pool}
            pool["retries"] = read.chosen(variables.REDIS_RETRIES, pool, "retries")
    return with_pool_arguments(cache, pool)


def _warn_of_own_class(place: str, read: Reader) -> None:
    read.report(
        codes.REDIS_OWN_CLASS_TRUST,
        place,
        "the settings file names the class of its connections, which may trust the "
        "system's CAs beside the configured one.",
    )


def _names_own_tls_class(cache: Mapping[str, Any]) -> bool:
    """Tell whether a cache with a CA of its own is reached by another class."""
    pool = pool_arguments(cache) if _is_ours(cache) else {}
    if "ssl_ca_certs" not in pool:
        return False
    ours = (f"{_CONNECTIONS}.TlsConnection", _connection_class(secured=True))
    return pool.get("connection_class") not in ours


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
    """Tell whether a cache decides on its connections elsewhere."""
    return "CONNECTION_FACTORY" in options or "CONNECTION_POOL_CLASS" in options


def _broker(
    base: Mapping[str, Any], waits: _Declared, read: Reader, wan: bool
) -> dict[str, Any]:
    broker = base.get("CELERY_BROKER_URL")
    urls = urls_of(broker, ";")
    schemes = {scheme_of(url) for url in urls} or {"redis"}
    options = base.get("CELERY_BROKER_TRANSPORT_OPTIONS", {})
    transport = base.get("CELERY_BROKER_TRANSPORT")
    if schemes & BROKER_SCHEMES:
        # Longer than the cache's: what is given up too early is submitted again.
        timeout = variables.BROKER_SOCKET_TIMEOUT
        for_redis = read.given(variables.REDIS_SOCKET_TIMEOUT)
        if read.given(timeout) is None and for_redis is not None:
            timeout = variables.REDIS_SOCKET_TIMEOUT
        options = _chosen(options, {**waits, "socket_timeout": timeout}, read)
        if wan:
            options |= _keepalive(options, read)
    if schemes <= TCP_SCHEMES and transport in {None, _BROKER_TRANSPORT}:
        if wan:
            options = {**_REDIS_QUIET, **options}
        if wan or "rediss" in schemes:
            transport = _BROKER_TRANSPORT
            if "rediss" in schemes and len(urls) > 1:
                read.report(
                    codes.REDIS_BROKER_FAILOVER_TRUST,
                    broker_place(broker, read.env),
                    "the URL lists several brokers, and kombu goes on with its "
                    "own transport after the first, which trusts the system's "
                    "CAs beside the configured one.",
                )
    elif "rediss" in schemes and schemes <= TCP_SCHEMES:
        _warn_of_own_class("CELERY_BROKER_TRANSPORT", read)
    decided = {
        "CELERY_BROKER_TRANSPORT_OPTIONS": dict(options),
        "CELERY_BROKER_TRANSPORT": transport,
    }
    return {name: value for name, value in decided.items() if value or name in base}


def _results(
    settings: Mapping[str, Any], result_backend: str | None, read: Reader, wan: bool
) -> dict[str, Any]:
    most = "CELERY_RESULT_BACKEND_MAX_RETRIES"
    retries = read.chosen(variables.JOB_RESULT_RETRIES, settings, most)
    if not wan or result_backend not in (NAUTOBOTS_RESULT_BACKEND, _RESULT_BACKEND):
        return {}
    return {
        "CELERY_RESULT_BACKEND": _RESULT_BACKEND,
        **{name: settings.get(name, value) for name, value in _RESULT_RETRIES.items()},
        most: retries,
    }


def _keepalive(options: Mapping[str, Any], read: Reader) -> dict[str, Any]:
    kept = mapping(options.get("socket_keepalive_options"))
    return {
        "socket_keepalive": options.get("socket_keepalive", True),
        "socket_keepalive_options": _chosen(kept, _KEEPALIVE, read),
    }
