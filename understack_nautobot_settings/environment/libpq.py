"""libpq: who uses it, which one the process will use, and which variables it reads."""

from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables

DIRECT_SINCE = 170000
"""The libpq that knows ``sslnegotiation``."""

SSLCERTMODE_SINCE = 160000
"""The libpq that knows ``sslcertmode``, and ``sslrootcert=system``."""

SYSTEM_TRUST = "system"
"""The ``sslrootcert`` that stands for the CAs of the operating system."""

_AS_PARAMETER = ("USER", "PASSWORD", "HOST", "PORT")
DJANGO_KEYS = {"NAME": "dbname", **{key: key.lower() for key in _AS_PARAMETER}}
"""The parameters that a ``DATABASES`` entry has outside of its OPTIONS, by its keys."""

# Those named as the parameter that they give.
_BY_NAME = """
    CONNECT_TIMEOUT GSSDELEGATION GSSENCMODE GSSLIB HOST HOSTADDR KRBSRVNAME
    OPTIONS PASSFILE PASSWORD PORT REQUIREPEER SERVICE SERVICEFILE SSLCERT
    SSLCERTMODE SSLCOMPRESSION SSLCRL SSLCRLDIR SSLKEY SSLMODE SSLNEGOTIATION
    SSLROOTCERT SSLSNI USER
"""
_OTHERS = {
    "PGAPPNAME": "application_name",
    "PGCHANNELBINDING": "channel_binding",
    "PGCLIENTENCODING": "client_encoding",
    "PGDATABASE": "dbname",
    "PGDATESTYLE": "the session's DateStyle",
    "PGGEQO": "the session's geqo",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGMAXPROTOCOLVERSION": "max_protocol_version",
    "PGMINPROTOCOLVERSION": "min_protocol_version",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIRESSL": "sslmode",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSYSCONFDIR": "the directory of the service file",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGTZ": "the session's TimeZone",
}
_ALL = {f"PG{name}": name.lower() for name in _BY_NAME.split()} | _OTHERS
LIBPQ_VARIABLES = dict(sorted(_ALL.items()))
"""Variables of libpq 18, and the connection parameter that each one gives."""
# Those without a variable of libpq's.
PARAMETERS = frozenset(LIBPQ_VARIABLES.values()).union(
    ("fallback_application_name", "keepalives", "replication"),
    ("scram_client_key", "scram_server_key", "sslkeylogfile", "sslpassword"),
    variables.DB_WAITS,
    variables.DB_PARAMETERS,
)
"""The parameters of libpq 18."""


def is_postgresql(database: Mapping[str, Any]) -> bool:
    """Tell whether a ``DATABASES`` entry is PostgreSQL, which is the default.

    By substring: Nautobot swaps in the engine of ``django_prometheus``.
    """
    return "postgresql" in (database.get("ENGINE") or "postgresql")


def presents_certificate(options: Mapping[str, Any]) -> bool:
    """Tell whether a connection with these parameters has a certificate to present."""
    disabled = "disable" in (options.get("sslmode"), options.get("sslcertmode"))
    return bool(options.get("sslcert")) and not disabled


def libpq_version() -> int | None:
    """Return the version of the loaded libpq: 170005 for 17.5; None without a driver.

    Asks the driver that Django will use: psycopg 3 where it can be imported,
    psycopg2 otherwise, in the order of ``django.db.backends.postgresql``.
    """
    try:
        from psycopg.pq import version
    except ImportError:
        try:
            from psycopg2.extensions import libpq_version as version
        except ImportError:
            return None
    return int(version())


def libpq_release(version: int) -> str:
    """Return a libpq version as people write it: ``17.5`` for 170005."""
    return f"{version // 10000}.{version % 10000}"


def variables_against_tls(env: Mapping[str, str]) -> list[str]:
    """Return the variables of libpq that may keep it from using TLS as decided."""
    against = {
        variables.SSLCERTMODE.name: env.get(variables.SSLCERTMODE.name) == "disable",
        variables.SERVICE.name: bool(env.get(variables.SERVICE.name)),
    }
    return [name for name, is_against in against.items() if is_against]
