"""Every kind of process looks at the settings in force once, and says so once.

That the worker of the site does is seen in `test_job`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.nautobot.conftest import CALL
from tests.nautobot.conftest import IMPORT

LINE = "PostgreSQL sslmode=verify-full"
WITHOUT_TLS = "LOGGING_CONFIG = None\nCELERY_BROKER_USE_SSL = None\n"
NAUTOBOT = [sys.executable, "-c", "from nautobot.core.cli import main; main()"]
WORKERS = 2
UWSGI = """
import sys
import pyuwsgi

pyuwsgi.run([
    "--master", "--processes", "2", "--need-app", "--http-socket", "127.0.0.1:0",
    "--module", "nautobot.core.wsgi", *sys.argv[1:],
])
"""


def log_until(
    is_over: Callable[[str], bool],
    command: Sequence[str],
    env: Mapping[str, str],
    directory: Path,
) -> str:
    """Return the log of a process and its children, which are killed when it is over.

    A master that has just forked does not hear a gentler signal.
    """
    with subprocess.Popen(
        command,
        env=env,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if is_over(log):
                os.killpg(process.pid, signal.SIGKILL)
    return log


def under_uwsgi(
    lines: str, env: dict[str, str], path: Path, *options: str, processes: int = 1
) -> str:
    """Return the log of uWSGI, which is ended when each process loaded the file."""
    path.write_text(IMPORT + CALL + lines)

    def is_over(log: str) -> bool:
        started = log.count("spawned uWSGI worker ") >= WORKERS
        loaded = log.count("WSGI app 0 ") >= processes
        return (started and loaded) or "no app loaded" in log

    command = [sys.executable, "-c", UWSGI, *options]
    env = {**env, "NAUTOBOT_CONFIG": str(path), "NAUTOBOT_DB_PORT": "1"}
    return log_until(is_over, command, env, path.parent)


@pytest.mark.parametrize(
    ("options", "processes"),
    [((), 1), (("--lazy-apps",), 2)],
    ids=["loaded before the fork", "loaded by each process"],
)
def test_web_process_logs_the_startup_line_once(
    options, processes, environment, tmp_path
):
    path = tmp_path / "config.py"
    log = under_uwsgi("", environment, path, *options, processes=processes)

    assert log.count(LINE) == processes


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["fork", "lazy"])
def test_web_server_with_tls_replaced_below_configure_does_not_start(
    options, environment, tmp_path
):
    log = under_uwsgi(WITHOUT_TLS, environment, tmp_path / "config.py", *options)

    assert "[tls-not-in-force]" in log
    assert LINE not in log
    assert "no app loaded" in log


@pytest.mark.parametrize(
    "command", ["celery worker", "celery beat", "check", "collectstatic --no-input"]
)
def test_command_with_tls_replaced_below_configure_does_not_start(
    command, environment, tmp_path
):
    path = tmp_path / "config.py"
    path.write_text(IMPORT + CALL + WITHOUT_TLS)

    done = subprocess.run(
        [*NAUTOBOT, *command.split()],
        env={**environment, "NAUTOBOT_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert done.stderr.count("[tls-not-in-force]") == 1
    assert LINE not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "ready"),
    [
        # Its tables are not there, and it asks for them first.
        ("celery beat", "extras_scheduledjob"),
        ("diffsettings --output hash", "UNDERSTACK_SITE"),
    ],
    ids=["beat", "command"],
)
def test_process_logs_the_startup_line_once(command, ready, environment, tmp_path):
    path = tmp_path / "config.py"
    path.write_text(IMPORT + CALL)
    env = {**environment, "NAUTOBOT_CONFIG": str(path)}
    log = log_until(
        lambda log: ready in log, [*NAUTOBOT, *command.split()], env, tmp_path
    )

    assert ready in log
    assert log.count(LINE) == 1


UNDER_TEST = """
def test_settings_are_those_of_the_file(settings):
    assert settings.UNDERSTACK_SITE == "a"
"""


@pytest.mark.parametrize("below", ["", WITHOUT_TLS], ids=["in force", "undone"])
def test_pytest_django_checks_the_settings(below, environment, tmp_path):
    """Without Nautobot's apps, whose models it takes seconds to load."""
    (tmp_path / "site_settings.py").write_text(
        f"{IMPORT}INSTALLED_APPS = []\n{CALL}{below}"
    )
    (tmp_path / "test_site.py").write_text(UNDER_TEST)
    environment = {**environment, "UNDERSTACK_SITE": "a", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "--ds", "site_settings", "test_site.py"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    log = done.stdout + done.stderr
    assert (done.returncode == 0) is (not below), log
    assert log.count(LINE) == (0 if below else 1)
    assert ("[tls-not-in-force]" in log) is bool(below)
