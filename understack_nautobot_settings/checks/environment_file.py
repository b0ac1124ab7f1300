"""Another pod's environment, as ``env`` prints it."""

from __future__ import annotations

import re

from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_text

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"


class EnvironmentFileError(ValueError):
    """The file holds no environment; the text names the line and no content."""


def read_environment(path: str) -> dict[str, str]:
    """Return the environment that a file lists.

    The file is what ``kubectl exec POD -- env`` prints or ``docker --env-file``
    takes: ``NAME=VALUE`` on each line, the value as it stands, quotes included;
    blank lines and lines that begin with ``#`` are left out. What ``env -0`` prints,
    or ``/proc/1/environ`` holds, may have line breaks in its values.

    Args:
        path: The file.

    Raises:
        EnvironmentFileError: It cannot be read, or a line is something else.
    """
    try:
        text = read_text(path)
    except FileRefused as refused:
        raise EnvironmentFileError(
            f"{refused.words}. Write it by 'kubectl exec POD -- env'"
        ) from None
    env: dict[str, str] = {}
    separator = "\0" if "\0" in text else "\n"
    for number, line in enumerate(text.split(separator), 1):
        if separator == "\n":
            line = line.removesuffix("\r")  # noqa: PLW2901 - as Windows writes it
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        elif not line:
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(_NAME, name):
            raise EnvironmentFileError(
                f"has no NAME=VALUE in line {number}. Write it by 'env', or by "
                "'env -0' where a value has line breaks"
            )
        if name in env:
            raise EnvironmentFileError(
                f"sets {name} again in line {number}. Remove one of the two lines"
            )
        env[name] = value
    return env
