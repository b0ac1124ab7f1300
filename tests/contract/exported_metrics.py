"""The metrics that a process with a client certificate exports, and their labels."""

from understack_nautobot_settings.django_app.measurements import METRICS
from understack_nautobot_settings.django_app.measurements import samples

_FILES = {"sslcert": "/m/tls.crt", "sslkey": "/m/tls.key", "sslrootcert": "/m/ca.crt"}
_DATABASE = {"OPTIONS": {"sslmode": "verify-full", **_FILES}}

LABELS = {
    name: {*labels}
    for name, labels, _ in samples({"DATABASES": {"default": _DATABASE}}, "web")
}

assert {*LABELS} == {*METRICS}
