import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.commands.command import as_json
from understack_nautobot_settings.commands.masking import Masking
from understack_nautobot_settings.commands.masking import known_secrets
from understack_nautobot_settings.commands.show import shown
from understack_nautobot_settings.commands.show import shown_text
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.fragments import plugins

KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}
TABLE = Terminal(table=True, width=60, symbols=True)


def settings_shown(env, **options):
    env = {**KEY, **env}
    return shown(settings_provenance(env, **options), env).settings


def plugin(config, **env):
    text = json.dumps({"p": config})
    found = settings_shown({"NAUTOBOT_EXTRA_PLUGINS_CONFIG": text, **env})
    return found["PLUGINS_CONFIG"]["p"]


def test_declared_secret_is_masked():
    found = settings_shown(
        {
            "NAUTOBOT_DB_PASSWORD": "of the database",
            "NAUTOBOT_REDIS_PASSWORD": "of Redis",
            "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org/realms/main",
            "SOCIAL_AUTH_OIDC_SECRET": "of sign-on",
        }
    )

    assert found["SECRET_KEY"] == "***"
    assert found["DATABASES"]["default"]["PASSWORD"] == "***"
    pool = found["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert pool["password"] == "***"
    assert found["CELERY_BROKER_URL"] == "redis://***@localhost:6379/0"
    assert found["SOCIAL_AUTH_OIDC_SECRET"] == "***"
    assert found["SOCIAL_AUTH_OIDC_KEY"] == "nautobot"
    assert (
        found["SOCIAL_AUTH_OIDC_OIDC_ENDPOINT"] == "https://sso.example.org/realms/main"
    )


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("rediss://:s3cret@redis:6379/0", "rediss://***@redis:6379/0"),
        ("rediss://u:s/3#c@r?et@redis:6379/0", "rediss://***@redis:6379/0"),
        (
            "unix:///run/redis.sock?virtual_host=2",
            "unix:///run/redis.sock?virtual_host=2",
        ),
        ("redis://redis?password=s3cret", "redis://redis?password=***"),
        ("redis://redis?db=1&s3cret", "redis://redis?db=1&***"),
        ("redis://redis?db=1!s3cret", "redis://redis?db=***"),
        ("redis://redis?s3-cret=1", "redis://redis?***"),
        ("amqps://u:s3cret@broker//", "amqps://***@broker//"),
        ("sentinel://:s@a:1;sentinel://:s@b:2", "sentinel://***@b:2"),
        ("redis://a/0;s3cret", "***"),
        ("s3cret", "***"),
        ("redis://:s3cret", "***"),
        ("redis://redis:s3cret/0", "***"),
        ("rediss://[fd00::1]:6379/0", "rediss://[fd00::1]:6379/0"),
        ("s3cret://redis", "***"),
        ("redis://redis/AbCdEfGhIjKlMnOp0123", "***"),
        ("redis://redis.example/AbCdEfGhIjKlMnOp0123", "***"),
    ],
)
def test_credentials_in_a_url_are_masked(url, shown_as):
    found = settings_shown({"NAUTOBOT_CELERY_BROKER_URL": url})

    assert found["CELERY_BROKER_URL"] == shown_as


def test_credentials_in_list_of_urls_are_masked():
    caches = {"default": {"LOCATION": ["redis://:s3cret@a/1", "redis://:s3cret@b/1"]}}

    found = settings_shown({}, namespace={"CACHES": caches})

    assert found["CACHES"]["default"]["LOCATION"] == [
        "redis://***@a/1",
        "redis://***@b/1",
    ]


@pytest.mark.parametrize("location", ["redis:/:s3cret@a/1", "u:s3cret@127.0.0.1:11211"])
def test_credentials_in_a_location_without_scheme_are_masked(location):
    caches = {"c": {"LOCATION": [location, "127.0.0.1:11211"]}}

    found = settings_shown({}, namespace={"CACHES": caches})

    assert found["CACHES"]["c"]["LOCATION"] == ["***", "127.0.0.1:11211"]


@pytest.mark.parametrize(
    ("location", "shown_as"),
    [
        ("user:s3cret@cache:11211", "***"),
        ("cache:11211", "cache:11211"),
        ("/run/redis.sock", "/run/redis.sock"),
        ("unix://:s3cret@/run/redis.sock?db=1", "unix://***@/run/redis.sock?db=1"),
    ],
)
def test_location_of_a_cache_without_scheme_shows_no_credentials(location, shown_as):
    caches = {"default": {"BACKEND": "x.Memcached", "LOCATION": location}}

    found = settings_shown({}, namespace={"CACHES": caches})

    assert found["CACHES"]["default"]["LOCATION"] == shown_as


def test_known_secret_in_a_url_or_number_is_masked():
    masking = Masking({}, frozenset({"correcthorse", "12345678"}))

    found = {"CELERY_BROKER_URL": "redis://correcthorse/0", "LIMIT": 12345678}
    assert masking.masked(found) == {"CELERY_BROKER_URL": "***", "LIMIT": "***"}


def test_known_secrets_are_those_of_variables_and_settings():
    """Also where no setting takes the variable, and as they are without blanks."""
    env = {"SOCIAL_AUTH_OIDC_SECRET": "of sign-on\n", "NAUTOBOT_DB_PASSWORD": "abc"}
    env["NAUTOBOT_EXTRA_PLUGINS_CONFIG"] = '{"p": {}}'

    assert known_secrets(env, {"SECRET_KEY": "1234"}) == {"of sign-on", "1234"}


@pytest.mark.parametrize(
    "settings",
    [
        {"OF_THE_FILE": "s3cret"},
        {"BRANDING_TITLE": {"a": "s3cret"}},
        {"DATABASES": {"replica": {"PASSWORD": ["s3cret", 7777]}}},
    ],
    ids=["unknown setting", "below a harmless one", "password of a replica"],
)
def test_text_that_nothing_declares_harmless_is_masked(settings):
    text = json.dumps(Masking({}).masked(settings))

    assert "***" in text
    assert "s3cret" not in text
    assert "7777" not in text


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [("UTC", "UTC"), ("-----BEGIN PRIVATE KEY-----", "***"), ("aB1" * 7, "***")],
)
def test_text_of_a_harmless_setting_is_shown_unless_it_looks_like_a_secret(
    text, shown_as
):
    assert Masking({}).masked({"TIME_ZONE": text}) == {"TIME_ZONE": shown_as}


def test_user_of_a_further_cache_is_shown_and_its_password_is_not():
    pool = {"username": "app", "password": "s3cret"}
    caches = {"more": {"OPTIONS": {"CONNECTION_POOL_KWARGS": pool}}}

    found = Masking({}).masked({"CACHES": caches})["CACHES"]["more"]["OPTIONS"]

    assert found == {"CONNECTION_POOL_KWARGS": {"username": "app", "password": "***"}}


def test_secret_that_looks_like_a_url_is_masked_whole():
    assert settings_shown({"NAUTOBOT_SECRET_KEY": "s3cret://"})["SECRET_KEY"] == "***"


HARMLESS = {"n": 1, "width": 0.15, "use_auth": True, "off": False, "none": None}


def test_plugin_configuration_shows_numbers_and_booleans():
    config = {**HARMLESS, "empty": "", "list": [1, True], "nested": {"size": 3}}

    assert plugin(config) == config


NAMES = [
    *("snmp_community", "psk", "bearer", "sshkey", "password", "apiKey", "a", "url"),
    *("mapping", "keyboard", "db_pass", "dsn", "pin", "webhook", "user", "community"),
    *("x", "HTTP_PROXY", "cert", "login", "seed", "otp", "connection", "headers"),
]


@pytest.mark.parametrize("name", NAMES)
def test_text_in_plugin_configuration_is_masked_under_any_name(name):
    assert plugin({name: "c4n4ry"}) == {name: "***"}
    assert plugin({"a": {name: ["c4n4ry"]}}) == {"a": {name: ["***"]}}
    assert plugin({name: {"a": "c4n4ry"}}) == {name: {"a": "***"}}


@given(
    config=st.recursive(
        st.text().map(lambda text: f"c4n4ry{text}") | st.integers() | st.booleans(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_plugin_configuration_never_shows_text(config):
    assert "c4n4ry" not in json.dumps(plugin({"a": config}))


@pytest.mark.parametrize("name", ["db_pass", "apiKey", "pin", "snmp_community"])
def test_number_with_a_secretive_name_is_masked(name):
    assert plugin({name: 1234}) == {name: "***"}


@pytest.mark.parametrize(
    "value", [12345678, [12345678], {12345678}, {"a": 12345678}, 0.5]
)
@pytest.mark.parametrize("name", ["EMAIL_HOST_PASSWORD", "SNMP_COMMUNITY", "TOTP"])
def test_number_of_a_setting_with_a_secretive_name_is_masked(name, value):
    shown = Masking({}).masked({name: value})

    assert "***" in str(shown)
    assert not re.search("[0-9]", str(shown))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("${S}", id="whole"),
        pytest.param("x${S:-d}y", id="in a text"),
        pytest.param("${S|json}", id="cast to JSON"),
        pytest.param("${S|int}", id="cast to a number"),
        pytest.param("${S|bool}", id="cast to a truth value"),
        pytest.param("${EMPTY:-}", id="empty"),
        pytest.param(["$<S>", "x"], id="in a list"),
        pytest.param([{"b": "${S|int}"}], id="in an object of a list"),
    ],
)
def test_plugin_value_with_reference_is_masked_whole(value):
    assert plugin({"a": value}, S="1", EMPTY="") == {"a": "***"}


@pytest.mark.parametrize("text", ["inf", "-inf"])
def test_infinite_number_is_shown_as_text(text):
    base = {"PLUGINS": ["p"], "PLUGINS_CONFIG": {"p": {"a": float(text)}}}

    assert settings_shown({}, namespace=base)["PLUGINS_CONFIG"]["p"] == {"a": text}


def test_default_of_a_plugin_is_shown():
    namespace = {
        "PLUGINS": ["nautobot_plugin_nornir"],
        "PLUGINS_CONFIG": plugins.DEFAULTS,
    }
    found = settings_shown({}, namespace=namespace)

    nornir = found["PLUGINS_CONFIG"]["nautobot_plugin_nornir"]["nornir_settings"]
    assert nornir["credentials"].endswith("CredentialsNautobotSecrets")


def test_value_nested_too_deep_is_masked():
    config = innermost = {}
    for _ in range(DEEPEST):
        innermost["a"] = innermost = {}
    innermost.update(a="${S}", b=7777)
    lists = 7777
    for _ in range(DEEPEST * 2):
        lists = [lists]

    text = json.dumps(plugin({"deep": config, "lists": lists}, S="s3cret"))

    assert "s3cret" not in text
    assert "7777" not in text
    assert "***" in text


def test_object_is_shown_by_its_class_name():
    class Retry:
        def __repr__(self):
            return "s3cret"

    base = {
        "PLUGINS": ["p"],
        "PLUGINS_CONFIG": {
            "p": {"a": Retry(), "b": Retry, "c": len, "d": {2, 1}, "e": (1, 2)}
        },
    }

    found = settings_shown({}, namespace=base)["PLUGINS_CONFIG"]["p"]

    here = f"{__name__}.{test_object_is_shown_by_its_class_name.__name__}"
    assert found == {
        "a": f"<{here}.<locals>.Retry>",
        "b": f"{here}.<locals>.Retry",
        "c": "<builtins.len>",
        "d": ["1", "2"],
        "e": [1, 2],
    }


secrets = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1
).map(lambda text: f"c4n4ry{text}")


@given(secret=secrets, extra=st.text(st.characters(exclude_categories=["Cs"])))
def test_secret_with_any_text_is_never_shown(secret, extra):
    env = {
        "NAUTOBOT_SECRET_KEY": secret,
        "NAUTOBOT_DB_PASSWORD": secret,
        "NAUTOBOT_REDIS_PASSWORD": secret,
        "NAUTOBOT_REDIS_USERNAME": secret,
        "NAUTOBOT_CELERY_BROKER_URL": f"redis://{extra}:{secret}@host/0",
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org",
        "SOCIAL_AUTH_OIDC_SECRET": secret,
        "PLUGIN": secret,
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps(
            {"p": {"a": "${PLUGIN}", "password": secret, "c": f"{extra}${{PLUGIN}}"}}
        ),
    }

    show = shown(settings_provenance(env), env)

    for text in (as_json(show), shown_text(show, Terminal()), shown_text(show, TABLE)):
        assert "c4n4ry" not in text


# --- the fingerprint -----------------------------------------------------------


def fingerprint(**env):
    env = {**KEY, **env}
    return shown(settings_provenance(env), env).fingerprint


def test_fingerprint_differs_with_settings_and_not_with_secrets():
    ours = fingerprint(NAUTOBOT_DB_PASSWORD="one")

    assert len(ours) == 16
    assert int(ours, 16)
    assert ours == fingerprint(NAUTOBOT_DB_PASSWORD="two")
    one, two = (fingerprint(NAUTOBOT_DB_USER=f"pass word {n}") for n in (1, 2))
    assert one == two
    assert ours != fingerprint()
    assert ours != fingerprint(NAUTOBOT_DB_PASSWORD="one", NAUTOBOT_DB_HOST="db")
    assert ours != fingerprint(
        NAUTOBOT_DB_PASSWORD="one", UNDERSTACK_EXPIRY_WARNING="10"
    )


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
)
def test_fingerprint_is_the_same_whatever_the_secret(secret):
    ours, theirs = (
        fingerprint(
            NAUTOBOT_DB_PASSWORD=text,
            NAUTOBOT_DB_HOST="localhost",
            S=text,
            NAUTOBOT_EXTRA_PLUGINS_CONFIG='{"p": {"a": "${S}", "b": ["x${S}"]}}',
        )
        for text in (f"{secret}!", "localhost")
    )

    assert ours == theirs


def test_fingerprint_with_explicit_default_is_the_same():
    assert fingerprint() == fingerprint(UNDERSTACK_EXPIRY_WARNING="30")


TOKEN_KEY = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"


def test_secret_in_key_of_dict_is_masked():
    env = {"NAUTOBOT_REDIS_PASSWORD": "correcthorse"}
    config = {"correcthorse": {"a": 1}, "in": [{"correcthorse": 2}], TOKEN_KEY: {}}
    text = json.dumps({"p": config})
    env = {**KEY, **env, "NAUTOBOT_EXTRA_PLUGINS_CONFIG": text}

    found = shown(settings_provenance(env), env)

    assert found.settings["PLUGINS_CONFIG"]["p"] == {
        "***": {"a": 1},
        "in": [{"***": 2}],
        "****": {},
    }
    assert "correcthorse" not in shown_text(found, Terminal())
    assert not [name for name in found.sources if "correcthorse" in name]
    assert not [name for name in found.sources if TOKEN_KEY in name]


def test_names_in_json_of_a_reference_are_not_shown():
    """They are part of the secret variable; its place is one value with one source."""
    config = {"p": {"login": "${SECRET|json}", "limit": 7}}
    env = {
        **KEY,
        "UNDERSTACK_DEFAULT_PLUGINS": "off",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps(config),
        "SECRET": json.dumps({"c4n4ry": {"a": 1}, "b": [{"c4n4ry": 2}]}),
    }
    base = {"PLUGINS_CONFIG": {"p": {"login": {"user": "me"}, "other": 8}}}

    found = shown(settings_provenance(env, namespace=base), env)

    assert found.settings["PLUGINS_CONFIG"] == {
        "p": {"login": "***", "limit": 7, "other": 8}
    }
    assert {
        name.removeprefix("PLUGINS_CONFIG."): origin
        for name, origin in found.sources.items()
        if name.startswith("PLUGINS_CONFIG")
    } == {
        "p.login": "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG",
        "p.limit": "variable NAUTOBOT_EXTRA_PLUGINS_CONFIG",
        "p.other": "base",
    }


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 700 + '"${S}"' + "}" * 700, "[" * 700 + '"${S}"' + "]" * 700],
    ids=["objects", "arrays"],
)
def test_configuration_as_deep_as_the_parser_takes_is_masked(text):
    text = f'{{"p": {{"a": {text}, "b": [[7]]}}}}'
    env = {**KEY, "S": "c4n4ry", "NAUTOBOT_EXTRA_PLUGINS_CONFIG": text}
    settings = {"PLUGINS_CONFIG": {"q": {"a": json.loads("[" * 700 + "7" + "]" * 700)}}}

    found = shown(settings_provenance(env, namespace=settings), env)

    assert "c4n4ry" not in json.dumps(found)
    assert found.settings["PLUGINS_CONFIG"]["p"]["b"] == [[7]]
