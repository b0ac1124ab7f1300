"""Whether the Django app of this package runs inside Nautobot."""

import os
from collections.abc import Mapping
from typing import Any

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import well_formed
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import collecting

APP = "understack_nautobot_settings.django_app"


def app_settings(
    settings: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """Return ``INSTALLED_APPS`` with the app, where it is switched on.

    It is a Django app and no entry of ``PLUGINS``: Nautobot's worker looks every
    plugin up by its name as a Django label, which takes no dot, and the places to
    plug into (health checks, metrics) are open to any app.

    Returns:
        ``INSTALLED_APPS``, a list, and ``UNDERSTACK_EXPIRY_UNHEALTHY``, in days;
        switched off, the base alone, if there is one.

    Raises:
        SettingsError: A variable is wrong.
    """
    with collecting(problems) as found:
        read = Reader(env, found)
        base = well_formed(settings, found, "INSTALLED_APPS")
        installed_apps = base.get("INSTALLED_APPS")
        if not read(variables.APP):
            return {} if installed_apps is None else {"INSTALLED_APPS": installed_apps}
        name = variables.EXPIRY_UNHEALTHY.name
        apps = dict.fromkeys([*(installed_apps or ()), APP])
        said = well_formed(settings, found, name)
        days = read.chosen(variables.EXPIRY_UNHEALTHY, said, name)
        return {"INSTALLED_APPS": list(apps), name: days}
