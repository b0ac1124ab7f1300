"""The rules of the example Cluster, as CloudNativePG writes them into pg_hba.conf.

The operator adds a line of its own after them, which takes a password from everybody.
"""

import pytest
from django.db import OperationalError

from lab.servers.databases import CERTIFICATE_ONLY
from lab.servers.databases import OPERATOR_LAST_RULE
from lab.servers.databases import PostgresServer
from lab.wire.sections.beside import wait_for
from tests.kubernetes_examples import one
from tests.live.deployment import configured
from tests.live.deployment import database
from tests.live.deployment import database_environment

RULES = one("Cluster", "nautobot-cluster")["spec"]["postgresql"]["pg_hba"]
ADDRESSES = pytest.mark.parametrize("address", ["127.0.0.1", "::1"])


@pytest.fixture(scope="module", params=[15, 18])
def server(request, authority):
    settings = {"listen_addresses": "127.0.0.1,::1"}
    with PostgresServer(
        request.param, authority=authority, hba=RULES, settings=settings
    ) as server:
        # The password that the client sends: only a rule can refuse it.
        server.set_password("canary-of-the-database")
        yield server


def sessions_after_login(server, mount, address, sslmode):
    """Log in, and return what the server knows of its sessions meanwhile."""
    env = database_environment(server.port, mount, sslmode, NAUTOBOT_DB_HOST=address)
    with database(configured(env)) as connection, connection.cursor():
        return [(one["ssl"], one["client_dn"]) for one in server.sessions()]


@ADDRESSES
def test_rules_accept_a_certificate(server, mount, address):
    assert sessions_after_login(server, mount, address, "verify-ca") == [
        (True, "/CN=app")
    ]


@ADDRESSES
@pytest.mark.parametrize(
    ("sslmode", "refusal"),
    [
        ("disable", "pg_hba.conf rejects connection"),
        ("require", "connection requires a valid client certificate"),
    ],
)
def test_rules_refuse_password_without_certificate(
    server, mount, address, sslmode, refusal
):
    with pytest.raises(OperationalError, match=refusal):
        sessions_after_login(server, mount, address, sslmode)
    # The server ends what it refused a moment later.
    wait_for(lambda: not server.sessions(), 10)
    assert server.sessions() == []


@pytest.mark.parametrize(
    ("rules", "address", "sslmode", "ssl"),
    [
        (["hostssl all all 0.0.0.0/0 cert"], "127.0.0.1", "disable", False),
        (["hostssl all all 0.0.0.0/0 cert"], "::1", "require", True),
        (["hostssl all all all cert"], "::1", "disable", False),
    ],
    ids=["plain-ipv4", "tls-ipv6", "no-reject"],
)
def test_rules_shorter_than_the_example_accept_a_password(
    server, mount, rules, address, sslmode, ssl
):
    """What the reject rule and the word all are for."""
    server.set_hba(*rules)
    try:
        assert sessions_after_login(server, mount, address, sslmode) == [(ssl, None)]
    finally:
        server.set_hba(*RULES)


def test_lab_uses_the_rules_of_the_example(server):
    assert tuple(RULES) == CERTIFICATE_ONLY
    (last,) = server.sql(
        "select concat_ws(' ', type, database[1], user_name[1], address, auth_method)"
        " from pg_hba_file_rules order by line_number desc limit 1"
    )
    assert last == (OPERATOR_LAST_RULE,)
