"""Which certificate files the settings in force use."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from understack_nautobot_settings import variables
from understack_nautobot_settings.certificates import CertificateFile
from understack_nautobot_settings.certificates import ClientFiles
from understack_nautobot_settings.environment import Variable
from understack_nautobot_settings.light_typing import Any

_Names = tuple[str, Variable[str]]

_POSTGRESQL: tuple[_Names, _Names, _Names] = (
    ("sslcert", variables.DB_SSLCERT),
    ("sslkey", variables.DB_SSLKEY),
    ("sslrootcert", variables.DB_SSLROOTCERT),
)
_REDIS: tuple[_Names, _Names, _Names] = (
    ("ssl_certfile", variables.REDIS_SSL_CERTFILE),
    ("ssl_keyfile", variables.REDIS_SSL_KEYFILE),
    ("ssl_ca_certs", variables.REDIS_SSL_CA_CERTS),
)


def client_files(settings: Mapping[str, Any]) -> list[ClientFiles]:
    """Return the files of each connection that presents a client certificate.

    Args:
        settings: Django settings by name: ``DATABASES``, ``CACHES``,
            ``CELERY_BROKER_USE_SSL``; others are not looked at.

    Returns:
        At most one entry for PostgreSQL and one for Redis.
    """
    found = (
        _files("PostgreSQL", _POSTGRESQL, postgresql_options(settings)),
        _files("Redis", _REDIS, redis_options(settings)),
    )
    return [files for files in found if files is not None]


def postgresql_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the libpq parameters of the default database."""
    default = (settings.get("DATABASES") or {}).get("default") or {}
    return default.get("OPTIONS") or {}


def redis_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return redis-py's keyword arguments of the first consumer that uses TLS."""
    for options in _redis_consumers(settings):
        if isinstance(options, Mapping) and "ssl_cert_reqs" in options:
            return options
    return {}


def _redis_consumers(settings: Mapping[str, Any]) -> Iterator[Any]:
    for cache in (settings.get("CACHES") or {}).values():
        yield (cache.get("OPTIONS") or {}).get("CONNECTION_POOL_KWARGS")
    yield settings.get("CELERY_BROKER_USE_SSL")


def _files(
    use: str, names: tuple[_Names, _Names, _Names], options: Mapping[str, Any]
) -> ClientFiles | None:
    if not all(options.get(option) for option, _ in names):
        return None
    cert, key, ca = (
        CertificateFile(options[option], variable.name) for option, variable in names
    )
    return ClientFiles(use, cert, key, ca)
