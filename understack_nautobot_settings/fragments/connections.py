"""How long connections may take, and how they survive a gateway in between."""

import os
import re
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments import redis_caches
from understack_nautobot_settings.fragments import redis_urls
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

NAUTOBOTS_RESULT_BACKEND = "nautobot.core.celery.backends.NautobotDatabaseBackend"
# Nautobot's result backend, which waits for a database that is away.
_RESULT_BACKEND = "understack_nautobot_settings.runtime.job_results.JobResultBackend"

# Milliseconds: the n-th retry waits for a random part of ``0.25 s * 2 ** n``.
_RESULT_RETRIES = {
    "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
    "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS": 250,
    "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS": 5000,
}

_ZONE = "[A-Za-z0-9_+/-]+"


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

    Call it after `redis_tls_settings`: whether a URL speaks TLS decides the class.

    Redis connections over TCP are made by `redis_connections`: over TLS they trust
    the configured CA and nobody else, and a blocking command may take longer than
    the socket timeout. The cache names the class in its pool's keyword arguments,
    where Nautobot's health check finds it as well; the broker names a transport.
    Where the base names its own, it is kept. Nautobot's own result backend is replaced
    with ``wan``; one in Redis is only warned about.

    Returns:
        ``DATABASES``, ``CACHES``, ``CELERY_BROKER_TRANSPORT_OPTIONS`` and
        ``CELERY_BROKER_TRANSPORT``, the last two only for Redis or where given;
        with ``wan`` ``CELERY_RESULT_BACKEND`` and how often it tries again.

    Raises:
        SettingsError: A variable is wrong.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        wan = read(variables.CONNECTION_PROFILE) == "wan"
        profile = _Profile(wan, read, settings)
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
        databases = {"default": {}, **base.get("DATABASES", {})}
        caches = base.get("CACHES", {"default": {}})
        return {
            "DATABASES": {
                alias: profile.database(alias, database)
                for alias, database in databases.items()
            },
            "CACHES": {
                alias: profile.cache(alias, cache) for alias, cache in caches.items()
            },
            **profile.broker(base),
            **profile.results(base.get("CELERY_RESULT_BACKEND")),
        }


class _Profile(NamedTuple):
    """A connection profile, in one environment and over one settings module."""

    wan: bool
    read: Reader
    settings: Mapping[str, Any]

    @property
    def redis_waits(self) -> dict[str, Variable[Any]]:
        return _REDIS_WAN if self.wan else _REDIS_ALWAYS

    def database(self, alias: str, database: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a database with timeouts; the default one with the whole profile."""
        if not is_postgresql(database):
            return database
        waits = variables.DB_WAITS if self.wan else _DB_ALWAYS
        said = {"keepalives": 1} if self.wan else {}
        options = self.read.options(waits, {**said, **(database.get("OPTIONS") or {})})
        if alias != "default":
            return {**database, "OPTIONS": options}
        found = dict(database)
        pooler = self.read(variables.DB_POOLER)
        if self.wan:
            options.setdefault("application_name", self._application_name())
            if pooler is None:
                zone = str(database.get("TIME_ZONE") or "UTC")
                options |= _time_zone(options.get("options"), zone)
            found.setdefault("CONN_HEALTH_CHECKS", True)
        if pooler == "transaction":
            found["DISABLE_SERVER_SIDE_CURSORS"] = True
        if pooler is not None and options.get("options"):
            fact = "libpq's parameter options is set, and PgBouncer refuses it."
            self.read.report(codes.DB_POOLER_OPTIONS, "DATABASES", fact)
        return {**found, "OPTIONS": options}

    def _application_name(self) -> str:
        partition = variables.PARTITION
        said = self.read.chosen(partition, self.settings, partition.name)
        role = self.read(variables.ROLE)
        name = "-".join(part for part in ("nautobot", role) if part)
        if said:
            name = f"{name}@{said}"
        # Of a settings file; the partition itself is refused elsewhere.
        if len(name.encode(errors="replace")) > _LONGEST_APPLICATION_NAME:
            self.read.report(
                codes.APPLICATION_NAME_LONG,
                partition.name,
                f"the application_name {name!r} has more than "
                f"{_LONGEST_APPLICATION_NAME} bytes.",
                "PostgreSQL cuts it; use a shorter name to tell workers apart.",
            )
        return name

    def cache(self, alias: str, cache: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a cache with timeouts, and with the class of its connections."""
        options = cache.get("OPTIONS") or {}
        django_redis = redis_caches.takes_pool_arguments(cache)
        # Django's own backend refuses the options of django-redis.
        misfit = "CLIENT_CLASS" in options and not django_redis
        if misfit or not redis_caches.is_redis_cache(cache):
            return cache
        written = {
            name: options[djangos]
            for djangos, name in _DJANGO_REDIS_WAITS.items()
            if djangos in options
        }
        written |= redis_caches.pool_arguments(cache)
        pool = self.read.options(self.redis_waits, written)
        url = next(iter(redis_urls.urls_of(cache.get("LOCATION"), ",")), "")
        scheme = redis_urls.scheme_of(url)
        if self.wan and scheme != "unix":
            pool |= self._keepalive(pool)
        elsewhere = (
            not {"CONNECTION_FACTORY", "CONNECTION_POOL_CLASS"}.isdisjoint(options)
            # An earlier call named ours, perhaps for another scheme.
            or redis_caches.connection_class(pool)
            not in ("", redis_caches.PLAIN_CLASS, redis_caches.TLS_CLASS)
            or redis_caches.sentinel_options(self.settings, cache)
        )
        if scheme == "unix" and not elsewhere:
            pool.pop("connection_class", None)
        elif not elsewhere:
            secured = scheme == "rediss" or "ssl_cert_reqs" in pool
            pool["connection_class"] = _connection_class(secured)
            if self.wan:
                pool = {**_REDIS_QUIET, **pool}
                retries = self.read.chosen(variables.REDIS_RETRIES, pool, "retries")
                pool["retries"] = retries
        tls_class = redis_caches.TLS_CLASS
        if "ssl_ca_certs" in pool and redis_caches.connection_class(pool) != tls_class:
            self._warn_of_own_class(f"CACHES.{alias}")
        return redis_caches.with_pool_arguments(cache, pool)

    def broker(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Return the transport of the broker and its options, for Redis or if given."""
        for variable in self.redis_waits.values():
            # Judged even where nothing reaches Redis.
            self.read.given(variable)
        broker = base.get("CELERY_BROKER_URL")
        urls = redis_urls.urls_of(broker, ";")
        schemes = {redis_urls.scheme_of(url) for url in urls} or {"redis"}
        options = dict(base.get("CELERY_BROKER_TRANSPORT_OPTIONS", {}))
        transport = base.get("CELERY_BROKER_TRANSPORT")
        over_tcp = schemes <= redis_urls.TCP_SCHEMES
        if schemes & redis_urls.BROKER_SCHEMES:
            # Longer than the cache's: what is given up too early is submitted again.
            timeout = variables.BROKER_SOCKET_TIMEOUT
            for_redis = self.read.given(variables.REDIS_SOCKET_TIMEOUT)
            if self.read.given(timeout) is None and for_redis is not None:
                timeout = variables.REDIS_SOCKET_TIMEOUT
            waits = {**self.redis_waits, "socket_timeout": timeout}
            options = self.read.options(waits, options)
            if self.wan:
                options |= self._keepalive(options)
        if over_tcp and transport in {None, _BROKER_TRANSPORT}:
            if self.wan:
                options = {**_REDIS_QUIET, **options}
            if self.wan or "rediss" in schemes:
                transport = _BROKER_TRANSPORT
            if "rediss" in schemes and len(urls) > 1:
                self.read.report(
                    codes.REDIS_BROKER_FAILOVER_TRUST,
                    redis_urls.broker_place(broker, self.read.env),
                    "the URL lists several brokers, and kombu goes on with its "
                    "own transport after the first, which trusts the system's "
                    "CAs beside the configured one.",
                )
        elif over_tcp and "rediss" in schemes:
            self._warn_of_own_class("CELERY_BROKER_TRANSPORT")
        decided = {
            "CELERY_BROKER_TRANSPORT_OPTIONS": options,
            "CELERY_BROKER_TRANSPORT": transport,
        }
        return {name: value for name, value in decided.items() if value or name in base}

    def results(self, backend: str | None) -> dict[str, Any]:
        """Return the result backend that waits for its database, with ``wan``."""
        if redis_urls.scheme_of(backend or "") == "rediss":
            self.read.report(
                codes.REDIS_RESULT_BACKEND_TRUST,
                "CELERY_RESULT_BACKEND",
                "Celery's Redis result backend names its connection class itself, "
                "so it trusts the system's CAs beside the configured one.",
            )
        said, most = self.settings, "CELERY_RESULT_BACKEND_MAX_RETRIES"
        retries = self.read.chosen(variables.JOB_RESULT_RETRIES, said, most)
        if not self.wan or backend not in (NAUTOBOTS_RESULT_BACKEND, _RESULT_BACKEND):
            return {}
        return {
            "CELERY_RESULT_BACKEND": _RESULT_BACKEND,
            **{name: said.get(name, value) for name, value in _RESULT_RETRIES.items()},
            most: retries,
        }

    def _keepalive(self, options: Mapping[str, Any]) -> dict[str, Any]:
        kept = mapping(options.get("socket_keepalive_options"))
        return {
            "socket_keepalive": options.get("socket_keepalive", True),
            "socket_keepalive_options": self.read.options(_KEEPALIVE, kept),
        }

    def _warn_of_own_class(self, place: str) -> None:
        self.read.report(
            codes.REDIS_OWN_CLASS_TRUST,
            place,
            "the settings file names the class of its connections, which may trust the "
            "system's CAs beside the configured one.",
        )


def _time_zone(given: str | None, zone: str) -> dict[str, str]:
    """Return libpq's ``options`` with the time zone that Django would set next."""
    # An empty text is somebody's wish: PgBouncer refuses the parameter.
    if given == "" or "timezone" in str(given).lower() or not re.fullmatch(_ZONE, zone):
        return {}
    return {"options": f"{given or ''} -c TimeZone={zone}".strip()}


def _connection_class(secured: bool) -> Any:
    """Return a class of `redis_connections`, or its name where no Django runs.

    Whoever only looks at settings, as the command line does, makes no connection, and
    redis-py takes longer to load than the rest of the package.
    """
    dotted = redis_caches.TLS_CLASS if secured else redis_caches.PLAIN_CLASS
    if "django" in sys.modules:
        module, _, name = dotted.rpartition(".")
        with suppress(ImportError):
            return getattr(import_module(module), name)
    return dotted
