import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import secret_settings

KEY = "key-0123456789" * 4


def test_secret_key_of_variable_wins_over_file_with_warning():
    with pytest.warns(SettingsWarning) as caught:
        assert secret_settings(
            {"SECRET_KEY": "of the file" * 9}, {"NAUTOBOT_SECRET_KEY": KEY}
        ) == {"SECRET_KEY": KEY}

    assert [str(warning.message) for warning in caught] == [
        "NAUTOBOT_SECRET_KEY: the settings file assigns another secret key, and the "
        "variable wins. Unset the variable to use the key of the file."
    ]


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("k" * 50, "the key has fewer than 5 different characters."),
        ("abcd" * 20, "the key has fewer than 5 different characters."),
        (
            f"django-insecure-{KEY}",
            "the key begins with django-insecure-, so it was made for development.",
        ),
        ("0123456789" * 4, "the key has fewer than 50 characters."),
    ],
    ids=["one letter", "four letters", "of startproject", "short"],
)
def test_weak_secret_key_is_warned_about(key, fact):
    with pytest.warns(SettingsWarning) as caught:
        secret_settings({}, {"NAUTOBOT_SECRET_KEY": key})

    assert [str(warning.message) for warning in caught] == [
        f"NAUTOBOT_SECRET_KEY: {fact} Use 50 or more random characters, the same on "
        "every pod."
    ]


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("0123456789" * 4, "has fewer than 50"),
        (b"django-insecure-" + b"0123456789" * 5, "begins with django-insecure-"),
    ],
)
def test_weak_secret_key_of_settings_file_is_named_by_its_setting(key, fact):
    with pytest.warns(SettingsWarning, match=f"^SECRET_KEY: the key {fact}"):
        secret_settings({"SECRET_KEY": key}, {})


def test_secret_key_of_settings_file_is_kept():
    assert secret_settings({"SECRET_KEY": KEY}, {}) == {"SECRET_KEY": KEY}


def test_secret_key_is_read_from_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")

    for said in ("", KEY):
        assert secret_settings(
            {"SECRET_KEY": said}, {"NAUTOBOT_SECRET_KEY_FILE": str(file)}
        ) == {"SECRET_KEY": KEY}


@pytest.mark.parametrize("key", ["", None])
def test_missing_secret_key_is_an_error(key):
    with pytest.raises(SettingsError) as caught:
        secret_settings({"SECRET_KEY": key}, {"NAUTOBOT_SECRET_KEY": ""})

    assert sentences(caught.value) == (
        "NAUTOBOT_SECRET_KEY: there is no secret key. Set NAUTOBOT_SECRET_KEY, or "
        "NAUTOBOT_SECRET_KEY_FILE, to the value that all pods share."
    )


def test_missing_secret_key_file_is_the_only_problem(tmp_path):
    file = tmp_path / "missing"

    with pytest.raises(SettingsError) as caught:
        secret_settings({"SECRET_KEY": ""}, {"NAUTOBOT_SECRET_KEY_FILE": str(file)})

    assert sentences(caught.value) == (
        f"NAUTOBOT_SECRET_KEY_FILE: {file} does not exist. "
        "Mount the secret there, or correct the path."
    )


def test_short_secret_key_is_warned_about():
    with pytest.warns(SettingsWarning) as caught:
        assert secret_settings(
            {"SECRET_KEY": ""}, {"NAUTOBOT_SECRET_KEY": "short"}
        ) == {"SECRET_KEY": "short"}

    assert [str(warning.message) for warning in caught] == [
        "NAUTOBOT_SECRET_KEY: the key has fewer than 50 characters. "
        "Use 50 or more random characters, the same on every pod."
    ]


def test_database_password_is_read_from_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("p/a#s?s\n")
    databases = {"default": {"NAME": "app", "PASSWORD": ""}, "other": {}}

    settings = secret_settings(
        {"SECRET_KEY": KEY, "DATABASES": databases},
        {"NAUTOBOT_DB_PASSWORD_FILE": str(file)},
    )

    assert settings == {
        "SECRET_KEY": KEY,
        "DATABASES": {"default": {"NAME": "app", "PASSWORD": "p/a#s?s"}, "other": {}},
    }
    assert databases == {"default": {"NAME": "app", "PASSWORD": ""}, "other": {}}
    assert secret_settings(
        {"SECRET_KEY": KEY}, {"NAUTOBOT_DB_PASSWORD_FILE": str(file)}
    ) == {"SECRET_KEY": KEY, "DATABASES": {"default": {"PASSWORD": "p/a#s?s"}}}


def test_database_password_of_variable_is_left_as_nautobot_read_it():
    databases = {"default": {"PASSWORD": "as Nautobot read it"}}

    settings = secret_settings(
        {"SECRET_KEY": KEY, "DATABASES": databases}, {"NAUTOBOT_DB_PASSWORD": "secret"}
    )

    assert settings == {"SECRET_KEY": KEY, "DATABASES": databases}


def test_secret_key_given_as_value_and_file_is_an_error(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY)
    env = {"NAUTOBOT_SECRET_KEY": KEY, "NAUTOBOT_SECRET_KEY_FILE": str(file)}

    with pytest.raises(SettingsError) as caught:
        secret_settings({"SECRET_KEY": ""}, env)

    assert sentences(caught.value) == (
        "NAUTOBOT_SECRET_KEY_FILE: NAUTOBOT_SECRET_KEY is set as well. "
        "Unset one of the two."
    )


def test_problems_of_secret_key_in_a_file_name_the_variable_that_is_set(tmp_path):
    file = tmp_path / "key"
    file.write_text("short")
    problems = []

    secret_settings(
        {"SECRET_KEY": KEY}, {"NAUTOBOT_SECRET_KEY_FILE": str(file)}, problems=problems
    )

    assert [(one.code, one.variable) for one in problems] == [
        ("secret-key-short", "NAUTOBOT_SECRET_KEY_FILE"),
        ("file-overruled", "NAUTOBOT_SECRET_KEY_FILE"),
    ]
