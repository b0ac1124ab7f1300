"""This package, as `examples/nautobot_config.py` calls it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from typing import Any

from understack_nautobot_settings import configure as configure_all

if TYPE_CHECKING:
    from understack_nautobot_settings.certificates.judging import ClientFiles
    from understack_nautobot_settings.problems import Problem


def configure(namespace: dict[str, Any]) -> None:
    """Configure; files are looked for, which is all that others do about them."""
    configure_all(namespace, check_files=_missing)


def _missing(files: ClientFiles) -> list[Problem]:
    for file in files.present():
        if not os.path.isfile(file.path):
            raise FileNotFoundError(file.path)
    return []


def configure_with_certificates(namespace: dict[str, Any]) -> None:
    """Configure, with OpenSSL judging the certificates."""
    configure_all(namespace)
