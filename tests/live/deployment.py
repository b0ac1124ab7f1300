"""What a deployment sets, and the clients that its settings make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.cache import CacheHandler
from django.db.utils import ConnectionHandler
from redis.exceptions import RedisError

from lab.certificates import Mount
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.nautobot_base import base_settings

if not django_settings.configured:
    django_settings.configure(USE_TZ=True)
    django.setup()


def configured(env: dict[str, str]) -> dict[str, Any]:
    """Return the settings that an environment gives."""
    env = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4, **env}
    namespace = base_settings(env)
    configure(namespace, env)
    return namespace


def database_environment(
    port: int, mount: Mount, sslmode: str, **more: str
) -> dict[str, str]:
    """Return what reaches PostgreSQL on localhost."""
    return {
        "NAUTOBOT_DB_HOST": "localhost",
        "NAUTOBOT_DB_PORT": str(port),
        "NAUTOBOT_DB_NAME": "app",
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_PASSWORD": "canary-of-the-database",
        "NAUTOBOT_DB_SSLMODE": sslmode,
        **mount.database_variables,
        **more,
    }


def redis_environment(
    port: int, mount: Mount | None, password: str, **more: str
) -> dict[str, str]:
    """Return what reaches Redis on localhost, without a mount no certificate."""
    env = {
        "NAUTOBOT_REDIS_HOST": "localhost",
        "NAUTOBOT_REDIS_PORT": str(port),
        "NAUTOBOT_REDIS_PASSWORD": password,
        "NAUTOBOT_REDIS_SSL": "false",
        **more,
    }
    if mount is None:
        return {"UNDERSTACK_REDIS_MTLS": "off", **env}
    return {
        **mount.redis_variables,
        **env,
    }


def database_settings(
    port: int, mount: Mount, mode: str = "verify-full", **changed: Any
) -> dict[str, Any]:
    """Return settings with any certificate: `configure` judges its own first.

    Args:
        port: Where PostgreSQL is.
        mount: What is presented, and who is trusted.
        mode: libpq's ``sslmode``.
        **changed: Keys of the database in capitals, or libpq's parameters.
    """
    files = {"sslcert": mount.certificate, "sslkey": mount.key}
    verified = mode.startswith("verify")
    own = {name: value for name, value in changed.items() if name.isupper()}
    return {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "app",
                "USER": "app",
                "HOST": "localhost",
                "PORT": str(port),
                **own,
                "OPTIONS": {
                    "sslmode": mode,
                    **({**files, "sslrootcert": mount.ca} if verified else {}),
                    **{key: changed[key] for key in changed.keys() - own.keys()},
                },
            }
        }
    }


def parameters(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what Django gives to the driver of the database."""
    entry = settings["DATABASES"]["default"]
    names = ("user", "host", "port", "password")
    given = {name: entry[name.upper()] for name in names if name.upper() in entry}
    return {"dbname": entry["NAME"], **given, **entry["OPTIONS"]}


def redis_settings(
    port: int, mount: Mount | None, host: str = "localhost", **changed: Any
) -> dict[str, Any]:
    """Return settings of cache and broker; without a mount, in plain text.

    Args:
        port: Where Redis is.
        mount: What is presented, and who is trusted.
        host: Where Redis is.
        **changed: Keyword arguments of redis-py's pool.
    """
    tls: dict[str, Any] = {}
    if mount is not None:
        tls = {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": mount.ca,
            "ssl_certfile": mount.certificate,
            "ssl_keyfile": mount.key,
        }
    url = f"{'rediss' if tls else 'redis'}://{host}:{port}"
    return {
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": f"{url}/0",
                "OPTIONS": {"CONNECTION_POOL_KWARGS": {**tls, **changed}},
            }
        },
        "CELERY_BROKER_URL": f"{url}/0",
        "CELERY_BROKER_USE_SSL": tls,
    }


@contextmanager
def database(settings: dict[str, Any]) -> Iterator[Any]:
    """Connect as Django would."""
    connection = ConnectionHandler(settings["DATABASES"])["default"]
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def cache(settings: dict[str, Any]) -> Iterator[Any]:
    """Return the cache as Django would; its pool is gone afterwards."""
    from django_redis.pool import ConnectionFactory

    backend = CacheHandler(settings["CACHES"])["default"]
    try:
        yield backend
    finally:
        # The pools are kept by URL for the life of the process.
        for pool in ConnectionFactory._pools.values():
            pool.disconnect()
        ConnectionFactory._pools.clear()


@contextmanager
def broker(settings: dict[str, Any]) -> Iterator[Any]:
    """Return a broker connection as Celery would."""
    from celery import Celery

    app = Celery("test", set_as_current=False)
    app.config_from_object(
        {name: value for name, value in settings.items() if name.startswith("CELERY_")},
        namespace="CELERY",
    )
    connection = app.connection_for_write()
    try:
        yield connection
    finally:
        connection.release()
        app.close()


def is_let_in(client: Any) -> bool:
    """Tell whether Redis answers a client of redis-py."""
    try:
        return bool(client.ping())
    except RedisError:
        return False
