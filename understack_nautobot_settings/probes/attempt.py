"""The stages of one attempt to reach one target, as they pass."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable

MOST_CONNECTIONS = 6
"""Connections that one attempt may open to a target: one, and five to find out why."""

SHORTEST_WAIT = 0.05
"""Seconds that a stage gets even when the time is up, so that it can say so."""

_PATIENCE = 0.7
_LONGEST_QUOTE = 300


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


class Cause(NamedTuple):
    """Why a target could not be reached.

    Attributes:
        symptom: What the first connection ended with. While it stays the same, the
            cause is not looked for again.
        stage: The stage that was not passed.
        problem: The cause that was found.
        server_said: The server's own words, empty where it said none.
    """

    symptom: str
    stage: str
    problem: Problem
    server_said: str = ""


class Failed(Exception):
    """A stage was not passed.

    Attributes:
        problem: Why.
    """

    def __init__(self, problem: Problem) -> None:
        """Fail for this reason."""
        super().__init__(str(problem))
        self.problem = problem


class StageUnderWay:
    """A stage that is not over.

    Attributes:
        detail: What was seen so far.
    """

    detail = ""


class Attempt:
    """The stages of one target, in order, and the time that is left for them.

    Attributes:
        target: What is reached for.
        stages: Those that are over.
        problem: Why the last of them was not passed, None where all were.
        server_said: What the server said about it in its own words, printable.
        symptom: What the first connection ended with, empty where nobody asked.
        connections: How many were opened.
        current: The stage that is under way, empty between two.
        since: When it began, by the clock.
    """

    def __init__(
        self,
        target: str,
        seconds: float,
        *,
        before: Cause | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock; `before` is what the attempt before this one found."""
        self.target = target
        self.stages: list[Stage] = []
        self.problem: Problem | None = None
        self.server_said = ""
        self.symptom = ""
        self.connections = 0
        self.current = ""
        self.since = 0.0
        self.clock = clock
        self._before = before
        self.end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never nothing."""
        return max(SHORTEST_WAIT, self.end - self.clock())

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer; the rest is for finding out why none came."""
        return self.left * _PATIENCE

    @property
    def may_connect(self) -> bool:
        """Whether another connection may be opened, and there is time for it."""
        return self.connections < MOST_CONNECTIONS and self.clock() < self.end

    def timer(self) -> Callable[[], float]:
        """Return a function that tells how long answers may still take.

        It starts now with `patience`, and raises ``TimeoutError`` at its end, so that
        a server that answers octet by octet gets no more time than one that is silent.
        """
        end = self.clock() + self.patience

        def seconds_left() -> float:
            seconds = end - self.clock()
            if seconds <= 0:
                raise TimeoutError
            return seconds

        return seconds_left

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[StageUnderWay]:
        """Pass a stage; a failure goes on to whoever started the attempt."""
        stage, ok = StageUnderWay(), False
        self.current, self.since = name, self.clock()
        try:
            yield stage
            ok = True
        except Failed as failed:
            self.problem = failed.problem
            stage.detail = stage.detail or failed.problem.message
            raise
        finally:
            self.over(name, ok, self.clock() - self.since, stage.detail)

    def skip(self, name: str, detail: str) -> None:
        """Note a stage that there is nothing to do for."""
        self.over(name, True, 0.0, detail)

    def quote(self, said: str) -> None:
        """Keep what the server said: at most 300 characters, printable."""
        self.server_said = printable(said.strip()[:_LONGEST_QUOTE])

    def repeated(self, symptom: str) -> Cause | None:
        """Note what the first connection ended with, and return its known cause.

        None where the attempt before this one did not end with the same symptom.
        """
        if self.symptom:
            return None
        self.symptom = symptom
        if self._before is None or self._before.symptom != symptom:
            return None
        self.server_said = self._before.server_said
        return self._before

    def explained(self, symptom: str, look: Callable[[], Problem]) -> Problem:
        """Return the cause of a symptom.

        `look` finds it, with further connections. It is not called where the attempt
        before this one ended with the same symptom.
        """
        before = self.repeated(symptom)
        if before is not None:
            return before.problem
        try:
            return look()
        except Failed as failed:
            return failed.problem

    def fail_last(self, problem: Problem) -> None:
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
        self.stages.append(Stage(name, ok, seconds, printable(detail)))
