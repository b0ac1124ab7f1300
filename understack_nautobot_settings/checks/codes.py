"""What can be wrong with an environment as a whole, and with settings in force."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

TLS_NOT_IN_FORCE = Code(
    "tls-not-in-force",
    "Lines of the settings file that stand below the call of `configure` replaced "
    "settings that make a connection use TLS, so it would not use TLS as decided.",
    "Move the call of `configure` to the end of the settings file.",
)
SETTING_REPLACED = WarningCode(
    "setting-replaced",
    "A line of the settings file that stands below the call of `configure` replaced a "
    "setting that it had decided.",
    "Move the call of `configure` to the end of the settings file.",
)

CONFIGURE_NOT_CALLED = WarningCode(
    "configure-not-called",
    "The settings file does not call `configure`, so variables that it does not read "
    "itself have no effect. This is an error if they ask for TLS.",
    "Call `configure(globals())` in the last line of the settings file. A file that "
    "calls the functions of single concerns needs no such call.",
)

SERVICE_LINK = Code(
    "service-link",
    "Kubernetes writes variables for each Service of the namespace, and one of them "
    "has the name of a variable of Nautobot. `nautobot-server` itself says `invalid "
    "literal for int() with base 10: 'tcp://…'`, before it reads any settings file.",
    "Set 'enableServiceLinks: false' on the pod, or set the variable to the port.",
)
NAUTOBOT_VALUE_INVALID = Code(
    "nautobot-value-invalid",
    "Nautobot converts the value while its own settings load, and raises an error "
    "that does not name the variable.",
    "Correct the value, or remove the variable.",
)
VARIABLE_MISSPELT = WarningCode(
    "variable-misspelt",
    "The name is unknown, and nearly that of a variable that is read.",
    "Correct the name, or ignore this if a program of yours reads it.",
)
LIBPQ_VARIABLE = WarningCode(
    "libpq-variable",
    "libpq takes every connection parameter that the settings leave open from `PG*` "
    "variables, `PGHOSTADDR`, `PGSERVICE` and `PGSSLSNI` among them.",
    "Unset it; use `NAUTOBOT_DB_EXTRA_OPTIONS` for a parameter that is wanted.",
)
TLS_VARIABLE = WarningCode(
    "tls-variable",
    "A variable of Python or OpenSSL changes every TLS connection of the process, and "
    "no setting shows it.",
    "Unset it. If you need it, let nobody else read or write the file.",
)
DB_VERIFY_CA = WarningCode(
    "db-verify-ca",
    "`verify-ca` does not compare the server certificate with the host name.",
    "Use `verify-full`.",
)
VARIABLE_UNUSED = WarningCode(
    "variable-unused",
    "A variable has no effect because of the value of another one.",
    "Set the other one as the message says, or unset this one.",
)
VARIABLE_UNREAD = WarningCode(
    "variable-unread",
    "The chart writes a variable that Nautobot does not read, so its value has no "
    "effect.",
    "Set the Django setting of the same name in nautobot_config.py, or remove the "
    "value from the chart's values.",
)
DB_PATH_UNUSED = WarningCode(
    "db-path-unused",
    "Paths of certificates are set for the database, and the sslmode uses none.",
    "Set `NAUTOBOT_DB_SSLMODE` to `verify-full`, or unset the paths.",
)
REDIS_PATH_UNUSED = WarningCode(
    "redis-path-unused",
    "Paths of certificates are set for Redis, and `UNDERSTACK_REDIS_MTLS=off` uses "
    "none.",
    "Unset `UNDERSTACK_REDIS_MTLS`, or unset the paths.",
)
GATEWAY_ADDRESS = WarningCode(
    "gateway-address",
    "The host is an IP address, for which no client sends a server name (SNI), and a "
    "TLS-passthrough gateway routes by that name.",
    "Use the host name that the gateway routes by.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_TRAILING_DOT = WarningCode(
    "gateway-trailing-dot",
    "The host name ends with a dot, which neither the route of a gateway nor a "
    "certificate has.",
    "Remove the dot.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_SNI_OFF = WarningCode(
    "gateway-sni-off",
    "`sslsni=0` keeps the server name out of the TLS hello, and a gateway routes by "
    "that name.",
    "Remove `sslsni=0` and `PGSSLSNI`.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_NEGOTIATION = WarningCode(
    "gateway-negotiation",
    "libpq asks for TLS in plain text. A TLS-passthrough gateway waits for a TLS "
    "hello, and libpq says `server closed the connection unexpectedly`.",
    "Set `NAUTOBOT_DB_SSLNEGOTIATION=direct`.",
    "Envoy Gateway not routing traffic",
)
CA_BUNDLE_PRIVATE = WarningCode(
    "ca-bundle-private",
    "A CA bundle for all outbound HTTPS holds private CAs only.",
    "Unset it, or name a bundle that holds the public CAs as well.",
)
CA_BUNDLE_EMPTY = WarningCode(
    "ca-bundle-empty",
    "A CA bundle for all outbound HTTPS is missing or unreadable, or it holds no "
    "certificate.",
    "Unset it, or name a bundle with the public CAs.",
)
DB_SSLMODE_UNSET = WarningCode(
    "db-sslmode-unset",
    "The sslmode is unset, which means `prefer`, or the settings file sets `prefer` or "
    "`allow`. libpq may then use plain text, and verifies no server.",
    "Set `NAUTOBOT_DB_SSLMODE=verify-full`, or `disable` for plain text.",
)
DB_USER_MISSING = Code(
    "db-user-missing",
    "A client certificate is presented and no database user is set, so libpq sends "
    "the name of the operating system's user.",
    "Set `NAUTOBOT_DB_USER` to the CN of the client certificate.",
)
SITE_HOST_MISSING = Code(
    "site-host-missing",
    "A site worker would connect to its own pod, where neither PostgreSQL nor Redis "
    "is.",
    "Set it to the host name of the gateway of the global cluster.",
)
SITE_PARTITION_MISSING = Code(
    "site-partition-missing",
    "A site worker has no partition, and would write wrong device URNs.",
    "Set `UNDERSTACK_PARTITION` from the `cluster-data` ConfigMap.",
)
SITE_QUEUE_MISSING = Code(
    "site-queue-missing",
    "The worker does not take tasks from the queue of its site.",
    "Add the partition, or the site, to `taskQueues` of the worker in the values of "
    "the Helm chart.",
)
METRICS_OPEN = WarningCode(
    "metrics-open",
    "Hardening is on, and `/metrics` answers everybody who reaches the user interface, "
    "with paths of certificates and numbers of the inventory.",
    "Set `NAUTOBOT_METRICS_AUTHENTICATED=true` and give Prometheus a token, or do not "
    "route `/metrics` from outside the cluster.",
)
