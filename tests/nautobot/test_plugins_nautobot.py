"""What Nautobot itself makes of the plugins that the library hands to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CONFIG = """
from nautobot.core.settings import *
from understack_nautobot_settings import plugin_settings

globals().update(plugin_settings(globals()))
"""
LOAD = """
import json, sys
import nautobot.core.settings
from nautobot.core.cli import load_settings

load_settings(sys.argv[1])

import nautobot_config
from understack_nautobot_settings.fragments.plugins import DEFAULTS

print(json.dumps({
    "plugins": nautobot_config.PLUGINS,
    "config": nautobot_config.PLUGINS_CONFIG,
    "apps": nautobot_config.INSTALLED_APPS,
    "defaults": DEFAULTS,
    "of core": [nautobot.core.settings.PLUGINS, nautobot.core.settings.PLUGINS_CONFIG],
}))
"""
BROKEN = "import a_dependency_that_nobody_installed\n"
PLUGIN = """
from nautobot.apps import NautobotAppConfig

class Config(NautobotAppConfig):
    name = "lab_plugin"
    verbose_name = "Lab plugin"
    version = "1.0"
    base_url = "lab-plugin"
    required_settings = ["token"]
    default_settings = {"retries": 3}

config = Config
"""


class Loading(NamedTuple):
    """How loading the settings file went."""

    status: int
    output: str
    errors: str


@pytest.fixture
def load(tmp_path: Path):
    """Load a settings file as `nautobot-server` does, plugins included."""
    config = tmp_path / "nautobot_config.py"
    config.write_text(CONFIG)
    packages = tmp_path / "packages"

    def loading(**env: str) -> Loading:
        root = Path(__file__).parents[2]
        run = subprocess.run(
            [sys.executable, "-c", LOAD, str(config)],
            env={
                "PATH": os.defpath,
                "PYTHONPATH": f"{packages}{os.pathsep}{root}",
                "NAUTOBOT_ROOT": str(tmp_path),
                "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
                **env,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Loading(run.returncode, run.stdout, run.stderr)

    def package(name: str, text: str) -> None:
        directory = packages / name
        directory.mkdir(parents=True)
        (directory / "__init__.py").write_text(text)

    loading.package = package
    return loading


def test_nautobot_loads_default_and_extra_plugins(load):
    """With the defaults of the library below what the environment says."""
    load.package("lab_plugin", PLUGIN)
    config = {
        "lab_plugin": {"token": "${LAB_TOKEN}"},
        "nautobot_golden_config": {"per_feature_width": 7},
    }

    loading = load(
        NAUTOBOT_EXTRA_PLUGINS="lab_plugin",
        NAUTOBOT_EXTRA_PLUGINS_CONFIG=json.dumps(config),
        LAB_TOKEN="s3cret$",
    )

    assert loading.status == 0, loading.errors
    found = json.loads(loading.output.splitlines()[-1])
    assert found["plugins"] == [
        "nautobot_plugin_nornir",
        "nautobot_golden_config",
        "lab_plugin",
    ]
    assert {
        "nautobot_plugin_nornir.NautobotPluginNornirConfig",
        "nautobot_golden_config.GoldenConfig",
        "lab_plugin.Config",
    } <= {*found["apps"]}
    assert found["config"]["lab_plugin"] == {"token": "s3cret$", "retries": 3}
    golden = found["config"]["nautobot_golden_config"]
    assert golden["per_feature_width"] == 7
    assert golden["enable_postprocessing"] is True
    assert found["config"]["nautobot_plugin_nornir"]["nornir_settings"]["runner"] == {
        "plugin": "threaded",
        "options": {"num_workers": 20},
    }


def test_plugin_defaults_written_by_nautobot_change_nothing_else(load):
    """Nautobot adds the defaults of each plugin to the dicts it is given."""
    loading = load()

    assert loading.status == 0, loading.errors
    found = json.loads(loading.output.splitlines()[-1])
    ours = found["defaults"]["nautobot_golden_config"]
    assert found["config"]["nautobot_golden_config"].keys() > ours.keys()
    assert "enable_plan" not in ours
    assert found["of core"] == [[], {}]


def test_plugin_with_missing_dependency_stops_nautobot_with_import_error(load):
    """Skipped in silence, its jobs would vanish from one pod only."""
    load.package("lab_broken", BROKEN)

    loading = load(NAUTOBOT_EXTRA_PLUGINS="lab_broken")

    assert loading.status == 1
    assert loading.errors.splitlines()[-1] == (
        "ModuleNotFoundError: No module named 'a_dependency_that_nobody_installed'"
    )


def test_default_plugin_that_fails_on_import_stops_nautobot(load):
    """The package on the path comes before the one that is installed."""
    load.package("nautobot_golden_config", "raise ImportError('half an upgrade')\n")

    loading = load()

    assert loading.status == 1
    assert loading.errors.splitlines()[-1] == "ImportError: half an upgrade"


def test_module_that_is_not_a_plugin_is_refused_by_nautobot(load):
    loading = load(NAUTOBOT_EXTRA_PLUGINS="this")

    assert loading.status == 1
    assert loading.errors.splitlines()[-1].startswith(
        "nautobot.extras.plugins.exceptions.PluginImproperlyConfigured: "
        "Plugin this does not provide a 'config' variable."
    )


def test_plugin_that_is_not_installed_gives_a_warning(load):
    loading = load(NAUTOBOT_EXTRA_PLUGINS="nowhere")

    assert loading.status == 0, loading.errors
    assert "nowhere" not in json.loads(loading.output.splitlines()[-1])["plugins"]
    assert (
        "SettingsWarning: NAUTOBOT_EXTRA_PLUGINS: 'nowhere' is not installed and is "
        "skipped. Install it in the image, or correct the name."
    ) in loading.errors


def test_unset_reference_stops_nautobot_without_showing_a_secret(load):
    load.package("lab_plugin", PLUGIN)

    loading = load(
        NAUTOBOT_EXTRA_PLUGINS="lab_plugin",
        NAUTOBOT_EXTRA_PLUGINS_CONFIG=(
            '{"lab_plugin": {"token": "${LAB_TOKEN}", "other": "c4n4ry"}}'
        ),
    )

    assert loading.status == 1
    assert (
        "understack_nautobot_settings.problems.SettingsError: "
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG: lab_plugin.token refers to LAB_TOKEN, which "
        "is not set. Set the variable, or give a default, as in ${NAME:-text}. "
        "[reference-unset]"
    ) in loading.errors.splitlines()
    assert "c4n4ry" not in loading.output + loading.errors
