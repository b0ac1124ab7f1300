import copy
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import configure
from understack_nautobot_settings import connection_settings

WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
TRANSPORT = "understack_nautobot_settings.runtime.broker:Transport"
# By name where no Django runs.
TcpConnection = "understack_nautobot_settings.runtime.redis_connections.TcpConnection"
TlsConnection = "understack_nautobot_settings.runtime.redis_connections.TlsConnection"
NAUTOBOTS_RESULTS = "nautobot.core.celery.backends.NautobotDatabaseBackend"
RESULTS = "understack_nautobot_settings.runtime.job_results.JobResultBackend"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
PLAIN = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://redis:6379/1",
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }
}
TIMEOUTS = {"socket_connect_timeout": 5.0, "socket_timeout": 5.0}
BROKER_TIMEOUTS = {"socket_connect_timeout": 5.0, "socket_timeout": 30.0}
KEEPALIVE = {
    "health_check_interval": 30,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        socket.TCP_KEEPIDLE: 10,
        socket.TCP_KEEPINTVL: 3,
        socket.TCP_KEEPCNT: 4,
        socket.TCP_USER_TIMEOUT: 20000,
    },
}
KEPT_ALIVE = {**TIMEOUTS, **KEEPALIVE}
BROKER_KEPT_ALIVE = {**BROKER_TIMEOUTS, **KEEPALIVE}
QUIET = {"protocol": 2, "client_info": False}
WAN_OPTIONS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 4,
    "tcp_user_timeout": 20000,
    "application_name": "nautobot",
    "options": "-c TimeZone=UTC",
}


def settings(
    env=None,
    *,
    databases=None,
    caches=None,
    broker_url="redis://redis:6379/0",
    transport_options=None,
    transport=None,
    result_backend=None,
    problems=None,
):
    return connection_settings(
        {
            "DATABASES": DATABASES if databases is None else databases,
            "CACHES": PLAIN if caches is None else caches,
            "CELERY_BROKER_URL": broker_url,
            "CELERY_BROKER_TRANSPORT_OPTIONS": transport_options,
            "CELERY_BROKER_TRANSPORT": transport,
            "CELERY_RESULT_BACKEND": result_backend,
        },
        env or {},
        problems=problems,
    )


def cache_at(location, **pool):
    default = {**PLAIN["default"], "LOCATION": location}
    if pool:
        default["OPTIONS"] = {**default["OPTIONS"], "CONNECTION_POOL_KWARGS": pool}
    return {"default": default}


def pool_of(result):
    return result["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]


def test_connection_timeouts_are_set_by_default():
    assert settings() == {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "OPTIONS": {"connect_timeout": 10},
            }
        },
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://redis:6379/1",
                "OPTIONS": {
                    "CLIENT_CLASS": "django_redis.client.DefaultClient",
                    "CONNECTION_POOL_KWARGS": {
                        **TIMEOUTS,
                        "connection_class": TcpConnection,
                    },
                },
            }
        },
        "CELERY_BROKER_TRANSPORT_OPTIONS": BROKER_TIMEOUTS,
    }


def test_wan_profile_adds_keepalives_retries_and_health_checks():
    assert settings(WAN) == {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "CONN_HEALTH_CHECKS": True,
                "OPTIONS": WAN_OPTIONS,
            }
        },
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://redis:6379/1",
                "OPTIONS": {
                    "CLIENT_CLASS": "django_redis.client.DefaultClient",
                    "CONNECTION_POOL_KWARGS": {
                        **KEPT_ALIVE,
                        **QUIET,
                        "connection_class": TcpConnection,
                        "retries": 3,
                    },
                },
            }
        },
        "CELERY_BROKER_TRANSPORT_OPTIONS": {**BROKER_KEPT_ALIVE, **QUIET},
        "CELERY_BROKER_TRANSPORT": TRANSPORT,
    }


@pytest.mark.parametrize("base", [NAUTOBOTS_RESULTS, RESULTS], ids=["first", "again"])
def test_wan_profile_retries_storing_job_results(base):
    """A worker that gives up leaves the job STARTED for ever."""
    result = settings(WAN, result_backend=base)

    assert {name: result[name] for name in result if "RESULT" in name} == {
        "CELERY_RESULT_BACKEND": RESULTS,
        "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
        "CELERY_RESULT_BACKEND_MAX_RETRIES": 240,
        "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS": 250,
        "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS": 5000,
    }


@pytest.mark.parametrize(
    ("env", "base"),
    [({}, NAUTOBOTS_RESULTS), (WAN, "a.module.Backend"), (WAN, None)],
    ids=["not wan", "the base's own", "without Celery"],
)
def test_result_backend_of_another_kind_is_not_changed(env, base):
    result = settings(env, result_backend=base)

    assert [name for name in result if "RESULT" in name] == []


def test_number_of_job_result_retries_can_be_set():
    env = {**WAN, "UNDERSTACK_JOB_RESULT_RETRIES": "7"}

    result = settings(env, result_backend=NAUTOBOTS_RESULTS)

    assert result["CELERY_RESULT_BACKEND_MAX_RETRIES"] == 7


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, "nautobot"),
        ({"UNDERSTACK_ROLE": "worker"}, "nautobot-worker"),
        ({"UNDERSTACK_PARTITION": "dfw3"}, "nautobot@dfw3"),
        (
            {"UNDERSTACK_ROLE": "site-worker", "UNDERSTACK_PARTITION": "dfw3"},
            "nautobot-site-worker@dfw3",
        ),
    ],
    ids=["nothing", "role", "partition", "both"],
)
def test_application_name_names_role_and_partition(env, name):
    result = settings({**WAN, **env})

    assert result["DATABASES"]["default"]["OPTIONS"]["application_name"] == name


def test_application_name_too_long_for_postgresql_is_warned_about():
    problems = []
    partition = "p" * 60

    settings({**WAN, "UNDERSTACK_PARTITION": partition}, problems=problems)

    assert [str(one) for one in problems] == [
        f"UNDERSTACK_PARTITION: the application_name 'nautobot@{partition}' has more "
        "than 63 bytes. PostgreSQL cuts it; use a shorter name to tell workers apart."
    ]


@pytest.mark.parametrize(
    ("variable", "value", "where", "key", "expected"),
    [
        ("UNDERSTACK_DB_CONNECT_TIMEOUT", "3", "db", "connect_timeout", 3),
        ("UNDERSTACK_DB_TCP_USER_TIMEOUT", "7", "db", "tcp_user_timeout", 7),
        ("UNDERSTACK_DB_KEEPALIVES_IDLE", "7", "db", "keepalives_idle", 7),
        ("UNDERSTACK_DB_KEEPALIVES_INTERVAL", "7", "db", "keepalives_interval", 7),
        ("UNDERSTACK_DB_KEEPALIVES_COUNT", "7", "db", "keepalives_count", 7),
        (
            "UNDERSTACK_REDIS_CONNECT_TIMEOUT",
            "1.5",
            "both",
            "socket_connect_timeout",
            1.5,
        ),
        ("UNDERSTACK_REDIS_SOCKET_TIMEOUT", "60", "both", "socket_timeout", 60.0),
        (
            "UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL",
            "0",
            "both",
            "health_check_interval",
            0,
        ),
        ("UNDERSTACK_REDIS_RETRIES", "0", "cache", "retries", 0),
    ],
)
def test_connection_variable_overrides_the_base_value(
    variable, value, where, key, expected
):
    base = {key: 42}
    result = settings(
        {**WAN, variable: value},
        databases={"default": {"OPTIONS": base}},
        caches=cache_at("redis://redis:6379/1", **base),
        transport_options=base,
    )

    chosen = {
        "db": [result["DATABASES"]["default"]["OPTIONS"]],
        "cache": [pool_of(result)],
        "both": [pool_of(result), result["CELERY_BROKER_TRANSPORT_OPTIONS"]],
    }[where]
    assert [options[key] for options in chosen] == [expected] * len(chosen)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, {"cache": 1, "broker": 30.0}),
        ({"UNDERSTACK_REDIS_SOCKET_TIMEOUT": "7"}, {"cache": 7.0, "broker": 7.0}),
        ({"UNDERSTACK_BROKER_SOCKET_TIMEOUT": "9"}, {"cache": 1, "broker": 9.0}),
        (
            {
                "UNDERSTACK_REDIS_SOCKET_TIMEOUT": "7",
                "UNDERSTACK_BROKER_SOCKET_TIMEOUT": "9",
            },
            {"cache": 7.0, "broker": 9.0},
        ),
    ],
    ids=["neither", "Redis", "broker", "both"],
)
def test_socket_timeout_of_django_redis_is_kept_unless_the_variable_is_set(
    env, expected
):
    caches = cache_at("redis://redis:6379/1")
    caches["default"]["OPTIONS"]["SOCKET_TIMEOUT"] = 1

    result = settings(env, caches=caches)

    assert {
        "cache": pool_of(result)["socket_timeout"],
        "broker": result["CELERY_BROKER_TRANSPORT_OPTIONS"]["socket_timeout"],
    } == expected


def test_two_lost_connections_one_after_the_other_are_noticed_within_45_seconds():
    """Linux ends an idle one at the first keepalive after TCP_USER_TIMEOUT, see tcp(7).

    Until then a process may use it, and waits for as long again.
    """
    options = settings(WAN)["CELERY_BROKER_TRANSPORT_OPTIONS"]
    tcp = options["socket_keepalive_options"]
    sent = tcp[socket.TCP_USER_TIMEOUT] / 1000
    probes = range(tcp[socket.TCP_KEEPIDLE], 60, tcp[socket.TCP_KEEPINTVL])
    idle = next(probe for probe in probes if probe > sent)

    assert idle + sent <= 45


def test_keepalive_of_the_file_is_kept_and_completed():
    given = {socket.TCP_KEEPIDLE: 7}
    env = {**WAN, "UNDERSTACK_REDIS_KEEPALIVES_COUNT": "9"}

    result = settings(env, transport_options={"socket_keepalive_options": given})

    options = result["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert options["socket_keepalive_options"] == {
        socket.TCP_KEEPIDLE: 7,
        socket.TCP_KEEPINTVL: 3,
        socket.TCP_KEEPCNT: 9,
        socket.TCP_USER_TIMEOUT: 20000,
    }


def test_connection_options_of_base_are_kept():
    databases = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "CONN_HEALTH_CHECKS": False,
            "OPTIONS": {**WAN_OPTIONS, "connect_timeout": 99, "keepalives": 0},
        }
    }
    pool = {
        **KEPT_ALIVE,
        "socket_timeout": 99,
        "protocol": 3,
        "client_info": True,
        "retries": 9,
    }
    options = {**KEPT_ALIVE, "visibility_timeout": 3600, "protocol": 3}

    assert settings(
        WAN,
        databases=databases,
        caches=cache_at("redis://redis:6379/1", **pool),
        transport_options=options,
        transport="a.module:Transport",
    ) == {
        "DATABASES": databases,
        "CACHES": cache_at(
            "redis://redis:6379/1", **pool, connection_class=TcpConnection
        ),
        "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        "CELERY_BROKER_TRANSPORT": "a.module:Transport",
    }


@pytest.mark.parametrize(
    ("caches", "connection_class"),
    [
        (cache_at("rediss://redis:6380/1"), TlsConnection),
        (cache_at(["rediss://a/1", "rediss://b/1"]), TlsConnection),
        ({"default": {"OPTIONS": {}}}, TcpConnection),
        (
            {
                "default": {
                    "OPTIONS": {"CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": "required"}}
                }
            },
            TlsConnection,
        ),
        (cache_at("redis://redis/1", connection_class=dict), dict),
        (cache_at("unix:///run/redis.sock?db=1"), None),
        (cache_at("rediss://redis/1", connection_class=TcpConnection), TlsConnection),
        (cache_at("redis://redis/1", connection_class=TlsConnection), TcpConnection),
        (cache_at("unix:///r.sock?db=1", connection_class=TcpConnection), None),
    ],
    ids=[
        *("rediss", "list", "no location", "TLS options", "own class", "socket"),
        *("of an earlier call", "with TLS by then", "over TCP by then"),
    ],
)
@pytest.mark.parametrize("env", [{}, WAN], ids=["lan", "wan"])
def test_connection_class_follows_the_cache_url(env, caches, connection_class):
    pool = pool_of(settings(env, caches=caches))

    assert pool.get("connection_class") == connection_class
    # Only our own classes know our own arguments.
    ours = connection_class in (TcpConnection, TlsConnection)
    assert ("retries" in pool) == (ours and env == WAN)


@pytest.mark.parametrize(
    "options",
    [
        {"CLIENT_CLASS": "django_redis.client.SentinelClient"},
        {"CONNECTION_FACTORY": "a.module.Factory"},
        {"CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool"},
    ],
    ids=["sentinel", "factory", "pool"],
)
def test_cache_with_own_connections_gets_timeouts_only(options):
    caches = {"default": {"LOCATION": "redis://redis/1", "OPTIONS": options}}

    assert pool_of(settings(WAN, caches=caches)) == KEPT_ALIVE


@pytest.mark.parametrize(
    "options",
    [
        {"CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool"},
        {"CONNECTION_POOL_KWARGS": {"connection_class": "redis.SSLConnection"}},
    ],
    ids=["pool", "connection"],
)
def test_own_classes_of_tls_connections_are_warned_about(options):
    pool = {**options.get("CONNECTION_POOL_KWARGS", {}), "ssl_ca_certs": "/ca"}
    cache = {
        "LOCATION": "rediss://redis/1",
        "OPTIONS": {**options, "CONNECTION_POOL_KWARGS": pool},
    }
    problems = []

    connection_settings(
        {
            "CACHES": {"default": cache, "ours": {**cache, "OPTIONS": {}}},
            "CELERY_BROKER_URL": "rediss://redis/0",
            "CELERY_BROKER_TRANSPORT": "redis",
        },
        {},
        problems=problems,
    )

    assert {(one.code, one.severity) for one in problems} == {
        ("redis-own-class-trust", "warning")
    }
    assert sorted(one.variable for one in problems) == [
        "CACHES.default",
        "CELERY_BROKER_TRANSPORT",
    ]


@pytest.mark.parametrize("env", [{}, WAN], ids=["lan", "wan"])
def test_further_database_waits_no_longer_than_the_default_one(env):
    databases = {
        "default": {},
        "replica": {"HOST": "replica", "OPTIONS": {"connect_timeout": 3}},
        "other": {"HOST": "other"},
        "mysql": {"ENGINE": "django.db.backends.mysql"},
    }

    found = settings(env, databases=databases)["DATABASES"]

    waits = {
        name: value
        for name, value in found["default"]["OPTIONS"].items()
        if name not in ("application_name", "options")
    }
    assert found["replica"]["OPTIONS"] == {**waits, "connect_timeout": 3}
    assert found["other"]["OPTIONS"] == waits
    assert found["mysql"] == databases["mysql"]


def test_cache_whose_sentinel_is_a_setting_gets_timeouts_only():
    found = connection_settings(
        {
            "CACHES": {"default": {"LOCATION": "redis://primary/1"}},
            "DJANGO_REDIS_CONNECTION_FACTORY": (
                "django_redis.pool.SentinelConnectionFactory"
            ),
        },
        WAN,
    )

    assert pool_of(found) == KEPT_ALIVE


@pytest.mark.parametrize(
    "cache",
    [
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "x",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
    ],
    ids=["memory", "django's own with options of django-redis"],
)
def test_cache_of_another_kind_is_not_changed(cache):
    assert settings(WAN, caches={"other": cache})["CACHES"] == {"other": cache}


def test_django_redis_backend_gets_flat_connection_options():
    cache = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://redis/2",
        "OPTIONS": {"db": 2, "socket_timeout": 3.0},
    }

    options = settings(caches={"sessions": cache})["CACHES"]["sessions"]["OPTIONS"]

    assert options.pop("connection_class")
    assert options == {"db": 2, "socket_timeout": 3.0, "socket_connect_timeout": 5.0}


def test_database_of_another_engine_is_not_changed():
    databases = {"default": {"ENGINE": "django.db.backends.mysql", "OPTIONS": {}}}

    assert settings(WAN, databases=databases)["DATABASES"] == databases


@pytest.mark.parametrize(
    ("url", "env", "transport", "options"),
    [
        ("redis://r/0", {}, None, BROKER_TIMEOUTS),
        ("redis://r/0", WAN, TRANSPORT, {**BROKER_KEPT_ALIVE, **QUIET}),
        ("rediss://r/0", {}, TRANSPORT, BROKER_TIMEOUTS),
        ("rediss://r/0", WAN, TRANSPORT, {**BROKER_KEPT_ALIVE, **QUIET}),
        ("sentinel://r/0", WAN, None, BROKER_KEPT_ALIVE),
        ("redis+socket:///run/redis.sock", WAN, None, BROKER_KEPT_ALIVE),
        ("amqps://r/0", WAN, None, None),
    ],
)
def test_broker_transport_follows_the_broker_url(url, env, transport, options):
    result = settings(env, broker_url=url)

    assert result.get("CELERY_BROKER_TRANSPORT") == transport
    assert result.get("CELERY_BROKER_TRANSPORT_OPTIONS") == options


@pytest.mark.parametrize(
    ("options", "zone", "expected"),
    [
        ({}, None, "-c TimeZone=UTC"),
        ({}, "Europe/Berlin", "-c TimeZone=Europe/Berlin"),
        ({"options": "-c work_mem=1MB"}, None, "-c work_mem=1MB -c TimeZone=UTC"),
        ({"options": "-c timezone=UTC"}, None, "-c timezone=UTC"),
        ({"options": ""}, None, ""),
        ({"options": 1}, None, "1 -c TimeZone=UTC"),
        ({}, "a b", None),
    ],
    ids=[
        "none",
        "its own zone",
        "others",
        "set already",
        "turned off",
        "a number",
        "unsayable",
    ],
)
def test_database_session_starts_in_time_zone_of_django(options, zone, expected):
    databases = {"default": {"TIME_ZONE": zone, "OPTIONS": options}}

    result = settings(WAN, databases=databases)

    assert result["DATABASES"]["default"]["OPTIONS"].get("options") == expected


@pytest.mark.parametrize(
    ("pooler", "expected"),
    [
        ("", {"options": "-c TimeZone=UTC", "DISABLE_SERVER_SIDE_CURSORS": None}),
        ("session", {"options": None, "DISABLE_SERVER_SIDE_CURSORS": None}),
        ("transaction", {"options": None, "DISABLE_SERVER_SIDE_CURSORS": True}),
    ],
)
def test_database_connections_suit_the_pooler(pooler, expected):
    default = settings({**WAN, "UNDERSTACK_DB_POOLER": pooler})["DATABASES"]["default"]

    assert {
        "options": default["OPTIONS"].get("options"),
        "DISABLE_SERVER_SIDE_CURSORS": default.get("DISABLE_SERVER_SIDE_CURSORS"),
    } == expected


def test_options_refused_by_pooler_are_warned_about():
    problems = []
    databases = {"default": {"OPTIONS": {"options": "-c work_mem=1MB"}}}

    settings(
        {"UNDERSTACK_DB_POOLER": "transaction"},
        databases=databases,
        problems=problems,
    )

    assert [(one.code, one.severity) for one in problems] == [
        ("db-pooler-options", "warning")
    ]


@pytest.mark.parametrize(
    ("bases", "line"),
    [
        (
            {"result_backend": "rediss://r/2"},
            "CELERY_RESULT_BACKEND: Celery's Redis result backend names its connection "
            "class itself, so it trusts the system's CAs beside the configured one. "
            "Keep Nautobot's own result backend, which is the database.",
        ),
        (
            {"broker_url": "rediss://a/0;rediss://b/0"},
            "CELERY_BROKER_URL: the URL lists several brokers, and kombu goes on with "
            "its own transport after the first, which trusts the system's CAs beside "
            "the configured one. Use one URL, with a host name that always leads to "
            "the active Redis.",
        ),
    ],
    ids=["result backend", "several brokers"],
)
def test_connection_that_also_trusts_system_cas_is_warned_about(bases, line):
    problems = []

    settings(**bases, problems=problems)

    assert [str(one) for one in problems] == [line]
    assert problems[0].severity == "warning"


def test_invalid_connection_timeout_is_refused():
    with pytest.raises(SettingsError) as refused:
        settings({"UNDERSTACK_DB_CONNECT_TIMEOUT": "soon"})

    assert sentences(refused.value) == (
        "UNDERSTACK_DB_CONNECT_TIMEOUT: the value is not a whole number. Use a whole "
        "number from 1 to 2147483 (seconds)."
    )


@pytest.mark.parametrize("server", ["DB", "REDIS"])
@pytest.mark.parametrize(
    ("name", "option", "most", "unit"),
    [
        ("KEEPALIVES_IDLE", socket.TCP_KEEPIDLE, 32767, " (seconds)"),
        ("KEEPALIVES_INTERVAL", socket.TCP_KEEPINTVL, 32767, " (seconds)"),
        ("KEEPALIVES_COUNT", socket.TCP_KEEPCNT, 127, ""),
    ],
)
def test_keepalive_beyond_what_linux_takes_is_refused(server, name, option, most, unit):
    variable = f"UNDERSTACK_{server}_{name}"

    settings({**WAN, variable: str(most)})
    with pytest.raises(SettingsError) as refused:
        settings({**WAN, variable: str(most + 1)})

    assert sentences(refused.value) == (
        f"{variable}: '{most + 1}' is out of range. Use a whole number from 1 to "
        f"{most}{unit}."
    )
    with socket.socket() as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, option, most)
        with pytest.raises(OSError, match="Invalid argument"):
            tcp.setsockopt(socket.IPPROTO_TCP, option, most + 1)


@pytest.mark.parametrize(
    "variable",
    [
        "UNDERSTACK_DB_CONNECT_TIMEOUT",
        "UNDERSTACK_REDIS_CONNECT_TIMEOUT",
        "UNDERSTACK_REDIS_SOCKET_TIMEOUT",
        "UNDERSTACK_BROKER_SOCKET_TIMEOUT",
    ],
)
def test_timeout_of_more_milliseconds_than_a_c_int_holds_is_refused(variable):
    with pytest.raises(SettingsError) as refused:
        settings({variable: "2147484"})

    assert "to 2147483 (seconds)." in sentences(refused.value)


@pytest.mark.parametrize("kept", [True, "x", [1], iter([1])])
def test_keepalive_options_of_the_file_that_are_no_dict_are_replaced(kept):
    result = settings(WAN, transport_options={"socket_keepalive_options": kept})

    assert (
        result["CELERY_BROKER_TRANSPORT_OPTIONS"]["socket_keepalive_options"]
        == (KEEPALIVE["socket_keepalive_options"])
    )


def test_partition_of_the_file_that_cannot_be_encoded_raises_nothing_else():
    with pytest.raises(SettingsError):
        configure({"UNDERSTACK_PARTITION": "\udc80", "DATABASES": DATABASES}, WAN)


@given(
    profile=st.sampled_from(["", "lan", "wan"]),
    broker=st.none() | st.text(),
    pool=st.dictionaries(st.text(), st.integers()),
)
def test_connection_settings_never_change_their_base(profile, broker, pool):
    bases = {
        "DATABASES": {"default": {"OPTIONS": dict(pool)}},
        "CACHES": {"default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": dict(pool)}}},
        "CELERY_BROKER_URL": broker,
        "CELERY_BROKER_TRANSPORT_OPTIONS": dict(pool),
    }
    before = copy.deepcopy(bases)

    env = {"UNDERSTACK_CONNECTION_PROFILE": profile}
    connection_settings(bases, env, problems=[])

    assert bases == before


def test_connection_settings_without_base_are_the_defaults():
    result = connection_settings({}, env={})

    assert result == {
        "DATABASES": {"default": {"OPTIONS": {"connect_timeout": 10}}},
        "CACHES": {
            "default": {
                "OPTIONS": {
                    "CONNECTION_POOL_KWARGS": {
                        **TIMEOUTS,
                        "connection_class": TcpConnection,
                    }
                }
            }
        },
        "CELERY_BROKER_TRANSPORT_OPTIONS": BROKER_TIMEOUTS,
    }
