"""The variables of the connections to Redis: cache and broker."""

from functools import partial

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment import kinds
from understack_nautobot_settings.environment.reader import Variable

_variable = partial(Variable, concern="redis_tls")
_nautobots_variable = partial(_variable, nautobots=True)
_url_variable = partial(
    _nautobots_variable, settings=("CACHES.default.LOCATION", "CELERY_BROKER_URL")
)


def _tls_settings(option: str) -> tuple[str, ...]:
    """Return the settings that hold a TLS option of redis-py."""
    places = (
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS",
        "CELERY_BROKER_USE_SSL",
        "CELERY_REDIS_BACKEND_USE_SSL",
    )
    return tuple(f"{place}.{option}" for place in places)


REDIS_MTLS: Variable[str] = _variable(
    "UNDERSTACK_REDIS_MTLS",
    kinds.Choice("mode", ("auto", "on", "off")),
    "auto",
    "`auto`: mutual TLS if the CA file exists. `on`: mutual TLS, and a missing CA file "
    "is an error. `off`: adds neither a client certificate nor TLS.",
)
REDIS_SSL_CA_CERTS: Variable[str] = _variable(
    "NAUTOBOT_REDIS_SSL_CA_CERTS",
    kinds.Path(),
    "/etc/nautobot/mtls/ca.crt",
    "CA that signed the Redis server certificate (redis-py `ssl_ca_certs`). Its "
    "existence turns Redis mTLS on.",
    settings=_tls_settings("ssl_ca_certs"),
)
REDIS_SSL_CERTFILE: Variable[str] = _variable(
    "NAUTOBOT_REDIS_SSL_CERTFILE",
    kinds.Path(),
    "/etc/nautobot/mtls/tls.crt",
    "Client certificate for Redis (redis-py `ssl_certfile`).",
    settings=_tls_settings("ssl_certfile"),
)
REDIS_SSL_KEYFILE: Variable[str] = _variable(
    "NAUTOBOT_REDIS_SSL_KEYFILE",
    kinds.Path(),
    "/etc/nautobot/mtls/tls.key",
    "Private key of the client certificate for Redis (redis-py `ssl_keyfile`).",
    settings=_tls_settings("ssl_keyfile"),
)
REDIS_SSL_CERT_REQS: Variable[str] = _variable(
    "NAUTOBOT_REDIS_SSL_CERT_REQS",
    kinds.Choice("certificate requirement", ("required", "optional", "none")),
    "required",
    "Whether the Redis server certificate is verified (redis-py `ssl_cert_reqs`). "
    "`none` turns host name checking off as well and is warned about.",
    settings=_tls_settings("ssl_cert_reqs"),
)
REDIS_SSL_CHECK_HOSTNAME: Variable[bool] = _variable(
    "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME",
    kinds.Flag(),
    True,
    "Whether the Redis server certificate has to carry the configured host name "
    "(redis-py `ssl_check_hostname`; written out because its default changed "
    "between redis-py 5 and 6).",
    settings=_tls_settings("ssl_check_hostname"),
)
REDIS_PASSWORD_ENCODED: Variable[bool] = _variable(
    "NAUTOBOT_REDIS_PASSWORD_ENCODED",
    kinds.Flag(),
    False,
    "Set to true if `NAUTOBOT_REDIS_PASSWORD` is percent-encoded already.",
)
REDIS_SCHEME: Variable[str | None] = _url_variable(
    "NAUTOBOT_REDIS_SCHEME",
    kinds.Choice("Redis URL scheme", ("redis", "rediss", "unix")),
    None,
    "Scheme of the URL that Nautobot builds; wins over `NAUTOBOT_REDIS_SSL`.",
)
REDIS_SSL: Variable[bool] = _url_variable(
    "NAUTOBOT_REDIS_SSL",
    kinds.Flag(),
    False,
    "`true` builds `rediss://` URLs. The Helm chart always writes `false`, so `false` "
    "switches nothing off: use `UNDERSTACK_REDIS_MTLS=off`.",
)
REDIS_HOST: Variable[str] = _url_variable(
    "NAUTOBOT_REDIS_HOST",
    kinds.Host(codes.REDIS_HOST_INVALID, for_url=True),
    "localhost",
    "Host name of Redis, or of the gateway in front of it.",
)
REDIS_PORT: Variable[int] = _url_variable(
    "NAUTOBOT_REDIS_PORT",
    kinds.Number(int, least=1, most=65535),
    6379,
    "Port of Redis. A Service called `nautobot-redis` makes Kubernetes write "
    "`tcp://…` here: set `enableServiceLinks: false` on the pod.",
)
REDIS_USERNAME: Variable[str] = _nautobots_variable(
    "NAUTOBOT_REDIS_USERNAME",
    kinds.FreeText(),
    "",
    "Redis ACL user; empty for the user `default`.",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.username",
        "CELERY_BROKER_URL",
    ),
)
REDIS_PASSWORD: Variable[str] = _nautobots_variable(
    "NAUTOBOT_REDIS_PASSWORD",
    kinds.FreeText(),
    "",
    "Redis password, any characters.",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.password",
        "CELERY_BROKER_URL",
    ),
    secret=True,
    by_file=True,
)
CELERY_BROKER_URL: Variable[str | None] = _nautobots_variable(
    "NAUTOBOT_CELERY_BROKER_URL",
    kinds.Text(),
    None,
    "Broker URL of your own; left as it is, apart from `redis://` becoming "
    "`rediss://` under mTLS. Percent-encode its password.",
    settings=("CELERY_BROKER_URL",),
    secret=True,
)
CELERY_RIVALS: tuple[Variable[str | None], ...] = tuple(
    _variable(
        name,
        kinds.Text(),
        None,
        "Refused: Celery reads it itself and prefers it to its settings.",
        secret=True,
    )
    for name in (
        "CELERY_BROKER_URL",
        "CELERY_BROKER_READ_URL",
        "CELERY_BROKER_WRITE_URL",
        "CELERY_RESULT_BACKEND",
        "CELERY_LOADER",
        # What the worker's command line makes these of.
        "BROKER_URL",
        "RESULT_BACKEND",
        "LOADER",
    )
)
CACHES_BACKEND: Variable[str] = _nautobots_variable(
    "NAUTOBOT_CACHES_BACKEND",
    kinds.Module(
        "a cache backend",
        "django_redis.cache.RedisCache",
        "django_prometheus.cache.backends.redis.RedisCache",
        "django.core.cache.backends.redis.RedisCache",
    ),
    "django_redis.cache.RedisCache",
    "Django cache backend.",
    settings=("CACHES.default.BACKEND",),
)

REDIS_FILES: dict[str, Variable[str]] = {
    "ssl_ca_certs": REDIS_SSL_CA_CERTS,
    "ssl_certfile": REDIS_SSL_CERTFILE,
    "ssl_keyfile": REDIS_SSL_KEYFILE,
}
"""The files of redis-py by their arguments."""
