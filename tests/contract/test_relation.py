"""The page about UnderStack's documents names files that exist, and leaves no gap."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "documents.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if re.match(r"\| (?!Statement)", line)
]


def test_files_named_on_the_page_exist():
    paths = re.findall(r"`((?:tests|examples|docs|lab)/[\w./-]+)`", PAGE)
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_statements_have_a_place_and_a_proof_or_a_reason():
    assert len(ROWS) > 60
    for row in ROWS:
        assert len(row) == 3, row
        assert all(row), row
        if row[2] == "none":
            assert row[1].startswith(("not implemented: ", "that project's own")), row


def test_every_document_has_a_section():
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [
        "Deploy guide of the site worker",
        "Operator guide of Nautobot",
        "Renewal of certificates",
        "Provisioning of API tokens",
        "The neighbouring stack",
    ]
