"""Redis as cache and broker reach it, in a few words of its protocol."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import NoReturn
from urllib.parse import parse_qs
from urllib.parse import unquote
from urllib.parse import urlsplit

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.client_files import named_files
from understack_nautobot_settings.fragments.redis_caches import is_redis_cache
from understack_nautobot_settings.fragments.redis_caches import pool_arguments
from understack_nautobot_settings.fragments.redis_caches import requirement
from understack_nautobot_settings.fragments.redis_urls import REDIS_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import SOCKET_SCHEMES
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import urls_of
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import Incoming
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.server import Server
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.problems import Problem

PORT = 6379
OTHER_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "sentinel": 26379}
"""Ports by scheme, of brokers that are reached for and not spoken with."""

LONGEST_REPLY = 65536

_KINDS_OF_REPLY = (b"+", b"-", b":", b"*", b"$")
_LONGEST_NUMBER = 9
_MOST_PARTS = 16
_KEPT_MILLISECONDS = "60000"
_BUSY_WORDS = ("LOADING", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN")
# What Redis says instead of taking a write: what that means, and the remedy.
_WRITES_REFUSED = {
    "READONLY": (
        "it is a replica",
        "Set host and port to the master, or to a Service that leads to it.",
    ),
    "OOM": (
        "its memory is full",
        "Raise maxmemory, or see in INFO memory and MEMORY STATS what fills it.",
    ),
    "MISCONF": (
        "it cannot save its data",
        "Give its volume space, and read the reason in its log and INFO persistence.",
    ),
    "NOREPLICAS": (
        "too few of its replicas are connected",
        "Bring the replicas back, or lower min-replicas-to-write.",
    ),
}
_IN_THE_URL = (
    "Correct the user and the password in the URL, each percent-encoded: compare them "
    "with those of Redis (ACL LIST)."
)
_DATABASES = (
    "End the URL with a lower number, or raise 'databases' of Redis, 16 by default: "
    "without a URL of your own, Nautobot's cache is in database 1."
)


class Login(NamedTuple):
    """Where to, and as whom; user and password are empty for the default and none."""

    endpoint: Endpoint
    scheme: str
    username: str
    password: str
    database: int

    @property
    def has_own_url(self) -> bool:
        """Whether user and password stand in a URL that the operator wrote."""
        return self.endpoint.variable == variables.CELERY_BROKER_URL.name

    @property
    def credentials(self) -> tuple[str, ...]:
        """What AUTH is told, as by redis-py: a user goes without a password, too."""
        if self.username:
            return self.username, self.password
        return (self.password,) if self.password else ()


class Refused(Failed):
    """Redis answered with an error: its text, and the first word of it."""

    def __init__(self, said: str, login: Login) -> None:
        """Keep what was said, without the password."""
        self.word = said.split(" ", 1)[0]
        self.said = said.replace(login.password, "***") if login.password else said
        super().__init__(_refusal(self.word, said, self.said, login))


def probe_cache(
    attempt: Attempt, settings: Mapping[str, Any], network: Network
) -> None:
    """Reach the default cache as django-redis would."""
    cache = (settings.get("CACHES") or {}).get("default") or {}
    options = cache.get("OPTIONS") or {}
    pool = pool_arguments(cache)
    location = cache.get("LOCATION") or ""
    url = location if isinstance(location, str) else next(iter(location), "")
    if not is_redis_cache(cache):
        attempt.skip("dns", "the cache is not Redis")
        return
    if "Sentinel" in str(options.get("CLIENT_CLASS", "")):
        host, port = next(iter(options.get("SENTINELS") or (("", 0),)))
        url = f"sentinel://{host}:{port}"
    login = _login(
        url.split(",")[0],
        username=pool.get("username") or options.get("USERNAME") or "",
        password=pool.get("password") or options.get("PASSWORD") or "",
        database=pool.get("db"),
    )
    # As Django makes the keys of a cache.
    prefix, version = cache.get("KEY_PREFIX") or "", cache.get("VERSION") or 1
    key = f"{prefix}:{version}:{_own_name()}"
    write = ("SET", key, "1", "PX", _KEPT_MILLISECONDS)
    _probe(attempt, [login], pool, network, write=write)


def probe_broker(
    attempt: Attempt,
    settings: Mapping[str, Any],
    network: Network,
    *,
    own_url: bool = False,
) -> None:
    """Reach the Celery broker as kombu would; `own_url` where the operator wrote it."""
    # kombu goes on with the next one where it cannot connect to one of several.
    urls = urls_of(settings.get("CELERY_BROKER_URL"), ";") or [""]
    scheme = scheme_of(urls[0])
    if scheme not in REDIS_SCHEMES and scheme not in OTHER_PORTS:
        if not settings.get("CELERY_BROKER_TRANSPORT") and _is_unknown(scheme):
            # Not shown: nobody knows what it is.
            _refuse_scheme(attempt, "the scheme", variables.CELERY_BROKER_URL.name)
        # Its URL need not hold a place, and may hold a key where others have a port.
        attempt.skip("dns", f"skipped for {scheme}://")
        return
    if scheme == "unix":
        _refuse_scheme(attempt, "unix://", variables.REDIS_SCHEME.name)
    ssl_options = settings.get("CELERY_BROKER_USE_SSL")
    options = ssl_options if isinstance(ssl_options, Mapping) else {}
    variable = variables.CELERY_BROKER_URL if own_url else variables.REDIS_HOST
    logins = [_login(url, variable.name) for url in urls if scheme_of(url) == scheme]
    transport = settings.get("CELERY_BROKER_TRANSPORT_OPTIONS") or {}
    prefix = str(transport.get("global_keyprefix") or "")
    # What kombu does for a job, and the channel on which workers are spoken to.
    write = ("LPUSH", f"{prefix}{_own_name()}", "1")
    channel = prefix, ".celery.pidbox"
    _probe(attempt, logins, options, network, write=write, channel=channel)


def _is_unknown(scheme: str) -> bool:
    """Tell whether kombu is here and has no transport of this name."""
    try:
        from kombu import VERSION
        from kombu.transport import TRANSPORT_ALIASES
    except ImportError:
        return False
    # As kombu reads sqla+mysql://, and before 5.7 module.name:Class://.
    name = scheme.partition("+")[0]
    is_module = "." in name and VERSION[:2] < (5, 7)
    return not is_module and name not in TRANSPORT_ALIASES


def _refuse_scheme(attempt: Attempt, scheme: str, variable: str) -> NoReturn:
    with attempt.stage("settings"):
        raise Failed(
            codes.PROBE_BROKER_SCHEME.problem(
                variable, f"Celery has no transport for {scheme} of the broker URL."
            )
        )


def _own_name() -> str:
    return f"understack-probe-{secrets.token_hex(8)}"


def _probe(
    attempt: Attempt,
    logins: Sequence[Login],
    options: Mapping[str, Any],
    network: Network,
    *,
    write: tuple[str, ...],
    channel: tuple[str, ...] = (),
) -> None:
    """Pass all stages at the first server that accepts a connection.

    `write` begins with a command and a key that nobody else has. The number of the
    database stands between the two parts of the channel.
    """
    scheme, endpoints = logins[0].scheme, [one.endpoint for one in logins]
    tls = _tls(options) if scheme == "rediss" else None
    plain = "plain text, as configured"
    server = RedisServer(attempt, network, endpoints, tls, plain)
    with server.reach() as connection:
        if scheme not in REDIS_SCHEMES:
            attempt.skip("tls", f"skipped for {scheme}://")
            return
        login = logins[endpoints.index(server.endpoint)]
        with server.secure(connection) as secured:
            redis = Conversation(secured, attempt, login)
            try:
                _converse(redis, server, write, f"/{login.database}".join(channel))
            except Refused as refused:
                attempt.quote(refused.said)
                raise


def _converse(
    redis: Conversation, server: RedisServer, write: tuple[str, ...], channel: str
) -> None:
    attempt, login = server.attempt, redis.login
    with server.talk("login"):
        if login.credentials:
            redis.ask("AUTH", *login.credentials)
        if login.database:
            redis.ask("SELECT", str(login.database))
        who = redis.ask_if_allowed("ACL", "WHOAMI")
        attempt.detail = f"{f'as {who}, ' if who else ''}database {login.database}"
    with server.talk("query"):
        attempt.detail = f"PING: {redis.ask('PING')}"
        if "cluster_state" in redis.ask_if_allowed("CLUSTER", "INFO"):
            fact = "is a Redis Cluster."
            raise Failed(login.endpoint.problem(codes.PROBE_REDIS_CLUSTER, fact))
        # Both at once: whatever happens in between, the key does not stay.
        redis.ask_all(write, ("DEL", write[1]))
        if channel:
            redis.ask("SUBSCRIBE", channel)
        attempt.detail += ", writes accepted"


class Conversation(Incoming):
    """Commands and their replies (RESP2), bounded in size and in time."""

    def __init__(
        self, connection: socket.socket, attempt: Attempt, login: Login
    ) -> None:
        """Talk over this connection, as whoever logs in."""
        super().__init__(connection, attempt)
        self.login = login

    def ask(self, *words: str) -> str:
        """Send a command and return its reply as text; raises as `ask_all`."""
        return self.ask_all(words)[0]

    def ask_if_allowed(self, *words: str) -> str:
        """Return a reply, empty where the user may not ask or the server cannot tell.

        Raises as `ask_all` otherwise.
        """
        try:
            return self.ask(*words)
        except Refused as refused:
            cannot_tell = refused.word in {"NOPERM", "ERR"}
            if cannot_tell and refused.problem.code != codes.PROBE_REDIS_BUSY.id:
                return ""
            raise

    def ask_all(self, *commands: Sequence[str]) -> list[str]:
        """Send commands at once, and return their replies.

        Raises the first `Refused`, `Failed` for what is no reply of Redis, or
        ``OSError`` where the connection is lost or time is up.
        """
        self.send(b"".join(map(_encoded, commands)))
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
        # The first octet tells another server, whether or not it ends a line.
        kind = self.take(1)
        if kind not in _KINDS_OF_REPLY:
            raise self._not_redis()
        text = self.line(LONGEST_REPLY).decode(errors="replace")
        if kind in (b"+", b":"):
            return text
        if kind == b"-":
            raise Refused(text, self.login)
        if kind == b"*" and not nested:
            return " ".join(
                self._reply(nested=True) for _ in range(self._number(text, _MOST_PARTS))
            )
        if kind == b"$":
            content = self.take(self._number(text, LONGEST_REPLY) + 2)
            return content[:-2].decode(errors="replace")
        raise self._not_redis()

    def _number(self, text: str, most: int) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER
        if not is_number or int(text) > most:
            raise self._not_redis()
        return int(text)

    def _not_redis(self) -> Failed:
        fact = "answers, but not as Redis does."
        return Failed(self.login.endpoint.problem(codes.PROBE_NOT_REDIS, fact))


def _encoded(words: Sequence[str]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        content = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(content), content))
    return b"".join(parts)


def _login(
    url: str,
    variable: str = variables.REDIS_HOST.name,
    *,
    username: str = "",
    password: str = "",
    database: object = None,
) -> Login:
    parts, scheme = urlsplit(url), scheme_of(url)
    path, query = unquote(parts.path), parse_qs(parts.query)
    host, port, number = path, 0, ""
    if scheme not in SOCKET_SCHEMES:
        host, number = unquote(parts.hostname or "localhost"), path.strip("/")
        port = parts.port or OTHER_PORTS.get(scheme, PORT)
    # redis-py, and of a socket kombu, look into the query first.
    numbers = query.get("db") or query.get("virtual_host") or [number or str(database)]
    server = "Redis" if scheme in REDIS_SCHEMES else "the broker"
    return Login(
        endpoint=Endpoint(server, host, port, variable),
        scheme=scheme,
        username=unquote(parts.username or "") or username,
        password=unquote(parts.password or "") or password,
        database=int(numbers[0]) if numbers[0].isdecimal() else 0,
    )


def _tls(options: Mapping[str, Any]) -> Tls:
    ca, cert, key = named_files(options, variables.REDIS_FILES)
    return Tls(
        cert,
        key,
        ca,
        verify=requirement(options.get("ssl_cert_reqs", "required")) != "none",
        check_hostname=bool(options.get("ssl_check_hostname", True)),
    )


class RedisServer(Server):
    """Redis, over TLS or in plain text."""

    def hung_up(self) -> Problem:
        """Return why the connection is closed on our first words."""
        if not self.plain:
            return super().hung_up()
        if self.is_postgresql():
            return self.not_this_server()
        if self.chosen(None, self.endpoint.host) is None:
            return self.closed()
        return self.endpoint.problem(
            codes.PROBE_TLS_REQUIRED,
            "speaks TLS, and plain text is configured.",
            f"Mount the client certificate and unset {variables.REDIS_MTLS.name}, or "
            f"set {variables.REDIS_SSL.name}=true if Redis asks for none.",
        )

    def not_tls(self) -> Problem:
        """Return why something else than TLS is answered."""
        problem = super().not_tls()
        if self.is_plain_redis():
            return problem
        # The password is not for whoever answers there.
        return problem._replace(hint="Use host and port of Redis with TLS.")

    def silent(self) -> Problem:
        """Return why nothing is answered."""
        if not self.plain and self.is_plain_redis():
            return super().not_tls()
        return super().silent()


def _refusal(word: str, said: str, shown: str, login: Login) -> Problem:
    """Return what an error of Redis means, of which no more than `shown` is told."""
    endpoint = login.endpoint
    if word == "NOPERM":
        who = f"user {login.username}" if login.username else "the default user"
        lacks = re.search(r"permissions to (.{1,80})", shown)
        what = lacks[1] if lacks else "do what is needed"
        by_variable = variables.REDIS_USERNAME.name
        return codes.PROBE_REDIS_PERMISSION.problem(
            endpoint.variable if login.has_own_url else by_variable,
            f"the ACL of {endpoint.place} does not let {who} {what}.",
        )
    unknown = re.search(r"unknown command [`']?([\w|-]{1,40})", shown)
    about_password = None if unknown else _login_refusal(word, said, login)
    if about_password is not None:
        return about_password
    code, remedy = codes.PROBE_REDIS_ERROR, None
    fact = f"refuses to serve ({shown.partition(' ')[0]})."
    if word in _WRITES_REFUSED:
        reason, remedy = _WRITES_REFUSED[word]
        code, fact = codes.PROBE_REDIS_READ_ONLY, f"does not accept writes: {reason}."
    elif word == "MOVED" or "cluster mode" in said:
        code, fact = codes.PROBE_REDIS_CLUSTER, "is a Redis Cluster."
    elif "DB index" in said:
        fact, remedy = f"has no database {login.database}.", _DATABASES
    elif word in _BUSY_WORDS:
        code, fact = codes.PROBE_REDIS_BUSY, f"is not ready yet ({word})."
    elif "max number of clients" in said:
        code, fact = codes.PROBE_REDIS_BUSY, "has no connection left."
        remedy = "Wait until clients disconnect, or raise maxclients."
    elif unknown and unknown[1] == "PROXY":
        # No client of Redis says it.
        fact = "gets the PROXY protocol from what is in front of it."
        remedy = "Turn the PROXY protocol off there (HAProxy: send-proxy)."
    elif unknown:
        fact = f"does not know the command {unknown[1]}."
        remedy = (
            "Enable it there (rename-command). If a Sentinel answers there, use host "
            "and port of Redis itself."
        )
    return endpoint.problem(code, fact, remedy)


def _login_refusal(word: str, said: str, login: Login) -> Problem | None:
    """Return what is wrong with user or password, None where it is not about them."""
    place = login.endpoint.place
    remedy: str | None = None
    is_about_password = word == "ERR" and ("AUTH" in said or "password" in said)
    if word == "NOAUTH":
        fact = "requires a password, and none is configured."
    elif word == "DENIED":
        fact = "has no password, so its protected mode admits local clients only."
        remedy = (
            "Set a password there (requirepass) and here, or 'protected-mode no' if "
            "it demands client certificates."
        )
    elif not login.credentials or not (word == "WRONGPASS" or is_about_password):
        return None
    elif "without any password" in said or "no password is set" in said:
        fact = "has no password for the default user, and one is configured."
        remedy = "Unset it, or set the same one there (requirepass)."
    elif login.username:
        how = "with this" if login.password else "without a"
        fact = (
            f"does not accept the user {login.username} {how} password: there is no "
            "such user, or it is disabled or has another password."
        )
        remedy = "Compare user and password with those of Redis (ACL LIST)."
    else:
        fact = "does not accept this password for the default user."
    variable = variables.REDIS_PASSWORD.name
    if login.has_own_url:
        variable = login.endpoint.variable
        remedy = remedy if word == "DENIED" else _IN_THE_URL
    return codes.PROBE_REDIS_AUTH.problem(variable, f"{place} {fact}", remedy)
