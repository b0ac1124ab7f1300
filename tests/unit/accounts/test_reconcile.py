import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.accounts_in_memory import InMemory
from tests.accounts_in_memory import User
from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.reconcile import reconcile_accounts
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.secret import Secret

CREATED = "accounts created by understack"
ADOPTED = "accounts adopted by understack"
MARK = "kept by understack"
KEY_A, KEY_B, KEY_C = "a" * 40, "b" * 40, "c" * 40
GROUPS = [
    f"create group {CREATED!r}",
    f"create group {ADOPTED!r}",
]

both = pytest.mark.parametrize("remote", [False, True], ids=["database", "REST"])


def credential(username="svc", password="pw", token=KEY_A, **said):
    return Credential(
        f"/secrets/{username}",
        username,
        None if password is None else Secret(password),
        Secret(token),
        **said,
    )


def reconcile(nautobot, *credentials, dry_run=False, problems=(), **policy):
    lines = []
    summary = reconcile_accounts(
        nautobot,
        credentials,
        Policy("understack", **policy),
        dry_run=dry_run,
        problems=[*problems],
        progress=lines.append,
    )
    return lines, summary


def ready(users=None, **options):
    """A Nautobot that knows the groups already."""
    return InMemory(users, groups=[CREATED, ADOPTED, "readers"], **options)


def managed(password="pw", tokens=(KEY_A,), **options):
    user = User(password, tokens, [CREATED], **options)
    for told in user.tokens.values():
        told[0] = MARK
    return user


@both
def test_users_and_tokens_are_created_once(remote):
    """The second run changes nothing."""
    nautobot = InMemory(remote=remote)
    lines, summary = reconcile(nautobot, credential())
    assert lines == [*GROUPS, "svc: create user", "svc: create token"]
    assert str(summary) == (
        "accounts: 1 created, 0 updated, 0 unchanged, 0 removed, 0 stale, 0 problems"
    )
    state = nautobot.state()
    assert state == {"svc": ("pw", {KEY_A: [MARK, True]}, [CREATED], False, True)}
    lines, summary = reconcile(nautobot, credential())
    assert lines == []
    assert summary.unchanged == ["svc"]
    assert nautobot.state() == state


@both
def test_rotated_token_changes_exactly_that_token(remote):
    """The user's own tokens and every other user stay as they are."""
    user = managed()
    user.tokens[KEY_C] = ["mine", True]
    other = managed(tokens=[KEY_B])
    nautobot = ready({"svc": user, "other": other}, remote=remote)
    before = nautobot.state()
    new = "d" * 40
    lines, summary = reconcile(
        nautobot, credential(token=new), credential("other", token=KEY_B)
    )
    assert lines == ["svc: rotate token"]
    assert (summary.updated, summary.unchanged) == (["svc"], ["other"])
    after = nautobot.state()
    assert after["other"] == before["other"]
    assert after["svc"][1] == {new: [MARK, True], KEY_C: ["mine", True]}


@pytest.mark.parametrize(
    ("user", "policy", "lines"),
    [
        (managed("old"), {}, ["set password"]),
        (managed(), {"superuser": True}, ["make superuser"]),
        (managed(superuser=True), {"superuser": True}, []),
        (managed(superuser=True), {}, []),
        (managed(), {"groups": ("readers",)}, ["join group 'readers'"]),
        (managed(tokens=()), {}, ["create token"]),
        (User("pw", [], [ADOPTED]), {}, ["create token"]),
        (User("pw", [KEY_A], [CREATED]), {}, ["adopt token"]),
        (User("pw", [KEY_B], [CREATED]), {}, ["create token"]),
        (User("pw", [KEY_A]), {"adopt": True}, ["adopt user", "adopt token"]),
        (
            User("old", [KEY_B]),
            {"adopt": True, "groups": ("readers",)},
            [
                "adopt user",
                "set password",
                "join group 'readers'",
                "create token",
            ],
        ),
    ],
    ids=[
        "password",
        "superuser wanted",
        "superuser already",
        "superuser stays one",
        "group",
        "token lost",
        "adopted before, token lost",
        "right token without the mark",
        "its own token stays",
        "adopted with the right token",
        "adopted with nothing right",
    ],
)
@both
def test_account_that_differs_is_corrected_once(remote, user, policy, lines):
    from copy import deepcopy

    nautobot = ready({"svc": deepcopy(user)}, remote=remote)
    printed, summary = reconcile(nautobot, credential(), **policy)
    assert printed == [f"svc: {line}" for line in lines]
    assert summary.problems == []
    again, _ = reconcile(nautobot, credential(), **policy)
    assert again == []


@pytest.mark.parametrize("user", [managed, User], ids=["own", "adopted"])
@pytest.mark.parametrize("superuser", [False, True])
@both
def test_disabled_user_stays_disabled_and_is_reported(remote, superuser, user):
    """An administrator who disables a user is not overruled by its secret."""
    disabled = user("old", [KEY_B], active=False)
    nautobot = ready({"svc": disabled, "other": managed("old")}, remote=remote)
    before = nautobot.state()
    policy = {"adopt": True, "prune": True, "superuser": superuser}
    lines, summary = reconcile(
        nautobot, credential(), credential("other", token=KEY_A), **policy
    )
    assert all(line.startswith("other: ") for line in lines)
    assert [str(problem) for problem in summary.problems] == [
        "/secrets/svc: the user 'svc' is disabled. Enable the user in Nautobot, or "
        "take its secret away."
    ]
    assert nautobot.state()["svc"] == before["svc"]


@pytest.mark.parametrize("key", [KEY_A, KEY_B], ids=["right key", "old key"])
def test_token_that_is_read_only_or_expires_is_renewed(key):
    user = managed(tokens=[key])
    user.tokens[key][1] = False
    nautobot = ready({"svc": user})
    lines, _ = reconcile(nautobot, credential())
    assert lines[-1] == "svc: renew token"
    assert nautobot.state()["svc"][1] == {KEY_A: [MARK, True]}


def test_second_marked_token_is_removed_only_with_prune():
    nautobot = ready({"svc": managed(tokens=[KEY_A, KEY_B])})
    assert reconcile(nautobot, credential())[0] == []
    assert reconcile(nautobot, credential(), prune=True)[0] == ["svc: remove token"]
    assert nautobot.state()["svc"][1] == {KEY_A: [MARK, True]}


@both
def test_token_of_another_user_is_refused_before_anything_changes(remote):
    nautobot = ready({"svc": managed("old", [KEY_B]), "x": User("x", [KEY_A])})
    nautobot.remote = False
    before = nautobot.state()
    lines, summary = reconcile(nautobot, credential(), credential("new", token=KEY_B))
    assert lines == []
    assert [str(problem) for problem in summary.problems] == [
        "/secrets/svc: the token for 'svc' belongs to another user. Store a new token "
        "in the secret.",
        "/secrets/new: the token for 'new' belongs to another user. Store a new token "
        "in the secret.",
    ]
    assert nautobot.state() == before


def test_token_of_another_user_over_rest_is_refused_after_password_is_set():
    """The token endpoint answers only the user itself."""
    nautobot = ready(
        {"svc": managed("old", [KEY_B]), "x": User("x", [KEY_A])}, remote=True
    )
    lines, summary = reconcile(nautobot, credential())
    assert lines == ["svc: set password"]
    assert [problem.code for problem in summary.problems] == ["token-taken"]
    assert nautobot.state()["svc"][1] == {KEY_B: [MARK, True]}


def test_dry_run_over_rest_reports_hidden_tokens():
    nautobot = ready({"svc": managed("old", [KEY_B])}, remote=True)
    before = nautobot.state()
    lines, summary = reconcile(nautobot, credential(), dry_run=True)
    assert lines == [
        "would svc: set password",
        "would svc: look at tokens once the password is set",
    ]
    assert summary.updated == ["svc"]
    assert nautobot.state() == before


def test_user_without_access_to_its_tokens_over_rest_is_reported():
    class Blind(InMemory):
        def account(self, wanted):
            return super().account(wanted)._replace(tokens=None)

    nautobot = Blind({"svc": managed()}, groups=[CREATED, ADOPTED])
    lines, summary = reconcile(nautobot, credential())
    assert lines == []
    assert [str(problem) for problem in summary.problems] == [
        "/secrets/svc: the user's own password does not show its tokens. Correct the "
        "secret, or the permissions of the user that makes the changes."
    ]


@both
def test_dry_run_changes_nothing_and_reports_the_same_steps(remote):
    nautobot = InMemory(
        {"svc": managed(tokens=[KEY_B]), "gone": managed(tokens=[KEY_C])},
        remote=remote,
    )
    before = nautobot.state()
    wanted = credential(), credential("new", token="e" * 40)
    said, expected = reconcile(nautobot, *wanted, dry_run=True, prune=True)
    assert nautobot.state() == before
    assert nautobot.groups == set()
    done, summary = reconcile(nautobot, *wanted, prune=True)
    assert said == [f"would {line}" for line in done]
    assert expected == summary


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (
            (),
            "/secrets/svc: the user 'svc' exists and was not created by 'understack'. "
            "Take it over once with --adopt, or choose another username.",
        ),
        (
            ["accounts created by site-b"],
            "/secrets/svc: the user 'svc' belongs to 'site-b'. Remove the secret from "
            "'site-b' or from 'understack'.",
        ),
    ],
    ids=["made by hand", "of another owner"],
)
def test_user_without_mark_is_not_changed(groups, line):
    """A secret named after the administrator takes nobody's account over."""
    nautobot = ready({"svc": User("x", [KEY_B], groups, superuser=True)})
    before = nautobot.state()
    lines, summary = reconcile(nautobot, credential())
    assert lines == []
    assert [str(problem) for problem in summary.problems] == [line]
    assert nautobot.state() == before


def test_account_adopted_by_another_owner_cannot_be_adopted():
    nautobot = ready({"svc": User("x", [], ["accounts adopted by site-b"])})
    _, summary = reconcile(nautobot, credential(), adopt=True)
    assert [problem.code for problem in summary.problems] == ["account-foreign"]


@both
def test_stale_account_is_removed_only_with_prune(remote):
    nautobot = ready({"svc": managed(), "gone": managed(tokens=[KEY_B])}, remote=remote)
    before = nautobot.state()
    lines, summary = reconcile(nautobot, credential())
    assert (lines, summary.stale) == ([], ["gone"])
    assert nautobot.state() == before
    lines, summary = reconcile(nautobot, credential(), prune=True)
    assert lines == ["gone: remove user"]
    assert (summary.removed, summary.problems) == (["gone"], [])
    assert nautobot.state() == {"svc": before["svc"]}


def adopted():
    user = User("x", [KEY_B, KEY_C], [ADOPTED, "staff"], superuser=True)
    user.tokens[KEY_B][0] = MARK
    return user


def test_adopted_user_is_released_and_never_removed():
    nautobot = ready({"admin": adopted()})
    lines, summary = reconcile(nautobot, prune=True)
    assert lines == ["admin: remove token", f"admin: release user {ADOPTED!r}"]
    assert (summary.removed, summary.problems) == (["admin"], [])
    assert nautobot.state() == {
        "admin": ("x", {KEY_C: ["", True]}, ["staff"], True, True)
    }


def test_token_of_released_user_over_rest_is_kept_and_reported():
    nautobot = ready({"admin": adopted()}, remote=True)
    lines, summary = reconcile(nautobot, prune=True)
    assert lines == [f"admin: release user {ADOPTED!r}"]
    assert [str(problem) for problem in summary.problems] == [
        "admin: the user was released, but its token could not be removed. Remove the "
        "token inside Nautobot."
    ]
    assert KEY_B in nautobot.users["admin"].tokens


def test_prune_with_unusable_secret_removes_nothing():
    """Its account would look stale."""
    nautobot = ready({"svc": managed(), "gone": managed(tokens=[KEY_B])})
    unusable = codes.CREDENTIAL_INCOMPLETE.problem("/secrets/gone", "x.", "y.")
    lines, summary = reconcile(nautobot, credential(), prune=True, problems=[unusable])
    assert lines == []
    assert (summary.removed, summary.stale) == ([], ["gone"])
    assert [str(problem) for problem in summary.problems] == [
        "/secrets/gone: x. y.",
        "--prune: no stale account was removed, because something else is wrong. "
        "Correct the other problems and run again.",
    ]


def test_other_accounts_are_corrected_beside_a_refused_one():
    nautobot = ready({"svc": managed("old")}, refuse=["set password"])
    lines, summary = reconcile(nautobot, credential(), credential("new", token=KEY_B))
    assert lines == ["new: create user", "new: create token"]
    assert summary.created == ["new"]
    assert [str(problem) for problem in summary.problems] == [
        '/secrets/svc: "svc: set password" was refused: not today. Correct the secret, '
        "or the permissions of the user that makes the changes."
    ]


def test_account_that_cannot_be_removed_is_reported():
    nautobot = ready({"gone": managed()}, refuse=["remove user"])
    lines, summary = reconcile(nautobot, prune=True)
    assert (lines, summary.removed) == ([], [])
    assert [problem.variable for problem in summary.problems] == ["gone"]


def test_missing_group_changes_nothing():
    nautobot = ready()
    lines, summary = reconcile(nautobot, credential(), groups=("readers", "nobody"))
    assert lines == []
    assert nautobot.state() == {}
    assert [str(problem) for problem in summary.problems] == [
        "--group: there is no group 'nobody'. Create the group with the permissions "
        "that the accounts need."
    ]


@pytest.mark.parametrize(
    ("refused", "where"),
    [
        ("group_names", "groups and permissions"),
        ("create group", "groups and permissions"),
        ("marked_accounts", "stale accounts"),
    ],
)
def test_bootstrap_account_without_permission_is_reported(refused, where):
    _, summary = reconcile(InMemory(refuse=[refused]), prune=True)
    assert [(one.code, one.variable) for one in summary.problems] == [
        ("account-refused", where)
    ]


KEYS = st.sampled_from([letter * 40 for letter in "abcdef"])
USERS = st.builds(
    User,
    password=st.sampled_from(["pw", "old"]),
    tokens=st.just(()),
    groups=st.sets(st.sampled_from([CREATED, ADOPTED])),
    superuser=st.booleans(),
    active=st.booleans(),
)


@given(
    users=st.dictionaries(st.sampled_from("uvwx"), USERS),
    keys=st.lists(KEYS, unique=True),
    marks=st.lists(st.sampled_from(["", MARK]), min_size=6, max_size=6),
    wanted=st.dictionaries(st.sampled_from("uvwxyz"), KEYS),
    policy=st.fixed_dictionaries(
        {name: st.booleans() for name in ("adopt", "prune", "superuser")}
    ),
    remote=st.booleans(),
)
def test_second_run_after_any_first_run_changes_nothing(
    *, users, keys, marks, wanted, policy, remote
):
    """And a token never changes hands."""
    if len(set(wanted.values())) < len(wanted):
        wanted = {}
    nautobot = InMemory(users, remote=remote)
    owners = {}
    for index, key in enumerate(keys):
        if users:
            name = sorted(users)[index % len(users)]
            users[name].tokens[key] = [marks[index], True]
            owners[key] = name
    credentials = [credential(name, token=key) for name, key in wanted.items()]
    _, first = reconcile(nautobot, *credentials, **policy)
    state = nautobot.state()
    for name, (_, tokens, *_) in state.items():
        for key in tokens:
            assert owners.get(key, name) == name or wanted.get(name) == key
    if first.problems:
        # A token that was taken may have become free meanwhile.
        return
    lines, summary = reconcile(nautobot, *credentials, **policy)
    assert lines == []
    assert nautobot.state() == state
    assert (summary.created, summary.updated, summary.removed) == ([], [], [])


# --- users of the chart, crashes, and two runs at once ------------------------------


@both
def test_user_without_password_in_secret_is_created_without_password(remote):
    nautobot = ready(remote=remote)
    wanted = credential(password=None, email="svc@example.com", superuser=True)
    lines, summary = reconcile(nautobot, wanted)

    assert lines == ["svc: create user", "svc: make superuser", "svc: create token"]
    assert nautobot.state() == {
        "svc": ("", {KEY_A: [MARK, True]}, [CREATED], True, True)
    }
    assert nautobot.users["svc"].email == "svc@example.com"
    assert reconcile(nautobot, wanted)[0] == []
    assert summary.problems == []


@pytest.mark.parametrize(
    ("said", "superuser", "lines"),
    [
        ({"superuser": True}, False, ["svc: make superuser"]),
        ({"superuser": False}, True, ["svc: make no superuser any more"]),
        ({}, True, []),
        ({}, False, []),
    ],
)
def test_superuser_flag_follows_the_secret(said, superuser, lines):
    nautobot = ready({"svc": managed(superuser=superuser)})

    assert reconcile(nautobot, credential(**said))[0] == lines


def test_email_that_differs_is_set():
    nautobot = ready({"svc": managed()})
    wanted = credential(email="svc@example.com")

    assert reconcile(nautobot, wanted)[0] == ["svc: set email"]
    assert reconcile(nautobot, wanted)[0] == []


def test_password_missing_in_secret_is_removed_from_user():
    nautobot = ready({"svc": managed("by hand")})

    assert reconcile(nautobot, credential(password=None))[0] == [
        "svc: take password away"
    ]
    assert nautobot.users["svc"].password == ""


class Crash(BaseException):
    """The process was killed."""


class Crashing(InMemory):
    """Dies before the request number ``left``."""

    left = 1000

    def apply(self, step):
        if self.left == 0:
            raise Crash
        self.left -= 1
        super().apply(step)


@both
@pytest.mark.parametrize("requests", range(12))
def test_run_after_crash_at_any_request_completes_the_work(remote, requests):
    def found():
        return Crashing(
            {
                "old": managed("old", tokens=[KEY_B]),
                "gone": managed(tokens=[KEY_C]),
                "hand": User("x", ["f" * 40], superuser=True),
            },
            remote=remote,
        )

    wanted = (
        credential("new", token="d" * 40, superuser=True),
        credential("old", token="e" * 40),
    )
    undisturbed, disturbed = found(), found()
    reconcile(undisturbed, *wanted, prune=True)
    disturbed.left = requests
    with contextlib.suppress(Crash):
        reconcile(disturbed, *wanted, prune=True)
    disturbed.left = 1000
    _, summary = reconcile(disturbed, *wanted, prune=True)

    assert summary.problems == []
    assert disturbed.state() == undisturbed.state()
    assert disturbed.state()["hand"] == found().state()["hand"]


@pytest.mark.parametrize(
    "answer", [Refused("HTTP 400 for username"), Unreachable("HTTP 500")]
)
def test_account_changed_by_parallel_run_is_no_problem(answer):
    """Over REST, nothing keeps two runs apart: what failed is looked at again."""

    class Raced(InMemory):
        def apply(self, step):
            # The other run has done this very step.
            super().apply(step)
            raise answer

    nautobot = Raced(groups=[CREATED, ADOPTED], remote=True)
    lines, summary = reconcile(nautobot, credential())

    assert (lines, summary.problems) == ([], [])
    assert summary.unchanged == ["svc"]
    assert nautobot.state() == {
        "svc": ("pw", {KEY_A: [MARK, True]}, [CREATED], False, True)
    }


@both
def test_nautobot_without_answer_raises_unreachable(remote):
    class Away(InMemory):
        def account(self, wanted):
            raise Unreachable("no connection")

    with pytest.raises(Unreachable):
        reconcile(Away(remote=remote), credential())


def test_account_marked_by_two_owners_is_released_and_kept():
    user = User("pw", [KEY_B], [CREATED, "accounts adopted by site-b"])
    nautobot = ready({"svc": user})
    lines, summary = reconcile(nautobot, prune=True)

    assert lines == [f"svc: release user {CREATED!r}"]
    assert nautobot.state()["svc"][2] == ["accounts adopted by site-b"]
    assert summary.problems == []


def test_prune_of_one_owner_leaves_accounts_of_another():
    other = User("pw", [KEY_B], ["accounts created by site-b"])
    nautobot = ready({"svc": managed(), "other": other})
    before = nautobot.state()
    reconcile(nautobot, credential(), prune=True)

    assert nautobot.state() == before


def test_weak_secret_does_not_prevent_prune():
    nautobot = ready({"gone": managed()})
    weak = codes.CREDENTIAL_WEAK.problem("/s", "x.")
    lines, _ = reconcile(nautobot, prune=True, problems=[weak])

    assert lines == ["gone: remove user"]


def test_undone_steps_are_not_reported():
    """The database takes back what a refused account had so far."""
    nautobot = ready(refuse=["create token"])
    lines, summary = reconcile(nautobot, credential())

    assert (lines, nautobot.state()) == ([], {})
    assert [one.code for one in summary.problems] == ["account-refused"]
