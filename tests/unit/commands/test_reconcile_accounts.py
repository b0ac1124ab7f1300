import argparse

import pytest

from lab.certificates import Authority
from tests.accounts_in_memory import InMemory
from tests.accounts_in_memory import User
from understack_nautobot_settings.commands.reconcile_accounts import (
    add_account_arguments,
)
from understack_nautobot_settings.commands.reconcile_accounts import run_account_command
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.rest import RestApi

CREATED = "accounts created by iad3"
PASSWORD = "Correct-Horse-7"
TOKENS = {
    "a": "5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83",
    "b": "e1e7094ae9a35ae6f6a2e4d8c41c0a0d1a6a5f2b",
}


@pytest.fixture
def secrets(tmp_path):
    for name in ("b", "a"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "username").write_text(f"svc-{name}")
        (directory / "password").write_text(PASSWORD)
        (directory / "token").write_text(TOKENS[name])
        (directory / "hostname").write_text("nautobot.example.com")
    return tmp_path


def run(*arguments, local=None, connect=RestApi):
    parser = argparse.ArgumentParser()
    add_account_arguments(parser, remote_only=local is None)
    printed, complaints = [], []
    status = run_account_command(
        parser.parse_args([*map(str, arguments), "--owner", "iad3"]),
        local=local,
        write=printed.append,
        complain=complaints.append,
        connect=connect,
    )
    return status, printed, complaints


def test_run_reports_every_step_and_the_figures(secrets):
    nautobot = InMemory()
    assert run(secrets, local=lambda: nautobot) == (
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
    assert run(secrets, local=lambda: nautobot) == (
        0,
        ["accounts: 0 created, 0 updated, 2 unchanged, 0 removed, 0 stale, 0 problems"],
        [],
    )


def test_dry_run_is_marked_in_the_summary(secrets):
    nautobot = InMemory()
    status, printed, _ = run(secrets, "--dry-run", local=lambda: nautobot)
    assert status == 0
    assert printed[-1].endswith("0 problems (dry run)")
    assert nautobot.state() == {}


def test_stale_account_is_kept_and_named(secrets):
    nautobot = InMemory({"gone": User(groups=[CREATED])})
    status, printed, complaints = run(secrets, local=lambda: nautobot)
    assert (status, complaints) == (0, [])
    assert printed[-2] == "gone: in no usable secret, kept"


def test_name_from_server_is_made_printable(secrets):
    nautobot = InMemory({"gone\x1b[2J\nforged": User(groups=[CREATED])})
    _, printed, _ = run(secrets, local=lambda: nautobot)
    assert printed[-2] == "gone\\x1b[2J\\nforged: in no usable secret, kept"
    _, printed, _ = run(secrets, "--prune", local=lambda: nautobot)
    assert printed[0] == "gone\\x1b[2J\\nforged: remove user"


def test_unusable_secret_ends_with_status_1(secrets):
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


def test_database_without_answer_ends_with_status_2(secrets):
    def local():
        raise Unreachable("the database failed: connection refused")

    assert run(secrets, local=local) == (
        2,
        [],
        ["Nautobot could not be asked: the database failed: connection refused."],
    )


def test_refused_account_is_named_even_if_nautobot_stops_answering(secrets):
    class Dying(InMemory):
        def account(self, credential):
            if credential.username == "svc-b":
                raise Unreachable("the server answers HTTP 502")
            return super().account(credential)

    nautobot = Dying({"other": User(tokens=[TOKENS["a"]])}, remote=True)
    status, printed, complaints = run(secrets, local=lambda: nautobot)
    assert (status, printed[-1]) == (1, "not finished: svc-b, stale accounts")
    assert complaints == [
        f"{secrets}/a: the token for 'svc-a' belongs to another user. Store a new "
        "token in the secret.",
        "Nautobot could not be asked: the server answers HTTP 502.",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--remote"], "A remote Nautobot needs --token-file."),
        (["--url", "https://nautobot"], "A remote Nautobot needs --token-file."),
        (["--token-file", "{bootstrap}"], "{bootstrap} names no hostname. Use --url."),
    ],
    ids=["no token", "URL alone", "no host"],
)
def test_conflicting_arguments_end_with_status_2(secrets, bootstrap, options, line):
    options = [one.replace("{bootstrap}", str(bootstrap)) for one in options]

    assert run(secrets, *options, local=InMemory) == (
        2,
        [],
        [line.replace("{bootstrap}", str(bootstrap))],
    )


@pytest.fixture
def bootstrap(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bootstrap")
    (directory / "apitoken").write_text(TOKENS["a"])
    return directory


def test_missing_bootstrap_file_ends_with_status_1(secrets):
    assert run(secrets, "--token-file", "/nowhere/token", "--url", "https://x") == (
        1,
        [],
        ["/nowhere/token: does not exist. Mount the secret, or correct the path."],
    )


HTTPS = (
    "Nautobot: the URL has to be https://HOST, or https://HOST:PORT/PATH{}. Correct "
    "--url and --ca-file, or the proxy in front of Nautobot."
)
PLAIN = ": over plain HTTP anybody could read the tokens"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://nautobot.example.com", PLAIN),
        ("http://127.0.0.1:8080", PLAIN),
        ("HTTP://nautobot", PLAIN),
        ("nautobot.example.com", ""),
        ("https://", ""),
        ("https://user@nautobot", ""),
        ("https://nautobot?x=1", ""),
        ("https://nautobot#x", ""),
        ("https://nautobot:99999", ""),
        ("https://nautobot:x", ""),
        ("https://nauto bot", ""),
        ("https://nautobot\r\nHost: evil", ""),
        ("https://[::1", ""),
        ("file:///etc/passwd", ""),
    ],
)
def test_url_without_https_is_refused(secrets, bootstrap, url, why):
    assert run(secrets, "--token-file", bootstrap, "--url", url) == (
        1,
        [],
        [HTTPS.format(why)],
    )


def test_host_comes_from_bootstrap_secret(secrets, bootstrap):
    """Never from the secret of an account: whoever writes that gets no token."""
    (bootstrap / "hostname").write_text("nautobot.example.com\n")
    asked = []

    def connect(url, *_token, **_options):
        asked.append(url)
        raise Unreachable("no connection to Nautobot")

    assert run(secrets, "--token-file", bootstrap, connect=connect)[0] == 2
    assert run(
        secrets, "--token-file", bootstrap, "--url", "https://x", connect=connect
    ) == (2, [], ["Nautobot could not be asked: no connection to Nautobot."])
    assert asked == ["https://nautobot.example.com", "https://x"]


def test_unusable_secret_is_named_even_if_nautobot_does_not_answer(secrets, bootstrap):
    (secrets / "a" / "token").write_text("short")

    def local():
        raise Unreachable("the database failed: connection refused")

    assert run(secrets, local=local) == (
        1,
        [],
        [
            f"{secrets}/a: the token has 5 characters. Nautobot takes exactly 40, such "
            "as 'openssl rand -hex 20' prints.",
            "Nautobot could not be asked: the database failed: connection refused.",
        ],
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso8859-2"])
def test_ca_file_with_foreign_comment_is_trusted(
    secrets, bootstrap, tmp_path, encoding
):
    """Bundles name their CAs in comments; OpenSSL reads past them."""
    authority = Authority()
    pem = f"# ČSOB příklad\n{authority.ca_pem.decode()}"
    path = tmp_path / "bundle.pem"
    path.write_bytes(pem.encode(encoding, "replace"))
    trusted = []

    def connect(*_place, context, **_options):
        trusted.extend(context.get_ca_certs())
        raise Unreachable("no connection to Nautobot")

    remote = ["--token-file", bootstrap, "--url", "https://x", "--ca-file", path]
    assert run(secrets, *remote, connect=connect) == (
        2,
        [],
        ["Nautobot could not be asked: no connection to Nautobot."],
    )
    assert len(trusted) == 1


def test_invalid_ca_file_ends_with_status_1(secrets, bootstrap, tmp_path):
    url = ["--token-file", bootstrap, "--url", "https://x", "--ca-file"]
    (tmp_path / "ca").write_text("none")

    assert run(secrets, *url, tmp_path / "ca")[0] == 1
    assert run(secrets, *url, tmp_path)[2] == [
        f"{tmp_path}: is a directory, not a file. Correct --url and --ca-file, or the "
        "proxy in front of Nautobot."
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--owner", ""],
        ["--owner", "a b"],
        ["--owner", "x" * 65],
        ["--owner", "a", "--group", "accounts created by b"],
        ["--owner", "a", "--timeout", "0"],
        ["--owner", "a", "--timeout", "nan"],
    ],
    ids=["none", "empty", "blank", "long", "group is a mark", "no time", "no number"],
)
def test_missing_or_invalid_owner_is_wrong_usage(arguments, capsys):
    """One default for all clusters would let one remove the accounts of another."""
    parser = argparse.ArgumentParser()
    add_account_arguments(parser)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["/run/secrets", *arguments])

    assert end.value.code == 2
    assert "--" in capsys.readouterr().err
