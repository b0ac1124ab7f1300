"""Hand-written: `os.getenv` and what goes with it."""

from __future__ import annotations

from os import getenv
from typing import Any

from benchmarks.contestants.assembly import assembled
from benchmarks.contestants.assembly import secret

TRUE = ("true", "yes", "on", "1", "y", "t")
MTLS = "/etc/nautobot/mtls"


def _text(name: str, default: str = "") -> str:
    # The Helm chart writes empty variables.
    return getenv(name, "").strip() or default


def _truth(name: str, default: str) -> bool:
    return _text(name, default).lower() in TRUE


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def configure(namespace: dict[str, Any]) -> None:
    """Read, assemble, assign."""
    values = {
        "secret_key": secret("NAUTOBOT_SECRET_KEY"),
        "db_password": secret("NAUTOBOT_DB_PASSWORD"),
        "sslmode": _text("NAUTOBOT_DB_SSLMODE"),
        "sslcert": _text("NAUTOBOT_DB_SSLCERT", f"{MTLS}/tls.crt"),
        "sslkey": _text("NAUTOBOT_DB_SSLKEY", f"{MTLS}/tls.key"),
        "sslrootcert": _text("NAUTOBOT_DB_SSLROOTCERT", f"{MTLS}/ca.crt"),
        "redis_mtls": _text("UNDERSTACK_REDIS_MTLS", "auto"),
        "ssl_ca_certs": _text("NAUTOBOT_REDIS_SSL_CA_CERTS", f"{MTLS}/ca.crt"),
        "ssl_certfile": _text("NAUTOBOT_REDIS_SSL_CERTFILE", f"{MTLS}/tls.crt"),
        "ssl_keyfile": _text("NAUTOBOT_REDIS_SSL_KEYFILE", f"{MTLS}/tls.key"),
        "ssl_cert_reqs": _text("NAUTOBOT_REDIS_SSL_CERT_REQS", "required"),
        "ssl_check_hostname": _truth("NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME", "true"),
        "redis_host": _text("NAUTOBOT_REDIS_HOST", "localhost"),
        "redis_port": int(_text("NAUTOBOT_REDIS_PORT", "6379")),
        "redis_username": _text("NAUTOBOT_REDIS_USERNAME", ""),
        "redis_password": secret("NAUTOBOT_REDIS_PASSWORD"),
        "extra_plugins": _names(_text("NAUTOBOT_EXTRA_PLUGINS", "")),
        "extra_config": _text("NAUTOBOT_EXTRA_PLUGINS_CONFIG"),
        "partition": _text("UNDERSTACK_PARTITION", ""),
        "site": _text("UNDERSTACK_SITE", ""),
        "role": _text("UNDERSTACK_ROLE"),
        "sso_dir": _text("UNDERSTACK_SSO_DIR", "/opt/nautobot/sso"),
        "oidc_endpoint": _text("SOCIAL_AUTH_OIDC_OIDC_ENDPOINT"),
        "oidc_key": _text("SOCIAL_AUTH_OIDC_KEY", "nautobot"),
        "oidc_secret": _text("SOCIAL_AUTH_OIDC_SECRET"),
        "oidc_scope": _names(_text("SOCIAL_AUTH_OIDC_SCOPE", "groups")),
        "hardening": _truth("UNDERSTACK_HARDENING", "off"),
        "hsts_seconds": int(_text("UNDERSTACK_HSTS_SECONDS", "31536000")),
        "profile": _text("UNDERSTACK_CONNECTION_PROFILE", "lan"),
        "connect_timeout": int(_text("UNDERSTACK_DB_CONNECT_TIMEOUT", "10")),
        "tcp_user_timeout": int(_text("UNDERSTACK_DB_TCP_USER_TIMEOUT", "30000")),
        "keepalives_idle": int(_text("UNDERSTACK_DB_KEEPALIVES_IDLE", "60")),
        "keepalives_interval": int(_text("UNDERSTACK_DB_KEEPALIVES_INTERVAL", "10")),
        "keepalives_count": int(_text("UNDERSTACK_DB_KEEPALIVES_COUNT", "3")),
        "redis_connect_timeout": float(_text("UNDERSTACK_REDIS_CONNECT_TIMEOUT", "5")),
        "redis_socket_timeout": float(_text("UNDERSTACK_REDIS_SOCKET_TIMEOUT", "15")),
        "health_check_interval": int(
            _text("UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL", "30")
        ),
        "redis_retries": int(_text("UNDERSTACK_REDIS_RETRIES", "3")),
        "result_retries": int(_text("UNDERSTACK_JOB_RESULT_RETRIES", "240")),
    }
    namespace.update(assembled(namespace, values))
