"""What a fragment refuses or warns of."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

# --- plugins ----------------------------------------------------------------

PLUGIN_NAME_INVALID = Code(
    "plugin-name-invalid",
    "An extra plugin has a name that Python cannot import, often the name of the "
    "distribution (hyphens) in place of the module (underscores).",
    "Use names as Python imports them, separated by commas.",
)
PLUGIN_SKIPPED = WarningCode(
    "plugin-skipped",
    "An extra plugin is not installed in this image, or its name is misspelt.",
    "Install it in the image, or correct the name.",
)
PLUGIN_MISSING = Code(
    "plugin-missing",
    "An extra plugin is not installed while `NAUTOBOT_EXTRA_PLUGINS_STRICT` is on.",
    "Install it in the image, or correct the name.",
)
PLUGIN_CONFIG_NOT_OBJECT = Code(
    "plugin-config-not-object",
    "The configuration of a plugin is null, which does not remove the defaults, or "
    "anything else but an object.",
    "Write an object, `{}` for none.",
)
PLUGIN_CONFIG_UNUSED = WarningCode(
    "plugin-config-unused",
    "The configuration names a plugin that is not loaded, or misspells its name.",
    "Correct the name, install the plugin, add it to `NAUTOBOT_EXTRA_PLUGINS`, or "
    "remove its configuration.",
)
PLUGIN_CONFIG_FILE_UNREADABLE = Code(
    "plugin-config-file-unreadable",
    "The file with the plugin configuration is missing, empty or cannot be read.",
    "Mount a file with the JSON object there, or correct the path.",
)

# --- site identity ----------------------------------------------------------

SITE_NAME_INVALID = Code(
    "site-name-invalid",
    "A partition or site name has a character that a Celery queue name or a device URN "
    "does not accept.",
    "Use letters, digits, '.', '_' and '-' only.",
)

# --- PostgreSQL TLS ---------------------------------------------------------

DB_ENGINE_NOT_POSTGRESQL = Code(
    "db-engine-not-postgresql",
    "Variables ask for TLS to PostgreSQL, and the database engine is another one.",
    "Unset the PostgreSQL TLS variables, or use a PostgreSQL engine.",
)
DB_SSLNEGOTIATION_MODE = Code(
    "db-sslnegotiation-mode",
    "libpq starts TLS at once only if the sslmode demands TLS.",
    "Set `NAUTOBOT_DB_SSLMODE` to `verify-full`, `verify-ca` or `require`, or unset "
    "`NAUTOBOT_DB_SSLNEGOTIATION`.",
)
DB_SSLNEGOTIATION_LIBPQ = Code(
    "db-sslnegotiation-libpq",
    "The libpq that the driver carries is older than 17 and does not know "
    "`sslnegotiation`; it refuses every connection that sets it.",
    "Install a driver with a newer libpq (psycopg 3 binary, psycopg2-binary 2.9.10 "
    "or later), or unset `NAUTOBOT_DB_SSLNEGOTIATION`.",
)
DB_LIBPQ_UNKNOWN = WarningCode(
    "db-libpq-unknown",
    "No PostgreSQL driver can be imported here, so its libpq cannot be asked.",
    "Run this inside the Nautobot image.",
)
DB_EXTRA_OPTION_CONFLICT = Code(
    "db-extra-option-conflict",
    "`NAUTOBOT_DB_EXTRA_OPTIONS` has a parameter that another variable decides.",
    "Set it through its own variable, and remove it from `NAUTOBOT_DB_EXTRA_OPTIONS`.",
)
DB_EXTRA_OPTION_TYPE = Code(
    "db-extra-option-type",
    "libpq parameters are text or whole numbers.",
    "Write the value as a string or an integer.",
)
DB_EXTRA_OPTION_CASE = Code(
    "db-extra-option-case",
    "libpq refuses to connect with a parameter that it does not know. The names of its "
    "parameters, and of Django's options beside them, are in lower case.",
    "Correct the name.",
)
DB_EXTRA_OPTION_REFUSED = Code(
    "db-extra-option-refused",
    "`sslkeylogfile` writes the keys of the session to a file, and `dsn`, `conninfo`, "
    "`service` and `servicefile` name parameters that no check can see.",
    "Remove it from `NAUTOBOT_DB_EXTRA_OPTIONS`.",
)
DB_LIBPQ_VARIABLE = Code(
    "db-libpq-variable",
    "libpq reads variables of its own for what the settings leave open. With "
    "`PGSSLCERTMODE=disable` it presents no client certificate; no check can see what "
    "the service of `PGSERVICE` sets.",
    "Unset it.",
)
DB_SOCKET = Code(
    "db-socket",
    "libpq uses no TLS on a Unix socket, whatever the sslmode is.",
    "Set `NAUTOBOT_DB_HOST`, or `HOST` in the settings file, to a host name, or "
    "`NAUTOBOT_DB_SSLMODE=disable`.",
)
DB_SYSTEM_TRUST = Code(
    "db-system-trust",
    "`sslrootcert=system` trusts the CAs of the operating system. libpq accepts it "
    "from release 16 on, and with `verify-full` only.",
    "Use `NAUTOBOT_DB_SSLMODE=verify-full` and a driver with libpq 16 or later, or "
    "name a CA file.",
)

# --- Redis TLS --------------------------------------------------------------

REDIS_CERT_REQS_NONE = WarningCode(
    "redis-cert-reqs-none",
    "The Redis server certificate is not verified: any server that answers gets the "
    "password.",
    "Set `NAUTOBOT_REDIS_SSL_CERT_REQS=required`.",
)
REDIS_URL_SSL_OPTION = Code(
    "redis-url-ssl-option",
    "A Redis URL has a TLS option of its own, which replaces the configured one.",
    "Remove it and use the variables `NAUTOBOT_REDIS_SSL_*`.",
)
REDIS_URL_MALFORMED = Code(
    "redis-url-malformed",
    "A Redis URL cannot be taken apart, most often because of a `/`, `#` or `?` in its "
    "password; or its scheme is missing or misspelt, or its database is no number.",
    "Percent-encode the password in the URL, or unset the URL and use the "
    "`NAUTOBOT_REDIS_*` variables, which take every password.",
)
REDIS_URLS_MIXED = Code(
    "redis-urls-mixed",
    "Some of several Redis URLs are `redis://` and some are `rediss://`. After a "
    "failover Celery would not verify the server.",
    "Use `rediss://` for all of them.",
)
REDIS_SENTINEL_TLS = Code(
    "redis-sentinel-tls",
    "Redis Sentinel is configured together with Redis mTLS.",
    "Connect to Redis directly, or set `UNDERSTACK_REDIS_MTLS=off` and protect both "
    "connections in another way.",
)
REDIS_CACHE_BACKEND = Code(
    "redis-cache-backend",
    "The cache backend takes its TLS options in a form that Nautobot does not use.",
    "Use `django_redis.cache.RedisCache`.",
)

REDIS_LEFT_ALONE = WarningCode(
    "redis-left-alone",
    "A connection to Redis or Valkey gets none of the TLS options: its host is not the "
    "one that the certificates were issued for, or this library does not configure its "
    "client.",
    "Give it TLS options of its own in the settings file, if it needs them.",
)
REDIS_BROKER_SOCKET = Code(
    "redis-broker-socket",
    "Celery reaches Redis over a Unix socket by `redis+socket://`, not by `unix://`.",
    "Write `redis+socket:///path?virtual_host=0`.",
)
CELERY_VARIABLE = Code(
    "celery-variable",
    "Celery prefers some variables of its own to its settings. Workers would connect "
    "to another server than checks and probes say, and without its TLS options.",
    "Unset it; use `NAUTOBOT_CELERY_BROKER_URL` for another broker.",
)
BROKER_URL_RIVAL = Code(
    "broker-url-rival",
    "The settings file has a second broker URL, which Celery takes in place of the one "
    "that TLS was configured for.",
    "Remove it; `CELERY_BROKER_URL` is for reading and writing.",
)

# --- the settings file ------------------------------------------------------

FILE_OVERRULED = WarningCode(
    "file-overruled",
    "The settings file and the library disagree, and the safer of the two is used. "
    "That happens only for `ssl_cert_reqs` without `NAUTOBOT_REDIS_SSL_CERT_REQS`, for "
    "cookies that are not secure under `UNDERSTACK_HARDENING`, and for a secret key "
    "beside `NAUTOBOT_SECRET_KEY`.",
    "Set the variable that the message names to what the file wants.",
)

# --- secrets ----------------------------------------------------------------

SECRET_KEY_MISSING = Code(
    "secret-key-missing",
    "There is no secret key: sessions could be forged.",
    "Set `NAUTOBOT_SECRET_KEY`, or `NAUTOBOT_SECRET_KEY_FILE`, to the value that all "
    "pods share.",
)
SECRET_KEY_SHORT = WarningCode(
    "secret-key-short",
    "The secret key has fewer than 50 characters or fewer than 5 different ones, or it "
    "was made by `startproject` for development. Changing it signs everybody out.",
    "Use 50 or more random characters, the same on every pod.",
)

# --- single sign-on ---------------------------------------------------------

SSO_INCOMPLETE = Code(
    "sso-incomplete",
    "Only a part of the single sign-on configuration is there.",
    "Add the missing part, or remove the others.",
)
SSO_UNREADABLE = Code(
    "sso-unreadable",
    "A file or directory of the single sign-on secret cannot be read.",
    "Check the mount, and `securityContext.fsGroup` of the pod.",
)
SSO_TWICE = Code(
    "sso-twice",
    "A part of the single sign-on configuration is given both as a file and as a "
    "variable.",
    "Remove one of the two.",
)
SSO_ISSUER = Code(
    "sso-issuer",
    "The issuer is not an https URL, so that tokens would cross the network in clear "
    "text; or it is one that the path of the discovery document cannot be appended to.",
    "Use the provider's `https://` issuer URL.",
)

SSO_BACKEND_MISSING = WarningCode(
    "sso-backend-missing",
    "Single sign-on is configured, but the settings file lists no authentication "
    "backend for OpenID Connect.",
    "Add the backend to `AUTHENTICATION_BACKENDS`, or remove the configuration.",
)

# --- hardening --------------------------------------------------------------

HARDENING_DEBUG = Code(
    "hardening-debug",
    "Debug pages are on in a hardened deployment.",
    "Unset `NAUTOBOT_DEBUG`.",
)
HARDENING_ALLOWED_HOSTS = Code(
    "hardening-allowed-hosts",
    "Any host name is accepted in a hardened deployment.",
    "List the host names of this deployment in `NAUTOBOT_ALLOWED_HOSTS`.",
)

# --- logging ----------------------------------------------------------------

LOG_FORMAT_NAUTOBOT = WarningCode(
    "log-format-nautobot",
    "Nautobot's own function sets up the log format, and it cannot be imported here.",
    "Ignore this outside of Nautobot.",
)

# --- connections ------------------------------------------------------------

APPLICATION_NAME_LONG = WarningCode(
    "application-name-long",
    "PostgreSQL cuts an `application_name` after 63 bytes.",
    "Use a shorter partition name to tell workers apart in `pg_stat_activity`.",
)
REDIS_RESULT_BACKEND_TRUST = WarningCode(
    "redis-result-backend-trust",
    "Celery's Redis result backend makes redis-py's own TLS connections, which trust "
    "the system's CAs beside the configured one.",
    "Keep Nautobot's own result backend, which is the database.",
)
REDIS_OWN_CLASS_TRUST = WarningCode(
    "redis-own-class-trust",
    "The settings file names the class that makes the TLS connections of a cache or of "
    "the broker. redis-py's own trust the system's CAs beside the configured one.",
    "Remove the class from the settings file, or see to it that it trusts no other CA.",
)
DB_POOLER_OPTIONS = WarningCode(
    "db-pooler-options",
    "`UNDERSTACK_DB_POOLER` says that PgBouncer stands before PostgreSQL, and the "
    "settings set libpq's parameter `options`, which PgBouncer refuses unless its "
    "`ignore_startup_parameters` lists it.",
    "Remove `options` from `OPTIONS` of the default database in the settings file, or "
    "from `NAUTOBOT_DB_EXTRA_OPTIONS`.",
)
REDIS_BROKER_FAILOVER_TRUST = WarningCode(
    "redis-broker-failover-trust",
    "The broker URL lists several brokers. When kombu switches to another one it takes "
    "its own transport, which trusts the system's CAs beside the configured one.",
    "Use one URL, with a host name that always leads to the active Redis.",
)
