"""Every variable the library reads, declared once.

Reading, `show`, `check`, the error texts and the reference in the documentation
all come from here. Variables that Nautobot reads as well are marked: the library
needs their values, and `check` names what Nautobot itself would choke on.
"""

from __future__ import annotations

from typing import Any

from understack_nautobot_settings.environment.kinds import Choice
from understack_nautobot_settings.environment.kinds import Flag
from understack_nautobot_settings.environment.kinds import FreeText
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.kinds import Names
from understack_nautobot_settings.environment.kinds import Number
from understack_nautobot_settings.environment.kinds import Path
from understack_nautobot_settings.environment.kinds import Ports
from understack_nautobot_settings.environment.kinds import Text
from understack_nautobot_settings.environment.reader import Variable

_OPPORTUNISTIC = (
    "it falls back to plain text when the server, or whoever answers in its place, "
    "refuses TLS"
)

# --- PostgreSQL TLS ------------------------------------------------------------

DB_ENGINE: Variable[str | None] = Variable(
    "NAUTOBOT_DB_ENGINE",
    Text(),
    None,
    "Django database backend. TLS is configured for PostgreSQL backends only.",
    concern="postgresql_tls",
    settings=("DATABASES.default.ENGINE",),
    nautobots=True,
)
DB_NAME: Variable[str | None] = Variable(
    "NAUTOBOT_DB_NAME",
    Text(),
    None,
    "Name of the database.",
    concern="postgresql_tls",
    settings=("DATABASES.default.NAME",),
    nautobots=True,
)
DB_HOST: Variable[str | None] = Variable(
    "NAUTOBOT_DB_HOST",
    Text(),
    None,
    "Host name of PostgreSQL, or of the gateway in front of it. With `verify-full` "
    "the server certificate has to carry this name.",
    concern="postgresql_tls",
    settings=("DATABASES.default.HOST",),
    nautobots=True,
)
DB_PORT: Variable[str | None] = Variable(
    "NAUTOBOT_DB_PORT",
    Ports(),
    None,
    "Port of PostgreSQL; with a list of hosts one for all, or one for each: "
    "`5432,5433`.",
    concern="postgresql_tls",
    settings=("DATABASES.default.PORT",),
    nautobots=True,
)
DB_USER: Variable[str | None] = Variable(
    "NAUTOBOT_DB_USER",
    Text(),
    None,
    "PostgreSQL user. `pg_hba` method `cert` wants it to equal the CN of the client "
    "certificate.",
    concern="postgresql_tls",
    settings=("DATABASES.default.USER",),
    nautobots=True,
)
DB_SSLMODE: Variable[str | None] = Variable(
    "NAUTOBOT_DB_SSLMODE",
    Choice(
        "sslmode",
        ("verify-full", "verify-ca", "require", "disable"),
        offered=("verify-full", "verify-ca", "require"),
        refused={"prefer": _OPPORTUNISTIC, "allow": _OPPORTUNISTIC},
        otherwise="disable for plain TCP",
    ),
    None,
    "`verify-full` or `verify-ca`: mutual TLS with `sslcert`, `sslkey` and "
    "`sslrootcert`; `verify-full` also checks the host name. `require`: encryption "
    "only, no client certificate, no verification. `disable`: plain TCP, said out "
    "loud. Unset: no TLS option is set.",
    concern="postgresql_tls",
    settings=(
        "DATABASES.default.OPTIONS.sslmode",
        "DATABASES.default.OPTIONS.sslcertmode",
    ),
)
DB_SSLCERT: Variable[str] = Variable(
    "NAUTOBOT_DB_SSLCERT",
    Path(),
    "/etc/nautobot/mtls/tls.crt",
    "Client certificate for PostgreSQL (libpq `sslcert`).",
    concern="postgresql_tls",
    settings=("DATABASES.default.OPTIONS.sslcert",),
)
DB_SSLKEY: Variable[str] = Variable(
    "NAUTOBOT_DB_SSLKEY",
    Path(),
    "/etc/nautobot/mtls/tls.key",
    "Private key of the client certificate for PostgreSQL (libpq `sslkey`).",
    concern="postgresql_tls",
    settings=("DATABASES.default.OPTIONS.sslkey",),
)
DB_SSLROOTCERT: Variable[str] = Variable(
    "NAUTOBOT_DB_SSLROOTCERT",
    Path(),
    "/etc/nautobot/mtls/ca.crt",
    "CA that signed the PostgreSQL server certificate (libpq `sslrootcert`).",
    concern="postgresql_tls",
    settings=("DATABASES.default.OPTIONS.sslrootcert",),
)
DB_SSLNEGOTIATION: Variable[str | None] = Variable(
    "NAUTOBOT_DB_SSLNEGOTIATION",
    Choice(
        "sslnegotiation",
        ("postgres", "direct"),
    ),
    None,
    "`direct` starts TLS at once, which a TLS-passthrough gateway needs and which "
    "saves a round trip. Needs sslmode `require` or stronger, libpq 17 in the image "
    "and PostgreSQL 17.",
    concern="postgresql_tls",
    settings=("DATABASES.default.OPTIONS.sslnegotiation",),
)
DB_EXTRA_OPTIONS: Variable[str | None] = Variable(
    "NAUTOBOT_DB_EXTRA_OPTIONS",
    JsonObject(),
    None,
    "JSON object of further libpq parameters, merged into `OPTIONS`. It may not "
    "contradict a TLS option above.",
    concern="postgresql_tls",
    settings=("DATABASES.default.OPTIONS",),
)

# --- Redis TLS -----------------------------------------------------------------

REDIS_MTLS: Variable[str] = Variable(
    "UNDERSTACK_REDIS_MTLS",
    Choice("mode", ("auto", "on", "off")),
    "auto",
    "`auto`: mutual TLS where the CA file exists. `on`: a missing CA file is an "
    "error. `off`: no client certificate, and `redis://` stays plain.",
    concern="redis_tls",
)
REDIS_SSL_CA_CERTS: Variable[str] = Variable(
    "NAUTOBOT_REDIS_SSL_CA_CERTS",
    Path(),
    "/etc/nautobot/mtls/ca.crt",
    "CA that signed the Redis server certificate (redis-py `ssl_ca_certs`). Its "
    "existence turns Redis mTLS on.",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_ca_certs",
        "CELERY_BROKER_USE_SSL.ssl_ca_certs",
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_ca_certs",
    ),
)
REDIS_SSL_CERTFILE: Variable[str] = Variable(
    "NAUTOBOT_REDIS_SSL_CERTFILE",
    Path(),
    "/etc/nautobot/mtls/tls.crt",
    "Client certificate for Redis (redis-py `ssl_certfile`).",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_certfile",
        "CELERY_BROKER_USE_SSL.ssl_certfile",
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_certfile",
    ),
)
REDIS_SSL_KEYFILE: Variable[str] = Variable(
    "NAUTOBOT_REDIS_SSL_KEYFILE",
    Path(),
    "/etc/nautobot/mtls/tls.key",
    "Private key of the client certificate for Redis (redis-py `ssl_keyfile`).",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_keyfile",
        "CELERY_BROKER_USE_SSL.ssl_keyfile",
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_keyfile",
    ),
)
REDIS_SSL_CERT_REQS: Variable[str] = Variable(
    "NAUTOBOT_REDIS_SSL_CERT_REQS",
    Choice("certificate requirement", ("required", "optional", "none")),
    "required",
    "Whether the Redis server certificate is verified (redis-py `ssl_cert_reqs`). "
    "`none` turns host name checking off as well and is warned about.",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_cert_reqs",
        "CELERY_BROKER_USE_SSL.ssl_cert_reqs",
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_cert_reqs",
    ),
)
REDIS_SSL_CHECK_HOSTNAME: Variable[bool] = Variable(
    "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME",
    Flag(),
    True,
    "Whether the Redis server certificate has to carry the configured host name "
    "(redis-py `ssl_check_hostname`; written out because its default changed "
    "between redis-py 5 and 6).",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_check_hostname",
        "CELERY_BROKER_USE_SSL.ssl_check_hostname",
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_check_hostname",
    ),
)
REDIS_PASSWORD_ENCODED: Variable[bool] = Variable(
    "NAUTOBOT_REDIS_PASSWORD_ENCODED",
    Flag(),
    False,
    "Set to true where `NAUTOBOT_REDIS_PASSWORD` is percent-encoded already.",
    concern="redis_tls",
)
REDIS_SCHEME: Variable[str | None] = Variable(
    "NAUTOBOT_REDIS_SCHEME",
    Choice("Redis URL scheme", ("redis", "rediss", "unix")),
    None,
    "Scheme of the URL that Nautobot builds; decides over `NAUTOBOT_REDIS_SSL`.",
    concern="redis_tls",
    settings=("CACHES.default.LOCATION", "CELERY_BROKER_URL"),
    nautobots=True,
)
REDIS_SSL: Variable[bool] = Variable(
    "NAUTOBOT_REDIS_SSL",
    Flag(),
    False,
    "`true` builds `rediss://` URLs. The Helm chart always writes `false`, so that "
    "value opts out of nothing: use `UNDERSTACK_REDIS_MTLS=off`.",
    concern="redis_tls",
    settings=("CACHES.default.LOCATION", "CELERY_BROKER_URL"),
    nautobots=True,
)
REDIS_HOST: Variable[str] = Variable(
    "NAUTOBOT_REDIS_HOST",
    Text(),
    "localhost",
    "Host name of Redis, or of the gateway in front of it.",
    concern="redis_tls",
    settings=("CACHES.default.LOCATION", "CELERY_BROKER_URL"),
    nautobots=True,
)
REDIS_PORT: Variable[int] = Variable(
    "NAUTOBOT_REDIS_PORT",
    Number(int, least=1, most=65535),
    6379,
    "Port of Redis. A Service called `nautobot-redis` makes Kubernetes write "
    "`tcp://…` here: set `enableServiceLinks: false` on the pod.",
    concern="redis_tls",
    settings=("CACHES.default.LOCATION", "CELERY_BROKER_URL"),
    nautobots=True,
)
REDIS_USERNAME: Variable[str] = Variable(
    "NAUTOBOT_REDIS_USERNAME",
    FreeText(),
    "",
    "Redis ACL user; empty for the user `default`.",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.username",
        "CELERY_BROKER_URL",
    ),
    nautobots=True,
)
REDIS_PASSWORD: Variable[str] = Variable(
    "NAUTOBOT_REDIS_PASSWORD",
    FreeText(),
    "",
    "Redis password, any characters.",
    concern="redis_tls",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.password",
        "CELERY_BROKER_URL",
    ),
    secret=True,
    by_file=True,
    nautobots=True,
)
CELERY_BROKER_URL: Variable[str | None] = Variable(
    "NAUTOBOT_CELERY_BROKER_URL",
    Text(),
    None,
    "Broker URL of your own; left as it is, apart from `redis://` becoming "
    "`rediss://` under mTLS. Percent-encode its password.",
    concern="redis_tls",
    settings=("CELERY_BROKER_URL",),
    secret=True,
    nautobots=True,
)
CELERY_RIVALS: tuple[Variable[str | None], ...] = tuple(
    Variable(
        name,
        Text(),
        None,
        "Refused: Celery reads it itself and prefers it to its settings.",
        concern="redis_tls",
        secret=True,
    )
    for name in (
        "CELERY_BROKER_URL",
        "CELERY_BROKER_READ_URL",
        "CELERY_BROKER_WRITE_URL",
        "CELERY_RESULT_BACKEND",
        "CELERY_LOADER",
    )
)
CACHES_BACKEND: Variable[str] = Variable(
    "NAUTOBOT_CACHES_BACKEND",
    Text(),
    "django_redis.cache.RedisCache",
    "Django cache backend.",
    concern="redis_tls",
    settings=("CACHES.default.BACKEND",),
    nautobots=True,
)

# --- plugins -------------------------------------------------------------------

DEFAULT_PLUGINS: Variable[bool] = Variable(
    "UNDERSTACK_DEFAULT_PLUGINS",
    Flag(),
    True,
    "`off` keeps the open-source defaults (`nautobot_plugin_nornir`, "
    "`nautobot_golden_config`) out, which otherwise load where they are installed.",
    concern="plugins",
    settings=("PLUGINS", "PLUGINS_CONFIG"),
)
EXTRA_PLUGINS: Variable[tuple[str, ...]] = Variable(
    "NAUTOBOT_EXTRA_PLUGINS",
    Names(),
    (),
    "Module names of further plugins, loaded after the open-source defaults.",
    concern="plugins",
    settings=("PLUGINS",),
)
EXTRA_PLUGINS_STRICT: Variable[bool] = Variable(
    "NAUTOBOT_EXTRA_PLUGINS_STRICT",
    Flag(),
    False,
    "`true` makes an extra plugin that is not installed an error, not a warning.",
    concern="plugins",
    settings=("PLUGINS",),
)
EXTRA_PLUGINS_CONFIG: Variable[str | None] = Variable(
    "NAUTOBOT_EXTRA_PLUGINS_CONFIG",
    JsonObject(),
    None,
    "JSON object, plugin name to configuration, deep-merged into `PLUGINS_CONFIG`. "
    "`${NAME}` in a string value becomes the variable of that name, `${NAME|int}` "
    "alone in its string with that type.",
    concern="plugins",
    settings=("PLUGINS_CONFIG",),
    secret=True,
)
EXTRA_PLUGINS_CONFIG_FILE: Variable[str | None] = Variable(
    "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE",
    Path(),
    None,
    "Path of a file with the same JSON; for what exceeds the 128 KiB that one "
    "environment string holds.",
    concern="plugins",
    settings=("PLUGINS_CONFIG",),
)

# --- site identity -------------------------------------------------------------

PARTITION: Variable[str] = Variable(
    "UNDERSTACK_PARTITION",
    Text(),
    "",
    "Partition of the site: the name of its Celery queue and part of device URNs. "
    "Letters, digits, `.`, `_` and `-`.",
    concern="site_identity",
    settings=("UNDERSTACK_PARTITION",),
)
SITE: Variable[str] = Variable(
    "UNDERSTACK_SITE",
    Text(),
    "",
    "Name of the site. Letters, digits, `.`, `_` and `-`.",
    concern="site_identity",
    settings=("UNDERSTACK_SITE",),
)
DB_IDENTITY_MAP: Variable[bool] = Variable(
    "UNDERSTACK_DB_IDENTITY_MAP",
    Flag(),
    False,
    "`true` where PostgreSQL maps the CN of client certificates to other users "
    "(pg_ident.conf): `check` then takes a CN that is not `NAUTOBOT_DB_USER`.",
    concern="certificates",
)
ROLE: Variable[str | None] = Variable(
    "UNDERSTACK_ROLE",
    Choice("role", ("web", "worker", "beat", "site-worker")),
    None,
    "What the pod does; part of the `application_name` that PostgreSQL shows, and "
    "the default of `check --role`.",
    concern="site_identity",
    settings=("DATABASES.default.OPTIONS.application_name",),
)
TASK_QUEUES: Variable[tuple[str, ...]] = Variable(
    "CELERY_TASK_QUEUES",
    Names(),
    (),
    "Queues that the worker takes tasks from. The Helm chart writes it from "
    "`taskQueues` and hands it to `celery worker --queues`; read by `check` alone, "
    "which wants the partition among them on a site worker.",
    concern="site_identity",
)

# --- secrets -------------------------------------------------------------------

SECRET_KEY: Variable[str | None] = Variable(
    "NAUTOBOT_SECRET_KEY",
    FreeText(),
    None,
    "Django's `SECRET_KEY`, at least 50 characters, the same on every pod.",
    concern="secret_files",
    settings=("SECRET_KEY",),
    secret=True,
    by_file=True,
    nautobots=True,
)
DB_PASSWORD: Variable[str | None] = Variable(
    "NAUTOBOT_DB_PASSWORD",
    FreeText(),
    None,
    "PostgreSQL password, any characters.",
    concern="secret_files",
    settings=("DATABASES.default.PASSWORD",),
    secret=True,
    by_file=True,
    nautobots=True,
)

# --- single sign-on ------------------------------------------------------------

SSO_DIR: Variable[str] = Variable(
    "UNDERSTACK_SSO_DIR",
    Path(),
    "/opt/nautobot/sso",
    "Directory with the files `issuer`, `client-id` and `client-secret`. An empty "
    "directory, or none at the default path, means no single sign-on.",
    concern="sso",
)
OIDC_ENDPOINT: Variable[str | None] = Variable(
    "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",
    Text(),
    None,
    "Issuer URL of the OpenID Connect provider, `https://`.",
    concern="sso",
    settings=("SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",),
)
OIDC_KEY: Variable[str | None] = Variable(
    "SOCIAL_AUTH_OIDC_KEY",
    Text(),
    None,
    "Client id at the provider; `nautobot` where neither this nor the file is given.",
    concern="sso",
    settings=("SOCIAL_AUTH_OIDC_KEY",),
)
OIDC_SECRET: Variable[str | None] = Variable(
    "SOCIAL_AUTH_OIDC_SECRET",
    FreeText(),
    None,
    "Client secret at the provider.",
    concern="sso",
    settings=("SOCIAL_AUTH_OIDC_SECRET",),
    secret=True,
)
OIDC_SCOPE: Variable[tuple[str, ...]] = Variable(
    "SOCIAL_AUTH_OIDC_SCOPE",
    Names(),
    ("groups",),
    "Scopes asked for beyond the provider's defaults.",
    concern="sso",
    settings=("SOCIAL_AUTH_OIDC_SCOPE",),
)

# --- hardening -----------------------------------------------------------------

HARDENING: Variable[bool] = Variable(
    "UNDERSTACK_HARDENING",
    Flag(),
    False,
    "`on`: secure and SameSite cookies, HSTS, `nosniff`; `DEBUG` or "
    "`ALLOWED_HOSTS=*` become errors.",
    concern="hardening",
    settings=(
        "SESSION_COOKIE_SECURE",
        "SESSION_COOKIE_SAMESITE",
        "CSRF_COOKIE_SECURE",
        "CSRF_COOKIE_SAMESITE",
        "SECURE_CONTENT_TYPE_NOSNIFF",
    ),
)
DEBUG: Variable[bool] = Variable(
    "NAUTOBOT_DEBUG",
    Flag(),
    False,
    "Django's `DEBUG`; refused where hardening is on.",
    concern="hardening",
    settings=("DEBUG",),
    nautobots=True,
)
METRICS_ENABLED: Variable[bool] = Variable(
    "NAUTOBOT_METRICS_ENABLED",
    Flag(),
    False,
    "`true` makes Nautobot use the database engine and the cache backend of "
    "django-prometheus.",
    concern="django_app",
    settings=("DATABASES.default.ENGINE", "CACHES.default.BACKEND"),
    nautobots=True,
)
METRICS_AUTHENTICATED: Variable[bool] = Variable(
    "NAUTOBOT_METRICS_AUTHENTICATED",
    Flag(),
    False,
    "`true` makes `/metrics` of the web pods ask for a login or a token; `check` asks "
    "for it under `UNDERSTACK_HARDENING`.",
    concern="hardening",
    settings=("METRICS_AUTHENTICATED",),
    nautobots=True,
)
ALLOWED_HOSTS: Variable[tuple[str, ...]] = Variable(
    "NAUTOBOT_ALLOWED_HOSTS",
    Names(" "),
    (),
    "Host names of this deployment, separated by blanks; `*` is refused where "
    "hardening is on.",
    concern="hardening",
    settings=("ALLOWED_HOSTS",),
    nautobots=True,
)
HSTS_SECONDS: Variable[int] = Variable(
    "UNDERSTACK_HSTS_SECONDS",
    Number(int, unit="seconds"),
    31536000,
    "How long browsers insist on HTTPS once hardening is on; a year.",
    concern="hardening",
    settings=("SECURE_HSTS_SECONDS",),
)

# --- logging -------------------------------------------------------------------

LOG_FORMAT: Variable[str | None] = Variable(
    "UNDERSTACK_LOG_FORMAT",
    Choice(
        "log format",
        ("json", "plain"),
    ),
    None,
    "`json` or `plain` lines through Nautobot's structlog set-up.",
    concern="logs",
    settings=(
        "LOGGING",
        "INSTALLED_APPS",
        "MIDDLEWARE",
        "CELERY_WORKER_HIJACK_ROOT_LOGGER",
    ),
)
LOG_LEVEL: Variable[str] = Variable(
    "NAUTOBOT_LOG_LEVEL",
    Choice("log level", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    "INFO",
    "Level of the log lines where `UNDERSTACK_LOG_FORMAT` is set.",
    concern="logs",
    settings=("LOGGING",),
)

# --- connections ---------------------------------------------------------------

CONNECTION_PROFILE: Variable[str] = Variable(
    "UNDERSTACK_CONNECTION_PROFILE",
    Choice("connection profile", ("lan", "wan")),
    "lan",
    "`wan` for workers that cross a gateway: keepalives, health checks, retries, "
    "a telling `application_name`, fewer round trips for a new connection.",
    concern="connections",
    settings=(
        "DATABASES.default.CONN_HEALTH_CHECKS",
        "DATABASES.default.OPTIONS.options",
    ),
)
DB_POOLER: Variable[str | None] = Variable(
    "UNDERSTACK_DB_POOLER",
    Choice("a pool mode", ("session", "transaction")),
    None,
    "`transaction` where PgBouncer in transaction mode stands before PostgreSQL, as "
    "CloudNativePG's Pooler does: no `options` at the start of a connection, which "
    "PgBouncer refuses, and no cursor on the server, which would be another session's "
    "a moment later. `session`: no `options`.",
    concern="connections",
    settings=(
        "DATABASES.default.DISABLE_SERVER_SIDE_CURSORS",
        "DATABASES.default.OPTIONS.options",
    ),
)
DB_CONNECT_TIMEOUT: Variable[int] = Variable(
    "UNDERSTACK_DB_CONNECT_TIMEOUT",
    Number(int, unit="seconds", least=1),
    10,
    "How long libpq waits for a connection, each address (`connect_timeout`). "
    "Without it a silent server hangs the process for ever.",
    concern="connections",
    settings=("DATABASES.default.OPTIONS.connect_timeout",),
)
DB_TCP_USER_TIMEOUT: Variable[int] = Variable(
    "UNDERSTACK_DB_TCP_USER_TIMEOUT",
    Number(int, unit="milliseconds", least=1),
    30000,
    "How long sent data may stay unacknowledged before the connection is given up "
    "(`tcp_user_timeout`); profile `wan`.",
    concern="connections",
    settings=("DATABASES.default.OPTIONS.tcp_user_timeout",),
)
DB_KEEPALIVES_IDLE: Variable[int] = Variable(
    "UNDERSTACK_DB_KEEPALIVES_IDLE",
    Number(int, unit="seconds", least=1),
    20,
    "Idle time before the first TCP keepalive, shorter than the idle timeout of "
    "gateways and NAT tables (`keepalives_idle`); profile `wan`.",
    concern="connections",
    settings=("DATABASES.default.OPTIONS.keepalives_idle",),
)
DB_KEEPALIVES_INTERVAL: Variable[int] = Variable(
    "UNDERSTACK_DB_KEEPALIVES_INTERVAL",
    Number(int, unit="seconds", least=1),
    5,
    "Time between keepalives that go unanswered (`keepalives_interval`); profile "
    "`wan`.",
    concern="connections",
    settings=("DATABASES.default.OPTIONS.keepalives_interval",),
)
DB_KEEPALIVES_COUNT: Variable[int] = Variable(
    "UNDERSTACK_DB_KEEPALIVES_COUNT",
    Number(int, least=1),
    3,
    "Unanswered keepalives after which the connection is given up "
    "(`keepalives_count`); profile `wan`.",
    concern="connections",
    settings=("DATABASES.default.OPTIONS.keepalives_count",),
)
_KEEPALIVE_SETTINGS = (
    "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_keepalive_options",
    "CELERY_BROKER_TRANSPORT_OPTIONS.socket_keepalive_options",
)
REDIS_CONNECT_TIMEOUT: Variable[float] = Variable(
    "UNDERSTACK_REDIS_CONNECT_TIMEOUT",
    Number(float, unit="seconds", least=0.1),
    5.0,
    "How long a TCP connection to Redis may take, and the TLS handshake after it "
    "(`socket_connect_timeout`).",
    concern="connections",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_connect_timeout",
        "CELERY_BROKER_TRANSPORT_OPTIONS.socket_connect_timeout",
    ),
)
REDIS_SOCKET_TIMEOUT: Variable[float] = Variable(
    "UNDERSTACK_REDIS_SOCKET_TIMEOUT",
    Number(float, unit="seconds", least=0.1),
    5.0,
    "How long Redis may take to answer (`socket_timeout`); redis-py 8 waits as long. "
    "Where it is set, it is the broker's as well.",
    concern="connections",
    settings=("CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_timeout",),
)
BROKER_SOCKET_TIMEOUT: Variable[float] = Variable(
    "UNDERSTACK_BROKER_SOCKET_TIMEOUT",
    Number(float, unit="seconds", least=0.1),
    30.0,
    "How long Redis may take to answer Celery (`socket_timeout`). After that a worker "
    "connects anew, and a submitted job is reported as unconfirmed rather than sent a "
    "second time.",
    concern="connections",
    settings=("CELERY_BROKER_TRANSPORT_OPTIONS.socket_timeout",),
)
REDIS_TCP_USER_TIMEOUT: Variable[int] = Variable(
    "UNDERSTACK_REDIS_TCP_USER_TIMEOUT",
    Number(int, unit="milliseconds", least=1),
    30000,
    "How long data sent to Redis may stay unacknowledged before the connection is "
    "given up (`TCP_USER_TIMEOUT`); profile `wan`.",
    concern="connections",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_IDLE: Variable[int] = Variable(
    "UNDERSTACK_REDIS_KEEPALIVES_IDLE",
    Number(int, unit="seconds", least=1),
    20,
    "Idle time before the first TCP keepalive on a connection to Redis, shorter than "
    "the idle timeout of gateways and NAT tables (`TCP_KEEPIDLE`); profile `wan`.",
    concern="connections",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_INTERVAL: Variable[int] = Variable(
    "UNDERSTACK_REDIS_KEEPALIVES_INTERVAL",
    Number(int, unit="seconds", least=1),
    5,
    "Time between keepalives to Redis that go unanswered (`TCP_KEEPINTVL`); profile "
    "`wan`.",
    concern="connections",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_COUNT: Variable[int] = Variable(
    "UNDERSTACK_REDIS_KEEPALIVES_COUNT",
    Number(int, least=1),
    3,
    "Unanswered keepalives after which a connection to Redis is given up "
    "(`TCP_KEEPCNT`); profile `wan`.",
    concern="connections",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_HEALTH_CHECK_INTERVAL: Variable[int] = Variable(
    "UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL",
    Number(int, unit="seconds"),
    30,
    "Idle time after which a Redis connection is pinged before use "
    "(`health_check_interval`); profile `wan`.",
    concern="connections",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.health_check_interval",
        "CELERY_BROKER_TRANSPORT_OPTIONS.health_check_interval",
    ),
)
REDIS_RETRIES: Variable[int] = Variable(
    "UNDERSTACK_REDIS_RETRIES",
    Number(int, most=20),
    3,
    "How often a Redis command is tried again after a lost connection, with "
    "exponential backoff and jitter; profile `wan`.",
    concern="connections",
    settings=("CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.retries",),
)
JOB_RESULT_RETRIES: Variable[int] = Variable(
    "UNDERSTACK_JOB_RESULT_RETRIES",
    Number(int),
    240,
    "How often the process that runs a job tries again to store its state while the "
    "database is away, up to 5 seconds apart: by default some ten minutes, Nautobot's "
    "own time limit for a job. Without it the job never ends; profile `wan`.",
    concern="connections",
    settings=("CELERY_RESULT_BACKEND_MAX_RETRIES",),
)

# --- HTTPS to the outside ------------------------------------------------------

SSL_CERT_FILE: Variable[str | None] = Variable(
    "SSL_CERT_FILE",
    Path(),
    None,
    "CA bundle that OpenSSL trusts in place of the system's. PostgreSQL and Redis do "
    "not need it; `check` alone reads it, and warns of a bundle without public CAs.",
    concern="checks",
)
REQUESTS_CA_BUNDLE: Variable[str | None] = Variable(
    "REQUESTS_CA_BUNDLE",
    Path(),
    None,
    "The same for Python's requests library.",
    concern="checks",
)

# --- probing -------------------------------------------------------------------

CELERY_HEALTH_PROBES_AS_FILES: Variable[bool] = Variable(
    "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES",
    Flag(),
    False,
    "`true` makes Nautobot's workers touch a heartbeat file every second, which "
    "`probe worker` looks at.",
    concern="probes",
    settings=("CELERY_HEALTH_PROBES_AS_FILES",),
    nautobots=True,
)
CELERY_WORKER_HEARTBEAT_FILE: Variable[str] = Variable(
    "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE",
    Path(),
    "/tmp/nautobot_celery_worker_heartbeat",  # noqa: S108 - Nautobot's default
    "The heartbeat file of the worker.",
    concern="probes",
    settings=("CELERY_WORKER_HEARTBEAT_FILE",),
    nautobots=True,
)

# --- inside Nautobot -----------------------------------------------------------

APP: Variable[bool] = Variable(
    "UNDERSTACK_APP",
    Flag(),
    False,
    "`true` adds the Django app: system checks, a health check and metrics for "
    "certificate expiry, and the management commands.",
    concern="django_app",
    settings=("INSTALLED_APPS",),
)
EXPIRY_UNHEALTHY: Variable[float] = Variable(
    "UNDERSTACK_EXPIRY_UNHEALTHY",
    Number(float, unit="days", most=3650),
    1.0,
    "How many days before notAfter a certificate turns `/health/` unhealthy. Late, "
    "because an unhealthy pod is taken out of service, although it still works; `0` "
    "waits until a certificate has expired.",
    concern="django_app",
    settings=("UNDERSTACK_EXPIRY_UNHEALTHY",),
)
EXPIRY_WARNING: Variable[int] = Variable(
    "UNDERSTACK_EXPIRY_WARNING",
    Number(int, unit="days"),
    30,
    "How many days before notAfter a certificate is warned about; the renewal window.",
    concern="certificates",
)

DB_FILES: dict[str, Variable[str]] = {
    "sslcert": DB_SSLCERT,
    "sslkey": DB_SSLKEY,
    "sslrootcert": DB_SSLROOTCERT,
}
"""The files of libpq by their parameters."""

REDIS_FILES: dict[str, Variable[str]] = {
    "ssl_ca_certs": REDIS_SSL_CA_CERTS,
    "ssl_certfile": REDIS_SSL_CERTFILE,
    "ssl_keyfile": REDIS_SSL_KEYFILE,
}
"""The files of redis-py by their arguments."""

DB_WAITS: dict[str, Variable[Any]] = {
    "connect_timeout": DB_CONNECT_TIMEOUT,
    "keepalives_idle": DB_KEEPALIVES_IDLE,
    "keepalives_interval": DB_KEEPALIVES_INTERVAL,
    "keepalives_count": DB_KEEPALIVES_COUNT,
    "tcp_user_timeout": DB_TCP_USER_TIMEOUT,
}
"""How long libpq waits, by its parameters."""

VARIABLES: tuple[Variable[Any], ...] = (
    *(one for one in list(vars().values()) if isinstance(one, Variable)),
    *CELERY_RIVALS,
)
