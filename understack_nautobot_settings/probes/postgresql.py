"""PostgreSQL as Django reaches it: the driver first, then the cause of its failure.

libpq has the last word: what it accepts is accepted. Where it fails, TLS is looked at
once more, and the first words of the protocol are exchanged by hand, because no driver
tells the SQLSTATE of a refused connection.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.reading import hexadecimal
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import named_files
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.libpq import DIRECT_SINCE
from understack_nautobot_settings.environment.libpq import DJANGO_KEYS
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.libpq import SSLCERTMODE_SINCE
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import NoDriver
from understack_nautobot_settings.probes.driver_session import Session
from understack_nautobot_settings.probes.driver_session import database_session
from understack_nautobot_settings.probes.network import Address
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import shown_address
from understack_nautobot_settings.probes.refusals import LIBPQ
from understack_nautobot_settings.probes.refusals import Database
from understack_nautobot_settings.probes.refusals import NotPostgresql
from understack_nautobot_settings.probes.refusals import alert_in
from understack_nautobot_settings.probes.refusals import known_refusal
from understack_nautobot_settings.probes.refusals import server_words
from understack_nautobot_settings.probes.refusals import session_problem
from understack_nautobot_settings.probes.refusals import start_up
from understack_nautobot_settings.probes.server import LEFT
from understack_nautobot_settings.probes.server import LONGEST_ANSWER
from understack_nautobot_settings.probes.server import REFUSED
from understack_nautobot_settings.probes.server import SSL_REQUEST
from understack_nautobot_settings.probes.server import Server
from understack_nautobot_settings.probes.tls import ALPN
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import described_server
from understack_nautobot_settings.problems import Problem

PORT = 5432
_WHO = (
    "select current_user::text, current_setting('server_version') || case "
    "current_setting('transaction_read_only') when 'on' then "
    "', which takes no writes' else '' end, "
)
WHO = (
    f"{_WHO}case when s.pid is null then '' else s.version end, s.cipher, s.client_dn, "
    "s.client_serial::text from (select pg_backend_pid() as pid) as own left join "
    "pg_stat_ssl as s using (pid)"
)
"""Answers who came in, as the server sees it.

The version of TLS is empty where the user may not see it, as a role that another one
was set to may not.
"""
_WHO_WITHOUT_TLS = f"{_WHO}'', null, null, null"

_SNI_VARIABLE = "PGSSLSNI"
# Where libpq goes and as whom, unless it is told.
_PLACE = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER")
# What libpq verifies with each sslmode that demands TLS.
_VERIFIED = {
    "require": "certificate not verified",
    "verify-ca": "certificate verified by libpq without the name",
    "verify-full": "certificate and name verified by libpq",
}
# An older libpq refuses to connect at all. They are set for the driver that Django
# takes, which need not be the one that imports faster.
_KNOWN_SINCE = {"sslnegotiation": DIRECT_SINCE, "sslcertmode": SSLCERTMODE_SINCE}
_SHORTEST_CONNECT = 2
_QUICK_LOOK_UP = 0.5
# What libpq says of a certificate for other hosts, or for none.
_NAME_REFUSED = "does not match host name|could not get server's host name"
# What the drivers say of a session that ends.
_LOST = ("closed", "EOF detected", "could not receive data")

# Django takes these out of OPTIONS itself; they are no parameters of libpq.
_DJANGOS_OWN = (
    "assume_role",
    "cursor_factory",
    "isolation_level",
    "pool",
    "prepare_threshold",
    "server_side_binding",
)


def probe_database(
    attempt: Attempt,
    settings: Mapping[str, Any],
    network: Network,
    *,
    env: Mapping[str, str] | None = None,
    driver: Callable[..., Session] = database_session,
) -> None:
    """Reach the default database of Django settings as Django would.

    libpq reads ``PGSSLSNI`` from the environment; the driver connects with libpq's
    parameters, as `database_session` does. Raises `Failed` where a stage is not passed.
    """
    entry = (settings.get("DATABASES") or {}).get("default") or {}
    database = _database(entry, postgresql_options(settings), env or {})
    server = PostgresqlServer(attempt, network, database)
    if not is_postgresql(entry):
        if database.endpoints:
            server.reach().close()
        else:
            attempt.skip("dns", "skipped: no host is configured")
        attempt.skip("tls", "skipped: the database is not PostgreSQL")
        return
    started = attempt.clock()
    try:
        session = _session(server, driver)
    except NoDriver:
        _look(server, None)
    except (DriverError, TimeoutError) as error:
        # Where the time is up, libpq has said nothing.
        text = str(error)
        attempt.connections += max(1, text.count("connection to server at"))
        before = attempt.repeated(f"libpq: {text or 'no answer in time'}")
        if before is not None and before.problem is not None:
            with attempt.stage(before.stages[-1].stage):
                raise Failed(before.problem) from None
        if isinstance(error, DriverError) and error.on_query:
            _fail_on_query(server, text)
        _look(server, text)
    else:
        _note_success(server, session, attempt.clock() - started)


def _session(server: PostgresqlServer, driver: Callable[..., Session]) -> Session:
    parameters, attempt = _with_timeout(server), server.attempt
    since = max(_KNOWN_SINCE.get(one, 0) for one in parameters)
    try:
        return driver(parameters, WHO, attempt.patience, libpq_since=since)
    except DriverError as error:
        if not error.on_query or "pg_stat" not in str(error):
            raise
    # Some take the view from the public, and Nautobot does not need it.
    attempt.connections += 1
    return driver(parameters, _WHO_WITHOUT_TLS, attempt.patience, libpq_since=since)


def _with_timeout(server: PostgresqlServer) -> dict[str, Any]:
    parameters = dict(server.database.parameters)
    given = str(parameters.get("connect_timeout") or 0)
    # libpq takes a negative number for none, and refuses what is none.
    if given.isdecimal():
        # Each address gets it; a dead one may not use up the time of those after it.
        most = int(server.attempt.patience / max(1, _count_addresses(server)))
        # libpq takes 0 for none as well.
        seconds = max(_SHORTEST_CONNECT, min(most, int(given) or most))
        parameters["connect_timeout"] = seconds
    return parameters


def _count_addresses(server: PostgresqlServer) -> int:
    """Return how many addresses libpq has, as far as that can be told at once."""
    found: list[Address] = []

    def look() -> None:
        for one in server.endpoints:
            with suppress(OSError, UnicodeError):
                found.extend(server.network.resolve(one.address or one.host, one.port))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    # Where names resolve slowly, libpq needs the time for that.
    thread.join(_QUICK_LOOK_UP)
    return max(len(found), len(server.endpoints))


def _database(
    entry: Mapping[str, Any], options: Mapping[str, Any], env: Mapping[str, str]
) -> Database:
    names_host = str(options.get("sslsni", env.get(_SNI_VARIABLE))) != "0"
    # A service comes before them, and only libpq knows it.
    asked = () if env.get(variables.SERVICE.name) else filter(env.get, _PLACE)
    parameters: dict[str, Any] = {LIBPQ_VARIABLES[one]: env[one] for one in asked}
    # Django sets the encoding, so that a variable of libpq does not.
    parameters["client_encoding"] = "UTF8"
    parameters |= {
        name: value for name, value in options.items() if name not in _DJANGOS_OWN
    }
    parameters |= {
        one: entry[key] for key, one in DJANGO_KEYS.items() if entry.get(key)
    }
    if not names_host:
        parameters["sslsni"] = "0"
    mode = options.get("sslmode")
    endpoints = _endpoints(parameters)
    tls = None
    if mode in _VERIFIED and not any(one.is_socket for one in endpoints):
        cert, key, ca = named_files(options, variables.DB_FILES)
        tls = Tls(
            cert,
            key,
            ca,
            verify=mode != "require",
            check_hostname=mode == "verify-full",
            driver_judges=True,
            names_host=names_host,
            protocol=ALPN if options.get("sslnegotiation") == "direct" else None,
            key_password=str(options.get("sslpassword") or ""),
        )
    return Database(endpoints, parameters, tls)


def _endpoints(parameters: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Return where libpq goes: hosts, their addresses and ports may be lists."""

    def listed(name: str) -> list[str]:
        return [one.strip() for one in str(parameters.get(name) or "").split(",")]

    hosts, addresses, ports = listed("host"), listed("hostaddr"), listed("port")
    endpoints = []
    for host, address in zip_longest(hosts, addresses, fillvalue=""):
        # The last port counts for all further hosts.
        port = ports.pop(0) if len(ports) > 1 else ports[0]
        number = int(port) if port.isdecimal() else PORT
        place = f"{host}/.s.PGSQL.{number}" if host.startswith("/") else host or address
        endpoints.append(
            Endpoint(POSTGRESQL, place, number, variables.DB_HOST.name, address)
        )
    return tuple(one for one in endpoints if one.host)


def _note_success(server: PostgresqlServer, session: Session, seconds: float) -> None:
    """Note the stages that the driver has passed; it took them in one step."""
    attempt, database, mode = server.attempt, server.database, server.mode
    if not session.row:
        _fail_on_query(server, "")
    user, version, protocol, cipher, subject, serial = session.row
    attempt.skip("dns", "resolved by libpq" if database.endpoints else "left to libpq")
    attempt.skip("tcp", shown_address(session.address) or "a socket of this machine")
    # A pooler in between has another connection to PostgreSQL, perhaps without TLS.
    spoken = ", ".join(part for part in (protocol, cipher) if part)
    unspoken = "no TLS" if protocol is None else "TLS or not, which it does not tell us"
    tls = database.tls
    if tls is None:
        attempt.skip("tls", f"{spoken or unspoken}: sslmode is {mode}")
        attempt.skip("identity", "not verified: sslmode does not ask for it")
    else:
        attempt.skip("tls", spoken or f"TLS, because sslmode is {mode}")
        hosts = ",".join(one.name for one in database.endpoints)
        host = f"configured host {hosts}" if hosts else "no configured host"
        shown = f"{host}, {_VERIFIED[mode]}"
        if tls.verify and not tls.check_hostname and database.endpoints:
            # Whatever has a certificate of the CA can be that server: show its names.
            server.endpoint, server.address = database.endpoints[0], session.address
            found = server.shown_certificate()
            if found is not None:
                shown = described_server(found, tls, hosts)
        attempt.skip("identity", shown)
    attempt.skip("login", f"accepted from {session.driver}", seconds)
    seen = protocol or unspoken
    if subject:
        # As `check` and OpenSSL write it; PostgreSQL writes it in decimal.
        number = hexadecimal(int(serial or 0))
        seen += f", client certificate {subject}, serial {number}"
    elif protocol:
        seen += ", no client certificate"
    attempt.skip("query", f"as {user} on PostgreSQL {version}; the server sees {seen}")


def _fail_on_query(server: PostgresqlServer, text: str) -> None:
    database, place = server.database, server.database.place
    does = "answers a query with an error" if text else "does not answer a query"
    code, fact = codes.PROBE_DB_ERROR, f"PostgreSQL at {place} {does}."
    is_lost = any(words in text for words in _LOST)
    if is_lost:
        code = codes.PROBE_CLOSED
        fact = f"{place} accepts the session and closes it on the first query."
    server.attempt.quote(database.without_password(text), by=LIBPQ if is_lost else "")
    with server.attempt.stage("query"):
        refused = known_refusal(text, database)
        raise Failed(refused or code.problem(variables.DB_HOST.name, fact))


# --- why the driver failed -----------------------------------------------------


def _look(server: PostgresqlServer, text: str | None) -> None:
    """Find out why libpq failed, stage by stage, and raise `Failed`.

    The text is what libpq said: empty where it said nothing in time, None where there
    is no libpq.
    """
    attempt = server.attempt
    if not server.endpoints or "could not parse network address" in (text or ""):
        attempt.skip("dns", "left to libpq")
        with attempt.stage("login"):
            raise Failed(_login_problem(server, None, text))
    connection = server.reach()
    if re.search(_NAME_REFUSED, text or ""):
        server.verdict = REFUSED
    elif server.tls.verify and server_words(text or ""):
        # libpq has accepted the certificate of the server that has answered it.
        server.verdict = LEFT
    with connection, server.secure(connection) as secured, attempt.stage("login"):
        raise Failed(_login_problem(server, secured, text))


def _login_problem(
    server: PostgresqlServer, connection: socket.socket | None, text: str | None
) -> Problem:
    """Return why a login failed, by asking the server once more by hand."""
    if text is None:
        fact = "no PostgreSQL driver can be imported here."
        return codes.PROBE_DRIVER_MISSING.problem(variables.DB_HOST.name, fact)
    answer, attempt = None, server.attempt
    if isinstance(connection, ssl.SSLSocket):
        # libpq goes no further either: with direct negotiation it is a must.
        if server.is_direct and connection.selected_alpn_protocol() != ALPN:
            return server.not_tls()
        refused = server.refusal(alert_in(text))
        if refused is not None:
            return refused
    if connection is not None:
        try:
            answer = start_up(connection, server.database, attempt)
        except NotPostgresql:
            return server.not_tls()
        except OSError as error:
            if not server_words(text):
                return server.lost(error)
    return session_problem(text, answer, server.database, attempt)


class PostgresqlServer(Server):
    """PostgreSQL, which has a negotiation of its own before TLS.

    Attributes:
        negotiated: Whether the last connection was answered that TLS may start.
    """

    negotiated = False

    def __init__(self, attempt: Attempt, network: Network, database: Database) -> None:
        """Keep the ways to it, and what libpq is told."""
        self.database = database
        self.mode = database.parameters.get("sslmode", "unset")
        plain = f"not demanded: sslmode is {self.mode}"
        super().__init__(attempt, network, database.endpoints, database.tls, plain)

    @property
    def is_direct(self) -> bool:
        """Whether TLS starts at once."""
        return self.tls.protocol == ALPN

    def start_tls(self, connection: socket.socket) -> None:
        """Ask for TLS as libpq does where it does not start at once."""
        if self.is_direct:
            return
        connection.settimeout(self.attempt.patience)
        try:
            connection.sendall(SSL_REQUEST)
            said = connection.recv(LONGEST_ANSWER)
        except TimeoutError:
            raise Failed(self.silent()) from None
        except OSError:
            said = b""
        self.negotiated = said == b"S"
        if said == b"":
            raise Failed(self.hung_up())
        if not self.negotiated:
            raise Failed(self._answered(said) or self._stranger())

    def not_tls(self) -> Problem:
        """Return why something else than TLS is answered."""
        asked = self.is_direct or self.plain
        said = self.said_to(SSL_REQUEST) if asked else None
        return self._answered(said) or self._stranger()

    def refusal(self, reason: str) -> Problem | None:
        """Return what an alert says against us, None for nothing that is known."""
        if reason == "TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
            return self.not_tls()
        return super().refusal(reason)

    def silent(self) -> Problem:
        """Return why nothing is answered."""
        return self._stranger() if self.is_plain_redis() else super().silent()

    def _stranger(self) -> Problem:
        return self.endpoint.problem(
            codes.PROBE_NOT_POSTGRESQL, "answers, but not as PostgreSQL does."
        )

    def _answered(self, said: bytes | None) -> Problem | None:
        """Return what an answer of PostgreSQL to its question for TLS means."""
        if said and said[:1] == b"E" and said[-1:] == b"\0":
            # Not quoted: nobody knows yet who says it.
            return self.endpoint.problem(
                codes.PROBE_CLOSED,
                "answers with an error before TLS or a session begins.",
                "Look into the log of PostgreSQL: it answers so if it cannot start a "
                "process for the connection.",
            )
        if said == b"N" and not self.plain:
            fact = f"PostgreSQL at {self.endpoint.place} refuses TLS."
            return codes.PROBE_TLS_REFUSED.problem(variables.DB_SSLMODE.name, fact)
        if said != b"S" or not self.is_direct:
            return None
        return codes.PROBE_DIRECT_UNSUPPORTED.problem(
            variables.DB_SSLNEGOTIATION.name,
            f"PostgreSQL at {self.endpoint.place} speaks TLS, but does not support "
            "direct negotiation.",
        )

    def _hung_up_on_plain_text(self) -> Problem:
        chosen = None if self.is_postgresql() else self.chosen(ALPN, self.endpoint.host)
        if chosen is None:
            return self.closed()
        if chosen != ALPN:
            return self.not_tls()
        mode, negotiation = variables.DB_SSLMODE.name, variables.DB_SSLNEGOTIATION.name
        return codes.PROBE_TLS_REQUIRED.problem(
            mode,
            f"PostgreSQL at {self.endpoint.place} answers to direct TLS alone, and "
            f"sslmode is {self.mode}.",
            f"Set {mode}=verify-full and {negotiation}=direct.",
        )

    def hung_up(self) -> Problem:
        """Return why the connection is closed where TLS should start."""
        endpoint, name = self.endpoint, variables.DB_SSLNEGOTIATION.name
        if self.is_direct:
            answered = self._answered(self.said_to(SSL_REQUEST))
            if answered is not None:
                return answered
        if self.negotiated:
            return self.closed("when TLS starts")
        if self.plain:
            return self._hung_up_on_plain_text()
        if self.closes_unasked():
            return self.closed()
        if self.is_direct:
            return self.gateway_problem(ALPN)
        chosen = self.chosen(ALPN, endpoint.host.rstrip("."))
        if chosen == "":
            return self.not_tls()
        if chosen is not None and not endpoint.is_ip:
            return codes.PROBE_GATEWAY_NEGOTIATION.problem(
                name,
                f"{endpoint.place} answers to TLS and closes the connection on "
                "PostgreSQL's own negotiation, like a gateway that routes by the name "
                "in TLS.",
            )
        return self.gateway_problem(ALPN)
