"""What is known of Nautobot's own variables, held against its source."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from understack_nautobot_settings.environment.nautobot_variables import EMPTY_IS_UNSET
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.nautobot_variables import READINGS
from understack_nautobot_settings.environment.variables import VARIABLES

CORE = Path(importlib.util.find_spec("nautobot").origin).parent / "core"
SOURCES = [CORE / "settings.py", CORE / "settings_funcs.py"]
KNOWN = NAUTOBOT_NAMES | {name for one in VARIABLES for name in one.names}
NOUNS = {
    "int": "a whole number",
    "is_truthy": "a boolean",
    "float": "a number",
    "json.loads": "JSON",
    "datetime.date.fromisoformat": "a date",
}


def read_name(node):
    """Return the variable that an expression reads, None where it reads none."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.getenv":
        return node.args[0].value
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
        return node.slice.value
    return None


def reads():
    """Yield name, conversion and whether an empty value is looked at, for each."""
    for source in SOURCES:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        parents = {
            child: node
            for node in ast.walk(tree)
            for child in ast.iter_child_nodes(node)
        }
        for node in ast.walk(tree):
            name = read_name(node)
            if name is None or not name.startswith("NAUTOBOT_"):
                continue
            conversion, guarded, above = None, False, node
            while above in parents:
                above = parents[above]
                if isinstance(above, ast.Call):
                    function = ast.unparse(above.func)
                    conversion = NOUNS.get(function, conversion)
                if isinstance(above, ast.If) and name in ast.unparse(above.test):
                    guarded = True
                if isinstance(above, ast.ListComp) and "int(" in ast.unparse(above.elt):
                    conversion = "whole numbers separated by commas"
            yield name, conversion, guarded


def test_every_variable_that_nautobot_reads_is_known():
    names = {name for name, _, _ in reads()}

    assert len(names) > 100
    assert names - KNOWN == set()


def test_conversions_of_nautobot_are_all_known():
    known = {name: one for one in READINGS for name in one.names}
    converted = {name: noun for name, noun, _ in reads() if noun is not None}

    assert len(converted) > 40
    assert {name: known[name].noun for name in converted} == converted


def test_empty_values_that_nautobot_treats_as_unset_are_known():
    converted = [(name, guarded) for name, noun, guarded in reads() if noun]

    assert {name: name in EMPTY_IS_UNSET for name, _ in converted} == dict(converted)


# --- show --with-nautobot ------------------------------------------------------


def show(*argv, **env):
    return subprocess.run(
        [sys.executable, "-m", "understack_nautobot_settings", "show", *argv],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "NAUTOBOT_SECRET_KEY": "c4n4ry" * 10,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_real_settings_of_nautobot_can_be_extended():
    process = show(
        "--with-nautobot",
        "--json",
        NAUTOBOT_DB_PASSWORD="c4n4ry",
        UNDERSTACK_LOG_FORMAT="json",
    )

    assert "c4n4ry" not in process.stdout + process.stderr
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert "django_structlog" in found["settings"]["INSTALLED_APPS"]
    assert found["sources"]["INSTALLED_APPS"] == "variable UNDERSTACK_LOG_FORMAT"
    assert found["sources"]["DATABASES.default.CONN_MAX_AGE"] == "base"


def test_real_settings_of_nautobot_are_those_of_the_environment_file(tmp_path):
    file = tmp_path / "env"
    file.write_text(f"NAUTOBOT_SECRET_KEY={'c4n4ry' * 10}\nNAUTOBOT_DB_HOST=there\n")
    argv = ("--with-nautobot", "--json", "--env-file", str(file))

    found = json.loads(show(*argv, NAUTOBOT_DB_HOST="here").stdout)

    assert found["settings"]["DATABASES"]["default"]["HOST"] == "there"


def test_both_base_settings_agree():
    alone = json.loads(show("--json").stdout)["settings"]
    real = json.loads(show("--json", "--with-nautobot").stdout)["settings"]

    def same(ours, theirs):
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return all(same(value, theirs.get(key)) for key, value in ours.items())
        return ours == theirs

    for setting in (
        "DATABASES",
        "CACHES",
        "CELERY_BROKER_URL",
        "PLUGINS",
        "SECRET_KEY",
    ):
        assert same(alone[setting], real[setting]), setting


def test_value_that_stops_nautobot_is_not_shown():
    process = show("--with-nautobot", NAUTOBOT_REDIS_SSL="c4n4ry")

    assert process.returncode == 2
    assert process.stderr.endswith(
        "understack-nautobot-settings show: Nautobot's own settings raise ValueError; "
        "'check' tells why.\n"
    )
    assert "c4n4ry" not in process.stdout + process.stderr
