"""System checks: what `check` says, in ``nautobot-server check`` and at start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Error
from django.core.checks import Warning as CheckWarning

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.checks.in_force import check_in_force
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.start_up import last_start
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

# Followed by the code of the problem; SILENCED_SYSTEM_CHECKS takes the whole.
ID_PREFIX = "understack."


def check_environment(**options: Any) -> list[CheckMessage]:
    """Return every problem of this process's environment as a check message.

    And what was undone since the start: a plugin may change settings when it is loaded.
    """
    del options
    in_force = SettingsInForce(settings)
    start = last_start()
    undone = [] if start is None else check_in_force(in_force, start.decided)
    found = inspect_environment(namespace=in_force).problems
    return [message(problem) for problem in (*undone, *found)]


def message(problem: Problem) -> CheckMessage:
    """Return a problem as Django shows it; its id is stable."""
    kind = Error if problem.severity == ERROR else CheckWarning
    return kind(
        f"{problem.variable}: {problem.message}",
        hint=problem.hint or None,
        id=ID_PREFIX + problem.code,
    )
