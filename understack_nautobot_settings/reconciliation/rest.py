"""One Nautobot over its REST API: one host, HTTPS only, everything bounded.

Whoever answers may be hostile, and every request carries a credential. So nothing
is sent anywhere but to the host, port and scheme that the operator named: no
redirect is followed, and the address of a next page has to be on the same server.
One limit of time holds for all requests, and answers and listings have a limit.
"""

import http.client
import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from socket import SHUT_RDWR
from threading import Timer
from typing import Any
from typing import TypeVar
from urllib.parse import SplitResult
from urllib.parse import quote
from urllib.parse import urlencode
from urllib.parse import urljoin
from urllib.parse import urlsplit

from understack_nautobot_settings.problems import TLS_SURROUNDINGS
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.secret import Secret

ANSWER_SECONDS = 30.0
LARGEST_ANSWER = 16 * 1024 * 1024
MOST_PAGES = 1000
# Nautobot's own limit; a page of this size seldom has a next one.
PAGE = 1000
TOKENS = "users/tokens/"

Kind = TypeVar("Kind")
Record = dict[str, Any]
Answer = tuple[int, Any]

_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_NOT_ALLOWED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_FIELD = re.compile(r"[a-z_]{1,40}")


def token_login(token: Secret) -> Secret:
    """Return the header that logs in with an API token."""
    return Secret(f"Token {token.reveal()}")


def password_login(username: str, password: Secret) -> Secret:
    """Return the header that logs in with name and password."""
    text = f"{username}:{password.reveal()}".encode()
    return Secret(f"Basic {b64encode(text).decode()}")


class RestApi:
    """The REST API of one Nautobot."""

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        context: ssl.SSLContext | None,
        seconds: float,
    ) -> None:
        """Prepare, without connecting.

        The token logs in where a request names no other login. Without a context the
        CAs of the system are trusted. All requests together may take so many seconds;
        time between them does not count.

        Raises:
            Unusable: The URL is not ``https://HOST[:PORT][/PATH]``, or there is no TLS
                in this process.
        """
        self._base = _base_url(url)
        self._login = token_login(token)
        self._late = f"the run took longer than {seconds:g} seconds (--timeout)"
        self._left = seconds
        try:
            self._context = context or ssl.create_default_context()
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            raise Unusable(
                f"OpenSSL starts no TLS: {reason}", TLS_SURROUNDINGS
            ) from None

    def accepts(self, login: Secret) -> bool:
        """Tell whether the server takes a login.

        OPTIONS is the one method for which being somebody is enough; any other is
        answered alike for a wrong password and a missing permission.
        """
        status, _ = self.request("OPTIONS", TOKENS, login=login)
        if status not in {HTTPStatus.OK, *_NOT_ALLOWED}:
            # A proxy's answer would pass for a wrong password, which is then set.
            fact = "the server does not answer OPTIONS as a Nautobot does"
            raise Unusable(f"{fact}: HTTP {status}")
        return status == HTTPStatus.OK

    def change(
        self, method: str, path: str, body: Any = None, login: Secret | None = None
    ) -> Any:
        """Return the content of the answer to a change that Nautobot accepts.

        Raises:
            Refused: It does not accept it.
        """
        status, content = self.request(method, path, body, login)
        if status >= HTTPStatus.BAD_REQUEST:
            self._check_token(status, login)
            why = _refused_fields(content)
            if status == HTTPStatus.FORBIDDEN and login is None:
                # Nautobot says the same of both.
                why = " (the user lacks a permission, or its token may not write)"
            raise Refused(f"HTTP {status}{why}")
        if method == "DELETE" and status == HTTPStatus.NO_CONTENT:
            return None
        return checked(content, dict)

    def records(
        self,
        path: str,
        filters: Mapping[str, Any] | None = None,
        login: Secret | None = None,
    ) -> list[Record]:
        """Return all records of a listing, of all its pages.

        Raises:
            Refused: The login may not list them.
            Unreachable: The listing changed while it was read.
            Unusable: A page is of another form, names another server, or repeats.
        """
        # Since 3.0 the API leaves relations out of lists unless they are asked for.
        fields = {"limit": PAGE, "exclude_m2m": "false", **(filters or {})}
        query = urlencode(fields, doseq=True)
        following: str | None = f"{path}?{query}"
        found: list[Record] = []
        keys: set[str] = set()
        count = pages = 0
        while following is not None:
            status, content = self.request("GET", following, login=login)
            if status in _NOT_ALLOWED:
                self._check_token(status, login)
                raise Refused(f"the listing of {path} was refused: HTTP {status}")
            if status >= HTTPStatus.BAD_REQUEST:
                fact = f"the server does not list {path} as a Nautobot does"
                raise Unusable(f"{fact}: HTTP {status}")
            page = checked(content, dict)
            records = [checked(one, dict) for one in field(page, "results", list)]
            link = field(page, "next", str, type(None))
            new = {str(one.get("id")) for one in records} - keys
            pages += 1
            # A page that is there twice, or empty, would have no end.
            if (link is not None and not new) or pages > MOST_PAGES:
                raise Unusable(f"the listing of {path} repeats a page, or never ends")
            following = None if link is None else self._same_server(link)
            count = page["count"] if isinstance(page.get("count"), int) else 0
            found += records
            keys |= new
        if len(found) < count or len(keys) < len(found):
            raise Unreachable(f"the listing of {path} changed while it was read")
        return found

    def _same_server(self, link: str) -> str:
        """Return path and query of the address of a next page."""
        try:
            there = urlsplit(urljoin(self._base.geturl(), link))
            same = _server(there) == _server(self._base) and "@" not in there.netloc
        except ValueError:
            same = False
        if not same or not link.isascii() or not link.isprintable() or " " in link:
            raise Unusable(
                "the next page of a listing is on another server, or not on HTTPS; "
                "if a proxy ends TLS before Nautobot, it has to pass "
                "X-Forwarded-Proto on"
            )
        return there._replace(scheme="", netloc="", fragment="").geturl()

    def _check_token(self, status: int, login: Secret | None) -> None:
        """Tell a token that logs nobody in from one whose user may not do this."""
        anybody = login is not None or status not in _NOT_ALLOWED
        if anybody or self.accepts(self._login):
            return
        raise Unusable(
            f"the server answers HTTP {status} to a request that every active user may "
            "make",
            "Correct the token in the file of --token-file, or --url.",
        )

    def request(
        self, method: str, path: str, body: Any = None, login: Secret | None = None
    ) -> Answer:
        """Return status and JSON, if any, of the answer to one request.

        The path is one below ``/api/``, or begins with a slash and is the whole path.

        Raises:
            Unreachable: No answer, or one that says to try again.
            Unusable: The certificate is not trusted, a redirect, too large an answer.
        """
        left = self._left
        if left <= 0:
            raise Unreachable(self._late)
        deadline = time.monotonic() + left
        target = path if path.startswith("/") else f"{self._base.path}/api/{path}"
        headers = {
            "Accept": "application/json",
            "Authorization": (login or self._login).reveal(),
            "Connection": "close",
        }
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPSConnection(
            self._base.hostname or "",
            self._base.port,
            timeout=min(ANSWER_SECONDS, left),
            context=self._context,
        )
        # A socket's time limit starts anew with every byte; this one does not.
        watch = Timer(left, _hang_up, (connection,))
        watch.daemon = True
        watch.start()
        error: Exception = http.client.IncompleteRead(b"")
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            text = response.read(LARGEST_ANSWER + 1)
            if time.monotonic() < deadline and not response.length:
                return _answer(response.status, text)
        except (OSError, UnicodeError, http.client.HTTPException) as raised:
            error = raised
        finally:
            watch.cancel()
            connection.close()
            self._left = deadline - time.monotonic()
        raise Unreachable(self._late) if self._left <= 0 else _failure(error)


def _base_url(url: str) -> SplitResult:
    fact = "the URL has to be https://HOST, or https://HOST:PORT/PATH"
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    sound = sound and url.isascii() and url.isprintable() and " " not in url
    if not sound or {*"@?#\\"} & {*url}:
        raise Unusable(fact)
    if parts.scheme != "https":
        raise Unusable(f"{fact}: over plain HTTP anybody could read the tokens")
    return parts._replace(path=parts.path.rstrip("/"))


def checked(value: Any, *kinds: type[Kind]) -> Kind:
    """Return a value of one of these kinds; raise `Unusable` for any other."""
    if not isinstance(value, kinds):
        raise Unusable("what answers at this URL is not the REST API of a Nautobot")
    return value


def field(record: Mapping[str, Any], name: str, *kinds: type[Kind]) -> Kind:
    """Return a field of one of these kinds; raise `Unusable` for any other, or none."""
    return checked(record.get(name, ...), *kinds)


def record_path(path: str, key: Any) -> str:
    """Return the path of one record; raise `Unusable` if it cannot have this key."""
    return f"{path}{quote(str(checked(key, str, int)), safe='')}/"


def _server(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or 443


def _failure(error: Exception) -> Exception:
    """Return what the failure of a request means; it holds nothing of the request."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        return Unusable(f"the server's certificate is not trusted: {said}")
    if isinstance(error, TimeoutError):
        fact = f"Nautobot does not answer within {ANSWER_SECONDS:g} seconds"
        return Unreachable(fact)
    if isinstance(error, UnicodeError):
        return Unusable("no host can have the name in the URL")
    if isinstance(error, OSError):
        reason = getattr(error, "reason", None) or error.strerror or "it was closed"
        return Unreachable(f"no connection to Nautobot: {reason}")
    if isinstance(error, http.client.IncompleteRead):
        return Unreachable("an answer of Nautobot ends too early")
    return Unusable("what answers at this URL does not speak HTTP")


def _hang_up(connection: http.client.HTTPSConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(SHUT_RDWR)


def _answer(status: int, text: bytes) -> Answer:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        raise Unreachable(f"the server answers HTTP {status}")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise Unusable(
            f"the URL answers with a redirect (HTTP {status}), which is not followed: "
            "credentials go to the named server only"
        )
    if len(text) > LARGEST_ANSWER:
        raise Unusable(f"an answer is larger than {LARGEST_ANSWER >> 20} MiB")
    try:
        content = json.loads(text) if text else None
    except (ValueError, RecursionError):
        content = None
    return status, content


def _refused_fields(content: Any) -> str:
    """Return the names of the refused fields; the texts might repeat a value."""
    if not isinstance(content, dict) or "detail" in content:
        return ""
    names = sorted(name for name in content if _FIELD.fullmatch(name))
    return f" for {', '.join(names[:9])}" if names else ""
