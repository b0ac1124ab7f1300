"""PostgreSQL as Django reaches it: the driver first, then the cause of its failure.

libpq has the last word: what it accepts is accepted. Where it fails, TLS is looked at
once more, and the first words of the protocol are exchanged by hand, because no driver
tells the SQLSTATE of a refused connection.
"""

from __future__ import annotations

import socket
import ssl
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
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes import libpq_words
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import NoDriver
from understack_nautobot_settings.probes.driver_session import Session
from understack_nautobot_settings.probes.driver_session import database_session
from understack_nautobot_settings.probes.gateway import SSL_REQUEST
from understack_nautobot_settings.probes.gateway import closed_problem
from understack_nautobot_settings.probes.gateway import closes_unasked
from understack_nautobot_settings.probes.gateway import gateway_problem
from understack_nautobot_settings.probes.gateway import protocol_for_name
from understack_nautobot_settings.probes.gateway import said_to
from understack_nautobot_settings.probes.gateway import silent_problem
from understack_nautobot_settings.probes.handshake import client_problem
from understack_nautobot_settings.probes.handshake import lost_problem
from understack_nautobot_settings.probes.handshake import secure
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.startup import Login
from understack_nautobot_settings.probes.startup import StartUpAnswer
from understack_nautobot_settings.probes.startup import refusal_problem
from understack_nautobot_settings.probes.startup import start_up
from understack_nautobot_settings.probes.tls import ALPN
from understack_nautobot_settings.probes.tls import POSTGRESQL
from understack_nautobot_settings.probes.tls import Explain
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import name_problem
from understack_nautobot_settings.problems import Problem

PORT = 5432
WHO = (
    "select current_user::text, current_setting('server_version'), s.version, "
    "s.cipher, s.client_dn, s.client_serial::text "
    "from pg_stat_ssl s where s.pid = pg_backend_pid()"
)
"""Answers who came in, as the server sees it."""

_SNI_VARIABLE = "PGSSLSNI"
_ENCRYPTED = ("require", "verify-ca", "verify-full")
# An older libpq refuses to connect at all. They are set for the driver that Django
# takes, which need not be the one that imports faster.
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


class Driver(Protocol):
    """Runs a statement in a session; see `database_session`."""

    def __call__(
        self,
        parameters: Mapping[str, Any],
        statement: str,
        seconds: float,
        *,
        libpq_since: int = 0,
    ) -> Session:
        """Return what came of it."""
        raise NotImplementedError


class Database(NamedTuple):
    """What libpq is told.

    Attributes:
        endpoints: Where the servers are; empty where libpq chooses.
        parameters: libpq's connection parameters by name.
        tls: How TLS is spoken, None where it is not demanded.
        direct: Whether TLS starts at once.
    """

    endpoints: tuple[Endpoint, ...]
    parameters: dict[str, Any]
    tls: Tls | None
    direct: bool


def probe_database(
    attempt: Attempt,
    settings: Mapping[str, Any],
    network: Network,
    *,
    env: Mapping[str, str] | None = None,
    driver: Driver = database_session,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reach the default database as Django would.

    Args:
        attempt: Where the stages go.
        settings: Django settings by name.
        network: The network.
        env: The environment, of which libpq itself takes ``PGSSLSNI``.
        driver: Connects with libpq's parameters.
        clock: Seconds since the epoch.

    Raises:
        Failed: A stage was not passed.
    """
    entry = (settings.get("DATABASES") or {}).get("default") or {}
    options = postgresql_options(settings)
    sni = options.get("sslsni", (env or {}).get(_SNI_VARIABLE) or "1")
    database = _database(entry, options, names_host=str(sni) != "0")
    if not is_postgresql(entry):
        _, connection = reach(attempt, network, *database.endpoints)
        connection.close()
        attempt.skip("tls", "not looked at: the database is not PostgreSQL")
        return
    started = attempt.clock()
    try:
        session = driver(
            _with_timeout(database.parameters, attempt.patience),
            WHO,
            attempt.patience,
            libpq_since=max(map(_since, database.parameters), default=0),
        )
    except NoDriver:
        _look(attempt, network, database, None, clock)
        return
    except DriverError as error:
        text, on_query = str(error), error.on_query
    except TimeoutError:
        text, on_query = "", False
    else:
        _note_success(attempt, database, session, attempt.clock() - started)
        return
    attempt.connections += max(1, text.count("connection to server at"))
    before = attempt.repeated(f"libpq: {text or 'no answer in time'}")
    if before is not None:
        with attempt.stage(before.stage):
            raise Failed(before.problem)
    if on_query:
        with attempt.stage("query"):
            raise Failed(_query_problem(attempt, database, text))
    _look(attempt, network, database, text, clock)


def _since(parameter: str) -> int:
    return _KNOWN_SINCE.get(parameter, 0)


def _with_timeout(parameters: Mapping[str, Any], patience: float) -> dict[str, Any]:
    given = str(parameters.get("connect_timeout") or "")
    seconds = int(patience)
    if given.isdecimal() and int(given):
        seconds = min(seconds, int(given))
    return {**parameters, "connect_timeout": max(_SHORTEST_CONNECT, seconds)}


def _database(
    entry: Mapping[str, Any], options: Mapping[str, Any], *, names_host: bool
) -> Database:
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
        if entry.get(key):
            parameters[parameter] = entry[key]
    if not names_host:
        parameters["sslsni"] = "0"
    mode = options.get("sslmode")
    direct = options.get("sslnegotiation") == "direct"
    endpoints = _endpoints(parameters)
    tls = None
    if mode in _ENCRYPTED and not any(one.is_socket for one in endpoints):
        tls = Tls(
            ca=options.get("sslrootcert"),
            verify=mode != "require",
            check_hostname=mode == "verify-full",
            cert=options.get("sslcert"),
            key=options.get("sslkey"),
            driver_judges=True,
            names_host=names_host,
            protocol=ALPN if direct else None,
            ca_variable=variables.DB_SSLROOTCERT.name,
            cert_variable=variables.DB_SSLCERT.name,
            key_variable=variables.DB_SSLKEY.name,
            key_password=str(options.get("sslpassword") or ""),
        )
    return Database(endpoints, parameters, tls, direct)


def _endpoints(parameters: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Return where libpq goes: hosts, their addresses and ports may be lists."""

    def listed(name: str) -> list[str]:
        return [one.strip() for one in str(parameters.get(name) or "").split(",")]

    hosts, addresses, ports = listed("host"), listed("hostaddr"), listed("port")
    count = max(len(hosts), len(addresses))
    hosts += [""] * (count - len(hosts))
    addresses += [""] * (count - len(addresses))
    ports += ports[-1:] * (count - len(ports))
    endpoints = []
    for host, address, port in zip(hosts, addresses, ports, strict=False):
        number = int(port) if port.isdecimal() else PORT
        place = f"{host}/.s.PGSQL.{number}" if host.startswith("/") else host or address
        if place:
            endpoints.append(
                Endpoint(POSTGRESQL, place, number, variables.DB_HOST.name, address)
            )
    return tuple(endpoints)


def _note_success(
    attempt: Attempt, database: Database, session: Session, seconds: float
) -> None:
    """Note the stages that the driver has passed; it took them in one step."""
    if not session.row:
        with attempt.stage("query"):
            raise Failed(_query_problem(attempt, database, "no row"))
    user, version, protocol, cipher, subject, serial = session.row
    mode = database.parameters.get("sslmode", "unset")
    attempt.skip("dns", "resolved by libpq" if database.endpoints else "left to libpq")
    attempt.skip("tcp", session.address)
    # A pooler in between has another connection to PostgreSQL, perhaps without TLS.
    spoken = ", ".join(part for part in (protocol, cipher) if part)
    if database.tls is None:
        attempt.skip("tls", f"{spoken or 'no TLS'}: sslmode is {mode}")
        attempt.skip("identity", "not verified: sslmode does not ask for it")
    else:
        attempt.skip("tls", spoken or f"TLS, because sslmode is {mode}")
        host = database.parameters.get("host") or database.parameters.get("hostaddr")
        attempt.skip("identity", f"configured host {host}, {_verified(database.tls)}")
    attempt.over("login", True, seconds, f"accepted from {session.driver}")
    seen = protocol or "no TLS"
    if subject:
        # As `check` and OpenSSL write it; PostgreSQL writes it in decimal.
        number = hexadecimal(int(serial or 0))
        seen += f", client certificate {subject}, serial {number}"
    elif protocol:
        seen += ", no client certificate"
    attempt.skip("query", f"as {user} on PostgreSQL {version}; the server sees {seen}")


def _verified(tls: Tls) -> str:
    if not tls.verify:
        return "certificate not verified"
    if not tls.check_hostname:
        return "certificate verified by libpq without the name"
    return "certificate and name verified by libpq"


def _query_problem(attempt: Attempt, database: Database, text: str) -> Problem:
    attempt.quote(_without_password(text, database))
    return codes.PROBE_DB_ERROR.problem(
        variables.DB_HOST.name,
        f"PostgreSQL at {_place(database)} does not answer a query.",
    )


def _place(database: Database) -> str:
    return " and ".join(one.place for one in database.endpoints) or "libpq's default"


def _without_password(text: str, database: Database) -> str:
    password = str(database.parameters.get("password") or "")
    return text.replace(password, "***") if password else text


# --- why the driver failed -----------------------------------------------------


def _look(
    attempt: Attempt,
    network: Network,
    database: Database,
    text: str | None,
    clock: Callable[[], float],
) -> None:
    """Find out why libpq failed, stage by stage; None for its text where there is none.

    Raises:
        Failed: Always.
    """
    if not database.endpoints:
        attempt.skip("dns", "left to libpq: no host is configured")
        with attempt.stage("login"):
            raise Failed(
                _no_driver()
                if text is None
                else _driver_problem(attempt, database, text, None)
            )
    route, connection = reach(attempt, network, *database.endpoints)
    explain = _explain(route, database)
    with connection:
        if database.tls is None:
            mode = database.parameters.get("sslmode", "unset")
            attempt.skip("tls", f"not demanded: sslmode is {mode}")
            attempt.skip("identity", "no TLS: the server's identity is not verified")
        else:

            def start(fresh: socket.socket) -> None:
                if not database.direct:
                    fresh.settimeout(attempt.patience)
                    _ask_for_tls(fresh, explain, route)

            # Where the server has answered libpq, libpq has accepted its certificate.
            verify = database.tls.verify and not libpq_words.is_of_server(text or "")
            tls = database.tls._replace(verify=verify)
            secured = secure(
                attempt, route, connection, tls, explain, start=start, clock=clock
            )
            connection = secured.connection
        with connection:
            if database.tls is not None and libpq_words.is_name_mismatch(text or ""):
                attempt.fail_last(name_problem(secured.seen, route.endpoint))
            with attempt.stage("login"):
                if text is None:
                    raise Failed(_no_driver())
                raise Failed(_login_problem(attempt, route, connection, database, text))


def _no_driver() -> Problem:
    return codes.PROBE_DRIVER.problem(
        variables.DB_HOST.name, "no PostgreSQL driver can be imported here."
    )


def _login_problem(
    attempt: Attempt,
    route: Route,
    connection: socket.socket,
    database: Database,
    text: str,
) -> Problem:
    """Return why a login failed, by asking the server once more by hand."""
    tls, explain = database.tls, _explain(route, database)
    if tls is not None and isinstance(connection, ssl.SSLSocket):
        # libpq goes no further either: with direct negotiation it is a must.
        if database.direct and connection.selected_alpn_protocol() != ALPN:
            return explain.not_tls()
        alert = libpq_words.alert_in(text)
        refused = alert and client_problem(alert, tls, route)
        if refused:
            return refused
    try:
        answer = start_up(connection, database.parameters, attempt.timer())
    except OSError as error:
        if libpq_words.is_of_server(text):
            return _driver_problem(attempt, database, text, None)
        if isinstance(error, TimeoutError):
            return codes.PROBE_SILENT.problem(
                variables.DB_HOST.name,
                f"{route.endpoint.place} accepts the connection and does not answer "
                "the login.",
            )
        if tls is None:
            return closed_problem(route)
        return lost_problem(error, tls, route, explain)
    return _driver_problem(attempt, database, text, answer)


def _driver_problem(
    attempt: Attempt, database: Database, text: str, answer: StartUpAnswer | None
) -> Problem:
    """Return what libpq's text means, with what the server answers a moment later.

    Args:
        attempt: Where the server's words go.
        database: What libpq was told.
        text: What libpq said, empty where it said nothing in time.
        answer: The server's answer to a start-up message, None where it was not asked.
    """
    said = libpq_words.server_words(text)
    shown = Login(_place(database), database.parameters, database.tls)
    # Where the server said nothing to libpq, this is what it says now.
    if answer is not None and answer.sqlstate and (answer.message in said or not said):
        attempt.quote(answer.message)
        return refusal_problem(answer, shown)
    attempt.quote(_without_password(said or text, database))
    sqlstate = libpq_words.sqlstate_of(said)
    if sqlstate and (answer is None or answer.wants_password):
        return refusal_problem(StartUpAnswer(sqlstate, said), shown)
    problem = libpq_words.own_problem(text, _place(database))
    if problem is not None:
        return problem
    words = attempt.server_said or "no answer in time"
    return codes.PROBE_DB_PASSING.problem(
        variables.DB_HOST.name,
        f"the connection to {_place(database)} failed, and another one a moment later "
        f"met no such fault: {words}.",
    )


def _explain(route: Route, database: Database) -> Explain:
    endpoint = route.endpoint

    def at_tls() -> socket.socket:
        fresh = route.connect()
        if not database.direct:
            try:
                _ask_for_tls(fresh, explain, route)
            except BaseException:
                fresh.close()
                raise
        return fresh

    def not_postgresql() -> Problem:
        return codes.PROBE_NOT_POSTGRESQL.problem(
            endpoint.variable, f"{endpoint.place} answers, but not as PostgreSQL does."
        )

    explain = Explain(
        at_tls,
        lambda: _closed_before_tls(route, database, not_postgresql),
        lambda: silent_problem(route),
        not_postgresql,
        lambda: closed_problem(route, "after the TLS handshake"),
    )
    return explain


def _ask_for_tls(connection: socket.socket, explain: Explain, route: Route) -> None:
    """Negotiate TLS as libpq does where it does not start at once.

    Raises:
        Failed: The server does not do TLS.
    """
    try:
        connection.sendall(SSL_REQUEST)
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
        raise Failed(_tls_refused(route))
    raise Failed(explain.not_tls())


def _tls_refused(route: Route) -> Problem:
    return codes.PROBE_TLS_REFUSED.problem(
        variables.DB_SSLMODE.name,
        f"PostgreSQL at {route.endpoint.place} refuses TLS.",
        "Turn TLS on there (CloudNativePG: serverTLSSecret); until then nothing is "
        "sent to it.",
    )


def _closed_before_tls(
    route: Route, database: Database, not_postgresql: Callable[[], Problem]
) -> Problem:
    """Return why a server closes the connection where TLS should start."""
    endpoint, name = route.endpoint, variables.DB_SSLNEGOTIATION.name
    if database.direct:
        said = said_to(route, SSL_REQUEST)
        if said == b"S":
            return codes.PROBE_DIRECT_UNSUPPORTED.problem(
                name,
                f"PostgreSQL at {endpoint.place} speaks TLS, but does not support "
                "direct negotiation.",
            )
        if said == b"N":
            return _tls_refused(route)
    if closes_unasked(route):
        return closed_problem(route)
    tls = database.tls
    if tls is None or database.direct:
        return gateway_problem(route, tls) if tls else closed_problem(route)
    bare = None if endpoint.is_ip else endpoint.host.rstrip(".")
    protocol = protocol_for_name(route, bare, ALPN)
    if protocol == "":
        return not_postgresql()
    if protocol is not None and not endpoint.is_ip:
        return codes.PROBE_GATEWAY_NEGOTIATION.problem(
            name,
            f"{endpoint.place} answers to TLS and closes the connection on "
            "PostgreSQL's own negotiation, as a gateway does that routes by the name "
            "in TLS.",
        )
    return gateway_problem(route, tls._replace(protocol=ALPN))
