"""The one reader of small mounted files: secrets, certificates, configuration.

A mounted path can be anything: a directory, a named pipe that nobody writes to, a
device without an end, a text that no file can have for its name. Reading here never
blocks, never reads more than a bound, and says in words why it refuses. Nothing else
of the package opens or lists a path that somebody wrote.
"""

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
_OTHER_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
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
    """A file that is not read; holds neither its path nor its content.

    Attributes:
        reason: What kind of refusal it is.
        words: The end of a sentence that begins with the path.
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


def encodable(text: str) -> bool:
    """Tell whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def looks_like_a_path(text: str) -> bool:
    """Tell whether a text may be shown: some put a secret where its path belongs."""
    return bool(re.fullmatch(_LOOKS_LIKE_A_PATH, text))


def shown_path(path: str) -> str:
    """Return a path that cannot be read, as a message names it."""
    shown = is_path(path) and looks_like_a_path(path)
    return path if shown else "the file that it names"


def read_bytes(path: str, most: int = SECRET_BYTES) -> bytes:
    """Return the content of a regular file of at most so many bytes; follows links.

    Raises:
        FileRefused: It is missing, unreadable, not a regular file or too large.
    """
    _check_path(path)
    try:
        _check_kind(os.stat(path))
        with open(path, "rb", opener=_opened) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise _refusal(error) from None
    if len(content) > most:
        words = f"holds more than {most // MEBIBYTE} MiB"
        raise FileRefused(Reason.TOO_LARGE, words)
    return content


def read_text(path: str, most: int = SECRET_BYTES) -> str:
    """Return the text of a file without byte order mark and one line end at the end.

    Raises:
        FileRefused: As `read_bytes`, or it is empty or does not hold UTF-8.
    """
    try:
        text = read_bytes(path, most).decode()
    except UnicodeDecodeError:
        words = "does not hold UTF-8 text"
        raise FileRefused(Reason.NOT_UTF8, words) from None
    text = re.sub(r"\r?\n\Z", "", text.removeprefix(BYTE_ORDER_MARK))
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


def _opened(path: str, flags: int) -> int:
    """Open a file; what took its place since it was looked at may be none.

    Without the flag, a pipe would block.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    try:
        _check_kind(os.fstat(descriptor))
    except FileRefused:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        words = f"is {_OTHER_KINDS.get(kind, 'a device')}, not a file"
        raise FileRefused(Reason.NOT_REGULAR, words)


def _check_path(path: str) -> None:
    if not is_path(path):
        raise FileRefused(Reason.NO_PATH, "is no path that a file can have")


def _refusal(error: OSError) -> FileRefused:
    """Return why the system refuses a path."""
    if isinstance(error, FileNotFoundError):
        return FileRefused(Reason.MISSING, "does not exist")
    if isinstance(error, NotADirectoryError):
        words = "does not exist: a part of the path is a file"
        return FileRefused(Reason.MISSING, words)
    words = os.strerror(error.errno or 0)
    return FileRefused(Reason.UNREADABLE, f"cannot be read: {words}")
