"""The reader of small files takes regular files within a bound, and nothing else."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.text_files import SECRET_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import read_bytes
from understack_nautobot_settings.text_files import read_text
from understack_nautobot_settings.text_files import shown_path


@pytest.mark.parametrize(
    "text",
    ["s3cret", "/files?token=s3cret", "tls.crt&s3cret", "/s3cret\0", "/" + "a" * 5000],
)
def test_text_that_is_no_path_is_not_shown(text):
    """Some put a secret where its path belongs."""
    assert shown_path(text) == "the file that it names"


def refused(path, **options):
    with pytest.raises(FileRefused) as caught:
        read_text(str(path), **options)
    return caught.value.reason, str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b"secret\r", "secret\r"),
        (b" secret ", " secret "),
        ("\ufeffsecret\n".encode(), "secret"),
        ("\ufeff\ufeffsecret".encode(), "\ufeffsecret"),
        ("sécret".encode(), "sécret"),
    ],
    ids=repr,
)
def test_text_of_a_file_loses_its_mark_and_one_line_end(content, text, tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(content)

    assert read_text(str(file)) == text


# What ends in CR would end in CRLF, which is one line end.
@given(st.text(min_size=1).filter(lambda text: not text.endswith("\r")))
def test_text_with_mark_and_line_end_is_the_text(text):
    framed = f"\ufeff{text}\n".encode(errors="replace")
    descriptor = os.memfd_create("secret")
    try:
        os.write(descriptor, framed)
        found = read_text(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)

    assert found == text.encode(errors="replace").decode()


def test_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "secret").write_text("x")
    (tmp_path / "secret").symlink_to("..data/secret")

    assert read_text(str(tmp_path / "secret")) == "x"


def test_missing_file_is_refused(tmp_path):
    assert refused(tmp_path / "no") == (Reason.MISSING, "does not exist")


def test_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    assert refused(tmp_path / "file" / "secret") == (
        Reason.MISSING,
        "does not exist: a part of the path is a file",
    )


def test_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")

    assert refused(tmp_path / "loop") == (
        Reason.UNREADABLE,
        "cannot be read: Too many levels of symbolic links",
    )


@pytest.mark.parametrize("path", ["a\0b", "\udcff\ud800"], ids=["NUL", "surrogate"])
def test_path_that_no_file_can_have_is_refused(path):
    assert refused(path) == (Reason.NO_PATH, "is no path that a file can have")


def test_directory_is_refused(tmp_path):
    assert refused(tmp_path) == (Reason.NOT_REGULAR, "is a directory, not a file")


def test_named_pipe_without_a_writer_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert refused(tmp_path / "pipe") == (
        Reason.NOT_REGULAR,
        "is a named pipe, not a file",
    )


def test_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        refusal = refused(tmp_path / "socket")

    assert refusal == (Reason.NOT_REGULAR, "is a socket, not a file")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device_is_refused(device):
    assert refused(device) == (Reason.NOT_REGULAR, "is a device, not a file")


def test_file_larger_than_the_bound_is_refused(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"x" * (SECRET_BYTES + 1))

    assert refused(file) == (Reason.TOO_LARGE, "holds more than 1 MiB")


def test_file_of_exactly_the_bound_is_read(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"x" * SECRET_BYTES)

    assert len(read_bytes(str(file))) == SECRET_BYTES


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", "\ufeff\n".encode()])
def test_file_without_text_is_refused(content, tmp_path):
    (tmp_path / "empty").write_bytes(content)

    assert refused(tmp_path / "empty") == (Reason.EMPTY, "is empty")


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "latin").write_bytes("sécret".encode("latin-1"))

    assert refused(tmp_path / "latin") == (Reason.NOT_UTF8, "does not hold UTF-8 text")


def test_file_without_permission_is_refused(tmp_path):
    file = tmp_path / "closed"
    file.write_text("x")
    file.chmod(0)
    before = os.geteuid()
    if before == 0:
        # Root reads everything.
        os.seteuid(65534)
    try:
        found = refused(file)
    finally:
        os.seteuid(before)

    assert found == (Reason.UNREADABLE, "cannot be read: Permission denied")
