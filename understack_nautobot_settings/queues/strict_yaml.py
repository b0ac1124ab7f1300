"""YAML without surprises; apart, because only what reads YAML needs PyYAML."""

from typing import Any

import yaml

from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.queues.wishes import Malformed


class Loader(yaml.SafeLoader):
    """YAML without surprises: no key twice, no tags, no aliases that multiply."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse tags, and anchors: aliases of aliases fill any memory."""
        event = self.peek_event()
        for name, what in (("anchor", "an anchor or alias"), ("tag", "a tag")):
            if getattr(event, name, None) is not None:
                line = event.start_mark.line + 1
                raise Malformed(f"has {what} in line {line}, which is not accepted.")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse what a dict would drop."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            line = node.start_mark.line + 1
            where = f"the mapping that begins in line {line}"
            raise Malformed(f"has {echo(twice[0])} twice in {where}.")
        return super().construct_mapping(node, deep)


def yaml_content(text: str) -> Any:
    """Return what the text says.

    Raises:
        Malformed: It is not YAML, or YAML that could surprise.
    """
    place = ""
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            place = f" at line {mark.line + 1}, column {mark.column + 1}"
    raise Malformed(f"is not YAML{place}.")
