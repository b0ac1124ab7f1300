"""A client certificate that several rooms present."""

import pytest

from lab.certificates import write_mount
from tests.unit.probes.attempts import CA


@pytest.fixture(scope="module")
def mount(tmp_path_factory):
    return write_mount(tmp_path_factory.mktemp("mtls"), CA.client(), CA.ca_pem)
