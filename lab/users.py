"""Being another user for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager

NOBODY = 65534


def clients() -> tuple[int, ...]:
    """Return the users that this machine lets us be: root and nobody, or ourselves."""
    return (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)


@contextmanager
def as_user(uid: int, groups: Sequence[int] = ()) -> Iterator[None]:
    """Be the effective user, in the group of the same number, of a block.

    Files are opened with the rights of this user. Being who we are needs no
    privilege and changes nothing.

    Args:
        uid: The user.
        groups: Supplementary groups.
    """
    user, group, others = os.geteuid(), os.getegid(), os.getgroups()
    if uid == user:
        yield
        return
    os.setgroups(list(groups))
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(others)
