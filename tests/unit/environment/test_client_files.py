"""The files of every connection are found, each set once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from understack_nautobot_settings.environment.client_files import client_files


def database(folder: str, **more: Any) -> dict[str, Any]:
    files = {"sslcert": "tls.crt", "sslkey": "tls.key", "sslrootcert": "ca.crt"}
    options = {name: f"{folder}/{file}" for name, file in files.items()}
    return {"OPTIONS": {"sslmode": "verify-full", **options, **more}, "USER": "app"}


ENV = {"NAUTOBOT_DB_SSLCERT": "/m/tls.crt"}


def places(**databases: Any) -> list[tuple[str, str, str | None]]:
    found = client_files({"DATABASES": databases}, ENV)
    return [(one.cert.path, one.cert.variable, one.user) for one in found if one.cert]


def test_files_of_a_replica_are_found_by_their_setting():
    replica = {**database("/replica"), "USER": "reader"}

    assert places(replica=replica, default=database("/m")) == [
        ("/m/tls.crt", "NAUTOBOT_DB_SSLCERT", "app"),
        ("/replica/tls.crt", "DATABASES.replica.OPTIONS.sslcert", "reader"),
    ]


def test_files_that_databases_share_are_found_once():
    assert places(default=database("/m"), job_logs=database("/m")) == [
        ("/m/tls.crt", "NAUTOBOT_DB_SSLCERT", "app")
    ]


def test_files_of_a_database_without_tls_are_not_found():
    assert places(default=database("/m", sslmode="disable")) == []


def test_certificate_without_a_ca_beside_it_is_found():
    """It expires as any other; sslmode require and the system's CAs need no file."""
    options = {"sslmode": "require", "sslcert": Path("/m/tls.crt"), "sslkey": "/m/k"}
    pool = {"ssl_certfile": "/r/tls.crt", "ssl_keyfile": "/r/tls.key"}
    settings = {
        "DATABASES": {"default": {"OPTIONS": options}},
        "CACHES": {"default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": pool}}},
    }

    of_database, of_cache = client_files(settings, ENV)

    assert [one.path for one in of_database.present()] == ["/m/tls.crt", "/m/k"]
    assert [one.path for one in of_cache.present()] == ["/r/tls.crt", "/r/tls.key"]


def test_files_of_a_connection_that_is_no_dict_are_not_found():
    assert client_files({"DATABASES": {"default": None}, "CACHES": {"a": 1}}) == []


def test_files_of_the_settings_file_are_named_by_their_settings():
    """No variable says their paths, though one may say another."""
    tls = {"ssl_certfile": "/own/tls.crt", "ssl_keyfile": "/own/tls.key"}
    pool = {**tls, "ssl_ca_certs": "/etc/nautobot/mtls/ca.crt"}
    native = {"ssl_ca_certs": "/n/ca", "ssl_certfile": "/n/c", "ssl_keyfile": "/n/k"}
    settings = {
        "DATABASES": {"default": database("/own")},
        "CACHES": {
            "default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": pool}},
            "native": {"OPTIONS": native},
        },
        "CELERY_BROKER_USE_SSL": {**pool, "ssl_certfile": "/broker/tls.crt"},
    }

    of_database, of_cache, of_native, of_broker = client_files(settings, ENV)

    below = "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS"
    assert of_database.cert.variable == "DATABASES.default.OPTIONS.sslcert"
    assert of_cache.cert.variable == f"{below}.ssl_certfile"
    assert of_cache.ca.variable == "NAUTOBOT_REDIS_SSL_CA_CERTS"
    assert of_native.key.variable == "CACHES.native.OPTIONS.ssl_keyfile"
    assert of_broker.cert.variable == "CELERY_BROKER_USE_SSL.ssl_certfile"
