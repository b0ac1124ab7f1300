import io
import re
import threading

import pytest

from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.commands.wait import Progress
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.attempt import Stage

REFUSED = codes.PROBE_REFUSED.problem("HOST", "nothing listens.", "Start it.")
UP = Probe("database", True, (Stage("query", True, 0.1, "fine"),), None)
DOWN = Probe("database", False, (Stage("tcp", False, 0.1, ""),), REFUSED)


class TerminalStream(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_progress_prints_one_line_for_each_change(terminal):
    stream = TerminalStream() if terminal else io.StringIO()
    progress = Progress(stream, {})

    for seconds, probe in enumerate([DOWN, DOWN, DOWN, UP, UP]):
        progress([probe], seconds)
    progress.close()

    lines = [line.rpartition("\r")[2] for line in stream.getvalue().split("\n")]
    assert [line for line in lines if line] == [
        "    0.0 s  database: failed at tcp: HOST: nothing listens. Start it.",
        "    3.0 s  database: up",
    ]
    assert ("\r" in stream.getvalue()) == terminal


def test_progress_on_terminal_updates_the_last_line():
    stream = TerminalStream()
    progress = Progress(stream, {})

    progress([DOWN], 1)
    progress([DOWN], 2)

    assert stream.getvalue().endswith(f"\r{'- 2 s, waiting for database':<79}")


def test_progress_on_narrow_terminal_stays_on_one_line():
    stream = TerminalStream()
    progress = Progress(stream, {"COLUMNS": "50"})

    progress([DOWN], 1)
    progress.close()

    moving = stream.getvalue().split("\n")[-1]
    assert [len(line) for line in moving.split("\r")] == [0, 49, 49, 0]


def test_progress_on_other_stream_has_no_moving_line():
    stream = io.StringIO()
    Progress(stream, {})([DOWN], 1)

    assert "\r" not in stream.getvalue()


def test_failure_without_stages_is_reported_for_the_settings():
    stream = io.StringIO()
    Progress(stream, {})([DOWN._replace(stages=())], 0)

    assert stream.getvalue() == (
        "    0.0 s  database: failed at settings: HOST: nothing listens. Start it.\n"
    )


def test_wait_up_for_less_than_stable_exits_with_two(tmp_path, capsys, monkeypatch):
    heartbeat = tmp_path / "heartbeat"
    comes = threading.Timer(0.2, heartbeat.touch)
    comes.start()
    environment = {
        "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES": "true",
        "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE": str(heartbeat),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    status = main(["wait", "worker", "--timeout=1.5", "--stable=1.4"])

    comes.join()
    assert status == 2
    assert re.search(
        r"wait: gave up after 1\.\d s: everything is up, but not for 1.4 s yet\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("stable", ["300", "301"])
def test_wait_for_longer_than_the_timeout_is_refused(stable):
    stderr = io.StringIO()

    status = main(["wait", f"--stable={stable}"], {}, stderr=stderr)

    assert (status, stderr.getvalue()) == (
        2,
        f"understack-nautobot-settings wait: --stable {stable} cannot be reached "
        "within --timeout 300. Use a longer --timeout.\n",
    )


class UnreadStream(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_wait_whose_progress_is_not_read_waits_all_the_same(tmp_path):
    heartbeat = tmp_path / "heartbeat"
    env = {
        "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES": "true",
        "NAUTOBOT_CELERY_WORKER_HEARTBEAT_FILE": str(heartbeat),
    }
    stdout = io.StringIO()
    comes = threading.Timer(0.2, heartbeat.touch)
    comes.start()

    status = main(["wait", "worker"], env, stdout=stdout, stderr=UnreadStream())

    comes.join()
    assert (status, stdout.getvalue().splitlines()[-1]) == (0, "1 of 1 target ok")
