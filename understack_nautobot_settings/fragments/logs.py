"""The format of log lines."""

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

# Celery would replace the handlers of the root logger, and give one of its own to
# the logger of tasks where that has none: both in a format of its own.
_HIJACK = "CELERY_WORKER_HIJACK_ROOT_LOGGER"
# Those of Nautobot's own LOGGING; what else a file lists has a level of its own choice.
_NAUTOBOTS_LOGGERS = {"django", "nautobot"}


def _nautobot_structlog() -> Callable[..., None] | None:
    try:
        from nautobot.core.settings_funcs import setup_structlog_logging
    except ImportError:
        return None
    return setup_structlog_logging  # type: ignore[no-any-return]


def log_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
    structlog: Callable[[], Callable[..., None] | None] = _nautobot_structlog,
) -> dict[str, Any]:
    """Return ``LOGGING`` in the format asked for, by Nautobot's structlog set-up.

    ``structlog`` returns ``nautobot.core.settings_funcs.setup_structlog_logging``, or
    None where there is no Nautobot.

    Returns:
        ``LOGGING``, ``INSTALLED_APPS`` and ``MIDDLEWARE``, those that were given;
        with a format also ``CELERY_WORKER_HIJACK_ROOT_LOGGER``, so that workers
        write the same format.

    Raises:
        SettingsError: A variable is wrong.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        log_format = read(variables.LOG_FORMAT)
        given = well_formed(settings, found, "LOGGING", "INSTALLED_APPS", "MIDDLEWARE")
        if log_format is None:
            return given
        asked = read.given(variables.LOG_LEVEL)
        # Without settings to change, which the command line has none of, there is
        # no reason to import Nautobot.
        if not given:
            return given
        set_up = structlog()
        if set_up is None:
            read.report(
                codes.LOG_FORMAT_NAUTOBOT,
                variables.LOG_FORMAT.name,
                "Nautobot, whose structlog set-up makes the format, is not "
                "installed here.",
            )
            return given
        keep_root_logger = {_HIJACK: settings.get(_HIJACK, False)}
        apps = list(given.get("INSTALLED_APPS") or ())
        layers = list(given.get("MIDDLEWARE") or ())
        # Nautobot's function adds to these, and a file may have called it before.
        added = ([], []) if "django_structlog" in apps else (apps, layers)
        before = given.get("LOGGING") or {}
        if before.get("incremental"):
            # It takes no new handler, and has nothing but levels.
            kept = {"version", "loggers", "root"} & before.keys()
            before = {name: before[name] for name in kept}
        logging = {**before, "loggers": _loggers(before, asked)}
        level = asked or variables.LOG_LEVEL.default
        set_up(
            logging,
            *added,
            log_level=level,
            root_level=asked or mapping(before.get("root")).get("level", level),
            plain_format=log_format == "plain",
        )
        return {
            "LOGGING": logging | _kept(before, logging),
            "INSTALLED_APPS": apps,
            "MIDDLEWARE": layers,
            **keep_root_logger,
        }


def _loggers(before: Mapping[str, Any], level: str | None) -> dict[str, Any]:
    """Return the loggers of the file, Nautobot's own with the level asked for."""
    by_name = {"celery.task": {}, **mapping(before.get("loggers"))}
    # Nautobot's function keeps the level of a logger that has one.
    own = dict.fromkeys(_NAUTOBOTS_LOGGERS, {"level": level} if level else {})
    return {name: {**one, **own.get(name, {})} for name, one in by_name.items()}


def _kept(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Nautobot's function should not have changed."""
    # What it replaced may be named by lines below the call, as in the settings file
    # that Nautobot's developers use.
    parts = {
        part: {**before[part], **after.get(part, {})}
        for part in ("formatters", "filters", "handlers")
        if before.get(part)
    }
    # It also silences every logger that exists by then, Celery's among them: a
    # worker would neither say that it is ready nor that a task has failed.
    silence = "disable_existing_loggers"
    return {**parts, silence: before.get(silence, False)}
