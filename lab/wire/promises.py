"""What was promised, what was seen, and whether it held."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple


class Promise(NamedTuple):
    """One line of the table.

    Attributes:
        section: What it belongs to.
        name: Who did what.
        promised: What should be seen.
        seen: What was.
        held: Whether the one is the other.
        figures: Numbers behind it, by name, for machines.
    """

    section: str
    name: str
    promised: str
    seen: str
    held: bool
    figures: Mapping[str, Any] = {}


def as_json(promises: Iterable[Promise]) -> dict[str, Any]:
    """Return the table as JSON: ``{"held": …, "promises": [{…}]}``."""
    listed = [promise._asdict() for promise in promises]
    return {"held": all_held(listed), "promises": listed}


def all_held(promises: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether something was promised, and all of it held."""
    held = [promise["held"] for promise in promises]
    return bool(held) and all(held)


def broken(section: str, error: BaseException) -> Promise:
    """Return the promise of a section that could not be shown to its end."""
    said = " ".join(str(error).split())
    return Promise(
        section,
        "shown to its end",
        "no error",
        f"{type(error).__name__}: {said[:600]}",
        False,
    )


def sections(promises: Sequence[Promise]) -> Iterator[tuple[str, list[Promise]]]:
    """Yield the promises of each section, in order of first appearance."""
    names = dict.fromkeys(promise.section for promise in promises)
    for name in names:
        yield name, [one for one in promises if one.section == name]
