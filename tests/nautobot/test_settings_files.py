"""What becomes of a settings file: with the call at its end, and above its lines.

The bodies are what real settings files do to Nautobot's settings. At the end of the
file a variable that is set wins over the file, and the file over the library's
defaults. Above the file's own lines the start is refused where they take TLS away, and
everything else that they replace is named.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount

IMPORT = "from nautobot.core.settings import *\n"
CALL = "from understack_nautobot_settings import configure\nconfigure(globals())\n"
PROGRAM = "tests.nautobot.loading"
KEY = "key-0123456789" * 4
CACHE = "CACHES['{}']['OPTIONS']['CONNECTION_POOL_KWARGS']['{}']"
APP = """
from nautobot.apps import NautobotAppConfig

class Config(NautobotAppConfig):
    name = "site_app"
    verbose_name = "Site app"
    version = "1.0"
    base_url = "site-app"

config = Config
"""


class Case(NamedTuple):
    """One body of a settings file.

    Attributes:
        body: Its lines.
        end: With the call at the end, expressions and their values.
        said: The beginnings of the warnings that are then logged.
        below: With the call above the body, the beginnings of what is said.
        refused: Whether the start is refused then; otherwise it is warned of.
        env: Further variables.
    """

    body: str
    end: dict[str, Any]
    said: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    refused: bool = False
    env: dict[str, str] = {}


TLS_BY_HAND = """
tls = {{"ssl_cert_reqs": {0}, "ssl_ca_certs": "{{ca}}", "ssl_check_hostname": False}}
CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"] = dict(tls)
CELERY_BROKER_USE_SSL = dict(tls)
"""

CASES = {
    "valkey": Case(
        'CACHES["v"] = {"BACKEND": "django_valkey.cache.ValkeyCache", '
        '"LOCATION": "valkey://v:6379/1"}',
        {"CACHES['v']['LOCATION']": "valkey://v:6379/1"},
        ("CACHES.v: this cache uses Valkey's client",),
    ),
    "debug": Case(
        'DEBUG = True\nALLOWED_HOSTS = ["*"]',
        {"DEBUG": True, "ALLOWED_HOSTS": ["*"]},
    ),
    "Nautobot's EXTRA_PLUGINS": Case(
        'EXTRA_PLUGINS = ["site_app"]',
        {"PLUGINS[-1]": "site_app"},
    ),
    "LDAP beside the variables of OIDC": Case(
        'AUTHENTICATION_BACKENDS = ["django_auth_ldap.backend.LDAPBackend", '
        '"nautobot.core.authentication.ObjectPermissionBackend"]',
        {"AUTHENTICATION_BACKENDS[0]": "django_auth_ldap.backend.LDAPBackend"},
        ("AUTHENTICATION_BACKENDS: the settings file lists backends without OpenID",),
        ("AUTHENTICATION_BACKENDS: a line below the call",),
        env={
            "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://sso.example.org",
            "SOCIAL_AUTH_OIDC_SECRET": "c4n4ry",
        },
    ),
    "handlers of LOGGING": Case(
        'LOGGING["loggers"]["nautobot"]["handlers"] = ["normal_console"]',
        {"'normal_console' in LOGGING['handlers']": True},
        below=("LOGGING: a line below the call",),
        env={"UNDERSTACK_LOG_FORMAT": "json"},
    ),
    "LOGGING emptied": Case("LOGGING = {}", {"bool(LOGGING)": True}),
    "logging switched off": Case("LOGGING_CONFIG = None", {"LOGGING_CONFIG": None}),
    "sessions in Django's own backend": Case(
        "from nautobot.core.settings_funcs import parse_redis_connection\n"
        'CACHES["sessions"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache"'
        ', "LOCATION": parse_redis_connection(redis_database=2)}',
        {
            "CACHES['sessions']['LOCATION'].partition('://')[0]": "rediss",
            "CACHES['sessions']['OPTIONS']['ssl_cert_reqs']": "required",
        },
        below=("CACHES.sessions: a line below the call of configure added this cache",),
        refused=True,
    ),
    "apps listed, left to themselves": Case(
        'PLUGINS = ["nautobot_plugin_nornir", "nautobot_golden_config"]',
        {
            "PLUGINS": ["nautobot_plugin_nornir", "nautobot_golden_config"],
            "'secrets' in str(PLUGINS_CONFIG['nautobot_plugin_nornir'])": False,
        },
    ),
    "one app only": Case(
        'PLUGINS = ["site_app"]',
        {"PLUGINS[0]": "site_app"},
        below=("PLUGINS: a line below the call",),
    ),
    "apps with their configuration": Case(
        'PLUGINS = ["site_app"]\nPLUGINS_CONFIG = {"site_app": {"a": 1}}',
        {"PLUGINS_CONFIG['site_app']['a']": 1},
        below=(
            "PLUGINS: a line below the call",
            "PLUGINS_CONFIG: a line below the call",
        ),
    ),
    "configuration left over": Case(
        'PLUGINS_CONFIG = {"welcome_wizard": None}',
        {"PLUGINS_CONFIG['welcome_wizard']": None},
        ("PLUGINS_CONFIG: 'welcome_wizard' is configured and not loaded.",),
        ("PLUGINS_CONFIG: a line below the call",),
    ),
    "another Redis in the same pod": Case(
        'CACHES["local"] = {"BACKEND": "django_redis.cache.RedisCache", '
        '"LOCATION": "redis://127.0.0.2:6380/0"}',
        {"CACHES['local']['LOCATION']": "redis://127.0.0.2:6380/0"},
        ("CACHES.local: its host is not 127.0.0.1",),
    ),
    "secret key of the file": Case(
        'SECRET_KEY = "from-somewhere-else-" * 4',
        {"SECRET_KEY": KEY},
        ("NAUTOBOT_SECRET_KEY: the settings file assigns another secret key",),
        ("SECRET_KEY: a line below the call",),
    ),
    "chain verified, name not": Case(
        "import ssl" + TLS_BY_HAND.format("ssl.CERT_REQUIRED"),
        {
            CACHE.format("default", "ssl_check_hostname"): False,
            CACHE.format("default", "ssl_cert_reqs"): "required",
            "CELERY_BROKER_USE_SSL['ssl_check_hostname']": False,
        },
        below=(
            "CACHES.default: a line below the call",
            "CELERY_BROKER_URL: a line below the call",
        ),
        refused=True,
    ),
    "not verified": Case(
        TLS_BY_HAND.format("None"),
        {
            CACHE.format("default", "ssl_cert_reqs"): "required",
            "CELERY_BROKER_USE_SSL['ssl_cert_reqs']": "required",
        },
        ("NAUTOBOT_REDIS_SSL_CERT_REQS: the settings file says ssl_cert_reqs none",),
        (
            "CACHES.default: a line below the call",
            "CELERY_BROKER_URL: a line below the call",
        ),
        refused=True,
    ),
    "databases and caches assigned whole": Case(
        "import os\n"
        "from nautobot.core.settings_funcs import parse_redis_connection\n"
        'DATABASES = {"default": {"NAME": "nautobot", "USER": "app", '
        '"HOST": os.environ["NAUTOBOT_DB_HOST"], '
        '"ENGINE": "django.db.backends.postgresql"}}\n'
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", '
        '"LOCATION": parse_redis_connection(redis_database=1)}}',
        {
            "DATABASES['default']['OPTIONS']['sslmode']": "verify-full",
            CACHE.format("default", "ssl_cert_reqs"): "required",
        },
        below=(
            "DATABASES.default: a line below the call",
            "CACHES.default: a line below the call",
        ),
        refused=True,
    ),
}

# Each takes TLS away from one connection, in one way.
WAYS = {
    "options replaced": 'DATABASES["default"]["OPTIONS"] = {}',
    "options removed": 'del DATABASES["default"]["OPTIONS"]',
    "sslmode weakened": 'DATABASES["default"]["OPTIONS"]["sslmode"] = "prefer"',
    "settings imported again": IMPORT,
    "logging off as well": "LOGGING_CONFIG = None\n" + IMPORT,
    "logging empty as well": "LOGGING = {}\n" + IMPORT,
    "cache URL": "CACHES['default']['LOCATION'] = 'redis://127.0.0.1:{port}/1'",
    "cache options": "CACHES['default']['OPTIONS'] = {}",
    "connection class": (
        "del CACHES['default']['OPTIONS']['CONNECTION_POOL_KWARGS']['connection_class']"
    ),
    "pool class": (
        "CACHES['default']['OPTIONS']['CONNECTION_POOL_CLASS'] = "
        "'redis.BlockingConnectionPool'"
    ),
    "further cache": (
        "CACHES['more'] = {'BACKEND': 'django_redis.cache.RedisCache', "
        "'LOCATION': 'redis://127.0.0.1:{port}/1'}"
    ),
    "broker URL": "CELERY_BROKER_URL = 'redis://127.0.0.1:{port}/0'",
    "broker options": "CELERY_BROKER_USE_SSL = None",
    "transport": "CELERY_BROKER_TRANSPORT = 'redis'",
    "URL for reading": "CELERY_BROKER_READ_URL = 'redis://127.0.0.1:{port}/0'",
}


class Recorder:
    """A plain TCP server that keeps what it receives and answers nothing."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.received: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.received.append(connection.recv(4096))

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    """A server that should receive nothing in plain text."""
    server = Recorder()
    yield server
    server.close()


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, recorder: Recorder
) -> dict[str, str]:
    """Mutual TLS to database and Redis, both at the recording server."""
    directory = tmp_path_factory.mktemp("files")
    authority = Authority()
    mount = write_mount(directory / "mtls", authority.client(), authority.ca_pem)
    app = directory / "apps" / "site_app"
    app.mkdir(parents=True)
    (app / "__init__.py").write_text(APP)
    repository = str(Path(__file__).parents[2])
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([repository, str(app.parent)]),
        "NAUTOBOT_ROOT": str(directory / "root"),
        "NAUTOBOT_SECRET_KEY": KEY,
        "NAUTOBOT_DB_HOST": "127.0.0.1",
        "NAUTOBOT_DB_PORT": str(recorder.port),
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_PASSWORD": "c4n4ry",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_SSLCERT": str(mount.certificate),
        "NAUTOBOT_DB_SSLKEY": str(mount.key),
        "NAUTOBOT_DB_SSLROOTCERT": str(mount.ca),
        "NAUTOBOT_REDIS_HOST": "127.0.0.1",
        "NAUTOBOT_REDIS_PORT": str(recorder.port),
        "NAUTOBOT_REDIS_PASSWORD": "c4n4ry",
        "NAUTOBOT_REDIS_SSL": "false",
        "NAUTOBOT_REDIS_SSL_CA_CERTS": str(mount.ca),
        "NAUTOBOT_REDIS_SSL_CERTFILE": str(mount.certificate),
        "NAUTOBOT_REDIS_SSL_KEYFILE": str(mount.key),
        "UNDERSTACK_DB_CONNECT_TIMEOUT": "2",
    }


def loaded(cases: list[dict[str, Any]], env: dict[str, str]) -> list[dict[str, Any]]:
    """Load files in one run of the program."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", PROGRAM],
        input=json.dumps(cases),
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """What became of each body, by name and by where the call stands."""
    directory = tmp_path_factory.mktemp("bodies")
    keys, cases = [], []
    for number, (name, case) in enumerate(CASES.items()):
        body = case.body.replace("{ca}", environment["NAUTOBOT_REDIS_SSL_CA_CERTS"])
        for place in ("end", "above"):
            path = directory / f"{place}{number}.py"
            parts = [IMPORT, *([body, CALL] if place == "end" else [CALL, body])]
            path.write_text("\n".join(parts))
            shown = list(case.end) if place == "end" else []
            keys.append((name, place))
            cases.append(
                {"path": str(path), "env": case.env, "shown": shown, "connects": False}
            )
    return dict(zip(keys, loaded(cases, environment), strict=True))


def said(outcome: dict[str, Any]) -> list[str]:
    """Return the warnings in the log, or the paragraphs of the refusal."""
    if outcome["refused"]:
        text = outcome["refused"].partition(": ")[2]
        return [one for one in text.split("\n\n") if not one.startswith("More about")]
    lines = re.findall(
        r"^.*(?:WARNING|\[warning *\]|\"warning\").*$", outcome["log"], re.M
    )
    return [line for line in lines if "understack_nautobot_settings" in line]


@pytest.mark.parametrize("name", CASES)
def test_file_with_the_call_at_its_end_keeps_what_it_says(name, outcomes):
    case, outcome = CASES[name], outcomes[name, "end"]

    assert outcome["refused"] == ""
    assert dict(zip(case.end, outcome["shown"], strict=True)) == case.end
    warnings = said(outcome)
    assert len(warnings) == len(case.said), warnings
    for text in case.said:
        assert [text in line for line in warnings].count(True) == 1
    assert outcome["log"].count("PostgreSQL sslmode=verify-full") == 1
    assert "cache: Redis mTLS on" in outcome["log"]
    assert "c4n4ry" not in outcome["log"]


@pytest.mark.parametrize("name", CASES)
def test_file_with_the_call_above_its_lines_is_refused_or_what_it_lost_is_said(
    name, outcomes
):
    case, outcome = CASES[name], outcomes[name, "above"]

    assert bool(outcome["refused"]) is case.refused, outcome["refused"]
    lines = said(outcome)
    assert len(lines) == len(case.below), lines
    for text in case.below:
        assert [text in line for line in lines].count(True) == 1
    if not case.refused:
        assert outcome["log"].count("PostgreSQL sslmode=verify-full") == 1
    assert "c4n4ry" not in outcome["refused"] + outcome["log"]


@pytest.fixture(scope="module")
def undone(
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    recorder: Recorder,
) -> dict[str, dict[str, Any]]:
    """What became of each way to take TLS away."""
    directory = tmp_path_factory.mktemp("ways")
    cases = []
    ways = {**WAYS, "untouched": ""}
    for number, lines in enumerate(ways.values()):
        path = directory / f"way{number}.py"
        path.write_text(IMPORT + CALL + lines.replace("{port}", str(recorder.port)))
        cases.append({"path": str(path), "env": {}, "shown": [], "connects": True})
    return dict(zip(ways, loaded(cases, environment), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_start_is_refused_however_tls_is_taken_away(way, undone):
    assert undone[way]["refused"].startswith("SettingsError: ")
    assert "Move the call of configure to the end" in undone[way]["refused"]
    assert "c4n4ry" not in undone[way]["refused"]


def test_plain_server_receives_tls_of_the_untouched_file_alone(undone, recorder):
    """libpq asks for TLS first, redis-py and kombu begin with the handshake."""
    assert undone["untouched"]["refused"] == ""
    assert recorder.received
    request, handshake = b"\x00\x00\x00\x08\x04\xd2\x16/", b"\x16\x03"
    plain = [
        one for one in recorder.received if not one.startswith((request, handshake))
    ]
    assert plain == []


WORKERS = 2
UWSGI = """
import sys
import pyuwsgi

pyuwsgi.run([
    "--master", "--processes", "2", "--need-app", "--http-socket", "127.0.0.1:0",
    # How long a process may take to end.
    "--reload-mercy", "1", "--worker-reload-mercy", "1",
    "--module", "nautobot.core.wsgi", *sys.argv[1:],
])
"""


def under_uwsgi(
    lines: str, env: dict[str, str], path: Path, *options: str, processes: int = 1
) -> str:
    """Return the log of uWSGI, which is ended when each process loaded the file."""
    path.write_text(IMPORT + CALL + lines)
    with subprocess.Popen(
        [sys.executable, "-c", UWSGI, *options],
        env={**env, "NAUTOBOT_CONFIG": str(path), "NAUTOBOT_DB_PORT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        log = ""
        for line in server.stdout:
            log += line
            started = log.count("spawned uWSGI worker ") == WORKERS
            loaded = log.count("WSGI app 0 ") == processes
            if (started and loaded) or "no app loaded" in line:
                server.send_signal(signal.SIGINT)
    return log


@pytest.mark.parametrize(
    ("options", "processes"),
    [((), 1), (("--lazy-apps",), 2)],
    ids=["loaded before the fork", "loaded by each process"],
)
def test_process_of_the_web_server_that_loads_the_file_says_so_once(
    options, processes, environment, tmp_path
):
    path = tmp_path / "config.py"
    log = under_uwsgi("", environment, path, *options, processes=processes)

    assert log.count("PostgreSQL sslmode=verify-full") == processes


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["fork", "lazy"])
def test_web_server_is_not_started_without_the_tls_that_was_decided(
    options, environment, tmp_path
):
    lines = "LOGGING_CONFIG = None\nCELERY_BROKER_USE_SSL = None\n"

    log = under_uwsgi(lines, environment, tmp_path / "config.py", *options)

    assert "[tls-not-in-force]" in log
    assert "PostgreSQL sslmode" not in log
    assert "no app loaded" in log
