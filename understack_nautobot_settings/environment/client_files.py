"""Which certificate files the settings in force use."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import path_of

# Certificate, key and CA.
_POSTGRESQL = ("sslcert", "sslkey", "sslrootcert")
_REDIS = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")


def client_files(settings: Mapping[str, Any]) -> list[ClientFiles]:
    """Return the files of each connection that presents a client certificate.

    One entry for PostgreSQL, and one for each set of files that Redis connections use.
    Looks at ``DATABASES``, ``CACHES`` and ``CELERY_BROKER_USE_SSL`` alone.
    """
    options = postgresql_options(settings)
    found = [_files("PostgreSQL", _POSTGRESQL, variables.DB_FILES, options)]
    found.extend(
        _files("Redis", _REDIS, variables.REDIS_FILES, options)
        for options in _redis_consumers(settings)
    )
    return list(dict.fromkeys(files for files in found if files is not None))


def postgresql_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the libpq parameters of the default database."""
    return mapping(entries(settings, "DATABASES").get("default", {}).get("OPTIONS"))


def redis_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return redis-py's keyword arguments of the first consumer that uses TLS."""
    consumers = _redis_consumers(settings)
    return next((options for options in consumers if "ssl_cert_reqs" in options), {})


def _redis_consumers(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for cache in entries(settings, "CACHES").values():
        options = mapping(cache.get("OPTIONS"))
        yield mapping(options.get("CONNECTION_POOL_KWARGS"))
        # Django's own backend takes them without a level between.
        yield options
    yield mapping(settings.get("CELERY_BROKER_USE_SSL"))


def _files(
    use: str,
    names: tuple[str, str, str],
    declared: Mapping[str, Variable[str]],
    options: Mapping[str, Any],
) -> ClientFiles | None:
    paths = [path_of(options.get(name)) for name in names]
    if not all(paths):
        return None
    cert, key, ca = (
        CertificateFile(path, declared[name].name)
        for name, path in zip(names, paths, strict=True)
    )
    # libpq's word for the CAs of the system, which are no file.
    return ClientFiles(use, cert, key, None if ca.path == "system" else ca)
