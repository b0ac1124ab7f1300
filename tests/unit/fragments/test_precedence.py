"""What comes first, fragment by fragment, and what any settings file may hold.

A variable that is set wins over the file, what the file says wins over a default of
the library, and a default comes last. The exceptions are those of `file-overruled`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from understack_nautobot_settings.evaluation import FRAGMENTS
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.fragments.connections import NAUTOBOTS_RESULT_BACKEND
from understack_nautobot_settings.fragments.plugins import DEFAULTS
from understack_nautobot_settings.fragments.plugins import plugin_settings
from understack_nautobot_settings.problems import Problem

KEY = "key-0123456789" * 4
TLS = {"NAUTOBOT_DB_SSLMODE": "verify-full", "UNDERSTACK_REDIS_MTLS": "on"}
WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
HARD = {"UNDERSTACK_HARDENING": "on"}
OIDC = {
    "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org",
    "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
}
POOL = "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS."
OPTIONS = "DATABASES.default.OPTIONS."
PATHS = st.from_regex(r"/[a-z]{1,8}", fullmatch=True)
NUMBERS = st.integers(1, 3000)


class Rule(NamedTuple):
    """One setting that a variable decides, a file may say, and a default fills.

    Attributes:
        setting: Where it stands.
        variable: The name of its variable, empty where none decides it.
        values: What variable and file may say.
        switches: The environment in which it is decided.
        default: What it is where neither says anything.
    """

    setting: str
    variable: str
    values: st.SearchStrategy[Any]
    switches: dict[str, str]
    default: Any


SAME_SITE = st.sampled_from(["Strict", "Lax"])
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
TIMES = NUMBERS.map(float)
MOUNT = "/etc/nautobot/mtls/"
RULES = [
    Rule("UNDERSTACK_PARTITION", "UNDERSTACK_PARTITION", NAMES, {}, ""),
    Rule("UNDERSTACK_SITE", "UNDERSTACK_SITE", NAMES, {}, ""),
    Rule(
        "SECRET_KEY",
        "NAUTOBOT_SECRET_KEY",
        st.from_regex(r"[a-z]{5}-[0-9]{50}", fullmatch=True),
        {},
        KEY,
    ),
    Rule(
        f"{OPTIONS}sslmode",
        "NAUTOBOT_DB_SSLMODE",
        st.sampled_from(["verify-full", "verify-ca"]),
        {},
        None,
    ),
    Rule(f"{OPTIONS}tcp_user_timeout", "", NUMBERS, WAN, 20000),
    Rule(f"{OPTIONS}sslcert", "NAUTOBOT_DB_SSLCERT", PATHS, TLS, f"{MOUNT}tls.crt"),
    Rule(f"{OPTIONS}sslkey", "NAUTOBOT_DB_SSLKEY", PATHS, TLS, f"{MOUNT}tls.key"),
    Rule(
        f"{OPTIONS}sslrootcert", "NAUTOBOT_DB_SSLROOTCERT", PATHS, TLS, f"{MOUNT}ca.crt"
    ),
    Rule(f"{OPTIONS}connect_timeout", "UNDERSTACK_DB_CONNECT_TIMEOUT", NUMBERS, {}, 10),
    Rule(f"{OPTIONS}application_name", "", NAMES, WAN, "nautobot"),
    Rule(
        f"{POOL}ssl_check_hostname",
        "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME",
        st.booleans(),
        TLS,
        True,
    ),
    Rule(
        f"{POOL}ssl_ca_certs",
        "NAUTOBOT_REDIS_SSL_CA_CERTS",
        PATHS,
        TLS,
        f"{MOUNT}ca.crt",
    ),
    Rule(
        f"{POOL}ssl_cert_reqs",
        "NAUTOBOT_REDIS_SSL_CERT_REQS",
        st.sampled_from(["required", "optional"]),
        TLS,
        "required",
    ),
    Rule(
        "CELERY_BROKER_USE_SSL.ssl_check_hostname",
        "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME",
        st.booleans(),
        TLS,
        True,
    ),
    Rule(
        "CELERY_REDIS_BACKEND_USE_SSL.ssl_certfile",
        "NAUTOBOT_REDIS_SSL_CERTFILE",
        PATHS,
        TLS,
        f"{MOUNT}tls.crt",
    ),
    Rule(f"{POOL}socket_timeout", "UNDERSTACK_REDIS_SOCKET_TIMEOUT", TIMES, {}, 5.0),
    Rule(
        f"{POOL}socket_connect_timeout",
        "UNDERSTACK_REDIS_CONNECT_TIMEOUT",
        TIMES,
        {},
        5.0,
    ),
    Rule(
        "SESSION_COOKIE_SAMESITE", "", st.sampled_from(["Strict", "Lax"]), HARD, "Lax"
    ),
    Rule("CSRF_COOKIE_SAMESITE", "", st.sampled_from(["Strict", "Lax"]), HARD, "Lax"),
    Rule("SECURE_HSTS_SECONDS", "UNDERSTACK_HSTS_SECONDS", NUMBERS, HARD, 31536000),
    Rule(
        "SOCIAL_AUTH_OIDC_SCOPE",
        "SOCIAL_AUTH_OIDC_SCOPE",
        st.lists(NAMES, min_size=1, max_size=3),
        OIDC,
        ["groups"],
    ),
    Rule("SOCIAL_AUTH_OIDC_KEY", "SOCIAL_AUTH_OIDC_KEY", NAMES, OIDC, "nautobot"),
    Rule(
        "AUTHENTICATION_BACKENDS",
        "",
        st.lists(NAMES, min_size=1, max_size=3),
        OIDC,
        [
            "social_core.backends.open_id_connect.OpenIdConnectAuth",
            "nautobot.core.authentication.ObjectPermissionBackend",
        ],
    ),
    Rule(
        "UNDERSTACK_EXPIRY_UNHEALTHY",
        "UNDERSTACK_EXPIRY_UNHEALTHY",
        TIMES,
        {"UNDERSTACK_APP": "on"},
        1.0,
    ),
    Rule(
        "CELERY_RESULT_BACKEND_MAX_RETRIES",
        "UNDERSTACK_JOB_RESULT_RETRIES",
        NUMBERS,
        WAN,
        240,
    ),
]


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return settings that hold one value at a place."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings with those of another laid over them."""
    result = dict(one)
    for name, value in other.items():
        below = result.get(name)
        deeper = isinstance(below, dict) and isinstance(value, dict)
        result[name] = merged(below, value) if deeper else value
    return result


def at(settings: dict[str, Any], path: str) -> Any:
    """Return the value at a place."""
    value: Any = settings
    for name in path.split("."):
        value = value.get(name, {})
    return None if value == {} else value


def text(value: Any) -> str:
    """Return a value as somebody writes it into the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def base() -> dict[str, Any]:
    """Return the settings of a file that says nothing."""
    return {
        "SECRET_KEY": KEY,
        "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://localhost:6379/1",
            }
        },
        "CELERY_BROKER_URL": "redis://localhost:6379/0",
        "CELERY_RESULT_BACKEND": NAUTOBOTS_RESULT_BACKEND,
        "INSTALLED_APPS": [],
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.setting)
@given(data=st.data())
def test_variable_wins_over_file_and_file_over_default(rule, data):
    says, sets = data.draw(st.booleans()), data.draw(st.booleans())
    settings, env, expected = base(), dict(rule.switches), rule.default
    if says:
        expected = data.draw(rule.values)
        settings = merged(settings, nested(rule.setting, expected))
    if sets and rule.variable:
        expected = data.draw(rule.values)
        env[rule.variable] = text(expected)

    found = evaluate(settings, env, check_files=lambda files: [], libpq=lambda: 170005)

    assert at(found.settings, rule.setting) == expected


EVERYTHING = {**TLS, **WAN, **HARD, **OIDC, "UNDERSTACK_APP": "on"}
# A variable of EVERYTHING decides these.
BY_VARIABLE = {
    ("DATABASES", "default", "OPTIONS", "sslmode"),
    ("SOCIAL_AUTH_OIDC_OIDC_ENDPOINT",),
    ("SOCIAL_AUTH_OIDC_SECRET",),
}
# The file alone cannot make these less safe; one warning names each.
EXCEPTIONS = {
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_HTTPONLY",
    "CSRF_COOKIE_SECURE",
    "SECURE_CONTENT_TYPE_NOSNIFF",
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each value stands that is no dict."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


def another(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + ([*"x"] if isinstance(value, list) else type(value)("1"))


def decided_by_default() -> dict[tuple[Any, ...], Any]:
    """Return every default of every fragment, by where it stands."""
    settings = evaluate(
        base(), EVERYTHING, check_files=lambda files: [], libpq=lambda: 170005
    ).settings
    return {
        path: value
        for path in leaves(settings)
        if path not in BY_VARIABLE and path not in set(leaves(base()))
        for value in [within(settings, path)]
        if value != {}
    }


def within(settings: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a place."""
    for name in path:
        settings = settings[name]
    return settings


BY_DEFAULT = decided_by_default()


@given(says=st.sets(st.sampled_from(sorted(BY_DEFAULT, key=str))))
def test_file_wins_over_every_default_and_exceptions_are_warned_about(says):
    settings = base()
    for path in says:
        value = another(BY_DEFAULT[path])
        for name in reversed(path):
            value = {name: value}
        settings = merged(settings, value)

    found = evaluate(
        settings, EVERYTHING, check_files=lambda files: [], libpq=lambda: 170005
    )

    result = {**settings, **found.settings}
    kept = {path for path in says if within(result, path) == within(settings, path)}
    overruled = {name for (name,) in says - kept}
    assert overruled == EXCEPTIONS & {path[0] for path in says}
    warned = [one.variable for one in found.problems if one.code == "file-overruled"]
    assert sorted(warned) == sorted(overruled)


PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "start-up.md"


@pytest.mark.parametrize(
    ("said", "env", "variable", "used"),
    [
        (
            nested(f"{POOL}ssl_cert_reqs", None),
            TLS,
            "NAUTOBOT_REDIS_SSL_CERT_REQS",
            (f"{POOL}ssl_cert_reqs", "required"),
        ),
        *(
            ({name: False}, HARD, "UNDERSTACK_HARDENING", (name, True))
            for name in sorted(EXCEPTIONS)
        ),
        (
            {"SECRET_KEY": "other-0123" * 6},
            {"NAUTOBOT_SECRET_KEY": KEY},
            "NAUTOBOT_SECRET_KEY",
            ("SECRET_KEY", KEY),
        ),
    ],
    ids=["ssl_cert_reqs", *sorted(EXCEPTIONS), "SECRET_KEY"],
)
def test_exception_gives_one_warning_and_is_on_the_page(said, env, variable, used):
    found = evaluate(merged(base(), said), env, check_files=lambda files: [])

    (warning,) = [one for one in found.problems if one.code == "file-overruled"]
    assert at(found.settings, used[0]) == used[1]
    assert variable in str(warning)
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("How to get what the file wants")[2].partition("\n\n")[0]
    assert variable in table


PLUGINS = [*DEFAULTS, "mine"]
CONFIGURATION = st.recursive(
    st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from(["nornir_settings", "runner", "options", "enable_backup"]),
        inner,
        max_size=3,
    ),
    max_leaves=5,
)
CONFIGURATIONS = st.dictionaries(
    st.sampled_from(PLUGINS),
    st.dictionaries(
        st.sampled_from(["nornir_settings", "enable_backup", "own"]), CONFIGURATION
    ),
)


@given(
    listed=st.lists(st.sampled_from(PLUGINS), unique=True),
    extra=st.lists(st.sampled_from([*PLUGINS, "more"]), unique=True),
    defaults=st.sampled_from(["on", "off"]),
    says=CONFIGURATIONS,
    sets=CONFIGURATIONS,
)
def test_plugin_configuration_of_variable_wins_value_by_value(
    listed, extra, defaults, says, sets
):
    env = {
        "UNDERSTACK_DEFAULT_PLUGINS": defaults,
        "NAUTOBOT_EXTRA_PLUGINS": ",".join(extra),
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps(sets),
    }
    found: list[Problem] = []

    result = plugin_settings(
        {"PLUGINS": listed, "PLUGINS_CONFIG": says},
        env,
        problems=found,
        find=lambda name: True,
    )

    wanted = [*(DEFAULTS if defaults == "on" else ()), *extra]
    added = [name for name in dict.fromkeys(wanted) if name not in listed]
    ours = {name: DEFAULTS[name] for name in added if name in DEFAULTS}
    assert result["PLUGINS"] == [*listed, *added]
    assert result["PLUGINS_CONFIG"] == merged(merged(ours, says), sets)
    assert {one.code for one in found} <= {"plugin-config-unused"}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES_READ = [
    "SECRET_KEY",
    "DATABASES",
    "CACHES",
    "CELERY_BROKER_URL",
    "CELERY_BROKER_USE_SSL",
    "CELERY_REDIS_BACKEND_USE_SSL",
    "CELERY_BROKER_TRANSPORT",
    "CELERY_BROKER_TRANSPORT_OPTIONS",
    "CELERY_BROKER_READ_URL",
    "CELERY_RESULT_BACKEND",
    "EVENT_BROKERS",
    "PLUGINS",
    "PLUGINS_CONFIG",
    "ALLOWED_HOSTS",
    "AUTHENTICATION_BACKENDS",
    "INSTALLED_APPS",
    "MIDDLEWARE",
    "LOGGING",
    "UNDERSTACK_PARTITION",
    "SECURE_HSTS_SECONDS",
    "SOCIAL_AUTH_OIDC_SCOPE",
    "UNDERSTACK_EXPIRY_UNHEALTHY",
]
ENTRY = ("BACKEND", "ENGINE", "LOCATION", "OPTIONS", "HOST", "PORT", "TIME_ZONE")
WITHIN = (
    "sslmode",
    "sslcert",
    "sslrootcert",
    "options",
    "CLIENT_CLASS",
    "SOCKET_TIMEOUT",
    "CONNECTION_POOL_KWARGS",
)


def some(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Return dicts that hold anything under some of these names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, ANY))


SHAPES = st.one_of(
    ANY,
    st.fixed_dictionaries({"default": ANY}),
    st.fixed_dictionaries({"default": some(ENTRY)}),
    st.fixed_dictionaries(
        {"default": st.fixed_dictionaries({"OPTIONS": some(WITHIN)})}
    ),
)


@examples(400)
@given(
    settings=st.dictionaries(st.sampled_from(NAMES_READ), SHAPES, max_size=4),
    switches=st.sets(st.integers(0, 3)),
)
@example({"CACHES": {"default": {"OPTIONS": {"CLIENT_CLASS": None}}}}, set())
@example({"DATABASES": {"default": {"TIME_ZONE": True}}}, {0, 1})
def test_any_settings_file_gives_problems_and_never_raises(settings, switches):
    env = {"NAUTOBOT_SECRET_KEY": KEY}
    for number in switches:
        env |= (TLS, WAN, HARD, OIDC)[number]
    before = copy.deepcopy(settings)

    found = evaluate(settings, env, check_files=lambda files: [], libpq=lambda: 170005)

    assert repr(settings) == repr(before)
    assert all(problem.message for problem in found.problems)


WRONG = [5, "text", ["text", 5], {"default": 5}, {5: {}}, b"bytes"]


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("value", WRONG, ids=str)
def test_fragment_with_value_of_any_type_never_raises(fragment, value):
    options = {}
    if "check_files" in fragment.__kwdefaults__:
        options["check_files"] = lambda files: []
    env = {"NAUTOBOT_SECRET_KEY": KEY, **TLS, **WAN, **HARD, **OIDC}

    for name in NAMES_READ:
        found: list[Problem] = []
        fragment({name: value}, env, problems=found, **options)
        assert all(isinstance(one, Problem) for one in found)
