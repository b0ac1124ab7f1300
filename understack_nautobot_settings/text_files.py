"""The one reader of small mounted files: secrets, certificates, configuration.

A mounted path can be anything: a directory, a named pipe that nobody writes to, a
device without an end, a text that no file can have for its name. Reading here never
blocks, never reads more than a bound, and says in words why it refuses. Nothing else
of the package opens, lists or looks at a path that somebody wrote.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from enum import Enum

MEBIBYTE = 2**20
SECRET_BYTES = MEBIBYTE
"""The most that a secret, a certificate or a list may hold."""
CONFIGURATION_BYTES = 16 * MEBIBYTE
"""The most that a plugin configuration may hold."""

BYTE_ORDER_MARK = "\ufeff"
_LONGEST_PATH = 4095
_LINE_ENDS = ("\r\n", "\n")
_CHUNK = 2**16
_LOOKS_LIKE_A_PATH = (
    r"(?s)(?!.*-----BEGIN)(/|\.{1,2}/|~)[^?&]*"
    r"|[\w./ -]*\.(crt|pem|cer|key|json|ya?ml|txt|env|py)|system"
)


class Reason(Enum):
    """Why a file was refused."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    NO_PATH = "no path"
    NOT_REGULAR = "not regular"
    TOO_LARGE = "too large"
    EMPTY = "empty"
    NOT_UTF8 = "not UTF-8"


class FileRefused(Exception):
    """A file that is not read; the text says why, without the path or the content.

    Attributes:
        reason: What kind of refusal it is.
        words: What is wrong, as the end of a sentence that begins with the path:
            ``"is a directory, not a file"``.
    """

    def __init__(self, reason: Reason, words: str) -> None:
        """Keep reason and words."""
        super().__init__(words)
        self.reason = reason
        self.words = words


def is_path(text: str) -> bool:
    """Tell whether a file can have a path: the system knows no other."""
    try:
        return "\0" not in text and len(os.fsencode(text)) <= _LONGEST_PATH
    except UnicodeEncodeError:
        return False


def looks_like_a_path(text: str) -> bool:
    """Tell whether a text may be shown as a path.

    Some put the secret itself where its path belongs.
    """
    return bool(re.fullmatch(_LOOKS_LIKE_A_PATH, text))


def shown_path(path: str) -> str:
    """Return a path that cannot be read, as a message names it."""
    shown = is_path(path) and looks_like_a_path(path)
    return path if shown else "the file that it names"


def read_bytes(path: str, most: int = SECRET_BYTES) -> bytes:
    """Return the content of a regular file; links are followed.

    Args:
        path: The file.
        most: How many bytes it may hold.

    Raises:
        FileRefused: It is missing, unreadable, not a regular file or too large.
    """
    _check_path(path)
    try:
        # A pipe without a writer would block here for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO and _is_socket(path):
            raise _not_regular(stat.S_IFSOCK) from None
        raise _refusal(error) from None
    try:
        return _content(descriptor, most)
    except OSError as error:
        raise _refusal(error) from None
    finally:
        os.close(descriptor)


def read_text(path: str, most: int = SECRET_BYTES) -> str:
    """Return the text of a small file, as it was meant.

    A byte order mark at the start and one line end at the end belong to the file;
    everything else belongs to the text.

    Args:
        path: The file.
        most: How many bytes it may hold.

    Raises:
        FileRefused: As `read_bytes`, or it is empty or does not hold UTF-8.
    """
    content = read_bytes(path, most)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        words = "does not hold UTF-8 text"
        raise FileRefused(Reason.NOT_UTF8, words) from None
    text = text.removeprefix(BYTE_ORDER_MARK)
    for end in _LINE_ENDS:
        if text.endswith(end):
            text = text.removesuffix(end)
            break
    if not text:
        raise FileRefused(Reason.EMPTY, "is empty")
    return text


def names_in(path: str) -> list[str]:
    """Return the names in a directory, sorted.

    Raises:
        FileRefused: It is missing, unreadable, or no directory.
    """
    _check_path(path)
    try:
        return sorted(os.listdir(path))
    except NotADirectoryError:
        raise FileRefused(Reason.NOT_REGULAR, "is not a directory") from None
    except OSError as error:
        raise _refusal(error) from None


def status_of(path: str) -> os.stat_result | None:
    """Return what the system says of a path, None where it says nothing."""
    try:
        return os.stat(path) if is_path(path) else None
    except OSError:
        return None


def _content(descriptor: int, most: int) -> bytes:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        raise _not_regular(about.st_mode)
    content = bytearray()
    while about.st_size <= most and len(content) <= most:
        chunk = os.read(descriptor, min(_CHUNK, most + 1 - len(content)))
        if not chunk:
            return bytes(content)
        content += chunk
    words = f"holds more than {most // MEBIBYTE} MiB"
    raise FileRefused(Reason.TOO_LARGE, words)


def _not_regular(mode: int) -> FileRefused:
    return FileRefused(Reason.NOT_REGULAR, f"is {_kind(mode)}, not a file")


def _is_socket(path: str) -> bool:
    """Tell what a socket is without opening it, which nobody can."""
    status = status_of(path)
    return status is not None and stat.S_ISSOCK(status.st_mode)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _check_path(path: str) -> None:
    if not is_path(path):
        raise FileRefused(Reason.NO_PATH, "is no path that a file can have")


def _refusal(error: OSError) -> FileRefused:
    """Return why the system did not let us at a path."""
    if isinstance(error, FileNotFoundError):
        return FileRefused(Reason.MISSING, "does not exist")
    if isinstance(error, NotADirectoryError):
        words = "does not exist: a part of the path is a file"
        return FileRefused(Reason.MISSING, words)
    words = os.strerror(error.errno or 0)
    return FileRefused(Reason.UNREADABLE, f"cannot be read: {words}")
