"""The same over the REST API of a real Nautobot in this process."""

import argparse
import hashlib
import shutil

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from nautobot.users.models import ObjectPermission
from nautobot.users.models import Token

from tests.nautobot.inside.in_process import InProcess
from understack_nautobot_settings.commands.reconcile_accounts import (
    add_account_arguments,
)
from understack_nautobot_settings.commands.reconcile_accounts import run_account_command
from understack_nautobot_settings.reconciliation.failures import Unreachable

pytestmark = pytest.mark.django_db

User = get_user_model()
URL = "https://nautobot.example.com"
PASSWORD = "Pässwörd: $x"
BOOTSTRAP = hashlib.sha1(b"bootstrap").hexdigest()
KEYS = {
    name: hashlib.sha1(name.encode()).hexdigest() for name in ("svc-a", "svc-b", "new")
}
CREATED = "accounts created by site-a"
ADOPTED = "accounts adopted by site-a"
SHARED = [
    f"create group {CREATED!r}",
    f"create group {ADOPTED!r}",
    "create permission 'own tokens of accounts of site-a'",
]


def write_secret(directory, username, **changed):
    directory.mkdir(exist_ok=True)
    fields = {
        "hostname": "nautobot.example.com",
        "username": username,
        "password": PASSWORD,
        "token": KEYS.get(username, KEYS["new"]),
        **changed,
    }
    for name, text in fields.items():
        (directory / name).write_text(text)


@pytest.fixture
def bootstrap(tmp_path):
    user = User.objects.create_superuser("bootstrap", "", "x")
    Token(user=user, key=BOOTSTRAP).validated_save()
    path = tmp_path / "bootstrap"
    path.write_text(BOOTSTRAP)
    return path


@pytest.fixture
def secrets(tmp_path):
    directory = tmp_path / "secrets"
    directory.mkdir()
    write_secret(directory / "a", "svc-a")
    write_secret(directory / "b", "svc-b")
    return directory


@pytest.fixture
def run(secrets, bootstrap):
    def run(*options):
        parser = argparse.ArgumentParser()
        add_account_arguments(parser, remote_only=True)
        words = [secrets, "--token-file", bootstrap, "--owner", "site-a"]
        words += ["--url", URL, *options]
        printed, complaints = [], []
        status = run_account_command(
            parser.parse_args([str(word) for word in words]),
            local=None,
            write=printed.append,
            complain=complaints.append,
            connect=InProcess,
        )
        everything = "\n".join([*printed, *complaints])
        for secret in (PASSWORD, BOOTSTRAP, *KEYS.values()):
            assert secret not in everything
        return status, printed, complaints

    return run


def tokens():
    records = Token.objects.all()
    if hasattr(records, "with_sensitive_fields"):
        records = records.with_sensitive_fields("key")
    return {
        record.user.username: (record.pk, record.key, record.description)
        for record in records
    }


def figures(printed):
    return printed[-1].removeprefix("accounts: ").split(", ")[:3]


def test_second_run_changes_nothing_and_rotated_secret_changes_its_token_only(
    run, secrets
):
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[:-1] == [
        *SHARED,
        "svc-a: create user",
        "svc-a: create token",
        "svc-b: create user",
        "svc-b: create token",
    ]
    before = tokens()
    status, printed, _ = run()
    assert (status, len(printed)) == (0, 1)
    assert figures(printed) == ["0 created", "0 updated", "2 unchanged"]
    assert tokens() == before
    write_secret(secrets / "a", "svc-a", token=KEYS["new"])
    status, printed, _ = run()
    assert (status, printed[:-1]) == (0, ["svc-a: rotate token"])
    after = tokens()
    assert after.pop("svc-a") == (before.pop("svc-a")[0], KEYS["new"], "kept by site-a")
    assert after == before


def test_dry_run_writes_nothing(run):
    status, printed, _ = run("--dry-run")
    assert status == 0
    assert printed[:3] == [f"would {line}" for line in SHARED]
    assert not User.objects.filter(username__startswith="svc-").exists()
    assert not Group.objects.exists()
    assert not ObjectPermission.objects.exists()


def test_accounts_may_change_only_their_own_tokens(run):
    run()
    (permission,) = ObjectPermission.objects.all()
    assert permission.constraints == {"user": "$user"}
    assert [str(one) for one in permission.object_types.all()] == ["users | token"] or (
        [one.model for one in permission.object_types.all()] == ["token"]
    )
    permission.constraints = None
    permission.validated_save()
    assert run()[1][:-1] == [SHARED[2]]
    permission.refresh_from_db()
    assert permission.constraints == {"user": "$user"}


def test_account_that_differs_is_corrected(run, secrets):
    run()
    Group.objects.create(name="readers")
    user = User.objects.get(username="svc-a")
    token = Token.objects.get(user=user)
    token.key = KEYS["svc-a"]
    token.write_enabled = False
    token.validated_save()
    Token(user=user, key="s" * 40, description="kept by site-a").validated_save()
    write_secret(secrets / "a", "svc-a", password="another password")
    status, printed, _ = run("--superuser", "--group", "readers", "--prune")
    assert status == 0
    assert [line for line in printed if line.startswith("svc-a")] == [
        "svc-a: set password",
        "svc-a: make superuser",
        "svc-a: join group 'readers'",
        "svc-a: renew token",
        "svc-a: remove token",
    ]
    user.refresh_from_db()
    assert user.check_password("another password")
    assert {group.name for group in user.groups.all()} == {CREATED, "readers"}
    assert len(run("--superuser", "--group", "readers", "--prune")[1]) == 1


def test_disabled_user_stays_disabled_and_is_reported(run, secrets):
    run()
    User.objects.filter(username="svc-a").update(is_active=False)
    write_secret(secrets / "a", "svc-a", password="another password")
    status, printed, complaints = run("--superuser")
    assert (status, [line for line in printed if line.startswith("svc-a")]) == (1, [])
    assert "the user 'svc-a' is disabled" in complaints[0]
    user = User.objects.get(username="svc-a")
    assert (user.is_active, user.check_password(PASSWORD)) == (False, True)


def test_user_made_by_hand_is_adopted_on_request_and_released_if_stale(run, secrets):
    admin = User.objects.create_superuser("admin", "", PASSWORD)
    Token(user=admin, key=KEYS["new"], description="mine").validated_save()
    write_secret(secrets / "admin", "admin")
    status, _, complaints = run()
    assert (status, len(complaints)) == (1, 1)
    status, printed, _ = run("--adopt")
    assert (status, printed[:2]) == (0, ["admin: adopt user", "admin: adopt token"])
    for file in (secrets / "admin").iterdir():
        file.unlink()
    (secrets / "admin").rmdir()
    status, printed, complaints = run("--prune")
    assert (status, printed[0]) == (0, f"admin: release user {ADOPTED!r}")
    assert complaints == [
        "admin: the user was released, but its token could not be removed. Remove "
        "the token inside Nautobot."
    ]
    assert not admin.groups.exists()


def test_stale_account_with_prune_is_removed_with_its_token(run, secrets):
    run()
    for file in (secrets / "b").iterdir():
        file.unlink()
    (secrets / "b").rmdir()
    assert run()[1][0] == "svc-b: in no usable secret, kept"
    assert run("--prune")[1][0] == "svc-b: remove user"
    assert {*tokens()} == {"bootstrap", "svc-a"}


def test_token_of_another_user_is_refused(run, secrets):
    other = User.objects.create_user("other", "", "x")
    Token(user=other, key=KEYS["svc-a"]).validated_save()
    status, _, complaints = run()
    assert status == 1
    assert complaints == [
        f"{secrets}/a: the token for 'svc-a' belongs to another user. Store a new "
        "token in the secret."
    ]


def test_token_of_inactive_user_is_refused(run, secrets):
    """It logs nobody in, so only the attempt tells that it is taken."""
    other = User.objects.create_user("other", "", "x", is_active=False)
    Token(user=other, key=KEYS["svc-a"]).validated_save()
    status, _, complaints = run()
    assert status == 1
    assert complaints == [
        f'{secrets}/a: "svc-a: create token" was refused: HTTP 400 for key. Correct '
        "the secret, or the permissions of the user that makes the changes."
    ]


def test_invalid_bootstrap_token_ends_with_status_1(run, bootstrap):
    bootstrap.write_text("x" * 40)
    status, printed, complaints = run()
    assert (status, printed) == (1, ["not finished: svc-a, svc-b, stale accounts"])
    assert complaints == [
        "Nautobot: the server answers HTTP 403 to a request that every active user may "
        "make. Correct the token in the file of --token-file, or --url."
    ]


def test_token_of_user_without_permission_ends_with_status_1(run):
    User.objects.filter(username="bootstrap").update(is_superuser=False)
    status, printed, complaints = run()
    assert (status, len(printed)) == (1, 1)
    assert complaints == [
        "groups and permissions: the listing of users/groups/ was refused: HTTP 403. "
        "Correct the secret, or the permissions of the user that makes the changes."
    ]


def test_password_refused_by_nautobot_is_reported_with_the_field(
    run, secrets, settings
):
    settings.AUTH_PASSWORD_VALIDATORS = [
        {
            "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
            "OPTIONS": {"min_length": 100},
        }
    ]
    status, _, complaints = run()
    assert status == 1
    assert complaints[0].startswith(
        f'{secrets}/a: "svc-a: create user" was refused: HTTP 400'
    )


def test_user_of_chart_without_password_is_created_and_kept(run, secrets):
    for file in (secrets / "b").iterdir():
        file.unlink()
    fields = {"username": "svc-b", "email": "b@example.com", "apiToken": KEYS["svc-b"]}
    for name, text in {**fields, "isSuperuser": "true"}.items():
        (secrets / "b" / name).write_text(text)
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert [line for line in printed if line.startswith("svc-b")] == [
        "svc-b: create user",
        "svc-b: make superuser",
        "svc-b: create token",
    ]
    user = User.objects.get(username="svc-b")
    assert (user.email, user.is_superuser) == ("b@example.com", True)
    assert tokens()["svc-b"][1:] == (KEYS["svc-b"], "kept by site-a")
    before = user.password, tokens()
    assert figures(run()[1]) == ["0 created", "0 updated", "2 unchanged"]
    user.refresh_from_db()
    assert (user.password, tokens()) == before
    (secrets / "b" / "apiToken").write_text(KEYS["new"])
    status, printed, _ = run()
    assert (status, printed[:-1]) == (
        0,
        ["svc-b: take password away", "svc-b: rotate token"],
    )
    assert tokens()["svc-b"] == (before[1]["svc-b"][0], KEYS["new"], "kept by site-a")


@pytest.mark.parametrize(
    "changed",
    [{"write_enabled": False}, {"expires": "2001-01-01T00:00:00Z"}],
    ids=["read-only", "expired"],
)
def test_token_that_cannot_renew_itself_is_renewed(run, secrets, changed):
    """The user has no password that somebody knows: it gets another."""
    for name in ("hostname", "password"):
        (secrets / "b" / name).unlink()
    (secrets / "b" / "email").write_text("b@example.com")
    run()
    before = tokens()
    Token.objects.filter(user__username="svc-b").update(**changed)
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[:-1] == ["svc-b: take password away", "svc-b: renew token"]
    token = Token.objects.get(user__username="svc-b")
    assert (token.write_enabled, token.expires) == (True, None)
    assert tokens() == before
    assert figures(run()[1]) == ["0 created", "0 updated", "2 unchanged"]


@pytest.mark.parametrize("gone", [CREATED, ADOPTED])
def test_dry_run_without_one_of_the_marks_shows_the_rest(run, secrets, gone):
    """Somebody renamed or removed the group."""
    run()
    shutil.rmtree(secrets / "b")
    Group.objects.get(name=gone).delete()
    status, printed, complaints = run("--dry-run")
    assert printed[0] == f"would create group {gone!r}"
    if gone == ADOPTED:
        assert (status, complaints) == (0, [])
        assert printed[-2] == "svc-b: in no usable secret, kept"
    else:
        assert (status, len(complaints)) == (1, 1)
        assert "the user 'svc-a' exists and was not created by" in complaints[0]


def test_token_of_another_user_is_refused_for_user_without_password(run, secrets):
    """The token logs in, so whose it is has to be looked at."""
    run()
    other = User.objects.create_superuser("other", "", "x")
    Token(user=other, key=KEYS["new"]).validated_save()
    for name in ("password", "hostname"):
        (secrets / "a" / name).unlink()
    (secrets / "a" / "email").write_text("a@example.com")
    (secrets / "a" / "token").write_text(KEYS["new"])
    before = tokens()
    status, printed, complaints = run()
    assert (status, len(printed)) == (1, 1)
    assert complaints == [
        f"{secrets}/a: the token for 'svc-a' belongs to another user. Store a new "
        "token in the secret."
    ]
    assert tokens() == before


def test_username_that_django_normalizes_comes_to_rest(run, secrets):
    write_secret(secrets / "ligature", "ﬁx")
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[3:5] == ["fix: create user", "fix: create token"]
    assert len(run()[1]) == 1


def test_change_refused_half_way_says_what_was_done(run, secrets, monkeypatch):
    """The account that fails is named with its steps, those after it by name."""
    request = InProcess.request

    def failing(self, method, path, *more, **options):
        if method == "POST" and path == "users/tokens/":
            raise Unreachable("the server answers HTTP 502")
        return request(self, method, path, *more, **options)

    monkeypatch.setattr(InProcess, "request", failing)
    status, printed, complaints = run()
    assert (status, complaints) == (
        2,
        ["Nautobot could not be asked: the server answers HTTP 502."],
    )
    assert printed == [
        *SHARED,
        "svc-a: create user",
        "perhaps done: svc-a: create token",
        "not finished: svc-a, svc-b, stale accounts",
    ]
    monkeypatch.undo()
    assert run()[1][:-1] == [
        "svc-a: create token",
        "svc-b: create user",
        "svc-b: create token",
    ]


def test_groups_made_by_a_parallel_run_are_no_problem(run, monkeypatch):
    """Two first runs at once: the slower one looks again."""
    request = InProcess.request

    def raced(self, method, path, *more, **options):
        if method == "POST" and path == "users/groups/":
            Group.objects.get_or_create(name=CREATED)
            Group.objects.get_or_create(name=ADOPTED)
        return request(self, method, path, *more, **options)

    monkeypatch.setattr(InProcess, "request", raced)
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[:2] == [SHARED[2], "svc-a: create user"]


def test_parallel_run_that_is_always_a_step_ahead_is_no_problem(run, monkeypatch):
    """Two first runs in step: the slower one meets each of the three requests."""
    request = InProcess.request

    def raced(self, method, path, body=None, login=None):
        if method == "POST" and path in ("users/groups/", "users/permissions/"):
            request(self, method, path, body)
        return request(self, method, path, body, login)

    monkeypatch.setattr(InProcess, "request", raced)
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[0] == "svc-a: create user"


def before_request(monkeypatch, number, part, change):
    """Do something before the request of this number that has this in its path."""
    request, asked = InProcess.request, []

    def changed(self, method, path, *more, **options):
        if part in path:
            asked.append(path)
            if len(asked) == number:
                change()
        return request(self, method, path, *more, **options)

    monkeypatch.setattr(InProcess, "request", changed)


def test_stale_account_that_is_gone_meanwhile_is_no_problem(run, secrets, monkeypatch):
    run()
    shutil.rmtree(secrets / "b")
    user = User.objects.get(username="svc-b")
    before_request(monkeypatch, 1, "username=svc-b", user.delete)
    status, printed, complaints = run("--prune")
    assert (status, complaints, printed[0]) == (0, [], "svc-b: remove user")


def test_stale_account_that_loses_its_mark_meanwhile_is_kept(run, secrets, monkeypatch):
    run()
    shutil.rmtree(secrets / "b")
    user = User.objects.get(username="svc-b")
    before_request(monkeypatch, 1, "username=svc-b", user.groups.clear)
    status, printed, complaints = run("--prune")
    assert (status, printed[0]) == (1, "not done: svc-b: remove user")
    assert complaints == [
        'svc-b: "svc-b: remove user" was refused: the user lost its mark while this '
        "ran. Correct the secret, or the permissions of the user that makes the "
        "changes."
    ]
    assert User.objects.filter(username="svc-b").exists()


def test_user_that_is_removed_meanwhile_is_created_again(run, secrets, monkeypatch):
    run()
    write_secret(secrets / "a", "svc-a", password="another password")
    user = User.objects.get(username="svc-a")
    before_request(monkeypatch, 2, "username=svc-a", user.delete)
    status, printed, complaints = run()
    assert (status, complaints) == (0, [])
    assert printed[:-1] == ["svc-a: create user", "svc-a: create token"]
