"""The reference holds what is declared, and what is declared is what is read."""

import ast
import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import understack_nautobot_settings
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.commands import reference
from understack_nautobot_settings.commands.show import shown
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import Choice
from understack_nautobot_settings.environment.kinds import Flag
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.kinds import Number
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.worker import probe_heartbeat
from understack_nautobot_settings.problems import Code

PACKAGE = Path(understack_nautobot_settings.__file__).parent
DOCS = PACKAGE.parent / "docs" / "reference"
DECLARED = [one.name for one in variables.VARIABLES]


# --- the documentation ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("variables.md", reference.variables_markdown()),
        ("problems.md", reference.problems_markdown()),
    ],
)
def test_reference_page_equals_the_command_output(name, text):
    """`understack-nautobot-settings reference [problems] > docs/reference/…`."""
    assert (DOCS / name).read_text(encoding="utf-8") == text


def test_every_variable_is_in_the_reference_once():
    rows = re.findall(r"^\| `([A-Z0-9_]+)`", reference.variables_markdown(), re.M)

    assert sorted(rows) == sorted(DECLARED)


def test_reference_rows_have_the_right_number_of_columns():
    tables = reference.variables_markdown() + reference.problems_markdown()

    for line in tables.splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 6)


def test_every_code_is_in_the_reference_once():
    rows = re.findall(r"^### `([a-z0-9-]+)`", reference.problems_markdown(), re.M)

    assert rows == [code.id for code in reference.codes()]


def test_code_stands_under_its_own_name():
    declared = {
        name: one.id
        for room in reference.ROOMS.values()
        for name, one in vars(room).items()
        if isinstance(one, Code)
    }

    assert [name.lower().replace("_", "-") for name in declared] == [*declared.values()]


# --- variables -----------------------------------------------------------------


def test_names_are_declared_once():
    names = [name for one in variables.VARIABLES for name in one.names]

    assert len(names) == len(set(names))


def test_every_concern_has_a_heading():
    assert {one.concern for one in variables.VARIABLES} == set(reference.CONCERNS)


def test_every_concern_is_a_fragment_or_a_package_folder():
    for concern in reference.CONCERNS:
        fragment = PACKAGE / "fragments" / f"{concern}.py"
        assert fragment.is_file() or (PACKAGE / concern).is_dir()


def test_every_variable_has_a_help_sentence():
    for one in variables.VARIABLES:
        assert one.help.endswith("."), one


def test_default_of_variable_is_a_valid_value():
    for one in variables.VARIABLES:
        text = reference.default_text(one)
        if text:
            problems = []
            assert Reader({one.name: text}, problems)(one) == one.default, one
            assert problems == []


class Recording(Mapping):
    """An environment that remembers which names were asked for."""

    def __init__(self, content):
        self.content = content
        self.asked = set()

    def __getitem__(self, name):
        self.asked.add(name)
        return self.content[name]

    def __iter__(self):
        return iter(self.content)

    def __len__(self):
        return len(self.content)


def everything_set(directory):
    """Return an environment that sets every variable to something valid."""
    (directory / "secret").write_text("secret-0123456789" * 4)
    (directory / "json").write_text("{}")
    env = {}
    for one in variables.VARIABLES:
        if isinstance(one.kind, Choice):
            env[one.name] = one.kind.words[-1]
        elif isinstance(one.kind, Flag):
            env[one.name] = "true"
        elif isinstance(one.kind, JsonObject):
            env[one.name] = "{}"
        elif isinstance(one.kind, Number):
            env[one.name] = reference.default_text(one) or "5432"
        else:
            env[one.name] = reference.default_text(one) or "value"
        if one.by_file:
            env[one.file_name] = str(directory / "secret")
    env["NAUTOBOT_DB_ENGINE"] = "django.db.backends.postgresql"
    env["NAUTOBOT_DB_SSLMODE"] = "verify-full"
    env["UNDERSTACK_SSO_DIR"] = str(directory)
    return env


def asked(env):
    recording = Recording(env)
    inspect_environment(recording)
    with contextlib.suppress(Failed):
        probe_heartbeat(Attempt("worker", 1), recording)
    return recording.asked


@pytest.mark.parametrize("filled", [False, True], ids=["nothing set", "everything set"])
def test_only_known_variables_are_read(tmp_path, filled):
    """But for the variables of Nautobot and libpq, which are known to be theirs."""
    env = everything_set(tmp_path) if filled else {}

    names = {name for one in variables.VARIABLES for name in one.names}

    shows = Recording(env)
    shown(settings_provenance(shows), shows)
    read = asked(env) | shows.asked
    assert read - names - NAUTOBOT_NAMES - set(LIBPQ_VARIABLES) == set()


def test_every_declared_variable_is_read(tmp_path):
    """In one mode or another; what a mode does not use is not looked at."""
    env = everything_set(tmp_path)
    plain = {
        **env,
        "NAUTOBOT_CELERY_BROKER_URL": "",
        "CELERY_TASK_QUEUES": "",
        "NAUTOBOT_REDIS_SCHEME": "rediss",
        "UNDERSTACK_REDIS_MTLS": "on",
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org",
    }

    names = {name for one in variables.VARIABLES for name in one.names}
    assert names - asked(env) - asked(plain) == set()


def test_variable_names_are_written_in_declarations_only():
    """Names of variables stand in the declarations, and nowhere else in the code."""
    elsewhere = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name.endswith("variables.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in DECLARED:
                elsewhere.setdefault(path.name, []).append(node.value)
    # The names of these settings are those of their variables.
    own = ("UNDERSTACK_PARTITION", "UNDERSTACK_SITE", "SOCIAL_AUTH_OIDC_", "CELERY_")
    found = {
        name: [one for one in names if not one.startswith(own)]
        for name, names in elsewhere.items()
    }
    assert {name: names for name, names in found.items() if names} == {}


# --- forms of the reference ----------------------------------------------------


def test_schema_describes_every_variable():
    schema = json.loads(reference.variables_schema())

    names = {name for one in variables.VARIABLES for name in one.names}
    assert set(schema["properties"]) == names
    words, _ = schema["properties"]["NAUTOBOT_DB_SSLMODE"]["anyOf"]
    assert words["enum"] == [
        "verify-full",
        "verify-ca",
        "require",
        "disable",
        "",
    ]
    assert schema["properties"]["NAUTOBOT_DB_PASSWORD"]["writeOnly"] is True
    assert "default" not in schema["properties"]["NAUTOBOT_DB_SSLMODE"]


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("UNDERSTACK_EXPIRY_WARNING", "30", True),
        ("UNDERSTACK_EXPIRY_WARNING", "", True),
        ("UNDERSTACK_EXPIRY_WARNING", "soon", False),
        ("UNDERSTACK_REDIS_CONNECT_TIMEOUT", "0.5", True),
        ("NAUTOBOT_DB_PORT", "5432, 5433", True),
        ("NAUTOBOT_DB_PORT", "tcp://10.0.0.1:5432", False),
    ],
)
def test_schema_pattern_accepts_exactly_the_valid_values(name, value, taken):
    schema = json.loads(reference.variables_schema())["properties"][name]

    assert bool(re.search(schema["pattern"], value)) is taken


def test_schema_accepts_defaults_and_refuses_typos():
    schema = json.loads(reference.variables_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    defaults = {one.name: reference.default_text(one) for one in variables.VARIABLES}

    assert [one.message for one in validator.iter_errors(defaults)] == []
    assert list(validator.iter_errors({"NAUTOBOT_REDIS_SSL": "ture"}))
    assert list(validator.iter_errors({"NAUTOBOT_DB_SSLMODE": "verify_full"}))


SCHEMA = jsonschema.Draft202012Validator(json.loads(reference.variables_schema()))
TEXTS = st.sampled_from(
    [
        *("true", "YES", "oN", "0", "ture", '"true"', "verify-full", "Verify-Full"),
        *("auto", "wan", "web", "none", "json", "5", "5.", ".5", ".", "1.5.2", "-1"),
        *("1e3", "1_0", "\u0663", "5432,", "5432, 5433", "tcp://10.0.0.1:6379", "a,b"),
    ]
)
BLANKS = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


@given(
    st.sampled_from(variables.VARIABLES),
    st.builds("".join, st.tuples(BLANKS, TEXTS | st.text(), BLANKS)),
)
def test_schema_refuses_nothing_that_is_taken(variable, text):
    problems = []
    Reader({variable.name: text}, problems)(variable)
    is_valid = SCHEMA.is_valid({variable.name: text})

    assert is_valid or problems
    if isinstance(variable.kind, Choice | Flag):
        assert is_valid is not bool(problems)


def test_schema_patterns_compile_without_flags_inside():
    """Programs in JavaScript refuse the whole schema for one ``(?i:``."""
    assert "(?" not in reference.variables_schema()


def test_env_file_names_every_variable_and_sets_none():
    lines = reference.variables_env_file().splitlines()

    assert all(line.startswith("#") or not line for line in lines)
    assert all(len(line) <= 80 for line in lines if not re.match(r"#[A-Z]", line))
    names = [name for one in variables.VARIABLES for name in one.names]
    assigned = [
        line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z]", line)
    ]
    assert sorted(assigned) == sorted(names)


# --- problem codes -------------------------------------------------------------


def test_codes_are_unique_and_well_formed():
    ids = [code.id for code in reference.codes()]

    assert len(ids) == len(set(ids))
    for code in reference.codes():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code.id)
        assert code.severity in ("error", "warning")
        for prose in (code.cause, code.fix):
            assert prose.endswith("."), code.id


def test_every_code_is_used():
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.name != "codes.py"
    )
    unused = [
        name
        for room in reference.ROOMS.values()
        for name, value in vars(room).items()
        if isinstance(value, Code) and not re.search(rf"\b{name}\b", source)
    ]
    assert unused == []


TROUBLESHOOTING = {
    # The client's side of the tables; the operator of PostgreSQL has rows of its own.
    "Worker pod fails to start with FileNotFoundError",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"',
    'PostgreSQL rejects connection with "certificate verify failed"',
    'PostgreSQL rejects with "no pg_hba.conf entry"',
    'Redis connection refused with "certificate verify failed"',
    "Redis connection refused with TLS error",
    "Envoy Gateway not routing traffic",
    "PEM data with carriage returns",
    "connection requires a valid client certificate",
    "certificate authentication failed for user",
    "SSL error: certificate has expired",
    "The worker pod stays running but all tasks fail",
}


def test_troubleshooting_rows_are_all_replaced_by_codes():
    replaced = {
        row
        for code in reference.codes()
        for row in code.replaces.split("; ")
        if code.replaces
    }

    assert replaced == TROUBLESHOOTING


def test_package_never_reads_os_environ_directly():
    """Outside the tests, nothing reads `os.environ` but as a default."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "getenv" not in text, path
        assert "os.environ[" not in text, path
