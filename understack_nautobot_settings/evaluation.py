"""All fragments over one settings module: settings, and every problem at once."""

import os
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.environment.codes import SETTING_TYPE
from understack_nautobot_settings.environment.libpq import libpq_version
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
    """What an environment makes of a settings module.

    Attributes:
        settings: The settings that the fragments return, by name.
        problems: Every problem of every fragment, each once.
    """

    settings: dict[str, Any]
    problems: list[Problem]


def evaluate(
    namespace: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    check_files: Callable[[ClientFiles], list[Problem]] | None = None,
    read: ReadOnce | None = None,
    libpq: Callable[[], int | None] = libpq_version,
) -> Evaluation:
    """Fold all fragments over a settings module, changing nothing.

    Args:
        namespace: The settings to extend, any mapping; not changed.
        env: The environment.
        check_files: Judges the certificate files that the active modes use; None for
            `check_certificates`, which reads each file once for all of them.
        read: What it reads them with.
        libpq: Tells the version of libpq, where a mode depends on it.
    """
    judge = check_files or partial(check_certificates, read=read or ReadOnce())
    asked: dict[Callable[..., dict[str, Any]], dict[str, Any]] = {
        postgresql_tls_settings: {"check_files": judge, "libpq": libpq},
        redis_tls_settings: {"check_files": judge},
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
    # One of the wrong type is refused, and not replaced by what others are made of.
    wrong = (one.variable for one in problems if one.code == SETTING_TYPE.id)
    for name in {place.partition(".")[0] for place in wrong}:
        settings.pop(name, None)
    return Evaluation(settings, without_consequences(problems))
