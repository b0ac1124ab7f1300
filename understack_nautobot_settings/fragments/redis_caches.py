"""Which caches are in Redis, and which of them are configured as Nautobot does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables

_NATIVE = "django.core.cache"
_COUNTED = "NativeRedisCache"
"""Django's own as django_prometheus counts it."""


def cache_backend(cache: Mapping[str, Any]) -> str:
    """Return the backend of a cache, Nautobot's where its variable is empty."""
    backend = str(cache.get("BACKEND") or "").strip()
    return backend or variables.CACHES_BACKEND.default


def is_redis_cache(cache: Mapping[str, Any]) -> bool:
    """Tell whether a ``CACHES`` entry is kept in Redis."""
    return "redis" in cache_backend(cache).lower()


def takes_pool_arguments(cache: Mapping[str, Any]) -> bool:
    """Tell whether a Redis cache reads ``CONNECTION_POOL_KWARGS``.

    django-redis does; Django's own backend hands every option to redis-py.
    """
    backend = cache_backend(cache)
    return _NATIVE not in backend and _COUNTED not in backend
