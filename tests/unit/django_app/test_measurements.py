import datetime
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.certificates import now
from lab.certificates import write_mount
from understack_nautobot_settings.checks.in_force import ConnectionMode
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.django_app.measurements import READABLE
from understack_nautobot_settings.django_app.measurements import SECONDS_LEFT
from understack_nautobot_settings.django_app.measurements import TLS
from understack_nautobot_settings.django_app.measurements import FileExpiry
from understack_nautobot_settings.django_app.measurements import RecentFiles
from understack_nautobot_settings.django_app.measurements import file_ends
from understack_nautobot_settings.django_app.measurements import file_expiries
from understack_nautobot_settings.django_app.measurements import outlook
from understack_nautobot_settings.django_app.measurements import samples
from understack_nautobot_settings.django_app.measurements import unhealthy
from understack_nautobot_settings.django_app.measurements import unhealthy_days

DAY = 86400.0
END = datetime.datetime(2027, 1, 1, tzinfo=datetime.timezone.utc)
CA_END = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
AT_END = END.timestamp()


def settings_of(mount, *, redis=True):
    pool = {
        "ssl_cert_reqs": "required",
        "ssl_certfile": mount.certificate,
        "ssl_keyfile": mount.key,
        "ssl_ca_certs": mount.ca,
    }
    database = {
        "sslmode": "verify-full",
        "sslcert": mount.certificate,
        "sslkey": mount.key,
        "sslrootcert": mount.ca,
    }
    return {
        "DATABASES": {"default": {"OPTIONS": database}},
        "CACHES": {
            "default": {
                "LOCATION": "rediss://redis:6379/1",
                "OPTIONS": {"CONNECTION_POOL_KWARGS": pool if redis else {}},
            }
        },
        "CELERY_BROKER_URL": "rediss://redis:6379/0",
        "CELERY_BROKER_USE_SSL": pool if redis else None,
    }


@pytest.fixture
def authority():
    return Authority(not_after=CA_END)


@pytest.fixture
def mount(tmp_path, authority):
    return write_mount(tmp_path, authority.client(not_after=END), authority.ca_pem)


def test_cas_of_the_system_are_no_file_that_could_expire(mount):
    settings = settings_of(mount, redis=False)
    settings["DATABASES"]["default"]["OPTIONS"]["sslrootcert"] = "system"

    found = file_expiries(settings)

    assert [one.path for one in found] == [mount.certificate]
    assert not any(unhealthy(one, 7) for one in found)


def test_expiry_is_listed_for_each_file_of_each_client(mount):
    left = 90 * DAY
    ca_left = CA_END.timestamp() - AT_END + left
    assert file_expiries(settings_of(mount), clock=lambda: AT_END - left) == [
        FileExpiry(mount.certificate, "PostgreSQL", "2027-01-01T00:00:00Z", left),
        FileExpiry(mount.ca, "PostgreSQL", "2030-01-01T00:00:00Z", ca_left),
        FileExpiry(mount.certificate, "Redis", "2027-01-01T00:00:00Z", left),
        FileExpiry(mount.ca, "Redis", "2030-01-01T00:00:00Z", ca_left),
    ]


def test_expiry_of_ca_file_is_the_latest_and_of_chain_the_earliest(tmp_path):
    """The old CA may expire; an intermediate takes its leaf with it."""
    old = Authority(not_after=END)
    new = Authority(not_after=CA_END)
    middle = new.intermediate(not_after=END)
    leaf = middle.client(not_after=CA_END)
    mount = write_mount(tmp_path, leaf, old.ca_pem + new.ca_pem)
    (tmp_path / "tls.crt").write_bytes(leaf.chain_pem)
    found = file_expiries(settings_of(mount, redis=False), clock=lambda: AT_END)
    assert [one.seconds_left for one in found] == [0.0, CA_END.timestamp() - AT_END]


def test_expiry_of_a_renewed_intermediate_is_that_of_the_later_copy(
    tmp_path, authority
):
    old = authority.intermediate(not_after=END)
    new = authority.intermediate(not_after=CA_END, key=old.key)
    leaf = new.client(not_after=CA_END)
    mount = write_mount(tmp_path, leaf, authority.ca_pem)
    (tmp_path / "tls.crt").write_bytes(leaf.cert_pem + old.cert_pem + new.cert_pem)
    found = file_expiries(settings_of(mount, redis=False), clock=lambda: AT_END)
    assert found[0].seconds_left == CA_END.timestamp() - AT_END


def test_file_used_as_certificate_and_ca_is_judged_as_certificate(tmp_path, authority):
    mount = write_mount(tmp_path, authority.client(not_after=END), authority.ca_pem)
    settings = settings_of(mount, redis=False)
    settings["DATABASES"]["default"]["OPTIONS"]["sslrootcert"] = mount.certificate
    found = file_expiries(settings, clock=lambda: AT_END)
    assert [one.seconds_left for one in found] == [0.0]


def test_file_without_certificate_is_reported_unreadable(mount):
    with open(mount.certificate, "w") as file:
        file.write("gone")
    first = file_expiries(settings_of(mount))[0]
    assert first == FileExpiry(mount.certificate, "PostgreSQL", "", math.nan)
    assert unhealthy(first, 1.0) == (
        f"{mount.certificate} (PostgreSQL): no certificate can be read"
    )


def test_expiry_without_mutual_tls_lists_no_files():
    assert file_expiries({}) == []
    assert outlook([]) == "no certificates in use"


def expiry(seconds_left):
    return FileExpiry("/m/tls.crt", "Redis", "2027-01-01T00:00:00Z", seconds_left)


@pytest.mark.parametrize(
    ("left", "days", "reason"),
    [
        (90 * DAY, 1.0, ""),
        (29 * DAY, 1.0, ""),
        (DAY, 1.0, ""),
        (
            DAY - 1,
            1.0,
            "/m/tls.crt (Redis) expires on 2027-01-01T00:00:00Z, in 23 hours",
        ),
        (
            29 * DAY,
            30.0,
            "/m/tls.crt (Redis) expires on 2027-01-01T00:00:00Z, in 29 days",
        ),
        (
            90.0,
            1.0,
            "/m/tls.crt (Redis) expires on 2027-01-01T00:00:00Z, in 1 minute",
        ),
        (1.0, 0.0, ""),
        (0.0, 0.0, "/m/tls.crt (Redis) expired on 2027-01-01T00:00:00Z"),
        (-DAY, 1.0, "/m/tls.crt (Redis) expired on 2027-01-01T00:00:00Z"),
    ],
)
def test_file_near_expiry_makes_process_unhealthy_with_date(left, days, reason):
    assert unhealthy(expiry(left), days) == reason


def test_health_page_names_the_file_that_expires_first():
    expiries = [
        expiry(90 * DAY),
        FileExpiry("/m/ca.crt", "Redis", "2026-12-24T00:00:00Z", 29 * DAY),
        FileExpiry("/m/none", "Redis", "", math.nan),
    ]
    assert outlook(expiries) == (
        "working; /m/ca.crt (Redis) is the first to expire, on 2026-12-24T00:00:00Z, "
        "in 29 days"
    )


@pytest.mark.parametrize(
    ("settings", "days"),
    [
        ({}, 1.0),
        ({"UNDERSTACK_EXPIRY_UNHEALTHY": 0.5}, 0.5),
        ({"UNDERSTACK_EXPIRY_UNHEALTHY": "7"}, 1.0),
        ({"UNDERSTACK_EXPIRY_UNHEALTHY": None}, 1.0),
    ],
    ids=["unset", "set", "text", "none"],
)
def test_unhealthy_threshold_follows_the_setting(settings, days):
    assert unhealthy_days(settings) == days


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({}, ("unset", "none")),
        ({"sslmode": "disable"}, ("off", "none")),
        ({"sslmode": "require", "sslcertmode": "disable"}, ("server", "none")),
        ({"sslmode": "verify-ca", "sslcert": "/m/tls.crt"}, ("mutual", "verify-ca")),
        (
            {"sslmode": "verify-full", "sslcert": "/m/tls.crt"},
            ("mutual", "verify-full"),
        ),
    ],
)
def test_database_connection_mode_follows_its_options(options, mode):
    settings = {"DATABASES": {"default": {"OPTIONS": options}}}
    assert connection_modes(settings)[0] == ConnectionMode("database", *mode)


@pytest.mark.parametrize(
    ("url", "options", "mode"),
    [
        ("redis://redis:6379/0", None, ("off", "none")),
        ("unix:///run/redis.sock", {}, ("off", "none")),
        ("rediss://redis:6379/0", None, ("server", "default")),
        ("amqps://broker//", None, ("server", "default")),
        ("rediss://r/0", {"ssl_cert_reqs": "required"}, ("server", "required")),
        (
            "rediss://r/0",
            {"ssl_cert_reqs": "none", "ssl_certfile": "/m/tls.crt"},
            ("mutual", "none"),
        ),
    ],
)
def test_cache_and_broker_connection_mode_follows_url_and_options(url, options, mode):
    settings = {
        "CACHES": {
            "default": {
                "LOCATION": url,
                "OPTIONS": {"CONNECTION_POOL_KWARGS": options},
            }
        },
        "CELERY_BROKER_URL": url,
        "CELERY_BROKER_USE_SSL": options,
    }
    assert connection_modes(settings)[1:] == [
        ConnectionMode("cache", *mode),
        ConnectionMode("broker", *mode),
    ]


def test_cache_location_that_is_not_text_has_mode_off():
    settings = {"CACHES": {"default": {"LOCATION": [1, 2]}}}
    assert connection_modes(settings)[1] == ConnectionMode("cache", "off", "none")


def test_metrics_of_one_request_use_one_moment(mount):
    settings = settings_of(mount, redis=False)
    with open(mount.ca, "w") as file:
        file.write("gone")
    found = list(samples(settings, "web", clock=lambda: AT_END + 5))
    web = {"use": "PostgreSQL", "process": "web"}
    certificate, ca = {"path": mount.certificate, **web}, {"path": mount.ca, **web}
    assert found[0] == (SECONDS_LEFT, certificate, -5.0)
    assert found[1] == (READABLE, certificate, 1.0)
    assert found[2][:2] == (SECONDS_LEFT, ca)
    assert math.isnan(found[2][2])
    assert found[3] == (READABLE, ca, 0.0)
    assert [(name, *labels.items(), value) for name, labels, value in found[4:]] == [
        (TLS, *zip(TLS_LABELS, values, strict=True), 1.0)
        for values in (
            ("database", "mutual", "verify-full", "web"),
            ("cache", "server", "default", "web"),
            ("broker", "server", "default", "web"),
        )
    ]


TLS_LABELS = ("connection", "tls", "verify", "process")


def test_expiry_after_renewal_is_that_of_the_new_certificate(tmp_path, authority):
    """A renewal replaces the files under a running process."""
    soon = now() + datetime.timedelta(days=29)
    later = now() + datetime.timedelta(days=1094)
    mount = write_mount(tmp_path, authority.client(not_after=soon), authority.ca_pem)
    settings = settings_of(mount)
    before = file_expiries(settings, read=RecentFiles())[0]
    write_mount(tmp_path, authority.client(not_after=later), authority.ca_pem)
    after = file_expiries(settings, read=RecentFiles())[0]
    assert (int(before.seconds_left // DAY), int(after.seconds_left // DAY)) in (
        (28, 1093),
        (29, 1094),
    )


def test_expiry_asked_again_within_seconds_is_not_read_again(mount, authority):
    """Seconds left are those of the moment all the same."""
    reads, left, read_by_then = [], [], []

    def read(files):
        reads.append(files.use)
        return file_ends(files)

    recent, settings = RecentFiles(read), settings_of(mount, redis=False)
    at = [AT_END - DAY + seconds for seconds in (0.0, 4.9, 5.0, 5.1, -60.0)]
    for moment in at:
        (first, *_) = file_expiries(settings, clock=[moment].pop, read=recent)
        left.append(first.seconds_left)
        read_by_then.append(len(reads))

    assert left == [AT_END - now for now in at]
    # A clock that was set back is no reason to answer for ever from memory.
    assert read_by_then == [1, 1, 2, 2, 3]


def test_concurrent_expiry_requests_share_one_read(mount):
    started, reads = threading.Barrier(8), []

    def read(files):
        reads.append(files)
        return file_ends(files)

    recent, settings = RecentFiles(read), settings_of(mount, redis=False)

    def ask(_):
        started.wait()
        return file_expiries(settings, clock=lambda: AT_END, read=recent)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))

    assert len(reads) == 1
    assert answers == [answers[0]] * 8


def test_metrics_with_pipes_as_certificates_do_not_hang(mount):
    for path in (mount.certificate, mount.ca):
        Path(path).unlink()
        os.mkfifo(path)

    found = file_expiries(settings_of(mount, redis=False), read=RecentFiles())

    assert [one.seconds_left for one in found] == [math.nan, math.nan]
