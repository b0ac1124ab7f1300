"""Kinds of values: how the text of a variable becomes one."""

import re
import unicodedata
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Generic
from typing import TypeVar

from understack_nautobot_settings.environment import codes
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.text_files import encodable
from understack_nautobot_settings.text_files import is_path

T = TypeVar("T")

TRUE_WORDS = ("true", "yes", "on", "1", "y", "t")
FALSE_WORDS = ("false", "no", "off", "0", "n", "f")

LONGEST_ECHO = 60
HOST_FORM = r"@?[\w.:,\[\]/\udc80-\udcff-]*(?<!:)"
"""What the name of a host, a list of them, or the path of a socket looks like."""
# int() refuses thousands of them.
_MOST_DIGITS = 30
_COMMON_WORDS = {
    *("auto", "default", "none", "null", "undefined", "unset", "optional", "verify"),
    *("enable", "enabled", "disable", "disabled", "inf", "infinity", "nan"),
    *TRUE_WORDS,
    *FALSE_WORDS,
}
_HARMLESS = (
    r"(?i)[-+]?[0-9]{0,6}([.,][0-9]{0,6}){0,3} ?"
    r"(ms|s|m|h|d|w|secs?|seconds?|min|minutes?|hours?|days?|weeks?|months?|[kmg]i?b?)?"
    r"|tcp://[0-9.]{7,15}:[0-9]{1,5}"
)
_NEARLY_THE_SAME = 0.95
QUOTES = ("'", '"')

# How a JSON object begins, and "-----BEGIN" in base64.
_CONTENTS = ("{", "LS0tLS1CRUdJTi")


class Invalid(Exception):
    """A value its variable does not take; raised by kinds, caught by the reader."""

    def __init__(
        self, message: str, hint: str | None, code: Code = codes.VALUE_INVALID
    ) -> None:
        """Say what is wrong and what would work, None for the fix of the code."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Kind(Generic[T]):
    """How the text of a variable becomes a value.

    Attributes:
        label: The kind in one or two words, for the reference.
        schema: JSON Schema of the value as text in the environment; a pattern is of
            the whole value without blanks around it, as ECMA 262 has them.
        free_text: True where surrounding blanks and quotes belong to the value.
    """

    label = "text"
    schema: dict[str, Any] = {"type": "string"}
    free_text = False

    def parse(self, text: str) -> T:
        """Return the value; raise `Invalid` for a text that is none."""
        raise NotImplementedError


class Text(Kind[str]):
    """One line of text without surrounding blanks."""

    def parse(self, text: str) -> str:
        """Return the text, which has to be encodable."""
        if not encodable(text):
            raise Invalid(
                "the value holds bytes that are not UTF-8.",
                "Store it as UTF-8 text.",
                codes.VALUE_NOT_UTF8,
            )
        if "\0" in text:
            # Out of a file: psycopg 3 would cut a password off there.
            raise Invalid(
                "the value holds a NUL byte, which is no text.",
                "Store it as UTF-8 text; UTF-16 has such bytes.",
                codes.VALUE_NOT_UTF8,
            )
        return text


class Module(Text):
    """The dotted name of a class or module, most often one of a few."""

    def __init__(self, noun: str, *known: str) -> None:
        """Declare what it names, and names of which a near one is a misspelling."""
        self.noun = noun
        self.known = known

    def parse(self, text: str) -> str:
        """Return the name; refuse one that is nearly a known one."""
        text = super().parse(text)
        if text in self.known:
            return text
        if "." in text:
            near = nearest(text, self.known, _NEARLY_THE_SAME)
        else:
            # Such as postgres; a package of somebody's own may have any other name.
            ends = ((one.rpartition(".")[2], one) for one in self.known)
            near = next((one for end, one in ends if end.startswith(text)), "")
        if near:
            raise Invalid(
                f"{echo(text)} is unknown, and nearly the name of {self.noun}.",
                f"Did you mean {near}?",
            )
        return text


class FreeText(Text):
    """Text that is taken exactly as it stands: passwords, keys."""

    label = "free text"
    free_text = True


PKCS11 = "pkcs11:"
"""How a path begins that names a key in a token."""


class Path(Kind[str]):
    """A path in the file system; kept as written, never resolved."""

    label = "path"

    def parse(self, text: str) -> str:
        """Return the path; refuse what is the content of a file, or cannot be one."""
        if text.lower().startswith(PKCS11):
            # Not repeated: it may hold the PIN.
            raise Invalid(
                "the value names a key in a token, which is not supported.",
                "Set it to the path of a file.",
                codes.PATH_IS_TOKEN,
            )
        if "-----BEGIN" in text or "\n" in text or text.startswith(_CONTENTS):
            raise Invalid(
                "the value is the content of a file, not a path.",
                None,
                codes.PATH_IS_PEM,
            )
        if not is_path(text):
            raise Invalid(
                "the value is no path that a file can have.",
                "Set it to the path of the file.",
            )
        return text


class Host(Text):
    """A host name, an address or the path of a Unix socket."""

    label = "host"

    def __init__(self, code: Code, *, for_url: bool) -> None:
        """Declare the code of what is refused, and whether the host goes into a URL."""
        self.code = code
        self.for_url = for_url

    def parse(self, text: str) -> str:
        """Return the host; refuse what holds more than a host, as a URL does."""
        text = super().parse(text)
        if text.startswith("[") and not self.for_url:
            raise Invalid(
                "libpq takes the brackets for a part of the host's name.",
                "Write the address without brackets.",
                self.code,
            )
        if not _is_host(text):
            # Not repeated: whoever writes a whole URL there writes a password as well.
            raise Invalid("the value is not a host name alone.", None, self.code)
        return text


def _is_host(text: str) -> bool:
    if text.startswith(("/", "@")):
        return True
    if ":" in text:
        address = text.removeprefix("[").removesuffix("]").partition("%")[0]
        return address.count(":") > 1 and not address.strip("0123456789abcdefABCDEF:.")
    # Letters and digits of any script, and the marks that belong to them.
    return all(one in "-._" or unicodedata.category(one)[0] in "LMN" for one in text)


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
            noun: What a word is: ``"sslmode"``.
            words: The words that are taken.
            offered: The words that a remedy offers, best first; default all.
            refused: Words refused for a reason of their own, with the reason.
            otherwise: What a word that is not offered is for, ends the remedy.
        """
        self.noun = noun
        self.words = tuple(words)
        self.schema = {"type": "string", "enum": list(self.words)}
        self.offered = tuple(offered) or self.words
        self.refused = dict(refused or {})
        self.otherwise = f"; {otherwise}" if otherwise else ""

    def parse(self, text: str) -> str:
        """Return the word."""
        if text in self.words:
            return text
        value = shown(text, (*self.words, *self.refused))
        remedy = f"Use {one_of(self.offered)}{self.otherwise}."
        reason = self.refused.get(text.lower())
        if reason:
            raise Invalid(f"{value} is refused: {reason}.", remedy)
        near = nearest(text, self.words)
        others = [word for word in self.offered if word != near]
        if near and others:
            aside = self.otherwise if near in self.offered else ""
            remedy = f"Did you mean {near}? (Also valid: {', '.join(others)}{aside}.)"
        raise Invalid(f"{value} is not a valid {self.noun}.", remedy)


def _in_any_case(words: Iterable[str]) -> str:
    """Return a pattern of words in either case; ECMA 262 had no flag until 2025."""
    either = (
        re.sub("[a-z]", lambda one: f"[{one[0]}{one[0].upper()}]", word)
        for word in words
    )
    return "|".join(either)


class Flag(Kind[bool]):
    """A boolean in the words that Nautobot takes."""

    label = "boolean"
    schema: dict[str, Any] = {
        "type": "string",
        "pattern": _in_any_case(TRUE_WORDS + FALSE_WORDS),
    }

    def parse(self, text: str) -> bool:
        """Return the truth value."""
        try:
            return truth(text)
        except ValueError:
            value = shown(text, (*TRUE_WORDS, *FALSE_WORDS))
        raise Invalid(f"{value} is neither true nor false.", "Use true or false.")


def truth(text: str) -> bool:
    """Return what a word of Nautobot's means; raise ``ValueError`` for any other."""
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise ValueError


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
        """Take ``int`` or ``float``, a unit for messages, and inclusive bounds."""
        self.number = number
        self.least = least
        self.most = most
        whole, of_unit = number is int, f" ({unit})" if unit else ""
        self.label = f"{'integer' if whole else 'number'}{of_unit}"
        self.schema = {
            "type": "string",
            "pattern": "[0-9]+" if whole else r"[0-9]+\.?[0-9]*|\.[0-9]+",
        }
        self._noun = "a whole number" if whole else "a number"
        self._hint = f"Use {self._noun} from {least:g} to {most:.10g}{of_unit}."

    def parse(self, text: str) -> T:
        """Return the number."""
        # int() and float() take underscores, blanks, signs, exponents and nan.
        unsigned = text.removeprefix("-")
        digits = unsigned.replace(".", "", 0 if self.number is int else 1)
        if not (digits.isascii() and digits.isdecimal()):
            raise Invalid(f"{shown(text)} is not {self._noun}.", self._hint)
        bounded = len(digits) <= _MOST_DIGITS and self.least <= float(text) <= self.most
        if unsigned != text or not bounded:
            raise Invalid(f"{shown(text)} is out of range.", self._hint)
        return self.number(text)


class Several(Kind[str]):
    """One value, or several for libpq to try in turn: ``db1,db2``; kept as text."""

    def __init__(self, one: Kind[Any], noun: str) -> None:
        """Declare the kind of each, and its name."""
        self.one = one
        self.label = f"{noun}, or {noun}s separated by commas"
        pattern = one.schema.get("pattern")
        if pattern:
            each = f"({pattern})?"
            self.schema = {**one.schema, "pattern": rf"{each}(\s*,\s*{each})*"}

    def parse(self, text: str) -> str:
        """Return the text, without blanks around each value."""
        values = [value.strip() for value in text.split(",")]
        # libpq takes its default for an empty one.
        for value in filter(None, values):
            self.one.parse(value)
        return ",".join(values)


class Names(Kind["tuple[str, ...]"]):
    """Names separated by a comma; empty ones are dropped."""

    label = "comma-separated names"
    separator = ","

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names in order."""
        names = (name.strip() for name in text.split(self.separator))
        return tuple(name for name in names if name)


class HostName(Kind[str]):
    """One of the names in ``ALLOWED_HOSTS``, which Django compares as it stands."""

    free_text = True

    def parse(self, text: str) -> str:
        """Return the name; refuse one that Django would compare with no request."""
        # Only the address of IPv6, in brackets, has colons.
        if not re.fullmatch(r"\*|[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", text):
            raise Invalid(
                "a name in the value is one that no request can have.",
                "Write each name by itself, without scheme, port or quotes; the "
                "variable has blanks between names. Write an IPv6 address in brackets, "
                "and an international name as xn--. .example.com stands for every name "
                "below example.com.",
            )
        return text


class HostNames(Names):
    """Host names separated by blanks, as Nautobot splits its ``ALLOWED_HOSTS``."""

    label = "host names"
    separator = " "

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names."""
        return tuple(map(HostName().parse, super().parse(text)))


class JsonObject(Kind[str]):
    """A JSON object; kept as text, since its reader reports positions in it."""

    label = "JSON object"
    schema: dict[str, Any] = {
        "type": "string",
        "contentMediaType": "application/json",
    }

    def parse(self, text: str) -> str:
        """Return the text."""
        return text


def shown(text: str, known: Iterable[str] = ()) -> str:
    """Return a value in quotes where it looks harmless, else ``the value``.

    Somebody may have put a password where another value belongs. Harmless are a number
    with a unit, what Kubernetes writes for a Service, a common word, and a misspelling
    of a known one.
    """
    word = text.strip()
    common = word.lower() in _COMMON_WORDS or re.fullmatch(_HARMLESS, word)
    if common or (text.isprintable() and nearest(text, known)):
        return repr(text)
    return "the value"


def echo(text: str) -> str:
    """Return a name as an error line shows it: quoted, escaped, not too long."""
    return repr(shortened(text))


def shortened(text: str) -> str:
    """Return a name as an error line has room for."""
    return text if len(text) <= LONGEST_ECHO else f"{text[: LONGEST_ECHO - 1]}…"


def shown_host(text: str, instead: str = "that is configured") -> str:
    """Return a host, `instead` if it may be something else, such as a password."""
    return text if re.fullmatch(HOST_FORM, text) else instead


def nearest(text: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that a text misspells, by `difflib`; empty if none does."""
    return next(iter(nearest_ones(text, known, 1, cutoff)), "")


def nearest_ones(
    text: str, known: Iterable[str], most: int, cutoff: float = 0.6
) -> list[str]:
    """Return at most so many words that a text may misspell, the best first."""
    from difflib import get_close_matches

    if not text or len(text) > LONGEST_ECHO:
        return []
    spelt = {_folded(word): word for word in known}
    return [spelt[one] for one in get_close_matches(_folded(text), spelt, most, cutoff)]


def _folded(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-")


def one_of(words: Iterable[str], conjunction: str = "or") -> str:
    """Join words as a sentence does: ``a, b or c``."""
    *firsts, last = words
    return f"{', '.join(firsts)} {conjunction} {last}" if firsts else last
