"""What the README shows is what happens."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from understack_nautobot_settings.commands import main as cli
from understack_nautobot_settings.environment import variables

ROOT = Path(__file__).parents[2]
UNDERSTACK = "https://github.com/rackerlabs/understack"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_it_opens_with_the_config_of_the_examples():
    (config,) = blocks("python")
    assert config == (ROOT / "examples" / "nautobot_config.py").read_text()
    assert README.index(config) < README.index("## ")


def on_a_terminal(script, directory):
    """Return what bash shows on a terminal of 80 columns without colours."""
    program = directory / "understack-nautobot-settings"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m understack_nautobot_settings "$@"\n'
    )
    program.chmod(0o755)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", script],
        env={
            "PATH": f"{directory}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "80",
            "NO_COLOR": "1",
        },
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    process.wait()
    return said.decode().replace("\r\n", "\n")


def test_check_finds_the_mistakes_that_are_shown(tmp_path):
    (session,) = (one for one in blocks("console") if "settings check" in one)
    lines = session.splitlines()
    script = "\n".join(line[2:] for line in lines if line.startswith("$ "))
    expected = "\n".join(line for line in lines if not line.startswith("$ "))
    assert on_a_terminal(script, tmp_path) == f"{expected}\n"


def test_every_command_is_listed():
    table = README[README.index("## Command line") :]
    names = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert names[0] == cli.PROGRAM
    assert sorted(names[1:]) == sorted(one.name for one in cli.COMMANDS)


def test_every_variable_is_declared():
    table = README[README.index("## The main variables") :]
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
    assert len(named) == 10
    assert named <= {one.name for one in variables.VARIABLES}


@pytest.mark.parametrize("target", sorted({*re.findall(r"\]\(([^)]+)\)", README)}))
def test_every_link_leads_somewhere(target):
    assert target == UNDERSTACK or (ROOT / target).exists()


@pytest.mark.parametrize("environment", sorted({*re.findall(r"-e (\w+)", README)}))
def test_every_tox_environment_exists(environment):
    assert f"[testenv:{environment}]" in (ROOT / "tox.ini").read_text()
