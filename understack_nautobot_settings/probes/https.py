"""Any HTTPS server that demands a client certificate."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Incoming
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.server import Server
from understack_nautobot_settings.probes.tls import Tls

PORT = 443
URL_NAME = "URL"
LONGEST_STATUS_LINE = 1024

_SERVER_ERROR = 500
# The server is asked too early, or too often.
_LATER = (408, 425, 429)
_CLIENT_ERROR = 400
# nginx answers 400 to a missing certificate as well as to one that it does not accept.
_REFUSALS = (400, 401, 403)
_REDIRECT = 300
_NO_HTTP = "over TLS, but not in HTTP"


def leads_somewhere(url: str) -> bool:
    """Tell whether a URL names a host, and no user: no probe would send a password."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    # A blank or a control character would end the line of the request.
    return usable and url.isascii() and url.isprintable() and " " not in url


def probe_https(
    attempt: Attempt,
    url: str,
    env: Mapping[str, str],
    network: Network,
    *,
    prefix: str = "",
) -> None:
    """Fetch a URL with the client certificate that variables of a prefix name.

    For the prefix ``NOETL_TLS_`` the files are in ``NOETL_TLS_CLIENT_CERT``,
    ``NOETL_TLS_CLIENT_KEY`` and ``NOETL_TLS_CA``. What is unset is not used; without a
    CA the system's are trusted. Raises `Failed` where a stage is not passed.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORT
    endpoint = Endpoint("the server", host, port, URL_NAME)
    server = Server(attempt, network, (endpoint,), _tls(env, prefix))
    path = parts.path or "/"
    # A query may hold a token: it is sent, and never shown.
    query = f"?{parts.query}" if parts.query else ""
    request = (
        f"GET {path}{query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    with (
        server.reach() as connection,
        server.secure(connection) as secured,
        server.talk("query"),
    ):
        incoming = Incoming(secured, attempt)
        incoming.send(request.encode())
        line = incoming.line(LONGEST_STATUS_LINE).decode("ascii", "replace")
        said = re.match(r"HTTP/\S* (\d{3})", line)
        status = int(said[1]) if said else 0
        attempt.detail = f"GET {path}: {status or 'no HTTP'}"
        if _REDIRECT <= status < _CLIENT_ERROR:
            attempt.detail += ", a redirect that is not followed"
        elif not 0 < status < _REDIRECT:
            attempt.quote(line)
            failed = status >= _SERVER_ERROR or status in _LATER
            code = codes.PROBE_HTTP_UNAVAILABLE if failed else codes.PROBE_HTTP_STATUS
            fact = f"{path} with status {status}" if status else _NO_HTTP
            hint = _about_certificate(server.tls) if status in _REFUSALS else None
            raise Failed(endpoint.problem(code, f"answers {fact}.", hint))


def _about_certificate(tls: Tls) -> str:
    """Return what may help where a server may be unwilling for the certificate."""
    own, name = tls.own_certificate, tls.cert.variable
    remedy = f"If the server wants a client certificate, set {name}"
    if own is not None:
        remedy = (
            f"If it is about the client certificate in {name} ({own.subject}, issued "
            f"by {own.issuer}, {own.dates}), present one that the server accepts"
        )
    return f"{remedy}. Otherwise, correct the URL, or look into the log of the server."


def _tls(env: Mapping[str, str], prefix: str) -> Tls:
    cert, key, ca = (
        CertificateFile(
            env.get(f"{prefix}{part}", "").strip() if prefix else "",
            f"{prefix or '<--tls-prefix>'}{part}",
        )
        for part in ("CLIENT_CERT", "CLIENT_KEY", "CA")
    )
    return Tls(cert, key, ca, verify=True, check_hostname=True, protocol="http/1.1")
