import json

import pytest

from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.commands.command import as_json
from understack_nautobot_settings.commands.show import Difference
from understack_nautobot_settings.commands.show import Report
from understack_nautobot_settings.commands.show import differences
from understack_nautobot_settings.commands.show import differences_text
from understack_nautobot_settings.commands.show import read_shown
from understack_nautobot_settings.commands.show import shown
from understack_nautobot_settings.commands.show import shown_text
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import columns

TABLE = Terminal(table=True, width=60, symbols=True)

SHOWN = Report(
    {
        "DATABASES": {"default": {"HOST": "db", "OPTIONS": {"sslmode": "verify-full"}}},
        "PLUGINS": [],
    },
    {
        "DATABASES.default.HOST": "base",
        "DATABASES.default.OPTIONS.sslmode": "variable NAUTOBOT_DB_SSLMODE",
        "PLUGINS": "default",
    },
    "0123456789abcdef",
)


def test_settings_on_terminal_are_a_table():
    assert shown_text(SHOWN, TABLE) == (
        "Settings                        fingerprint 0123456789abcdef\n"
        "────────────────────────────────────────────────────────────\n"
        "DATABASES.default.HOST = db                             base\n"
        "DATABASES.default.OPTIONS.sslmode = verify-full\n"
        "    variable NAUTOBOT_DB_SSLMODE\n"
        "PLUGINS = []                                         default\n"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_table_of_settings_is_never_wider_than_the_terminal(width):
    terminal = Terminal(table=True, width=width, symbols=True)
    env = {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_HOST": "h" * 120,
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG": json.dumps({"p" * 90: {"数": "数" * 90}}),
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
    }

    text = shown_text(shown(settings_provenance(env), env), terminal)

    assert max(map(columns, text.splitlines())) <= width


def test_settings_in_pipe_are_columns():
    assert shown_text(SHOWN, Terminal()) == (
        "DATABASES.default.HOST\tdb\tbase\n"
        "DATABASES.default.OPTIONS.sslmode\tverify-full\tvariable NAUTOBOT_DB_SSLMODE\n"
        "PLUGINS\t[]\tdefault\n"
        "fingerprint\t0123456789abcdef\t\n"
    )


def test_differences_are_listed_by_setting():
    there = Report(
        {"DATABASES": {"default": {"HOST": "other"}}, "DEBUG": True, "PLUGINS": []},
        {},
        "",
    )

    found = differences(SHOWN, there)

    assert found == [
        Difference("DATABASES.default.HOST", "db", "other"),
        Difference("DATABASES.default.OPTIONS.sslmode", "verify-full", None),
        Difference("DEBUG", None, "true"),
    ]
    assert differences_text(found, Terminal()) == (
        "DATABASES.default.HOST\n"
        "  - other\n"
        "  + db\n"
        "DATABASES.default.OPTIONS.sslmode\n"
        "  + verify-full\n"
        "DEBUG\n"
        "  - true\n"
    )
    assert differences_text([], Terminal()) == (
        "The settings are the same; secrets are not compared.\n"
    )


def test_output_of_show_is_read_back():
    assert read_shown(as_json(SHOWN._asdict())) == SHOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"settings": {}, "sources": {}}',
        '{"settings": [], "sources": {}, "fingerprint": ""}',
        "[" * 100000,
    ],
)
def test_other_text_is_refused_as_output_of_show(text):
    with pytest.raises(ValueError, match=r".+"):
        read_shown(text)
