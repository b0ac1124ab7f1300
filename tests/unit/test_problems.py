import copy
import pickle

import pytest

from understack_nautobot_settings import MissingFileError
from understack_nautobot_settings import Problem
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import errors
from understack_nautobot_settings import problems
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import MissingFile
from understack_nautobot_settings.problems import collecting
from understack_nautobot_settings.problems import settings_error

WRONG = Problem("a", "error", "SOME_NAME", "it is wrong.", "Mend it.")
ODD = Problem("b", "warning", "OTHER_NAME", "it is odd.", "Look at it.")
CERT = MissingFile(
    "c", "error", "CERT", "file required by CERT not found: /c", "Mount."
)
KEY = MissingFile("c", "error", "KEY", "file required by KEY not found: /k", "Mount.")


def test_problem_is_one_line_of_variable_fact_and_remedy():
    assert str(WRONG) == "SOME_NAME: it is wrong. Mend it."


def test_problem_without_hint_ends_with_the_fact():
    assert str(WRONG._replace(hint="")) == "SOME_NAME: it is wrong."


def test_error_with_two_problems_has_paragraphs_with_codes_and_a_command():
    other = WRONG._replace(variable="THIRD_NAME")

    error = settings_error([WRONG, other])

    assert isinstance(error, SettingsError)
    assert not isinstance(error, FileNotFoundError)
    assert str(error) == (
        "SOME_NAME: it is wrong.\n"
        "THIRD_NAME: it is wrong.\n"
        f"Mend it. [{WRONG.code}]\n"
        "\n"
        f"More about a code: understack-nautobot-settings explain {WRONG.code}"
    )


def test_problem_found_twice_is_listed_once():
    assert SettingsError([WRONG, WRONG]).problems == (WRONG,)


def test_missing_files_come_first_and_raise_file_not_found_error():
    error = settings_error([WRONG, CERT, KEY])

    assert isinstance(error, MissingFileError)
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, ValueError)
    assert error.problems == (CERT, KEY, WRONG)
    assert str(error) == (
        "file required by CERT not found: /c\n"
        "file required by KEY not found: /k\n"
        f"Mount. [{CERT.code}]\n"
        "\n"
        f"SOME_NAME: it is wrong. Mend it. [{WRONG.code}]\n"
        "\n"
        f"More about a code: understack-nautobot-settings explain {CERT.code}"
    )


def test_warnings_without_errors_give_no_error():
    assert settings_error([ODD]) is None


def test_warnings_are_not_listed_among_errors():
    error = settings_error([ODD, WRONG])

    assert error is not None
    assert error.problems == (WRONG,)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize("problems", [[WRONG], [CERT, WRONG]], ids=["other", "missing"])
def test_error_after_copying_or_pickling_is_the_same(duplicate, problems):
    error = settings_error(problems)

    twin = duplicate(error)

    assert type(twin) is type(error)
    assert twin.problems == error.problems
    assert str(twin) == str(error)


def test_collecting_into_a_list_neither_raises_nor_warns():
    problems = []

    with collecting(problems) as found:
        found += [WRONG, ODD]

    assert problems == [WRONG, ODD]


def test_collecting_without_list_raises_the_errors():
    with pytest.raises(SettingsError) as caught, collecting(None) as found:
        found += [ODD, WRONG]

    assert caught.value.problems == (WRONG,)


def test_collecting_without_list_issues_python_warnings():
    with (
        pytest.warns(SettingsWarning, match=r"^OTHER_NAME: it is odd\. Look at it\.$"),
        collecting(None) as found,
    ):
        found.append(ODD)


def test_collecting_with_other_exception_lets_it_pass():
    def fragment():
        with collecting(None) as found:
            found += [WRONG, ODD]
            raise KeyError

    with pytest.raises(KeyError):
        fragment()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode", "plain ünïcode"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("two\nlines", "two\\nlines"),
        ("\udcff", "\\udcff"),
        ("\u202e", "\\u202e"),
    ],
)
def test_problem_with_control_characters_shows_their_escapes(text, shown):
    code = Code("some-code", "It is.", "Mend `it`.")

    problem = code.problem(text, text)

    assert problem == Problem("some-code", "error", shown, shown, "Mend it.")


def test_exceptions_are_importable_by_their_documented_name():
    for name in errors.__all__:
        assert getattr(errors, name) is getattr(problems, name)
