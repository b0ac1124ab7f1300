"""What a probe says of something between Nautobot and a real server."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.front import Front
from lab.servers.listening import tls_context
from lab.servers.pooler import pooler
from tests.live.deployment import database
from tests.live.deployment import database_environment
from tests.live.deployment import database_settings
from tests.live.deployment import redis_environment
from understack_nautobot_settings.probes.targets import probe_targets
from understack_nautobot_settings.probes.tls import ALPN
from understack_nautobot_settings.probes.tls import NO_TLS

REPOSITORY = Path(__file__).parents[2]
WITH_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'
PASS_ON = (
    "let a gateway pass TLS through (mode Passthrough), or a PgBouncer present a "
    "certificate of its own (server_tls_sslmode, server_tls_cert_file, "
    "server_tls_key_file)."
)
DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}


def probe(target, env, **options):
    (found,) = probe_targets([target], env, **options)
    return found


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (("hostssl all all all cert",), "a pg_hba.conf rule that rejects"),
        ((), "no pg_hba.conf rule that admits"),
    ],
    ids=["rejected", "no rule"],
)
def test_gateway_that_ends_tls_is_named_as_the_cause(
    postgres18, authority, mount, rules, rule
):
    """PostgreSQL sees neither TLS nor a certificate, and a rule would be no remedy."""
    last = "host all all all reject" if rules else ""
    context = tls_context(authority.server(), alpn="postgresql")
    with (
        postgres18.changed(hba=rules, last_rule=last),
        Front(postgres18.port, context) as gateway,
    ):
        env = database_environment(gateway.port, mount, "verify-full", **DIRECT)
        found = probe("database", env)

    assert found.problem.code == "probe-db-hba"
    assert str(found.problem) == (
        f"NAUTOBOT_DB_HOST: PostgreSQL at localhost:{gateway.port} has {rule} the user "
        f"app, database app, from 127.0.0.1 without TLS. TLS ends in front of "
        f"PostgreSQL: {PASS_ON}"
    )


class EncryptingAnew(Front):
    """A gateway that ends TLS, and begins it anew without a certificate."""

    def server(self, connection):
        context = NO_TLS._replace(protocol=ALPN).context()
        return context.wrap_socket(connection)


def test_certificate_that_a_gateway_keeps_is_not_refused_for_its_name(
    postgres18, authority, mount
):
    context = tls_context(authority.server(), alpn="postgresql")
    with EncryptingAnew(postgres18.port, context) as gateway:
        env = database_environment(gateway.port, mount, "verify-full", **DIRECT)
        found = probe("database", env)

    assert found.problem.code == "probe-client-certificate-required"
    assert str(found.problem) == (
        f"NAUTOBOT_DB_SSLCERT: localhost:{gateway.port} requires a client certificate, "
        "and the configured one (CN=app) did not arrive. If TLS ends in front of "
        f"PostgreSQL, {PASS_ON} Otherwise, issue the certificate with a key and a "
        "signature of a kind that PostgreSQL accepts: a client does not send any other."
    )


class Announcing(Front):
    """Tells the server behind it who connects (HAProxy: send-proxy)."""

    def server(self, connection):
        connection.sendall(b"PROXY TCP4 10.1.2.3 10.1.2.4 50000 6379\r\n")
        return connection


def test_proxy_protocol_before_redis_is_named_as_the_cause(authority):
    with (
        RedisServer(authority=authority, tls=False, password="right") as server,
        Announcing(server.port) as front,
    ):
        found = probe("cache", redis_environment(front.port, None, "right"))

    assert str(found.problem) == (
        f"NAUTOBOT_REDIS_HOST: localhost:{front.port} gets the PROXY protocol from "
        "what is in front of it. Turn the PROXY protocol off there (HAProxy: "
        "send-proxy)."
    )


def test_limit_of_pgbouncer_is_not_that_of_postgresql(postgres15, mount):
    more = {"UNDERSTACK_DB_POOLER": "transaction"}
    with (
        pooler(postgres15, clients=1) as port,
        database(database_settings(port, mount)) as connection,
    ):
        connection.ensure_connection()
        env = database_environment(port, mount, "verify-full", **more)
        found = probe("database", env)

    assert found.is_transient
    assert str(found.problem) == (
        f"NAUTOBOT_DB_HOST: PgBouncer at localhost:{port} has no connection left for "
        "user app, database app. Raise max_client_conn of PgBouncer, or use fewer "
        "connections (CONN_MAX_AGE, the number of workers)."
    )


def test_database_behind_dead_addresses_of_its_name_is_reached(
    authority, mount, tmp_path
):
    """libpq gives its time limit to each address, and the last one has the server."""
    hosts = tmp_path / "hosts"
    # The resolver puts the nearest first.
    dead, alive = ("127.0.0.1", "127.0.0.2"), "127.0.0.9"
    hosts.write_text("".join(f"{one} localhost\n" for one in (*dead, alive)))
    settings = {"listen_addresses": alive}
    with (
        PostgresServer(authority=authority, settings=settings) as server,
        ExitStack() as stack,
    ):
        env = database_environment(server.port, mount, "verify-full")
        for address in dead:
            # It takes connections in, and nobody accepts them.
            stack.enter_context(socket.create_server((address, server.port)))
        done = subprocess.run(
            [
                *("unshare", "--map-root-user", "--mount", "sh", "-c", WITH_HOSTS),
                *(hosts, sys.executable, "-m", "understack_nautobot_settings"),
                *("probe", "database"),
            ],
            env={**os.environ, **env, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
