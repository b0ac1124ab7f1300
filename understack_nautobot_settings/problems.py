"""What went wrong, as data and as exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any
from typing import NamedTuple

ERROR = "error"
WARNING = "warning"

# How a command ends.
FINE = 0
WRONG = 1
COULD_NOT_CHECK = 2
INTERRUPTED = 130

EXPLAIN = "understack-nautobot-settings explain"
"""The command that says more about a code."""

_LONGEST_ARGUMENT = 60


def printable(text: str) -> str:
    r"""Return text that a terminal and a log show as it is, on one line.

    Paths, values and what a server said may hold escape sequences and line breaks;
    each such character becomes its escape, ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def shown_argument(text: str) -> str:
    """Return an argument as its refusal shows it: printable, and no more than its name.

    What follows ``=`` or ``?``, and everything around ``@``, may be a secret.
    """
    name, mark, _ = text.partition("=")
    for end in "?#;":
        name, more, _ = name.partition(end)
        mark = more or mark
    if "@" in text:
        scheme, mark, _ = name.partition("//")
        name = f"{scheme}//" if mark else ""
        mark = "@"
    shown = printable(name[:_LONGEST_ARGUMENT])
    return f"{shown}…" if mark or len(name) > _LONGEST_ARGUMENT else shown


class Problem(NamedTuple):
    """One thing that is wrong, in words an operator can act on.

    Never holds a secret or the content of a file, in any field.

    Attributes:
        code: Stable identifier, the ``id`` of a `Code`.
        severity: ``"error"`` or ``"warning"``.
        variable: Name of the environment variable (or setting) to change.
        message: What is wrong, one sentence.
        hint: What to do about it, one or more sentences.
    """

    code: str
    severity: str
    variable: str
    message: str
    hint: str

    @property
    def fact(self) -> str:
        """What is wrong with which variable."""
        return f"{self.variable}: {self.message}"

    def __str__(self) -> str:
        """Return the problem as one line: variable, fact, remedy."""
        return f"{self.fact} {self.hint}".strip()


class MissingFile(Problem):
    """A file that is needed and is not there.

    Its line is the documented text that runbooks and alerts search for, so the
    remedy follows on a line of its own.
    """

    __slots__ = ()

    @property
    def fact(self) -> str:
        """The documented sentence."""
        return self.message

    def __str__(self) -> str:
        """Return the documented sentence alone."""
        return self.message


class Code(NamedTuple):
    """One kind of problem: its cause and its remedy, written once.

    The ids are stable: alerts and runbooks may match on them. The reference in the
    documentation and ``explain`` are generated from the codes.

    Attributes:
        id: The stable identifier, words joined by hyphens.
        severity: ``"error"`` or ``"warning"``.
        cause: Why it happens, for the reference.
        fix: What mends it, in Markdown; the hint of a problem that says no other.
        replaces: The troubleshooting row of the product documents that it
            makes unnecessary; empty when there is none.
        transient: True where it can pass by itself, so that waiting makes sense.
    """

    id: str
    severity: str
    cause: str
    fix: str
    replaces: str = ""
    transient: bool = False

    def problem(self, variable: str, message: str, hint: str | None = None) -> Problem:
        """Return a problem of this kind.

        Args:
            variable: The environment variable (or setting) to change.
            message: What is wrong, one sentence.
            hint: What to do, where that is more than the fix of the code.
        """
        return Problem(*self._texts(variable, message, hint))

    def missing_file(
        self, variable: str, message: str, hint: str | None = None
    ) -> MissingFile:
        """Return a problem of this kind that stands for a missing file."""
        return MissingFile(*self._texts(variable, message, hint))

    def _texts(
        self, variable: str, message: str, hint: str | None
    ) -> tuple[str, str, str, str, str]:
        if hint is None:
            hint = self.fix.replace("`", "")
        texts = (printable(text) for text in (variable, message, hint))
        return (self.id, self.severity, *texts)  # type: ignore[return-value]


class SettingsError(ValueError):
    """The environment cannot be turned into settings; lists every reason.

    A ``ValueError``, because Django treats ``ImproperlyConfigured`` and
    ``ImportError`` from a settings file as "no settings yet" for some commands.

    Attributes:
        problems: Every problem of severity error, in the order they are listed.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """List the problems, missing files first."""
        found = dict.fromkeys(problems)
        missing = [one for one in found if isinstance(one, MissingFile)]
        others = [one for one in found if not isinstance(one, MissingFile)]
        self.problems: tuple[Problem, ...] = (*missing, *others)
        paragraphs = _paragraphs(self.problems)
        if self.problems:
            paragraphs.append(f"More about a code: {EXPLAIN} {self.problems[0].code}")
        super().__init__("\n\n".join(paragraphs))

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the problems when unpickled."""
        return type(self), (self.problems,)

    def __str__(self) -> str:
        """Return a paragraph for each problem, and the command that says more."""
        return str(self.args[0])


def _paragraphs(problems: Iterable[Problem]) -> list[str]:
    """Return a paragraph for each remedy: what it is for, then what to do."""
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.code, problem.hint), []).append(problem)
    paragraphs = []
    for (code, hint), found in alike.items():
        in_lines = len(found) > 1 or isinstance(found[0], MissingFile)
        facts = "\n".join(problem.fact for problem in found)
        end = "\n" if in_lines else " "
        paragraphs.append(f"{facts}{end}{hint} [{code}]")
    return paragraphs


class MissingFileError(SettingsError, FileNotFoundError):
    """A `SettingsError` of which at least one problem is a missing file."""


class SettingsWarning(UserWarning):
    """A problem of severity warning, for those who compose fragments by hand."""


class Collecting:
    """Collects the problems of one fragment, and acts on them at the end.

    Given a list, problems are added to it and the caller decides. Without one,
    errors are raised together as one `SettingsError` and warnings go through
    the `warnings` module, so that nothing is lost on those who call a single
    fragment.
    """

    def __init__(self, problems: list[Problem] | None) -> None:
        """Collect into the list, or into one of its own."""
        self._acts = problems is None
        self._problems: list[Problem] = [] if problems is None else problems

    def __enter__(self) -> list[Problem]:
        """Return the list to add problems to."""
        return self._problems

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise or warn, unless the caller collects or something else is raised."""
        if error is not None or not self._acts:
            return
        refusal = settings_error(self._problems)
        if refusal is not None:
            raise refusal
        import warnings

        for problem in self._problems:
            # 3: this method, the fragment, its caller.
            warnings.warn(str(problem), SettingsWarning, stacklevel=3)


def settings_error(problems: Iterable[Problem]) -> SettingsError | None:
    """Return the exception for those problems that are errors, None without any."""
    errors = [problem for problem in problems if problem.severity == ERROR]
    if not errors:
        return None
    if any(isinstance(problem, MissingFile) for problem in errors):
        return MissingFileError(errors)
    return SettingsError(errors)
