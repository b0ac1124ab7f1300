"""How Nautobot reaches Redis: cache, Celery broker and result backend alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments.redis_caches import cache_backend
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import is_valkey_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import requirement
from understack_nautobot_settings.fragments.redis_caches import takes_pool_arguments
from understack_nautobot_settings.fragments.redis_caches import with_pool_arguments
from understack_nautobot_settings.fragments.redis_urls import BROKER_DATABASE
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import TCP_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import RedisAddress
from understack_nautobot_settings.fragments.redis_urls import check_mixture
from understack_nautobot_settings.fragments.redis_urls import check_urls
from understack_nautobot_settings.fragments.redis_urls import event_broker_problem
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import nautobot_database
from understack_nautobot_settings.fragments.redis_urls import nautobot_url_start
from understack_nautobot_settings.fragments.redis_urls import over_tls
from understack_nautobot_settings.fragments.redis_urls import plain_event_brokers
from understack_nautobot_settings.fragments.redis_urls import redis_address
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

# A value in quotes leads nowhere, and Nautobot does not say so.
_READ_BY_NAUTOBOT: tuple[Variable[Any], ...] = (
    variables.CELERY_BROKER_URL,
    variables.CACHES_BACKEND,
)
_CELERY_TLS = ("CELERY_BROKER_USE_SSL", "CELERY_REDIS_BACKEND_USE_SSL")
# Celery connects to these where they are there, whatever the broker URL is.
_BROKER_RIVALS = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
# Where django-redis is told to ask Sentinel.
_CACHE_CLASSES = ("CLIENT_CLASS", "CONNECTION_FACTORY", "CONNECTION_POOL_CLASS")


class _Tls:
    """What decides the TLS options of every connection to Redis.

    Attributes:
        mutual: True where a client certificate is presented and every TCP
            connection uses TLS.
    """

    def __init__(
        self,
        read: Reader,
        exists: Callable[[str], bool],
        check_files: Callable[[ClientFiles], list[Problem]],
    ) -> None:
        """Read the variables."""
        self._read = read
        self._check_files = check_files
        self._judged: set[ClientFiles] = set()
        self._accepts_any = False
        self._overruled: list[str] = []
        self._variables: dict[str, Variable[Any]] = {
            "ssl_cert_reqs": variables.REDIS_SSL_CERT_REQS,
            "ssl_check_hostname": variables.REDIS_SSL_CHECK_HOSTNAME,
            **variables.REDIS_FILES,
        }
        self._given = {
            option: read.given(variable) for option, variable in self._variables.items()
        }
        mode = read(variables.REDIS_MTLS)
        files = variables.REDIS_FILES
        # A path that somebody wrote down announces mutual TLS: going on without it
        # would be a downgrade that nobody asked for.
        unread = read.refused(variables.REDIS_MTLS) or read.refused(
            variables.REDIS_SCHEME
        )
        wanted = mode == "on" or any(map(read.is_set, files.values()))
        self.mutual = not (unread or mode == "off") and (
            wanted or exists(files["ssl_ca_certs"].default)
        )
        # What nobody asked for can be switched off.
        self._remedy = (
            ""
            if wanted
            else f" For a Redis without TLS set {variables.REDIS_MTLS.name}=off."
        )

    def options(
        self, schemes: set[str], said: Mapping[str, Any], place: str, *, ours: bool
    ) -> dict[str, Any]:
        """Return the keyword arguments of redis-py for one consumer.

        Args:
            schemes: The schemes of its URLs.
            said: What the settings file says of them.
            place: Where it says so, for problems.
            ours: Whether it is the Redis that the certificates were issued for.
        """
        mutual = self.mutual and ours and bool(schemes & TCP_SCHEMES)
        if not mutual and "rediss" not in schemes:
            return {}
        options = {
            option: self._chosen(option, said)
            for option in self._variables
            if mutual or option not in variables.REDIS_FILES
        }
        options["ssl_cert_reqs"] = self._requirement(said, place)
        if options["ssl_cert_reqs"] == "none":
            options["ssl_check_hostname"] = False
        if mutual:
            self._judge(options, said, place)
        return options

    def _chosen(self, option: str, said: Mapping[str, Any]) -> Any:
        given = self._given[option]
        if given is not None:
            return given
        return said.get(option, self._variables[option].default)

    def _requirement(self, said: Mapping[str, Any], place: str) -> str:
        variable = variables.REDIS_SSL_CERT_REQS
        given: str | None = self._given["ssl_cert_reqs"]
        if given is not None:
            self._accepts_any |= given == "none"
            return given
        word = requirement(said.get("ssl_cert_reqs", variable.default))
        if word != "none":
            return word
        self._overruled.append(place)
        return variable.default

    def warn(self) -> None:
        """Warn of what the options of all consumers came to."""
        name = variables.REDIS_SSL_CERT_REQS.name
        if self._accepts_any:
            self._read.problems.append(
                codes.REDIS_CERT_REQS_NONE.problem(
                    name,
                    "'none' accepts any server certificate, so any server that answers "
                    "gets the Redis password.",
                    "Use required.",
                )
            )
        if self._overruled:
            self._read.problems.append(
                codes.FILE_OVERRULED.problem(
                    name,
                    "the settings file says ssl_cert_reqs none in "
                    f"{one_of(self._overruled, 'and')}, and the variable is unset, so "
                    "the server certificate is verified nevertheless.",
                    f"Set {name}=none for connections without verification.",
                )
            )

    def _judge(
        self, options: Mapping[str, Any], said: Mapping[str, Any], place: str
    ) -> None:
        ca, cert, key = (
            CertificateFile(
                str(options[option]),
                variable.name
                if self._given[option] is not None or option not in said
                else f"{place}.{option}",
            )
            for option, variable in variables.REDIS_FILES.items()
        )
        files = ClientFiles("Redis", cert, key, ca)
        if files not in self._judged:
            self._judged.add(files)
            self._read.extend(
                one._replace(hint=one.hint + self._remedy)
                for one in self._check_files(files)
            )


def redis_tls_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
    check_files: Callable[[ClientFiles], list[Problem]] = check_certificates,
    exists: Callable[[str], bool] = os.path.exists,
) -> dict[str, Any]:
    """Return the cache and Celery settings that speak TLS where they should.

    Mutual TLS is on where the CA file exists. One set of options feeds every
    consumer: the connection pool of each cache, Celery's ``broker_use_ssl`` and its
    ``redis_backend_use_ssl``, in the keyword arguments of redis-py's
    ``SSLConnection``. ``redis://`` becomes ``rediss://`` with it. A ``rediss://``
    URL without a private CA is verified against the system store. A variable that
    is set wins over the file, and what the file says over a default, but a file
    cannot switch verification off by itself.

    The certificates belong to the Redis that ``NAUTOBOT_REDIS_HOST`` names: a cache
    on another host keeps its scheme and gets no client certificate.

    A URL that Nautobot built from ``NAUTOBOT_REDIS_*`` is built again with its
    credentials encoded; those of the cache move to the pool's keyword arguments,
    which Django's debug page masks.

    Args:
        settings: The settings module as a mapping; reads ``CACHES``,
            ``CELERY_BROKER_URL``, ``CELERY_BROKER_USE_SSL``,
            ``CELERY_REDIS_BACKEND_USE_SSL`` and ``EVENT_BROKERS``, changes nothing.
        env: The environment; reads the ``NAUTOBOT_REDIS_*`` variables,
            ``UNDERSTACK_REDIS_MTLS``, and refuses those that Celery reads itself.
        problems: Collects problems instead of raising them.
        check_files: Judges the files that mutual TLS uses.
        exists: Tells whether a file exists.

    Returns:
        ``CACHES``, ``CELERY_BROKER_URL`` where they were given, and
        ``CELERY_BROKER_USE_SSL`` and ``CELERY_REDIS_BACKEND_USE_SSL`` where the
        broker speaks TLS.

    Raises:
        MissingFileError: A file is missing (a ``FileNotFoundError``).
        SettingsError: A variable or URL is wrong, or a file unusable.
    """
    with Collecting(problems) as found:
        read = Reader(env, found)
        _refuse_celery_variables(read)
        for variable in _READ_BY_NAUTOBOT:
            read.given(variable)
        decided = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in well_formed(
                settings, found, "CACHES", "CELERY_BROKER_URL", *_CELERY_TLS
            ).items()
        }
        address = redis_address(read)
        # A setting that was refused is not replaced by anything.
        caches = _redis_caches(settings, decided)
        broker: Any = decided.get("CELERY_BROKER_URL")
        nautobots = nautobot_url_start(env)
        # The password in a URL that Nautobot built may hold anything.
        built = nautobot_database(broker, nautobots) is not None
        urls = [broker] if built else urls_of(broker, ";")
        redis = any(map(_is_redis, urls)) or not urls
        if broker is None and settings.get("CELERY_BROKER_URL") is not None:
            redis = False
        if isinstance(broker, str):
            decided["CELERY_BROKER_URL"] = broker = broker.strip()
        _refuse_without_scheme(read, urls)
        server = _server(read, caches, nautobots, address)
        if not (caches or redis):
            return decided
        tls = _Tls(read, exists, check_files)
        if tls.mutual:
            _refuse_sentinel(read, caches, [] if built else urls)
            _name_others(read, settings, decided, server.host)
        rebuilt = {
            alias: _cache(alias, cache, server, tls, read)
            for alias, cache in caches.items()
        }
        if any(rebuilt.values()):
            decided["CACHES"] = {**decided.get("CACHES", {}), **rebuilt}
        if redis:
            url = _broker_url(broker, server, tls, read)
            if url is not None:
                decided["CELERY_BROKER_URL"] = url
            schemes = {scheme_of(one) for one in urls_of(url, ";")}
            schemes = schemes or {_over(address, tls).scheme}
            decided |= _celery_tls(settings, decided, schemes, tls, read)
        tls.warn()
        return decided


def _refuse_celery_variables(read: Reader) -> None:
    """Refuse what Celery reads from the environment and prefers to its settings."""
    for variable in variables.CELERY_RIVALS:
        if read.is_set(variable):
            read.problems.append(
                codes.CELERY_VARIABLE.problem(
                    variable.name,
                    "Celery reads this variable itself and takes it in place of its "
                    "settings, so it would connect elsewhere and without their TLS.",
                )
            )


def _celery_tls(
    settings: Mapping[str, Any],
    decided: Mapping[str, Any],
    schemes: set[str],
    tls: _Tls,
    read: Reader,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _CELERY_TLS:
        said = mapping(decided.get(name))
        options = tls.options(schemes, said, name, ours=True)
        if options:
            found[name] = {**said, **options}
    if found:
        read.problems.extend(
            codes.BROKER_URL_RIVAL.problem(
                name,
                "Celery connects to this URL in place of CELERY_BROKER_URL, and no "
                "TLS was configured for it.",
            )
            for name in _BROKER_RIVALS
            if settings.get(name)
        )
    return found


def _redis_caches(
    settings: Mapping[str, Any], decided: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    if settings.get("CACHES") is None:
        return {"default": {}}
    return {
        alias: cache
        for alias, cache in entries(decided, "CACHES").items()
        if is_redis_cache(cache)
    }


def _is_redis(url: str) -> bool:
    """Tell whether a broker URL leads to Redis."""
    return scheme_of(url) in {*REDIS_SCHEMES, "sentinel"}


class _Server(NamedTuple):
    """The Redis that the certificates were issued for.

    Attributes:
        host: Its host, in lower case.
        address: What the environment says of it.
        nautobots: How the URLs begin that Nautobot makes of it.
    """

    host: str
    address: RedisAddress
    nautobots: str | None

    def database(self, url: object) -> int | None:
        """Return the number of the database where Nautobot built the URL."""
        return nautobot_database(url, self.nautobots)


def _server(
    read: Reader,
    caches: Mapping[str, Mapping[str, Any]],
    nautobots: str | None,
    address: RedisAddress,
) -> _Server:
    server = _Server(address.host.strip("[]").lower(), address, nautobots)
    location = caches.get("default", {}).get("LOCATION")
    urls = urls_of(location, ",")
    built = server.database(location) is not None
    if built or not urls or read.is_set(variables.REDIS_HOST):
        return server
    # The file names its Redis, and the variable does not.
    return server._replace(host=host_of(urls[0]))


def _name_others(
    read: Reader, settings: Mapping[str, Any], decided: Mapping[str, Any], host: str
) -> None:
    """Name what reaches Redis, or its like, and is not configured here."""
    read.problems.extend(
        codes.REDIS_LEFT_ALONE.problem(
            f"CACHES.{alias}",
            "this cache uses Valkey's client, which is not configured here, so it "
            "gets no TLS.",
        )
        for alias, cache in entries(decided, "CACHES").items()
        if is_valkey_cache(cache)
    )
    read.problems.extend(
        event_broker_problem(
            name,
            "Nautobot's event broker takes its TLS options from its URL alone, and "
            "this URL has none.",
        )
        for name, reached in plain_event_brokers(settings).items()
        if reached == host
    )


def _refuse_without_scheme(read: Reader, urls: list[str]) -> None:
    if any("://" not in url for url in urls):
        read.problems.append(
            codes.REDIS_URL_MALFORMED.problem(
                _broker_place(read),
                "the URL has no scheme, so Celery takes it for the host of a RabbitMQ.",
                "Begin it with redis:// or rediss://.",
            )
        )


def _refuse_sentinel(
    read: Reader, caches: Mapping[str, Mapping[str, Any]], broker_urls: list[str]
) -> None:
    places = [
        f"CACHES.{alias}.OPTIONS.{option}"
        for alias, cache in caches.items()
        for option, value in mapping(cache.get("OPTIONS")).items()
        if option in _CACHE_CLASSES and "Sentinel" in str(value)
    ]
    if any(scheme_of(url) == "sentinel" for url in broker_urls):
        places.append(_broker_place(read))
    read.problems.extend(
        codes.REDIS_SENTINEL_TLS.problem(
            place,
            "Redis Sentinel would be asked without TLS while the data connections "
            "use it.",
            f"Connect to Redis directly, or set {variables.REDIS_MTLS.name}=off.",
        )
        for place in places
    )


def _cache(
    alias: str,
    cache: Mapping[str, Any],
    server: _Server,
    tls: _Tls,
    read: Reader,
) -> dict[str, Any]:
    """Return one cache over TLS."""
    found = dict(cache)
    if "BACKEND" in cache:
        found["BACKEND"] = cache_backend(cache)
    pool = pool_arguments(cache)
    location = cache.get("LOCATION")
    place = f"CACHES.{alias}.LOCATION"
    database = server.database(location)
    ours = True
    if location is None or database is not None:
        reached = _over(server.address, tls)
        pool |= reached.credentials()
        schemes = {reached.scheme}
        if database is not None:
            found["LOCATION"] = reached.url(database, credentials=False)
    else:
        urls = urls_of(location, ",")
        read.problems += check_urls(place, urls)
        ours = not urls or host_of(urls[0]) == server.host
        schemes = {scheme_of(url) for url in urls}
        if tls.mutual and not ours and schemes & TCP_SCHEMES:
            # Unless the file says itself how this one is reached.
            if not any(name.startswith("ssl") for name in pool):
                read.problems.append(
                    codes.REDIS_LEFT_ALONE.problem(
                        f"CACHES.{alias}",
                        f"its host is not {server.host}, so it keeps its scheme and "
                        "gets no client certificate.",
                    )
                )
        elif tls.mutual and not schemes <= {*TCP_SCHEMES, "unix"}:
            read.problems.append(
                codes.REDIS_LEFT_ALONE.problem(
                    place, "the scheme of the URL is unknown here, so it gets no TLS."
                )
            )
        elif tls.mutual:
            urls = [over_tls(url) for url in urls]
            schemes = {scheme_of(url) for url in urls}
        read.problems += check_mixture(place, urls)
        if urls:
            found["LOCATION"] = ",".join(urls) if isinstance(location, str) else urls
    arguments = f"CACHES.{alias}.OPTIONS"
    if takes_pool_arguments(cache):
        arguments += ".CONNECTION_POOL_KWARGS"
    pool |= tls.options(schemes, pool, arguments, ours=ours)
    if not pool or pool == pool_arguments(cache):
        return found
    if not takes_pool_arguments(cache) and "CLIENT_CLASS" in pool:
        read.problems.append(
            codes.REDIS_CACHE_BACKEND.problem(
                variables.CACHES_BACKEND.name,
                "Django's own Redis backend does not accept the options of "
                f"django-redis that CACHES.{alias} has.",
            )
        )
        return found
    return with_pool_arguments(found, pool)


def _over(address: RedisAddress, tls: _Tls) -> RedisAddress:
    if tls.mutual and address.scheme == "redis":
        return address._replace(scheme="rediss")
    return address


def _broker_url(
    broker: Any,
    server: _Server,
    tls: _Tls,
    read: Reader,
) -> str | list[str] | None:
    """Return the broker's URL or URLs, in the form they were given."""
    if broker is None:
        return None
    database = server.database(broker)
    urls = urls_of(broker, ";")
    if not urls:
        # Of an empty variable Nautobot makes an empty URL, and Celery of that one
        # a RabbitMQ on localhost.
        database = BROKER_DATABASE
    if database is not None:
        return _over(server.address, tls).broker_url(database)
    place = _broker_place(read)
    read.problems += check_urls(place, filter(_is_redis, urls))
    read.problems.extend(
        codes.REDIS_BROKER_SOCKET.problem(place, "Celery knows no unix:// transport.")
        for url in urls
        if scheme_of(url) == "unix"
    )
    if tls.mutual:
        urls = [over_tls(url) for url in urls]
    read.problems += check_mixture(place, urls)
    return ";".join(urls) if isinstance(broker, str) else urls


def _broker_place(read: Reader) -> str:
    if read.is_set(variables.CELERY_BROKER_URL):
        return variables.CELERY_BROKER_URL.name
    return "CELERY_BROKER_URL"
