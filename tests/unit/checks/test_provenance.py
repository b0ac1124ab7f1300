import pytest

from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.checks.provenance import dotted
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.checks.provenance import values
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.checks.start_up import CONFIGURE_LOGGING
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.evaluation import evaluate

KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}
OPTIONS = "DATABASES.default.OPTIONS"
POOL = "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS"


def sources(env, **options):
    provenance = settings_provenance({**KEY, **env}, **options)
    return {dotted(trail): origin for trail, origin in provenance.sources.items()}


@pytest.mark.parametrize(
    ("env", "setting", "origin"),
    [
        ({}, "SECRET_KEY", "variable NAUTOBOT_SECRET_KEY"),
        ({}, "DATABASES.default.HOST", "base"),
        (
            {"NAUTOBOT_DB_HOST": "db"},
            "DATABASES.default.HOST",
            "variable NAUTOBOT_DB_HOST",
        ),
        ({}, f"{OPTIONS}.connect_timeout", "default"),
        (
            {"UNDERSTACK_DB_CONNECT_TIMEOUT": "3"},
            f"{OPTIONS}.connect_timeout",
            "variable UNDERSTACK_DB_CONNECT_TIMEOUT",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "require"},
            f"{OPTIONS}.sslmode",
            "variable NAUTOBOT_DB_SSLMODE",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslsni": 1}'},
            f"{OPTIONS}.sslsni",
            "variable NAUTOBOT_DB_EXTRA_OPTIONS",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslsni": 1}'},
            f"{OPTIONS}.connect_timeout",
            "default",
        ),
        (
            {
                "NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslmode": "disable"}',
                "NAUTOBOT_DB_SSLMODE": "require",
            },
            f"{OPTIONS}.sslmode",
            "variable NAUTOBOT_DB_SSLMODE",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"connect_timeout": 7}'},
            f"{OPTIONS}.connect_timeout",
            "variable NAUTOBOT_DB_EXTRA_OPTIONS",
        ),
        (
            {
                "NAUTOBOT_DB_EXTRA_OPTIONS": '{"application_name": "mine"}',
                "UNDERSTACK_CONNECTION_PROFILE": "wan",
                "UNDERSTACK_ROLE": "worker",
            },
            f"{OPTIONS}.application_name",
            "variable NAUTOBOT_DB_EXTRA_OPTIONS",
        ),
        (
            {
                "UNDERSTACK_CONNECTION_PROFILE": "wan",
                "UNDERSTACK_ROLE": "worker",
            },
            f"{OPTIONS}.application_name",
            "variable UNDERSTACK_ROLE",
        ),
        (
            {"NAUTOBOT_REDIS_HOST": "redis", "NAUTOBOT_REDIS_PORT": "6380"},
            "CACHES.default.LOCATION",
            "variable NAUTOBOT_REDIS_HOST, NAUTOBOT_REDIS_PORT",
        ),
        (
            {"NAUTOBOT_REDIS_PASSWORD": "p"},
            f"{POOL}.password",
            "variable NAUTOBOT_REDIS_PASSWORD",
        ),
        (
            {"NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"a": {"b.c": 1}}}'},
            'PLUGINS_CONFIG.p.a["b.c"]',
            "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG",
        ),
        ({"UNDERSTACK_SITE": "dfw"}, "UNDERSTACK_SITE", "variable UNDERSTACK_SITE"),
        ({}, "UNDERSTACK_SITE", "default"),
    ],
)
def test_setting_has_its_source(env, setting, origin):
    assert sources(env)[setting] == origin


def test_setting_read_from_file_names_the_file_as_source(tmp_path):
    for name, content in {
        "issuer": "https://sso.example.org",
        "client-secret": "s",
        "password": "p",
        "plugins": '{"p": {"a": 1}}',
    }.items():
        (tmp_path / name).write_text(content)

    found = sources(
        {
            "UNDERSTACK_SSO_DIR": str(tmp_path),
            "NAUTOBOT_DB_PASSWORD_FILE": f"{tmp_path}/password",
            "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": f"{tmp_path}/plugins",
        }
    )

    assert found["DATABASES.default.PASSWORD"] == "file NAUTOBOT_DB_PASSWORD_FILE"
    assert found["SOCIAL_AUTH_OIDC_SECRET"] == f"file {tmp_path}/client-secret"
    assert found["SOCIAL_AUTH_OIDC_KEY"] == "default"
    assert found["PLUGINS_CONFIG.p.a"] == "file NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE"


def test_unreadable_plugin_file_is_reported_and_gives_no_values():
    found = settings_provenance(
        {**KEY, "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": "/nowhere"}
    )

    assert found.given == {}
    assert [one.code for one in found.problems] == ["plugin-config-file-unreadable"]


def test_plugin_configuration_given_twice_is_reported_and_gives_no_values(tmp_path):
    path = tmp_path / "plugins"
    path.write_text('{"p": {"a": 1}}')
    env = {
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"a": 2}}',
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": str(path),
    }

    found = settings_provenance({**KEY, **env})

    assert found.given == {}
    assert [one.code for one in found.problems] == ["file-and-value"]


def test_value_of_given_base_has_source_base():
    base = {"PLUGINS_CONFIG": {"p": {"mine": 1, "more": {"a": 1}}}, "PLUGINS": ["p"]}

    found = sources(
        {"NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"theirs": 2, "more": {}}}'},
        namespace=base,
    )

    assert found["PLUGINS_CONFIG.p.mine"] == "base"
    assert found["PLUGINS_CONFIG.p.more.a"] == "base"
    assert found["PLUGINS_CONFIG.p.theirs"] == "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG"


def test_options_of_other_aliases_have_the_source_of_the_default_ones():
    env = {
        "NAUTOBOT_DB_SSLMODE": "require",
        "NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslsni": 1}',
        "NAUTOBOT_REDIS_SSL": "true",
        "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME": "false",
        "UNDERSTACK_REDIS_SOCKET_TIMEOUT": "3",
    }
    sessions = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "rediss://localhost/2",
    }
    base = {
        "DATABASES": {"default": {}, "replica": {"OPTIONS": {"sslcert": "/c"}}},
        "CACHES": {
            "more": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": sessions["LOCATION"],
            },
            "sessions": sessions,
        },
    }

    found = sources(env, namespace=base)

    replica, pool = "DATABASES.replica", "CACHES.more.OPTIONS.CONNECTION_POOL_KWARGS"
    assert found[f"{replica}.OPTIONS.sslmode"] == "variable NAUTOBOT_DB_SSLMODE"
    assert found[f"{replica}.OPTIONS.sslsni"] == "variable NAUTOBOT_DB_EXTRA_OPTIONS"
    assert found[f"{replica}.OPTIONS.sslcert"] == "base"
    assert found["CACHES.more.LOCATION"] == "base"
    for place in (pool, "CACHES.sessions.OPTIONS"):
        assert found[f"{place}.ssl_check_hostname"] == (
            "variable NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME"
        )
        assert found[f"{place}.ssl_cert_reqs"] == "default"
        assert found[f"{place}.socket_timeout"] == (
            "variable UNDERSTACK_REDIS_SOCKET_TIMEOUT"
        )


@pytest.mark.parametrize(
    ("set_", "deciding"),
    [("REDIS", "REDIS"), ("BROKER", "BROKER"), ("REDIS BROKER", "BROKER")],
)
def test_broker_timeout_has_the_variable_that_decides_it_as_source(set_, deciding):
    env = {f"UNDERSTACK_{one}_SOCKET_TIMEOUT": "9" for one in set_.split()}

    found = sources({**KEY, **env})

    assert found["CELERY_BROKER_TRANSPORT_OPTIONS.socket_timeout"] == (
        f"variable UNDERSTACK_{deciding}_SOCKET_TIMEOUT"
    )


def test_expanded_reference_has_the_plugin_configuration_as_source():
    env = {
        "UNDERSTACK_DEFAULT_PLUGINS": "off",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"token": "${TOKEN}"}}',
        "TOKEN": "c4n4ry",
    }

    assert sources(env)["PLUGINS_CONFIG.p.token"] == (
        "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG"
    )


def test_every_variable_has_its_source():
    env = {
        **KEY,
        "NAUTOBOT_DB_PASSWORD_FILE": "/run/secrets/db",
        "NAUTOBOT_DB_SSLMODE_FILE": "/no/such/variable",
    }

    found = settings_provenance(env).variables

    assert found == {one.name: source(one, env) for one in VARIABLES}
    assert found["NAUTOBOT_SECRET_KEY"] == "variable"
    assert found["NAUTOBOT_DB_PASSWORD"] == "file"
    assert found["NAUTOBOT_DB_SSLMODE"] == "default"


def test_text_of_references_is_kept_unexpanded():
    text = '{"p": {"token": "${TOKEN}", "more": [{"a": "$<B>"}]}}'
    env = {**KEY, "NAUTOBOT_EXTRA_PLUGINS_CONFIG": text, "TOKEN": "t", "B": "b"}

    assert settings_provenance(env).given == {
        ("PLUGINS_CONFIG", "p", "token"): "${TOKEN}",
        ("PLUGINS_CONFIG", "p", "more"): [{"a": "$<B>"}],
    }


def test_values_are_listed_in_order_and_to_a_bounded_depth():
    nested = inner = {}
    for _ in range(DEEPEST + 10):
        inner["a"] = inner = {}
    inner["a"] = 1

    assert list(values({"b": {"d": 1, "c": {}}, "a": [1]})) == [
        (("b", "d"), 1),
        (("b", "c"), {}),
        (("a",), [1]),
    ]
    ((trail, _),) = values(nested)
    assert len(trail) == DEEPEST


@pytest.mark.parametrize(
    ("trail", "text"),
    [
        (("A", "b", "c-d"), "A.b.c-d"),
        (("A", "b.c", "d"), 'A["b.c"].d'),
        (("A", 'b"\\'), 'A["b\\"\\\\"]'),
    ],
)
def test_setting_path_is_written_as_one_word(trail, text):
    assert dotted(trail) == text


def test_port_written_by_kubernetes_is_reported_as_service_link():
    env = {**KEY, "NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379"}

    assert [one.code for one in settings_provenance(env).problems] == ["service-link"]


def sources_of_file(said, env, added=None):
    """Return the sources where a file says this, and Nautobot adds that."""
    env = {**KEY, **env}
    base = {**base_settings(env), "MESSAGE_TAGS": {40: "danger"}}
    written = {**base, **said}
    made = evaluate(written, env, check_files=lambda files: []).settings
    decided = decided_settings(written, made, env)
    written |= made
    databases = written["DATABASES"]
    # As Nautobot does after the file.
    copy = {**databases["default"], "TEST": {"MIRROR": "default"}}
    settings = {
        **written,
        "DATABASES": {**databases, "job_logs": copy},
        **(added or {}),
    }
    file = SettingsFile("c.py", settings, base, decided, [], written)
    return sources(env, file=file)


BUILT = "variable NAUTOBOT_REDIS_HOST"
MTLS = {"NAUTOBOT_REDIS_HOST": "redis", "UNDERSTACK_REDIS_MTLS": "on"}
REFERENCE = {
    "NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"login": "${SECRET|json}"}}',
    "SECRET": '{"user": "me"}',
}


@pytest.mark.parametrize(
    ("said", "env", "setting", "origin"),
    [
        ({"CELERY_BROKER_URL": "redis://own/0"}, MTLS, "CELERY_BROKER_URL", "file"),
        ({"CELERY_BROKER_URL": "redis://redis:6379/7"}, MTLS, "CELERY_BROKER_URL", ""),
        ({}, MTLS, "CELERY_BROKER_URL", BUILT),
        ({}, MTLS, "CACHES.default.LOCATION", BUILT),
        (
            {"CELERY_RESULT_BACKEND": "redis://redis:6379/2"},
            MTLS,
            "CELERY_RESULT_BACKEND",
            "file",
        ),
        (
            {},
            {**MTLS, "NAUTOBOT_CELERY_BROKER_URL": "redis://own/0"},
            "CELERY_BROKER_URL",
            "variable NAUTOBOT_CELERY_BROKER_URL",
        ),
        ({"SECRET_KEY": "k" * 60}, {"NAUTOBOT_SECRET_KEY": ""}, "SECRET_KEY", "file"),
        (
            {"AUTHENTICATION_BACKENDS": ("x.Backend",)},
            {},
            "AUTHENTICATION_BACKENDS",
            "file",
        ),
        ({}, {}, 'MESSAGE_TAGS["40"]', "base"),
        (
            {},
            {"UNDERSTACK_CONNECTION_PROFILE": "wan"},
            'CELERY_BROKER_TRANSPORT_OPTIONS.socket_keepalive_options["4"]',
            "default",
        ),
        ({"LOGGING_CONFIG": CONFIGURE_LOGGING}, {}, "LOGGING_CONFIG", "default"),
        ({"LOGGING_CONFIG": "my.function"}, {}, "LOGGING_CONFIG", "file"),
        (
            {},
            {"NAUTOBOT_DB_HOST": "db"},
            "DATABASES.default.HOST",
            "variable NAUTOBOT_DB_HOST",
        ),
        (
            {},
            {"NAUTOBOT_DB_SSLMODE": "require"},
            "DATABASES.job_logs.OPTIONS.sslmode",
            "variable NAUTOBOT_DB_SSLMODE",
        ),
        ({}, {}, "DATABASES.job_logs.TEST.MIRROR", "base"),
        (
            {},
            {
                "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://id.example",
                "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
            },
            "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",
            "variable SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",
        ),
        (
            {},
            REFERENCE,
            "PLUGINS_CONFIG.p.login",
            "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG",
        ),
    ],
    ids=[
        "broker elsewhere",
        "other database",
        "broker of variables",
        "cache of variables",
        "results",
        "broker of its variable",
        "secret key",
        "tuple",
        "number for a name",
        "option of a socket",
        "logging",
        "logging of the file",
        "host of its variable",
        "copy of the database",
        "test of the copy",
        "URL of no Redis",
        "JSON of a reference",
    ],
)
def test_source_of_value_in_settings_file_is_who_decided_it(said, env, setting, origin):
    file = {"file": "file c.py", "": BUILT}.get(origin, origin)

    assert sources_of_file(said, env)[setting] == file


@pytest.mark.parametrize(
    ("said", "origin"),
    [({}, "base"), ({"INSTALLED_APPS": ["mine"]}, "file c.py")],
    ids=["nothing by the file", "list begun by the file"],
)
def test_source_of_what_nautobot_adds_to_a_file_is_base(said, origin):
    added = {
        "INSTALLED_APPS": [*said.get("INSTALLED_APPS", ()), "app.of.a.plugin"],
        "PLUGINS_CONFIG": {"plugin": {"limit": 7}},
    }

    found = sources_of_file(said, {"UNDERSTACK_DEFAULT_PLUGINS": "off"}, added)

    assert found["INSTALLED_APPS"] == origin
    assert found["PLUGINS_CONFIG.plugin.limit"] == "base"


def test_source_of_broker_url_with_its_own_variable_names_no_other():
    env = {"NAUTOBOT_REDIS_HOST": "redis", "NAUTOBOT_CELERY_BROKER_URL": "redis://b/0"}

    found = sources(env)

    name = "variable NAUTOBOT_CELERY_BROKER_URL"
    assert found["CELERY_BROKER_URL"] == name
    assert found["CACHES.default.LOCATION"] == BUILT


def test_problems_of_files_are_left_out_where_none_is_mounted():
    env = {
        **KEY,
        "NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "UNDERSTACK_REDIS_MTLS": "on",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": "/nowhere",
    }

    found = settings_provenance(env, with_files=False)

    assert [one.code for one in found.problems] == ["service-link"]
