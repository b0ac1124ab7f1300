"""Redis connections that trust the configured CA alone, and wait as long as they must.

Subclasses of redis-py's own, made by the connection pools of the cache, of Nautobot's
health check and of kombu. Works with redis-py 5 to 8.
"""

import builtins
import inspect
import socket
import ssl
import time
from typing import Any

import redis
from redis.backoff import FullJitterBackoff
from redis.retry import Retry

FIRST_BACKOFF = 0.25
LONGEST_BACKOFF = 4.0
"""Seconds: the n-th retry waits for a random part of ``0.25 * 2 ** n``, at most 4."""

# What a restarting gateway or server does to a connection. Timeouts are not among
# them: waiting again for who did not answer multiplies the time-out.
_WORTH_A_RETRY = (redis.ConnectionError, builtins.ConnectionError, ssl.SSLEOFError)

# The arguments with which this redis-py is told its own name.
_KNOWN = inspect.signature(redis.connection.AbstractConnection.__init__).parameters
_CLIENT_INFO = (
    ["driver_info"] if "driver_info" in _KNOWN else ["lib_name", "lib_version"]
)

# Where a blocking command has its time-out, in seconds.
_LAST = ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX")
_TIMEOUT_AT = {**dict.fromkeys(_LAST, -1), "BLMPOP": 1, "BZMPOP": 1}
# Where it is in milliseconds, after the word BLOCK.
_STREAMS = frozenset(("XREAD", "XREADGROUP"))


class NoReply(redis.TimeoutError):  # type: ignore[misc]
    """A command was sent, and its reply did not come: it may have been executed."""


class TcpConnection(redis.Connection):  # type: ignore[misc]
    """A connection in plain text.

    A command that blocks on the server gets the time it asked for, on top of the
    socket timeout.
    """

    _sock: Any
    socket_timeout: float | None

    def __init__(
        self, *, retries: int = 0, client_info: bool = True, **options: Any
    ) -> None:
        """Set up, without connecting.

        Args:
            retries: How often connecting, or a command whose connection was lost, is
                tried again, with exponential backoff and full jitter.
            client_info: Whether to tell Redis the name and version of redis-py,
                which costs two round trips.
            **options: Keyword arguments of redis-py's connection class.
        """
        if retries and options.get("retry") is None:
            backoff = FullJitterBackoff(LONGEST_BACKOFF, FIRST_BACKOFF)
            options["retry"] = Retry(backoff, retries, _WORTH_A_RETRY)
        if not client_info:
            options |= dict.fromkeys(_CLIENT_INFO)
        self._blocks: float | None = 0.0
        self._sent: float | None = None
        super().__init__(**options)

    def send_command(self, *words: Any, **options: Any) -> None:
        """Send a command, and remember how long it may block."""
        super().send_command(*words, **options)
        # Only now: sending may have connected first, which sends commands as well.
        self._blocks = blocking_seconds(words)
        self._sent = time.monotonic()

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a response for as long as the command may take; raises `NoReply`."""
        blocks, self._blocks, self._sent = self._blocks, 0.0, None
        sock, usual = self._sock, self.socket_timeout
        try:
            if blocks != 0 and sock is not None and usual is not None:
                sock.settimeout(None if blocks is None else blocks + usual)
            return super().read_response(*arguments, **options)
        except redis.TimeoutError as error:
            raise NoReply(str(error)) from error
        finally:
            if blocks != 0 and sock is not None and self._sock is sock:
                sock.settimeout(usual)

    def overdue(self) -> bool:
        """Tell whether a reply should have come by now, and has not."""
        blocks, usual = self._blocks, self.socket_timeout
        if self._sock is None or self._sent is None or blocks is None or usual is None:
            return False
        late = time.monotonic() - self._sent > blocks + usual
        return late and not self.can_read(0)


class TlsConnection(TcpConnection, redis.SSLConnection):  # type: ignore[misc]
    """A connection over TLS that trusts the configured CA and nobody else.

    redis-py adds ``ssl_ca_certs`` to the system's trust store, which it reads for
    every connection. Here it replaces the store, which is read only where no CA is
    configured. Files are read for each connection, so a renewed certificate is used
    by the next one.
    """

    def _connect(self) -> ssl.SSLSocket:
        if self.ssl_validate_ocsp or self.ssl_validate_ocsp_stapled:
            return super()._connect()  # type: ignore[no-any-return]
        plain = redis.Connection._connect(self)
        try:
            return self._secured(plain)
        except BaseException:
            plain.close()
            raise

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        # Given a CA, this function does not touch the system store.
        context = ssl.create_default_context(
            cafile=self.ca_certs, capath=self.ca_path, cadata=self.ca_data
        )
        context.check_hostname = self.check_hostname
        context.verify_mode = self.cert_reqs
        for flag in getattr(self, "ssl_include_verify_flags", None) or ():
            context.verify_flags |= flag
        for flag in getattr(self, "ssl_exclude_verify_flags", None) or ():
            context.verify_flags &= ~flag
        if self.certfile or self.keyfile:
            # Without any password, OpenSSL asks the terminal for one.
            password = self.certificate_password or ""
            context.load_cert_chain(self.certfile, self.keyfile, password)
        if self.ssl_min_version is not None:
            context.minimum_version = self.ssl_min_version
        if self.ssl_ciphers:
            context.set_ciphers(self.ssl_ciphers)
        # The handshake is part of connecting: a silent peer is given up as early.
        bounds = (self.socket_connect_timeout, self.socket_timeout)
        plain.settimeout(min((s for s in bounds if s is not None), default=None))
        secured = context.wrap_socket(plain, server_hostname=self.host)
        secured.settimeout(self.socket_timeout)
        return secured


def blocking_seconds(words: tuple[Any, ...]) -> float | None:
    """Return how long Redis may block on a command, None for as long as it likes."""
    command = _text(words[0]).upper() if words else ""
    at, unit = _TIMEOUT_AT.get(command), 1.0
    if command in _STREAMS:
        options = [_text(word).upper() for word in words]
        at = options.index("BLOCK") + 1 if "BLOCK" in options else None
        unit = 0.001
    if at is None:
        return 0.0
    try:
        return float(_text(words[at])) * unit or None
    except ValueError:
        return 0.0


def _text(word: Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
