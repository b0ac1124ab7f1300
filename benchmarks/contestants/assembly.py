"""What a hand-written configuration reads, and what it makes of it.

Less than this package does: no cache, no time-outs, nothing judged. What it makes is
contained in what this package makes, which the benchmark proves before it measures.
"""

from __future__ import annotations

import json
import os
import re
from copy import deepcopy
from importlib.util import find_spec
from typing import Any
from typing import NamedTuple
from urllib.parse import quote

from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.fragments.plugins import DEFAULTS

REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
MUTUAL = ("verify-full", "verify-ca")
PARTITION = re.compile(r"[A-Za-z0-9._-]*")
MTLS = "/etc/nautobot/mtls"


class Read(NamedTuple):
    """A variable as the peers are told of it."""

    field: str
    variable: str
    type: type
    default: Any


ASSEMBLED = (
    Read("sslmode", "NAUTOBOT_DB_SSLMODE", str, ""),
    Read("sslcert", "NAUTOBOT_DB_SSLCERT", str, f"{MTLS}/tls.crt"),
    Read("sslkey", "NAUTOBOT_DB_SSLKEY", str, f"{MTLS}/tls.key"),
    Read("sslrootcert", "NAUTOBOT_DB_SSLROOTCERT", str, f"{MTLS}/ca.crt"),
    Read("redis_mtls", "UNDERSTACK_REDIS_MTLS", str, "auto"),
    Read("ssl_ca_certs", "NAUTOBOT_REDIS_SSL_CA_CERTS", str, f"{MTLS}/ca.crt"),
    Read("ssl_certfile", "NAUTOBOT_REDIS_SSL_CERTFILE", str, f"{MTLS}/tls.crt"),
    Read("ssl_keyfile", "NAUTOBOT_REDIS_SSL_KEYFILE", str, f"{MTLS}/tls.key"),
    Read("redis_host", "NAUTOBOT_REDIS_HOST", str, "localhost"),
    Read("redis_port", "NAUTOBOT_REDIS_PORT", int, 6379),
    Read("redis_username", "NAUTOBOT_REDIS_USERNAME", str, ""),
    Read("extra_plugins", "NAUTOBOT_EXTRA_PLUGINS", list, []),
    Read("extra_config", "NAUTOBOT_EXTRA_PLUGINS_CONFIG", str, ""),
    Read("partition", "UNDERSTACK_PARTITION", str, ""),
    Read("site", "UNDERSTACK_SITE", str, ""),
    Read("hardening", "UNDERSTACK_HARDENING", bool, False),
    Read("hsts_seconds", "UNDERSTACK_HSTS_SECONDS", int, 31536000),
)
NAMES = {one.variable for one in ASSEMBLED}
# The other variables of this package are read as well; nothing is made of them.
READ = ASSEMBLED + tuple(
    Read(one.name.lower(), one.name, type(one.default), one.default)
    if isinstance(one.default, int)
    else Read(one.name.lower(), one.name, str, "")
    for one in VARIABLES
    if one.name not in NAMES
)


def secret(name: str) -> str:
    """Return a secret from the variable, or from the file that ``NAME_FILE`` names."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return os.environ.get(name, "")
    with open(path, encoding="utf-8") as file:
        return file.read().removesuffix("\n")


def assembled(namespace: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings; the namespace stays as it is."""
    for name in ("partition", "site"):
        if not PARTITION.fullmatch(values[name]):
            raise ValueError(f"{name} has a character that it may not have")
    hardening = {
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": values["hsts_seconds"],
    }
    default = {**namespace["DATABASES"]["default"], "OPTIONS": _tls_options(values)}
    return {
        "SECRET_KEY": secret("NAUTOBOT_SECRET_KEY"),
        "DATABASES": {**namespace["DATABASES"], "default": default},
        "UNDERSTACK_PARTITION": values["partition"],
        "UNDERSTACK_SITE": values["site"],
        **_broker(values),
        **_plugins(namespace, values),
        **(hardening if values["hardening"] else {}),
    }


def _tls_options(values: dict[str, Any]) -> dict[str, Any]:
    options = {"sslmode": values["sslmode"]}
    if values["sslmode"] in MUTUAL:
        for name in ("sslcert", "sslkey", "sslrootcert"):
            _require(values[name])
            options[name] = values[name]
    return options


def _require(path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(path)


def _broker(values: dict[str, Any]) -> dict[str, Any]:
    mutual = values["redis_mtls"] != "off" and os.path.exists(values["ssl_ca_certs"])
    if mutual:
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            _require(values[name])
    user = quote(values["redis_username"], safe="")
    password = quote(secret("NAUTOBOT_REDIS_PASSWORD"), safe="")
    host = f"{values['redis_host']}:{values['redis_port']}"
    who = f"{user}:{password}@" if user or password else ""
    scheme = "rediss" if mutual else "redis"
    return {"CELERY_BROKER_URL": f"{scheme}://{who}{host}/0"}


def _plugins(namespace: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    names = list(namespace["PLUGINS"])
    for name in [*DEFAULTS, *values["extra_plugins"]]:
        if name not in names and find_spec(name) is not None:
            names.append(name)
    config = {name: deepcopy(own) for name, own in DEFAULTS.items() if name in names}
    _merge(config, deepcopy(namespace["PLUGINS_CONFIG"]))
    if values["extra_config"]:
        _merge(config, _expanded(json.loads(values["extra_config"])))
    return {"PLUGINS": names, "PLUGINS_CONFIG": config}


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return REFERENCE.sub(_replaced, value) if "$" in value else value
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value


def _replaced(match: re.Match[str]) -> str:
    found = os.environ.get(match[1]) or match[2]
    if found is None:
        raise KeyError(match[1])
    return found
