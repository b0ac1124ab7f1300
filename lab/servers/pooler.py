"""PgBouncer in transaction mode, as CloudNativePG's Pooler runs it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab import installation
from lab.processes import Process
from lab.processes import accepts
from lab.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.servers.databases import PostgresServer

# What CloudNativePG writes, over certificates; the size is what a test needs.
CONFIGURATION = """\
[databases]
* = host={socket} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
max_client_conn = {clients}
default_pool_size = {size}
auth_type = cert
auth_file = {directory}/users
client_tls_sslmode = verify-full
client_tls_key_file = {directory}/server.key
client_tls_cert_file = {directory}/server.crt
client_tls_ca_file = {directory}/clients.crt
"""


@contextmanager
def pooler(
    postgres: PostgresServer, *, size: int = 20, clients: int = 5000
) -> Iterator[int]:
    """Run PgBouncer before a server; yields its port.

    Args:
        postgres: The server, which it reaches over its socket.
        size: Connections that it opens to the server at most.
        clients: Connections that it accepts at most.
    """
    program, libraries = installation.pgbouncer()
    user = postgres._user or "root"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="understack-pooler-") as name:
        directory = Path(name)
        files = {
            "pgbouncer.ini": CONFIGURATION.format(
                socket=postgres.directory,
                server_port=postgres.port,
                port=port,
                size=size,
                clients=clients,
                directory=directory,
            ).encode(),
            "users": b'"app" ""\n',
            "server.crt": postgres.server.cert_pem,
            "server.key": postgres.server.key_pem,
            "clients.crt": postgres.client_ca,
        }
        for file, content in files.items():
            (directory / file).write_bytes(content)
            (directory / file).chmod(0o644)
        directory.chmod(0o755)
        process = Process(
            "PgBouncer",
            [program, directory / "pgbouncer.ini"],
            log=directory / "log",
            ready=lambda: accepts(port),
            environment={"LD_LIBRARY_PATH": str(libraries)},
            user=user,
        )
        try:
            yield port
        finally:
            process.end()
