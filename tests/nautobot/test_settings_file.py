"""`show --config` and `check --config` speak of what a real settings file makes."""

import json
import os
import subprocess
import sys

import pytest

KEY = "key-0123456789" * 4
CALL = "from understack_nautobot_settings import configure\nconfigure(globals())\n"
BY_HAND = """
import os
from nautobot.core.settings import *

DATABASES["default"]["OPTIONS"] = {"sslmode": os.environ["NAUTOBOT_DB_SSLMODE"]}
DATABASES["default"]["CONN_MAX_AGE"] = 7
PLUGINS_CONFIG = {"p": {"snmp_community": "c4n4ry"}}
EMAIL_HOST_PASSWORD = "c4n4ry"
NAPALM_PASSWORD = "c4n4ry"
TIME_ZONE = "Europe/Berlin"
print("c4n4ry")
"""


@pytest.fixture
def run(tmp_path):
    def command(name, text, *argv, **variables):
        file = tmp_path / "nautobot_config.py"
        file.write_text(text)
        env = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "NAUTOBOT_ROOT": str(tmp_path / "nautobot"),
            "NAUTOBOT_SECRET_KEY": KEY,
            "NAUTOBOT_DB_SSLMODE": "require",
            **variables,
        }
        program = [sys.executable, "-m", "understack_nautobot_settings", name]
        process = subprocess.run(
            [*program, "--config", str(file), *argv],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "c4n4ry" not in process.stdout
        return process.returncode, process.stdout, process.stderr, file

    return command


def test_file_by_hand_is_shown_with_the_source_of_each_value(run):
    status, stdout, _, file = run("show", BY_HAND, "--json")

    found = json.loads(stdout)
    settings, sources = found["settings"], found["sources"]
    assert status == 0
    assert settings["DATABASES"]["default"]["OPTIONS"] == {"sslmode": "require"}
    assert settings["EMAIL_HOST_PASSWORD"] == "***"
    assert settings["PLUGINS_CONFIG"] == {"p": {"snmp_community": "***"}}
    assert settings["TIME_ZONE"] == "Europe/Berlin"
    assert sources["TIME_ZONE"] == f"file {file}"
    assert sources["DATABASES.default.OPTIONS.sslmode"] == f"file {file}"
    assert sources["DATABASES.default.CONN_MAX_AGE"] == f"file {file}"
    assert sources["DATABASES.job_logs.CONN_MAX_AGE"] == f"file {file}"
    assert sources["DATABASES.default.NAME"] == "base"
    assert sources["SECRET_KEY"] == "variable NAUTOBOT_SECRET_KEY"
    assert sources["LANGUAGE_CODE"] == "base"


def test_what_apps_add_to_a_file_has_base_as_source(run):
    text = BY_HAND + "TEMPLATES[0]['OPTIONS']['context_processors'].append('x')\n"
    stdout = run("show", text + CALL, "--json")[1]

    found = json.loads(stdout)
    sources, loaded = found["sources"], found["settings"]["PLUGINS"]
    assert "nautobot_golden_config" in loaded
    assert sources["INSTALLED_APPS"] == "base"
    assert sources["PLUGINS_CONFIG.nautobot_golden_config.enable_plan"] == "base"
    assert sources["LOGGING_CONFIG"] == "default"
    assert sources["TEMPLATES"].startswith("file ")


def test_diff_shows_only_what_configure_changes(run, tmp_path):
    before = tmp_path / "before.json"
    before.write_text(run("show", BY_HAND, "--json")[1])

    assert run("show", BY_HAND, "--diff", str(before))[:2] == (
        0,
        "The settings are the same; secrets are not compared.\n",
    )
    status, stdout, _, _ = run("show", BY_HAND + CALL, "--diff", str(before), "--json")

    changed = {one["setting"] for one in json.loads(stdout)["differences"]}
    assert status == 1
    assert "DATABASES.default.OPTIONS.connect_timeout" in changed
    assert "DATABASES.default.OPTIONS.sslmode" not in changed
    assert "TIME_ZONE" not in changed
    groups = {name.partition(".")[0] for name in changed}
    plugins = ("PLUGINS", "CONSTANCE", "INSTALLED_APPS", "MIDDLEWARE")
    assert {name for name in groups if not name.startswith(plugins)} == {
        *("CACHES", "CELERY_BROKER_TRANSPORT_OPTIONS", "DATABASES", "LOGGING_CONFIG"),
        *("UNDERSTACK_PARTITION", "UNDERSTACK_SITE"),
    }


def test_value_decided_by_library_has_its_variable_as_source(run):
    stdout = run("show", BY_HAND + CALL, "--json", UNDERSTACK_PARTITION="a")[1]

    sources = json.loads(stdout)["sources"]
    assert sources["UNDERSTACK_PARTITION"] == "variable UNDERSTACK_PARTITION"
    assert sources["DATABASES.default.OPTIONS.connect_timeout"] == "default"


@pytest.mark.parametrize(
    ("below", "code"),
    [
        pytest.param(
            'DATABASES["default"]["OPTIONS"] = {}', "tls-not-in-force", id="OPTIONS"
        ),
        pytest.param('UNDERSTACK_SITE = "b"', "setting-replaced", id="site"),
    ],
)
def test_check_reports_values_replaced_below_configure(run, below, code):
    variables = {"UNDERSTACK_SITE": "a"}
    file = BY_HAND.replace("PLUGINS_CONFIG =", "IGNORED =") + CALL
    _, stdout, _, _ = run("check", file + below, "--json", **variables)

    assert [one["code"] for one in json.loads(stdout)["problems"]] == [code]


@pytest.mark.parametrize(
    ("call", "expected"), [("", ["configure-not-called"]), (CALL, [])]
)
def test_check_reports_a_file_that_does_not_call_configure(run, call, expected):
    """Variables that the file does not read are in force nowhere."""
    file = BY_HAND.replace("PLUGINS_CONFIG =", "IGNORED =") + call
    _, stdout, _, _ = run("check", file, "--json", UNDERSTACK_PARTITION="a")

    assert [one["code"] for one in json.loads(stdout)["problems"]] == expected


def test_file_that_loses_tls_without_configure_is_one_error(run):
    file = "from nautobot.core.settings import *\n"
    variables = {"NAUTOBOT_DB_HOST": "db", "NAUTOBOT_REDIS_SSL_CA_CERTS": "/nowhere"}
    status, stdout, _, path = run("check", file, "--without-files", **variables)

    assert status == 1
    assert stdout == (
        f"error configure-not-called configure: {path} does not call it, so TLS is "
        "not required for database, cache and broker. Call configure(globals()) in the "
        "last line of the settings file. For a Redis without TLS set "
        "UNDERSTACK_REDIS_MTLS=off.\n1 error, 0 warnings\n"
    )


def test_variable_that_the_file_sets_is_the_source_of_what_it_decides(run):
    file = "from nautobot.core.settings import *\nimport os\n"
    file += 'os.environ["UNDERSTACK_SITE"] = "a"\n'

    found = json.loads(run("show", file + CALL, "--json")[1])

    assert found["settings"]["UNDERSTACK_SITE"] == "a"
    assert found["sources"]["UNDERSTACK_SITE"] == "variable UNDERSTACK_SITE"


OWN = """
import os
from nautobot.core.settings import *
from understack_nautobot_settings import configure

environment = {"UNDERSTACK_PARTITION": "a", **os.environ}
"""


def test_environment_given_to_the_call_is_the_one_that_is_shown(run):
    found = json.loads(
        run("show", OWN + "configure(globals(), environment)", "--json")[1]
    )

    assert found["settings"]["UNDERSTACK_PARTITION"] == "a"
    assert found["sources"]["UNDERSTACK_PARTITION"] == "variable UNDERSTACK_PARTITION"


WRONG = 'environment["NAUTOBOT_DB_SSLMODE"] = "prefer"\n'
SWALLOWED = """
try:
    configure(globals(), environment)
except ValueError:
    pass
"""


@pytest.mark.parametrize(
    "call",
    [
        "configure(globals(), environment)",
        SWALLOWED,
        "configure(globals())\nconfigure(globals(), environment)",
    ],
    ids=["raised", "swallowed", "by a second call"],
)
def test_check_reports_what_a_call_refuses_in_an_environment_of_its_own(run, call):
    _, stdout, _, _ = run("check", OWN + WRONG + call, "--json")

    found = json.loads(stdout)["problems"]
    assert {one["code"] for one in found if one["severity"] == "error"} == {
        "value-invalid"
    }


def test_check_names_the_line_of_a_syntax_error(run):
    status, _, stderr, file = run("check", BY_HAND + "x = (\n")

    line = BY_HAND.count("\n") + 1
    assert status == 2
    assert f"{file}: line {line} raises SyntaxError" in stderr


def test_check_names_the_place_where_a_plugin_breaks(run, tmp_path):
    package = tmp_path / "breaks"
    package.mkdir()
    (package / "__init__.py").write_text("import c4n4ry\n")
    text = f"""
import sys
from nautobot.core.settings import *

sys.path.append({str(tmp_path)!r})
{CALL}"""

    status, _, stderr, file = run("check", text, NAUTOBOT_EXTRA_PLUGINS="breaks")

    assert status == 2
    assert stderr.endswith(
        f"{file}: what Nautobot makes of the plugin 'breaks' raises "
        f"ModuleNotFoundError (line 1 of {package}/__init__.py), whose text is not "
        "shown since it may hold a secret. To see it: nautobot-server --config-path "
        f"{file} check\n"
    )


def test_check_names_the_plugin_that_nautobot_refuses(run):
    """Nautobot's own line, which raises, is the same for every plugin."""
    text = f"from nautobot.core.settings import *\n\nPLUGINS = ['json']\n{CALL}"

    status, _, stderr, file = run("check", text, UNDERSTACK_DEFAULT_PLUGINS="off")

    assert status == 2
    assert (
        f"{file}: what Nautobot makes of the plugin 'json' raises "
        "PluginImproperlyConfigured (line "
    ) in stderr


def test_plugin_configuration_as_deep_as_the_parser_takes_is_loaded(run):
    deep = '{"p": {"a": ' + "[" * 900 + "]" * 900 + "}}"
    file = f"from nautobot.core.settings import *\n{CALL}"

    status, _, stderr, _ = run("check", file, NAUTOBOT_EXTRA_PLUGINS_CONFIG=deep)

    assert (status, stderr) == (0, "")


def test_check_of_file_without_mount_judges_the_environment_only(run):
    """All of the environment is judged, and nothing of what is not mounted."""
    variables = {
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_PASSWORD_FILE": "/nowhere/password",
        "NAUTOBOT_DB_USER": "app",
        "UNDERSTACK_PARTITION": "a b",
    }
    file = BY_HAND.replace("PLUGINS_CONFIG =", "IGNORED =") + CALL
    argv = ("check", file, "--without-files", "--json")
    status, stdout, _, _ = run(*argv, **variables)

    found = json.loads(stdout)
    assert (status, found["certificates"]) == (1, [])
    assert {one["code"] for one in found["problems"]} == {"site-name-invalid"}


def test_variable_set_below_configure_is_reported(run):
    file = BY_HAND.replace("PLUGINS_CONFIG =", "IGNORED =") + CALL
    below = "os.environ['CELERY_BROKER_URL'] = 'c4n4ry'\n"
    argv = ("check", file + below, "--json")
    _, stdout, _, _ = run(*argv, NAUTOBOT_REDIS_SSL="true")

    found = {one["variable"]: one["code"] for one in json.loads(stdout)["problems"]}
    assert found == {"CELERY_BROKER_URL": "tls-not-in-force"}


def test_settings_file_with_env_file_reads_that_environment(run, tmp_path):
    other = tmp_path / "pod.env"
    other.write_text(
        f"NAUTOBOT_SECRET_KEY={KEY}\nNAUTOBOT_DB_SSLMODE=disable\n"
        f"NAUTOBOT_ROOT={tmp_path / 'nautobot'}\nNAUTOBOT_DB_HOST=there\n"
    )
    stdout = run("show", BY_HAND, "--json", "--env-file", str(other))[1]

    database = json.loads(stdout)["settings"]["DATABASES"]["default"]
    assert (database["HOST"], database["OPTIONS"]) == ("there", {"sslmode": "disable"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("x = 1\nraise KeyError('c4n4ry')\n", "line 2 raises KeyError"),
        pytest.param("import sys\nsys.exit('c4n4ry')\n", "line 2 raises SystemExit"),
        pytest.param("x = (\n", "raises SyntaxError"),
        pytest.param("x = 1\n", "what Nautobot makes of it raises AttributeError"),
    ],
    ids=["exception", "exit", "syntax", "no settings"],
)
def test_file_that_cannot_be_loaded_is_reported_with_the_line(run, text, said):
    status, stdout, stderr, file = run("check", text)

    assert (status, stdout) == (2, "")
    assert stderr.startswith(f"understack-nautobot-settings check: --config: {file}: ")
    assert said in stderr
    assert "c4n4ry" not in stderr
