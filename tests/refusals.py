"""The problems of a refusal as lines, without what frames them."""

from understack_nautobot_settings.problems import MissingFile
from understack_nautobot_settings.problems import SettingsError


def sentences(error: SettingsError) -> str:
    """Return one line for each problem: missing files, their remedies, the others."""
    missing = [one for one in error.problems if isinstance(one, MissingFile)]
    others = [one for one in error.problems if not isinstance(one, MissingFile)]
    remedies = dict.fromkeys(one.hint for one in missing if one.hint)
    return "\n".join([*map(str, missing), *remedies, *map(str, others)])
