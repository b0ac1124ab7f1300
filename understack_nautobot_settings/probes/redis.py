"""Redis as cache and broker reach it, in a few words of its protocol."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from urllib.parse import parse_qs
from urllib.parse import unquote
from urllib.parse import urlsplit

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import SOCKET_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.gateway import closed_on_hello_problem
from understack_nautobot_settings.probes.gateway import closed_problem
from understack_nautobot_settings.probes.gateway import not_this_server
from understack_nautobot_settings.probes.gateway import protocol_for_name
from understack_nautobot_settings.probes.gateway import said_to
from understack_nautobot_settings.probes.gateway import silent_problem
from understack_nautobot_settings.probes.handshake import lost_problem
from understack_nautobot_settings.probes.handshake import secure
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.network import Route
from understack_nautobot_settings.probes.network import reach
from understack_nautobot_settings.probes.tls import Explain
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import symptom_of
from understack_nautobot_settings.problems import Problem

PORT = 6379
OTHER_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "sentinel": 26379}
"""Ports by scheme, of brokers that are reached for and not spoken with."""

LONGEST_REPLY = 65536

_LONGEST_NUMBER = 9
_MOST_PARTS = 16
_KEPT_MILLISECONDS = "60000"
_BUSY_WORDS = ("LOADING", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN")
_READ_ONLY_WORDS = {
    "READONLY": ": it is a replica",
    "OOM": ": its memory is full",
    "MISCONF": ": it cannot save its data",
    "NOREPLICAS": ": too few of its replicas are connected",
}
_CLUSTER = "CLUSTER"
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


class Use(NamedTuple):
    """What cache or broker do with Redis, and where.

    Attributes:
        key: A key of their own form that nobody else has.
        write: Command that writes it.
        channel: A channel that is listened to, empty for none.
    """

    key: str
    write: tuple[str, ...]
    channel: str


class Refused(Exception):
    """Redis answered with an error.

    Attributes:
        word: Its first word.
    """

    def __init__(self, text: str) -> None:
        """Keep the text."""
        super().__init__(text)
        self.word = text.split(" ", 1)[0]


class NotRedis(Exception):
    """Something else than Redis answered."""


def probe_cache(
    attempt: Attempt,
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
        attempt.skip("dns", "the cache is not Redis")
        return
    if "Sentinel" in str(options.get("CLIENT_CLASS", "")):
        host, port = next(iter(options.get("SENTINELS") or (("", 0),)))
        url = f"sentinel://{host}:{port}"
    credentials = {
        "username": pool.get("username") or options.get("USERNAME"),
        "password": pool.get("password") or options.get("PASSWORD"),
    }
    login = _login(url.split(",")[0], credentials, "")
    # As Django makes the keys of a cache.
    prefix, version = cache.get("KEY_PREFIX") or "", cache.get("VERSION") or 1
    key = f"{prefix}:{version}:{_own_name()}"
    use = Use(key, ("SET", key, "1", "PX", _KEPT_MILLISECONDS), "")
    _probe(attempt, login, _tls(login.scheme, pool), use, network, clock=clock)


def probe_broker(
    attempt: Attempt,
    settings: Mapping[str, Any],
    network: Network,
    *,
    own_url: bool = False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reach the Celery broker as kombu would.

    Args:
        attempt: Where the stages go.
        settings: Django settings by name.
        network: The network.
        own_url: Whether the operator wrote the URL himself.
        clock: Seconds since the epoch.
    """
    url = str(settings.get("CELERY_BROKER_URL") or "").split(";")[0]
    scheme = scheme_of(url)
    if scheme not in REDIS_SCHEMES and scheme not in OTHER_PORTS:
        # Its URL need not hold a place, and may hold a key where others have a port.
        attempt.skip("dns", f"not looked at for {scheme}://")
        return
    if scheme == "unix":
        with attempt.stage("settings"):
            raise Failed(
                codes.PROBE_BROKER_SCHEME.problem(
                    variables.REDIS_SCHEME.name,
                    "Celery has no transport for unix:// as broker URL.",
                )
            )
    ssl_options = settings.get("CELERY_BROKER_USE_SSL")
    options = ssl_options if isinstance(ssl_options, Mapping) else {}
    variable = variables.CELERY_BROKER_URL.name if own_url else ""
    login = _login(url, {}, variable)
    transport = settings.get("CELERY_BROKER_TRANSPORT_OPTIONS") or {}
    prefix = str(transport.get("global_keyprefix") or "")
    key = f"{prefix}{_own_name()}"
    # What kombu does for a job, and the channel on which workers are spoken to.
    use = Use(key, ("LPUSH", key, "1"), f"{prefix}/{login.database}.celery.pidbox")
    _probe(attempt, login, _tls(login.scheme, options), use, network, clock=clock)


def _own_name() -> str:
    return f"understack-probe-{secrets.token_hex(8)}"


def _probe(
    attempt: Attempt,
    login: Login,
    tls: Tls | None,
    use: Use,
    network: Network,
    *,
    clock: Callable[[], float],
) -> None:
    route, connection = reach(attempt, network, login.endpoint)
    try:
        if login.scheme not in REDIS_SCHEMES:
            attempt.skip("tls", f"not looked at for {login.scheme}://")
            return
        explain = _explain(route, tls)
        if tls is None:
            attempt.skip("tls", "plain text, as configured")
            attempt.skip("identity", "no TLS: the server's identity is not verified")
        else:
            connection = secure(
                attempt, route, connection, tls, explain, clock=clock
            ).connection

        def lost(error: OSError) -> Problem:
            if isinstance(error, TimeoutError):
                return explain.silent()
            if tls is None:
                return explain.hung_up()
            return lost_problem(error, tls, route, explain)

        _converse(attempt, connection, login, use, lost)
    finally:
        connection.close()


def _converse(
    attempt: Attempt,
    connection: socket.socket,
    login: Login,
    use: Use,
    lost: Callable[[OSError], Problem],
) -> None:
    endpoint = login.endpoint
    redis = Conversation(connection, attempt.timer())
    try:
        with attempt.stage("login") as stage:
            if login.password:
                words = (login.username, login.password)
                redis.ask("AUTH", *(word for word in words if word))
            if login.database:
                redis.ask("SELECT", str(login.database))
            who = _if_allowed(redis, "ACL", "WHOAMI")
            stage.detail = f"database {login.database}"
            if who:
                stage.detail = f"as {who}, {stage.detail}"
        with attempt.stage("query") as stage:
            stage.detail = f"PING: {redis.ask('PING')}"
            _try_use(redis, use)
            stage.detail += ", writes accepted"
    except Refused as refused:
        said = str(refused)
        if login.password:
            said = said.replace(login.password, "***")
        attempt.quote(said)
        attempt.symptom = attempt.symptom or f"refused {refused.word}"
        problem = _refusal(refused.word, said, login)
    except NotRedis:
        attempt.symptom = attempt.symptom or "not redis"
        problem = codes.PROBE_NOT_REDIS.problem(
            endpoint.variable, f"{endpoint.place} answers, but not as Redis does."
        )
    except OSError as error:
        failure = error
        problem = attempt.explained(
            f"login {symptom_of(failure)}", lambda: lost(failure)
        )
    else:
        return
    attempt.fail_last(problem)


def _if_allowed(redis: Conversation, *words: str) -> str:
    """Return a reply, empty where the user may not ask or the server cannot tell."""
    try:
        return redis.ask(*words)
    except Refused as refused:
        if refused.word in {"NOPERM", "ERR"}:
            return ""
        raise


def _try_use(redis: Conversation, use: Use) -> None:
    """Do what cache or broker do: write and delete a key, listen to a channel.

    Raises:
        Refused: Redis does not let them.
    """
    if "cluster_state" in _if_allowed(redis, "CLUSTER", "INFO"):
        raise Refused(_CLUSTER)
    # Both at once: whatever happens in between, the key does not stay.
    redis.ask_all(use.write, ("DEL", use.key))
    if use.channel:
        redis.ask("SUBSCRIBE", use.channel)


class Conversation:
    """Commands and their replies (RESP2), bounded in size and in time."""

    def __init__(
        self, connection: socket.socket, seconds_left: Callable[[], float]
    ) -> None:
        """Talk over this connection.

        Args:
            connection: The connection.
            seconds_left: How long the replies may take, all of them together.
        """
        self._connection = connection
        self._seconds_left = seconds_left
        self._said = b""

    def ask(self, *words: str) -> str:
        """Send a command and return its reply as text.

        Raises:
            Refused: The reply is an error.
            NotRedis: It is no reply of Redis.
            OSError: The connection is lost, or time is up.
        """
        return self.ask_all(words)[0]

    def ask_all(self, *commands: Sequence[str]) -> list[str]:
        """Send commands at once, and return their replies.

        Raises:
            Refused: A reply is an error; the first of them.
            NotRedis: It is no reply of Redis.
            OSError: The connection is lost, or time is up.
        """
        self._connection.settimeout(self._seconds_left())
        self._connection.sendall(b"".join(map(_encoded, commands)))
        replies: list[str] = []
        refused = None
        for _ in commands:
            try:
                replies.append(self._reply())
            except Refused as error:  # noqa: PERF203
                refused = refused or error
        if refused is not None:
            raise refused
        return replies

    def _reply(self, *, nested: bool = False) -> str:
        line = self._line()
        kind, text = line[:1], line[1:].decode(errors="replace")
        if kind in (b"+", b":"):
            return text
        if kind == b"-":
            raise Refused(text)
        if kind == b"*" and not nested:
            return " ".join(
                self._reply(nested=True) for _ in range(_number(text, _MOST_PARTS))
            )
        if kind == b"$":
            return self._take(_number(text, LONGEST_REPLY) + 2)[:-2].decode(
                errors="replace"
            )
        raise NotRedis

    def _line(self) -> bytes:
        while b"\r\n" not in self._said:
            if len(self._said) > LONGEST_REPLY:
                raise NotRedis
            self._read()
        line, _, self._said = self._said.partition(b"\r\n")
        return line

    def _take(self, length: int) -> bytes:
        while len(self._said) < length:
            self._read()
        taken, self._said = self._said[:length], self._said[length:]
        return taken

    def _read(self) -> None:
        self._connection.settimeout(self._seconds_left())
        data = self._connection.recv(4096)
        if not data:
            raise ConnectionResetError
        is_first = not self._said
        self._said += data
        if is_first and data[:1] == _TLS_ALERT:
            raise ConnectionAbortedError


def _encoded(words: Sequence[str]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        content = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(content), content))
    return b"".join(parts)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER):
        raise NotRedis
    if int(text) > most:
        raise NotRedis
    return int(text)


def _login(url: str, credentials: Mapping[str, Any], variable: str) -> Login:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    query = parse_qs(parts.query)
    path = unquote(parts.path)
    if scheme in SOCKET_SCHEMES:
        host, port, number = path, 0, query.get("db", ["0"])[0]
    else:
        host = unquote(parts.hostname or "localhost")
        number = path.strip("/")
        port = parts.port or OTHER_PORTS.get(scheme, PORT)
    server = "Redis" if scheme in REDIS_SCHEMES else "the broker"
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
        driver_judges=False,
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
            return closed_on_hello_problem(route, tls)
        return plain_text_problem(route) or closed_problem(route)

    def silent() -> Problem:
        if tls is not None and said_to(route, b"PING\r\n") in (b"+", b"-"):
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
        route.connect,
        hung_up,
        silent,
        not_tls,
        lambda: closed_problem(route, "after the TLS handshake"),
        lambda: not_this_server(route, "PostgreSQL"),
    )


def plain_text_problem(route: Route) -> Problem | None:
    """Return the problem of plain text at a TLS port, None where it is no such port."""
    name = None if route.endpoint.is_ip else route.endpoint.host
    if protocol_for_name(route, name, None) is None:
        return None
    return codes.PROBE_TLS_REQUIRED.problem(
        route.endpoint.variable,
        f"{route.endpoint.place} speaks TLS, and plain text is configured.",
        "Mount the client certificate, or set "
        f"{variables.REDIS_SSL.name}=true where Redis wants none.",
    )


def _refusal(word: str, said: str, login: Login) -> Problem:
    place, variable = login.endpoint.place, variables.REDIS_PASSWORD.name
    who = f"user {login.username}" if login.username else "the default user"
    if word == "NOAUTH":
        return codes.PROBE_REDIS_AUTH.problem(
            variable,
            f"{place} wants a password, and none is configured.",
            "Set it to the password in the secret nautobot-redis.",
        )
    is_about_password = word == "ERR" and ("AUTH" in said or "password" in said)
    if login.password and (word == "WRONGPASS" or is_about_password):
        return codes.PROBE_REDIS_AUTH.problem(
            variable,
            f"{place} does not accept this password for {who}.",
            "Set it to the password in the secret nautobot-redis, or unset it where "
            "Redis has none.",
        )
    if word == "NOPERM":
        return codes.PROBE_REDIS_PERMISSION.problem(
            variables.REDIS_USERNAME.name,
            f"the ACL of {place} does not let {who} do what is needed.",
        )
    if word in {_CLUSTER, "MOVED"} or "cluster mode" in said:
        return codes.PROBE_REDIS_CLUSTER.problem(
            login.endpoint.variable, f"{place} is a Redis Cluster."
        )
    if word in _READ_ONLY_WORDS:
        return codes.PROBE_REDIS_READ_ONLY.problem(
            login.endpoint.variable,
            f"{place} does not accept writes{_READ_ONLY_WORDS[word]}.",
        )
    if word in _BUSY_WORDS:
        return codes.PROBE_REDIS_BUSY.problem(
            login.endpoint.variable, f"{place} is not ready yet ({word})."
        )
    return codes.PROBE_REDIS_ERROR.problem(
        login.endpoint.variable, f"{place} refuses to serve ({word})."
    )
