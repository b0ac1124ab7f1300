"""What the pages name exists: variables, problems, commands, files, manifests."""

import datetime
import io
import re
import shlex
import tempfile
from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml

from lab.certificates import Authority
from lab.certificates import now
from lab.certificates import write_mount
from understack_nautobot_settings.commands import reference
from understack_nautobot_settings.commands.main import COMMANDS
from understack_nautobot_settings.commands.main import PROGRAM
from understack_nautobot_settings.commands.main import command
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.queues.wishes import wishes_in

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN = sorted(
    path
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    # Generated, and held to the declarations by tests of their own.
    if path.name not in ("variables.md", "problems.md")
)
NAMES = {name for one in variables.VARIABLES for name in one.names} | NAUTOBOT_NAMES
CODES = {one.id for one in reference.codes()}
# Shown as mistakes.
MISTAKES = {"NAUTOBOT_EXTRA_PLUGNS"}


def text_of(path):
    return path.read_text(encoding="utf-8")


def blocks(path, language):
    # Blocks inside of lists are indented.
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```$", text_of(path), re.DOTALL | re.MULTILINE
    )
    return [
        re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found
    ]


pages = pytest.mark.parametrize(
    "path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT))
)


@pages
def test_named_variables_are_all_known(path):
    named = {*re.findall(r"\b(?:NAUTOBOT|UNDERSTACK)_[A-Z_]+[A-Z]\b", text_of(path))}
    assert named - MISTAKES <= NAMES


@pages
def test_problem_codes_on_pages_are_declared(path):
    text = text_of(path)
    linked = {*re.findall(r"`([a-z-]+)`\]\([./]*reference/problems\.md[#)]", text)}
    probed = {*re.findall(r"`((?:probe|gateway)-[a-z-]+)`", text)}
    assert linked | probed <= CODES


@pages
def test_command_lines_on_pages_are_accepted(path):
    for block in blocks(path, "console"):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            if not line.startswith("$ "):
                continue
            words = shlex.split(line[2:], comments=True)
            if PROGRAM not in words:
                continue
            words = words[words.index(PROGRAM) + 1 :]
            ends = [words.index(end) for end in ("|", "&&", ">", "<") if end in words]
            name, *arguments = words[: min(ends, default=len(words))]
            assert_taken(name, arguments)


@pages
def test_manifests_on_pages_are_yaml_with_accepted_commands(path):
    for block in blocks(path, "yaml"):
        for words in commands(yaml.safe_load(block)):
            name, *arguments = words
            if name == PROGRAM:
                assert_taken(arguments[0], arguments[1:])


def test_queue_files_in_guides_are_read():
    found = [
        block
        for path in WRITTEN
        for block in blocks(path, "yaml")
        if block.startswith("queues:")
    ]
    assert len(found) == 3
    for block in found:
        problems = []
        assert wishes_in("queues.yaml", block, problems=problems)
        assert problems == []


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def mount():
    """Return a directory with a path as short as the documented one."""
    with tempfile.TemporaryDirectory(prefix="m") as directory:
        yield directory


def test_expiring_certificate_in_guide_equals_the_check_output(mount):
    """Whatever the paths, dates and serials are, which also decide on line ends."""
    authority = Authority("understack-mtls-ca")
    end = now() + datetime.timedelta(days=29, hours=1)
    write_mount(mount, authority.client(not_after=end), authority.ca_pem)
    places = {
        one.name: f"{mount}/{Path(one.default).name}"
        for one in variables.VARIABLES
        if str(one.default).startswith("/etc/nautobot/mtls/")
    }
    terminal = Terminal()
    env = {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_HOST": "nautobot-db.example.com",
        "NO_COLOR": "1",
        **places,
    }
    assert main(["check"], env, stdout=terminal) == 0
    (shown,) = (
        block.partition("\n")[2]
        for block in blocks(DOCS / "guides" / "renewal.md", "console")
        if "Problems" in block
    )
    assert without_what_differs(terminal.getvalue()) == without_what_differs(shown)


def without_what_differs(text):
    text = re.sub(r"/[\w/.-]+/(\w+\.\w+)", r"\1", text)
    text = re.sub(r"\b[0-9A-F]{30,}\b|\d{4}-\d\d-\d\dT[\d:]+Z", "·", text)
    return re.sub("[─\\s]+", " ", text).strip()


def commands(value):
    if isinstance(value, dict):
        if isinstance(value.get("command"), list):
            yield value["command"]
        for one in value.values():
            yield from commands(one)
    elif isinstance(value, list):
        for one in value:
            yield from commands(one)


def assert_taken(name, arguments):
    if name == "--version":
        assert arguments == []
        return
    parser = ArgumentParser(exit_on_error=False)
    command(name).add_arguments(parser)
    parser.parse_args(arguments)


@pages
def test_examples_named_on_pages_exist(path):
    for named in re.findall(r"\bexamples/[\w./-]+[\w-]", text_of(path)):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_in_the_reference(name):
    page = text_of(DOCS / "reference" / "commands.md")
    assert f"::: help {name}\n" in page
    assert f"## {name}\n" in page


def test_every_page_is_in_the_navigation():
    configuration = text_of(ROOT / "mkdocs.yml")
    for path in DOCS.rglob("*.md"):
        assert f" {path.relative_to(DOCS)}\n" in configuration
