"""API users and tokens of a Nautobot that is reached over its REST API.

The API lets nobody, superusers included, see or make tokens of another user. Users,
groups and passwords are therefore changed with the bootstrap token, and tokens as
the user they belong to, with its name and password, which the token endpoint takes.
A permission that reaches no further than a user's own tokens makes that possible.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any

from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import Secret
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.accounts.reconcile import Refused
from understack_nautobot_settings.accounts.reconcile import Unreachable

ANSWER_SECONDS = 30.0
OWN_TOKENS = {
    "object_types": ["users.token"],
    "actions": ["view", "add", "change", "delete"],
    "constraints": {"user": "$user"},
    "enabled": True,
}

Connect = Callable[..., Any]

_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_NO_URL = {"InvalidURL", "InvalidSchema", "MissingSchema"}
_ELSEWHERE = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


class RemoteAccounts:
    """Accounts through the REST API."""

    def __init__(
        self,
        url: str,
        bootstrap: Secret,
        *,
        ca_file: str | None = None,
        connect: Connect | None = None,
    ) -> None:
        """Prepare, without connecting.

        Args:
            url: Base URL of the Nautobot.
            bootstrap: Token of a user that may change users, groups and
                permissions.
            ca_file: CA certificates to trust; default those of `requests`.
            connect: Makes an API object; default `pynautobot.api`.

        Raises:
            Unreachable: There is no pynautobot.
        """
        connect = _pynautobot() if connect is None else connect
        self._api = _session(connect, url, ca_file)
        _become(self._api, token=bootstrap)
        # For all the users whose credentials are tried in turn.
        self._other = _session(connect, url, ca_file)
        self._group_ids: dict[str, Any] | None = None

    def shared_steps(self, policy: Policy) -> list[Step]:
        """Return the groups and the permission that are needed and missing."""
        there = self._groups()
        steps = [
            Step(plan.CREATE_GROUP, "", name)
            for name in policy.own_groups
            if name not in there
        ]
        name = _permission_name(policy)
        found = _ask(self._api.users.permissions.filter, name=name)
        groups = {there.get(group) for group in policy.own_groups}
        if not any(
            _holds(dict(record), OWN_TOKENS)
            and groups <= {group["id"] for group in dict(record)["groups"]}
            for record in found
        ):
            steps.append(Step(plan.CREATE_PERMISSION, "", name))
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
        api = self._as_user(credential)
        matches = _accepted(api)
        return self._account(
            user,
            password_matches=matches,
            tokens=_tokens(api) if matches else None,
        )

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any active user logs in with the token of a credential."""
        return _accepted(_become(self._other, token=credential.token))

    def marked_accounts(self, policy: Policy) -> list[Account]:
        """Return every account that carries the mark of the owner."""
        there = self._groups()
        names = [name for name in policy.own_groups if name in there]
        if not names:
            return []
        users = _ask(self._api.users.users.filter, groups=names)
        accounts = [
            self._account(dict(user), password_matches=True, tokens=None)
            for user in users
        ]
        return sorted(accounts, key=lambda account: account.username)

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        """Carry out one step."""
        users = self._api.users.users
        if credential is None:
            self._apply_shared(step, policy)
        elif step.verb == plan.CREATE_USER:
            _ask(
                users.create,
                username=credential.username,
                password=credential.password.reveal(),
                groups=[self._groups()[policy.created_group]],
            )
        elif step.verb in (
            plan.CREATE_TOKEN,
            plan.ADOPT_TOKEN,
            plan.ROTATE_TOKEN,
            plan.RENEW_TOKEN,
            plan.REMOVE_TOKEN,
        ):
            _apply_token(self._as_user(credential), step, credential, policy)
        else:
            user = self._user(step.username) or {}
            _ask(users.update, user["id"], self._change(step, credential, user, policy))

    def all_or_nothing(self) -> AbstractContextManager[object]:
        """Return nothing that helps: the REST API has no transactions."""
        return nullcontext()

    def _change(
        self,
        step: Step,
        credential: Credential,
        user: Mapping[str, Any],
        policy: Policy,
    ) -> dict[str, Any]:
        if step.verb == plan.SET_PASSWORD:
            return {"password": credential.password.reveal()}
        if step.verb == plan.ACTIVATE_USER:
            return {"is_active": True}
        if step.verb == plan.MAKE_SUPERUSER:
            return {"is_superuser": True, "is_staff": True}
        name = step.detail if step.verb == plan.JOIN_GROUP else policy.adopted_group
        return {"groups": [*_joined(user), self._groups()[name]]}

    def _apply_shared(self, step: Step, policy: Policy) -> None:
        if step.verb == plan.CREATE_GROUP:
            _ask(self._api.users.groups.create, name=step.detail)
            self._group_ids = None
        elif step.verb == plan.CREATE_PERMISSION:
            there = self._groups()
            content = {
                **OWN_TOKENS,
                "name": step.detail,
                "description": "Lets these accounts change their own API tokens.",
                "groups": [there[name] for name in policy.own_groups],
            }
            endpoint = self._api.users.permissions
            found = list(_ask(endpoint.filter, name=step.detail))
            if found:
                _ask(endpoint.update, found[0].id, content)
            else:
                _ask(endpoint.create, **content)
        else:
            self._take_back(step)

    def _take_back(self, step: Step) -> None:
        user = self._user(step.username)
        if user is None:
            return
        if step.verb == plan.REMOVE_USER:
            _ask(self._api.users.users.delete, [user["id"]])
        else:
            gone = self._groups().get(step.detail)
            left = [group for group in _joined(user) if group != gone]
            _ask(self._api.users.users.update, user["id"], {"groups": left})

    def _account(
        self,
        user: Mapping[str, Any],
        *,
        password_matches: bool,
        tokens: tuple[Token, ...] | None,
    ) -> Account:
        names = {number: name for name, number in self._groups().items()}
        return Account(
            user["username"],
            user["is_active"],
            user["is_superuser"],
            frozenset(names[number] for number in _joined(user)),
            password_matches,
            tokens,
        )

    def _user(self, username: str) -> dict[str, Any] | None:
        for record in _ask(self._api.users.users.filter, username=username):
            user: dict[str, Any] = dict(record)
            if user["username"] == username:
                return user
        return None

    def _groups(self) -> dict[str, Any]:
        """Return the ids of all groups by name."""
        if self._group_ids is None:
            groups = _ask(self._api.users.groups.all)
            self._group_ids = {group.name: group.id for group in groups}
        return self._group_ids

    def _as_user(self, credential: Credential) -> Any:
        return _become(self._other, login=credential)


def _session(connect: Connect, url: str, ca_file: str | None) -> Any:
    # Since 3.0 the API leaves relations out of lists unless they are asked for.
    api = connect(url, token=None, verify=ca_file or True, exclude_m2m=False)
    session = api.http_session
    ask = session.request

    def request(*args: Any, **kwargs: Any) -> Any:
        # uWSGI as the Nautobot image runs it closes each connection after an answer
        # and does not say so: a second request on it would be lost now and then.
        session.close()
        # Left to the session, REQUESTS_CA_BUNDLE would beat it.
        always = {"timeout": ANSWER_SECONDS, "verify": session.verify}
        return ask(*args, **{**always, **kwargs})

    session.request = request
    return api


def _become(
    api: Any, *, token: Secret | None = None, login: Credential | None = None
) -> Any:
    """Let an API object act as the holder of a token, or of name and password."""
    session = api.http_session
    # A cookie would say who we are before token or password are looked at.
    session.cookies.clear()
    api.token = token.reveal() if token is not None else None
    if login is not None:
        # As bytes: requests would encode text as latin-1.
        session.auth = (login.username.encode(), login.password.reveal().encode())
    else:
        # Something, or an entry in netrc would replace the token.
        session.auth = _unchanged
    return api


def _unchanged(request: Any) -> Any:
    return request


def _pynautobot() -> Connect:
    try:
        import pynautobot
    except ModuleNotFoundError:
        pynautobot = None
    if pynautobot is None:
        raise Unreachable(
            "a remote Nautobot needs pynautobot: install "
            "'understack-nautobot-settings[remote]'"
        )
    # Older releases connect while they are made, before a time limit can be set.
    made = {"_validate_version": lambda _: None}
    connect: Connect = type("Api", (pynautobot.api,), made)
    return connect


def _permission_name(policy: Policy) -> str:
    return f"own tokens of accounts of {policy.owner}"


def _holds(record: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    return all(
        sorted(record[name]) == sorted(value)
        if isinstance(value, list)
        else record[name] == value
        for name, value in content.items()
    )


def _joined(user: Mapping[str, Any]) -> list[Any]:
    return [group["id"] for group in user["groups"]]


def _accepted(api: Any) -> bool:
    """Tell whether the server takes the credentials of an API object.

    OPTIONS is the one method for which being somebody is enough; any other is
    answered alike for a wrong password and a missing permission.
    """
    url = api.users.tokens.url
    headers = {"authorization": f"Token {api.token}"} if api.token else {}
    response = _ask(api.http_session.options, f"{url.rstrip('/')}/", headers=headers)
    status: int = response.status_code
    reason = _status_reason(status)
    if reason:
        raise Unreachable(reason)
    return status == HTTPStatus.OK


def _tokens(api: Any) -> tuple[Token, ...] | None:
    try:
        records = list(_ask(api.users.tokens.all))
    except Refused:
        return None
    return tuple(
        Token(
            record["id"],
            Secret(record["key"]),
            record["description"],
            record["write_enabled"] and record["expires"] is None,
        )
        for record in sorted(map(dict, records), key=lambda one: one["created"])
    )


def _apply_token(api: Any, step: Step, credential: Credential, policy: Policy) -> None:
    tokens = api.users.tokens
    key = credential.token.reveal()
    if step.verb == plan.CREATE_TOKEN:
        _ask(tokens.create, key=key, description=policy.token_mark)
    elif step.verb == plan.REMOVE_TOKEN:
        _ask(tokens.delete, [step.token_id])
    else:
        change = {
            plan.ADOPT_TOKEN: {"description": policy.token_mark},
            plan.ROTATE_TOKEN: {"key": key},
            plan.RENEW_TOKEN: {"write_enabled": True, "expires": None},
        }[step.verb]
        _ask(tokens.update, step.token_id, change)


def _ask(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call, and turn what the client raises into words without any content.

    The client's exceptions hold the request with its password or token, so none
    of them is kept, not even as the cause of what is raised.
    """
    refused = unreachable = ""
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - told apart by what they carry
        response = getattr(error, "req", None)
        if response is None:
            unreachable = _connection_reason(error)
        else:
            status = response.status_code
            unreachable = _status_reason(status)
            if status < HTTPStatus.BAD_REQUEST:
                unreachable = "what answers at this URL is no Nautobot"
            refused = f"HTTP {status}{_fields(response)}"
    if unreachable:
        raise Unreachable(unreachable)
    raise Refused(refused)


def _status_reason(status: int) -> str:
    """Return why an answer is none that says anything about an account."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        return f"Nautobot answers HTTP {status}"
    if status in _ELSEWHERE:
        return f"there is no Nautobot API at this URL (HTTP {status})"
    return ""


def _connection_reason(error: Exception) -> str:
    """Return what kept a request from being answered, told apart by class."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "SSLError" in names:
        return "the server's certificate is not trusted; name its CA with --ca-file"
    if "Timeout" in names:
        return f"Nautobot does not answer within {ANSWER_SECONDS:g} seconds"
    if "ConnectionError" in names:
        return "no connection to Nautobot"
    if names & _NO_URL:
        return "there is no such URL; it has to be https://HOST"
    if "OSError" in names and "RequestException" not in names:
        return "the CA file cannot be read"
    return f"the request failed with {type(error).__name__}"


def _fields(response: Any) -> str:
    """Return the names of the refused fields; the texts might repeat a value."""
    try:
        content = response.json()
    except ValueError:
        return ""
    if not isinstance(content, dict) or "detail" in content:
        return ""
    return f" for {', '.join(sorted(map(str, content)))}" if content else ""
