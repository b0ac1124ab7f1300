"""Writes the generated pages of the reference anew: ``tox run -e reference``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from understack_nautobot_settings.commands import reference

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "reference"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages."""
    del argv
    pages = {
        "variables.md": reference.variables_markdown(),
        "problems.md": reference.problems_markdown(),
    }
    for name, text in pages.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
