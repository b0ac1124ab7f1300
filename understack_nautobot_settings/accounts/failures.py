"""Why a Nautobot could not be read or changed; no text holds a secret."""


class Refused(Exception):
    """Nautobot does not accept one change."""


class Unreachable(Exception):
    """Nautobot cannot be asked now; trying again later may help."""


class Unusable(Exception):
    """The URL, or what answers there, cannot be used; somebody has to act."""
