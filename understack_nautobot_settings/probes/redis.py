"""Redis as cache and broker reach it, in a few words of its protocol."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from urllib.parse import parse_qs
from urllib.parse import unquote
from urllib.parse import urlsplit

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Journey
from understack_nautobot_settings.probes.gateway import ANSWERS
from understack_nautobot_settings.probes.gateway import answer
from understack_nautobot_settings.probes.gateway import closed_problem
from understack_nautobot_settings.probes.gateway import greeting
from understack_nautobot_settings.probes.gateway import hang_up_problem
from understack_nautobot_settings.probes.gateway import silent_problem
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.tls import Explain
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import lost_problem
from understack_nautobot_settings.probes.tls import secure
from understack_nautobot_settings.problems import Problem

PORT = 6379
OTHER_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "sentinel": 26379}
"""Ports by scheme, of brokers that are reached for and not spoken with."""

LONGEST_REPLY = 65536

_LOOK_SECONDS = 2.0
_SCHEMES = ("redis", "rediss", "unix", "redis+socket")
_BUSY_WORDS = ("LOADING", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN")
_TLS_ALERT = b"\x15"


class Login(NamedTuple):
    """Where to, and as whom.

    Attributes:
        endpoint: Where Redis is.
        scheme: Scheme of the URL.
        username: ACL user, empty for the default one.
        password: The password, empty for none.
        database: Number of the database.
    """

    endpoint: Endpoint
    scheme: str
    username: str
    password: str
    database: int


class Refused(Exception):
    """Redis answered with an error; holds its first word and nothing else."""

    def __init__(self, word: str) -> None:
        """Keep the word."""
        super().__init__(word)
        self.word = word


class NotRedis(Exception):
    """Something else than Redis answered."""


def probe_cache(
    journey: Journey,
    settings: Mapping[str, Any],
    network: Network,
    *,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reach the default cache as django-redis would."""
    cache = (settings.get("CACHES") or {}).get("default") or {}
    options = cache.get("OPTIONS") or {}
    pool = options.get("CONNECTION_POOL_KWARGS") or {}
    location = cache.get("LOCATION") or ""
    url = location if isinstance(location, str) else next(iter(location), "")
    if "redis" not in str(cache.get("BACKEND", "redis")).lower():
        journey.skip("dns", "the cache is not Redis")
        return
    if "Sentinel" in str(options.get("CLIENT_CLASS", "")):
        host, port = next(iter(options.get("SENTINELS") or (("", 0),)))
        url = f"sentinel://{host}:{port}"
    credentials = {
        "username": pool.get("username") or options.get("USERNAME"),
        "password": pool.get("password") or options.get("PASSWORD"),
    }
    login = _login(url.split(",")[0], credentials, "")
    _probe(journey, login, _tls(login.scheme, pool), network, clock)


def probe_broker(
    journey: Journey,
    settings: Mapping[str, Any],
    network: Network,
    *,
    own_url: bool = False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reach the Celery broker as kombu would.

    Args:
        journey: Where the stages go.
        settings: Django settings by name.
        network: The network.
        own_url: Whether the operator wrote the URL himself.
        clock: Seconds since the epoch.
    """
    url = str(settings.get("CELERY_BROKER_URL") or "").split(";")[0]
    scheme = scheme_of(url)
    if scheme not in _SCHEMES and scheme not in OTHER_PORTS:
        # Its URL need not hold a place, and may hold a key where others have a port.
        journey.skip("dns", f"not looked at for {scheme}://")
        return
    ssl_options = settings.get("CELERY_BROKER_USE_SSL")
    options = ssl_options if isinstance(ssl_options, Mapping) else {}
    variable = variables.CELERY_BROKER_URL.name if own_url else ""
    login = _login(url, {}, variable)
    _probe(journey, login, _tls(login.scheme, options), network, clock)


def _probe(
    journey: Journey,
    login: Login,
    tls: Tls | None,
    network: Network,
    clock: Callable[[], float],
) -> None:
    route, connection = reach(journey, network, login.endpoint)
    try:
        if login.scheme not in _SCHEMES:
            journey.skip("tls", f"not looked at for {login.scheme}://")
            return
        explain = _explain(route, tls)
        if tls is None:
            journey.skip("tls", "plain text, as configured")
            journey.skip("identity", "nobody proves who he is without TLS")
        else:
            connection = secure(journey, route, connection, tls, explain, clock=clock)

        def lost(error: OSError) -> Problem:
            if isinstance(error, TimeoutError):
                return explain.silent()
            if tls is None:
                return explain.hung_up()
            return lost_problem(error, tls, login.endpoint, explain, clock())

        _converse(journey, connection, login, lost)
    finally:
        connection.close()


def _converse(
    journey: Journey,
    connection: socket.socket,
    login: Login,
    lost: Callable[[OSError], Problem],
) -> None:
    endpoint = login.endpoint
    redis = Conversation(connection)
    try:
        with journey.stage("login") as stage:
            connection.settimeout(journey.patience)
            if login.password:
                words = (login.username, login.password)
                redis.ask("AUTH", *(word for word in words if word))
            if login.database:
                redis.ask("SELECT", str(login.database))
            who = _whoami(redis)
            stage.detail = f"database {login.database}"
            if who:
                stage.detail = f"as {who}, {stage.detail}"
        with journey.stage("query") as stage:
            connection.settimeout(journey.patience)
            stage.detail = f"PING: {redis.ask('PING')}"
    except Refused as refused:
        problem = _refusal(refused.word, login)
    except NotRedis:
        problem = codes.PROBE_NOT_REDIS.problem(
            endpoint.variable,
            f"{endpoint.place} answers, and not as Redis does.",
            "Correct host and port.",
        )
    except OSError as error:
        problem = lost(error)
    else:
        return
    journey.break_off(problem)


def _whoami(redis: Conversation) -> str:
    try:
        return redis.ask("ACL", "WHOAMI")
    except Refused as refused:
        if refused.word in {"NOPERM", "ERR"}:
            return ""
        raise


class Conversation:
    """Commands and their replies, one at a time (RESP2)."""

    def __init__(self, connection: socket.socket) -> None:
        """Talk over this connection."""
        self._connection = connection
        self._said = b""

    def ask(self, *words: str) -> str:
        """Send a command and return its reply as text.

        Raises:
            Refused: The reply is an error.
            NotRedis: It is no reply of Redis.
            OSError: The connection is lost, or time is up.
        """
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            content = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(content), content))
        self._connection.sendall(b"".join(parts))
        line = self._line()
        kind, text = line[:1], line[1:].decode(errors="replace")
        if kind in (b"+", b":"):
            return text
        if kind == b"-":
            raise Refused(text.split(" ", 1)[0])
        if kind == b"$":
            try:
                length = int(text)
            except ValueError:
                raise NotRedis from None
            return self._take(length + 2)[:-2].decode(errors="replace")
        raise NotRedis

    def _line(self) -> bytes:
        while b"\r\n" not in self._said:
            if len(self._said) > LONGEST_REPLY:
                raise NotRedis
            self._read()
        line, _, self._said = self._said.partition(b"\r\n")
        return line

    def _take(self, length: int) -> bytes:
        if length > LONGEST_REPLY:
            raise NotRedis
        while len(self._said) < length:
            self._read()
        taken, self._said = self._said[:length], self._said[length:]
        return taken

    def _read(self) -> None:
        data = self._connection.recv(4096)
        if not data:
            raise ConnectionResetError
        self._said += data
        if self._said[:1] not in (b"+", b"-", b":", b"$"):
            raise ConnectionAbortedError if data[:1] == _TLS_ALERT else NotRedis


def _login(url: str, credentials: Mapping[str, Any], variable: str) -> Login:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    query = parse_qs(parts.query)
    path = unquote(parts.path)
    if scheme in {"unix", "redis+socket"}:
        host, port, number = path, 0, query.get("db", ["0"])[0]
    else:
        host = unquote(parts.hostname or "localhost")
        number = path.strip("/")
        port = parts.port or OTHER_PORTS.get(scheme, PORT)
    server = "Redis" if scheme in _SCHEMES else "the broker"
    return Login(
        endpoint=Endpoint(server, host, port, variable or variables.REDIS_HOST.name),
        scheme=scheme,
        username=unquote(parts.username or "") or credentials.get("username") or "",
        password=unquote(parts.password or "") or credentials.get("password") or "",
        database=int(number) if number.isdecimal() else 0,
    )


def _tls(scheme: str, options: Mapping[str, Any]) -> Tls | None:
    if scheme != "rediss":
        return None
    verify = options.get("ssl_cert_reqs", "required") != "none"
    return Tls(
        ca=options.get("ssl_ca_certs"),
        verify=verify,
        check_hostname=verify and bool(options.get("ssl_check_hostname", True)),
        cert=options.get("ssl_certfile"),
        key=options.get("ssl_keyfile"),
        strict=True,
        names_host=True,
        protocol=None,
        ca_variable=variables.REDIS_SSL_CA_CERTS.name,
        cert_variable=variables.REDIS_SSL_CERTFILE.name,
        key_variable=variables.REDIS_SSL_KEYFILE.name,
    )


def _explain(route: Route, tls: Tls | None) -> Explain:
    endpoint = route.endpoint

    def hung_up() -> Problem:
        if tls is not None:
            return hang_up_problem(route, tls)
        return plain_text_problem(route) or closed_problem(route)

    def silent() -> Problem:
        if tls is not None and _answers_in_plain_text(route):
            return not_tls()
        return silent_problem(route)

    def not_tls() -> Problem:
        return codes.PROBE_NOT_TLS.problem(
            endpoint.variable,
            f"{endpoint.place} does not speak TLS.",
            f"Use the TLS port of Redis, or set {variables.REDIS_MTLS.name}=off where "
            "it has none.",
        )

    return Explain(
        route.connect, hung_up, silent, not_tls, lambda: closed_problem(route)
    )


def _answers_in_plain_text(route: Route) -> bool:
    try:
        with route.connect(_LOOK_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False


def plain_text_problem(route: Route) -> Problem | None:
    """Return the problem of plain text at a TLS port, None where it is no such port."""
    if answer(route, greeting(route.endpoint.host, None)) != ANSWERS:
        return None
    return codes.PROBE_TLS_REQUIRED.problem(
        route.endpoint.variable,
        f"{route.endpoint.place} speaks TLS, and plain text is configured.",
        "Mount the client certificate, or set "
        f"{variables.REDIS_SSL.name}=true where Redis wants none.",
    )


def _refusal(word: str, login: Login) -> Problem:
    place, variable = login.endpoint.place, variables.REDIS_PASSWORD.name
    who = f"user {login.username}" if login.username else "the default user"
    if word == "NOAUTH":
        return codes.PROBE_REDIS_AUTH.problem(
            variable,
            f"{place} wants a password, and none is configured.",
            "Set it to the password in the secret nautobot-redis.",
        )
    if word in {"WRONGPASS", "ERR"} and login.password:
        return codes.PROBE_REDIS_AUTH.problem(
            variable,
            f"{place} does not take this password for {who} ({word}).",
            "Set it to the password in the secret nautobot-redis, or unset it where "
            "Redis has none.",
        )
    if word == "NOPERM":
        return codes.PROBE_REDIS_PERMISSION.problem(
            variables.REDIS_USERNAME.name,
            f"{place} does not let {who} run the commands that are needed.",
            "Extend the ACL of the user.",
        )
    if word in _BUSY_WORDS:
        return codes.PROBE_REDIS_BUSY.problem(
            login.endpoint.variable,
            f"{place} is not ready yet ({word}).",
            "Wait until it has loaded its data, or has found its master.",
        )
    return codes.PROBE_REDIS_ERROR.problem(
        login.endpoint.variable,
        f"{place} refuses to serve ({word}).",
        "Look into its log; it may be out of connections, memory, or databases.",
    )
