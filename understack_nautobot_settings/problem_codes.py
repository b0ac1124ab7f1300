"""Every code a problem can carry: what causes it and what mends it.

The codes are stable: alerts and runbooks may match on them. The reference in
the documentation is generated from this module.
"""

from __future__ import annotations

from typing import NamedTuple

from understack_nautobot_settings.errors import ERROR
from understack_nautobot_settings.errors import MissingFile
from understack_nautobot_settings.errors import Problem


class Code(NamedTuple):
    """One kind of problem.

    Attributes:
        id: The stable identifier, words joined by hyphens.
        severity: ``"error"`` or ``"warning"``.
        cause: Why it happens, for the reference.
        fix: What mends it, for the reference.
        replaces: The troubleshooting row of the product documents that it
            makes unnecessary; empty when there is none.
    """

    id: str
    severity: str
    cause: str
    fix: str
    replaces: str = ""

    def problem(self, variable: str, message: str, hint: str = "") -> Problem:
        """Return a problem of this kind."""
        return Problem(self.id, self.severity, variable, message, hint)

    def missing_file(self, variable: str, message: str, hint: str) -> MissingFile:
        """Return a problem of this kind that stands for a missing file."""
        return MissingFile(self.id, self.severity, variable, message, hint)


# --- reading variables ---------------------------------------------------------

VALUE_QUOTED = Code(
    "value-quoted",
    ERROR,
    "The value is wrapped in quotes, usually by one layer of YAML or shell too many.",
    "Remove the quotes; they are part of the value that reaches the process.",
)
VALUE_INVALID = Code(
    "value-invalid",
    ERROR,
    "The value is not one that the variable takes.",
    "Use one of the values that the message lists.",
)
VALUE_NOT_UTF8 = Code(
    "value-not-utf8",
    ERROR,
    "The value holds bytes that are not UTF-8.",
    "Store the value as UTF-8 text.",
)
PATH_IS_PEM = Code(
    "path-is-pem",
    ERROR,
    "A variable that takes a path holds the certificate or key itself.",
    "Mount the file and set the variable to its path.",
)
FILE_AND_VALUE = Code(
    "file-and-value",
    ERROR,
    "A secret is given twice: as a variable and as a file.",
    "Unset one of the two.",
)
SECRET_FILE_UNREADABLE = Code(
    "secret-file-unreadable",
    ERROR,
    "The file that holds a secret is missing or cannot be read.",
    "Mount the secret, or correct the path.",
)

# --- files ---------------------------------------------------------------------

FILE_MISSING = Code(
    "file-missing",
    ERROR,
    "A certificate, key or CA file that the active mode needs does not exist.",
    "Mount the secret `nautobot-mtls-client` at `/etc/nautobot/mtls`, "
    "or correct the path.",
    "Worker pod fails to start with FileNotFoundError",
)
FILE_UNREADABLE = Code(
    "file-unreadable",
    ERROR,
    "The process may not read the file: owner or mode of the mounted secret.",
    "Set `securityContext.fsGroup` of the pod to the group of the process.",
)
FILE_EMPTY = Code(
    "file-empty",
    ERROR,
    "The file exists and holds nothing: the secret has an empty key.",
    "Check the source of the secret (ExternalSecret, cert-manager Certificate).",
)
FILE_NOT_REGULAR = Code(
    "file-not-regular",
    ERROR,
    "The path names a directory or a device, not a file.",
    "Point the variable at the file inside the mounted directory.",
)

# --- site identity -------------------------------------------------------------

SITE_NAME_INVALID = Code(
    "site-name-invalid",
    ERROR,
    "A partition or site name has a character that a Celery queue name or a device "
    "URN does not take.",
    "Use letters, digits, `.`, `_` and `-` only.",
)
