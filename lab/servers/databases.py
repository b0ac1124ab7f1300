"""PostgreSQL and Redis as they run behind the gateway, and servers that mislead.

Each is a context manager on a free loopback port with its files in a directory of
its own; both are gone afterwards, whatever happened in between.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal

from lab import installation
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.processes import NotStarted
from lab.processes import Process
from lab.processes import accepts
from lab.processes import free_port

HOST = "127.0.0.1"
SUPERUSER = "postgres"
# The rules of examples/kubernetes/global/cluster.yaml.
CERTIFICATE_ONLY = ("hostssl all all all cert", "host all all all reject")
# CloudNativePG writes this line after the rules of the Cluster.
OPERATOR_LAST_RULE = "host all all all scram-sha-256"
PORT_ATTEMPTS = 5
SESSIONS = """
select a.pid, a.usename as user, a.datname as database, a.application_name,
       a.client_port,
       s.ssl, s.version, s.cipher, s.client_dn, s.client_serial, s.issuer_dn
from pg_stat_activity a join pg_stat_ssl s using (pid)
where a.backend_type = 'client backend' and a.client_addr is not null
order by a.backend_start
"""


class Server:
    """What PostgreSQL and Redis have in common: a port, a process, a directory."""

    host = HOST
    name = "server"

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        server: Leaf | None = None,
        client_ca: bytes | None = None,
    ) -> None:
        """Describe the server; it starts when the context is entered.

        Args:
            authority: Issues the server certificate and is trusted for clients; a
                new one by default.
            server: The server certificate; by default one of the authority for
                localhost and its addresses.
            client_ca: PEM of the CAs trusted for clients; the authority's by default.
        """
        self.authority = authority or Authority()
        self.server = server or self.authority.server()
        self.client_ca = client_ca or self.authority.ca_pem
        self.port = 0
        self._user = _unprivileged_user()
        self._process: Process | None = None
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """Where the server keeps its files."""
        assert self._directory is not None, "The server was not started."
        return self._directory

    @property
    def process(self) -> Process:
        """The running program."""
        assert self._process is not None, "The server was not started."
        return self._process

    @property
    def log(self) -> str:
        """Everything the server has logged."""
        return (self.directory / "log").read_text(errors="replace")

    def __enter__(self) -> Any:
        """Prepare the directory and start."""
        self._directory = Path(tempfile.mkdtemp(prefix="understack-lab-"))
        try:
            self._own(self.directory)
            self._prepare()
            self._start_on_free_port()
            self._set_up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """End the server and remove its files."""
        self._remove()

    def start(self) -> None:
        """Start again on the same port, after `stop` or `kill`."""
        self._process = self._launch()

    def stop(self) -> None:
        """End it in an orderly way; clients are disconnected."""
        self.process.end()

    def kill(self) -> None:
        """End it the hard way, as a crash does."""
        self.process.end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, and start on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Keep connections open and answer nothing, until `resume`."""
        self.process.pause()

    def resume(self) -> None:
        """Answer again."""
        self.process.resume()

    def install_certificates(
        self, server: Leaf | None = None, client_ca: bytes | None = None
    ) -> None:
        """Write the server's certificate, key and client CA; reload to use them."""
        self.server = server or self.server
        self.client_ca = client_ca or self.client_ca
        self._write("server.crt", self.server.chain_pem)
        self._write("server.key", self.server.key_pem)
        self._write("clients.crt", self.client_ca)

    def _prepare(self) -> None:
        self.install_certificates()

    def _launch(self) -> Process:
        raise NotImplementedError

    def _set_up(self) -> None:
        """Do what needs a running server."""

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.unlink(missing_ok=True)
        with open(
            path, "wb", opener=lambda file, flags: os.open(file, flags, 0o600)
        ) as f:
            f.write(content)
        self._own(path)
        return path

    def _own(self, path: Path) -> None:
        if self._user is not None:
            user = pwd.getpwnam(self._user)
            os.chown(path, user.pw_uid, user.pw_gid)

    def _start_on_free_port(self) -> None:
        for attempt in range(PORT_ATTEMPTS):
            self.port = free_port()
            try:
                self.start()
            except NotStarted as error:
                # Somebody else was faster.
                taken = "in use" in str(error)
                if not taken or attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                return

    def _remove(self) -> None:
        try:
            if self._process is not None:
                self._end()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self) -> None:
        # A paused process answers no signal but the last.
        self.process.resume()
        self.process.end()


class PostgresServer(Server):
    """A PostgreSQL that lets in who `pg_hba.conf` says; user and database ``app``.

    The superuser comes in through the socket in `directory`, which only root and the
    server's own user can reach: see `sql`.
    """

    def __init__(
        self,
        version: Literal[15, 18] = 18,
        *,
        authority: Authority | None = None,
        server: Leaf | None = None,
        client_ca: bytes | None = None,
        tls: bool = True,
        hba: Sequence[str] | None = None,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; it starts when the context is entered.

        Args:
            version: Major version.
            authority: As for `Server`.
            server: As for `Server`.
            client_ca: As for `Server`.
            tls: Whether TLS is offered.
            hba: Rules of the Cluster for TCP connections, which CloudNativePG's own
                last rule follows. By default client certificates only, or none where
                TLS is off.
            password: Password of the user ``app``, none by default.
            settings: Further lines of ``postgresql.conf``.
        """
        super().__init__(authority=authority, server=server, client_ca=client_ca)
        self.version = version
        self.name = f"PostgreSQL {version}"
        self.tls = tls
        self.hba = tuple(hba if hba is not None else CERTIFICATE_ONLY if tls else ())
        self.password = password
        self.settings = dict(settings or {})
        self._last_rule = OPERATOR_LAST_RULE

    def reload(self) -> None:
        """Read configuration and certificates again; connections stay."""
        before = self.sql("select pg_conf_load_time()")
        self.process.send(signal.SIGHUP)
        while self.sql("select pg_conf_load_time()") == before:
            pass

    def set_hba(self, *lines: str) -> None:
        """Replace the rules of the Cluster and reload."""
        self.hba = lines
        self._write_hba()
        self.reload()

    @contextlib.contextmanager
    def changed(
        self,
        *statements: str,
        back: Sequence[str] = (),
        hba: Sequence[str] | None = None,
        last_rule: str = OPERATOR_LAST_RULE,
    ) -> Iterator[None]:
        """Change the server for a while.

        Args:
            *statements: Change it.
            back: Statements that take that back.
            hba: Rules of the Cluster meanwhile.
            last_rule: What the operator writes after them.
        """
        before = self.hba
        self._last_rule = last_rule
        self.set_hba(*(before if hba is None else hba))
        try:
            for statement in statements:
                self.sql(statement, database=SUPERUSER)
            yield
        finally:
            for statement in back:
                self.sql(statement, database=SUPERUSER)
            self._last_rule = OPERATOR_LAST_RULE
            self.set_hba(*before)

    def revoke(self, revocation_list: bytes) -> None:
        """Let nobody in whose certificate is in this list (CRL)."""
        path = self._write("revoked.crl", revocation_list)
        self.sql(f"alter system set ssl_crl_file = '{path}'")
        self.reload()

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] = (),
        *,
        database: str = "app",
    ) -> list[tuple[Any, ...]]:
        """Run a statement as superuser, outside TLS, and return its rows."""
        return self._query(statement, parameters, database)[1]

    def sessions(self) -> list[dict[str, Any]]:
        """Return who is connected by TCP, as the server sees it, oldest first.

        Keys: pid, user, database, application_name, client_port, ssl, version, cipher,
        client_dn, client_serial, issuer_dn.
        """
        return self.rows(SESSIONS)

    def rows(
        self, statement: str, parameters: Sequence[Any] = ()
    ) -> list[dict[str, Any]]:
        """Run a statement as `sql` does and return its rows by column name."""
        names, rows = self._query(statement, parameters, "app")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def end_sessions(self) -> None:
        """Disconnect everyone who came in by TCP."""
        self.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where backend_type = 'client backend' and client_addr is not null"
        )

    def _query(
        self, statement: str, parameters: Sequence[Any], database: str
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        connection = driver().connect(
            host=str(self.directory),
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            connect_timeout=10,
        )
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, parameters or None)
            if cursor.description is None:
                return [], []
            names = [column[0] for column in cursor.description]
            return names, [tuple(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def _prepare(self) -> None:
        super()._prepare()
        programs = installation.postgres(self.version)
        as_user = {} if self._user is None else {"user": self._user}
        if self._user is not None:
            as_user |= {"group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}
        done = subprocess.run(
            [
                programs / "initdb",
                f"--pgdata={self.directory / 'data'}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **as_user,  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise NotStarted(f"{self.name}: initdb failed:\n{done.stderr}")
        self._write_hba()
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.directory),
            "hba_file": str(self.directory / "pg_hba.conf"),
            "ssl": "on" if self.tls else "off",
            "ssl_cert_file": str(self.directory / "server.crt"),
            "ssl_key_file": str(self.directory / "server.key"),
            "ssl_ca_file": str(self.directory / "clients.crt"),
            "log_connections": "on",
            # Nothing here outlives the test.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            **self.settings,
        }
        with open(self.directory / "data" / "postgresql.auto.conf", "a") as file:
            for name, value in settings.items():
                escaped = value.replace("'", "''")
                file.write(f"{name} = '{escaped}'\n")

    def _write_hba(self) -> None:
        lines = ("local all all trust", *self.hba, self._last_rule, "")
        self._write("pg_hba.conf", "\n".join(lines).encode())

    def _launch(self) -> Process:
        log = self.directory / "log"
        seen = log.stat().st_size if log.exists() else 0

        def ready() -> bool:
            said = log.read_bytes()[seen:]
            return b"database system is ready to accept connections" in said

        return Process(
            self.name,
            [
                installation.postgres(self.version) / "postgres",
                "-D",
                self.directory / "data",
                "-p",
                str(self.port),
            ],
            log=log,
            ready=ready,
            # The server's own messages are read; they have to be in English.
            environment={**_without_libpq_variables(), "LC_ALL": "C"},
            directory=self.directory,
            user=self._user,
            # Fast shutdown for us; the kernel, after us, sends the same.
            end_signal=signal.SIGINT,
        )

    def _end(self) -> None:
        self.process.resume()
        # Immediate: nothing is written down, and shared memory is given back.
        self.process.end(signal.SIGQUIT)

    def _set_up(self) -> None:
        self.sql("create role app login", database=SUPERUSER)
        if self.password is not None:
            self.set_password(self.password)
        self.sql("create database app owner app", database=SUPERUSER)

    def set_password(self, password: str) -> None:
        """Give the user ``app`` this password."""
        literal = self.sql("select quote_literal(%s)", [password], database=SUPERUSER)
        self.sql(f"alter role app password {literal[0][0]}", database=SUPERUSER)


class RedisServer(Server):
    """A Redis that demands a client certificate, and a password where one is given.

    The lab itself comes in through the socket in `directory`: see `admin`.
    """

    name = "Redis"

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        server: Leaf | None = None,
        client_ca: bytes | None = None,
        tls: bool = True,
        auth_clients: Literal["yes", "no", "optional"] = "yes",
        password: str | None = None,
        settings: Iterable[str] = (),
    ) -> None:
        """Describe the server; it starts when the context is entered.

        Args:
            authority: As for `Server`.
            server: As for `Server`.
            client_ca: As for `Server`.
            tls: Whether the port speaks TLS, or plain text only.
            auth_clients: Whether clients need a certificate.
            password: Password of the user ``default``, any text; none by default.
            settings: Further lines of ``redis.conf``.
        """
        super().__init__(authority=authority, server=server, client_ca=client_ca)
        self.tls = tls
        self.auth_clients = auth_clients
        self.password = password
        self.settings = tuple(settings)
        self._admin_password = secrets.token_urlsafe()

    def admin(self) -> Any:
        """Return a redis-py client that comes in through the socket.

        Close it, or use it as a context manager.
        """
        import redis

        return redis.Redis(
            unix_socket_path=str(self.directory / "redis.sock"),
            username="lab",
            password=self._admin_password,
            decode_responses=True,
        )

    def set_password(self, password: str | None) -> None:
        """Give the user ``default`` this password, or none."""
        with self.admin() as admin:
            admin.config_set("requirepass", password or "")
        self.password = password

    def sessions(self) -> list[dict[str, str]]:
        """Return CLIENT LIST of those who came in by TCP."""
        with self.admin() as admin:
            return [
                client
                for client in admin.client_list()
                if client["laddr"].endswith(f":{self.port}")
            ]

    def reload(self) -> None:
        """Read the certificates again; connections stay."""
        if self.tls:
            with self.admin() as admin:
                admin.config_set("tls-cert-file", str(self.directory / "server.crt"))

    def _launch(self) -> Process:
        digest = hashlib.sha256(self._admin_password.encode()).hexdigest()
        lines = [
            f"bind {HOST}",
            f"port {0 if self.tls else self.port}",
            f"unixsocket {self.directory / 'redis.sock'}",
            "unixsocketperm 700",
            f"dir {self.directory}",
            'save ""',
            "appendonly no",
            f"user lab on #{digest} ~* &* +@all",
            *self.settings,
        ]
        if self.tls:
            lines += [
                f"tls-port {self.port}",
                f"tls-cert-file {self.directory / 'server.crt'}",
                f"tls-key-file {self.directory / 'server.key'}",
                f"tls-ca-cert-file {self.directory / 'clients.crt'}",
                f"tls-auth-clients {self.auth_clients}",
            ]
        if self.password is not None:
            # Any text is safe as hexadecimal escapes.
            escaped = "".join(f"\\x{byte:02x}" for byte in self.password.encode())
            lines.append(f'requirepass "{escaped}"')
        if "cluster-enabled yes" in lines:
            # By default 10,000 above the other port, which there may not be.
            lines.append(f"cluster-port {free_port()}")
        configuration = self._write("redis.conf", "\n".join([*lines, ""]).encode())
        return Process(
            self.name,
            [installation.redis_server(), configuration],
            log=self.directory / "log",
            ready=lambda: accepts(self.port),
            directory=self.directory,
            user=self._user,
        )


def _unprivileged_user() -> str | None:
    """Return whom to run servers as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise installation.MissingProgram(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a "
        "user nobody to run it as. Run as another user."
    )


def _without_libpq_variables() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name[:2] != "PG"}


def driver() -> Any:
    """Return the PostgreSQL driver that is installed, psycopg 3 first, as Django."""
    try:
        import psycopg
    except ImportError:
        import psycopg2

        return psycopg2
    return psycopg
