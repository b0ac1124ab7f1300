"""Reads credentials of API users from mounted secrets."""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem

Found = TypeVar("Found")

FIELDS = ("hostname", "username", "password", "token")
JSON_FIELD = "credential"
TOKEN_LENGTH = 40
LONGEST_PASSWORD = 128
LONGEST_USERNAME = 150

# What Django's username validator takes.
_USERNAME = re.compile(r"[\w.@+-]+")
# What survives an Authorization header.
_TOKEN = re.compile(r"[!-~]+")

_FORM = (
    "Mount a secret with the files username, password and token, or with the JSON "
    'object {"credential": {"username": ..., "password": ...}}.'
)


class Secret:
    """A text that no output shows: printing, formatting and ``repr`` mask it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __eq__(self, other: object) -> bool:
        """Compare without telling by the time it takes."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        """Return a hash that agrees with equality."""
        return hash(self._text)

    def __repr__(self) -> str:
        """Return a mask."""
        return "<secret>"


class Credential(NamedTuple):
    """What one secret says about one API user.

    Attributes:
        source: Path of the secret, for messages.
        hostname: Host name of the Nautobot it is for; empty where not given.
        username: Name of the user.
        password: The user's password.
        token: The user's API token, 40 characters.
    """

    source: str
    hostname: str
    username: str
    password: Secret
    token: Secret


class _Unusable(Exception):
    """Why a secret is no credential."""

    def __init__(self, where: str, message: str, hint: str, code: Code) -> None:
        super().__init__(message)
        self.problem = code.problem(where, message, hint)


def read_credentials(
    paths: Iterable[str], *, problems: list[Problem]
) -> list[Credential]:
    """Return the credentials that the paths hold, sorted by username.

    A path is the directory of one mounted secret, a directory with one entry for
    each secret, or a JSON file. A secret has the files ``hostname``, ``username``,
    ``password`` and ``token``, or a file ``credential`` with the JSON object that
    the secret backend stores: ``{"credential": {"username": …, "password": …}}``
    where the password is the text of another object with password and token.

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
            credential = _usable(_credential, secret, problems)
            if credential is not None:
                found.append(credential)
    return sorted(_consistent(found, problems), key=lambda one: one.username)


def read_token(path: str, *, problems: list[Problem]) -> Secret | None:
    """Return the API token that a file holds, None where it holds none.

    Args:
        path: The file, or the directory of the secret that holds it as ``token``.
        problems: Collects why there is none.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "token")
    return _usable(
        lambda file: Secret(_token(file, _text(file).strip())), path, problems
    )


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
    if os.path.isfile(path):
        return [path]
    try:
        names = os.listdir(path)
    except OSError as error:
        raise _Unusable(
            path,
            f"cannot be read: {os.strerror(error.errno or 0)}.",
            "Mount the secret there, or correct the path.",
            codes.CREDENTIAL_UNREADABLE,
        ) from None
    if {*names} & {*FIELDS, JSON_FIELD}:
        return [path]
    # Kubernetes keeps the files of a volume behind names that start with two dots.
    entries = [os.path.join(path, name) for name in sorted(names) if name[0] != "."]
    secrets = [
        entry for entry in entries if os.path.isdir(entry) or entry.endswith(".json")
    ]
    if not secrets:
        raise _Unusable(
            path, "holds no credential.", _FORM, codes.CREDENTIAL_INCOMPLETE
        )
    return secrets


def _credential(path: str) -> Credential:
    fields = _fields(path)
    missing = [
        name for name in ("username", "password", "token") if not fields.get(name)
    ]
    if missing:
        raise _Unusable(
            path,
            f"has no {', no '.join(missing)}.",
            _FORM,
            codes.CREDENTIAL_INCOMPLETE,
        )
    return Credential(
        path,
        fields.get("hostname", "").strip(),
        _username(path, fields["username"].strip()),
        Secret(_password(path, fields["password"])),
        Secret(_token(path, fields["token"].strip())),
    )


def _fields(path: str) -> dict[str, str]:
    if os.path.isfile(path):
        fields = _json_fields(path, _text(path))
    else:
        fields = {
            name: _text(os.path.join(path, name))
            for name in (*FIELDS, JSON_FIELD)
            if os.path.lexists(os.path.join(path, name))
        }
        document = fields.pop(JSON_FIELD, None)
        if document is not None:
            where = os.path.join(path, JSON_FIELD)
            fields = {**_json_fields(where, document), **fields}
    if "token" not in fields and fields.get("password", "").lstrip().startswith("{"):
        # What the backend calls the password is the text of another object.
        fields |= _strings(path, _json_object(path, fields["password"]))
    return fields


def _json_fields(path: str, text: str) -> dict[str, str]:
    content = _json_object(path, text)
    inner = content.get(JSON_FIELD, content)
    if isinstance(inner, str):
        inner = _json_object(path, inner)
    if not isinstance(inner, dict):
        raise _Unusable(
            path,
            f"{JSON_FIELD!r} is not an object.",
            _FORM,
            codes.CREDENTIAL_INVALID,
        )
    return _strings(path, inner)


def _strings(path: str, content: Mapping[str, Any]) -> dict[str, str]:
    fields = {name: content[name] for name in FIELDS if content.get(name) is not None}
    if isinstance(fields.get("password"), dict):
        fields |= _strings(path, fields.pop("password"))
    for name, value in fields.items():
        if not isinstance(value, str):
            raise _Unusable(
                path,
                f"{name!r} is not a string.",
                _FORM,
                codes.CREDENTIAL_INVALID,
            )
    return fields


def _json_object(path: str, text: str) -> dict[str, Any]:
    place = ""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        # The exception holds the text: keep the position and let go of the rest.
        place = f" from line {error.lineno}, column {error.colno}"
        content = None
    except RecursionError:
        content = None
    if isinstance(content, dict):
        return content
    raise _Unusable(
        path, f"is not a JSON object{place}.", _FORM, codes.CREDENTIAL_INVALID
    )


def _text(path: str) -> str:
    text = fact = ""
    try:
        with open(path, "rb") as file:
            content = file.read()
        text = content.decode()
    except UnicodeDecodeError:
        fact = "does not hold UTF-8 text."
    except OSError as error:
        fact = f"cannot be read: {os.strerror(error.errno or 0)}."
    if fact:
        raise _Unusable(
            path,
            fact,
            "Check the secret and how it is mounted.",
            codes.CREDENTIAL_UNREADABLE,
        )
    # One trailing line end belongs to the file, every other to the secret.
    return text.removesuffix("\n").removesuffix("\r")


def _username(path: str, username: str) -> str:
    if len(username) > LONGEST_USERNAME or not _USERNAME.fullmatch(username):
        raise _Unusable(
            path,
            "the username is not one that Nautobot takes.",
            f"Use 1 to {LONGEST_USERNAME} letters, digits, '@', '.', '+', '-' or '_'.",
            codes.CREDENTIAL_INVALID,
        )
    return username


def _password(path: str, password: str) -> str:
    fact = ""
    if len(password) > LONGEST_PASSWORD:
        fact = f"the password has more than {LONGEST_PASSWORD} characters."
    elif password != password.strip() or "\0" in password:
        # The REST API strips blanks, and the password would never match again.
        fact = "the password begins or ends with a blank, or holds a NUL."
    if fact:
        raise _Unusable(
            path,
            fact,
            f"Store a password of 1 to {LONGEST_PASSWORD} characters without blanks "
            "around it.",
            codes.CREDENTIAL_INVALID,
        )
    return password


def _token(path: str, token: str) -> str:
    if len(token) != TOKEN_LENGTH or not _TOKEN.fullmatch(token):
        raise _Unusable(
            path,
            f"the token has {len(token)} characters."
            if len(token) != TOKEN_LENGTH
            else "the token has characters that no HTTP header takes.",
            f"Nautobot takes exactly {TOKEN_LENGTH}, such as 'openssl rand -hex 20' "
            "prints.",
            codes.CREDENTIAL_INVALID,
        )
    return token


def _consistent(
    credentials: Iterable[Credential], problems: list[Problem]
) -> list[Credential]:
    """Return those that no other contradicts."""
    by_username: dict[str, Credential] = {}
    refused: set[str] = set()
    for one in credentials:
        first = by_username.setdefault(one.username, one)
        if one[2:] != first[2:]:
            refused.add(one.username)
            problems.append(
                codes.CREDENTIAL_CONFLICT.problem(
                    one.source,
                    f"{first.source} has another password or token for "
                    f"{one.username!r}.",
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
