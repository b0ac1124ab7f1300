import copy
import json
import os
import subprocess
import sys
import traceback
import types
import zipfile
from collections import ChainMap
from collections import OrderedDict
from collections import UserDict
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import plugin_settings
from understack_nautobot_settings.fragments.plugins import is_installed
from understack_nautobot_settings.fragments.plugins import modules_of_distribution

NORNIR = {
    "nornir_settings": {
        "credentials": (
            "nautobot_plugin_nornir.plugins.credentials.nautobot_secrets"
            ".CredentialsNautobotSecrets"
        ),
        "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
    },
    "use_config_context": {"connection_options": True},
}
GOLDEN = {
    "per_feature_bar_width": 0.15,
    "per_feature_width": 13,
    "per_feature_height": 4,
    "enable_backup": True,
    "enable_compliance": True,
    "enable_intended": True,
    "enable_sotagg": True,
    "enable_postprocessing": True,
    "sot_agg_transposer": None,
    "platform_slug_map": None,
    "postprocessing_callables": [],
    "postprocessing_subscribed": [],
}
BOTH = {"nautobot_plugin_nornir": NORNIR, "nautobot_golden_config": GOLDEN}
CANARY = "c4n4ry-s3cret"
VARIABLE = "NAUTOBOT_EXTRA_PLUGINS_CONFIG"


def everything(name):
    return True


def nothing(name):
    return False


def extra(config, **env):
    return {VARIABLE: config if isinstance(config, str) else json.dumps(config), **env}


# --- which plugins ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugins", "names", "installed", "expected"),
    [
        ([], "", (), []),
        ([], "", tuple(BOTH), [*BOTH]),
        ([], "", ("nautobot_golden_config",), ["nautobot_golden_config"]),
        (["mine"], "", (), ["mine"]),
        (["mine"], "b,a", (*BOTH, "a", "b"), ["mine", *BOTH, "b", "a"]),
        (["a", "a"], " a ,,b, b,a", ("a", "b"), ["a", "b"]),
        (
            ["nautobot_golden_config", "mine"],
            "nautobot_plugin_nornir",
            tuple(BOTH),
            ["nautobot_golden_config", "mine", "nautobot_plugin_nornir"],
        ),
        ([], "package.module", ("package.module",), ["package.module"]),
    ],
    ids=[
        "none",
        "defaults",
        "one default",
        "the base without asking",
        "base, defaults, extras in order",
        "each once",
        "order of the base",
        "dotted",
    ],
)
def test_plugins_load_in_order_of_base_defaults_and_extras(
    plugins, names, installed, expected
):
    env = {"NAUTOBOT_EXTRA_PLUGINS": names}

    settings = plugin_settings(
        {"PLUGINS": plugins, "PLUGINS_CONFIG": {}}, env, find=installed.__contains__
    )

    assert settings == {
        "PLUGINS": expected,
        "PLUGINS_CONFIG": {
            name: BOTH[name]
            for name in expected
            if name in BOTH and name not in plugins
        },
    }


@pytest.mark.parametrize(
    "base",
    [
        {},
        {"PLUGINS": None, "PLUGINS_CONFIG": None},
        {"PLUGINS": (), "PLUGINS_CONFIG": types.MappingProxyType({})},
    ],
)
def test_plugin_settings_without_base_are_empty(base):
    assert plugin_settings(base, {}, find=nothing) == {
        "PLUGINS": [],
        "PLUGINS_CONFIG": {},
    }


def test_plugin_that_is_not_installed_is_skipped_with_one_warning():
    env = {"NAUTOBOT_EXTRA_PLUGINS": "my_plugin", VARIABLE: '{"my_plugin": {"a": 1}}'}

    with pytest.warns(SettingsWarning) as caught:
        settings = plugin_settings(
            {"PLUGINS": [], "PLUGINS_CONFIG": {}}, env, find=nothing
        )

    assert [str(warning.message) for warning in caught] == [
        "NAUTOBOT_EXTRA_PLUGINS: 'my_plugin' is not installed and is skipped. "
        "Install it in the image, or correct the name."
    ]
    assert settings == {"PLUGINS": [], "PLUGINS_CONFIG": {"my_plugin": {"a": 1}}}


@pytest.mark.parametrize(
    ("strict", "line"),
    [
        ("false", "'nautobot_golden_confg' is not installed and is skipped."),
        ("true", "'nautobot_golden_confg' is not installed."),
    ],
)
def test_misspelt_default_plugin_is_reported_with_its_name(strict, line):
    problems = []
    env = {
        "NAUTOBOT_EXTRA_PLUGINS": "nautobot_golden_confg",
        "NAUTOBOT_EXTRA_PLUGINS_STRICT": strict,
    }

    plugin_settings(
        {"PLUGINS": [], "PLUGINS_CONFIG": {}}, env, problems=problems, find=nothing
    )

    assert [str(problem) for problem in problems] == [
        f"NAUTOBOT_EXTRA_PLUGINS: {line} Correct the name to nautobot_golden_config, "
        "or install it in the image."
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "nautobot_golden_config",
            "'nautobot_golden_config' is not installed and is skipped. Install it in "
            "the image, or correct the name.",
        ),
        (
            "sk-live-a8f7s6d5f7s6d8f76s8d7f6",
            "one of the names is not a module name. Use names as Python imports "
            "them, separated by commas.",
        ),
    ],
    ids=["default plugin is not renamed to itself", "token is in no remedy"],
)
def test_plugin_that_cannot_be_loaded_has_a_remedy_that_fits(name, said):
    problems = []
    env = {"NAUTOBOT_EXTRA_PLUGINS": name}

    plugin_settings({}, env, problems=problems, find=nothing)

    assert [str(problem) for problem in problems] == [f"NAUTOBOT_EXTRA_PLUGINS: {said}"]


def test_plugin_that_is_not_installed_with_strict_is_an_error():
    env = {"NAUTOBOT_EXTRA_PLUGINS": "a,b", "NAUTOBOT_EXTRA_PLUGINS_STRICT": "true"}

    with pytest.raises(SettingsError) as caught:
        plugin_settings({"PLUGINS": [], "PLUGINS_CONFIG": {}}, env, find="b".__eq__)

    assert sentences(caught.value) == (
        "NAUTOBOT_EXTRA_PLUGINS: 'a' is not installed. "
        "Install it in the image, or correct the name."
    )


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("my-plugin", "Use the name as Python imports it, such as my_plugin."),
        ("a..b", "Use names as Python imports them, separated by commas."),
        (".a", "Use names as Python imports them, separated by commas."),
        ("a b", "Use names as Python imports them, separated by commas."),
        ("1a", "Use names as Python imports them, separated by commas."),
        ("a/b", "Use names as Python imports them, separated by commas."),
        ("a.class", "Use names as Python imports them, separated by commas."),
        ("import", "Use names as Python imports them, separated by commas."),
        ("[a]", "Use names as Python imports them, separated by commas."),
    ],
)
def test_plugin_name_that_is_no_module_name_is_an_error(name, remedy):
    """Whether it is installed is not even asked."""
    with pytest.raises(SettingsError) as caught:
        plugin_settings(
            {"PLUGINS": [], "PLUGINS_CONFIG": {}},
            {"NAUTOBOT_EXTRA_PLUGINS": name},
            find=everything,
        )

    assert sentences(caught.value) == (
        f"NAUTOBOT_EXTRA_PLUGINS: '{name}' is not a module name. {remedy}"
    )


def distribution(name):
    return {"nautobot-welcome-wizard": ("welcome_wizard",)}.get(
        name.replace("_", "-"), ()
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "nautobot-welcome-wizard",
            "'nautobot-welcome-wizard' is not a module name. "
            "Use the name as Python imports it, such as welcome_wizard.",
        ),
        (
            "nautobot_welcome_wizard",
            "'nautobot_welcome_wizard' is not installed and is skipped. "
            "Correct the name to welcome_wizard, or install it in the image.",
        ),
    ],
)
def test_distribution_name_as_plugin_is_reported_with_its_module(name, line):
    problems = []

    plugin_settings(
        {},
        {"NAUTOBOT_EXTRA_PLUGINS": name},
        find=nothing,
        modules_of=distribution,
        problems=problems,
    )

    assert [str(problem) for problem in problems] == [f"NAUTOBOT_EXTRA_PLUGINS: {line}"]


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("iniconfig", ("iniconfig",)),
        ("IniConfig", ("iniconfig",)),
        ("PyTest", ("pytest", "_pytest")),
        ("no-such-distribution", ()),
        ("", ()),
        ("a b/../c", ()),
    ],
)
def test_modules_of_distribution_are_its_packages(name, modules):
    assert modules_of_distribution(name) == modules


def test_modules_of_distribution_are_its_parts_of_a_namespace_package(
    tmp_path, monkeypatch
):
    """The package around them belongs to nobody, and cannot be a plugin."""
    files = (
        "company/core/things/__init__.py",
        "company/core/things/api/__init__.py",
        "company/more.py",
        "spare/__init__.py",
        "company_things-1.dist-info/RECORD",
    )
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(files))
    monkeypatch.syspath_prepend(str(tmp_path))

    assert modules_of_distribution("company-things") == ("company.core.things", "spare")


# --- what is installed -------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on the path with packages that must not be imported."""
    bomb = "raise SystemExit('imported')"
    for file in (
        "regular/__init__.py",
        "regular/inner/__init__.py",
        "regular/module.py",
        "bare/nested/regular/__init__.py",
        "bare/module.py",
        "single.py",
    ):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(bomb)
    (tmp_path / "regular" / "bare").mkdir()
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", bomb)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("regular", True),
        ("regular.inner", True),
        ("regular.module", True),
        ("regular.bare", False),
        ("regular.missing", False),
        ("regular.module.deeper", False),
        ("single", True),
        ("single.deeper", False),
        ("zipped", True),
        ("empty", False),
        ("bare", False),
        ("bare.module", True),
        ("bare.nested", False),
        ("bare.nested.regular", True),
        ("bare.missing", False),
        ("missing", False),
        ("missing.deeper", False),
        ("this", True),
        ("os", True),
        ("os.path", True),
        ("csv.json", False),
        ("sys", True),
        ("antigravity", True),
        ("xml.dom.minidom", True),
    ],
)
@pytest.mark.usefixtures("folder")
def test_installed_plugin_is_found_without_importing(name, expected):
    before = {*sys.modules}

    assert is_installed(name) is expected
    assert {*sys.modules} == before


def test_namespace_package_after_import_is_not_installed(folder, monkeypatch):
    import empty

    try:
        assert empty.__file__ is None
        assert is_installed("empty") is False
    finally:
        del sys.modules["empty"]


def test_module_made_in_memory_is_installed(monkeypatch):
    package = types.ModuleType("made_in_memory")
    monkeypatch.setitem(sys.modules, "made_in_memory", package)
    monkeypatch.setitem(sys.modules, "made_in_memory.inner", types.ModuleType("inner"))

    assert is_installed("made_in_memory") is True
    assert is_installed("made_in_memory.inner") is True
    assert is_installed("made_in_memory.other") is False


def test_module_blocked_from_import_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "json", None)

    assert is_installed("json") is False


class Finder:
    def __init__(self, answer):
        self.answer = answer

    def find_spec(self, name, path=None, target=None):
        return self.answer(name)


def test_module_known_to_another_finder_is_installed(monkeypatch):
    """Editable installs are found this way."""
    finder = Finder(lambda name: ModuleSpec(name, object()) if name == "ed" else None)
    monkeypatch.setattr(sys, "meta_path", [finder])

    assert is_installed("ed") is True
    assert is_installed("ed.inner") is False
    assert is_installed("other") is False


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("company.core.plugin", True),
        ("bare.nested.plugin", True),
        ("company.core", False),
        ("company.core.other", False),
        ("regular.other", False),
    ],
)
@pytest.mark.usefixtures("folder")
def test_part_of_namespace_package_is_known_to_a_finder_of_its_own(
    name, expected, monkeypatch
):
    """setuptools makes one for an editable install; it goes by the whole name."""
    names = ("company.core.plugin", "bare.nested.plugin")
    finder = Finder(lambda name: ModuleSpec(name, object()) if name in names else None)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    before = {*sys.modules}

    assert is_installed(name) is expected
    assert {*sys.modules} == before


def test_module_with_broken_finder_counts_as_installed(monkeypatch):
    def broken(name):
        raise RuntimeError(name)

    monkeypatch.setattr(sys, "meta_path", [Finder(broken)])

    assert is_installed("anything") is True


def test_plugin_settings_import_and_print_nothing(folder):
    code = (
        "import sys\n"
        "from understack_nautobot_settings.fragments.plugins import plugin_settings\n"
        "names = 'os,this,antigravity,regular.inner,nowhere'\n"
        "env = {'NAUTOBOT_EXTRA_PLUGINS': names}\n"
        "problems = []\n"
        "print(plugin_settings({}, env, problems=problems)['PLUGINS'])\n"
        "print([name for name in names.split(',')[1:] if name in sys.modules])"
    )
    root = Path(__file__).parents[3]

    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": f"{folder}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        check=True,
    )

    names, imported = run.stdout.splitlines()
    assert names.endswith("'os', 'this', 'antigravity', 'regular.inner']")
    assert "nowhere" not in names
    assert imported == "[]"
    assert run.stderr == ""


# --- their configuration -----------------------------------------------------------


def test_plugin_configuration_merges_environment_over_base_over_defaults():
    base = {
        "nautobot_golden_config": {"per_feature_width": 1, "per_feature_height": 1},
        "nautobot_plugin_nornir": {
            "nornir_settings": {"runner": {"options": {"num_workers": 5}}}
        },
        "mine": {"list": [1], "kept": True},
    }
    env = extra(
        {
            "nautobot_golden_config": {"per_feature_height": 2, "jinja_env": {"a": 1}},
            "mine": {"list": [2]},
            "other": {},
        }
    )

    assert plugin_settings(
        {"PLUGINS": ["mine", "other"], "PLUGINS_CONFIG": base}, env, find=everything
    ) == {
        "PLUGINS": ["mine", "other", *BOTH],
        "PLUGINS_CONFIG": {
            "nautobot_golden_config": {
                **GOLDEN,
                "per_feature_width": 1,
                "per_feature_height": 2,
                "jinja_env": {"a": 1},
            },
            "nautobot_plugin_nornir": {
                **NORNIR,
                "nornir_settings": {
                    **NORNIR["nornir_settings"],
                    "runner": {"plugin": "threaded", "options": {"num_workers": 5}},
                },
            },
            "mine": {"list": [2], "kept": True},
            "other": {},
        },
    }


@pytest.mark.parametrize("setting", ["PLUGINS", "EXTRA_PLUGINS"])
def test_default_app_listed_in_file_keeps_configuration_of_file(setting):
    """Its configuration, in the file or none, is what Nautobot gets."""
    base = {
        setting: ["nautobot_golden_config"],
        "PLUGINS_CONFIG": {"nautobot_golden_config": {"enable_backup": False}},
    }
    problems = []

    settings = plugin_settings(
        base, {}, find="nautobot_golden_config".__eq__, problems=problems
    )

    assert settings == {
        "PLUGINS": base.get("PLUGINS", []),
        "PLUGINS_CONFIG": base["PLUGINS_CONFIG"],
    }
    assert problems == []


@pytest.mark.parametrize("off", ["off", "false", "0"])
def test_default_plugins_switched_off_are_not_loaded(off):
    env = {"UNDERSTACK_DEFAULT_PLUGINS": off}

    assert plugin_settings({"PLUGINS": ["mine"]}, env, find=everything) == {
        "PLUGINS": ["mine"],
        "PLUGINS_CONFIG": {},
    }


def test_default_plugin_named_as_extra_loads_with_its_configuration():
    env = {
        "UNDERSTACK_DEFAULT_PLUGINS": "off",
        "NAUTOBOT_EXTRA_PLUGINS": "nautobot_golden_config",
    }

    assert plugin_settings({}, env, find=everything) == {
        "PLUGINS": ["nautobot_golden_config"],
        "PLUGINS_CONFIG": {"nautobot_golden_config": GOLDEN},
    }


def test_null_in_configuration_replaces_the_default():
    env = extra({"nautobot_golden_config": {"enable_backup": None}})

    settings = plugin_settings(
        {"PLUGINS": [], "PLUGINS_CONFIG": {}}, env, find=everything
    )

    assert settings["PLUGINS_CONFIG"]["nautobot_golden_config"] == {
        **GOLDEN,
        "enable_backup": None,
    }


def test_extra_plugins_of_file_that_are_none_are_an_error():
    """Nautobot adds them to PLUGINS, and ends with a TypeError that names nothing."""
    with pytest.raises(SettingsError) as caught:
        plugin_settings({"EXTRA_PLUGINS": None}, {}, find=nothing)

    assert sentences(caught.value) == (
        "EXTRA_PLUGINS: the settings file assigns a value that is not a list of str. "
        "Assign a list of str."
    )


@pytest.mark.parametrize(
    "kind",
    [OrderedDict, UserDict, ChainMap, types.MappingProxyType],
    ids=lambda kind: kind.__name__,
)
def test_configuration_of_any_mapping_is_merged(kind):
    """Nautobot takes it from a file; the result is a dict, which Nautobot fills."""
    config = {"mine": kind({"inner": kind({"a": 1}), "b": 2})}
    env = extra({"mine": {"inner": {"c": 3}}})

    assert plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": config}, env, find=nothing
    )["PLUGINS_CONFIG"] == {"mine": {"inner": {"a": 1, "c": 3}, "b": 2}}
    assert config == {"mine": kind({"inner": kind({"a": 1}), "b": 2})}


def test_default_app_listed_in_file_without_configuration_gets_none():
    """nautobot_plugin_nornir without configuration takes its own credentials."""
    names = [*BOTH]

    assert plugin_settings({"PLUGINS": names}, {}, find=everything) == {
        "PLUGINS": names,
        "PLUGINS_CONFIG": {},
    }


def test_configuration_of_app_that_is_not_loaded_is_kept_and_reported():
    problems = []

    settings = plugin_settings(
        {"PLUGINS_CONFIG": {"welcome_wizard": None}},
        {},
        problems=problems,
        find=nothing,
    )

    assert settings == {"PLUGINS": [], "PLUGINS_CONFIG": {"welcome_wizard": None}}
    assert [problem.code for problem in problems] == ["plugin-config-unused"]


def test_references_are_expanded_in_the_extra_configuration_only():
    base = {"mine": {"base": "${TOKEN}", "both": "${TOKEN}"}}
    env = extra(
        r'{"mine": {"both": "${TOKEN}", "literal": "$${TOKEN}", "hash": "$2b$12$x.",'
        r' "escaped": "\u0024{TOKEN}", "json": "${JSON}", "or": "${NONE:-default}"}}',
        TOKEN="s3cret",
        JSON='", "injected": "',
    )

    settings = plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": base}, env, find=nothing
    )

    assert settings["PLUGINS_CONFIG"] == {
        "mine": {
            "base": "${TOKEN}",
            "both": "s3cret",
            "literal": "${TOKEN}",
            "hash": "$2b$12$x.",
            "escaped": "s3cret",
            "json": '", "injected": "',
            "or": "default",
        }
    }


@pytest.mark.parametrize("secret", ["s3cret", '"s3cret', "${TOKEN}"])
@pytest.mark.parametrize("blanks", [0, 10_000], ids=["short", "long"])
def test_plugin_configuration_of_any_length_is_expanded_the_same(blanks, secret):
    text = '{"mine": {"a": "${TOKEN}", "b": ["${TOKEN}", 1]}, "other": "${TOKEN}"}'
    env = extra(text + " " * blanks, TOKEN=secret)
    problems = []

    settings = plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}},
        env,
        find=nothing,
        problems=problems,
    )

    assert settings["PLUGINS_CONFIG"] == {"mine": {"a": secret, "b": [secret, 1]}}
    assert [str(problem) for problem in problems] == [
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG: the configuration of 'other' is not an object. "
        "Write an object, {} for none."
    ]


def test_reference_with_escaped_dollar_in_json_is_expanded():
    env = extra(r'{"mine": {"a": "\u0024{TOKEN}"}}', TOKEN="s3cret")

    settings = plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}}, env, find=nothing
    )

    assert settings["PLUGINS_CONFIG"] == {"mine": {"a": "s3cret"}}


def test_plugin_settings_with_own_output_as_base_are_unchanged():
    env = extra(
        {
            "mine": {"a": "$${TOKEN}", "b": ["${TOKEN}"], "c": {"d": None}},
            "not_loaded": {"a": 1},
        },
        NAUTOBOT_EXTRA_PLUGINS="mine,absent",
        TOKEN="s3cret",
    )
    problems, again = [], []
    find = {*BOTH, "mine"}.__contains__

    once = plugin_settings(
        {"PLUGINS": ["base"], "PLUGINS_CONFIG": {"base": {}}},
        env,
        problems=problems,
        find=find,
    )
    twice = plugin_settings(once, env, problems=again, find=find)

    assert twice == once
    assert again == problems


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            "{'mine': {}}",
            "the text is not JSON at line 1, column 2: a name in double quotes is "
            "expected. Correct the JSON at the line and column of the message.",
        ),
        (
            '[["mine", {}]]',
            "the JSON at line 1, column 1 is an array, not an object. "
            "Write one object: braces around names and values.",
        ),
        (
            "\ufeff{}",
            "the text has a byte order mark at line 1, column 1. "
            "Save it as UTF-8 without a byte order mark.",
        ),
        (
            '\n{"mine": {"a": 1,\n "a": 2}}',
            "the JSON at line 3, column 2 gives a name a second time in the same "
            "object. Remove one of the two.",
        ),
        (
            '{"mine": {"a": NaN}}',
            "the JSON at line 1, column 16 has NaN, Infinity or a number too large to "
            "be kept. Write a finite number, or a string.",
        ),
        (
            '{"mine": null}',
            "the configuration of 'mine' is null. Write an object, {} for none.",
        ),
        (
            '{"mine": []}',
            "the configuration of 'mine' is not an object. "
            "Write an object, {} for none.",
        ),
        (
            '{"mine": "${MISSING}"}',
            "the configuration of 'mine' is not an object. "
            "Write an object, {} for none.",
        ),
        (
            '{"mine": {"a": ["${MISSING}"]}}',
            "mine.a[0] refers to MISSING, which is not set. "
            "Set the variable, or give a default, as in ${NAME:-text}.",
        ),
        (
            '{"mine": {"a": "x${MISSING"}}',
            "mine.a has a malformed reference at character 2. "
            "Write ${NAME}, ${NAME:-default} or, with a type (bool, int, float or "
            "json), ${NAME|int}; $${ for ${ itself.",
        ),
        (
            "'{}'",
            "the value is wrapped in quotes. "
            "Remove the quotes; they are part of the value.",
        ),
    ],
    ids=[
        "not JSON",
        "list of pairs",
        "byte order mark",
        "duplicate name",
        "NaN",
        "null for a plugin",
        "list for a plugin",
        "text for a plugin",
        "unset reference",
        "malformed reference",
        "quoted",
    ],
)
def test_invalid_plugin_configuration_is_an_error(config, line, tmp_path):
    with pytest.raises(SettingsError) as caught:
        plugin_settings(
            {"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}},
            {VARIABLE: config},
            find=nothing,
        )

    assert sentences(caught.value) == f"{VARIABLE}: {line}"

    if config not in ("'{}'", "\ufeff{}"):
        file = tmp_path / "plugins.json"
        file.write_bytes(config.encode())
        with pytest.raises(SettingsError) as caught:
            plugin_settings(
                {"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}},
                {f"{VARIABLE}_FILE": str(file)},
                find=nothing,
            )
        assert sentences(caught.value) == f"{VARIABLE}_FILE: {line}"


def test_unset_references_are_all_listed():
    env = extra({"a": {"x": "${X}"}, "b": {"y": ["${Y} ${X}"]}})

    with pytest.raises(SettingsError) as caught:
        plugin_settings(
            {"PLUGINS": ["a", "b"], "PLUGINS_CONFIG": {}}, env, find=nothing
        )

    assert sentences(caught.value).splitlines() == [
        f"{VARIABLE}: a.x refers to X, which is not set. "
        "Set the variable, or give a default, as in ${NAME:-text}.",
        f"{VARIABLE}: b.y[0] refers to Y, which is not set. "
        "Set the variable, or give a default, as in ${NAME:-text}.",
        f"{VARIABLE}: b.y[0] refers to X, which is not set. "
        "Set the variable, or give a default, as in ${NAME:-text}.",
    ]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (None, None),
        ({"mine": {}}, None),
        (
            ["mine"],
            "PLUGINS_CONFIG: the settings file assigns a value that is not a dict "
            "with names of type str. Assign a dict with names of type str.",
        ),
        (
            {"mine": None},
            "PLUGINS_CONFIG: the configuration of 'mine' is null. "
            "Write an object, {} for none.",
        ),
    ],
    ids=["none", "fine", "a list", "null for a plugin"],
)
def test_invalid_base_configuration_is_reported(config, line):
    problems = []

    settings = plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": config},
        {},
        problems=problems,
        find=nothing,
    )

    assert [str(problem) for problem in problems] == ([line] if line else [])
    assert settings["PLUGINS_CONFIG"] == ({"mine": {}} if config and not line else {})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (
            "elsewhere",
            "Correct the name, install the plugin, add it to "
            "NAUTOBOT_EXTRA_PLUGINS, or remove its configuration.",
        ),
        ("nautobot-plugin-nornr", "Correct the name to nautobot_plugin_nornir."),
        (
            "nautobot_golden_config",
            "Correct the name, install the plugin, add it to NAUTOBOT_EXTRA_PLUGINS, "
            "or remove its configuration.",
        ),
    ],
    ids=["unknown", "misspelt", "a default that is not installed"],
)
def test_configuration_of_plugin_that_is_not_loaded_is_warned_about(name, remedy):
    find = "nautobot_plugin_nornir".__eq__

    with pytest.warns(SettingsWarning) as caught:
        settings = plugin_settings(
            {"PLUGINS": [], "PLUGINS_CONFIG": {}}, extra({name: {"a": 1}}), find=find
        )

    assert [str(warning.message) for warning in caught] == [
        f"{VARIABLE}: '{name}' is configured and not loaded. {remedy}"
    ]
    assert settings["PLUGINS_CONFIG"] == {
        "nautobot_plugin_nornir": NORNIR,
        name: {"a": 1},
    }


def test_unused_configuration_of_base_names_plugins_config():
    problems = []

    plugin_settings(
        {"PLUGINS": [], "PLUGINS_CONFIG": {"a": {}, "b": {}}},
        extra({"b": {}}),
        problems=problems,
        find=nothing,
    )

    assert [(problem.variable, problem.message) for problem in problems] == [
        ("PLUGINS_CONFIG", "'a' is configured and not loaded."),
        (VARIABLE, "'b' is configured and not loaded."),
    ]


# --- from a file -------------------------------------------------------------------


def test_plugin_configuration_is_read_from_file(tmp_path):
    file = tmp_path / "plugins.json"
    file.write_text('{\n  "mine": {"token": "${TOKEN}", "é": "ü"}\n}\n', "utf-8")
    env = {f"{VARIABLE}_FILE": str(file), "TOKEN": "s3cret"}

    assert plugin_settings({"PLUGINS": ["mine"]}, env, find=nothing) == {
        "PLUGINS": ["mine"],
        "PLUGINS_CONFIG": {"mine": {"token": "s3cret", "é": "ü"}},
    }


def test_large_plugin_configuration_is_read_from_file(tmp_path):
    file = tmp_path / "plugins.json"
    config = {"mine": {str(number): "x" * 100 for number in range(10_000)}}
    file.write_text(json.dumps(config))

    settings = plugin_settings(
        {"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}},
        {f"{VARIABLE}_FILE": str(file)},
        find=nothing,
    )

    assert settings["PLUGINS_CONFIG"] == config


def test_plugin_configuration_given_as_value_and_file_is_an_error(tmp_path):
    env = {VARIABLE: "{}", f"{VARIABLE}_FILE": str(tmp_path / "plugins.json")}

    with pytest.raises(SettingsError) as caught:
        plugin_settings({"PLUGINS": [], "PLUGINS_CONFIG": {}}, env, find=nothing)

    assert sentences(caught.value) == (
        f"{VARIABLE}: {VARIABLE}_FILE is set as well. Unset one of the two."
    )


def make_missing(path):
    return f"{path} does not exist."


def make_empty(path):
    path.write_text(" \n")
    return f"{path} is empty."


def make_directory(path):
    path.mkdir()
    return f"{path} is a directory, not a file."


def make_fifo(path):
    os.mkfifo(path)
    return f"{path} is a named pipe, not a file."


def make_loop(path):
    path.symlink_to(path)
    return f"{path} cannot be read: Too many levels of symbolic links."


@pytest.mark.parametrize(
    "make", [make_missing, make_empty, make_directory, make_fifo, make_loop]
)
def test_unreadable_plugin_file_is_an_error(make, tmp_path):
    path = tmp_path / "plugins.json"
    fact = make(path)

    with pytest.raises(SettingsError) as caught:
        plugin_settings(
            {"PLUGINS": [], "PLUGINS_CONFIG": {}},
            {f"{VARIABLE}_FILE": str(path)},
            find=nothing,
        )

    assert sentences(caught.value) == (
        f"{VARIABLE}_FILE: {fact} Mount a file with the JSON object there, or correct "
        "the path."
    )


def test_invalid_plugin_file_path_is_an_error():
    with pytest.raises(SettingsError) as caught:
        plugin_settings(
            {"PLUGINS": [], "PLUGINS_CONFIG": {}},
            {f"{VARIABLE}_FILE": "a\0b"},
            find=nothing,
        )

    assert sentences(caught.value) == (
        f"{VARIABLE}_FILE: the value is no path that a file can have. "
        "Set it to the path of the file."
    )


@pytest.mark.parametrize(
    "content",
    ['{"ü": {}}'.encode("latin-1"), "{}".encode("utf-16")],
    ids=["latin-1", "utf-16"],
)
def test_plugin_file_that_is_not_utf8_is_an_error(content, tmp_path):
    file = tmp_path / "plugins.json"
    file.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        plugin_settings({}, {f"{VARIABLE}_FILE": str(file)}, find=nothing)

    assert sentences(caught.value) == (
        f"{VARIABLE}_FILE: {file} does not hold UTF-8 text. "
        "Mount a file with the JSON object there, or correct the path."
    )


def test_byte_order_mark_of_plugin_file_is_ignored(tmp_path):
    file = tmp_path / "plugins.json"
    file.write_bytes('\ufeff{"mine": {"a": 1}}\r\n'.encode())

    assert plugin_settings(
        {"PLUGINS": ["mine"]}, {f"{VARIABLE}_FILE": str(file)}, find=nothing
    )["PLUGINS_CONFIG"] == {"mine": {"a": 1}}


def test_plugin_file_above_size_limit_is_an_error(tmp_path):
    file = tmp_path / "plugins.json"
    file.write_bytes(b" " * (16 * 2**20 + 1))

    with pytest.raises(SettingsError) as caught:
        plugin_settings({}, {f"{VARIABLE}_FILE": str(file)}, find=nothing)

    assert sentences(caught.value) == (
        f"{VARIABLE}_FILE: {file} holds more than 16 MiB. "
        "Mount a file with the JSON object there, or correct the path."
    )


# --- promises for any input --------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["${A}", "${B}", "$${A}", "$<A>", "${"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
plugin_names = st.sampled_from(["a", "b.c", "not-one", *BOTH, "", "class"])
configurations = st.dictionaries(plugin_names, json_values, max_size=4)
environments = st.fixed_dictionaries(
    {},
    optional={
        "NAUTOBOT_EXTRA_PLUGINS": st.lists(plugin_names).map(",".join) | st.text(),
        "NAUTOBOT_EXTRA_PLUGINS_STRICT": st.sampled_from(
            ["", "true", "off", "perhaps"]
        ),
        VARIABLE: configurations.map(json.dumps)
        | json_values.map(json.dumps)
        | st.text(),
        f"{VARIABLE}_FILE": st.text(),
        "A": st.text(),
    },
)


@given(
    st.lists(plugin_names),
    st.none() | configurations,
    environments,
    st.sampled_from([everything, nothing, "a".__eq__]),
)
def test_plugin_settings_raise_only_settings_error_and_never_change_input(
    plugins, config, env, find
):
    before = copy.deepcopy((plugins, config, env))
    problems = []

    settings = plugin_settings(
        {"PLUGINS": plugins, "PLUGINS_CONFIG": config},
        env,
        problems=problems,
        find=find,
    )

    assert (plugins, config, env) == before
    assert [*settings] == ["PLUGINS", "PLUGINS_CONFIG"]
    assert len({*settings["PLUGINS"]}) == len(settings["PLUGINS"])
    assert {*plugins} <= {*settings["PLUGINS"]}
    if any(problem.severity == "error" for problem in problems):
        with pytest.raises(SettingsError):
            plugin_settings(
                {"PLUGINS": plugins, "PLUGINS_CONFIG": config}, env, find=find
            )
    else:
        again = []
        assert settings == plugin_settings(settings, env, problems=again, find=find)
        assert again == problems


def containers(value):
    found = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, (dict, list)):
            found.append(id(one))
            todo.extend(one.values() if isinstance(one, dict) else one)
    return {*found}


@given(configurations)
def test_plugin_settings_share_nothing_with_input_or_defaults(config):
    """Nautobot writes the defaults of a plugin into PLUGINS_CONFIG."""
    from understack_nautobot_settings.fragments.plugins import DEFAULTS

    plugins = [*config]
    problems = []

    settings = plugin_settings(
        {"PLUGINS": plugins, "PLUGINS_CONFIG": config},
        extra(config, A="1"),
        problems=problems,
        find=everything,
    )

    assert not containers(settings) & (
        containers(config) | containers(DEFAULTS) | {id(plugins)}
    )


def test_changed_plugin_settings_leave_defaults_unchanged():
    settings = plugin_settings(
        {"PLUGINS": [], "PLUGINS_CONFIG": {}}, {}, find=everything
    )
    settings["PLUGINS_CONFIG"]["nautobot_golden_config"][
        "postprocessing_callables"
    ] += [1]

    assert (
        plugin_settings({"PLUGINS": [], "PLUGINS_CONFIG": {}}, {}, find=everything)[
            "PLUGINS_CONFIG"
        ]
        == BOTH
    )


FAULTY = [
    f'{{"mine": {{"a": "{CANARY}",}}}}',
    f'{{"mine": {{"a": "{CANARY}}}}}',
    f'["{CANARY}"]',
    f'"{CANARY}"',
    f'\ufeff\ufeff{{"mine": {{"a": "{CANARY}"}}}}',
    f'{{"mine": {{"a": "{CANARY}", "a": 1}}}}',
    f'{{"mine": {{"a": "{CANARY}", "b": NaN}}}}',
    f'{{"mine": {{"a": "{CANARY}", "b": {"[" * 100_000}{"]" * 100_000}}}}}',
    f'{{"mine": "{CANARY}"}}',
    f'{{"mine": {{"a": "{CANARY}", "b": "${{MISSING}}"}}}}',
    f'{{"mine": {{"a": "{CANARY}${{MISSING}}", "b": "${{SECRET}}"}}}}',
    f'{{"mine": {{"a": "{CANARY}${{", "b": "${{SECRET}}"}}}}',
    f'{{"mine": {{"a": "${{{CANARY}}}", "b": "${{SECRET}}"}}}}',
    f'{{"mine": {{"a": "\\ud800{CANARY}"}}}}',
    f"'{CANARY}'",
]


@pytest.mark.parametrize("config", FAULTY, ids=range(len(FAULTY)))
@pytest.mark.parametrize("by_file", [False, True], ids=["variable", "file"])
def test_plugin_settings_error_holds_no_secret(config, by_file, tmp_path):
    """Neither its words nor anything that can be reached from it, but for `env`."""
    env = {"SECRET": CANARY}
    if by_file:
        file = tmp_path / "plugins.json"
        file.write_bytes(config.encode())
        env[f"{VARIABLE}_FILE"] = str(file)
    else:
        env[VARIABLE] = config
    env = types.MappingProxyType(env)

    with pytest.raises(SettingsError) as caught:
        plugin_settings({"PLUGINS": ["mine"], "PLUGINS_CONFIG": {}}, env, find=nothing)

    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = repr((error, str(error), error.args, vars(error), error.problems))
    assert CANARY not in shown
    for frame, _ in list(traceback.walk_tb(error.__traceback__))[1:]:
        held = {
            name: value for name, value in frame.f_locals.items() if value is not env
        }
        assert CANARY not in repr(held)
