"""The files of every connection are found, each set once."""

from __future__ import annotations

from typing import Any

from understack_nautobot_settings.environment.client_files import client_files


def database(folder: str, **more: Any) -> dict[str, Any]:
    files = {"sslcert": "tls.crt", "sslkey": "tls.key", "sslrootcert": "ca.crt"}
    options = {name: f"{folder}/{file}" for name, file in files.items()}
    return {"OPTIONS": {"sslmode": "verify-full", **options, **more}, "USER": "app"}


def places(**databases: Any) -> list[tuple[str, str, str | None]]:
    found = client_files({"DATABASES": databases})
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
