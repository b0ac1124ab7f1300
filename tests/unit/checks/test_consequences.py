"""One variable that cannot be read is one problem, whatever else hangs on it.

What else is told is true whatever the variable should have said: it is also told for
each value that the variable takes.
"""

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from tests.examples import FULL
from understack_nautobot_settings.checks.codes import DB_SSLMODE_UNSET
from understack_nautobot_settings.checks.codes import NAUTOBOT_VALUE_INVALID
from understack_nautobot_settings.checks.codes import SERVICE_LINK
from understack_nautobot_settings.checks.codes import TLS_NOT_IN_FORCE
from understack_nautobot_settings.checks.consequences import without_consequences
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.codes import VALUE_INVALID
from understack_nautobot_settings.environment.kinds import Choice
from understack_nautobot_settings.environment.kinds import Flag
from understack_nautobot_settings.environment.kinds import FreeText
from understack_nautobot_settings.environment.kinds import HostNames
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.kinds import Number
from understack_nautobot_settings.environment.kinds import Path
from understack_nautobot_settings.evaluation import evaluate

SOUND = {
    "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
    "NAUTOBOT_DB_HOST": "db.example.org",
    "NAUTOBOT_DB_USER": "app",
    "NAUTOBOT_DB_SSLMODE": "verify-full",
    "NAUTOBOT_REDIS_HOST": "redis.example.org",
    "UNDERSTACK_PARTITION": "dfw3",
    "CELERY_TASK_QUEUES": "dfw3",
    "UNDERSTACK_DEFAULT_PLUGINS": "off",
}
SITUATIONS = {
    "sound user": {},
    "site worker": {
        "UNDERSTACK_ROLE": "site-worker",
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
        "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
        "UNDERSTACK_DB_KEEPALIVES_IDLE": "60",
        "UNDERSTACK_JOB_RESULT_RETRIES": "9",
    },
    "site worker of nothing": {
        "UNDERSTACK_ROLE": "site-worker",
        "NAUTOBOT_DB_HOST": "",
        "NAUTOBOT_REDIS_HOST": "",
        "NAUTOBOT_DB_SSLMODE": "",
        "CELERY_TASK_QUEUES": "",
    },
    "hardened": {
        "UNDERSTACK_HARDENING": "on",
        "UNDERSTACK_HSTS_SECONDS": "60",
        "UNDERSTACK_ROLE": "web",
        "NAUTOBOT_DEBUG": "true",
        "NAUTOBOT_ALLOWED_HOSTS": "*",
        "NAUTOBOT_METRICS_ENABLED": "true",
        "UNDERSTACK_APP": "on",
        "UNDERSTACK_EXPIRY_UNHEALTHY": "3",
        "UNDERSTACK_LOG_FORMAT": "json",
    },
    "another user": {"NAUTOBOT_DB_USER": "other"},
    "no user": {"NAUTOBOT_DB_USER": ""},
    "gone mount": {
        variable.name: f"/nowhere/{variable.name}"
        for variable in (*variables.DB_FILES.values(), *variables.REDIS_FILES.values())
    },
    "plain": {
        "NAUTOBOT_DB_SSLMODE": "disable",
        "UNDERSTACK_REDIS_MTLS": "off",
    },
    "unverified": {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none"},
    "other engine": {"NAUTOBOT_DB_ENGINE": "django.db.backends.mysql"},
    "further parameters": {
        "NAUTOBOT_DB_EXTRA_OPTIONS": '{"connect_timeout": 5, "options": "-c a=b"}',
        "UNDERSTACK_DB_CONNECT_TIMEOUT": "4",
        "UNDERSTACK_DB_POOLER": "transaction",
    },
    "plugins": {
        "NAUTOBOT_EXTRA_PLUGINS": "nowhere_to_be_found",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"nowhere_to_be_found": {"a": "${UNSET}"}}',
    },
    "half of single sign-on": {"SOCIAL_AUTH_OIDC_SECRET": "s3cret"},
    "single sign-on": {
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org",
    },
    "sentinel": {"NAUTOBOT_CELERY_BROKER_URL": "sentinel://redis:26379/0"},
    "broker elsewhere": {"NAUTOBOT_CELERY_BROKER_URL": "redis://other:6379/0"},
}
if not FULL:
    # Each reads certificates a thousand times; "sound user" does so on every Python.
    del SITUATIONS["another user"], SITUATIONS["no user"]
# A free text may be anything. Of the others one is not looked at, and one is by
# `probe worker` alone.
DECLARED = [
    variable
    for variable in variables.VARIABLES
    if not isinstance(variable.kind, FreeText)
    and variable
    not in {
        variables.TASK_ACKS_LATE,
        variables.CELERY_WORKER_HEARTBEAT_FILE,
    }
]


def values(variable, sound):
    """Return a wrong text, and texts that are right."""
    kind = variable.kind
    if isinstance(kind, Choice):
        return "wrogn", [*kind.words]
    if isinstance(kind, Flag):
        return "wrogn", ["true", "false"]
    if isinstance(kind, Number):
        return "wrogn", [f"{kind.least:g}", f"{kind.most:.10g}"]
    if variable is variables.DB_PORT:
        return "wrogn", ["5432"]
    if isinstance(kind, HostNames):
        return "a,b", ["a b"]
    if isinstance(kind, JsonObject):
        return "{", ["{}"]
    sound = sound or ("/quoted" if isinstance(kind, Path) else "quoted")
    return f"'{sound}'", [sound]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    """The variables that name sound files."""
    authority = Authority()
    directory = tmp_path_factory.mktemp("mtls")
    mount = write_mount(directory, authority.client(), authority.ca_pem)
    return {
        **mount.database_variables,
        "NAUTOBOT_REDIS_SSL_CERTFILE": mount.certificate,
        "NAUTOBOT_REDIS_SSL_KEYFILE": mount.key,
        "NAUTOBOT_REDIS_SSL_CA_CERTS": mount.ca,
    }


def checked(env):
    return set(inspect_environment(env).problems)


def configured(env):
    return set(evaluate(base_settings(env), env, libpq=lambda: 170005).problems)


def told(judge, env, variable):
    """Return what is told of a variable, and what else is told because of it."""
    wrong, right = values(variable, env.get(variable.name, ""))
    found = judge({**env, variable.name: wrong})
    own = {one for one in found if one.variable == variable.name}
    others = found - own
    if others:
        anyway = [judge({**env, variable.name: value}) for value in right]
        others -= set.intersection(*anyway)
    return own, others


@pytest.mark.parametrize("judge", [checked, configured], ids=["check", "configure"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_invalid_variable_gives_exactly_one_problem(judge, situation, mounted):
    env = {**SOUND, **(mounted if "user" in situation else {}), **SITUATIONS[situation]}
    wrong = {}
    for variable in DECLARED:
        own, others = told(judge, env, variable)
        if len(own) > 1 or others:
            wrong[variable.name] = sorted(map(str, {*own, *others}))

    assert wrong == {}


@pytest.mark.parametrize("variable", DECLARED, ids=lambda one: one.name)
def test_invalid_variable_is_reported_in_some_situation(variable):
    told_in = [
        situation
        for situation, changed in SITUATIONS.items()
        if told(checked, {**SOUND, **changed}, variable)[0]
    ]

    assert told_in


def test_invalid_plugin_name_gives_no_problem_about_its_configuration():
    env = {
        **SOUND,
        "NAUTOBOT_EXTRA_PLUGINS": "nautobot-ssot,nowhere",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"nautobot_ssot": {}}',
        "NAUTOBOT_DB_SSLMODE": "disable",
    }

    assert {one.code for one in checked(env)} == {
        "plugin-name-invalid",
        "plugin-skipped",
    }


@pytest.mark.parametrize(
    "variable", [one for one in variables.VARIABLES if one.by_file], ids=str
)
def test_unreadable_secret_file_gives_exactly_one_problem(variable):
    env = {**SOUND, "NAUTOBOT_DB_SSLMODE": "disable", variable.name: ""}
    env[variable.file_name] = "/nowhere/secret"

    assert {one.variable for one in checked(env)} == {variable.file_name}
    assert {one.variable for one in configured(env)} == {variable.file_name}


@pytest.mark.parametrize("judge", [checked, configured], ids=["check", "configure"])
@pytest.mark.parametrize(
    ("name", "text", "meant"),
    [
        (
            "NAUTOBOT_DB_ENGINE",
            "django.db.backends.postgres",
            "a database backend. Did you mean django.db.backends.postgresql?",
        ),
        (
            "NAUTOBOT_DB_ENGINE",
            "postgres",
            "a database backend. Did you mean django.db.backends.postgresql?",
        ),
        (
            "NAUTOBOT_DB_ENGINE",
            "postgresql",
            "a database backend. Did you mean django.db.backends.postgresql?",
        ),
        (
            "NAUTOBOT_CACHES_BACKEND",
            "django_redis.cache.RediCache",
            "a cache backend. Did you mean django_redis.cache.RedisCache?",
        ),
    ],
    ids=["engine", "engine without its package", "last word of an engine", "cache"],
)
def test_misspelt_backend_is_the_only_problem(judge, name, text, meant, mounted):
    """Nothing that makes TLS is to be unset because of it."""
    errors = {
        str(one)
        for one in judge({**SOUND, **mounted, name: text})
        if one.severity == "error"
    }

    assert errors == {f"{name}: '{text}' is unknown, and nearly the name of {meant}"}


@pytest.mark.parametrize(
    "name",
    [
        "django_prometheus.db.backends.postgresql",
        "django.db.backends.mysql",
        "django.contrib.gis.db.backends.postgis",
        "django.db.backends.sqlite3",
        "django.db.backends.oracle",
        "django_prometheus.cache.backends.redis.NativeRedisCache",
        "django.core.cache.backends.locmem.LocMemCache",
        "django_valkey.cache.ValkeyCache",
        *("my_postgresql", "postgresql2", "mysql2", "django_cockroachdb"),
    ],
)
def test_backend_of_somebody_else_is_taken(name):
    for variable in (variables.DB_ENGINE, variables.CACHES_BACKEND):
        assert variable.kind.parse(name) == name


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"NAUTOBOT_DB_SSLMODE": "prefer"}, "value-invalid"),
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-ca", "NAUTOBOT_DB_SSLROOTCERT": "system"},
            "db-system-trust",
        ),
    ],
    ids=["opportunistic", "system"],
)
def test_refused_mode_is_the_only_problem(env, code, mounted):
    assert [one.code for one in checked({**SOUND, **mounted, **env})] == [code]


def test_negotiation_without_tls_is_the_only_problem(mounted):
    env = {**SOUND, **mounted, "NAUTOBOT_DB_SSLNEGOTIATION": "direct"}
    del env["NAUTOBOT_DB_SSLMODE"]

    assert [one.code for one in checked(env) if one.variable[:11] == "NAUTOBOT_DB"] == [
        "db-sslnegotiation-mode"
    ]


def test_server_name_switched_off_by_libpq_variable_is_told_once():
    env = {
        **SOUND,
        "NAUTOBOT_DB_SSLMODE": "require",
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
        "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
        "PGSSLSNI": "0",
    }

    assert [str(one) for one in checked(env) if one.variable == "PGSSLSNI"] == [
        "PGSSLSNI: sslsni=0 keeps the host name out of the TLS hello. Remove it: the "
        "gateway routes by that name."
    ]
    assert {one.code for one in checked({**env, "PGSSLSNI": "1"})} >= {"libpq-variable"}


def test_database_that_lost_its_tls_below_the_call_is_told_once():
    lost = TLS_NOT_IN_FORCE.problem("DATABASES.default", "lost.", "")
    unset = DB_SSLMODE_UNSET.problem("NAUTOBOT_DB_SSLMODE", "unset.", "")

    assert without_consequences([lost, unset]) == [lost]
    assert without_consequences([unset]) == [unset]


def test_value_that_stops_nautobot_is_reported_once():
    problems = [
        SERVICE_LINK.problem("A", "a.", ""),
        VALUE_INVALID.problem("A", "not a number.", ""),
        VALUE_INVALID.problem("B", "not a number.", ""),
        NAUTOBOT_VALUE_INVALID.problem("C", "c.", ""),
        NAUTOBOT_VALUE_INVALID.problem("C", "c.", ""),
    ]

    assert [str(one) for one in without_consequences(problems)] == [
        "A: a.",
        "B: not a number.",
        "C: c.",
    ]
