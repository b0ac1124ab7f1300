import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import app_settings
from understack_nautobot_settings import configure

APP = "understack_nautobot_settings.django_app"


@pytest.mark.parametrize(
    ("env", "base", "settings"),
    [
        ({}, ["nautobot.core"], {"INSTALLED_APPS": ["nautobot.core"]}),
        ({}, None, {}),
        ({"UNDERSTACK_APP": "false"}, ("a", "b"), {"INSTALLED_APPS": ("a", "b")}),
        (
            {"UNDERSTACK_APP": "true"},
            ("a", "b"),
            {"INSTALLED_APPS": ["a", "b", APP], "UNDERSTACK_EXPIRY_UNHEALTHY": 1.0},
        ),
        (
            {"UNDERSTACK_APP": "true", "UNDERSTACK_EXPIRY_UNHEALTHY": "0.5"},
            [APP, "a"],
            {"INSTALLED_APPS": [APP, "a"], "UNDERSTACK_EXPIRY_UNHEALTHY": 0.5},
        ),
        (
            {"UNDERSTACK_APP": "true", "UNDERSTACK_EXPIRY_UNHEALTHY": ""},
            None,
            {"INSTALLED_APPS": [APP], "UNDERSTACK_EXPIRY_UNHEALTHY": 1.0},
        ),
    ],
    ids=["unset", "unset, no base", "off", "on", "there already", "on, no base"],
)
def test_django_app_is_installed_only_if_switched_on(env, base, settings):
    assert app_settings({"INSTALLED_APPS": base}, env) == settings


def test_threshold_of_the_file_is_a_number():
    """Else every request of the health page would be answered with an error."""
    env = {"UNDERSTACK_APP": "true"}

    assert app_settings({"UNDERSTACK_EXPIRY_UNHEALTHY": None}, env) == {
        "INSTALLED_APPS": [APP],
        "UNDERSTACK_EXPIRY_UNHEALTHY": 1.0,
    }
    with pytest.raises(SettingsError) as caught:
        app_settings({"UNDERSTACK_EXPIRY_UNHEALTHY": "7"}, env)
    assert sentences(caught.value) == (
        "UNDERSTACK_EXPIRY_UNHEALTHY: the settings file assigns a value that is not a "
        "number. Assign a number."
    )


def test_installed_apps_of_base_are_not_changed():
    base = ["nautobot.core"]
    app_settings({"INSTALLED_APPS": base}, {"UNDERSTACK_APP": "true"})
    assert base == ["nautobot.core"]


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {"UNDERSTACK_APP": "ture"},
            "UNDERSTACK_APP: 'ture' is neither true nor false. Use true or false.",
        ),
        (
            {"UNDERSTACK_APP": "on", "UNDERSTACK_EXPIRY_UNHEALTHY": "-1"},
            "UNDERSTACK_EXPIRY_UNHEALTHY: '-1' is out of range. "
            "Use a number from 0 to 3650 (days).",
        ),
    ],
    ids=["switch", "threshold"],
)
def test_invalid_app_value_is_refused(env, line):
    with pytest.raises(SettingsError) as refusal:
        app_settings({"INSTALLED_APPS": []}, env)
    assert sentences(refusal.value) == line


def test_unhealthy_threshold_without_app_is_not_judged():
    assert app_settings(
        {"INSTALLED_APPS": ["a"]}, {"UNDERSTACK_EXPIRY_UNHEALTHY": "-1"}
    ) == {"INSTALLED_APPS": ["a"]}


def test_app_after_second_configure_is_installed_once():
    """Running `configure` twice gives the same result."""
    namespace = {
        "SECRET_KEY": "key-0123456789" * 4,
        "INSTALLED_APPS": ["nautobot.core"],
    }
    env = {"UNDERSTACK_APP": "on"}
    configure(namespace, env)
    configure(namespace, env)
    assert namespace["INSTALLED_APPS"] == ["nautobot.core", APP]
