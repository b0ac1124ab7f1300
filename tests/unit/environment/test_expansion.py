import copy
import string
import traceback
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import sentences
from understack_nautobot_settings.environment import expansion
from understack_nautobot_settings.problems import SettingsError
from understack_nautobot_settings.problems import collecting

ENV = {
    "TOKEN": "s3cret",
    "HOST": "h.example",
    "EMPTY": "",
    "_a1": "under",
    "MOUNTED_FILE": "/run/secrets/token",
}
BCRYPT = "$2b$12$LJ3m4ys3Lk0TSwHlvWzZ9eQ0rZ7m5Q1vGmYV6dZJ0hZ2VwJm6Qf3a"

names = st.text(string.ascii_letters + "_", min_size=1).map(lambda name: name[:20])
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
texts = st.text() | st.text("$<{}>:-$AB_ ", max_size=30)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
dollarless = st.recursive(
    st.none() | st.integers() | st.text(st.characters(exclude_characters="$")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def expanded(value, env, *, variable="value", problems=None, **limit):
    """Return the expanded value; raise where nobody takes the problems."""
    with collecting(problems) as found:
        return expansion.expanded(value, env, variable, found, **limit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${TOKEN}", "s3cret"),
        ("$<TOKEN>", "s3cret"),
        ("https://${HOST}/$<_a1>?t=${TOKEN}", "https://h.example/under?t=s3cret"),
        ("${TOKEN}${TOKEN}", "s3crets3cret"),
        ("${TOKEN:-other}", "s3cret"),
        ("${MISSING:-other}", "other"),
        ("${MISSING:-a|integer}", "a|integer"),
        ("${EMPTY:-other}", "other"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a $b c:-d > \n}", "a $b c:-d > \n"),
        ("${MISSING:-$2b$}", "$2b$"),
        ("${MISSING:-$<TOKEN>}", "$<TOKEN>"),
        ("$<MISSING:-other>", "other"),
        ("$<TOKEN:-other>", "s3cret"),
        ("$<MISSING:->", ""),
        ("$<MISSING:-${TOKEN}>", "${TOKEN}"),
        ("$${TOKEN}", "${TOKEN}"),
        ("$$<TOKEN>", "$<TOKEN>"),
        ("$${", "${"),
        ("$$<", "$<"),
        ("$$${TOKEN}", "$${TOKEN}"),
        ("$${${TOKEN}}", "${s3cret}"),
        ("$$$$${A", "$$$${A"),
        ("$", "$"),
        ("$$", "$$"),
        ("$TOKEN", "$TOKEN"),
        ("{TOKEN}", "{TOKEN}"),
        ("$ {TOKEN}", "$ {TOKEN}"),
        ("pa$$word$1", "pa$$word$1"),
        ("$<", "$<"),
        ("$<>", "$<>"),
        ("$<TOKEN", "$<TOKEN"),
        ("$<1>", "$<1>"),
        ("$<A B>", "$<A B>"),
        ("$<A-B>", "$<A-B>"),
        ("$<TOKEN:x>", "$<TOKEN:x>"),
        ("$<TOKÉN>", "$<TOKÉN>"),
        (BCRYPT, BCRYPT),
        ("$6$rounds=5000$saltsalt$hash./", "$6$rounds=5000$saltsalt$hash./"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", None),
        ("pbkdf2_sha256$600000$salt$hash=", None),
        ("", ""),
    ],
)
def test_text_expands_as_the_grammar_says(text, expected):
    assert expanded(text, ENV) == (text if expected is None else expected)


def test_references_are_expanded_in_values_and_not_in_keys():
    value = {"${TOKEN}": ["${TOKEN}", {"$<TOKEN>": "$<TOKEN>"}, 1, None, True, 1.5, []]}

    assert expanded(value, ENV) == {
        "${TOKEN}": ["s3cret", {"$<TOKEN>": "s3cret"}, 1, None, True, 1.5, []]
    }


UNSET = "Set the variable, or give a default, as in ${NAME:-text}."
UNTYPED = "Add the type that the plugin takes: ${NAME|bool}, |int, |float or |json."
MALFORMED = (
    "Write ${NAME}, ${NAME:-default} or, with a type (bool, int, float or json), "
    "${NAME|int}; $${ for ${ itself."
)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("${MISSING}", f"the text refers to MISSING, which is not set. {UNSET}"),
        (
            {"golden": {"token": "${MISSING}"}},
            f"golden.token refers to MISSING, which is not set. {UNSET}",
        ),
        (
            {"a": [0, {"b-c": ["", "$<MISSING>"]}]},
            f"a[1].b-c[1] refers to MISSING, which is not set. {UNSET}",
        ),
        (
            [{"a.b": {"": {"new\nline": "${MISSING}"}}}],
            r'[0]["a.b"][""]["new\nline"] refers to MISSING, which is not set. '
            + UNSET,
        ),
        (
            {"k" * 70: "${MISSING}"},
            f"{'k' * 59}… refers to MISSING, which is not set. {UNSET}",
        ),
        (
            "${EMPTY}",
            f"the text refers to EMPTY, which is empty. {UNSET}",
        ),
        ("${MISSING|int}", f"the text refers to MISSING, which is not set. {UNSET}"),
        (
            "${MOUNTED}",
            "the text refers to MOUNTED, which is not set; MOUNTED_FILE is set, but no "
            f"file is read here. {UNSET}",
        ),
        (
            f"${{{'N' * 70}}}",
            f"the text refers to {'N' * 59}…, which is not set. {UNSET}",
        ),
        ("${", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("ab${A", f"the text has a malformed reference at character 3. {MALFORMED}"),
        ("${A B}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${ A }", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${1A}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${A-B}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${TÉ}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${A:x}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${A:?x}", f"the text has a malformed reference at character 1. {MALFORMED}"),
        ("${A:-x", f"the text has a malformed reference at character 1. {MALFORMED}"),
        (
            "${A:-${TOKEN}}",
            f"the text has a malformed reference at character 1. {MALFORMED}",
        ),
    ],
)
def test_invalid_reference_is_refused_with_path_and_name_only(value, line):
    """By path and name, never with any of the text."""
    if line is None:
        assert expanded(value, ENV) == "$$$${A"
        return
    with pytest.raises(SettingsError) as caught:
        expanded(value, ENV, variable="CONFIG")

    assert sentences(caught.value) == f"CONFIG: {line}"


def test_reference_problem_is_listed_once_per_place():
    problems = []
    value = {"a": ["${X}", "${Y} ${X} ${Y}", {"b": "${X} ${"}], "ok": "${TOKEN}"}

    result = expanded(value, ENV, variable="CONFIG", problems=problems)

    assert [problem.message for problem in problems] == [
        "a[0] refers to X, which is not set.",
        "a[1] refers to Y, which is not set.",
        "a[1] refers to X, which is not set.",
        "a[2].b refers to X, which is not set.",
        "a[2].b has a malformed reference at character 6.",
    ]
    assert {problem.variable for problem in problems} == {"CONFIG"}
    assert result == {**value, "ok": "s3cret"}


def test_unset_reference_in_two_places_is_two_problems():
    problems = []

    expanded(["${X}", "${X}"], {}, problems=problems)

    assert [problem.message for problem in problems] == [
        "[0] refers to X, which is not set.",
        "[1] refers to X, which is not set.",
    ]


@given(secrets)
def test_any_secret_is_inserted_unchanged(secret):
    problems = []

    result = expanded(
        ["${S}", "$<S>", "a${S}b", "${S:-x}"], {"S": secret}, problems=problems
    )

    assert result == [secret, secret, f"a{secret}b", secret]
    assert {problem.severity for problem in problems} <= {"warning"}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("${V|bool}", "On", True),
        ("${V|bool}", " false\n", False),
        ("$<V|bool>", "1", True),
        ("${V|int}", "-12", -12),
        ("${V|int}", "007", 7),
        ("${V|float}", "1.5e3", 1500.0),
        ("${V|float}", "2", 2.0),
        ("${V|json}", '{"a": ["${V}", null]}', {"a": ["${V}", None]}),
        ("${V|json}", '"text"', "text"),
        ("${MISSING|int:-5}", "", 5),
        ("${MISSING:-5|int}", "", 5),
        ("$<MISSING|json:-[]>", "", []),
        ("${V|int:-5}", "6", 6),
    ],
)
def test_whole_string_reference_with_a_type_becomes_that_type(text, value, expected):
    result = expanded({"a": text}, {"V": value})["a"]

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "value", "line"),
    [
        ("${V|bool}", "perhaps", "refers to V, whose value is not a boolean."),
        ("${V|int}", "1.5", "refers to V, whose value is not a whole number."),
        ("${V|int}", "1_000", "refers to V, whose value is not a whole number."),
        ("${V|int}", "9" * 5000, "refers to V, whose value is not a whole number."),
        ("${V|int}", "٣", "refers to V, whose value is not a whole number."),
        ("${V|float}", "1_0", "refers to V, whose value is not a number."),
        ("${V|float}", "nan", "refers to V, whose value is not a number."),
        ("${V|float}", "1e999", "refers to V, whose value is not a number."),
        (
            "${V|json}",
            ' {"a": NaN}',
            "refers to V, whose value is refused: the JSON at line 1, column 8 has "
            "NaN, Infinity or a number too large to be kept.",
        ),
        (
            "${V|json}",
            '{"a": 1,\n "a": 2}',
            "refers to V, whose value is refused: the JSON at line 2, column 2 gives a "
            "name a second time in the same object.",
        ),
        (
            "${V|json}",
            "{'a': 1}",
            "refers to V, whose value is refused: the text is not JSON at line 1, "
            "column 2: a name in double quotes is expected.",
        ),
        (
            "${V|json}",
            "[" * 100_000,
            "refers to V, whose value is refused: the JSON is 100000 levels deep at "
            "line 1, column 100000, more than the parser accepts.",
        ),
        ("${V|int:-x}", "", "refers to V, whose default is not a whole number."),
        ("a ${V|int}", "1", "has |int inside a longer text."),
        ("${V|int}${V|int}", "1", "has |int inside a longer text."),
        ("${V|number}", "1", "has a malformed reference at character 1."),
        ("${V|int}", "", "refers to V, which is empty."),
        ("${V}", "\udcff", "refers to V, whose value holds bytes that are not UTF-8."),
    ],
)
def test_reference_that_does_not_fit_is_refused_without_the_value(text, value, line):
    problems = []

    result = expanded([text], {"V": value}, variable="CONFIG", problems=problems)

    assert result == [text]
    assert [problem.message for problem in problems] == [f"[0] {line}"]
    assert problems[0].severity == "error"


@pytest.mark.parametrize("text", ["${V}", "$<V>", "${MISSING:-true}", "${MISSING:-7}"])
@pytest.mark.parametrize("value", ["true", " False ", "42", " 7\t"])
def test_whole_string_reference_without_a_type_that_reads_as_one_is_warned_about(
    text, value
):
    problems = []

    (result,) = expanded([text], {"V": value}, problems=problems)

    assert isinstance(result, str)
    assert [problem.code for problem in problems] == ["reference-untyped"]


@pytest.mark.parametrize(
    ("text", "value", "line"),
    [
        (
            "${V}",
            "no",
            None,
        ),
        ("a${V}", "1", None),
        ("${V}", "1.5", None),
        (
            "${V}",
            "true",
            "value: a refers to V and stays text, although the value reads as a "
            f"boolean. {UNTYPED}",
        ),
        (
            "$<V>",
            "12",
            "value: a refers to V and stays text, although the value reads as a whole "
            f"number. {UNTYPED}",
        ),
        (
            "https://${V}/",
            "secret\n",
            "value: a refers to V, whose value ends with a line break. Store the value "
            "without it: printf %s in place of echo.",
        ),
        (
            "$(TOKEN)",
            "",
            "value: a holds $(TOKEN), which Kubernetes did not replace. "
            "Write ${TOKEN}, which this library replaces.",
        ),
        ("pa$(ss)word", "", None),
        (
            "map[a:1 b:map[]]",
            "",
            "value: a looks like a map that Helm printed. Use toJson in the template.",
        ),
        ("map[", "", None),
        ("pa$$[word]", "", None),
    ],
)
def test_text_left_by_template_or_editor_is_warned_about(text, value, line):
    """The text stays as it is; one warning names the place."""
    problems = []

    result = expanded({"a": text}, {"V": value}, problems=problems)

    written = text.replace("${V}", value).replace("$<V>", value)
    assert result == {"a": written}
    assert [str(problem) for problem in problems] == ([line] if line else [])
    assert {problem.severity for problem in problems} <= {"warning"}


@given(names, st.text())
def test_inserted_text_is_never_expanded_again(name, other):
    env = {name: "${OTHER} $<OTHER> $${ $$<", "OTHER": other or "x"}

    assert expanded(f"${{{name}}}", env) == env[name]


@given(dollarless)
def test_value_without_dollar_is_unchanged(value):
    assert expanded(value, ENV) == value


@given(st.text("$abAB0./}>:- ") | st.text(st.characters(exclude_characters="{<")))
def test_text_without_reference_opening_is_unchanged(text):
    assert expanded(text, {}) == text


@given(texts)
def test_any_text_can_be_written_with_escapes(text):
    written = text.replace("${", "$${").replace("$<", "$$<")

    assert expanded(written, {}) == text


@given(values)
def test_expansion_raises_only_settings_error_and_never_changes_its_input(value):
    before = copy.deepcopy(value)
    problems = []

    result = expanded(value, ENV, problems=problems)

    assert type(result) is type(value)
    assert value == before
    if problems:
        with pytest.raises(SettingsError) as caught:
            expanded(value, ENV)
        assert [*caught.value.problems] == problems
    else:
        assert expanded(value, ENV) == result


def test_expanded_copy_shares_nothing_with_its_input():
    inner = {"b": ["c"]}
    value = {"a": inner, "again": inner, "d": "${TOKEN}"}

    result = expanded(value, ENV)

    result["a"]["b"].append("x")
    assert result == {
        "a": {"b": ["c", "x"]},
        "again": {"b": ["c"]},
        "d": "s3cret",
    }
    assert value == {"a": {"b": ["c"]}, "again": {"b": ["c"]}, "d": "${TOKEN}"}


@pytest.mark.parametrize("text", ["${TOKEN}", "no dollar", "${MISSING}"])
@pytest.mark.parametrize("kind", [list, dict])
def test_expansion_of_very_deep_value_succeeds(kind, text):
    value = text
    for _ in range(100_000):
        value = [value] if kind is list else {"a": value}
    problems = []

    result = expanded(value, ENV, problems=problems)

    while isinstance(result, kind):
        result = next(iter(result.values() if kind is dict else result))
    assert result == expanded(text, ENV, problems=[])
    step = "[0]" if kind is list else ".a"
    assert [problem.message for problem in problems] == (
        [f"…{(step * 64).removeprefix('.')} refers to MISSING, which is not set."]
        if text == "${MISSING}"
        else []
    )


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (["${S}"], "[0]"),
        (["x", "${S}${S}"], "[1]"),
        (["${S}" * 1000], "[0]"),
        ([f"{i} ${{T}}" for i in range(20)], "[9]"),
        (["${T}"] * 20, "[9]"),
        (["${T}", "${S:-${M}}", "${S}"], "[2]"),
    ],
    ids=["one", "two", "many in one", "many", "many alike", "beside another problem"],
)
def test_expansion_beyond_size_limit_is_refused(value, place):
    """References to a long variable multiply it; the memory stays bounded."""
    problems = []
    env = {"S": "s" * 100, "T": "t" * 10}

    result = expanded(value, env, problems=problems, most=90)

    assert result == value
    assert str(problems[-1]) == (
        f"value: {place} takes the expanded text beyond the limit. "
        "Refer to shorter values, or less often."
    )
    assert problems[-1].code == "expansion-too-large"


def test_expansion_limit_counts_the_inserted_text():
    env = {"S": "s" * 14}

    assert expanded(["${S}"] * 2, env, most=40) == ["s" * 14] * 2
    with pytest.raises(SettingsError) as caught:
        expanded(["${S}"] * 3, env, most=40)
    assert sentences(caught.value) == (
        "value: [2] takes the expanded text beyond the limit. "
        "Refer to shorter values, or less often."
    )


def test_expansion_limit_counts_the_text_of_json():
    env = {"S": "[[], [], [], []]"}

    with pytest.raises(SettingsError) as caught:
        expanded(["${S|json}"] * 3, env, most=40)

    assert sentences(caught.value) == (
        "value: [2] takes the expanded text beyond the limit. "
        "Refer to shorter values, or less often."
    )


def test_password_hash_does_not_count_towards_expansion_limit():
    value = [BCRYPT] * 100

    assert expanded(value, {}, most=0) == value


def test_long_text_is_expanded_in_linear_time():
    """Half a million openings that lead nowhere: quadratic time would not end."""
    for opening in ("$<A:-", "$<A", "$$", "$", "$<"):
        text = opening * 500_000
        assert expanded(text, {}) == text.replace("$$<", "$<")
    problems = []
    expanded("${A:-" * 20_000, {}, problems=problems)
    assert len(problems) == 20_000


def test_expansion_error_holds_no_secret():
    """Not the error, not its context, not the frames apart from the environment."""
    canary = "c4n4ry-" + "x" * 20
    value = {"a": "${S}", "b": ["${S} ${MISSING}"]}
    env = types.MappingProxyType({"S": canary})

    with pytest.raises(SettingsError) as caught:
        expanded(value, env)

    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert canary not in repr((error, error.args, vars(error), str(error)))
    for frame, _ in list(traceback.walk_tb(error.__traceback__))[1:]:
        held = {
            name: shown for name, shown in frame.f_locals.items() if shown is not env
        }
        assert canary not in repr(held)
        assert "_Expansion" not in repr(held)
