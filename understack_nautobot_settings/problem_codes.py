"""Every code a problem can carry: what causes it and what mends it.

The codes are stable: alerts and runbooks may match on them. The reference in
the documentation is generated from this module.
"""

from __future__ import annotations

from typing import NamedTuple

from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import WARNING
from understack_nautobot_settings.problems import MissingFile
from understack_nautobot_settings.problems import Problem


class Code(NamedTuple):
    """One kind of problem.

    Attributes:
        id: The stable identifier, words joined by hyphens.
        severity: ``"error"`` or ``"warning"``.
        cause: Why it happens, for the reference.
        fix: What mends it, for the reference.
        replaces: The troubleshooting row of the product documents that it
            makes unnecessary; empty when there is none.
    """

    id: str
    severity: str
    cause: str
    fix: str
    replaces: str = ""

    def problem(self, variable: str, message: str, hint: str = "") -> Problem:
        """Return a problem of this kind."""
        return Problem(self.id, self.severity, variable, message, hint)

    def missing_file(self, variable: str, message: str, hint: str) -> MissingFile:
        """Return a problem of this kind that stands for a missing file."""
        return MissingFile(self.id, self.severity, variable, message, hint)


# --- reading variables ---------------------------------------------------------

VALUE_QUOTED = Code(
    "value-quoted",
    ERROR,
    "The value is wrapped in quotes, usually by one layer of YAML or shell too many.",
    "Remove the quotes; they are part of the value that reaches the process.",
)
VALUE_INVALID = Code(
    "value-invalid",
    ERROR,
    "The value is not one that the variable takes.",
    "Use one of the values that the message lists.",
)
VALUE_NOT_UTF8 = Code(
    "value-not-utf8",
    ERROR,
    "The value holds bytes that are not UTF-8.",
    "Store the value as UTF-8 text.",
)
PATH_IS_PEM = Code(
    "path-is-pem",
    ERROR,
    "A variable that takes a path holds the certificate, key or JSON itself.",
    "Mount the file and set the variable to its path.",
)
FILE_AND_VALUE = Code(
    "file-and-value",
    ERROR,
    "A secret is given twice: as a variable and as a file.",
    "Unset one of the two.",
)
SECRET_FILE_UNREADABLE = Code(
    "secret-file-unreadable",
    ERROR,
    "The file that holds a secret is missing or cannot be read.",
    "Mount the secret, or correct the path.",
)

# --- files ---------------------------------------------------------------------

FILE_MISSING = Code(
    "file-missing",
    ERROR,
    "A certificate, key or CA file that the active mode needs does not exist.",
    "Mount the secret `nautobot-mtls-client` at `/etc/nautobot/mtls`, "
    "or correct the path.",
    "Worker pod fails to start with FileNotFoundError",
)
FILE_UNREADABLE = Code(
    "file-unreadable",
    ERROR,
    "The process may not read the file: owner or mode of the mounted secret.",
    "Set `securityContext.fsGroup` of the pod to the group of the process.",
)
FILE_EMPTY = Code(
    "file-empty",
    ERROR,
    "The file exists and holds nothing: the secret has an empty key.",
    "Check the source of the secret (ExternalSecret, cert-manager Certificate).",
)
FILE_NOT_REGULAR = Code(
    "file-not-regular",
    ERROR,
    "The path names a directory or a device, not a file.",
    "Point the variable at the file inside the mounted directory.",
)

# --- certificates: the form of a file ------------------------------------------

PEM_CR_ONLY = Code(
    "pem-cr-only",
    ERROR,
    "The lines of a PEM file end in CR alone; OpenSSL sees a single line.",
    "Turn CR into LF at the source of the secret. Removing CR joins the lines.",
)
PEM_LITERAL_LINE_ENDS = Code(
    "pem-literal-line-ends",
    ERROR,
    "A PEM file holds the characters backslash and n instead of line ends, from a "
    "JSON string or a shell quote too many.",
    "Store real line ends, in YAML as a block scalar.",
)
PEM_ONE_LINE = Code(
    "pem-one-line",
    ERROR,
    "A PEM file has lost its line ends.",
    "Store it with its line ends, in YAML as a block scalar.",
)
PEM_INDENTED = Code(
    "pem-indented",
    ERROR,
    "BEGIN or END of a PEM block do not start their line.",
    "Remove the blanks before them; render with `nindent` under a block scalar.",
)
PEM_GLUED = Code(
    "pem-glued",
    ERROR,
    "Two PEM blocks were concatenated without a line end between them.",
    "End every file with a line end before concatenating it.",
)
PEM_BASE64 = Code(
    "pem-base64",
    ERROR,
    "The file is base64 of a PEM file: encoded twice on the way into the Secret.",
    "Decode it once; `data` of a Secret takes base64, `stringData` the text.",
)
PEM_NO_ARMOUR = Code(
    "pem-no-armour",
    ERROR,
    "The BEGIN and END lines of a PEM file are missing.",
    "Add the lines around the base64 text.",
)
PEM_DER = Code(
    "pem-der",
    ERROR,
    "The file is binary (DER).",
    "Convert it to PEM with `openssl x509 -inform DER` or `openssl pkey -inform DER`.",
)
KEY_DER = Code(
    "key-der",
    WARNING,
    "The private key is binary (DER), which libpq 15 and newer reads and nothing "
    "else does.",
    "Convert it to PEM with `openssl pkey -inform DER`.",
)
PEM_PKCS12 = Code(
    "pem-pkcs12",
    ERROR,
    "The file is a PKCS #12 archive (`.p12`, `.pfx`).",
    "Take certificate and key out of it with `openssl pkcs12`.",
)
PEM_UTF16 = Code(
    "pem-utf16",
    ERROR,
    "The file was saved as UTF-16, two bytes for each character.",
    "Save it as ASCII or UTF-8.",
)
PEM_TRUNCATED = Code(
    "pem-truncated",
    ERROR,
    "A part of the file is missing, most often its end.",
    "Copy the whole file again.",
)
PEM_DAMAGED = Code(
    "pem-damaged",
    ERROR,
    "The file has the form of PEM, but what it encodes is not a certificate or key.",
    "Copy the file again from where it was issued.",
    "PEM data with carriage returns",
)
PEM_OTHER_KIND = Code(
    "pem-other-kind",
    ERROR,
    "The file holds another kind of object: a request, a public key, a key where a "
    "certificate belongs.",
    "Store the right object under this path.",
)
PEM_NONE = Code(
    "pem-none",
    ERROR,
    "The file holds nothing that looks like PEM: a template that was not rendered, "
    "an error message, another file altogether.",
    "Look at the source of the secret.",
)
PEM_CRLF = Code(
    "pem-crlf",
    WARNING,
    "The lines of a PEM file end in CR and LF. OpenSSL 3 takes that; older versions "
    "and other software may not.",
    "Extract the blocks with `filterPEM` in the ExternalSecret template.",
    "PEM data with carriage returns",
)
PEM_BYTE_ORDER_MARK = Code(
    "pem-byte-order-mark",
    WARNING,
    "A PEM file starts with a byte order mark. OpenSSL 3 takes that; other software "
    "may not.",
    "Save the file without it.",
)

# --- certificates: the pair ----------------------------------------------------

CERTIFICATE_KEY_SWAPPED = Code(
    "certificate-key-swapped",
    ERROR,
    "The certificate file holds the key, and the key file the certificate.",
    "Swap the two paths, or the keys of the Secret.",
)
CERTIFICATE_KEY_MISMATCH = Code(
    "certificate-key-mismatch",
    ERROR,
    "The private key belongs to another certificate.",
    "Mount certificate and key of one Secret, renewed together.",
)
CERTIFICATE_CA_FIRST = Code(
    "certificate-ca-first",
    ERROR,
    "The first certificate of the file is a CA; clients present the first one.",
    "Put the client certificate first and its intermediates after it.",
)
KEY_ENCRYPTED = Code(
    "key-encrypted",
    ERROR,
    "The private key is encrypted, and a pod has nobody to ask for the password.",
    "Store the key without a password: `openssl pkey -in FILE -out FILE`.",
)
KEY_MODE = Code(
    "key-mode",
    ERROR,
    "libpq refuses a private key that others may read: at most 0640 where root owns "
    "it, at most 0600 otherwise.",
    "Mount the Secret with `defaultMode: 256` and set `securityContext.fsGroup`.",
)
CERTIFICATE_EXPIRED = Code(
    "certificate-expired",
    ERROR,
    "The client certificate is past its notAfter; every server refuses it.",
    "Renew the certificate; on a site, copy the renewed one there.",
)
CERTIFICATE_NOT_YET_VALID = Code(
    "certificate-not-yet-valid",
    ERROR,
    "The client certificate is before its notBefore.",
    "Wait, or set the clock of the node.",
)
CERTIFICATE_NOT_FOR_CLIENTS = Code(
    "certificate-not-for-clients",
    ERROR,
    "The usages of the certificate exclude client authentication.",
    "Issue it with `usages: [client auth]` in the cert-manager Certificate.",
)
CERTIFICATE_WEAK = Code(
    "certificate-weak",
    ERROR,
    "Key or signature of the certificate are too weak for OpenSSL.",
    "Issue it with ECDSA P-256 or RSA 2048, signed with SHA-256.",
)
CERTIFICATE_REFUSED = Code(
    "certificate-refused",
    ERROR,
    "OpenSSL refuses the certificate or its key for a reason without words of its "
    "own here.",
    "Look the reason up in OpenSSL's documentation, or issue the certificate anew.",
)
CERTIFICATE_EXPIRING = Code(
    "certificate-expiring",
    WARNING,
    "A certificate ends within the warning period.",
    "Renew it; on a site, copy the renewed one there.",
)
CERTIFICATE_INTERMEDIATE_DATES = Code(
    "certificate-intermediate-dates",
    WARNING,
    "An intermediate certificate is outside of its validity; a server that has no "
    "other refuses the client.",
    "Renew the intermediate and put it after the client certificate.",
)
CERTIFICATE_ISSUER_UNKNOWN = Code(
    "certificate-issuer-unknown",
    WARNING,
    "The client certificate does not lead to a CA in the CA file. Right where "
    "clients and servers have different CAs, wrong where they share one.",
    "Ask the server with `probe`; where one CA signs both, mount its certificate.",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"',
)
CERTIFICATE_NAME_MISMATCH = Code(
    "certificate-name-mismatch",
    WARNING,
    "The CN of the client certificate is not the database user, which the `cert` "
    "rule of PostgreSQL asks for unless an identity map says otherwise.",
    "Issue it with `commonName` set to the user, or correct `NAUTOBOT_DB_USER`.",
    "certificate authentication failed for user",
)
CERTIFICATE_NOT_STRICT = Code(
    "certificate-not-strict",
    WARNING,
    "OpenSSL's strict rules (RFC 5280) refuse the chain. Python 3.13 applies them "
    "to server certificates by default.",
    "Issue with AuthorityKeyIdentifier and a critical basicConstraints.",
)
CERTIFICATE_SUBPATH = Code(
    "certificate-subpath",
    WARNING,
    "The file is mounted by subPath; kubelet never updates it.",
    "Mount the whole volume at a directory.",
)
KEY_PATH_ENGINE = Code(
    "key-path-engine",
    WARNING,
    "The path of the key has a colon; a libpq with OpenSSL engines takes what stands "
    "before it for the name of an engine.",
    "Use a path without a colon.",
)

# --- certificates: the CA file -------------------------------------------------

CA_IS_CERTIFICATE = Code(
    "ca-is-client-certificate",
    ERROR,
    "The CA file holds the client certificate instead of a CA.",
    "Store the certificate of the CA as `ca.crt` of the Secret.",
    'Redis connection refused with "certificate verify failed"',
)
CA_NONE = Code(
    "ca-none",
    ERROR,
    "No certificate in the CA file is a CA.",
    "Store the certificate of the CA that signed the server certificate.",
)
CA_WITHOUT_ROOT = Code(
    "ca-without-root",
    ERROR,
    "The CA file holds intermediates only; OpenSSL wants the root above them.",
    "Add the self-signed root certificate to the file.",
)
CA_EXPIRED = Code(
    "ca-expired",
    ERROR,
    "Every root in the CA file is outside of its validity.",
    "Mount the renewed CA certificate.",
)
CA_DATES = Code(
    "ca-dates",
    WARNING,
    "One of several CAs is outside of its validity.",
    "Remove it, unless it only waits for its time.",
)
CA_EXPIRING = Code(
    "ca-expiring",
    WARNING,
    "A CA ends within the warning period.",
    "Distribute the new CA beside the old one before any certificate changes.",
)
CA_SEVERAL = Code(
    "ca-several",
    WARNING,
    "The file holds several CAs, as it does while a CA is being changed.",
    "Remove the old one when the last certificate that it signed is gone.",
)
CA_SAME_SUBJECT = Code(
    "ca-same-subject",
    WARNING,
    "Two CAs of one name. A certificate without AuthorityKeyIdentifier is checked "
    "with the first of them only, and fails in one order of the file.",
    "Give the new CA another name, or issue with AuthorityKeyIdentifier.",
)
CA_HOLDS_CERTIFICATE = Code(
    "ca-holds-client-certificate",
    WARNING,
    "The client certificate is listed among the CAs, where it certifies nothing.",
    "Remove it from the CA file.",
)
CA_OF_ITSELF = Code(
    "ca-of-itself",
    WARNING,
    "The client certificate is self-signed and listed as its own CA: the issuer was "
    "`selfSigned` rather than the CA.",
    "Issue it with the CA issuer.",
)
CA_HOLDS_OTHER = Code(
    "ca-holds-leaf",
    WARNING,
    "A certificate in the CA file is no CA.",
    "Remove it from the CA file.",
)
CA_HOLDS_KEY = Code(
    "ca-holds-key",
    WARNING,
    "The CA file holds a private key, readable for every client.",
    "Store the CA certificate alone, and issue a new CA if the key is the CA's.",
)

# --- JSON ----------------------------------------------------------------------

JSON_MALFORMED = Code(
    "json-malformed",
    ERROR,
    "The text is not JSON; templates often leave a comma too many or single quotes.",
    "Correct the JSON at the line and column of the message.",
)
JSON_BYTE_ORDER_MARK = Code(
    "json-byte-order-mark",
    ERROR,
    "The JSON begins with a byte order mark, which some editors write.",
    "Save it as UTF-8 without a byte order mark.",
)
JSON_NOT_OBJECT = Code(
    "json-not-object",
    ERROR,
    "The JSON is an array, a string, a number, a boolean or null.",
    "Write one object: braces around names and values.",
)
JSON_DUPLICATE_NAME = Code(
    "json-duplicate-name",
    ERROR,
    "One JSON object has the same name twice, and only the last would count.",
    "Remove one of the two.",
)
JSON_NUMBER_INVALID = Code(
    "json-number-invalid",
    ERROR,
    "NaN and Infinity are not JSON, and larger numbers than a double would become "
    "Infinity.",
    "Write a finite number, or a string.",
)
JSON_HALF_CHARACTER = Code(
    "json-half-character",
    ERROR,
    "A string has half of a surrogate pair, which cannot be stored or sent as UTF-8.",
    "Write the character itself, or both of its escapes.",
)
JSON_TOO_DEEP = Code(
    "json-too-deep",
    ERROR,
    "The JSON is nested deeper than Python's parser takes.",
    "Flatten it.",
)

# --- plugins -------------------------------------------------------------------

PLUGIN_NAME_INVALID = Code(
    "plugin-name-invalid",
    ERROR,
    "An extra plugin is given by a name that Python cannot import, often the name "
    "of the distribution (hyphens) in place of the module (underscores).",
    "Use names as Python imports them, separated by commas.",
)
PLUGIN_SKIPPED = Code(
    "plugin-skipped",
    WARNING,
    "An extra plugin is not installed in this image, or its name is misspelt.",
    "Install it in the image, or correct the name.",
)
PLUGIN_MISSING = Code(
    "plugin-missing",
    ERROR,
    "An extra plugin is not installed while `NAUTOBOT_EXTRA_PLUGINS_STRICT` is on.",
    "Install it in the image, or correct the name.",
)
PLUGIN_CONFIG_NOT_OBJECT = Code(
    "plugin-config-not-object",
    ERROR,
    "The configuration of a plugin is null, or anything else but an object.",
    "Write an object, `{}` for none. null does not remove the defaults.",
)
PLUGIN_CONFIG_UNUSED = Code(
    "plugin-config-unused",
    WARNING,
    "A plugin is configured that is not loaded, or its name is misspelt.",
    "Correct the name, add the plugin to `NAUTOBOT_EXTRA_PLUGINS`, or remove its "
    "configuration.",
)
PLUGIN_CONFIG_FILE_UNREADABLE = Code(
    "plugin-config-file-unreadable",
    ERROR,
    "The file with the plugin configuration is missing, empty or cannot be read.",
    "Mount the file, or correct the path.",
)

# --- expansion -----------------------------------------------------------------

REFERENCE_UNSET = Code(
    "reference-unset",
    ERROR,
    "A `${NAME}` in the plugin configuration names a variable that is unset or empty.",
    "Set the variable, or give a default: `${NAME:-text}`.",
)
REFERENCE_MALFORMED = Code(
    "reference-malformed",
    ERROR,
    "A `${` in the plugin configuration begins no reference: the brace is not "
    "closed, or the name has characters that names of variables have not.",
    "Write `${NAME}` or `${NAME:-default}`, or `$${` for `${` itself.",
)
EXPANSION_TOO_LARGE = Code(
    "expansion-too-large",
    ERROR,
    "References put more than 16 Mi characters into the plugin configuration.",
    "Refer to shorter values, or less often.",
)

# --- site identity -------------------------------------------------------------

SITE_NAME_INVALID = Code(
    "site-name-invalid",
    ERROR,
    "A partition or site name has a character that a Celery queue name or a device "
    "URN does not take.",
    "Use letters, digits, `.`, `_` and `-` only.",
)

# --- PostgreSQL TLS ------------------------------------------------------------

DB_ENGINE_NOT_POSTGRESQL = Code(
    "db-engine-not-postgresql",
    ERROR,
    "TLS for PostgreSQL is asked for, and the database engine is another one.",
    "Unset the PostgreSQL TLS variables, or use a PostgreSQL engine.",
)
DB_SSLNEGOTIATION_MODE = Code(
    "db-sslnegotiation-mode",
    ERROR,
    "libpq starts TLS at once only where TLS is mandatory.",
    "Set `NAUTOBOT_DB_SSLMODE` to `require` or stronger, or unset the negotiation.",
)
DB_SSLNEGOTIATION_LIBPQ = Code(
    "db-sslnegotiation-libpq",
    ERROR,
    "The libpq that the driver carries is older than 17 and does not know "
    "`sslnegotiation`; it refuses every connection that sets it.",
    "Install a driver with a newer libpq (psycopg 3 binary, psycopg2-binary 2.9.10 "
    "or later), or unset `NAUTOBOT_DB_SSLNEGOTIATION`.",
)
DB_LIBPQ_UNKNOWN = Code(
    "db-libpq-unknown",
    WARNING,
    "No PostgreSQL driver can be imported here, so its libpq cannot be asked.",
    "Run the check inside the Nautobot image.",
)
DB_EXTRA_OPTION_CONFLICT = Code(
    "db-extra-option-conflict",
    ERROR,
    "A further libpq parameter contradicts what another variable decides.",
    "Set it through its own variable, and remove it from `NAUTOBOT_DB_EXTRA_OPTIONS`.",
)
DB_EXTRA_OPTION_TYPE = Code(
    "db-extra-option-type",
    ERROR,
    "libpq parameters are text or whole numbers.",
    "Write the value as a string or an integer.",
)

# --- Redis TLS -----------------------------------------------------------------

REDIS_CERT_REQS_NONE = Code(
    "redis-cert-reqs-none",
    WARNING,
    "The Redis server certificate is not verified: whoever answers receives the "
    "password.",
    "Set `NAUTOBOT_REDIS_SSL_CERT_REQS=required`.",
)
REDIS_URL_SSL_OPTION = Code(
    "redis-url-ssl-option",
    ERROR,
    "A Redis URL carries TLS options of its own, which beat or drop the configured "
    "ones.",
    "Remove them from the URL and use the `NAUTOBOT_REDIS_SSL_*` variables.",
)
REDIS_HOST_INVALID = Code(
    "redis-host-invalid",
    ERROR,
    "The host of Redis holds more than a host: a port, a scheme, a path or a password.",
    "Set `NAUTOBOT_REDIS_HOST` to the host alone.",
)
REDIS_URL_MALFORMED = Code(
    "redis-url-malformed",
    ERROR,
    "A Redis URL cannot be taken apart, most often for a `/`, `#` or `?` in its "
    "password, or has no scheme.",
    "Percent-encode the password in the URL, or unset the URL and use the "
    "`NAUTOBOT_REDIS_*` variables, which take every password.",
)
REDIS_URLS_MIXED = Code(
    "redis-urls-mixed",
    ERROR,
    "Of several Redis URLs some are `redis://` and some `rediss://`; after a failover "
    "Celery would not verify the server.",
    "Use `rediss://` for all of them.",
)
REDIS_SENTINEL_TLS = Code(
    "redis-sentinel-tls",
    ERROR,
    "Redis Sentinel is configured together with Redis mTLS.",
    "Connect to Redis directly, or set `UNDERSTACK_REDIS_MTLS=off` and protect both "
    "legs otherwise.",
)
REDIS_CACHE_BACKEND = Code(
    "redis-cache-backend",
    ERROR,
    "The cache backend takes its TLS options in a form that Nautobot does not use.",
    "Use `django_redis.cache.RedisCache`.",
)

# --- secrets -------------------------------------------------------------------

SECRET_KEY_MISSING = Code(
    "secret-key-missing",
    ERROR,
    "There is no secret key: sessions could be forged.",
    "Set `NAUTOBOT_SECRET_KEY`, or `NAUTOBOT_SECRET_KEY_FILE`, to the value that all "
    "pods share.",
)
SECRET_KEY_SHORT = Code(
    "secret-key-short",
    WARNING,
    "The secret key has fewer than 50 characters.",
    "Use 50 or more random characters; changing the key signs everybody out.",
)

# --- single sign-on ------------------------------------------------------------

SSO_INCOMPLETE = Code(
    "sso-incomplete",
    ERROR,
    "Only a part of the single sign-on configuration is there.",
    "Add the missing part, or remove the others.",
)
SSO_UNREADABLE = Code(
    "sso-unreadable",
    ERROR,
    "A file or directory of the single sign-on secret cannot be read.",
    "Check the mount, and `securityContext.fsGroup` of the pod.",
)
SSO_TWICE = Code(
    "sso-twice",
    ERROR,
    "A part of the single sign-on configuration is given both as a file and as a "
    "variable.",
    "Remove one of the two.",
)
SSO_ISSUER = Code(
    "sso-issuer",
    ERROR,
    "The issuer is not an https URL; tokens would cross the network in clear text.",
    "Use the provider's `https://` issuer URL.",
)

# --- hardening -----------------------------------------------------------------

HARDENING_DEBUG = Code(
    "hardening-debug",
    ERROR,
    "Debug pages are on in a hardened deployment.",
    "Unset `NAUTOBOT_DEBUG`.",
)
HARDENING_ALLOWED_HOSTS = Code(
    "hardening-allowed-hosts",
    ERROR,
    "Any host name is accepted in a hardened deployment.",
    "List the host names of this deployment in `NAUTOBOT_ALLOWED_HOSTS`.",
)

# --- logging -------------------------------------------------------------------

LOG_FORMAT_NAUTOBOT = Code(
    "log-format-nautobot",
    WARNING,
    "The log format is set up by Nautobot's own function, which is not there.",
    "Nothing to do outside of Nautobot.",
)

# --- connections ---------------------------------------------------------------

APPLICATION_NAME_LONG = Code(
    "application-name-long",
    WARNING,
    "PostgreSQL cuts an `application_name` after 63 bytes.",
    "Use a shorter partition name to tell workers apart in `pg_stat_activity`.",
)
REDIS_RESULT_BACKEND_TRUST = Code(
    "redis-result-backend-trust",
    WARNING,
    "Celery's Redis result backend makes redis-py's own TLS connections, which trust "
    "the system's CAs beside the configured one.",
    "Keep Nautobot's own result backend, the database.",
)
REDIS_BROKER_FAILOVER_TRUST = Code(
    "redis-broker-failover-trust",
    WARNING,
    "The broker URL lists several brokers. When kombu switches to another one it takes "
    "its own transport, which trusts the system's CAs beside the configured one.",
    "Use a single URL of a name that follows the active Redis.",
)

# --- probe ---------------------------------------------------------------------

PROBE_DNS = Code(
    "probe-dns",
    ERROR,
    "The host name does not resolve.",
    "Correct the host name, or the DNS of the cluster.",
)
PROBE_REFUSED = Code(
    "probe-refused",
    ERROR,
    "Nothing listens at this address and port.",
    "Start the server or the gateway in front of it, or correct host and port.",
    "Envoy Gateway not routing traffic",
)
PROBE_TIMEOUT = Code(
    "probe-timeout",
    ERROR,
    "A stage took longer than the time it had; at TCP, packets vanish on the way.",
    "Check routes, firewalls and network policies, or give it more time.",
)
PROBE_NETWORK = Code(
    "probe-network",
    ERROR,
    "The operating system cannot reach the address.",
    "Check the address, the routes and the network policies on the way.",
)
PROBE_SILENT = Code(
    "probe-silent",
    ERROR,
    "The server, or something in front of it, accepts connections and says nothing.",
    "Look at the server and the load on it, and at what lies in between.",
)
PROBE_CLOSED = Code(
    "probe-closed",
    ERROR,
    "The connection is accepted and closed without a word: nothing runs behind the "
    "address, or no connection is left.",
    "Check that the server runs behind this address and has connections left.",
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
    "Something else than PostgreSQL answers.",
    "Correct host and port.",
)
PROBE_NOT_REDIS = Code(
    "probe-not-redis",
    ERROR,
    "Something else than Redis answers.",
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
    "The gateway has no route for this host name.",
    "Add the name to the `hostnames` of the TLSRoute (`fqdn` in the envoy-configs "
    "route), or use the name that is there.",
    "Envoy Gateway not routing traffic",
)
PROBE_GATEWAY_BACKEND = Code(
    "probe-gateway-backend",
    ERROR,
    "The gateway has a route for this host name, and nothing behind it answers.",
    "Start the server, and check the endpoints of the Service of the TLSRoute.",
    "Envoy Gateway not routing traffic",
)
PROBE_SERVER_CA = Code(
    "probe-server-ca",
    ERROR,
    "The server certificate was not issued by a CA in `ca.crt`.",
    "Put the CA that signed the server certificate into `ca.crt`; it is not the client "
    "certificate.",
    'Redis connection refused with "certificate verify failed"',
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
)
PROBE_SERVER_PURPOSE = Code(
    "probe-server-purpose",
    ERROR,
    "The server certificate is not for servers.",
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
    "The server does not know the CA of the client certificate.",
    "Set `clientCASecret: mtls-ca-cert` and `replicationTLSSecret` on the CNPG "
    "Cluster, or present a certificate of the CA that the server trusts.",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"; PostgreSQL rejects '
    'connection with "certificate verify failed"',
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
    "libpq refuses to connect, for a reason of this machine's.",
    "Look at the certificate files and at `PG*` variables.",
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
    "PostgreSQL asks for a password, and has none or another one in mind.",
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
)
PROBE_DB_FULL = Code(
    "probe-db-full",
    ERROR,
    "PostgreSQL has no connection left.",
    "Raise `max_connections`, or use fewer connections.",
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
    "The ACL of the Redis user does not allow what is needed.",
    "Extend the ACL.",
)
PROBE_REDIS_BUSY = Code(
    "probe-redis-busy",
    ERROR,
    "Redis is loading its data, or has no master.",
    "Wait.",
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
)

PROBE_BROKEN = Code(
    "probe-broken",
    ERROR,
    "The probe itself failed, so nothing is known about the target.",
    "Compare the settings in `show` with what the server wants, and report it.",
)

# --- API accounts --------------------------------------------------------------

CREDENTIAL_UNREADABLE = Code(
    "credential-unreadable",
    ERROR,
    "The secret of an API user is not mounted, or the process may not read it.",
    "Mount the secret, or correct the path.",
)
CREDENTIAL_INCOMPLETE = Code(
    "credential-incomplete",
    ERROR,
    "The secret of an API user lacks its username, password or token.",
    "Complete the entry in the secret backend, or the template of the ExternalSecret.",
)
CREDENTIAL_INVALID = Code(
    "credential-invalid",
    ERROR,
    "The secret of an API user has a form, or a value, that Nautobot does not take; "
    "tokens have exactly 40 characters.",
    "Correct the entry in the secret backend.",
)
CREDENTIAL_CONFLICT = Code(
    "credential-conflict",
    ERROR,
    "Two secrets contradict each other: one user twice, or one token for two users.",
    "Give every user one secret and a token of its own.",
)
ACCOUNT_FOREIGN = Code(
    "account-foreign",
    ERROR,
    "The user exists and carries no mark, or the mark of another owner.",
    "Take it over once with `--adopt`, or choose another username.",
)
ACCOUNT_GROUP_MISSING = Code(
    "account-group-missing",
    ERROR,
    "A group that accounts should join does not exist.",
    "Create the group with the permissions that the accounts need.",
)
ACCOUNT_REFUSED = Code(
    "account-refused",
    ERROR,
    "Nautobot refused a change to an account.",
    "Correct the secret, or the permissions of the bootstrap account.",
)
TOKEN_TAKEN = Code(
    "token-taken",
    ERROR,
    "The API token in a secret already belongs to another user.",
    "Store a new token in the secret.",
)
TOKEN_LEFT = Code(
    "token-left",
    WARNING,
    "A token of a released user is out of reach: over the REST API only its own user "
    "may remove it.",
    "Remove the token where the user is administered.",
)
PRUNE_WITHHELD = Code(
    "prune-withheld",
    ERROR,
    "Nothing was removed, because an unusable secret makes its account look stale.",
    "Mend the secrets and run again.",
)

# --- the environment -----------------------------------------------------------

SERVICE_LINK = Code(
    "service-link",
    ERROR,
    "Kubernetes writes variables for each Service of the namespace, and one of them "
    "has the name of a variable of Nautobot. `nautobot-server` itself says `invalid "
    "literal for int() with base 10: 'tcp://…'`, before it reads any settings file.",
    "Set `enableServiceLinks: false` on the pod.",
)
NAUTOBOT_VALUE_INVALID = Code(
    "nautobot-value-invalid",
    ERROR,
    "Nautobot converts the value while its own settings load, and raises an error "
    "that does not name the variable.",
    "Correct the value, or remove the variable.",
)
VARIABLE_MISSPELT = Code(
    "variable-misspelt",
    WARNING,
    "Nothing reads a variable of this name, and one that is read has nearly the same.",
    "Correct the name.",
)
LIBPQ_VARIABLE = Code(
    "libpq-variable",
    WARNING,
    "libpq takes every connection parameter that the settings leave open from `PG*` "
    "variables, `PGHOSTADDR`, `PGSERVICE` and `PGSSLSNI` among them.",
    "Unset it; use `NAUTOBOT_DB_EXTRA_OPTIONS` for a parameter that is wanted.",
)
DB_VERIFY_CA = Code(
    "db-verify-ca",
    WARNING,
    "`verify-ca` does not compare the server certificate with the host name.",
    "Use `verify-full`.",
)
VARIABLE_UNUSED = Code(
    "variable-unused",
    WARNING,
    "A variable is set that has no effect while another is as it is.",
    "Set the other one as well, or unset this one.",
)
DB_PATH_UNUSED = Code(
    "db-path-unused",
    WARNING,
    "Paths of certificates are set for the database, and the sslmode uses none.",
    "Set `NAUTOBOT_DB_SSLMODE` to `verify-full`, or unset the paths.",
)
REDIS_PATH_UNUSED = Code(
    "redis-path-unused",
    WARNING,
    "Paths of certificates are set for Redis, and `UNDERSTACK_REDIS_MTLS=off` uses "
    "none.",
    "Unset `UNDERSTACK_REDIS_MTLS`, or unset the paths.",
)
GATEWAY_ADDRESS = Code(
    "gateway-address",
    WARNING,
    "The host is an IP address, for which no client sends a server name (SNI), and a "
    "TLS-passthrough gateway routes by that name.",
    "Use the host name that the gateway routes by.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_TRAILING_DOT = Code(
    "gateway-trailing-dot",
    WARNING,
    "The host name ends with a dot, which neither the route of a gateway nor a "
    "certificate has.",
    "Remove the dot.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_SNI_OFF = Code(
    "gateway-sni-off",
    WARNING,
    "`sslsni=0` keeps the server name out of the TLS hello, by which a gateway routes.",
    "Remove `sslsni=0` and `PGSSLSNI`.",
    "Envoy Gateway not routing traffic",
)
GATEWAY_NEGOTIATION = Code(
    "gateway-negotiation",
    WARNING,
    "libpq begins in plain text and asks for TLS, and a TLS-passthrough gateway waits "
    "for a TLS hello: the server closed the connection unexpectedly.",
    "Set `NAUTOBOT_DB_SSLNEGOTIATION=direct`.",
    "Envoy Gateway not routing traffic",
)
CA_BUNDLE_PRIVATE = Code(
    "ca-bundle-private",
    WARNING,
    "A CA bundle for all outbound HTTPS holds private CAs only.",
    "Unset it, or name a bundle that holds the public CAs as well.",
)
CA_BUNDLE_EMPTY = Code(
    "ca-bundle-empty",
    WARNING,
    "A CA bundle for all outbound HTTPS is missing or unreadable, or it holds no "
    "certificate.",
    "Unset it, or name a bundle with the public CAs.",
)
SITE_PARTITION_MISSING = Code(
    "site-partition-missing",
    ERROR,
    "A site worker has no partition, and would write wrong device URNs.",
    "Set `UNDERSTACK_PARTITION` from the `cluster-data` ConfigMap.",
)
SITE_QUEUE_MISSING = Code(
    "site-queue-missing",
    ERROR,
    "The worker does not take tasks from the queue of its site.",
    "Add the partition to `taskQueues` of the worker in the values of the Helm chart.",
)

# --- job queues of sites -------------------------------------------------------

QUEUE_FILE_UNREADABLE = Code(
    "queue-file-unreadable",
    ERROR,
    "The file with the wanted job queues cannot be read.",
    "Mount the file, or correct the path.",
)
QUEUE_FILE_INVALID = Code(
    "queue-file-invalid",
    ERROR,
    "The file with the wanted job queues does not have the form.",
    "Correct what the message names.",
)
QUEUE_JOB_MISSING = Code(
    "queue-job-missing",
    ERROR,
    "A job that a site's queue should take does not exist, or its code is gone.",
    "Correct its name, or install the App that provides it.",
)
QUEUE_NOT_CELERY = Code(
    "queue-not-celery",
    ERROR,
    "A queue of that name exists and is not a Celery queue.",
    "Remove that queue, or choose another name.",
)
QUEUE_IS_DEFAULT = Code(
    "queue-is-default",
    ERROR,
    "A job would lose the queue that it is sent to by default.",
    "Give the job another default queue first, or list it.",
)
