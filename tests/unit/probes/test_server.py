import pytest

from lab.certificates import write_mount
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import authentication
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import postgres_saying
from lab.servers.scripted import silence
from lab.servers.scripted import without_alert
from tests.unit.probes.attempts import ALL_STAGES
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import OTHER
from tests.unit.probes.attempts import REVOKED
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import good_redis
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import server_context
from tests.unit.probes.attempts import walk
from tests.unit.probes.attempts import walk_to
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache

# What a real PostgreSQL of any version says, where the system gives it no process.
NO_PROCESS = b"Ecould not fork new process for connection: Cannot allocate memory\n\0"


def greeting(connection):
    connection.sendall(b"SSH-2.0-x\r\n")
    silence(connection)


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        (
            OTHER.client(),
            "probe-client-ca",
            "does not trust the CA of the client certificate "
            "(CN=app, issued by CN=another-ca).",
        ),
        (CA.expired(), "probe-client-expired", ", which expired on"),
        (
            CA.not_yet_valid(),
            "certificate-not-yet-valid",
            ", which is not valid before",
        ),
        (
            CA.client(usages=("server auth",)),
            "probe-client-refused",
            "alert unsupported certificate.",
        ),
        (
            REVOKED,
            "probe-client-refused",
            "alert certificate revoked. It is in the server's revocation list (CRL). "
            "Issue a new certificate.",
        ),
    ],
    ids=["foreign", "expired", "early", "server only", "revoked"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_client_certificate_refused_by_server_gets_its_code(
    tmp_path, kind, client, code, words
):
    mount = write_mount(tmp_path, client, CA.ca_pem)
    if kind == "database":
        script = after_ssl_request(secured(postgres_saying(authentication(0))))
    else:
        script = secured(good_redis())
    with ScriptedServer(script) as server:
        attempt = walk_to(kind, server.port, mount)

    stages, found = outcome(attempt)
    assert (stages[-1], found) == ("login", code)
    assert words in str(attempt.problem)


def test_server_that_requires_client_certificate_is_reported(mount):
    with ScriptedServer(secured(good_redis())) as server:
        settings = cache(server.port, mount, ssl_certfile=None, ssl_keyfile=None)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-client-certificate-required"


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        (OTHER.client(), "probe-client-refused", "; it probably does not trust that"),
        (CA.expired(), "probe-client-expired", ", which expired on 20"),
        (CA.not_yet_valid(), "certificate-not-yet-valid", ", which is not valid befor"),
        (
            CA.client(usages=("server auth",)),
            "probe-client-refused",
            ", which is not for clients.",
        ),
    ],
    ids=["foreign", "expired", "early", "server only"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_server_that_closes_after_certificate_without_alert_is_reported(
    tmp_path, kind, client, code, words
):
    """The alert got lost on the way, as through a gateway."""
    mount = write_mount(tmp_path, client, CA.ca_pem)
    script = without_alert(server_context())
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        attempt = walk_to(kind, server.port, mount)

    assert outcome(attempt) == (ALL_STAGES[:5], code)
    issuer = client.certificate.issuer.rfc4514_string()
    assert attempt.problem.message.startswith(
        f"localhost:{server.port} closed the connection after it received the client "
        f"certificate (CN=app, issued by {issuer}){words}"
    )
    assert server.connections <= 6


def test_server_that_closes_after_handshake_is_reported_closed(mount):
    context = tls_context(CA.server(), clients=CA.ca_pem)

    def script(connection):
        context.wrap_socket(connection, server_side=True).close()

    with ScriptedServer(script) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt)[1] == "probe-closed"
    assert attempt.problem.message == (
        f"localhost:{server.port} accepts the connection and closes it after the TLS "
        "handshake."
    )


def test_server_that_closes_after_first_command_is_reported_closed(mount):
    def script(connection):
        connection.recv(100)

    with ScriptedServer(secured(script)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names(), seconds=8)

    assert outcome(attempt)[1] == "probe-closed"


def test_closed_connection_without_client_certificate_is_reported_closed(mount):
    context = tls_context(CA.server())

    def script(connection):
        context.wrap_socket(connection, server_side=True).close()

    with ScriptedServer(script) as server:
        settings = cache(server.port, mount, ssl_certfile=None, ssl_keyfile=None)
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-closed"


def test_handshake_failure_for_other_reason_is_reported(mount):
    context = tls_context(CA.server(), clients=CA.ca_pem)
    context.maximum_version = context.minimum_version = 0x0303
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with ScriptedServer(over_tls(context, silence)) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-tls-handshake")


@pytest.mark.parametrize(
    ("script", "options", "code"),
    [
        (after_ssl_request(silence, b"N"), {}, "probe-tls-refused"),
        (after_ssl_request(goodbye, NO_PROCESS), {}, "probe-closed"),
        (after_ssl_request(goodbye), {}, "probe-closed"),
        (after_ssl_request(silence, b"ERROR\r\n"), {}, "probe-not-postgresql"),
        (after_ssl_request(silence, b"NO\r\n"), {}, "probe-not-postgresql"),
        (after_ssl_request(silence, b"SSH-2.0-x\r\n"), {}, "probe-not-postgresql"),
        (after_ssl_request(silence, b"H"), {}, "probe-not-postgresql"),
        (silence, {}, "probe-silent"),
        (lambda connection: None, {}, "probe-closed"),
        (lambda connection: None, {"sslnegotiation": "direct"}, "probe-closed"),
        (silence, {"sslnegotiation": "direct"}, "probe-silent"),
        (greeting, {"sslnegotiation": "direct"}, "probe-not-postgresql"),
    ],
    ids=[
        "N",
        "error",
        "S, hangs up",
        "memcached",
        "other N",
        "SSH",
        "HTTP",
        "silent",
        "hangs up",
        "direct, hangs up",
        "direct",
        "direct, SSH",
    ],
)
def test_database_server_without_tls_fails_in_tls_stage(mount, script, options, code):
    with ScriptedServer(script) as server:
        settings = database(server.port, mount, **options)
        seconds = 1 if code == "probe-silent" else 5
        attempt = walk(
            probe_database, settings, Names(), driver=refusing, seconds=seconds
        )

    assert outcome(attempt) == (["dns", "tcp", "tls"], code)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"S", "probe-direct-unsupported"),
        (b"N", "probe-tls-refused"),
        (NO_PROCESS, "probe-closed"),
    ],
)
def test_direct_negotiation_with_older_server_is_reported(mount, said, code):
    """It takes the ClientHello for a broken start-up message."""

    def script(connection):
        first = connection.recv(65536)
        if first[:1] != b"\x16":
            connection.sendall(said)

    with ScriptedServer(script) as server:
        settings = database(server.port, mount, sslnegotiation="direct")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt) == (["dns", "tcp", "tls"], code)


@pytest.mark.parametrize("mode", ["disable", None])
def test_database_server_without_processes_is_not_called_a_stranger(mount, mode):
    with ScriptedServer(after_ssl_request(goodbye, NO_PROCESS)) as server:
        settings = database(server.port, mount, mode=mode)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert str(attempt.problem) == (
        f"NAUTOBOT_DB_HOST: localhost:{server.port} answers with an error before TLS "
        "or a session begins. Look into the log of PostgreSQL: it answers so if it "
        "cannot start a process for the connection."
    )


def test_database_server_that_closes_when_tls_starts_is_not_called_a_gateway(mount):
    with ScriptedServer(after_ssl_request(goodbye)) as server:
        settings = database(server.port, mount)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert attempt.problem.message == (
        f"localhost:{server.port} accepts the connection and closes it when TLS starts."
    )


def test_gateway_that_closes_connections_is_reported_as_gateway_name(mount):
    with ScriptedServer(goodbye) as server:
        settings = cache(server.port, mount, host="redis.example")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-gateway-name"
