"""Reads credentials of API users from mounted secrets."""

import json
import os
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from itertools import chain
from itertools import pairwise
from typing import Any
from typing import NamedTuple
from unicodedata import normalize

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import encodable
from understack_nautobot_settings.text_files import names_in
from understack_nautobot_settings.text_files import read_text

FIELDS = ("hostname", "username", "password", "token")
"""What a secret of the documents holds."""

JSON_FIELD = "credential"
LISTS = ("users", "tokens")
SHORTEST_PASSWORD = 12
FEWEST_DIFFERENT = 8

# All names of a field, as they are written without case, "-" and "_".
_MEANINGS = {
    **{name: name for name in (*FIELDS, "email", "superuser")},
    "apitoken": "token",
    "issuperuser": "superuser",
}
_TRUE = ("true", "yes", "on", "1")

_FORM = (
    "Mount a secret with the files username, password and token, or username, email "
    'and apiToken, or with the JSON object {"credential": {"username": ..., '
    '"password": ...}}.'
)


# Fields, what the whole of them has to match, and what to say where it does not.
_RULES = (
    # What Django's username validator takes.
    ("username", r"[\w.@+-]{1,150}", "Nautobot does not accept the username."),
    ("password", r".{0,128}", "the password has more than 128 characters."),
    # The REST API strips blanks, and the password would never match again.
    (
        "password",
        r"|[^\s\0]|[^\s\0][^\0]*[^\s\0]",
        "the password begins or ends with a blank, or holds a NUL.",
    ),
    ("token", r".{40}", "the token has {} characters."),
    # What survives an Authorization header.
    ("token", r"[!-~]+", "the token has characters that no HTTP header takes."),
    ("email", r"|[^@\s\0]{1,64}@[^@\s\0]{1,189}", "'email' is not an email address."),
    (
        "superuser",
        "(?i)|true|yes|on|1|false|no|off|0",
        "'isSuperuser' or 'superuser' is neither true nor false.",
    ),
)
_REMEDIES = {
    "username": "Use 1 to 150 letters, digits, '@', '.', '+', '-' or '_'.",
    "password": "Store a password of 1 to 128 characters without blanks around it.",
    "token": "Nautobot takes exactly 40, such as 'openssl rand -hex 20' prints.",
    "email": "Write an address such as svc@example.com, or leave it out.",
    "superuser": "Write true or false.",
}


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
    secrets = chain.from_iterable(_usable(_secrets, paths, problems))
    entries = chain.from_iterable(_usable(_entries, secrets, problems))
    found: list[Credential] = []
    for credential in _usable(_credential, entries, problems):
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
        if os.path.isdir(path):
            fields = _fields(path, _texts(path))
        else:
            fields = {"token": _text(path)}
        token = fields.get("token")
        if not isinstance(token, str) or not token:
            raise _Unusable(path, "has no token.", None, codes.CREDENTIAL_INCOMPLETE)
        _judge(path, {"token": token.strip()})
        return Secret(token.strip()), str(fields.get("hostname") or "").strip()
    return None


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except _Unusable as unusable:
        problems.append(unusable.problem)


def _usable(
    read: Callable[[Any], Any], items: Iterable[Any], problems: list[Problem]
) -> Iterator[Any]:
    for item in items:
        with _collected(problems):
            yield read(item)


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
        raise _nothing(path)
    return entries


def _nothing(path: str) -> _Unusable:
    """Return a problem; otherwise every account would look stale."""
    return _Unusable(path, "holds no credential.", code=codes.CREDENTIAL_INCOMPLETE)


def _names(path: str) -> list[str]:
    try:
        # Kubernetes keeps the files of a volume behind names that start with a dot.
        return [name for name in names_in(path) if name[0] != "."]
    except FileRefused as refused:
        raise _unreadable(path, refused) from None


def _meaning(name: str) -> str:
    return _MEANINGS.get(name.lower().replace("_", "").replace("-", ""), "")


def _entries(path: str) -> list[tuple[str, Any]]:
    """Return where each user is described, and what is said there."""
    if os.path.isdir(path):
        return [(path, _texts(path))]
    content = _json(path, _text(path))
    if isinstance(content, dict):
        lists = [content[name] for name in LISTS if isinstance(content.get(name), list)]
        content = [*chain(*lists)] if lists else content
    if not isinstance(content, list):
        return [(path, content)]
    if not content:
        raise _nothing(path)
    return [(f"{path}[{index}]", one) for index, one in enumerate(content)]


def _texts(path: str) -> dict[str, str]:
    return {
        name: _text(os.path.join(path, name))
        for name in _names(path)
        if name == JSON_FIELD or _meaning(name)
    }


def _fields(path: str, content: Any) -> dict[str, Any]:
    """Return the fields by their own names; outer ones win over those further in."""
    where = path
    fields: dict[str, Any] = {}
    while content is not None:
        content = _object(where, content)
        fields = {**_named(where, content), **fields}
        content = content.get(JSON_FIELD)
        where = os.path.join(path, JSON_FIELD) if os.path.isdir(path) else path
    # What the backend calls the password may be another object.
    password = fields.get("password")
    is_object = isinstance(password, dict) or str(password).lstrip().startswith("{")
    if is_object and "token" not in fields:
        del fields["password"]
        fields |= _named(path, _object(path, password))
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


def _object(path: str, content: Any) -> dict[str, Any]:
    """Return an object, or the one of which there is the text."""
    content = _json(path, content) if isinstance(content, str) else content
    if not isinstance(content, dict):
        raise _Unusable(path, "is not a JSON object.")
    return content


def _json(path: str, text: str) -> Any:
    place = ""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise _Unusable(path, "has a field twice.")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=fields)
    except (RecursionError, ValueError) as error:
        # The exception holds the text: keep the position and let go of the rest.
        if isinstance(error, json.JSONDecodeError):
            place = f" at line {error.lineno}, column {error.colno}"
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


def _credential(entry: tuple[str, Any]) -> Credential:
    path, content = entry
    texts = {}
    for name, value in _fields(path, content).items():
        text = str(value) if name == "superuser" else value
        if not isinstance(text, str):
            raise _Unusable(path, f"{name!r} is not a string.")
        if not encodable(text):
            raise _Unusable(path, f"{name!r} holds half a character.")
        # What is around a password may be a part of it.
        texts[name] = text if name == "password" else text.strip()
    # The documents' users have a password; the chart's have an address instead.
    needed = ["username", "token"] if "email" in texts else FIELDS[1:]
    missing = [name for name in needed if not texts.get(name)]
    if missing:
        fact = f"has no {', no '.join(missing)}."
        raise _Unusable(path, fact, code=codes.CREDENTIAL_INCOMPLETE)
    # As Django keeps it; otherwise the user would never be found again.
    texts["username"] = normalize("NFKC", texts["username"])
    _judge(path, texts)
    superuser = texts.get("superuser", "").lower()
    return Credential(
        path,
        texts["username"],
        Secret(texts["password"]) if texts.get("password") else None,
        Secret(texts["token"]),
        texts.get("email") or None,
        superuser in _TRUE if superuser else None,
    )


def _judge(path: str, texts: Mapping[str, str]) -> None:
    for name, pattern, fact in _RULES:
        text = texts.get(name)
        if text is not None and not re.fullmatch(pattern, text, re.DOTALL):
            raise _Unusable(path, fact.format(len(text)), _REMEDIES[name])


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

    def conflict(one: Credential, fact: str) -> None:
        refused.add(one.username)
        problems.append(codes.CREDENTIAL_CONFLICT.problem(one.source, fact))

    for one in credentials:
        first = by_username.setdefault(one.username, one)
        if one[1:] != first[1:]:
            fact = f"{first.source} says something else of the user {one.username!r}."
            conflict(one, fact)
    by_token: dict[Secret, Credential] = {}
    for one in by_username.values():
        first = by_token.setdefault(one.token, one)
        if first is not one:
            refused.add(first.username)
            fact = f"the token of {one.username!r} is also that of {first.username!r}"
            conflict(one, f"{fact} in {first.source}.")
    return [one for one in by_username.values() if one.username not in refused]
