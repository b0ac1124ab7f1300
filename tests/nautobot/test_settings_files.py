"""What becomes of a settings file: with the call at its end, and above its lines.

The bodies are what real settings files do to Nautobot's settings. At the end of the
file a variable that is set wins over the file, and the file over the library's
defaults. Above the file's own lines the start is refused where they take TLS away, and
everything else that they replace is named. Whatever is not refused reaches PostgreSQL
and Redis over mutual TLS, as both say, and the start-up line says the same.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest

from tests.nautobot.conftest import CALL
from tests.nautobot.conftest import IMPORT
from tests.nautobot.conftest import KEY
from tests.nautobot.conftest import Servers

PROGRAM = "tests.nautobot.loading"
PAGE = Path(__file__).parents[2].joinpath("docs/explanation/start-up.md").read_text()
CACHE = "CACHES['{}']['OPTIONS']['CONNECTION_POOL_KWARGS']['{}']"


class Case(NamedTuple):
    """One body of a settings file.

    Attributes:
        body: Its lines.
        wins: Who does with the call at the end, in words.
        end: With the call at the end, expressions and their values.
        said: The beginnings of the warnings that are then logged.
        below: With the call above the body, the beginnings of what is said.
        refused: Whether the start is refused then; otherwise it is warned of.
        env: Further variables.
    """

    body: str
    wins: str
    end: dict[str, Any]
    said: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    refused: bool = False
    env: dict[str, str] = {}


TLS_BY_HAND = """
tls = {{"ssl_cert_reqs": {0}, "ssl_ca_certs": "{{ca}}", "ssl_check_hostname": False}}
CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"] = dict(tls)
CELERY_BROKER_USE_SSL = dict(tls)
CELERY_REDIS_BACKEND_USE_SSL = dict(tls)
"""

CASES = {
    "valkey": Case(
        'CACHES["v"] = {"BACKEND": "django_valkey.cache.ValkeyCache", '
        '"LOCATION": "valkey://v:6379/1"}',
        "the file",
        {"CACHES['v']['LOCATION']": "valkey://v:6379/1"},
        ("CACHES.v: this cache uses Valkey's client",),
    ),
    "debug": Case(
        'DEBUG = True\nALLOWED_HOSTS = ["*"]',
        "the file",
        {"DEBUG": True, "ALLOWED_HOSTS": ["*"]},
    ),
    "Nautobot's EXTRA_PLUGINS": Case(
        'EXTRA_PLUGINS = ["site_app"]\nPLUGINS_CONFIG["site_app"] = {"a": 1}',
        "the file",
        {"PLUGINS[-1]": "site_app"},
    ),
    "LDAP beside the variables of OIDC": Case(
        'AUTHENTICATION_BACKENDS = ["django_auth_ldap.backend.LDAPBackend", '
        '"nautobot.core.authentication.ObjectPermissionBackend"]',
        "the file",
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
        "the file",
        {"'normal_console' in LOGGING['handlers']": True},
        below=("LOGGING: a line below the call",),
        env={"UNDERSTACK_LOG_FORMAT": "json"},
    ),
    "LOGGING emptied": Case("LOGGING = {}", "the file", {"bool(LOGGING)": True}),
    "logging switched off": Case(
        "LOGGING_CONFIG = None", "the file", {"LOGGING_CONFIG": None}
    ),
    "sessions in Django's own backend": Case(
        "from nautobot.core.settings_funcs import parse_redis_connection\n"
        'CACHES["sessions"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache"'
        ', "LOCATION": parse_redis_connection(redis_database=2)}\n'
        'SESSION_ENGINE = "django.contrib.sessions.backends.cache"\n'
        'SESSION_CACHE_ALIAS = "sessions"',
        "the file, with TLS added",
        {
            "CACHES['sessions']['LOCATION'].partition('://')[0]": "rediss",
            "CACHES['sessions']['OPTIONS']['ssl_cert_reqs']": "required",
        },
        below=("CACHES.sessions: a line below the call of configure added it",),
        refused=True,
    ),
    "apps listed, left to themselves": Case(
        'PLUGINS = ["nautobot_plugin_nornir", "nautobot_golden_config"]',
        "the file",
        {
            "PLUGINS": ["nautobot_plugin_nornir", "nautobot_golden_config"],
            "'secrets' in str(PLUGINS_CONFIG['nautobot_plugin_nornir'])": False,
        },
    ),
    "one app only": Case(
        'PLUGINS = ["site_app"]',
        "the file, with the default apps added",
        {"PLUGINS[0]": "site_app"},
        below=("PLUGINS: a line below the call",),
    ),
    "apps with their configuration": Case(
        'PLUGINS = ["site_app"]\nPLUGINS_CONFIG = {"site_app": {"a": 1}}',
        "the file, with the default apps added",
        {"PLUGINS_CONFIG['site_app']['a']": 1},
        below=(
            "PLUGINS: a line below the call",
            "PLUGINS_CONFIG: a line below the call",
        ),
    ),
    "configuration left over": Case(
        'PLUGINS_CONFIG = {"welcome_wizard": None}',
        "the file",
        {"PLUGINS_CONFIG['welcome_wizard']": None},
        ("PLUGINS_CONFIG: 'welcome_wizard' is configured and not loaded.",),
        ("PLUGINS_CONFIG: a line below the call",),
    ),
    "another Redis in the same pod": Case(
        'CACHES["local"] = {"BACKEND": "django_redis.cache.RedisCache", '
        '"LOCATION": "redis://127.0.0.2:6380/0"}',
        "the file",
        {"CACHES['local']['LOCATION']": "redis://127.0.0.2:6380/0"},
        ("CACHES.local: its host is not 127.0.0.1",),
        ("CACHES.local: a line below the call of configure added it",),
    ),
    "secret key of the file": Case(
        'SECRET_KEY = "from-somewhere-else-" * 4',
        "the variable",
        {"SECRET_KEY": KEY},
        ("NAUTOBOT_SECRET_KEY: the settings file assigns another secret key",),
        ("SECRET_KEY: a line below the call",),
    ),
    "secret key as nautobot-server init writes it": Case(
        "import os\n"
        'SECRET_KEY = os.getenv("NAUTOBOT_SECRET_KEY", "generated-at-init-" * 4)',
        "the variable",
        {"SECRET_KEY": KEY},
    ),
    "chain verified, name not": Case(
        "import ssl" + TLS_BY_HAND.format("ssl.CERT_REQUIRED"),
        "the file, with the client certificate added",
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
        "the library: the server is verified",
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
    "replica": Case(
        'DATABASES["replica"] = {**DATABASES["default"], "OPTIONS": {}}',
        "the file, with TLS added",
        {"DATABASES['replica']['OPTIONS']['sslmode']": "verify-full"},
        below=("DATABASES.replica: a line below the call of configure added it",),
        refused=True,
    ),
    "replica copied from a weaker default": Case(
        'DATABASES["default"]["OPTIONS"] = {"sslmode": "require"}\n'
        'DATABASES["replica"] = dict(DATABASES["default"])',
        "the variable, for both",
        {"DATABASES['replica']['OPTIONS']['sslmode']": "verify-full"},
        below=("DATABASES.default: a line below the call",),
        refused=True,
    ),
    "results in the Redis of another broker": Case(
        "import os\n"
        'redis = "redis://:c4n4ry@localhost:" + os.environ["NAUTOBOT_REDIS_PORT"]\n'
        'CELERY_BROKER_URL = redis + "/0"\n'
        'CELERY_RESULT_BACKEND = redis + "/2"',
        "the file, with TLS added",
        {"CELERY_RESULT_BACKEND.partition('://')[0]": "rediss"},
        ("CELERY_RESULT_BACKEND: Celery's Redis result backend",),
        ("CELERY_BROKER_URL: a line below the call",),
        refused=True,
    ),
    "databases and caches assigned whole": Case(
        "import os\n"
        "from nautobot.core.settings_funcs import parse_redis_connection\n"
        'DATABASES = {"default": {"NAME": "app", "USER": "app", '
        '"HOST": os.environ["NAUTOBOT_DB_HOST"], '
        '"PORT": os.environ["NAUTOBOT_DB_PORT"], '
        '"ENGINE": "django.db.backends.postgresql"}}\n'
        'CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", '
        '"LOCATION": parse_redis_connection(redis_database=1)}}',
        "the file, with TLS added",
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

OPTIONS = 'DATABASES["default"]["OPTIONS"]'
POOL = 'CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]'
PLAIN = "redis://127.0.0.1:{port}"
# Each takes TLS away from one connection, or weakens it, in one way.
WAYS = {
    "options replaced": f"{OPTIONS} = {{}}",
    "options removed": f"del {OPTIONS}",
    "options cleared": f"{OPTIONS}.clear()",
    "options updated": f'{OPTIONS}.update(sslmode="disable")',
    "database updated": 'DATABASES["default"] |= {"OPTIONS": {}}',
    "databases removed": "del DATABASES",
    "one name imported again": "from nautobot.core.settings import DATABASES",
    "all names taken again": (
        "import nautobot.core.settings\nglobals().update(vars(nautobot.core.settings))"
    ),
    "Unix socket": 'DATABASES["default"]["HOST"] = "/run/postgresql"',
    "other engine": ('DATABASES["default"]["ENGINE"] = "django.db.backends.sqlite3"'),
    "sslmode removed": f'{OPTIONS}.pop("sslmode")',
    "sslmode weakened": f'{OPTIONS}["sslmode"] = "prefer"',
    "certificate removed": f'del {OPTIONS}["sslcert"]',
    "certificate not sent": f'{OPTIONS}["sslcertmode"] = "disable"',
    "other CA": f'{OPTIONS}["sslrootcert"] = "system"',
    "older protocol": f'{OPTIONS}["ssl_min_protocol_version"] = "TLSv1"',
    "further database": (
        'DATABASES["reports"] = {**DATABASES["default"], "OPTIONS": {}}'
    ),
    "further database by another name of the host": (
        'DATABASES["reports"] = '
        '{**DATABASES["default"], "HOST": "localhost", "OPTIONS": {}}'
    ),
    "settings imported again": IMPORT,
    "logging off as well": "LOGGING_CONFIG = None\n" + IMPORT,
    "logging empty as well": "LOGGING = {}\n" + IMPORT,
    "while logging is configured": 'LOGGING_CONFIG = "site_app.logs.configure"',
    "sslcertmode": "import os\nos.environ['PGSSLCERTMODE'] = 'disable'",
    "variable of a service of libpq": (
        "import os\nos.environ.update(PGSERVICEFILE='{service}', PGSERVICE='plain')"
    ),
    "service of libpq": (
        "import os\nos.environ['PGSERVICEFILE'] = '{service}'\n"
        f'{OPTIONS}["service"] = "plain"'
    ),
    "cache URL": f"CACHES['default']['LOCATION'] = '{PLAIN}/1'",
    "second cache URL": (
        f"CACHES['default']['LOCATION'] = [CACHES['default']['LOCATION'], '{PLAIN}/1']"
    ),
    "option of the cache URL": (
        "CACHES['default']['LOCATION'] += '?ssl_cert_reqs=none'"
    ),
    "cache of Django": (
        "CACHES['default']['BACKEND'] = 'django.core.cache.backends.redis.RedisCache'"
    ),
    "cache options": "CACHES['default']['OPTIONS'] = {}",
    "caches removed": "del CACHES",
    "pool cleared": f"{POOL}.clear()",
    "connection class removed": f'del {POOL}["connection_class"]',
    "connection class of redis-py": (
        f'import redis\n{POOL}["connection_class"] = redis.SSLConnection'
    ),
    "pool class": (
        "CACHES['default']['OPTIONS']['CONNECTION_POOL_CLASS'] = "
        "'redis.BlockingConnectionPool'"
    ),
    "factory": "DJANGO_REDIS_CONNECTION_FACTORY = 'django_redis.pool.SentinelFactory'",
    "cache not verified": f'{POOL}["ssl_cert_reqs"] = None',
    "host name not compared": f'{POOL}["ssl_check_hostname"] = False',
    "other CA of the cache": f'{POOL}["ssl_ca_certs"] = "/etc/ssl/cert.pem"',
    "further CA of the cache": f'{POOL}["ssl_ca_data"] = "-----BEGIN"',
    "further cache": (
        "CACHES['more'] = {'BACKEND': 'django_redis.cache.RedisCache', "
        f"'LOCATION': '{PLAIN}/1'}}"
    ),
    "broker URL": f"CELERY_BROKER_URL = '{PLAIN}/0'",
    "broker URL removed": "del CELERY_BROKER_URL",
    "further broker": f"CELERY_BROKER_URL = [CELERY_BROKER_URL, '{PLAIN}/0']",
    "option of the broker URL": "CELERY_BROKER_URL += '?ssl_cert_reqs=none'",
    "other broker": "CELERY_BROKER_URL = 'amqp://127.0.0.1:{port}'",
    "Sentinel": "CELERY_BROKER_URL = 'sentinel://127.0.0.1:{port}'",
    "broker options": "CELERY_BROKER_USE_SSL = None",
    "broker options removed": "del CELERY_BROKER_USE_SSL",
    "broker not verified": 'CELERY_BROKER_USE_SSL["ssl_cert_reqs"] = "none"',
    "transport": "CELERY_BROKER_TRANSPORT = 'redis'",
    "URL for reading": f"CELERY_BROKER_READ_URL = '{PLAIN}/0'",
    "variable of Celery": f"import os\nos.environ['CELERY_BROKER_URL'] = '{PLAIN}/0'",
    "result backend": (
        f"CELERY_RESULT_BACKEND = '{PLAIN}/2'\nCELERY_REDIS_BACKEND_USE_SSL = None"
    ),
    "variable of Celery for results": (
        f"import os\nos.environ['CELERY_RESULT_BACKEND'] = '{PLAIN}/2'"
    ),
}
# Each looks as if it did, and takes nothing away.
HARMLESS = {
    "nothing": "",
    "variables set too late": (
        "import os\nos.environ.update(NAUTOBOT_DB_SSLMODE='disable', "
        "UNDERSTACK_REDIS_MTLS='off', NAUTOBOT_REDIS_SSL='false')"
    ),
    "variables of libpq": (
        "import os\nos.environ.update(PGSSLMODE='disable', PGREQUIRESSL='0', "
        "PGHOSTADDR='127.0.0.1', PGSSLROOTCERT='/nowhere', PGSSLCERT='/nowhere', "
        "PGSSLKEY='/nowhere', PGGSSENCMODE='disable', PGSSLSNI='0')"
    ),
    "replica with the options of the other": (
        'DATABASES["replica"] = dict(DATABASES["default"])'
    ),
    "router": 'DATABASE_ROUTERS = ["site_app.logs.Router"]',
    "address beside the host": f'{OPTIONS}["hostaddr"] = "127.0.0.1"',
    "file of passwords": f'{OPTIONS}["passfile"] = "/nowhere"',
    "names in lower case": "broker_use_ssl = celery_broker_use_ssl = None",
    "transport options": "CELERY_BROKER_TRANSPORT_OPTIONS = {}",
    "TLS among the transport options": (
        'CELERY_BROKER_TRANSPORT_OPTIONS["ssl"] = {"ssl_cert_reqs": None}'
    ),
    "host and port of the broker": (
        "CELERY_BROKER_HOST = '127.0.0.1'\nCELERY_BROKER_PORT = {port}"
    ),
    "result backend": f"CELERY_RESULT_BACKEND = '{PLAIN}/2'",
    "arguments of the cache's client": (
        "CACHES['default']['OPTIONS']['REDIS_CLIENT_KWARGS'] = {'ssl': False}"
    ),
    "other name of the host": (
        "CACHES['default']['LOCATION'] = CACHES['default']['LOCATION'].replace("
        "'127.0.0.1', 'localhost')"
    ),
    "when a test changes settings": (
        "from django.test.signals import setting_changed\n"
        f"setting_changed.connect(lambda **_: {OPTIONS}.clear(), weak=False)"
    ),
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


def rows() -> list[str]:
    """Return the table of the page: file, who wins, what is said; the same above."""
    return [
        f"| {name} | {case.wins} | {'; '.join(case.said) or 'nothing'} "
        f"| {'refused' if case.refused else 'goes on'} "
        f"| {'; '.join(case.below) or 'nothing'} |"
        for name, case in CASES.items()
    ]


def test_page_has_the_table_of_all_settings_files():
    section = PAGE.partition("## Results for real files")[2].partition("\n## ")[0]

    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert lines[1:] == rows()


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
            cases.append({"path": str(path), "env": case.env, "shown": shown})
    return dict(zip(keys, loaded(cases, environment), strict=True))


def said(outcome: dict[str, Any]) -> list[str]:
    """Return the warnings in the log, or the paragraphs of the refusal."""
    if outcome["refused"]:
        lines = outcome["refused"].partition(": ")[2].splitlines()
        return [line for line in lines if ": a line below the call" in line]
    lines = re.findall(
        r"^.*(?:WARNING|\[warning *\]|\"warning\").*$", outcome["log"], re.M
    )
    return [line for line in lines if "understack_nautobot_settings" in line]


@pytest.mark.parametrize("name", CASES)
def test_file_with_configure_at_end_keeps_its_values(name, outcomes):
    case, outcome = CASES[name], outcomes[name, "end"]

    assert outcome["refused"] == ""
    assert dict(zip(case.end, outcome["shown"], strict=True)) == case.end
    warnings = said(outcome)
    assert len(warnings) == len(case.said), warnings
    for text in case.said:
        assert [text in line for line in warnings].count(True) == 1
    assert outcome["log"].count("; certificates expire: ") == 1
    assert "cache: Redis mTLS on" in outcome["log"]
    assert "c4n4ry" not in outcome["log"]


@pytest.mark.parametrize("name", CASES)
def test_file_with_configure_above_its_lines_is_refused_or_warned_about(name, outcomes):
    case, outcome = CASES[name], outcomes[name, "above"]

    assert bool(outcome["refused"]) is case.refused, outcome["refused"]
    lines = said(outcome)
    assert len(lines) == len(case.below), lines
    for text in case.below:
        assert [text in line for line in lines].count(True) == 1
    if not case.refused:
        assert outcome["log"].count("; certificates expire: ") == 1
    assert "c4n4ry" not in outcome["refused"] + outcome["log"]


ANNOUNCED = r'PostgreSQL sslmode=[^"\n]*'
FURTHER = r"((?:database|cache|broker)[^:;]*): ([^;]*)"
ON = re.compile("Redis mTLS on|PostgreSQL sslmode=verify-full")


def announced(outcome: dict[str, Any]) -> dict[str, bool]:
    """Return of which connections the start-up line says that mutual TLS is on."""
    (line,) = re.findall(ANNOUNCED, outcome["log"])
    found = re.findall(FURTHER, f"database: {line}")
    return {name: bool(ON.match(words)) for name, words in found}


def assert_in_force(outcome: dict[str, Any], servers: Servers) -> None:
    """Compare the start-up line with what the servers say."""
    over_tls = {
        name: said == ([True, "/CN=app"] if "database" in name else servers.redis.port)
        for name, said in outcome["seen"].items()
    }
    assert over_tls.keys() >= {"database", "cache", "broker", "broker for reading"}
    assert set(over_tls.values()) == {True}
    said = announced(outcome)
    assert said.keys() >= {"database", "cache", "broker"}
    # These are the broker's and the cache's server, which it names.
    assert over_tls.keys() - {"broker for reading", "results"} <= said.keys()
    for name, on in said.items():
        assert on is over_tls.get(name, False), name


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("place", ["end", "above"])
def test_file_that_is_accepted_connects_as_the_startup_line_states(
    name, place, outcomes, servers
):
    outcome = outcomes[name, place]

    if not outcome["refused"]:
        assert_in_force(outcome, servers)


@pytest.fixture(scope="module")
def undone(
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    recorder: Recorder,
) -> dict[str, dict[str, Any]]:
    """What became of each way to take TLS away, and of what looks like one."""
    directory = tmp_path_factory.mktemp("ways")
    service = directory / "pg_service.conf"
    service.write_text("[plain]\nsslmode=disable\n")
    names, cases = [], []
    for kind, ways in (("way", WAYS), ("harmless", HARMLESS)):
        for number, (name, lines) in enumerate(ways.items()):
            path = directory / f"{kind}{number}.py"
            lines = lines.replace("{port}", str(recorder.port))  # noqa: PLW2901
            path.write_text(IMPORT + CALL + lines.replace("{service}", str(service)))
            names.append(f"{kind} {name}")
            cases.append({"path": str(path), "env": {}, "shown": []})
    return dict(zip(names, loaded(cases, environment), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_start_with_tls_removed_in_any_way_is_refused(way, undone):
    outcome = undone[f"way {way}"]

    assert outcome["refused"].startswith("SettingsError: ")
    assert "[tls-not-in-force]" in outcome["refused"]
    assert "c4n4ry" not in outcome["refused"]


@pytest.mark.parametrize("way", HARMLESS)
def test_start_with_harmless_change_keeps_tls_in_force(way, undone, servers):
    outcome = undone[f"harmless {way}"]

    assert outcome["refused"] == ""
    assert_in_force(outcome, servers)


def test_plain_server_named_in_files_receives_nothing(undone, recorder):
    """Celery itself refuses a plain result backend, for which it has TLS options."""
    assert undone.keys() == {f"way {n}" for n in WAYS} | {
        f"harmless {n}" for n in HARMLESS
    }
    assert recorder.received == []

    with socket.create_connection(("127.0.0.1", recorder.port)) as connection:
        connection.sendall(b"it does listen")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    assert recorder.received == [b"it does listen"]
