"""PgBouncer in transaction mode between Nautobot and PostgreSQL."""

import pytest
from django.db import OperationalError

from lab.servers.pooler import pooler
from tests.live.deployment import configured
from tests.live.deployment import database
from tests.live.deployment import database_environment

WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
TRANSACTION = {**WAN, "UNDERSTACK_DB_POOLER": "transaction"}


@pytest.fixture(scope="module")
def port(postgres15):
    """Where the pooler listens."""
    with pooler(postgres15, size=2) as port:
        yield port


def settings(port, mount, env):
    return configured(database_environment(port, mount, "verify-full", **env))


def test_pooler_refuses_what_wan_sends_to_a_server(port, mount):
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
