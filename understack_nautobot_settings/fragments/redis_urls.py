"""The Redis URLs that Nautobot builds, and the same ones built so that they work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from urllib.parse import parse_qsl
from urllib.parse import quote
from urllib.parse import unquote
from urllib.parse import urlsplit

from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import QUOTES
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import nearest
from understack_nautobot_settings.environment.kinds import truth
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.environment.settings_module import mapping
from understack_nautobot_settings.fragments import codes
from understack_nautobot_settings.problems import Problem

CACHE_DATABASE = 1
BROKER_DATABASE = 0

TCP_SCHEMES = frozenset({"redis", "rediss"})
SOCKET_SCHEMES = frozenset({"unix", "redis+socket"})
REDIS_SCHEMES = TCP_SCHEMES | SOCKET_SCHEMES
BROKER_SCHEMES = REDIS_SCHEMES | {"sentinel"}
"""Schemes of the URLs by which Celery reaches Redis."""
AMQP_SCHEMES = frozenset({"amqp", "pyamqp", "amqps"})

_ALIKE = 0.8
# Of `kombu.Connection`, beside what the rest of the URL gives.
_PARAMETERS = {
    *("connect_timeout", "credential_provider", "heartbeat", "insist", "login_method")
}
_ENCODE = "Percent-encode the password in it: %2F for /, %23 for #, %3F for ?."


class RedisAddress(NamedTuple):
    """Where Redis is and who is asking, from the ``NAUTOBOT_REDIS_*`` variables.

    With ``unix`` the host is the path of a socket. The username is empty for the user
    ``default``; the password is not percent-encoded. Last comes how the URLs begin
    that Nautobot makes of it, None where Nautobot would raise.
    """

    scheme: str
    host: str
    port: int
    username: str
    password: str
    nautobots: str | None = None

    def __repr__(self) -> str:
        """Return the address without any credential."""
        return f"<RedisAddress {self.scheme} {self.host} {self.port}>"

    def over_tls(self) -> RedisAddress:
        """Return the address with the scheme ``rediss`` in place of ``redis``."""
        return self._replace(scheme="rediss") if self.scheme == "redis" else self

    def url(self, database: int, *, credentials: bool) -> str:
        """Return the URL of one database, every part percent-encoded."""
        who = ""
        if credentials and (self.username or self.password):
            who = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        if self.scheme == "unix":
            return f"unix://{who}{quote(self.host)}?db={database}"
        bare = self.host.strip("[]")
        host = f"[{bare}]" if ":" in bare else bare
        return f"{self.scheme}://{who}{host}:{self.port}/{database}"

    def broker_url(self, database: int) -> str:
        """Return the URL of one database as Celery takes it, which knows no unix://."""
        url = self.url(database, credentials=True)
        if self.scheme == "unix":
            url = "redis+socket" + url.removeprefix("unix")
            url = url.replace("?db=", "?virtual_host=")
        return url

    def database(self, url: object) -> int | None:
        """Return the number of the database where Nautobot built the URL, else None.

        A settings file may ask ``parse_redis_connection`` for one of its own.
        """
        start = self.nautobots
        if start is None or not isinstance(url, str) or not url.startswith(start):
            return None
        number = url[len(start) :]
        # As Nautobot writes a number, and far more databases than any Redis has.
        return int(number) if re.fullmatch("0|[1-9][0-9]{0,5}", number) else None

    def describes(self, url: str) -> bool:
        """Tell whether a URL was built of this address, of whichever database."""
        secured, number = self.over_tls(), re.search(r"[0-9]{1,6}$", url)
        return number is not None and over_tls(url) in (
            secured.broker_url(int(number[0])),
            *(secured.url(int(number[0]), credentials=one) for one in (True, False)),
        )

    def credentials(self) -> dict[str, str]:
        """Return the credentials as keyword arguments of redis-py."""
        both = {"username": self.username, "password": self.password}
        return {name: value for name, value in both.items() if value}


def redis_address(read: Reader) -> RedisAddress:
    """Return the address that the environment describes."""
    username = read(variables.REDIS_USERNAME)
    password = read(variables.REDIS_PASSWORD)
    if read(variables.REDIS_PASSWORD_ENCODED):
        password = _decoded(password, read)
    scheme = read(variables.REDIS_SCHEME)
    if scheme is None:
        scheme = "rediss" if read(variables.REDIS_SSL) else "redis"
    host = read(variables.REDIS_HOST)
    if scheme != "unix" and host.startswith(("/", "@")):
        read.report(
            environment_codes.REDIS_HOST_INVALID,
            variables.REDIS_HOST.name,
            f"it names a Unix socket, and the scheme is {scheme}.",
            f"Set {variables.REDIS_SCHEME.name} to unix, or this to a host name.",
        )
        host = variables.REDIS_HOST.default
    port = read(variables.REDIS_PORT)
    nautobots = nautobot_url_start(read.env)
    return RedisAddress(scheme, host, port, username, password, nautobots)


def broker_place(broker: object, env: Mapping[str, str]) -> str:
    """Return who says the URL of the broker, over TLS or not: variable or setting."""
    name = variables.CELERY_BROKER_URL.name
    said, urls = (
        [over_tls(url) for url in urls_of(one, ";")] for one in (env.get(name), broker)
    )
    return name if said and said == urls else "CELERY_BROKER_URL"


def _decoded(password: str, read: Reader) -> str:
    try:
        return unquote(password, errors="strict")
    except UnicodeDecodeError:
        read.report(
            environment_codes.VALUE_NOT_UTF8,
            variables.REDIS_PASSWORD.name,
            "what is percent-encoded in the value is not UTF-8.",
            f"Encode it as UTF-8, or unset {variables.REDIS_PASSWORD_ENCODED.name}.",
        )
        return ""


def nautobot_url(env: Mapping[str, str], database: int) -> str | None:
    """Return the URL as Nautobot builds it, None where Nautobot would raise."""
    start = nautobot_url_start(env)
    return None if start is None else f"{start}{database}"


def nautobot_url_start(env: Mapping[str, str]) -> str | None:
    """Return the URL as Nautobot builds it up to the number of the database.

    Mirrors ``nautobot.core.settings_funcs.parse_redis_connection``, which neither
    strips nor encodes anything.
    """
    port = env.get(variables.REDIS_PORT.name, str(variables.REDIS_PORT.default))
    scheme = env.get(variables.REDIS_SCHEME.name)
    try:
        number = int(port)
        if scheme is None:
            ssl = truth(env.get(variables.REDIS_SSL.name, "false"))
            scheme = "rediss" if ssl else "redis"
    except ValueError:
        return None
    host = env.get(variables.REDIS_HOST.name, variables.REDIS_HOST.default)
    username = env.get(variables.REDIS_USERNAME.name, "")
    password = env.get(variables.REDIS_PASSWORD.name, "")
    who = f"{username}:{password}@" if username or password else ""
    if scheme == "unix":
        return f"{scheme}://{who}{host}?db="
    return f"{scheme}://{who}{host}:{number}/"


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in lower case."""
    return url.partition("://")[0].lower() if "://" in url else ""


def urls_of(value: object, separator: str) -> list[str]:
    """Return the URLs of a setting: of a text, one of several, or of a list."""
    if isinstance(value, str):
        value = value.split(separator)
    if not isinstance(value, list | tuple):
        return []
    return [one.strip() for one in value if isinstance(one, str) and one.strip()]


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, empty where it names none."""
    place = url.partition("://")[2].partition("?")[0]
    place = place.rpartition("@")[2].partition("/")[0]
    if place.startswith("["):
        return place[1:].partition("]")[0].lower()
    return place.partition(":")[0].lower()


def plain_event_brokers(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the Redis hosts of Nautobot's event brokers without TLS, by setting.

    They take their TLS options from their URL alone: nothing here gives them any.
    """
    urls = {
        f"EVENT_BROKERS.{name}": mapping(mapping(broker).get("OPTIONS")).get("url")
        for name, broker in mapping(settings.get("EVENT_BROKERS")).items()
    }
    return {
        name: host_of(url)
        for name, url in urls.items()
        if isinstance(url, str) and scheme_of(url) == "redis"
    }


def event_broker_problem(name: str, fact: str) -> Problem:
    """Return the warning about one of them."""
    return codes.REDIS_LEFT_ALONE.problem(
        name,
        fact,
        "Begin it with rediss:// and add ssl_ca_certs, ssl_certfile and ssl_keyfile as "
        "parameters of the URL.",
    )


def _is_whole(url: str) -> bool:
    """Tell whether a URL over TCP can be taken apart as its writer meant it."""
    if scheme_of(url) not in BROKER_SCHEMES - SOCKET_SCHEMES:
        return True
    try:
        split = urlsplit(url)
        return (split.port or 0) >= 0 and "@" not in split.path + split.fragment
    except ValueError:
        return False


def over_tls(url: str) -> str:
    """Return the URL with ``redis://`` turned into ``rediss://``, all else kept."""
    return f"rediss{url[len('redis') :]}" if scheme_of(url) == "redis" else url


def ssl_options(url: str) -> list[str]:
    """Return the names of the TLS options in the query of a URL."""
    try:
        query = urlsplit(url).query
    except ValueError:
        query = url.partition("?")[2]
    names = (name for name, _ in parse_qsl(query, keep_blank_values=True))
    return [name for name in names if name == "ssl" or name.startswith("ssl_")]


def check_schemes(place: str, urls: list[str]) -> Iterator[Problem]:
    """Yield what is no scheme or a misspelling, for which Celery has no transport.

    Of any other word only Celery knows whether it has one.
    """
    if not all(map(scheme_of, urls)):
        which, remedy = "the URL", "Begin it with redis:// or rediss://"
        if len(urls) > 1:
            # Celery parts them at semicolons.
            which = "one of several URLs"
            remedy += ", and write %3B for a semicolon in a password"
        yield codes.REDIS_URL_MALFORMED.problem(
            place,
            f"{which} has no scheme, so Celery takes it for the host of a RabbitMQ.",
            f"{remedy}.",
        )
    for url in urls:
        scheme = scheme_of(url)
        meant = nearest(scheme, sorted(BROKER_SCHEMES), _ALIKE)
        quoted = scheme.startswith(QUOTES)
        if meant and scheme not in BROKER_SCHEMES and not quoted:
            yield codes.REDIS_URL_MALFORMED.problem(
                place,
                f"Celery has no transport for the scheme {echo(scheme)} of the URL.",
                f"Did you mean {meant}://?",
            )


def check_urls(place: str, urls: Iterable[str]) -> Iterator[Problem]:
    """Yield what beats the configured TLS in a URL, and what a client would stop at.

    A client would show a part of the password in its message.
    """
    for url in urls:
        for option in ssl_options(url):
            yield codes.REDIS_URL_SSL_OPTION.problem(
                place,
                f"the URL sets {option}, which replaces the configured TLS.",
            )
        if not _is_whole(url):
            remedy, scheme = "Write it as redis://HOST:PORT/0.", scheme_of(url)
            if "," in url.rpartition("@")[2]:
                each = ";".join([f"{scheme}://HOST:PORT"] * 2)
                remedy = f"Write a URL for each host: {each}."
            elif "@" in url:
                remedy = _ENCODE
            yield codes.REDIS_URL_MALFORMED.problem(
                place,
                "the URL cannot be taken apart into host, port and password.",
                remedy,
            )


def check_broker(place: str, urls: Iterable[str]) -> Iterator[Problem]:
    """Yield what kombu stops at in a URL, and redis-py does not."""
    for url in filter(_is_whole, urls):
        if scheme_of(url) in TCP_SCHEMES:
            names = {name for name, _ in parse_qsl(urlsplit(url).query)}
            if names.difference(_PARAMETERS, ssl_options(url)):
                yield codes.REDIS_URL_MALFORMED.problem(
                    place,
                    "the URL has a parameter that Celery does not know and stops at.",
                    "Remove what follows the question mark; options of the connection "
                    "go into CELERY_BROKER_TRANSPORT_OPTIONS, and the number of the "
                    "database behind the port: /0.",
                )
            # As kombu: the slash of the URL goes, and one that the name begins with.
            path = unquote(urlsplit(url).path).removeprefix("/").removeprefix("/")
            if path and not path.strip().isdecimal():
                yield codes.REDIS_URL_MALFORMED.problem(
                    place,
                    "what follows the port in the URL is not the number of a database.",
                    "End the URL with a number: /0.",
                )


def check_mixture(place: str, urls: list[str]) -> Iterator[Problem]:
    """Yield whether servers share options, and would need different ones.

    After a failover from ``redis://`` to ``rediss://``, kombu verifies nothing.
    """
    schemes = {scheme_of(url) for url in urls}
    if "rediss" in schemes and len(schemes) > 1:
        yield codes.REDIS_URLS_MIXED.problem(
            place,
            f"the URLs mix {' and '.join(f'{one}://' for one in sorted(schemes))}, "
            "and share one set of TLS options.",
        )
