from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.servers.scripted import ScriptedServer
from tests.unit.probes.attempts import SCRIPTS
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import walk
from tests.unit.probes.attempts import walk_to
from understack_nautobot_settings.probes.https import probe_https


@pytest.mark.parametrize(("kind", "most"), [("database", 5), ("cache", 6), ("url", 6)])
def test_failed_probe_opens_six_connections_at_most(mount, kind, most):
    """To a database five, and one that libpq opens and nobody sees here."""

    def connections(script):
        with ScriptedServer(script) as server:
            if kind != "url":
                found = walk_to(kind, server.port, mount, seconds=1)
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
