"""What every test relies on."""

from hypothesis import HealthCheck
from hypothesis import settings

# No test measures time: a busy machine is no fault of what is tested.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")
