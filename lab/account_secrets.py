"""Secrets of API users, in the forms that are in use."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from lab.certificates import KubernetesMount


class MountedSecret:
    """The secret of one API user as kubelet mounts it."""

    def __init__(self, directory: Path, username: str, hostname: str) -> None:
        """Write it for the first time."""
        self.username = username
        self.fields = {"hostname": hostname, "username": username}
        self._mount = KubernetesMount(directory)
        self.rotate("password", "token")

    @property
    def token(self) -> str:
        """The API token."""
        return self.fields["token"]

    def rotate(self, *names: str) -> None:
        """Swap the secret for one with other values."""
        self.fields |= {name: secrets.token_hex(20) for name in names}
        files = {name: text.encode() for name, text in self.fields.items()}
        self._mount.swap(files)


class ChartSecret:
    """The secret of one API user as UnderStack's chart mounts it: no password."""

    def __init__(self, directory: Path, username: str) -> None:
        """Write it for the first time."""
        self.username = username
        self._mount = KubernetesMount(directory)
        self.rotate()

    def rotate(self) -> None:
        """Swap the secret for one with another token."""
        self.token = secrets.token_hex(20)
        fields = {"username": self.username, "email": f"{self.username}@example.com"}
        fields |= {"apiToken": self.token, "isSuperuser": "true"}
        self._mount.swap({name: text.encode() for name, text in fields.items()})


class WrittenDocument:
    """The secret of one API user as the secret backend stores it: JSON in JSON."""

    def __init__(self, path: Path, username: str) -> None:
        """Write it."""
        self.username = username
        self.token = secrets.token_hex(20)
        inner = json.dumps({"password": secrets.token_hex(12), "token": self.token})
        document = {"credential": {"username": username, "password": inner}}
        path.write_text(json.dumps(document))
