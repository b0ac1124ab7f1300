"""Whether the settings that Django runs with are those that `configure` decided.

A settings file goes on after the call, and may replace anything. What was decided
is remembered as digests under a key of this process, so that it holds no secret.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import variables_against_tls
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.fragments import codes as fragments_codes
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import is_valkey_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import requirement
from understack_nautobot_settings.fragments.redis_urls import event_broker_problem
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import plain_event_brokers
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import ssl_options
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Problem

Path = tuple[str, ...]
"""Where a value stands: ``("DATABASES", "default", "OPTIONS", "sslmode")``."""

# What decides, beside the pool's arguments, how a cache makes its connections.
_CACHE_CLASSES = (
    "CLIENT_CLASS",
    "CONNECTION_FACTORY",
    "CONNECTION_POOL_CLASS",
    "REDIS_CLIENT_CLASS",
    "pool_class",
)
_BROKER_SETTINGS = (
    "CELERY_BROKER_USE_SSL",
    "CELERY_REDIS_BACKEND_USE_SSL",
    "CELERY_BROKER_TRANSPORT",
    # Celery connects to these where they are there, whatever the broker URL is.
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
)
_DEFAULT = "DATABASES.default"
_CERTIFICATE = "OPTIONS.sslcert"
_TLS_MODES = ("verify-full", "verify-ca", "require")
# Facts that are no settings.
_USES_TLS = "_uses_tls"
_PLAIN_HOSTS = "_plain_hosts"
# Before a host that is reached over TLS with anybody, and should not be.
_UNVERIFIED = "unverified "
_NOTHING = object()
# Nautobot makes this one of the default database after the settings file.
_NAUTOBOTS_DATABASE = "job_logs"


class ConnectionMode(NamedTuple):
    """How one connection is protected.

    Attributes:
        connection: ``"database"``, ``"cache"`` or ``"broker"``; a further database
            or cache has its alias behind it, ``"cache sessions"``.
        tls: ``"mutual"`` with a client certificate, ``"server"`` without one,
            ``"off"``, or ``"unset"`` where client and server decide: libpq's default
            ``prefer``, and ``allow``.
        verify: How the server is verified: the sslmode of PostgreSQL, the
            ``ssl_cert_reqs`` of Redis, ``"none"`` where it is not.
    """

    connection: str
    tls: str
    verify: str


class Decided(NamedTuple):
    """What `configure` decided, without any value of it.

    Attributes:
        key: What the digests are made with.
        tls: For each connection that uses TLS the digest of what makes it do so.
        plain: The connections that do not, as the file said above the call.
        others: The digests of all other values; of a list, one for each element.
        hosts: The hosts of Redis that are reached over TLS.
    """

    key: bytes
    tls: dict[str, dict[str, bytes]]
    plain: frozenset[str]
    others: dict[Path, frozenset[bytes]]
    hosts: frozenset[str]


def decided_settings(before: Mapping[str, Any], settings: Mapping[str, Any]) -> Decided:
    """Return what to remember of the settings that the fragments returned.

    Args:
        before: The settings module as the call found it.
        settings: What `evaluate` returned for it.
    """
    key = os.urandom(16)
    whole = {**before, **settings}
    connections = _tls_facts(whole)
    tls = {
        connection: {name: _digest(value, key) for name, value in facts.items()}
        for connection, facts in connections.items()
        if facts[_USES_TLS]
    }
    others = {
        path: _digests(value, key) for path, value in _differing(before, settings)
    }
    plain = frozenset(connections.keys() - tls.keys())
    return Decided(key, tls, plain, others, _tls_hosts(whole))


def check_in_force(
    settings: Mapping[str, Any],
    decided: Decided,
    env: Mapping[str, str] = os.environ,
) -> list[Problem]:
    """Return what a settings file undid after the call.

    Args:
        settings: The settings that Django runs with, or will.
        decided: What `configure` decided.
        env: The environment, which Celery and libpq ask once more when they connect.

    Returns:
        An error for each connection that lost its TLS settings, for each that was
        added and should have some, and for each variable that a client prefers to
        them; a warning for each other setting of which something decided is gone.
    """
    problems = []
    now = _tls_facts(settings)
    for connection, digests in decided.tls.items():
        facts = now.get(connection, {})
        lost = [
            name
            for name, digest in digests.items()
            if name not in facts or _digest(facts[name], decided.key) != digest
        ]
        # Such as ssl_min_protocol_version, which nothing had decided.
        added = [name for name in facts if name not in digests]
        if lost or added:
            problems.append(_tls_lost(connection, lost or added, added=not lost))
    databases = {
        _database_host(database)
        for alias, database in entries(settings, "DATABASES").items()
        if f"DATABASES.{alias}" in decided.tls and not _is_plain(database)
    }
    for connection, facts in now.items():
        if connection not in decided.tls and connection not in decided.plain:
            problems += _added_problems(connection, facts, databases, decided.hosts)
    problems += [
        codes.TLS_NOT_IN_FORCE.problem(
            name,
            f"a line below the call of configure set this variable, and {client} "
            "takes it in place of its settings.",
            "Remove the line.",
        )
        for connection, client, names in (
            ("CELERY_BROKER_URL", "Celery", _celery_variables(env)),
            (_DEFAULT, "libpq", variables_against_tls(env)),
        )
        # Where a certificate is presented, or Celery has TLS at all.
        if decided.tls.get(connection, {}).keys() & {_CERTIFICATE, connection}
        for name in names
    ]
    refused = {problem.variable.partition(".")[0] for problem in problems}
    replaced: dict[str, list[str]] = {}
    for path, digests_of_parts in decided.others.items():
        found = _at(settings, path)
        if found is _NOTHING or not digests_of_parts <= _digests(found, decided.key):
            replaced.setdefault(path[0], []).append(".".join(path[1:]))
    problems += [
        codes.SETTING_REPLACED.problem(
            name,
            f"a line below the call of configure replaced {_listed(names)}.",
        )
        for name, names in replaced.items()
        if name not in refused
    ]
    return problems


def is_decided(decided: Decided, path: Path, value: Any) -> bool:
    """Tell whether `configure` decided a value, and it is still there."""
    parts = decided.others.get(path)
    return parts is not None and parts <= _digests(value, decided.key)


def connection_modes(settings: Mapping[str, Any]) -> list[ConnectionMode]:
    """Return how databases, caches and broker are protected by any settings.

    Args:
        settings: Django settings by name.

    Returns:
        Database and cache of the alias ``default``, the broker, then the other
        databases and the other caches in Redis or Valkey.
    """
    databases = {"default": {}, **entries(settings, "DATABASES")}
    databases.pop(_NAUTOBOTS_DATABASE, None)
    caches = {"default": {}, **entries(settings, "CACHES")}
    broker = settings.get("CELERY_BROKER_URL"), settings.get("CELERY_BROKER_USE_SSL")
    modes = [
        *(
            _database_mode(_named("database", alias), database)
            for alias, database in databases.items()
        ),
        *(
            _redis_mode(
                _named("cache", alias), cache.get("LOCATION"), pool_arguments(cache)
            )
            for alias, cache in caches.items()
            if alias == "default" or is_redis_cache(cache) or is_valkey_cache(cache)
        ),
        _redis_mode("broker", *broker),
    ]
    return sorted(modes, key=lambda mode: " " in mode.connection)


def _named(kind: str, alias: str) -> str:
    return kind if alias == "default" else f"{kind} {alias}"


class SettingsInForce(Mapping[str, Any]):
    """What a settings file says, by name; Django's own defaults are left out."""

    def __init__(self, settings: Any) -> None:
        """Show these settings, ``django.conf.settings``."""
        self._settings = settings

    def __getitem__(self, name: str) -> Any:
        """Return a setting."""
        if not self._settings.is_overridden(name):
            raise KeyError(name)
        return getattr(self._settings, name)

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return (
            name
            for name in dir(self._settings)
            if name.isupper() and self._settings.is_overridden(name)
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)


def _celery_variables(env: Mapping[str, str]) -> list[str]:
    return [one.name for one in variables.CELERY_RIVALS if env.get(one.name)]


def _differing(
    before: Mapping[str, Any], settings: Mapping[str, Any], above: Path = ()
) -> Iterator[tuple[Path, Any]]:
    """Yield every value that is no mapping and differs, and where it stands."""
    for name, value in settings.items():
        path = (*above, name)
        base = before.get(name, _NOTHING)
        if isinstance(value, Mapping):
            if base is not value:
                yield from _differing(mapping(base), value, path)
        # Nautobot has read the variable of the secret key as well.
        elif path == ("SECRET_KEY",) or not (base is value or base == value):
            yield path, value


def _at(settings: Mapping[str, Any], path: Path) -> Any:
    """Return the value that stands there and is no mapping, else `_NOTHING`."""
    value: Any = settings
    for name in path:
        value = mapping(value).get(name, _NOTHING)
    return _NOTHING if isinstance(value, Mapping) else value


def _digest(value: Any, key: bytes) -> bytes:
    text = repr(value).encode(errors="surrogatepass")
    return hashlib.blake2b(text, key=key, digest_size=16).digest()


def _digests(value: Any, key: bytes) -> frozenset[bytes]:
    parts = value if isinstance(value, list | tuple) else [value]
    return frozenset(_digest(part, key) for part in parts)


def _tls_facts(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each connection what decides whether and how it uses TLS."""
    facts = {
        f"DATABASES.{alias}": _database_facts(database)
        for alias, database in entries(settings, "DATABASES").items()
        if alias != _NAUTOBOTS_DATABASE
    }
    factory = settings.get("DJANGO_REDIS_CONNECTION_FACTORY")
    facts |= {
        f"CACHES.{alias}": {
            **_cache_facts(cache),
            "DJANGO_REDIS_CONNECTION_FACTORY": factory,
        }
        for alias, cache in entries(settings, "CACHES").items()
    }
    urls = urls_of(settings.get("CELERY_BROKER_URL"), ";")
    broker = {
        _USES_TLS: _over_tls(urls),
        "CELERY_BROKER_URL": [_shape(url) for url in urls],
        **{name: settings.get(name) for name in _BROKER_SETTINGS},
    }
    facts |= {
        name: {_USES_TLS: False, _PLAIN_HOSTS: frozenset({host})}
        for name, host in plain_event_brokers(settings).items()
    }
    return {**facts, "CELERY_BROKER_URL": broker}


def _database_facts(database: Mapping[str, Any]) -> dict[str, Any]:
    options = mapping(database.get("OPTIONS"))
    host = str(database.get("HOST") or "")
    tls = is_postgresql(database) and "sslmode" in options
    plain = {_database_host(database)} if _is_plain(database) else ()
    return {
        _USES_TLS: tls,
        _PLAIN_HOSTS: frozenset(plain),
        # libpq uses no TLS on a Unix socket.
        "HOST": not host or host.startswith(("/", "@")),
        "OPTIONS.sslmode": options.get("sslmode"),
        # libpq takes 0 for 'sslmode=prefer', and a service holds what nobody sees.
        "OPTIONS.requiressl": options.get("requiressl"),
        "OPTIONS.service": options.get("service"),
        **{
            f"OPTIONS.{name}": value
            for name, value in options.items()
            if str(name).startswith("ssl")
        },
    }


def _is_plain(database: Mapping[str, Any]) -> bool:
    sslmode = mapping(database.get("OPTIONS")).get("sslmode")
    return is_postgresql(database) and sslmode not in _TLS_MODES


def _database_host(database: Mapping[str, Any]) -> str:
    return f"postgresql://{database.get('HOST')}"


def _cache_facts(cache: Mapping[str, Any]) -> dict[str, Any]:
    options = mapping(cache.get("OPTIONS"))
    urls = urls_of(cache.get("LOCATION"), ",")
    redis = is_redis_cache(cache)
    pool = pool_arguments(cache)
    plain = {host_of(url) for url in urls if redis and scheme_of(url) == "redis"}
    if redis and not _is_verified(pool):
        plain |= {f"{_UNVERIFIED}{host}" for host in _secured_hosts(urls)}
    return {
        _USES_TLS: redis and _over_tls(urls),
        _PLAIN_HOSTS: frozenset(plain),
        "LOCATION": [_shape(url) for url in urls],
        "BACKEND": cache.get("BACKEND"),
        **{f"OPTIONS.{name}": options.get(name) for name in _CACHE_CLASSES},
        **{
            f"OPTIONS.CONNECTION_POOL_KWARGS.{name}": value
            for name, value in pool.items()
            if name.startswith("ssl") or name == "connection_class"
        },
    }


def _is_verified(pool: Mapping[str, Any]) -> bool:
    return requirement(pool.get("ssl_cert_reqs", "required")) != "none"


def _secured_hosts(urls: list[str]) -> set[str]:
    return {host_of(url) for url in urls if scheme_of(url) == "rediss"}


def _shape(url: str) -> list[str]:
    """Return of a URL what matters for TLS, which holds no credential."""
    return [scheme_of(url), *ssl_options(url)]


def _over_tls(urls: list[str]) -> bool:
    return bool(urls) and all(scheme_of(url) == "rediss" for url in urls)


def _tls_hosts(settings: Mapping[str, Any]) -> frozenset[str]:
    hosts = set()
    for cache in entries(settings, "CACHES").values():
        found = _secured_hosts(urls_of(cache.get("LOCATION"), ","))
        hosts |= found
        if _is_verified(pool_arguments(cache)):
            hosts |= {f"{_UNVERIFIED}{host}" for host in found}
    return frozenset(hosts)


def _tls_lost(connection: str, names: list[str], *, added: bool) -> Problem:
    variable = variables.DB_SSLMODE.name
    if not connection.startswith("DATABASES"):
        variable = variables.REDIS_FILES["ssl_ca_certs"].name
    lost = _listed(
        [name.rpartition(".")[2] for name in names if not name.startswith("_")]
    )
    what = f"added {lost} to" if added else f"replaced {lost}, and with it"
    return _not_in_force(
        connection,
        f"a line below the call of configure {what} the TLS that {variable} decided.",
    )


def _added_problems(
    connection: str,
    facts: Mapping[str, Any],
    databases: AbstractSet[str],
    caches: AbstractSet[str],
) -> Iterator[Problem]:
    """Yield what is wrong with a connection without TLS that was added.

    Args:
        connection: The setting.
        facts: What makes it use TLS, or not.
        databases: The hosts of PostgreSQL that are reached over TLS.
        caches: Those of Redis.
    """
    plain = facts.get(_PLAIN_HOSTS)
    if not plain:
        return
    added = "a line below the call of configure added it"
    if connection.startswith("EVENT_BROKERS"):
        if not plain.isdisjoint(caches):
            what = "its URL reaches the same Redis without TLS"
            yield event_broker_problem(connection, f"{added}, and {what}.")
    elif not plain.isdisjoint(databases | caches):
        what = "reaches a server without verified TLS that others reach over it"
        yield _not_in_force(connection, f"{added}, and it {what}.")
    elif databases and facts.get("OPTIONS.sslmode", "") is None:
        # Above the call it would have got one.
        what = "has no sslmode, while others have one"
        yield _not_in_force(connection, f"{added}, and it {what}.")
    elif caches and connection.startswith("CACHES"):
        yield fragments_codes.REDIS_LEFT_ALONE.problem(
            connection,
            f"{added}, so it keeps its scheme and gets no client certificate.",
        )


def _not_in_force(connection: str, fact: str) -> Problem:
    remedy = None
    if not connection.startswith("DATABASES"):
        fix = codes.TLS_NOT_IN_FORCE.fix.replace("`", "")
        remedy = f"{fix} For a Redis without TLS set {variables.REDIS_MTLS.name}=off."
    return codes.TLS_NOT_IN_FORCE.problem(connection, fact, remedy)


def _listed(names: list[str]) -> str:
    """Return names as a sentence lists them, ``it`` where they are the setting."""
    parts = [name for name in names if name]
    return one_of(parts, "and") if parts else "it"


def _database_mode(connection: str, database: Mapping[str, Any]) -> ConnectionMode:
    options = mapping(database.get("OPTIONS"))
    sslmode = str(options.get("sslmode") or "")
    if sslmode in ("", "prefer", "allow"):
        return ConnectionMode(connection, "unset", "none")
    if sslmode == "disable":
        return ConnectionMode(connection, "off", "none")
    presented = options.get("sslcert") and options.get("sslcertmode") != "disable"
    tls = "mutual" if presented else "server"
    verify = sslmode if sslmode.startswith("verify-") else "none"
    return ConnectionMode(connection, tls, verify)


def _redis_mode(connection: str, location: Any, options: Any) -> ConnectionMode:
    urls = urls_of(location, ";" if connection == "broker" else ",")
    secured = {"rediss", "valkeys", "amqps"}
    if not urls or not all(scheme_of(url) in secured for url in urls):
        return ConnectionMode(connection, "off", "none")
    if isinstance(options, Mapping) and "ssl_cert_reqs" in options:
        tls = "mutual" if options.get("ssl_certfile") else "server"
        return ConnectionMode(connection, tls, requirement(options["ssl_cert_reqs"]))
    return ConnectionMode(connection, "server", "default")
