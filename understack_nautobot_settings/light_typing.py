"""What classes and aliases need of `typing` when they are made, without its import.

That import takes longer than everything the settings of a pod are read with. The
type checker sees `typing` itself; names that occur in annotations alone are imported
under ``if TYPE_CHECKING:`` where they are used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from typing import Generic
    from typing import NamedTuple
    from typing import TypeVar
else:
    from collections import namedtuple
    from types import GenericAlias

    Any = object

    def TypeVar(name: str) -> str:
        """Return something to subscribe a `Generic` with."""
        return name

    class Generic:
        """A class that can be subscribed, ``Kind[str]``, which changes nothing."""

        __class_getitem__ = classmethod(GenericAlias)

    class _Fields(type):
        """Makes a named tuple of the body of a class: fields, defaults, methods."""

        def __new__(
            cls, name: str, bases: tuple[type, ...], body: dict[str, Any]
        ) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body["__annotations__"]
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults)
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Fields):
        """What `typing.NamedTuple` is, but for looking at the types of fields."""


__all__ = ["Any", "Generic", "NamedTuple", "TypeVar"]
