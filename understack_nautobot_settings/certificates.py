"""What is wrong with the files of a client certificate, and until when they live.

File paths in, problems out; no environment, no network.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.errors import Problem


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
        ca: The certificate authorities that the server is verified with.
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


class Certificate(NamedTuple):
    """One certificate in one file.

    Attributes:
        path: The file.
        use: As in `ClientFiles`.
        subject: ``CN=app``.
        issuer: ``CN=understack-mtls-ca``.
        serial: Upper-case hexadecimal, as OpenSSL prints it.
        not_before: Start of validity, UTC, ``2026-11-22T04:21:00Z``.
        not_after: End of validity, UTC.
        days_left: Whole days until then, negative once it is past.
    """

    path: str
    use: str
    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    days_left: int


def check_files(files: ClientFiles) -> list[Problem]:
    """Tell which files are missing, no files, empty or unreadable.

    Args:
        files: The files of one client.

    Returns:
        At most one problem for each file.
    """
    problems = (_file_problem(file) for file in files.present())
    return [problem for problem in problems if problem is not None]


def check_certificates(
    files: ClientFiles,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Problem]:
    """Tell what a driver or a server would refuse about these files."""
    return check_files(files)


def describe_certificates(
    files: ClientFiles, *, clock: Callable[[], float] = time.time
) -> list[Certificate]:
    """Return every certificate in the files that can be read."""
    return []


def _file_problem(file: CertificateFile) -> Problem | None:
    path, variable = file
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with open(path, "rb") as content:
                content.read(1)
    except (FileNotFoundError, NotADirectoryError):
        return problem_codes.FILE_MISSING.missing_file(
            variable,
            f"SSL certificate file required by {variable} not found: {path}",
            "Mount the secret nautobot-mtls-client at "
            f"{os.path.dirname(path) or '.'}, or correct the path.",
        )
    except PermissionError:
        return _unreadable(file)
    except OSError as error:
        return problem_codes.FILE_UNREADABLE.problem(
            variable,
            f"{path} cannot be read: {os.strerror(error.errno or 0)}.",
            "Correct the path, or look at the volume and its node.",
        )
    if stat.S_ISDIR(status.st_mode):
        return problem_codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a directory.",
            "Point it at the file in it; a subPath mount of a key that the secret "
            "does not have makes a directory as well.",
        )
    if not stat.S_ISREG(status.st_mode):
        return problem_codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a device, a pipe or a socket.",
            "Point it at a regular file.",
        )
    if not status.st_size:
        return problem_codes.FILE_EMPTY.problem(
            variable,
            f"{path} is empty.",
            f"Fill the key {os.path.basename(path)} of the mounted secret at its "
            "source.",
        )
    return None


def _unreadable(file: CertificateFile) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = path
    try:
        status = os.stat(path)
    except OSError:
        place, status = _closed_directory(path)
    group = os.getegid() or os.geteuid()
    groups = sorted({os.getegid(), *os.getgroups()})
    return problem_codes.FILE_UNREADABLE.problem(
        variable,
        f"{path} cannot be read: {'it' if place == path else place} has mode "
        f"{stat.S_IMODE(status.st_mode):04o} and owner "
        f"{status.st_uid}:{status.st_gid}, this process has uid {os.geteuid()} and "
        f"gids {', '.join(map(str, groups))}.",
        f"Set 'securityContext: {{fsGroup: {group}}}' on the pod and "
        "'defaultMode: 256' on the secret volume.",
    )


def _closed_directory(path: str) -> tuple[str, os.stat_result]:
    """Return the first directory above a path that lets nobody look into it."""
    place = os.path.dirname(os.path.abspath(path))
    while not os.access(os.path.dirname(place), os.X_OK):
        place = os.path.dirname(place)
    return place, os.stat(place)
