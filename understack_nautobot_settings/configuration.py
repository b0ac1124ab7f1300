"""One call over all fragments: settings, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import MutableMapping
from functools import partial
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import check_name
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.start_up import look_again_later
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.libpq import libpq_version
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.fragments.connections import connection_settings
from understack_nautobot_settings.fragments.django_app import app_settings
from understack_nautobot_settings.fragments.hardening import hardening_settings
from understack_nautobot_settings.fragments.logs import log_settings
from understack_nautobot_settings.fragments.plugins import plugin_settings
from understack_nautobot_settings.fragments.postgresql_tls import (
    postgresql_tls_settings,
)
from understack_nautobot_settings.fragments.redis_tls import redis_tls_settings
from understack_nautobot_settings.fragments.secret_files import secret_settings
from understack_nautobot_settings.fragments.site_identity import site_settings
from understack_nautobot_settings.fragments.sso import sso_settings
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error

FRAGMENTS: tuple[Callable[..., dict[str, Any]], ...] = (
    secret_settings,
    postgresql_tls_settings,
    redis_tls_settings,
    # After the TLS fragments: which URLs speak TLS decides the connection classes.
    connection_settings,
    plugin_settings,
    site_settings,
    sso_settings,
    hardening_settings,
    log_settings,
    app_settings,
)
"""Every fragment, in the order of the fold.

Each takes the settings module as a mapping and an environment, and returns the
settings it decides. ``DATABASES`` and ``CACHES`` are extended by several, each of
which adds keys of its own to them.
"""


class Evaluation(NamedTuple):
    """The settings of every fragment by name, and every problem once."""

    settings: dict[str, Any]
    problems: list[Problem]


def evaluate(
    namespace: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    check_files: Callable[[ClientFiles], list[Problem]] = check_certificates,
    libpq: Callable[[], int | None] = libpq_version,
) -> Evaluation:
    """Fold all fragments over a settings module, changing nothing.

    The certificate files that the active modes use are judged by ``check_files``;
    ``libpq`` tells its version, where a mode depends on it.
    """
    asked: dict[Callable[..., dict[str, Any]], dict[str, Any]] = {
        postgresql_tls_settings: {"check_files": check_files, "libpq": libpq},
        redis_tls_settings: {"check_files": check_files},
    }
    settings: dict[str, Any] = {}
    problems: list[Problem] = []
    for fragment in FRAGMENTS:
        settings |= fragment(
            {**namespace, **settings},
            env,
            problems=problems,
            **asked.get(fragment, {}),
        )
    return Evaluation(settings, without_consequences(problems))


def configure(
    namespace: MutableMapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    check_files: Callable[[ClientFiles], list[Problem]] | None = None,
) -> None:
    """Configure Nautobot: the one call of a ``nautobot_config.py``.

    Updates the namespace with the settings of every fragment, or raises one
    error that lists every problem and leaves the namespace as it was. Values are
    replaced, never changed in place, so ``nautobot.core.settings`` stays as
    Nautobot ships it. Running it twice gives the same result.

    The call goes last in the file. When the whole file has run the settings are
    looked at again: the start is refused where TLS that was decided is not in force,
    any other decided value that was replaced is a warning. Then a line that states
    the mode, and every warning, is logged once.

    Args:
        namespace: The settings module, ``globals()``; any mapping will do.
        env: The environment.
        check_files: Judges the certificate files that the active modes use; None
            for `check_certificates`.

    Raises:
        MissingFileError: A certificate file is missing (a ``FileNotFoundError``).
        SettingsError: Anything else is wrong; a ``ValueError``.
    """
    read = ReadOnce()
    evaluation = evaluate(
        namespace,
        env,
        check_files=check_files or partial(check_certificates, read=read),
    )
    refusal = settings_error(evaluation.problems)
    if refusal is not None:
        # Whoever reports the locals of a traceback would report its secrets.
        del evaluation, read
        raise refusal
    decided = decided_settings(namespace, evaluation.settings)
    namespace.update(evaluation.settings)
    warnings = evaluation.problems
    if check_files is None:
        warnings += _name_warnings(namespace, env, read)
    look_again_later(namespace, decided, warnings, read)


def _name_warnings(
    settings: Mapping[str, Any], env: Mapping[str, str], read: ReadOnce
) -> list[Problem]:
    """Warn of a certificate of another user; `check` makes an error of it."""
    # A value that is no flag is left to `check`, as nothing else depends on it.
    if Reader(env, [])(variables.DB_IDENTITY_MAP):
        return []
    user = entries(settings, "DATABASES").get("default", {}).get("USER") or None
    found = (check_name(files, user, read=read) for files in client_files(settings))
    return [problem for problems in found for problem in problems]
