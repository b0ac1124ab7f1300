"""The files of a client certificate: read once, or why they cannot be read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import read_certificate
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import read_bytes
from understack_nautobot_settings.text_files import shown_path
from understack_nautobot_settings.text_files import status_of

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"


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
        user: The user that the certificate logs in to PostgreSQL; None to leave open
            whether it may.
    """

    use: str
    cert: CertificateFile | None
    key: CertificateFile | None
    ca: CertificateFile | None
    user: str | None = None

    def present(self) -> list[CertificateFile]:
        """Return the files that are configured."""
        return [file for file in (self.cert, self.key, self.ca) if file]


class FileContent(NamedTuple):
    """What a file was when it was read: its content, its owner and its mode."""

    content: bytes
    status: os.stat_result


ReadFile = Callable[[CertificateFile], "FileContent | Problem"]


class ReadOnce:
    """Reads a file once, as long as no other takes its place, as `read_file`."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._contents: dict[str, FileContent] = {}

    def __call__(self, file: CertificateFile) -> FileContent | Problem:
        """Return a file with its status, or why it cannot be read."""
        known = self._contents.get(file.path)
        if known and _identity(known.status) == _identity(status_of(file.path)):
            return known
        look = read_file(file)
        if isinstance(look, FileContent):
            self._contents[file.path] = look
        return look

    def forget(self) -> None:
        """Keep no content, of which one is a private key."""
        self._contents.clear()


class Mount:
    """The files of one client at one moment: each is read once, and then judged.

    Attributes:
        files: The files of one client.
        now: When they were read, seconds since the epoch.
        problems: Why files cannot be read, at most one for each.
    """

    def __init__(
        self,
        files: ClientFiles,
        clock: Callable[[], float],
        read: ReadFile | None = None,
    ) -> None:
        """Read the files, with `read_file` by default."""
        self.files = files
        self.problems: list[Problem] = []
        self._contents: dict[CertificateFile | None, FileContent] = {}
        for file in dict.fromkeys(files.present()):
            look = (read or read_file)(file)
            if isinstance(look, FileContent):
                self._contents[file] = look
            else:
                self.problems.append(look)
        self.now = clock()

    def content(self, file: CertificateFile | None) -> bytes:
        """Return the content of a file, nothing where it could not be read."""
        return self._contents[file].content if file in self._contents else b""

    def status(self, file: CertificateFile) -> os.stat_result:
        """Return owner and mode of a file that could be read."""
        return self._contents[file].status

    def certificate(self, der: bytes, file: CertificateFile) -> Certificate | None:
        """Return one certificate of a file, None where it cannot be read."""
        use = self.files.use
        try:
            return read_certificate(der, now=self.now, path=file.path, use=use)
        except ValueError:
            return None

    def certificates(self, file: CertificateFile | None) -> list[Certificate]:
        """Return the certificates of a file that can be read, in their order."""
        if file is None:
            return []
        ders = pem.certificates(self.content(file))
        found = (self.certificate(der, file) for der in ders)
        return [one for one in found if one]

    def is_current(self) -> bool:
        """Tell whether the files are still those that were read."""
        return all(
            file and _identity(status_of(file.path)) == _identity(look.status)
            for file, look in self._contents.items()
        )


def describe_certificates(
    files: ClientFiles,
    *,
    clock: Callable[[], float] = time.time,
    read: ReadFile | None = None,
) -> list[Certificate]:
    """Return every certificate in the files that can be read.

    Args:
        files: The files of one client; the key is not looked at.
        clock: Seconds since the epoch.
        read: Reads a file, `read_file` for None.

    Returns:
        The client certificate, its intermediates, then the CAs, as the files have them.
    """
    mount = Mount(files._replace(key=None), clock, read)
    places = dict.fromkeys((files.cert, files.ca))
    return [one for file in places for one in mount.certificates(file)]


def read_file(file: CertificateFile) -> FileContent | Problem:
    """Return a file with its status, or why it cannot be read; nothing here waits."""
    path, variable = file
    # Before the content: a file that is replaced in between counts as changed.
    status = status_of(path)
    try:
        content = read_bytes(path)
    except FileRefused as refusal:
        return _refused(file, refusal)
    if status is None:
        return _refused(file, FileRefused(Reason.MISSING, ""))
    if not content:
        return codes.FILE_EMPTY.problem(variable, f"{path} is empty.")
    return FileContent(content, status)


def _refused(file: CertificateFile, refusal: FileRefused) -> Problem:
    path, variable = file
    named = shown_path(path)
    if refusal.reason is Reason.MISSING:
        where = os.path.dirname(named) or "."
        remedy = (
            f"Mount the secret nautobot-mtls-client at {where}, or correct the path."
        )
        return codes.FILE_MISSING.missing_file(
            variable,
            f"SSL certificate file required by {variable} not found: {named}",
            remedy if named == path else "Set the variable to the path of the file.",
        )
    fact = f"{named} {refusal.words}."
    if refusal.reason is Reason.NOT_REGULAR:
        return codes.FILE_NOT_REGULAR.problem(variable, fact)
    if refusal.reason is Reason.TOO_LARGE:
        return codes.FILE_TOO_LARGE.problem(variable, fact)
    # No question about a path that no file can have has an answer.
    possible = refusal.reason is not Reason.NO_PATH
    if possible and not os.access(path, os.R_OK, effective_ids=True):
        return _closed(file, fact)
    remedy = "Correct the path, or check the volume and its node."
    return codes.FILE_UNREADABLE.problem(variable, fact, remedy)


def _closed(file: CertificateFile, fact: str) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = _closed_directory(path) or path
    status = status_of(place)
    if status is None:
        return codes.FILE_UNREADABLE.problem(variable, fact)
    group = os.getegid() or os.geteuid()
    groups = sorted({os.getegid(), *os.getgroups()})
    return codes.FILE_UNREADABLE.problem(
        variable,
        f"{path} cannot be read: {'it' if place == path else place} has "
        f"{access(status)}, this process has uid {os.geteuid()} and gids "
        f"{', '.join(map(str, groups))}.",
        f"Set 'securityContext: {{fsGroup: {group}}}' on the pod and "
        "'defaultMode: 256' on the secret volume.",
    )


def _closed_directory(path: str) -> str | None:
    """Return the first directory on the way to a file that we may not enter."""
    place, closed = os.path.realpath(path), None
    while place != os.path.dirname(place):
        place = os.path.dirname(place)
        if not os.access(place, os.X_OK, effective_ids=True):
            closed = place
    return closed


def access(status: os.stat_result) -> str:
    """Return permissions and owner: ``mode 0640 and owner 0:0``."""
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return f"mode {mode} and owner {status.st_uid}:{status.st_gid}"


def _identity(status: os.stat_result | None) -> tuple[int, ...] | None:
    """Return what tells a file from the one that takes its place."""
    if status is None:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
