"""The one reader of small mounted files: secrets, certificates, configuration.

A mounted path can be anything: a directory, a named pipe that nobody writes to, a
device without an end. Reading here never blocks, never reads more than a bound, and
says in words why it refuses.
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


def looks_like_a_path(text: str) -> bool:
    """Tell whether a text may be shown as a path.

    Some put the secret itself where its path belongs.
    """
    return bool(re.fullmatch(_LOOKS_LIKE_A_PATH, text))


def shown_path(path: str) -> str:
    """Return a path that cannot be read, as a message names it."""
    return path if looks_like_a_path(path) else "the file that it names"


def read_bytes(path: str, most: int = SECRET_BYTES) -> bytes:
    """Return the content of a regular file; links are followed.

    Args:
        path: The file.
        most: How many bytes it may hold.

    Raises:
        FileRefused: It is missing, unreadable, not a regular file or too large.
    """
    try:
        # A pipe without a writer would block here for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileRefused(Reason.MISSING, "does not exist") from None
    except NotADirectoryError:
        words = "does not exist: a part of the path is a file"
        raise FileRefused(Reason.MISSING, words) from None
    except OSError as error:
        if error.errno == errno.ENXIO and _is_socket(path):
            raise _not_regular(stat.S_IFSOCK) from None
        raise _unreadable(error) from None
    except ValueError:
        # A NUL, or characters that no path has.
        words = "is no path that a file can have"
        raise FileRefused(Reason.NO_PATH, words) from None
    try:
        return _content(descriptor, most)
    except OSError as error:
        raise _unreadable(error) from None
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
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _unreadable(error: OSError) -> FileRefused:
    words = os.strerror(error.errno or 0)
    return FileRefused(Reason.UNREADABLE, f"cannot be read: {words}")
