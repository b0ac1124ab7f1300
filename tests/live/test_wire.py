"""What is quick enough of ``tox run -e wire`` to run every time."""

import pytest

from lab.wire import promises
from lab.wire.deployment import servers
from lab.wire.promises import Promise
from lab.wire.sections import beside
from lab.wire.sections import fleet
from lab.wire.sections import flows
from lab.wire.sections import swaps


def quietly(text):
    """Say nothing."""


def broken(shown):
    """Return the promises that did not hold."""
    assert shown
    return [promise for promise in shown if not promise.held]


def test_mount_swap_at_any_moment_reports_no_problem(tmp_path):
    assert broken(swaps.show(tmp_path, quietly)) == []


def test_fifty_sites_after_gateway_restart_all_reconnect(tmp_path):
    """Each on its own queue with its own certificate, and no message handled twice."""
    with servers(tmp_path / "servers") as behind:
        assert broken(fleet.show(tmp_path / "fleet", behind, quietly)) == []


def test_worker_after_lost_flows_is_back_within_a_minute(tmp_path):
    """Every direction, with new connections free; needs root for its namespaces."""
    wanted = (flows.QUICK, "prefork")

    assert broken(flows.show(tmp_path, quietly, wanted=wanted)) == []


@pytest.mark.parametrize(
    ("plain", "ours", "expected"),
    [
        pytest.param({"again": 1}, {"again": 1}, [], id="equal"),
        pytest.param({"again": 1}, {"again": 0}, [], id="ahead"),
        pytest.param({"again": 0}, {"again": 1}, ["wan: again"], id="behind"),
        pytest.param({"seconds": 10}, {"seconds": 12}, [], id="within the slack"),
        pytest.param({"seconds": 10}, {"seconds": 13}, ["wan: seconds"], id="later"),
        pytest.param({"traded": 0}, {"traded": 1}, [], id="behind on purpose"),
    ],
)
def test_figure_worse_than_celerys_own_is_reported(plain, ours, expected):
    seen = {"plain": beside.Seen(plain), "wan": beside.Seen(ours)}

    assert beside.behind_plain(seen, "traded") == expected


def promise(held, section="section"):
    return Promise(section, "name", "promised", "seen", held, {"figure": 1})


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param([True, True], True, id="all held"),
        pytest.param([True, False], False, id="one did not"),
        pytest.param([], False, id="nothing shown"),
    ],
)
def test_run_holds_only_if_every_promise_holds(held, expected):
    report = promises.as_json(map(promise, held))

    assert report["held"] is expected
    assert [one["held"] for one in report["promises"]] == held


def test_section_that_raises_is_a_broken_promise():
    assert promises.broken("fleet", TimeoutError("no\n answer")) == Promise(
        "fleet", "shown to its end", "no error", "TimeoutError: no answer", False
    )


def test_promise_table_keeps_the_order_of_sections():
    shown = [promise(True, "b"), promise(True, "a"), promise(False, "b")]

    assert [(name, len(members)) for name, members in promises.sections(shown)] == [
        ("b", 2),
        ("a", 1),
    ]
