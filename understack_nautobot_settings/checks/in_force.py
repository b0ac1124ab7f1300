"""Whether the settings that Django runs with are those that `configure` decided.

A settings file goes on after the call, and may replace anything. What was decided is
remembered as hashes, which Python makes with a random key of the process, and as no
value: the settings hold secrets.
"""

import os
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import presents_certificate
from understack_nautobot_settings.environment.libpq import variables_against_tls
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import Trail
from understack_nautobot_settings.environment.settings_module import at
from understack_nautobot_settings.environment.settings_module import databases
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.fragments import codes as fragments_codes
from understack_nautobot_settings.fragments.hardening import hardening_settings
from understack_nautobot_settings.fragments.redis_caches import CLASSES
from understack_nautobot_settings.fragments.redis_caches import DEFAULT_FACTORY
from understack_nautobot_settings.fragments.redis_caches import PLAIN_CLASS
from understack_nautobot_settings.fragments.redis_caches import asks_for_tls
from understack_nautobot_settings.fragments.redis_caches import connection_class
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import is_valkey_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import requirement
from understack_nautobot_settings.fragments.redis_urls import BROKER_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import SOCKET_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import event_broker_problem
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import plain_event_brokers
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import ssl_options
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

# What decides, beside the pool's arguments, how a cache makes its connections.
_CACHE_CLASSES = (*CLASSES, "REDIS_CLIENT_CLASS", "pool_class")
_BROKER = "CELERY_BROKER_URL"
_BROKER_SETTINGS = (
    "CELERY_BROKER_USE_SSL",
    "CELERY_REDIS_BACKEND_USE_SSL",
    "CELERY_BROKER_TRANSPORT",
    # Celery connects to these where they are there, whatever the broker URL is.
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
)
_POSTGRESQL = "postgresql://"
# Its existence turns mutual TLS on.
_MUTUAL = variables.REDIS_FILES["ssl_ca_certs"].name
_BELOW = "a line below the call of configure"
# Before a server of Redis that is verified, or is not and should be.
_VERIFIED = "verified "
_NOTHING = object()


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

    @property
    def is_secured(self) -> bool:
        """Whether the client demands TLS."""
        return self.tls in ("mutual", "server")


class Decisions(NamedTuple):
    """What `configure` decided, without any value of it.

    Attributes:
        tls: For each connection that uses TLS the hashes of what makes it do so.
        asked: Who asked for that TLS: a variable, or a line above the call.
        plain: The connections that do not, as the file said above the call.
        servers: The servers that are reached over TLS.
        others: The hashes of all other values; of a list, one for each element.
        hardened: Whether hardening is on.
    """

    tls: dict[str, dict[str, int]]
    asked: dict[str, str]
    plain: frozenset[str]
    servers: frozenset[str]
    others: dict[Trail, frozenset[int]]
    hardened: bool


class _Connection(NamedTuple):
    """How settings make one connection.

    Attributes:
        uses_tls: Whether it is told to use TLS.
        facts: What decides that, by its place below the setting.
        secured: The servers that it reaches over TLS.
        plain: Those that it reaches without.
    """

    uses_tls: bool
    facts: dict[str, Any]
    secured: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()


def decided_settings(
    before: Mapping[str, Any],
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    earlier: Decisions | None = None,
) -> Decisions:
    """Return what to remember of the settings that the fragments returned.

    Args:
        before: The settings module as the call found it.
        settings: What `evaluate` returned for it.
        env: The environment that it was evaluated in.
        earlier: What an earlier call decided, which is still decided where it is
            still there: a file may take over the names of another one that calls.
    """
    earlier = earlier or Decisions({}, {}, frozenset(), frozenset(), {}, False)
    above = _connections(before)
    read = Reader(env, [])
    after = {**before, **settings}
    connections = _connections(after)
    tls = {
        name: _hashes(connection.facts)
        for name, connection in connections.items()
        if connection.uses_tls
    }
    servers = (connection.secured for connection in connections.values())
    key = variables.SECRET_KEY
    # Nautobot has read the variable as well.
    base = {**before, key.settings[0]: _NOTHING} if read.is_set(key) else before
    kept = (
        trail
        for trail in earlier.others
        if is_decided(earlier, trail, at(after, trail, _NOTHING))
    )
    return Decisions(
        tls,
        {
            name: earlier.asked[name]
            if hashes == earlier.tls.get(name)
            else _asked_by(name, above.get(name), read)
            for name, hashes in tls.items()
        },
        frozenset(connections.keys() - tls.keys()),
        frozenset().union(*servers),
        {trail: earlier.others[trail] for trail in kept}
        | {trail: _parts(value) for trail, value in _differing(base, settings)},
        read(variables.HARDENING),
    )


def _asked_by(name: str, above: _Connection | None, read: Reader) -> str:
    """Return the variable that asked for the TLS of a connection, or the file."""
    candidates: list[Variable[Any]] = [variables.REDIS_SCHEME, variables.REDIS_SSL]
    if name.startswith("DATABASES"):
        candidates = [variables.DB_SSLMODE]
    elif above is None or not above.uses_tls:
        return _MUTUAL
    elif name == _BROKER:
        candidates.insert(0, variables.CELERY_BROKER_URL)
    given = (one.name for one in candidates if read.given(one))
    return next(given, "a line above the call")


def check_in_force(
    settings: Mapping[str, Any],
    decided: Decisions,
    env: Mapping[str, str] = os.environ,
) -> list[Problem]:
    """Return what a settings file undid after the call.

    Args:
        settings: The settings that Django runs with, or will.
        decided: What `configure` decided.
        env: The environment, which Celery and libpq ask once more when they connect.

    Returns:
        An error for each connection that lost its TLS settings, for each that was
        added and should have some, for each variable that a client prefers to them,
        and for what hardening refuses; a warning for each other setting of which
        something decided is gone.
    """
    now = _connections(settings)
    hardening: list[Problem] = []
    if decided.hardened:
        # The call may have been given an environment of its own.
        on = {**env, variables.HARDENING.name: "on"}
        hardening_settings(settings, on, problems=hardening)
    problems = [
        *_lost_problems(now, decided),
        *_added_problems(now, decided),
        *_class_problems(settings),
        *_variable_problems(env, decided),
        *(one for one in hardening if one.severity == ERROR),
    ]
    refused = {problem.variable.partition(".")[0] for problem in problems}
    if _BROKER in refused:
        refused.update(_BROKER_SETTINGS)
    replaced: dict[str, dict[str, None]] = {}
    for trail in decided.others:
        found = at(settings, trail, _NOTHING)
        if trail[0] not in refused and not is_decided(decided, trail, found):
            # Below the settings of a plugin names may come out of a secret variable.
            end = 3 if trail[0] == "PLUGINS_CONFIG" else None
            replaced.setdefault(trail[0], {})[".".join(trail[1:end])] = None
    problems += [
        codes.SETTING_REPLACED.problem(name, f"{_BELOW} replaced {_listed([*names])}.")
        for name, names in replaced.items()
    ]
    return problems


def is_decided(decided: Decisions, trail: Trail, value: Any) -> bool:
    """Tell whether `configure` decided a value, and it is still there."""
    parts = decided.others.get(trail)
    return parts is not None and parts <= _parts(value)


def connection_modes(settings: Mapping[str, Any]) -> list[ConnectionMode]:
    """Return how databases, caches and broker are protected by any settings.

    Args:
        settings: Django settings by name.

    Returns:
        Database and cache of the alias ``default``, the broker, then the other
        databases and the other caches in Redis or Valkey.
    """
    modes = [
        _database_mode(_named("database", alias), database)
        for alias, database in {"default": {}, **databases(settings)}.items()
    ]
    for alias, cache in {"default": {}, **entries(settings, "CACHES")}.items():
        if alias == "default" or is_redis_cache(cache) or is_valkey_cache(cache):
            name, pool = _named("cache", alias), pool_arguments(cache)
            modes.append(_redis_mode(name, cache.get("LOCATION"), pool))
    tls = settings.get("CELERY_BROKER_USE_SSL")
    modes.append(_redis_mode("broker", settings.get(_BROKER), tls))
    return sorted(modes, key=lambda mode: " " in mode.connection)


def _named(kind: str, alias: str) -> str:
    return kind if alias == "default" else f"{kind} {alias}"


class SettingsInForce(Mapping[str, Any]):
    """What a settings file says, by name; Django's own defaults are left out.

    Nothing is read before it is asked for: Django warns of a deprecated setting as it
    is read, and raises at an empty SECRET_KEY.
    """

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


def _differing(
    before: Mapping[str, Any], settings: Mapping[str, Any], above: Trail = ()
) -> Iterator[tuple[Trail, Any]]:
    """Yield every value that is no mapping and differs, and where it stands."""
    for name, value in settings.items():
        base = before.get(name, _NOTHING)
        same = base is value or base == value
        # A list is what a fragment makes of a tuple.
        if same or (isinstance(base, tuple) and [*base] == value):
            continue
        trail = (*above, str(name))
        if isinstance(value, Mapping):
            yield from _differing(mapping(base), value, trail)
        else:
            yield trail, value


def _hashes(facts: Mapping[str, Any]) -> dict[str, int]:
    return {name: _hash(value) for name, value in facts.items()}


def _parts(value: Any) -> frozenset[int]:
    parts = value if isinstance(value, list | tuple) else [value]
    return frozenset(map(_hash, parts))


def _hash(value: Any) -> int:
    try:
        return hash(repr(value))
    except Exception:  # noqa: BLE001 - of a translation, before the apps are loaded
        return id(value)


def _connections(settings: Mapping[str, Any]) -> dict[str, _Connection]:
    """Return every connection that settings describe, by its setting."""
    factory = settings.get(DEFAULT_FACTORY)
    urls = urls_of(settings.get(_BROKER), ";")
    broker = {
        _BROKER: [_shape(url) for url in urls],
        **{name: settings.get(name) for name in _BROKER_SETTINGS},
    }
    return {
        **{
            f"DATABASES.{alias}": _database_connection(database)
            for alias, database in databases(settings).items()
        },
        **{
            f"CACHES.{alias}": _cache_connection(cache, factory)
            for alias, cache in entries(settings, "CACHES").items()
        },
        **{
            name: _Connection(False, {}, plain=frozenset({host}))
            for name, host in plain_event_brokers(settings).items()
        },
        _BROKER: _Connection(_over_tls(urls, broker["CELERY_BROKER_USE_SSL"]), broker),
    }


def _database_connection(database: Mapping[str, Any]) -> _Connection:
    options = mapping(database.get("OPTIONS"))
    host = str(database.get("HOST") or "")
    postgresql = is_postgresql(database)
    server = frozenset({f"{_POSTGRESQL}{host}"} if postgresql else ())
    secured = options.get("sslmode") in variables.TLS_MODES
    facts = {
        "ENGINE": postgresql,
        # libpq uses no TLS on a Unix socket.
        "HOST": not host or host.startswith(("/", "@")),
        # libpq takes 'requiressl=0' for 'sslmode=prefer', and a service holds what
        # nobody sees.
        **{
            f"OPTIONS.{name}": value
            for name, value in options.items()
            if value is not None
            and (str(name).startswith("ssl") or name in ("requiressl", "service"))
        },
    }
    if secured:
        return _Connection(postgresql, facts, secured=server)
    return _Connection(False, facts, plain=server)


def _cache_connection(cache: Mapping[str, Any], factory: object) -> _Connection:
    options = mapping(cache.get("OPTIONS"))
    urls = urls_of(cache.get("LOCATION"), ",")
    redis = is_redis_cache(cache)
    pool = pool_arguments(cache)
    secured = _hosts(urls, "rediss")
    plain = _hosts(urls, "redis") if redis else frozenset()
    verified = {f"{_VERIFIED}{host}" for host in secured}
    if requirement(pool.get("ssl_cert_reqs", "required")) != "none":
        secured |= verified
    elif redis:
        plain |= verified
    facts = {
        "LOCATION": [_shape(url) for url in urls],
        "BACKEND": cache.get("BACKEND"),
        **{f"OPTIONS.{name}": options.get(name) for name in _CACHE_CLASSES},
        **{
            f"OPTIONS.CONNECTION_POOL_KWARGS.{name}": value
            for name, value in pool.items()
            if name.startswith("ssl") or name == "connection_class"
        },
        DEFAULT_FACTORY: factory,
    }
    uses_tls = redis and _over_tls(urls, asks_for_tls(pool))
    return _Connection(uses_tls, facts, secured, plain)


def _shape(url: str) -> list[str]:
    """Return of a URL what matters for TLS, which holds no credential."""
    return [scheme_of(url), *ssl_options(url)]


def _over_tls(urls: list[str], options: Any) -> bool:
    # A call above the import of Nautobot's settings sees options, and no URL yet.
    return all(scheme_of(url) == "rediss" for url in urls) if urls else bool(options)


def _hosts(urls: list[str], scheme: str) -> frozenset[str]:
    return frozenset(host_of(url) for url in urls if scheme_of(url) == scheme)


def _lost_problems(
    now: Mapping[str, _Connection], decided: Decisions
) -> Iterator[Problem]:
    """Yield which connections do not use TLS as it was decided."""
    for name, hashes in decided.tls.items():
        found = _hashes(now[name].facts) if name in now else {}
        lost = [fact for fact, value in hashes.items() if found.get(fact) != value]
        # Such as ssl_min_protocol_version, which nothing had decided.
        added = [fact for fact in found if fact not in hashes]
        if not lost and not added:
            continue
        names = _listed([fact.rpartition(".")[2] for fact in lost or added])
        what = f"replaced {names}, and with it" if lost else f"added {names} to"
        asked = decided.asked[name]
        fact = f"{_BELOW} {what} the TLS that {asked} decided."
        yield _not_in_force(name, fact, mutual=asked == _MUTUAL)


def _added_problems(
    now: Mapping[str, _Connection], decided: Decisions
) -> Iterator[Problem]:
    """Yield what is wrong with connections without TLS that were added."""
    postgresql = {one for one in decided.servers if one.startswith(_POSTGRESQL)}
    added = f"{_BELOW} added it"
    for name, connection in now.items():
        known = name in decided.tls or name in decided.plain
        if known or not connection.plain:
            continue
        same = not connection.plain.isdisjoint(decided.servers)
        if name.startswith("EVENT_BROKERS"):
            if same:
                what = "its URL reaches the same Redis without TLS"
                yield event_broker_problem(name, f"{added}, and {what}.")
        elif same:
            fact = f"{added}, and it protects its connection to a server less than "
            mutual = _MUTUAL in decided.asked.values()
            yield _not_in_force(name, f"{fact}others do.", mutual=mutual)
        elif name.startswith("CACHES"):
            if decided.servers - postgresql:
                yield fragments_codes.REDIS_LEFT_ALONE.problem(
                    name,
                    f"{added}, so it keeps its scheme and gets no client certificate.",
                )
        elif postgresql and connection.facts.get("OPTIONS.sslmode") is None:
            # Above the call it would have got one.
            what = "has no sslmode, while others have one"
            yield _not_in_force(name, f"{added}, and it {what}.")


def _class_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield which caches have a URL of TLS and a class of connections without."""
    for alias, cache in entries(settings, "CACHES").items():
        urls = urls_of(cache.get("LOCATION"), ",")
        if _is_plain(pool_arguments(cache)) and _hosts(urls, "rediss"):
            fact = f"{_BELOW} gave it rediss:// and left the class of its connections, "
            yield _not_in_force(f"CACHES.{alias}", f"{fact}which was for redis://.")


def _is_plain(arguments: Mapping[str, Any]) -> bool:
    return connection_class(arguments) == PLAIN_CLASS


def _variable_problems(env: Mapping[str, str], decided: Decisions) -> Iterator[Problem]:
    """Yield which variables a client takes in place of the TLS that was decided."""
    rivals = {}
    if _BROKER in decided.tls:
        names = [one.name for one in variables.CELERY_RIVALS if env.get(one.name)]
        rivals["Celery"] = names
    # Where a certificate is presented.
    if "OPTIONS.sslcert" in decided.tls.get("DATABASES.default", ()):
        rivals["libpq"] = variables_against_tls(env)
    for client, names in rivals.items():
        for name in names:
            yield codes.TLS_NOT_IN_FORCE.problem(
                name,
                f"{_BELOW} set this variable, and {client} takes it in place of its "
                "settings.",
                "Remove the line.",
            )


def _not_in_force(connection: str, fact: str, *, mutual: bool = False) -> Problem:
    """Return the error about a connection; `mutual` where Redis mTLS was decided."""
    remedy = None
    if mutual and not connection.startswith("DATABASES"):
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
    tls = "mutual" if presents_certificate(options) else "server"
    verify = sslmode if sslmode.startswith("verify-") else "none"
    return ConnectionMode(connection, tls, verify)


def _redis_mode(connection: str, location: Any, options: Any) -> ConnectionMode:
    urls = urls_of(location, ";" if connection == "broker" else ",")
    given = mapping(options)
    secured = {"rediss", "valkeys", "amqps"}
    if bool(options) if connection == "broker" else asks_for_tls(given):
        # With these kombu and Sentinel use TLS whatever the URL begins with.
        secured |= {scheme_of(url) for url in urls} - SOCKET_SCHEMES
    if _is_plain(given) or (options and not given):
        # kombu takes no True for Redis, and uses no TLS then.
        secured -= BROKER_SCHEMES
    if not urls or not all(scheme_of(url) in secured for url in urls):
        return ConnectionMode(connection, "off", "none")
    tls = "mutual" if given.get("ssl_certfile") else "server"
    return ConnectionMode(
        connection, tls, requirement(given.get("ssl_cert_reqs", "default"))
    )
