import pytest

from understack_nautobot_settings.commands.probe import probes_text
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.targets import Probe
from understack_nautobot_settings.problems import Problem

TABLE = Terminal(table=True, width=60, symbols=True)


@pytest.mark.parametrize(
    ("terminal", "text"),
    [
        (
            Terminal(),
            "cache tcp failed 0.500 s\nerror c NAUTOBOT_REDIS_HOST: nobody answers. "
            "Start it.\n0 of 1 target ok\n",
        ),
        (
            TABLE,
            "cache                                                0.500 s\n"
            "────────────────────────────────────────────────────────────\n"
            "✗ tcp\n\n"
            "✗ NAUTOBOT_REDIS_HOST                                      c\n"
            "  nobody answers.\n"
            "  → Start it.\n",
        ),
    ],
    ids=["pipe", "terminal"],
)
def test_failed_stage_does_not_repeat_the_problem(terminal, text):
    problem = Problem(
        "c", "error", "NAUTOBOT_REDIS_HOST", "nobody answers.", "Start it."
    )
    stage = Stage("tcp", False, 0.5, problem.message)
    found = probes_text([Probe("cache", False, (stage,), problem)], terminal)

    assert [line.rstrip() for line in found.splitlines()] == text.splitlines()
