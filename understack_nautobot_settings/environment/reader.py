"""How a variable is declared, and how declared variables are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Generic
from typing import TypeVar

from understack_nautobot_settings import problem_codes
from understack_nautobot_settings.problem_codes import Code
from understack_nautobot_settings.problems import Problem

T = TypeVar("T")

TRUE_WORDS = ("true", "yes", "on", "1", "y", "t")
FALSE_WORDS = ("false", "no", "off", "0", "n", "f")

LONGEST_ECHO = 60
QUOTES = ("'", '"')
LETTERS_AND_DIGITS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

_CHUNK = 2**16
# How a JSON object begins, and "-----BEGIN" in base64.
_CONTENTS = ("{", "LS0tLS1CRUdJTi")


class Invalid(Exception):
    """A value its variable does not take; raised by kinds, caught by the reader."""

    def __init__(
        self, message: str, hint: str, code: Code = problem_codes.VALUE_INVALID
    ) -> None:
        """Say what is wrong and what would work."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Kind(Generic[T]):
    """How the text of a variable becomes a value.

    Attributes:
        label: The kind in one or two words, for the reference.
        schema: JSON Schema of the value as text in the environment.
        free_text: True where surrounding blanks and quotes belong to the value.
    """

    label = "text"
    free_text = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the text."""
        return {"type": "string"}

    def parse(self, text: str) -> T:
        """Return the value; raise `Invalid` for a text that is none."""
        raise NotImplementedError


class Text(Kind[str]):
    """One line of text without surrounding blanks."""

    def parse(self, text: str) -> str:
        """Return the text, which has to be encodable."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(
                "the value holds bytes that are not UTF-8.",
                "Store it as UTF-8 text.",
                problem_codes.VALUE_NOT_UTF8,
            ) from None
        return text


class FreeText(Text):
    """Text that is taken exactly as it stands: passwords, keys."""

    label = "free text"
    free_text = True


class Path(Kind[str]):
    """A path in the file system; kept as written, never resolved."""

    label = "path"

    def parse(self, text: str) -> str:
        """Return the path; refuse what is the content of a file, or cannot be one."""
        if "-----BEGIN" in text or "\n" in text or text.startswith(_CONTENTS):
            raise Invalid(
                "the value is the content of a file, not a path.",
                "Mount the file and set the variable to its path.",
                problem_codes.PATH_IS_PEM,
            )
        try:
            named = "\0" not in text and bool(text.isascii() or os.fsencode(text))
        except UnicodeEncodeError:
            named = False
        if not named:
            raise Invalid(
                "the value has characters that no path has.",
                "Set it to the path of the file.",
            )
        return text


class Choice(Kind[str]):
    """One of a few words, spelt exactly."""

    label = "choice"

    def __init__(
        self,
        noun: str,
        words: Iterable[str],
        *,
        offered: Iterable[str] = (),
        refused: Mapping[str, str] | None = None,
        otherwise: str = "",
    ) -> None:
        """Declare the words.

        Args:
            noun: What a word is, with its article: ``"an sslmode"``.
            words: The words that are taken.
            offered: The words that a remedy offers, best first; default all.
            refused: Words refused for a reason of their own, with the reason.
            otherwise: What leaving the variable unset means, ends the remedy.
        """
        self.noun = noun
        self.words = tuple(words)
        self.offered = tuple(offered) or self.words
        self.refused = dict(refused or {})
        self.otherwise = otherwise

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the text."""
        return {"type": "string", "enum": list(self.words)}

    def parse(self, text: str) -> str:
        """Return the word."""
        if text in self.words:
            return text
        reason = self.refused.get(text.lower())
        fact = f"{echo(text)} is not {self.noun}."
        if reason:
            fact = f"{echo(text)} is refused: {reason}."
        raise Invalid(fact, f"Use {self._offer(text)}{self.otherwise}.")

    def _offer(self, text: str) -> str:
        from difflib import get_close_matches

        folded = text.lower().replace("_", "-").replace(" ", "-")
        spelt = {word.lower(): word for word in self.words}
        nearest = get_close_matches(folded, spelt, n=1, cutoff=0.6)
        words = list(dict.fromkeys([*(spelt[word] for word in nearest), *self.offered]))
        return one_of(words)


class Flag(Kind[bool]):
    """A boolean in the words that Nautobot takes."""

    label = "boolean"

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the text."""
        words = "|".join((*TRUE_WORDS, *FALSE_WORDS))
        return {"type": "string", "pattern": f"^(?i:{words})$"}

    def parse(self, text: str) -> bool:
        """Return the truth value."""
        folded = text.lower()
        if folded in TRUE_WORDS:
            return True
        if folded in FALSE_WORDS:
            return False
        raise Invalid(f"{echo(text)} is neither true nor false.", "Use true or false.")


class Number(Kind[T]):
    """A number within bounds, integer or decimal by the type given."""

    def __init__(
        self,
        number: Callable[[str], T],
        *,
        unit: str = "",
        least: float = 0,
        most: float = 2**31 - 1,
    ) -> None:
        """Declare the bounds, both inclusive.

        Args:
            number: ``int`` or ``float``.
            unit: The unit, for messages and the reference: ``"seconds"``.
            least: The smallest number taken.
            most: The largest number taken.
        """
        self.number = number
        self.unit = unit
        self.least = least
        self.most = most
        self.label = "integer" if number is int else "number"
        if unit:
            self.label += f" ({unit})"

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the text."""
        pattern = r"^\d+$" if self.number is int else r"^\d+(\.\d+)?$"
        return {"type": "string", "pattern": pattern}

    def parse(self, text: str) -> T:
        """Return the number."""
        # int() and float() take underscores, blanks, signs, exponents and nan.
        digits = text.replace(".", "", 0 if self.number is int else 1)
        if not (digits.isascii() and digits.isdecimal()):
            raise Invalid(f"{echo(text)} is not {self._noun()}.", self._hint())
        value = self.number(text)
        if not self.least <= float(text) <= self.most:
            raise Invalid(f"{echo(text)} is out of range.", self._hint())
        return value

    def _noun(self) -> str:
        return "a whole number" if self.number is int else "a number"

    def _hint(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"Use {self._noun()} from {self.least:g} to {self.most:.10g}{unit}."


class Names(Kind["tuple[str, ...]"]):
    """Names separated by a comma (or another separator); empty ones are dropped."""

    label = "names"

    def __init__(self, separator: str = ",") -> None:
        """Declare the separator."""
        self.separator = separator
        self.label = "comma-separated names" if separator == "," else "names"

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names in order."""
        names = (name.strip() for name in text.split(self.separator))
        return tuple(name for name in names if name)


class JsonObject(Kind[str]):
    """A JSON object; kept as text, since its reader reports positions in it."""

    label = "JSON object"

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the text."""
        return {"type": "string", "contentMediaType": "application/json"}

    def parse(self, text: str) -> str:
        """Return the text."""
        return text


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
        self._env = env
        self.problems = problems

    def __call__(self, variable: Variable[T]) -> T:
        """Return the value of a variable, or its default."""
        value = self.given(variable)
        return variable.default if value is None else value

    def given(self, variable: Variable[T]) -> T | None:
        """Return the value, None where it is unset, empty or wrong."""
        # Asked some fifty times by every process: no call that can be spared.
        text = self._env.get(variable.name)
        if variable.by_file:
            text = self._file_text(variable, text or None) or text
        if not text:
            return None
        kind: Kind[T] = variable.kind
        try:
            if not kind.free_text:
                text = text.strip()
                if text[:1] in QUOTES:
                    _refuse_quotes(text)
            return kind.parse(text) if text else None
        except Invalid as invalid:
            message = invalid.message
            if variable.secret and invalid.code is problem_codes.VALUE_INVALID:
                message = "the value is not valid."
            self.problems.append(
                invalid.code.problem(variable.name, message, invalid.hint)
            )
            return None

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems, but none of a variable whose value was refused.

        Its default, which stands in, is not what anybody asked for.
        """
        refused = {problem.variable for problem in self.problems}
        self.problems.extend(one for one in problems if one.variable not in refused)

    def is_set(self, variable: Variable[Any]) -> bool:
        """Tell whether a variable is set to anything but blanks, by either name."""
        return source(variable, self._env) != "default"

    def mapping(self) -> Mapping[str, str]:
        """Return the environment, for references that users write by name."""
        return self._env

    def _file_text(self, variable: Variable[Any], text: str | None) -> str | None:
        path = self._env.get(variable.file_name, "").strip()
        if not path:
            return None
        if text is not None:
            self.problems.append(
                problem_codes.FILE_AND_VALUE.problem(
                    variable.file_name,
                    f"{variable.name} is set as well.",
                    "Unset one of the two.",
                )
            )
            return None
        try:
            _refuse_quotes(path)
            return self._read(variable, Path().parse(path))
        except Invalid as invalid:
            self.problems.append(
                invalid.code.problem(variable.file_name, invalid.message, invalid.hint)
            )
            return None

    def _read(self, variable: Variable[Any], path: str) -> str | None:
        try:
            content = _content(path).decode()
        except UnicodeDecodeError:
            fact = f"{path} does not hold UTF-8 text."
        except OSError as error:
            # Some put the secret itself where its path belongs.
            named = path if os.path.isabs(path) else "the file that it names"
            fact = f"{named} cannot be read: {os.strerror(error.errno or 0)}."
        else:
            # One trailing line end belongs to the file, every other to the secret.
            for end in ("\r\n", "\n"):
                if content.endswith(end):
                    content = content[: -len(end)]
                    break
            if content:
                return content
            fact = f"{path} is empty."
        self.problems.append(
            problem_codes.SECRET_FILE_UNREADABLE.problem(
                variable.file_name,
                fact,
                f"Mount the secret there, or set {variable.name} instead.",
            )
        )
        return None


def _refuse_quotes(text: str) -> None:
    if text[0] in QUOTES and text[-1] == text[0] and len(text) > 1:
        raise Invalid(
            "the value is wrapped in quotes.",
            "Remove the quotes; they are part of the value.",
            problem_codes.VALUE_QUOTED,
        )


def _content(path: str) -> bytes:
    """Return the content of a small file; a file object would take twice as long."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(descriptor, _CHUNK), b""))
    finally:
        os.close(descriptor)


def raw(variable: Variable[Any], env: Mapping[str, str]) -> str | None:
    """Return the text of a variable, None where it is unset or empty."""
    text = env.get(variable.name, "")
    if not variable.kind.free_text:
        text = text.strip()
    return text or None


def source(variable: Variable[Any], env: Mapping[str, str]) -> str:
    """Tell where a value comes from: ``variable``, ``file`` or ``default``."""
    if raw(variable, env) is not None:
        return "variable"
    if variable.by_file and env.get(variable.file_name, "").strip():
        return "file"
    return "default"


def echo(text: str) -> str:
    """Return a value as an error line shows it: quoted, escaped, not too long."""
    shown = text if len(text) <= LONGEST_ECHO else text[: LONGEST_ECHO - 1] + "…"
    return repr(shown)


def one_of(words: Iterable[str], conjunction: str = "or") -> str:
    """Join words as a sentence does: ``a, b or c``."""
    *firsts, last = words
    return f"{', '.join(firsts)} {conjunction} {last}" if firsts else last
