import contextlib

import pytest

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.secret import Secret
from understack_nautobot_settings.reconciliation.steps import ATTEMPTS
from understack_nautobot_settings.reconciliation.steps import Backend
from understack_nautobot_settings.reconciliation.steps import Run
from understack_nautobot_settings.reconciliation.steps import Step


class Failing(Backend):
    """Makes steps until one has the verb ``bad``."""

    def __init__(self, failure, takes_back):
        self.failure = failure
        self.takes_back = takes_back
        self.looks = 0

    def transaction(self):
        self.looks += 1
        return contextlib.nullcontext()

    def apply(self, step):
        if step.verb == "bad":
            raise self.failure


STEPS = [Step("good", "a"), Step("bad", "b", "x"), Step("good", "c"), Step("good")]


@pytest.mark.parametrize(
    ("failure", "looks", "said"),
    [
        (Refused("no"), ATTEMPTS, "not done: b: bad 'x'"),
        (Unreachable("away"), ATTEMPTS, "perhaps done: b: bad 'x'"),
        (Unusable("no Nautobot"), 1, "perhaps done: b: bad 'x'"),
        (KeyboardInterrupt(), 1, "perhaps done: b: bad 'x'"),
    ],
    ids=["refused", "unreachable", "unusable", "interrupted"],
)
@pytest.mark.parametrize("takes_back", [False, True], ids=["REST", "database"])
def test_run_that_fails_says_what_is_done_and_what_is_not(
    failure, looks, said, takes_back
):
    lines = []
    backend = Failing(failure, takes_back)
    run = Run(backend, dry_run=False, progress=lines.append)

    with pytest.raises(type(failure)):
        run.settled(lambda: run.carry_out(STEPS))

    assert backend.looks == looks
    # A database takes the first step back.
    rest = [] if takes_back else [said, "not done: c: good", "not done: good"]
    assert lines == ["a: good"] * (0 if takes_back else looks) + rest


def test_refusal_names_the_step():
    run = Run(Failing(Refused("HTTP 403"), False), dry_run=False, progress=list)

    with pytest.raises(Refused) as raised:
        run.carry_out(STEPS)

    assert str(raised.value) == "\"b: bad 'x'\" was refused: HTTP 403"


def test_dry_run_makes_no_step():
    lines = []
    run = Run(Failing(Refused("no"), False), dry_run=True, progress=lines.append)

    assert run.settled(lambda: run.carry_out(STEPS)) == STEPS
    assert lines == [
        "would a: good",
        "would b: bad 'x'",
        "would c: good",
        "would good",
    ]


def test_step_shows_none_of_its_fields():
    step = Step("create token", "a", fields={"key": Secret("c4n4ry"), "note": "x"})

    assert "c4n4ry" not in f"{step} {step!r} {step.fields!r}"
    assert step.revealed() == {"key": "c4n4ry", "note": "x"}
