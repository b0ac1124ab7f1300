import io

import pytest

from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.commands.terminal import terminal_of
from understack_nautobot_settings.problems import printable


class Screen(io.StringIO):
    encoding = "UTF-8"

    def isatty(self):
        return True


def test_pipe_has_no_table_and_no_colour():
    assert terminal_of(io.StringIO(), {}) == Terminal(table=False, colour=False)
    assert terminal_of(object(), {}).table is False


@pytest.mark.parametrize(
    ("env", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_terminal_has_colour_unless_switched_off(env, colour):
    assert terminal_of(Screen(), env) == Terminal(True, 80, colour, True)


@pytest.mark.parametrize(
    ("columns_set", "width"),
    [("60", 60), ("10", 40), ("500", 100), ("", 80), ("x", 80), ("9" * 5000, 80)],
)
def test_width_of_the_terminal_is_bounded(columns_set, width):
    assert terminal_of(Screen(), {"COLUMNS": columns_set}).width == width


def test_text_without_colour_is_unchanged():
    assert Terminal().painted("x", "bold") == "x"
    assert Terminal(colour=True).painted("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"


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
def test_long_line_is_broken_at_blanks_and_long_word_anywhere(text, lines):
    assert Terminal(width=8).wrapped(text) == lines


def test_control_character_is_escaped():
    assert printable("a\x1b[31m\n\udc80") == "a\\x1b[31m\\n\\udc80"
    assert printable("é数") == "é数"


def test_wide_and_combining_characters_are_counted_as_shown():
    assert columns("abc") == 3
    assert columns("数据") == 4
    assert columns("e\u0301") == 1
    assert Terminal(width=5).apart("a", "b") == "a   b"
