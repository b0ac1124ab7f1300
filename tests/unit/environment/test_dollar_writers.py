"""What the guide on plugins says to write reaches the pod, and means what it says.

Each writer is the rule of its documentation or source for ``$`` and ``<``.
"""

import re
from pathlib import Path

import pytest

from understack_nautobot_settings.environment.expansion import expanded

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "plugins.md"


def as_written(text):
    return text


def kubernetes(text, env=()):
    """Container ``value:``: ``$$`` becomes ``$``; ``$(NAME)`` that is unknown stays."""

    def replaced(match):
        return "$" if match.group() == "$$" else dict(env).get(match[1], match.group())

    return re.sub(r"\$\$|\$\((\w+)\)", replaced, text)


def compose(text, env=()):
    """``$$`` becomes ``$``, ``$NAME`` and ``${NAME}`` the variable or nothing."""

    def replaced(match):
        name = match[1] or match[2]
        return "$" if match.group() == "$$" else dict(env).get(name, "")

    return re.sub(r"\$\$|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)[^}]*\}", replaced, text)


def flux(text, env=()):
    """``$$`` becomes ``$``, ``${NAME}`` the variable or nothing, ``$NAME`` stays."""

    def replaced(match):
        return "$" if match.group() == "$$" else dict(env).get(match[1], "")

    return re.sub(r"\$\$|\$\{([A-Za-z_]\w*)[^}]*\}", replaced, text)


def vault_with_path(text):
    """Every ``<…>`` is a placeholder, and one without a value is an error."""
    assert not re.search("<.*>", text)
    return text


WRITERS = {
    "plain file, ConfigMap, Secret": as_written,
    "Kubernetes `value:`": kubernetes,
    "Helm, `{{ .Values.plugins \\| toJson \\| quote }}` in `value:`": kubernetes,
    "Compose `environment:`": compose,
    "Flux `postBuild.substitute`, ConfigMap": flux,
    "argocd-vault-plugin, without `avp.kubernetes.io/path`": as_written,
    "argocd-vault-plugin, with `avp.kubernetes.io/path`": vault_with_path,
}


def table():
    """Yield the rows of the guide: writer, reference, the two literals."""
    section = GUIDE.read_text().split("## Other programs that replace `$`")[1]
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0] not in ("writer", "---"):
            yield cells


ROWS = [
    pytest.param(row[0], written.strip("`"), expected, id=f"{row[0]}-{expected}")
    for row in table()
    for written, expected in zip(row[1:], ["s3cret", "${", "$<"], strict=True)
    if written.startswith("`")
]


def test_every_template_tool_has_a_row_in_the_guide():
    assert [row[0] for row in table()] == list(WRITERS)


@pytest.mark.parametrize(("writer", "written", "expected"), ROWS)
def test_text_in_the_guide_expands_to_the_documented_value(writer, written, expected):
    arrived = WRITERS[writer](written)

    problems = []
    assert expanded(arrived, {"NAME": "s3cret"}, "value", problems) == expected
    assert problems == []


@pytest.mark.parametrize("writer", [kubernetes, compose, flux, as_written])
@pytest.mark.parametrize("written", ["$<NAME>", "a $<NAME:-x> b", "$<NAME|json>"])
def test_reference_in_angle_brackets_is_left_unchanged_by_template_tools(
    writer, written
):
    assert writer(written) == written


def test_annotated_vault_plugin_replaces_angle_brackets():
    with pytest.raises(AssertionError):
        vault_with_path("$<NAME>")


def test_reference_left_by_kubernetes_is_warned_about():
    arrived = kubernetes("$(TOKEN) $(HOST)", {"HOST": "h.example"})
    problems = []

    expanded([arrived], {}, "value", problems)

    assert arrived == "$(TOKEN) h.example"
    assert [problem.code for problem in problems] == ["template-leftover"]
