"""How Nautobot reaches Redis: cache, Celery broker and result backend alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments import redis_caches
from understack_nautobot_settings.fragments import redis_urls
from understack_nautobot_settings.fragments.redis_caches import DEFAULT_FACTORY
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

_CELERY_TLS = ("CELERY_BROKER_USE_SSL", "CELERY_REDIS_BACKEND_USE_SSL")
# Celery connects to these where they are there, whatever the broker URL is.
_BROKER_RIVALS = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
_TLS_OPTIONS: dict[str, Variable[Any]] = {
    "ssl_cert_reqs": variables.REDIS_SSL_CERT_REQS,
    "ssl_check_hostname": variables.REDIS_SSL_CHECK_HOSTNAME,
    **variables.REDIS_FILES,
}


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
    cannot switch verification off by itself. TLS options of the file make its
    ``redis://`` a ``rediss://`` too: redis-py would stop at them, and kombu would use
    TLS.

    The certificates belong to the Redis that ``NAUTOBOT_REDIS_HOST`` names: a cache
    on another host keeps its scheme and gets no client certificate.

    A URL that Nautobot built from ``NAUTOBOT_REDIS_*`` is built again with its
    credentials encoded; those of the cache move to the pool's keyword arguments,
    which Django's debug page masks. Variables that Celery reads itself are refused.

    ``check_files`` judges the files that mutual TLS uses; ``exists`` tells whether
    there is a file at a path.

    Returns:
        ``CACHES``, ``CELERY_BROKER_URL`` where they were given, and
        ``CELERY_BROKER_USE_SSL`` and ``CELERY_REDIS_BACKEND_USE_SSL`` where the
        broker speaks TLS; ``CELERY_RESULT_BACKEND`` where it is a Redis that has to.

    Raises:
        MissingFileError: A file is missing (a ``FileNotFoundError``).
        SettingsError: A variable or URL is wrong, or a file unusable.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        for variable in filter(read.is_set, variables.CELERY_RIVALS):
            read.report(
                codes.CELERY_VARIABLE,
                variable.name,
                "Celery reads this variable itself and takes it in place of its "
                "settings, so it would connect elsewhere and without their TLS.",
            )
        # A value in quotes leads nowhere, and Nautobot does not say so.
        read.given(variables.CELERY_BROKER_URL)
        read.given(variables.CACHES_BACKEND)
        decided = well_formed(
            settings, found, "CACHES", "CELERY_BROKER_URL", *_CELERY_TLS
        )
        address = redis_urls.redis_address(read)
        caches = _redis_caches(settings, decided)
        broker: Any = decided.get("CELERY_BROKER_URL")
        # The password in a URL that Nautobot built may hold anything.
        built = address.database(broker) is not None
        urls = [broker] if built else redis_urls.urls_of(broker, ";")
        # A setting that was refused is not replaced by anything.
        refused = broker is None and settings.get("CELERY_BROKER_URL") is not None
        redis = not refused and (any(map(_is_redis, urls)) or not urls)
        if isinstance(broker, str):
            decided["CELERY_BROKER_URL"] = broker = broker.strip()
        place = redis_urls.broker_place(broker, read.env)
        if any("://" not in url for url in urls):
            read.report(
                codes.REDIS_URL_MALFORMED,
                place,
                "the URL has no scheme, so Celery takes it for the host of a RabbitMQ.",
                "Begin it with redis:// or rediss://.",
            )
        if not built:
            read.extend(redis_urls.check_schemes(place, urls))
        if not (caches or redis):
            return decided
        location = caches.get("default", {}).get("LOCATION")
        server = _Server(read, address, location, exists, check_files)
        if server.mutual:
            _refuse_sentinel(read, settings, caches, dict.fromkeys(urls, place))
            _name_others(read, settings, decided, server.host)
        rebuilt = {
            alias: _cache(alias, cache, server, settings)
            for alias, cache in caches.items()
        }
        if any(rebuilt.values()):
            decided["CACHES"] = {**decided.get("CACHES", {}), **rebuilt}
        if redis:
            schemes = {server.address.scheme}
            if broker is not None:
                asked = bool(decided.get("CELERY_BROKER_USE_SSL"))
                url = _broker_url(broker, server, over_tls=asked)
                decided["CELERY_BROKER_URL"] = url
                schemes = {
                    redis_urls.scheme_of(one) for one in redis_urls.urls_of(url, ";")
                }
            decided |= _celery_tls(settings, decided, schemes, server)
            decided |= _result_backend(settings, decided, server)
        server.warn()
        return decided


def _redis_caches(
    settings: Mapping[str, Any], decided: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    if settings.get("CACHES") is None:
        return {"default": {}}
    return {
        alias: cache
        for alias, cache in decided.get("CACHES", {}).items()
        if redis_caches.is_redis_cache(cache)
    }


def _is_redis(url: str) -> bool:
    """Tell whether a broker URL leads to Redis."""
    return redis_urls.scheme_of(url) in redis_urls.BROKER_SCHEMES


class _Server:
    """The Redis that the certificates were issued for, and how TLS reaches it.

    Attributes:
        mutual: Whether a client certificate is presented and every TCP connection to
            it uses TLS.
        address: What the environment says of it, over TLS where that is mutual.
        host: Its host in lower case.
    """

    def __init__(
        self,
        read: Reader,
        address: redis_urls.RedisAddress,
        location: object,
        exists: Callable[[str], bool],
        check_files: Callable[[ClientFiles], list[Problem]],
    ) -> None:
        self.read = read
        self._check_files = check_files
        self._judged: set[ClientFiles] = set()
        self._accepts_any = False
        self._overruled: list[str] = []
        for variable in _TLS_OPTIONS.values():
            # Judged even where nothing uses TLS.
            read.given(variable)
        mode = read(variables.REDIS_MTLS)
        files = variables.REDIS_FILES
        # A path that is set announces mutual TLS: going on without it would be a
        # silent downgrade.
        wanted = mode == "on" or any(map(read.is_set, files.values()))
        name = variables.REDIS_MTLS.name
        # What was not asked for can be switched off.
        self._remedy = "" if wanted else f" For a Redis without TLS set {name}=off."
        # Without these it is unknown whether TLS is asked for.
        unknown = read.refused(variables.REDIS_MTLS) or read.refused(
            variables.REDIS_SCHEME
        )
        self.mutual = (
            mode != "off"
            and not unknown
            and (wanted or exists(files["ssl_ca_certs"].default))
        )
        self.address = address.over_tls() if self.mutual else address
        self.host = address.host.strip("[]").lower()
        urls = redis_urls.urls_of(location, ",")
        built = address.database(location) is not None
        if urls and not built and not read.is_set(variables.REDIS_HOST):
            # The file names its Redis, and the variable does not.
            self.host = redis_urls.host_of(urls[0])

    def options(
        self, schemes: set[str], said: Mapping[str, Any], place: str, *, ours: bool
    ) -> dict[str, Any]:
        """Return redis-py's arguments for a consumer of which a file said some."""
        mutual = self.mutual and ours and bool(schemes & redis_urls.TCP_SCHEMES)
        if not mutual and "rediss" not in schemes:
            return {}
        files = variables.REDIS_FILES
        # None and an empty text are how redis-py says that there is no file.
        said = {one: path for one, path in said.items() if path or one not in files}
        options = {
            option: self.read.chosen(variable, said, option)
            for option, variable in _TLS_OPTIONS.items()
            if mutual or option not in files
        }
        verification = redis_caches.requirement(options["ssl_cert_reqs"])
        if self.read.given(variables.REDIS_SSL_CERT_REQS) == "none":
            self._accepts_any = True
            options["ssl_check_hostname"] = False
        elif verification == "none":
            self._overruled.append(place)
            verification = variables.REDIS_SSL_CERT_REQS.default
        options["ssl_cert_reqs"] = verification
        if mutual:
            self._judge(options, said, place)
        return options

    def _judge(
        self, options: Mapping[str, Any], said: Mapping[str, Any], place: str
    ) -> None:
        ca, cert, key = (
            CertificateFile(
                str(options[option]),
                variable.name
                if option not in said or self.read.given(variable) is not None
                else f"{place}.{option}",
            )
            for option, variable in variables.REDIS_FILES.items()
        )
        files = ClientFiles(REDIS, cert, key, ca)
        if files not in self._judged:
            self._judged.add(files)
            self.read.extend(
                one._replace(hint=one.hint + self._remedy)
                for one in self._check_files(files)
            )

    def warn(self) -> None:
        """Warn of what the options of all consumers came to."""
        name = variables.REDIS_SSL_CERT_REQS.name
        if self._accepts_any:
            self.read.report(
                codes.REDIS_CERT_REQS_NONE,
                name,
                "'none' accepts any server certificate, so any server that answers "
                "gets the Redis password.",
                "Use required.",
            )
        if self._overruled:
            self.read.report(
                codes.FILE_OVERRULED,
                name,
                "the settings file says ssl_cert_reqs none in "
                f"{one_of(self._overruled, 'and')}, and the variable is unset, so "
                "the server certificate is verified nevertheless.",
                f"Set {name}=none for connections without verification.",
            )


def _refuse_sentinel(
    read: Reader,
    settings: Mapping[str, Any],
    caches: Mapping[str, Mapping[str, Any]],
    brokers: Mapping[str, str],
) -> None:
    """Refuse Sentinel, which is asked without TLS; brokers are places by URLs."""
    places = [
        option if option == DEFAULT_FACTORY else f"CACHES.{alias}.OPTIONS.{option}"
        for alias, cache in caches.items()
        for option in redis_caches.sentinel_options(settings, cache)
    ]
    places += (
        place
        for url, place in brokers.items()
        if redis_urls.scheme_of(url) == "sentinel"
    )
    for place in dict.fromkeys(places):
        read.report(
            codes.REDIS_SENTINEL_TLS,
            place,
            "Redis Sentinel would be asked without TLS while the data connections "
            "use it.",
            f"Connect to Redis directly, or set {variables.REDIS_MTLS.name}=off.",
        )


def _name_others(
    read: Reader, settings: Mapping[str, Any], decided: Mapping[str, Any], host: str
) -> None:
    """Name what reaches Redis, or its like, and is not configured here."""
    for alias, cache in decided.get("CACHES", {}).items():
        if redis_caches.is_valkey_cache(cache):
            read.report(
                codes.REDIS_LEFT_ALONE,
                f"CACHES.{alias}",
                "this cache uses Valkey's client, which is not configured here, so it "
                "gets no TLS.",
            )
    read.problems.extend(
        redis_urls.event_broker_problem(
            name,
            "Nautobot's event broker takes its TLS options from its URL alone, and "
            "this URL has none.",
        )
        for name, reached in redis_urls.plain_event_brokers(settings).items()
        if reached == host
    )


def _cache(
    alias: str, cache: Mapping[str, Any], server: _Server, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one cache over TLS."""
    read = server.read
    found = dict(cache)
    if "BACKEND" in cache:
        found["BACKEND"] = redis_caches.cache_backend(cache)
    before = redis_caches.pool_arguments(cache)
    pool = dict(before)
    location = cache.get("LOCATION")
    place = f"CACHES.{alias}.LOCATION"
    database = server.address.database(location)
    ours = True
    says_tls = redis_caches.asks_for_tls(pool)
    # A Sentinel is named in the URL, and how it is reached is not.
    upgrades = says_tls and not redis_caches.sentinel_options(settings, cache)
    if location is None or database is not None:
        address = server.address.over_tls() if upgrades else server.address
        pool |= address.credentials()
        schemes = {address.scheme}
        if database is not None:
            found["LOCATION"] = address.url(database, credentials=False)
    else:
        meant = redis_urls.over_tls if upgrades else str
        urls = [meant(url) for url in redis_urls.urls_of(location, ",")]
        read.problems += redis_urls.check_urls(place, urls)
        ours = not urls or redis_urls.host_of(urls[0]) == server.host
        schemes = {redis_urls.scheme_of(url) for url in urls}
        if server.mutual and not ours and schemes & redis_urls.TCP_SCHEMES:
            # Unless the file says itself how this one is reached.
            if not says_tls:
                read.report(
                    codes.REDIS_LEFT_ALONE,
                    f"CACHES.{alias}",
                    f"its host is not {server.host}, so it keeps its scheme and "
                    "gets no client certificate.",
                )
        elif server.mutual and not schemes <= {*redis_urls.TCP_SCHEMES, "unix"}:
            read.report(
                codes.REDIS_LEFT_ALONE,
                place,
                "the scheme of the URL is unknown here, so it gets no TLS.",
            )
        elif server.mutual:
            urls = [redis_urls.over_tls(url) for url in urls]
        read.problems += redis_urls.check_mixture(place, urls)
        if urls:
            found["LOCATION"] = ",".join(urls) if isinstance(location, str) else urls
    takes_pool = redis_caches.takes_pool_arguments(cache)
    arguments = f"CACHES.{alias}.OPTIONS"
    if takes_pool:
        arguments += ".CONNECTION_POOL_KWARGS"
    pool |= server.options(schemes, pool, arguments, ours=ours)
    if pool == before:
        return found
    if not takes_pool and "CLIENT_CLASS" in pool:
        read.report(
            codes.REDIS_CACHE_BACKEND,
            place_of(
                variables.CACHES_BACKEND,
                cache.get("BACKEND"),
                f"CACHES.{alias}.BACKEND",
                read.env,
            ),
            "Django's own Redis backend does not accept the options of "
            f"django-redis that CACHES.{alias} has.",
        )
        return found
    return redis_caches.with_pool_arguments(found, pool)


def _broker_url(broker: Any, server: _Server, *, over_tls: bool) -> str | list[str]:
    """Return the broker's URL or URLs, in the form they were given.

    `over_tls` is true where the file gives TLS options, with which kombu uses TLS
    whatever the URL begins with.
    """
    database = server.address.database(broker)
    urls = redis_urls.urls_of(broker, ";")
    if not urls:
        # Of an empty variable Nautobot makes an empty URL, and Celery of that one
        # a RabbitMQ on localhost.
        database = redis_urls.BROKER_DATABASE
    if database is not None:
        address = server.address.over_tls() if over_tls else server.address
        return address.broker_url(database)
    place = redis_urls.broker_place(broker, server.read.env)
    problems = server.read.problems
    problems += redis_urls.check_urls(place, filter(_is_redis, urls))
    problems += redis_urls.check_databases(place, urls)
    if any(redis_urls.scheme_of(url) == "unix" for url in urls):
        fact = "Celery knows no unix:// transport."
        server.read.report(codes.REDIS_BROKER_SOCKET, place, fact)
    if server.mutual or over_tls:
        urls = [redis_urls.over_tls(url) for url in urls]
    problems += redis_urls.check_mixture(place, urls)
    return ";".join(urls) if isinstance(broker, str) else urls


def _celery_tls(
    settings: Mapping[str, Any],
    decided: Mapping[str, Any],
    schemes: set[str],
    server: _Server,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _CELERY_TLS:
        said = mapping(decided.get(name))
        options = server.options(schemes, said, name, ours=True)
        if options:
            found[name] = {**said, **options}
    for name in _BROKER_RIVALS:
        if found and settings.get(name):
            server.read.report(
                codes.BROKER_URL_RIVAL,
                name,
                "Celery connects to this URL in place of CELERY_BROKER_URL, and no "
                "TLS was configured for it.",
            )
    return found


def _result_backend(
    settings: Mapping[str, Any], decided: dict[str, Any], server: _Server
) -> dict[str, Any]:
    """Return the result backend over TLS, where the file names a Redis without.

    Celery refuses ``redis://`` beside TLS options; one on another host goes without.
    """
    name, options = "CELERY_RESULT_BACKEND", "CELERY_REDIS_BACKEND_USE_SSL"
    url = settings.get(name)
    if not isinstance(url, str) or options not in decided:
        return {}
    if redis_urls.scheme_of(url) != "redis":
        return {}
    database = server.address.database(url)
    if database is not None:
        return {name: server.address.url(database, credentials=True)}
    if server.mutual and redis_urls.host_of(url) == server.host:
        server.read.problems += redis_urls.check_urls(name, [url])
        return {name: redis_urls.over_tls(url)}
    del decided[options]
    if server.mutual:
        server.read.report(
            codes.REDIS_LEFT_ALONE,
            name,
            f"its host is not {server.host}, so it keeps its scheme and gets no "
            "client certificate.",
        )
    return {}
