"""Reads credentials of API users from mounted secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts.secret import Secret
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import names_in
from understack_nautobot_settings.text_files import read_text

Found = TypeVar("Found")

FIELDS = ("hostname", "username", "password", "token")
"""What a secret of the documents holds."""

CHART_FIELDS = ("username", "email", "apiToken")
"""What a secret of UnderStack's chart holds."""

JSON_FIELD = "credential"
LISTS = ("users", "tokens")
TOKEN_LENGTH = 40
LONGEST_PASSWORD = 128
LONGEST_USERNAME = 150
SHORTEST_PASSWORD = 12
FEWEST_DIFFERENT = 8

# All names of a field, as they are written without case, "-" and "_".
_MEANINGS = {
    "hostname": "hostname",
    "username": "username",
    "email": "email",
    "password": "password",
    "token": "token",
    "apitoken": "token",
    "superuser": "superuser",
    "issuperuser": "superuser",
}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
# What Django's username validator takes.
_USERNAME = re.compile(r"[\w.@+-]+")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
# What survives an Authorization header.
_TOKEN = re.compile(r"[!-~]+")

_FORM = (
    "Mount a secret with the files username, password and token, or username, email "
    'and apiToken, or with the JSON object {"credential": {"username": ..., '
    '"password": ...}}.'
)


class Credential(NamedTuple):
    """What one secret says about one API user.

    Attributes:
        source: Path of the secret, for messages.
        username: Name of the user.
        password: The user's password; None for a user without a usable one.
        token: The user's API token, 40 characters.
        email: The user's address; None to leave it alone.
        superuser: True or False where the secret says so; None to leave it to the
            policy.
    """

    source: str
    username: str
    password: Secret | None
    token: Secret
    email: str | None = None
    superuser: bool | None = None


class _Unusable(Exception):
    """Why a secret is no credential."""

    def __init__(
        self,
        where: str,
        message: str,
        hint: str | None = _FORM,
        code: Code = codes.CREDENTIAL_INVALID,
    ) -> None:
        super().__init__(message)
        self.problem = code.problem(where, message, hint)


def _incomplete(where: str, message: str) -> _Unusable:
    return _Unusable(where, message, code=codes.CREDENTIAL_INCOMPLETE)


def _unreadable(where: str, message: str) -> _Unusable:
    return _Unusable(where, message, None, codes.CREDENTIAL_UNREADABLE)


def read_credentials(
    paths: Iterable[str], *, problems: list[Problem]
) -> list[Credential]:
    """Return the credentials that the paths hold, sorted by username.

    A path is the directory of one mounted secret, a directory with one entry for
    each secret, or a JSON file. A secret has the files ``hostname``, ``username``,
    ``password`` and ``token`` (product document 003); or ``username``, ``email``,
    ``apiToken`` and perhaps ``isSuperuser`` (UnderStack's chart); or a file
    ``credential`` with the JSON object that the secret backend stores:
    ``{"credential": {"username": …, "password": …}}`` where the password is the text
    of another object with password and token. A JSON file may also hold a list of
    users, bare or under ``users``. The host name is not used: credentials go to the
    host that the operator names.

    Args:
        paths: Where the secrets are mounted.
        problems: Collects what is wrong, one entry for each secret; never holds
            anything that a secret says, except the username.

    Returns:
        The usable credentials. Two secrets that say the same count once; two that
        contradict each other are a problem and neither is returned.
    """
    found: list[Credential] = []
    for path in paths:
        for secret in _usable(_secrets, path, problems) or ():
            for where, fields in _usable(_all_fields, secret, problems) or ():
                read = partial(_credential, fields=fields)
                credential = _usable(read, where, problems)
                if credential is not None:
                    problems += _weaknesses(credential)
                    found.append(credential)
    return sorted(_consistent(found, problems), key=lambda one: one.username)


def read_token(path: str, *, problems: list[Problem]) -> Secret | None:
    """Return the API token that a file holds, None where it holds none.

    Args:
        path: The file, or the directory of the secret that holds it as ``token`` or,
            as UnderStack's chart names it, as ``apitoken``.
        problems: Collects why there is none.
    """

    def token(path: str) -> Secret:
        if not os.path.isdir(path):
            return Secret(_token(path, _text(path).strip()))
        found = _directory_fields(path).get("token")
        if not isinstance(found, str) or not found:
            raise _Unusable(path, "has no token.", None, codes.CREDENTIAL_INCOMPLETE)
        return Secret(_token(path, found.strip()))

    return _usable(token, path, problems)


def read_hostname(path: str, *, problems: list[Problem]) -> str:
    """Return the host name beside a bootstrap token, empty where there is none."""
    if not os.path.isdir(path):
        return ""
    fields = _usable(_directory_fields, path, problems) or {}
    return str(fields.get("hostname") or "").strip()


def _usable(
    read: Callable[[str], Found], path: str, problems: list[Problem]
) -> Found | None:
    try:
        return read(path)
    except _Unusable as unusable:
        problems.append(unusable.problem)
        return None


def _secrets(path: str) -> list[str]:
    """Return the paths of the secrets below a path, itself included."""
    if not os.path.isdir(path):
        return [path]
    names = _names(path)
    if JSON_FIELD in names or any(_meaning(name) for name in names):
        return [path]
    # A file that is there and is no JSON is a README; whatever else is a secret that
    # cannot be read, and has to be said.
    entries = [os.path.join(path, name) for name in names]
    entries = [
        one for one in entries if one.endswith(".json") or not os.path.isfile(one)
    ]
    if not entries:
        raise _incomplete(path, "holds no credential.")
    return entries


def _names(path: str) -> list[str]:
    try:
        # Kubernetes keeps the files of a volume behind names that start with a dot.
        return [name for name in names_in(path) if name[0] != "."]
    except FileRefused as refused:
        raise _unreadable(path, f"{refused.words}.") from None


def _meaning(name: str) -> str:
    return _MEANINGS.get(name.lower().replace("_", "").replace("-", ""), "")


def _all_fields(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return where each user is described, and by which fields."""
    if os.path.isdir(path):
        return iter([(path, _directory_fields(path))])
    content = _json(path, _text(path))
    if isinstance(content, dict):
        for name in LISTS:
            if isinstance(content.get(name), list):
                content = content[name]
                break
    if not isinstance(content, list):
        return iter([(path, _json_fields(path, content))])
    found = []
    for index, one in enumerate(content):
        where = f"{path}[{index}]"
        found.append((where, _json_fields(where, one)))
    return iter(found)


def _directory_fields(path: str) -> dict[str, Any]:
    texts = {
        name: _text(os.path.join(path, name))
        for name in _names(path)
        if name == JSON_FIELD or _meaning(name)
    }
    document = texts.pop(JSON_FIELD, None)
    fields = _named(path, texts)
    if document is not None:
        where = os.path.join(path, JSON_FIELD)
        fields = {**_json_fields(where, _json(where, document)), **fields}
    return _with_inner(path, fields)


def _json_fields(path: str, content: Any) -> dict[str, Any]:
    content = _object(path, content)
    inner = content.get(JSON_FIELD, content)
    if isinstance(inner, str):
        inner = _json(path, inner)
    return _with_inner(path, _named(path, _object(path, inner)))


def _with_inner(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; what the backend calls the password may be an object."""
    password = fields.get("password")
    if "token" in fields or password is None:
        return fields
    if isinstance(password, str) and password.lstrip().startswith("{"):
        password = _json(path, password)
    if isinstance(password, dict):
        del fields["password"]
        fields |= _named(path, password)
    return fields


def _named(path: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known fields by their own names; nulls are left out."""
    fields: dict[str, Any] = {}
    for name, value in content.items():
        meaning = _meaning(name)
        if not meaning or value is None:
            continue
        if fields.setdefault(meaning, value) != value:
            raise _Unusable(path, f"has two different {meaning}s.")
    return fields


def _json(path: str, text: str) -> Any:
    place = ""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # The exception holds the text: keep the position and let go of the rest.
        place = f" from line {error.lineno}, column {error.colno}"
    except (RecursionError, ValueError):
        place = ""
    raise _Unusable(path, f"is not a JSON object{place}.")


def _object(path: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _Unusable(path, "is not a JSON object.")
    return content


def _text(path: str) -> str:
    try:
        return read_text(path)
    except FileRefused as refused:
        if refused.reason is Reason.EMPTY:
            return ""
        raise _unreadable(path, f"{refused.words}.") from None


def _credential(path: str, fields: Mapping[str, Any]) -> Credential:
    superuser = fields.get("superuser")
    if isinstance(superuser, str):
        superuser = _TRUTH.get(superuser.strip().lower(), superuser)
    for name, value in fields.items():
        if name != "superuser" and not isinstance(value, str):
            raise _Unusable(path, f"{name!r} is not a string.")
    if not isinstance(superuser, bool | None):
        fact = "'superuser' is neither true nor false."
        raise _Unusable(path, fact, "Write true or false.")
    # The documents' users have a password; the chart's have an address instead.
    needed = ["username", "token"] if "email" in fields else ["username", "password"]
    missing = [
        name for name in dict.fromkeys([*needed, "token"]) if not fields.get(name)
    ]
    if missing:
        raise _incomplete(path, f"has no {', no '.join(missing)}.")
    password = fields.get("password")
    return Credential(
        path,
        _username(path, fields["username"].strip()),
        Secret(_password(path, password)) if password else None,
        Secret(_token(path, fields["token"].strip())),
        _email(path, fields.get("email", "").strip()),
        superuser,
    )


def _username(path: str, username: str) -> str:
    if len(username) > LONGEST_USERNAME or not _USERNAME.fullmatch(username):
        raise _Unusable(
            path,
            "Nautobot does not accept the username.",
            f"Use 1 to {LONGEST_USERNAME} letters, digits, '@', '.', '+', '-' or '_'.",
        )
    return username


def _email(path: str, email: str) -> str | None:
    if email and not _EMAIL.fullmatch(email):
        hint = "Write an address such as svc@example.com, or leave it out."
        raise _Unusable(path, "'email' is not an email address.", hint)
    return email or None


def _password(path: str, password: str) -> str:
    hint = f"Store a password of 1 to {LONGEST_PASSWORD} characters without blanks "
    hint += "around it."
    if len(password) > LONGEST_PASSWORD:
        fact = f"the password has more than {LONGEST_PASSWORD} characters."
        raise _Unusable(path, fact, hint)
    # The REST API strips blanks, and the password would never match again.
    if password != password.strip() or "\0" in password:
        fact = "the password begins or ends with a blank, or holds a NUL."
        raise _Unusable(path, fact, hint)
    return password


def _token(path: str, token: str) -> str:
    hint = f"Nautobot takes exactly {TOKEN_LENGTH}, such as 'openssl rand -hex 20' "
    hint += "prints."
    if len(token) != TOKEN_LENGTH:
        raise _Unusable(path, f"the token has {len(token)} characters.", hint)
    if not _TOKEN.fullmatch(token):
        fact = "the token has characters that no HTTP header takes."
        raise _Unusable(path, fact, hint)
    return token


def _weaknesses(credential: Credential) -> Iterator[Problem]:
    password = "" if credential.password is None else credential.password.reveal()
    token = credential.token.reveal()
    weak = {
        "token": _is_guessable(token),
        "password": bool(password)
        and (
            len(password) < SHORTEST_PASSWORD
            or _is_guessable(password)
            or credential.username.lower() in password.lower()
            or password in token
        ),
    }
    for name in (name for name, is_weak in weak.items() if is_weak):
        yield codes.CREDENTIAL_WEAK.problem(
            credential.source,
            f"the {name} of {credential.username!r} is easy to guess.",
        )


def _is_guessable(text: str) -> bool:
    """Tell whether a text has few different characters, repeats or counts itself up."""
    if len({*text}) < FEWEST_DIFFERENT:
        return True
    # A text that is a part of itself twice, without its ends, repeats a piece of it.
    repeats = any(
        text.startswith(text[start:]) for start in range(1, len(text) // 2 + 1)
    )
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    return repeats or max(steps.count(step) for step in {*steps}) > len(steps) // 2


def _consistent(
    credentials: Iterable[Credential], problems: list[Problem]
) -> list[Credential]:
    """Return those that no other contradicts."""
    by_username: dict[str, Credential] = {}
    refused: set[str] = set()
    for one in credentials:
        first = by_username.setdefault(one.username, one)
        if one[1:] != first[1:]:
            refused.add(one.username)
            problems.append(
                codes.CREDENTIAL_CONFLICT.problem(
                    one.source,
                    f"{first.source} says something else about {one.username!r}.",
                    "Give every user one secret.",
                )
            )
    by_token: dict[Secret, Credential] = {}
    for one in by_username.values():
        first = by_token.setdefault(one.token, one)
        if first is not one:
            refused |= {one.username, first.username}
            problems.append(
                codes.CREDENTIAL_CONFLICT.problem(
                    one.source,
                    f"the token of {one.username!r} is also that of "
                    f"{first.username!r} in {first.source}.",
                    "Give every user a token of its own.",
                )
            )
    return [one for one in by_username.values() if one.username not in refused]
