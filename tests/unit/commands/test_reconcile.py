"""The command line reconciles accounts of a remote Nautobot."""

import io

import pytest

from understack_nautobot_settings.commands.main import main

TOKEN = "5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83"


def run(*arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    words = ["reconcile-accounts", *map(str, arguments), "--owner=site-a"]
    status = main(words, {}, stdout=stdout, stderr=stderr)
    return status, stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def secret(tmp_path):
    directory = tmp_path / "account"
    directory.mkdir()
    fields = {"username": "site-a", "password": "Canary-Horse-7", "token": TOKEN}
    for name, text in fields.items():
        (directory / name).write_text(text)
    return directory


def test_reconcile_command_without_token_file_is_refused(secret):
    assert run(secret) == (2, "", "A remote Nautobot needs --token-file.\n")


def test_problems_of_reconcile_command_go_to_standard_error(secret):
    (secret / "username").unlink()
    status, stdout, stderr = run(secret, "--token-file", secret, "--url", "http://")
    assert (status, stdout) == (1, "")
    assert "has no username." in stderr
    assert "has to be https://HOST" in stderr
    assert "Canary" not in stderr
