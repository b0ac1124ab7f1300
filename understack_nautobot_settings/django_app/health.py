"""The health check of the certificates, on ``/health/`` and in ``health_check``."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from health_check.exceptions import ServiceUnavailable
from nautobot.extras.health_checks import NautobotHealthCheckBackend
from prometheus_client import Gauge

from understack_nautobot_settings.checks.in_force import SettingsInForce
from understack_nautobot_settings.django_app.measurements import file_expiries
from understack_nautobot_settings.django_app.measurements import outlook
from understack_nautobot_settings.django_app.measurements import unhealthy
from understack_nautobot_settings.django_app.measurements import unhealthy_days


class CertificateBackend(NautobotHealthCheckBackend):
    """Turns unhealthy shortly before the first certificate expires, and says when."""

    metric = Gauge(
        "health_check_certificates_info",
        "State of the client certificates and their authorities",
        multiprocess_mode=NautobotHealthCheckBackend.MULTIPROCESS_MODE,
    )

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Know nothing yet; the settings in force are meant where none are given."""
        super().__init__()
        self._settings = settings or SettingsInForce(django_settings)
        self._outlook = ""

    def check_status(self) -> None:
        """Look at every file in use."""
        expiries = file_expiries(self._settings)
        self._outlook = outlook(expiries)
        days = unhealthy_days(self._settings)
        for reason in filter(None, (unhealthy(one, days) for one in expiries)):
            self.add_error(ServiceUnavailable(reason))

    def pretty_status(self) -> str:
        """Return the errors, or which certificate comes first."""
        return "\n".join(map(str, self.errors)) or self._outlook
