import sys

import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import log_settings

BASE = {
    "LOGGING": {"version": 1, "loggers": {}},
    "INSTALLED_APPS": ["django.contrib.auth"],
    "MIDDLEWARE": ["some.Middleware"],
}


def base_of(logging_settings):
    return {"LOGGING": logging_settings, "INSTALLED_APPS": ["a"], "MIDDLEWARE": ["m"]}


def structlog_set_up(calls):
    def set_up(loggers, apps, layers, **options):
        calls.append(options)
        loggers["disable_existing_loggers"] = True
        loggers["root"] = {"level": options["root_level"]}
        apps.append("django_structlog")
        layers.append("django_structlog.middlewares.RequestMiddleware")

    return lambda: set_up


def no_nautobot():
    return None


def test_log_settings_without_format_keep_the_base():
    assert log_settings(BASE, {}) == {
        "LOGGING": {"version": 1, "loggers": {}},
        "INSTALLED_APPS": ["django.contrib.auth"],
        "MIDDLEWARE": ["some.Middleware"],
    }


def test_incremental_logging_keeps_its_levels_and_takes_the_handlers():
    """Python's logging would look for them among those that exist."""
    said = {"version": 1, "incremental": True, "handlers": {"old": {"level": "INFO"}}}
    base = {"LOGGING": {**said, "loggers": {"x": {"level": "ERROR"}}}}

    found = log_settings(
        base, {"UNDERSTACK_LOG_FORMAT": "json"}, structlog=structlog_set_up([])
    )

    assert found["LOGGING"] == {
        "version": 1,
        "disable_existing_loggers": False,
        "loggers": {"x": {"level": "ERROR"}, "celery.task": {}},
        "root": {"level": "INFO"},
    }


def test_log_settings_without_format_and_base_are_empty():
    assert log_settings({}, {}) == {}


@pytest.mark.parametrize(("word", "plain"), [("json", False), ("plain", True)])
def test_log_format_is_set_up_by_nautobot_on_copies(word, plain):
    calls = []
    base = base_of({"version": 1, "loggers": {"nautobot": {}}})
    env = {"UNDERSTACK_LOG_FORMAT": word, "NAUTOBOT_LOG_LEVEL": "DEBUG"}

    settings = log_settings(base, env, structlog=structlog_set_up(calls))

    assert calls == [
        {"log_level": "DEBUG", "root_level": "DEBUG", "plain_format": plain}
    ]
    assert settings == {
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {"nautobot": {"level": "DEBUG"}, "celery.task": {}},
            "root": {"level": "DEBUG"},
        },
        "INSTALLED_APPS": ["a", "django_structlog"],
        "MIDDLEWARE": ["m", "django_structlog.middlewares.RequestMiddleware"],
        "CELERY_WORKER_HIJACK_ROOT_LOGGER": False,
    }
    assert base == base_of({"version": 1, "loggers": {"nautobot": {}}})


def test_second_run_changes_nothing():
    env = {"UNDERSTACK_LOG_FORMAT": "json"}
    first = log_settings(BASE, env, structlog=structlog_set_up([]))

    second = log_settings(first, env, structlog=structlog_set_up([]))

    assert second == first


def test_format_of_variable_wins_over_that_of_a_file_that_called_nautobot():
    calls = []
    base = {**BASE, "INSTALLED_APPS": ["django_structlog"], "MIDDLEWARE": ["m"]}

    made = log_settings(
        base, {"UNDERSTACK_LOG_FORMAT": "json"}, structlog=structlog_set_up(calls)
    )

    assert [one["plain_format"] for one in calls] == [False]
    assert made["INSTALLED_APPS"] == ["django_structlog"]
    assert made["MIDDLEWARE"] == ["m"]


def test_parts_of_logging_that_nautobot_replaces_stay_beside_its_own():
    """Lines below the call may name them."""
    before = {
        "formatters": {"mine": {}},
        "filters": {"mine": {}},
        "handlers": {"mine": {}, "console": {"level": "ERROR"}},
    }

    def set_up(logging, *added, **options):
        logging["handlers"] = {"console": {"level": "INFO"}}
        del logging["filters"]

    env = {"UNDERSTACK_LOG_FORMAT": "json"}
    found = log_settings({"LOGGING": before}, env, structlog=lambda: set_up)

    assert found["LOGGING"] == {
        "formatters": {"mine": {}},
        "filters": {"mine": {}},
        "handlers": {"mine": {}, "console": {"level": "INFO"}},
        "loggers": {"celery.task": {}},
        "disable_existing_loggers": False,
    }


def test_disable_existing_loggers_of_base_is_kept():
    """Nautobot's set-up would silence Celery: no task would be seen to fail."""
    base = base_of({"version": 1, "disable_existing_loggers": True})
    env = {"UNDERSTACK_LOG_FORMAT": "json"}

    settings = log_settings(base, env, structlog=structlog_set_up([]))

    assert settings["LOGGING"]["disable_existing_loggers"] is True


@pytest.mark.parametrize(
    ("env", "levels"),
    [
        ({"NAUTOBOT_LOG_LEVEL": "DEBUG"}, ("DEBUG", "DEBUG", "ERROR", "DEBUG")),
        ({}, ("INFO", "WARNING", "ERROR", "CRITICAL")),
    ],
    ids=["variable", "the file"],
)
def test_log_level_of_variable_is_that_of_nautobots_own_lines(env, levels):
    """Nautobot's set-up leaves a logger its level, and Nautobot gives them one."""
    base = base_of(
        {
            "version": 1,
            "root": {"level": "CRITICAL"},
            "loggers": {
                "django": {"level": "INFO"},
                "nautobot": {"level": "WARNING"},
                "of.the.file": {"level": "ERROR"},
            },
        }
    )

    settings = log_settings(
        base, {"UNDERSTACK_LOG_FORMAT": "json", **env}, structlog=structlog_set_up([])
    )["LOGGING"]

    found = [settings["loggers"][one]["level"] for one in base["LOGGING"]["loggers"]]
    assert (*found, settings["root"]["level"]) == levels


@pytest.mark.parametrize(
    ("logging", "place"),
    [
        ({"loggers": []}, ".loggers"),
        ({"loggers": {"a": None}}, ".loggers.a"),
        ({"formatters": "x"}, ".formatters"),
        ({"root": "INFO"}, ".root"),
    ],
)
def test_logging_of_the_wrong_form_is_refused(logging, place):
    with pytest.raises(SettingsError) as caught:
        log_settings(base_of(logging), {"UNDERSTACK_LOG_FORMAT": "json"})

    assert sentences(caught.value) == (
        f"LOGGING{place}: the settings file assigns a value that is not a dict with "
        "names of type str. Assign a dict with names of type str."
    )


def test_logging_with_a_stream_and_without_loggers_is_set_up():
    """A stream cannot be copied."""
    base = base_of({"handlers": {"a": {"stream": sys.stdout}}, "loggers": None})
    env = {"UNDERSTACK_LOG_FORMAT": "json"}

    settings = log_settings(base, env, structlog=structlog_set_up([]))

    assert settings["LOGGING"]["handlers"] == {"a": {"stream": sys.stdout}}
    assert settings["LOGGING"]["loggers"] == {"celery.task": {}}


def test_log_level_without_format_is_not_judged():
    """The chart hands the same variable to Celery, which takes any case."""
    env = {"NAUTOBOT_LOG_LEVEL": "debug"}

    assert log_settings(BASE, env) == log_settings(BASE, {})


def test_log_settings_without_format_keep_the_same_objects():
    """Nautobot knows its LOGGING by identity when it adds trace ids to the lines."""
    base = base_of({"version": 1})

    settings = log_settings(base, {})

    assert all(settings[name] is base[name] for name in base)


def test_misspelt_log_level_is_refused_with_the_nearest():
    env = {"UNDERSTACK_LOG_FORMAT": "json", "NAUTOBOT_LOG_LEVEL": "warn"}

    with pytest.raises(SettingsError) as caught:
        log_settings(BASE, env, structlog=structlog_set_up([]))

    assert sentences(caught.value) == (
        "NAUTOBOT_LOG_LEVEL: 'warn' is not a valid log level. "
        "Did you mean WARNING? (Also valid: DEBUG, INFO, ERROR, CRITICAL.)"
    )


def test_log_format_without_nautobot_is_warned_about():
    with pytest.warns(SettingsWarning) as caught:
        settings = log_settings(
            {"LOGGING": {}}, {"UNDERSTACK_LOG_FORMAT": "json"}, structlog=no_nautobot
        )

    assert settings == {"LOGGING": {}}
    assert [str(warning.message) for warning in caught] == [
        "UNDERSTACK_LOG_FORMAT: Nautobot, whose structlog set-up makes the format, is "
        "not installed here. Ignore this outside of Nautobot."
    ]


def test_log_format_without_base_does_not_import_nautobot():
    def imported():
        raise AssertionError

    env = {"UNDERSTACK_LOG_FORMAT": "json"}

    assert log_settings({}, env, structlog=imported) == {}
