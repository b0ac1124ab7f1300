"""What a situation is: files, and what the library says about them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization

from lab.certificates import Authority
from lab.certificates import Leaf
from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"
BOTH = frozenset((POSTGRESQL, REDIS))
NOBODY: frozenset[str] = frozenset()

FILES = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
VARIABLES = {
    POSTGRESQL: {
        "cert": "NAUTOBOT_DB_SSLCERT",
        "key": "NAUTOBOT_DB_SSLKEY",
        "ca": "NAUTOBOT_DB_SSLROOTCERT",
    },
    REDIS: {
        "cert": "NAUTOBOT_REDIS_SSL_CERTFILE",
        "key": "NAUTOBOT_REDIS_SSL_KEYFILE",
        "ca": "NAUTOBOT_REDIS_SSL_CA_CERTS",
    },
}

CODES = {one.id: one for one in vars(codes).values() if isinstance(one, Code)}

DIRECTORY = b"<a directory>"
"""Stands for a directory in place of a file."""


class Said(NamedTuple):
    """One problem: code, file (``cert``, ``key``, ``ca``), fact, remedy.

    Without a remedy of its own, that of the code.

    ``{cert}`` in a text is the path of the certificate, ``{cert_variable}`` the name
    of its variable; likewise for the others.
    """

    code: str
    file: str
    fact: str
    remedy: str | None = None


class Situation(NamedTuple):
    """Files, and what is said about them.

    Attributes:
        name: For the id of a test.
        files: Content by file name; `DIRECTORY` for a directory, missing if absent.
        refused: What start-up refuses, in its order; empty where it accepts.
        refused_for: The uses to which that applies.
        doubted: What start-up warns of, for either use: Python's OpenSSL refuses it,
            and another may not.
        pinned: True where Python 3.13 accepts it for Redis: it trusts any
            certificate of the CA file, root or not.
        warned: What `check` adds; None where that is not the point.
        warned_for: The uses to which that applies.
        found_out: The uses that fail although start-up accepts, for a reason that
            only the server's answer shows.
        key_mode: Mode of the key file.
        texts: Values for the sentences.
    """

    name: str
    files: Mapping[str, bytes]
    refused: tuple[Said, ...] = ()
    refused_for: frozenset[str] = BOTH
    doubted: tuple[Said, ...] = ()
    pinned: bool = False
    warned: tuple[Said, ...] | None = None
    warned_for: frozenset[str] = BOTH
    found_out: frozenset[str] = NOBODY
    key_mode: int = 0o600
    texts: Mapping[str, str] = {}

    def write(self, directory: Path) -> None:
        """Write the files; the key gets its mode, the others are readable."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            path = directory / name
            if content == DIRECTORY:
                path.mkdir()
                continue
            path.write_bytes(content)
            path.chmod(self.key_mode if name == FILES["key"] else 0o644)

    def refusals(self, use: str, directory: Path) -> list[Problem]:
        """Return what start-up says for one client, the files in a directory."""
        applies = use in self.refused_for and not self._is_pinned(use)
        said = (*(self.refused if applies else ()), *self.doubted)
        return self._problems(said, use, directory)

    def warnings(self, use: str, directory: Path) -> list[Problem]:
        """Return what `check` adds."""
        if use not in self.warned_for:
            return []
        return self._problems(self.warned or (), use, directory)

    def connects(self, use: str) -> bool | None:
        """Tell whether a real client gets through to a real server; None: it may."""
        if self.doubted:
            return None
        refused = bool(self.refused) and use in self.refused_for
        return not refused and use not in self.found_out

    def _is_pinned(self, use: str) -> bool:
        return self.pinned and use == REDIS and sys.version_info >= (3, 13)

    def _problems(
        self, said: tuple[Said, ...], use: str, directory: Path
    ) -> list[Problem]:
        words = {
            **{role: str(directory / name) for role, name in FILES.items()},
            **{f"{role}_variable": name for role, name in VARIABLES[use].items()},
            "directory": str(directory),
            **self.texts,
        }
        return [_problem(one, use, words) for one in said]


def _problem(said: Said, use: str, words: Mapping[str, str]) -> Problem:
    code = CODES[said.code]
    make = code.missing_file if said.code == "file-missing" else code.problem
    remedy = None if said.remedy is None else said.remedy.format(**words)
    return make(VARIABLES[use][said.file], said.fact.format(**words), remedy)


def client_files(use: str, directory: Path) -> ClientFiles:
    """Return the files of a client in a directory."""
    cert, key, ca = (
        CertificateFile(str(directory / FILES[role]), VARIABLES[use][role])
        for role in ("cert", "key", "ca")
    )
    return ClientFiles(use, cert, key, ca)


class Pki:
    """The authorities of the corpus, and the servers' side of it."""

    def __init__(self) -> None:
        """Make the authorities."""
        self.root = Authority()
        self.intermediate = self.root.intermediate()
        self.known = self.root.intermediate("known-intermediate")
        self.clients = Authority("understack-client-ca")
        self.lax = Authority("lax-ca", constraints="plain")
        self.namesake = Authority()
        self.stranger = Authority("somebody-else")

    @property
    def trusted_for_clients(self) -> bytes:
        """What the servers trust: PEM of several CAs."""
        trusted = (self.root, self.known, self.clients, self.lax)
        return b"".join(authority.cert_pem for authority in trusted)


def utc(moment: object) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def pem_key(authority: Authority) -> bytes:
    return authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def der_key(leaf: Leaf, form: serialization.PrivateFormat) -> bytes:
    return leaf.key.private_bytes(
        serialization.Encoding.DER, form, serialization.NoEncryption()
    )
