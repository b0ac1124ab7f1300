"""The command line reconciles accounts of a remote Nautobot."""

import io

import pytest

from understack_nautobot_settings.commands.main import main


def run(*arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    words = ["reconcile-accounts", *map(str, arguments)]
    status = main(words, {}, stdout=stdout, stderr=stderr)
    return status, stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def secret(tmp_path):
    directory = tmp_path / "account"
    directory.mkdir()
    fields = {"username": "site-a", "password": "canary-password", "token": "t" * 40}
    for name, text in fields.items():
        (directory / name).write_text(text)
    return directory


def test_there_is_no_database_to_fall_back_to(secret):
    assert run(secret) == (2, "", "A remote Nautobot needs --token-file.\n")


def test_what_is_wrong_with_a_secret_goes_to_standard_error(secret):
    (secret / "username").unlink()
    status, stdout, stderr = run(secret, "--token-file", secret, "--url", "http://")
    assert (status, stdout) == (2, "")
    assert "has no username." in stderr or "pynautobot" in stderr
    assert "canary" not in stderr
