"""What the README shows is what happens."""

import re
from pathlib import Path

import pytest

from lab.reference import with_session
from understack_nautobot_settings.commands import main as cli
from understack_nautobot_settings.environment import variables

ROOT = Path(__file__).parents[2]
UNDERSTACK = "https://github.com/rackerlabs/understack"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_readme_opens_with_the_example_config():
    (config,) = blocks("python")
    assert config == (ROOT / "examples" / "nautobot_config.py").read_text()
    assert README.index(config) < README.index("## ")


def test_check_output_in_readme_is_current():
    assert with_session(README) == README


def test_readme_lists_every_command():
    table = README[README.index("## Command line") :]
    names = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert names[0] == cli.PROGRAM
    assert sorted(names[1:]) == sorted(cli.COMMANDS)


def test_main_variables_in_readme_are_declared():
    table = README[README.index("## The main variables") :]
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", table, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
    assert len(named) == 10
    assert named <= {one.name for one in variables.VARIABLES}


@pytest.mark.parametrize("target", sorted({*re.findall(r"\]\(([^)]+)\)", README)}))
def test_links_in_readme_have_a_target(target):
    assert target == UNDERSTACK or (ROOT / target).exists()


@pytest.mark.parametrize("environment", sorted({*re.findall(r"-e (\w+)", README)}))
def test_tox_environments_in_readme_exist(environment):
    assert f"[testenv:{environment}]" in (ROOT / "tox.ini").read_text()
