import pytest

from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import goodbye
from lab.servers.scripted import silence
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache


@pytest.mark.parametrize(
    ("script", "options", "code"),
    [
        (after_ssl_request(silence, b"N"), {}, "probe-tls-refused"),
        (after_ssl_request(silence, b"E"), {}, "probe-tls-refused"),
        (after_ssl_request(silence, b"H"), {}, "probe-not-postgresql"),
        (silence, {}, "probe-silent"),
        (lambda connection: None, {}, "probe-closed"),
        (lambda connection: None, {"sslnegotiation": "direct"}, "probe-closed"),
        (silence, {"sslnegotiation": "direct"}, "probe-silent"),
    ],
    ids=["N", "error", "HTTP", "silent", "hangs up", "direct, hangs up", "direct"],
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
    [(b"S", "probe-direct-unsupported"), (b"N", "probe-tls-refused")],
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


def test_gateway_that_closes_connections_is_reported_as_gateway_name(mount):
    with ScriptedServer(goodbye) as server:
        settings = cache(server.port, mount, host="redis.example")
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt)[1] == "probe-gateway-name"
