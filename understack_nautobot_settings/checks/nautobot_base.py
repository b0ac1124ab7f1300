"""The settings that Nautobot derives from the environment, without Nautobot.

What runs outside of Nautobot starts from these: the command line, and the tests of
whoever deploys it.
"""

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import TRUE_WORDS
from understack_nautobot_settings.fragments.redis_urls import BROKER_DATABASE
from understack_nautobot_settings.fragments.redis_urls import CACHE_DATABASE
from understack_nautobot_settings.fragments.redis_urls import nautobot_url
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting


def base_settings(env: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the base that fragments extend, as ``nautobot.core.settings`` has it.

    Only settings that a fragment extends or a probe needs, in the values that
    Nautobot 2.4 to 3.2 give them. Needs neither Nautobot nor Django.

    Args:
        env: The environment; read as Nautobot reads it, without stripping.
    """
    engine, backend = variables.DB_ENGINE.default, variables.CACHES_BACKEND.default
    if env.get(variables.METRICS_ENABLED.name, "").lower() in TRUE_WORDS:
        engine = "django_prometheus.db.backends.postgresql"
        backend = "django_prometheus.cache.backends.redis.RedisCache"
    engine = env.get(variables.DB_ENGINE.name, engine)
    options = {"OPTIONS": {"charset": "utf8mb4"}} if "mysql" in engine else {}
    cache = {
        "BACKEND": env.get(variables.CACHES_BACKEND.name, backend),
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "PASSWORD": "",
        },
    }
    location = nautobot_url(env, CACHE_DATABASE)
    if location is not None:
        cache["LOCATION"] = location
    debug = env.get(variables.DEBUG.name, "")
    hosts = env.get(variables.ALLOWED_HOSTS.name, "")
    settings: dict[str, Any] = {
        "DEBUG": debug.lower() in TRUE_WORDS,
        "ALLOWED_HOSTS": hosts.split(" ") if hosts else [],
        "SECRET_KEY": env.get(variables.SECRET_KEY.name, ""),
        "DATABASES": {
            "default": {
                **{
                    key: env.get(one.name, one.default)
                    for key, one in variables.DB_KEYS.items()
                },
                "PASSWORD": env.get(variables.DB_PASSWORD.name, ""),
                "ENGINE": engine,
                **options,
            }
        },
        "CACHES": {"default": cache},
        "PLUGINS": [],
        "PLUGINS_CONFIG": {},
    }
    broker = env.get(
        variables.CELERY_BROKER_URL.name, nautobot_url(env, BROKER_DATABASE)
    )
    if broker is not None:
        settings["CELERY_BROKER_URL"] = broker
    return settings


def settings_for(
    env: Mapping[str, str],
    base: Mapping[str, Any] | None = None,
    *,
    check_files: Callable[[ClientFiles], list[Problem]] = check_certificates,
) -> dict[str, Any]:
    """Return the settings that `configure` makes in an environment, to test them.

    Changes nothing and remembers nothing, so that it can be called for one
    environment after the other.

    Args:
        env: The environment, all of it: nothing is taken from the process.
        base: The settings that are extended; `base_settings` of the environment by
            default.
        check_files: Judges the certificate files; `no_files` where none is mounted.

    Returns:
        Base and decided settings by their Django names.

    Raises:
        SettingsError: What `configure` would raise. Its warnings come as
            `SettingsWarning`.
    """
    from understack_nautobot_settings.evaluation import evaluate

    extended = base_settings(env) if base is None else base
    with collecting(None) as problems:
        settings, found = evaluate(extended, env, check_files=check_files)
        problems.extend(found)
    return {**extended, **settings}


def no_files(_files: ClientFiles, **_options: Any) -> list[Problem]:
    """Judge no certificate file: for where nothing is mounted."""
    return []
