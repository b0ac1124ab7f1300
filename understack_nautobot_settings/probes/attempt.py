"""The stages of one attempt to reach one target, as they pass."""

import contextlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes as certificates_codes
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable

MOST_CONNECTIONS = 6
"""Connections that one attempt may open to a target: one, and five to find out why."""

SHORTEST_WAIT = 0.05
"""Seconds that a stage gets even when the time is up, so that it can say so."""

_PATIENCE = 0.7
_LONGEST_QUOTE = 300
_TRANSIENT = frozenset(
    code.id
    for code in (*vars(codes).values(), *vars(certificates_codes).values())
    if isinstance(code, Code) and code.transient
)


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


class Probe(NamedTuple):
    """What came of one target.

    Attributes:
        target: ``database``, ``cache``, ``broker``, ``worker``, or a URL.
        ok: Whether every stage was passed.
        stages: The stages, in order; the last one failed where `ok` is false.
        problem: Why, None where all is well.
        server_said: What the server said about it in its own words, printable.
        symptom: What the first connection ended with; while it stays the same, the
            next attempt does not look for the cause again.
        said_by: Who said it where it was not the server, such as ``libpq``.
    """

    target: str
    ok: bool
    stages: tuple[Stage, ...]
    problem: Problem | None
    server_said: str = ""
    symptom: str = ""
    said_by: str = ""

    @property
    def quotation(self) -> str:
        """What was said and by whom, empty where the problem says it already."""
        said, problem = self.server_said, self.problem
        if not said or (problem is not None and said in problem.message):
            return ""
        return f"{self.said_by or 'The server'} said: {said}"

    @property
    def is_transient(self) -> bool:
        """Whether it may be well in a while without anybody doing anything."""
        return self.problem is not None and self.problem.code in _TRANSIENT


class Failed(Exception):
    """A stage was not passed, because of `problem`."""

    def __init__(self, problem: Problem) -> None:
        """Fail for this reason."""
        super().__init__(str(problem))
        self.problem = problem


class Attempt:
    """The stages of one target, in order, and the time that is left for them.

    Attributes:
        stages: Those that are over.
        problem: Why the last of them was not passed, None where all were.
        server_said: What the server said about it in its own words, printable.
        said_by: Who said it where it was not the server, such as ``libpq``.
        symptom: What the first connection ended with, empty where nobody asked.
        connections: How many were opened.
        current: The stage that is under way, empty between two.
        since: When it began, by the clock.
        detail: What was seen in it so far, for people.
    """

    problem: Problem | None = None
    server_said = said_by = symptom = current = detail = ""
    connections = 0

    def __init__(
        self,
        target: str,
        seconds: float,
        *,
        before: Probe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock; `before` is what came of the attempt before this one."""
        self.target = target
        self.stages: list[Stage] = []
        self.clock = clock
        self._before = before
        self.since = clock()
        self.end = self.since + seconds

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
    def stage(self, name: str) -> Iterator[None]:
        """Pass a stage; a failure goes on to whoever started the attempt."""
        self.current, self.since, self.detail = name, self.clock(), ""
        ok = False
        try:
            yield
            ok = True
        except Failed as failed:
            self.problem = failed.problem
            self.detail = self.detail or failed.problem.message
            raise
        finally:
            seconds, detail = self.clock() - self.since, printable(self.detail)
            self.stages.append(Stage(name, ok, seconds, detail))
            self.current = ""

    def skip(self, name: str, detail: str, seconds: float = 0.0) -> None:
        """Note a stage that is passed already, or that there is nothing to do for."""
        self.stages.append(Stage(name, True, seconds, printable(detail)))

    def quote(self, said: str, by: str = "") -> None:
        """Keep what the server said, or who else: at most 300 characters, printable."""
        self.server_said = printable(said.strip()[:_LONGEST_QUOTE])
        self.said_by = by

    def repeated(self, symptom: str) -> Probe | None:
        """Note what the first connection ended with.

        Returns the attempt before this one where it ended with the same symptom.
        """
        if self.symptom:
            return None
        self.symptom = symptom
        if self._before is None or self._before.symptom != symptom:
            return None
        self.server_said = self._before.server_said
        self.said_by = self._before.said_by
        return self._before

    def explained(self, symptom: str, look: Callable[[], Problem]) -> Failed:
        """Return the failure of the stage under way, by the cause of a symptom.

        `look` finds the cause with further connections. It is not called where the
        attempt before this one had the same symptom.
        """
        before = self.repeated(f"{self.current} {symptom}")
        if before is not None and before.problem is not None:
            return Failed(before.problem)
        try:
            return Failed(look())
        except Failed as failed:
            return failed
