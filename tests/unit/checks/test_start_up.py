"""The line that states at start-up how a process is set."""

import datetime

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings.checks.start_up import startup_line

PLAIN = (
    "PostgreSQL sslmode=unset sslnegotiation=unset; Redis mTLS off, no TLS; "
    "plugins none; partition none; certificates expire: none in use"
)
TLS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


def database(engine="django.db.backends.postgresql", **options):
    return {"DATABASES": {"default": {"ENGINE": engine, "OPTIONS": options}}}


def cache(**pool):
    return {"CACHES": {"default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": pool}}}}


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, PLAIN),
        (
            database(sslmode="require", sslnegotiation="direct"),
            "PostgreSQL sslmode=require sslnegotiation=direct",
        ),
        (database("django.db.backends.mysql"), "database django.db.backends.mysql"),
        (cache(**TLS), "Redis mTLS off, server certificate required"),
        ({"CELERY_BROKER_USE_SSL": {**TLS, "ssl_cert_reqs": "none"}}, "e none;"),
        ({"PLUGINS": ("a", "b")}, "; plugins a, b;"),
        ({"UNDERSTACK_PARTITION": "dfw3"}, "; partition dfw3;"),
    ],
    ids=[
        "nothing",
        "database",
        "mysql",
        "system store",
        "unverified",
        "plugins",
        "partition",
    ],
)
def test_it_states_the_mode(settings, part):
    assert part in startup_line(settings)


def test_it_tells_how_long_the_certificates_last(tmp_path):
    authority = Authority()
    end = datetime.datetime(2030, 1, 31, tzinfo=datetime.timezone.utc)
    mount = write_mount(tmp_path, authority.client(not_after=end), authority.ca_pem)
    files = {"ssl_ca_certs": mount.ca, "ssl_certfile": mount.certificate}
    settings = cache(**TLS, **files, ssl_keyfile=mount.key)
    first = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)

    line = startup_line(settings, clock=first.timestamp)

    assert "; Redis mTLS on, server certificate required;" in line
    assert f"{mount.certificate} 30 days" in line


def test_it_holds_no_secret():
    secrets = {
        "SECRET_KEY": "canary",
        "CELERY_BROKER_URL": "rediss://:canary@r/0",
        "PLUGINS_CONFIG": {"a": {"token": "canary"}},
    }

    assert startup_line({**secrets, **cache(password="canary")}) == PLAIN
