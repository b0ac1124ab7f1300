"""How Nautobot reaches Redis: cache, Celery broker and result backend alike."""

import os
import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import named_files
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

_RESULTS = "CELERY_RESULT_BACKEND"
_CELERY_TLS = ("CELERY_BROKER_USE_SSL", "CELERY_REDIS_BACKEND_USE_SSL")
# Celery connects to these where they are there, whatever the broker URL is.
_BROKER_RIVALS = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
_TLS_OPTIONS: dict[str, Variable[Any]] = {
    "ssl_cert_reqs": variables.REDIS_SSL_CERT_REQS,
    "ssl_check_hostname": variables.REDIS_SSL_CHECK_HOSTNAME,
    **variables.REDIS_FILES,
}

_UNKNOWN_SCHEME = "the scheme of the URL is unknown here, so it gets no TLS."


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
        redis = built or not urls or any(map(_is_redis, urls))
        if isinstance(broker, str) and not built:
            decided["CELERY_BROKER_URL"] = broker.strip()
        place = redis_urls.broker_place(decided.get("CELERY_BROKER_URL"), env)
        if not built:
            read.extend(redis_urls.check_schemes(place, urls))
        results = redis_urls.urls_of(settings.get(_RESULTS), ";")
        if caches or redis or any(map(_is_redis, results)):
            tls = _RedisTls(
                read,
                settings,
                decided,
                address,
                caches,
                exists=exists,
                check_files=check_files,
            )
            if tls.mutual:
                celery = {place: urls, _RESULTS: results}
                tls.refuse_sentinel(celery)
                tls.name_others(celery)
            tls.decide_caches()
            tls.decide_results(tls.decide_broker(place) if redis else set())
            tls.warn()
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


class _RedisTls:
    """How the Redis that the certificates were issued for is reached over TLS.

    Attributes:
        decided: The settings that the fragment returns; grows.
        caches: The caches in Redis as they were given.
        mutual: Whether a client certificate is presented to it, and every TCP
            connection to it uses TLS.
        address: Its address by the environment, over TLS if `mutual`.
        hosts: The hosts that the certificates are for, in lower case.
        served: These, and where a broker gets them, which it does on any host.
    """

    def __init__(
        self,
        read: Reader,
        settings: Mapping[str, Any],
        decided: dict[str, Any],
        address: redis_urls.RedisAddress,
        caches: dict[str, Mapping[str, Any]],
        *,
        exists: Callable[[str], bool],
        check_files: Callable[[ClientFiles], list[Problem]],
    ) -> None:
        self.read = read
        self.settings = settings
        self.decided = decided
        self.caches = caches
        self._check_files = check_files
        self._judged: set[ClientFiles] = set()
        self._accepts_any = False
        self._overruled: list[str] = []
        for variable in _TLS_OPTIONS.values():
            # Judged even where nothing uses TLS.
            read.given(variable)
        mode, files = read(variables.REDIS_MTLS), variables.REDIS_FILES
        # A path that is set announces mutual TLS: going on without it would be a
        # silent downgrade.
        wanted = mode == "on" or any(map(read.is_set, files.values()))
        name = variables.REDIS_MTLS.name
        # What was not asked for can be switched off.
        self._remedy = "" if wanted else f" For a Redis without TLS set {name}=off."
        # Without these it is unknown whether TLS is asked for.
        needed = (variables.REDIS_MTLS, variables.REDIS_SCHEME)
        unknown = any(read.refused(variable) for variable in needed)
        present = wanted or exists(files["ssl_ca_certs"].default)
        self.mutual = mode != "off" and not unknown and present
        self.address = address.over_tls() if self.mutual else address
        self.hosts = [address.host.strip("[]").lower()]
        broker = redis_urls.urls_of(decided.get("CELERY_BROKER_URL"), ";")
        brokers = {*map(redis_urls.host_of, filter(_is_redis, broker))}
        location = caches.get("default", {}).get("LOCATION")
        urls = redis_urls.urls_of(location, ",")
        if urls and address.database(location) is None:
            host = redis_urls.host_of(urls[0])
            if not read.is_set(variables.REDIS_HOST):
                # The file names its Redis.
                self.hosts = [host]
            elif {host} == brokers:
                # The broker there gets the certificates.
                self.hosts = [host, *(one for one in self.hosts if one != host)]
        self.served = brokers.union(self.hosts)

    def refuse_sentinel(self, urls: Mapping[str, list[str]]) -> None:
        """Refuse Sentinel, asked without TLS; Celery's URLs are by who says them."""
        places = [
            option if option == DEFAULT_FACTORY else f"CACHES.{alias}.OPTIONS.{option}"
            for alias, cache in self.caches.items()
            for option in redis_caches.sentinel_options(self.settings, cache)
        ]
        places += [
            place
            for place, each in urls.items()
            if "sentinel" in map(redis_urls.scheme_of, each)
        ]
        for place in dict.fromkeys(places):
            self.read.report(
                codes.REDIS_SENTINEL_TLS,
                place,
                "this library configures TLS for the data connections, and none for "
                "those to Redis Sentinel.",
            )

    def name_others(self, celery: Mapping[str, list[str]]) -> None:
        """Name what reaches Redis, or its like, and is not configured here."""
        for place, urls in celery.items():
            if {"valkey", "valkeys"} & set(map(redis_urls.scheme_of, urls)):
                self._leave(place, _UNKNOWN_SCHEME)
        for alias, cache in self.decided.get("CACHES", {}).items():
            if redis_caches.is_valkey_cache(cache):
                fact = "this cache uses Valkey's client, which is not configured here"
                self._leave(f"CACHES.{alias}", f"{fact}, so it gets no TLS.")
        self.read.problems.extend(
            redis_urls.event_broker_problem(
                name,
                "Nautobot's event broker takes its TLS options from its URL alone, and "
                "this URL has none.",
            )
            for name, host in redis_urls.plain_event_brokers(self.settings).items()
            if host in self.served
        )

    def _leave(self, place: str, fact: str | None = None) -> None:
        """Name a connection that is left alone, by default for its host."""
        elsewhere = (
            f"its host is not {one_of(self.hosts)}, so it keeps its scheme and gets no "
            "client certificate."
        )
        self.read.report(codes.REDIS_LEFT_ALONE, place, fact or elsewhere)

    def decide_caches(self) -> None:
        """Put the caches over TLS."""
        rebuilt = {alias: self._cache(alias, one) for alias, one in self.caches.items()}
        if any(rebuilt.values()):
            self.decided["CACHES"] = {**self.decided.get("CACHES", {}), **rebuilt}

    def _cache(self, alias: str, cache: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(cache)
        if "BACKEND" in cache:
            found["BACKEND"] = redis_caches.cache_backend(cache)
        before = redis_caches.pool_arguments(cache)
        pool = dict(before)
        upgrades = self._upgrades(cache)
        if upgrades:
            # redis-py stops at it beside a URL, whose scheme will say the same.
            pool.pop("ssl", None)
        location = cache.get("LOCATION")
        database = self.address.database(location)
        ours = True
        if location is None or database is not None:
            address = self.address.over_tls() if upgrades else self.address
            pool |= address.credentials()
            schemes = {address.scheme}
            if database is not None:
                found["LOCATION"] = address.url(database, credentials=False)
        else:
            urls, ours = self._cache_urls(alias, cache, upgrades=upgrades)
            schemes = {redis_urls.scheme_of(url) for url in urls}
            if urls:
                as_text = isinstance(location, str)
                found["LOCATION"] = ",".join(urls) if as_text else urls
        takes_pool = redis_caches.takes_pool_arguments(cache)
        arguments = f"CACHES.{alias}.OPTIONS"
        if takes_pool:
            arguments += ".CONNECTION_POOL_KWARGS"
        pool |= self._options(schemes, pool, arguments, ours=ours)
        if pool == before:
            return found
        if not takes_pool and "CLIENT_CLASS" in pool:
            backend, setting = cache.get("BACKEND"), f"CACHES.{alias}.BACKEND"
            self.read.report(
                codes.REDIS_CACHE_BACKEND,
                place_of(variables.CACHES_BACKEND, backend, setting, self.read.env),
                "Django's own Redis backend does not accept the options of "
                f"django-redis that CACHES.{alias} has.",
            )
            return found
        return redis_caches.with_pool_arguments(found, pool)

    def _upgrades(self, cache: Mapping[str, Any]) -> bool:
        """Tell whether the TLS options of a cache are for each of its URLs."""
        # A Sentinel is named in the URL, and how it is reached is not.
        sentinel = redis_caches.sentinel_options(self.settings, cache)
        says_tls = redis_caches.asks_for_tls(redis_caches.pool_arguments(cache))
        return says_tls and not sentinel

    def _cache_urls(
        self, alias: str, cache: Mapping[str, Any], *, upgrades: bool
    ) -> tuple[list[str], bool]:
        """Return the URLs of a cache, and whether the certificates are for them."""
        place = f"CACHES.{alias}.LOCATION"
        urls = redis_urls.urls_of(cache.get("LOCATION"), ",")
        if upgrades:
            urls = [redis_urls.over_tls(url) for url in urls]
        self.read.problems += redis_urls.check_urls(place, urls)
        ours = not urls or redis_urls.host_of(urls[0]) in self.hosts
        schemes = {redis_urls.scheme_of(url) for url in urls}
        if self.mutual and not ours and schemes & redis_urls.TCP_SCHEMES:
            # Unless the file says itself how this one is reached.
            if not redis_caches.asks_for_tls(redis_caches.pool_arguments(cache)):
                self._leave(f"CACHES.{alias}")
        elif self.mutual and not schemes <= {*redis_urls.TCP_SCHEMES, "unix"}:
            self._leave(place, _UNKNOWN_SCHEME)
        elif self.mutual:
            urls = [redis_urls.over_tls(url) for url in urls]
        self.read.problems += redis_urls.check_mixture(place, urls)
        return urls, ours

    def decide_broker(self, place: str) -> set[str]:
        """Put the broker over TLS, return its schemes; `place` says its URL."""
        broker = self.decided.get("CELERY_BROKER_URL")
        schemes = {self.address.scheme}
        if broker is not None:
            url = self._broker_url(broker, place)
            self.decided["CELERY_BROKER_URL"] = url
            schemes = set(map(redis_urls.scheme_of, redis_urls.urls_of(url, ";")))
        if self._use_ssl(_CELERY_TLS[0], schemes):
            for name in filter(self.settings.get, _BROKER_RIVALS):
                self.read.report(
                    codes.BROKER_URL_RIVAL,
                    name,
                    "Celery connects to this URL in place of CELERY_BROKER_URL, and no "
                    "TLS was configured for it.",
                )
        return schemes

    def _use_ssl(self, name: str, schemes: set[str]) -> dict[str, Any]:
        """Decide Celery's TLS options under this name, and return them."""
        said = mapping(self.decided.get(name))
        options = self._options(schemes, said, name, ours=True)
        if options:
            self.decided[name] = {**said, **options}
        return options

    def _broker_url(self, broker: Any, place: str) -> str | list[str]:
        """Return the broker's URL or URLs, in the form they were given."""
        # With TLS options kombu uses TLS whatever the URL begins with.
        asked = bool(self.decided.get("CELERY_BROKER_USE_SSL"))
        database = self.address.database(broker)
        urls = redis_urls.urls_of(broker, ";")
        if not urls:
            # Of an empty variable Nautobot makes an empty URL, and Celery of that one
            # a RabbitMQ on localhost.
            database = redis_urls.BROKER_DATABASE
        if database is not None:
            address = self.address.over_tls() if asked else self.address
            return address.broker_url(database)
        if not all(map(redis_urls.scheme_of, urls)):
            # Refused, and perhaps parted in the middle of a password.
            return broker  # type: ignore[no-any-return]
        problems = self.read.problems
        problems += redis_urls.check_urls(place, filter(_is_redis, urls))
        problems += redis_urls.check_broker(place, urls)
        if any(redis_urls.scheme_of(url) == "unix" for url in urls):
            fact = "Celery knows no unix:// transport."
            self.read.report(codes.REDIS_BROKER_SOCKET, place, fact)
        if self.mutual or asked:
            urls = [redis_urls.over_tls(url) for url in urls]
        problems += redis_urls.check_mixture(place, urls)
        return ";".join(urls) if isinstance(broker, str) else urls

    def decide_results(self, broker: set[str]) -> None:
        """Put the result backend over TLS, where the file names a Redis without.

        `broker` are the schemes of the broker. Another host goes without.
        """
        options, said = _CELERY_TLS[1], self.settings.get(_RESULTS)
        url = said if isinstance(said, str) else ""
        database = self.address.database(url)
        if database is not None:
            url = self.address.broker_url(database)
        elif self.mutual and redis_urls.scheme_of(url) == "redis":
            if redis_urls.host_of(url) in self.served:
                self.read.problems += redis_urls.check_urls(_RESULTS, [url])
                url = redis_urls.over_tls(url)
            else:
                self._leave(_RESULTS)
        self._use_ssl(options, broker | {redis_urls.scheme_of(url)})
        if redis_urls.scheme_of(url) == "redis":
            # Celery refuses it beside TLS options.
            self.decided.pop(options, None)
        verified = mapping(self.decided.get(options)).get("ssl_cert_reqs", "none")
        if verified != "none" and re.search(
            "ssl_cert_reqs=(cert_)?none", url, re.IGNORECASE
        ):
            # Celery lets the URL win.
            self.read.problems += redis_urls.check_urls(_RESULTS, [url])
        if url not in ("", said):
            self.decided[_RESULTS] = url

    def _options(
        self, schemes: set[str], said: Mapping[str, Any], place: str, *, ours: bool
    ) -> dict[str, Any]:
        """Return redis-py's arguments for a consumer of which a file said some."""
        if "rediss" not in schemes:
            return {}
        mutual = self.mutual and ours
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
            self._judge(options, place)
        return options

    def _judge(self, options: Mapping[str, Any], place: str) -> None:
        named = named_files(options, variables.REDIS_FILES, place, self.read.env)
        ca, cert, key = named
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
