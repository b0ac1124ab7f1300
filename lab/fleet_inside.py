"""What the fleet demonstration does inside Nautobot; see `Nautobot.call`."""

from __future__ import annotations

from collections.abc import Mapping


def bootstrap(keys: Mapping[str, str]) -> None:
    """Create superusers with API tokens, as a global cluster does for a site.

    Args:
        keys: The API tokens by username.
    """
    from django.contrib.auth import get_user_model
    from nautobot.users.models import Token

    for username, key in keys.items():
        user = get_user_model().objects.create_superuser(username, "", key)
        Token(user=user, key=key).validated_save()
