"""What an environment will run into, told without connecting to anything.

Beyond the fragments, which judge what they use themselves: what Nautobot stops at
before they run, what other libraries take from the environment behind their back,
and what a gateway or a site cannot work with.
"""

import os
import re
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.checks.servers import SITE_WORKER
from understack_nautobot_settings.checks.servers import check_database_identity
from understack_nautobot_settings.checks.servers import check_gateway
from understack_nautobot_settings.checks.servers import check_local_hosts
from understack_nautobot_settings.checks.values import check_allowed_hosts
from understack_nautobot_settings.checks.values import check_nautobot_values
from understack_nautobot_settings.checks.values import is_service_link
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.client_files import redis_options
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.environment.libpq import DJANGO_KEYS
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import presents_certificate
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.reader import raw
from understack_nautobot_settings.environment.settings_module import default_database
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_bytes
from understack_nautobot_settings.text_files import shown_path

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

_PREFIXES = ("NAUTOBOT_", "UNDERSTACK_", "SOCIAL_AUTH_")
_ALIKE = 0.8


def check_environment(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None = None
) -> list[Problem]:
    """Tell what the environment will run into; reads files, connects to nothing.

    The settings are the effective ones, the role is a word of ``UNDERSTACK_ROLE``.
    """
    return [
        *check_nautobot_values(env),
        *check_allowed_hosts(settings, env),
        *check_spelling(env),
        *check_libpq_variables(settings, env),
        *check_tls_variables(env),
        *check_database_identity(settings, env),
        *check_unused(settings, env),
        *check_gateway(settings, env, role=role),
        *check_ca_bundles(settings, env),
        *check_metrics(settings, env, role=role),
        *check_role(settings, env, role=role),
    ]


def check_spelling(env: Mapping[str, str]) -> list[Problem]:
    """Tell which names are nearly those of a variable that would be read."""
    known = NAUTOBOT_NAMES.union(*(one.names for one in variables.VARIABLES))
    referenced = _references(env)
    problems = []
    for name, value in env.items():
        others = name in known or name in referenced or is_service_link(name, value)
        meant = None if others or not value.strip() else _meant(name, known)
        if meant:
            problems.append(
                codes.VARIABLE_MISSPELT.problem(
                    name,
                    f"this name is unknown; {meant} is known.",
                )
            )
    return problems


def _meant(name: str, known: frozenset[str]) -> str | None:
    folded = name.strip().upper().replace("-", "_")
    # The prefix is long: names that share it look alike without being so.
    for prefix in _PREFIXES:
        if folded.startswith(prefix):
            rests = [one[len(prefix) :] for one in known if one.startswith(prefix)]
            near = nearest(folded[len(prefix) :], sorted(rests), _ALIKE)
            return f"{prefix}{near}" if near else None
    first, _, rest = folded.partition("_")
    meant = f"{nearest(first, ('NAUTOBOT', 'UNDERSTACK'), _ALIKE)}_{rest}"
    return meant if meant in known else None


def _references(env: Mapping[str, str]) -> set[str]:
    """Return the variables that the plugin configuration refers to by name."""
    text = env.get(variables.EXTRA_PLUGINS_CONFIG.name, "")
    path = raw(variables.EXTRA_PLUGINS_CONFIG_FILE, env)
    if path:
        text += _content(path).decode("utf-8", "replace")
    # Helm's toJson writes < so.
    text = text.replace(r"\u003c", "<")
    return set(re.findall(r"\$[{<]([A-Za-z_][A-Za-z0-9_]*)", text))


def check_libpq_variables(
    settings: Mapping[str, Any], env: Mapping[str, str]
) -> list[Problem]:
    """Tell which ``PG*`` variables libpq reads beside the settings."""
    database = default_database(settings)
    if not is_postgresql(database):
        return []
    decided = {
        *postgresql_options(settings),
        *(one for key, one in DJANGO_KEYS.items() if database.get(key)),
    }
    problems = []
    for name, parameter in LIBPQ_VARIABLES.items():
        if not env.get(name):
            continue
        if parameter in decided:
            fact = f"the settings decide {parameter}, and other programs take it"
            hint = "Unset it."
        else:
            fact = f"libpq takes {parameter}"
            own = _OWN_VARIABLES.get(parameter, variables.DB_EXTRA_OPTIONS)
            hint = f"Unset it; if you need it, use {own.name}."
        problems.append(
            codes.LIBPQ_VARIABLE.problem(name, f"{fact} from this variable.", hint)
        )
    return problems


def check_tls_variables(env: Mapping[str, str]) -> list[Problem]:
    """Tell which variables reach into TLS behind the settings."""
    facts = {
        variables.SSLKEYLOGFILE: "Python writes the keys of every TLS session to this "
        "file, and with them recorded traffic can be decrypted, passwords included.",
        variables.OPENSSL_CONF: "OpenSSL reads this file in place of its own "
        "configuration: it can load code, and lower what TLS asks of a server.",
    }
    return [
        codes.TLS_VARIABLE.problem(variable.name, fact)
        for variable, fact in facts.items()
        if raw(variable, env) is not None
    ]


def check_unused(settings: Mapping[str, Any], env: Mapping[str, str]) -> list[Problem]:
    """Tell which variables are set and without effect, another being as it is."""
    read = Reader(env, [])
    db, redis = variables.DB_SSLMODE, variables.REDIS_MTLS
    found: list[tuple[Variable[Any], Code, str, str | None]] = []
    sslmode, options = raw(db, env), postgresql_options(settings)
    in_force = sslmode or options.get("sslmode")
    weak = in_force in (None, "disable", "allow", "prefer", "require")
    # A settings file may use the variables itself.
    if weak and not presents_certificate(options):
        mode = sslmode or "unset"
        fact = f"{db.name} is {mode}, so no certificate is presented or verified."
        files = variables.DB_FILES.values()
        found += ((one, codes.DB_PATH_UNUSED, fact, None) for one in files)
    if raw(redis, env) == "off":
        fact = (
            f"{redis.name} is off, so this file is not looked at; over TLS, the "
            "system's CAs verify the server."
        )
        used = redis_options(settings).values()
        unused = (
            one for one in variables.REDIS_FILES.values() if raw(one, env) not in used
        )
        found += ((one, codes.REDIS_PATH_UNUSED, fact, None) for one in unused)
    if variables.TASK_ACKS_LATE.name not in settings:
        fact = "neither Nautobot nor Celery reads it from the environment."
        found.append((variables.TASK_ACKS_LATE, codes.VARIABLE_UNREAD, fact, None))
    for variable, switch, word in variables.DEPENDENT:
        if read(switch) != switch.kind.parse(word) and not read.refused(switch):
            fact = f"it has no effect unless {switch.name} is {word}."
            hint = f"Set {switch.name} to {word}, or unset this."
            found.append((variable, codes.VARIABLE_UNUSED, fact, hint))
    return [
        code.problem(variable.name, fact, hint)
        for variable, code, fact, hint in found
        if raw(variable, env) is not None
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
                    f"{shown_path(path)} is missing, cannot be read, or holds no "
                    "certificate.",
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
    paths = (
        postgresql_options(settings).get("sslrootcert"),
        redis_options(settings).get("ssl_ca_certs"),
    )
    private = (_certificates(path) for path in paths if isinstance(path, str))
    return found <= set().union(*private)


def _certificates(path: str) -> set[bytes]:
    return set(pem.certificates(_content(path)))


def _content(path: str) -> bytes:
    try:
        return read_bytes(path, CONFIGURATION_BYTES)
    except FileRefused:
        return b""


def check_metrics(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None
) -> list[Problem]:
    """Tell of metrics that a hardened web pod shows without authentication."""
    read = Reader(env, [])
    enabled, authenticated = (
        settings.get(one.name.removeprefix("NAUTOBOT_"), read(one))
        for one in (variables.METRICS_ENABLED, variables.METRICS_AUTHENTICATED)
    )
    if role == "web" and read(variables.HARDENING) and enabled and not authenticated:
        variable = variables.METRICS_AUTHENTICATED
        (setting,) = variable.settings
        place = place_of(variable, authenticated, setting, env)
        fact = "it is not set to true, so /metrics needs no login and no token."
        hint = f"Let the settings file use {variable.name}, which is true."
        return [
            codes.METRICS_OPEN.problem(place, fact, hint if place == setting else None)
        ]
    return []


def check_role(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None
) -> list[Problem]:
    """Tell what a pod of this role lacks."""
    if role != SITE_WORKER:
        return []
    problems = check_local_hosts(settings, env)
    partition, site = (
        settings.get(one.name) or raw(one, env)
        for one in (variables.PARTITION, variables.SITE)
    )
    if not partition:
        missing = codes.SITE_PARTITION_MISSING.problem(
            variables.PARTITION.name,
            "it is unset, and a site worker must know its partition.",
        )
        return [*problems, missing]
    # UnderStack's documents name queues after partitions, its Argo CD after sites.
    wanted = [str(one) for one in (partition, site) if one]
    # Celery splits at commas and strips nothing.
    text = env.get(variables.TASK_QUEUES.name, "")
    queues = text.split(",") if text else []
    if not set(queues).isdisjoint(wanted) or (not text and _is_init_container(env)):
        return problems
    names = " or ".join(dict.fromkeys(wanted))
    if any(one in Reader(env, [])(variables.TASK_QUEUES) for one in wanted):
        fact = f"{echo(text)} has blanks, which Celery takes for part of a queue's name"
        hint = f"Write {','.join(queue.strip() for queue in queues)}."
    else:
        seen = echo(text) if text else "it is unset, so it"
        fact = f"{seen} does not have the queue {names} of the site"
        hint = f"Add {names} to taskQueues of the worker in the chart's values."
    name = variables.TASK_QUEUES.name
    return [*problems, codes.SITE_QUEUE_MISSING.problem(name, f"{fact}.", hint)]


def _is_init_container(env: Mapping[str, str]) -> bool:
    """Tell a container of the chart that runs `wait`, with a worker's environment."""
    return (
        raw(variables.CELERY_HEALTH_PROBES_AS_FILES, env) is not None
        and raw(variables.K8S_COMPONENT, env) is None
    )
