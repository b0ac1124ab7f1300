"""Lines below the call: lost TLS is refused, other replaced values are warned of."""

import copy
import json

import pytest

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.checks.in_force import check_in_force
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.evaluation import evaluate

CANARY = "c4n4ry"
ENV = {
    "NAUTOBOT_SECRET_KEY": CANARY * 10,
    "NAUTOBOT_DB_SSLMODE": "verify-full",
    "NAUTOBOT_DB_PASSWORD": CANARY,
    "NAUTOBOT_REDIS_HOST": "redis",
    "NAUTOBOT_REDIS_PASSWORD": CANARY,
    "UNDERSTACK_REDIS_MTLS": "on",
    "UNDERSTACK_PARTITION": "dfw3",
    "NAUTOBOT_EXTRA_PLUGINS": "json",
}
KEY = {"NAUTOBOT_SECRET_KEY": CANARY * 10}
CACHE = {"BACKEND": "django_redis.cache.RedisCache"}
MOVE = "Move the call of configure to the end of the settings file."
OFF = " For a Redis without TLS set UNDERSTACK_REDIS_MTLS=off."


def configured(env=ENV, above=lambda settings: None):
    """Return the settings as `configure` leaves them, and what it decided."""
    base = base_settings(env)
    above(base)
    found = evaluate(base, env, check_files=lambda files: []).settings
    return {**base, **found}, decided_settings(base, found, env)


def pool(settings):
    return settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]


def undone(change, env=ENV):
    """Return the problems after a change that stands below the call."""
    settings, decided = configured(env)
    settings = copy.deepcopy(settings)
    change(settings)
    return check_in_force(settings, decided)


def test_settings_without_changes_are_in_force():
    settings, decided = configured()

    assert check_in_force(settings, decided) == []


def test_second_call_keeps_what_the_first_one_decided():
    """A file may take over the names of another one, and both call `configure`."""
    settings, first = configured()
    again = evaluate(settings, ENV, check_files=lambda files: []).settings

    assert decided_settings(settings, again, ENV, first) == first
    changed = {**settings, "UNDERSTACK_PARTITION": "ord1"}
    assert decided_settings(changed, {}, ENV, first).others.keys() == (
        first.others.keys() - {("UNDERSTACK_PARTITION",)}
    )


def test_settings_added_by_nautobot_are_not_reported_as_replaced():
    def change(settings):
        engine = "django_prometheus.db.backends.postgresql"
        settings["DATABASES"]["default"]["ENGINE"] = engine
        settings["DATABASES"]["job_logs"] = settings["DATABASES"]["default"]
        settings["PLUGINS"] = [*settings["PLUGINS"], "another"]
        settings["PLUGINS_CONFIG"]["json"] = {"by": "the plugin"}

    assert undone(change) == []


WAYS = {
    "options replaced": (
        lambda s: s["DATABASES"]["default"].update(OPTIONS={}),
        "DATABASES.default",
    ),
    "options removed": (
        lambda s: s["DATABASES"]["default"].pop("OPTIONS"),
        "DATABASES.default",
    ),
    "weaker sslmode": (
        lambda s: s["DATABASES"]["default"]["OPTIONS"].update(sslmode="prefer"),
        "DATABASES.default",
    ),
    "requiressl": (
        lambda s: s["DATABASES"]["default"]["OPTIONS"].update(requiressl=0),
        "DATABASES.default",
    ),
    "service": (
        lambda s: s["DATABASES"]["default"]["OPTIONS"].update(service="plain"),
        "DATABASES.default",
    ),
    "Unix socket": (
        lambda s: s["DATABASES"]["default"].update(HOST="/run/postgresql"),
        "DATABASES.default",
    ),
    "no host": (
        lambda s: s["DATABASES"]["default"].update(HOST=""),
        "DATABASES.default",
    ),
    "databases assigned": (
        lambda s: s.update(DATABASES={"default": {"HOST": "db"}}),
        "DATABASES.default",
    ),
    "databases of another type": (
        lambda s: s.update(DATABASES=None),
        "DATABASES.default",
    ),
    "other engine": (
        lambda s: s["DATABASES"]["default"].update(ENGINE="django.db.backends.sqlite3"),
        "DATABASES.default",
    ),
    "Nautobot's settings imported again": (
        lambda s: s.update(base_settings(ENV)),
        "DATABASES.default",
    ),
    "caches assigned": (
        lambda s: s.update(CACHES={"default": {**CACHE, "LOCATION": "redis://redis"}}),
        "CACHES.default",
    ),
    "plain location": (
        lambda s: s["CACHES"]["default"].update(LOCATION="redis://redis:6379/1"),
        "CACHES.default",
    ),
    "list with a plain location": (
        lambda s: s["CACHES"]["default"].update(
            LOCATION=["rediss://redis:6379/1", "redis://redis:6379/1"]
        ),
        "CACHES.default",
    ),
    "option in the location": (
        lambda s: s["CACHES"]["default"].update(
            LOCATION="rediss://redis:6379/1?ssl_cert_reqs=none"
        ),
        "CACHES.default",
    ),
    "pool arguments removed": (
        lambda s: s["CACHES"]["default"]["OPTIONS"].pop("CONNECTION_POOL_KWARGS"),
        "CACHES.default",
    ),
    "connection class removed": (
        lambda s: pool(s).pop("connection_class"),
        "CACHES.default",
    ),
    "verification off": (
        lambda s: pool(s).update(ssl_cert_reqs=None),
        "CACHES.default",
    ),
    "pool class": (
        lambda s: s["CACHES"]["default"]["OPTIONS"].update(CONNECTION_POOL_CLASS="x.P"),
        "CACHES.default",
    ),
    "connection factory": (
        lambda s: s.update(DJANGO_REDIS_CONNECTION_FACTORY="x.Factory"),
        "CACHES.default",
    ),
    "plain broker": (
        lambda s: s.update(CELERY_BROKER_URL="redis://redis:6379/0"),
        "CELERY_BROKER_URL",
    ),
    "broker without TLS options": (
        lambda s: s.update(CELERY_BROKER_USE_SSL=None),
        "CELERY_BROKER_URL",
    ),
    "other transport": (
        lambda s: s.update(CELERY_BROKER_TRANSPORT="redis"),
        "CELERY_BROKER_URL",
    ),
    "URL to read from": (
        lambda s: s.update(CELERY_BROKER_READ_URL="redis://redis:6379/0"),
        "CELERY_BROKER_URL",
    ),
    "further cache in the same Redis": (
        lambda s: s["CACHES"].update(
            sessions={**CACHE, "LOCATION": "redis://redis:6379/2"}
        ),
        "CACHES.sessions",
    ),
}


@pytest.mark.parametrize(("change", "setting"), WAYS.values(), ids=list(WAYS))
def test_tls_replaced_below_configure_is_an_error_with_remedy(change, setting):
    problems = undone(change)

    errors = [problem for problem in problems if problem.severity == "error"]
    assert setting in {problem.variable for problem in errors}
    assert {problem.code for problem in errors} == {"tls-not-in-force"}
    for problem in errors:
        redis = not problem.variable.startswith("DATABASES")
        assert problem.hint == (MOVE + OFF if redis else MOVE)
    assert CANARY not in repr(problems)


DATABASE = {"ENGINE": "django.db.backends.postgresql", "HOST": "db"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda s: s["DATABASES"]["default"]["OPTIONS"].update(sslcertmode="allow"),
            "DATABASES.default: a line below the call of configure added sslcertmode "
            f"to the TLS that NAUTOBOT_DB_SSLMODE decided. {MOVE}",
        ),
        (
            lambda s: pool(s).update(ssl_ciphers="ALL"),
            "CACHES.default: a line below the call of configure added ssl_ciphers to "
            f"the TLS that NAUTOBOT_REDIS_SSL_CA_CERTS decided. {MOVE}{OFF}",
        ),
        (
            lambda s: s["DATABASES"].update(reports=DATABASE),
            "DATABASES.reports: a line below the call of configure added it, and it "
            "protects its connection to a server less than others do. " + MOVE,
        ),
        (
            lambda s: s["DATABASES"].update(reports={**DATABASE, "HOST": "elsewhere"}),
            "DATABASES.reports: a line below the call of configure added it, and it "
            "has no sslmode, while others have one. " + MOVE,
        ),
    ],
    ids=[
        "libpq parameter",
        "argument of redis-py",
        "database on the same server",
        "database elsewhere",
    ],
)
def test_value_added_below_configure_that_affects_tls_is_an_error(change, line):
    env = {**ENV, "NAUTOBOT_DB_HOST": "db"}

    (problem,) = undone(change, env)

    assert str(problem) == line


@pytest.mark.parametrize(
    ("above", "change", "setting", "asked"),
    [
        (
            {"NAUTOBOT_REDIS_SSL": "true"},
            lambda s: pool(s).pop("ssl_cert_reqs"),
            "CACHES.default",
            "NAUTOBOT_REDIS_SSL",
        ),
        (
            {"NAUTOBOT_CELERY_BROKER_URL": "rediss://redis/0"},
            lambda s: s.pop("CELERY_BROKER_USE_SSL"),
            "CELERY_BROKER_URL",
            "NAUTOBOT_CELERY_BROKER_URL",
        ),
        (
            {
                "NAUTOBOT_CELERY_BROKER_URL": "rediss://redis/0",
                "NAUTOBOT_REDIS_SSL": "true",
            },
            lambda s: pool(s).pop("ssl_cert_reqs"),
            "CACHES.default",
            "NAUTOBOT_REDIS_SSL",
        ),
        (
            lambda s: s["CACHES"]["default"].update(LOCATION="rediss://redis/1"),
            lambda s: pool(s).pop("ssl_cert_reqs"),
            "CACHES.default",
            "a line above the call",
        ),
        (
            lambda s: s["DATABASES"]["default"].update(OPTIONS={"sslmode": "require"}),
            lambda s: s["DATABASES"]["default"].update(OPTIONS={}),
            "DATABASES.default",
            "a line above the call",
        ),
    ],
    ids=[
        *("Redis variable", "broker variable", "Redis variable beside broker's"),
        *("Redis in file", "database in file"),
    ],
)
def test_lost_tls_names_who_asked_for_it(above, change, setting, asked):
    """Without the remedy that switches Redis mTLS off, which is not on."""
    by_file = callable(above)
    env = {**KEY, **({} if by_file else above)}
    settings, decided = configured(env, above if by_file else lambda settings: None)
    settings = copy.deepcopy(settings)
    change(settings)

    (problem,) = check_in_force(settings, decided, env)

    assert problem.variable == setting
    assert problem.message.endswith(f", and with it the TLS that {asked} decided.")
    assert problem.hint == MOVE


def test_plain_connection_replaced_below_configure_is_a_warning():
    """Nothing that was decided with sslmode disable is TLS."""
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "disable"}

    (problem,) = undone(lambda s: s["DATABASES"]["default"].update(OPTIONS={}), env)

    assert str(problem) == (
        "DATABASES: a line below the call of configure replaced "
        f"default.OPTIONS.sslmode and default.OPTIONS.connect_timeout. {MOVE}"
    )


@pytest.mark.parametrize("below", [{"DEBUG": True}, {"ALLOWED_HOSTS": ["*"]}])
def test_what_hardening_refuses_is_an_error_below_the_call_as_well(below):
    """In the environment that the call was given, whatever that of the process is."""
    env = {**KEY, "UNDERSTACK_HARDENING": "on", "NAUTOBOT_ALLOWED_HOSTS": "n.example"}
    settings, decided = configured(env)

    (problem,) = check_in_force({**settings, **below}, decided, {})

    assert (problem.variable, problem.severity) == ("UNDERSTACK_HARDENING", "error")
    assert f"Remove {next(iter(below))} from the settings file" in problem.hint
    assert check_in_force({**settings, **below}, configured(KEY)[1], env) == []


def test_cache_url_of_tls_with_the_class_for_plain_connections_is_refused():
    """The client would send its password in plain text, to a port of TLS."""
    settings, decided = configured(KEY)
    settings["CACHES"]["default"]["LOCATION"] = "rediss://redis/1"

    (problem,) = check_in_force(settings, decided, {})
    assert str(problem) == (
        "CACHES.default: a line below the call of configure gave it rediss:// and left "
        f"the class of its connections, which was for redis://. {MOVE}"
    )
    assert connection_modes(settings)[1][:2] == ("cache", "off")


def test_lost_broker_tls_is_not_reported_for_its_options_as_well():
    change = {"CELERY_BROKER_USE_SSL": None, "CELERY_REDIS_BACKEND_USE_SSL": None}

    (problem,) = undone(lambda s: s.update(change))

    assert problem.variable == "CELERY_BROKER_URL"


def test_call_above_the_import_of_nautobots_settings_is_refused():
    """Though no variable asks for TLS of the database, which would be refused too."""
    env = {**ENV, "NAUTOBOT_DB_SSLMODE": "disable"}
    settings, decided = configured(env, above=lambda settings: settings.clear())
    settings.update(base_settings(env))

    problems = check_in_force(settings, decided)

    lost = [one.variable for one in problems if one.code == "tls-not-in-force"]
    assert lost == ["CACHES.default", "CELERY_BROKER_URL"]


def test_plain_connection_defined_above_configure_is_not_reported():
    """To the same servers, as the file says itself."""

    def above(settings):
        plain = {**settings["DATABASES"]["default"], "OPTIONS": {"sslmode": "disable"}}
        settings["DATABASES"]["reports"] = plain
        settings["CACHES"]["more"] = {**CACHE, "LOCATION": "redis://redis:6380/2"}

    env = {**ENV, "UNDERSTACK_REDIS_MTLS": "off", "NAUTOBOT_REDIS_SSL": "true"}
    settings, decided = configured(env, above)

    assert settings["CACHES"]["default"]["LOCATION"].startswith("rediss://redis:")
    assert settings["CACHES"]["more"]["LOCATION"].startswith("redis://redis:")
    assert check_in_force(settings, decided, {}) == []


def test_added_database_with_own_sslmode_or_beside_plain_one_is_not_reported():
    other = {**DATABASE, "HOST": "elsewhere", "OPTIONS": {"sslmode": "disable"}}
    plain = {**ENV, "NAUTOBOT_DB_HOST": "db", "NAUTOBOT_DB_SSLMODE": "disable"}

    mysql = {**DATABASE, "HOST": "db", "ENGINE": "django.db.backends.mysql"}
    env = {**ENV, "NAUTOBOT_DB_HOST": "db"}

    assert undone(lambda s: s["DATABASES"].update(reports=other)) == []
    assert undone(lambda s: s["DATABASES"].update(reports=mysql), env) == []
    assert undone(lambda s: s["DATABASES"].update(reports=DATABASE), plain) == []


@pytest.mark.parametrize(
    ("name", "value"), [("PGSSLCERTMODE", "disable"), ("PGSERVICE", "plain")]
)
def test_libpq_variable_set_below_configure_against_tls_is_an_error(name, value):
    settings, decided = configured()

    (problem,) = check_in_force(settings, decided, {name: value})

    assert str(problem) == (
        f"{name}: a line below the call of configure set this variable, and libpq "
        "takes it in place of its settings. Remove the line."
    )


@pytest.mark.parametrize(
    ("host", "code"),
    [("redis", "tls-not-in-force"), ("elsewhere", "redis-left-alone")],
)
def test_cache_added_below_configure_that_verifies_nobody_is_reported(host, code):
    cache = {
        **CACHE,
        "LOCATION": f"rediss://{host}:6379/3",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": None}},
    }

    (problem,) = undone(lambda s: s["CACHES"].update(more=cache))

    assert (problem.variable, problem.code) == ("CACHES.more", code)
    if host == "redis":
        env = {**ENV, "NAUTOBOT_REDIS_SSL_CERT_REQS": "none"}
        (problem,) = undone(lambda s: s["CACHES"].update(more=cache), env)
        assert problem.code == "redis-left-alone"


def test_celery_url_variable_set_below_configure_is_an_error():
    settings, decided = configured()

    (problem,) = check_in_force(
        settings, decided, {"CELERY_BROKER_URL": f"redis://:{CANARY}@redis"}
    )

    assert str(problem) == (
        "CELERY_BROKER_URL: a line below the call of configure set this variable, and "
        "Celery takes it in place of its settings. Remove the line."
    )


def test_database_tls_replaced_below_configure_gives_one_problem():
    (problem,) = undone(lambda s: s["DATABASES"]["default"].update(OPTIONS={}))

    assert str(problem) == (
        "DATABASES.default: a line below the call of configure replaced "
        "sslmode, sslcert, sslkey and sslrootcert, and with it the TLS that "
        "NAUTOBOT_DB_SSLMODE decided. Move the call of configure to the end of the "
        "settings file."
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, "replaced ENGINE, and with it"),
        ({"HOST": ""}, "replaced HOST, and with it"),
    ],
)
def test_replaced_engine_or_host_is_named(change, what):
    env = {**ENV, "NAUTOBOT_DB_HOST": "db"}

    (problem,) = undone(lambda s: s["DATABASES"]["default"].update(change), env)

    assert problem.message == (
        f"a line below the call of configure {what} the TLS that NAUTOBOT_DB_SSLMODE "
        "decided."
    )


@pytest.mark.parametrize("name", ["requiressl", "service", "sslcrl"])
def test_libpq_parameter_that_is_none_changes_nothing(name):
    """The drivers leave it out."""

    def change(settings):
        settings["DATABASES"]["default"]["OPTIONS"][name] = None

    assert undone(change) == []


def test_added_cache_without_tls_beside_redis_without_tls_is_not_reported():
    env = {**ENV, "UNDERSTACK_REDIS_MTLS": "off"}
    other = {**CACHE, "LOCATION": "redis://elsewhere:6379/2"}

    assert undone(lambda s: s["CACHES"].update(other=other), env) == []


def event_broker(host):
    return {"redis": {"OPTIONS": {"url": f"redis://:{CANARY}@{host}:6379/2"}}}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            lambda s: s.update(UNDERSTACK_PARTITION="ord1"),
            ["UNDERSTACK_PARTITION: a line below the call of configure replaced it."],
        ),
        (
            lambda s: s.update(SECRET_KEY="of the file"),
            ["SECRET_KEY: a line below the call of configure replaced it."],
        ),
        (
            lambda s: s.update(PLUGINS=["mine"]),
            ["PLUGINS: a line below the call of configure replaced it."],
        ),
        (
            lambda s: s["CELERY_BROKER_TRANSPORT_OPTIONS"].clear(),
            [
                "CELERY_BROKER_TRANSPORT_OPTIONS: a line below the call of configure "
                "replaced socket_connect_timeout and socket_timeout."
            ],
        ),
        (
            lambda s: s["CACHES"].update(
                other={**CACHE, "LOCATION": "redis://elsewhere:6379/2"}
            ),
            [
                "CACHES.other: a line below the call of configure added it, so it "
                "keeps its scheme and gets no client certificate."
            ],
        ),
        (
            lambda s: s.update(EVENT_BROKERS=event_broker("redis")),
            [
                "EVENT_BROKERS.redis: a line below the call of configure added it, and "
                "its URL reaches the same Redis without TLS."
            ],
        ),
        (lambda s: s.update(EVENT_BROKERS=event_broker("elsewhere")), []),
    ],
    ids=[
        "partition",
        "secret key",
        "plugins",
        "timeouts",
        "cache elsewhere",
        "event broker",
        "event broker elsewhere",
    ],
)
def test_value_without_tls_replaced_below_configure_is_one_warning(change, lines):
    problems = undone(change)

    facts = [f"{one.variable}: {one.message}" for one in problems]
    assert facts == lines
    assert all(one.hint for one in problems)
    assert {problem.severity for problem in problems} <= {"warning"}


def test_replaced_plugin_configuration_names_nothing_of_a_secret_variable():
    """`${SECRET|json}` gives names as well as values."""
    config = {"json": {"login": {"by": "${SECRET|json}"}, "limit": 7}}
    env = {
        **ENV,
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps(config),
        "SECRET": json.dumps({CANARY: 1, "other": {CANARY: 2}}),
    }

    (problem,) = undone(lambda s: s.update(PLUGINS_CONFIG={}), env)

    assert problem.message == (
        "a line below the call of configure replaced json.login and json.limit."
    )


class Translation:
    """A text that cannot be shown before Django has loaded the apps."""

    def __repr__(self):
        raise RuntimeError


def test_tuple_of_file_beside_a_decided_value_is_not_decided():
    """It is not looked at, and nothing is said of a line that replaces it."""
    titles = {"json": {"titles": (Translation(), {"a": 1}), "list": [Translation()]}}
    env = {**ENV, "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"json": {"limit": 7}}'}
    settings, decided = configured(env, lambda s: s.update(PLUGINS_CONFIG=titles))
    settings["PLUGINS_CONFIG"] = {}

    (problem,) = check_in_force(settings, decided)

    assert problem.message == (
        "a line below the call of configure replaced json.limit."
    )


@pytest.mark.parametrize(
    ("extra", "replaced"), [("json", ["PLUGINS"]), ("", [])], ids=["added to", "kept"]
)
def test_list_made_of_a_tuple_is_decided_where_something_was_added(extra, replaced):
    env = {**KEY, "NAUTOBOT_EXTRA_PLUGINS": extra}
    settings, decided = configured(env, lambda s: s.update(PLUGINS=("mine",)))

    problems = check_in_force({**settings, "PLUGINS": []}, decided, env)

    assert [problem.variable for problem in problems] == replaced


def test_value_replaced_below_configure_by_a_translation_is_one_warning():
    env = {**ENV, "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"json": {"title": "a"}}'}

    (problem,) = undone(
        lambda s: s["PLUGINS_CONFIG"]["json"].update(title=Translation()), env
    )

    assert problem.message == (
        "a line below the call of configure replaced json.title."
    )


def test_replaced_option_of_a_socket_is_named_by_its_number():
    def change(settings):
        settings["CELERY_BROKER_TRANSPORT_OPTIONS"]["socket_keepalive_options"] = {}

    (problem,) = undone(change, {**ENV, "UNDERSTACK_CONNECTION_PROFILE": "wan"})

    assert "replaced socket_keepalive_options." in problem.message
    assert problem.severity == "warning"


def test_host_replaced_below_configure_of_database_without_tls_is_not_reported():
    plain = {**ENV, "NAUTOBOT_DB_HOST": "db", "NAUTOBOT_DB_SSLMODE": "disable"}

    assert undone(lambda s: s["DATABASES"]["default"].update(HOST="b"), plain) == []


def test_recorded_decisions_hold_no_secret():
    _, decided = configured()

    assert CANARY not in repr(decided)


def test_replaced_database_without_tls_is_a_warning():
    env = {"NAUTOBOT_SECRET_KEY": CANARY * 10}

    (problem,) = undone(lambda s: s.update(DATABASES={"default": {}}), env)

    assert problem.severity == "warning"
    assert problem.variable == "DATABASES"


def test_connection_modes_name_other_databases_and_caches_by_alias():
    settings, _ = configured()
    settings = copy.deepcopy(settings)
    settings["DATABASES"]["replica"] = {"OPTIONS": {"sslmode": "disable"}}
    settings["DATABASES"]["reports"] = {
        "OPTIONS": {
            "sslmode": "verify-ca",
            "sslcert": "/m/tls.crt",
            "sslcertmode": "disable",
        }
    }
    settings["DATABASES"]["old"] = {"OPTIONS": {"sslmode": "prefer"}}
    settings["CACHES"]["other"] = {**CACHE, "LOCATION": "redis://elsewhere/0"}
    settings["CACHES"]["valkey"] = {
        "BACKEND": "django_valkey.cache.ValkeyCache",
        "LOCATION": "valkey://elsewhere/0",
    }
    settings["CACHES"]["memory"] = {"BACKEND": "django.core.cache.backends.locmem"}

    assert [tuple(mode) for mode in connection_modes(settings)] == [
        ("database", "mutual", "verify-full"),
        ("cache", "mutual", "required"),
        ("broker", "mutual", "required"),
        ("database replica", "off", "none"),
        ("database reports", "server", "verify-ca"),
        ("database old", "unset", "none"),
        ("cache other", "off", "none"),
        ("cache valkey", "off", "none"),
    ]


@pytest.mark.parametrize(
    ("url", "options", "mode"),
    [
        ("sentinel://redis:26379", {"ssl_cert_reqs": None}, ("server", "none")),
        ("sentinel://redis:26379", {"ssl_certfile": "/c"}, ("mutual", "default")),
        ("amqp://rabbit", {"ca_certs": "/own/ca.crt"}, ("server", "default")),
        ("amqp://rabbit", True, ("server", "default")),
        # kombu looks for options alone.
        ("redis://redis", True, ("off", "none")),
        ("rediss://redis", True, ("off", "none")),
        ("redis+socket:///run/redis.sock", True, ("off", "none")),
        ("redis://redis", {}, ("off", "none")),
        ("rediss://redis", {}, ("server", "default")),
        ("rediss://redis;redis://other", {}, ("off", "none")),
    ],
)
def test_connection_mode_of_broker_follows_its_tls_options(url, options, mode):
    """As kombu does, whatever the URL begins with."""
    broker = {"CELERY_BROKER_URL": url, "CELERY_BROKER_USE_SSL": options}

    assert tuple(connection_modes(broker)[-1]) == ("broker", *mode)


@pytest.mark.parametrize(
    ("arguments", "verify"),
    [
        ({"ssl": True, "ssl_cert_reqs": "required"}, "required"),
        ({"ssl": True}, "default"),
    ],
)
def test_connection_mode_of_cache_behind_sentinel_follows_its_tls_options(
    arguments, verify
):
    options = {"CONNECTION_POOL_KWARGS": arguments}
    cache = {**CACHE, "LOCATION": "redis://service/1", "OPTIONS": options}

    modes = connection_modes({"CACHES": {"default": cache}})

    assert ("cache", "server", verify) in map(tuple, modes)


class DeprecatedSettings:
    """Settings that may be listed, and not read."""

    USE_L10N = property(lambda self: pytest.fail("read"))
    PARTITION = "dfw3"

    def is_overridden(self, name):
        return True


def test_settings_in_force_are_read_only_when_asked_for():
    """Django warns of a deprecated one as it is read."""
    settings = SettingsInForce(DeprecatedSettings())

    assert (set(settings), settings["PARTITION"]) == ({"PARTITION", "USE_L10N"}, "dfw3")
