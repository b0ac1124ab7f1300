"""PostgreSQL as Django reaches it: our own eyes first, then the driver for real.

What libpq says about a failure is one text for many causes. So TLS is looked at here
before, and where the driver fails, the first words of the protocol are exchanged once
more by hand: the server's answer has a SQLSTATE.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from typing import Protocol

from understack_nautobot_settings.certificates.reading import hexadecimal
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import postgresql_options
from understack_nautobot_settings.environment.libpq import DIRECT_SINCE
from understack_nautobot_settings.environment.libpq import SSLCERTMODE_SINCE
from understack_nautobot_settings.environment.libpq import is_postgresql
from understack_nautobot_settings.environment.libpq import libpq_release
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.attempt import Journey
from understack_nautobot_settings.probes.gateway import ANSWERS
from understack_nautobot_settings.probes.gateway import answer
from understack_nautobot_settings.probes.gateway import closed_problem
from understack_nautobot_settings.probes.gateway import gateway_problem
from understack_nautobot_settings.probes.gateway import greeting
from understack_nautobot_settings.probes.gateway import hangs_up_unasked
from understack_nautobot_settings.probes.gateway import silent_problem
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.tls import Explain
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import lost_problem
from understack_nautobot_settings.probes.tls import own_certificate
from understack_nautobot_settings.probes.tls import secure
from understack_nautobot_settings.problems import Problem

PORT = 5432
ALPN = "postgresql"
WHO = (
    "select current_user::text, current_setting('server_version'), s.version, "
    "s.client_dn, s.client_serial::text "
    "from pg_stat_ssl s where s.pid = pg_backend_pid()"
)

_SNI_VARIABLE = "PGSSLSNI"
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_PROTOCOL_3 = 196608
_LOOK_SECONDS = 3.0
_AUTHENTICATED = b"\0\0\0\0"
_LENGTH_OCTETS = 4
_LONGEST_MESSAGE = 65536
_ENCRYPTED = ("require", "verify-ca", "verify-full")
# A libpq that is older refuses to connect at all. Both are set for the driver that
# Django takes, which need not be the one that imports faster.
_KNOWN_SINCE = {"sslnegotiation": DIRECT_SINCE, "sslcertmode": SSLCERTMODE_SINCE}
_SHORTEST_CONNECT = 2

# Django takes these out of OPTIONS itself; they are no parameters of libpq.
_DJANGOS_OWN = (
    "assume_role",
    "cursor_factory",
    "isolation_level",
    "pool",
    "prepare_threshold",
    "server_side_binding",
)

# SQLSTATE, appendix A of the PostgreSQL manual.
_WRONG_PASSWORD = "28P01"  # noqa: S105 - a code
_NOT_AUTHORIZED = "28000"
_NO_DATABASE = "3D000"
_NO_PRIVILEGE = "42501"
_NOT_YET = ("57P03", "57P01", "57P02")
_TOO_MANY = "53300"


class Session(Protocol):
    """A connection of the driver."""

    driver: str

    def row(self, statement: str) -> tuple[Any, ...]:
        """Return the only row of a statement."""
        raise NotImplementedError

    def close(self) -> None:
        """Disconnect."""
        raise NotImplementedError


class NoDriver(Exception):
    """No PostgreSQL driver can be imported."""


class DriverError(Exception):
    """The driver failed; the text is libpq's."""


def connect(parameters: Mapping[str, Any]) -> Session:
    """Connect with a driver that is installed, the one that imports faster.

    Args:
        parameters: libpq's connection parameters by name.

    Raises:
        NoDriver: There is none.
        DriverError: It cannot connect.
    """
    session = _psycopg2(parameters) or _psycopg(parameters)
    if session is None:
        raise NoDriver
    return session


class _DriverSession:
    """A DB-API connection."""

    def __init__(self, driver: str, connection: Any, error: type[Exception]) -> None:
        self.driver = driver
        self._connection = connection
        self._error = error

    def row(self, statement: str) -> tuple[Any, ...]:
        try:
            cursor = self._connection.cursor()
            cursor.execute(statement)
            return tuple(cursor.fetchone() or ())
        except self._error as error:
            raise DriverError(str(error).strip()) from None

    def close(self) -> None:
        self._connection.close()


def _psycopg2(parameters: Mapping[str, Any]) -> Session | None:
    try:
        import psycopg2
        from psycopg2.extensions import libpq_version
    except ImportError:
        return None
    version = libpq_version()
    if any(version < _KNOWN_SINCE.get(name, 0) for name in parameters):
        return None
    try:
        connection = psycopg2.connect(**parameters)
    except psycopg2.Error as error:
        raise DriverError(str(error).strip()) from None
    name = f"psycopg2, libpq {libpq_release(version)}"
    return _DriverSession(name, connection, psycopg2.Error)


def _psycopg(parameters: Mapping[str, Any]) -> Session | None:
    try:
        import psycopg
    except ImportError:
        return None
    try:
        connection = psycopg.connect(**parameters)
    except psycopg.Error as error:
        raise DriverError(str(error).strip()) from None
    name = f"psycopg, libpq {libpq_release(psycopg.pq.version())}"
    return _DriverSession(name, connection, psycopg.Error)


def probe_database(
    journey: Journey,
    settings: Mapping[str, Any],
    network: Network,
    *,
    env: Mapping[str, str] | None = None,
    driver: Callable[[Mapping[str, Any]], Session] = connect,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reach the default database as Django would.

    Args:
        journey: Where the stages go.
        settings: Django settings by name.
        network: The network.
        env: The environment, of which libpq itself takes ``PGSSLSNI``.
        driver: Connects with libpq's parameters.
        clock: Seconds since the epoch.

    Raises:
        Failed: A stage was not passed.
    """
    database = (settings.get("DATABASES") or {}).get("default") or {}
    options = postgresql_options(settings)
    sni = options.get("sslsni", (env or {}).get(_SNI_VARIABLE) or "1")
    target = _target(database, options, names_host=str(sni) != "0")
    endpoint = target.endpoint
    if not is_postgresql(database):
        _, connection = reach(journey, network, endpoint)
        connection.close()
        journey.skip("tls", "not looked at: the database is not PostgreSQL")
        return
    route: Route | None = None
    if endpoint.host and "," not in endpoint.host:
        route, connection = reach(journey, network, endpoint)
        with connection:
            _look(journey, route, connection, target, clock)
    else:
        journey.skip("dns", "left to libpq: several hosts, or none")
    _log_in(journey, route, target, driver, clock)


class _Target(NamedTuple):
    """What libpq is told.

    Attributes:
        endpoint: Where the server is.
        parameters: libpq's connection parameters by name.
        tls: How TLS is spoken, None where it is not demanded.
        direct: Whether TLS starts at once.
    """

    endpoint: Endpoint
    parameters: dict[str, Any]
    tls: Tls | None
    direct: bool


def _target(
    database: Mapping[str, Any], options: Mapping[str, Any], *, names_host: bool
) -> _Target:
    parameters = {
        name: value for name, value in options.items() if name not in _DJANGOS_OWN
    }
    for parameter, key in (
        ("dbname", "NAME"),
        ("user", "USER"),
        ("password", "PASSWORD"),
        ("host", "HOST"),
        ("port", "PORT"),
    ):
        if database.get(key):
            parameters[parameter] = database[key]
    host = str(parameters.get("host", ""))
    mode = options.get("sslmode")
    direct = options.get("sslnegotiation") == "direct"
    tls = None
    if mode in _ENCRYPTED and not host.startswith("/"):
        tls = Tls(
            ca=options.get("sslrootcert"),
            verify=mode != "require",
            check_hostname=mode == "verify-full",
            cert=options.get("sslcert"),
            key=options.get("sslkey"),
            strict=False,
            names_host=names_host,
            protocol=ALPN if direct else None,
            ca_variable=variables.DB_SSLROOTCERT.name,
            cert_variable=variables.DB_SSLCERT.name,
            key_variable=variables.DB_SSLKEY.name,
            key_password=str(options.get("sslpassword") or ""),
        )
    port = int(str(parameters.get("port") or PORT).split(",")[0])
    if host.startswith("/"):
        host = f"{host}/.s.PGSQL.{port}"
    endpoint = Endpoint(
        "PostgreSQL",
        host,
        port,
        variables.DB_HOST.name,
        str(options.get("hostaddr") or ""),
    )
    return _Target(endpoint, parameters, tls, direct)


def _look(
    journey: Journey,
    route: Route,
    connection: socket.socket,
    target: _Target,
    clock: Callable[[], float],
) -> None:
    """Pass the stages ``tls`` and ``identity``."""
    if target.tls is None:
        mode = target.parameters.get("sslmode", "unset")
        journey.skip("tls", f"not demanded: sslmode is {mode}")
        journey.skip("identity", "nobody proves who he is without TLS")
        return
    explain = _explain(route, target, target.tls)

    def start(fresh: socket.socket) -> None:
        if not target.direct:
            fresh.settimeout(journey.patience)
            _ask_for_tls(fresh, explain, target)

    secure(
        journey,
        route,
        connection,
        target.tls,
        explain,
        start=start,
        clock=clock,
    ).close()


def _explain(route: Route, target: _Target, tls: Tls) -> Explain:
    endpoint = target.endpoint
    place, variable = endpoint.place, endpoint.variable

    def at_tls() -> socket.socket:
        fresh = route.connect()
        if not target.direct:
            try:
                _ask_for_tls(fresh, explain, target)
            except BaseException:
                fresh.close()
                raise
        return fresh

    def hung_up() -> Problem:
        return _hung_up(route, target, tls)

    def not_tls() -> Problem:
        return codes.PROBE_NOT_POSTGRESQL.problem(
            variable,
            f"{place} answers, and not as PostgreSQL does.",
            "Correct host and port.",
        )

    explain = Explain(
        at_tls,
        hung_up,
        lambda: silent_problem(route),
        not_tls,
        lambda: closed_problem(route),
    )
    return explain


def _ask_for_tls(connection: socket.socket, explain: Explain, target: _Target) -> None:
    """Negotiate TLS as libpq does where it does not start at once.

    Raises:
        Failed: The server does not do TLS.
    """
    try:
        connection.sendall(_SSL_REQUEST)
        said = connection.recv(1)
    except TimeoutError:
        raise Failed(explain.silent()) from None
    except OSError:
        said = b""
    if said == b"S":
        return
    if said == b"":
        raise Failed(explain.hung_up())
    if said in {b"N", b"E"}:
        raise Failed(_tls_refused(target))
    raise Failed(explain.not_tls())


def _tls_refused(target: _Target) -> Problem:
    return codes.PROBE_TLS_REFUSED.problem(
        variables.DB_SSLMODE.name,
        f"PostgreSQL at {target.endpoint.place} refuses TLS.",
        "Turn TLS on there (CloudNativePG: serverTLSSecret); until then nothing is "
        "sent to it.",
    )


def _hung_up(route: Route, target: _Target, tls: Tls) -> Problem:
    """Tell why a server hangs up where TLS should start."""
    if hangs_up_unasked(route):
        return closed_problem(route)
    endpoint, name = target.endpoint, variables.DB_SSLNEGOTIATION.name
    if target.direct:
        said = _said_to_ssl_request(route)
        if said == b"S":
            return codes.PROBE_DIRECT_UNSUPPORTED.problem(
                name,
                f"PostgreSQL at {endpoint.place} knows TLS and not direct negotiation.",
                f"Unset {name}, or upgrade the server to PostgreSQL 17.",
            )
        if said == b"N":
            return _tls_refused(target)
        return gateway_problem(route, tls)
    bare = endpoint.host.rstrip(".")
    if not endpoint.is_ip and answer(route, greeting(bare, ALPN)) == ANSWERS:
        return codes.PROBE_GATEWAY_NEGOTIATION.problem(
            name,
            f"{endpoint.place} answers to TLS and hangs up on PostgreSQL's own "
            "negotiation, as a gateway does that routes by the name in TLS.",
            f"Set {name}=direct, or correct the port where PostgreSQL is at another.",
        )
    return gateway_problem(route, tls._replace(protocol=ALPN))


def _said_to_ssl_request(route: Route) -> bytes:
    try:
        with route.connect(_LOOK_SECONDS) as connection:
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1)
    except OSError:
        return b""


def _log_in(
    journey: Journey,
    route: Route | None,
    target: _Target,
    driver: Callable[[Mapping[str, Any]], Session],
    clock: Callable[[], float],
) -> None:
    """Pass the stages ``login`` and ``query``."""
    given = int(target.parameters.get("connect_timeout") or journey.left)
    seconds = max(_SHORTEST_CONNECT, min(given, int(journey.left)))
    with journey.stage("login") as stage:
        try:
            session = driver({**target.parameters, "connect_timeout": seconds})
        except NoDriver:
            raise Failed(
                codes.PROBE_DRIVER.problem(
                    variables.DB_HOST.name,
                    "no PostgreSQL driver can be imported here.",
                    "Run this inside the Nautobot image.",
                )
            ) from None
        except DriverError as error:
            raise Failed(_login_problem(route, target, str(error), clock)) from None
        stage.detail = f"accepted from {session.driver}"
    try:
        with journey.stage("query") as stage:
            try:
                stage.detail = _who(session.row(WHO))
            except DriverError:
                raise Failed(
                    codes.PROBE_DB_ERROR.problem(
                        variables.DB_HOST.name,
                        f"PostgreSQL at {target.endpoint.place} does not answer a "
                        "query.",
                        "Look into its log.",
                    )
                ) from None
    finally:
        session.close()


def _who(row: tuple[Any, ...]) -> str:
    if not row:
        return "no answer about this session"
    user, version, tls, subject, serial = row
    seen = f"{tls}" if tls else "no TLS"
    if subject:
        # As `check` and OpenSSL write it; PostgreSQL writes it in decimal.
        seen += f", client certificate {subject}, serial {hexadecimal(int(serial))}"
    elif tls:
        seen += ", no client certificate"
    return f"as {user} on PostgreSQL {version}; the server sees {seen}"


def _login_problem(
    route: Route | None,
    target: _Target,
    libpq_text: str,
    clock: Callable[[], float],
) -> Problem:
    """Tell why a login failed, by asking the server once more by hand."""
    if route is None:
        return _libpq_problem(target, libpq_text)
    tls = target.tls
    explain = None if tls is None else _explain(route, target, tls)
    try:
        with route.connect() as plain:
            connection = plain
            if tls is not None and explain is not None:
                if not target.direct:
                    _ask_for_tls(plain, explain, target)
                name = target.endpoint.host if tls.names_host else None
                connection = tls.context().wrap_socket(plain, server_hostname=name)
                # libpq goes no further either: with direct negotiation it is a must.
                if target.direct and connection.selected_alpn_protocol() != ALPN:
                    connection.close()
                    return explain.not_tls()
            with connection:
                kind, answered = first_answer(connection, target.parameters)
    except Failed as failed:
        return failed.problem
    except TimeoutError:
        return _silent_login(target)
    except OSError as error:
        if tls is None or explain is None:
            return closed_problem(route)
        return lost_problem(error, tls, target.endpoint, explain, clock())
    if kind == "E":
        return _server_error(target, answered)
    if answered.get("method") == "0":
        return _libpq_problem(target, libpq_text)
    return _password_problem(target)


def first_answer(
    connection: socket.socket, parameters: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    """Ask for a session, and return the kind of the answer and what is in it.

    Args:
        connection: A connection that is ready for the start-up message.
        parameters: libpq's connection parameters; the password is not sent.

    Returns:
        ``("R", {"method": number})`` for a request of authentication, 0 where none
        is wanted, or ``("E", fields)`` for an error, by their letters: ``C`` is the
        SQLSTATE, ``M`` the message, ``R`` the routine.

    Raises:
        OSError: The connection is lost, or time is up.
    """
    words = []
    user = str(parameters.get("user") or "")
    for name, value in (
        ("user", user),
        ("database", str(parameters.get("dbname") or user)),
    ):
        words += [name.encode(), value.encode()]
    body = struct.pack("!i", _PROTOCOL_3) + b"\0".join(words) + b"\0\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    while True:
        kind = _exactly(connection, 1)
        (length,) = struct.unpack("!i", _exactly(connection, _LENGTH_OCTETS))
        if not _LENGTH_OCTETS <= length <= _LONGEST_MESSAGE:
            raise ConnectionAbortedError
        content = _exactly(connection, length - _LENGTH_OCTETS)
        if kind == b"E":
            fields = (part for part in content.split(b"\0") if part)
            return "E", {
                part[:1].decode("ascii", "replace"): part[1:].decode(errors="replace")
                for part in fields
            }
        if kind == b"R" and content[:4] != _AUTHENTICATED:
            return "R", {"method": str(int.from_bytes(content[:4], "big"))}
        if kind == b"Z":
            return "R", {"method": "0"}
        # Who is let in may still be refused, for the database or its connections.


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def _server_error(target: _Target, fields: Mapping[str, str]) -> Problem:
    state, routine = fields.get("C", ""), fields.get("R", "")
    place = target.endpoint.place
    user = target.parameters.get("user", "")
    if state == _WRONG_PASSWORD:
        return _password_problem(target)
    if state == _NOT_AUTHORIZED:
        return _not_authorized(target, routine, fields.get("M", ""))
    if state == _NO_DATABASE:
        return codes.PROBE_DB_NAME.problem(
            variables.DB_NAME.name,
            f"there is no database {target.parameters.get('dbname')} at {place}.",
            "Correct the name, or create the database.",
        )
    if state == _NO_PRIVILEGE:
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"the user {user} may not connect to this database at {place}.",
            "Grant CONNECT on the database to the user.",
        )
    if state in _NOT_YET:
        return codes.PROBE_DB_STARTING.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} is starting, stopping or recovering.",
            "Wait; look into its log where it takes long.",
        )
    if state == _TOO_MANY:
        return codes.PROBE_DB_FULL.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} has no connection left.",
            "Raise max_connections, or lower CONN_MAX_AGE and the number of workers.",
        )
    return codes.PROBE_DB_ERROR.problem(
        variables.DB_HOST.name,
        f"PostgreSQL at {place} refuses the session with SQLSTATE {state}.",
        "Look into its log.",
    )


def _not_authorized(target: _Target, routine: str, message: str) -> Problem:
    """Tell the refusals apart that share a SQLSTATE.

    By the routine of the server that refused; the name of the file pg_hba.conf is in
    its message in every language.
    """
    place = target.endpoint.place
    user = target.parameters.get("user", "")
    presents = target.tls is not None and target.tls.cert
    if "pg_hba.conf" in message:
        over = "over TLS" if target.tls else "without TLS"
        remedy = (
            "Add a hostssl line for this user, database and network."
            if target.tls
            else f"Set {variables.DB_SSLMODE.name}=verify-full, or verify-ca."
        )
        return codes.PROBE_DB_HBA.problem(
            variables.DB_SSLMODE.name,
            f"no line of pg_hba.conf at {place} lets {user} in {over} from here.",
            remedy,
        )
    if routine == "InitializeSessionUserId":
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"the user {user} does not exist at {place}, or may not log in.",
            "Correct the user, or create the role with LOGIN.",
        )
    if not presents:
        return codes.PROBE_CLIENT_REQUIRED.problem(
            variables.DB_SSLMODE.name,
            f"{place} wants a client certificate, and none is configured.",
            f"Set {variables.DB_SSLMODE.name}=verify-full, or verify-ca.",
        )
    own = own_certificate(target.tls) if target.tls else None
    shown = f" ({own.subject})" if own else ""
    return codes.PROBE_DB_CERTIFICATE_USER.problem(
        variables.DB_USER.name,
        f"{place} does not take the client certificate{shown} for the user {user}.",
        "The CN of the certificate has to be the user: correct one of the two, or add "
        "a mapping to pg_ident.conf.",
    )


def _password_problem(target: _Target) -> Problem:
    user, place = target.parameters.get("user", ""), target.endpoint.place
    if not target.parameters.get("password"):
        return codes.PROBE_DB_PASSWORD.problem(
            variables.DB_PASSWORD.name,
            f"{place} wants a password for the user {user}, and none is configured.",
            "Set it, or let pg_hba.conf ask for the certificate alone.",
        )
    return codes.PROBE_DB_PASSWORD.problem(
        variables.DB_PASSWORD.name,
        f"{place} does not take this password for the user {user}.",
        "Set it to the password in the secret nautobot-db.",
    )


def _silent_login(target: _Target) -> Problem:
    return codes.PROBE_SILENT.problem(
        variables.DB_HOST.name,
        f"{target.endpoint.place} accepts the connection and does not answer the "
        "login.",
        "Look at the server and at the load on it.",
    )


def _libpq_problem(target: _Target, text: str) -> Problem:
    password = str(target.parameters.get("password") or "")
    line = text.splitlines()[0] if text else "no reason given"
    if password:
        line = line.replace(password, "***")
    return codes.PROBE_LIBPQ.problem(
        variables.DB_HOST.name,
        f"libpq does not connect: {line}.",
        "Look at the certificate files with `check`, and at PG* variables in the "
        "environment.",
    )
