"""New connections of a site worker, in round trips."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.deployment import mounted_by
from benchmarks.measuring import warm_medians
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from benchmarks.table import within
from lab.certificates import Authority
from lab.certificates import Mount
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.delay_proxy import DelayProxy
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route

CPU_ROUNDS = 11
WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}
PASSWORD = "p/a#s?s[w]o%41rd"
DATABASE_TRIPS = Figure(4, "round trips")
REDIS_TRIPS = Figure(5, "round trips")
TRIPS = "round trips"


def rows() -> Iterator[Row]:
    """Start real servers behind a real gateway and connect to them."""
    authority = Authority()
    with (
        mounted_by(authority) as mount,
        PostgresServer(18, authority=authority) as postgres,
        RedisServer(authority=authority, password=PASSWORD) as redis,
        Gateway(postgres=Route(postgres.port), redis=Route(redis.port)) as gateway,
    ):
        yield from _database(mount, postgres.port, gateway.port("postgres"))
        yield from _redis(mount, gateway.port("redis"))
        yield from _trust_store(mount, redis.port)


def _database(mount: Mount, server: int, gateway: int) -> Iterator[Row]:
    """Compare with a hand-written configuration that never heard of round trips.

    It connects to the server itself: the gateway takes direct negotiation only.
    """
    from tests.live.deployment import configured
    from tests.live.deployment import database
    from tests.live.deployment import database_environment

    def ours(port: int) -> dict[str, Any]:
        more = {**WAN, **DIRECT}
        return configured(database_environment(port, mount, "verify-full", **more))

    def theirs(port: int) -> dict[str, Any]:
        options = {
            "sslmode": "verify-full",
            "sslcert": mount.certificate,
            "sslkey": mount.key,
            "sslrootcert": mount.ca,
        }
        default = ours(port)["DATABASES"]["default"]
        plain = {
            key: default[key] for key in ("ENGINE", "NAME", "USER", "HOST", "PORT")
        }
        return {"DATABASES": {"default": {**plain, "OPTIONS": options}}}

    def connect(settings: dict[str, Any]) -> Any:
        with database(settings) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user, 1")
            return cursor.fetchone()

    work = (
        "new database connection and its first query, wan, direct, through the gateway"
    )
    against = "Nautobot's own, straight to the server"
    yield from _compared(
        work,
        (connect, ours, gateway),
        against,
        (connect, theirs, server),
        DATABASE_TRIPS,
    )


def _redis(mount: Mount, gateway: int) -> Iterator[Row]:
    from tests.live.deployment import configured
    from tests.live.deployment import redis_environment

    def ours(port: int) -> dict[str, Any]:
        return configured(redis_environment(port, mount, PASSWORD, **WAN))

    def ping(arguments: dict[str, Any]) -> Any:
        import redis

        location = arguments.pop("url")
        with redis.from_url(location, **arguments) as client:
            return client.ping()

    work = "new Redis connection and its first answer, wan, through the gateway"
    yield from _compared(
        work,
        (lambda settings: ping(_pool(settings)), ours, gateway),
        "redis-py's defaults",
        (lambda settings: ping(_plain(settings)), ours, gateway),
        REDIS_TRIPS,
    )


def _pool(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what django-redis hands to redis-py."""
    cache = settings["CACHES"]["default"]
    return {"url": cache["LOCATION"], **cache["OPTIONS"]["CONNECTION_POOL_KWARGS"]}


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the same without anything but address, credentials and certificates."""
    pool = _pool(settings)
    kept = ("url", "password", "username")
    return {key: pool[key] for key in pool if key in kept or key.startswith("ssl_")}


def _trust_store(mount: Mount, port: int) -> Iterator[Row]:
    """Measure what a new connection costs this process."""
    from tests.live.deployment import configured
    from tests.live.deployment import redis_environment

    settings = configured(redis_environment(port, mount, PASSWORD, **WAN))

    def connect(arguments: dict[str, Any]) -> Callable[[], Any]:
        import redis

        def work() -> Any:
            options = dict(arguments)
            with redis.from_url(options.pop("url"), **options) as client:
                return client.ping()

        return work

    warm = warm_medians(
        {"ours": connect(_pool(settings)), "theirs": connect(_plain(settings))},
        CPU_ROUNDS,
    )
    yield compared(
        "CPU of a new Redis connection over mutual TLS",
        Figure(warm["ours"], "s"),
        "redis-py's defaults",
        Figure(warm["theirs"], "s"),
    )
    with _counting_default_certificates() as count:
        connect(_pool(settings))()
        read = count()
    yield within("system trust stores read by it", Figure(read, ""), Figure(0, ""))


@contextmanager
def _counting_default_certificates() -> Iterator[Callable[[], int]]:
    """Count how often the system's certificates are loaded, by Python's audit hook."""
    import ssl

    counted = [0]
    original = ssl.SSLContext.load_default_certs

    def load(self: Any, *arguments: Any) -> Any:
        counted[0] += 1
        return original(self, *arguments)

    ssl.SSLContext.load_default_certs = load  # type: ignore[method-assign]
    try:
        yield lambda: counted[0]
    finally:
        ssl.SSLContext.load_default_certs = original  # type: ignore[method-assign]


Way = tuple[Callable[[dict[str, Any]], Any], Callable[[int], dict[str, Any]], int]


def _compared(
    work: str, ours: Way, against: str, theirs: Way, budget: Figure
) -> Iterator[Row]:
    """Count the round trips of both."""
    (trips, said), (others, answered) = (_counted(*way) for way in (ours, theirs))
    assert said == answered, (said, answered)
    yield within(work, Figure(trips, TRIPS), budget)._replace(
        against=against, theirs=Figure(others, TRIPS)
    )


def _counted(
    use: Callable[[dict[str, Any]], Any],
    settings: Callable[[int], dict[str, Any]],
    port: int,
) -> tuple[int, Any]:
    with DelayProxy(port) as proxy:
        said = use(settings(proxy.port))
        assert len(proxy.conversations) == 1
        return proxy.round_trips, said
