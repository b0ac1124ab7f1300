"""The line that states at start-up how a process is set."""

import datetime
import logging
import logging.config
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks import start_up
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.checks.start_up import configure_logging
from understack_nautobot_settings.checks.start_up import startup_line

BMP = x509.Name(
    [x509.NameAttribute(NameOID.COMMON_NAME, "app", _type=_ASN1Type.BMPString)]
)
PLAIN = (
    "PostgreSQL sslmode=unset sslnegotiation=unset; cache: no TLS; broker: no TLS; "
    "plugins none; partition none; certificates expire: none in use"
)
TLS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


def database(engine="django.db.backends.postgresql", **options):
    return {"DATABASES": {"default": {"ENGINE": engine, "OPTIONS": options}}}


def cache(**pool):
    entry = {
        "LOCATION": "rediss://redis:6379/1",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": pool},
    }
    return {"CACHES": {"default": entry}}


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, PLAIN),
        (
            database(sslmode="require", sslnegotiation="direct"),
            "PostgreSQL sslmode=require sslnegotiation=direct",
        ),
        (database("django.db.backends.mysql"), "database django.db.backends.mysql"),
        (
            {"DATABASES": {**database(sslmode="require")["DATABASES"], "more": {}}},
            "PostgreSQL sslmode=require sslnegotiation=unset; "
            "database more: PostgreSQL sslmode=unset sslnegotiation=unset; cache: no",
        ),
        (
            cache(**TLS),
            "cache: Redis mTLS off, server certificate required; broker: no",
        ),
        (
            {
                "CELERY_BROKER_URL": "rediss://redis/0",
                "CELERY_BROKER_USE_SSL": {**TLS, "ssl_cert_reqs": None},
            },
            "cache: no TLS; broker: Redis mTLS off, server certificate none;",
        ),
        (
            {
                "CACHES": {"default": {"BACKEND": "a.LocMemCache"}},
                "CELERY_BROKER_URL": "amqps://broker//",
            },
            "; cache: not in Redis; broker: not Redis;",
        ),
        ({"CELERY_BROKER_URL": "amqp://broker//"}, "; broker: not Redis, no TLS;"),
        (
            {
                "CELERY_BROKER_URL": "amqp://broker//",
                "CELERY_BROKER_USE_SSL": {"ca_certs": "/ca"},
            },
            "; broker: not Redis;",
        ),
        ({"CELERY_BROKER_URL": "sentinel://redis/0"}, "; broker: no TLS;"),
        ({"PLUGINS": ("a", "b")}, "; plugins a, b;"),
        ({"UNDERSTACK_PARTITION": "dfw3"}, "; partition dfw3;"),
    ],
    ids=[
        "nothing",
        "database",
        "mysql",
        "further database",
        "system store",
        "unverified",
        "no Redis",
        "plain RabbitMQ",
        "RabbitMQ over TLS",
        "sentinel",
        "plugins",
        "partition",
    ],
)
def test_startup_line_states_the_connection_mode(settings, part):
    assert part in startup_line(settings)


def test_startup_line_states_the_days_left_of_certificates(tmp_path):
    authority = Authority()
    end = datetime.datetime(2030, 1, 31, tzinfo=datetime.timezone.utc)
    mount = write_mount(tmp_path, authority.client(not_after=end), authority.ca_pem)
    files = {"ssl_ca_certs": mount.ca, "ssl_certfile": mount.certificate}
    settings = cache(**TLS, **files, ssl_keyfile=mount.key)
    first = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)

    line = startup_line(settings, clock=first.timestamp)

    assert "; cache: Redis mTLS on, server certificate required;" in line
    assert f"{mount.certificate} 30 days" in line


def test_startup_line_holds_no_secret():
    secrets = {
        "SECRET_KEY": "canary",
        "CELERY_BROKER_URL": "redis://:canary@r/0",
        "PLUGINS_CONFIG": {"a": {"token": "canary"}},
    }

    assert "canary" not in startup_line({**secrets, **cache(password="canary")})


ENV = {
    "NAUTOBOT_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
}
QUIET = {"version": 1, "disable_existing_loggers": True}


@pytest.fixture
def quiet_logger():
    """The package's logger, as it was before the test."""
    logger = logging.getLogger(start_up.LOGGER)
    before = logger.handlers[:], logger.level, logger.disabled
    yield logger
    logger.handlers[:], level, logger.disabled = before
    logger.setLevel(level)
    start_up._waiting.clear()
    start_up._configured_by[:] = [start_up.DJANGO_LOGGING_CONFIG]


def configured(base=(), env=ENV):
    """Return a settings module that called `configure`, as a mapping."""
    namespace = {"__name__": "nautobot_config", **dict(base)}
    configure(namespace, env)
    return namespace


def test_startup_lines_are_logged_once_after_logging_is_configured(
    quiet_logger, caplog
):
    namespace = configured(env={"NAUTOBOT_SECRET_KEY": "short"})

    assert caplog.messages == []
    configure_logging(QUIET, settings=namespace)
    configure_logging(QUIET, settings=namespace)

    line, weak = caplog.messages
    assert line == startup_line(namespace)
    assert weak.startswith("NAUTOBOT_SECRET_KEY: ")


def test_second_call_of_configure_replaces_startup_lines(quiet_logger, caplog):
    namespace = configured()
    configure(namespace, {**ENV, "UNDERSTACK_PARTITION": "dfw3"})

    configure_logging(QUIET, settings=namespace)

    (line,) = caplog.messages
    assert "partition dfw3" in line


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_what_first_call_overruled_is_told_once_after_others(
    quiet_logger, caplog, calls
):
    """The others find the variable's value in the settings."""
    namespace = {"SECRET_KEY": "of the file " * 5}
    for _ in range(calls):
        configure(namespace, ENV)

    configure_logging(QUIET, settings=namespace)

    _, overruled = caplog.messages
    assert overruled.startswith(
        "NAUTOBOT_SECRET_KEY: the settings file assigns another secret key"
    )


def test_value_replaced_below_second_call_of_configure_is_warned_about(
    quiet_logger, caplog
):
    namespace = configured()
    configure(namespace, ENV)
    namespace["UNDERSTACK_PARTITION"] = "dfw3"

    configure_logging(QUIET, settings=namespace)

    _, replaced = caplog.messages
    assert replaced.startswith("UNDERSTACK_PARTITION: a line below the call")


def test_value_that_another_file_had_decided_is_not_decided_here(quiet_logger, caplog):
    configured(env={**ENV, "UNDERSTACK_PARTITION": "dfw3"})
    namespace = configured({"UNDERSTACK_PARTITION": "dfw3"})
    namespace["UNDERSTACK_PARTITION"] = "ord1"

    configure_logging(QUIET, settings=namespace)

    assert caplog.messages == [startup_line(namespace)]


def test_names_that_were_configured_elsewhere_are_configured_here(quiet_logger, caplog):
    start_up.forget_start()
    namespace = configured({"LOGGING_CONFIG": start_up.CONFIGURE_LOGGING})

    configure_logging(QUIET, settings=namespace)

    assert caplog.messages == [startup_line(namespace)]


def test_mapping_that_is_no_module_is_asked_for_no_names(quiet_logger):
    namespace = {}
    configure(namespace, ENV)

    assert "__dir__" not in namespace


def test_logging_is_configured_by_the_previous_logging_config(quiet_logger):
    namespace = configured({"LOGGING_CONFIG": "logging.disable"})
    try:
        configure_logging(logging.CRITICAL, settings=namespace)
        assert logging.root.manager.disable == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)


def test_startup_line_without_log_handler_goes_to_stderr(quiet_logger, capfd):
    namespace = configured()
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        configure_logging(QUIET, settings=namespace)
    finally:
        root.handlers[:] = handlers

    assert capfd.readouterr().err.endswith(
        f"INFO understack_nautobot_settings: {startup_line(namespace)}\n"
    )


@pytest.mark.parametrize(
    ("below", "logging_config"),
    [
        ({}, start_up.CONFIGURE_LOGGING),
        ({"LOGGING": {}}, start_up.CONFIGURE_LOGGING),
        ({"LOGGING_CONFIG": "logging.config.dictConfig"}, start_up.CONFIGURE_LOGGING),
        ({"LOGGING_CONFIG": None}, None),
    ],
    ids=["nothing", "logging emptied", "configured by another", "switched off"],
)
def test_startup_line_is_logged_if_file_changes_logging_below(
    below, logging_config, quiet_logger, caplog
):
    """Django and Nautobot ask the module for its names when it has run."""
    namespace = configured()
    namespace.update(below)

    names = namespace["__dir__"]()
    if logging_config:
        configure_logging(QUIET, settings=namespace)

    assert {"LOGGING_CONFIG", "SECRET_KEY"} < set(names)
    assert namespace["__dir__"]() == names
    assert namespace["LOGGING_CONFIG"] == logging_config
    if below == {"LOGGING": {}}:
        # One that changes nothing.
        assert namespace["LOGGING"] == {"version": 1, "incremental": True}
    assert caplog.messages == [startup_line(namespace)]


def test_tls_replaced_below_configure_is_refused_after_module_has_run(quiet_logger):
    namespace = configured(env={**ENV, "NAUTOBOT_DB_SSLMODE": "require"})
    namespace["DATABASES"] = {"default": {}}

    with pytest.raises(SettingsError, match=r"DATABASES\.default"):
        namespace["__dir__"]()
    with pytest.raises(SettingsError, match=r"DATABASES\.default"):
        configure_logging(QUIET, settings=namespace)


def test_module_that_took_over_a_configured_copy_is_itself_looked_at(
    quiet_logger, monkeypatch
):
    """``ns = dict(globals()); configure(ns); globals().update(ns)``."""
    module = ModuleType("nautobot_config")
    vars(module).update(configured(env={**ENV, "NAUTOBOT_DB_SSLMODE": "require"}))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", module.__name__)

    module.TIME_ZONE = "Europe/Berlin"
    assert {"SECRET_KEY", "TIME_ZONE"} < set(dir(module))
    module.DATABASES, module.LOGGING_CONFIG = {"default": {}}, None
    with pytest.raises(SettingsError, match=r"DATABASES\.default"):
        dir(module)


@pytest.mark.parametrize(
    ("leaf", "env", "warned"),
    [
        ({}, {"NAUTOBOT_DB_USER": "app"}, ""),
        ({}, {"NAUTOBOT_DB_USER": "nautobot"}, "is CN=app, and the database user is"),
        (
            {},
            {"NAUTOBOT_DB_USER": "nautobot", "UNDERSTACK_DB_IDENTITY_MAP": "true"},
            "",
        ),
        (
            {"subject": BMP},
            {"NAUTOBOT_DB_USER": "app"},
            "is CN=app in an encoding that PostgreSQL does not accept (BMPString)",
        ),
    ],
    ids=["same", "other", "mapped", "BMPString"],
)
def test_certificate_of_another_user_is_one_warning_and_an_error_in_check(
    tmp_path, quiet_logger, caplog, leaf, env, warned
):
    """Of `check` on an environment, and on a file that calls `configure`."""
    authority = Authority()
    mount = write_mount(tmp_path / "mtls", authority.client(**leaf), authority.ca_pem)
    env = {
        **ENV,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        **env,
    }
    namespace = configured(base_settings(env), env)
    configure_logging(QUIET, settings=namespace)
    start = start_up.last_start()
    file = SettingsFile(
        "nautobot_config.py", namespace, {}, start.decided, list(start.warnings), {}
    )

    assert [line for line in caplog.messages if "database user" in line] == [
        line for line in caplog.messages if warned and warned in line
    ]
    for seen in (inspect_environment(env), inspect_environment(env, file=file)):
        found = [
            one.severity
            for one in seen.problems
            if one.code == "certificate-name-mismatch"
        ]
        assert found == (["error"] if warned else [])
    assert len([one for one in caplog.messages if "database user" in one]) == bool(
        warned
    )


def test_mount_shared_by_all_connections_is_read_once(
    tmp_path, quiet_logger, monkeypatch
):
    """By PostgreSQL's check, that of Redis, the CN and the days in the line."""
    authority = Authority()
    mount = write_mount(tmp_path, authority.client(), authority.ca_pem)
    files = {"CERT": mount.certificate, "KEY": mount.key, "ROOTCERT": mount.ca}
    redis = {"CERTFILE": mount.certificate, "KEYFILE": mount.key, "CA_CERTS": mount.ca}
    env = {
        **ENV,
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **{f"NAUTOBOT_DB_SSL{name}": str(path) for name, path in files.items()},
        **{f"NAUTOBOT_REDIS_SSL_{name}": str(path) for name, path in redis.items()},
    }
    opened, really_open = [], os.open

    def counting(path, *args, **options):
        opened.append(str(path))
        return really_open(path, *args, **options)

    monkeypatch.setattr(os, "open", counting)
    namespace = configured(base_settings(env), env)
    configure_logging(QUIET, settings=namespace)

    seen = [path for path in opened if path.startswith(str(tmp_path))]
    assert sorted(seen) == sorted(map(str, files.values()))


PAGE = Path(__file__).parents[3] / "docs" / "tutorial.md"


def test_startup_line_in_tutorial_equals_the_logged_line(tmp_path):
    authority = Authority()
    mount = write_mount(tmp_path, authority.client(), authority.ca_pem)
    tls = {
        **TLS,
        "ssl_ca_certs": str(mount.ca),
        "ssl_certfile": str(mount.certificate),
        "ssl_keyfile": str(mount.key),
    }
    settings = {
        **database(sslmode="verify-full", sslnegotiation="direct"),
        **cache(**tls),
        "CELERY_BROKER_URL": "rediss://redis:6379/0",
        "CELERY_BROKER_USE_SSL": tls,
        "PLUGINS": ["nautobot_plugin_nornir", "nautobot_golden_config"],
        "UNDERSTACK_PARTITION": "rxdb-lab",
    }

    line = startup_line(settings).replace(str(tmp_path), "/etc/nautobot/mtls")

    (shown,) = re.findall(r"```text\n(PostgreSQL .*?)```", PAGE.read_text(), re.DOTALL)
    assert " ".join(shown.split()) == line
