import json
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.certificates.judging import Certificate
from understack_nautobot_settings.checks.inspection import Inspection
from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.commands.report import Difference
from understack_nautobot_settings.commands.report import Shown
from understack_nautobot_settings.commands.report import as_json
from understack_nautobot_settings.commands.report import differences
from understack_nautobot_settings.commands.report import differences_text
from understack_nautobot_settings.commands.report import inspection_text
from understack_nautobot_settings.commands.report import masked
from understack_nautobot_settings.commands.report import probes_text
from understack_nautobot_settings.commands.report import read_shown
from understack_nautobot_settings.commands.report import shown
from understack_nautobot_settings.commands.report import shown_text
from understack_nautobot_settings.commands.terminal import Page
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.fragments import plugins
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.targets import Probe
from understack_nautobot_settings.problems import Problem

KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}
TABLE = Page(table=True, width=60, symbols=True)


def settings_shown(env, **options):
    env = {**KEY, **env}
    return masked(settings_provenance(env, **options), env)


def plugin(config, **env):
    text = json.dumps({"p": config})
    found = settings_shown({"NAUTOBOT_EXTRA_PLUGINS_CONFIG": text, **env})
    return found["PLUGINS_CONFIG"]["p"]


# --- masking -------------------------------------------------------------------


def test_declared_secrets_are_masked():
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
        ("amqps://u:s3cret@broker//", "amqps://***@broker//"),
        ("sentinel://:s@a:1;sentinel://:s@b:2", "sentinel://***@b:2"),
        ("redis://a/0;s3cret", "***"),
        ("s3cret", "***"),
        ("redis://:s3cret", "***"),
        ("redis://redis:s3cret/0", "***"),
        ("rediss://[fd00::1]:6379/0", "rediss://[fd00::1]:6379/0"),
        ("s3cret://redis", "***"),
        ("redis://redis/AbCdEfGhIjKlMnOp0123", "***"),
    ],
)
def test_credentials_in_urls_are_masked(url, shown_as):
    found = settings_shown({"NAUTOBOT_CELERY_BROKER_URL": url})

    assert found["CELERY_BROKER_URL"] == shown_as


def test_credentials_in_a_list_of_urls_are_masked():
    caches = {"default": {"LOCATION": ["redis://:s3cret@a/1", "redis://:s3cret@b/1"]}}

    found = settings_shown({}, namespace={"CACHES": caches})

    assert found["CACHES"]["default"]["LOCATION"] == [
        "redis://***@a/1",
        "redis://***@b/1",
    ]


def test_a_secret_that_looks_like_a_url_is_masked_whole():
    assert settings_shown({"NAUTOBOT_SECRET_KEY": "s3cret://"})["SECRET_KEY"] == "***"


@pytest.mark.parametrize(
    ("config", "shown_as"),
    [
        pytest.param({"a": "plain", "b": 1, "c": None}, None, id="plain"),
        pytest.param({"enable_tokens": True, "password": ""}, None, id="no secret yet"),
        pytest.param({"a": "${S}"}, {"a": "***"}, id="a reference"),
        pytest.param({"a": "x${S:-d}y"}, {"a": "***"}, id="a reference in a text"),
        pytest.param({"a": ["$<S>", "x"]}, {"a": "***"}, id="a reference in a list"),
        pytest.param({"token": "x"}, {"token": "***"}, id="a name"),
        pytest.param({"apiKey": "x"}, {"apiKey": "***"}, id="a name with a hump"),
        pytest.param({"db_pass": 12}, {"db_pass": "***"}, id="a number"),
        pytest.param({"auth": {"a": "x"}}, {"auth": {"a": "***"}}, id="below a name"),
        pytest.param(
            {"a": [{"pin": 1, "b": 2}]}, {"a": [{"pin": "***", "b": 2}]}, id="in a list"
        ),
        pytest.param({"mapping": "x", "keyboard": "y"}, None, id="alike but harmless"),
        pytest.param(
            {"a": "0123456789abcdef0123456789abcdef01234567"},
            {"a": "***"},
            id="a token",
        ),
        pytest.param({"a": "-----BEGIN X-----\n"}, {"a": "***"}, id="PEM"),
        pytest.param(
            {"url": "https://u:p@git.example.org/x"},
            {"url": "https://***@git.example.org/x"},
            id="a URL",
        ),
        pytest.param(
            {"a": f"x{KEY['NAUTOBOT_SECRET_KEY']}y"}, {"a": "***"}, id="a known secret"
        ),
        pytest.param({"a": "nautobot.apps.Thing"}, None, id="a dotted name"),
        pytest.param({"a": 1e400}, {"a": "inf"}, id="no JSON number"),
    ],
)
def test_plugin_configuration_is_masked_by_what_it_looks_like(config, shown_as):
    if config == {"a": float("inf")}:
        base = {"PLUGINS": ["p"], "PLUGINS_CONFIG": {"p": config}}
        found = settings_shown({}, namespace=base)["PLUGINS_CONFIG"]["p"]
    else:
        found = plugin(config, S="s3cret")
    assert found == (config if shown_as is None else shown_as)


def test_the_defaults_of_plugins_are_no_secrets():
    namespace = {
        "PLUGINS": ["nautobot_plugin_nornir"],
        "PLUGINS_CONFIG": plugins.DEFAULTS,
    }
    found = settings_shown({}, namespace=namespace)

    nornir = found["PLUGINS_CONFIG"]["nautobot_plugin_nornir"]["nornir_settings"]
    assert nornir["credentials"].endswith("CredentialsNautobotSecrets")


def test_what_is_nested_too_deep_to_tell_apart_is_masked():
    config = innermost = {}
    for _ in range(DEEPEST):
        innermost["a"] = innermost = {}
    innermost["a"] = "${S}"
    lists = "s3cret"
    for _ in range(DEEPEST * 2):
        lists = [lists]

    text = json.dumps(plugin({"deep": config, "lists": lists}, S="s3cret"))

    assert "s3cret" not in text
    assert "***" in text
    assert "\\u2026" in text


def test_objects_are_named_and_not_printed():
    class Retry:
        def __repr__(self):
            return "s3cret"

    base = {
        "PLUGINS": ["p"],
        "PLUGINS_CONFIG": {
            "p": {"a": Retry(), "b": Retry, "c": len, "d": {2, 1}, "e": (1, "x")}
        },
    }

    found = settings_shown({}, namespace=base)["PLUGINS_CONFIG"]["p"]

    here = f"{__name__}.{test_objects_are_named_and_not_printed.__name__}"
    assert found == {
        "a": f"<{here}.<locals>.Retry>",
        "b": f"<{here}.<locals>.Retry>",
        "c": "<builtins.len>",
        "d": ["1", "2"],
        "e": [1, "x"],
    }


secrets = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1
).map(lambda text: f"c4n4ry{text}")


@given(secret=secrets, extra=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_secret_gets_out_whatever_it_is(secret, extra):
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

    for text in (as_json(show), shown_text(show, Page()), shown_text(show, TABLE)):
        assert "c4n4ry" not in text


# --- the fingerprint -----------------------------------------------------------


def fingerprint(**env):
    env = {**KEY, **env}
    return shown(settings_provenance(env), env).fingerprint


def test_the_fingerprint_tells_settings_apart_and_no_secrets():
    ours = fingerprint(NAUTOBOT_DB_PASSWORD="one")

    assert len(ours) == 16
    assert int(ours, 16)
    assert ours == fingerprint(NAUTOBOT_DB_PASSWORD="two")
    assert ours != fingerprint()
    assert ours != fingerprint(NAUTOBOT_DB_PASSWORD="one", NAUTOBOT_DB_HOST="db")
    assert ours != fingerprint(
        NAUTOBOT_DB_PASSWORD="one", UNDERSTACK_EXPIRY_WARNING="10"
    )


def test_a_default_that_is_written_out_changes_no_fingerprint():
    assert fingerprint() == fingerprint(UNDERSTACK_EXPIRY_WARNING="30")


# --- check ---------------------------------------------------------------------

PROBLEMS = [
    Problem(
        "value-invalid",
        "error",
        "NAUTOBOT_DB_SSLMODE",
        "'verify_full' is not an sslmode.",
        "Use verify-full, verify-ca or require, or leave it unset for no TLS.",
    ),
    Problem("libpq-variable", "warning", "PGHOSTADDR", "It is set.", ""),
]
END = datetime(2029, 11, 21, 4, 21, tzinfo=timezone.utc)
CERTIFICATE = Certificate(
    "/etc/nautobot/mtls/tls.crt",
    "PostgreSQL",
    "CN=app",
    "CN=understack-mtls-ca",
    "01AB",
    datetime(2026, 11, 22, 4, 21, tzinfo=timezone.utc),
    END,
    END - timedelta(days=1094),
)


def test_a_pipe_gets_one_line_for_each_thing():
    assert inspection_text(Inspection(PROBLEMS, [CERTIFICATE]), Page()) == (
        "error value-invalid NAUTOBOT_DB_SSLMODE: 'verify_full' is not an sslmode. "
        "Use verify-full, verify-ca or require, or leave it unset for no TLS.\n"
        "warning libpq-variable PGHOSTADDR: It is set.\n"
        "certificate /etc/nautobot/mtls/tls.crt (PostgreSQL): subject CN=app, issuer "
        "CN=understack-mtls-ca, serial 01AB, valid from 2026-11-22T04:21:00Z to "
        "2029-11-21T04:21:00Z, 1094 days left\n"
        "1 error, 1 warning\n"
    )


def test_a_path_at_the_end_of_a_fact_does_not_run_into_the_remedy():
    missing = Problem("c", "error", "V", "not found: /etc/tls.crt", "Mount it.")

    assert inspection_text(Inspection([missing], []), Page()) == (
        "error c V: not found: /etc/tls.crt. Mount it.\n1 error, 0 warnings\n"
    )


def test_an_expired_certificate_has_no_days_left():
    expired = CERTIFICATE._replace(seen_at=END + timedelta(days=2))

    assert inspection_text(Inspection([], [expired]), Page()).endswith(
        "2029-11-21T04:21:00Z, expired\n0 errors, 0 warnings\n"
    )


def test_a_terminal_gets_a_table():
    certificates = [CERTIFICATE, CERTIFICATE._replace(use="Redis")]

    assert inspection_text(Inspection(PROBLEMS, certificates), TABLE) == (
        "Problems                                  1 error, 1 warning\n"
        "────────────────────────────────────────────────────────────\n"
        "✗ NAUTOBOT_DB_SSLMODE                          value-invalid\n"
        "  'verify_full' is not an sslmode.\n"
        "  → Use verify-full, verify-ca or require, or leave it unset\n"
        "    for no TLS.\n"
        "\n"
        "! PGHOSTADDR                                  libpq-variable\n"
        "  It is set.\n"
        "\n"
        "Certificates                                               1\n"
        "────────────────────────────────────────────────────────────\n"
        "/etc/nautobot/mtls/tls.crt (PostgreSQL,       1094 days left\n"
        "Redis)\n"
        "  subject   CN=app\n"
        "  issuer    CN=understack-mtls-ca\n"
        "  serial    01AB\n"
        "  valid     2026-11-22T04:21:00Z to 2029-11-21T04:21:00Z\n"
    )


def test_what_is_said_of_several_variables_is_said_once():
    problems = [
        Problem("c", "warning", variable, "It is old.", "")
        for variable in ("NAUTOBOT_DB_SSLCERT", "NAUTOBOT_REDIS_SSL_CERTFILE")
    ]

    assert inspection_text(Inspection(problems, []), TABLE) == (
        "Problems                                0 errors, 2 warnings\n"
        "────────────────────────────────────────────────────────────\n"
        "! NAUTOBOT_DB_SSLCERT, NAUTOBOT_REDIS_SSL_CERTFILE         c\n"
        "  It is old.\n"
    )


def test_a_terminal_without_symbols_gets_ascii():
    text = inspection_text(Inspection(PROBLEMS, [CERTIFICATE]), Page(table=True))

    assert text.isascii()
    assert "E NAUTOBOT_DB_SSLMODE" in text
    assert "W PGHOSTADDR" in text


def test_nothing_wrong_is_said():
    assert inspection_text(Inspection([], []), TABLE) == "✓ No problems found.\n"
    assert inspection_text(Inspection([], []), Page()) == "0 errors, 0 warnings\n"


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width):
    page = Page(table=True, width=width, symbols=True)
    long = Problem("c" * 30, "error", "V" * 35, "word " * 40, "/path" * 40)
    certificate = CERTIFICATE._replace(path="/a" * 60, subject="CN=" + "x" * 200)
    env = {
        **KEY,
        "NAUTOBOT_DB_HOST": "h" * 120,
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps({"p" * 90: {"数": "数" * 90}}),
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
    }
    show = shown(settings_provenance(env), env)

    text = inspection_text(Inspection([long, *PROBLEMS], [certificate]), page)

    for line in (text + shown_text(show, page)).splitlines():
        assert columns(line) <= width


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "expired"), (0, "0 days left"), (1, "1 day left")]
)
def test_what_is_left_of_a_certificate_is_in_words(days, words):
    certificate = CERTIFICATE._replace(seen_at=END - timedelta(days=days))

    assert words in inspection_text(Inspection([], [certificate]), TABLE)


# --- show ----------------------------------------------------------------------

SHOWN = Shown(
    {
        "DATABASES": {"default": {"HOST": "db", "OPTIONS": {"sslmode": "verify-full"}}},
        "PLUGINS": [],
    },
    {
        "DATABASES.default.HOST": "base",
        "DATABASES.default.OPTIONS.sslmode": "variable NAUTOBOT_DB_SSLMODE",
        "PLUGINS": "default",
    },
    "0123456789abcdef",
)


def test_settings_are_grouped_in_a_table():
    assert shown_text(SHOWN, TABLE) == (
        "Settings                        fingerprint 0123456789abcdef\n"
        "────────────────────────────────────────────────────────────\n"
        "DATABASES.default\n"
        "  HOST  db                                              base\n"
        "DATABASES.default.OPTIONS\n"
        "  sslmode  verify-full                   NAUTOBOT_DB_SSLMODE\n"
        "PLUGINS  []                                          default\n"
    )


def test_a_pipe_gets_settings_as_columns():
    assert shown_text(SHOWN, Page()) == (
        "DATABASES.default.HOST\tdb\tbase\n"
        "DATABASES.default.OPTIONS.sslmode\tverify-full\tvariable NAUTOBOT_DB_SSLMODE\n"
        "PLUGINS\t[]\tdefault\n"
        "fingerprint\t0123456789abcdef\t\n"
    )


def test_differences_are_told_by_setting():
    there = Shown(
        {"DATABASES": {"default": {"HOST": "other"}}, "DEBUG": True, "PLUGINS": []},
        {},
        "",
    )

    found = differences(SHOWN, there)

    assert found == [
        Difference("DATABASES.default.HOST", "db", "other"),
        Difference("DATABASES.default.OPTIONS.sslmode", "verify-full", None),
        Difference("DEBUG", None, "true"),
    ]
    assert differences_text(found, Page()) == (
        "DATABASES.default.HOST\n"
        "  - other\n"
        "  + db\n"
        "DATABASES.default.OPTIONS.sslmode\n"
        "  + verify-full\n"
        "DEBUG\n"
        "  - true\n"
    )
    assert differences_text([], Page()) == (
        "The settings are the same; secrets are not compared.\n"
    )


def test_what_show_printed_is_read_back():
    assert read_shown(as_json(SHOWN._asdict())) == SHOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"settings": {}, "sources": {}}',
        '{"settings": [], "sources": {}, "fingerprint": ""}',
        "[" * 100000,
    ],
)
def test_anything_else_is_not_what_show_printed(text):
    with pytest.raises(ValueError, match=r".+"):
        read_shown(text)


# --- probe ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            Page(),
            "cache tcp failed 0.500 s\nerror c NAUTOBOT_REDIS_HOST: nobody answers. "
            "Start it.\n0 of 1 target ok\n",
        ),
        (
            TABLE,
            "cache                                                0.500 s\n"
            "────────────────────────────────────────────────────────────\n"
            "✗ tcp\n\n"
            "✗ NAUTOBOT_REDIS_HOST                                      c\n"
            "  nobody answers.\n"
            "  → Start it.\n",
        ),
    ],
    ids=["pipe", "terminal"],
)
def test_a_failed_stage_does_not_say_what_the_problem_says(page, text):
    problem = Problem(
        "c", "error", "NAUTOBOT_REDIS_HOST", "nobody answers.", "Start it."
    )
    stage = Stage("tcp", False, 0.5, problem.message)
    found = probes_text([Probe("cache", False, (stage,), problem)], page)

    assert [line.rstrip() for line in found.splitlines()] == text.splitlines()
