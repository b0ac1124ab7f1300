"""The stages of one attempt to reach one target, as they pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
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
        """Start the clock.

        Args:
            target: What is reached for.
            seconds: How long it may take.
            before: What the attempt before this one found.
            clock: Seconds, of any beginning.
        """
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

    def stage(self, name: str) -> StageContext:
        """Return the context in which a stage is passed."""
        return StageContext(self, name)

    def skip(self, name: str, detail: str) -> None:
        """Note a stage that there is nothing to do for."""
        self.over(name, True, 0.0, detail)

    def quote(self, said: str) -> None:
        """Keep what the server said: at most 300 characters, printable."""
        self.server_said = printable(said.strip()[:_LONGEST_QUOTE])

    def repeated(self, symptom: str) -> Cause | None:
        """Note what the first connection ended with.

        Returns:
            The cause that the attempt before this one found for the same symptom,
            None where the cause has to be looked for.
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

        Args:
            symptom: What the first connection ended with.
            look: Finds the cause, with further connections. It is called once: not
                where the attempt before this one ended with the same symptom.
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


class StageContext:
    """One stage under way; a context manager.

    Attributes:
        detail: What was seen so far.
    """

    def __init__(self, attempt: Attempt, name: str) -> None:
        """Name the stage."""
        self.detail = ""
        self._attempt = attempt
        self._name = name
        self._started = 0.0

    def __enter__(self) -> StageContext:
        """Start the stage."""
        self._started = self._attempt.clock()
        self._attempt.since = self._started
        self._attempt.current = self._name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note how it ended; a failure goes on to whoever started the attempt."""
        seconds = self._attempt.clock() - self._started
        detail = self.detail
        if isinstance(error, Failed):
            self._attempt.problem = error.problem
            detail = detail or error.problem.message
        self._attempt.over(self._name, error is None, seconds, detail)
