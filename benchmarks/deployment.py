"""The deployment that everything is measured with: a site worker behind a gateway."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.certificates import Authority
from lab.certificates import Mount
from lab.certificates import write_mount
from lab.nautobot.deployment import nautobot_environment

# Of the standard library: installed everywhere, and nobody imports them for us.
EXTRA_PLUGINS = ("json", "wsgiref")
SECRETS = {f"SITE_SECRET_{number}": f"value-{number}" * 3 for number in range(4)}
PLUGINS_CONFIG = {
    "nautobot_golden_config": {"per_feature_width": 20, "enable_sotagg": False},
    "json": {
        "url": "https://netbox.example.com/api/",
        "token": "${SITE_SECRET_0}",
        "login": {
            "user": "svc-${UNDERSTACK_PARTITION}",
            "password": "${SITE_SECRET_1}",
        },
        "hosts": ["a.example.com", "b.example.com", "${SITE_HOST:-c.example.com}"],
        "timeout": 30,
    },
    "wsgiref": {"webhook": "${SITE_SECRET_2}", "signature": "${SITE_SECRET_3}"},
}
REDIS_PASSWORD = "p/a#s?s[w]o%41rd"
SERVICES = ("NAUTOBOT_DEFAULT", "METRICS", "INGRESS", "KUBERNETES")


@contextmanager
def mounted() -> Iterator[Mount]:
    """Write a client certificate as the documents describe it."""
    with mounted_by(Authority()) as mount:
        yield mount


@contextmanager
def mounted_by(authority: Authority) -> Iterator[Mount]:
    """Write a client certificate of this authority."""
    with tempfile.TemporaryDirectory(prefix="understack-bench-") as directory:
        Path(directory, "password").write_text(f"{REDIS_PASSWORD}\n")
        yield write_mount(Path(directory), authority.client(), authority.ca_pem)


def site_worker(
    mount: Mount, *, db_port: int = 5432, redis_port: int = 6379
) -> dict[str, str]:
    """Return what the pod of a site worker is given, Kubernetes' own part included."""
    services = {
        f"{service}_{suffix}": "tcp://10.0.0.1:443"
        for service in SERVICES
        for suffix in ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_443_TCP")
    }
    return nautobot_environment(
        mount,
        db_port=db_port,
        redis_port=redis_port,
        partition="dfw3",
        role="site-worker",
        extra={
            **services,
            **SECRETS,
            # Mounted, as a secret store hands it out.
            "NAUTOBOT_REDIS_PASSWORD": "",
            "NAUTOBOT_REDIS_PASSWORD_FILE": str(Path(mount.ca).with_name("password")),
            # What a chart writes for values that nobody filled in.
            "NAUTOBOT_REDIS_USERNAME": "",
            "UNDERSTACK_SITE": "",
            "UNDERSTACK_HARDENING": "",
            "UNDERSTACK_DB_CONNECT_TIMEOUT": "",
            "NAUTOBOT_EXTRA_PLUGINS_STRICT": "",
            "NAUTOBOT_EXTRA_PLUGINS": ",".join(EXTRA_PLUGINS),
            "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps(PLUGINS_CONFIG),
        },
    )
