import itertools

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.probes.targets import exit_status
from understack_nautobot_settings.probes.wait import LONGEST_PAUSE
from understack_nautobot_settings.probes.wait import pauses
from understack_nautobot_settings.probes.wait import wait_until_up

REFUSED = codes.PROBE_REFUSED.problem("HOST", "nothing listens.", "Start it.")
WRONG_USER = codes.PROBE_DB_ROLE.problem("USER", "no such user.", "Correct it.")
UP = Probe("database", True, (Stage("query", True, 0.1, "fine"),), None)
DOWN = Probe("database", False, (Stage("tcp", False, 0.1, ""),), REFUSED)
WRONG = Probe("database", False, (Stage("login", False, 0.1, ""),), WRONG_USER)


class Time:
    """A clock that only sleeping and probing move."""

    def __init__(self, states, *, takes=0.0):
        self.now = 100.0
        self.slept = []
        self.given = []
        self._takes = takes
        self._states = iter(states)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def attempt(self, seconds, before):
        self.given.append(seconds)
        self.now += self._takes
        return [next(self._states)]

    def wait(self, **options):
        return wait_until_up(
            self.attempt,
            clock=self.clock,
            sleep=self.sleep,
            chance=lambda: 1.0,
            **options,
        )


def test_wait_with_target_up_ends_at_once():
    time = Time([UP])

    result = time.wait()

    assert result == (True, [UP], 0.0, False)
    assert exit_status(result.probes) == 0
    assert time.slept == []


def test_wait_until_target_is_up_uses_backoff():
    time = Time([DOWN, DOWN, DOWN, UP])

    result = time.wait()

    assert (result.ok, len(time.given), result.seconds) == (True, 4, 3.5)
    assert time.slept == [0.5, 1.0, 2.0]


def test_wait_with_permanent_error_ends_at_once():
    time = Time([DOWN, WRONG])

    result = time.wait()

    assert result == (False, [WRONG], 0.5, False)
    assert len(time.given) == 2
    assert exit_status(result.probes) == 1


def test_wait_with_one_permanent_error_among_transient_ones_ends():
    other = DOWN._replace(target="cache")
    attempts = iter([[other, WRONG]])
    result = wait_until_up(lambda seconds, before: next(attempts), sleep=None)

    assert (result.ok, result.gave_up) == (False, False)


def test_wait_after_timeout_ends_with_status_2():
    time = Time(itertools.repeat(DOWN))

    result = time.wait(timeout=10)

    assert (result.ok, result.gave_up) == (False, True)
    assert exit_status(result.probes) == 2
    assert time.slept == [0.5, 1.0, 2.0, 4.0, 1.5, 0.75, 0.25]
    # The last attempts are made where they can still end in time.
    assert (result.seconds, time.given[-2:]) == (10.0, [1.0, 0.25])


def test_short_last_attempt_without_answer_keeps_the_cause_seen_before():
    """A server that answers in 0.3 s is silent to an attempt of 0.25 s."""
    silent = codes.PROBE_SILENT.problem("HOST", "does not answer in time.")
    late = DOWN._replace(problem=silent)
    full = DOWN._replace(problem=codes.PROBE_DB_FULL.problem("HOST", "is full."))

    for states, expected in (
        ([full] * 5 + [late, late], full),
        ([full] * 5 + [late, DOWN], DOWN),
        # Before the last second, there is time for an answer.
        ([full] * 4 + [late] * 3, late),
        ([UP] + [late] * 9, late),
    ):
        result = Time(states).wait(timeout=10, stable=20)

        assert result.probes == [expected]


def test_wait_attempt_gets_only_the_remaining_time():
    time = Time([DOWN, UP], takes=3.0)

    time.wait(timeout=10)

    assert time.given == [10.0, 6.5]


def test_wait_with_stable_ends_only_after_targets_stay_up():
    time = Time([UP, UP, DOWN, UP, UP, UP, UP])

    result = time.wait(stable=2.5)

    assert (result.ok, len(time.given)) == (True, 7)
    # After a relapse the backoff starts again, and so does the time.
    assert time.slept == [1.0, 1.0, 0.5, 1.0, 1.0, 0.5]


def test_wait_pauses_double_up_to_a_bound_with_random_half():
    least = list(itertools.islice(pauses(lambda: 0.0), 7))
    most = list(itertools.islice(pauses(lambda: 1.0), 7))

    assert most == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]
    assert least == [pause / 2 for pause in most]


def test_wait_reports_every_attempt():
    time = Time([DOWN, UP])
    reported = []

    time.wait(report=lambda probes, seconds: reported.append((probes, seconds)))

    assert reported == [([DOWN], 0.0), ([UP], 0.5)]
