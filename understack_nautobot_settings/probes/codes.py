"""What a connection can fail at."""

from functools import partial

from understack_nautobot_settings.problems import Code

_passing = partial(Code, transient=True)

PROBE_DNS = _passing(
    "probe-dns",
    "The host name does not resolve.",
    "Correct the host name, or the DNS of the cluster.",
)
PROBE_REFUSED = _passing(
    "probe-refused",
    "The TCP connection is refused: nothing listens at this address and port, the "
    "Service there has no ready pod, or a firewall refuses it.",
    "Start the server or the gateway in front of it, and see that its Service has a "
    "ready pod; or correct host and port.",
    "Envoy Gateway not routing traffic",
)
PROBE_TIMEOUT = _passing(
    "probe-timeout",
    "A stage took too long. If it is the stage tcp, no answer came, as when a firewall "
    "drops the packets.",
    "Check the server, and routes, firewalls and network policies on the way, or give "
    "it more time.",
)
PROBE_NETWORK = _passing(
    "probe-network",
    "The operating system cannot reach the address.",
    "Check the address, the routes and the network policies on the way.",
)
PROBE_SILENT = _passing(
    "probe-silent",
    "The server, or something in front of it, accepts connections and does not answer "
    "in time.",
    "Look at the server and the load on it, and at what lies in between: where only "
    "small packets pass (MTU), the TLS handshake or the login stops half-way.",
)
PROBE_CLOSED = _passing(
    "probe-closed",
    "The server accepts the connection and closes it. A proxy does so if no server "
    "runs behind it, a server if it is shutting down or has no connection left, and "
    "each of them where the PROXY protocol is on at the other alone.",
    "Check that the server runs behind this address, that it is not shutting down, "
    "that it has connections left, and that the PROXY protocol is off.",
)
PROBE_NOT_TLS = Code(
    "probe-not-tls",
    "TLS is configured, and the port speaks plain text.",
    "Use the TLS port of Redis, or set `UNDERSTACK_REDIS_MTLS=off` if it has none.",
)
PROBE_TLS_REQUIRED = Code(
    "probe-tls-required",
    "Plain text is configured, and the port speaks TLS.",
    "For Redis, mount the client certificate and unset `UNDERSTACK_REDIS_MTLS`, or set "
    "`NAUTOBOT_REDIS_SSL=true` if Redis asks for no certificate. For PostgreSQL, set "
    "`NAUTOBOT_DB_SSLMODE=verify-full`.",
    "Redis connection refused with TLS error",
)
PROBE_TLS_REFUSED = Code(
    "probe-tls-refused",
    "PostgreSQL answers that it has no TLS.",
    "Turn TLS on there (CloudNativePG: `serverTLSSecret`); until then no password is "
    "sent to it.",
)
PROBE_TLS_HANDSHAKE = Code(
    "probe-tls-handshake",
    "The TLS handshake fails, but not because of a certificate.",
    "Compare the TLS versions, ciphers and protocols (ALPN) that both sides allow. The "
    "log of the server gives its reason.",
)
PROBE_NOT_POSTGRESQL = Code(
    "probe-not-postgresql",
    "A server other than PostgreSQL answers, or a gateway that ends TLS before it.",
    "Correct host and port, or let the gateway pass TLS through.",
)
PROBE_NOT_REDIS = Code(
    "probe-not-redis",
    "A server other than Redis answers.",
    "Correct host and port.",
)
PROBE_DIRECT_UNSUPPORTED = Code(
    "probe-direct-unsupported",
    "Direct negotiation is configured, and the server does not know it: a PostgreSQL "
    "older than 17, or a PgBouncer.",
    "Unset `NAUTOBOT_DB_SSLNEGOTIATION`, or upgrade the server.",
)
PROBE_GATEWAY_NEGOTIATION = Code(
    "probe-gateway-negotiation",
    "A TLS-passthrough gateway routes by the name in TLS; PostgreSQL's own negotiation "
    "begins in plain text and is not passed on.",
    "Set `NAUTOBOT_DB_SSLNEGOTIATION=direct`.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_IP = Code(
    "probe-gateway-ip",
    "The host is an IP address, so TLS names no host for the gateway to route by.",
    "Use the host name of the gateway's TLSRoute.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_TRAILING_DOT = Code(
    "probe-gateway-trailing-dot",
    "The host name ends with a dot, which TLS sends along; the gateway's route has "
    "none.",
    "Remove the dot.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_SNI_OFF = Code(
    "probe-gateway-sni-off",
    "`sslsni=0` keeps libpq from naming the host, and the gateway routes by the name.",
    "Remove `sslsni=0` and `PGSSLSNI`.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_NAME = _passing(
    "probe-gateway-name",
    "The gateway has no route for this host name, or the server behind the route does "
    "not run or has no connection left. In all these cases it closes the connection, "
    "and so does a listener that expects the PROXY protocol.",
    "Add the name to the `hostnames` of the TLSRoute (`fqdn` in the envoy-configs "
    "route), or use the name that is there. If it is there, check that the server runs "
    "behind the route (the endpoints of the Service) and has connections left, and "
    "that the PROXY protocol is off.",
    "Envoy Gateway not routing traffic",
)
PROBE_SERVER_CA = Code(
    "probe-server-ca",
    "The server certificate was not issued by a CA in `ca.crt`.",
    "Put the CA that signed the server certificate into `ca.crt`; the client "
    "certificate does not belong there.",
    'PostgreSQL rejects connection with "certificate verify failed"; Redis connection '
    'refused with "certificate verify failed"',
)
PROBE_SERVER_NAME = Code(
    "probe-server-name",
    "The server certificate does not carry the configured host name.",
    "Use one of its names as host, or add the host to the `dnsNames` of the server's "
    "Certificate.",
)
PROBE_SERVER_EXPIRED = Code(
    "probe-server-expired",
    "The server certificate, or its CA, is expired.",
    "Renew the server certificate, then reload PostgreSQL, or restart Redis: `kubectl "
    "rollout restart -n nautobot statefulset/nautobot-redis-master`.",
)
PROBE_SERVER_NOT_YET_VALID = _passing(
    "probe-server-not-yet-valid",
    "The server certificate is not valid yet, or this machine's clock is behind.",
    "Set the clock of this machine, or wait.",
)
PROBE_SERVER_PURPOSE = Code(
    "probe-server-purpose",
    "The server certificate, or a CA above it, is not for servers.",
    "Issue it with the usage `server auth`.",
)
PROBE_SERVER_UNVERIFIED = Code(
    "probe-server-unverified",
    "OpenSSL does not accept the server certificate, and the message gives its reason. "
    "Python 3.13 is stricter than earlier versions.",
    "Issue the certificate or its CA again with what is missing.",
)
PROBE_CLIENT_CA = Code(
    "probe-client-ca",
    "The server does not trust the CA of the client certificate.",
    "Set `clientCASecret: mtls-ca-cert` and `replicationTLSSecret` on the CNPG "
    "Cluster, or present a certificate of the CA that the server trusts.",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"',
)
PROBE_CLIENT_CERTIFICATE_REQUIRED = Code(
    "probe-client-certificate-required",
    "The server demands a client certificate, and none was presented.",
    "Set `NAUTOBOT_DB_SSLMODE=verify-full`, or mount the certificate for Redis.",
    "connection requires a valid client certificate; Redis connection refused with TLS "
    "error",
)
PROBE_CLIENT_EXPIRED = Code(
    "probe-client-expired",
    "The server refuses the client certificate as expired: the certificate itself, a "
    "CA above it, or the server's revocation list has expired.",
    "Renew it and check that it reaches the pod: ExternalSecret, no subPath mount.",
    "SSL error: certificate has expired",
)
PROBE_CLIENT_REFUSED = Code(
    "probe-client-refused",
    "The server refuses the client certificate: it is not for clients, not valid yet, "
    "or revoked, or the reason is in the log of the server.",
    "Issue it for client authentication by the CA that the server trusts. The log of "
    "the server gives the reason.",
)
PROBE_CLIENT_FILES = _passing(
    "probe-client-files",
    "The certificate files cannot be loaded at this moment.",
    "Run `check` for the details. If it finds nothing, a renewal was replacing them at "
    "that moment: try again.",
)
PROBE_DRIVER_MISSING = Code(
    "probe-driver-missing",
    "The driver or kombu cannot be imported here.",
    "Run it inside the Nautobot image.",
)
PROBE_LIBPQ = Code(
    "probe-libpq",
    "libpq refuses to connect, and the message gives its reason.",
    "Check the certificate files with `check`, `NAUTOBOT_DB_EXTRA_OPTIONS`, and `PG*` "
    "variables in the environment.",
)
PROBE_DB_HBA = Code(
    "probe-db-hba",
    "No rule of `pg_hba.conf` admits the connection: it has no TLS, or its user, "
    "database or network is not listed.",
    "Where TLS is off, set `NAUTOBOT_DB_SSLMODE=verify-full`. Otherwise add a "
    "`hostssl` rule for the user, the database and the network.",
    'PostgreSQL rejects with "no pg_hba.conf entry"',
)
PROBE_DB_CERTIFICATE_USER = Code(
    "probe-db-certificate-user",
    "The CN of the client certificate is not the database user.",
    "The CN of the certificate (`commonName`) must be the user: correct one of the "
    "two, or add a mapping to `pg_ident.conf`.",
    "certificate authentication failed for user",
)
PROBE_DB_PASSWORD = Code(
    "probe-db-password",
    "PostgreSQL does not accept the password of the user (SQLSTATE 28P01), or asks for "
    "one and none is configured.",
    "Set `NAUTOBOT_DB_PASSWORD` to the password of this user; in the examples the "
    "secret `nautobot-db` of a site, or `nautobot-cluster-app` of the global cluster, "
    "has it. PostgreSQL answers the same if the user does not exist or its password "
    "has expired; its log gives the reason.",
)
PROBE_DB_ROLE = Code(
    "probe-db-role",
    "The database user does not exist, or may not connect.",
    "Correct the user, or create the role with LOGIN.",
)
PROBE_DB_NAME = Code(
    "probe-db-name",
    "The database does not exist.",
    "Correct `NAUTOBOT_DB_NAME`, or create the database.",
)
PROBE_DB_STARTING = _passing(
    "probe-db-starting",
    "PostgreSQL is starting, stopping or recovering, or a PgBouncer in front of it has "
    "no connection to it.",
    "Wait.",
)
PROBE_DB_FULL = _passing(
    "probe-db-full",
    "PostgreSQL, the database, the user or a PgBouncer has no connection left.",
    "Raise `max_connections`, the connection limit of the user or, of PgBouncer, "
    "`max_client_conn`; or use fewer connections (`CONN_MAX_AGE`, the number of "
    "workers).",
)
PROBE_DB_SESSION_ATTRIBUTES = _passing(
    "probe-db-session-attributes",
    "No server is in the state that `target_session_attrs` demands, as during a "
    "failover.",
    "Wait until a server is promoted, or correct `target_session_attrs`.",
)
PROBE_DB_OPTIONS = Code(
    "probe-db-options",
    "PostgreSQL does not know what the libpq parameter `options` sets, or a PgBouncer "
    "in front of it does not accept a parameter of the start of a session.",
    "Correct `options` in `NAUTOBOT_DB_EXTRA_OPTIONS`. For PgBouncer set "
    "`UNDERSTACK_DB_POOLER=transaction`, or list the parameter in its "
    "`ignore_startup_parameters`.",
)
PROBE_DB_PASSING = _passing(
    "probe-db-passing",
    "The driver failed, and a second attempt did not show this fault: the fault has "
    "passed, comes and goes, or cannot be seen from here.",
    "Try again, and read what the server said.",
)
PROBE_DB_ERROR = Code(
    "probe-db-error",
    "PostgreSQL refuses the session or the query with an error that has no code of its "
    "own.",
    "Look into its log.",
)
PROBE_REDIS_AUTH = Code(
    "probe-redis-auth",
    "User or password of Redis is missing or wrong, or Redis has no password.",
    "Set `NAUTOBOT_REDIS_PASSWORD` to the password in the secret `nautobot-redis`. If "
    "it is percent-encoded there, set `NAUTOBOT_REDIS_PASSWORD_ENCODED=true`. If the "
    "default user is off (`ACL LIST`), set `NAUTOBOT_REDIS_USERNAME`.",
)
PROBE_REDIS_PERMISSION = Code(
    "probe-redis-permission",
    "The ACL of the Redis user does not allow the commands, keys or channels that the "
    "cache or the broker needs.",
    "Extend the ACL: `~*` or the configured prefix for keys, `&*` for channels, "
    "`+@all` or what Celery and django-redis use.",
)
PROBE_REDIS_READ_ONLY = _passing(
    "probe-redis-read-only",
    "Redis does not accept writes: it is a replica, its memory is full with the policy "
    "`noeviction`, or it cannot write to its disk.",
    "Correct host and port if it is a replica. Otherwise look at `INFO memory` and "
    "`INFO persistence`.",
)
PROBE_REDIS_CLUSTER = Code(
    "probe-redis-cluster",
    "Redis runs as a cluster, which neither Celery nor Nautobot's cache supports.",
    "Use a Redis without cluster mode.",
)
PROBE_BROKER_SCHEME = Code(
    "probe-broker-scheme",
    "Celery has no transport for this scheme of the broker URL.",
    "Begin `NAUTOBOT_CELERY_BROKER_URL` with `redis://` or `rediss://`; for a socket "
    "write `redis+socket:///path?virtual_host=0`.",
)
PROBE_REDIS_BUSY = _passing(
    "probe-redis-busy",
    "Redis is loading its data, is busy with a script, or has no master or no "
    "connection left.",
    "Wait.",
)
PROBE_REDIS_ERROR = Code(
    "probe-redis-error",
    "Redis answers with an error that has no code of its own.",
    "Look into its log.",
)
PROBE_HEARTBEAT_OFF = Code(
    "probe-heartbeat-off",
    "There is no heartbeat file, and the variable that makes the worker write one is "
    "not true.",
    "Set `NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES=true` on the worker.",
)
PROBE_HEARTBEAT = _passing(
    "probe-heartbeat",
    "The worker's heartbeat is missing, too old, or in the future.",
    "The worker has not started, has ended, hangs, or has lost its broker: look into "
    "its log.",
)
PROBE_WORKER_CERTIFICATE = Code(
    "probe-worker-certificate",
    "The worker's client certificate is expired: open connections go on, and servers "
    "refuse new ones.",
    "Renew it and check that it reaches the pod: ExternalSecret, no subPath mount.",
    "The worker pod stays running but all tasks fail",
)
PROBE_WORKER_SILENT = _passing(
    "probe-worker-silent",
    "The worker does not answer through the broker.",
    "The worker is not running, has lost its broker, or has another name: look into "
    "its log, and compare its name with `--destination`.",
)
PROBE_HTTP_STATUS = Code(
    "probe-http-status",
    "The server answers with an error that will not go away by itself.",
    "Correct the URL, or look into the log of the server.",
)
PROBE_HTTP_UNAVAILABLE = _passing(
    "probe-http-unavailable",
    "The server answers with status 500 or higher, or that it is asked too often.",
    "Wait, or look into its log.",
)
PROBE_BROKEN = Code(
    "probe-broken",
    "The probe itself failed, so nothing is known about the target.",
    "Look at the settings of the target in `show`, and report the failure.",
)
