"""Read with environs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import environs

from benchmarks.contestants.assembly import assembled
from benchmarks.contestants.assembly import is_given
from benchmarks.contestants.assembly import secret

MTLS = "/etc/nautobot/mtls"

env = environs.Env()


def _given(read: Callable[[str], Any], name: str, default: Any) -> Any:
    # environs takes an empty variable for a value.
    return read(name) if is_given(name) else default


def configure(namespace: dict[str, Any]) -> None:
    """Read, assemble, assign."""
    values = {
        "secret_key": secret("NAUTOBOT_SECRET_KEY"),
        "db_password": secret("NAUTOBOT_DB_PASSWORD"),
        "sslmode": _given(env.str, "NAUTOBOT_DB_SSLMODE", ""),
        "sslcert": _given(env.str, "NAUTOBOT_DB_SSLCERT", f"{MTLS}/tls.crt"),
        "sslkey": _given(env.str, "NAUTOBOT_DB_SSLKEY", f"{MTLS}/tls.key"),
        "sslrootcert": _given(env.str, "NAUTOBOT_DB_SSLROOTCERT", f"{MTLS}/ca.crt"),
        "redis_mtls": _given(env.str, "UNDERSTACK_REDIS_MTLS", "auto"),
        "ssl_ca_certs": _given(
            env.str, "NAUTOBOT_REDIS_SSL_CA_CERTS", f"{MTLS}/ca.crt"
        ),
        "ssl_certfile": _given(
            env.str, "NAUTOBOT_REDIS_SSL_CERTFILE", f"{MTLS}/tls.crt"
        ),
        "ssl_keyfile": _given(env.str, "NAUTOBOT_REDIS_SSL_KEYFILE", f"{MTLS}/tls.key"),
        "ssl_cert_reqs": _given(env.str, "NAUTOBOT_REDIS_SSL_CERT_REQS", "required"),
        "ssl_check_hostname": _given(
            env.bool, "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME", True
        ),
        "redis_host": _given(env.str, "NAUTOBOT_REDIS_HOST", "localhost"),
        "redis_port": _given(env.int, "NAUTOBOT_REDIS_PORT", 6379),
        "redis_username": _given(env.str, "NAUTOBOT_REDIS_USERNAME", ""),
        "redis_password": secret("NAUTOBOT_REDIS_PASSWORD"),
        "extra_plugins": _given(env.list, "NAUTOBOT_EXTRA_PLUGINS", []),
        "extra_config": _given(env.str, "NAUTOBOT_EXTRA_PLUGINS_CONFIG", ""),
        "partition": _given(env.str, "UNDERSTACK_PARTITION", ""),
        "site": _given(env.str, "UNDERSTACK_SITE", ""),
        "role": _given(env.str, "UNDERSTACK_ROLE", ""),
        "sso_dir": _given(env.str, "UNDERSTACK_SSO_DIR", "/opt/nautobot/sso"),
        "oidc_endpoint": _given(env.str, "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT", ""),
        "oidc_key": _given(env.str, "SOCIAL_AUTH_OIDC_KEY", "nautobot"),
        "oidc_secret": _given(env.str, "SOCIAL_AUTH_OIDC_SECRET", ""),
        "oidc_scope": _given(env.list, "SOCIAL_AUTH_OIDC_SCOPE", ["groups"]),
        "hardening": _given(env.bool, "UNDERSTACK_HARDENING", False),
        "hsts_seconds": _given(env.int, "UNDERSTACK_HSTS_SECONDS", 31536000),
        "profile": _given(env.str, "UNDERSTACK_CONNECTION_PROFILE", "lan"),
        "connect_timeout": _given(env.int, "UNDERSTACK_DB_CONNECT_TIMEOUT", 10),
        "tcp_user_timeout": _given(env.int, "UNDERSTACK_DB_TCP_USER_TIMEOUT", 30000),
        "keepalives_idle": _given(env.int, "UNDERSTACK_DB_KEEPALIVES_IDLE", 60),
        "keepalives_interval": _given(env.int, "UNDERSTACK_DB_KEEPALIVES_INTERVAL", 10),
        "keepalives_count": _given(env.int, "UNDERSTACK_DB_KEEPALIVES_COUNT", 3),
        "redis_connect_timeout": _given(
            env.float, "UNDERSTACK_REDIS_CONNECT_TIMEOUT", 5.0
        ),
        "redis_socket_timeout": _given(
            env.float, "UNDERSTACK_REDIS_SOCKET_TIMEOUT", 15.0
        ),
        "health_check_interval": _given(
            env.int, "UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL", 30
        ),
        "redis_retries": _given(env.int, "UNDERSTACK_REDIS_RETRIES", 3),
        "result_retries": _given(env.int, "UNDERSTACK_JOB_RESULT_RETRIES", 240),
    }
    namespace.update(assembled(namespace, values))
