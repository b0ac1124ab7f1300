"""How Nautobot reaches PostgreSQL: libpq's TLS parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any

from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.libpq import DIRECT_SINCE
from understack_nautobot_settings.environment.libpq import SSLCERTMODE_SINCE
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import libpq_release
from understack_nautobot_settings.environment.libpq import libpq_version
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

MUTUAL_MODES = ("verify-full", "verify-ca")
"""The sslmodes in which a client certificate is presented."""


# libpq parameters that have a variable of their own, and those that Django
# fills from the other keys of DATABASES.
_DECIDED_ELSEWHERE: dict[str, Variable[Any]] = {
    "sslmode": variables.DB_SSLMODE,
    **variables.DB_FILES,
    "sslnegotiation": variables.DB_SSLNEGOTIATION,
    "sslcertmode": variables.DB_SSLMODE,
    # libpq takes 0 for 'sslmode=prefer'.
    "requiressl": variables.DB_SSLMODE,
    "dbname": variables.DB_NAME,
    "user": variables.DB_USER,
    "password": variables.DB_PASSWORD,
    "host": variables.DB_HOST,
    "port": variables.DB_PORT,
}

# Keys of DATABASES, the variables they come from, and Nautobot's own defaults.
_TAKEN: tuple[tuple[str, Variable[Any], str], ...] = (
    ("ENGINE", variables.DB_ENGINE, "django.db.backends.postgresql"),
    ("NAME", variables.DB_NAME, "nautobot"),
    ("USER", variables.DB_USER, ""),
    ("HOST", variables.DB_HOST, "localhost"),
    ("PORT", variables.DB_PORT, ""),
)


def postgresql_tls_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
    check_files: Callable[..., list[Problem]] = check_certificates,
    libpq: Callable[[], int | None] = libpq_version,
) -> dict[str, Any]:
    """Return ``DATABASES`` with the TLS parameters of the default connection.

    Parameters and modes are those of libpq, section "Database Connection Control
    Functions" of the PostgreSQL manual. ``verify-full`` and ``verify-ca`` present
    the client certificate; ``require`` presents none and verifies nothing;
    unset adds no TLS parameter. OPTIONS are merged over what is there.

    Args:
        settings: The settings module as a mapping; reads ``DATABASES``, changes
            nothing.
        env: The environment; reads the ``NAUTOBOT_DB_*`` variables.
        problems: Collects problems instead of raising them.
        check_files: Judges the files that the mode uses; also given the
            ``key_password`` where libpq is given an ``sslpassword``.
        libpq: Tells the version of the loaded libpq.

    Returns:
        ``{"DATABASES": {"default": {..., "OPTIONS": {...}}, ...}}``.

    Raises:
        MissingFileError: A certificate file is missing (a ``FileNotFoundError``).
        SettingsError: A variable is wrong, or a file unusable.
    """
    with Collecting(problems) as found:
        read = Reader(env, found)
        databases = settings.get("DATABASES")
        base = dict(databases or {})
        default = dict(base.get("default") or {})
        meant = _as_meant(read, default)
        default |= meant
        if not is_postgresql(default):
            _refuse_other_engine(read, default)
            decided = extra = {}
        else:
            extra = _extra_object(read)
            password = extra.get("sslpassword")
            if isinstance(password, str):
                check_files = partial(check_files, key_password=password)
            decided = _tls_options(read, check_files, libpq)
            extra = _extra_options(read, extra, decided)
        if decided or extra:
            default["OPTIONS"] = {**(default.get("OPTIONS") or {}), **extra, **decided}
        if decided or extra or meant:
            base["default"] = default
        return {"DATABASES": base} if base or databases is not None else {}


def _as_meant(read: Reader, database: Mapping[str, Any]) -> dict[str, str]:
    """Return what Nautobot took from the environment as it stood, and should not have.

    Nautobot takes an empty variable for a value, and blanks around one for a part
    of it; it hands a port to libpq unread.
    """
    env = read.mapping()
    meant: dict[str, str] = {}
    for key, variable, default in _TAKEN:
        text = env.get(variable.name)
        if text is not None and database.get(key) == text:
            read.given(variable)
            value = text.strip() or default
            if value != text:
                meant[key] = value
    return meant


def _refuse_other_engine(read: Reader, default: Mapping[str, Any]) -> None:
    for variable in (
        variables.DB_SSLMODE,
        variables.DB_SSLCERT,
        variables.DB_SSLKEY,
        variables.DB_SSLROOTCERT,
        variables.DB_SSLNEGOTIATION,
        variables.DB_EXTRA_OPTIONS,
    ):
        if read.is_set(variable):
            read.problems.append(
                codes.DB_ENGINE_NOT_POSTGRESQL.problem(
                    variable.name,
                    f"the database engine is {echo(str(default.get('ENGINE')))}.",
                    "Unset it: these are parameters of PostgreSQL's libpq.",
                )
            )


def _tls_options(
    read: Reader,
    check_files: Callable[[ClientFiles], list[Problem]],
    libpq: Callable[[], int | None],
) -> dict[str, Any]:
    sslmode = read(variables.DB_SSLMODE)
    options: dict[str, Any] = {}
    if sslmode is not None:
        options["sslmode"] = sslmode
    if sslmode in MUTUAL_MODES:
        options |= _client_certificate(read, check_files)
    if sslmode == "require" and (libpq() or 0) >= SSLCERTMODE_SINCE:
        # No certificate is presented, so a ~/.postgresql that cannot be read
        # is none of libpq's business.
        options["sslcertmode"] = "disable"
    options |= _negotiation(read, sslmode, libpq)
    return options


def _client_certificate(
    read: Reader, check_files: Callable[[ClientFiles], list[Problem]]
) -> dict[str, str]:
    paths = variables.DB_FILES
    options = {parameter: read(variable) for parameter, variable in paths.items()}
    cert, key, ca = (
        CertificateFile(options[parameter], variable.name)
        for parameter, variable in paths.items()
    )
    read.extend(check_files(ClientFiles("PostgreSQL", cert, key, ca)))
    return options


def _negotiation(
    read: Reader, sslmode: str | None, libpq: Callable[[], int | None]
) -> dict[str, str]:
    negotiation = read(variables.DB_SSLNEGOTIATION)
    if negotiation is None:
        return {}
    name = variables.DB_SSLNEGOTIATION.name
    if sslmode in (None, "disable"):
        if negotiation == "direct":
            mode = "unset" if sslmode is None else sslmode
            read.problems.append(
                codes.DB_SSLNEGOTIATION_MODE.problem(
                    name,
                    f"'direct' needs TLS, and {variables.DB_SSLMODE.name} is {mode}.",
                    f"Set {variables.DB_SSLMODE.name} to verify-full, verify-ca or "
                    f"require, or unset {name}.",
                )
            )
        return {}
    version = libpq()
    if version is None:
        read.problems.append(
            codes.DB_LIBPQ_UNKNOWN.problem(
                name,
                "no PostgreSQL driver can be imported here to ask for its libpq.",
                "Run this inside the Nautobot image.",
            )
        )
    elif version < DIRECT_SINCE:
        # An older libpq refuses the key itself, and speaks 'postgres' anyway.
        if negotiation == "direct":
            read.problems.append(
                codes.DB_SSLNEGOTIATION_LIBPQ.problem(
                    name,
                    f"'direct' needs libpq {libpq_release(DIRECT_SINCE)}, and libpq "
                    f"{libpq_release(version)} is loaded.",
                    f"Install a driver with a newer libpq, or unset {name}.",
                )
            )
        return {}
    return {"sslnegotiation": negotiation}


def _extra_object(read: Reader) -> dict[str, Any]:
    text = read(variables.DB_EXTRA_OPTIONS)
    if not text:
        return {}
    from understack_nautobot_settings.environment.json_objects import read_json_object

    name = variables.DB_EXTRA_OPTIONS.name
    return read_json_object(name, text, read.problems) or {}


def _extra_options(
    read: Reader, extra: Mapping[str, Any], decided: Mapping[str, Any]
) -> dict[str, Any]:
    name = variables.DB_EXTRA_OPTIONS.name
    options: dict[str, Any] = {}
    for parameter, value in extra.items():
        owner = _DECIDED_ELSEWHERE.get(parameter)
        # The connections decide it where its variable is set.
        rival = variables.DB_WAITS.get(parameter)
        if rival is not None and read.is_set(rival):
            owner = rival
        if owner is not None and decided.get(parameter) != value:
            read.problems.append(
                codes.DB_EXTRA_OPTION_CONFLICT.problem(
                    name,
                    f"{parameter} is decided by {owner.name}.",
                    f"Remove it here and use {owner.name}.",
                )
            )
        elif isinstance(value, bool) or not isinstance(value, str | int):
            read.problems.append(
                codes.DB_EXTRA_OPTION_TYPE.problem(
                    name,
                    f"the value of {echo(parameter)} is neither text nor a whole "
                    "number.",
                    f"Write it as {one_of(['a string', 'an integer'])}.",
                )
            )
        else:
            options[parameter] = value
    return options
