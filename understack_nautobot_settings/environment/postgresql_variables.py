"""The variables of the connection to PostgreSQL."""

from functools import partial
from typing import Any

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment import kinds
from understack_nautobot_settings.environment.reader import Variable

_variable = partial(Variable, concern="postgresql_tls")
_nautobots_variable = partial(_variable, nautobots=True)

_OPPORTUNISTIC = (
    "it falls back to plain text when the server, or an attacker in its place, refuses "
    "TLS"
)

TLS_MODES = ("verify-full", "verify-ca", "require")
"""The sslmodes that demand TLS, the strictest first."""

DB_ENGINE: Variable[str] = _nautobots_variable(
    "NAUTOBOT_DB_ENGINE",
    kinds.Module(
        "a database backend",
        "django.db.backends.postgresql",
        "django_prometheus.db.backends.postgresql",
        "django.db.backends.mysql",
        "django_prometheus.db.backends.mysql",
    ),
    "django.db.backends.postgresql",
    "Django database backend. TLS is configured for PostgreSQL backends only.",
    settings=("DATABASES.default.ENGINE",),
)
DB_NAME: Variable[str] = _nautobots_variable(
    "NAUTOBOT_DB_NAME",
    kinds.Text(),
    "nautobot",
    "Name of the database.",
    settings=("DATABASES.default.NAME",),
)
DB_HOST: Variable[str] = _nautobots_variable(
    "NAUTOBOT_DB_HOST",
    kinds.Several(kinds.Host(codes.DB_HOST_INVALID, for_url=False), "host"),
    "localhost",
    "Host name of PostgreSQL, or of the gateway in front of it. With `verify-full` "
    "the server certificate has to carry this name.",
    settings=("DATABASES.default.HOST",),
)
DB_PORT: Variable[str] = _nautobots_variable(
    "NAUTOBOT_DB_PORT",
    kinds.Several(kinds.Number(int, least=1, most=65535), "port"),
    "",
    "Port of PostgreSQL; with a list of hosts one for all, or one for each: "
    "`5432,5433`.",
    settings=("DATABASES.default.PORT",),
)
DB_USER: Variable[str] = _nautobots_variable(
    "NAUTOBOT_DB_USER",
    kinds.Text(),
    "",
    "PostgreSQL user. `pg_hba` method `cert` wants it to equal the CN of the client "
    "certificate.",
    settings=("DATABASES.default.USER",),
)
DB_SSLMODE: Variable[str | None] = _variable(
    "NAUTOBOT_DB_SSLMODE",
    kinds.Choice(
        "sslmode",
        (*TLS_MODES, "disable"),
        offered=TLS_MODES,
        refused={"prefer": _OPPORTUNISTIC, "allow": _OPPORTUNISTIC},
        otherwise="disable for plain TCP",
    ),
    None,
    "`verify-full` or `verify-ca`: mutual TLS with `sslcert`, `sslkey` and "
    "`sslrootcert`; `verify-full` also checks the host name. `require`: encryption "
    "only, no client certificate, no verification. `disable`: plain TCP, explicitly. "
    "Unset: no TLS option is set, and libpq uses TLS only if the server offers it.",
    settings=(
        "DATABASES.default.OPTIONS.sslmode",
        "DATABASES.default.OPTIONS.sslcertmode",
    ),
)
DB_SSLCERT: Variable[str] = _variable(
    "NAUTOBOT_DB_SSLCERT",
    kinds.Path(),
    "/etc/nautobot/mtls/tls.crt",
    "Client certificate for PostgreSQL (libpq `sslcert`).",
    settings=("DATABASES.default.OPTIONS.sslcert",),
)
DB_SSLKEY: Variable[str] = _variable(
    "NAUTOBOT_DB_SSLKEY",
    kinds.Path(),
    "/etc/nautobot/mtls/tls.key",
    "Private key of the client certificate for PostgreSQL (libpq `sslkey`).",
    settings=("DATABASES.default.OPTIONS.sslkey",),
)
DB_SSLROOTCERT: Variable[str] = _variable(
    "NAUTOBOT_DB_SSLROOTCERT",
    kinds.Path(),
    "/etc/nautobot/mtls/ca.crt",
    "CA that signed the PostgreSQL server certificate (libpq `sslrootcert`).",
    settings=("DATABASES.default.OPTIONS.sslrootcert",),
)
DB_SSLNEGOTIATION: Variable[str | None] = _variable(
    "NAUTOBOT_DB_SSLNEGOTIATION",
    kinds.Choice("sslnegotiation", ("postgres", "direct")),
    None,
    "`direct` starts TLS at once, which a TLS-passthrough gateway needs and which "
    "saves a round trip. Needs sslmode `require` or stronger, libpq 17 in the image "
    "and PostgreSQL 17.",
    settings=("DATABASES.default.OPTIONS.sslnegotiation",),
)
DB_EXTRA_OPTIONS: Variable[str | None] = _variable(
    "NAUTOBOT_DB_EXTRA_OPTIONS",
    kinds.JsonObject(),
    None,
    "JSON object of further libpq parameters, merged into `OPTIONS`. It may not "
    "contradict another variable.",
    settings=("DATABASES.default.OPTIONS",),
)
SERVICE: Variable[str | None] = _variable(
    "PGSERVICE",
    kinds.Text(),
    None,
    "Refused if a client certificate is presented: libpq takes from the service what "
    "the settings leave open, and no check can see that.",
)
SSLCERTMODE: Variable[str | None] = _variable(
    "PGSSLCERTMODE",
    kinds.Text(),
    None,
    "`disable` is refused if a client certificate is presented, because libpq would "
    "then present none.",
)

DB_KEYS: dict[str, Variable[str]] = {
    "ENGINE": DB_ENGINE,
    "NAME": DB_NAME,
    "USER": DB_USER,
    "HOST": DB_HOST,
    "PORT": DB_PORT,
}
"""What Nautobot takes as it stands in the environment, by its key in ``DATABASES``."""

DB_FILES: dict[str, Variable[str]] = {
    "sslcert": DB_SSLCERT,
    "sslkey": DB_SSLKEY,
    "sslrootcert": DB_SSLROOTCERT,
}
"""The files of libpq by their parameters."""

DB_PARAMETERS: dict[str, Variable[Any]] = {
    "sslmode": DB_SSLMODE,
    **DB_FILES,
    "sslnegotiation": DB_SSLNEGOTIATION,
    "sslcertmode": DB_SSLMODE,
    # libpq takes 0 for 'sslmode=prefer'.
    "requiressl": DB_SSLMODE,
    "dbname": DB_NAME,
    "user": DB_USER,
    "host": DB_HOST,
    "port": DB_PORT,
}
"""The parameters of libpq that have a variable of their own, but the password."""
