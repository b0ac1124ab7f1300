import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.environment.json_objects import read_json_object

MEND = "Correct the JSON at the line and column of the message."
CANARY = "s3cr3t-c4n4ry"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)
json_objects = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])), json_values
)


def refusal(text):
    problems = []
    assert read_json_object("CONFIG", text, problems) is None
    (problem,) = problems
    assert problem.severity == "error"
    return problem


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        ' \n\t{"a": {"b": [1, 1.5e3, -0, true, false, null, "x"]}}\r\n ',
        '{"a": {"b": 1}, "c": {"b": 1}}',
        r'{"a": "\ud83d\ude00 \u0024 \" \\ \/"}',
        '{"a": "😀", "😀": ""}',
        "\xa0{}\xa0",
    ],
    ids=["empty", "blanks", "same name elsewhere", "escapes", "astral", "nbsp"],
)
def test_json_object_is_read_like_the_standard_parser(text):
    problems = []

    assert read_json_object("CONFIG", text, problems) == json.loads(text.strip())
    assert problems == []


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"a": ":8080"}', {"a": ":8080"}),
        ('{"a": ["::1", ":"]}', {"a": ["::1", ":"]}),
        (r'{"a": "\": "}', {"a": '": '}),
        ('{"a": "b", ":": 1}', {"a": "b", ":": 1}),
    ],
    ids=["colon first", "in a list", "escaped quote", "name"],
)
def test_string_that_looks_like_a_name_is_a_string(text, members):
    problems = []

    assert read_json_object("CONFIG", text, problems) == members
    assert problems == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1, column 1: a value is expected, but the text ends"),
        ("not json", "1, column 1: a value is expected"),
        ("{", "1, column 2: a name in double quotes is expected, but the text ends"),
        ("{,}", "1, column 2: a name in double quotes is expected"),
        ("{'a': 1}", "1, column 2: a name in double quotes is expected"),
        ("{1: 2}", "1, column 2: a name in double quotes is expected"),
        ('{"a" 1}', "1, column 6: a colon is expected"),
        ('{"a":: 1}', "1, column 6: a value is expected"),
        ('{\n "a": ,\n}', "2, column 7: a value is expected"),
        ('{"a": 1,}', "1, column 8: there is a comma too many"),
        ('{"a": 1, }', "1, column 8: there is a comma too many"),
        ('{"a": [1,,2]}', "1, column 10: a value is expected"),
        ('{"a": 1 "b": 2}', "1, column 9: a comma or a closing bracket is expected"),
        ('{"a": 1]', "1, column 8: a comma or a closing bracket is expected"),
        ('{"a": 01}', "1, column 8: a comma or a closing bracket is expected"),
        ('{"a": .5}', "1, column 7: a value is expected"),
        ('{"a": True}', "1, column 7: a value is expected"),
        ('{"a": [}', "1, column 8: a value is expected"),
        ('{"a": [,]}', "1, column 8: a value is expected"),
        ('{"a": [1,]}', "1, column 9: there is a comma too many"),
        ('{"a": [1 2]}', "1, column 10: a comma or a closing bracket is expected"),
        (
            '{"a": [1',
            "1, column 9: a comma or a closing bracket is expected, but the text ends",
        ),
        ('{"a": 1} x', "1, column 10: nothing more is expected"),
        ('{"a": 1}}', "1, column 9: nothing more is expected"),
        ('{}\n{"a": 1}', "2, column 1: nothing more is expected"),
        ('{"a": "b', "1, column 7: the string that begins there has no end"),
        (r'{"a": "\x41"}', "1, column 8: JSON has no such escape"),
        (r'{"a": "\u12"}', "1, column 8: JSON has no such escape"),
        (
            '{"a": "b\nc"}',
            "1, column 9: a control character in a string must be escaped",
        ),
        ('\n\n{"a" 1}', "3, column 6: a colon is expected"),
        ('{} {"a": "\\ud83d\\ude00"}', "1, column 4: nothing more is expected"),
    ],
)
def test_text_that_is_not_json_is_refused_with_line_and_column(text, line):
    assert str(refusal(text)) == f"CONFIG: the text is not JSON at line {line}. {MEND}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('[["plugin", {}]]', "an array"),
        ('"plugin"', "a string"),
        ("null", "null"),
        ("true", "a boolean"),
        ("1", "a number"),
        ("1.5", "a number"),
    ],
)
def test_json_that_is_not_an_object_is_refused(text, kind):
    """A list of pairs in particular, of which dict() would have made a dict."""
    assert str(refusal(text)) == (
        f"CONFIG: the JSON at line 1, column 1 is {kind}, not an object. "
        "Write one object: braces around names and values."
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1, "a": 1}', "1, column 10"),
        ('{"a": {"b": 1,\n "b": 2}}', "2, column 2"),
        ('{"a": {"b": {}}, "a": 2}', "1, column 18"),
        (r'{"a": 1, "\u0061": 1}', "1, column 10"),
        ('[{"": 1, "": 2}]', "1, column 10"),
    ],
    ids=["outermost", "inside", "around", "escaped", "empty name, not an object"],
)
def test_json_with_duplicate_name_is_refused(text, place):
    assert str(refusal(text)) == (
        f"CONFIG: the JSON at line {place} gives a name a second time in the same "
        "object. Remove one of the two."
    )


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+999", "9" * 5000]
)
def test_json_number_that_is_not_finite_is_refused(number):
    assert str(refusal(f'{{"a": {number}}}')) == (
        "CONFIG: the JSON at line 1, column 7 has NaN, Infinity or a number too large "
        "to be kept. Write a finite number, or a string."
    )


@pytest.mark.parametrize(
    ("text", "column"),
    [
        (r'{"a": "\ud800"}', 7),
        (r'{"a": "\ud83d\ude00", "b": "\uDE00"}', 28),
        (r'{"\ud800": 1}', 2),
        ('{"a": "\udc80"}', 7),
    ],
    ids=["first half", "second half", "in a name", "byte that is not UTF-8"],
)
def test_json_string_with_invalid_unicode_is_refused(text, column):
    assert str(refusal(text)) == (
        f"CONFIG: the JSON at line 1, column {column} has a string with half a "
        "character or bytes that are no UTF-8. "
        "Write the character itself, or both of its escapes."
    )


def test_map_that_helm_printed_is_recognised():
    """`{{ .Values.plugins }}` without toJson."""
    assert refusal("map[golden:map[a:1]]").hint == (
        "Helm printed a map as Go writes it: use toJson in the template."
    )


def test_json_with_byte_order_mark_is_refused():
    assert str(refusal("\ufeff{}")) == (
        "CONFIG: the text has a byte order mark at line 1, column 1. "
        "Save it as UTF-8 without a byte order mark."
    )


@pytest.mark.parametrize(
    ("text", "depth", "column"),
    [
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 100_001, 100_006),
        ("[" * 100_000, 100_000, 100_000),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, 100_000, 499_996),
    ],
    ids=["arrays", "not closed", "objects"],
)
def test_json_nested_too_deep_is_refused(text, depth, column):
    assert str(refusal(text)) == (
        f"CONFIG: the JSON is {depth} levels deep at line 1, column {column}, more "
        "than the parser accepts. Flatten it."
    )


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("[" * (1 << 24), "200000 or more"),
        ('{"a":' * (1 << 21), "200000 or more"),
        ("[" * 150_000 + '"' + '\\"' * (1 << 20), "150000"),
        ("[" * 150_000 + '"' + '\\"' * (1 << 20) + "\\", "150000"),
    ],
    ids=["arrays", "objects", "string without an end", "escape without an end"],
)
def test_json_nested_very_deep_is_refused_in_linear_time(text, levels):
    said = str(refusal(text))

    assert said.startswith(f"CONFIG: the JSON is {levels} levels deep at line 1, ")


def test_json_with_several_faults_reports_the_first():
    assert "line 1, column 7 has NaN" in str(refusal('{"a": NaN, "a": 1, }'))


@given(json_objects, st.sampled_from([None, 1]), st.booleans())
def test_any_json_object_is_read_back_unchanged(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    problems = []

    assert read_json_object("CONFIG", text, problems) == value
    assert problems == []


@given(st.text() | json_values.map(json.dumps))
def test_any_json_text_gives_an_object_or_one_problem(text):
    problems = []

    value = read_json_object("CONFIG", text, problems)

    assert (value is None) == (len(problems) == 1)


@given(st.text() | st.text('{}[]:,"ab1-.eE+ \\u\n') | json_values.map(json.dumps))
def test_json_refused_by_standard_parser_has_a_specific_fault(text):
    """Whatever it was, the words do not say that the JSON is something else."""
    problems = []
    read_json_object("CONFIG", text, problems)
    try:
        value = json.loads(text.strip())
    except ValueError:
        assert problems[0].code != "json-not-object"
    else:
        codes = [problem.code for problem in problems]
        assert "json-malformed" not in codes
        assert codes or type(value) is dict


@given(st.data())
def test_damaged_json_is_never_shown(data):
    """Whatever is cut out or put in, the message has no part of the text."""
    text = json.dumps({CANARY: [CANARY, {CANARY: CANARY}], "b": 1.5})
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    put_in = data.draw(st.sampled_from(["", '"', "{", "]", ",", ":", "NaN", "\\", "x"]))
    problems = []

    read_json_object("CONFIG", text[:start] + put_in + text[end:], problems)

    assert CANARY not in repr(problems)
    assert CANARY[:4] not in repr(problems)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite_json_number_is_kept(number):
    value = read_json_object("CONFIG", json.dumps({"a": number}), [])

    assert math.copysign(1, value["a"]) == math.copysign(1, number)
    assert value == {"a": number}
