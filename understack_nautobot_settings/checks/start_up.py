"""What is looked at, and said, when the settings file has run.

Django configures logging after the whole file. That is when the settings are looked
at again, and when the start-up line and the warnings can be logged. A file may
switch logging off below the call, and then Django calls nobody; but it asks the
module for its names first, as Nautobot does, and a module may answer that itself
(``__dir__``, PEP 562).
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import MutableMapping
from importlib import import_module
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ReadFile
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.files import read_file
from understack_nautobot_settings.certificates.lint import check_name
from understack_nautobot_settings.checks.in_force import ConnectionMode
from understack_nautobot_settings.checks.in_force import Decisions
from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.checks.in_force import check_in_force
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import is_valkey_cache
from understack_nautobot_settings.fragments.redis_urls import AMQP_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error
from understack_nautobot_settings.runtime.connection_hints import LOGGER
from understack_nautobot_settings.runtime.connection_hints import (
    hint_at_failed_connections,
)

CONFIGURE_LOGGING = "understack_nautobot_settings.checks.start_up.configure_logging"
DJANGO_LOGGING_CONFIG = "logging.config.dictConfig"


class _Start(NamedTuple):
    """What one call of `configure` left for later.

    Attributes:
        decided: What it decided.
        warnings: What it did not refuse.
        read: Has read its certificates.
    """

    decided: Decisions
    warnings: tuple[Problem, ...]
    read: ReadOnce


# At most one: a second call of `configure` takes the place of the first.
_waiting: list[_Start] = []
_last: list[_Start] = []
_configured_by: list[str] = [DJANGO_LOGGING_CONFIG]
# That of the last call of `configure`, refused or not.
_environment: list[Mapping[str, str]] = []


def look_again_later(
    namespace: MutableMapping[str, Any],
    decided: Decisions,
    warnings: Iterable[Problem],
    read: ReadOnce,
) -> None:
    """Have the settings looked at, and the lines logged, when the file has run.

    The namespace is given ``LOGGING_CONFIG``, a ``LOGGING`` where it has none and,
    where it is a module, ``__dir__``. The rest is what the call of `configure` made.
    """
    start = _Start(decided, tuple(warnings), read)
    _waiting[:] = _last[:] = [start]
    _take_over_logging(namespace)
    if "__name__" in namespace:

        def names() -> list[str]:
            # A file may give a copy of its names, take the result over and go on.
            module = sys.modules.get(os.environ.get("DJANGO_SETTINGS_MODULE", ""))
            asked = vars(module) if module else namespace
            return _names(asked if asked.get("__dir__") is names else namespace)

        namespace["__dir__"] = names


def last_start() -> _Start | None:
    """Return what the last call of `configure` left, None where there was none."""
    return _last[0] if _last else None


def note_environment(env: Mapping[str, str]) -> None:
    """Note in which environment `configure` is called, whatever comes of it."""
    _environment[:] = [env]


def last_environment() -> Mapping[str, str] | None:
    """Return the environment of the last call, None where there was none."""
    return _environment[0] if _environment else None


def forget_start() -> None:
    """Forget what a call of `configure` left, before a file is loaded."""
    for kept in (_waiting, _last, _environment):
        kept.clear()


def configure_logging(
    logging_settings: Any, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Configure logging as Django would have, then look at the settings in force.

    Django calls this as its ``LOGGING_CONFIG``, with ``LOGGING``. Each line is logged
    once. The settings in force are Django's by default.

    Raises:
        SettingsError: The TLS that `configure` decided is not in force.
    """
    module, _, attribute = _configured_by[0].rpartition(".")
    getattr(import_module(module), attribute)(logging_settings)
    if settings is None:
        from django.conf import settings as django_settings

        settings = SettingsInForce(django_settings)
    look_again(settings)


def look_again(settings: Mapping[str, Any]) -> None:
    """Log the start-up line and every warning, once; refuse TLS that is not in force.

    Raises:
        SettingsError: The TLS that `configure` decided is not in force.
    """
    if not _waiting:
        return
    start = _waiting[0]
    undone = _undone(settings, start)
    _waiting.clear()
    logger = logging.getLogger(LOGGER)
    # dictConfig disables loggers that existed before, and Nautobot configures
    # none that would take these lines.
    logger.disabled = False
    logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        handler.setFormatter(logging.Formatter(line))
        logger.addHandler(handler)
    hint_at_failed_connections()
    logger.info("%s", startup_line(settings, read=start.read))
    names: list[Problem] = []
    # A value that is no flag is left to `check`, as nothing else depends on it.
    if not Reader(last_environment() or {}, [])(variables.DB_IDENTITY_MAP):
        # `check` makes errors of them.
        for files in client_files(settings):
            names += check_name(files, read=start.read)
    start.read.forget()
    for problem in (*start.warnings, *names, *undone):
        logger.warning("%s [%s]", problem, problem.code)


def _undone(settings: Mapping[str, Any], start: _Start) -> list[Problem]:
    """Return warnings of what the file undid; raise where that was TLS."""
    found = check_in_force(settings, start.decided)
    refusal = settings_error(found)
    if refusal is not None:
        raise refusal
    return found


def startup_line(
    settings: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
    read: ReadFile = read_file,
) -> str:
    """Return one line that states the mode of every connection; no secret.

    Args:
        settings: Django settings by name.
        clock: Seconds since the epoch.
        read: Reads a file.

    Returns:
        ``PostgreSQL sslmode=verify-full sslnegotiation=direct; cache: Redis mTLS on,
        server certificate required; broker: Redis …``
    """
    modes = sorted(connection_modes(settings), key=lambda mode: not _is_database(mode))
    days = {
        f"{certificate.path} {certificate.days_left} days"
        for files in client_files(settings)
        for certificate in describe_certificates(files, clock=clock, read=read)
    }
    return "; ".join(
        [
            *(_connection(settings, mode) for mode in modes),
            f"plugins {', '.join(settings.get('PLUGINS') or ()) or 'none'}",
            f"partition {settings.get('UNDERSTACK_PARTITION') or 'none'}",
            f"certificates expire: {', '.join(sorted(days)) or 'none in use'}",
        ]
    )


def _is_database(mode: ConnectionMode) -> bool:
    return mode.connection.startswith("database")


def _connection(settings: Mapping[str, Any], mode: ConnectionMode) -> str:
    if not _is_database(mode):
        words = _other_than_redis(settings, mode)
        if not words and mode.tls == "off":
            words = "no TLS"
        elif not words:
            mutual = "on" if mode.tls == "mutual" else "off"
            words = f"Redis mTLS {mutual}, server certificate {mode.verify}"
        return f"{mode.connection}: {words}"
    alias = mode.connection.partition(" ")[2]
    database = entries(settings, "DATABASES").get(alias or "default", {})
    if is_postgresql(database):
        options = mapping(database.get("OPTIONS"))
        sslmode = options.get("sslmode", "unset")
        negotiation = options.get("sslnegotiation", "unset")
        words = f"PostgreSQL sslmode={sslmode} sslnegotiation={negotiation}"
    else:
        words = f"database {database['ENGINE']}"
    return f"{mode.connection}: {words}" if alias else words


def _other_than_redis(settings: Mapping[str, Any], mode: ConnectionMode) -> str:
    """Return what a broker or the default cache is, empty for Redis or its like."""
    if mode.connection == "broker":
        urls = urls_of(settings.get("CELERY_BROKER_URL"), ";")
        scheme = scheme_of(urls[0]) if urls else ""
        if scheme in {"", *REDIS_SCHEMES, "sentinel"}:
            return ""
        # Of other brokers it is not known here.
        may_be_plain = scheme in AMQP_SCHEMES - {"amqps"}
        plain = may_be_plain and not settings.get("CELERY_BROKER_USE_SSL")
        return "not Redis, no TLS" if plain else "not Redis"
    alias = mode.connection.partition(" ")[2] or "default"
    cache = entries(settings, "CACHES").get(alias, {})
    return "" if is_redis_cache(cache) or is_valkey_cache(cache) else "not in Redis"


def _take_over_logging(namespace: MutableMapping[str, Any]) -> bool:
    """Have Django call `configure_logging`; return whether it will."""
    configured_by = namespace.get("LOGGING_CONFIG", DJANGO_LOGGING_CONFIG)
    if not configured_by:
        return False
    if configured_by != CONFIGURE_LOGGING:
        _configured_by[:] = [configured_by]
        namespace["LOGGING_CONFIG"] = CONFIGURE_LOGGING
    if not namespace.get("LOGGING"):
        # Changes nothing; for an empty one Django would never call anybody.
        namespace["LOGGING"] = {"version": 1, "incremental": True}
    return True


def _names(namespace: MutableMapping[str, Any]) -> list[str]:
    """Return the names of the settings module, which has run by now."""
    if _waiting:
        if _take_over_logging(namespace):
            _undone(namespace, _waiting[0])
        else:
            # Django will configure no logging: there is no later moment.
            look_again(namespace)
    return sorted(namespace)
