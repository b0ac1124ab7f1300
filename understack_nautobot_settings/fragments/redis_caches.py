"""Which caches are in Redis, and where each takes its connections' arguments."""

from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.settings_module import mapping

# Django's own, and the same as django_prometheus counts it.
_NATIVE = ("django.core.cache", "NativeRedisCache")

DEFAULT_FACTORY = "DJANGO_REDIS_CONNECTION_FACTORY"
"""The setting that names the factory of every cache of django-redis."""
_FACTORY = "CONNECTION_FACTORY"
CLASSES = ("CLIENT_CLASS", _FACTORY, "CONNECTION_POOL_CLASS")
"""The options by which django-redis is told how to connect."""

_CONNECTIONS = "understack_nautobot_settings.runtime.redis_connections"
PLAIN_CLASS = f"{_CONNECTIONS}.TcpConnection"
TLS_CLASS = f"{_CONNECTIONS}.TlsConnection"
"""The classes of connections that this library names, without and with TLS."""


def cache_backend(cache: Mapping[str, Any]) -> str:
    """Return the backend of a cache, Nautobot's where its variable is empty."""
    backend = str(cache.get("BACKEND") or "").strip()
    return backend or variables.CACHES_BACKEND.default


def is_redis_cache(cache: Mapping[str, Any]) -> bool:
    """Tell whether a ``CACHES`` entry is kept in Redis."""
    return "redis" in cache_backend(cache).lower()


def is_valkey_cache(cache: Mapping[str, Any]) -> bool:
    """Tell whether a ``CACHES`` entry uses Valkey's own client."""
    return "valkey" in cache_backend(cache).lower()


def sentinel_options(
    settings: Mapping[str, Any], cache: Mapping[str, Any]
) -> list[str]:
    """Return where a cache is told to ask Sentinel: options of it, or a setting.

    django-redis takes the setting where the cache names no factory of its own.
    """
    options = mapping(cache.get("OPTIONS"))
    found = [name for name in CLASSES if "Sentinel" in str(options.get(name))]
    takes_setting = takes_pool_arguments(cache) and _FACTORY not in options
    if not found and takes_setting and "Sentinel" in str(settings.get(DEFAULT_FACTORY)):
        found = [DEFAULT_FACTORY]
    return found


def takes_pool_arguments(cache: Mapping[str, Any]) -> bool:
    """Tell whether a Redis cache reads ``CONNECTION_POOL_KWARGS``.

    django-redis does; Django's own backend hands every option to redis-py.
    """
    return not any(native in cache_backend(cache) for native in _NATIVE)


def pool_arguments(cache: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a cache's connection pool, from where it takes them."""
    options = mapping(cache.get("OPTIONS"))
    if takes_pool_arguments(cache):
        options = mapping(options.get("CONNECTION_POOL_KWARGS"))
    return dict(options)


def asks_for_tls(arguments: Mapping[str, Any]) -> bool:
    """Tell whether arguments of redis-py have a meaning over TLS only."""
    return bool(arguments.get("ssl")) or any(
        name.startswith("ssl_") for name in arguments
    )


def connection_class(arguments: Mapping[str, Any]) -> str:
    """Return the dotted name of the class of connections, empty for redis-py's own."""
    named = arguments.get("connection_class") or ""
    if isinstance(named, type):
        return f"{named.__module__}.{named.__qualname__}"
    return str(named)


def with_pool_arguments(
    cache: Mapping[str, Any], pool: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the cache with these arguments of its connection pool."""
    options = dict(pool)
    if takes_pool_arguments(cache):
        before = mapping(cache.get("OPTIONS"))
        options = {**before, "CONNECTION_POOL_KWARGS": options}
    return {**cache, "OPTIONS": options}


def requirement(value: object) -> str:
    """Return an ``ssl_cert_reqs`` of redis-py as its word: ``none``, ``required``.

    redis-py takes the word, a constant of `ssl`, or None for none; Celery's result
    backend the name of the constant as well, ``CERT_NONE``.
    """
    if value is None:
        return "none"
    if isinstance(value, int):
        from ssl import VerifyMode

        words = {one: one.name.removeprefix("CERT_").lower() for one in VerifyMode}
        return words.get(value, str(value))  # type: ignore[call-overload, no-any-return]
    return str(value).removeprefix("CERT_").lower()
