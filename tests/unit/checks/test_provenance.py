import pytest

from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.checks.provenance import dotted
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.checks.provenance import values
from understack_nautobot_settings.environment.reader import source
from understack_nautobot_settings.environment.variables import VARIABLES

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
def test_a_setting_tells_where_it_comes_from(env, setting, origin):
    assert sources(env)[setting] == origin


def test_files_are_sources_as_well(tmp_path):
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


def test_an_unreadable_file_of_plugin_configuration_gives_nothing():
    found = settings_provenance(
        {**KEY, "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": "/nowhere"}
    )

    assert found.given == {}
    assert [one.code for one in found.problems] == ["plugin-config-file-unreadable"]


def test_a_base_of_ones_own_is_told_from_defaults():
    base = {"PLUGINS_CONFIG": {"p": {"mine": 1}}, "PLUGINS": ["p"]}

    found = sources(
        {"NAUTOBOT_EXTRA_PLUGINS_CONFIG": '{"p": {"theirs": 2}}'}, namespace=base
    )

    assert found["PLUGINS_CONFIG.p.mine"] == "base"
    assert found["PLUGINS_CONFIG.p.theirs"] == "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG"


def test_every_variable_tells_where_it_comes_from():
    env = {**KEY, "NAUTOBOT_DB_PASSWORD_FILE": "/run/secrets/db"}

    found = settings_provenance(env).variables

    assert found == {one.name: source(one, env) for one in VARIABLES}
    assert found["NAUTOBOT_SECRET_KEY"] == "variable"
    assert found["NAUTOBOT_DB_PASSWORD"] == "file"
    assert found["NAUTOBOT_DB_SSLMODE"] == "default"


def test_the_text_of_references_is_kept_as_given():
    text = '{"p": {"token": "${TOKEN}", "more": [{"a": "$<B>"}]}}'
    env = {**KEY, "NAUTOBOT_EXTRA_PLUGINS_CONFIG": text, "TOKEN": "t", "B": "b"}

    assert settings_provenance(env).given == {
        ("PLUGINS_CONFIG", "p", "token"): "${TOKEN}",
        ("PLUGINS_CONFIG", "p", "more"): [{"a": "$<B>"}],
    }


def test_values_come_in_order_and_end_somewhere():
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
def test_a_trail_is_one_word(trail, text):
    assert dotted(trail) == text


def test_a_port_that_kubernetes_wrote_is_told_as_such():
    env = {**KEY, "NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379"}

    assert [one.code for one in settings_provenance(env).problems] == ["service-link"]
