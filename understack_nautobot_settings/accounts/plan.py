"""What has to change so that an account equals its credential; pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Iterable
from typing import NamedTuple

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.secret import Secret
from understack_nautobot_settings.problems import Problem

CREATE_USER = "create user"
ADOPT_USER = "adopt user"
SET_EMAIL = "set email"
MAKE_SUPERUSER = "make superuser"
END_SUPERUSER = "make no superuser any more"
TAKE_PASSWORD = "take password away"  # noqa: S105
SET_PASSWORD = "set password"  # noqa: S105 - a step, not a password
JOIN_GROUP = "join group"
CREATE_TOKEN = "create token"  # noqa: S105
ADOPT_TOKEN = "adopt token"  # noqa: S105
ROTATE_TOKEN = "rotate token"  # noqa: S105
RENEW_TOKEN = "renew token"  # noqa: S105
REMOVE_TOKEN = "remove token"  # noqa: S105
RELEASE_USER = "release user"
REMOVE_USER = "remove user"
CREATE_GROUP = "create group"
CREATE_PERMISSION = "create permission"
LOOK_AGAIN = "look at tokens once the password is set"

_CREATED = "accounts created by "
_ADOPTED = "accounts adopted by "
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_owner(name: str) -> bool:
    """Tell whether accounts can be marked with a name, such as that of a cluster."""
    return _OWNER.fullmatch(name) is not None


def is_mark(group: str) -> bool:
    """Tell whether a group is one that marks accounts."""
    return group.startswith((_CREATED, _ADOPTED))


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
        return _CREATED + self.owner

    @property
    def adopted_group(self) -> str:
        """Group of the users that existed before; they are never removed."""
        return _ADOPTED + self.owner

    @property
    def own_groups(self) -> tuple[str, str]:
        """Both groups that mark an account."""
        return self.created_group, self.adopted_group

    @property
    def token_mark(self) -> str:
        """Description of the tokens that are kept equal to a secret."""
        return f"kept by {self.owner}"


class Token(NamedTuple):
    """An API token as Nautobot has it.

    Attributes:
        id: Primary key.
        key: The token itself.
        description: The mark, or whatever its user wrote.
        usable: True where it may write and never expires.
    """

    id: str
    key: Secret
    description: str
    usable: bool


class Account(NamedTuple):
    """A user as Nautobot has it.

    Attributes:
        username: Name of the user.
        is_active: False where the user may not log in.
        is_superuser: True for an administrator.
        groups: Names of the groups the user is in.
        password_matches: True where the credential's password logs in, or where
            neither the credential nor the user has one.
        tokens: The user's tokens; None where they are not visible.
        email: The user's address.
    """

    username: str
    is_active: bool
    is_superuser: bool
    groups: frozenset[str]
    password_matches: bool
    tokens: tuple[Token, ...] | None
    email: str = ""


class Step(NamedTuple):
    """One change, as it is reported and carried out.

    Attributes:
        verb: One of the constants of this module.
        username: Whose account; empty for what all accounts share.
        detail: Name of the group or permission; empty otherwise.
        token_id: Primary key of the token; empty for a new one.
    """

    verb: str
    username: str
    detail: str = ""
    token_id: str = ""

    def __str__(self) -> str:
        """Return the change as one line."""
        subject = f"{self.username}: " if self.username else ""
        return f"{subject}{self.verb}" + (f" {self.detail!r}" if self.detail else "")


def refusal(
    credential: Credential, account: Account | None, policy: Policy
) -> Problem | None:
    """Return why an account may not be touched, None where it may."""
    if account is None:
        return None
    others = sorted(
        name.removeprefix(prefix)
        for prefix in (_CREATED, _ADOPTED)
        for name in account.groups - {*policy.own_groups}
        if name.startswith(prefix)
    )
    if others:
        return codes.ACCOUNT_FOREIGN.problem(
            credential.source,
            f"the user {account.username!r} belongs to {others[0]!r}.",
            f"Remove the secret from {others[0]!r} or from {policy.owner!r}.",
        )
    if not (policy.adopt or account.groups & {*policy.own_groups}):
        return codes.ACCOUNT_FOREIGN.problem(
            credential.source,
            f"the user {account.username!r} exists and was not created by "
            f"{policy.owner!r}.",
            "Run once with --adopt to take it over, or choose another username.",
        )
    if not account.is_active:
        return codes.ACCOUNT_DISABLED.problem(
            credential.source, f"the user {account.username!r} is disabled."
        )
    return None


def account_steps(
    credential: Credential, account: Account | None, policy: Policy
) -> list[Step]:
    """Return the changes to a user, its tokens left aside.

    Args:
        credential: What the secret says.
        account: What Nautobot has; None where there is no such user.
        policy: How to treat what is found.

    Returns:
        The steps in the order they have to be made; empty where nothing differs.
    """
    name = credential.username
    steps: list[Step] = []
    if account is None:
        steps.append(Step(CREATE_USER, name))
        joined: Collection[str] = {policy.created_group}
        is_superuser = False
        email = credential.email
    else:
        joined = account.groups
        is_superuser = account.is_superuser
        email = account.email
        if not account.groups & {*policy.own_groups}:
            steps.append(Step(ADOPT_USER, name))
            joined = {*joined, policy.adopted_group}
        if not account.password_matches:
            without = credential.password is None
            steps.append(Step(TAKE_PASSWORD if without else SET_PASSWORD, name))
    if credential.email is not None and email != credential.email:
        steps.append(Step(SET_EMAIL, name))
    # What a secret does not say about a superuser is left as it is.
    wanted = policy.superuser if credential.superuser is None else credential.superuser
    if wanted and not is_superuser:
        steps.append(Step(MAKE_SUPERUSER, name))
    elif is_superuser and credential.superuser is False:
        steps.append(Step(END_SUPERUSER, name))
    steps += [
        Step(JOIN_GROUP, name, group) for group in policy.groups if group not in joined
    ]
    return steps


def token_steps(
    credential: Credential, tokens: Iterable[Token], policy: Policy
) -> list[Step]:
    """Return the changes to the tokens of a user.

    One token is kept equal to the secret and carries the mark. Tokens without the
    mark are the user's own and stay, except one that already has the right key,
    which then gets the mark. Further tokens with the mark are stale.

    Args:
        credential: What the secret says.
        tokens: The user's tokens.
        policy: How to treat what is found.

    Returns:
        The steps; empty where nothing differs.
    """
    name = credential.username
    tokens = list(tokens)
    marked = [token for token in tokens if token.description == policy.token_mark]
    right = [token for token in tokens if token.key == credential.token]
    steps: list[Step] = []
    if right:
        (kept,) = right
        if kept.description != policy.token_mark:
            steps.append(Step(ADOPT_TOKEN, name, token_id=kept.id))
        if not kept.usable:
            steps.append(Step(RENEW_TOKEN, name, token_id=kept.id))
    elif marked:
        kept = marked[0]
        steps.append(Step(ROTATE_TOKEN, name, token_id=kept.id))
        if not kept.usable:
            steps.append(Step(RENEW_TOKEN, name, token_id=kept.id))
    else:
        return [Step(CREATE_TOKEN, name)]
    if policy.prune:
        steps += [
            Step(REMOVE_TOKEN, name, token_id=token.id)
            for token in marked
            if token is not kept
        ]
    return steps


def token_taken(
    credential: Credential, account: Account | None, *, in_use: bool
) -> bool:
    """Tell whether the token of a credential certainly belongs to another user.

    Args:
        credential: What the secret says.
        account: What Nautobot has; None where there is no such user.
        in_use: True where Nautobot knows the token at all.
    """
    if not in_use:
        return False
    if account is None:
        return True
    if account.tokens is None:
        return False
    return all(token.key != credential.token for token in account.tokens)


def stale_steps(account: Account, policy: Policy) -> list[Step]:
    """Return what takes back an account whose secret is gone.

    A user that was created here is removed with its tokens. A user that existed
    before, or that another owner has marked as well, loses the marked tokens and the
    mark, and stays.
    """
    name = account.username
    own = [group for group in policy.own_groups if group in account.groups]
    others = {group for group in account.groups if is_mark(group)} - {*own}
    if policy.created_group in own and not others:
        return [Step(REMOVE_USER, name)]
    return [
        *(
            Step(REMOVE_TOKEN, name, token_id=token.id)
            for token in account.tokens or ()
            if token.description == policy.token_mark
        ),
        *(Step(RELEASE_USER, name, group) for group in own),
    ]
