"""The line that says at start-up how a process is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.certificates.judging import describe_certificates
from understack_nautobot_settings.environment.client_files import client_files
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.client_files import redis_options
from understack_nautobot_settings.environment.libpq import is_postgresql


def startup_line(
    settings: Mapping[str, Any], *, clock: Callable[[], float] = time.time
) -> str:
    """Return one line that states the mode of every connection; no secret.

    Args:
        settings: Django settings by name.
        clock: Seconds since the epoch.

    Returns:
        ``PostgreSQL sslmode=verify-full sslnegotiation=direct; Redis mTLS on; …``
    """
    return "; ".join(
        [
            _postgresql(settings),
            _redis(settings),
            f"plugins {', '.join(settings.get('PLUGINS') or ()) or 'none'}",
            f"partition {settings.get('UNDERSTACK_PARTITION') or 'none'}",
            _expiry(settings, clock),
        ]
    )


def _postgresql(settings: Mapping[str, Any]) -> str:
    default = (settings.get("DATABASES") or {}).get("default") or {}
    if not is_postgresql(default):
        return f"database {default['ENGINE']}"
    options = postgresql_options(settings)
    sslmode = options.get("sslmode", "unset")
    negotiation = options.get("sslnegotiation", "unset")
    return f"PostgreSQL sslmode={sslmode} sslnegotiation={negotiation}"


def _redis(settings: Mapping[str, Any]) -> str:
    options = redis_options(settings)
    if not options:
        return "Redis mTLS off, no TLS"
    mode = "on" if options.get("ssl_certfile") else "off"
    return f"Redis mTLS {mode}, server certificate {options['ssl_cert_reqs']}"


def _expiry(settings: Mapping[str, Any], clock: Callable[[], float]) -> str:
    days = {
        f"{certificate.path} {certificate.days_left} days"
        for files in client_files(settings)
        for certificate in describe_certificates(files, clock=clock)
    }
    return f"certificates expire: {', '.join(sorted(days)) or 'none in use'}"
