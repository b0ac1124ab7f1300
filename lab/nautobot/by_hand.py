"""What Nautobot does without this library: the settings file that it replaces.

The same servers over mutual TLS, and Nautobot's and Celery's own in everything else:
what the wire is compared with.
"""

import os
from urllib.parse import quote

from nautobot.core.settings import *  # noqa: F403
from nautobot.core.settings import CACHES
from nautobot.core.settings import DATABASES

SECRET_KEY = os.environ["NAUTOBOT_SECRET_KEY"]
_host, _port = os.environ["NAUTOBOT_REDIS_HOST"], os.environ["NAUTOBOT_REDIS_PORT"]
_password = quote(os.environ["NAUTOBOT_REDIS_PASSWORD"], safe="")
_redis = {
    "ssl_cert_reqs": "required",
    "ssl_ca_certs": os.environ["NAUTOBOT_REDIS_SSL_CA_CERTS"],
    "ssl_certfile": os.environ["NAUTOBOT_REDIS_SSL_CERTFILE"],
    "ssl_keyfile": os.environ["NAUTOBOT_REDIS_SSL_KEYFILE"],
    "ssl_check_hostname": True,
}
CACHES["default"]["LOCATION"] = f"rediss://:{_password}@{_host}:{_port}/1"
CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"] = _redis
CELERY_BROKER_URL = f"rediss://:{_password}@{_host}:{_port}/0"
CELERY_BROKER_USE_SSL = _redis
DATABASES["default"]["OPTIONS"] = {
    "sslmode": os.environ["NAUTOBOT_DB_SSLMODE"],
    "sslcert": os.environ["NAUTOBOT_DB_SSLCERT"],
    "sslkey": os.environ["NAUTOBOT_DB_SSLKEY"],
    "sslrootcert": os.environ["NAUTOBOT_DB_SSLROOTCERT"],
    "sslnegotiation": os.environ["NAUTOBOT_DB_SSLNEGOTIATION"],
}
