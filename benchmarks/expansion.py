"""JSON with references in it: ours against `json.loads` alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from benchmarks.measuring import Failed
from benchmarks.measuring import warm_medians
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from understack_nautobot_settings.environment.expansion import expanded
from understack_nautobot_settings.environment.expansion import expanded_object
from understack_nautobot_settings.environment.json_objects import LONG
from understack_nautobot_settings.environment.json_objects import read_json_object

ROUNDS = 11
NOTHING = 1.6
TENTH = 2.5
DEEP = 100_000
SECRETS = {f"SECRET_{number}": f"secret-{number}" * 3 for number in range(100)}
SIZES = {"1 KiB": 2**10, "32 KiB": 2**15, "1 MB": 10**6, "10 MB": 10**7}
REFERENCE = re.compile(r"\$\{(\w+)\}")


def document(size: int, *, references: bool) -> str:
    """Return the configuration of plugins, about as long as told.

    Strings are as long as they usually are; with references, a tenth of them
    has one.
    """
    return _plugins(
        size,
        references,
        lambda number, token: {
            "url": f"https://device-{number}.example.com/api/v1/",
            "token": token,
            "timeout": 30,
            "verify": True,
            "tags": [f"site-{number}", "production"],
            "nested": {"user": "svc-nautobot", "queue": "default", "region": "dfw3"},
            "description": "reads what the device says and writes it down",
            "owner": None,
            "ratio": 0.25,
            "template": "{{ obj.name }}.{{ obj.site.slug }}.cfg",
            "agent": "nautobot/3.2 (+https://nautobot.example.com/)",
        },
    )


def dense_document(size: int, *, references: bool) -> str:
    """Return configuration of many small objects and short strings.

    What `json.loads` is quickest at: an object costs us as much as a long string.
    """
    return _plugins(
        size,
        references,
        lambda number, token: {
            "api": {"url": "https://device.example.com", "verify": True},
            "auth": {"user": "svc-nautobot", "token": token, "realm": "dfw3"},
            "queue": {"name": "default", "priority": 5},
            "site": {"name": f"site-{number}", "region": "dfw", "role": "lab"},
            "tags": ["production", "managed"],
        },
    )


def _plugins(
    size: int, references: bool, plugin: Callable[[int, str], dict[str, Any]]
) -> str:
    plugins: dict[str, Any] = {}
    text = 0
    number = 0
    while text < size:
        token = f"${{SECRET_{number % len(SECRETS)}}}" if references else "0123456789"
        plugins[f"plugin_{number}"] = one = plugin(number, token)
        text += len(json.dumps({f"plugin_{number}": one}))
        number += 1
    return json.dumps(plugins)


def ours(text: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Read and expand as the fragment does."""
    dollar = "$" in text
    quick = expanded_object(text, env) if dollar and len(text) >= LONG else None
    if quick is not None:
        return quick
    config = read_json_object("CONFIG", text, [])
    assert config is not None
    return expanded(config, env, in_place=True) if dollar else config


def by_hand(value: Any) -> Any:
    """Expand by recursion, to compare the outcome with."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: SECRETS[match[1]], value)
    if isinstance(value, dict):
        return {key: by_hand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [by_hand(item) for item in value]
    return value


def rows() -> Iterator[Row]:
    """Compare at the size of an environment variable, and at 10 MB."""
    taken: dict[str, float] = {}
    shapes = (
        ("32 KiB of JSON", "32 KiB", document),
        ("32 KiB of small objects", "32 KiB", dense_document),
        ("10 MB of JSON", "10 MB", document),
        ("10 MB of small objects", "10 MB", dense_document),
    )
    for name, size, made in shapes:
        for references, at_most in ((False, NOTHING), (True, TENTH)):
            text = made(SIZES[size], references=references)
            _prove_equal(text)
            warm = compare(text, ROUNDS if size == "32 KiB" else 5)
            what = "a reference in a tenth of the strings" if references else "nothing"
            yield compared(
                f"{name}, {what} to expand",
                Figure(warm["ours"], "s"),
                "json.loads",
                Figure(warm["json"], "s"),
                at_most=at_most,
            )
    deep = nested(DEEP)
    taken = warm_medians({"deep": lambda: expanded(deep, SECRETS)}, 3)
    yield Row(f"a value {DEEP:,} levels deep", Figure(taken["deep"], "s"))


def compare(text: str, rounds: int) -> dict[str, float]:
    """Return the CPU seconds of both."""
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(text, SECRETS),
        "json": lambda: json.loads(text),
    }
    return warm_medians(works, rounds)


def nested(depth: int) -> Any:
    """Return lists in lists around one reference."""
    value: Any = "${SECRET_1}"
    for _ in range(depth):
        value = [value]
    return value


def _prove_equal(text: str) -> None:
    if ours(text, SECRETS) != by_hand(json.loads(text)):
        raise Failed("the expanded configuration is not what it should be")
