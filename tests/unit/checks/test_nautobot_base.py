import re
import subprocess
import sys
from pathlib import Path

import pytest

import understack_nautobot_settings
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import base_settings
from understack_nautobot_settings import no_files
from understack_nautobot_settings import settings_for

ROOT = Path(understack_nautobot_settings.__file__).parents[1]
PAGE = ROOT / "docs" / "guides" / "test-your-configuration.md"
KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}


@pytest.mark.parametrize(
    ("number", "passed"), [(0, "4 passed"), (1, "3 passed")], ids=["plain", "values"]
)
def test_code_example_on_the_page_passes_as_a_test(number, passed, tmp_path):
    codes = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "test_page.py").write_text(codes[number])
    values = ROOT / "examples" / "kubernetes" / "global" / "values.yaml"
    (tmp_path / "values.yaml").write_text(values.read_text())

    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert len(codes) == 2
    assert (process.returncode, passed in process.stdout) == (0, True)


def test_settings_for_environment_extend_its_base():
    env = {**KEY, "NAUTOBOT_DB_HOST": "db", "UNDERSTACK_PARTITION": "a"}
    settings = settings_for(env)

    assert settings["DATABASES"]["default"]["HOST"] == "db"
    assert settings["UNDERSTACK_PARTITION"] == "a"
    assert base_settings(env).keys() <= settings.keys()


def test_settings_for_environment_with_given_base_extend_it():
    base = {**base_settings(KEY), "TIME_ZONE": "Europe/Berlin"}
    before = {**base}

    assert settings_for(KEY, base)["TIME_ZONE"] == "Europe/Berlin"
    assert base == before


def test_settings_for_invalid_environment_are_refused():
    with pytest.raises(SettingsError):
        settings_for({})


def test_settings_for_environment_with_weak_key_warn():
    with pytest.warns(SettingsWarning, match="fewer than 50|characters"):
        settings_for({"NAUTOBOT_SECRET_KEY": "short-but-mixed-0123456789"})


def test_missing_mount_with_no_files_option_is_not_reported():
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "verify-full"}
    options = settings_for(env, check_files=no_files)["DATABASES"]["default"]["OPTIONS"]

    assert options["sslmode"] == "verify-full"
    with pytest.raises(FileNotFoundError):
        settings_for(env)
