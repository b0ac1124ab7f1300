"""The whole nautobot_config.py of a fleet: web, worker and beat pods alike.

Everything that differs between them comes from the environment; the variables
are in the reference of understack-nautobot-settings.
"""

from nautobot.core.settings import *

from understack_nautobot_settings import configure

configure(globals())
