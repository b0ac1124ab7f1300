"""What a hand-written configuration makes of the values it has read."""

from __future__ import annotations

import json
import os
import re
from copy import deepcopy
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
BROKER_TRANSPORT = "understack_nautobot_settings.runtime.broker:Transport"
RESULT_BACKEND = "understack_nautobot_settings.runtime.job_results.JobResultBackend"
MUTUAL = ("verify-full", "verify-ca")
PARTITION = re.compile(r"[A-Za-z0-9._-]*")
DEFAULT_PLUGINS: dict[str, dict[str, Any]] = {
    "nautobot_plugin_nornir": {
        "nornir_settings": {
            "credentials": (
                "nautobot_plugin_nornir.plugins.credentials"
                ".nautobot_secrets.CredentialsNautobotSecrets"
            ),
            "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
        },
        "use_config_context": {"connection_options": True},
    },
    "nautobot_golden_config": {
        "per_feature_bar_width": 0.15,
        "per_feature_width": 13,
        "per_feature_height": 4,
        "enable_backup": True,
        "enable_compliance": True,
        "enable_intended": True,
        "enable_sotagg": True,
        "enable_postprocessing": True,
        "sot_agg_transposer": None,
        "platform_slug_map": None,
        "postprocessing_callables": [],
        "postprocessing_subscribed": [],
    },
}


def is_given(name: str) -> bool:
    """Tell whether a variable is set: the Helm chart writes empty ones."""
    return bool(os.environ.get(name, "").strip())


def secret(name: str) -> str:
    """Return a secret from the variable, or from the file that ``NAME_FILE`` names."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return os.environ.get(name, "")
    with open(path, encoding="utf-8") as file:
        return file.read().removesuffix("\n")


def assembled(namespace: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings; the namespace stays as it is."""
    files = ("sslcert", "sslkey", "sslrootcert")
    wan = values["profile"] == "wan"
    database = dict(namespace["DATABASES"]["default"])
    options = dict(database.get("OPTIONS") or {})
    if values["sslmode"]:
        options["sslmode"] = values["sslmode"]
    if values["sslmode"] in MUTUAL:
        for name in files:
            _require(values[name])
            options[name] = values[name]
    options["connect_timeout"] = values["connect_timeout"]
    if wan:
        options["keepalives"] = 1
        for name in ("keepalives_idle", "keepalives_interval", "keepalives_count"):
            options[name] = values[name]
        options["tcp_user_timeout"] = values["tcp_user_timeout"]
        options["application_name"] = "-".join(
            filter(None, ["nautobot", values["role"]])
        )
        if values["partition"]:
            options["application_name"] += f"@{values['partition']}"
        options["options"] = "-c TimeZone=UTC"
        database["CONN_HEALTH_CHECKS"] = True
    database["OPTIONS"] = options
    database["PASSWORD"] = values["db_password"]
    for name in ("partition", "site"):
        if not PARTITION.fullmatch(values[name]):
            raise ValueError(f"{name} has a character that it may not have")
    return {
        "SECRET_KEY": values["secret_key"],
        "DATABASES": {**namespace["DATABASES"], "default": database},
        **_redis(namespace, values, wan),
        **_plugins(namespace, values),
        "UNDERSTACK_PARTITION": values["partition"],
        "UNDERSTACK_SITE": values["site"],
        **_sign_on(values),
        **_hardening(values),
    }


def _require(path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(path)


def _redis(
    namespace: dict[str, Any], values: dict[str, Any], wan: bool
) -> dict[str, Any]:
    # Imports nothing of redis-py: the settings name the class, nobody connects.
    from understack_nautobot_settings.fragments.deferred import TcpConnection
    from understack_nautobot_settings.fragments.deferred import TlsConnection

    mutual = values["redis_mtls"] != "off" and os.path.exists(values["ssl_ca_certs"])
    tls = {}
    scheme = "redis"
    if mutual:
        scheme = "rediss"
        tls = {
            "ssl_cert_reqs": values["ssl_cert_reqs"],
            "ssl_check_hostname": values["ssl_check_hostname"],
        }
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            _require(values[name])
            tls[name] = values[name]
    password = values["redis_password"]
    username = values["redis_username"]
    waits = {
        "socket_connect_timeout": values["redis_connect_timeout"],
        "socket_timeout": values["redis_socket_timeout"],
    }
    if wan:
        waits["health_check_interval"] = values["health_check_interval"]
        waits["socket_keepalive"] = True
        waits |= {"protocol": 2, "client_info": False}
    host = f"{values['redis_host']}:{values['redis_port']}"
    cache = dict(namespace["CACHES"]["default"])
    cache_options = dict(cache["OPTIONS"])
    pool = {**cache_options.get("CONNECTION_POOL_KWARGS", {}), **tls, **waits}
    pool["connection_class"] = TlsConnection if mutual else TcpConnection
    if username:
        pool["username"] = username
    if password:
        pool["password"] = password
    if wan:
        pool["retries"] = values["redis_retries"]
    cache["LOCATION"] = f"{scheme}://{host}/1"
    cache_options["CONNECTION_POOL_KWARGS"] = pool
    cache["OPTIONS"] = cache_options
    who = ""
    if username or password:
        who = f"{quote(username, safe='')}:{quote(password, safe='')}@"
    settings = {
        "CACHES": {**namespace["CACHES"], "default": cache},
        "CELERY_BROKER_URL": f"{scheme}://{who}{host}/0",
        "CELERY_BROKER_TRANSPORT_OPTIONS": {
            **namespace.get("CELERY_BROKER_TRANSPORT_OPTIONS", {}),
            **waits,
        },
    }
    if mutual:
        settings["CELERY_BROKER_USE_SSL"] = dict(tls)
        settings["CELERY_REDIS_BACKEND_USE_SSL"] = dict(tls)
    if wan:
        settings |= {
            "CELERY_RESULT_BACKEND": RESULT_BACKEND,
            "CELERY_RESULT_BACKEND_ALWAYS_RETRY": True,
            "CELERY_RESULT_BACKEND_MAX_RETRIES": values["result_retries"],
            "CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS": 250,
            "CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS": 5000,
        }
    if mutual or wan:
        settings["CELERY_BROKER_TRANSPORT"] = BROKER_TRANSPORT
    return settings


def _plugins(namespace: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    names = list(namespace["PLUGINS"])
    for name in [*DEFAULT_PLUGINS, *values["extra_plugins"]]:
        if name not in names and find_spec(name) is not None:
            names.append(name)
    config = {
        name: deepcopy(own) for name, own in DEFAULT_PLUGINS.items() if name in names
    }
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


def _sign_on(values: dict[str, Any]) -> dict[str, Any]:
    directory = values["sso_dir"]
    parts = {}
    if os.path.isdir(directory):
        for part in ("issuer", "client-id", "client-secret"):
            path = os.path.join(directory, part)
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    parts[part] = file.read().strip()
    issuer = parts.get("issuer") or values["oidc_endpoint"]
    secret = parts.get("client-secret") or values["oidc_secret"]
    if not (issuer and secret):
        return {}
    return {
        "AUTHENTICATION_BACKENDS": [
            "social_core.backends.open_id_connect.OpenIdConnectAuth",
            "nautobot.core.authentication.ObjectPermissionBackend",
        ],
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": issuer,
        "SOCIAL_AUTH_OIDC_KEY": parts.get("client-id") or values["oidc_key"],
        "SOCIAL_AUTH_OIDC_SECRET": secret,
        "SOCIAL_AUTH_OIDC_SCOPE": values["oidc_scope"],
    }


def _hardening(values: dict[str, Any]) -> dict[str, Any]:
    if not values["hardening"]:
        return {}
    return {
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "CSRF_COOKIE_SECURE": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "SECURE_HSTS_SECONDS": values["hsts_seconds"],
        "SECURE_CONTENT_TYPE_NOSNIFF": True,
    }
