"""What PostgreSQL and libpq say when there is no session, and what it means.

The server is asked once more by hand, because no driver tells its SQLSTATE, which is
the same in every language. Where one SQLSTATE stands for several refusals, the routine
that refused or a name in the text decides. libpq's own words are English wherever no
translation is installed, and the wheels of both drivers bring none. What is not known
here is not interpreted.
"""

import os
import pwd
import re
import socket
import struct
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Incoming
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem

_PROTOCOL_3 = 196608
_LENGTH_OCTETS = 4
_LONGEST_MESSAGE = 65536
_MOST_MESSAGES = 64
LIBPQ = "libpq"
_AUTHENTICATED = b"\0\0\0\0"

# SQLSTATE, appendix A of the PostgreSQL manual.
WRONG_PASSWORD = "28P01"  # noqa: S105 - a code
NOT_AUTHORIZED = "28000"
NO_DATABASE = "3D000"
NO_PRIVILEGE = "42501"
NO_PARAMETER = "42704"
PROTOCOL_VIOLATION = "08P01"
TOO_MANY = "53300"
NOT_YET = ("57P03", "57P01", "57P02")
_OPTIONS_REFUSED = (NO_PARAMETER, "22023", "55P02")
# What libpq puts into the start of a session beside what it is given.
_SESSION_VARIABLES = {
    "TimeZone": "PGTZ",
    "DateStyle": "PGDATESTYLE",
    "geqo": "PGGEQO",
}

# What English words of a server stand for, where its SQLSTATE is not seen, or says
# nothing: PgBouncer has one for all its refusals.
_BEHIND_POOLER = (
    "server login has been failing|query_wait_timeout|client_login_timeout|"
    "server shutting down"
)
_WORDS = (
    (_BEHIND_POOLER, NOT_YET[0]),
    ("(password|SASL) authentication failed|no password supplied", WRONG_PASSWORD),
    # By certificate, LDAP, PAM, RADIUS …
    (r"pg_hba\.conf|authentication failed", NOT_AUTHORIZED),
    ("requires a valid client certificate", NOT_AUTHORIZED),
    ("is not permitted to log in|no such user", NOT_AUTHORIZED),
    ("permission denied for database", NO_PRIVILEGE),
    ("permission denied to set parameter", NO_PARAMETER),
    ("no such database", NO_DATABASE),
    ("too many (connections|clients)|connection slots are reserved", TOO_MANY),
    ("no more connections allowed|client connections exceeded", TOO_MANY),
    ("the database system is", NOT_YET[0]),
    ("unrecognized configuration parameter", NO_PARAMETER),
    ("unsupported startup parameter", NO_PARAMETER),
    ("invalid value for parameter", "22023"),
    ("cannot be changed", "55P02"),
    ("(?s)database .{0,200} does not exist", NO_DATABASE),
    ("(?s)role .{0,200} does not exist", NOT_AUTHORIZED),
)
_UNSUPPORTED = re.compile(r"unsupported startup parameter: ([a-z_]+)")
_LIST_IT = "list it in the ignore_startup_parameters of PgBouncer."
_POOLER_LIMIT = re.compile(r"\((max_\w*client_conn\w*)\)")
_USE_FEWER = "or use fewer connections (CONN_MAX_AGE, the number of workers)."
_NO_ROLE = re.compile(
    r"role .*(does not exist|is not permitted to log in)|no such user"
)

_NO_USER = (
    "Set it to the CN of the client certificate; libpq sends the name of the operating "
    "system's user otherwise."
)
_SERVER = re.compile(r"(?:FATAL|ERROR|PANIC):\s+(.*)")
_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls) alert [a-z ]+")
_REVOCATION_LIST = (
    "OpenSSL accepts it without the revocation list that libpq is given (sslcrl, "
    "sslcrldir): see whether the certificate is in the list, or the list is out of "
    "date."
)
_OWN_LIST = (
    "See whether PGSSLCRL, PGSSLCRLDIR or ~/.postgresql/root.crl gives libpq a "
    "revocation list. If none does, issue the certificate or its CA again with what is "
    "missing."
)
_OWN_ROOT = (
    "With sslmode require, libpq verifies it only if PGSSLROOTCERT or "
    "~/.postgresql/root.crt gives it CAs: unset or remove that, or set "
    f"{variables.DB_SSLMODE.name}=verify-full."
)
_STRONGER = f"Set {variables.DB_SSLMODE.name}=verify-full, or verify-ca."
_ADD_RULE = "Add a hostssl rule for this user, database and network"
_ONWARDS = (
    "let a gateway pass TLS through (mode Passthrough), or a PgBouncer present a "
    "certificate of its own (server_tls_sslmode, server_tls_cert_file, "
    "server_tls_key_file)."
)
_TLS_ENDED = f"TLS ends in front of PostgreSQL: {_ONWARDS}"
_NOT_ARRIVED = (
    f"If TLS ends in front of PostgreSQL, {_ONWARDS} Otherwise, issue the certificate "
    "with a key and a signature of a kind that PostgreSQL accepts: a client does not "
    "send any other."
)
_MAPPED = (
    "The CN is the user, so something else is compared: add a line for the certificate "
    "to the map of the rule in pg_hba.conf (pg_ident.conf), or remove map= and "
    "clientname= from the rule; at a PgBouncer, add the user to its auth_file."
)
_OR_CERTIFICATE = "Set it, or let pg_hba.conf ask for the certificate alone."

# What libpq's own words mean, and a remedy where the code's is not enough.
_OWN: tuple[tuple[str, Code, Variable[Any], str, str | None], ...] = (
    (
        "no password supplied",
        codes.PROBE_DB_PASSWORD,
        variables.DB_PASSWORD,
        "{place} requires a password, and none is configured.",
        _OR_CERTIFICATE,
    ),
    (
        # The states of a server that target_session_attrs does not take.
        "session is (not )?read-only|server is (not )?in hot standby mode",
        codes.PROBE_DB_SESSION_ATTRIBUTES,
        variables.DB_EXTRA_OPTIONS,
        "no server at {place} is in the state that target_session_attrs demands.",
        None,
    ),
    (
        "certificate verify failed",
        codes.PROBE_SERVER_UNVERIFIED,
        variables.DB_HOST,
        "libpq does not accept the certificate of {place}.",
        _OWN_LIST,
    ),
    (
        "does not support any SSL protocol version|alert handshake failure",
        codes.PROBE_TLS_HANDSHAKE,
        variables.DB_EXTRA_OPTIONS,
        "the TLS handshake of libpq with {place} fails: {said}.",
        None,
    ),
    (
        "more than the driver could hold|out of memory",
        codes.PROBE_NOT_POSTGRESQL,
        variables.DB_HOST,
        "{place} sends more than PostgreSQL would, and was cut off.",
        None,
    ),
    (
        # A parameter, or the value of one, that libpq or the system does not take.
        r"invalid |setsockopt\(|could not parse network address",
        codes.PROBE_LIBPQ,
        variables.DB_EXTRA_OPTIONS,
        "libpq does not connect to {place} with these options: {said}.",
        "Correct the option there, in DATABASES of the settings file, or in the PG* "
        "variable that gives it.",
    ),
    (
        # Both were judged before, so that they have changed since.
        "values mismatch|does not match private key",
        codes.PROBE_CLIENT_FILES,
        variables.DB_SSLKEY,
        "libpq does not connect to {place}: {said}.",
        None,
    ),
    (
        # About this machine, or about what both sides demand: none passes by itself.
        "private key file|certificate file|"
        "could not (create|load|read|find digest|match)|authentication method|"
        "channel binding|not supported|requires|weak sslmode|unrecognized|"
        "GSSAPI (encryption|continuation)",
        codes.PROBE_LIBPQ,
        variables.DB_HOST,
        "libpq does not connect to {place}: {said}.",
        None,
    ),
)


class Database(NamedTuple):
    """What libpq is told.

    Attributes:
        endpoints: Where the servers are; empty where libpq chooses.
        parameters: libpq's connection parameters by name.
        tls: How TLS is spoken, None where it is not demanded.
    """

    endpoints: tuple[Endpoint, ...]
    parameters: dict[str, Any]
    tls: Tls | None

    @property
    def place(self) -> str:
        """The servers as people write them."""
        return " and ".join(one.place for one in self.endpoints) or "libpq's default"

    @property
    def user(self) -> str:
        """The database user."""
        return str(self.parameters.get("user") or "that is unset")

    @property
    def name(self) -> str:
        """The database; libpq takes the user's name where there is none."""
        return str(self.parameters.get("dbname") or self.user)

    @property
    def common_name(self) -> str | None:
        """The CN of the certificate that is presented, None without one."""
        own = self.tls.own_certificate if self.tls is not None else None
        return None if own is None else own.common_name

    def without_password(self, text: str) -> str:
        """Return a text in which the password does not stand."""
        password = str(self.parameters.get("password") or "")
        return text.replace(password, "***") if password else text


class NotPostgresql(OSError):
    """What is answered is not in the protocol of PostgreSQL."""


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
    connection: socket.socket, database: Database, attempt: Attempt
) -> StartUpAnswer:
    """Ask for a session without sending the password, and return the answer.

    Raises `NotPostgresql` where it is no answer of PostgreSQL, and ``OSError`` where
    the connection is lost or time is up.
    """
    parameters = database.parameters
    user = parameters.get("user") or _system_user()
    sent = {
        "user": user,
        "database": parameters.get("dbname", user),
        "options": parameters.get("options"),
        "replication": parameters.get("replication"),
    }
    words = [f"{name}\0{value}\0".encode() for name, value in sent.items() if value]
    body = struct.pack("!i", _PROTOCOL_3) + b"".join(words) + b"\0"
    incoming = Incoming(connection, attempt)
    incoming.send(struct.pack("!i", len(body) + 4) + body)
    for _ in range(_MOST_MESSAGES):
        kind, length = struct.unpack("!ci", incoming.take(1 + _LENGTH_OCTETS))
        if not _LENGTH_OCTETS <= length <= _LONGEST_MESSAGE:
            break
        content = incoming.take(length - _LENGTH_OCTETS)
        if kind == b"E":
            fields = {
                part[:1]: part[1:].decode(errors="replace")
                for part in content.split(b"\0")
            }
            sqlstate = fields.get(b"C") or "unknown"
            return StartUpAnswer(sqlstate, fields.get(b"M", ""), fields.get(b"R", ""))
        if kind == b"R" and content[:4] != _AUTHENTICATED:
            return StartUpAnswer(wants_password=True)
        if kind == b"Z":
            return StartUpAnswer()
        # Who is let in may still be refused, for the database or its connections.
    raise NotPostgresql


def _system_user() -> str:
    """Return the user that libpq takes where it is told none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def server_words(text: str) -> str:
    """Return the last thing that the server itself said, empty for nothing."""
    found = _SERVER.findall(text)
    return str(found[-1]).strip() if found else ""


def alert_in(text: str) -> str:
    """Return the alert of the server as Python's ssl names it, empty for none."""
    found = _ALERT.search(text)
    words = found[0].strip().replace("ssl/tls", "sslv3") if found else ""
    return words.replace(" ", "_").upper()


def session_problem(
    text: str, answer: StartUpAnswer | None, database: Database, attempt: Attempt
) -> Problem:
    """Return what libpq's text means, with what the server answers a moment later.

    The answer is None where the server was not asked. What was said is quoted.
    """
    said, hidden = server_words(text), database.without_password
    problem = None if said else _own_problem(text, database)
    if problem is not None:
        attempt.quote(hidden(text), by=LIBPQ)
        return problem
    # Where neither it nor libpq said anything, this is what the server says now.
    if answer is not None and answer.sqlstate and (answer.message in said or not said):
        attempt.quote(hidden(answer.message))
        return _refusal_problem(answer, database)
    attempt.quote(hidden(said or text), by="" if said else LIBPQ)
    refused = known_refusal(said, database)
    # The start by hand has no password, and less of the session than libpq's.
    unlike = answer is None or answer.wants_password
    if refused and (unlike or refused.code == codes.PROBE_DB_OPTIONS.id):
        return refused
    words, seen = attempt.server_said or "no answer in time", "did not fail in this way"
    if answer is not None and answer.wants_password:
        seen = "does not show why, because it sends no password"
    return codes.PROBE_DB_PASSING.problem(
        variables.DB_HOST.name,
        f"the connection to {database.place} failed, and a second attempt {seen}: "
        f"{words}.",
    )


def known_refusal(said: str, database: Database) -> Problem | None:
    """Return what English words of the server mean, None where they are not known."""
    sqlstate = _sqlstate_of(said)
    answer = StartUpAnswer(sqlstate, said)
    return _refusal_problem(answer, database) if sqlstate else None


def _own_problem(text: str, database: Database) -> Problem | None:
    """Return the problem that libpq's own words name, None where they name none."""
    lists = {"sslcrl", "sslcrldir"}.intersection(database.parameters)
    for words, code, variable, fact, hint in _OWN:
        if re.search(words, text):
            last = text.rpartition("connection to server ")[2]
            said = (last.partition(" failed: ")[2] or last).partition("\n")[0]
            remedy = hint
            if hint is _OWN_LIST and database.tls and not database.tls.verify:
                remedy = _OWN_ROOT
            elif hint is _OWN_LIST and lists:
                remedy = _REVOCATION_LIST
            return code.problem(
                variable.name,
                fact.format(place=database.place, said=database.without_password(said)),
                remedy,
            )
    return None


def _sqlstate_of(said: str) -> str:
    """Return the SQLSTATE of the server's English words, empty where unknown."""
    known = (sqlstate for words, sqlstate in _WORDS if re.search(words, said))
    return next(known, "")


def _refusal_problem(refusal: StartUpAnswer, database: Database) -> Problem:
    """Return what a refusal of PostgreSQL, or of a pooler before it, means."""
    place, user, name = database.place, database.user, database.name
    message, sqlstate = refusal.message, refusal.sqlstate
    if re.search(_BEHIND_POOLER, message):
        # Why, it may quote: words about its own login, and not about this one.
        return codes.PROBE_DB_STARTING.problem(
            variables.DB_HOST.name,
            f"PgBouncer at {place} has no connection to PostgreSQL behind it.",
            "Wait, or read in the log of PgBouncer why it has none.",
        )
    said = _sqlstate_of(message)
    of_parameter = said == NO_PARAMETER or refusal.routine.startswith("set_config")
    if sqlstate == PROTOCOL_VIOLATION:
        sqlstate = said or sqlstate
    if sqlstate == WRONG_PASSWORD:
        return _password_problem(database)
    if sqlstate == NOT_AUTHORIZED:
        return _not_authorized(refusal, database)
    if (
        sqlstate in _OPTIONS_REFUSED
        or _UNSUPPORTED.search(message)
        or (sqlstate == NO_PRIVILEGE and of_parameter)
    ):
        return _options_problem(message, database)
    variable: Variable[Any] = variables.DB_HOST
    code, hint = codes.PROBE_DB_ERROR, None
    fact = f"PostgreSQL at {place} refuses the session with SQLSTATE {sqlstate}."
    if "SSL required" in message:
        code, variable = codes.PROBE_TLS_REQUIRED, variables.DB_SSLMODE
        fact, hint = f"{place} accepts no connection without TLS.", _STRONGER
    elif sqlstate == NO_DATABASE:
        code, variable = codes.PROBE_DB_NAME, variables.DB_NAME
        fact = f"there is no database {name} at {place}."
    elif sqlstate == NO_PRIVILEGE:
        code, variable = codes.PROBE_DB_ROLE, variables.DB_USER
        fact = f"the user {user} may not connect to the database {name} at {place}."
        hint = f"Grant CONNECT on database {name} to {user}."
    elif sqlstate in NOT_YET:
        code = codes.PROBE_DB_STARTING
        fact = f"PostgreSQL at {place} is starting, stopping or recovering."
    elif sqlstate == TOO_MANY:
        code, server = codes.PROBE_DB_FULL, "PostgreSQL"
        limit = _POOLER_LIMIT.search(message)
        if limit:
            server, hint = "PgBouncer", f"Raise {limit[1]} of PgBouncer, {_USE_FEWER}"
        whom = f"user {user}, database {name}"
        fact = f"{server} at {place} has no connection left for {whom}."
    return code.problem(variable.name, fact, hint)


def _options_problem(message: str, database: Database) -> Problem:
    """Return which parameter of the start of a session is not accepted."""
    place, unsupported = database.place, _UNSUPPORTED.search(message)
    if unsupported is None and not database.parameters.get("options"):
        named = (one for word, one in _SESSION_VARIABLES.items() if word in message)
        return codes.PROBE_DB_OPTIONS.problem(
            next(named, "PGOPTIONS"),
            f"{place} does not accept a parameter with which the session starts, and "
            "libpq takes those that are not configured from such variables.",
            "Unset the variable, or correct it.",
        )
    name = unsupported[1] if unsupported else "options"
    variable = variables.DB_EXTRA_OPTIONS.name
    hint = f"Remove it, or {_LIST_IT}" if unsupported else None
    if unsupported and name == "options":
        variable = variables.DB_POOLER.name
        hint = f"Set {variable}=transaction for PgBouncer, or {_LIST_IT}"
    return codes.PROBE_DB_OPTIONS.problem(
        variable,
        f"{place} does not accept the libpq parameter {name} with which the session "
        "starts.",
        hint,
    )


def _not_authorized(refusal: StartUpAnswer, database: Database) -> Problem:
    """Tell the refusals apart that share a SQLSTATE."""
    place, user, message = database.place, database.user, refusal.message
    presents = database.tls is not None and bool(database.tls.cert.path)
    if "pg_hba.conf" in message:
        # What PostgreSQL sees; something in front of it may have ended TLS.
        seen = database.tls is not None and "no encryption" not in message
        address = re.search(r'host "([^"]+)"', message)
        since = f", from {address[1]}" if address else ""
        rule, where = "no pg_hba.conf rule that admits", ""
        if "rejects connection" in message:
            rule, where = "a pg_hba.conf rule that rejects", " above that rule"
        variable, hint = variables.DB_HOST.name, f"{_ADD_RULE}{where}."
        if database.tls is None:
            variable, hint = variables.DB_SSLMODE.name, _STRONGER
        elif not seen:
            hint = _TLS_ENDED
        return codes.PROBE_DB_HBA.problem(
            variable,
            f"PostgreSQL at {place} has {rule} the user {user}, database "
            f"{database.name}{since} {'over' if seen else 'without'} TLS.",
            hint,
        )
    if "no PostgreSQL user name" in message:
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"no user is named to {place}: it is unset, and the user of this process "
            "has no name.",
            "Set it to the user of the database.",
        )
    if refusal.routine == "InitializeSessionUserId" or _NO_ROLE.match(message):
        return codes.PROBE_DB_ROLE.problem(
            variables.DB_USER.name,
            f"the user {user} does not exist at {place}, or may not log in.",
        )
    name = database.common_name
    if "certificate" not in message and (
        "authentication failed" in message or (name == user and presents)
    ):
        return codes.PROBE_DB_ERROR.problem(
            variables.DB_HOST.name,
            f"PostgreSQL at {place} does not admit the user {user}.",
        )
    wanted = "requires a valid client certificate" in message
    if wanted or not presents:
        variable, hint = variables.DB_SSLMODE.name, _STRONGER
        fact = "none is configured"
        if presents:
            variable, hint = variables.DB_SSLCERT.name, _NOT_ARRIVED
            fact = f"the configured one (CN={name}) did not arrive"
        return codes.PROBE_CLIENT_CERTIFICATE_REQUIRED.problem(
            variable, f"{place} requires a client certificate, and {fact}.", hint
        )
    remedy = _MAPPED if name == user else None
    return codes.PROBE_DB_CERTIFICATE_USER.problem(
        variables.DB_USER.name,
        f"{place} does not accept the client certificate (CN={name}) for the user "
        f"{user}.",
        remedy if database.parameters.get("user") else _NO_USER,
    )


def _password_problem(database: Database) -> Problem:
    place, user, name = database.place, database.user, database.common_name
    fact, hint = f"{place} does not accept this password for the user {user}", None
    if not database.parameters.get("password"):
        fact = f"{place} requires a password for the user {user}"
        fact, hint = f"{fact}, and none is configured", _OR_CERTIFICATE
    elif name is not None and name != user:
        # PostgreSQL answers the same where clientcert=verify-full refuses the CN.
        fact += f", or not with a client certificate of another user (CN={name})"
        hint = (
            "With clientcert=verify-full in pg_hba.conf the CN must be the user. "
            "Otherwise set the variable to the password of this user."
        )
    return codes.PROBE_DB_PASSWORD.problem(variables.DB_PASSWORD.name, f"{fact}.", hint)
