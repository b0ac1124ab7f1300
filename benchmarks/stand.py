"""A Nautobot process in which one contestant waits for its turn.

Started as ``python -m benchmarks.stand MODULE``. Reads one order per line from
standard input, answers each with one line of JSON:

``once FUNCTION``
    CPU seconds of importing the module and of its first call.
``warm FUNCTION TIMES``
    CPU seconds of one call, the mean of as many as told.
``result FUNCTION``
    The settings that differ from Nautobot's own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.measuring import cpu_seconds


def main(module: str) -> None:
    """Answer orders until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Whatever Nautobot prints is no answer.
    os.dup2(2, 1)
    base = nautobot_settings()
    for line in sys.stdin:
        order, function, *times = line.split()
        if order == "once":
            answer: Any = _once(module, function, base)
        else:
            configure = getattr(importlib.import_module(module), function)
            if order == "warm":
                work = partial(_configured, configure, base)
                answer = cpu_seconds(work, int(times[0]))
            else:
                answer = _configured(configure, base)
        answers.write(json.dumps(answer, default=repr) + "\n")


def nautobot_settings() -> dict[str, Any]:
    """Return the settings that ``from nautobot.core.settings import *`` gives.

    Loaded in a process that has begun as each of Nautobot's does, by its command line.
    """
    import nautobot.core.cli  # noqa: F401
    from nautobot.core import settings

    return {name: getattr(settings, name) for name in dir(settings) if name[0] != "_"}


def _configured(
    configure: Callable[[Any], None], base: dict[str, Any]
) -> dict[str, Any]:
    namespace = dict(base)
    configure(namespace)
    return {
        name: value
        for name, value in namespace.items()
        if name not in base or base[name] != value
    }


def _once(module: str, function: str, base: dict[str, Any]) -> float:
    """Import and call."""
    # Django imports it next in any case; what asks it for its version does so first.
    import psycopg2.extensions  # noqa: F401

    imported = cpu_seconds(lambda: importlib.import_module(module))
    configure = getattr(sys.modules[module], function)
    return imported + cpu_seconds(lambda: configure(dict(base)))


if __name__ == "__main__":
    main(sys.argv[1])
