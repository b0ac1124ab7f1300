"""What is looked at, and said, when the settings file has run.

Django configures logging after the whole file. That is when the settings are looked
at again, and when the start-up line and the warnings can be logged. A file may
switch logging off below the call, and then Django calls nobody; but it asks the
module for its names first, as Nautobot does, and a module may answer that itself
(``__dir__``, PEP 562).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import MutableMapping
from importlib import import_module
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ReadFile
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.checks.in_force import Decided
from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.checks.in_force import check_in_force
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error
from understack_nautobot_settings.runtime.connection_hints import LOGGER
from understack_nautobot_settings.runtime.connection_hints import (
    hint_at_failed_connections,
)

CONFIGURE_LOGGING = "understack_nautobot_settings.checks.start_up.configure_logging"
DJANGO_LOGGING_CONFIG = "logging.config.dictConfig"
NOTHING_TO_CONFIGURE = {"version": 1, "incremental": True}
"""A ``LOGGING`` that changes nothing: for an empty one Django configures none, and
what waits here would never be logged."""

_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Start(NamedTuple):
    """What one call of `configure` left for later.

    Attributes:
        decided: What it decided.
        warnings: What it warned of.
        read: Reads certificates, and has read those of the call.
    """

    decided: Decided
    warnings: tuple[Problem, ...]
    read: ReadOnce


# At most one: a second call of `configure` takes the place of the first.
_waiting: list[_Start] = []
_last: list[_Start] = []
_configured_by: list[str] = [DJANGO_LOGGING_CONFIG]


def look_again_later(
    namespace: MutableMapping[str, Any],
    decided: Decided,
    warnings: list[Problem],
    read: ReadOnce,
) -> None:
    """Have the settings looked at, and the lines logged, when the file has run.

    Args:
        namespace: The settings module; is given ``LOGGING_CONFIG``, a ``LOGGING``
            where it has none and, where it is a module, ``__dir__``.
        decided: What `configure` decided.
        warnings: What it warned of.
        read: Reads certificates, and has read those of the call.
    """
    _waiting[:] = _last[:] = [_Start(decided, tuple(warnings), read)]
    _take_over_logging(namespace)
    if "__name__" in namespace:
        namespace["__dir__"] = lambda: _names(namespace)


def last_start() -> _Start | None:
    """Return what the last call of `configure` left, None where there was none."""
    return _last[0] if _last else None


def forget_start() -> None:
    """Forget what a call of `configure` left, before a file is loaded."""
    _waiting.clear()
    _last.clear()


def configure_logging(
    logging_settings: Any, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Configure logging as Django would have, then look at the settings in force.

    Django calls this as its ``LOGGING_CONFIG``. Each line is logged once.

    Args:
        logging_settings: ``LOGGING``.
        settings: The settings in force; Django's by default.

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

    Args:
        settings: The settings in force.

    Raises:
        SettingsError: The TLS that `configure` decided is not in force.
    """
    if not _waiting:
        return
    start = _waiting[0]
    found = check_in_force(settings, start.decided)
    refusal = settings_error(found)
    if refusal is not None:
        raise refusal
    _waiting.clear()
    logger = logging.getLogger(LOGGER)
    # dictConfig disables loggers that existed before, and Nautobot configures
    # none that would take these lines.
    logger.disabled = False
    logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_LINE))
        logger.addHandler(handler)
    hint_at_failed_connections()
    logger.info("%s", startup_line(settings, read=start.read))
    start.read.forget()
    for problem in (*start.warnings, *found):
        logger.warning("%s", problem)


def startup_line(
    settings: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
    read: ReadFile | None = None,
) -> str:
    """Return one line that states the mode of every connection; no secret.

    Args:
        settings: Django settings by name.
        clock: Seconds since the epoch.
        read: Reads a file, `certificates.files.read_file` for None.

    Returns:
        ``PostgreSQL sslmode=verify-full sslnegotiation=direct; cache: Redis mTLS on,
        server certificate required; broker: Redis …``
    """
    modes = {mode.connection: mode for mode in connection_modes(settings)}
    redis = [
        f"{connection}: {_redis(mode.tls, mode.verify)}"
        for connection, mode in modes.items()
        if not connection.startswith("database")
    ]
    return "; ".join(
        [
            *_databases(settings, modes),
            *redis,
            f"plugins {', '.join(settings.get('PLUGINS') or ()) or 'none'}",
            f"partition {settings.get('UNDERSTACK_PARTITION') or 'none'}",
            _expiry(settings, clock, read),
        ]
    )


def _take_over_logging(namespace: MutableMapping[str, Any]) -> bool:
    """Have Django call `configure_logging`; return whether it will."""
    configured_by = namespace.get("LOGGING_CONFIG", DJANGO_LOGGING_CONFIG)
    if not configured_by:
        return False
    if configured_by != CONFIGURE_LOGGING:
        _configured_by[:] = [configured_by]
        namespace["LOGGING_CONFIG"] = CONFIGURE_LOGGING
    if not namespace.get("LOGGING"):
        namespace["LOGGING"] = dict(NOTHING_TO_CONFIGURE)
    return True


def _names(namespace: MutableMapping[str, Any]) -> list[str]:
    """Return the names of the settings module, which has run by now."""
    if _waiting:
        refusal = settings_error(check_in_force(namespace, _waiting[0].decided))
        if refusal is not None:
            raise refusal
        if not _take_over_logging(namespace):
            # Django will configure no logging: there is no later moment.
            look_again(namespace)
    return sorted(namespace)


def _databases(
    settings: Mapping[str, Any], connections: Iterable[str]
) -> Iterator[str]:
    for connection in connections:
        kind, _, alias = connection.partition(" ")
        if kind == "database":
            words = _database(settings, alias or "default")
            yield f"{connection}: {words}" if alias else words


def _database(settings: Mapping[str, Any], alias: str) -> str:
    database = entries(settings, "DATABASES").get(alias, {})
    if not is_postgresql(database):
        return f"database {database['ENGINE']}"
    options = mapping(database.get("OPTIONS"))
    sslmode = options.get("sslmode", "unset")
    negotiation = options.get("sslnegotiation", "unset")
    return f"PostgreSQL sslmode={sslmode} sslnegotiation={negotiation}"


def _redis(tls: str, verify: str) -> str:
    if tls == "off":
        return "no TLS"
    mode = "on" if tls == "mutual" else "off"
    return f"Redis mTLS {mode}, server certificate {verify}"


def _expiry(
    settings: Mapping[str, Any], clock: Callable[[], float], read: ReadFile | None
) -> str:
    days = {
        f"{certificate.path} {certificate.days_left} days"
        for files in client_files(settings)
        for certificate in describe_certificates(files, clock=clock, read=read)
    }
    return f"certificates expire: {', '.join(sorted(days)) or 'none in use'}"
