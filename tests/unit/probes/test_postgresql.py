import os
import pwd
import socket
import time

import pytest

from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import authentication
from lab.servers.scripted import error_response
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import postgres_saying
from lab.servers.scripted import silence
from tests.unit.probes.attempts import ALL_STAGES
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import LIBPQ
from tests.unit.probes.attempts import PASSWORD
from tests.unit.probes.attempts import ROW
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import accepting
from tests.unit.probes.attempts import answering
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import failing
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import NoDriver
from understack_nautobot_settings.probes.driver_session import Session
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.targets import exit_status


def test_database_that_answers_is_reached_with_the_driver_alone(mount):
    with ScriptedServer(silence) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=accepting
        )

    assert outcome(attempt) == (ALL_STAGES, None)
    assert server.connections == 0
    assert {stage.stage: stage.detail for stage in attempt.stages} == {
        "dns": "resolved by libpq",
        "tcp": "127.0.0.1:1",
        "tls": "TLSv1.3, TLS_AES_256_GCM_SHA384",
        "identity": "configured host localhost, certificate and name verified by libpq",
        "login": "accepted from a driver, libpq 17.5",
        "query": (
            "as app on PostgreSQL 18.4; the server sees TLSv1.3, client certificate "
            "/CN=app, serial 07"
        ),
    }


@pytest.mark.parametrize(
    ("mode", "row", "tls", "identity"),
    [
        (
            "verify-ca",
            ROW,
            "TLSv1.3, TLS_AES_256_GCM_SHA384",
            "configured host localhost, certificate verified by libpq without the name",
        ),
        (
            "require",
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "TLSv1.3, x",
            "configured host localhost, certificate not verified",
        ),
        (
            "require",
            ("app", "18.4", None, None, None, None),
            "TLS, because sslmode is require",
            "configured host localhost, certificate not verified",
        ),
        (
            None,
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "TLSv1.3, x: sslmode is unset",
            "not verified: sslmode does not ask for it",
        ),
        (
            "disable",
            ("app", "15.1", None, None, None, None),
            "no TLS: sslmode is disable",
            "not verified: sslmode does not ask for it",
        ),
    ],
    ids=["verify-ca", "require", "pooler", "unset", "disable"],
)
def test_database_details_name_what_was_verified(mount, mode, row, tls, identity):
    settings = database(1, mount, mode=mode)
    attempt = walk(probe_database, settings, Names(), driver=answering(*row))

    assert [stage.detail for stage in attempt.stages[2:4]] == [tls, identity]


def test_database_whose_name_is_not_verified_shows_its_names(mount):
    script = over_tls(tls_context(CA.server("db.example")), silence)
    with ScriptedServer(after_ssl_request(script)) as server:
        settings = database(server.port, mount, mode="verify-ca")
        driver = answering(*ROW, port=server.port)
        attempt = walk(probe_database, settings, Names(), driver=driver)

    assert outcome(attempt) == (ALL_STAGES, None)
    assert server.connections == 1
    assert attempt.stages[3].detail.startswith(
        "configured host localhost, certificate for db.example, issued by "
    )


def test_database_without_host_and_name_verification_passes(mount):
    """libpq takes the host from PGHOST, say: there is none to look at."""
    settings = database(1, mount, host="", mode="verify-ca")
    attempt = walk(probe_database, settings, Names(), driver=accepting)

    assert outcome(attempt) == (ALL_STAGES, None)
    assert attempt.stages[3].detail == (
        "no configured host, certificate verified by libpq without the name"
    )


def test_direct_negotiation_with_another_server_is_reported_not_postgresql(mount):
    """Redis behind the route of the database, say: TLS, and no answer ever after."""
    with ScriptedServer(secured(silence)) as server:
        settings = database(server.port, mount, sslnegotiation="direct")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-not-postgresql")


@pytest.mark.parametrize(
    ("options", "since"),
    [
        ({}, 0),
        ({"sslnegotiation": "direct"}, 170000),
        ({"sslcertmode": "disable"}, 160000),
    ],
    ids=["nothing", "direct", "sslcertmode"],
)
def test_driver_gets_the_same_parameters_as_from_django(mount, options, since):
    given = []

    def driver(parameters, statement, seconds, *, libpq_since=0):
        given.append((parameters, libpq_since))
        return Session("d", (socket.AF_INET, ("127.0.0.1", 5)), ROW)

    settings = database(5, mount, mode="disable", isolation_level=1, connect_timeout=3)
    settings["DATABASES"]["default"]["OPTIONS"].update(options)
    walk(probe_database, settings, Names(), driver=driver)

    expected = {
        "client_encoding": "UTF8",
        "sslmode": "disable",
        "connect_timeout": 3,
        "dbname": "app",
        "user": "app",
        "password": PASSWORD,
        "host": "localhost",
        "port": "5",
        **options,
    }
    assert given == [(expected, since)]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (
            ("app", "18.4", "TLSv1.3", "x", None, None),
            "as app on PostgreSQL 18.4; the server sees TLSv1.3, no client certificate",
        ),
        (
            ("app", "18.4", None, None, None, None),
            "as app on PostgreSQL 18.4; the server sees no TLS",
        ),
    ],
    ids=["no certificate", "no TLS"],
)
def test_database_details_show_what_the_server_sees(mount, row, detail):
    attempt = walk(probe_database, database(1, mount), Names(), driver=answering(*row))

    assert attempt.stages[-1].detail == detail


def test_database_without_session_row_fails(mount):
    attempt = walk(probe_database, database(1, mount), Names(), driver=answering())

    assert outcome(attempt) == (["query"], "probe-db-error")


def test_database_of_another_engine_is_probed_up_to_tcp():
    with ScriptedServer(silence) as server:
        default = {"ENGINE": "mysql", "HOST": "localhost", "PORT": server.port}
        settings = {"DATABASES": {"default": default}}
        attempt = walk(probe_database, settings, Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], None)


def test_database_of_another_engine_without_a_host_is_not_reached():
    settings = {"DATABASES": {"default": {"ENGINE": "mysql", "NAME": "nautobot"}}}
    attempt = walk(probe_database, settings, Names())

    assert outcome(attempt) == (["dns", "tls"], None)


def test_postgresql_socket_is_looked_for_in_its_directory(mount, tmp_path):
    settings = database(7, mount, host=str(tmp_path))
    attempt = walk(probe_database, settings, Network(), driver=refusing)

    assert outcome(attempt) == (["dns", "tcp"], "probe-network")
    assert str(tmp_path / ".s.PGSQL.7") in attempt.problem.message


@pytest.mark.parametrize(
    ("said", "code", "variable"),
    [
        (
            error_response(
                "28000", 'no entry in "pg_hba.conf"', "ClientAuthentication"
            ),
            "probe-db-hba",
            "NAUTOBOT_DB_HOST",
        ),
        (
            error_response("28000", "Rolle fehlt", "InitializeSessionUserId"),
            "probe-db-role",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("28000", "certificate authentication failed for user"),
            "probe-db-certificate-user",
            "NAUTOBOT_DB_USER",
        ),
        (error_response("28P01"), "probe-db-password", "NAUTOBOT_DB_PASSWORD"),
        (error_response("3D000"), "probe-db-name", "NAUTOBOT_DB_NAME"),
        (error_response("42501"), "probe-db-role", "NAUTOBOT_DB_USER"),
        (error_response("57P03"), "probe-db-starting", "NAUTOBOT_DB_HOST"),
        (error_response("53300"), "probe-db-full", "NAUTOBOT_DB_HOST"),
        (error_response("53200"), "probe-db-error", "NAUTOBOT_DB_HOST"),
        (
            error_response(
                "08P01",
                "server login has been failing, cached error: password authentication "
                'failed for user "app" (server_login_retry)',
            ),
            "probe-db-starting",
            "NAUTOBOT_DB_HOST",
        ),
        (error_response("XX000"), "probe-db-error", "NAUTOBOT_DB_HOST"),
        # PgBouncer has one SQLSTATE for all that it refuses itself.
        (
            error_response("08P01", "unsupported startup parameter: replication"),
            "probe-db-options",
            "NAUTOBOT_DB_EXTRA_OPTIONS",
        ),
        (
            error_response("08P01", "unsupported startup parameter: options"),
            "probe-db-options",
            "UNDERSTACK_DB_POOLER",
        ),
        (
            error_response("08P01", "no such database: app"),
            "probe-db-name",
            "NAUTOBOT_DB_NAME",
        ),
        (
            error_response("08P01", "no such user: app"),
            "probe-db-role",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("08P01", "certificate authentication failed"),
            "probe-db-certificate-user",
            "NAUTOBOT_DB_USER",
        ),
        (
            error_response("08P01", "no more connections allowed (max_client_conn)"),
            "probe-db-full",
            "NAUTOBOT_DB_HOST",
        ),
        (
            error_response("08P01", "SASL authentication failed"),
            "probe-db-password",
            "NAUTOBOT_DB_PASSWORD",
        ),
        (
            b"R\0\0\0\x08\0\0\0\0" + error_response("3D000"),
            "probe-db-name",
            "NAUTOBOT_DB_NAME",
        ),
        (authentication(10), "probe-db-passing", "NAUTOBOT_DB_HOST"),
        (authentication(0), "probe-db-passing", "NAUTOBOT_DB_HOST"),
        (b"R\0\0\0\1x", "probe-not-postgresql", "NAUTOBOT_DB_HOST"),
        (
            error_response("42501", "keine Berechtigung", "set_config_with_handle"),
            "probe-db-options",
            "PGOPTIONS",
        ),
        (
            error_response("28000", 'Ident authentication failed for user "app"'),
            "probe-db-error",
            "NAUTOBOT_DB_HOST",
        ),
    ],
)
def test_refused_database_login_is_reported_by_server_code(mount, said, code, variable):
    script = after_ssl_request(secured(postgres_saying(said)))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    assert attempt.problem.variable == variable
    assert PASSWORD not in str(attempt.problem)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            error_response(
                "08P01", "client connections exceeded (max_user_client_connections)"
            ),
            "NAUTOBOT_DB_HOST: PgBouncer at localhost:{port} has no connection left "
            "for user app, database app. Raise max_user_client_connections of "
            "PgBouncer, or use fewer connections (CONN_MAX_AGE, the number of "
            "workers).",
        ),
        (
            error_response("28000", 'certificate authentication failed for user "app"'),
            "NAUTOBOT_DB_USER: localhost:{port} does not accept the client certificate "
            "(CN=app) for the user app. The CN is the user, so something else is "
            "compared: add a line for the certificate to the map of the rule in "
            "pg_hba.conf (pg_ident.conf), or remove map= and clientname= from the "
            "rule; at a PgBouncer, add the user to its auth_file.",
        ),
    ],
    ids=["limit of PgBouncer", "map"],
)
def test_refusal_of_a_login_has_the_remedy_of_its_cause(mount, said, line):
    script = after_ssl_request(secured(postgres_saying(said)))
    with ScriptedServer(script) as server:
        settings = database(server.port, mount)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert str(attempt.problem) == line.format(port=server.port)


@pytest.mark.parametrize(
    ("mode", "said", "code"),
    [
        ("disable", error_response("28000", "pg_hba.conf"), "probe-db-hba"),
        ("require", error_response("28000", "x"), "probe-client-certificate-required"),
        (
            "require",
            error_response("28000", 'Ident authentication failed for user "app"'),
            "probe-db-error",
        ),
        ("disable", error_response("08P01", "SSL required"), "probe-tls-required"),
        ("disable", b"SSH-2.0-OpenSSH_9.2\r\n", "probe-not-postgresql"),
        ("disable", b"", "probe-closed"),
    ],
)
def test_missing_tls_or_certificate_is_reported_by_sslmode(mount, mode, said, code):
    script = postgres_saying(said)
    if mode == "require":
        script = after_ssl_request(over_tls(tls_context(CA.server()), script))
    with ScriptedServer(script if said else goodbye) as server:
        settings = database(server.port, mount, mode=mode)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt)[1] == code


@pytest.mark.parametrize(
    ("password", "text", "answer", "code"),
    [
        (
            "password",
            'FATAL:  password authentication failed for user "app"',
            authentication(10),
            "probe-db-password",
        ),
        (
            "app",
            'FATAL:  database "app" does not exist',
            error_response("3D000", 'database "app" does not exist'),
            "probe-db-name",
        ),
    ],
    ids=["a word of the text", "the name of the database"],
)
def test_password_that_libpq_says_is_hidden_and_understood(
    mount, password, text, answer, code
):
    with ScriptedServer(postgres_saying(answer)) as server:
        settings = database(server.port, mount, mode="disable")
        settings["DATABASES"]["default"]["PASSWORD"] = password
        driver = failing(DriverError(f"{LIBPQ}{text}"))
        attempt = walk(probe_database, settings, Names(), driver=driver)

    assert attempt.problem.code == code
    assert password not in attempt.server_said


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            f'{LIBPQ}FATAL:  password authentication failed for user "app"',
            "probe-db-password",
            'password authentication failed for user "app"',
        ),
        (
            f'{LIBPQ}FATAL:  database "app" does not exist',
            "probe-db-name",
            'database "app" does not exist',
        ),
        (
            f'{LIBPQ}FATAL:  permission denied for database "app"',
            "probe-db-role",
            'permission denied for database "app"',
        ),
        (
            f'{LIBPQ}FATAL:  too many connections for role "app"',
            "probe-db-full",
            'too many connections for role "app"',
        ),
        (
            f'{LIBPQ}FATAL:  unrecognized configuration parameter "x"',
            "probe-db-options",
            'unrecognized configuration parameter "x"',
        ),
        (
            f'{LIBPQ}FATAL:  permission denied to set parameter "log_statement"',
            "probe-db-options",
            'permission denied to set parameter "log_statement"',
        ),
        (
            f'{LIBPQ}FATAL:  LDAP authentication failed for user "app"',
            "probe-db-error",
            'LDAP authentication failed for user "app"',
        ),
        (f"{LIBPQ}fe_sendauth: no password supplied", "probe-db-password", None),
        (f"{LIBPQ}session is read-only", "probe-db-session-attributes", None),
        (f"{LIBPQ}server is in hot standby mode", "probe-db-session-attributes", None),
        (
            f'{LIBPQ}authentication method requirement "md5" failed: server requested '
            "SCRAM-SHA-256 authentication",
            "probe-libpq",
            None,
        ),
        (
            f"{LIBPQ}channel binding required, but SSL not in use",
            "probe-libpq",
            None,
        ),
        (
            f"{LIBPQ}could not find digest for NID ED25519",
            "probe-libpq",
            None,
        ),
        (
            "GSSAPI encryption required but no credential cache",
            "probe-libpq",
            None,
        ),
        (
            f"{LIBPQ}GSSAPI continuation error: Unspecified GSS failure.",
            "probe-libpq",
            None,
        ),
        (
            f'{LIBPQ}could not load private key file "k": key values mismatch',
            "probe-client-files",
            None,
        ),
        (f'private key file "{PASSWORD}" has group access', "probe-libpq", None),
        (f"{LIBPQ}server closed the connection unexpectedly", "probe-db-passing", None),
        (f"{LIBPQ}FEHLER: ein anderes Wort", "probe-db-passing", None),
        ("", "probe-db-passing", ""),
    ],
)
def test_password_is_reported_wrong_only_if_the_server_says_so(mount, text, code, said):
    """The server asks for a password; what happens after it only libpq sees."""
    with ScriptedServer(postgres_saying(authentication(10))) as server:
        settings = database(server.port, mount, mode="disable", options="-c x=1")
        error = DriverError(text) if text else TimeoutError()
        attempt = walk(probe_database, settings, Names(), driver=failing(error))

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    expected = text.replace(PASSWORD, "***") if said is None else said
    assert attempt.server_said == expected
    assert PASSWORD not in str(attempt.problem)


def test_failure_behind_a_password_is_not_said_to_have_passed(mount):
    with ScriptedServer(postgres_saying(authentication(10))) as server:
        settings = database(server.port, mount, mode="disable")
        driver = failing(DriverError(f"{LIBPQ}FATAL:  no logins today"))
        attempt = walk(probe_database, settings, Names(), driver=driver)

    assert attempt.problem.message == (
        f"the connection to localhost:{server.port} failed, and a second attempt does "
        "not show why, because it sends no password: no logins today."
    )


def let_in_by_hand(mount, text):
    """Return an attempt for which libpq fails so, and nothing else, and the port."""
    with ScriptedServer(postgres_saying(authentication(0))) as server:
        settings = database(server.port, mount, mode="disable")
        driver = failing(DriverError(text))
        return walk(probe_database, settings, Names(), driver=driver), server.port


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            'invalid dsn: invalid connection option "sslcrlfile"',
            'invalid dsn: invalid connection option "sslcrlfile"',
        ),
        (
            f"{LIBPQ}setsockopt(TCP_KEEPIDLE) failed: Invalid argument",
            "setsockopt(TCP_KEEPIDLE) failed: Invalid argument",
        ),
        (
            f'{LIBPQ}invalid "ssl_min_protocol_version" value: "TLSv9"',
            'invalid "ssl_min_protocol_version" value: "TLSv9"',
        ),
    ],
    ids=["unknown", "the system", "libpq"],
)
def test_option_that_is_refused_by_libpq_does_not_pass(mount, text, cause):
    attempt, port = let_in_by_hand(mount, text)

    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_EXTRA_OPTIONS: libpq does not connect to localhost:{port} "
        f"with these options: {cause}. Correct the option there, in DATABASES of the "
        "settings file, or in the PG* variable that gives it."
    )
    assert attempt.said_by == "libpq"
    assert not Probe("x", False, (), attempt.problem).is_transient


def test_database_user_that_is_unset_is_the_system_user_as_for_libpq(mount):
    """Otherwise the second attempt is refused for another reason than libpq's."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    said = error_response(
        "28000", f'certificate authentication failed for user "{user}"'
    )
    seen = []

    def server_of_one_user(connection):
        seen.append(connection.recv(65536))
        connection.sendall(said)

    script = after_ssl_request(secured(server_of_one_user))
    with ScriptedServer(script) as server:
        settings = database(server.port, mount)
        settings["DATABASES"]["default"]["USER"] = ""
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert f"user\0{user}\0".encode() in seen[0]
    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_USER: localhost:{server.port} does not accept the client "
        "certificate (CN=app) for the user that is unset. Set it to the CN of the "
        "client certificate; libpq sends the name of the operating system's user "
        "otherwise."
    )


def test_start_without_any_user_is_not_blamed_on_the_certificate(mount, monkeypatch):
    """A container's user may have no entry in passwd, so libpq has no name to send."""

    def no_entry(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    said = error_response(
        "28000", "no PostgreSQL user name specified in startup packet"
    )
    with ScriptedServer(after_ssl_request(secured(postgres_saying(said)))) as server:
        settings = database(server.port, mount)
        settings["DATABASES"]["default"]["USER"] = ""
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert attempt.problem.code == "probe-db-role"
    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_USER: no user is named to localhost:{server.port}: it is unset, "
        "and the user of this process has no name. Set it to the user of the database."
    )


def test_second_attempt_that_succeeds_makes_the_failure_transient(mount):
    """A connection slot became free between the driver and the look."""
    text = f"{LIBPQ}FATAL:  sorry, too many clients already"
    attempt, port = let_in_by_hand(mount, text)

    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_HOST: the connection to localhost:{port} failed, and a "
        "second attempt did not fail in this way: sorry, too many clients already. Try "
        "again, and read what the server said."
    )
    assert Probe("x", False, (), attempt.problem).is_transient


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ('unrecognized configuration parameter "nonsense"', "PGOPTIONS"),
        ('invalid value for parameter "TimeZone": "Mars/Phobos"', "PGTZ"),
        ('invalid value for parameter "DateStyle": "zz"', "PGDATESTYLE"),
    ],
)
def test_parameter_of_a_libpq_variable_is_no_passing_failure(mount, text, variable):
    """The start of a session by hand has none of them, so it is let in."""
    attempt, _ = let_in_by_hand(mount, f"{LIBPQ}FATAL:  {text}")

    assert (attempt.problem.code, attempt.problem.variable) == (
        "probe-db-options",
        variable,
    )
    assert attempt.server_said == text


@pytest.mark.parametrize(
    ("given", "sent"),
    [("abc", "abc"), ("-1", "-1"), (0, 3), ("0", 3), ("1", 2), ("9", 3)],
)
@pytest.mark.parametrize("hosts", [1, 3])
def test_connect_timeout_is_libpqs_own_or_within_the_patience(
    mount, given, sent, hosts
):
    """libpq gives it to each host, so that several share the patience."""
    seen = []

    def driver(parameters, statement, seconds, *, libpq_since=0):
        seen.append(parameters["connect_timeout"])
        return Session("d", (socket.AF_INET, ("127.0.0.1", 5)), ROW)

    host = ",".join(["localhost"] * hosts)
    settings = database(5, mount, host, mode="disable", connect_timeout=given)
    walk(probe_database, settings, Names(), driver=driver, seconds=5.0 * hosts)

    assert seen == [sent]


@pytest.mark.parametrize(
    ("seconds", "sent"), [(0.0, 2), (2.0, 4)], ids=["quick", "slow"]
)
def test_connect_timeout_is_shared_by_the_addresses_of_a_name(mount, seconds, sent):
    """Where the name resolves slowly, libpq needs the time for that."""
    seen = []

    class Several(Network):
        def resolve(self, host, port):
            time.sleep(seconds)
            return [(socket.AF_INET, (f"10.0.0.{one}", port)) for one in (1, 2, 3)]

    def driver(parameters, statement, seconds, *, libpq_since=0):
        seen.append(parameters["connect_timeout"])
        return Session("d", (socket.AF_INET, ("127.0.0.1", 5)), ROW)

    settings = database(5, mount, mode="disable", connect_timeout=4)
    walk(probe_database, settings, Several(), driver=driver, seconds=9.0)

    assert seen == [sent]


def test_database_place_of_libpq_variables_is_where_the_cause_is_looked_for(mount):
    settings = database("", mount, mode="disable", host="db.example")
    env = {"PGHOSTADDR": "127.0.0.9", "PGPORT": "1", "PGHOST": "not.used"}
    attempt = walk(probe_database, settings, Network(), env=env, driver=refusing)

    assert outcome(attempt) == (["dns", "tcp"], "probe-refused")
    assert attempt.problem.message == (
        "db.example:1 at 127.0.0.9 refuses the TCP connection."
    )


def test_second_attempt_with_other_error_makes_the_failure_transient(mount):
    text = f"{LIBPQ}FATAL:  the database system is starting up"
    said = error_response("28000", 'no entry in "pg_hba.conf"')
    with ScriptedServer(postgres_saying(said)) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(
            probe_database, settings, Names(), driver=failing(DriverError(text))
        )

    assert attempt.problem.code == "probe-db-passing"


def test_server_message_is_printable_and_bounded(mount):
    said = error_response("28000", "pg_hba.conf \x1b[31m\n" + "x" * 999)
    with ScriptedServer(postgres_saying(said)) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert attempt.server_said.startswith("pg_hba.conf \\x1b[31m\\nxxx")
    assert len(attempt.server_said) < 310


def test_missing_driver_is_reported_after_network_stages(mount):
    with ScriptedServer(silence) as server:
        attempt = walk(
            probe_database,
            database(server.port, mount, mode="disable"),
            Names(),
            driver=failing(NoDriver()),
        )

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-driver-missing")
    assert exit_status([Probe("database", False, (), attempt.problem)]) == 2


@pytest.mark.parametrize("error", [NoDriver(), DriverError("x"), TimeoutError()])
def test_database_without_host_is_left_to_libpq(mount, error):
    settings = database(1, mount, host="")
    attempt = walk(probe_database, settings, Names(), driver=failing(error))

    assert [stage.stage for stage in attempt.stages] == ["dns", "login"]


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        (
            "canceling statement due to statement timeout",
            "probe-db-error",
            "PostgreSQL at localhost:1 answers a query with an error.",
        ),
        (
            "SSL connection has been closed unexpectedly",
            "probe-closed",
            "localhost:1 accepts the session and closes it on the first query.",
        ),
        (
            "server login has been failing, try again later (server_login_retry)",
            "probe-db-starting",
            "PgBouncer at localhost:1 has no connection to PostgreSQL behind it.",
        ),
    ],
)
def test_failed_query_is_reported_in_query_stage(mount, text, code, fact):
    error = DriverError(text, on_query=True)
    attempt = walk(probe_database, database(1, mount), Names(), driver=failing(error))

    assert outcome(attempt) == (["query"], code)
    assert attempt.problem.message == fact
    assert attempt.said_by == ("libpq" if "unexpectedly" in text else "")


def test_requirement_that_libpq_names_is_shown_whole(mount):
    text = 'authentication method requirement "md5" failed: server did not complete it'
    with ScriptedServer(postgres_saying(authentication(10))) as server:
        settings = database(server.port, mount, mode="disable")
        error = DriverError(f"{LIBPQ}{text}")
        attempt = walk(probe_database, settings, Names(), driver=failing(error))

    assert attempt.problem.message == (
        f"libpq does not connect to localhost:{server.port}: {text}."
    )


@pytest.mark.parametrize("hosts", ["localhost,127.0.0.1", "localhost"])
def test_hosts_that_refuse_connections_are_transient(mount, hosts):
    text = "\n".join(
        f'connection to server at "{host}", port 1 failed: Connection refused'
        for host in hosts.split(",")
    )
    attempt = walk(
        probe_database,
        database(1, mount, host=hosts),
        Names(),
        driver=failing(DriverError(text)),
    )

    probe = Probe("database", False, (), attempt.problem)
    assert outcome(attempt) == (["dns", "tcp"], "probe-refused")
    assert (exit_status([probe]), probe.is_transient) == (2, True)


def test_database_login_without_answer_is_reported_silent(mount):
    script = after_ssl_request(secured(silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database,
            database(server.port, mount),
            Names(),
            driver=refusing,
            seconds=0.5,
        )

    assert outcome(attempt) == (ALL_STAGES[:5], "probe-silent")
