"""The variables of timeouts, keepalives and retries."""

from functools import partial
from typing import Any

from understack_nautobot_settings.environment import kinds
from understack_nautobot_settings.environment.reader import Variable

_variable = partial(Variable, concern="connections")
# What Linux takes (net/tcp.h); a greater one fails every connection.
_KEEPALIVE_SECONDS = kinds.Number(int, unit="seconds", least=1, most=32767)
_KEEPALIVE_COUNT = kinds.Number(int, least=1, most=127)
# libpq and Python wait for milliseconds in a C int, and of more they keep what fits:
# 4294968 seconds become 0.7.
_MOST_SECONDS = 2_147_483

CONNECTION_PROFILE: Variable[str] = _variable(
    "UNDERSTACK_CONNECTION_PROFILE",
    kinds.Choice("connection profile", ("lan", "wan")),
    "lan",
    "`wan` for workers that cross a gateway: keepalives, health checks, retries, "
    "a telling `application_name`, fewer round trips for a new connection.",
    settings=(
        "DATABASES.default.CONN_HEALTH_CHECKS",
        "DATABASES.default.OPTIONS.options",
    ),
)
_wan_variable = partial(_variable, needs=(CONNECTION_PROFILE, "wan"))
DB_POOLER: Variable[str | None] = _variable(
    "UNDERSTACK_DB_POOLER",
    kinds.Choice("pool mode", ("session", "transaction")),
    None,
    "`transaction` if PgBouncer in transaction mode stands before PostgreSQL, as "
    "CloudNativePG's Pooler does: no `options` at the start of a connection, because "
    "PgBouncer refuses it, and no cursor on the server, because it could end up in "
    "another session. `session`: no `options`.",
    settings=(
        "DATABASES.default.DISABLE_SERVER_SIDE_CURSORS",
        "DATABASES.default.OPTIONS.options",
    ),
)
DB_CONNECT_TIMEOUT: Variable[int] = _variable(
    "UNDERSTACK_DB_CONNECT_TIMEOUT",
    kinds.Number(int, unit="seconds", least=1, most=_MOST_SECONDS),
    10,
    "How long libpq waits for a connection to each address (`connect_timeout`). "
    "Without a limit a silent server hangs the process for ever.",
    settings=("DATABASES.default.OPTIONS.connect_timeout",),
)
DB_TCP_USER_TIMEOUT: Variable[int] = _wan_variable(
    "UNDERSTACK_DB_TCP_USER_TIMEOUT",
    kinds.Number(int, unit="milliseconds", least=1),
    20000,
    "How long sent data may stay unacknowledged before the connection is given up "
    "(`tcp_user_timeout`); profile `wan`.",
    settings=("DATABASES.default.OPTIONS.tcp_user_timeout",),
)
DB_KEEPALIVES_IDLE: Variable[int] = _wan_variable(
    "UNDERSTACK_DB_KEEPALIVES_IDLE",
    _KEEPALIVE_SECONDS,
    10,
    "Idle time before the first TCP keepalive, shorter than the idle timeout of "
    "gateways and NAT tables (`keepalives_idle`); profile `wan`.",
    settings=("DATABASES.default.OPTIONS.keepalives_idle",),
)
DB_KEEPALIVES_INTERVAL: Variable[int] = _wan_variable(
    "UNDERSTACK_DB_KEEPALIVES_INTERVAL",
    _KEEPALIVE_SECONDS,
    3,
    "Time between keepalives that go unanswered (`keepalives_interval`); profile "
    "`wan`.",
    settings=("DATABASES.default.OPTIONS.keepalives_interval",),
)
DB_KEEPALIVES_COUNT: Variable[int] = _wan_variable(
    "UNDERSTACK_DB_KEEPALIVES_COUNT",
    _KEEPALIVE_COUNT,
    4,
    "Unanswered keepalives after which the connection is given up "
    "(`keepalives_count`); profile `wan`.",
    settings=("DATABASES.default.OPTIONS.keepalives_count",),
)
# Linux gives up an idle connection at the first keepalive after TCP_USER_TIMEOUT, here
# 22 s, and data sent just before that after 20 s more. So a process that uses two
# connections one after the other is back after 42 s at most.
_KEEPALIVE_SETTINGS = (
    "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_keepalive_options",
    "CELERY_BROKER_TRANSPORT_OPTIONS.socket_keepalive_options",
)
REDIS_CONNECT_TIMEOUT: Variable[float] = _variable(
    "UNDERSTACK_REDIS_CONNECT_TIMEOUT",
    kinds.Number(float, unit="seconds", least=0.1, most=_MOST_SECONDS),
    5.0,
    "How long a TCP connection to Redis may take, and the TLS handshake after it "
    "(`socket_connect_timeout`).",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_connect_timeout",
        "CELERY_BROKER_TRANSPORT_OPTIONS.socket_connect_timeout",
    ),
)
REDIS_SOCKET_TIMEOUT: Variable[float] = _variable(
    "UNDERSTACK_REDIS_SOCKET_TIMEOUT",
    kinds.Number(float, unit="seconds", least=0.1, most=_MOST_SECONDS),
    5.0,
    "How long Redis may take to answer (`socket_timeout`); redis-py 8 waits as long. "
    "If it is set, it holds for the broker too, unless "
    "`UNDERSTACK_BROKER_SOCKET_TIMEOUT` is set.",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.socket_timeout",
        "CELERY_BROKER_TRANSPORT_OPTIONS.socket_timeout",
    ),
)
BROKER_SOCKET_TIMEOUT: Variable[float] = _variable(
    "UNDERSTACK_BROKER_SOCKET_TIMEOUT",
    kinds.Number(float, unit="seconds", least=0.1, most=_MOST_SECONDS),
    30.0,
    "How long Redis may take to answer Celery (`socket_timeout`). After that a worker "
    "connects anew, and a submitted job is reported as unconfirmed rather than sent a "
    "second time.",
    settings=("CELERY_BROKER_TRANSPORT_OPTIONS.socket_timeout",),
)
REDIS_TCP_USER_TIMEOUT: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_TCP_USER_TIMEOUT",
    kinds.Number(int, unit="milliseconds", least=1),
    20000,
    "How long data sent to Redis may stay unacknowledged before the connection is "
    "given up (`TCP_USER_TIMEOUT`); profile `wan`.",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_IDLE: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_KEEPALIVES_IDLE",
    _KEEPALIVE_SECONDS,
    10,
    "Idle time before the first TCP keepalive on a connection to Redis, shorter than "
    "the idle timeout of gateways and NAT tables (`TCP_KEEPIDLE`); profile `wan`.",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_INTERVAL: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_KEEPALIVES_INTERVAL",
    _KEEPALIVE_SECONDS,
    3,
    "Time between keepalives to Redis that go unanswered (`TCP_KEEPINTVL`); profile "
    "`wan`.",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_KEEPALIVES_COUNT: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_KEEPALIVES_COUNT",
    _KEEPALIVE_COUNT,
    4,
    "Unanswered keepalives after which a connection to Redis is given up "
    "(`TCP_KEEPCNT`); profile `wan`.",
    settings=_KEEPALIVE_SETTINGS,
)
REDIS_HEALTH_CHECK_INTERVAL: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL",
    kinds.Number(int, unit="seconds"),
    30,
    "Idle time after which a Redis connection is pinged before use "
    "(`health_check_interval`); profile `wan`.",
    settings=(
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.health_check_interval",
        "CELERY_BROKER_TRANSPORT_OPTIONS.health_check_interval",
    ),
)
REDIS_RETRIES: Variable[int] = _wan_variable(
    "UNDERSTACK_REDIS_RETRIES",
    kinds.Number(int, most=20),
    3,
    "How often a Redis command is tried again after a lost connection, with "
    "exponential backoff and jitter; profile `wan`.",
    settings=("CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.retries",),
)
JOB_RESULT_RETRIES: Variable[int] = _wan_variable(
    "UNDERSTACK_JOB_RESULT_RETRIES",
    kinds.Number(int),
    240,
    "How often the process that runs a job tries again to store the state of the job "
    "while the database is away, up to 5 seconds apart; 240 take about ten minutes, "
    "Nautobot's own time limit for a job. A job whose state cannot be stored never "
    "ends; profile `wan`.",
    settings=("CELERY_RESULT_BACKEND_MAX_RETRIES",),
)

DB_WAITS: dict[str, Variable[Any]] = {
    "connect_timeout": DB_CONNECT_TIMEOUT,
    "keepalives_idle": DB_KEEPALIVES_IDLE,
    "keepalives_interval": DB_KEEPALIVES_INTERVAL,
    "keepalives_count": DB_KEEPALIVES_COUNT,
    "tcp_user_timeout": DB_TCP_USER_TIMEOUT,
}
"""How long libpq waits, by its parameters."""
