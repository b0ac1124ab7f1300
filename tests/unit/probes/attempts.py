"""Attempts at servers that say what a test tells them to."""

import contextlib
import socket

from lab.certificates import Authority
from lab.servers.listening import tls_context
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import redis_saying
from lab.servers.scripted import silence
from lab.servers.scripted import without_alert
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.driver_session import Session
from understack_nautobot_settings.probes.network import Network
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache

CA = Authority()


PASSWORD = "canary-of-the-password"


SERIAL = "7"


REVOKED = CA.client()


class Names(Network):
    """Every name leads to this machine, as an IPv4 address."""

    def resolve(self, host, port):
        return [(socket.AF_INET, ("127.0.0.1", port))]


ROW = ("app", "18.4", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "/CN=app", SERIAL)


def answering(*row, port=1):
    """A driver that is let in and gets this row."""

    def driver(parameters, statement, seconds, *, libpq_since=0):
        assert "pg_stat_ssl" in statement
        address = (socket.AF_INET, ("127.0.0.1", port))
        return Session("a driver, libpq 17.5", address, row)

    return driver


def failing(error):
    """A driver that fails."""

    def driver(parameters, statement, seconds, *, libpq_since=0):
        raise error

    return driver


accepting = answering(*ROW)


refusing = failing(DriverError("one text for many causes"))


def walk(probing, *arguments, seconds=5.0, **options):
    """Walk one attempt, and return it with its problem."""
    attempt = Attempt("target", seconds)
    with contextlib.suppress(Failed):
        probing(attempt, *arguments, **options)
    return attempt


def outcome(attempt):
    """Return the stages by their names, and the code of the problem."""
    stages = [stage.stage for stage in attempt.stages]
    passed = [stage.ok for stage in attempt.stages]
    assert passed == [True] * (len(passed) - 1) + [attempt.problem is None]
    return stages, attempt.problem and attempt.problem.code


def database(port, mount, host="localhost", mode="verify-full", **options):
    certificates = {}
    if mode in ("verify-full", "verify-ca"):
        certificates = {
            "sslcert": mount.certificate,
            "sslkey": mount.key,
            "sslrootcert": mount.ca,
        }
    parameters = {"sslmode": mode} if mode else {}
    return {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "app",
                "USER": "app",
                "PASSWORD": PASSWORD,
                "HOST": host,
                "PORT": str(port),
                "OPTIONS": {**parameters, **certificates, **options},
            }
        }
    }


def cache(port, mount, host="localhost", scheme="rediss", **pool):
    tls = {}
    if scheme == "rediss":
        tls = {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": mount.ca,
            "ssl_certfile": mount.certificate,
            "ssl_keyfile": mount.key,
        }
    pool = {"password": PASSWORD, **tls, **pool}
    return {
        "CACHES": {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": f"{scheme}://{host}:{port}/1",
                "OPTIONS": {"CONNECTION_POOL_KWARGS": pool},
            }
        }
    }


def walk_to(kind, port, mount, *, driver=refusing, **options):
    """Probe the database or the cache at a port."""
    if kind == "database":
        settings = database(port, mount)
        return walk(probe_database, settings, Names(), driver=driver, **options)
    return walk(probe_cache, cache(port, mount), Names(), **options)


def good_redis(**answers):
    return redis_saying(ping=b"+PONG\r\n", acl=b"$7\r\ndefault\r\n", **answers)


def server_context(server=None, **options):
    return tls_context(
        server or CA.server(),
        clients=CA.ca_pem,
        revoked=CA.revocation_list(REVOKED),
        **options,
    )


def secured(script, server=None, **options):
    return over_tls(server_context(server, **options), script)


ALL_STAGES = ["dns", "tcp", "tls", "identity", "login", "query"]


class Failing(Network):
    def __init__(self, error, resolve=False):
        self._error = error
        self._resolve = resolve

    def resolve(self, host, port):
        if self._resolve:
            raise self._error
        return [(socket.AF_INET, ("10.0.0.1", port)), (socket.AF_INET6, ("::1", port))]

    def connect(self, address, seconds):
        raise self._error


OTHER = Authority("another-ca")


LIBPQ = 'connection to server at "localhost" (127.0.0.1), port 5432 failed: '


def https_saying(answer):
    def script(connection):
        if connection.recv(65536):
            connection.sendall(answer)

    return script


def environment(mount, db_port=1, redis_port=1, **more):
    return {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_HOST": "127.0.0.1",
        "NAUTOBOT_DB_PORT": str(db_port),
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_REDIS_HOST": "127.0.0.1",
        "NAUTOBOT_REDIS_PORT": str(redis_port),
        "NAUTOBOT_REDIS_PASSWORD": PASSWORD,
        **mount.redis_variables,
        **more,
    }


def endless(connection):
    """Answer for ever, whatever was asked."""
    if connection.recv(65536):
        while True:
            connection.sendall(b"*9\r\n" * 999)


SCRIPTS = {
    "silence": silence,
    "goodbye": goodbye,
    "endless": endless,
    "closed at once": lambda connection: None,
    "TLS of a foreign CA": over_tls(tls_context(OTHER.server()), silence),
    "TLS, goodbye": over_tls(tls_context(CA.server()), goodbye),
    "TLS, endless": over_tls(tls_context(CA.server()), endless),
    "TLS, alert lost": without_alert(tls_context(CA.server(), clients=OTHER.ca_pem)),
    "negotiated, goodbye": after_ssl_request(goodbye),
    "negotiated, TLS, goodbye": after_ssl_request(secured(goodbye)),
    "negotiated, TLS, endless": after_ssl_request(secured(endless)),
    "negotiated, TLS, alert lost": after_ssl_request(
        without_alert(tls_context(CA.server(), clients=OTHER.ca_pem))
    ),
}
