"""How Nautobot reaches PostgreSQL: libpq's TLS parameters."""

import os
import re
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import named_files
from understack_nautobot_settings.environment.json_objects import read_json_object
from understack_nautobot_settings.environment.kinds import PKCS11
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.environment.libpq import DIRECT_SINCE
from understack_nautobot_settings.environment.libpq import PARAMETERS
from understack_nautobot_settings.environment.libpq import SSLCERTMODE_SINCE
from understack_nautobot_settings.environment.libpq import SYSTEM_TRUST
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import libpq_release
from understack_nautobot_settings.environment.libpq import libpq_version
from understack_nautobot_settings.environment.libpq import variables_against_tls
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

# The sslmodes in which a client certificate is presented.
_MUTUAL_MODES = ("verify-full", "verify-ca")
_DECIDED_ELSEWHERE = {**variables.DB_PARAMETERS, "password": variables.DB_PASSWORD}

_SSLMODE = "DATABASES.default.OPTIONS.sslmode"

_ALIKE = 0.85

# What a parameter file or another text decides, no check here sees.
_REFUSED = ("sslkeylogfile", "dsn", "conninfo", "service", "servicefile")


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
    unset adds no TLS parameter. OPTIONS are merged over what is there: a variable that
    is set wins over the file, and what the file says over a default. Further databases
    of PostgreSQL, such as a replica, get the same parameters where they have no TLS
    parameter of their own, or those that the file gives the default one.

    ``check_files`` judges the files that the mode uses, and is given a
    ``key_password`` where libpq is given an ``sslpassword``; ``libpq`` tells the
    version of the loaded libpq.

    Returns:
        ``{"DATABASES": {"default": {..., "OPTIONS": {...}}, ...}}``.

    Raises:
        MissingFileError: A certificate file is missing (a ``FileNotFoundError``).
        SettingsError: A variable is wrong, or a file unusable.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        databases = well_formed(settings, found, "DATABASES").get("DATABASES")
        base = dict(databases or {})
        default = dict(base.get("default", {}))
        meant = _as_meant(read, default)
        default |= meant
        if is_postgresql(default):
            name = variables.DB_EXTRA_OPTIONS.name
            text = read(variables.DB_EXTRA_OPTIONS)
            extra = (read_json_object(name, text, found) if text else None) or {}
            password = extra.get("sslpassword")
            if isinstance(password, str):
                check_files = partial(check_files, key_password=password)
            said = mapping(default.get("OPTIONS"))
            decided = _TlsParameters(read, said, check_files, libpq).decided()
            ours = _extra_options(read, extra, decided) | decided
            _refuse_socket(read, default, decided)
            _refuse_ports(read, default)
            if "sslmode" in ours or said.get("sslmode") in variables.TLS_MODES:
                base |= _replicas(base, said, ours)
            if ours:
                default["OPTIONS"] = {**said, **ours}
        else:
            _refuse_other_engine(read, default)
        if meant or default.get("OPTIONS"):
            base["default"] = default
        return {"DATABASES": base} if base or databases is not None else {}


def _as_meant(read: Reader, database: Mapping[str, Any]) -> dict[str, str]:
    """Return what Nautobot took from the environment as it stood, and should not have.

    Nautobot takes an empty variable for a value, and blanks around one for a part
    of it; it hands a port to libpq unread.
    """
    meant: dict[str, str] = {}
    for key, variable in variables.DB_KEYS.items():
        text = read.env.get(variable.name)
        if text is not None and database.get(key) == text:
            read.given(variable)
            value = text.strip() or variable.default
            if value != text:
                meant[key] = value
    return meant


class _TlsParameters(NamedTuple):
    """What decides libpq's TLS parameters; `said` are the OPTIONS of the file."""

    read: Reader
    said: Mapping[str, Any]
    check_files: Callable[..., list[Problem]]
    libpq: Callable[[], int | None]

    def decided(self) -> dict[str, Any]:
        """Return the parameters that the environment decides."""
        given = self.read.given(variables.DB_SSLMODE)
        if self.read.refused(variables.DB_SSLMODE):
            # The other variables have a meaning only with it.
            return {}
        sslmode = given or self.said.get("sslmode")
        options = {} if given is None else {"sslmode": given}
        if sslmode in _MUTUAL_MODES:
            options |= self._client_certificate(sslmode)
        asks_libpq = given == "require" and "sslcertmode" not in self.said
        if asks_libpq and (self.libpq() or 0) >= SSLCERTMODE_SINCE:
            # No certificate is presented, so a ~/.postgresql that cannot be read
            # is none of libpq's business.
            options["sslcertmode"] = "disable"
        return options | self._negotiation(sslmode)

    def _client_certificate(self, sslmode: str) -> dict[str, str]:
        """Return the parameters of the certificate.

        The defaults count where the sslmode comes from the environment. With an
        sslmode of the file the file decides, but for the variables that are set.
        """
        by_variable = self.read.is_set(variables.DB_SSLMODE)
        options: dict[str, str] = {}
        for parameter, variable in variables.DB_FILES.items():
            given = self.read.given(variable)
            if given or (by_variable and not self.said.get(parameter)):
                options[parameter] = given or variable.default
        above, in_force = "DATABASES.default.OPTIONS", {**self.said, **options}
        files = named_files(in_force, variables.DB_FILES, above, self.read.env)
        cert, key, ca = map(self._usable, files)
        if ca and ca.path == SYSTEM_TRUST:
            self._check_system_trust(sslmode, ca.variable)
            ca = None
        for name in variables_against_tls(self.read.env):
            fact = "libpq reads this variable and may present no client certificate."
            self.read.report(codes.DB_LIBPQ_VARIABLE, name, fact)
        if options or by_variable:
            self.read.extend(self.check_files(ClientFiles(POSTGRESQL, cert, key, ca)))
        return options

    def _usable(self, file: CertificateFile) -> CertificateFile | None:
        if not file.path.lower().startswith(PKCS11):
            return file if file.path else None
        # From the file, as the reader refuses it of a variable.
        fact = "the value names a key in a token, which is not supported."
        self.read.report(environment_codes.PATH_IS_TOKEN, file.variable, fact)
        return None

    def _check_system_trust(self, sslmode: str, place: str) -> None:
        version = self.libpq()
        fact = ""
        if sslmode != "verify-full":
            fact = f"needs sslmode verify-full, and the sslmode is {sslmode}."
        elif version is not None and version < SSLCERTMODE_SINCE:
            fact = (
                f"needs libpq {libpq_release(SSLCERTMODE_SINCE)}, and libpq "
                f"{libpq_release(version)} is loaded."
            )
        if fact:
            self.read.report(codes.DB_SYSTEM_TRUST, place, f"'{SYSTEM_TRUST}' {fact}")

    def _negotiation(self, sslmode: str | None) -> dict[str, str]:
        negotiation = self.read(variables.DB_SSLNEGOTIATION)
        if negotiation is None:
            return {}
        name = variables.DB_SSLNEGOTIATION.name
        if sslmode in (None, "disable"):
            if negotiation == "direct":
                mode = "unset" if sslmode is None else sslmode
                place = place_of(variables.DB_SSLMODE, sslmode, _SSLMODE, self.read.env)
                self.read.report(
                    codes.DB_SSLNEGOTIATION_MODE,
                    name,
                    f"'direct' needs TLS, and {place} is {mode}.",
                )
            return {}
        version = self.libpq()
        if version is None:
            self.read.report(
                codes.DB_LIBPQ_UNKNOWN,
                name,
                "no PostgreSQL driver can be imported here to ask for its libpq.",
            )
        elif version < DIRECT_SINCE:
            # An older libpq refuses the key itself, and speaks 'postgres' anyway.
            if negotiation == "direct":
                self.read.report(
                    codes.DB_SSLNEGOTIATION_LIBPQ,
                    name,
                    f"'direct' needs libpq {libpq_release(DIRECT_SINCE)}, and libpq "
                    f"{libpq_release(version)} is loaded.",
                )
            return {}
        return {"sslnegotiation": negotiation}


def _extra_options(
    read: Reader, extra: Mapping[str, Any], decided: Mapping[str, Any]
) -> dict[str, Any]:
    name = variables.DB_EXTRA_OPTIONS.name
    # The connections decide what a variable is set for.
    waits = {key: one for key, one in variables.DB_WAITS.items() if read.is_set(one)}
    owners = {**_DECIDED_ELSEWHERE, **waits}
    options: dict[str, Any] = {}
    for parameter, value in extra.items():
        owner = owners.get(parameter)
        # What is like none of them may be an option of Django's.
        meant = nearest(parameter, PARAMETERS, _ALIKE) or parameter.lower()
        if parameter in _REFUSED:
            read.report(
                codes.DB_EXTRA_OPTION_REFUSED, name, f"{parameter} is not accepted."
            )
        elif meant != parameter:
            read.report(
                codes.DB_EXTRA_OPTION_CASE,
                name,
                f"libpq knows no parameter {echo(parameter)}.",
                f"Write it as {echo(meant)}.",
            )
        elif owner is not None and decided.get(parameter) != value:
            read.report(
                codes.DB_EXTRA_OPTION_CONFLICT,
                name,
                f"{parameter} is decided by {owner.name}.",
                f"Remove it here and use {owner.name}.",
            )
        elif isinstance(value, bool) or not isinstance(value, str | int):
            read.report(
                codes.DB_EXTRA_OPTION_TYPE,
                name,
                f"the value of {echo(parameter)} is neither text nor a whole number.",
            )
        else:
            options[parameter] = value
            wait = variables.DB_WAITS.get(parameter)
            # 0 and less stand for a default.
            if wait and not re.fullmatch(r"\s*(0+|-\d+)\s*", str(value)):
                read.parsed(wait.kind, str(value), f"{name}.{parameter}")
    return options


def _refuse_socket(
    read: Reader, default: Mapping[str, Any], decided: Mapping[str, Any]
) -> None:
    options = mapping(default.get("OPTIONS"))
    # A service names its host where nobody sees it, as nobody named a database.
    unknown = not default or "service" in options
    setting, above = "DATABASES.default.HOST", "DATABASES.default.OPTIONS"
    said = (
        (setting, default, "HOST"),
        *((f"{above}.{one}", options, one) for one in ("host", "hostaddr")),
        *((one, read.env, one) for one in ("PGHOST", "PGHOSTADDR")),
    )
    found = ((place, str(where.get(key) or "")) for place, where, key in said)
    place, host = next((one for one in found if one[1]), (setting, ""))
    hosts = [one.strip() for one in host.split(",")]
    means = ""
    if any(one.startswith(("/", "@")) for one in hosts):
        means = "is a Unix socket"
    elif not all(hosts):
        # libpq's default, where an entry of the list is empty or there is none.
        empty = "is empty" if not host else "has an empty entry"
        means = f"{empty}, which means a Unix socket"
    if decided.get("sslmode", "disable") == "disable" or unknown:
        return
    if means:
        place = place_of(variables.DB_HOST, host, place, read.env)
        read.report(
            codes.DB_SOCKET,
            variables.DB_SSLMODE.name,
            f"{decided['sslmode']} needs TLS, and {place} {means}.",
        )


def _refuse_ports(read: Reader, default: Mapping[str, Any]) -> None:
    port = str(default.get("PORT") or "")
    ports = port.count(",") + 1
    hosts = str(default.get("HOST") or "").count(",") + 1
    if ports not in (1, hosts) and not read.refused(variables.DB_HOST):
        read.report(
            environment_codes.VALUE_INVALID,
            place_of(variables.DB_PORT, port, "DATABASES.default.PORT", read.env),
            f"there are {ports} ports for {hosts} host{'s' if hosts > 1 else ''}.",
            "Set one port for all hosts, or one for each.",
        )


def _replicas(
    databases: Mapping[str, Any], said: Mapping[str, Any], ours: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the further databases that take the TLS parameters of the default one.

    Those that say what the file says for it (`said`), as a copy of it does, and those
    that say no sslmode; other TLS parameters of these are kept.
    """
    tls, found = _tls({**said, **ours}), {}
    for alias, database in databases.items():
        own = mapping(database.get("OPTIONS"))
        if alias == "default" or not is_postgresql(database):
            continue
        if _tls(own) == _tls(said):
            found[alias] = {**database, "OPTIONS": {**own, **tls}}
        elif "sslmode" not in own:
            found[alias] = {**database, "OPTIONS": {**tls, **own}}
    return found


def _tls(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name.startswith("ssl")}


def _refuse_other_engine(read: Reader, default: Mapping[str, Any]) -> None:
    engine = str(default.get("ENGINE"))
    shown = echo(engine) if re.fullmatch(r"[\w.]*", engine) else "no module"
    of_libpq: tuple[Variable[Any], ...] = (
        variables.DB_SSLMODE,
        *variables.DB_FILES.values(),
        variables.DB_SSLNEGOTIATION,
        variables.DB_EXTRA_OPTIONS,
    )
    for variable in filter(read.is_set, of_libpq):
        read.report(
            codes.DB_ENGINE_NOT_POSTGRESQL,
            variable.name,
            f"the database engine is {shown}.",
        )
