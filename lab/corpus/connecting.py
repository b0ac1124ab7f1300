"""What drivers and servers make of the files that start-up judges."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab.servers.databases import HOST
from lab.servers.databases import driver
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.runtime.redis_connections import TlsConnection


def postgresql_refusal(files: ClientFiles, port: int) -> str:
    """Return why PostgreSQL cannot be reached, nothing when it worked."""
    cert, key, ca = (file.path for file in files.present())
    psycopg = driver()
    try:
        psycopg.connect(
            host="localhost",
            hostaddr=HOST,
            port=port,
            user="app",
            dbname="app",
            sslmode="verify-full",
            sslcert=cert,
            sslkey=key,
            sslrootcert=ca,
            connect_timeout=10,
        ).close()
    except (psycopg.Error, UnicodeDecodeError) as error:
        # psycopg2 has no message for an unreadable key, and may print what it finds
        # in its place.
        return repr(error)
    return ""


def redis_refusal(files: ClientFiles, port: int) -> str:
    """Return why Redis cannot be reached, nothing when it worked."""
    cert, key, ca = (file.path for file in files.present())
    pool = redis.ConnectionPool(
        connection_class=TlsConnection,
        host="localhost",
        port=port,
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_ca_certs=ca,
        ssl_check_hostname=True,
        socket_timeout=10,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with redis.Redis(connection_pool=pool) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return repr(error)
    finally:
        pool.disconnect()
    return ""


def refuses(files: ClientFiles) -> bool:
    """Tell whether start-up refuses files; a warning is no refusal."""
    found = check_certificates(files, sleep=lambda _: None)
    return any(problem.severity == ERROR for problem in found)
