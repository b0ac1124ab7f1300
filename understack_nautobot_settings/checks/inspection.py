"""Everything that can be known about an environment without connecting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes as certificates_codes
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.environment import check_environment
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.fragments import codes as fragments_codes
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

if TYPE_CHECKING:
    from understack_nautobot_settings.checks.settings_file import SettingsFile

# Who has to replace a CA file need not remove anything from it, and what leads to a
# CA is seen in the new one.
_REPLACE_THE_FILE = (
    certificates_codes.CA_IS_CLIENT_CERTIFICATE.id,
    certificates_codes.CA_NONE.id,
    certificates_codes.CA_EXPIRED.id,
    certificates_codes.CA_NOT_YET_VALID.id,
    certificates_codes.CA_WITHOUT_ROOT.id,
)
_FOLLOWING = (
    certificates_codes.CA_HOLDS_CLIENT_CERTIFICATE.id,
    certificates_codes.CA_HOLDS_LEAF.id,
    certificates_codes.CA_DATES.id,
    certificates_codes.CERTIFICATE_ISSUER_UNKNOWN.id,
    certificates_codes.CERTIFICATE_CHAIN_REFUSED.id,
)
# `configure` warns: only the server knows whether it maps names.
_NAME_MISMATCH = certificates_codes.CERTIFICATE_NAME_MISMATCH.id
_EXCHANGED = certificates_codes.CERTIFICATE_KEY_SWAPPED.id
ABOUT_FILES = (
    environment_codes.SECRET_FILE_UNREADABLE.id,
    fragments_codes.SSO_UNREADABLE.id,
    fragments_codes.SSO_INCOMPLETE.id,
    fragments_codes.PLUGIN_CONFIG_FILE_UNREADABLE.id,
    codes.CA_BUNDLE_EMPTY.id,
    codes.CA_BUNDLE_PRIVATE.id,
)
"""Codes of what a mount decides; not told where there is none."""


class Inspection(NamedTuple):
    """The problems, errors first, and every certificate in the files that are used."""

    problems: list[Problem]
    certificates: list[Certificate]


def inspect_environment(
    env: Mapping[str, str] = os.environ,
    *,
    namespace: Mapping[str, Any] | None = None,
    file: SettingsFile | None = None,
    role: str | None = None,
    expiry_warning_days: int | None = None,
    with_files: bool = True,
    clock: Callable[[], float] = time.time,
) -> Inspection:
    """Return every problem and certificate of an environment, offline.

    Args:
        env: The environment.
        namespace: The settings that are extended, `base_settings` by default.
        file: A loaded settings file, whose settings are judged as they are.
        role: What the pod does; ``UNDERSTACK_ROLE`` by default.
        expiry_warning_days: Days before notAfter from which a certificate is
            warned about; ``UNDERSTACK_EXPIRY_WARNING`` by default.
        with_files: False where certificates and secrets are not mounted.
        clock: Seconds since the epoch.
    """
    problems: list[Problem] = []
    read = Reader(env, problems)
    days = read(variables.EXPIRY_WARNING)
    if expiry_warning_days is not None:
        days = expiry_warning_days
    read(variables.APP)
    mapped = read(variables.DB_IDENTITY_MAP)
    # Judged even where another role is asked for: the pod starts with this one.
    own_role = read(variables.ROLE)
    if role is None:
        role = own_role
    elif role != env.get(variables.ROLE.name):
        env = {**env, variables.ROLE.name: role}
    once: dict[str, Any] = {"clock": clock, "read": ReadOnce()}
    judge = partial(check_certificates, **once) if with_files else no_files
    settings, found = _judged(env, namespace, file, judge)
    problems += check_environment(settings, env, role=role)
    problems += found
    if not with_files:
        problems = [one for one in problems if one.code not in ABOUT_FILES]
        return Inspection(_ordered(problems), [])
    certificates: list[Certificate] = []
    # What lies in the place of another file is not looked at any further.
    exchanged = any(one.code == _EXCHANGED for one in problems)
    for files in client_files(settings, env):
        warnings = inspect_certificates(
            files._replace(user=None) if mapped else files,
            key_password=_key_password(settings, files),
            expiry_warning_days=days,
            **once,
        )
        replace = {one.variable for one in problems if one.code in _REPLACE_THE_FILE}
        is_replaced = files.ca is not None and files.ca.variable in replace
        problems += (
            one._replace(severity=ERROR) if one.code == _NAME_MISMATCH else one
            for one in warnings
            if not exchanged and not (is_replaced and one.code in _FOLLOWING)
        )
        certificates += describe_certificates(files, **once)
    return Inspection(_ordered(problems), certificates)


def _judged(
    env: Mapping[str, str],
    namespace: Mapping[str, Any] | None,
    file: SettingsFile | None,
    judge: Callable[..., list[Problem]],
) -> tuple[Mapping[str, Any], list[Problem]]:
    """Return the settings in force, and what `configure` finds about them."""
    if file is None:
        base = base_settings(env) if namespace is None else namespace
        settings, found = evaluate(base, env, check_files=judge)
        return {**base, **settings}, found
    # `configure` judges what a variable decides; what it judged is told once.
    said = {(one.code, one.message) for one in file.problems}
    judged = (
        judge(files, key_password=_key_password(file.settings, files))
        for files in client_files(file.settings, env)
    )
    found = [one for found in judged for one in found]
    new = [one for one in found if (one.code, one.message) not in said]
    return file.settings, [*file.problems, *new]


def _key_password(settings: Mapping[str, Any], files: ClientFiles) -> Any:
    options = postgresql_options(settings)
    return options.get("sslpassword") if files.use == POSTGRESQL else None


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(without_consequences(problems), key=lambda one: one.severity != ERROR)
