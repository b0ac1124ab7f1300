"""Configuration in layers: defaults, what a file says, what the environment adds."""

from collections.abc import Mapping
from typing import Any


def layered(*layers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the layers merged, a later one over the earlier.

    Mappings merge name by name, at any depth; everything else, lists included,
    replaces what was there. The result shares no dict and no list with a layer,
    so that neither can change the other. What has another class (``defaultdict``)
    keeps it and is shared, unless it is merged; so is what holds itself.
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
    copied: Any = [value]
    # What is being copied, and where each copy goes and what is left of it.
    around: set[int] = set()
    todo: list[tuple[Any, Any, Any]] = [(None, copied, enumerate(copied))]
    while todo:
        origin, container, rest = todo[-1]
        for key, item in rest:
            if type(item) in (dict, list, tuple) and id(item) not in around:
                around.add(id(item))
                copy = list(item) if type(item) is tuple else item.copy()
                container[key] = copy
                left = copy.items() if isinstance(copy, dict) else enumerate(copy)
                todo.append(((container, key, item), copy, iter(left)))
                break
        else:
            todo.pop()
            if origin is not None:
                outer, key, item = origin
                around.discard(id(item))
                outer[key] = tuple(container) if type(item) is tuple else container
    return copied[0]
