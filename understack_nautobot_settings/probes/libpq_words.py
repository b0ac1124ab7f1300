"""What libpq says about a failure, which is all that a driver hands on.

libpq's own words are English wherever no translation is installed, and the wheels of
both drivers bring none. What is not known here is not interpreted.
"""

from __future__ import annotations

import re

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.problems import Problem

_SERVER = re.compile(r"(?:FATAL|ERROR|PANIC):\s+(.*)")
_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13|ssl/tls) alert [a-z ]+")

# The states of a server that target_session_attrs does not take.
_SESSION_ATTRIBUTES = (
    "session is read-only",
    "session is not read-only",
    "server is in hot standby mode",
    "server is not in hot standby mode",
)

# Words of libpq about this machine, or about what both sides demand: none passes by
# itself.
_OWN = (
    "private key file",
    "certificate file",
    "could not load",
    "could not read",
    "invalid ",
    "authentication method requirement",
    "channel binding",
    "could not find digest",
    "authentication method",
    "not supported",
    "requires",
    "weak sslmode",
    "unrecognized",
    "could not match",
    "GSSAPI encryption",
)


def server_words(text: str) -> str:
    """Return the last thing that the server itself said, empty for nothing."""
    found = _SERVER.findall(text)
    return str(found[-1]).strip() if found else ""


def alert_in(text: str) -> str:
    """Return the alert of the server as Python's ssl names it, empty for none."""
    found = _ALERT.search(text)
    words = found[0].strip().replace("ssl/tls", "sslv3") if found else ""
    return words.replace(" ", "_").upper()


def own_problem(text: str, place: str) -> Problem | None:
    """Return the problem that libpq's own words name, None where they name none.

    To be asked where the server itself said nothing.
    """
    if "no password supplied" in text:
        return codes.PROBE_DB_PASSWORD.problem(
            variables.DB_PASSWORD.name,
            f"{place} requires a password, and none is configured.",
            "Set it, or let pg_hba.conf ask for the certificate alone.",
        )
    if any(words in text for words in _SESSION_ATTRIBUTES):
        return codes.PROBE_DB_SESSION.problem(
            variables.DB_EXTRA_OPTIONS.name,
            f"no server at {place} is in the state that target_session_attrs demands.",
        )
    if "certificate verify failed" in text:
        return codes.PROBE_SERVER_UNVERIFIED.problem(
            variables.DB_HOST.name,
            f"libpq does not accept the certificate of {place}.",
        )
    if "more than the driver could hold" in text or "out of memory" in text:
        return codes.PROBE_NOT_POSTGRESQL.problem(
            variables.DB_HOST.name,
            f"{place} sends more than PostgreSQL would, and was cut off.",
        )
    if any(words in text for words in _OWN):
        return codes.PROBE_LIBPQ.problem(
            variables.DB_HOST.name,
            f"libpq does not connect to {place}: {text.rpartition(' failed: ')[2]}.",
        )
    return None
