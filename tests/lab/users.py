"""Work done as another user, far from any terminal."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

NOBODY = 65534


def clients() -> tuple[int, ...]:
    """Return the users that this machine lets us be: root and nobody, or ourselves."""
    return (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)


def as_user(
    uid: int,
    work: Callable[[], T],
    *,
    gid: int | None = None,
    groups: Sequence[int] = (),
) -> T:
    """Return what a function returns in a process of this user.

    The process has no terminal and nothing to read from, so that a question for a
    password is an error.

    Args:
        uid: The user; our own needs no privilege.
        work: The function; what it returns has to be picklable.
        gid: The group, by default the one of the same number.
        groups: Supplementary groups.

    Raises:
        AssertionError: The function raised; the text is its traceback.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            if uid != os.geteuid():
                os.setgroups(list(groups))
                os.setgid(uid if gid is None else gid)
                os.setuid(uid)
            try:
                answer = (True, work())
            except BaseException:  # noqa: BLE001 - the parent raises it
                answer = (False, traceback.format_exc())  # type: ignore[assignment]
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(answer, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    done, answer = pickle.loads(data)
    assert done, answer
    return answer  # type: ignore[no-any-return]
