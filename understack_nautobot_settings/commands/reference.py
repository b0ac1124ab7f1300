"""The command ``reference``: variables and problem codes as they are declared."""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

from understack_nautobot_settings.accounts import codes as accounts_codes
from understack_nautobot_settings.certificates import codes as certificates_codes
from understack_nautobot_settings.checks import codes as checks_codes
from understack_nautobot_settings.commands import command
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import Choice
from understack_nautobot_settings.environment.kinds import Flag
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.fragments import codes as fragments_codes
from understack_nautobot_settings.probes import codes as probes_codes
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.queues import codes as queues_codes
from understack_nautobot_settings.reconciliation import codes as reconciliation_codes

ROOMS = {
    "The value of a variable": environment_codes,
    "Certificates, keys and CA files": certificates_codes,
    "Settings": fragments_codes,
    "The environment, and the settings in force": checks_codes,
    "Connections and probes": probes_codes,
    "A remote Nautobot": reconciliation_codes,
    "API accounts": accounts_codes,
    "Job queues": queues_codes,
}
"""The modules that declare codes, by their headings in the reference."""

CONCERNS = {
    "postgresql_tls": "PostgreSQL",
    "redis_tls": "Redis",
    "plugins": "Plugins",
    "site_identity": "Site identity",
    "secret_files": "Secrets",
    "sso": "Single sign-on",
    "hardening": "Hardening",
    "logs": "Logging",
    "connections": "Connections",
    "checks": "HTTPS to the outside",
    "django_app": "Inside Nautobot",
    "certificates": "Certificates",
    "probes": "Probing workers",
}
"""The concerns of variables in the order of the reference, with their headings."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        nargs="?",
        type=partial(command.known_word, "topic", ("variables", "problems")),
        default="variables",
        metavar="{variables,problems}",
        help="what to print (default: variables)",
    )
    parser.add_argument(
        "--format",
        type=partial(command.known_word, "format", ("markdown", "json-schema", "env")),
        metavar="FORM",
        default="markdown",
        help="form of the variables: markdown, json-schema or env (default: markdown)",
    )


def _run(arguments: Any, console: command.Console) -> command.Outcome:
    del console
    if arguments.topic == "problems":
        if arguments.format != "markdown":
            raise command.CouldNotCheck("problems are printed as markdown only.")
        return command.Outcome(FINE, problems_markdown())
    formats = {
        "markdown": variables_markdown,
        "json-schema": variables_schema,
        "env": variables_env_file,
    }
    return command.Outcome(FINE, formats[arguments.format]())


COMMAND = command.Command(
    "print the reference of variables or problems",
    "Print every variable, or every problem code with its cause and fix.",
    _add_arguments,
    _run,
)


def concerns() -> Iterator[tuple[str, list[Variable[Any]]]]:
    """Yield each heading of the reference with the variables below it."""
    for concern, heading in CONCERNS.items():
        yield heading, [one for one in variables.VARIABLES if one.concern == concern]


def codes(rooms: Iterable[ModuleType] = ROOMS.values()) -> list[Code]:
    """Return the problem codes of rooms, in the order in which they are declared."""
    declared = (one for room in rooms for one in vars(room).values())
    return [one for one in declared if isinstance(one, Code)]


def variables_markdown() -> str:
    """Return the reference of variables as Markdown."""
    lines = [
        "# Variables",
        "",
        "An empty variable is an unset one. Surrounding blanks are stripped, and a "
        "value wrapped in quotes is an error; free text is taken as it is.",
        "",
        "🔒 marks a secret: no output ever shows it. *N* marks a variable that "
        "Nautobot reads as well.",
    ]
    for heading, below in concerns():
        lines += ["", f"## {heading}", ""]
        lines += ["| Variable | Takes | Default | Purpose |", "|---|---|---|---|"]
        lines += [_row(one) for one in below]
    return "\n".join(lines) + "\n"


def _row(variable: Variable[Any]) -> str:
    marks = (" 🔒" if variable.secret else "") + (" *N*" if variable.nautobots else "")
    default = default_text(variable)
    purpose = variable.help
    if variable.by_file:
        purpose += f" `{variable.file_name}` names a file that holds it instead."
    cells = (
        f"`{variable.name}`{marks}",
        _takes(variable, "`"),
        f"`{default}`" if default else "unset",
        purpose,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _takes(variable: Variable[Any], quote: str = "") -> str:
    if isinstance(variable.kind, Choice):
        return ", ".join(f"{quote}{word}{quote}" for word in variable.kind.words)
    return str(variable.kind.label)


def default_text(variable: Variable[Any]) -> str:
    """Return the default as it would be written in the environment, or nothing."""
    default = variable.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return str(getattr(variable.kind, "separator", ",")).join(default)
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def variables_schema() -> str:
    """Return a JSON Schema of the environment, as text.

    Every value is a string, as the environment has it; the empty string stands
    for unset. Further variables are allowed.
    """
    properties = {}
    for variable in (one for _, below in concerns() for one in below):
        properties[variable.name] = _property(variable)
        if variable.by_file:
            said = f"Path of a file that holds `{variable.name}`."
            properties[variable.file_name] = {"description": said, "type": "string"}
    return command.as_json(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Environment of understack-nautobot-settings",
            "type": "object",
            "properties": properties,
        }
    )


def _property(variable: Variable[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": variable.help}
    default = default_text(variable)
    if default:
        schema["default"] = default
    if variable.secret:
        schema["writeOnly"] = True
    kind = dict(variable.kind.schema)
    words = kind.pop("enum", None)
    pattern = "|".join(words) if words else kind.pop("pattern", None)
    if pattern:
        kind["pattern"] = rf"^\s*({pattern})?\s*$"
    if words:
        # Editors offer the words; the pattern takes them with blanks around them.
        exact = {"enum": [*words, ""]}
        kind["anyOf"] = [exact, {"pattern": kind.pop("pattern")}]
    return schema | kind


def variables_env_file() -> str:
    """Return a file of assignments, all commented out, to start from."""
    lines = ["# Remove the # in front of what you set."]
    for heading, below in concerns():
        lines += ["", "", f"# === {heading} ==="]
        for variable in below:
            takes = "true or false" if isinstance(variable.kind, Flag) else ""
            remark = f"Takes: {takes or _takes(variable)}."
            lines.append("")
            for text in (variable.help.replace("`", ""), remark):
                lines += [f"# {line}" for line in Terminal(width=78).wrapped(text)]
            lines.append(f"#{variable.name}={default_text(variable)}")
            if variable.by_file:
                lines.append(f"#{variable.file_name}=")
    return "\n".join(lines) + "\n"


def problems_markdown() -> str:
    """Return the reference of problem codes as Markdown, a section for each code."""
    lines = [
        "# Problems",
        "",
        "Each problem has a code. The codes are stable: alerts and runbooks may match "
        "on them. An error stops Nautobot from starting, or `check` and `probe` from "
        "passing. A warning is logged. In a pod, `understack-nautobot-settings explain "
        "CODE` prints what this page says.",
    ]
    for heading, room in ROOMS.items():
        lines += ["", f"## {heading}"]
        for code in codes([room]):
            passes = " Waiting can help." if code.transient else ""
            lines += ["", f"### `{code.id}` {{#{code.id}}}"]
            lines += ["", f"**{code.severity.title()}.** {code.cause}{passes}"]
            lines += ["", f"**What to do:** {code.fix}"]
            if code.replaces:
                lines += ["", f"**Also seen as:** {code.replaces}"]
    return "\n".join(lines) + "\n"
