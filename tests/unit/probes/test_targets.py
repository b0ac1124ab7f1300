import errno
import re
import socket
import threading

import pytest

from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import goodbye
from tests.unit.probes.attempts import environment
from tests.unit.probes.attempts import good_redis
from tests.unit.probes.attempts import secured
from understack_nautobot_settings.certificates.codes import CERTIFICATE_NOT_YET_VALID
from understack_nautobot_settings.commands import reference
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.targets import probe_targets
from understack_nautobot_settings.probes.targets import probes_as_json


def test_targets_are_probed_in_parallel(mount):
    meeting = threading.Barrier(3, timeout=5)

    def way(target, attempt):
        with attempt.stage("query"):
            meeting.wait()

    probes = probe_targets(["a", "b", "c", "a"], {}, way=way)

    assert [(probe.target, probe.ok) for probe in probes] == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]


def test_cache_and_broker_are_probed_with_settings_of_environment(mount):
    with ScriptedServer(secured(good_redis())) as server:
        probes = probe_targets(
            ["cache", "broker"], environment(mount, redis_port=server.port)
        )

    assert [(probe.target, probe.ok, len(probe.stages)) for probe in probes] == [
        ("cache", True, 6),
        ("broker", True, 6),
    ]
    assert exit_status(probes) == 0


def test_invalid_settings_are_reported_in_settings_stage(mount):
    env = environment(mount, NAUTOBOT_REDIS_SSL_CERT_REQS="perhaps")
    probes = probe_targets(["cache", "database"], env, timeout=2)

    assert [one.stage for one in probes[0].stages] == ["settings"]
    assert probes[0].problem.variable == "NAUTOBOT_REDIS_SSL_CERT_REQS"
    assert not probes[0].is_transient
    # What is wrong with Redis is none of the database's business.
    assert [one.stage for one in probes[1].stages] == ["dns", "tcp"]
    assert exit_status(probes) == 1


def test_invalid_setting_is_reported_for_its_own_target(mount):
    url = "rediss://localhost/0?ssl_cert_reqs=none"
    env = environment(mount)
    base = {**env, "NAUTOBOT_CELERY_BROKER_URL": url}
    cache_probe, broker_probe = probe_targets(["cache", "broker"], base, timeout=2)

    assert broker_probe.problem.code == "redis-url-ssl-option"
    assert broker_probe.stages[0].stage == "settings"
    assert cache_probe.stages[0].stage == "settings"


def test_port_written_by_kubernetes_is_reported_as_service_link(mount):
    env = environment(mount, NAUTOBOT_REDIS_PORT="tcp://10.0.0.1:6379")
    (probe,) = probe_targets(["broker"], env, timeout=2)

    assert (probe.problem.code, probe.problem.message) == (
        "service-link",
        "'tcp://10.0.0.1:6379' is what Kubernetes writes for a Service called "
        "nautobot-redis.",
    )


def test_probe_that_raises_is_reported_without_secret():
    def way(target, attempt):
        with attempt.stage("tcp"):
            int("s3cret")

    (probe,) = probe_targets(["a"], {}, way=way)

    assert not probe.ok
    assert [(one.stage, one.ok, one.detail) for one in probe.stages] == [
        ("tcp", False, "")
    ]
    assert str(probe.problem) == (
        "a: the probe itself failed with ValueError. Look at the settings of the "
        "target in show, and report the failure."
    )
    # Nothing is known about the target.
    assert exit_status([probe]) == 2


def test_probe_that_the_system_refuses_something_says_what():
    def way(target, attempt):
        raise OSError(errno.EMFILE, "s3cret", "s3cret")

    (probe,) = probe_targets(["a"], {}, way=way)

    assert str(probe.problem) == (
        "a: the probe itself failed with OSError: Too many open files. The operating "
        "system refuses it to this process: look at the limits of the container and of "
        "the process (files, processes, memory, disk)."
    )


def test_every_target_that_hangs_times_out():
    never = threading.Event()
    probes = probe_targets(
        "abcdef", {}, timeout=0.1, way=lambda target, attempt: never.wait(30)
    )
    never.set()

    assert [probe.problem.code for probe in probes] == ["probe-timeout"] * 6


@pytest.mark.parametrize("name", ["NAUTOBOT_REDIS_PORT", "NAUTOBOT_REDIS_SSL"])
@pytest.mark.parametrize("text", ["", "\n", "false\n"])
def test_value_at_which_nautobot_stops_is_named_although_it_is_unset_here(
    mount, name, text
):
    probes = probe_targets(["cache", "broker"], environment(mount, **{name: text}))

    assert {(probe.problem.code, probe.problem.variable) for probe in probes} == {
        ("nautobot-value-invalid", name)
    }


def test_probe_without_secret_key_still_runs(mount):
    env = environment(mount)
    del env["NAUTOBOT_SECRET_KEY"]
    (probe,) = probe_targets(["database"], env, timeout=2)

    assert probe.problem.code == "probe-refused"


def test_worker_probe_checks_heartbeat_and_certificate(mount, tmp_path):
    file = tmp_path / "heartbeat"
    file.touch()
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, heartbeat_seconds=5)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate"]
    assert probe.ok


@pytest.mark.parametrize("destination", ["", f"second@{socket.gethostname()}"])
def test_worker_probe_with_ping_asks_the_worker(mount, tmp_path, destination):
    file = tmp_path / "heartbeat"
    file.touch()
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, ping=destination, timeout=3)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate", "ping"]
    assert re.fullmatch(rf"{file}, \d s old", probe.stages[0].detail)
    assert probe.stages[1].detail == f"{mount.certificate} for Redis 1094 days"
    assert not probe.ok


@pytest.mark.parametrize(
    ("more", "seen"),
    [
        ({}, "PostgreSQL and Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": "require"}, "Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": ""}, "Redis 1094 days"),
        ({"NAUTOBOT_DB_SSLMODE": "verify_full"}, "Redis 1094 days"),
        ({"UNDERSTACK_REDIS_MTLS": "off"}, "PostgreSQL 1094 days"),
        (
            {
                "UNDERSTACK_CONNECTION_PROFILE": "wan",
                "NAUTOBOT_CELERY_BROKER_URL": "amqps://mq/",
            },
            "PostgreSQL and Redis 1094 days",
        ),
        ({"NAUTOBOT_DB_SSLMODE": "", "UNDERSTACK_REDIS_MTLS": "off"}, ""),
    ],
)
def test_worker_probe_without_ping_checks_all_certificates(mount, tmp_path, more, seen):
    file = tmp_path / "heartbeat"
    file.touch()
    env = {
        **environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file)),
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        **more,
    }
    (found,) = probe_targets(["worker"], env)

    assert found.stages[1].detail == (
        f"{mount.certificate} for {seen}" if seen else "none in use"
    )


def test_worker_on_another_host_is_probed_without_heartbeat(mount, tmp_path):
    file = tmp_path / "not-here"
    env = environment(mount, NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE=str(file))
    (probe,) = probe_targets(["worker"], env, ping="celery@there", timeout=3)

    assert [one.stage for one in probe.stages] == ["heartbeat", "certificate", "ping"]
    assert probe.stages[0].ok
    assert probe.stages[0].detail == "skipped: celery@there is on another host"


def test_probe_that_does_not_end_times_out(mount):
    waiting = threading.Event()

    def way(target, attempt):
        attempt.skip("dns", "passed")
        with attempt.stage("tcp"):
            waiting.wait(10)

    (probe,) = probe_targets(["a"], {}, way=way, timeout=1)
    waiting.set()

    assert [(one.stage, one.ok) for one in probe.stages] == [
        ("dns", True),
        ("tcp", False),
    ]
    assert probe.problem.code == "probe-timeout"
    assert probe.problem.message == "the stage tcp did not end in time."
    assert probe.is_transient


def test_name_server_that_does_not_answer_is_not_blamed_on_the_server(mount):
    waiting = threading.Event()

    class Silent(Network):
        def resolve(self, host, port):
            waiting.wait(10)
            return []

    (probe,) = probe_targets(["cache"], environment(mount), network=Silent(), timeout=1)
    waiting.set()

    assert str(probe.problem) == (
        "cache: the stage dns did not end in time. Correct the host name, or the DNS "
        "of the cluster."
    )
    assert (probe.problem.code, probe.is_transient) == ("probe-dns", True)


def test_look_for_the_cause_that_does_not_end_times_out_in_its_stage(mount):
    waiting = threading.Event()

    class Once(Network):
        connections = 0

        def connect(self, address, seconds):
            self.connections += 1
            if self.connections > 1:
                waiting.wait(10)
            return super().connect(address, seconds)

    with ScriptedServer(goodbye) as server:
        env = environment(mount, redis_port=server.port, UNDERSTACK_REDIS_MTLS="off")
        (probe,) = probe_targets(["cache"], env, network=Once(), timeout=1)
        waiting.set()

    assert [one.stage for one in probe.stages][-2:] == ["identity", "login"]
    assert probe.problem.message == "the stage login did not end in time."


def test_probe_json_has_the_documented_shape():
    problem = codes.PROBE_DNS.problem("X", "fact.", "Remedy.")
    probes = [
        Probe("cache", True, (Stage("dns", True, 0.12345678, "here"),), None),
        Probe("broker", False, (), problem, "no"),
    ]

    assert probes_as_json(probes) == {
        "targets": [
            {
                "target": "cache",
                "ok": True,
                "stages": [
                    {"stage": "dns", "ok": True, "seconds": 0.123457, "detail": "here"}
                ],
                "problem": None,
                "server_said": None,
            },
            {
                "target": "broker",
                "ok": False,
                "stages": [],
                "problem": {
                    "code": "probe-dns",
                    "severity": "error",
                    "variable": "X",
                    "message": "fact.",
                    "hint": "Remedy.",
                },
                "server_said": "no",
            },
        ]
    }


def test_exit_status_of_error_wins_over_unreachable():
    def probe(code):
        return Probe("x", False, (), code.problem("X", "x"))

    unreachable = probe(codes.PROBE_REFUSED)
    wrong = probe(codes.PROBE_DB_PASSWORD)

    assert exit_status([]) == 0
    assert exit_status([unreachable]) == 2
    assert exit_status([unreachable, wrong]) == 1


def test_every_transient_code_is_transient_for_wait():
    passing = [code for code in reference.codes() if code.transient]

    assert len(passing) > 10
    for code in passing:
        assert Probe("cache", False, (), code.problem("X", "it is.")).is_transient


def test_certificate_not_yet_valid_is_transient():
    problem = CERTIFICATE_NOT_YET_VALID.problem("X", "it is early.")

    assert Probe("cache", False, (), problem).is_transient
