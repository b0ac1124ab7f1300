"""The README, top to bottom: every session is typed in, beside a real Nautobot."""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from lab.reference import on_a_terminal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
# They build environments of their own; CI runs them, and test_demo the demo.
BY_TOX = re.compile(r"\b(tox|pipx|uvx)\b")
SOURCE = ("understack_nautobot_settings", "README.md", "LICENSE", "pyproject.toml")


def typed(session):
    return [line[2:] for line in session.splitlines() if line.startswith("$ ")]


def answers(session):
    lines = session.splitlines()
    return "\n".join(line for line in lines if not line.startswith("$ ")) + "\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Return an environment with Nautobot, and a checkout beside it."""
    directory = tmp_path_factory.mktemp("readme")
    venv.create(directory / "venv", with_pip=True)
    (packages,) = (directory / "venv" / "lib").glob("python*/site-packages")
    # What is installed here, Nautobot among it, but not this package.
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        link = packages / installed.name
        if not (link.exists() or installed.name.startswith("understack")):
            link.symlink_to(installed)
    checkout = directory / "checkout"
    checkout.mkdir()
    for name in SOURCE:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, checkout / name)
    return directory


def run(image, command, **variables):
    env = {
        **{name: os.environ[name] for name in os.environ if "NAUTOBOT" not in name},
        "PATH": f"{image}/venv/bin:{os.environ['PATH']}",
        **variables,
    }
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=image / "checkout",
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_readme_sessions_are_run_here_or_by_tox():
    for session in SESSIONS:
        lines = typed(session)
        assert lines
        if any(BY_TOX.search(line) for line in lines):
            environments = re.findall(r"tox run -e ([\w-]+)", session)
            assert all(f"testenv:{one}" in TOX for one in environments)


TOX = (ROOT / "tox.ini").read_text()


def test_installation_from_wheel_beside_nautobot_works(image):
    (session,) = (one for one in SESSIONS if "pip wheel" in one)

    said = run(image, "\n".join(typed(session)))

    assert said.endswith(answers(session))
    found = run(
        image,
        "python -I -c 'import understack_nautobot_settings as it;print(it.__file__)'",
    )
    assert found.startswith(f"{image}/venv/")
    config = ROOT / "examples" / "nautobot_config.py"
    code = (
        "import nautobot.core.cli as cli;"
        f"cli.load_settings({str(config)!r});"
        "import nautobot_config as it; print(it.UNDERSTACK_PARTITION)"
    )
    said = run(
        image,
        f'python -I -c "{code}"',
        NAUTOBOT_SECRET_KEY="k3" * 30,
        NAUTOBOT_ROOT=str(image),
        UNDERSTACK_PARTITION="site-a",
    )
    assert said.splitlines()[-1] == "site-a"


def test_check_prints_the_output_in_readme():
    (session,) = (one for one in SESSIONS if "settings check\n" in one)

    assert on_a_terminal("\n".join(typed(session))) == answers(session)
