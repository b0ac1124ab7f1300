"""What has to change so that an account equals its credential; pure."""

from collections.abc import Iterable
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import Step

CREATE_USER = "create user"
CREATE_TOKEN = "create token"  # noqa: S105
REMOVE_TOKEN = "remove token"  # noqa: S105
RELEASE_USER = "release user"
REMOVE_USER = "remove user"
TAKEN_BACK = (REMOVE_USER, RELEASE_USER)
MARK_LOST = "the user lost its mark while this ran"
CREATE_GROUP = "create group"
CREATE_PERMISSION = "create permission"

CREATED = "accounts created by "
ADOPTED = "accounts adopted by "


class Policy(NamedTuple):
    """How a run treats what it finds.

    Attributes:
        owner: Whose accounts these are. Everything that a run creates or adopts
            is marked with it, and only what carries the mark is ever removed, so
            several clusters can keep their accounts in one Nautobot.
        adopt: Take over users that exist without the mark.
        prune: Remove what carries the mark and is in no secret.
        superuser: Make every account a superuser whose secret does not say
            otherwise.
        groups: Further groups that every account joins.
    """

    owner: str
    adopt: bool = False
    prune: bool = False
    superuser: bool = False
    groups: tuple[str, ...] = ()

    @property
    def created_group(self) -> str:
        """Group of the users that were created; they go when their secret goes."""
        return CREATED + self.owner

    @property
    def adopted_group(self) -> str:
        """Group of the users that existed before; they are never removed."""
        return ADOPTED + self.owner

    @property
    def own_groups(self) -> tuple[str, str]:
        """Both groups that mark an account."""
        return self.created_group, self.adopted_group

    @property
    def token_mark(self) -> str:
        """Description of the tokens that are kept equal to a secret."""
        return f"kept by {self.owner}"


class Token(NamedTuple):
    """An API token as Nautobot has it; ``usable`` may write and never expires."""

    id: str
    key: Secret
    description: str
    usable: bool


class Account(NamedTuple):
    """A user as Nautobot has it.

    Attributes:
        password_matches: True where the credential's password logs in, or where
            neither the credential nor the user has one.
        tokens: The user's tokens; None where they are not visible.
    """

    username: str
    is_active: bool = True
    is_superuser: bool = False
    groups: frozenset[str] = frozenset()
    password_matches: bool = True
    tokens: tuple[Token, ...] | None = ()
    email: str = ""


def is_mark(group: str) -> bool:
    """Tell whether a group is one that marks accounts."""
    return group.startswith((CREATED, ADOPTED))


def refusal(
    credential: Credential,
    account: Account | None,
    policy: Policy,
    *,
    token_in_use: bool,
) -> Problem | None:
    """Return why an account may not be touched, None where it may."""
    account = account or Account(
        credential.username, groups=frozenset(policy.own_groups)
    )
    user = f"the user {account.username!r}"
    others = _other_owners(account, policy)
    tokens = account.tokens
    code, hint = codes.ACCOUNT_FOREIGN, None
    if others:
        fact = f"{user} belongs to {others[0]!r}."
        hint = f"Remove the secret from {others[0]!r} or from {policy.owner!r}."
    elif not (policy.adopt or account.groups & {*policy.own_groups}):
        fact = f"{user} exists and was not created by {policy.owner!r}."
    elif not account.is_active:
        code, fact = codes.ACCOUNT_DISABLED, f"{user} is disabled."
    # A token in use is another user's if it is none of those that are visible.
    elif (
        token_in_use
        and tokens is not None
        and credential.token not in [token.key for token in tokens]
    ):
        fact = f"the token for {account.username!r} belongs to another user."
        code = codes.TOKEN_TAKEN
    else:
        return None
    return code.problem(credential.source, fact, hint)


def account_steps(
    credential: Credential, account: Account | None, policy: Policy
) -> list[Step]:
    """Return the changes to a user, its tokens left aside, in their order."""
    name = credential.username
    password = credential.password
    steps = []

    def add(verb: str, detail: str = "", **fields: Any) -> None:
        steps.append(Step(verb, name, detail, fields=fields))

    if account is None:
        mark = policy.created_group
        account = Account(name, groups=frozenset({mark}), email=credential.email or "")
        add(CREATE_USER, email=account.email, groups=[mark], password=password)
    if not account.groups & {*policy.own_groups}:
        add("adopt user", groups=[policy.adopted_group])
    if not account.password_matches:
        add("set password" if password else "take password away", password=password)
    if credential.email not in (None, account.email):
        add("set email", email=credential.email)
    # What a secret does not say about a superuser is left as it is.
    wanted = policy.superuser if credential.superuser is None else credential.superuser
    if wanted and not account.is_superuser:
        add("make superuser", is_superuser=True, is_staff=True)
    elif account.is_superuser and credential.superuser is False:
        add("make no superuser any more", is_superuser=False, is_staff=False)
    for group in policy.groups:
        if group not in account.groups:
            add("join group", group, groups=[group])
    return steps


def token_steps(
    credential: Credential, tokens: Iterable[Token], policy: Policy
) -> list[Step]:
    """Return the changes to the tokens of a user, in their order.

    One token is kept equal to the secret and carries the mark. Tokens without the
    mark are the user's own and stay, except one that already has the right key,
    which then gets the mark. Further tokens with the mark are stale.
    """
    name = credential.username
    tokens = list(tokens)
    marked = _marked(tokens, policy)
    right = [token for token in tokens if token.key == credential.token]
    # Every step ends with the key in place, and saying so spares a back end to read
    # one that newer versions of Nautobot hold back.
    key = {"key": credential.token}
    mark = {**key, "description": policy.token_mark}
    if not (right or marked):
        return [Step(CREATE_TOKEN, name, fields=mark)]
    kept = [*right, *marked][0]
    steps = []
    if not right:
        steps.append(Step("rotate token", name, key=kept.id, fields=key))
    elif kept.description != policy.token_mark:
        steps.append(Step("adopt token", name, key=kept.id, fields=mark))
    if not kept.usable:
        lasting = {**key, "write_enabled": True, "expires": None}
        steps.append(Step("renew token", name, key=kept.id, fields=lasting))
    stale = [token for token in marked if policy.prune and token is not kept]
    return [*steps, *(Step(REMOVE_TOKEN, name, key=token.id) for token in stale)]


def stale_steps(account: Account, policy: Policy) -> list[Step]:
    """Return what takes back an account whose secret is gone.

    A user that was created here is removed with its tokens. A user that existed
    before, or that another owner has marked as well, loses the marked tokens and the
    mark, and stays.
    """
    name = account.username
    if policy.created_group in account.groups and not _other_owners(account, policy):
        return [Step(REMOVE_USER, name, fields={"groups": [policy.created_group]})]
    marked = _marked(account.tokens or (), policy)
    own = [group for group in policy.own_groups if group in account.groups]
    return [
        *(Step(REMOVE_TOKEN, name, key=token.id) for token in marked),
        *(Step(RELEASE_USER, name, group, fields={"groups": [group]}) for group in own),
    ]


def _marked(tokens: Iterable[Token], policy: Policy) -> list[Token]:
    return [token for token in tokens if token.description == policy.token_mark]


def _other_owners(account: Account, policy: Policy) -> list[str]:
    marks = filter(is_mark, account.groups - {*policy.own_groups})
    return sorted(mark.partition(" by ")[2] for mark in marks)
