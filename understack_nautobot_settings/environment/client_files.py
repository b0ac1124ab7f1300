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


def client_files(settings: Mapping[str, Any]) -> list[ClientFiles]:
    """Return the files of each connection that presents a client certificate.

    One entry for PostgreSQL, and one for each set of files that Redis connections use.
    Looks at ``DATABASES``, ``CACHES`` and ``CELERY_BROKER_USE_SSL`` alone.
    """
    found = []
    for database in entries(settings, "DATABASES").values():
        options = mapping(database.get("OPTIONS"))
        if "disable" not in (options.get("sslmode"), options.get("sslcertmode")):
            cert, key, ca = _files(options, variables.DB_FILES)
            found.append(ClientFiles("PostgreSQL", cert, key, ca))
    for options in _redis_consumers(settings):
        ca, cert, key = _files(options, variables.REDIS_FILES)
        found.append(ClientFiles("Redis", cert, key, ca))
    complete = (one for one in found if all(file.path for file in one.present()))
    return list(dict.fromkeys(complete))


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
    options: Mapping[str, Any], declared: Mapping[str, Variable[str]]
) -> Iterator[CertificateFile]:
    for option, variable in declared.items():
        yield CertificateFile(path_of(options.get(option)), variable.name)
