import copy
import itertools
import subprocess
import sys
import warnings
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import configure
from understack_nautobot_settings import connection_settings
from understack_nautobot_settings.checks import start_up
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.evaluation import FRAGMENTS
from understack_nautobot_settings.evaluation import evaluate

KEY = "key-0123456789" * 4
NAMES = [name for variable in VARIABLES for name in variable.names]


def passes(files):
    return []


@pytest.fixture(autouse=True)
def _no_lines_left_waiting():
    yield
    start_up._waiting.clear()


def test_empty_namespace_can_be_configured():
    namespace = {}

    configure(namespace, {"NAUTOBOT_SECRET_KEY": KEY, "UNDERSTACK_PARTITION": "dfw3"})

    assert namespace["SECRET_KEY"] == KEY
    assert namespace["UNDERSTACK_PARTITION"] == "dfw3"
    assert not [name for name in namespace if name.startswith("EXTRA_")]


def test_problems_of_all_fragments_are_in_one_error():
    env = {
        "NAUTOBOT_DB_SSLMODE": "verify_full",
        "NAUTOBOT_REDIS_SSL_CERT_REQS": "yes",
        "UNDERSTACK_PARTITION": "dfw 3",
        "UNDERSTACK_HARDENING": "maybe",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": "[]",
        "UNDERSTACK_DB_CONNECT_TIMEOUT": "soon",
    }

    with pytest.raises(SettingsError) as caught:
        configure({}, env)

    assert {problem.variable for problem in caught.value.problems} == {
        "NAUTOBOT_SECRET_KEY",
        *env,
    }
    assert len(sentences(caught.value).splitlines()) == 7


def test_refused_environment_leaves_the_namespace_unchanged():
    namespace = {"PLUGINS": ["mine"]}

    with pytest.raises(SettingsError):
        configure(namespace, {"NAUTOBOT_DB_SSLMODE": "prefer"})

    assert namespace == {"PLUGINS": ["mine"]}


def test_mode_and_warnings_are_logged_after_logging_is_configured(caplog):
    namespace = {}

    configure(
        namespace, {"NAUTOBOT_SECRET_KEY": "short", "UNDERSTACK_PARTITION": "dfw3"}
    )

    assert namespace["LOGGING_CONFIG"] == start_up.CONFIGURE_LOGGING
    assert caplog.messages == []
    start_up.configure_logging({"version": 1}, settings=namespace)
    mode, weak = caplog.messages
    assert mode.startswith("PostgreSQL sslmode=unset sslnegotiation=unset; cache: ")
    assert "; partition dfw3; " in mode
    assert weak == (
        "NAUTOBOT_SECRET_KEY: the key has fewer than 50 characters. "
        "Use 50 or more random characters, the same on every pod. [secret-key-short]"
    )


@pytest.mark.parametrize("base", [{}, {"LOGGING": {}}])
def test_namespace_without_logging_gets_an_incremental_logging(base):
    """It calls LOGGING_CONFIG only with a LOGGING, and the lines would be lost."""
    namespace = dict(base)

    configure(namespace, {"NAUTOBOT_SECRET_KEY": KEY})

    assert namespace["LOGGING"] == {"version": 1, "incremental": True}


def test_logging_of_namespace_is_kept():
    namespace = {"LOGGING": {"version": 1}}

    configure(namespace, {"NAUTOBOT_SECRET_KEY": KEY})

    assert namespace["LOGGING"] == {"version": 1}


def test_namespace_with_logging_config_none_is_kept():
    namespace = {"LOGGING_CONFIG": None}

    configure(namespace, {"NAUTOBOT_SECRET_KEY": KEY})

    assert namespace["LOGGING_CONFIG"] is None
    assert "LOGGING" not in namespace


@pytest.mark.parametrize(
    "command",
    [
        "import understack_nautobot_settings",
        "from understack_nautobot_settings import configure; "
        "configure({}, {'NAUTOBOT_SECRET_KEY': 'key-0123456789' * 4})",
    ],
    ids=["import", "configure"],
)
def test_configure_imports_no_framework_and_no_client(command):
    """Neither importing the package nor configure loads what it configures."""
    check = (
        f"import sys; {command}; print([name for name in ('django', 'nautobot', "
        "'redis', 'celery', 'kombu', 'psycopg', 'psycopg2', 'cryptography', "
        "'asyncio', 'dataclasses') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_public_names_are_listed_and_importable():
    import understack_nautobot_settings as package

    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "true",
            "off",
            "on",
            "verify-full",
            "require",
            "direct",
            "wan",
            "json",
            "redis",
            "unix",
            "15",
            "{}",
            '{"a": {"b": "${NAUTOBOT_DB_PASSWORD}"}}',
            "/",
            "/nowhere",
            "amqps://b",
            "redis://[",
        ]
    ),
    # With what undecodable bytes become in os.environ.
    st.text(st.characters(exclude_characters="\0") | st.just("\udcff"), max_size=30),
)
ENVIRONMENTS = st.dictionaries(st.sampled_from(NAMES), TEXTS)


def base(env):
    return {
        **base_settings(env),
        "INSTALLED_APPS": ["a"],
        "MIDDLEWARE": ["m"],
        "LOGGING": {"version": 1, "loggers": {}},
        "AUTHENTICATION_BACKENDS": ["b"],
        "DEBUG": False,
        "ALLOWED_HOSTS": ["h"],
    }


@examples(300)
@given(ENVIRONMENTS)
def test_any_environment_is_configured_or_raises_settings_error(env):
    namespace = base(env)
    before = copy.deepcopy(namespace)

    try:
        configure(namespace, env)
    except SettingsError as error:
        refused = error.problems
    else:
        refused = ()

    assert namespace == before or not refused
    assert all(problem.variable and problem.message for problem in refused)


def test_bytes_that_are_not_utf8_in_any_variable_are_refused():
    env = {
        **dict.fromkeys(NAMES, "\udcff"),
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
        "NAUTOBOT_REDIS_SCHEME": "unix",
    }
    for name in (
        "NAUTOBOT_DB_ENGINE",
        "NAUTOBOT_CACHES_BACKEND",
        "NAUTOBOT_CELERY_BROKER_URL",
    ):
        # Neither PostgreSQL nor Redis would be looked at.
        del env[name]

    with pytest.raises(SettingsError):
        configure(base(env), env)


@given(ENVIRONMENTS)
def test_configuration_never_changes_its_inputs(env):
    namespace = base(env)
    before = copy.deepcopy(namespace)

    evaluate(MappingProxyType(namespace), MappingProxyType(env), check_files=passes)

    assert namespace == before


@given(ENVIRONMENTS)
def test_second_run_changes_nothing(env):
    first = evaluate(base(env), env, check_files=passes)
    second = evaluate({**base(env), **first.settings}, env, check_files=passes)

    assert second.settings == first.settings


@given(ENVIRONMENTS, st.permutations(FRAGMENTS))
def test_fragments_in_any_order_give_the_same_settings(env, order):
    """Their order makes no difference, once it is known which URLs speak TLS."""
    order = sorted(order, key=lambda fragment: fragment is connection_settings)
    expected = evaluate(base(env), env).settings

    settings = base(env)
    for fragment in order:
        settings |= fragment(settings, env, problems=[])

    assert {name: settings[name] for name in expected} == expected


@given(ENVIRONMENTS, st.sampled_from(FRAGMENTS))
def test_fragment_without_base_returns_a_dict(env, fragment):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingsWarning)
        try:
            settings = fragment({}, env)
        except SettingsError:
            return

    assert type(settings) is dict


class Recording(dict):
    """An environment that remembers what it was asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.read = set()

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


SWITCHES = {
    "NAUTOBOT_DB_SSLMODE": ["", "verify-full", "require"],
    "UNDERSTACK_CONNECTION_PROFILE": ["", "wan"],
    "UNDERSTACK_HARDENING": ["", "on"],
    "UNDERSTACK_REDIS_MTLS": ["", "on"],
}


def test_only_known_variables_are_read():
    read = set()
    for values in itertools.product(*SWITCHES.values()):
        env = Recording(zip(SWITCHES, values, strict=True))
        evaluate(base_settings(env), env, check_files=passes)
        read |= env.read

    assert read <= set(NAMES)


@pytest.mark.parametrize(
    "env",
    [
        {
            "NAUTOBOT_SECRET_KEY": KEY,
            "NAUTOBOT_DB_SSLMODE": "verify-full",
            "UNDERSTACK_REDIS_MTLS": "on",
        },
        {
            f"NAUTOBOT_{name}_FILE": f"/nowhere/{name}"
            for name in ("SECRET_KEY", "DB_PASSWORD", "REDIS_PASSWORD")
        },
    ],
    ids=["certificates", "secrets"],
)
def test_missing_volume_is_one_paragraph(env):
    with pytest.raises(SettingsError) as caught:
        configure({}, env)

    volume, more = str(caught.value).split("\n\n")
    *files, remedy = volume.splitlines()
    assert len(files) == len(caught.value.problems)
    assert remedy.startswith("Mount the secret ")
    assert more.startswith("More about a code: ")
