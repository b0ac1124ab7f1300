"""The files of a client certificate: where they are, and whether we can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.openssl import identity
from understack_nautobot_settings.certificates.reading import X509
from understack_nautobot_settings.certificates.reading import readable
from understack_nautobot_settings.problems import Problem

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"

_LARGEST_FILE = 16 * 1024 * 1024


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


def check_files(files: ClientFiles) -> list[Problem]:
    """Tell which files are missing, no files, empty or unreadable.

    Args:
        files: The files of one client.

    Returns:
        At most one problem for each file, all of severity error.
    """
    looks = map(look_at, files.present())
    return [look for look in looks if isinstance(look, Problem)]


def content_of(path: str) -> bytes:
    """Return the content of a file, nothing where it has just gone."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError:
        return b""


def certificates_in(file: CertificateFile | None) -> list[X509]:
    """Return the certificates of a file that can be read, in their order."""
    return list(readable(pem.certificates(content_of(file.path)))) if file else []


def look_at(file: CertificateFile) -> os.stat_result | Problem:
    """Return the status of a file that can be read, or why it cannot."""
    path, variable = file
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with open(path, "rb") as content:
                content.read(1)
    except (FileNotFoundError, NotADirectoryError):
        return codes.FILE_MISSING.missing_file(
            variable,
            f"SSL certificate file required by {variable} not found: {path}",
            "Mount the secret nautobot-mtls-client at "
            f"{os.path.dirname(path) or '.'}, or correct the path.",
        )
    except PermissionError:
        return _unreadable(file)
    except OSError as error:
        return codes.FILE_UNREADABLE.problem(
            variable,
            f"{path} cannot be read: {os.strerror(error.errno or 0)}.",
            "Correct the path, or look at the volume and its node.",
        )
    if stat.S_ISDIR(status.st_mode):
        return codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a directory.",
            "Point it at the file in it; a subPath mount of a key that the secret "
            "does not have makes a directory as well.",
        )
    if not stat.S_ISREG(status.st_mode):
        return codes.FILE_NOT_REGULAR.problem(
            variable,
            f"{path} is a device, a pipe or a socket.",
            "Point it at a regular file.",
        )
    if not status.st_size:
        return codes.FILE_EMPTY.problem(
            variable,
            f"{path} is empty.",
            f"Fill the key {os.path.basename(path)} of the mounted secret at its "
            "source.",
        )
    return status


def _unreadable(file: CertificateFile) -> Problem:
    """Say who may read the file, who asks, and what changes that in a manifest."""
    path, variable = file
    place = _closed_directory(path) or path
    status = os.stat(place)
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


def generation(files: ClientFiles) -> list[tuple[int, ...] | None]:
    """Return what tells one set of mounted files from the next."""
    return [identity(file.path) for file in files.present()]
