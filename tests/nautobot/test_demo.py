"""What the demo makes of what it saw; its run itself is ``tox run -e demo``."""

from __future__ import annotations

import pytest

from lab.demo import Row
from lab.demo import exit_status
from lab.demo import show


@pytest.mark.parametrize(
    ("judged", "status"),
    [
        pytest.param([True, None, True], 0, id="all right"),
        pytest.param([True, None, False], 1, id="one wrong"),
        pytest.param([None, None], 1, id="nothing judged"),
        pytest.param([], 1, id="nothing seen"),
    ],
)
def test_demo_exit_status_is_0_only_if_every_row_is_right(judged, status):
    """Neither a single wrong row nor an empty table passes."""
    assert exit_status([Row("Redis", "port", "0", right) for right in judged]) == status


def test_demo_table_shows_values_and_verdicts(capsys):
    """Square brackets are text, not markup."""
    show(
        [
            Row("PostgreSQL 18\nsees", "ssl", "True", True),
            Row("PostgreSQL 18\nsees", "client_dn", "[red]", False),
            Row("Redis", "port", "0"),
        ]
    )
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("│")
    ]
    assert lines == [
        ["PostgreSQL 18", "ssl", "True", "yes"],
        ["sees", "client_dn", "[red]", "NO"],
        ["Redis", "port", "0", ""],
    ]
