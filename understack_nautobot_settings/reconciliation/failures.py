"""Why a Nautobot could not be read or changed; no text holds a secret."""


class Refused(Exception):
    """Nautobot does not accept one change, or does not show what is asked for."""


class Unreachable(Exception):
    """Nautobot cannot be asked now; trying again later may help."""


class Unusable(Exception):
    """The URL, the token, or what answers there is of no use; somebody has to act."""

    def __init__(self, fact: str, hint: str | None = None) -> None:
        """Say what is wrong, and what to do about it if not the usual."""
        super().__init__(fact)
        self.hint = hint
