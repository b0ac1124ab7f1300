import pickle
import typing

import pytest

from understack_nautobot_settings.light_typing import Any
from understack_nautobot_settings.light_typing import Generic
from understack_nautobot_settings.light_typing import NamedTuple
from understack_nautobot_settings.light_typing import TypeVar

T = TypeVar("T")


class Point(NamedTuple):
    """A place."""

    x: int
    y: "int | None" = None

    def doubled(self):
        """Twice as far."""
        return self._replace(x=2 * self.x)

    def __str__(self):
        return f"at {self.x}"


class Typed(typing.NamedTuple):
    """A place."""

    x: int
    y: "int | None" = None

    def doubled(self):
        """Twice as far."""
        return self._replace(x=2 * self.x)

    def __str__(self):
        return f"at {self.x}"


class Named(Point):
    """A place with a name of its own."""

    __slots__ = ()

    def __str__(self):
        return "here"


def test_a_named_tuple_is_what_typing_makes_of_it():
    point, typed = Point(1), Typed(1)

    assert point == typed == (1, None)
    assert repr(point).removeprefix("Point") == repr(typed).removeprefix("Typed")
    assert str(point.doubled()) == str(typed.doubled()) == "at 2"
    assert Point(y=3, x=2)._asdict() == Typed(y=3, x=2)._asdict()
    for attribute in ("_fields", "_field_defaults", "__match_args__", "__doc__"):
        assert getattr(Point, attribute) == getattr(Typed, attribute)
    assert (Point.__module__, Point.__qualname__) == (__name__, "Point")
    assert (type(Point), Point.__bases__) == (type, (tuple,))
    assert not hasattr(point, "__dict__")
    assert pickle.loads(pickle.dumps(point)) == point


@pytest.mark.parametrize("named", [Point, Typed])
@pytest.mark.parametrize(
    "arguments", [{}, {"x": 1, "z": 2}], ids=["too few", "unknown"]
)
def test_a_named_tuple_refuses_what_typings_refuses(named, arguments):
    with pytest.raises(TypeError):
        named(**arguments)


def test_a_named_tuple_can_be_extended():
    assert (str(Named(1)), Named(1)) == ("here", Point(1))
    assert isinstance(Named(1), Point)


def test_a_subscribed_class_is_the_class():
    class Box(Generic[T]):
        def __init__(self, content: Any):
            self.content = content

    class TextBox(Box[str]):
        pass

    assert TextBox.__mro__ == (TextBox, Box, Generic, object)
    assert TextBox("text").content == Box[int]("text").content == "text"
