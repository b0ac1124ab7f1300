"""API users and tokens of a Nautobot that is reached over its REST API.

The API lets nobody, superusers included, see or make tokens of another user. Users,
groups and passwords are therefore changed with the bootstrap token, and tokens as
the user they belong to: with its name and password, which the token endpoint takes.
A permission that reaches no further than a user's own tokens makes that possible. A
user without a password gets a random one that is forgotten when the run ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.failures import Unusable
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

    def __init__(self, api: RestApi) -> None:
        """Take an API whose token may change users, groups and permissions."""
        self._api = api
        self._group_ids: dict[str, int] | None = None
        self._passwords: dict[str, Secret] = {}

    def group_names(self) -> Collection[str]:
        """Return the names of all groups."""
        return self._groups()

    def permission_steps(self, policy: Policy) -> list[Step]:
        """Return what lets accounts change their own tokens, where that is missing."""
        found = self._found(PERMISSIONS, "name", _permission_name(policy))
        groups = {self._groups().get(group) for group in policy.own_groups}
        if found and _holds(found, OWN_TOKENS) and groups <= {*_group_ids(found)}:
            return []
        return [Step(plan.CREATE_PERMISSION, "", _permission_name(policy))]

    def account(self, credential: Credential) -> Account | None:
        """Return the user of a credential, None where there is no such user."""
        user = self._found(USERS, "username", credential.username)
        if user is None:
            return None
        logins = [self._own_login(credential)]
        if credential.password is None:
            # Another run may have replaced the password that this one made up.
            logins.append(token_login(credential.token))
        login = next(filter(self._accepted, logins), None)
        if login is None:
            return self._account(user, None)._replace(password_matches=False)
        return self._account(user, self._tokens(login, credential.username))

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any active user logs in with the token of a credential."""
        return self._accepted(token_login(credential.token))

    def marked_accounts(self, policy: Policy) -> list[Account]:
        """Return every account that carries the mark of the owner."""
        own = {*policy.own_groups}
        if own.isdisjoint(self._groups()):
            return []
        users = self._api.records(USERS, {"groups": policy.own_groups})
        accounts = [self._account(user, None) for user in users]
        marked = [account for account in accounts if account.groups & own]
        return sorted(marked, key=lambda account: account.username)

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        """Carry out one step."""
        if step.verb == plan.CREATE_GROUP:
            self._api.change("POST", GROUPS, {"name": step.detail})
            self._group_ids = None
        elif step.verb == plan.CREATE_PERMISSION:
            self._permit(policy)
        elif credential is None:
            self._take_back(step, policy)
        elif step.verb == plan.CREATE_USER:
            user = {
                "username": credential.username,
                "password": self._password(credential).reveal(),
                "email": credential.email or "",
                "groups": [self._group_id(policy.created_group)],
            }
            self._api.change("POST", USERS, user)
        elif "token" in step.verb:
            path = place(TOKENS, step.key) if step.key else TOKENS
            method = {plan.CREATE_TOKEN: "POST", plan.REMOVE_TOKEN: "DELETE"}
            body = plan.changed_fields(step, credential, policy) or None
            login = self._own_login(credential)
            self._api.change(method.get(step.verb, "PATCH"), path, body, login)
        else:
            found = self._found(USERS, "username", step.subject) or {}
            body = plan.changed_fields(step, credential, policy)
            if step.verb in (plan.SET_PASSWORD, plan.TAKE_PASSWORD):
                body = {"password": self._password(credential).reveal()}
            elif step.verb in (plan.ADOPT_USER, plan.JOIN_GROUP):
                group = self._group_id(step.detail or policy.adopted_group)
                body = {"groups": [*_group_ids(found), group]}
            self._api.change("PATCH", place(USERS, found.get("id")), body)

    def one_at_a_time(self, _policy: Policy) -> AbstractContextManager[object]:
        """Return nothing that helps: the REST API has no transactions."""
        return nullcontext()

    def _group_id(self, name: str) -> int:
        found = self._groups().get(name)
        if found is None:
            raise Unusable(f"the API does not list the group {name}")
        return found

    def _permit(self, policy: Policy) -> None:
        name = _permission_name(policy)
        content = {
            **OWN_TOKENS,
            "name": name,
            "description": "Lets these accounts change their own API tokens.",
            "groups": [self._group_id(group) for group in policy.own_groups],
        }
        found = self._found(PERMISSIONS, "name", name)
        if found:
            self._api.change("PATCH", place(PERMISSIONS, found.get("id")), content)
        else:
            self._api.change("POST", PERMISSIONS, content)

    def _take_back(self, step: Step, policy: Policy) -> None:
        user = self._found(USERS, "username", step.subject)
        if user is None:
            return
        groups = _group_ids(user)
        mark = self._groups().get(step.detail or policy.created_group)
        if mark not in groups:
            raise Refused("the user lost its mark while this ran")
        path = place(USERS, user.get("id"))
        if step.verb == plan.REMOVE_USER:
            self._api.change("DELETE", path)
        else:
            left = [group for group in groups if group != mark]
            self._api.change("PATCH", path, {"groups": left})

    def _account(self, user: Record, tokens: tuple[Token, ...] | None) -> Account:
        names = {number: name for name, number in self._groups().items()}
        return Account(
            field(user, "username", str),
            field(user, "is_active", bool),
            field(user, "is_superuser", bool),
            frozenset(names[one] for one in _group_ids(user) if one in names),
            tokens=tokens,
            email=field(user, "email", str, type(None)) or "",
        )

    def _found(self, path: str, name: str, value: str) -> Record | None:
        """Return the record of which a field has this value; a filter may give more."""
        for record in self._api.records(path, {name: value}):
            if record.get(name) == value:
                return record
        return None

    def _groups(self) -> dict[str, int]:
        """Return the ids of all groups by name."""
        if self._group_ids is None:
            groups = self._api.records(GROUPS)
            self._group_ids = {
                field(group, "name", str): field(group, "id", int) for group in groups
            }
        return self._group_ids

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
        status, _ = self._api.request("OPTIONS", TOKENS, login=login)
        return status == HTTPStatus.OK

    def _tokens(self, login: Secret, username: str) -> tuple[Token, ...] | None:
        try:
            records = self._api.records(TOKENS, login=login)
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
