"""How many examples a property is tried on.

One Python tries all of them; the others try few, set by ``HYPOTHESIS_EXAMPLES=few``:
what differs between Pythons shows in any example.
"""

import os

from hypothesis import HealthCheck
from hypothesis import settings

FULL = os.environ.get("HYPOTHESIS_EXAMPLES", "full") != "few"
FEW = 15

# No test measures time: a busy machine is no fault of what is tested.
settings.register_profile(
    "full", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("full"), max_examples=FEW)


def examples(number: int) -> settings:
    """Return the settings of a property that deserves more examples than others."""
    return settings(max_examples=number if FULL else FEW)
