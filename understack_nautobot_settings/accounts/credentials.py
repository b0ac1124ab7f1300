"""Reads credentials of API users from mounted secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import names_in
from understack_nautobot_settings.text_files import read_text

FIELDS = ("hostname", "username", "password", "token")
"""What a secret of the documents holds."""

JSON_FIELD = "credential"
LISTS = ("users", "tokens")
TOKEN_LENGTH = 40
LONGEST_PASSWORD = 128
SHORTEST_PASSWORD = 12
FEWEST_DIFFERENT = 8

# All names of a field, as they are written without case, "-" and "_".
_MEANINGS = {
    **{name: name for name in (*FIELDS, "email", "superuser")},
    "apitoken": "token",
    "issuperuser": "superuser",
}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
# What Django's username validator takes.
_USERNAME = re.compile(r"[\w.@+-]{1,150}")
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
        with _collected(problems):
            for secret in _secrets(path):
                with _collected(problems):
                    for where, fields in _all_fields(secret):
                        with _collected(problems):
                            credential = _credential(where, fields)
                            problems += _weaknesses(credential)
                            found.append(credential)
    return sorted(_consistent(found, problems), key=lambda one: one.username)


def read_bootstrap(path: str, *, problems: list[Problem]) -> tuple[Secret, str] | None:
    """Return an API token and the host name beside it, None without a token.

    Args:
        path: The file with the token, or the directory of the secret that holds it
            as ``token`` or, as UnderStack's chart names it, as ``apitoken``. Only a
            directory names a host; without one, the name is empty.
        problems: Collects why there is no token.
    """
    with _collected(problems):
        if not os.path.isdir(path):
            return _token(path, _text(path)), ""
        fields = _directory_fields(path)
        token = fields.get("token")
        if not isinstance(token, str) or not token:
            raise _Unusable(path, "has no token.", None, codes.CREDENTIAL_INCOMPLETE)
        return _token(path, token), str(fields.get("hostname") or "").strip()
    return None


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except _Unusable as unusable:
        problems.append(unusable.problem)


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
        raise _Unusable(path, "holds no credential.", code=codes.CREDENTIAL_INCOMPLETE)
    return entries


def _names(path: str) -> list[str]:
    try:
        # Kubernetes keeps the files of a volume behind names that start with a dot.
        return [name for name in names_in(path) if name[0] != "."]
    except FileRefused as refused:
        raise _unreadable(path, refused) from None


def _meaning(name: str) -> str:
    return _MEANINGS.get(name.lower().replace("_", "").replace("-", ""), "")


def _all_fields(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return where each user is described, and by which fields."""
    if os.path.isdir(path):
        return [(path, _directory_fields(path))]
    content = _json(path, _text(path))
    if isinstance(content, dict):
        lists = [content[name] for name in LISTS if name in content]
        content = next((one for one in lists if isinstance(one, list)), content)
    if not isinstance(content, list):
        return [(path, _json_fields(path, content))]
    return [
        (f"{path}[{index}]", _json_fields(f"{path}[{index}]", one))
        for index, one in enumerate(content)
    ]


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
    if isinstance(content, dict):
        inner = content.get(JSON_FIELD, content)
        content = _json(path, inner) if isinstance(inner, str) else inner
    return _with_inner(path, _named(path, content))


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


def _named(path: str, content: Any) -> dict[str, Any]:
    """Return the known fields by their own names; nulls are left out."""
    if not isinstance(content, dict):
        raise _Unusable(path, "is not a JSON object.")
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
    repeated = False

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated |= len(found) < len(pairs)
        return found

    try:
        content = json.loads(text, object_pairs_hook=fields)
    except (RecursionError, ValueError) as error:
        # The exception holds the text: keep the position and let go of the rest.
        if isinstance(error, json.JSONDecodeError):
            place = f" from line {error.lineno}, column {error.colno}"
    else:
        if repeated:
            raise _Unusable(path, "has a field twice.")
        return content
    raise _Unusable(path, f"is not a JSON object{place}.")


def _text(path: str) -> str:
    try:
        return read_text(path)
    except FileRefused as refused:
        if refused.reason is Reason.EMPTY:
            return ""
        raise _unreadable(path, refused) from None


def _unreadable(path: str, refused: FileRefused) -> _Unusable:
    return _Unusable(path, f"{refused.words}.", None, codes.CREDENTIAL_UNREADABLE)


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
    needed = ["username", "password", "token"]
    if "email" in fields:
        needed.remove("password")
    missing = [name for name in needed if not fields.get(name)]
    if missing:
        fact = f"has no {', no '.join(missing)}."
        raise _Unusable(path, fact, code=codes.CREDENTIAL_INCOMPLETE)
    username = fields["username"].strip()
    if not _USERNAME.fullmatch(username):
        hint = "Use 1 to 150 letters, digits, '@', '.', '+', '-' or '_'."
        raise _Unusable(path, "Nautobot does not accept the username.", hint)
    password = _password(path, fields.get("password", ""))
    token = _token(path, fields["token"])
    email = fields.get("email", "").strip() or None
    if email and not _EMAIL.fullmatch(email):
        hint = "Write an address such as svc@example.com, or leave it out."
        raise _Unusable(path, "'email' is not an email address.", hint)
    return Credential(path, username, password, token, email, superuser)


def _password(path: str, password: str) -> Secret | None:
    hint = "Store a password of 1 to 128 characters without blanks around it."
    if len(password) > LONGEST_PASSWORD:
        fact = f"the password has more than {LONGEST_PASSWORD} characters."
        raise _Unusable(path, fact, hint)
    # The REST API strips blanks, and the password would never match again.
    if password != password.strip() or "\0" in password:
        fact = "the password begins or ends with a blank, or holds a NUL."
        raise _Unusable(path, fact, hint)
    return Secret(password) if password else None


def _token(path: str, text: str) -> Secret:
    token = text.strip()
    hint = "Nautobot takes exactly 40, such as 'openssl rand -hex 20' prints."
    if len(token) != TOKEN_LENGTH:
        raise _Unusable(path, f"the token has {len(token)} characters.", hint)
    if not _TOKEN.fullmatch(token):
        fact = "the token has characters that no HTTP header takes."
        raise _Unusable(path, fact, hint)
    return Secret(token)


def _weaknesses(credential: Credential) -> Iterator[Problem]:
    password = "" if credential.password is None else credential.password.reveal()
    token = credential.token.reveal()
    weak_password = password and (
        len(password) < SHORTEST_PASSWORD
        or _is_guessable(password)
        or credential.username.lower() in password.lower()
        or password in token
    )
    for name, weak in (("token", _is_guessable(token)), ("password", weak_password)):
        if weak:
            fact = f"the {name} of {credential.username!r} is easy to guess."
            yield codes.CREDENTIAL_WEAK.problem(credential.source, fact)


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

    def conflict(one: Credential, fact: str, hint: str) -> None:
        refused.add(one.username)
        problems.append(codes.CREDENTIAL_CONFLICT.problem(one.source, fact, hint))

    for one in credentials:
        first = by_username.setdefault(one.username, one)
        if one[1:] != first[1:]:
            fact = f"{first.source} contradicts it about {one.username!r}."
            conflict(one, fact, "Give every user one secret.")
    by_token: dict[Secret, Credential] = {}
    for one in by_username.values():
        first = by_token.setdefault(one.token, one)
        if first is not one:
            refused.add(first.username)
            fact = f"the token of {one.username!r} is also that of {first.username!r}"
            hint = "Give every user a token of its own."
            conflict(one, f"{fact} in {first.source}.", hint)
    return [one for one in by_username.values() if one.username not in refused]
