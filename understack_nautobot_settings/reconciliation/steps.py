"""Steps from what a Nautobot has to what it is to have, and how they are made."""

from collections.abc import Callable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TypeVar

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.secret import Secret

Found = TypeVar("Found")

ATTEMPTS = 4
"""Two groups and a permission are three requests, and each may meet another run's."""


@dataclass(frozen=True)
class Step:
    """One change; its text is what a run prints.

    Attributes:
        verb: What to do.
        subject: Name of the user or queue, empty for what is about neither.
        detail: What goes with it: the name of a group or job, a description.
        key: What tells the token or job from others; empty for a new token.
        fields: What it sets, by the names of Nautobot's models and its REST API.
    """

    verb: str
    subject: str = ""
    detail: str = ""
    key: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        """Return the change as one line."""
        subject = f"{self.subject}: " if self.subject else ""
        return f"{subject}{self.verb}" + (f" {self.detail!r}" if self.detail else "")

    def revealed(self) -> dict[str, Any]:
        """Return the fields with their secrets, for Nautobot alone."""
        return {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in self.fields.items()
        }


class Backend:
    """What reaches a Nautobot.

    Attributes:
        takes_back: True where a transaction that fails undoes its steps.
    """

    takes_back = False

    def transaction(self) -> AbstractContextManager[object]:
        """Return what keeps a run apart from others; the REST API has nothing."""
        return nullcontext()

    def apply(self, step: Step) -> None:
        """Make one step; raise `Refused` with the reason."""
        raise NotImplementedError


class Run:
    """Makes steps, and says of each whether it is made."""

    def __init__(
        self, backend: Backend, *, dry_run: bool, progress: Callable[[str], object]
    ) -> None:
        """Take the Nautobot; ``progress`` takes one line for each step."""
        self._backend = backend
        self.dry_run = dry_run
        self._progress = progress
        self._left: list[Step] = []
        self._held: list[str] = []

    def settled(self, work: Callable[[], Found]) -> Found:
        """Do the work; where it fails, look again: another run may have come between.

        Over REST nothing keeps two runs apart, and Nautobot answers the slower one
        with a refusal, or with an internal error where its database refuses.
        """
        for attempt in range(1, ATTEMPTS + 1):
            self._left, self._held = [], []
            try:
                with self._backend.transaction():
                    found = work()
                break
            except (Refused, Unreachable) as failure:
                if attempt == ATTEMPTS:
                    self._say_what_is_left(unsure=isinstance(failure, Unreachable))
                    raise
            except (Unusable, KeyboardInterrupt):
                self._say_what_is_left(unsure=True)
                raise
        for line in self._held:
            self._progress(line)
        return found

    def carry_out(self, steps: list[Step]) -> list[Step]:
        """Make the steps, or say what they would be, in their order; return them.

        Raises:
            Refused: Nautobot does not accept one of them.
        """
        self._left = [*steps]
        say = self._held.append if self._backend.takes_back else self._progress
        while self._left:
            step = self._left[0]
            try:
                if not self.dry_run:
                    self._backend.apply(step)
            except Refused as refused:
                raise Refused(f'"{step}" was refused: {refused}') from None
            say(f"would {step}" if self.dry_run else str(step))
            del self._left[0]
        return steps

    def _say_what_is_left(self, *, unsure: bool) -> None:
        """Name the steps that are not made; of one without an answer nobody knows."""
        for step in () if self._backend.takes_back else self._left:
            self._progress(f"{'perhaps' if unsure else 'not'} done: {step}")
            unsure = False
