"""Connection classes that settings can name without importing redis-py.

redis-py takes a fifth of a second to import, and a settings file names the class of
a connection long before, or without ever, making one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Deferred(type):
    """The type of a class that stands for another one, imported on first use.

    Calling such a class makes an instance of the other. It can be copied, pickled
    and compared like any class.
    """

    stands_for: str

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        """Return an instance of the class that is stood for."""
        return cls.resolve()(*arguments, **options)

    def resolve(cls) -> Any:
        """Return the class that is stood for."""
        module, _, name = cls.stands_for.rpartition(".")
        return getattr(import_module(module), name)

    def __repr__(cls) -> str:
        """Return the dotted name of the class that is stood for."""
        return f"<class {cls.stands_for}>"


class TcpConnection(metaclass=Deferred):
    """`redis_connections.TcpConnection`, not imported yet."""

    stands_for = "understack_nautobot_settings.runtime.redis_connections.TcpConnection"


class TlsConnection(metaclass=Deferred):
    """`redis_connections.TlsConnection`, not imported yet."""

    stands_for = "understack_nautobot_settings.runtime.redis_connections.TlsConnection"
