import errno
import socket

import pytest

from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import silence
from tests.unit.probes.attempts import Failing
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.targets import probe_targets


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_place_of_an_ipv6_address_has_brackets(host):
    """Else nobody sees where the port begins."""
    assert Endpoint("Redis", host, 6379, "X").place == "[::1]:6379"


@pytest.mark.parametrize(
    ("network", "stages", "code", "message"),
    [
        (
            Failing(socket.gaierror(-2, "Name or service not known"), resolve=True),
            ["dns"],
            "probe-dns",
            "the name db.example does not resolve: name or service not known.",
        ),
        (
            Failing(UnicodeError("label empty or too long"), resolve=True),
            ["dns"],
            "probe-dns",
            "the name db.example does not resolve: a part of it is empty, or longer "
            "than 63 characters.",
        ),
        (
            Failing(ConnectionRefusedError(111, "x")),
            ["dns", "tcp"],
            "probe-refused",
            "db.example:5 refuses the TCP connection.",
        ),
        (
            Failing(TimeoutError()),
            ["dns", "tcp"],
            "probe-timeout",
            "db.example:5 does not answer a TCP connection in time.",
        ),
        (
            Failing(OSError(113, "x")),
            ["dns", "tcp"],
            "probe-network",
            "db.example:5 cannot be reached: no route to host.",
        ),
    ],
    ids=["name", "part", "refused", "black hole", "no route"],
)
def test_unreachable_host_is_reported_with_its_stage(
    mount, network, stages, code, message
):
    settings = database(5, mount, host="db.example")
    attempt = walk(probe_database, settings, network, driver=refusing)

    assert outcome(attempt) == (stages, code)
    assert attempt.problem.message == message
    assert attempt.problem.variable == "NAUTOBOT_DB_HOST"
    assert exit_status([Probe("database", False, (), attempt.problem)]) == 2


def test_limit_of_this_process_is_not_said_of_the_address(mount):
    settings = cache(5, mount)

    def way(target, attempt):
        probe_cache(attempt, settings, Failing(OSError(errno.EMFILE, "x")))

    (probe,) = probe_targets(["cache"], {}, way=way)

    assert (probe.stages[-1].stage, probe.problem.code) == ("tcp", "probe-broken")
    assert probe.problem.message == (
        "the probe itself failed with OSError: Too many open files."
    )


def test_host_name_without_address_is_reported(mount):
    class Nowhere(Network):
        def resolve(self, host, port):
            return []

    attempt = walk(probe_database, database(5, mount), Nowhere(), driver=refusing)

    assert attempt.problem.message == (
        "localhost:5 cannot be reached: it has no address."
    )


def test_host_that_does_not_resolve_is_not_said_to_refuse(mount):
    class OneName(Names):
        def resolve(self, host, port):
            if host == "nowhere":
                raise socket.gaierror(-2, "Name or service not known")
            return super().resolve(host, port)

    settings = database(1, mount, host="nowhere,localhost")
    attempt = walk(probe_database, settings, OneName(), driver=refusing)

    assert attempt.problem.message == (
        "nowhere does not resolve. localhost:1 refuses the TCP connection."
    )


def test_hosts_that_fail_in_their_own_way_are_told_apart(mount):
    class Silent(Network):
        def resolve(self, host, port):
            return [(socket.AF_INET, (host, port))]

        def connect(self, address, seconds):
            if address[1][0] == "silent":
                raise TimeoutError
            raise ConnectionRefusedError(111, "x")

    settings = database(1, mount, host="silent,one,other")
    attempt = walk(probe_database, settings, Silent(), driver=refusing)

    assert attempt.problem.message == (
        "silent:1 does not answer a TCP connection in time. one:1 refuses the TCP "
        "connection. other:1 refuses the TCP connection."
    )


def test_address_without_route_does_not_hide_why_the_preferred_one_fails(mount):
    class Dual(Network):
        def resolve(self, host, port):
            return [(socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port))]

        def connect(self, address, seconds):
            if address[0] == socket.AF_INET6:
                raise OSError(101, "Network is unreachable")
            raise ConnectionRefusedError(111, "x")

    attempt = walk(probe_database, database(1, mount), Dual(), driver=refusing)

    assert attempt.problem.message == "localhost:1 refuses the TCP connection."


def test_second_address_is_tried_after_the_first_fails(mount):
    class Two(Network):
        def resolve(self, host, port):
            return [
                (socket.AF_INET6, ("::1", port, 0, 0)),
                (socket.AF_INET, ("127.0.0.1", port)),
            ]

    with ScriptedServer(silence) as server:
        settings = database(server.port, mount, mode="disable")
        attempt = walk(probe_database, settings, Two(), driver=refusing, seconds=0.5)

    assert attempt.stages[0].detail == (f"[::1]:{server.port}, 127.0.0.1:{server.port}")
    assert attempt.stages[1].detail == f"127.0.0.1:{server.port}"


def test_many_addresses_are_shown_shortened(mount):
    class Many(Names):
        def resolve(self, host, port):
            return [(socket.AF_INET, ("127.0.0.1", port + one)) for one in range(5)]

    attempt = walk(probe_database, database(1, mount), Many(), driver=refusing)

    assert (
        attempt.stages[0].detail == "127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3 and 2 more"
    )
