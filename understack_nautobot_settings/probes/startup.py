"""PostgreSQL's start-up exchange, and what its refusals mean.

Refusals are told by their SQLSTATE, which is the same in every language. Where one
SQLSTATE stands for several, the routine that refused or a name in the text decides.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.problems import Problem

_PROTOCOL_3 = 196608
_LENGTH_OCTETS = 4
_LONGEST_MESSAGE = 65536
_MOST_MESSAGES = 64
_AUTHENTICATED = b"\0\0\0\0"
_SENT_AS = {"user": "user", "dbname": "database", "options": "options"}

# SQLSTATE, appendix A of the PostgreSQL manual.
WRONG_PASSWORD = "28P01"  # noqa: S105 - a code
NOT_AUTHORIZED = "28000"
NO_DATABASE = "3D000"
NO_PRIVILEGE = "42501"
NO_PARAMETER = "42704"
PROTOCOL_VIOLATION = "08P01"
TOO_MANY = "53300"
NOT_YET = ("57P03", "57P01", "57P02")


class StartUpAnswer(NamedTuple):
    """What a server answers to a start-up message.

    Attributes:
        sqlstate: Of its refusal, empty where it does not refuse.
        message: Of its refusal.
        routine: The routine of the server that refused.
        wants_password: Whether it asks for a password, which is not sent.
    """

    sqlstate: str = ""
    message: str = ""
    routine: str = ""
    wants_password: bool = False


def start_up(
    connection: socket.socket,
    parameters: Mapping[str, Any],
    seconds_left: Callable[[], float],
) -> StartUpAnswer:
    """Ask for a session, and return the answer.

    Args:
        connection: A connection that is ready for the start-up message.
        parameters: libpq's connection parameters; the password is not sent.
        seconds_left: How long the answer may take.

    Raises:
        OSError: The connection is lost, time is up, or it is no answer of PostgreSQL.
    """
    user = str(parameters.get("user") or "")
    given = {"dbname": user, **parameters}
    words = []
    for name, sent_as in _SENT_AS.items():
        if given.get(name):
            words += [sent_as.encode(), str(given[name]).encode()]
    body = struct.pack("!i", _PROTOCOL_3) + b"\0".join(words) + b"\0\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    for _ in range(_MOST_MESSAGES):
        kind, content = _message(connection, seconds_left)
        if kind == b"E":
            fields = {
                part[:1]: part[1:].decode(errors="replace")
                for part in content.split(b"\0")
            }
            return StartUpAnswer(
                fields.get(b"C") or "unknown",
                fields.get(b"M", ""),
                fields.get(b"R", ""),
            )
        if kind == b"R" and content[:4] != _AUTHENTICATED:
            return StartUpAnswer(wants_password=True)
        if kind == b"Z":
            return StartUpAnswer()
        # Who is let in may still be refused, for the database or its connections.
    raise ConnectionAbortedError


def _message(
    connection: socket.socket, seconds_left: Callable[[], float]
) -> tuple[bytes, bytes]:
    head = _exactly(connection, 1 + _LENGTH_OCTETS, seconds_left)
    (length,) = struct.unpack("!i", head[1:])
    if not _LENGTH_OCTETS <= length <= _LONGEST_MESSAGE:
        raise ConnectionAbortedError
    return head[:1], _exactly(connection, length - _LENGTH_OCTETS, seconds_left)


def _exactly(
    connection: socket.socket, count: int, seconds_left: Callable[[], float]
) -> bytes:
    data = b""
    while len(data) < count:
        connection.settimeout(seconds_left())
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


class Login(NamedTuple):
    """Who wanted to log in, and where.

    Attributes:
        place: Host and port.
        parameters: libpq's connection parameters by name.
        tls: How TLS is spoken, None where it is not demanded.
    """

    place: str
    parameters: Mapping[str, Any]
    tls: Tls | None

    @property
    def user(self) -> str:
        """The database user."""
        return str(self.parameters.get("user") or "that is unset")

    @property
    def database(self) -> str:
        """The database; libpq takes the user's name where there is none."""
        return str(self.parameters.get("dbname") or self.user)

    @property
    def common_name(self) -> str | None:
        """The CN of the certificate that was presented, None without one."""
        own = self.tls.own_certificate if self.tls is not None else None
        return None if own is None else own.common_name


def refusal_problem(refusal: StartUpAnswer, login: Login) -> Problem:
    """Return what a refusal of PostgreSQL means.

    Args:
        refusal: Its code, and its text where the code stands for several.
        login: Who was refused.
    """
    place, user, sqlstate = login.place, login.user, refusal.sqlstate
    if sqlstate == WRONG_PASSWORD:
        return _password_problem(login)
    if sqlstate == NOT_AUTHORIZED:
        return _not_authorized(refusal, login)
    if sqlstate == NO_DATABASE:
        return codes.PROBE_DB_NAME.problem(
            variables.DB_NAME.name, f"there is no database {login.database} at {place}."
        )
    if sqlstate == NO_PRIVILEGE:
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"the user {user} may not connect to the database {login.database} at "
            f"{place}.",
            f"Grant CONNECT on database {login.database} to {user}.",
        )
    if sqlstate in _PARAMETER_STATES and login.parameters.get("options"):
        return codes.PROBE_DB_OPTIONS.problem(
            variables.DB_EXTRA_OPTIONS.name,
            f"{place} does not accept the libpq parameter options with which the "
            "session starts.",
        )
    if sqlstate in NOT_YET:
        return codes.PROBE_DB_STARTING.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} is starting, stopping or recovering.",
        )
    if sqlstate[:2] == TOO_MANY[:2]:
        return codes.PROBE_DB_FULL.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} has no connection left for the user {user}.",
        )
    return codes.PROBE_DB_ERROR.problem(
        variables.DB_HOST.name,
        f"PostgreSQL at {place} refuses the session with SQLSTATE {sqlstate}.",
    )


_PARAMETER_STATES = (NO_PARAMETER, PROTOCOL_VIOLATION, "22023", "55P02")


_NO_ROLE = re.compile(r"role .*(does not exist|is not permitted to log in)")


def _not_authorized(refusal: StartUpAnswer, login: Login) -> Problem:
    """Tell the refusals apart that share a SQLSTATE."""
    place, user, message = login.place, login.user, refusal.message
    presents = login.tls is not None and login.tls.cert
    if "pg_hba.conf" in message:
        over = "over TLS" if login.tls else "without TLS"
        address = re.search(r'host "([^"]+)"', message)
        since = f", from {address[1]}" if address else ""
        return codes.PROBE_DB_HBA.problem(
            variables.DB_SSLMODE.name,
            f"PostgreSQL at {place} has no pg_hba.conf rule that admits the user "
            f"{user}, database {login.database}{since} {over}.",
            "Add a hostssl rule for this user, database and network."
            if login.tls
            else f"Set {variables.DB_SSLMODE.name}=verify-full, or verify-ca.",
        )
    if refusal.routine == "InitializeSessionUserId" or _NO_ROLE.match(message):
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"the user {user} does not exist at {place}, or may not log in.",
            "Correct the user, or create the role with LOGIN.",
        )
    if not presents:
        return codes.PROBE_CLIENT_REQUIRED.problem(
            variables.DB_SSLMODE.name,
            f"{place} requires a client certificate, and none is configured.",
            f"Set {variables.DB_SSLMODE.name}=verify-full, or verify-ca.",
        )
    name = login.common_name
    if name == user and "certificate" not in message:
        return codes.PROBE_DB_ERROR.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} does not admit the user {user}.",
        )
    return codes.PROBE_DB_CERTIFICATE_USER.problem(
        variables.DB_USER.name,
        f"{place} does not accept the client certificate (CN={name}) for the user "
        f"{user}.",
        "The CN of the certificate must be the user: correct one of the two, or add "
        "a mapping to pg_ident.conf.",
    )


def _password_problem(login: Login) -> Problem:
    place, user, name = login.place, login.user, login.common_name
    if not login.parameters.get("password"):
        return codes.PROBE_DB_PASSWORD.problem(
            variables.DB_PASSWORD.name,
            f"{place} wants a password for the user {user}, and none is configured.",
            "Set it, or let pg_hba.conf ask for the certificate alone.",
        )
    if name is not None and name != user:
        # PostgreSQL answers the same where clientcert=verify-full refuses the CN.
        return codes.PROBE_DB_PASSWORD.problem(
            variables.DB_PASSWORD.name,
            f"{place} does not accept this password for the user {user}, or not with "
            f"a client certificate of another user (CN={name}).",
            "With clientcert=verify-full in pg_hba.conf the CN must be the user. "
            "Otherwise set the password to the one in the secret nautobot-db.",
        )
    return codes.PROBE_DB_PASSWORD.problem(
        variables.DB_PASSWORD.name,
        f"{place} does not accept this password for the user {user}.",
        "Set it to the password in the secret nautobot-db.",
    )
