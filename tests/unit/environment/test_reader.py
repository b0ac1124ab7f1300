import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.environment.kinds import Choice
from understack_nautobot_settings.environment.kinds import Flag
from understack_nautobot_settings.environment.kinds import FreeText
from understack_nautobot_settings.environment.kinds import HostNames
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.kinds import Module
from understack_nautobot_settings.environment.kinds import Names
from understack_nautobot_settings.environment.kinds import Number
from understack_nautobot_settings.environment.kinds import Path
from understack_nautobot_settings.environment.kinds import Text
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.kinds import shown
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.reader import source


def declared(kind, default=None, **options):
    return Variable("NAME", kind, default, "help", concern="test", **options)


def read(kind, text, default=None, **options):
    problems = []
    value = Reader({"NAME": text}, problems)(declared(kind, default, **options))
    return value, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "word", "word"),
        (Text(), "  word \n", "word"),
        (Text(), "'word", "'word"),
        (Text(), "'", "'"),
        (FreeText(), " pass word ", " pass word "),
        (FreeText(), "'quoted'", "'quoted'"),
        (Path(), "/etc/nautobot/mtls/tls.crt", "/etc/nautobot/mtls/tls.crt"),
        (Flag(), "On", True),
        (Flag(), "0", False),
        (Number(int), "15", 15),
        (Number(float), "1.5", 1.5),
        (Names(), "a, b,,c ,", ("a", "b", "c")),
        (HostNames(), "a b", ("a", "b")),
        (JsonObject(), ' {"a": 1} ', '{"a": 1}'),
        (Choice("word", ["one", "two"]), " two\t", "two"),
    ],
)
def test_valid_text_becomes_a_value(kind, text, value):
    assert read(kind, text) == (value, [])


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_empty_variable_gives_the_default(text):
    assert read(Text(), text, "fallback") == ("fallback", [])


def test_variable_that_is_read_again_is_not_reported_again():
    problems = []
    reader, flag = Reader({"NAME": "ture"}, problems), declared(Flag(), False)

    assert (reader(flag), reader(flag)) == (False, False)
    assert len(problems) == 1


def test_free_text_of_blanks_is_kept():
    assert read(FreeText(), "  ") == ("  ", [])


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (
            Text(),
            '"word"',
            "the value is wrapped in quotes. "
            "Remove the quotes; they are part of the value.",
        ),
        (
            Text(),
            "'word'",
            "the value is wrapped in quotes. "
            "Remove the quotes; they are part of the value.",
        ),
        (
            Path(),
            "PKCS11:token=nautobot;pin-value=s3cret",
            "the value names a key in a token, which is not supported. "
            "Set it to the path of a file.",
        ),
        (Flag(), "ture", "'ture' is neither true nor false. Use true or false."),
        (
            Number(int, least=1, most=65535),
            "tcp://10.0.0.1:6379",
            "'tcp://10.0.0.1:6379' is not a whole number. "
            "Use a whole number from 1 to 65535.",
        ),
        (
            Number(int, least=1, most=65535),
            "0",
            "'0' is out of range. Use a whole number from 1 to 65535.",
        ),
        (
            Number(float, unit="seconds", least=0.1, most=60),
            "nan",
            "'nan' is not a number. Use a number from 0.1 to 60 (seconds).",
        ),
        (
            Number(float, unit="seconds", least=0.1, most=60),
            "1.2.3",
            "'1.2.3' is not a number. Use a number from 0.1 to 60 (seconds).",
        ),
        (
            Number(int),
            "-1",
            "'-1' is out of range. Use a whole number from 0 to 2147483647.",
        ),
        (
            Number(int),
            "--1",
            "the value is not a whole number. Use a whole number from 0 to 2147483647.",
        ),
        (
            Module("a backend", "django_redis.cache.RedisCache"),
            "django_redis.cache.redisCache",
            "'django_redis.cache.redisCache' is unknown, and nearly the name of a "
            "backend. Did you mean django_redis.cache.RedisCache?",
        ),
        (
            Number(int),
            "٣",
            "the value is not a whole number. Use a whole number from 0 to 2147483647.",
        ),
        (
            Path(),
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n",
            "the value is the content of a file, not a path. "
            "Mount the file and set the variable to its path.",
        ),
        (
            Path(),
            "/a\0b",
            "the value is no path that a file can have. "
            "Set it to the path of the file.",
        ),
        (
            Path(),
            "/a\ud800b",
            "the value is no path that a file can have. "
            "Set it to the path of the file.",
        ),
        (
            Path(),
            '{"plugin": {"token": "c2VjcmV0"}}',
            "the value is the content of a file, not a path. "
            "Mount the file and set the variable to its path.",
        ),
        (
            Path(),
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
            "the value is the content of a file, not a path. "
            "Mount the file and set the variable to its path.",
        ),
        (
            Text(),
            "\udcff",
            "the value holds bytes that are not UTF-8. Store it as UTF-8 text.",
        ),
        (
            FreeText(),
            "\udcff",
            "the value holds bytes that are not UTF-8. Store it as UTF-8 text.",
        ),
        (
            Choice("word", ["one", "two"], otherwise="three for nothing"),
            "twoo",
            "'twoo' is not a valid word. "
            "Did you mean two? (Also valid: one; three for nothing.)",
        ),
        (
            Choice("word", ["one", "two"], refused={"three": "it is too many"}),
            "Three",
            "'Three' is refused: it is too many. Use one or two.",
        ),
        (
            Choice("word", ["one", "two"]),
            "x" * 100,
            "the value is not a valid word. Use one or two.",
        ),
    ],
)
def test_invalid_text_gives_one_problem_and_the_default(kind, text, line):
    assert read(kind, text) == (None, [f"NAME: {line}"])


@pytest.mark.parametrize(
    "kind", [Flag(), Number(int), Number(float), Choice("word", ["one"])]
)
def test_invalid_value_of_secret_variable_is_not_shown(kind):
    _, lines = read(kind, "canary", secret=True)

    assert len(lines) == 1
    assert lines[0].startswith("NAME: the value is not valid. Use ")


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "c0rrect-h0rse", "s3cr3t", "9f86d081884c", "12345678901", "p@ss w0rd"],
)
@pytest.mark.parametrize(
    "kind",
    [
        Flag(),
        Number(int),
        Number(float),
        Choice("sslmode", ["verify-full", "verify-ca", "require", "disable"]),
        Choice("log level", ["DEBUG", "INFO", "WARNING"]),
    ],
    ids=["boolean", "integer", "number", "sslmode", "log level"],
)
def test_secret_in_wrong_variable_is_not_shown(kind, secret):
    _, (line,) = read(kind, secret)

    assert secret not in line


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("verify_full", ["verify-full"], "'verify_full'"),
        ("ture", ["true"], "'ture'"),
        ("enabled", [], "'enabled'"),
        ("15s", [], "'15s'"),
        ("-1.5", [], "'-1.5'"),
        ("30 seconds", [], "'30 seconds'"),
        ("tcp://10.0.0.1:6379", [], "'tcp://10.0.0.1:6379'"),
        ("tcp://user:pw@10.0.0.1:6379", [], "the value"),
        ("verify\x1b-full", ["verify-full"], "the value"),
        ("12345678", [], "the value"),
    ],
)
def test_invalid_value_is_shown_only_if_harmless(text, known, expected):
    assert shown(text, known) == expected


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000, "9" * 400])
@pytest.mark.parametrize("number", [int, float])
def test_number_of_thousands_of_digits_is_refused_in_words(number, digits):
    value, (line,) = read(Number(number, least=1, most=65535), digits)

    assert value is None
    assert line.startswith("NAME: the value is out of range. Use a ")


SECRET = declared(FreeText(), secret=True, by_file=True)
UNFIT = (
    "Mount the secret, correct the path, or check what the Secret has under its key."
)


def read_secret(env):
    problems = []
    return Reader(env, problems)(SECRET), [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"pass/word", "pass/word"),
        (b"pass word \n", "pass word "),
        (b"pass\r\n", "pass"),
        (b"two\nlines", "two\nlines"),
        (b"\xef\xbb\xbfpass\r\n", "pass"),
        (" schlüssel".encode(), " schlüssel"),
    ],
)
def test_secret_file_loses_only_one_line_end(tmp_path, content, secret):
    file = tmp_path / "secret"
    file.write_bytes(content)

    assert read_secret({"NAME_FILE": f" {file}\n"}) == (secret, [])


@pytest.mark.parametrize(
    ("env", "name", "secret"),
    [
        ({"NAME": "pass\n"}, "NAME", "pass\n"),
        ({"NAME": "pass\r"}, "NAME", "pass\r"),
        ({"NAME_FILE": "pass\n\n"}, "NAME_FILE", "pass\n"),
        ({"NAME_FILE": "pass\r\n\r\n"}, "NAME_FILE", "pass\r\n"),
    ],
)
def test_secret_that_ends_with_line_break_is_warned_about(tmp_path, env, name, secret):
    if "NAME_FILE" in env:
        (tmp_path / "secret").write_text(env["NAME_FILE"], newline="")
        env = {"NAME_FILE": str(tmp_path / "secret")}

    assert read_secret(env) == (
        secret,
        [
            f"{name}: the value ends with a line break, which counts as a part of it. "
            "Store the value without it: printf %s in place of echo."
        ],
    )


@pytest.mark.parametrize("content", [b"pass\0", "pässword".encode("utf-16-le")[:2]])
def test_secret_file_with_nul_byte_is_refused(tmp_path, content):
    file = tmp_path / "secret"
    file.write_bytes(content)

    assert read_secret({"NAME_FILE": str(file)}) == (
        None,
        [
            "NAME_FILE: the value holds a NUL byte, which is no text. Store it as "
            "UTF-8 text; UTF-16 has such bytes."
        ],
    )


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "does not exist. Mount the secret there, or correct the path."),
        (b"", f"is empty. {UNFIT}"),
        (b"\n", f"is empty. {UNFIT}"),
        (b"\xff\xfe", f"does not hold UTF-8 text. {UNFIT}"),
    ],
    ids=["missing", "empty", "line end", "binary"],
)
def test_secret_file_without_secret_is_an_error(tmp_path, content, fact):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    assert read_secret({"NAME_FILE": str(file)}) == (
        None,
        [f"NAME_FILE: {file} {fact}"],
    )


def test_secret_file_that_may_not_be_read_has_a_mode_to_correct(tmp_path):
    """It is mounted; to mount it would mend nothing."""
    # What no user may follow, root included.
    (tmp_path / "secret").symlink_to("secret")

    _, (said,) = read_secret({"NAME_FILE": str(tmp_path / "secret")})

    assert said.endswith("Check its mode, and securityContext.fsGroup of the pod.")


def test_file_variable_that_names_a_pipe_is_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert read_secret({"NAME_FILE": str(pipe)}) == (
        None,
        [f"NAME_FILE: {pipe} is a named pipe, not a file. {UNFIT}"],
    )


def test_file_variable_that_names_an_endless_device_is_refused():
    assert read_secret({"NAME_FILE": "/dev/zero"}) == (
        None,
        [f"NAME_FILE: /dev/zero is a device, not a file. {UNFIT}"],
    )


def test_secret_in_file_variable_is_an_error():
    assert read_secret({"NAME_FILE": "-----BEGIN canary"}) == (
        None,
        [
            "NAME_FILE: the value is the content of a file, not a path. "
            "Mount the file and set the variable to its path."
        ],
    )


@pytest.mark.parametrize("secret", ["canary", "can/ary", "x" * 5000])
def test_secret_in_file_variable_is_not_shown(secret):
    _, (line,) = read_secret({"NAME_FILE": secret})

    shown = "the value is no path " if len(secret) > 4095 else "the file that it names "
    assert line.startswith(f"NAME_FILE: {shown}")
    assert secret not in line


def test_quotes_around_secret_path_are_an_error():
    assert read_secret({"NAME_FILE": "'/run/secret'"}) == (
        None,
        [
            "NAME_FILE: the value is wrapped in quotes. "
            "Remove the quotes; they are part of the value."
        ],
    )


def test_secret_given_as_value_and_file_is_an_error(tmp_path):
    file = tmp_path / "secret"
    file.write_text("from file")

    assert read_secret({"NAME": "from variable", "NAME_FILE": str(file)}) == (
        "from variable",
        ["NAME_FILE: NAME is set as well. Unset one of the two."],
    )


@pytest.mark.parametrize(
    ("env", "origin"),
    [
        ({}, "default"),
        ({"NAME": ""}, "default"),
        ({"NAME": "x"}, "variable"),
        ({"NAME_FILE": "/x"}, "file"),
        ({"NAME": "", "NAME_FILE": " "}, "default"),
    ],
)
def test_variable_value_has_its_source(env, origin):
    assert source(SECRET, env) == origin


def test_variable_without_file_form_has_one_name():
    assert declared(Text()).names == ("NAME",)
    assert SECRET.names == ("NAME", "NAME_FILE")


def test_variable_declaration_shows_no_value():
    assert repr(SECRET) == "<Variable NAME>"


@given(st.text(max_size=200))
def test_echoed_value_is_short_and_on_one_line(text):
    shown = echo(text)

    assert "\n" not in shown
    assert len(shown) <= 60 * 10 + 2


@pytest.mark.parametrize(
    ("words", "joined"),
    [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
)
def test_words_are_joined_as_in_a_sentence(words, joined):
    assert one_of(words) == joined


ALL_KINDS = [
    Text(),
    FreeText(),
    Path(),
    Flag(),
    Number(int),
    Number(float),
    Names(),
    JsonObject(),
    Choice("word", ["one", "two"]),
]


@given(st.sampled_from(ALL_KINDS), st.text())
def test_variable_with_any_text_gives_a_value_or_a_problem(kind, text):
    value, lines = read(kind, text)

    assert value is None or lines == []


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_has_a_label_and_a_schema(kind):
    assert kind.label
    assert kind.schema["type"] == "string"
