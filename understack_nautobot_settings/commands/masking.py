"""What of the settings may be shown: an allow-list, and a mask for all the rest.

A secret is never shown, never shortened and never hashed: what stands in its place
is the same for every secret. Nothing else masks.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks.provenance import DECIDED_BY
from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import HOST_FORM
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import Trail
from understack_nautobot_settings.environment.settings_module import at
from understack_nautobot_settings.fragments.plugins import DEFAULTS
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.text_files import looks_like_a_path

MASK = "***"

_SHORTEST_SECRET = 4


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Settings of Django, Celery and Nautobot whose texts are no secrets, and which no
# declared variable decides.
_HARMLESS_SETTINGS = _words("""
    ALLOWED_URL_SCHEMES APPEND_SLASH AUTHENTICATION_BACKENDS AUTH_USER_MODEL BASE_DIR
    BRANDING_TITLE CELERY_ACCEPT_CONTENT CELERY_BEAT_HEARTBEAT_FILE
    CELERY_BEAT_SCHEDULER CELERY_BROKER_TRANSPORT CELERY_RESULT_ACCEPT_CONTENT
    CELERY_RESULT_SERIALIZER CELERY_TASK_DEFAULT_QUEUE CELERY_TASK_SERIALIZER
    CELERY_WORKER_READINESS_FILE CELERY_WORKER_REDIRECT_STDOUTS_LEVEL CONSTANCE_BACKEND
    CONSTANCE_DATABASE_CACHE_BACKEND CONSTANCE_DATABASE_PREFIX CORS_ALLOWED_ORIGINS
    CSRF_FAILURE_VIEW CSRF_TRUSTED_ORIGINS DATABASE_ROUTERS DATETIME_FORMAT DATE_FORMAT
    DEFAULT_AUTO_FIELD DEFAULT_FROM_EMAIL DJANGO_REDIS_CONNECTION_FACTORY EMAIL_BACKEND
    EMAIL_HOST EXEMPT_EXCLUDE_MODELS EXEMPT_VIEW_PERMISSIONS EXTRA_INSTALLED_APPS
    EXTRA_MIDDLEWARE FORMAT_MODULE_PATH GIT_ROOT HOSTNAME INTERNAL_IPS JOBS_ROOT
    JOB_FILE_IO_STORAGE LANGUAGE_CODE LOGGING_CONFIG LOGIN_REDIRECT_URL LOGIN_URL
    LOG_LEVEL MEDIA_ROOT MEDIA_URL MESSAGE_STORAGE NAUTOBOT_ROOT REMOTE_AUTH_BACKEND
    REMOTE_AUTH_DEFAULT_GROUPS REMOTE_AUTH_HEADER REST_FRAMEWORK_VERSION ROOT_URLCONF
    SECURE_PROXY_SSL_HEADER SECURE_REFERRER_POLICY SESSION_CACHE_ALIAS SESSION_ENGINE
    SETTINGS_PATH SHORT_DATETIME_FORMAT SHORT_DATE_FORMAT SOCIAL_AUTH_BACKEND_PREFIX
    STATICFILES_DIRS STATIC_ROOT STATIC_URL TEST_RUNNER TIME_FORMAT TIME_ZONE VERSION
    WSGI_APPLICATION X_FRAME_OPTIONS
""")
_REDIS_TLS = {*variables.REDIS_FILES, "ssl_cert_reqs", "ssl_min_version"}
# What stands below these settings under these keys.
_HARMLESS_KEYS = {
    "DATABASES": _words("ENGINE HOST MIRROR NAME PORT USER")
    | (set(LIBPQ_VARIABLES.values()) - {"password", "passfile"}),
    "CACHES": _REDIS_TLS
    | _words("""
        BACKEND CLIENT_CLASS CONNECTION_FACTORY CONNECTION_POOL_CLASS KEY_PREFIX
        LOCATION PARSER_CLASS REDIS_CLIENT_CLASS SERIALIZER connection_class username
    """),
    "CELERY_BROKER_USE_SSL": _REDIS_TLS,
    "CELERY_REDIS_BACKEND_USE_SSL": _REDIS_TLS,
    "LOGGING": _words("() class datefmt filters format formatter handlers level style"),
    "STORAGES": _words("BACKEND"),
    "TEMPLATES": _words("BACKEND DIRS context_processors"),
    "CELERY_BROKER_TRANSPORT_OPTIONS": _words("global_keyprefix master_name"),
}
_URLS = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
_DEFAULTS = {"PLUGINS_CONFIG": DEFAULTS}
# Numbers are shown, but not under these names.
_SECRETIVE = (
    r"pass|pwd|pin\b|otp\b|secret|token|key|auth|cred|commun|psk|salt|code|seed"
)

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_HOST = r"(\[[A-Fa-f0-9:.]+\]|[A-Za-z0-9_.-]*)(:[0-9]*)?"
_PLAIN_ADDRESS = rf"{_SCHEME}{_HOST}(,{_HOST})*(/[A-Za-z0-9_./-]*)?"
_PLAIN_QUERY = r"(db|virtual_host|ssl_[a-z_]+)=[A-Za-z0-9_/.]*"
# A long word with digits is a token, and dfw3-prod-cluster-01 is a name.
_NAME = r"([a-z]{1,16}[0-9]{0,3}|[0-9]{1,3})([_-]([a-z]{1,16}[0-9]{0,3}|[0-9]{1,3}))+"
_OPAQUE = rf"(?!{_NAME}\Z)(?=.*[0-9].*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_-]{{20,}}"
# What a text must look like under these keys: people put secrets everywhere.
_FORMS = {
    **dict.fromkeys(["ENGINE", "BACKEND"], r"[A-Za-z_][\w.]*"),
    **dict.fromkeys(["USER", "username"], r"[\w.@+-]*"),
    **dict.fromkeys(["UNDERSTACK_PARTITION", "UNDERSTACK_SITE"], r"[\w.-]*"),
    "HOST": HOST_FORM,
    "LOCATION": rf"{_SCHEME}.*|[\w./:,\[\]-]*",
    "NAME": r"[\w./ -]*",
    "PORT": r"[0-9, ]*",
}
_PATHS = {*variables.DB_FILES, *variables.REDIS_FILES}
_SCHEMES = REDIS_SCHEMES | _words("sentinel amqp amqps pyamqp sqs")
_SECRETS = {
    trail
    for trail, deciding in DECIDED_BY.items()
    if any(variable.secret for variable in deciding)
}


class Masking(NamedTuple):
    """Decides what of the settings may be shown.

    A text is shown where a declared variable that is no secret decides it, or where
    the name of the setting is known to be harmless; numbers and booleans are shown;
    everything else is masked. Nothing is shown that holds the value of a secret
    variable, comes out of a reference in the plugin configuration, or looks like a
    token or a PEM block.

    Attributes:
        given: See `Provenance`.
        known: Secrets as `known_secrets` returns them.
    """

    given: Mapping[Trail, Any]
    known: frozenset[str] = frozenset()

    def masked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in plain JSON types, secrets replaced by ``***``."""
        return {name: self._shown((name,), value) for name, value in settings.items()}

    def masked_text(self, text: str) -> str:
        """Return the text of a harmless setting or variable."""
        opaque = "-----BEGIN" in text or re.fullmatch(_OPAQUE, text)
        if opaque or any(one in text for one in self.known):
            return MASK
        return self._masked_url(text) if "://" in text else text

    def _shown(self, trail: Trail, value: Any, lists: int = 0) -> Any:
        too_deep = len(trail) + lists > DEEPEST
        if too_deep or _has_reference(self.given.get(trail)):
            return MASK
        empty = isinstance(value, str) and not value
        if value is None or isinstance(value, bool) or empty:
            return value
        if isinstance(value, Mapping):
            below: dict[str, Any] = {}
            for key, item in value.items():
                name = self.masked_text(str(key))
                while name in below:
                    name += "*"
                below[name] = self._shown((*trail, str(key)), item)
            return below
        if trail in _SECRETS and trail[0] not in _URLS:
            return MASK
        if isinstance(value, list | tuple):
            return [self._shown(trail, item, lists + 1) for item in value]
        if trail[0] in _URLS:
            scheme = str(value).partition("://")[0]
            return self._masked_url(str(value)) if scheme in _SCHEMES else MASK
        if isinstance(value, str):
            harmless = _is_harmless(trail) and _has_form(trail[-1], value)
            shown = harmless or value == at(_DEFAULTS, trail)
            return self.masked_text(value) if shown else MASK
        if isinstance(value, int | float):
            return self._number(trail, value)
        if isinstance(value, set | frozenset):
            return sorted(str(self._shown(trail, item)) for item in value)
        kind = value if callable(value) else type(value)
        name = getattr(kind, "__qualname__", type(kind).__qualname__)
        name = f"{getattr(kind, '__module__', '')}.{name}"
        # Settings name a class or hold it: it is the same one.
        return name if isinstance(value, type) else f"<{name}>"

    def _number(self, trail: Trail, value: float) -> Any:
        secretive = re.search(_SECRETIVE, ".".join(trail), re.IGNORECASE)
        if secretive or str(value) in self.known:
            return value if value == at(_DEFAULTS, trail) else MASK
        # JSON has no infinity.
        return value if abs(value) < float("inf") else str(value)

    def _masked_url(self, value: str) -> str:
        """Return the URL without credentials; the mask where it is no plain URL."""
        scheme = re.match(_SCHEME, value)
        if scheme is None:
            return MASK
        # A password may hold anything, so everything up to the last @ goes.
        credentials, _, address = value[scheme.end() :].rpartition("@")
        address, question, query = address.partition("?")
        segments = address.split("/")
        plain = re.fullmatch(_PLAIN_ADDRESS, f"{scheme[0]}{address}")
        if not plain or any(re.fullmatch(_OPAQUE, one) for one in segments):
            return MASK
        arguments = "&".join(map(_argument, query.split("&"))) if question else ""
        who = f"{MASK}@" if credentials else ""
        shown = f"{scheme[0]}{who}{address}{question}{arguments}"
        return MASK if any(one in shown for one in self.known) else shown


def fingerprint(
    settings: Mapping[str, Any], env: Mapping[str, str], given: Mapping[Trail, Any]
) -> str:
    """Return what two pods have in common that are set alike.

    Sixteen hexadecimal digits: a hash of the masked settings and of the effective
    values of the variables that are no secrets. Secrets go into it in no form, and
    whether another value holds one does not change it, so it tells nothing of them.
    """
    masking = Masking(given)
    read = Reader(env, [])
    effective = {}
    for variable in variables.VARIABLES:
        if not (variable.secret or isinstance(variable.kind, JsonObject)):
            text = str(read(variable))
            keys = [setting.rpartition(".")[2] for setting in variable.settings]
            shown = all(_has_form(key, text) for key in keys)
            effective[variable.name] = masking.masked_text(text) if shown else MASK
    content = {"settings": masking.masked(settings), "variables": effective}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known_secrets(
    env: Mapping[str, str], settings: Mapping[str, Any]
) -> frozenset[str]:
    """Return the values of secret variables, to find them where they ended up."""
    read = Reader(env, [])
    found = [at(settings, trail) for trail in _SECRETS]
    for variable in variables.VARIABLES:
        if variable.secret and not isinstance(variable.kind, JsonObject):
            found += [env.get(variable.name), read(variable)]
    texts = (one.strip() for one in found if isinstance(one, str))
    # A URL is masked by its parts.
    return frozenset(
        one
        for one in texts
        if len(one) >= _SHORTEST_SECRET and not re.match(_SCHEME, one)
    )


def _is_harmless(trail: Trail) -> bool:
    top, *below = trail
    if trail in DECIDED_BY or (not below and top in _HARMLESS_SETTINGS):
        return True
    return bool(below) and below[-1] in _HARMLESS_KEYS.get(top, ())


def _has_form(key: str, text: str) -> bool:
    """Tell whether a text looks like what belongs under a key."""
    if key in _PATHS:
        return looks_like_a_path(text)
    return key not in _FORMS or bool(re.fullmatch(_FORMS[key], text))


def _has_reference(value: Any) -> bool:
    todo = [value]
    for one in todo:
        if isinstance(one, list | Mapping):
            todo += one.values() if isinstance(one, Mapping) else one
        elif isinstance(one, str) and ("${" in one or "$<" in one):
            return True
    return False


def _argument(argument: str) -> str:
    name, equals, _ = argument.partition("=")
    if re.fullmatch(_PLAIN_QUERY, argument):
        return argument
    return f"{name}={MASK}" if equals and name.isidentifier() else MASK
