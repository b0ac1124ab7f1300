"""Single sign-on through OpenID Connect."""

import os
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting
from understack_nautobot_settings.problems import has_error
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import names_in
from understack_nautobot_settings.text_files import read_text
from understack_nautobot_settings.text_files import shown_path

OIDC_BACKEND = "social_core.backends.open_id_connect.OpenIdConnectAuth"
NAUTOBOTS_BACKEND = "nautobot.core.authentication.ObjectPermissionBackend"
AUTHENTICATION_BACKENDS = [OIDC_BACKEND, NAUTOBOTS_BACKEND]
DEFAULT_CLIENT_ID = "nautobot"
_OIDC_CLASS = "OpenIdConnect"
# OpenID Connect Discovery 1.0, section 4: the client appends it to the issuer.
_DISCOVERY = "/.well-known/openid-configuration"

PARTS: dict[str, Variable[str | None]] = {
    "issuer": variables.OIDC_ENDPOINT,
    "client-id": variables.OIDC_KEY,
    "client-secret": variables.OIDC_SECRET,
}


def sso_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return the settings of single sign-on, all of them or none.

    The parts are files in ``UNDERSTACK_SSO_DIR`` or ``SOCIAL_AUTH_OIDC_*`` variables.
    Issuer and client secret are needed, the client id defaults to ``nautobot``; a
    slash at the end of the issuer is removed, since the client adds one. What the
    settings file says, also of a part, is kept where neither of the two gives it. An
    empty directory, which worker pods have, means off.

    Returns:
        The base unchanged where sign-on is off; ``AUTHENTICATION_BACKENDS`` and
        ``SOCIAL_AUTH_OIDC_OIDC_ENDPOINT``, ``_KEY``, ``_SECRET`` and ``_SCOPE``
        where it is on.

    Raises:
        SettingsError: A part is missing, unreadable or given twice, or the
            issuer is not an https URL that a client can append to.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        before = len(found)
        directory = read(variables.SSO_DIR)
        files = _files_in(directory, read)
        parts = _given_parts(files, directory, read)
        scope = variables.OIDC_SCOPE.name
        names = {part: variable.name for part, variable in PARTS.items()}
        base = well_formed(
            settings, found, "AUTHENTICATION_BACKENDS", scope, *names.values()
        )
        backends = base.get("AUTHENTICATION_BACKENDS")
        off = {} if backends is None else {"AUTHENTICATION_BACKENDS": list(backends)}
        said = {part: base[name] for part, name in names.items() if base.get(name)}
        if not (parts or said or has_error(found[before:])):
            _check_names(files, directory, read)
        scopes = read.given(variables.OIDC_SCOPE)
        if not (parts or (scopes and said)) or has_error(found[before:]):
            return off
        given, parts = parts, {**said, **parts}
        _check_issuer(parts.get("issuer"), given, directory, read)
        _check_complete(parts, directory, read)
        if has_error(found[before:]):
            return off
        scopes = scopes or base.get(scope, variables.OIDC_SCOPE.default)
        return {
            "AUTHENTICATION_BACKENDS": _backends(backends, directory, read),
            names["issuer"]: parts["issuer"].rstrip("/"),
            names["client-id"]: parts.get("client-id", DEFAULT_CLIENT_ID),
            names["client-secret"]: parts["client-secret"],
            scope: list(scopes),
        }


def _backends(said: list[str] | None, directory: str, read: Reader) -> list[str]:
    """Return the backends of the file where it chose any, else the library's."""
    if said is None or list(said) == [NAUTOBOTS_BACKEND]:
        return list(AUTHENTICATION_BACKENDS)
    if not any(_OIDC_CLASS in backend for backend in said):
        read.report(
            codes.SSO_BACKEND_MISSING,
            "AUTHENTICATION_BACKENDS",
            "the settings file lists backends without OpenID Connect, and they are "
            f"kept, so the single sign-on of SOCIAL_AUTH_OIDC_* or {directory} "
            "does not work.",
            f"Add {OIDC_BACKEND} to the list, or remove the configuration.",
        )
    return list(said)


def _files_in(directory: str, read: Reader) -> list[str]:
    try:
        return names_in(directory)
    except FileRefused as refused:
        is_default = read.given(variables.SSO_DIR) is None
        if refused.reason is not Reason.MISSING or not is_default:
            _refuse_unreadable(read, shown_path(directory), refused)
        return []


def _given_parts(files: Iterable[str], directory: str, read: Reader) -> dict[str, str]:
    """Return the parts that files or variables give; both at once are refused."""
    parts = {}
    for part, variable in PARTS.items():
        path = os.path.join(directory, part)
        content = _content(path, variable, read) if part in files else None
        value = read.given(variable)
        if content and value:
            fact = f"the file {path} is there as well."
            read.report(codes.SSO_TWICE, variable.name, fact)
        found = content or value
        if found:
            parts[part] = found
    return parts


def _content(path: str, variable: Variable[str | None], read: Reader) -> str | None:
    """Return what a file holds, read as its variable would be."""
    try:
        text = read_text(path)
    except FileRefused as refused:
        if refused.reason is not Reason.EMPTY:
            _refuse_unreadable(read, path, refused)
        return None
    return read.parsed(variable.kind, text, path, secret=variable.secret)


def _check_names(files: Iterable[str], directory: str, read: Reader) -> None:
    """Refuse a directory of which every file has another name."""
    # Kubernetes keeps the files of a volume behind names that start with a dot.
    names = {name for name in files if name[0] != "."}
    if names and names.isdisjoint(PARTS):
        fact = f"{directory} has files, but none of {one_of(PARTS, 'and')}."
        hint = "Rename the keys of the Secret, or mount none to switch sign-on off."
        read.report(codes.SSO_INCOMPLETE, variables.SSO_DIR.name, fact, hint)


def _refuse_unreadable(read: Reader, path: str, refused: FileRefused) -> None:
    name, hint = variables.SSO_DIR.name, None
    if refused.reason is Reason.MISSING:
        hint = f"Mount the secret there, or unset {name} to do without single sign-on."
    read.report(codes.SSO_UNREADABLE, name, f"{path} {refused.words}.", hint)


def _check_complete(parts: Mapping[str, str], directory: str, read: Reader) -> None:
    present = one_of(sorted(parts), "and")
    for part in ("issuer", "client-secret"):
        if part not in parts:
            read.report(
                codes.SSO_INCOMPLETE,
                PARTS[part].name,
                f"single sign-on has {present}, but no {part}.",
                f"Set it, or store it in {os.path.join(directory, part)}; to do "
                "without single sign-on, remove the other parts.",
            )


def _check_issuer(
    issuer: str | None, parts: Mapping[str, str], directory: str, read: Reader
) -> None:
    """Refuse an issuer; `parts` are those that the settings file does not give."""
    name, what = PARTS["issuer"].name, "the issuer"
    if "issuer" not in parts:
        what = "the issuer of the settings file"
    elif read.given(PARTS["issuer"]) is None:
        name = variables.SSO_DIR.name
        what = f"the issuer in {os.path.join(directory, 'issuer')}"
    if issuer is None:
        return
    if issuer.rstrip("/").endswith(_DISCOVERY):
        fact = f"{what} is the URL of the discovery document."
        hint = f"Remove {_DISCOVERY}, which the client appends."
        read.report(codes.SSO_ISSUER, name, fact, hint)
    elif not _is_https(issuer):
        read.report(codes.SSO_ISSUER, name, f"{what} is not an https URL.")
    elif "?" in issuer or "#" in issuer:
        fact = f"{what} has a query or a fragment, which no issuer has."
        read.report(codes.SSO_ISSUER, name, fact)


def _is_https(url: str) -> bool:
    try:
        split = urlsplit(url)
        # urlsplit drops line breaks, and looks at the port when it is asked for.
        one_word = url.isprintable() and " " not in url and split.port != 0
        return split.scheme == "https" and bool(split.hostname) and one_word
    except ValueError:
        return False
