import copy
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.environment.merging import layered

names = st.sampled_from("abc")
values = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(names, inner, max_size=3)
        | st.tuples(inner, inner)
    ),
)
layers = st.dictionaries(names, values, max_size=3)


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        (
            {"a": {"b": {"c": 1}}},
            {"a": {"b": {"d": 2}}},
            {"a": {"b": {"c": 1, "d": 2}}},
        ),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": True}, {"a": False}, {"a": False}),
    ],
    ids=[
        "names of both",
        "dicts merge",
        "at any depth",
        "lists replace",
        "null replaces",
        "a dict replaces",
        "an empty dict adds nothing",
        "scalars replace",
    ],
)
def test_later_layer_overrides_the_earlier(below, above, expected):
    assert layered(below, above) == expected


def test_merge_without_layers_is_empty():
    assert layered() == {}


@given(layers)
def test_merge_with_empty_or_same_layer_changes_nothing(layer):
    assert layered(layer) == layered(layer, {}) == layered({}, layer) == layer
    assert layered(layer, layer) == layer


@given(layers, layers)
def test_merge_of_same_layer_again_changes_nothing(below, above):
    once = layered(below, above)

    assert layered(once, above) == once
    assert set(once) == {*below, *above}


@given(layers, layers)
def test_value_of_last_layer_wins(below, above):
    merged = layered(below, above)

    assert all(
        merged[name] == value
        for name, value in above.items()
        if not isinstance(value, dict)
    )
    assert all(merged[name] == below[name] for name in below if name not in above)


def containers(value):
    found = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, (dict, list)):
            found.append(id(one))
        if isinstance(one, (dict, list, tuple)):
            todo.extend(one.values() if isinstance(one, dict) else one)
    return found


@given(layers, layers)
def test_merge_never_changes_or_shares_a_layer(below, above):
    before = copy.deepcopy((below, above))

    merged = layered(below, above)

    assert (below, above) == before
    assert not {*containers(merged)} & {*containers(below), *containers(above)}


def test_merged_object_that_is_not_a_container_is_kept():
    marker = object()

    assert layered({"a": [marker, (marker, {"b": (marker,)})]}) == {
        "a": [marker, (marker, {"b": (marker,)})]
    }


def test_dict_of_another_class_keeps_it_unless_it_is_merged():
    """A plugin that counts on a default would end with a KeyError."""
    below = {"a": defaultdict(list, b=[1]), "c": defaultdict(list, d=[1])}
    above = {"c": defaultdict(dict, e={})}

    merged = layered(below, above)
    merged["c"]["d"].append(2)
    merged["c"]["e"]["f"] = 3

    assert merged["a"]["missing"] == []
    assert merged["c"] == {"d": [1, 2], "e": {"f": 3}}
    assert (below["c"], above["c"]) == ({"d": [1]}, {"e": {}})


def test_list_at_two_places_is_copied_for_each():
    twice = []

    merged = layered({"a": {"b": twice, "c": twice}})

    assert twice is not merged["a"]["b"]
    assert twice is not merged["a"]["c"]


def test_what_holds_itself_is_shared():
    inner = {"list": []}
    inner["list"].append(inner)
    below = {"a": inner, "b": inner}

    merged = layered(below)

    assert merged["a"] is not inner
    assert merged["a"] is not merged["b"]
    assert merged["a"]["list"] is not inner["list"]
    assert merged["a"]["list"][0] is inner


def test_layers_deeper_than_the_stack_are_merged():
    deep = bottom = {}
    for _ in range(100_000):
        bottom["a"] = bottom = {}
    bottom["a"] = [1]

    merged = layered(deep, deep)

    depth = 0
    while isinstance(merged, dict):
        merged = merged["a"]
        depth += 1
    assert (depth, merged) == (100_001, [1])
