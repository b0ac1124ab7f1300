"""Read with environs."""

from __future__ import annotations

import os
from typing import Any

import environs

from benchmarks.contestants.assembly import READ
from benchmarks.contestants.assembly import assembled

env = environs.Env()
READERS = {str: env.str, int: env.int, bool: env.bool, list: env.list}


def configure(namespace: dict[str, Any]) -> None:
    """Read, assemble, assign; environs takes an empty variable for a value."""
    values = {
        field: READERS[type_](name) if os.environ.get(name, "").strip() else default
        for field, name, type_, default in READ
    }
    namespace.update(assembled(namespace, values))
