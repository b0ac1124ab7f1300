"""Which servers settings lead to, and whether client and server know each other."""

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.client_files import redis_options
from understack_nautobot_settings.environment.kinds import Invalid
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import shown_host
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import presents_certificate
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.reader import raw
from understack_nautobot_settings.environment.settings_module import databases
from understack_nautobot_settings.environment.settings_module import default_database
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_urls import AMQP_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import BROKER_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import broker_place
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem

SITE_WORKER = "site-worker"


def check_database_identity(
    settings: Mapping[str, Any], env: Mapping[str, str] = os.environ
) -> list[Problem]:
    """Tell where server or user of the databases are left open."""
    found: dict[tuple[str, str], Problem] = {}
    for alias, database in databases(settings).items():
        for one in _identity_problems(alias, database, env):
            # What a variable says for several is told of the first.
            found.setdefault((one.code, one.variable), one)
    return list(found.values())


def _identity_problems(
    alias: str, database: Mapping[str, Any], env: Mapping[str, str]
) -> list[Problem]:
    if not is_postgresql(database):
        return []
    setting, options = f"DATABASES.{alias}", mapping(database.get("OPTIONS"))
    sslmode = f"{setting}.OPTIONS.sslmode"
    host, mode = str(database.get("HOST") or ""), options.get("sslmode")
    named = database.get("USER") or options.get("user")
    if alias == "default" and presents_certificate(options) and not named:
        return [_user_missing(env)]
    if mode in ("prefer", "allow") or not {"sslmode", "service"} & {*options}:
        variable = variables.DB_SSLMODE
        own = mode is not None and alias != "default"
        # A file that does not use the variable calls no `configure`.
        if _is_local(host) or not (own or raw(variable, env) is None):
            return []
        problem = codes.DB_SSLMODE_UNSET.problem(
            sslmode if mode else variable.name,
            f"it is {mode or 'unset'}, so libpq does not verify the server "
            f"{shown_host(host)}, and uses plain text if the server offers no TLS.",
            "Write verify-full there, or disable for plain text." if own else None,
        )
        return [problem]
    if mode == "verify-ca":
        problem = codes.DB_VERIFY_CA.problem(
            place_of(variables.DB_SSLMODE, mode, sslmode, env),
            "'verify-ca' accepts any server certificate of the private CA for the "
            "database, that of Redis included.",
            "Use verify-full once the server certificate carries the name in "
            f"{place_of(variables.DB_HOST, host, f'{setting}.HOST', env)}.",
        )
        return [problem]
    try:
        # A word of the settings file may be one that libpq refuses when it connects.
        variables.DB_SSLMODE.kind.parse(str(options.get("sslmode", "disable")))
    except Invalid as invalid:
        return [invalid.code.problem(sslmode, invalid.message, invalid.hint)]
    return []


def _user_missing(env: Mapping[str, str]) -> Problem:
    """Return the error about a certificate that is presented for no user."""
    effect = (
        "so the name of the operating system's user is sent with the client "
        "certificate."
    )
    if raw(variables.DB_USER, env) is None:
        fact = f"it is unset, {effect}"
        return codes.DB_USER_MISSING.problem(variables.DB_USER.name, fact)
    return codes.DB_USER_MISSING.problem(
        "DATABASES.default.USER",
        f"it is empty, {effect}",
        f"Let the settings file use {variables.DB_USER.name}.",
    )


def check_gateway(
    settings: Mapping[str, Any], env: Mapping[str, str], *, role: str | None = None
) -> list[Problem]:
    """Tell what does not pass a gateway that routes by the name in the TLS hello.

    A gateway is taken to be there where the environment says so: direct
    negotiation, the connection profile ``wan``, or a site worker.
    """
    read = Reader(env, [])
    options = postgresql_options(settings)
    database = default_database(settings)
    far = role == SITE_WORKER or read(variables.CONNECTION_PROFILE) == "wan"
    direct = read(variables.DB_SSLNEGOTIATION) == "direct"
    problems: list[Problem] = []
    if options.get("sslmode", "disable") != "disable":
        host = str(database.get("HOST") or "")
        name, hosts = _host_place(host, env), host.split(",")
        if far or direct:
            problems += _unroutable(name, hosts)
            problems += _without_sni(options, env)
        elif options["sslmode"] == "verify-full":
            problems += _unroutable(name, hosts, gateway=False)
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
        for name, host in _redis_hosts(settings, env):
            problems += _unroutable(name, [host])
    return problems


def _redis_hosts(
    settings: Mapping[str, Any], env: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the hosts of default cache and broker, each after what names it."""
    cache = entries(settings, "CACHES").get("default", {})
    locations = urls_of(cache.get("LOCATION"), ",") if is_redis_cache(cache) else []
    broker = settings.get("CELERY_BROKER_URL")
    urls = [("CACHES.default.LOCATION", url) for url in locations]
    urls += [(broker_place(broker, env), url) for url in urls_of(broker, ";")]
    usual = Reader(env, [])(variables.REDIS_HOST)
    # Of other brokers only some have a server: sqs:// and memory:// have none.
    hosts = [
        (place, host_of(url))
        for place, url in urls
        if host_of(url) or scheme_of(url) in {*BROKER_SCHEMES, *AMQP_SCHEMES}
    ]
    return list(
        dict.fromkeys(
            (variables.REDIS_HOST.name, usual)
            if host == usual.strip("[]").lower()
            else (place, host)
            for place, host in hosts
        )
    )


def _unroutable(name: str, hosts: list[str], *, gateway: bool = True) -> list[Problem]:
    # libpq's own rule for names that it puts into no TLS hello.
    addresses = [
        host
        for host in hosts
        if ":" in host or (host and not host.strip("0123456789."))
    ]
    problems = [
        codes.GATEWAY_ADDRESS.problem(
            name,
            f"{echo(host)} is an address, and a TLS hello names no address.",
        )
        for host in addresses
        if gateway
    ]
    return problems + [
        codes.GATEWAY_TRAILING_DOT.problem(
            name,
            f"{echo(host)} ends with a dot, which neither a route of a gateway nor a "
            "certificate has.",
            f"Use {echo(host.rstrip('.'))}.",
        )
        for host in hosts
        if host.endswith(".") and host not in addresses
    ]


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


def check_local_hosts(
    settings: Mapping[str, Any], env: Mapping[str, str]
) -> list[Problem]:
    """Tell which servers of a site worker would be in its own pod."""
    database = str(default_database(settings).get("HOST") or "")
    hosts = [
        (_host_place(database, env), database),
        *_redis_hosts(settings, env),
    ]
    usual = (variables.DB_HOST.name, variables.REDIS_HOST.name)
    return [
        codes.SITE_HOST_MISSING.problem(
            name,
            f"{'it is unset, so ' if name in usual and not env.get(name) else ''}"
            f"a site worker would connect to {host or 'a socket'} in its own pod.",
        )
        for name, host in hosts
        if _is_local(host)
    ]


def _is_local(host: str) -> bool:
    names = ("", "localhost", "::1", "[::1]")
    return host in names or host.startswith(("127.", "/", "@"))


def _host_place(host: str, env: Mapping[str, str]) -> str:
    """Return who says the host of the default database."""
    return place_of(variables.DB_HOST, host, "DATABASES.default.HOST", env)
