import io

import pytest

from understack_nautobot_settings.commands.wait import Progress
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.targets import Probe

REFUSED = codes.PROBE_REFUSED.problem("HOST", "nothing listens.", "Start it.")
UP = Probe("database", True, (Stage("query", True, 0.1, "fine"),), None)
DOWN = Probe("database", False, (Stage("tcp", False, 0.1, ""),), REFUSED)


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_a_change_of_state_is_one_line(terminal):
    stream = io.StringIO()
    progress = Progress(stream, terminal=terminal)

    for seconds, probe in enumerate([DOWN, DOWN, DOWN, UP, UP]):
        progress([probe], seconds)
    progress.close()

    lines = [line.rpartition("\r")[2] for line in stream.getvalue().split("\n")]
    assert [line for line in lines if line] == [
        "    0.0 s  database: not up at tcp: HOST: nothing listens. Start it.",
        "    3.0 s  database: up",
    ]
    assert ("\r" in stream.getvalue()) == terminal


def test_on_a_terminal_the_last_line_moves():
    stream = io.StringIO()
    progress = Progress(stream, terminal=True)

    progress([DOWN], 1)
    progress([DOWN], 2)

    assert stream.getvalue().endswith(f"\r{'- 2 s, waiting for database':<79}")


def test_the_stream_is_asked_whether_it_is_a_terminal():
    stream = io.StringIO()
    Progress(stream)([DOWN], 1)

    assert "\r" not in stream.getvalue()


def test_a_failure_without_stages_was_in_the_settings():
    stream = io.StringIO()
    Progress(stream)([DOWN._replace(stages=())], 0)

    assert stream.getvalue() == (
        "    0.0 s  database: not up at settings: HOST: nothing listens. Start it.\n"
    )
