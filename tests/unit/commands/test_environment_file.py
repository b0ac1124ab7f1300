import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.commands.command import CouldNotCheck
from understack_nautobot_settings.commands.command import read_environment


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ("A=1\nB=\n", {"A": "1", "B": ""}),
        ("A='x y'\n", {"A": "'x y'"}),
        ("A=b=c\n", {"A": "b=c"}),
        ("# of the pod\n\n  # indented\nA=1", {"A": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1\n", {"A": "1"}),
        ("A= x \n", {"A": " x "}),
        ("A=one\ntwo\0B=\0", {"A": "one\ntwo", "B": ""}),
        ("my.key-name=1\n", {"my.key-name": "1"}),
        ("2fa=1\n.netrc=x\n", {"2fa": "1", ".netrc": "x"}),
        ("BASH_FUNC_x%%=() { :\n}\0A=1\0", {"BASH_FUNC_x%%": "() { :\n}", "A": "1"}),
    ],
)
def test_environment_file_lines_are_read_unchanged(tmp_path, text, env):
    file = tmp_path / "env"
    file.write_bytes(text.encode())

    assert read_environment(str(file)) == env


GARBAGE = "has no NAME=VALUE in line {}. Write the file with 'env', or with 'env -0' "


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A=1\nc4n4ry\n", GARBAGE.format(2)),
        (b"export A=c4n4ry\n", GARBAGE.format(1)),
        (b"A: c4n4ry\n", GARBAGE.format(1)),
        (b"=c4n4ry\n", GARBAGE.format(1)),
        (b"A=1\nA=c4n4ry\n", "sets A again in line 2"),
        (b"A=\xff\n", "does not hold UTF-8 text"),
        (b"", "is empty"),
    ],
)
def test_invalid_environment_file_is_refused_without_its_content(
    tmp_path, content, said
):
    file = tmp_path / "env"
    file.write_bytes(content)

    with pytest.raises(CouldNotCheck) as refused:
        read_environment(str(file))
    assert str(refused.value).startswith(f"--env-file: {file} {said}")
    assert "c4n4ry" not in str(refused.value)


def test_named_pipe_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(CouldNotCheck, match="is a named pipe, not a file"):
        read_environment(str(tmp_path / "pipe"))


values = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
environments = st.dictionaries(
    st.from_regex("[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), values, min_size=1
)


@given(env=environments)
def test_environment_separated_by_nul_is_read_back(tmp_path_factory, env):
    file = tmp_path_factory.mktemp("env") / "env"
    text = "".join(f"{name}={value}\0" for name, value in env.items())
    file.write_bytes(text.encode())

    assert read_environment(str(file)) == env
