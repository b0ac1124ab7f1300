"""Which certificate files the settings in force use."""

import os
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.libpq import SYSTEM_TRUST
from understack_nautobot_settings.environment.libpq import presents_certificate
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import place_of
from understack_nautobot_settings.environment.settings_module import default_database
from understack_nautobot_settings.environment.settings_module import entries
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.environment.settings_module import path_of


def client_files(
    settings: Mapping[str, Any], env: Mapping[str, str] = os.environ
) -> list[ClientFiles]:
    """Return the files of each connection that presents a client certificate.

    One entry for each set of files that databases or Redis connections use. Looks at
    ``DATABASES``, ``CACHES`` and ``CELERY_BROKER_USE_SSL`` alone. A file is named by
    the variable that says its path, or by the setting where none does.
    """
    databases = entries(settings, "DATABASES")
    aliases = sorted(databases, key=lambda alias: alias != "default")
    found = [_database_files(alias, databases[alias], env) for alias in aliases]
    for above, options in _redis_consumers(settings):
        ca, cert, key = named_files(options, variables.REDIS_FILES, above, env)
        found.append(ClientFiles(REDIS, cert, key, ca if ca.path else None))
    sets: dict[tuple[str, ...], ClientFiles] = {}
    for files in found:
        paths = [file.path for file in files.present()]
        if all(paths):
            sets.setdefault((files.use, *paths), files)
    return list(sets.values())


def _database_files(
    alias: str, database: Mapping[str, Any], env: Mapping[str, str]
) -> ClientFiles:
    options = mapping(database.get("OPTIONS"))
    if not presents_certificate(options):
        options = {}
    above = f"DATABASES.{alias}.OPTIONS"
    cert, key, authorities = named_files(options, variables.DB_FILES, above, env)
    ca = None if authorities.path in ("", SYSTEM_TRUST) else authorities
    user = str(database.get("USER") or "") or None
    return ClientFiles(POSTGRESQL, cert, key, ca, user)


def postgresql_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the libpq parameters of the default database."""
    return mapping(default_database(settings).get("OPTIONS"))


def redis_options(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return redis-py's keyword arguments of the first consumer that uses TLS."""
    consumers = (options for _, options in _redis_consumers(settings))
    return next((options for options in consumers if "ssl_cert_reqs" in options), {})


def _redis_consumers(
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield where the arguments of each consumer stand, and the arguments."""
    pool, broker = "CONNECTION_POOL_KWARGS", "CELERY_BROKER_USE_SSL"
    for alias, cache in entries(settings, "CACHES").items():
        above, options = f"CACHES.{alias}.OPTIONS", mapping(cache.get("OPTIONS"))
        yield f"{above}.{pool}", mapping(options.get(pool))
        # Django's own backend takes them without a level between.
        yield above, options
    yield broker, mapping(settings.get(broker))


def named_files(
    options: Mapping[str, Any],
    declared: Mapping[str, Variable[str]],
    above: str = "",
    env: Mapping[str, str] = os.environ,
) -> Iterator[CertificateFile]:
    """Yield the files, each named by its variable.

    Where the options stand below a setting, one is named by that setting if the
    variable says another path.
    """
    for option, variable in declared.items():
        path = path_of(options.get(option))
        setting = f"{above}.{option}" if above else variable.name
        yield CertificateFile(path, place_of(variable, path, setting, env))
