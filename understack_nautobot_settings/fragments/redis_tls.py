"""How Nautobot reaches Redis: cache, Celery broker and result backend alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.fragments.redis_caches import cache_backend
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import takes_pool_arguments
from understack_nautobot_settings.fragments.redis_urls import BROKER_DATABASE
from understack_nautobot_settings.fragments.redis_urls import RedisAddress
from understack_nautobot_settings.fragments.redis_urls import nautobot_database
from understack_nautobot_settings.fragments.redis_urls import nautobot_url_start
from understack_nautobot_settings.fragments.redis_urls import over_tls
from understack_nautobot_settings.fragments.redis_urls import redis_address
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import ssl_options
from understack_nautobot_settings.problems import Collecting
from understack_nautobot_settings.problems import Problem

_TCP_SCHEMES = ("redis", "rediss")
# A value in quotes leads nowhere, and Nautobot does not say so.
_READ_BY_NAUTOBOT: tuple[Variable[Any], ...] = (
    variables.CELERY_BROKER_URL,
    variables.CACHES_BACKEND,
)
_CELERY_TLS = ("CELERY_BROKER_USE_SSL", "CELERY_REDIS_BACKEND_USE_SSL")
# Where django-redis is told to ask Sentinel.
_CACHE_CLASSES = ("CLIENT_CLASS", "CONNECTION_FACTORY", "CONNECTION_POOL_CLASS")


class _Tls(NamedTuple):
    """What the TLS variables decide.

    Attributes:
        mutual: True where a client certificate is presented and every TCP
            connection uses TLS.
        verification: The keyword arguments of redis-py that decide what is
            accepted from a server.
        files: The keyword arguments of redis-py that name files.
    """

    mutual: bool
    verification: dict[str, Any]
    files: dict[str, str]

    def options(self, scheme: str) -> dict[str, Any]:
        """Return the redis-py keyword arguments for a URL of that scheme."""
        if self.mutual and scheme in _TCP_SCHEMES:
            return {**self.verification, **self.files}
        return dict(self.verification) if scheme == "rediss" else {}


def redis_tls_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
    check_files: Callable[[ClientFiles], list[Problem]] = check_certificates,
    exists: Callable[[str], bool] = os.path.exists,
) -> dict[str, Any]:
    """Return the cache and Celery settings that speak TLS where they should.

    Mutual TLS is on where the CA file exists. One object feeds every consumer:
    the connection pool of the cache, Celery's ``broker_use_ssl`` and its
    ``redis_backend_use_ssl``, in the keyword arguments of redis-py's
    ``SSLConnection``. ``redis://`` becomes ``rediss://`` with it. A ``rediss://``
    URL without a private CA is verified against the system store.

    A URL that Nautobot built from ``NAUTOBOT_REDIS_*`` is built again with its
    credentials encoded; those of the cache move to the pool's keyword arguments,
    which Django's debug page masks.

    Args:
        settings: The settings module as a mapping; reads ``CACHES``,
            ``CELERY_BROKER_URL``, ``CELERY_BROKER_USE_SSL`` and
            ``CELERY_REDIS_BACKEND_USE_SSL``, changes nothing.
        env: The environment; reads the ``NAUTOBOT_REDIS_*`` variables and
            ``UNDERSTACK_REDIS_MTLS``.
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
        for variable in _READ_BY_NAUTOBOT:
            read.given(variable)
        address = redis_address(read)
        caches = settings.get("CACHES")
        broker_url = settings.get("CELERY_BROKER_URL")
        caches_redis = _redis_caches(caches)
        if broker_url is not None:
            broker_url = broker_url.strip()
            _refuse_without_scheme(read, broker_url)
        broker_redis = _is_redis(broker_url)
        decided = _given(
            CACHES=caches,
            CELERY_BROKER_URL=broker_url,
            **{name: settings.get(name) for name in _CELERY_TLS},
        )
        if not (caches_redis or broker_redis):
            return decided
        nautobots = nautobot_url_start(env)
        tls = _tls(read, exists, check_files)
        if tls.mutual:
            ours = nautobot_database(broker_url, nautobots) is not None
            _refuse_sentinel(read, caches_redis, "" if ours else broker_url)
        schemes: list[str] = []
        rebuilt: dict[str, Any] = {}
        for alias, cache in caches_redis.items():
            rebuilt[alias], scheme = _cache(cache, address, nautobots, tls, read)
            schemes.append(scheme)
        if any(rebuilt.values()):
            decided["CACHES"] = {**(caches or {}), **rebuilt}
        if broker_redis:
            url = _broker_url(broker_url, address, nautobots, tls, read)
            scheme = _over(address, tls).scheme if url is None else scheme_of(url)
            schemes.append(scheme)
            decided |= _given(CELERY_BROKER_URL=url)
            decided |= _celery_tls(decided, tls.options(scheme))
        _warn_unverified(read, tls, schemes)
        return decided


def _given(**settings: Any) -> dict[str, Any]:
    """Return the settings that are not None, mappings as new dicts."""
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if value is not None
    }


def _celery_tls(
    settings: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        name: {**_mapping(settings.get(name)), **options}
        for name in _CELERY_TLS
        if options
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _redis_caches(caches: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    if caches is None:
        return {"default": {}}
    return {alias: cache for alias, cache in caches.items() if is_redis_cache(cache)}


def _is_redis(broker_url: str | None) -> bool:
    """Tell whether a broker URL, Nautobot's where there is none, leads to Redis."""
    if not broker_url:
        return True
    schemes = {scheme_of(url) for url in broker_url.split(";")}
    return bool(schemes & {*_TCP_SCHEMES, "sentinel", "unix", "redis+socket"})


def _refuse_without_scheme(read: Reader, broker_url: str) -> None:
    if broker_url and "://" not in broker_url:
        read.problems.append(
            codes.REDIS_URL_MALFORMED.problem(
                _broker_place(read),
                "the URL has no scheme, so Celery takes it for the host of a RabbitMQ.",
                "Begin it with redis:// or rediss://.",
            )
        )


def _tls(
    read: Reader,
    exists: Callable[[str], bool],
    check_files: Callable[[ClientFiles], list[Problem]],
) -> _Tls:
    requirement = read(variables.REDIS_SSL_CERT_REQS)
    check_hostname = read(variables.REDIS_SSL_CHECK_HOSTNAME)
    verification = {
        "ssl_cert_reqs": requirement,
        "ssl_check_hostname": check_hostname and requirement != "none",
    }
    mode = read(variables.REDIS_MTLS)
    if mode == "off":
        return _Tls(False, verification, {})
    paths = variables.REDIS_FILES
    files = {argument: read(variable) for argument, variable in paths.items()}
    # A path that somebody wrote down announces mutual TLS: going on without it
    # would be a downgrade that nobody asked for.
    if not (
        mode == "on"
        or any(read.is_set(variable) for variable in paths.values())
        or exists(files["ssl_ca_certs"])
    ):
        return _Tls(False, verification, {})
    ca, cert, key = (
        CertificateFile(files[argument], variable.name)
        for argument, variable in paths.items()
    )
    read.extend(check_files(ClientFiles("Redis", cert, key, ca)))
    return _Tls(True, verification, files)


def _refuse_sentinel(
    read: Reader, caches: Mapping[str, Mapping[str, Any]], broker_url: str | None
) -> None:
    places = [
        f"CACHES.{alias}.OPTIONS.{option}"
        for alias, cache in caches.items()
        for option, value in _mapping(cache.get("OPTIONS")).items()
        if option in _CACHE_CLASSES and "Sentinel" in str(value)
    ]
    if any(scheme_of(url) == "sentinel" for url in (broker_url or "").split(";")):
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
    cache: Mapping[str, Any],
    address: RedisAddress,
    nautobots: str | None,
    tls: _Tls,
    read: Reader,
) -> tuple[dict[str, Any], str]:
    """Return one cache over TLS, and the scheme of its (first) URL."""
    settings = dict(cache)
    if "BACKEND" in cache:
        settings["BACKEND"] = cache_backend(cache)
    options = dict(_mapping(cache.get("OPTIONS")))
    pool = dict(_mapping(options.get("CONNECTION_POOL_KWARGS")))
    location = cache.get("LOCATION")
    ours = _over(address, tls)
    database = nautobot_database(location, nautobots)
    if location is None or database is not None:
        pool |= ours.credentials()
        scheme = ours.scheme
        if database is not None:
            settings["LOCATION"] = ours.url(database, credentials=False)
    else:
        urls = location.split(",") if isinstance(location, str) else list(location)
        for url in urls:
            _refuse_ssl_options(read, "CACHES.LOCATION", url)
        if tls.mutual:
            urls = [over_tls(url) for url in urls]
        _refuse_mixture(read, "CACHES.LOCATION", urls)
        settings["LOCATION"] = ",".join(urls) if isinstance(location, str) else urls
        scheme = scheme_of(urls[0]) if urls else ""
    pool |= tls.options(scheme)
    if pool:
        if not takes_pool_arguments(cache):
            read.problems.append(
                codes.REDIS_CACHE_BACKEND.problem(
                    variables.CACHES_BACKEND.name,
                    "Django's own Redis backend takes no connection pool arguments "
                    "in this form.",
                    f"Use {variables.CACHES_BACKEND.default}.",
                )
            )
        options["CONNECTION_POOL_KWARGS"] = pool
        settings["OPTIONS"] = options
    return settings, scheme


def _over(address: RedisAddress, tls: _Tls) -> RedisAddress:
    if tls.mutual and address.scheme == "redis":
        return address._replace(scheme="rediss")
    return address


def _broker_url(
    broker_url: str | None,
    address: RedisAddress,
    nautobots: str | None,
    tls: _Tls,
    read: Reader,
) -> str | None:
    if broker_url is None:
        return None
    database = nautobot_database(broker_url, nautobots)
    if not broker_url:
        # Of an empty variable Nautobot makes an empty URL, and Celery of that one
        # a RabbitMQ on localhost.
        database = BROKER_DATABASE
    if database is not None:
        return _over(address, tls).url(database, credentials=True)
    urls = broker_url.split(";")
    for url in urls:
        if _is_redis(url):
            _refuse_ssl_options(read, _broker_place(read), url)
            _refuse_malformed(read, _broker_place(read), url)
    if tls.mutual:
        urls = [over_tls(url) for url in urls]
    _refuse_mixture(read, _broker_place(read), urls)
    return ";".join(urls)


def _broker_place(read: Reader) -> str:
    if read.is_set(variables.CELERY_BROKER_URL):
        return variables.CELERY_BROKER_URL.name
    return "CELERY_BROKER_URL"


def _refuse_ssl_options(read: Reader, place: str, url: str) -> None:
    read.problems.extend(
        codes.REDIS_URL_SSL_OPTION.problem(
            place,
            f"the URL sets {option}, which beats or drops the configured TLS.",
            f"Remove it and use {variables.REDIS_SSL_CERT_REQS.name} and its "
            "neighbours.",
        )
        for option in ssl_options(url)
    )


def _refuse_mixture(read: Reader, place: str, urls: list[str]) -> None:
    """Refuse servers that share options, and would need different ones.

    After a failover from ``redis://`` to ``rediss://``, kombu verifies nothing.
    """
    if {scheme_of(url) for url in urls}.issuperset(_TCP_SCHEMES):
        read.problems.append(
            codes.REDIS_URLS_MIXED.problem(
                place,
                "the URLs mix redis:// and rediss://, and share one set of TLS "
                "options.",
                "Use rediss:// for all of them.",
            )
        )


def _refuse_malformed(read: Reader, place: str, url: str) -> None:
    """Refuse what kombu would stop at, with a part of the password in its message."""
    from urllib.parse import urlsplit

    try:
        split = urlsplit(url)
        whole = (split.port or 0) >= 0 and "@" not in split.path + split.fragment
    except ValueError:
        whole = False
    if not whole:
        read.problems.append(
            codes.REDIS_URL_MALFORMED.problem(
                place,
                "the URL cannot be taken apart into host, port and password.",
                "Percent-encode the password in it: %2F for /, %23 for #, %3F for ?.",
            )
        )


def _warn_unverified(read: Reader, tls: _Tls, schemes: list[str]) -> None:
    if tls.verification["ssl_cert_reqs"] == "none" and any(map(tls.options, schemes)):
        read.problems.append(
            codes.REDIS_CERT_REQS_NONE.problem(
                variables.REDIS_SSL_CERT_REQS.name,
                "'none' accepts any server certificate, so whoever answers receives "
                "the Redis password.",
                "Use required.",
            )
        )
