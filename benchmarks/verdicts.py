"""Whether start-up refuses certificate files that real servers accept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import within
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import Pki
from lab.corpus import client_files
from lab.corpus import situations
from lab.corpus.connecting import postgresql_refusal
from lab.corpus.connecting import redis_refusal
from lab.corpus.connecting import refuses
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.pem import is_encrypted


def rows() -> Iterator[Row]:
    """Judge every situation of the corpus, and connect with it."""
    pki = Pki()
    options = {"authority": pki.root, "client_ca": pki.trusted_for_clients}
    with (
        PostgresServer(18, **options) as postgres,
        RedisServer(**options) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        connect: dict[str, Callable[[ClientFiles], str]] = {
            POSTGRESQL: lambda files: postgresql_refusal(files, postgres.port),
            REDIS: lambda files: redis_refusal(files, server.port),
        }
        corpus = situations(pki)
        for situation in corpus:
            situation.write(Path(name, situation.name))
        for use, reason in connect.items():
            mounts = [client_files(use, Path(name, one.name)) for one in corpus]
            accepted = [
                files for files in mounts if not (_asks(files) or reason(files))
            ]
            refused = sum(map(refuses, accepted))
            work = f"refused of {len(accepted)} mounts that {use} accepts"
            yield within(work, Figure(refused, ""), Figure(0, ""))


def _asks(files: ClientFiles) -> bool:
    """Tell whether OpenSSL would ask whoever sits at the terminal for a password."""
    key = Path(files.key.path) if files.key else None
    return bool(key and key.is_file() and is_encrypted(key.read_bytes()))
