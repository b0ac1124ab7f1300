"""The REST API of the Nautobot in this process."""

import json

from django.test import Client

from understack_nautobot_settings.reconciliation import rest


class InProcess(rest.RestApi):
    """Hands requests to Django in this process, inside the test's transaction."""

    def request(self, method, path, body=None, login=None):
        answered = Client().generic(
            method,
            path if path.startswith("/") else f"/api/{path}",
            b"" if body is None else json.dumps(body),
            content_type="application/json",
            HTTP_ACCEPT="application/json",
            HTTP_AUTHORIZATION=(login or self._login).reveal(),
        )
        return rest._answer(answered.status_code, answered.content)
