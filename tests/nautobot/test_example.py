"""The example, this very file, under real Nautobot and without it."""

import json
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings.checks.nautobot_base import base_settings

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "nautobot_config.py"

# Runs the file as Nautobot does, then looks at what it left of Nautobot's own.
RUN_TWICE = """
import json, re, runpy, sys
import nautobot.core.settings as base

def shown(value):
    return re.sub("0x[0-9a-f]+", "0x", repr(value))

def plain():
    return {name: value for name, value in vars(base).items() if name.isupper()}

def content():
    return {name: repr(value) for name, value in plain().items()}

objects, before = plain(), content()
first = runpy.run_path(sys.argv[1])
second = runpy.run_path(sys.argv[1])
names = sys.argv[2].split(",")
json.dump({
    "same objects": all(plain()[name] is value for name, value in objects.items()),
    "same content": content() == before,
    "same twice": all(
        shown(first[name]) == shown(second[name]) for name in first if name.isupper()
    ),
    "settings": {name: second.get(name) for name in names},
    "base": {name: vars(base).get(name) for name in names},
    "extra": [name for name in second if name.startswith("EXTRA_")],
    "in the database": [
        name
        for name in {*base.CONSTANCE_CONFIG, *base.CONSTANCE_ADDITIONAL_FIELDS}
        if name in second and second[name] is not vars(base).get(name)
    ],
}, sys.stdout, default=repr)
"""

SETTINGS = (
    *base_settings({}),
    "CELERY_BROKER_USE_SSL",
    "UNDERSTACK_PARTITION",
)
OFF = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4, "UNDERSTACK_REDIS_MTLS": "off"}


@pytest.fixture(scope="module")
def mount(tmp_path_factory):
    authority = Authority()
    directory = tmp_path_factory.mktemp("mtls")
    return write_mount(directory, authority.client(), authority.ca_pem)


def environment(tmp_path, env):
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path),
        "NAUTOBOT_ROOT": str(tmp_path),
        **{name: text for name, text in os.environ.items() if "COVERAGE" in name},
        **env,
    }


def run(tmp_path, env):
    return subprocess.run(
        [sys.executable, "-c", RUN_TWICE, str(EXAMPLE), ",".join(SETTINGS)],
        env=environment(tmp_path, env),
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(tmp_path, env):
    done = run(tmp_path, env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mtls(mount, **more):
    return {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        "NAUTOBOT_REDIS_SSL": "false",
        **mount.redis_variables,
        "NAUTOBOT_REDIS_PASSWORD": "p/w",
        "UNDERSTACK_PARTITION": "dfw3",
        **more,
    }


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"UNDERSTACK_LOG_FORMAT": "json"},
        {"UNDERSTACK_CONNECTION_PROFILE": "wan", "UNDERSTACK_HARDENING": "on"},
        {"NAUTOBOT_METRICS_ENABLED": "true"},
    ],
    ids=["plain", "structlog", "wan and hardening", "metrics"],
)
def test_settings_of_nautobot_are_not_changed_by_the_example(tmp_path, mount, more):
    """The same objects with the same content, however often the file runs."""
    found = loaded(tmp_path, mtls(mount, **more))

    assert found["same objects"]
    assert found["same content"]
    assert found["same twice"]
    assert found["extra"] == []
    assert found["in the database"] == []


def test_example_uses_tls_for_every_connection(tmp_path, mount):
    settings = loaded(tmp_path, mtls(mount))["settings"]

    options = settings["DATABASES"]["default"]["OPTIONS"]
    assert options["sslmode"] == "verify-full"
    assert options["sslcert"] == mount.certificate
    assert settings["CACHES"]["default"]["LOCATION"] == "rediss://localhost:6379/1"
    assert settings["CELERY_BROKER_URL"] == "rediss://:p%2Fw@localhost:6379/0"
    assert settings["CELERY_BROKER_USE_SSL"]["ssl_certfile"] == mount.certificate
    assert settings["PLUGINS"] == ["nautobot_plugin_nornir", "nautobot_golden_config"]
    assert settings["UNDERSTACK_PARTITION"] == "dfw3"


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"NAUTOBOT_DB_HOST": "db", "NAUTOBOT_DB_PORT": "5433", "NAUTOBOT_DB_NAME": "n"},
        {"NAUTOBOT_DB_ENGINE": "django.db.backends.mysql"},
        {"NAUTOBOT_REDIS_PASSWORD": "p/w", "NAUTOBOT_REDIS_USERNAME": "u"},
        {"NAUTOBOT_REDIS_SSL": "TRUE", "NAUTOBOT_REDIS_HOST": ""},
        {"NAUTOBOT_REDIS_SCHEME": "unix", "NAUTOBOT_REDIS_HOST": "/run/r.sock"},
        {"NAUTOBOT_CELERY_BROKER_URL": "amqps://b"},
        {"NAUTOBOT_METRICS_ENABLED": "On"},
    ],
    ids=[
        "nothing",
        "database",
        "mysql",
        "credentials",
        "tls",
        "socket",
        "broker",
        "metrics",
    ],
)
def test_base_settings_equal_those_of_nautobot(tmp_path, env):
    """The base that the command line starts from equals Nautobot's own settings."""
    env = {**OFF, **env}

    base = loaded(tmp_path, env)["base"]

    # None is the library's business, and all differ between releases.
    del base["DATABASES"]["default"]["CONN_MAX_AGE"]
    base["DATABASES"]["default"].pop("TEST", None)
    del base["CACHES"]["default"]["TIMEOUT"]
    base["CACHES"]["default"]["OPTIONS"].pop("CUSTOM_HEALTH_CHECK_CLASS", None)
    assumed = base_settings(env)
    assert assumed == {name: base[name] for name in assumed}


# What a worker does before its first task, and what it logs from then on.
LOG_AS_A_WORKER = """
import logging
import nautobot
from celery import signals
nautobot.setup()
from nautobot.core.celery import app
app.log.setup(loglevel="INFO", redirect_stdouts=True)
signals.celeryd_after_setup.send(sender="worker", instance=None, conf=app.conf)
logging.getLogger("celery.apps.worker").info("ready")
logging.getLogger("celery.app.trace").error("a task failed")
logging.getLogger("celery.task").info("a task says so")
logging.getLogger("nautobot.jobs").info("a job says so")
print("a task prints")
"""


def test_worker_with_json_format_logs_only_json_lines(tmp_path):
    """Celery's lines included, each once; the start-up line and warnings first."""
    env = {
        **OFF,
        "NAUTOBOT_SECRET_KEY": "short",
        "NAUTOBOT_CONFIG": str(EXAMPLE),
        "UNDERSTACK_LOG_FORMAT": "json",
        "NAUTOBOT_LOG_LEVEL": "INFO",
    }

    done = subprocess.run(
        [sys.executable, "-c", LOG_AS_A_WORKER],
        env=environment(tmp_path, env),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    ours = [line for line in lines if "understack" in line["logger"]]
    assert [line["level"] for line in ours] == ["info", "warning"]
    assert ours == lines[:2]
    assert ours[0]["event"].startswith("PostgreSQL sslmode=unset")
    assert [
        (line["logger"], line["event"])
        for line in lines
        if line["logger"].startswith("celery") or "says so" in line["event"]
    ] == [
        ("celery.apps.worker", "ready"),
        ("celery.app.trace", "a task failed"),
        ("celery.task", "a task says so"),
        ("nautobot.jobs", "a job says so"),
        ("celery.redirected", "a task prints"),
    ]


def test_refused_environment_ends_nautobot_with_the_message(tmp_path, mount):
    """What `nautobot-server` prints ends with the refusal, and no secret is in it."""
    env = mtls(
        mount, NAUTOBOT_DB_SSLMODE="verify_full", NAUTOBOT_REDIS_PASSWORD="canary"
    )

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from nautobot.core.cli import main; main()",
            "--config",
            str(EXAMPLE),
            "check",
        ],
        env=environment(tmp_path, env),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert (
        "understack_nautobot_settings.problems.SettingsError: NAUTOBOT_DB_SSLMODE: "
        "'verify_full' is not a valid sslmode. Did you mean verify-full? (Also "
        "valid: verify-ca, require; disable for plain TCP.) [value-invalid]"
    ) in done.stderr.splitlines()
    assert "canary" not in done.stderr + done.stdout


def test_missing_certificate_ends_nautobot_with_documented_message(tmp_path, mount):
    env = mtls(mount, NAUTOBOT_DB_SSLCERT=str(tmp_path / "tls.crt"))

    done = run(tmp_path, env)

    assert done.returncode != 0
    assert (
        "understack_nautobot_settings.problems.MissingFileError: SSL certificate file "
        f"required by NAUTOBOT_DB_SSLCERT not found: {tmp_path}/tls.crt"
    ) in done.stderr.splitlines()


def test_example_without_nautobot_configures_a_namespace(monkeypatch, mount):
    """With any module in Nautobot's place the same file configures a namespace."""
    env = mtls(mount)
    package = types.ModuleType("nautobot")
    core = types.ModuleType("nautobot.core")
    settings = types.ModuleType("nautobot.core.settings")
    vars(settings).update(base_settings(env))
    for module in (package, core, settings):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, text in env.items():
        monkeypatch.setenv(name, text)

    namespace = runpy.run_path(str(EXAMPLE))

    options = namespace["DATABASES"]["default"]["OPTIONS"]
    assert options["sslmode"] == "verify-full"
    assert namespace["CELERY_BROKER_URL"] == "rediss://:p%2Fw@localhost:6379/0"
