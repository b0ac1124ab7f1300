"""API users and tokens of a Nautobot that is reached over its REST API.

The API lets nobody, superusers included, see or make tokens of another user. Users,
groups and passwords are therefore changed with the bootstrap token, and tokens as
the user they belong to: with its name and password, which the token endpoint takes.
A permission that reaches no further than a user's own tokens makes that possible. A
user without a password gets a random one that is forgotten when the run ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.accounts.rest import Record
from understack_nautobot_settings.accounts.rest import RestApi
from understack_nautobot_settings.accounts.rest import checked
from understack_nautobot_settings.accounts.rest import field
from understack_nautobot_settings.accounts.rest import password_login
from understack_nautobot_settings.accounts.rest import place
from understack_nautobot_settings.accounts.rest import token_login
from understack_nautobot_settings.accounts.secret import Secret

OWN_TOKENS = {
    "object_types": ["users.token"],
    "actions": ["view", "add", "change", "delete"],
    "constraints": {"user": "$user"},
    "enabled": True,
}

USERS = "users/users/"
GROUPS = "users/groups/"
TOKENS = "users/tokens/"
PERMISSIONS = "users/permissions/"


class RemoteAccounts:
    """Accounts through the REST API."""

    takes_back = False

    def __init__(self, api: RestApi, bootstrap: Secret) -> None:
        """Prepare, without connecting.

        Args:
            api: The Nautobot.
            bootstrap: Token of a user that may change users, groups and
                permissions.
        """
        self._api = api
        self._login = token_login(bootstrap)
        self._group_ids: dict[str, int] | None = None
        self._passwords: dict[str, Secret] = {}

    def shared_steps(self, policy: Policy) -> list[Step]:
        """Return the groups and the permission that are needed and missing."""
        there = self._groups()
        steps = [
            Step(plan.CREATE_GROUP, "", name)
            for name in policy.own_groups
            if name not in there
        ]
        groups = {there.get(group) for group in policy.own_groups}
        if not any(
            _holds(record, OWN_TOKENS) and groups <= {*_group_ids(record)}
            for record in self._permissions(policy)
        ):
            steps.append(Step(plan.CREATE_PERMISSION, "", _permission_name(policy)))
        return steps

    def missing_groups(self, policy: Policy) -> list[str]:
        """Return those of ``policy.groups`` that do not exist."""
        there = self._groups() if policy.groups else {}
        return [name for name in policy.groups if name not in there]

    def account(self, credential: Credential) -> Account | None:
        """Return the user of a credential, None where there is no such user."""
        user = self._user(credential.username)
        if user is None:
            return None
        logins = [self._own_login(credential)]
        if credential.password is None:
            # Another run may have replaced the password that this one made up.
            logins.append(token_login(credential.token))
        login = next(filter(self._accepted, logins), None)
        tokens = None if login is None else self._tokens(login, credential.username)
        return self._account(user, password_matches=login is not None, tokens=tokens)

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any active user logs in with the token of a credential."""
        return self._accepted(token_login(credential.token))

    def marked_accounts(self, policy: Policy) -> list[Account]:
        """Return every account that carries the mark of the owner."""
        there = self._groups()
        marks = {there[name] for name in policy.own_groups if name in there}
        if not marks:
            return []
        users = self._api.records(USERS, self._login, groups=policy.own_groups)
        accounts = [
            self._account(user, password_matches=True, tokens=None)
            for user in users
            if marks & {*_group_ids(user)}
        ]
        return sorted(accounts, key=lambda account: account.username)

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        """Carry out one step."""
        if step.verb == plan.CREATE_GROUP:
            self._change("POST", GROUPS, {"name": step.detail})
            self._group_ids = None
        elif step.verb == plan.CREATE_PERMISSION:
            self._permit(policy)
        elif credential is None:
            self._take_back(step, policy)
        elif step.verb == plan.CREATE_USER:
            body = {
                "username": credential.username,
                "password": self._password(credential).reveal(),
                "email": credential.email or "",
                "groups": [self._groups()[policy.created_group]],
            }
            self._change("POST", USERS, body)
        elif "token" in step.verb:
            self._apply_token(step, credential, policy)
        else:
            user = self._user(step.username) or {}
            body = self._changed(step, credential, user, policy)
            self._change("PATCH", place(USERS, user.get("id")), body)

    def one_at_a_time(self, policy: Policy) -> AbstractContextManager[object]:
        """Return nothing that helps: the REST API has no transactions."""
        del policy
        return nullcontext()

    def _changed(
        self,
        step: Step,
        credential: Credential,
        user: Mapping[str, Any],
        policy: Policy,
    ) -> dict[str, Any]:
        if step.verb in (plan.SET_PASSWORD, plan.TAKE_PASSWORD):
            return {"password": self._password(credential).reveal()}
        if step.verb == plan.SET_EMAIL:
            return {"email": credential.email}
        if step.verb in (plan.MAKE_SUPERUSER, plan.END_SUPERUSER):
            wanted = step.verb == plan.MAKE_SUPERUSER
            return {"is_superuser": wanted, "is_staff": wanted}
        name = step.detail if step.verb == plan.JOIN_GROUP else policy.adopted_group
        return {"groups": [*_group_ids(user), self._groups()[name]]}

    def _permit(self, policy: Policy) -> None:
        there = self._groups()
        content = {
            **OWN_TOKENS,
            "name": _permission_name(policy),
            "description": "Lets these accounts change their own API tokens.",
            "groups": [there[name] for name in policy.own_groups],
        }
        found = self._permissions(policy)
        if found:
            self._change("PATCH", place(PERMISSIONS, found[0].get("id")), content)
        else:
            self._change("POST", PERMISSIONS, content)

    def _take_back(self, step: Step, policy: Policy) -> None:
        user = self._user(step.username)
        if user is None:
            return
        there = self._groups()
        mark = there.get(step.detail or policy.created_group)
        if mark not in _group_ids(user):
            raise Refused("the user lost its mark while this ran")
        if step.verb == plan.REMOVE_USER:
            self._change("DELETE", place(USERS, user.get("id")))
        else:
            left = [group for group in _group_ids(user) if group != mark]
            self._change("PATCH", place(USERS, user.get("id")), {"groups": left})

    def _apply_token(self, step: Step, credential: Credential, policy: Policy) -> None:
        login = self._own_login(credential)
        key = credential.token.reveal()
        if step.verb == plan.CREATE_TOKEN:
            body = {"key": key, "description": policy.token_mark}
            self._api.change("POST", TOKENS, login, body)
        elif step.verb == plan.REMOVE_TOKEN:
            self._api.change("DELETE", place(TOKENS, step.token_id), login)
        else:
            changes: dict[str, dict[str, Any]] = {
                plan.ADOPT_TOKEN: {"description": policy.token_mark},
                plan.ROTATE_TOKEN: {"key": key},
                plan.RENEW_TOKEN: {"write_enabled": True, "expires": None},
            }
            token = place(TOKENS, step.token_id)
            self._api.change("PATCH", token, login, changes[step.verb])

    def _account(
        self,
        user: Record,
        *,
        password_matches: bool,
        tokens: tuple[Token, ...] | None,
    ) -> Account:
        names = {number: name for name, number in self._groups().items()}
        return Account(
            field(user, "username", str),
            field(user, "is_active", bool),
            field(user, "is_superuser", bool),
            frozenset(names[one] for one in _group_ids(user) if one in names),
            password_matches,
            tokens,
            field(user, "email", str, type(None)) or "",
        )

    def _user(self, username: str) -> Record | None:
        for user in self._api.records(USERS, self._login, username=username):
            if user.get("username") == username:
                return user
        return None

    def _permissions(self, policy: Policy) -> list[Record]:
        name = _permission_name(policy)
        found = self._api.records(PERMISSIONS, self._login, name=name)
        return [record for record in found if record.get("name") == name]

    def _groups(self) -> dict[str, int]:
        """Return the ids of all groups by name."""
        if self._group_ids is None:
            groups = self._api.records(GROUPS, self._login)
            self._group_ids = {
                field(group, "name", str): field(group, "id", int) for group in groups
            }
        return self._group_ids

    def _change(self, method: str, path: str, body: Any = None) -> None:
        self._api.change(method, path, self._login, body)

    def _password(self, credential: Credential) -> Secret:
        """Return the user's password, or one made up for a user without."""
        if credential.password is not None:
            return credential.password
        # Whatever validators ask for, besides 240 random bits.
        made_up = Secret(f"{secrets.token_urlsafe(30)}-aA1")
        return self._passwords.setdefault(credential.username, made_up)

    def _own_login(self, credential: Credential) -> Secret:
        """Return what logs in as the user: a password where one is known."""
        name = credential.username
        password = credential.password or self._passwords.get(name)
        if password is None:
            return token_login(credential.token)
        return password_login(name, password)

    def _accepted(self, login: Secret) -> bool:
        """Tell whether the server takes a login.

        OPTIONS is the one method for which being somebody is enough; any other is
        answered alike for a wrong password and a missing permission.
        """
        return self._api.request("OPTIONS", TOKENS, login).status == HTTPStatus.OK

    def _tokens(self, login: Secret, username: str) -> tuple[Token, ...] | None:
        try:
            records = self._api.records(TOKENS, login)
        except Refused:
            return None
        return tuple(
            Token(
                field(record, "id", str),
                Secret(field(record, "key", str)),
                field(record, "description", str),
                field(record, "write_enabled", bool) and record["expires"] is None,
            )
            for record in sorted(records, key=lambda one: field(one, "created", str))
            # A token that logs in may be another user's: Nautobot shows whose.
            if field(record, "display", str).endswith(f" ({username})")
        )


def _permission_name(policy: Policy) -> str:
    return f"own tokens of accounts of {policy.owner}"


def _holds(record: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    return all(
        sorted(map(str, checked(record.get(name), list))) == sorted(value)
        if isinstance(value, list)
        else record.get(name) == value
        for name, value in content.items()
    )


def _group_ids(record: Mapping[str, Any]) -> list[int]:
    groups = field(record, "groups", list)
    return [field(checked(group, dict), "id", int) for group in groups]
