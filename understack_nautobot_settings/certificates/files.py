"""The files of a client certificate: read once, or why they cannot be read."""

import os
import stat
import time
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import read_certificate
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import read_bytes
from understack_nautobot_settings.text_files import shown_path
from understack_nautobot_settings.text_files import status_of

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"

_NOT_BY_MODE = "Correct the path, or check the volume and its node."


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
        """Return the files that are configured, each once."""
        files = (self.cert, self.key, self.ca)
        return list(dict.fromkeys(file for file in files if file))


class MountedFile(NamedTuple):
    """A file as it was when it was read: its content, its owner and its mode."""

    path: str
    variable: str
    content: bytes
    status: os.stat_result

    def problem(self, code: Code, words: str, hint: str | None = None) -> Problem:
        """Return a problem of this file; the words follow its path."""
        return code.problem(self.variable, f"{self.path} {words}", hint)

    def is_current(self) -> bool:
        """Tell whether no other file has taken its place."""
        return _identity(self.status) == _identity(status_of(self.path))


ReadFile = Callable[[CertificateFile], MountedFile | Problem]


def read_file(file: CertificateFile) -> MountedFile | Problem:
    """Return a file as it is now, or why it cannot be read; nothing here waits."""
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
    return MountedFile(path, variable, content, status)


class ReadOnce:
    """Reads a file as `read_file` does, once, as long as no other takes its place."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._files: dict[str, MountedFile] = {}

    def __call__(self, file: CertificateFile) -> MountedFile | Problem:
        """Return a file as it is now, or why it cannot be read."""
        known = self._files.get(file.path)
        found = known if known and known.is_current() else read_file(file)
        if isinstance(found, MountedFile):
            found = self._files[file.path] = found._replace(variable=file.variable)
        return found

    def forget(self) -> None:
        """Keep no content, of which one is a private key."""
        self._files.clear()


class Mount:
    """The files of one client at one moment: each is read once, and then judged.

    Attributes:
        use: The client, as in `ClientFiles`.
        files: Those that could be read, in the order certificate, key, CA.
        problems: Why the others cannot be read, at most one for each.
        cert: The certificate file, None where there is none or it cannot be read.
        key: Likewise the file that holds the key, which may be that one.
        ca: Likewise the CA file.
        now: When they were read, seconds since the epoch.
    """

    def __init__(
        self, files: ClientFiles, clock: Callable[[], float], read: ReadFile
    ) -> None:
        """Read the files."""
        self.use = files.use
        self.problems: list[Problem] = []
        found: dict[CertificateFile | None, MountedFile] = {}
        for file in files.present():
            look = read(file)
            if isinstance(look, MountedFile):
                found[file] = look
            else:
                self.problems.append(look)
        self.files = list(found.values())
        self.cert = found.get(files.cert)
        self.key = found.get(files.key or files.cert)
        self.ca = found.get(files.ca)
        self.now = clock()

    @cached_property
    def chain(self) -> list[Certificate]:
        """The certificates of the certificate file that can be read."""
        return self.certificates(self.cert)

    @cached_property
    def trusted(self) -> list[Certificate]:
        """The certificates of the CA file that can be read, CAs or not."""
        return self.certificates(self.ca)

    def certificate(self, der: bytes, file: MountedFile) -> Certificate | None:
        """Return one certificate of a file, None where it cannot be read."""
        try:
            return read_certificate(der, now=self.now, path=file.path, use=self.use)
        except ValueError:
            return None

    def certificates(self, file: MountedFile | None) -> list[Certificate]:
        """Return the certificates of a file that can be read, in their order."""
        if file is None:
            return []
        found = (self.certificate(der, file) for der in pem.certificates(file.content))
        return [one for one in found if one]


def describe_certificates(
    files: ClientFiles,
    *,
    clock: Callable[[], float] = time.time,
    read: ReadFile = read_file,
) -> list[Certificate]:
    """Return every certificate in the files that can be read; `clock` tells seconds.

    The client certificate, its intermediates, then the CAs, as the files have them.
    """
    mount = Mount(files._replace(key=None), clock, read)
    return [one for file in mount.files for one in mount.certificates(file)]


def _refused(file: CertificateFile, refusal: FileRefused) -> Problem:
    path, variable = file
    named = shown_path(path)
    if refusal.reason is Reason.MISSING:
        remedy = (
            f"Mount the secret nautobot-mtls-client at {os.path.dirname(named)}, or "
            "correct the path."
        )
        if not os.path.isabs(named):
            remedy = "Set the variable to the whole path of the file, from / on."
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
    return codes.FILE_UNREADABLE.problem(variable, fact, _NOT_BY_MODE)


def _closed(file: CertificateFile, fact: str) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = closed_directory(path) or path
    status = status_of(place)
    if status is None:
        return codes.FILE_UNREADABLE.problem(variable, fact, _NOT_BY_MODE)
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


def closed_directory(path: str) -> str | None:
    """Return the first directory on the way to a file that we may not enter."""
    from pathlib import PurePath

    # What is missing cannot be entered either.
    there = filter(os.path.isdir, reversed(PurePath(os.path.realpath(path)).parents))
    closed = (one for one in there if not os.access(one, os.X_OK, effective_ids=True))
    return next(map(str, closed), None)


def access(status: os.stat_result) -> str:
    """Return permissions and owner: ``mode 0640 and owner 0:0``."""
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return f"mode {mode} and owner {status.st_uid}:{status.st_gid}"


def _identity(status: os.stat_result | None) -> tuple[int, ...] | None:
    """Return what tells a file from the one that takes its place."""
    if status is None:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
