"""The exceptions under the name that settings files import them by."""

from understack_nautobot_settings.problems import MissingFileError
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import SettingsError
from understack_nautobot_settings.problems import SettingsWarning

__all__ = ["MissingFileError", "Problem", "SettingsError", "SettingsWarning"]
