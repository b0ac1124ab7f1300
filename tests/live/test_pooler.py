"""PgBouncer in transaction mode between Nautobot and PostgreSQL."""

import pytest
from django.db import OperationalError

from lab.servers.pooler import pooler
from tests.live.deployment import configured
from tests.live.deployment import database
from tests.live.deployment import database_environment
from understack_nautobot_settings.probes.targets import probe_targets

WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
TRANSACTION = {**WAN, "UNDERSTACK_DB_POOLER": "transaction"}


@pytest.fixture(scope="module")
def port(postgres15):
    """Where the pooler listens."""
    with pooler(postgres15, size=2) as port:
        yield port


def settings(port, mount, env):
    return configured(database_environment(port, mount, "verify-full", **env))


@pytest.mark.parametrize(
    ("env", "parameter", "variable", "remedy"),
    [
        (
            WAN,
            "options",
            "UNDERSTACK_DB_POOLER",
            "Set UNDERSTACK_DB_POOLER=transaction for PgBouncer",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"replication": "true"}'},
            "replication",
            "NAUTOBOT_DB_EXTRA_OPTIONS",
            "Remove it",
        ),
    ],
    ids=["wan", "another"],
)
def test_probe_names_the_parameter_that_the_pooler_refuses(
    port, mount, env, parameter, variable, remedy
):
    env = database_environment(port, mount, "verify-full", **env)
    (found,) = probe_targets(["database"], env)

    assert found.problem.code == "probe-db-options"
    assert found.server_said == f"unsupported startup parameter: {parameter}"
    assert str(found.problem) == (
        f"{variable}: localhost:{port} does not accept the libpq parameter {parameter} "
        f"with which the session starts. {remedy}, or list it in the "
        "ignore_startup_parameters of PgBouncer."
    )


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (
            {"NAUTOBOT_DB_USER": "other"},
            "probe-db-certificate-user",
            "certificate authentication failed",
        ),
        (
            {"NAUTOBOT_DB_NAME": "nowhere"},
            "probe-db-name",
            'database "nowhere" does not exist',
        ),
    ],
)
def test_probe_reports_other_refusals_of_the_pooler(port, mount, changed, code, said):
    env = {**database_environment(port, mount, "verify-full"), **changed}
    (found,) = probe_targets(["database"], env)

    assert (found.problem.code, found.server_said) == (code, said)


@pytest.mark.parametrize(
    ("mode", "more", "expected"),
    [
        (
            "disable",
            {},
            "NAUTOBOT_DB_SSLMODE: localhost:{port} accepts no connection without TLS. "
            "Set NAUTOBOT_DB_SSLMODE=verify-full, or verify-ca.",
        ),
        (
            "verify-full",
            {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"},
            "NAUTOBOT_DB_SSLNEGOTIATION: PostgreSQL at localhost:{port} speaks TLS, "
            "but does not support direct negotiation. Unset "
            "NAUTOBOT_DB_SSLNEGOTIATION, or upgrade the server.",
        ),
    ],
    ids=["plain", "direct"],
)
def test_probe_names_what_keeps_tls_from_the_pooler(port, mount, mode, more, expected):
    env = database_environment(port, mount, mode, **more)
    (found,) = probe_targets(["database"], env)

    assert str(found.problem) == expected.format(port=port)


def test_pooler_refuses_the_wan_parameters_for_a_server(port, mount):
    with (
        database(settings(port, mount, WAN)) as connection,
        pytest.raises(OperationalError, match="unsupported startup parameter"),
    ):
        connection.ensure_connection()


def test_connection_through_the_pooler_is_in_utc(port, mount):
    with (
        database(settings(port, mount, TRANSACTION)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("show TimeZone")
        assert cursor.fetchone() == ("UTC",)


def test_more_clients_than_server_connections_are_served(port, mount, postgres15):
    chosen = settings(port, mount, TRANSACTION)
    opened = [database(chosen) for _ in range(6)]
    connections = [one.__enter__() for one in opened]
    try:
        for connection in connections:
            # Django asks this setting before it declares a cursor on the server.
            assert connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] is True
            with connection.cursor() as cursor:
                cursor.execute("select 1")
        held = postgres15.sql(
            "select count(*) from pg_stat_activity where usename = 'app'"
        )
    finally:
        for one in opened:
            one.__exit__(None, None, None)

    assert held[0][0] <= 2
