"""The stages of one attempt to reach one target, as they pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from understack_nautobot_settings.problems import Problem

SHORTEST_WAIT = 0.05
"""Seconds that a stage gets even when the time is up, so that it can say so."""

_PATIENCE = 0.7


class Stage(NamedTuple):
    """One stage that is over.

    Attributes:
        stage: ``settings``, ``dns``, ``tcp``, ``tls``, ``identity``, ``login``,
            ``query``, ``heartbeat``, ``certificate`` or ``ping``.
        ok: Whether it was passed.
        seconds: How long it took.
        detail: What was seen, for people.
    """

    stage: str
    ok: bool
    seconds: float
    detail: str


class Failed(Exception):
    """A stage was not passed.

    Attributes:
        problem: Why.
    """

    def __init__(self, problem: Problem) -> None:
        """Fail for this reason."""
        super().__init__(str(problem))
        self.problem = problem


class Journey:
    """The stages of one target, in order, and the time that is left for them.

    Attributes:
        target: What is reached for.
        stages: Those that are over.
        problem: Why the last of them was not passed, None where all were.
        current: The stage that is under way, empty between two.
        since: When it began, by the clock.
    """

    def __init__(
        self,
        target: str,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock."""
        self.target = target
        self.stages: list[Stage] = []
        self.problem: Problem | None = None
        self.current = ""
        self.since = 0.0
        self.clock = clock
        self._started = clock()
        self.end = self._started + seconds

    @property
    def left(self) -> float:
        """Seconds left, never nothing."""
        return max(SHORTEST_WAIT, self.end - self.clock())

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer; the rest is for finding out why none came."""
        return self.left * _PATIENCE

    def stage(self, name: str) -> Passing:
        """Return the context in which a stage is passed."""
        return Passing(self, name)

    def skip(self, name: str, detail: str) -> None:
        """Note a stage that there is nothing to do for."""
        self.stages.append(Stage(name, True, 0.0, detail))

    def break_off(self, problem: Problem) -> None:
        """Put the reason into the stage that has just failed, and fail.

        Raises:
            Failed: Always.
        """
        last = self.stages.pop()
        self.over(last.stage, False, last.seconds, last.detail or problem.message)
        self.problem = problem
        raise Failed(problem)

    def over(self, name: str, ok: bool, seconds: float, detail: str) -> None:
        """Note the end of a stage."""
        self.current = ""
        self.stages.append(Stage(name, ok, seconds, detail))


class Passing:
    """One stage under way; a context manager.

    Attributes:
        detail: What was seen so far.
    """

    def __init__(self, journey: Journey, name: str) -> None:
        """Name the stage."""
        self.detail = ""
        self._journey = journey
        self._name = name
        self._started = 0.0

    def __enter__(self) -> Passing:
        """Start the stage."""
        self._started = self._journey.clock()
        self._journey.since = self._started
        self._journey.current = self._name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note how it ended; a failure goes on to whoever started the journey."""
        seconds = self._journey.clock() - self._started
        detail = self.detail
        if isinstance(error, Failed):
            self._journey.problem = error.problem
            detail = detail or error.problem.message
        self._journey.over(self._name, error is None, seconds, detail)
