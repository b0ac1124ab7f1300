"""What an environment will run into, told without connecting to anything.

Beyond the fragments, which judge what they use themselves: what Nautobot stops at
before they run, what other libraries take from the environment behind their back,
and what a gateway or a site cannot work with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.roles import SITE_WORKER
from understack_nautobot_settings.checks.roles import check_role
from understack_nautobot_settings.checks.roles import is_local
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.client_files import redis_options
from understack_nautobot_settings.environment.kinds import FALSE_WORDS
from understack_nautobot_settings.environment.kinds import TRUE_WORDS
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import echo_host
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.environment.kinds import shown
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.nautobot_variables import EMPTY_IS_UNSET
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.nautobot_variables import READINGS
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import raw
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_bytes
from understack_nautobot_settings.text_files import shown_path

WEB = "web"

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Red Hat and Alpine keep the public CAs."""

_OWN_VARIABLES: dict[str, Variable[Any]] = {
    "application_name": variables.CONNECTION_PROFILE,
    "connect_timeout": variables.DB_CONNECT_TIMEOUT,
    **variables.DB_PARAMETERS,
    "password": variables.DB_PASSWORD,
}
# Variables that nobody reads unless another has one of those values.
_READ_WHERE: tuple[tuple[Variable[Any], Any, tuple[Variable[Any], ...]], ...] = (
    (
        variables.CONNECTION_PROFILE,
        ("wan",),
        (
            variables.DB_TCP_USER_TIMEOUT,
            variables.DB_KEEPALIVES_IDLE,
            variables.DB_KEEPALIVES_INTERVAL,
            variables.DB_KEEPALIVES_COUNT,
            variables.REDIS_TCP_USER_TIMEOUT,
            variables.REDIS_KEEPALIVES_IDLE,
            variables.REDIS_KEEPALIVES_INTERVAL,
            variables.REDIS_KEEPALIVES_COUNT,
            variables.REDIS_HEALTH_CHECK_INTERVAL,
            variables.REDIS_RETRIES,
            variables.JOB_RESULT_RETRIES,
        ),
    ),
    (variables.HARDENING, (True,), (variables.HSTS_SECONDS,)),
)
_DJANGO_KEYS = {
    "dbname": "NAME",
    "host": "HOST",
    "password": "PASSWORD",
    "port": "PORT",
    "user": "USER",
}

# As text: compiled on first use, and many environments use none of them.
_SERVICE_LINK = (
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]{1,63})?$"
    r"|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_SERVICE_SCHEMES = ("tcp://", "udp://", "sctp://")
_PREFIXES = ("NAUTOBOT", "UNDERSTACK", "SOCIAL_AUTH")
_ALIKE = 0.8
_REFERENCE = r"\$[{<]([A-Za-z_][A-Za-z0-9_]*)"


def check_environment(
    settings: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    role: str | None = None,
    system_bundles: Iterable[str] = SYSTEM_BUNDLES,
) -> list[Problem]:
    """Tell what the environment will run into; reads files, connects to nothing.

    Args:
        settings: The effective Django settings.
        env: The environment.
        role: What the pod does, one of the words of ``UNDERSTACK_ROLE``.
        system_bundles: Files with the public CAs; those that exist are compared.
    """
    return [
        *check_nautobot_values(env),
        *check_spelling(env),
        *check_libpq_variables(settings, env),
        *check_tls_variables(env),
        *check_database_identity(settings),
        *check_unused_paths(env),
        *check_unused_values(env),
        *check_gateway(settings, env, role=role),
        *check_ca_bundles(settings, env, system_bundles=system_bundles),
        *check_metrics(env, role=role),
        *check_role(settings, env, role=role),
    ]


def check_nautobot_values(env: Mapping[str, str]) -> list[Problem]:
    """Tell which values Nautobot stops at while its own settings load.

    It converts without naming the variable, and before this library has run.
    """
    problems = []
    for reading in READINGS:
        for name in sorted(reading.names & env.keys()):
            text = env[name]
            if not text and name in EMPTY_IS_UNSET:
                continue
            try:
                reading.parse(text)
            except ValueError:
                problems.append(_refused(name, text, reading.noun, reading.remedy))
    port = variables.DB_PORT.name
    if env.get(port, "").lower().startswith(_SERVICE_SCHEMES):
        problems.append(_service_link(port, env[port]))
    return problems


def _refused(name: str, text: str, noun: str, remedy: str) -> Problem:
    if name.endswith("_PORT") and text.lower().startswith(_SERVICE_SCHEMES):
        return _service_link(name, text)
    known = (*TRUE_WORDS, *FALSE_WORDS) if noun == "a boolean" else ()
    value = shown(text, known) if text.strip() else "an empty value"
    if noun == "JSON":
        value = "the value"
    return codes.NAUTOBOT_VALUE_INVALID.problem(
        name,
        f"{value} is not {noun}, and Nautobot stops at it.",
        f"{remedy}, or remove the variable.",
    )


def _service_link(name: str, text: str) -> Problem:
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return codes.SERVICE_LINK.problem(
        name,
        f"{echo(text)} is what Kubernetes writes for a Service called {service}.",
    )


def check_spelling(env: Mapping[str, str]) -> list[Problem]:
    """Tell which names are nearly those of a variable that would be read."""
    known = _known_names()
    strange = [
        name
        for name in env
        if name not in known
        and _could_be_meant(name)
        and not _is_service_link(name, env[name])
    ]
    if not strange:
        return []
    referenced = _references(env)
    problems = []
    for name in strange:
        meant = None if name in referenced else _meant(name, known)
        if meant and env[name].strip():
            problems.append(
                codes.VARIABLE_MISSPELT.problem(
                    name,
                    f"nothing reads this variable; {meant} is read.",
                    "Correct the name, or ignore this where a program of yours "
                    "reads it.",
                )
            )
    return problems


def _known_names() -> frozenset[str]:
    return NAUTOBOT_NAMES.union(*(one.names for one in variables.VARIABLES))


def _is_service_link(name: str, text: str) -> bool:
    if name.endswith("_PORT"):
        return text.lower().startswith(_SERVICE_SCHEMES)
    return re.search(_SERVICE_LINK, name) is not None


def _could_be_meant(name: str) -> bool:
    folded = _folded(name)
    if folded.startswith(_PREFIXES):
        return True
    first = folded.partition("_")[0]
    return any(
        # Cheap reasons first: most of an environment is none of our business.
        abs(len(first) - len(word)) <= 2  # noqa: PLR2004 - letters lost or doubled
        and len(set(first) ^ set(word)) <= 2  # noqa: PLR2004
        for word in ("NAUTOBOT", "UNDERSTACK")
    )


def _folded(name: str) -> str:
    return name.strip().upper().replace("-", "_")


def _meant(name: str, known: Iterable[str]) -> str | None:
    folded = _folded(name)
    names = set(known)
    if folded in names:
        return folded
    # The prefix is long: names that share it look alike without being so.
    for prefix in _PREFIXES:
        if folded.startswith(f"{prefix}_"):
            rest = folded[len(prefix) + 1 :]
            rests = [one[len(prefix) + 1 :] for one in names if one.startswith(prefix)]
            near = nearest(rest, sorted(rests), _ALIKE)
            return f"{prefix}_{near}" if near else None
    first, _, rest = folded.partition("_")
    meant = f"{nearest(first, _PREFIXES[:2], _ALIKE)}_{rest}"
    return meant if meant in names else None


def _references(env: Mapping[str, str]) -> set[str]:
    """Return the variables that the plugin configuration refers to by name."""
    text = env.get(variables.EXTRA_PLUGINS_CONFIG.name, "")
    path = raw(variables.EXTRA_PLUGINS_CONFIG_FILE, env)
    if path:
        text += _content(path).decode("utf-8", "replace")
    return set(re.findall(_REFERENCE, text))


def check_libpq_variables(
    settings: Mapping[str, Any], env: Mapping[str, str]
) -> list[Problem]:
    """Tell which ``PG*`` variables libpq reads beside the settings."""
    database = _default_database(settings)
    if not is_postgresql(database):
        return []
    decided = {
        *postgresql_options(settings),
        *(one for one, key in _DJANGO_KEYS.items() if database.get(key)),
    }
    problems = []
    for name, parameter in LIBPQ_VARIABLES.items():
        if not env.get(name):
            continue
        if parameter in decided:
            fact = f"the settings decide {parameter}, and every other client takes it"
            hint = "Unset it."
        else:
            fact = f"libpq takes {parameter}"
            own = _OWN_VARIABLES.get(parameter, variables.DB_EXTRA_OPTIONS)
            hint = f"Unset it; where it is wanted, use {own.name}."
        problems.append(
            codes.LIBPQ_VARIABLE.problem(name, f"{fact} from this variable.", hint)
        )
    return problems


def check_tls_variables(env: Mapping[str, str]) -> list[Problem]:
    """Tell which variables reach into TLS behind the settings."""
    facts = (
        (
            variables.SSLKEYLOGFILE,
            "Python writes the keys of every TLS session to this file, and whoever has "
            "them can read the passwords in what was recorded.",
        ),
        (
            variables.OPENSSL_CONF,
            "OpenSSL reads this file in place of its own configuration: it can load "
            "code, and lower what TLS asks of a server.",
        ),
    )
    return [
        codes.TLS_VARIABLE.problem(variable.name, fact)
        for variable, fact in facts
        if raw(variable, env) is not None
    ]


def check_database_identity(settings: Mapping[str, Any]) -> list[Problem]:
    """Tell where server or user of the database are left open."""
    database, options = _default_database(settings), postgresql_options(settings)
    if not is_postgresql(database):
        return []
    if options.get("sslcert") and not (database.get("USER") or options.get("user")):
        return [
            codes.DB_USER_MISSING.problem(
                variables.DB_USER.name,
                "it is unset, so the name of the operating system's user is sent with "
                "the client certificate.",
            )
        ]
    host = str(database.get("HOST") or "")
    if "sslmode" not in options and "service" not in options and not is_local(host):
        return [
            codes.DB_SSLMODE_UNSET.problem(
                variables.DB_SSLMODE.name,
                f"it is unset, so libpq does not verify the server {echo_host(host)}, "
                "and uses plain text where the server offers no TLS.",
            )
        ]
    if options.get("sslmode") != "verify-ca":
        return []
    return [
        codes.DB_VERIFY_CA.problem(
            variables.DB_SSLMODE.name,
            "'verify-ca' takes any server certificate of the private CA for the "
            "database, that of Redis included.",
            "Use verify-full once the server certificate carries the name in "
            f"{variables.DB_HOST.name}.",
        )
    ]


def check_unused_paths(env: Mapping[str, str]) -> list[Problem]:
    """Tell which certificate paths no mode looks at."""
    problems: list[Problem] = []
    sslmode = raw(variables.DB_SSLMODE, env)
    if sslmode in (None, "disable", "require"):
        problems += [
            codes.DB_PATH_UNUSED.problem(
                variable.name,
                f"{variables.DB_SSLMODE.name} is {sslmode or 'unset'}, so nobody "
                "presents or verifies a certificate.",
                f"Set {variables.DB_SSLMODE.name} to verify-full, or unset this.",
            )
            for variable in variables.DB_FILES.values()
            if raw(variable, env) is not None
        ]
    if raw(variables.REDIS_MTLS, env) == "off":
        problems += [
            codes.REDIS_PATH_UNUSED.problem(
                variable.name,
                f"{variables.REDIS_MTLS.name} is off, so this file is not looked at; "
                "over TLS, the system's CAs verify the server.",
                f"Unset {variables.REDIS_MTLS.name}, or unset this.",
            )
            for variable in variables.REDIS_FILES.values()
            if raw(variable, env) is not None
        ]
    return problems


def check_unused_values(env: Mapping[str, str]) -> list[Problem]:
    """Tell which variables are set and without effect, another being as it is."""
    read = Reader(env, [])
    unread = []
    if read(variables.TASK_ACKS_LATE) is not None:
        fact = "neither Nautobot nor Celery reads it from the environment."
        unread.append(
            codes.VARIABLE_UNREAD.problem(variables.TASK_ACKS_LATE.name, fact)
        )
    return unread + [
        codes.VARIABLE_UNUSED.problem(
            variable.name,
            f"it has no effect unless {switch.name} is "
            f"{' or '.join('on' if one is True else one for one in needed)}.",
            f"Set {switch.name} as well, or unset this.",
        )
        for switch, needed, dependent in _READ_WHERE
        for variable in dependent
        if raw(variable, env) is not None
        and not read.refused(switch)
        and read(switch) not in needed
    ]


def check_gateway(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None = None
) -> list[Problem]:
    """Tell what does not pass a gateway that routes by the name in the TLS hello.

    A gateway is taken to be there where the environment says so: direct
    negotiation, the connection profile ``wan``, or a site worker.
    """
    read = Reader(env, [])
    options = postgresql_options(settings)
    database = _default_database(settings)
    far = role == SITE_WORKER or read(variables.CONNECTION_PROFILE) == "wan"
    direct = read(variables.DB_SSLNEGOTIATION) == "direct"
    problems: list[Problem] = []
    if options.get("sslmode", "disable") != "disable":
        hosts = str(database.get("HOST") or "").split(",")
        if far or direct:
            problems += _unroutable(variables.DB_HOST, hosts)
            problems += _without_sni(options, env)
        elif options["sslmode"] == "verify-full":
            problems += _trailing_dots(variables.DB_HOST, hosts)
        if far and not direct:
            problems.append(
                codes.GATEWAY_NEGOTIATION.problem(
                    variables.DB_SSLNEGOTIATION.name,
                    "libpq asks for TLS in plain text first, which a TLS-passthrough "
                    "gateway does not pass on.",
                    "Set it to direct (libpq 17, PostgreSQL 17), unless the gateway "
                    "forwards by port alone.",
                )
            )
    if far and redis_options(settings):
        problems += _unroutable(variables.REDIS_HOST, [read(variables.REDIS_HOST)])
    return problems


def _unroutable(variable: Variable[Any], hosts: Iterable[str]) -> list[Problem]:
    hosts = list(hosts)
    addresses = [host for host in hosts if _is_address(host)]
    problems = [
        codes.GATEWAY_ADDRESS.problem(
            variable.name,
            f"{echo(host)} is an address, and a TLS hello names no address.",
        )
        for host in addresses
    ]
    return problems + _trailing_dots(variable, hosts)


def _trailing_dots(variable: Variable[Any], hosts: Iterable[str]) -> list[Problem]:
    return [
        codes.GATEWAY_TRAILING_DOT.problem(
            variable.name,
            f"{echo(host)} ends with a dot, and is compared with the dot.",
            f"Use {echo(host.rstrip('.'))}.",
        )
        for host in hosts
        if host.endswith(".") and not _is_address(host)
    ]


def _is_address(host: str) -> bool:
    # libpq's own rule for names that it puts into no TLS hello.
    return ":" in host or (bool(host) and not host.strip("0123456789."))


def _without_sni(options: Mapping[str, Any], env: Mapping[str, str]) -> list[Problem]:
    if "sslsni" in options:
        name, value = variables.DB_EXTRA_OPTIONS.name, str(options["sslsni"])
    else:
        name, value = "PGSSLSNI", env.get("PGSSLSNI", "")
    if value != "0":
        return []
    return [
        codes.GATEWAY_SNI_OFF.problem(
            name,
            "sslsni=0 keeps the host name out of the TLS hello.",
            "Remove it: the gateway routes by that name.",
        )
    ]


def check_ca_bundles(
    settings: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    system_bundles: Iterable[str] = SYSTEM_BUNDLES,
) -> list[Problem]:
    """Tell where outbound HTTPS is left without the public CAs."""
    problems: list[Problem] = []
    for variable in (variables.SSL_CERT_FILE, variables.REQUESTS_CA_BUNDLE):
        path = Reader(env, problems).given(variable)
        if path is None or (
            variable is variables.REQUESTS_CA_BUNDLE and os.path.isdir(path)
        ):
            continue
        found = _certificates(path)
        if not found:
            problems.append(
                codes.CA_BUNDLE_EMPTY.problem(
                    variable.name,
                    f"{shown_path(path)} holds no certificate that can be read.",
                )
            )
        elif _is_private(found, settings, system_bundles):
            problems.append(
                codes.CA_BUNDLE_PRIVATE.problem(
                    variable.name,
                    f"{path} holds private CAs only, and takes the place of the "
                    "public ones: HTTPS to Git, webhooks and single sign-on fails.",
                    "Unset it, since PostgreSQL and Redis have variables of their "
                    "own, or name a bundle of the public CAs and yours.",
                )
            )
    return problems


def _is_private(
    found: set[bytes], settings: Mapping[str, Any], system_bundles: Iterable[str]
) -> bool:
    public = set().union(*map(_certificates, system_bundles))
    if public:
        return not found & public
    # No public CA to compare with: what the mutual TLS trusts is private.
    private: set[bytes] = set()
    for path in (
        postgresql_options(settings).get("sslrootcert"),
        redis_options(settings).get("ssl_ca_certs"),
    ):
        if isinstance(path, str):
            private |= _certificates(path)
    return found <= private


def _certificates(path: str) -> set[bytes]:
    return set(pem.certificates(_content(path)))


def _content(path: str) -> bytes:
    try:
        return read_bytes(path, CONFIGURATION_BYTES)
    except FileRefused:
        return b""


def check_metrics(env: Mapping[str, str], *, role: str | None) -> list[Problem]:
    """Tell of metrics that a hardened web pod shows without authentication."""
    read = Reader(env, [])
    if (
        role == WEB
        and read(variables.HARDENING)
        and read(variables.METRICS_ENABLED)
        and not read(variables.METRICS_AUTHENTICATED)
    ):
        name = variables.METRICS_AUTHENTICATED.name
        fact = "it is not true, so /metrics asks nobody for a login or a token."
        return [codes.METRICS_OPEN.problem(name, fact)]
    return []


def _default_database(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return (settings.get("DATABASES") or {}).get("default") or {}


def explained(problems: Iterable[Problem], env: Mapping[str, str]) -> list[Problem]:
    """Return the problems, in better words where a value has a known origin."""
    found = list(problems)
    refused = {one.variable for one in found}
    known = [one for one in check_nautobot_values(env) if one.variable in refused]
    return without_consequences([*known, *found])
