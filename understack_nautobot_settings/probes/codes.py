"""What a connection can fail at."""

from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Code

# --- probe ------------------------------------------------------------------

PROBE_DNS = Code(
    "probe-dns",
    ERROR,
    "The host name does not resolve.",
    "Correct the host name, or the DNS of the cluster.",
    transient=True,
)
PROBE_REFUSED = Code(
    "probe-refused",
    ERROR,
    "Nothing listens at this address and port.",
    "Start the server or the gateway in front of it, or correct host and port.",
    "Envoy Gateway not routing traffic",
    transient=True,
)
PROBE_TIMEOUT = Code(
    "probe-timeout",
    ERROR,
    "A stage took longer than the time it had; at TCP, packets vanish on the way.",
    "Check routes, firewalls and network policies, or give it more time.",
    transient=True,
)
PROBE_NETWORK = Code(
    "probe-network",
    ERROR,
    "The operating system cannot reach the address.",
    "Check the address, the routes and the network policies on the way.",
    transient=True,
)
PROBE_SILENT = Code(
    "probe-silent",
    ERROR,
    "The server, or something in front of it, accepts connections and says nothing.",
    "Look at the server and the load on it, and at what lies in between.",
    transient=True,
)
PROBE_CLOSED = Code(
    "probe-closed",
    ERROR,
    "The connection is accepted and closed without a word: nothing runs behind the "
    "address, or no connection is left.",
    "Check that the server runs behind this address and has connections left.",
    transient=True,
)
PROBE_NOT_TLS = Code(
    "probe-not-tls",
    ERROR,
    "TLS is configured, and the port speaks plain text.",
    "Use the TLS port, or turn mutual TLS off where there is none.",
)
PROBE_TLS_REQUIRED = Code(
    "probe-tls-required",
    ERROR,
    "Plain text is configured, and the port speaks TLS.",
    "Mount the client certificate, or set `NAUTOBOT_REDIS_SSL=true`.",
    "Redis connection refused with TLS error",
)
PROBE_TLS_REFUSED = Code(
    "probe-tls-refused",
    ERROR,
    "PostgreSQL answers that it does not do TLS.",
    "Turn TLS on there (CloudNativePG: `serverTLSSecret`).",
)
PROBE_TLS_HANDSHAKE = Code(
    "probe-tls-handshake",
    ERROR,
    "The TLS handshake fails for a reason that is neither certificate's.",
    "Compare the TLS versions and ciphers that both sides allow.",
)
PROBE_NOT_POSTGRESQL = Code(
    "probe-not-postgresql",
    ERROR,
    "A server other than PostgreSQL answers.",
    "Correct host and port.",
)
PROBE_NOT_REDIS = Code(
    "probe-not-redis",
    ERROR,
    "A server other than Redis answers.",
    "Correct host and port.",
)
PROBE_DIRECT_UNSUPPORTED = Code(
    "probe-direct-unsupported",
    ERROR,
    "Direct negotiation is configured, and the server is older than PostgreSQL 17.",
    "Unset `NAUTOBOT_DB_SSLNEGOTIATION`, or upgrade the server.",
)
PROBE_GATEWAY_NEGOTIATION = Code(
    "probe-gateway-negotiation",
    ERROR,
    "A TLS-passthrough gateway routes by the name in TLS; PostgreSQL's own "
    "negotiation speaks first in plain text, and never passes.",
    "Set `NAUTOBOT_DB_SSLNEGOTIATION=direct`.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_IP = Code(
    "probe-gateway-ip",
    ERROR,
    "The host is an IP address, so TLS names no host for the gateway to route by.",
    "Use the host name of the gateway's TLSRoute.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_DOT = Code(
    "probe-gateway-trailing-dot",
    ERROR,
    "The host name ends with a dot, which TLS sends along; the gateway's route has "
    "none.",
    "Remove the dot.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_SNI_OFF = Code(
    "probe-gateway-sni-off",
    ERROR,
    "`sslsni=0` keeps libpq from naming the host, and the gateway routes by the name.",
    "Remove `sslsni=0` and `PGSSLSNI`.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_NAME = Code(
    "probe-gateway-name",
    ERROR,
    "The gateway has no route for this host name, or no server runs behind the route. "
    "It closes the connection in the same way for both.",
    "Add the name to the `hostnames` of the TLSRoute (`fqdn` in the envoy-configs "
    "route), or use the name that is there. If it is there, start the server and check "
    "the endpoints of the Service behind the route.",
    "Envoy Gateway not routing traffic",
    transient=True,
)
PROBE_SERVER_CA = Code(
    "probe-server-ca",
    ERROR,
    "The server certificate was not issued by a CA in `ca.crt`.",
    "Put the CA that signed the server certificate into `ca.crt`; it is not the client "
    "certificate.",
    'PostgreSQL rejects connection with "certificate verify failed"; Redis connection '
    'refused with "certificate verify failed"',
)
PROBE_SERVER_NAME = Code(
    "probe-server-name",
    ERROR,
    "The server certificate does not carry the configured host name.",
    "Use a name of the certificate, or add the host to its `dnsNames`.",
)
PROBE_SERVER_EXPIRED = Code(
    "probe-server-expired",
    ERROR,
    "The server certificate, or its CA, is expired.",
    "Renew it, and reload the server.",
)
PROBE_SERVER_NOT_YET_VALID = Code(
    "probe-server-not-yet-valid",
    ERROR,
    "The server certificate is not valid yet, or this machine's clock is behind.",
    "Set the clock, or wait.",
    transient=True,
)
PROBE_SERVER_PURPOSE = Code(
    "probe-server-purpose",
    ERROR,
    "The server certificate, or a CA above it, is not for servers.",
    "Issue it with the usage `server auth`.",
)
PROBE_SERVER_UNVERIFIED = Code(
    "probe-server-unverified",
    ERROR,
    "OpenSSL does not accept the server certificate for the reason that it gives; "
    "Python 3.13 is stricter than earlier ones.",
    "Issue the certificate or its CA again with what is missing.",
)
PROBE_CLIENT_CA = Code(
    "probe-client-ca",
    ERROR,
    "The server does not trust the CA of the client certificate.",
    "Set `clientCASecret: mtls-ca-cert` and `replicationTLSSecret` on the CNPG "
    "Cluster, or present a certificate of the CA that the server trusts.",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"',
)
PROBE_CLIENT_REQUIRED = Code(
    "probe-client-certificate-required",
    ERROR,
    "The server wants a client certificate, and none was presented.",
    "Set `NAUTOBOT_DB_SSLMODE=verify-full`, or mount the certificate for Redis.",
    "connection requires a valid client certificate; Redis connection refused with TLS "
    "error",
)
PROBE_CLIENT_EXPIRED = Code(
    "probe-client-expired",
    ERROR,
    "The server refuses the client certificate because it is expired.",
    "Renew it and check that it reaches the pod: ExternalSecret, no subPath mount.",
    "SSL error: certificate has expired",
)
PROBE_CLIENT_REFUSED = Code(
    "probe-client-refused",
    ERROR,
    "The server refuses the client certificate: not for clients, not valid yet, "
    "revoked, or for a reason in the server's log.",
    "Issue it for client authentication by the CA that the server trusts.",
)
PROBE_CLIENT_FILES = Code(
    "probe-client-files",
    ERROR,
    "The certificate files cannot be loaded at this moment.",
    "Run `check` for the details.",
    transient=True,
)
PROBE_DRIVER = Code(
    "probe-driver-missing",
    ERROR,
    "What would connect cannot be imported here.",
    "Run it inside the Nautobot image.",
)
PROBE_LIBPQ = Code(
    "probe-libpq",
    ERROR,
    "libpq refuses to connect, for the reason that it gives.",
    "Check the certificate files with `check`, `NAUTOBOT_DB_EXTRA_OPTIONS`, and `PG*` "
    "variables in the environment.",
)
PROBE_DB_HBA = Code(
    "probe-db-hba",
    ERROR,
    "No line of `pg_hba.conf` matches: TLS is off, or user, database or network are "
    "not listed.",
    "Set `NAUTOBOT_DB_SSLMODE=verify-full`, and compare with the `pg_hba` rules.",
    'PostgreSQL rejects with "no pg_hba.conf entry"',
)
PROBE_DB_CERTIFICATE_USER = Code(
    "probe-db-certificate-user",
    ERROR,
    "The CN of the client certificate is not the database user.",
    "Issue the certificate with `commonName: app`, or correct `NAUTOBOT_DB_USER`.",
    "certificate authentication failed for user",
)
PROBE_DB_PASSWORD = Code(
    "probe-db-password",
    ERROR,
    "PostgreSQL does not accept the password of the user (SQLSTATE 28P01), or asks for "
    "one and none is configured.",
    "Set `NAUTOBOT_DB_PASSWORD` to the password of the user.",
)
PROBE_DB_ROLE = Code(
    "probe-db-role",
    ERROR,
    "The database user does not exist, or may not connect.",
    "Correct `NAUTOBOT_DB_USER`, or create the role and grant it CONNECT.",
)
PROBE_DB_NAME = Code(
    "probe-db-name",
    ERROR,
    "The database does not exist.",
    "Correct `NAUTOBOT_DB_NAME`, or create the database.",
)
PROBE_DB_STARTING = Code(
    "probe-db-starting",
    ERROR,
    "PostgreSQL is starting, stopping or recovering.",
    "Wait.",
    transient=True,
)
PROBE_DB_FULL = Code(
    "probe-db-full",
    ERROR,
    "PostgreSQL, the database or the user has no connection left.",
    "Raise `max_connections` or the connection limit of the user, or use fewer "
    "connections (`CONN_MAX_AGE`, the number of workers).",
    transient=True,
)
PROBE_DB_SESSION = Code(
    "probe-db-session-attributes",
    ERROR,
    "No server is in the state that `target_session_attrs` demands, as during a "
    "failover.",
    "Wait until a server is promoted, or correct `target_session_attrs`.",
    transient=True,
)
PROBE_DB_OPTIONS = Code(
    "probe-db-options",
    ERROR,
    "The server, or a pooler before it, does not accept the libpq parameter `options`: "
    "PgBouncer refuses it, and PostgreSQL refuses a name that it does not know.",
    "Correct `options` in `NAUTOBOT_DB_EXTRA_OPTIONS`. For PgBouncer make it empty, or "
    "list it in `ignore_startup_parameters`.",
)
PROBE_DB_PASSING = Code(
    "probe-db-passing",
    ERROR,
    "The driver failed, and a second attempt met no such fault: it has passed, comes "
    "and goes, or cannot be told from here.",
    "Try again, and read what the server said.",
    transient=True,
)
PROBE_DB_ERROR = Code(
    "probe-db-error",
    ERROR,
    "PostgreSQL refuses the session or the query for a reason of its own.",
    "Look into its log.",
)
PROBE_REDIS_AUTH = Code(
    "probe-redis-auth",
    ERROR,
    "Redis wants a password, or another one.",
    "Set `NAUTOBOT_REDIS_PASSWORD` to the password of the user.",
)
PROBE_REDIS_PERMISSION = Code(
    "probe-redis-permission",
    ERROR,
    "The ACL of the Redis user does not allow the commands, keys or channels that the "
    "cache or the broker needs.",
    "Extend the ACL: `~*` or the configured prefix for keys, `&*` for channels, "
    "`+@all` or what Celery and django-redis use.",
)
PROBE_REDIS_READ_ONLY = Code(
    "probe-redis-read-only",
    ERROR,
    "Redis does not accept writes: it is a replica, its memory is full with the policy "
    "`noeviction`, or it cannot write to its disk.",
    "Correct host and port if it is a replica. Otherwise look at `INFO memory` and "
    "`INFO persistence`.",
    transient=True,
)
PROBE_REDIS_CLUSTER = Code(
    "probe-redis-cluster",
    ERROR,
    "Redis runs as a cluster, which neither Celery nor Nautobot's cache supports.",
    "Use a Redis without cluster mode.",
)
PROBE_BROKER_SCHEME = Code(
    "probe-broker-scheme",
    ERROR,
    "Celery has no transport for this scheme of the broker URL.",
    "Set `NAUTOBOT_CELERY_BROKER_URL` to `redis+socket:///path?virtual_host=0` for a "
    "socket.",
)
PROBE_REDIS_BUSY = Code(
    "probe-redis-busy",
    ERROR,
    "Redis is loading its data, or has no master.",
    "Wait.",
    transient=True,
)
PROBE_REDIS_ERROR = Code(
    "probe-redis-error",
    ERROR,
    "Redis refuses to serve for a reason of its own.",
    "Look into its log.",
)
PROBE_HEARTBEAT_OFF = Code(
    "probe-heartbeat-off",
    ERROR,
    "Nautobot's workers write a heartbeat file only where they are told to.",
    "Set `NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES=true`.",
)
PROBE_HEARTBEAT = Code(
    "probe-heartbeat",
    ERROR,
    "The worker's heartbeat is missing or old: it has ended, hangs, or has lost its "
    "broker.",
    "Look into its log.",
    transient=True,
)
PROBE_WORKER_CERTIFICATE = Code(
    "probe-worker-certificate",
    ERROR,
    "The worker's client certificate is expired; connections that are open live on, "
    "new ones are refused.",
    "Renew it and check that it reaches the pod: ExternalSecret, no subPath mount.",
    "The worker pod stays running but all tasks fail",
)
PROBE_WORKER_SILENT = Code(
    "probe-worker-silent",
    ERROR,
    "The worker does not answer through the broker.",
    "Look into its log, and at its name.",
    transient=True,
)
PROBE_HTTP_STATUS = Code(
    "probe-http-status",
    ERROR,
    "The server answers with an error that will not go away by itself.",
    "Correct the URL.",
)
PROBE_HTTP_UNAVAILABLE = Code(
    "probe-http-unavailable",
    ERROR,
    "The server answers that it is not able to answer.",
    "Wait, or look into its log.",
    transient=True,
)
PROBE_BROKEN = Code(
    "probe-broken",
    ERROR,
    "The probe itself failed, so nothing is known about the target.",
    "Compare the settings in `show` with what the server wants, and report it.",
)
