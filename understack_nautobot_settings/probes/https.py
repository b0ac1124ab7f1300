"""Any HTTPS server that demands a client certificate."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from collections.abc import Mapping
from urllib.parse import urlsplit

from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.gateway import closed_on_hello_problem
from understack_nautobot_settings.probes.gateway import closed_problem
from understack_nautobot_settings.probes.gateway import silent_problem
from understack_nautobot_settings.probes.handshake import lost_problem
from understack_nautobot_settings.probes.handshake import secure
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.tls import Explain
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.problems import Problem

PORT = 443
URL_NAME = "URL"
LONGEST_STATUS_LINE = 1024

_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_REDIRECT = 300


def probe_https(
    attempt: Attempt,
    url: str,
    env: Mapping[str, str],
    network: Network,
    *,
    prefix: str = "",
    clock: Callable[[], float] = time.time,
) -> None:
    """Fetch a URL with the client certificate that variables of any prefix name.

    Args:
        attempt: Where the stages go.
        url: ``https://host:port/path``.
        env: The environment; reads ``<prefix>CLIENT_CERT``, ``<prefix>CLIENT_KEY``
            and ``<prefix>CA``. What is unset is not used, and without a CA the
            system's are trusted.
        network: The network.
        prefix: Prefix of the variables, ``NOETL_TLS_``.
        clock: Seconds since the epoch.

    Raises:
        Failed: A stage was not passed.
    """
    parts = urlsplit(url)
    start = prefix or "<--tls-prefix>"
    names = {part: f"{start}{part}" for part in ("CLIENT_CERT", "CLIENT_KEY", "CA")}
    paths = {
        part: (env.get(name, "").strip() or None) if prefix else None
        for part, name in names.items()
    }
    tls = Tls(
        ca=paths["CA"],
        verify=True,
        check_hostname=True,
        cert=paths["CLIENT_CERT"],
        key=paths["CLIENT_KEY"],
        driver_judges=False,
        names_host=True,
        protocol="http/1.1",
        ca_variable=names["CA"],
        cert_variable=names["CLIENT_CERT"],
        key_variable=names["CLIENT_KEY"],
    )
    endpoint = Endpoint(
        "the server", parts.hostname or "", parts.port or PORT, URL_NAME
    )
    route, connection = reach(attempt, network, endpoint)

    def not_tls() -> Problem:
        return codes.PROBE_NOT_TLS.problem(
            URL_NAME,
            f"{endpoint.place} does not speak TLS.",
            "Use its TLS port, or turn TLS on there.",
        )

    explain = Explain(
        route.connect,
        lambda: closed_on_hello_problem(route, tls),
        lambda: silent_problem(route),
        not_tls,
        lambda: closed_problem(route),
    )
    with connection:
        secured = secure(
            attempt, route, connection, tls, explain, clock=clock
        ).connection
        path = parts.path or "/"
        # A query may hold a token: it is sent, and never shown.
        query = f"?{parts.query}" if parts.query else ""
        request = (
            f"GET {path}{query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        )
        with secured:
            try:
                with attempt.stage("query") as stage:
                    line = _status_line(secured, request, attempt.timer())
                    status = _status(line)
                    stage.detail = f"GET {path}: {status or 'no HTTP'}"
                    if _REDIRECT <= status < _CLIENT_ERROR:
                        stage.detail += ", a redirect that is not followed"
                    if status == 0 or status >= _CLIENT_ERROR:
                        attempt.symptom = f"status {status}"
                        attempt.quote(line)
                        raise Failed(_http_problem(status, endpoint, path))
            except OSError as error:
                failure = error
                attempt.fail_last(
                    attempt.explained(
                        f"query {symptom_of(failure)}",
                        lambda: lost_problem(failure, tls, route, explain),
                    )
                )


def _status_line(
    connection: socket.socket, request: str, seconds_left: Callable[[], float]
) -> str:
    connection.settimeout(seconds_left())
    connection.sendall(request.encode())
    said = b""
    while b"\r\n" not in said and len(said) < LONGEST_STATUS_LINE:
        connection.settimeout(seconds_left())
        more = connection.recv(LONGEST_STATUS_LINE)
        if not more:
            raise ConnectionResetError
        said += more
    return said.partition(b"\r\n")[0].decode("ascii", "replace")


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    number = rest[:3]
    return int(number) if version.startswith("HTTP/") and number.isdecimal() else 0


def _http_problem(status: int, endpoint: Endpoint, path: str) -> Problem:
    if status == 0:
        return codes.PROBE_HTTP_STATUS.problem(
            URL_NAME,
            f"{endpoint.place} answers over TLS, but not in HTTP.",
            "Correct host and port.",
        )
    kind = (
        codes.PROBE_HTTP_UNAVAILABLE
        if status >= _SERVER_ERROR
        else codes.PROBE_HTTP_STATUS
    )
    return kind.problem(
        URL_NAME,
        f"{endpoint.place} answers {path} with status {status}.",
        "Correct the path, or look into the log of the server.",
    )
