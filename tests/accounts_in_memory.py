"""A Nautobot made of dicts, with the rules of the database or of the REST API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import Step


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
    def transaction(self) -> Iterator[None]:
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

    def apply(self, step: Step) -> None:
        if step.verb in self.refuse:
            raise Refused("not today")
        if step.verb == plan.CREATE_GROUP:
            self.groups.add(step.fields["name"])
        elif step.verb == plan.REMOVE_USER:
            del self.users[step.subject]
        elif "token" in step.verb:
            self._change_tokens(step, self.users[step.subject].tokens)
        else:
            if step.verb == plan.CREATE_USER:
                self.users[step.subject] = User()
            self._change_user(step, self.users[step.subject])

    def _change_user(self, step: Step, user: User) -> None:
        fields = {"password": user.password, **step.revealed()}
        user.password = fields["password"] or ""
        user.email = fields.get("email", user.email)
        user.superuser = fields.get("is_superuser", user.superuser)
        if step.verb == plan.RELEASE_USER:
            user.groups -= {*fields["groups"]}
        else:
            user.groups |= {*fields.get("groups", ())}

    def _change_tokens(self, step: Step, tokens: dict) -> None:
        if step.verb == plan.REMOVE_TOKEN:
            del tokens[step.key]
            return
        fields = step.revealed()
        key = fields["key"]
        if step.verb == plan.CREATE_TOKEN:
            tokens[key] = ["", True]
        elif step.key in tokens:
            # After a rotation the token is known by its new key.
            renamed = {key if one == step.key else one: tokens[one] for one in tokens}
            tokens.clear()
            tokens |= renamed
        told = tokens[key]
        told[0] = fields.get("description", told[0])
        told[1] = fields.get("write_enabled", told[1])
