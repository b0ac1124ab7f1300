"""What has to change so that an account equals its credential; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
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


class Step(NamedTuple):
    """One change to an account or a job queue, as it is reported and carried out.

    Attributes:
        verb: One of the constants of this module, or of the plan for queues.
        subject: Name of the user or queue; empty for what is about neither.
        detail: What the line shows beside them, such as the name of a group or job.
        key: Primary key of the token, or module and class of the job; empty for a
            new token and for what is about neither.
    """

    verb: str
    subject: str
    detail: str = ""
    key: str = ""

    def __str__(self) -> str:
        """Return the change as one line."""
        subject = f"{self.subject}: " if self.subject else ""
        return f"{subject}{self.verb}" + (f" {self.detail!r}" if self.detail else "")


def is_mark(group: str) -> bool:
    """Tell whether a group is one that marks accounts."""
    return group.startswith((_CREATED, _ADOPTED))


def refusal(
    credential: Credential, account: Account | None, policy: Policy
) -> Problem | None:
    """Return why an account may not be touched, None where it may."""
    if account is None:
        return None
    user = f"the user {account.username!r}"
    others = _other_owners(account, policy)
    if others:
        fact = f"{user} belongs to {others[0]!r}."
        hint = f"Remove the secret from {others[0]!r} or from {policy.owner!r}."
        return codes.ACCOUNT_FOREIGN.problem(credential.source, fact, hint)
    if not (policy.adopt or account.groups & {*policy.own_groups}):
        fact = f"{user} exists and was not created by {policy.owner!r}."
        hint = "Run once with --adopt to take it over, or choose another username."
        return codes.ACCOUNT_FOREIGN.problem(credential.source, fact, hint)
    if not account.is_active:
        fact = f"{user} is disabled."
        return codes.ACCOUNT_DISABLED.problem(credential.source, fact)
    return None


def account_steps(
    credential: Credential, account: Account | None, policy: Policy
) -> list[Step]:
    """Return the changes to a user, its tokens left aside, in their order."""
    name = credential.username
    verbs = []
    if account is None:
        verbs.append(CREATE_USER)
        groups = frozenset({policy.created_group})
        account = Account(name, groups=groups, email=credential.email or "")
    if not account.groups & {*policy.own_groups}:
        verbs.append(ADOPT_USER)
    if not account.password_matches:
        verbs.append(TAKE_PASSWORD if credential.password is None else SET_PASSWORD)
    if credential.email not in (None, account.email):
        verbs.append(SET_EMAIL)
    # What a secret does not say about a superuser is left as it is.
    wanted = policy.superuser if credential.superuser is None else credential.superuser
    if wanted and not account.is_superuser:
        verbs.append(MAKE_SUPERUSER)
    elif account.is_superuser and credential.superuser is False:
        verbs.append(END_SUPERUSER)
    missing = [group for group in policy.groups if group not in account.groups]
    return [
        *(Step(verb, name) for verb in verbs),
        *(Step(JOIN_GROUP, name, group) for group in missing),
    ]


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
    marked = [token for token in tokens if token.description == policy.token_mark]
    right = [token for token in tokens if token.key == credential.token]
    if not (right or marked):
        return [Step(CREATE_TOKEN, name)]
    kept = [*right, *marked][0]
    steps = []
    if not right:
        steps.append(Step(ROTATE_TOKEN, name, key=kept.id))
    elif kept.description != policy.token_mark:
        steps.append(Step(ADOPT_TOKEN, name, key=kept.id))
    if not kept.usable:
        steps.append(Step(RENEW_TOKEN, name, key=kept.id))
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
        return [Step(REMOVE_USER, name)]
    marked = [
        token
        for token in account.tokens or ()
        if token.description == policy.token_mark
    ]
    own = [group for group in policy.own_groups if group in account.groups]
    return [
        *(Step(REMOVE_TOKEN, name, key=token.id) for token in marked),
        *(Step(RELEASE_USER, name, group) for group in own),
    ]


def changed_fields(
    step: Step, credential: Credential, policy: Policy
) -> dict[str, Any]:
    """Return what a step sets, by the names of Nautobot's models and its REST API."""
    key = credential.token.reveal()
    fields: dict[str, dict[str, Any]] = {
        SET_EMAIL: {"email": credential.email},
        MAKE_SUPERUSER: {"is_superuser": True, "is_staff": True},
        END_SUPERUSER: {"is_superuser": False, "is_staff": False},
        CREATE_TOKEN: {"key": key, "description": policy.token_mark},
        ADOPT_TOKEN: {"description": policy.token_mark},
        ROTATE_TOKEN: {"key": key},
        RENEW_TOKEN: {"write_enabled": True, "expires": None},
    }
    return fields.get(step.verb, {})


def _other_owners(account: Account, policy: Policy) -> list[str]:
    marks = filter(is_mark, account.groups - {*policy.own_groups})
    return sorted(mark.partition(" by ")[2] for mark in marks)
