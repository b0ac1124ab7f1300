"""What the REST API is taken for, by its answers."""

import pytest

from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.rest import RestApi
from understack_nautobot_settings.reconciliation.rest import token_login
from understack_nautobot_settings.reconciliation.secret import Secret

TOKEN = Secret("5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83")


class Answering(RestApi):
    """Answers every request with one status."""

    def __init__(self, status):
        super().__init__("https://nautobot", TOKEN, context=None, seconds=1)
        self.status = status

    def request(self, *_request, **_options):
        return self.status, None


@pytest.mark.parametrize(("status", "accepted"), [(200, True), (401, False)])
def test_login_is_accepted_or_not_by_what_nautobot_answers(status, accepted):
    assert Answering(status).accepts(token_login(TOKEN)) is accepted


@pytest.mark.parametrize("status", [204, 404, 405])
def test_answer_of_a_proxy_tells_nothing_of_a_login(status):
    """An ingress may answer OPTIONS itself, and a right password would be set again."""
    with pytest.raises(Unusable) as raised:
        Answering(status).accepts(token_login(TOKEN))

    assert str(raised.value) == (
        f"the server does not answer OPTIONS as a Nautobot does: HTTP {status}"
    )


def test_change_that_is_forbidden_is_not_blamed_on_the_permissions_alone():
    """Nautobot answers a token that may not write alike."""

    class Forbidding(Answering):
        def request(self, method, *_request, **_options):
            return 200 if method == "OPTIONS" else 403, {"detail": "s3cret"}

    with pytest.raises(Refused) as raised:
        Forbidding(0).change("POST", "users/users/", {})

    assert str(raised.value) == (
        "HTTP 403 (the user lacks a permission, or its token may not write)"
    )


def test_log_of_keys_that_cannot_be_written_is_reported(monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    with pytest.raises(Unusable) as raised:
        Answering(200)

    assert str(raised.value) == ("OpenSSL starts no TLS: No such file or directory")
    assert "SSLKEYLOGFILE" in raised.value.hint
