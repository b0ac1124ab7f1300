"""API users and tokens of a Nautobot that is reached over its REST API.

The API lets nobody, superusers included, see or make tokens of another user. Users,
groups and passwords are therefore changed with the bootstrap token, and tokens as
the user they belong to: with its name and password, which the token endpoint takes.
A permission that reaches no further than a user's own tokens makes that possible. A
user without a password gets a random one that is forgotten when the run ends.
"""

import secrets
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.rest import TOKENS
from understack_nautobot_settings.reconciliation.rest import Record
from understack_nautobot_settings.reconciliation.rest import RestApi
from understack_nautobot_settings.reconciliation.rest import checked
from understack_nautobot_settings.reconciliation.rest import field
from understack_nautobot_settings.reconciliation.rest import password_login
from understack_nautobot_settings.reconciliation.rest import record_path
from understack_nautobot_settings.reconciliation.rest import token_login
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import Backend
from understack_nautobot_settings.reconciliation.steps import Step

OWN_TOKENS = {
    "object_types": ["users.token"],
    "actions": ["view", "add", "change", "delete"],
    "constraints": {"user": "$user"},
    "enabled": True,
}

USERS = "users/users/"
GROUPS = "users/groups/"
PERMISSIONS = "users/permissions/"


class RemoteAccounts(Backend):
    """Accounts through the REST API."""

    def __init__(self, api: RestApi) -> None:
        """Take an API whose token may change users, groups and permissions."""
        self._api = api
        self._group_ids: dict[str, int] | None = None
        # What logs in as a user, by its name.
        self._logins: dict[str, Secret] = {}

    def group_names(self) -> Collection[str]:
        """Return the names of all groups."""
        return self._groups()

    def permission_steps(self, policy: plan.Policy) -> list[Step]:
        """Return what lets accounts change their own tokens, where that is missing."""
        name = f"own tokens of accounts of {policy.owner}"
        text = "Lets these accounts change their own API tokens."
        own = {"name": name, "description": text, "groups": policy.own_groups}
        found = self._found(PERMISSIONS, "name", name)
        groups = {self._groups().get(group) for group in policy.own_groups}
        if found and _holds(found, OWN_TOKENS) and groups <= {*_group_ids(found)}:
            return []
        fields = {**OWN_TOKENS, **own}
        return [Step(plan.CREATE_PERMISSION, detail=name, fields=fields)]

    def account(self, credential: Credential) -> plan.Account | None:
        """Return the user of a credential, None where there is no such user."""
        name = credential.username
        user = self._found(USERS, "username", name)
        if user is None:
            return None
        if credential.password is None:
            # Another run may have replaced the password that this one made up.
            logins = [self._logins.get(name), token_login(credential.token)]
        else:
            logins = [password_login(name, credential.password)]
        for login in logins:
            if login is None or not self._api.accepts(login):
                continue
            tokens = self._tokens(login, name)
            # A token that may not write cannot renew itself.
            if all(one.usable or token_login(one.key) != login for one in tokens or ()):
                self._logins[name] = login
                return self._account(user, tokens)
        return self._account(user, None)._replace(password_matches=False)

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any active user logs in with the token of a credential."""
        return self._api.accepts(token_login(credential.token))

    def marked_accounts(self, policy: plan.Policy) -> list[plan.Account]:
        """Return every account that carries the mark of the owner."""
        # Nautobot refuses to filter by a group that does not exist.
        own = {*policy.own_groups} & {*self._groups()}
        if not own:
            return []
        users = self._api.records(USERS, {"groups": sorted(own)})
        accounts = [self._account(user, None) for user in users]
        marked = [account for account in accounts if account.groups & own]
        return sorted(marked, key=lambda account: account.username)

    def apply(self, step: Step) -> None:
        """Make one step; raise `Refused` with the reason."""
        body = step.revealed()
        if "token" in step.verb:
            path = record_path(TOKENS, step.key) if step.key else TOKENS
            methods = {plan.CREATE_TOKEN: "POST", plan.REMOVE_TOKEN: "DELETE"}
            method, login = methods.get(step.verb, "PATCH"), self._logins[step.subject]
            self._api.change(method, path, body or None, login)
        elif step.verb == plan.CREATE_GROUP:
            # Whether or not it is taken: another run may have been faster.
            self._group_ids = None
            self._api.change("POST", GROUPS, body)
        elif step.verb == plan.CREATE_PERMISSION:
            body["groups"] = self._ids(step)
            found = self._found(PERMISSIONS, "name", step.detail)
            if found:
                self._api.change(
                    "PATCH", record_path(PERMISSIONS, found.get("id")), body
                )
            else:
                self._api.change("POST", PERMISSIONS, body)
        elif step.verb == plan.CREATE_USER:
            body |= {"username": step.subject, "groups": self._ids(step)}
            self._api.change("POST", USERS, self._with_login(step.subject, body))
        else:
            self._change_user(step, body)

    def _change_user(self, step: Step, body: dict[str, Any]) -> None:
        user = self._found(USERS, "username", step.subject)
        if user is None:
            if step.verb in plan.TAKEN_BACK:
                return
            raise Refused("the user is not there any more")
        path = record_path(USERS, user.get("id"))
        groups, named = _group_ids(user), self._ids(step)
        if step.verb in plan.TAKEN_BACK:
            if not {*named} <= {*groups}:
                raise Refused(plan.MARK_LOST)
            body = {"groups": [group for group in groups if group not in named]}
        elif named:
            body["groups"] = [*groups, *named]
        if step.verb == plan.REMOVE_USER:
            self._api.change("DELETE", path)
        else:
            self._api.change("PATCH", path, self._with_login(step.subject, body))

    def _with_login(self, username: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what a user is to have; the password in it logs in from now on."""
        if "password" in body:
            # Whatever validators ask for, besides 240 random bits.
            body["password"] = body["password"] or f"{secrets.token_urlsafe(30)}-aA1"
            login = password_login(username, Secret(body["password"]))
            self._logins[username] = login
        return body

    def _ids(self, step: Step) -> list[int]:
        known = self._groups()
        names = step.fields.get("groups", ())
        for name in names:
            if name not in known:
                raise Unusable(
                    f"the API does not list the group {name!r}",
                    "Let the user of the token view every group.",
                )
        return [known[name] for name in names]

    def _account(
        self, user: Record, tokens: tuple[plan.Token, ...] | None
    ) -> plan.Account:
        names = {number: name for name, number in self._groups().items()}
        return plan.Account(
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
        if self._group_ids is None:
            groups = self._api.records(GROUPS)
            self._group_ids = {
                field(group, "name", str): field(group, "id", int) for group in groups
            }
        return self._group_ids

    def _tokens(self, login: Secret, username: str) -> tuple[plan.Token, ...] | None:
        try:
            records = self._api.records(TOKENS, login=login)
        except Refused:
            return None
        return tuple(
            plan.Token(
                field(record, "id", str),
                Secret(field(record, "key", str)),
                field(record, "description", str),
                field(record, "write_enabled", bool)
                and field(record, "expires", str, type(None)) is None,
            )
            for record in sorted(records, key=lambda one: field(one, "created", str))
            # A token that logs in may be another user's: Nautobot shows whose.
            if field(record, "display", str).endswith(f" ({username})")
        )


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
