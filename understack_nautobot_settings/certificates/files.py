"""The files of a client certificate: read once, or why they cannot be read."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import certificates_in
from understack_nautobot_settings.problems import Problem

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"

LARGEST_FILE = 1024 * 1024
"""Octets of the largest file that is read."""


class CertificateFile(NamedTuple):
    """One file, and the variable to change when something is wrong with it."""

    path: str
    variable: str


class ClientFiles(NamedTuple):
    """The files with which one client presents itself and trusts its server.

    Attributes:
        use: The client: ``"PostgreSQL"`` (libpq) or ``"Redis"`` (Python's ssl).
        cert: The client certificate, intermediates after it; None to present none.
        key: Its private key; None where the certificate file holds it.
        ca: The certificate authorities that the server is verified with; None
            where it is not.
    """

    use: str
    cert: CertificateFile | None
    key: CertificateFile | None
    ca: CertificateFile | None

    def present(self) -> Iterator[CertificateFile]:
        """Yield the files that are configured."""
        for file in (self.cert, self.key, self.ca):
            if file is not None:
                yield file


class FileContent(NamedTuple):
    """What a file was when it was read: its content, its owner and its mode."""

    content: bytes
    status: os.stat_result


class Mount:
    """The files of one client at one moment: each is read once, and then judged."""

    def __init__(self, files: ClientFiles, clock: Callable[[], float]) -> None:
        """Read the files.

        Args:
            files: The files of one client.
            clock: Seconds since the epoch.
        """
        self.files = files
        self._looks = {file: read_file(file) for file in files.present()}
        self.now = clock()

    @property
    def problems(self) -> list[Problem]:
        """Why files cannot be read, at most one problem for each."""
        return [look for look in self._looks.values() if isinstance(look, Problem)]

    def read(self, file: CertificateFile | None) -> FileContent | None:
        """Return a file that could be read, None for another."""
        look = self._looks.get(file) if file is not None else None
        return look if isinstance(look, FileContent) else None

    def content(self, file: CertificateFile | None) -> bytes:
        """Return the content of a file, nothing where it could not be read."""
        read = self.read(file)
        return b"" if read is None else read.content

    def certificates(self, file: CertificateFile | None) -> list[Certificate]:
        """Return the certificates of a file that can be read, in their order."""
        if file is None:
            return []
        return certificates_in(
            self.content(file), now=self.now, path=file.path, use=self.files.use
        )

    def is_current(self) -> bool:
        """Tell whether the files are still those that were read."""
        return all(
            _identity(file.path) == identity(look.status)
            for file, look in self._looks.items()
            if isinstance(look, FileContent)
        )


def describe_certificates(
    files: ClientFiles, *, clock: Callable[[], float] = time.time
) -> list[Certificate]:
    """Return every certificate in the files that can be read.

    Args:
        files: The files of one client; the key is not looked at.
        clock: Seconds since the epoch.

    Returns:
        The client certificate, its intermediates, then the CAs, each file in its
        own order.
    """
    mount = Mount(files._replace(key=None), clock)
    places = dict.fromkeys((files.cert, files.ca))
    return [one for file in places for one in mount.certificates(file)]


def check_files(files: ClientFiles) -> list[Problem]:
    """Tell which files are missing, not regular, empty, too large or unreadable.

    Args:
        files: The files of one client.

    Returns:
        At most one problem for each file, all of severity error.
    """
    return Mount(files, time.time).problems


def read_file(file: CertificateFile) -> FileContent | Problem:
    """Return a file with its status, or why it cannot be read.

    Nothing but a regular file is opened, and nothing here waits.
    """
    path, variable = file
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return _not_regular(file, status)
        # O_NONBLOCK: it may be a pipe by now.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as opened:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return _not_regular(file, status)
            content = opened.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return codes.FILE_MISSING.missing_file(
            variable,
            f"SSL certificate file required by {variable} not found: {path}",
            "Mount the secret nautobot-mtls-client at "
            f"{os.path.dirname(path) or '.'}, or correct the path.",
        )
    except PermissionError:
        return _unreadable(file)
    except (OSError, ValueError) as error:
        reason = os.strerror(getattr(error, "errno", None) or errno.EINVAL)
        return codes.FILE_UNREADABLE.problem(
            variable,
            f"{path} cannot be read: {reason}.",
            "Correct the path, or check the volume and its node.",
        )
    if len(content) > LARGEST_FILE:
        size = f"{path} is larger than {LARGEST_FILE // 1024} KiB."
        return codes.FILE_TOO_LARGE.problem(variable, size)
    if not content:
        return codes.FILE_EMPTY.problem(variable, f"{path} is empty.")
    return FileContent(content, status)


def _not_regular(file: CertificateFile, status: os.stat_result) -> Problem:
    kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
    return codes.FILE_NOT_REGULAR.problem(file.variable, f"{file.path} is {kind}.")


def _unreadable(file: CertificateFile) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = _closed_directory(path) or path
    try:
        status = os.stat(place)
    except OSError:
        return codes.FILE_UNREADABLE.problem(variable, f"{path} cannot be read.")
    group = os.getegid() or os.geteuid()
    groups = sorted({os.getegid(), *os.getgroups()})
    return codes.FILE_UNREADABLE.problem(
        variable,
        f"{path} cannot be read: {'it' if place == path else place} has mode "
        f"{mode(status)} and owner {owner(status)}, this process has uid "
        f"{os.geteuid()} and gids {', '.join(map(str, groups))}.",
        f"Set 'securityContext: {{fsGroup: {group}}}' on the pod and "
        "'defaultMode: 256' on the secret volume.",
    )


def _closed_directory(path: str) -> str | None:
    """Return the first directory on the way to a file that lets us not through."""
    place = os.path.realpath(path)
    above: list[str] = []
    while place != os.path.dirname(place):
        place = os.path.dirname(place)
        above.append(place)
    for directory in reversed(above):
        if not os.access(directory, os.X_OK, effective_ids=True):
            return directory
    return None


def mode(status: os.stat_result) -> str:
    """Return the permissions as ``0640``."""
    return f"{stat.S_IMODE(status.st_mode):04o}"


def owner(status: os.stat_result) -> str:
    """Return owner and group as ``0:0``."""
    return f"{status.st_uid}:{status.st_gid}"


def identity(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from the one that takes its place."""
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        return identity(os.stat(path))
    except (OSError, ValueError):
        return None
