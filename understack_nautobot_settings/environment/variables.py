"""Every variable the library reads, declared once.

Reading, `show`, `check`, the error texts and the reference in the documentation
all come from here. Variables that Nautobot reads as well are marked: the library
needs their values, and `check` names what Nautobot itself would choke on. Those of
the connections stand in modules of their own; here they are one name space and one
tuple.
"""

from functools import partial
from typing import Any

from understack_nautobot_settings.environment import kinds
from understack_nautobot_settings.environment.connection_variables import *  # noqa: F403
from understack_nautobot_settings.environment.postgresql_variables import *  # noqa: F403
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.redis_variables import *  # noqa: F403
from understack_nautobot_settings.environment.redis_variables import CELERY_RIVALS

# --- plugins -------------------------------------------------------------------

_plugin_variable = partial(Variable, concern="plugins")
DEFAULT_PLUGINS: Variable[bool] = _plugin_variable(
    "UNDERSTACK_DEFAULT_PLUGINS",
    kinds.Flag(),
    True,
    "`off` keeps the open-source defaults (`nautobot_plugin_nornir`, "
    "`nautobot_golden_config`) out, which otherwise load if they are installed.",
    settings=("PLUGINS",),
)
EXTRA_PLUGINS: Variable[tuple[str, ...]] = _plugin_variable(
    "NAUTOBOT_EXTRA_PLUGINS",
    kinds.Names(),
    (),
    "Module names of further plugins, loaded after the open-source defaults.",
    settings=("PLUGINS",),
)
EXTRA_PLUGINS_STRICT: Variable[bool] = _plugin_variable(
    "NAUTOBOT_EXTRA_PLUGINS_STRICT",
    kinds.Flag(),
    False,
    "`true` makes an extra plugin that is not installed an error, not a warning.",
    settings=("PLUGINS",),
)
EXTRA_PLUGINS_CONFIG: Variable[str | None] = _plugin_variable(
    "NAUTOBOT_EXTRA_PLUGINS_CONFIG",
    kinds.JsonObject(),
    None,
    "JSON object, plugin name to configuration, deep-merged into `PLUGINS_CONFIG`. "
    "`${NAME}` in a string value becomes the value of that variable; a string that is "
    "`${NAME|int}` alone becomes a value of that type.",
    settings=("PLUGINS_CONFIG",),
    secret=True,
)
EXTRA_PLUGINS_CONFIG_FILE: Variable[str | None] = _plugin_variable(
    "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE",
    kinds.Path(),
    None,
    "Path of a file with the JSON of `NAUTOBOT_EXTRA_PLUGINS_CONFIG`, for more than "
    "the 128 KiB that one environment string holds.",
    settings=("PLUGINS_CONFIG",),
)

# --- site identity -------------------------------------------------------------

_site_variable = partial(Variable, concern="site_identity")
PARTITION: Variable[str] = _site_variable(
    "UNDERSTACK_PARTITION",
    kinds.Text(),
    "",
    "Partition of the site: the name of its Celery queue and part of device URNs. "
    "Letters, digits, `.`, `_` and `-`.",
    settings=("UNDERSTACK_PARTITION",),
)
SITE: Variable[str] = _site_variable(
    "UNDERSTACK_SITE",
    kinds.Text(),
    "",
    "Name of the site. Letters, digits, `.`, `_` and `-`.",
    settings=("UNDERSTACK_SITE",),
)
DB_IDENTITY_MAP: Variable[bool] = Variable(
    "UNDERSTACK_DB_IDENTITY_MAP",
    kinds.Flag(),
    False,
    "`true` if PostgreSQL maps the CN of client certificates to other users "
    "(pg_ident.conf): `check` then accepts a CN that is not `NAUTOBOT_DB_USER`.",
    concern="certificates",
)
ROLE: Variable[str | None] = _site_variable(
    "UNDERSTACK_ROLE",
    kinds.Choice("role", ("web", "worker", "beat", "site-worker")),
    None,
    "What the pod does; part of the `application_name` that PostgreSQL shows, and "
    "the default of `check --role`.",
    settings=("DATABASES.default.OPTIONS.application_name",),
)
TASK_ACKS_LATE: Variable[str | None] = _site_variable(
    "CELERY_TASK_ACKS_LATE",
    kinds.Text(),
    None,
    "The chart writes it for `task_acks_late`, and nothing reads it, of which `check` "
    "warns. Set the setting of this name in `nautobot_config.py` instead.",
)
TASK_QUEUES: Variable[tuple[str, ...]] = _site_variable(
    "CELERY_TASK_QUEUES",
    kinds.Names(),
    (),
    "Queues that the worker takes tasks from. The Helm chart writes it from "
    "`taskQueues` and hands it to `celery worker --queues`. Only `check` reads it: a "
    "site worker must serve the queue of its partition or site.",
)

# --- secrets -------------------------------------------------------------------

_secret_variable = partial(
    Variable, concern="secret_files", secret=True, by_file=True, nautobots=True
)
SECRET_KEY: Variable[str | None] = _secret_variable(
    "NAUTOBOT_SECRET_KEY",
    kinds.FreeText(),
    None,
    "Django's `SECRET_KEY`, at least 50 characters, the same on every pod.",
    settings=("SECRET_KEY",),
)
DB_PASSWORD: Variable[str | None] = _secret_variable(
    "NAUTOBOT_DB_PASSWORD",
    kinds.FreeText(),
    None,
    "PostgreSQL password, any characters.",
    settings=("DATABASES.default.PASSWORD",),
)

# --- single sign-on ------------------------------------------------------------

_sso_variable = partial(Variable, concern="sso")
SSO_DIR: Variable[str] = _sso_variable(
    "UNDERSTACK_SSO_DIR",
    kinds.Path(),
    "/opt/nautobot/sso",
    "Directory with the files `issuer`, `client-id` and `client-secret`. An empty "
    "directory, or none at the default path, means no single sign-on.",
)
OIDC_ENDPOINT: Variable[str | None] = _sso_variable(
    "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",
    kinds.Text(),
    None,
    "Issuer URL of the OpenID Connect provider, `https://`.",
    settings=("SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",),
)
OIDC_KEY: Variable[str | None] = _sso_variable(
    "SOCIAL_AUTH_OIDC_KEY",
    kinds.Text(),
    None,
    "Client id at the provider; `nautobot` if neither this nor the file is given.",
    settings=("SOCIAL_AUTH_OIDC_KEY",),
)
OIDC_SECRET: Variable[str | None] = _sso_variable(
    "SOCIAL_AUTH_OIDC_SECRET",
    kinds.FreeText(),
    None,
    "Client secret at the provider.",
    settings=("SOCIAL_AUTH_OIDC_SECRET",),
    secret=True,
)
OIDC_SCOPE: Variable[tuple[str, ...]] = _sso_variable(
    "SOCIAL_AUTH_OIDC_SCOPE",
    kinds.Names(),
    ("groups",),
    "Scopes asked for beyond the provider's defaults.",
    settings=("SOCIAL_AUTH_OIDC_SCOPE",),
)

# --- hardening -----------------------------------------------------------------

_hardening_variable = partial(Variable, concern="hardening")
HARDENING: Variable[bool] = _hardening_variable(
    "UNDERSTACK_HARDENING",
    kinds.Flag(),
    False,
    "`on`: secure and SameSite cookies, HSTS, `nosniff`; `DEBUG` or "
    "`ALLOWED_HOSTS=*` become errors.",
    settings=(
        "SESSION_COOKIE_SECURE",
        "SESSION_COOKIE_SAMESITE",
        "CSRF_COOKIE_SECURE",
        "CSRF_COOKIE_SAMESITE",
        "SECURE_CONTENT_TYPE_NOSNIFF",
    ),
)
DEBUG: Variable[bool] = _hardening_variable(
    "NAUTOBOT_DEBUG",
    kinds.Flag(),
    False,
    "Django's `DEBUG`; refused if hardening is on.",
    settings=("DEBUG",),
    nautobots=True,
)
METRICS_ENABLED: Variable[bool] = Variable(
    "NAUTOBOT_METRICS_ENABLED",
    kinds.Flag(),
    False,
    "`true` makes Nautobot use the database engine and the cache backend of "
    "django-prometheus.",
    concern="django_app",
    settings=("DATABASES.default.ENGINE", "CACHES.default.BACKEND"),
    nautobots=True,
)
METRICS_AUTHENTICATED: Variable[bool] = _hardening_variable(
    "NAUTOBOT_METRICS_AUTHENTICATED",
    kinds.Flag(),
    False,
    "`true` makes `/metrics` of the web pods ask for a login or a token; `check` asks "
    "for it under `UNDERSTACK_HARDENING`.",
    settings=("METRICS_AUTHENTICATED",),
    nautobots=True,
)
ALLOWED_HOSTS: Variable[tuple[str, ...]] = _hardening_variable(
    "NAUTOBOT_ALLOWED_HOSTS",
    kinds.HostNames(),
    (),
    "Host names of this deployment, separated by blanks; `*` is refused if hardening "
    "is on.",
    settings=("ALLOWED_HOSTS",),
    nautobots=True,
)
HSTS_SECONDS: Variable[int] = _hardening_variable(
    "UNDERSTACK_HSTS_SECONDS",
    kinds.Number(int, unit="seconds"),
    31536000,
    "How long browsers insist on HTTPS once hardening is on; a year.",
    settings=("SECURE_HSTS_SECONDS",),
    needs=(HARDENING, "on"),
)

# --- logging -------------------------------------------------------------------

_log_variable = partial(Variable, concern="logs")
LOG_FORMAT: Variable[str | None] = _log_variable(
    "UNDERSTACK_LOG_FORMAT",
    kinds.Choice("log format", ("json", "plain")),
    None,
    "`json` or `plain` lines through Nautobot's structlog set-up.",
    settings=(
        "LOGGING",
        "INSTALLED_APPS",
        "MIDDLEWARE",
        "CELERY_WORKER_HIJACK_ROOT_LOGGER",
    ),
)
LOG_LEVEL: Variable[str] = _log_variable(
    "NAUTOBOT_LOG_LEVEL",
    kinds.Choice("log level", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    "INFO",
    "Level of the log lines if `UNDERSTACK_LOG_FORMAT` is set.",
    settings=("LOGGING",),
)

# --- HTTPS to the outside ------------------------------------------------------

_check_variable = partial(Variable, concern="checks")
SSL_CERT_FILE: Variable[str | None] = _check_variable(
    "SSL_CERT_FILE",
    kinds.Path(),
    None,
    "CA bundle that OpenSSL trusts in place of the system's. PostgreSQL and Redis do "
    "not need it; only `check` reads it, and warns of a bundle without public CAs.",
)
REQUESTS_CA_BUNDLE: Variable[str | None] = _check_variable(
    "REQUESTS_CA_BUNDLE",
    kinds.Path(),
    None,
    "CA bundle that Python's requests library trusts in place of its own. Only `check` "
    "reads it, and warns of a bundle without public CAs.",
)
SSLKEYLOGFILE: Variable[str | None] = _check_variable(
    "SSLKEYLOGFILE",
    kinds.Path(),
    None,
    "File to which Python writes the keys of every TLS session. `check` warns if it is "
    "set.",
)
OPENSSL_CONF: Variable[str | None] = _check_variable(
    "OPENSSL_CONF",
    kinds.Path(),
    None,
    "Configuration that OpenSSL reads in place of the system's. `check` warns if it is "
    "set.",
)

# --- probing -------------------------------------------------------------------

_probe_variable = partial(Variable, concern="probes", nautobots=True)
CELERY_HEALTH_PROBES_AS_FILES: Variable[bool] = _probe_variable(
    "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES",
    kinds.Flag(),
    False,
    "`true` makes Nautobot's workers touch a heartbeat file every second, which "
    "`probe worker` looks at.",
    settings=("CELERY_HEALTH_PROBES_AS_FILES",),
)
K8S_COMPONENT: Variable[str | None] = _site_variable(
    "NAUTOBOT_K8S_COMPONENT",
    kinds.FreeText(),
    None,
    "What the Helm chart runs in a container, such as `nautobot-celery-default`. It is "
    "unset in an init container, and `check` then accepts that no queue is set.",
)
CELERY_WORKER_HEARTBEAT_FILE: Variable[str] = _probe_variable(
    "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE",
    kinds.Path(),
    "/tmp/nautobot_celery_worker_heartbeat",  # noqa: S108 - Nautobot's default
    "The heartbeat file of the worker.",
    settings=("CELERY_WORKER_HEARTBEAT_FILE",),
)

# --- inside Nautobot -----------------------------------------------------------

_app_variable = partial(Variable, concern="django_app")
APP: Variable[bool] = _app_variable(
    "UNDERSTACK_APP",
    kinds.Flag(),
    False,
    "`true` adds the Django app: system checks, a health check and metrics for "
    "certificate expiry, and the management commands.",
    settings=("INSTALLED_APPS",),
)
EXPIRY_UNHEALTHY: Variable[float] = _app_variable(
    "UNDERSTACK_EXPIRY_UNHEALTHY",
    kinds.Number(float, unit="days", most=3650),
    1.0,
    "How many days before notAfter a certificate turns `/health/` unhealthy. Late, "
    "because an unhealthy pod is taken out of service, although it still works; `0` "
    "waits until a certificate has expired.",
    settings=("UNDERSTACK_EXPIRY_UNHEALTHY",),
    needs=(APP, "true"),
)
EXPIRY_WARNING: Variable[int] = Variable(
    "UNDERSTACK_EXPIRY_WARNING",
    kinds.Number(int, most=36500, unit="days"),
    30,
    "How many days before notAfter a certificate is warned about; the renewal window.",
    concern="certificates",
)

VARIABLES: tuple[Variable[Any], ...] = (
    *(one for one in list(vars().values()) if isinstance(one, Variable)),
    *CELERY_RIVALS,
)
DEPENDENT = [(one, *one.needs) for one in VARIABLES if one.needs]
"""Each variable that needs another one, that one, and the word that it has to have."""
