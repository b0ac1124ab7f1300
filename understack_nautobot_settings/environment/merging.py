"""Configuration in layers: defaults, what a file says, what the environment adds."""

from collections import deque
from collections.abc import Mapping
from typing import Any


def layered(*layers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the layers merged, a later one over the earlier.

    Mappings merge name by name, at any depth; everything else, lists included,
    replaces what was there. The result shares no dict and no list with a layer,
    so that neither can change the other. What has another class (``defaultdict``)
    keeps it and is shared, unless it is merged.
    """
    result: dict[Any, Any] = {}
    for layer in layers:
        todo: list[tuple[dict[Any, Any], Mapping[Any, Any]]] = [(result, layer)]
        while todo:
            below, above = todo.pop()
            for key, value in above.items():
                under = below.get(key)
                if isinstance(under, Mapping) and isinstance(value, Mapping):
                    if type(under) is not dict:
                        below[key] = under = layered(under)
                    todo.append((under, value))
                else:
                    below[key] = _copy(value)
    return result


def _copy(value: Any) -> Any:
    """Copy dicts, lists and the tuples that may hold them; recursion would end."""
    root = [value]
    todo: deque[Any] = deque([root])
    tuples = []
    while todo:
        container = todo.popleft()
        for key, item in (
            container.items() if isinstance(container, dict) else enumerate(container)
        ):
            if type(item) in (dict, list):
                copy = item.copy()
            elif type(item) is tuple:
                copy = list(item)
                tuples.append((container, key))
            else:
                continue
            container[key] = copy
            todo.append(copy)
    # Inner ones were met last.
    for container, key in reversed(tuples):
        container[key] = tuple(container[key])
    return root[0]
