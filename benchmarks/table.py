"""What was measured, as rows of one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HEADINGS = ("work", "ours", "compared with", "", "ratio", "budget", "met")


class Figure(NamedTuple):
    """A number and its unit: ``s``, ``MiB``, ``round trips`` …"""

    value: float
    unit: str

    def __str__(self) -> str:
        """Return it in the unit in which it has two or three digits."""
        value, unit = self
        if unit == "s":
            for step, smaller in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
                if value >= step or smaller == "us":
                    value, unit = value / step, smaller
                    break
        if value == int(value) and abs(value) < 1e6:
            return f"{int(value)} {unit}".strip()
        digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
        return f"{value:,.{digits}f} {unit}".strip()


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        work: What was done.
        ours: What it costs with this package.
        against: What it is compared with, empty for nothing.
        theirs: What that costs.
        budget: What was promised, empty for a line that is only for information.
        met: Whether the promise is kept, None where there is none.
    """

    work: str
    ours: Figure
    against: str = ""
    theirs: Figure | None = None
    budget: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by theirs."""
        if self.theirs is None or not self.theirs.value:
            return None
        return self.ours.value / self.theirs.value

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        return (
            self.work,
            str(self.ours),
            self.against,
            "" if self.theirs is None else str(self.theirs),
            shown_ratio(self.ratio),
            self.budget,
            met,
        )


def compared(
    work: str,
    ours: Figure,
    against: str,
    theirs: Figure,
    *,
    at_most: float | None = None,
) -> Row:
    """Return a row whose budget, if any, is a ratio."""
    if at_most is None:
        return Row(work, ours, against, theirs)
    budget = f"≤ {at_most:g} x"
    if at_most < 1:
        budget = f"≤ 1/{round(1 / at_most)}"
    met = ours.value <= at_most * theirs.value
    return Row(work, ours, against, theirs, budget, met)


def ahead(work: str, ours: Figure, against: str, theirs: Figure) -> Row:
    """Return a row whose budget is to cost no more than somebody else."""
    return Row(work, ours, against, theirs, "ahead", ours.value <= theirs.value)


def within(work: str, ours: Figure, at_most: Figure) -> Row:
    """Return a row whose budget is a figure."""
    return Row(work, ours, budget=f"≤ {at_most}", met=ours.value <= at_most.value)


def shown_ratio(ratio: float | None) -> str:
    """Return a ratio as the budgets write it: ``1.4 x`` or ``1/16``."""
    if not ratio:
        return ""
    return f"{ratio:.2f} x" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"


def rendered(title: str, rows: Sequence[Row]) -> str:
    """Return rows as a table of text, which is Markdown as well."""
    lines = [(title, *HEADINGS[1:]), *(row.cells() for row in rows)]
    used = [
        column
        for column in range(len(HEADINGS))
        if any(line[column] for line in lines[1:])
    ]
    widths = [max(len(line[column]) for line in lines) for column in used]
    padded = [
        [line[column].ljust(width) for column, width in zip(used, widths, strict=True)]
        for line in lines
    ]
    ruler = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in [padded[0], ruler, *padded[1:]]
    )
