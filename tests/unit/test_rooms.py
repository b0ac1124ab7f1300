"""Which room of the package may import which."""

import ast
from pathlib import Path

import pytest

import understack_nautobot_settings

NAME = "understack_nautobot_settings"
PACKAGE = Path(understack_nautobot_settings.__file__).parent

# Upwards: what folds fragments, what judges that, what connects, what prints.
ABOVE_FRAGMENTS = {"evaluation", "checks", "configuration", "probes", "commands"}
ROOMS = {"certificates", "environment", "fragments", *ABOVE_FRAGMENTS}
APART = {"accounts", "queues", "reconciliation", "django_app"}

NEVER = {
    "certificates": {"environment", "fragments", *ABOVE_FRAGMENTS, *APART},
    "environment": {"fragments", *ABOVE_FRAGMENTS, *APART},
    "fragments": {*ABOVE_FRAGMENTS, *APART},
    "evaluation": {"configuration", "probes", "commands", *APART},
    "checks": {"configuration", "probes", "commands", *APART},
    "configuration": {"probes", "commands", *APART},
    "probes": {"commands", *APART},
    "accounts": {*ROOMS, "queues", "django_app"},
    "queues": {"fragments", "certificates", *ABOVE_FRAGMENTS, "accounts", "django_app"},
    "reconciliation": {*ROOMS, "accounts", "queues", "django_app"},
    "runtime": {*ROOMS, *APART},
    "problems": {*ROOMS, *APART, "runtime"},
}


def imports():
    """Yield every import of the package: who, and the parts of what."""
    for file in sorted(PACKAGE.rglob("*.py")):
        who = file.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = node.module.split(".")
                yield from ((who, (*module, one.name)) for one in node.names)
            elif isinstance(node, ast.Import):
                yield from ((who, tuple(one.name.split("."))) for one in node.names)


def test_room_never_imports_upward():
    wrong = {
        (who, what)
        for who, what in imports()
        if what[0] == NAME and what[1] in NEVER.get(who[0], ())
    }

    assert wrong == set()


def test_fragment_never_imports_another_fragment():
    # A fragment is a module with a public function <concern>_settings.
    fragments = {
        file.stem
        for file in (PACKAGE / "fragments").glob("*.py")
        if "problems: list[Problem] | None = None" in file.read_text()
    }
    wrong = {
        (who, what)
        for who, what in imports()
        if who[0] == "fragments"
        and what[:2] == (NAME, "fragments")
        and what[2] in fragments
    }

    assert len(fragments) >= 10
    assert wrong == set()


def test_runtime_imports_drivers_and_problems_alone():
    wrong = {
        what
        for who, what in imports()
        if who[0] == "runtime"
        and what[0] == NAME
        and what[1] not in {"runtime", "problems"}
    }

    assert wrong == set()


def test_module_imports_annotations_from_the_future_where_a_name_needs_it_alone():
    future = "from __future__ import annotations\n"
    texts = {file: file.read_text() for file in PACKAGE.rglob("*.py")}
    for file in (one for one, text in texts.items() if future in text):
        code = compile(texts[file].replace(future, ""), file, "exec", dont_inherit=True)
        # An ImportError: what it is for is not installed here.
        with pytest.raises((NameError, ImportError)):
            exec(code, {"__name__": file.stem})
