"""The settings that this Django runs with, as a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from django.conf import settings


class SettingsInForce(Mapping[str, Any]):
    """What the settings file says, by name; Django's own defaults are left out."""

    def __getitem__(self, name: str) -> Any:
        """Return a setting."""
        if not settings.is_overridden(name):
            raise KeyError(name)
        return getattr(settings, name)

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return (
            name
            for name in dir(settings)
            if name.isupper() and settings.is_overridden(name)
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)
