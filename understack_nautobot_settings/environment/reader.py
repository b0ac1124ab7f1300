"""How a variable is declared, and how declared variables are read."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Generic
from typing import TypeVar

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.environment.kinds import QUOTES
from understack_nautobot_settings.environment.kinds import Invalid
from understack_nautobot_settings.environment.kinds import Kind
from understack_nautobot_settings.environment.kinds import Path
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import Reason
from understack_nautobot_settings.text_files import read_text
from understack_nautobot_settings.text_files import shown_path

T = TypeVar("T")


class Variable(Generic[T]):
    """One environment variable, declared once.

    Attributes:
        name: The name in the environment.
        kind: How its text becomes a value.
        default: The value when it is unset; the reference shows it.
        help: What it is for, one or two sentences of Markdown.
        concern: The fragment it belongs to, a module of this package.
        settings: The settings it decides, dotted: ``DATABASES.default.OPTIONS``.
        secret: True where no output may show the value.
        by_file: True where ``NAME_FILE`` may name a file that holds the value.
        nautobots: True for a variable that Nautobot itself reads as well.
        needs: The variable without which, and without which word of it, this one has
            no effect; None for one that always has.
    """

    def __init__(
        self,
        name: str,
        kind: Kind[Any],
        default: T,
        help: str,
        *,
        concern: str,
        settings: Iterable[str] = (),
        secret: bool = False,
        by_file: bool = False,
        nautobots: bool = False,
        needs: tuple[Variable[Any], str] | None = None,
    ) -> None:
        """Declare the variable."""
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.concern = concern
        self.settings = tuple(settings)
        self.secret = secret
        self.by_file = by_file
        self.nautobots = nautobots
        self.needs = needs

    @property
    def file_name(self) -> str:
        """Name of the variable that names a file with the value."""
        return f"{self.name}_FILE"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in the environment that this declaration covers."""
        return (self.name, self.file_name) if self.by_file else (self.name,)

    def __repr__(self) -> str:
        """Return the declaration without any value."""
        return f"<Variable {self.name}>"


class Reader:
    """Reads declared variables from one environment.

    What is wrong with a value is added to ``problems``, and the default is used
    in its place so that reading can go on and find the other problems.
    """

    def __init__(self, env: Mapping[str, str], problems: list[Problem]) -> None:
        """Read from a mapping, add to a list."""
        self.env = env
        self.problems = problems
        self._values: dict[str, Any] = {}

    def __call__(self, variable: Variable[T]) -> T:
        """Return the value of a variable, or its default."""
        value = self.given(variable)
        return variable.default if value is None else value

    def given(self, variable: Variable[T]) -> T | None:
        """Return the value, None where it is unset, empty or wrong; said once."""
        name = variable.name
        if name not in self._values:
            text, place = self.env.get(name), name
            content = self._file_text(variable) if variable.by_file else None
            if content:
                text, place = content, variable.file_name
            self._values[name] = self.parsed(
                variable.kind, text, place, secret=variable.secret
            )
        value: T | None = self._values[name]
        return value

    def parsed(
        self, kind: Kind[T], text: str | None, place: str, *, secret: bool = False
    ) -> T | None:
        """Return the value of a text, None where it is empty or wrong.

        What is wrong is said of `place`, the variable or the file that holds it.
        """
        if not text:
            return None
        try:
            if not kind.free_text:
                text = text.strip()
                if len(text) > 1 and text[0] in QUOTES and text[0] == text[-1]:
                    raise Invalid(
                        "the value is wrapped in quotes.",
                        "Remove the quotes; they are part of the value.",
                        codes.VALUE_QUOTED,
                    )
            value = kind.parse(text) if text else None
        except Invalid as invalid:
            message = invalid.message
            if secret and invalid.code is codes.VALUE_INVALID:
                message = "the value is not valid."
            self.report(invalid.code, place, message, invalid.hint)
            return None
        if secret and text.endswith(("\n", "\r")):
            fact = "the value ends with a line break, which counts as a part of it."
            self.report(codes.VALUE_LINE_BREAK, place, fact)
        return value

    def chosen(
        self, variable: Variable[Any], said: Mapping[str, Any], name: str
    ) -> Any:
        """Return the value, else what a settings file says, else the default."""
        value = self.given(variable)
        return said.get(name, variable.default) if value is None else value

    def options(
        self, declared: Mapping[Any, Variable[Any]], said: Mapping[Any, Any]
    ) -> dict[Any, Any]:
        """Return what a settings file says, with the options of these variables."""
        ours = {name: self.chosen(one, said, name) for name, one in declared.items()}
        return {**said, **ours}

    def report(
        self, code: Code, variable: str, message: str, hint: str | None = None
    ) -> None:
        """Add a problem of the variable or setting of this name."""
        self.problems.append(code.problem(variable, message, hint))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems, but none of a variable whose value was refused.

        Its default, which stands in, is not what anybody asked for.
        """
        refused = {problem.variable for problem in self.problems}
        self.problems.extend(one for one in problems if one.variable not in refused)

    def is_set(self, variable: Variable[Any]) -> bool:
        """Tell whether a variable is set to anything but blanks, by either name."""
        return source(variable, self.env) != "default"

    def refused(self, variable: Variable[Any]) -> bool:
        """Tell whether a problem of a variable was reported, and its default used."""
        return any(problem.variable == variable.name for problem in self.problems)

    def _file_text(self, variable: Variable[Any]) -> str | None:
        name = variable.file_name
        text = self.env.get(name, "").strip()
        if text and self.env.get(variable.name):
            fact = f"{variable.name} is set as well."
            self.report(codes.FILE_AND_VALUE, name, fact)
            return None
        path = self.parsed(Path(), text, name)
        try:
            return None if path is None else read_text(path)
        except FileRefused as refused:
            hints = {
                Reason.MISSING: "Mount the secret there, or correct the path.",
                Reason.UNREADABLE: "Check its mode, and securityContext.fsGroup of the "
                "pod.",
            }
            fact = f"{shown_path(text)} {refused.words}."
            hint = hints.get(refused.reason)
            self.report(codes.SECRET_FILE_UNREADABLE, name, fact, hint)
            return None


def raw(variable: Variable[Any], env: Mapping[str, str]) -> str | None:
    """Return the text of a variable, None where it is unset or empty."""
    text = env.get(variable.name, "")
    if not variable.kind.free_text:
        text = text.strip()
    return text or None


def place_of(
    variable: Variable[Any], value: object, setting: str, env: Mapping[str, str]
) -> str:
    """Return who says the value of a setting: its variable, or the setting itself.

    A settings file need not read the variable, and then nothing is mended there.
    Nautobot reads it as it stands.
    """
    said = (env.get(variable.name), Reader(env, [])(variable))
    return name_given(variable, env) if value in said else setting


def name_given(variable: Variable[Any], env: Mapping[str, str]) -> str:
    """Return the name that a variable is set by, ``NAME_FILE`` for a file."""
    by_file = source(variable, env) == "file"
    return variable.file_name if by_file else variable.name


def source(variable: Variable[Any], env: Mapping[str, str]) -> str:
    """Tell where a value comes from: ``variable``, ``file`` or ``default``."""
    if raw(variable, env) is not None:
        return "variable"
    if variable.by_file and env.get(variable.file_name, "").strip():
        return "file"
    return "default"
