"""What went wrong, as data and as exceptions."""

import re
import warnings
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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

TLS_SURROUNDINGS = "Correct or unset SSLKEYLOGFILE, OPENSSL_CONF and OPENSSL_MODULES."
"""The remedy if OpenSSL starts no TLS in this process, whatever the files."""

_LONGEST_ARGUMENT = 60


def printable(text: str) -> str:
    r"""Return text that a terminal and a log show as it is, on one line.

    Escape sequences and line breaks become escapes, ``\x1b``.
    """
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
    name = re.split("[=?#;]", text, maxsplit=1)[0]
    if "@" in text:
        scheme, mark, _ = name.partition("//")
        name = f"{scheme}//" if mark else ""
    name = name[:_LONGEST_ARGUMENT]
    more = "…" if name != text or "@" in text else ""
    return f"{printable(name)}{more}"


class Problem(NamedTuple):
    """One thing that is wrong; no field holds a secret or the content of a file.

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
        """Return variable, fact and remedy on one line."""
        return f"{self.fact} {self.hint}".strip()


class MissingFile(Problem):
    """A needed file that is not there; runbooks search for the message as it is."""

    __slots__ = ()

    @property
    def fact(self) -> str:
        """The documented sentence."""
        return self.message

    def __str__(self) -> str:
        """Return the documented sentence alone."""
        return self.message


class Code(NamedTuple):
    """One kind of problem, for its problems, the reference and ``explain``.

    Attributes:
        id: Words joined by hyphens; stable, since alerts may match on it.
        cause: Why it happens, for the reference.
        fix: What mends it, in Markdown; the hint of a problem that says no other.
        replaces: The troubleshooting row of the product documents that it
            makes unnecessary, or empty.
        severity: ``"error"`` or ``"warning"``.
        transient: Whether it can pass by itself, so that waiting makes sense.
    """

    id: str
    cause: str
    fix: str
    replaces: str = ""
    severity: str = ERROR
    transient: bool = False

    def problem(self, variable: str, message: str, hint: str | None = None) -> Problem:
        """Return a problem of this kind; its hint is the fix where none is given."""
        if hint is None:
            hint = self.fix.replace("`", "")
        texts = map(printable, (variable, message, hint))
        return Problem(self.id, self.severity, *texts)

    def missing_file(
        self, variable: str, message: str, hint: str | None = None
    ) -> MissingFile:
        """Return a problem of this kind that stands for a missing file."""
        return MissingFile(*self.problem(variable, message, hint))


WarningCode = partial(Code, severity=WARNING)
"""A kind of problem that refuses nothing."""


def status_with(problems: Iterable[Problem]) -> int:
    """Return how a command ends that found these: a warning is nothing wrong."""
    return WRONG if has_error(problems) else FINE


def has_error(problems: Iterable[Problem]) -> bool:
    """Tell whether there is more than warnings."""
    return any(one.severity == ERROR for one in problems)


class SettingsError(ValueError):
    """The environment cannot be turned into settings; lists every reason.

    A ``ValueError``, because Django takes ``ImproperlyConfigured`` and ``ImportError``
    from a settings file for "no settings yet" in some commands.

    Attributes:
        problems: Every problem of severity error, missing files first.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Build the text: a paragraph for each remedy, and what tells more."""
        found = list(dict.fromkeys(problems))
        found.sort(key=lambda one: not isinstance(one, MissingFile))
        self.problems: tuple[Problem, ...] = tuple(found)
        paragraphs = _paragraphs(found)
        if found:
            paragraphs.append(f"More about a code: {EXPLAIN} {found[0].code}")
        super().__init__("\n\n".join(paragraphs))

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the problems when unpickled."""
        return type(self), (self.problems,)


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


@contextmanager
def collecting(problems: list[Problem] | None) -> Iterator[list[Problem]]:
    """Collect the problems of one fragment, and act on them at the end.

    Given a list, problems are added to it and the caller decides. Without one, errors
    are raised together and warnings go through the `warnings` module.
    """
    if problems is not None:
        yield problems
        return
    found: list[Problem] = []
    yield found
    refusal = settings_error(found)
    if refusal is not None:
        raise refusal
    for problem in found:
        # 4: this function, contextlib, the fragment, its caller.
        warnings.warn(str(problem), SettingsWarning, stacklevel=4)


def settings_error(problems: Iterable[Problem]) -> SettingsError | None:
    """Return the exception for those problems that are errors, None without any."""
    errors = [problem for problem in problems if problem.severity == ERROR]
    if not errors:
        return None
    if any(isinstance(problem, MissingFile) for problem in errors):
        return MissingFileError(errors)
    return SettingsError(errors)
