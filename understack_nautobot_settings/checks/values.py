"""What Nautobot, Django or a server makes of a value that looks right."""

import re
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import FALSE_WORDS
from understack_nautobot_settings.environment.kinds import TRUE_WORDS
from understack_nautobot_settings.environment.kinds import HostName
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import shown
from understack_nautobot_settings.environment.nautobot_variables import EMPTY_IS_UNSET
from understack_nautobot_settings.environment.nautobot_variables import READINGS
from understack_nautobot_settings.environment.nautobot_variables import Reading
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.problems import Problem

# As text: compiled on first use, and many environments use none of them.
_SERVICE_LINK = (
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]{1,63})?$"
    r"|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_SERVICE_SCHEMES = ("tcp://", "udp://", "sctp://")


def check_nautobot_values(env: Mapping[str, str]) -> list[Problem]:
    """Tell which values Nautobot stops at while its own settings load.

    It converts without naming the variable, and before this library has run.
    """
    problems = []
    for reading in READINGS:
        for name in sorted(reading.names & env.keys()):
            text = env[name]
            if not text and name in EMPTY_IS_UNSET:
                continue
            try:
                reading.parse(text)
            except (ValueError, RecursionError):
                problems.append(_refused(name, text, reading))
    port = variables.DB_PORT.name
    if is_service_link(port, env.get(port, "")):
        problems.append(_service_link(port, env[port]))
    return problems


def _refused(name: str, text: str, reading: Reading) -> Problem:
    if is_service_link(name, text):
        return _service_link(name, text)
    known = (*TRUE_WORDS, *FALSE_WORDS) if reading.noun == "a boolean" else ()
    value = shown(text, known) if text.strip() else "an empty value"
    if reading.noun == "JSON":
        value = "the value"
    return codes.NAUTOBOT_VALUE_INVALID.problem(
        name,
        f"{value} is not {reading.noun}, and Nautobot stops at it.",
        f"{reading.remedy}, or remove the variable.",
    )


def _service_link(name: str, text: str) -> Problem:
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return codes.SERVICE_LINK.problem(
        name,
        f"{echo(text)} is what Kubernetes writes for a Service called {service}.",
    )


def check_allowed_hosts(
    settings: Mapping[str, Any], env: Mapping[str, str]
) -> list[Problem]:
    """Tell of names that Django compares with no request; all get status 400."""
    problems: list[Problem] = []
    setting, name = "ALLOWED_HOSTS", variables.ALLOWED_HOSTS.name
    said = env.get(name, "").split(" ")
    read = Reader(env, problems)
    for host in well_formed(settings, problems, setting).get(setting, ()):
        read.parsed(HostName(), host, name if host in said else setting)
    return problems


def is_service_link(name: str, text: str) -> bool:
    """Tell whether a variable is what Kubernetes writes for a Service."""
    if re.search(_SERVICE_LINK, name):
        return True
    return name.endswith("_PORT") and text.lower().startswith(_SERVICE_SCHEMES)
