"""The tutorial, followed with the files and the commands that stand on its page.

`probe` needs servers; the tests under tests/live run it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.nautobot.deployment import EXAMPLE
from lab.nautobot.deployment import REPOSITORY
from lab.nautobot.deployment import nautobot_environment

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
BY_HAND = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
COMMANDS = re.findall(r"^\$ (understack-nautobot-settings .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def run(tmp_path):
    """Run a line of the page in a shell, where the settings file is."""
    mount = KubernetesMount(tmp_path / "mtls")
    authority = Authority()
    mount.write(authority.client(), authority.ca_pem)
    program = tmp_path / "bin" / "understack-nautobot-settings"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m understack_nautobot_settings "$@"\n'
    )
    program.chmod(0o755)
    env = {
        **nautobot_environment(
            mount,
            db_host="db.example.org",
            db_port=5432,
            redis_host="redis.example.org",
            redis_port=6379,
            redis_password="c4n4ry",
            partition="site-a",
            role="site-worker",
        ),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(tmp_path),
        "NAUTOBOT_ROOT": str(tmp_path),
    }

    def line(text: str, config: str) -> tuple[int, str, str]:
        Path(tmp_path, "nautobot_config.py").write_text(config)
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "c4n4ry" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return line


def test_tutorial_followed_literally_shows_what_the_migration_changes(run):
    check, show, keep, compare, probe = COMMANDS

    for command in (check, show, keep):
        status, stdout, stderr = run(command, BY_HAND)
        assert status == 0, stdout + stderr
    status, stdout, stderr = run(compare, EXAMPLE.read_text())

    assert status == 1, stderr
    assert "the same" not in stdout
    changed = set(re.findall(r"^(\w\S*)", stdout, re.MULTILINE))
    pool = "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS"
    assert changed >= {
        "CACHES.default.LOCATION",
        f"{pool}.connection_class",
        f"{pool}.ssl_check_hostname",
        "CELERY_BROKER_TRANSPORT",
        "CELERY_BROKER_URL",
        "CELERY_BROKER_USE_SSL.ssl_check_hostname",
        "DATABASES.default.OPTIONS.connect_timeout",
        "UNDERSTACK_PARTITION",
    }
    assert probe == "understack-nautobot-settings probe"


def test_single_fragment_of_tutorial_changes_only_its_settings(run):
    part = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    _, _, keep, compare, _ = COMMANDS
    run(keep, "from nautobot.core.settings import *\n")

    _, stdout, _ = run(compare, part)

    changed = set(re.findall(r"^(\w\S*)", stdout, re.MULTILINE))
    options = "DATABASES.{}.OPTIONS.{}"
    assert changed - {"fingerprint"} == {
        options.format(alias, name)
        for alias in ("default", "job_logs")
        for name in ("sslmode", "sslcert", "sslkey", "sslrootcert")
    }


def test_new_settings_file_has_no_difference_to_itself(run):
    config = EXAMPLE.read_text()
    _, _, keep, compare, _ = COMMANDS
    run(keep, config)

    status, stdout, _ = run(compare, config)

    assert (status, stdout) == (
        0,
        "The settings are the same; secrets are not compared.\n",
    )
