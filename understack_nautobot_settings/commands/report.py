"""What an operator gets to read: tables, plain lines, JSON; secrets masked here.

Nothing else masks. A secret is never shown, never shortened and never hashed:
what stands in its place is the same for every secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.checks.provenance import DEEPEST
from understack_nautobot_settings.checks.provenance import Provenance
from understack_nautobot_settings.checks.provenance import Trail
from understack_nautobot_settings.checks.provenance import dotted
from understack_nautobot_settings.checks.provenance import values
from understack_nautobot_settings.commands.terminal import Page
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.commands.terminal import counted
from understack_nautobot_settings.commands.terminal import headed
from understack_nautobot_settings.commands.terminal import padded
from understack_nautobot_settings.commands.terminal import wrapped
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import JsonObject
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.fragments.plugins import DEFAULTS
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import printable

if TYPE_CHECKING:
    from understack_nautobot_settings.certificates.reading import Certificate
    from understack_nautobot_settings.checks.inspection import Inspection
    from understack_nautobot_settings.probes.targets import Probe

MASK = "***"

_STAGE_INDENT = len("+ certificate  ")

# --- masking -------------------------------------------------------------------

# As text: compiled on first use, which only `show` makes of them.
_SECRETIVE = (
    r"passw|passphrase|passcode|secret|token|credential|signature|cookie|private|license"
    r"|authori[sz]ation|api_?key|connection_?str"
    r"|(^|[_-])(pass|pwd|pw|pin|key|auth|cred|creds|salt|hash|dsn)([_-]|$)"
)
_HUMP = r"(?<=[a-z0-9])(?=[A-Z])"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_PLAIN_QUERY = r"(db|virtual_host|ssl_[a-z_]+)=[A-Za-z0-9_/.]*"
_HOST = r"(\[[A-Fa-f0-9:.]+\]|[A-Za-z0-9_.-]*)(:[0-9]*)?"
_PLAIN_ADDRESS = rf"{_SCHEME}{_HOST}(,{_HOST})*(/[A-Za-z0-9_./-]*)?"
_OPAQUE = r"(?=.*[0-9].*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_-]{20,}"
_SHORTEST_SECRET = 4

_BROKER = ("CELERY_BROKER_URL",)
_BROKER_SCHEMES = (
    *("redis://", "rediss://", "redis+socket://", "unix://", "sentinel://"),
    *("amqp://", "amqps://", "pyamqp://", "sqs://"),
)


def masked(provenance: Provenance, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in plain JSON types, every secret replaced by ``***``.

    A value is a secret where a variable declared secret decides it, where it came
    out of a reference in the plugin configuration, where a key that leads to it
    sounds like one, where it looks like a token or a PEM block, or where it holds
    the value of a secret variable. In URLs, credentials and unknown query
    arguments are masked.

    Args:
        provenance: The settings in force.
        env: The environment.
    """
    known = _known_secrets(provenance, env)
    result: dict[str, Any] = {}
    for trail, value in values(provenance.settings):
        here = result
        for key in trail[:-1]:
            here = here.setdefault(key, {})
        here[trail[-1]] = _masked(trail, value, provenance, known)
    return result


def _masked(
    trail: Trail, value: Any, provenance: Provenance, known: frozenset[str]
) -> Any:
    if _tells_nothing(value):
        return _plain(value, known)
    if isinstance(value, Mapping):
        # Nested too deep to be told apart.
        return MASK
    declared = _declared_settings().get(trail)
    if declared is not None:
        return _masked_secret(trail, value, known) if declared else _plain(value, known)
    if _is_secret(trail, provenance.given.get(trail)):
        return value if value == _default_of(trail) else MASK
    return _plain(value, known)


def _tells_nothing(value: Any) -> bool:
    return value is None or isinstance(value, bool) or value in ("", [], {}, ())


@cache
def _declared_settings() -> dict[Trail, bool]:
    """Return which settings variables decide: True where one of them is secret."""
    secret: dict[Trail, bool] = {}
    for variable in variables.VARIABLES:
        for setting in variable.settings:
            trail = tuple(setting.split("."))
            if not isinstance(variable.kind, JsonObject):
                secret[trail] = secret.get(trail, False) or variable.secret
    return secret


def _is_secret(trail: Trail, given: Any) -> bool:
    if given is not None and _has_reference(given):
        return True
    # The name of a setting is known; what is below it is not.
    return any(map(_sounds_secret, trail[1:]))


def _sounds_secret(key: str) -> bool:
    return re.search(_SECRETIVE, re.sub(_HUMP, "_", key), re.I) is not None


def _has_reference(value: Any) -> bool:
    todo = [value]
    for item in todo:
        if isinstance(item, str):
            if "${" in item or "$<" in item:
                return True
        elif isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return False


def _default_of(trail: Trail) -> Any:
    here: Any = {"PLUGINS_CONFIG": DEFAULTS}
    for key in trail:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here


def _known_secrets(provenance: Provenance, env: Mapping[str, str]) -> frozenset[str]:
    """Return the values of secret variables, to find them where they ended up."""
    read = Reader(env, [])
    found = set()
    for variable in variables.VARIABLES:
        if variable.secret and not isinstance(variable.kind, JsonObject):
            found.add(env.get(variable.name, ""))
            found.add(read(variable))
    for trail, secret in _declared_settings().items():
        if secret:
            here: Any = provenance.settings
            for key in trail:
                here = here.get(key) if isinstance(here, Mapping) else None
            found.add(here)
    texts = (one.strip() for one in found if isinstance(one, str))
    return frozenset(one for one in texts if len(one) >= _SHORTEST_SECRET)


def _plain(value: Any, known: frozenset[str], depth: int = 0) -> Any:
    """Return a value in JSON types, with every text in it masked as needed."""
    if isinstance(value, str):
        return _masked_text(str(value), known)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            str(key): (
                MASK
                if _sounds_secret(str(key)) and not _tells_nothing(item)
                else _plain(item, known, depth + 1)
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item, known, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(_plain(item, known, depth + 1)) for item in value)
    kind = value if isinstance(value, type) or callable(value) else type(value)
    name = getattr(kind, "__qualname__", type(kind).__qualname__)
    return f"<{getattr(kind, '__module__', '')}.{name}>"


def _masked_text(text: str, known: frozenset[str]) -> str:
    if "-----BEGIN" in text or _is_token(text):
        return MASK
    if re.search(_SCHEME, text):
        text = _masked_url(text, known)
    return MASK if any(one in text for one in known) else text


def _is_token(text: str) -> bool:
    return re.fullmatch(_OPAQUE, text) is not None


def _masked_secret(trail: Trail, value: Any, known: frozenset[str]) -> str:
    """Return the mask, and of the broker's URL what is no secret."""
    if trail == _BROKER and str(value).startswith(_BROKER_SCHEMES):
        return _masked_url(str(value), known)
    return MASK


def _masked_url(value: str, known: frozenset[str]) -> str:
    """Return the URL without credentials; the mask alone where it is no plain URL."""
    scheme = re.match(_SCHEME, value)
    if scheme is None:
        return MASK
    # A password may hold anything, so everything up to the last @ goes.
    credentials, at, address = value[scheme.end() :].rpartition("@")
    address, question, query = address.partition("?")
    arguments = [
        argument if re.fullmatch(_PLAIN_QUERY, argument) else _masked_argument(argument)
        for argument in (query.split("&") if question else ())
    ]
    plain = f"{scheme[0]}{address}"
    segments = address.split("/")
    if not re.fullmatch(_PLAIN_ADDRESS, plain) or any(map(_is_token, segments)):
        return MASK
    who = f"{MASK}@" if credentials and at else ""
    shown = f"{scheme[0]}{who}{address}{question}{'&'.join(arguments)}"
    hidden = any(one in shown for one in known if not re.match(_SCHEME, one))
    return MASK if hidden else shown


def _masked_argument(argument: str) -> str:
    name, equals, _ = argument.partition("=")
    return f"{name}={MASK}" if equals and name.isidentifier() else MASK


def fingerprint(
    settings: Mapping[str, Any],
    env: Mapping[str, str],
    known: frozenset[str] = frozenset(),
) -> str:
    """Return what two pods have in common that are set alike.

    A hash of the masked settings and of the effective values of the variables
    that are no secrets; secrets go into it in no form, so it tells nothing of
    them, and pods that differ in a secret alone have the same one.

    Args:
        settings: What `masked` returned.
        env: The environment.
        known: The values of secrets.

    Returns:
        Sixteen hexadecimal digits.
    """
    from hashlib import sha256

    read = Reader(env, [])
    effective = {
        variable.name: _masked_text(str(read(variable)), known)
        for variable in variables.VARIABLES
        if not (variable.secret or isinstance(variable.kind, JsonObject))
    }
    text = _json_text({"settings": settings, "variables": effective}, sort=True)
    return sha256(text.encode()).hexdigest()[:16]


def _json_text(value: Any, *, sort: bool = False, indent: int | None = None) -> str:
    import json

    return json.dumps(value, sort_keys=sort, indent=indent)


def as_json(value: Any) -> str:
    """Return a report for programs."""
    return _json_text(value, indent=2) + "\n"


# --- check ---------------------------------------------------------------------


def inspection_json(inspection: Inspection) -> dict[str, Any]:
    """Return the shape that ``check --json`` prints."""
    return {
        "problems": [problem._asdict() for problem in inspection.problems],
        "certificates": [one.as_json() for one in inspection.certificates],
    }


def inspection_text(inspection: Inspection, page: Page) -> str:
    """Return problems and certificates as a table, or one to a line."""
    problems, certificates = inspection
    if not page.table:
        lines = [
            *(problem_line(one) for one in problems),
            *(
                printable(
                    f"certificate {one.path} ({one.use}): subject {one.subject}, "
                    f"issuer {one.issuer}, serial {one.serial}, valid from "
                    f"{utc(one.not_before)} to {utc(one.not_after)}, {_left(one)}"
                )
                for one in certificates
            ),
            summary(problems),
        ]
        return "\n".join(lines) + "\n"
    blocks = [_problem_table(problems, page)]
    if certificates:
        blocks.append(_certificate_table(certificates, page))
    return "\n".join(blocks)


def problem_line(problem: Problem) -> str:
    """Return a problem as one line: severity, code, variable, fact, remedy."""
    # The documented text of a missing file ends with its path.
    fact = problem.message.removesuffix(".") + "." * bool(problem.message)
    text = " ".join(word for word in (fact, problem.hint) if word)
    return printable(f"{problem.severity} {problem.code} {problem.variable}: {text}")


def summary(problems: Iterable[Problem]) -> str:
    """Return how many errors and warnings there are."""
    severities = [one.severity for one in problems]
    errors = severities.count(ERROR)
    return f"{counted(errors, 'error')}, " + counted(
        len(severities) - errors, "warning"
    )


def _problem_table(problems: Sequence[Problem], page: Page) -> str:
    if not problems:
        mark = "✓ " if page.symbols else ""
        return page.painted(f"{mark}No problems found.", "green") + "\n"
    lines = [headed("Problems", summary(problems), page), page.rule()]
    for number, problem in enumerate(_together(problems)):
        if number:
            lines.append("")
        lines += problem_block(problem, page)
    return "\n".join(lines) + "\n"


def _together(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems that say the same of several variables as one."""
    alike: dict[Problem, list[str]] = {}
    for one in problems:
        alike.setdefault(one._replace(variable=""), []).append(one.variable)
    return [one._replace(variable=", ".join(names)) for one, names in alike.items()]


def problem_block(problem: Problem, page: Page) -> list[str]:
    """Return a problem as a few lines of a table."""
    error = problem.severity == ERROR
    if page.symbols:
        mark, arrow = ("✗" if error else "!"), "→ "
    else:
        mark, arrow = ("E" if error else "W"), "> "
    style = "red" if error else "yellow"
    names = wrapped(problem.variable, page.width - 2)
    lines = [
        page.painted(f"{mark if not number else ' '} {name}", "bold", style)
        for number, name in enumerate(names)
    ]
    room = page.width - columns(names[-1]) - 3
    if len(problem.code) <= room:
        lines[-1] += " " + page.painted(problem.code.rjust(room), "faint")
    else:
        lines.append(page.painted(f"  {problem.code}", "faint"))
    lines += [f"  {line}" for line in wrapped(problem.message, page.width - 2)]
    if problem.hint:
        first, *rest = wrapped(problem.hint, page.width - 4)
        lines += [f"  {arrow}{first}", *(f"    {line}" for line in rest)]
    return lines


def _left(certificate: Certificate) -> str:
    days = certificate.days_left
    return "expired" if days < 0 else f"{counted(days, 'day')} left"


def _certificate_table(certificates: Sequence[Certificate], page: Page) -> str:
    grouped: dict[tuple[str, str, bytes], tuple[Certificate, list[str]]] = {}
    for one in certificates:
        key = one.path, one.serial, one.der
        grouped.setdefault(key, (one, []))[1].append(one.use)
    lines = [headed("Certificates", str(len(grouped)), page), page.rule()]
    for one, uses in grouped.values():
        left = _left(one)
        style = "green" if one.days_left > 0 else "red"
        where = f"{one.path} ({', '.join(dict.fromkeys(uses))})"
        first, *rest = wrapped(where, page.width - columns(left) - 2)
        gap = " " * (page.width - columns(first) - columns(left))
        lines.append(page.painted(first, "bold") + gap + page.painted(left, style))
        lines += [page.painted(line, "bold") for line in rest]
        for name, value in (
            ("subject", one.subject),
            ("issuer", one.issuer),
            ("serial", one.serial),
            ("valid", f"{utc(one.not_before)} to {utc(one.not_after)}"),
        ):
            start, *more = wrapped(value, page.width - 12)
            lines.append(f"  {name:<8}  {start}")
            lines += [f"{'':12}{line}" for line in more]
    return "\n".join(lines) + "\n"


# --- show ----------------------------------------------------------------------


class Shown(NamedTuple):
    """What ``show`` tells of an environment.

    Attributes:
        settings: The masked settings.
        sources: Setting (dotted) or variable to where it comes from.
        fingerprint: As `fingerprint` returns it.
    """

    settings: dict[str, Any]
    sources: dict[str, str]
    fingerprint: str


def shown(provenance: Provenance, env: Mapping[str, str]) -> Shown:
    """Return what ``show`` tells, without any secret."""
    settings = masked(provenance, env)
    sources = {dotted(trail): source for trail, source in provenance.sources.items()}
    return Shown(
        settings,
        # A setting may have the name of its variable; it tells more.
        provenance.variables | sources,
        fingerprint(settings, env, _known_secrets(provenance, env)),
    )


def shown_text(show: Shown, page: Page) -> str:
    """Return the settings as a table, or one to a line: name, value, source."""
    rows = [
        (trail, _value_text(value), show.sources.get(dotted(trail), ""))
        for trail, value in values(show.settings)
    ]
    if not page.table:
        lines = [
            "\t".join(map(printable, (dotted(trail), value, source)))
            for trail, value, source in rows
        ]
        return "\n".join([*lines, f"fingerprint\t{show.fingerprint}\t"]) + "\n"
    lines = [headed("Settings", f"fingerprint {show.fingerprint}", page), page.rule()]
    for above, group in _grouped(rows):
        if above:
            lines += [page.painted(line, "bold") for line in wrapped(above, page.width)]
        lines += _setting_rows(group, page, indented=bool(above))
    return "\n".join(lines) + "\n"


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) and value else _json_text(value)


def _grouped(
    rows: Iterable[tuple[Trail, str, str]],
) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    groups: dict[Trail, list[tuple[str, str, str]]] = {}
    for trail, value, source in rows:
        groups.setdefault(trail[:-1], []).append((dotted(trail[-1:]), value, source))
    for above, group in groups.items():
        yield dotted(above), group


def _setting_rows(
    rows: Sequence[tuple[str, str, str]], page: Page, *, indented: bool
) -> Iterator[str]:
    indent = "  " if indented else ""
    room = page.width - len(indent) - 4
    name_width = min(max(columns(name) for name, _, _ in rows), room * 2 // 5)
    source_width = min(
        max(columns(_short(source)) for _, _, source in rows), room * 2 // 5
    )
    value_width = room - name_width - source_width
    for name, value, source in rows:
        cells = (
            wrapped(name, name_width),
            wrapped(value, value_width),
            wrapped(_short(source), source_width),
        )
        for number in range(max(map(len, cells))):
            names, shown_values, sources = (
                column[number] if number < len(column) else "" for column in cells
            )
            value_cell = padded(shown_values, value_width)
            line = f"{indent}{padded(names, name_width)}  {value_cell}  "
            yield (line + page.painted(sources, "faint")).rstrip()


def _short(source: str) -> str:
    return source.removeprefix("variable ")


class Difference(NamedTuple):
    """One setting that two pods do not have in common.

    Attributes:
        setting: Its name, dotted.
        here: The value here as text, None where there is none.
        there: The value there.
    """

    setting: str
    here: str | None
    there: str | None


def differences(here: Shown, there: Shown) -> list[Difference]:
    """Return the settings in which two pods differ, secrets not compared."""
    ours, theirs = (
        {dotted(trail): _value_text(value) for trail, value in values(one.settings)}
        for one in (here, there)
    )
    return [
        Difference(name, ours.get(name), theirs.get(name))
        for name in dict.fromkeys((*ours, *theirs))
        if ours.get(name) != theirs.get(name)
    ]


def differences_text(
    found: Sequence[Difference], page: Page, *, alike: bool = True
) -> str:
    """Return what differs: ``-`` there, ``+`` here.

    Args:
        found: What `differences` returned.
        page: What it is written on.
        alike: Whether the fingerprints are the same.
    """
    if not (found or alike):
        return (
            "The settings are the same, the fingerprints are not: a variable that "
            "decides no setting differs, or the release of this library. Secrets "
            "are not compared.\n"
        )
    if not found:
        return "The settings are the same; secrets are not compared.\n"
    lines = []
    for name, here, there in found:
        lines.append(page.painted(printable(name), "bold"))
        for sign, value, style in (("-", there, "red"), ("+", here, "green")):
            if value is not None:
                lines.append(page.painted(f"  {sign} {printable(value)}", style))
    return "\n".join(lines) + "\n"


def differences_json(
    found: Sequence[Difference], here: Shown, there: Shown
) -> dict[str, Any]:
    """Return the shape that ``show --diff FILE --json`` prints."""
    return {
        "differences": [one._asdict() for one in found],
        "fingerprints": {"here": here.fingerprint, "there": there.fingerprint},
    }


def read_shown(text: str) -> Shown:
    """Return what another pod's ``show --json`` printed.

    Raises:
        ValueError: It is something else.
    """
    import json

    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("not the output of show --json") from None
    if not isinstance(content, dict):
        raise ValueError("not the output of show --json")
    settings, sources = content.get("settings"), content.get("sources")
    mark = content.get("fingerprint")
    if not (
        isinstance(settings, dict) and isinstance(sources, dict) and type(mark) is str
    ):
        raise ValueError("not the output of show --json")
    return Shown(settings, sources, mark)


# --- probe ---------------------------------------------------------------------


def probes_text(probes: Sequence[Probe], page: Page) -> str:
    """Return the stages of every target as a table, or one to a line."""
    if not page.table:
        lines = []
        for probe in probes:
            lines += [
                printable(
                    f"{probe.target} {stage.stage} {'ok' if stage.ok else 'failed'} "
                    f"{stage.seconds:.3f} s" + _beside(stage.detail, probe, ": ")
                )
                for stage in probe.stages
            ]
            if probe.problem is not None:
                lines.append(problem_line(probe.problem))
        lines.append(_probe_summary(probes))
        return "\n".join(lines) + "\n"
    blocks = ["\n".join(_probe_block(probe, page)) for probe in probes]
    return "\n\n".join(blocks) + "\n"


def _beside(detail: str, probe: Probe, mark: str = "") -> str:
    """Return what a stage saw, nothing where the problem below says the same."""
    said = probe.problem is not None and detail == probe.problem.message
    return "" if said or not detail else mark + detail


def _probe_summary(probes: Sequence[Probe]) -> str:
    well = sum(probe.ok for probe in probes)
    return f"{well} of {counted(len(probes), 'target')} ok"


def _probe_block(probe: Probe, page: Page) -> list[str]:
    seconds = sum(stage.seconds for stage in probe.stages)
    lines = [headed(printable(probe.target), f"{seconds:.3f} s", page), page.rule()]
    for stage in probe.stages:
        good, bad = "✓✗" if page.symbols else "+E"
        mark = good if stage.ok else bad
        style = "green" if stage.ok else "red"
        seen = _beside(stage.detail, probe)
        first, *rest = wrapped(seen, page.width - _STAGE_INDENT) or [""]
        lines.append(
            f"{page.painted(mark, style)} {stage.stage:<{_STAGE_INDENT - 3}} {first}"
        )
        lines += [" " * _STAGE_INDENT + line for line in rest]
    if probe.problem is not None:
        lines += ["", *problem_block(probe.problem, page)]
    return lines
