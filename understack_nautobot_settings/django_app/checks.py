"""System checks: what `check` says, in ``nautobot-server check`` and at start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Error
from django.core.checks import Warning as CheckWarning

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

# Followed by the code of the problem; SILENCED_SYSTEM_CHECKS takes the whole.
ID_PREFIX = "understack."


def check_environment(**options: Any) -> list[CheckMessage]:
    """Return every problem of this process's environment as a check message."""
    del options
    return [
        message(problem)
        for problem in inspect_environment(namespace=SettingsInForce(settings)).problems
    ]


def message(problem: Problem) -> CheckMessage:
    """Return a problem as Django shows it; its id is stable."""
    kind = Error if problem.severity == ERROR else CheckWarning
    return kind(
        f"{problem.variable}: {problem.message}",
        hint=problem.hint or None,
        id=ID_PREFIX + problem.code,
    )
