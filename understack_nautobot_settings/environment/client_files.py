"""Which certificate files the settings in force use."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Variable

# Certificate, key and CA.
_POSTGRESQL = ("sslcert", "sslkey", "sslrootcert")
_REDIS = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")


def client_files(settings: Mapping[str, Any]) -> list[ClientFiles]:
    """Return the files of each connection that presents a client certificate.

    Args:
        settings: Django settings by name: ``DATABASES``, ``CACHES``,
            ``CELERY_BROKER_USE_SSL``; others are not looked at.

    Returns:
        At most one entry for PostgreSQL and one for Redis.
    """
    found = (
        _files(
            "PostgreSQL", _POSTGRESQL, variables.DB_FILES, postgresql_options(settings)
        ),
        _files("Redis", _REDIS, variables.REDIS_FILES, redis_options(settings)),
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
    use: str,
    names: tuple[str, str, str],
    declared: Mapping[str, Variable[str]],
    options: Mapping[str, Any],
) -> ClientFiles | None:
    if not all(options.get(name) for name in names):
        return None
    cert, key, ca = (
        CertificateFile(options[name], declared[name].name) for name in names
    )
    return ClientFiles(use, cert, key, ca)
