"""Read with pydantic-settings."""

from __future__ import annotations

from typing import Annotated
from typing import Any

from pydantic import BeforeValidator
from pydantic import Field
from pydantic_settings import BaseSettings
from pydantic_settings import NoDecode
from pydantic_settings import SettingsConfigDict

from benchmarks.contestants.assembly import assembled
from benchmarks.contestants.assembly import secret

MTLS = "/etc/nautobot/mtls"


def _names(text: Any) -> Any:
    if isinstance(text, str):
        return [name.strip() for name in text.split(",") if name.strip()]
    return text


Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]


class Values(BaseSettings):
    """The variables, declared."""

    model_config = SettingsConfigDict(env_ignore_empty=True, str_strip_whitespace=True)

    sslmode: str | None = Field(None, validation_alias="NAUTOBOT_DB_SSLMODE")
    sslcert: str = Field(f"{MTLS}/tls.crt", validation_alias="NAUTOBOT_DB_SSLCERT")
    sslkey: str = Field(f"{MTLS}/tls.key", validation_alias="NAUTOBOT_DB_SSLKEY")
    sslrootcert: str = Field(
        f"{MTLS}/ca.crt", validation_alias="NAUTOBOT_DB_SSLROOTCERT"
    )
    redis_mtls: str = Field("auto", validation_alias="UNDERSTACK_REDIS_MTLS")
    ssl_ca_certs: str = Field(
        f"{MTLS}/ca.crt", validation_alias="NAUTOBOT_REDIS_SSL_CA_CERTS"
    )
    ssl_certfile: str = Field(
        f"{MTLS}/tls.crt", validation_alias="NAUTOBOT_REDIS_SSL_CERTFILE"
    )
    ssl_keyfile: str = Field(
        f"{MTLS}/tls.key", validation_alias="NAUTOBOT_REDIS_SSL_KEYFILE"
    )
    ssl_cert_reqs: str = Field(
        "required", validation_alias="NAUTOBOT_REDIS_SSL_CERT_REQS"
    )
    ssl_check_hostname: bool = Field(
        True, validation_alias="NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME"
    )
    redis_host: str = Field("localhost", validation_alias="NAUTOBOT_REDIS_HOST")
    redis_port: int = Field(6379, validation_alias="NAUTOBOT_REDIS_PORT")
    redis_username: str = Field("", validation_alias="NAUTOBOT_REDIS_USERNAME")
    extra_plugins: Names = Field([], validation_alias="NAUTOBOT_EXTRA_PLUGINS")
    extra_config: str | None = Field(
        None, validation_alias="NAUTOBOT_EXTRA_PLUGINS_CONFIG"
    )
    partition: str = Field("", validation_alias="UNDERSTACK_PARTITION")
    site: str = Field("", validation_alias="UNDERSTACK_SITE")
    role: str | None = Field(None, validation_alias="UNDERSTACK_ROLE")
    sso_dir: str = Field("/opt/nautobot/sso", validation_alias="UNDERSTACK_SSO_DIR")
    oidc_endpoint: str | None = Field(
        None, validation_alias="SOCIAL_AUTH_OIDC_OIDC_ENDPOINT"
    )
    oidc_key: str = Field("nautobot", validation_alias="SOCIAL_AUTH_OIDC_KEY")
    oidc_secret: str | None = Field(None, validation_alias="SOCIAL_AUTH_OIDC_SECRET")
    oidc_scope: Names = Field(["groups"], validation_alias="SOCIAL_AUTH_OIDC_SCOPE")
    hardening: bool = Field(False, validation_alias="UNDERSTACK_HARDENING")
    hsts_seconds: int = Field(31536000, validation_alias="UNDERSTACK_HSTS_SECONDS")
    profile: str = Field("lan", validation_alias="UNDERSTACK_CONNECTION_PROFILE")
    connect_timeout: int = Field(10, validation_alias="UNDERSTACK_DB_CONNECT_TIMEOUT")
    tcp_user_timeout: int = Field(
        30000, validation_alias="UNDERSTACK_DB_TCP_USER_TIMEOUT"
    )
    keepalives_idle: int = Field(60, validation_alias="UNDERSTACK_DB_KEEPALIVES_IDLE")
    keepalives_interval: int = Field(
        10, validation_alias="UNDERSTACK_DB_KEEPALIVES_INTERVAL"
    )
    keepalives_count: int = Field(3, validation_alias="UNDERSTACK_DB_KEEPALIVES_COUNT")
    redis_connect_timeout: float = Field(
        5.0, validation_alias="UNDERSTACK_REDIS_CONNECT_TIMEOUT"
    )
    redis_socket_timeout: float = Field(
        15.0, validation_alias="UNDERSTACK_REDIS_SOCKET_TIMEOUT"
    )
    health_check_interval: int = Field(
        30, validation_alias="UNDERSTACK_REDIS_HEALTH_CHECK_INTERVAL"
    )
    redis_retries: int = Field(3, validation_alias="UNDERSTACK_REDIS_RETRIES")
    result_retries: int = Field(240, validation_alias="UNDERSTACK_JOB_RESULT_RETRIES")


def configure(namespace: dict[str, Any]) -> None:
    """Read, assemble, assign."""
    values = {
        **Values().model_dump(),
        "secret_key": secret("NAUTOBOT_SECRET_KEY"),
        "db_password": secret("NAUTOBOT_DB_PASSWORD"),
        "redis_password": secret("NAUTOBOT_REDIS_PASSWORD"),
    }
    namespace.update(assembled(namespace, values))
