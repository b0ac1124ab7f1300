import argparse

import pytest

from tests.accounts_in_memory import InMemory
from tests.accounts_in_memory import User
from understack_nautobot_settings.accounts.command import add_account_arguments
from understack_nautobot_settings.accounts.command import run_account_command
from understack_nautobot_settings.accounts.reconcile import Unreachable

TOKEN = "t" * 40
CREATED = "accounts created by understack"


@pytest.fixture
def secrets(tmp_path):
    for name in ("b", "a"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "username").write_text(f"svc-{name}")
        (directory / "password").write_text("canary-password")
        (directory / "token").write_text(name * 40)
        (directory / "hostname").write_text("nautobot.example.com")
    return tmp_path


def run(*arguments, local=None, remote_only=False):
    parser = argparse.ArgumentParser()
    add_account_arguments(parser, remote_only=remote_only)
    printed, complaints = [], []
    status = run_account_command(
        parser.parse_args([str(argument) for argument in arguments]),
        local=local,
        write=printed.append,
        complain=complaints.append,
    )
    return status, printed, complaints


def test_a_run_says_every_step_and_ends_with_the_figures(secrets):
    nautobot = InMemory()
    assert run(secrets, "--owner", "iad3", local=lambda: nautobot) == (
        0,
        [
            "create group 'accounts created by iad3'",
            "create group 'accounts adopted by iad3'",
            "svc-a: create user",
            "svc-a: create token",
            "svc-b: create user",
            "svc-b: create token",
            "accounts: 2 created, 0 updated, 0 unchanged, 0 removed, 0 stale, "
            "0 problems",
        ],
        [],
    )
    assert run(secrets, "--owner", "iad3", local=lambda: nautobot) == (
        0,
        ["accounts: 0 created, 0 updated, 2 unchanged, 0 removed, 0 stale, 0 problems"],
        [],
    )


def test_a_dry_run_says_so(secrets):
    nautobot = InMemory()
    status, printed, _ = run(secrets, "--dry-run", local=lambda: nautobot)
    assert status == 0
    assert printed[-1].endswith("0 problems (dry run)")
    assert nautobot.state() == {}


def test_what_is_stale_is_named(secrets):
    nautobot = InMemory({"gone": User(groups=[CREATED])})
    status, printed, complaints = run(secrets, local=lambda: nautobot)
    assert (status, complaints) == (0, [])
    assert printed[-2] == "gone: in no usable secret, kept"


def test_a_problem_is_status_1(secrets):
    (secrets / "a" / "token").write_text("short")
    nautobot = InMemory()
    status, printed, complaints = run(secrets, local=lambda: nautobot)
    assert status == 1
    assert complaints == [
        f"{secrets}/a: the token has 5 characters. Nautobot takes exactly 40, such as "
        "'openssl rand -hex 20' prints."
    ]
    assert printed[-1] == (
        "accounts: 1 created, 0 updated, 0 unchanged, 0 removed, 0 stale, 1 problems"
    )


def test_a_database_that_does_not_answer_is_status_2(secrets):
    def local():
        raise Unreachable("the database does not answer: connection refused")

    assert run(secrets, local=local) == (
        2,
        [],
        [
            "Nautobot could not be asked: the database does not answer: connection "
            "refused."
        ],
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--remote"], "A remote Nautobot needs --token-file."),
        (["--url", "https://nautobot"], "A remote Nautobot needs --token-file."),
        (
            ["--token-file", "/nowhere/token"],
            "/nowhere/token: cannot be read: No such file or directory. Check the "
            "secret and how it is mounted.",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_status_2(secrets, options, line):
    assert run(secrets, *options, local=InMemory) == (2, [], [line])


def test_outside_nautobot_there_is_no_database(secrets):
    status, _, complaints = run(secrets, remote_only=True)
    assert status == 2
    assert complaints == ["A remote Nautobot needs --token-file."]


def test_secrets_that_name_two_hosts_need_a_url(secrets, tmp_path):
    (secrets / "a" / "hostname").write_text("other.example.com")
    status, _, complaints = run(
        secrets / "a", secrets / "b", "--token-file", secrets / "a", remote_only=True
    )
    assert status == 2
    assert complaints == [
        "The secrets name no single host (nautobot.example.com, other.example.com). "
        "Use --url."
    ]


def test_what_is_wrong_with_secrets_is_told_before_arguments(secrets):
    (secrets / "a" / "token").write_text("short")
    (secrets / "b" / "hostname").unlink()
    status, _, complaints = run(
        secrets, "--token-file", secrets / "b", remote_only=True
    )
    assert status == 2
    assert complaints == [
        f"{secrets}/a: the token has 5 characters. Nautobot takes exactly 40, such as "
        "'openssl rand -hex 20' prints.",
        "The secrets name no single host (none). Use --url.",
    ]
