"""Which site a pod belongs to."""

import os
import re
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import LONGEST_ECHO
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

_FOREIGN = "[^A-Za-z0-9._-]"
_MOST_WORDS = 2


def site_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return the identity of the site as Django settings.

    A partition names the Celery queue of the site and is part of device URNs,
    which are written to the database, so it takes no foreign character. The settings
    of the same names hold where the variable is unset.

    Returns:
        ``{"UNDERSTACK_PARTITION": str, "UNDERSTACK_SITE": str}``, empty strings
        where neither says anything.

    Raises:
        SettingsError: A name has a character outside ``[A-Za-z0-9._-]``.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        names = (variables.PARTITION, variables.SITE)
        base = well_formed(settings, found, *(variable.name for variable in names))
        return {variable.name: _name(variable, base, read) for variable in names}


def _name(variable: Variable[str], settings: Mapping[str, Any], read: Reader) -> str:
    name: str = read.chosen(variable, settings, variable.name)
    foreign = sorted(set(re.findall(_FOREIGN, name)))
    if not foreign:
        return name
    words = "has characters that a name cannot have"
    fact = f"the value {words}."
    # What is close to a name is shown; the rest may be a password or a token.
    if (
        len(name.split()) <= _MOST_WORDS
        and len(name) <= LONGEST_ECHO
        and all(one in " \n\t/,:" or one.isalpha() for one in foreign)
    ):
        fact = f"{echo(name)} {words}: {', '.join(map(repr, foreign))}."
    read.report(codes.SITE_NAME_INVALID, variable.name, fact)
    return ""
