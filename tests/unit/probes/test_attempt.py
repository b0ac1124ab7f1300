from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import silence
from lab.servers.scripted import without_alert
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import OTHER
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.https import probe_https
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache


def endless(connection):
    """Answer for ever, whatever was asked."""
    if connection.recv(65536):
        while True:
            connection.sendall(b"*9\r\n" * 999)


SCRIPTS = {
    "silence": silence,
    "goodbye": goodbye,
    "endless": endless,
    "closed at once": lambda connection: None,
    "TLS of a foreign CA": over_tls(tls_context(OTHER.server()), silence),
    "TLS, goodbye": over_tls(tls_context(CA.server()), goodbye),
    "TLS, endless": over_tls(tls_context(CA.server()), endless),
    "TLS, alert lost": without_alert(tls_context(CA.server(), clients=OTHER.ca_pem)),
    "negotiated, goodbye": after_ssl_request(goodbye),
    "negotiated, TLS, goodbye": after_ssl_request(secured(goodbye)),
    "negotiated, TLS, endless": after_ssl_request(secured(endless)),
    "negotiated, TLS, alert lost": after_ssl_request(
        without_alert(tls_context(CA.server(), clients=OTHER.ca_pem))
    ),
}


@pytest.mark.parametrize(("kind", "most"), [("database", 5), ("cache", 6), ("url", 6)])
def test_failed_probe_opens_six_connections_at_most(mount, kind, most):
    """To a database five, and one that libpq opens and nobody sees here."""

    def connections(script):
        with ScriptedServer(script) as server:
            if kind == "database":
                found = walk(
                    probe_database,
                    database(server.port, mount),
                    Names(),
                    driver=refusing,
                    seconds=1,
                )
            elif kind == "cache":
                settings = cache(server.port, mount)
                found = walk(probe_cache, settings, Names(), seconds=1)
            else:
                url = f"https://localhost:{server.port}/"
                env = {"X_CA": mount.ca}
                found = walk(probe_https, url, env, Names(), prefix="X_", seconds=1)
            assert found.problem is not None
            return server.connections

    with ThreadPoolExecutor(len(SCRIPTS)) as pool:
        counted = dict(
            zip(SCRIPTS, pool.map(connections, SCRIPTS.values()), strict=True)
        )

    assert {name: count for name, count in counted.items() if count > most} == {}
    assert min(counted.values()) >= 1
