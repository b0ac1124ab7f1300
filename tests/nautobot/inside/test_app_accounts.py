"""Users and tokens in a real Nautobot's database, by the management command."""

import hashlib
import io
import json
import traceback

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError
from django.db import InterfaceError
from django.db import InternalError
from django.db import OperationalError
from django.db import connection
from nautobot.users.models import Token

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.records import DatabaseAccounts
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import Step

pytestmark = pytest.mark.django_db

User = get_user_model()
PASSWORD = "Pässwörd: $x"
KEYS = {
    name: hashlib.sha1(name.encode()).hexdigest() for name in ("svc-a", "svc-b", "new")
}


def write_secret(directory, username, token=None, password=PASSWORD):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "username").write_text(username)
    (directory / "password").write_text(password)
    (directory / "token").write_text(token or KEYS[username])


@pytest.fixture
def secrets(tmp_path):
    write_secret(tmp_path / "a", "svc-a")
    inner = json.dumps({"password": PASSWORD, "token": KEYS["svc-b"]})
    document = {"credential": {"username": "svc-b", "password": inner}}
    (tmp_path / "b.json").write_text(json.dumps(document))
    return tmp_path


def run(*arguments, owner="understack"):
    printed, complaints = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command(
            "reconcile_accounts",
            *map(str, arguments),
            f"--owner={owner}",
            stdout=printed,
            stderr=complaints,
        )
    except SystemExit as end:
        status = end.code
    everything = printed.getvalue() + complaints.getvalue()
    for secret in (PASSWORD, *KEYS.values()):
        assert secret not in everything
    return status, printed.getvalue().splitlines(), complaints.getvalue().splitlines()


def tokens():
    """Every token, with what could change about it."""
    records = Token.objects.order_by("pk")
    if hasattr(records, "with_sensitive_fields"):
        records = records.with_sensitive_fields("key")
    return {
        record.pk: (
            record.user.username,
            record.key,
            record.description,
            record.write_enabled,
            record.expires,
            record.created,
        )
        for record in records
    }


def users():
    return {
        user.username: (user.password, user.is_active, user.is_superuser)
        for user in User.objects.all()
    }


def test_second_run_changes_nothing_and_rotated_secret_changes_its_token_only(
    secrets, client
):
    assert run(secrets) == (
        0,
        [
            "create group 'accounts created by understack'",
            "create group 'accounts adopted by understack'",
            "svc-a: create user",
            "svc-a: create token",
            "svc-b: create user",
            "svc-b: create token",
            "accounts: 2 created, 0 updated, 0 unchanged, 0 removed, 0 stale, "
            "0 problems",
        ],
        [],
    )
    before = tokens(), users()
    assert run(secrets) == (
        0,
        ["accounts: 0 created, 0 updated, 2 unchanged, 0 removed, 0 stale, 0 problems"],
        [],
    )
    assert (tokens(), users()) == before

    (secrets / "a" / "token").write_text(KEYS["new"])
    status, printed, _ = run(secrets)
    assert (status, printed[0]) == (0, "svc-a: rotate token")
    after = tokens()
    changed = {key for key in after if after[key] != before[0][key]}
    assert len(changed) == 1
    (key,) = changed
    assert after[key] == (
        "svc-a",
        KEYS["new"],
        "kept by understack",
        *before[0][key][3:],
    )
    assert users() == before[1]

    def status_with(token):
        header = f"Token {token}"
        return client.options("/api/", HTTP_AUTHORIZATION=header).status_code

    assert [status_with(KEYS[name]) for name in ("new", "svc-a")] == [200, 403]
    assert authenticate(username="svc-a", password=PASSWORD).username == "svc-a"


def test_dry_run_writes_nothing(secrets):
    status, printed, _ = run(secrets, "--dry-run")
    assert status == 0
    assert "would svc-a: create user" in printed
    assert not User.objects.filter(username__startswith="svc-").exists()
    assert not Group.objects.filter(name__contains="understack").exists()


def test_account_that_differs_is_corrected(secrets):
    run(secrets)
    Group.objects.create(name="readers")
    user = User.objects.get(username="svc-a")
    user.set_password("other")
    user.save()
    token = Token.objects.get(user=user)
    token.key = KEYS["svc-a"]
    token.write_enabled = False
    token.validated_save()
    status, printed, _ = run(secrets, "--superuser", "--group", "readers")
    assert status == 0
    assert [line for line in printed if line.startswith("svc-a")] == [
        "svc-a: set password",
        "svc-a: make superuser",
        "svc-a: join group 'readers'",
        "svc-a: renew token",
    ]
    user.refresh_from_db()
    assert (user.is_superuser, user.is_staff) == (True, True)
    assert user.check_password(PASSWORD)
    assert {group.name for group in user.groups.all()} == {
        "accounts created by understack",
        "readers",
    }
    status, printed, _ = run(secrets, "--superuser", "--group", "readers")
    assert (status, len(printed)) == (0, 1)


def test_user_made_by_hand_is_adopted_on_request_and_released_if_stale(secrets):
    admin = User.objects.create_superuser("admin", "", "Hand-Made-Pass-9")
    own = Token(user=admin, key="o" * 40, description="mine")
    own.validated_save()
    write_secret(secrets / "admin", "admin", KEYS["new"], "Hand-Made-Pass-9")
    status, _, complaints = run(secrets)
    assert status == 1
    assert complaints == [
        f"{secrets}/admin: the user 'admin' exists and was not created by "
        "'understack'. Take it over once with --adopt, or choose another "
        "username."
    ]
    status, printed, _ = run(secrets, "--adopt")
    assert status == 0
    assert printed[:2] == ["admin: adopt user", "admin: create token"]
    (secrets / "admin" / "token").unlink()
    (secrets / "admin" / "username").unlink()
    (secrets / "admin" / "password").unlink()
    (secrets / "admin").rmdir()
    status, printed, _ = run(secrets, "--prune")
    assert status == 0
    assert printed[:2] == [
        "admin: remove token",
        "admin: release user 'accounts adopted by understack'",
    ]
    admin.refresh_from_db()
    assert not admin.groups.exists()
    assert [token.description for token in Token.objects.filter(user=admin)] == ["mine"]


def test_right_token_made_by_hand_is_adopted(secrets):
    """So tokens that an earlier automation created are taken over."""
    user = User.objects.create_user("svc-a", "", PASSWORD)
    Token(user=user, key=KEYS["svc-a"]).validated_save()
    status, printed, _ = run(secrets / "a", "--adopt")
    assert status == 0
    assert "svc-a: adopt token" in printed
    ((_, key, description, *_),) = tokens().values()
    assert (key, description) == (KEYS["svc-a"], "kept by understack")


def test_stale_account_with_prune_is_removed_with_its_tokens(secrets):
    run(secrets)
    (secrets / "b.json").unlink()
    status, printed, _ = run(secrets)
    assert (status, printed[0]) == (0, "svc-b: in no usable secret, kept")
    status, printed, _ = run(secrets, "--prune")
    assert (status, printed[0]) == (0, "svc-b: remove user")
    assert "svc-b" not in users()
    assert {owner for owner, *_ in tokens().values()} == {"svc-a"}


def test_stale_token_with_prune_is_removed(secrets):
    run(secrets)
    user = User.objects.get(username="svc-a")
    Token(user=user, key="o" * 40, description="kept by understack").validated_save()
    assert len(run(secrets)[1]) == 1
    assert run(secrets, "--prune")[1][0] == "svc-a: remove token"
    assert Token.objects.filter(user=user).count() == 1


def test_token_of_another_user_is_refused(secrets):
    other = User.objects.create_user("other", "", "x")
    Token(user=other, key=KEYS["svc-a"]).validated_save()
    status, _, complaints = run(secrets)
    assert status == 1
    assert complaints == [
        f"{secrets}/a: the token for 'svc-a' belongs to another user. Store a new "
        "token in the secret."
    ]
    assert not User.objects.filter(username="svc-a").exists()


def test_missing_group_ends_with_status_1(secrets):
    status, _, complaints = run(secrets, "--group", "nobody")
    assert status == 1
    assert complaints == [
        "--group: there is no group 'nobody'. Create the group with the permissions "
        "that the accounts need."
    ]


def test_password_refused_by_nautobot_is_reported_with_the_rule(secrets, settings):
    settings.AUTH_PASSWORD_VALIDATORS = [
        {
            "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
            "OPTIONS": {"min_length": 100},
        }
    ]
    status, _, complaints = run(secrets / "a")
    assert status == 1
    assert complaints == [
        f'{secrets}/a: "svc-a: create user" was refused: password '
        "(password_too_short). Correct the secret, or the permissions of the user "
        "that makes the changes."
    ]


def credential():
    return Credential("/s", "svc-a", Secret(PASSWORD), Secret(KEYS["svc-a"]))


def test_token_taken_during_the_run_is_refused_without_its_value(secrets):
    run(secrets / "a")
    other = User.objects.create_user("other", "", "x")
    taken = credential()._replace(username=other.username)
    (step,) = plan.token_steps(taken, [], Policy("understack"))
    with pytest.raises(Refused) as raised:
        DatabaseAccounts().apply(step)
    assert str(raised.value) == "key (unique)"


def test_database_error_is_reported_without_the_token(secrets):
    def refuse(*_args):
        raise IntegrityError(f"Key (key)=({KEYS['svc-a']}) already exists.")

    with connection.execute_wrapper(refuse), pytest.raises(Refused) as raised:
        DatabaseAccounts().apply(Step("set email", "svc-a", fields={"email": "x"}))
    assert str(raised.value) == "IntegrityError"
    assert raised.value.__context__ is None
    assert KEYS["svc-a"] not in "".join(traceback.format_exception(raised.value))


def test_stale_account_that_loses_its_mark_meanwhile_is_kept(secrets):
    run(secrets)
    (secrets / "b.json").unlink()
    user = User.objects.get(username="svc-b")
    looks = []

    def unmark(execute, sql, *arguments):
        if "SELECT DISTINCT" in sql:
            looks.append(sql)
        # The next transaction begins.
        if "FOR UPDATE" in sql and looks:
            user.groups.clear()
        return execute(sql, *arguments)

    with connection.execute_wrapper(unmark):
        status, printed, complaints = run(secrets, "--prune")
    assert (status, len(printed), len(looks)) == (1, 1, 1)
    assert complaints == [
        'svc-b: "svc-b: remove user" was refused: the user lost its mark while this '
        "ran. Correct the secret, or the permissions of the user that makes the "
        "changes."
    ]
    assert "svc-b" in users()


def test_constraint_at_the_end_of_a_transaction_refuses_its_account_alone(secrets):
    """As the table of an App has one that is not installed any more."""
    run(secrets)
    (secrets / "b.json").unlink()
    write_secret(secrets / "a", "svc-a", KEYS["new"])
    deleted = []

    def refuse(execute, sql, *arguments):
        if 'DELETE FROM "auth_user"' in sql:
            deleted.append(sql)
        if sql.startswith("RELEASE") and deleted:
            deleted.clear()
            raise IntegrityError(f"Key (key)=({KEYS['svc-b']}) is still referenced.")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        status, printed, complaints = run(secrets, "--prune")
    assert (status, printed[:-1]) == (1, ["svc-a: rotate token"])
    assert complaints == [
        "svc-b: the database refused it: IntegrityError. Correct the secret, or the "
        "permissions of the user that makes the changes."
    ]
    assert "svc-b" in users()


def test_database_that_takes_no_writes_says_so_and_ends_with_status_2(secrets):
    def refuse(execute, sql, *arguments):
        if sql.startswith("INSERT"):
            raise InternalError("cannot execute INSERT in a read-only transaction")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        status, _, complaints = run(secrets)
    assert (status, complaints) == (
        2,
        [
            "Nautobot could not be asked: the database failed: cannot execute INSERT "
            "in a read-only transaction."
        ],
    )


def test_database_without_answer_ends_with_status_2(secrets):
    def refuse(*_args):
        raise OperationalError("connection refused\n\tIs the server running?")

    with connection.execute_wrapper(refuse):
        assert run(secrets) == (
            2,
            ["not finished: svc-a, svc-b, stale accounts"],
            ["Nautobot could not be asked: the database failed: connection refused."],
        )


def test_user_of_chart_has_no_usable_password(secrets):
    directory = secrets / "chart"
    directory.mkdir()
    fields = {"username": "svc-c", "email": "c@example.com", "apiToken": KEYS["new"]}
    for name, text in {**fields, "isSuperuser": "true"}.items():
        (directory / name).write_text(text)
    status, printed, complaints = run(secrets)
    assert (status, complaints) == (0, [])
    assert [line for line in printed if line.startswith("svc-c")] == [
        "svc-c: create user",
        "svc-c: make superuser",
        "svc-c: create token",
    ]
    user = User.objects.get(username="svc-c")
    assert not user.has_usable_password()
    assert (user.email, user.is_superuser) == ("c@example.com", True)
    before = tokens(), users()
    assert len(run(secrets)[1]) == 1
    assert (tokens(), users()) == before
    (directory / "isSuperuser").write_text("false")
    user.set_password("by hand")
    user.save()
    assert run(secrets)[1][:-1] == [
        "svc-c: take password away",
        "svc-c: make no superuser any more",
    ]
    user.refresh_from_db()
    assert not user.has_usable_password()
    assert not user.is_superuser


def test_prune_of_one_owner_leaves_accounts_of_another(secrets):
    run(secrets)
    before = tokens(), users()
    other = secrets.parent / "other"
    write_secret(other, "svc-x", KEYS["new"])
    status, printed, complaints = run(other, "--prune", owner="site-b")
    assert (status, complaints) == (0, [])
    assert printed[2:-1] == ["svc-x: create user", "svc-x: create token"]
    status, _, complaints = run(secrets, "--prune", owner="site-b")
    assert (status, len(complaints)) == (1, 3)
    assert {key: tokens()[key] for key in before[0]} == before[0]
    assert {name: users()[name] for name in before[1]} == before[1]


def test_username_that_django_normalizes_comes_to_rest(secrets):
    write_secret(secrets / "ligature", "ﬁx", KEYS["new"])
    status, printed, complaints = run(secrets)
    assert (status, complaints) == (0, [])
    assert printed[2:4] == ["fix: create user", "fix: create token"]
    assert len(run(secrets)[1]) == 1


def test_database_that_fails_half_way_undoes_the_account_and_names_it(secrets):
    def refuse(execute, sql, *arguments):
        if 'INSERT INTO "users_token"' in sql:
            raise InterfaceError(f"connection already closed\n{KEYS['svc-a']}")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        assert run(secrets) == (
            2,
            [
                "create group 'accounts created by understack'",
                "create group 'accounts adopted by understack'",
                "not finished: svc-a, svc-b, stale accounts",
            ],
            [
                "Nautobot could not be asked: the database failed: connection already "
                "closed."
            ],
        )
    assert not User.objects.filter(username="svc-a").exists()
