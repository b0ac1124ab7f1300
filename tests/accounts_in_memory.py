"""A Nautobot made of dicts, with the rules of the database or of the REST API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.accounts.secret import Secret


class User:
    """A user and its tokens, key to [description, usable]."""

    email = ""

    def __init__(self, password="", tokens=(), groups=(), superuser=False, active=True):
        self.password = password
        self.tokens = {key: ["", True] for key in tokens}
        self.groups = set(groups)
        self.superuser = superuser
        self.active = active


class InMemory:
    """A back end.

    With ``remote``, tokens are visible with their user's password only, as over
    the REST API.
    """

    def __init__(self, users=None, groups=(), remote=False, refuse=()):
        self.users = dict(users or {})
        self.groups = set(groups)
        self.remote = remote
        self.refuse = set(refuse)
        self.takes_back = not remote

    def state(self):
        """Everything, to compare."""
        return {
            name: (
                user.password,
                {key: list(told) for key, told in user.tokens.items()},
                sorted(user.groups),
                user.superuser,
                user.active,
            )
            for name, user in self.users.items()
        }

    def group_names(self) -> set[str]:
        if "group_names" in self.refuse:
            raise Refused("HTTP 403")
        return self.groups

    def permission_steps(self, policy: Policy) -> list[Step]:
        del policy
        return []

    def account(self, credential: Credential) -> Account | None:
        user = self.users.get(credential.username)
        if user is None:
            return None
        if credential.password is not None:
            matches = user.password == credential.password.reveal()
        elif self.remote:
            # A password that nobody remembers is as good as none.
            matches = credential.token.reveal() in user.tokens
        else:
            matches = not user.password
        return self._account(
            credential.username, matches, visible=not self.remote or matches
        )

    def token_in_use(self, credential: Credential) -> bool:
        key = credential.token.reveal()
        return any(key in user.tokens for user in self.users.values())

    def marked_accounts(self, policy: Policy) -> list[Account]:
        if "marked_accounts" in self.refuse:
            raise Refused("HTTP 403")
        return [
            self._account(name, True, visible=not self.remote)
            for name, user in sorted(self.users.items())
            if user.groups & {*policy.own_groups}
        ]

    @contextlib.contextmanager
    def one_at_a_time(self, policy: Policy) -> Iterator[None]:
        del policy
        if self.remote:
            yield
            return
        before = deepcopy((self.users, self.groups))
        try:
            yield
        except BaseException:
            self.users, self.groups = before
            raise

    def _account(self, name: str, matches: bool, *, visible: bool) -> Account:
        user = self.users[name]
        tokens = tuple(
            Token(key, Secret(key), description, usable)
            for key, (description, usable) in user.tokens.items()
        )
        return Account(
            name,
            user.active,
            user.superuser,
            frozenset(user.groups),
            matches,
            tokens if visible else None,
            user.email,
        )

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        if step.verb in self.refuse:
            raise Refused(f"{step.verb}: not today")
        if step.verb == plan.CREATE_GROUP:
            self.groups.add(step.detail)
        elif step.verb == plan.REMOVE_USER:
            del self.users[step.subject]
        else:
            if step.verb == plan.CREATE_USER:
                self.users[step.subject] = User(groups=[policy.created_group])
            self._change(step, self.users[step.subject], credential, policy)

    def _change(
        self, step: Step, user: User, credential: Credential | None, policy: Policy
    ) -> None:
        if step.verb in (plan.CREATE_USER, plan.SET_PASSWORD, plan.TAKE_PASSWORD):
            password = credential.password
            user.password = "" if password is None else password.reveal()
            if step.verb == plan.CREATE_USER:
                user.email = credential.email or ""
        elif step.verb == plan.SET_EMAIL:
            user.email = credential.email
        elif step.verb == plan.ADOPT_USER:
            user.groups.add(policy.adopted_group)
        elif step.verb == plan.RELEASE_USER:
            user.groups.discard(step.detail)
        elif step.verb in (plan.MAKE_SUPERUSER, plan.END_SUPERUSER):
            user.superuser = step.verb == plan.MAKE_SUPERUSER
        elif step.verb == plan.JOIN_GROUP:
            user.groups.add(step.detail)
        elif step.verb == plan.REMOVE_TOKEN:
            del user.tokens[step.key]
        else:
            self._change_token(step, user, credential.token.reveal(), policy)

    def _change_token(self, step: Step, user: User, key: str, policy: Policy) -> None:
        if step.verb == plan.CREATE_TOKEN:
            user.tokens[key] = [policy.token_mark, True]
        elif step.verb == plan.ADOPT_TOKEN:
            user.tokens[step.key][0] = policy.token_mark
        elif step.verb == plan.ROTATE_TOKEN:
            user.tokens = {
                key if one == step.key else one: told
                for one, told in user.tokens.items()
            }
        else:
            assert step.verb == plan.RENEW_TOKEN
            # After a rotation the token is known by its new key.
            user.tokens[step.key if step.key in user.tokens else key][1] = True
