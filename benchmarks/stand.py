"""A Nautobot process in which one contestant waits for its turn.

Started as ``python -m benchmarks.stand MODULE``. Reads one order per line from
standard input, answers each with one line of JSON:

``once FUNCTION``
    CPU seconds of importing the module and of its first call, and the modules that
    both loaded. Can be asked once.
``forked FUNCTION``
    The same in a fork, any number of times.
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
        if order == "warm":
            configure = getattr(importlib.import_module(module), function)
            answer = cpu_seconds(partial(_configured, configure, base), int(times[0]))
        elif order == "once":
            answer = _once(module, function, base)
        else:
            work = _once if order == "forked" else _result
            answer = _in_a_fork(partial(work, module, function, base))
        answers.write(json.dumps(answer) + "\n")


def nautobot_settings() -> dict[str, Any]:
    """Return the settings that ``from nautobot.core.settings import *`` gives."""
    from nautobot.core import settings

    return {name: getattr(settings, name) for name in dir(settings) if name[0] != "_"}


def _configured(configure: Callable[[Any], None], base: dict[str, Any]) -> None:
    configure(dict(base))


def _in_a_fork(work: Callable[[], Any]) -> Any:
    """Return what work gives, and leave nothing imported behind."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            with open(writer, "w") as answer:
                json.dump(work(), answer, default=repr, sort_keys=True)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def _once(module: str, function: str, base: dict[str, Any]) -> dict[str, Any]:
    before = set(sys.modules)
    imported = cpu_seconds(lambda: importlib.import_module(module))
    configure = getattr(sys.modules[module], function)
    namespace = dict(base)
    called = cpu_seconds(lambda: configure(namespace))
    return {
        "import": imported,
        "call": called,
        "modules": sorted(set(sys.modules) - before),
    }


def _result(module: str, function: str, base: dict[str, Any]) -> dict[str, Any]:
    namespace = dict(base)
    getattr(importlib.import_module(module), function)(namespace)
    # Ours also hands its start-up line to Django's logging configuration.
    namespace.pop("LOGGING_CONFIG", None)
    return {
        name: value
        for name, value in namespace.items()
        if name not in base or base[name] != value
    }


if __name__ == "__main__":
    main(sys.argv[1])
