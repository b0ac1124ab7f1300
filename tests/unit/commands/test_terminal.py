import io

import pytest

from understack_nautobot_settings.commands.terminal import Page
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.commands.terminal import headed
from understack_nautobot_settings.commands.terminal import padded
from understack_nautobot_settings.commands.terminal import page_for
from understack_nautobot_settings.commands.terminal import wrapped
from understack_nautobot_settings.problems import printable


class Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self):
        return True


def test_a_pipe_gets_plain_lines_and_no_colour():
    assert page_for(io.StringIO(), {}) == Page(table=False, colour=False)
    assert page_for(object(), {}).table is False


@pytest.mark.parametrize(
    ("env", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_a_table_and_may_refuse_colour(env, colour):
    assert page_for(Terminal(), env) == Page(True, 80, colour, True)


@pytest.mark.parametrize(
    ("columns_set", "width"),
    [("60", 60), ("10", 40), ("500", 100), ("", 80), ("x", 80), ("9" * 5000, 80)],
)
def test_the_width_of_the_terminal_counts_within_reason(columns_set, width):
    assert page_for(Terminal(), {"COLUMNS": columns_set}).width == width


def test_colour_is_left_out_where_there_is_none():
    assert Page().painted("x", "bold") == "x"
    assert Page(colour=True).painted("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("a/very/long/path", ["a/very/l", "ong/path"]),
        ("to a/very/long/path", ["to", "a/very/l", "ong/path"]),
        ("数据库数据库", ["数据库数", "据库"]),
    ],
)
def test_lines_are_broken_at_blanks_and_long_words_anywhere(text, lines):
    assert wrapped(text, 8) == lines


def test_nothing_printed_is_obeyed_by_a_terminal():
    assert printable("a\x1b[31m\n\udc80") == "a\\x1b[31m\\n\\udc80"
    assert printable("é数") == "é数"


def test_wide_and_combining_characters_are_counted_as_shown():
    assert columns("abc") == 3
    assert columns("数据") == 4
    assert columns("e\u0301") == 1
    assert padded("数", 4) == "数  "
    assert headed("a", "b", Page(width=5)) == "a   b"
