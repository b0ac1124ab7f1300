"""What can be wrong with certificates, keys and CA files."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

# --- files ------------------------------------------------------------------

FILE_MISSING = Code(
    "file-missing",
    "A certificate, key or CA file that the active mode needs does not exist.",
    "Mount the secret `nautobot-mtls-client` at `/etc/nautobot/mtls`, "
    "or correct the path.",
    "Worker pod fails to start with FileNotFoundError",
)
FILE_UNREADABLE = Code(
    "file-unreadable",
    "The process cannot read the file, most often because of the owner or the mode "
    "of the mounted secret.",
    "Set `securityContext.fsGroup` of the pod to the group of the process.",
)
FILE_EMPTY = Code(
    "file-empty",
    "The file exists and has no content: the Secret has no data under its key.",
    "Check the source of the secret: `kubectl describe externalsecret "
    "nautobot-mtls-client -n nautobot`.",
)
FILE_NOT_REGULAR = Code(
    "file-not-regular",
    "The path names a directory, a device, a pipe or a socket. A subPath mount of a "
    "key that the Secret does not have makes a directory as well.",
    "Set the variable to the path of the file inside the mounted directory.",
)
FILE_TOO_LARGE = Code(
    "file-too-large",
    "The file is larger than any certificate, key or CA bundle of a client.",
    "Check the path, and which data the Secret has under its key.",
)

# --- the form of a file -----------------------------------------------------

PEM_CR_ONLY = Code(
    "pem-cr-only",
    "The lines of a PEM file end in CR alone, so OpenSSL reads it as one line.",
    "Replace CR by LF at the source of the secret. Do not remove CR: that would "
    "leave one long line.",
)
PEM_LITERAL_LINE_ENDS = Code(
    "pem-literal-line-ends",
    "A PEM file has the characters backslash and n instead of line ends. They come "
    "from a JSON string, or from one shell quote too many.",
    "Store real line ends, in YAML as a block scalar (|).",
)
PEM_ONE_LINE = Code(
    "pem-one-line",
    "A PEM file has lost its line ends.",
    "Store it with its line ends, in YAML as a block scalar (|).",
)
PEM_INDENTED = Code(
    "pem-indented",
    "BEGIN or END of a PEM block is not at the start of its line.",
    "Remove the blanks at the start of its lines; in a Helm template use `nindent` "
    "with a block scalar (|).",
)
PEM_GLUED = Code(
    "pem-glued",
    "Two PEM blocks were concatenated without a line end between them.",
    "Put a line end between the blocks: each file has to end with one before it is "
    "concatenated.",
)
PEM_LINES = Code(
    "pem-lines",
    "Lines of a PEM block hold more than they may: a blank line stands within the "
    "block, or BEGIN or END is not alone on its line.",
    "Give BEGIN and END a line of their own, without quotation marks or anything else, "
    "and remove blank lines within a block.",
)
PEM_BASE64 = Code(
    "pem-base64",
    "The file is base64 of a PEM file: it was encoded twice on the way into the "
    "Secret.",
    "Decode it once. In a Secret, `data` takes base64 and `stringData` takes the text.",
)
PEM_NO_ARMOUR = Code(
    "pem-no-armour",
    "The BEGIN and END lines of a PEM file are missing.",
    "Add the lines around the base64 text, `-----BEGIN CERTIFICATE-----` or "
    "`-----BEGIN PRIVATE KEY-----` and the END line of the same kind.",
)
PEM_DER = Code(
    "pem-der",
    "The file is binary (DER).",
    "Convert it to PEM: `openssl x509 -inform DER -in OLD -out NEW` (certificate) or "
    "`openssl pkey -inform DER -in OLD -out NEW` (key).",
)
KEY_DER = WarningCode(
    "key-der",
    "The private key is binary (DER). libpq 15 and later accepts that, and no other "
    "client does.",
    "Convert it to PEM: `openssl pkey -inform DER -in OLD -out NEW`.",
)
PEM_PKCS12 = Code(
    "pem-pkcs12",
    "The file is a PKCS #12 archive (`.p12`, `.pfx`), or base64 of one.",
    "Extract certificate and key: `openssl pkcs12 -in FILE -nodes`, of base64 after "
    "`base64 -d`.",
)
PEM_UTF16 = Code(
    "pem-utf16",
    "The file was saved as UTF-16, with two bytes for each character.",
    "Save it as ASCII or UTF-8.",
)
PEM_TRUNCATED = Code(
    "pem-truncated",
    "A part of the file is missing, most often its end.",
    "Copy the whole file again from where it was issued.",
)
PEM_DAMAGED = Code(
    "pem-damaged",
    "The file has the form of PEM, but its content is not a certificate or key.",
    "Copy the file again from where it was issued.",
    "PEM data with carriage returns",
)
PEM_OTHER_KIND = Code(
    "pem-other-kind",
    "The file holds another kind of object: a request, a public key, or a key where "
    "a certificate belongs.",
    "Store the right object under this path.",
)
PEM_NONE = Code(
    "pem-none",
    "The file has nothing that looks like PEM.",
    "Check the source of the secret: a template that was not rendered, or an error "
    "message, may have been stored in its place.",
)
PEM_CRLF = WarningCode(
    "pem-crlf",
    "The lines of a PEM file end in CR and LF. OpenSSL 3 accepts that; older versions "
    "and other software may not.",
    "Extract the blocks with `filterPEM` in the ExternalSecret template.",
    "PEM data with carriage returns",
)
PEM_BYTE_ORDER_MARK = WarningCode(
    "pem-byte-order-mark",
    "A PEM file starts with a byte order mark. OpenSSL 3 accepts that; other software "
    "may not.",
    "Save the file as UTF-8 without it.",
)

# --- certificate and key ----------------------------------------------------

CERTIFICATE_KEY_SWAPPED = Code(
    "certificate-key-swapped",
    "A mounted file has the content of another one.",
    "Correct the keys of the Secret, or the paths.",
)
CERTIFICATE_KEY_MISMATCH = Code(
    "certificate-key-mismatch",
    "The private key belongs to another certificate.",
    "Mount certificate and key of the same Secret.",
)
CERTIFICATE_CA_FIRST = Code(
    "certificate-ca-first",
    "The first certificate of the file is a CA, and clients present the first one.",
    "Put the client certificate first and its intermediates after it.",
)
KEY_ENCRYPTED = Code(
    "key-encrypted",
    "The private key is encrypted, and a pod cannot ask for its password.",
    "Store the key without a password: `openssl pkey -in OLD -out NEW`.",
)
KEY_OLD_CIPHER = WarningCode(
    "key-old-cipher",
    "The private key is encrypted with a cipher that OpenSSL 3 does not load by "
    "itself, such as DES, RC2 or RC4. The OpenSSL of the driver may still accept it.",
    "Store the key without a password, or encrypt it again: `openssl pkey -provider "
    "legacy -provider default -aes256 -in OLD -out NEW`.",
)
KEY_MODE = Code(
    "key-mode",
    "libpq refuses a private key that others may read: the mode may be at most 0640 if "
    "root owns the key, and at most 0600 otherwise.",
    "Mount the Secret with `defaultMode: 256` and set `securityContext.fsGroup`.",
)
CERTIFICATE_EXPIRED = Code(
    "certificate-expired",
    "The client certificate is past its notAfter, so every server refuses it.",
    "Renew the certificate; on a site, copy the renewed one there.",
)
CERTIFICATE_NOT_YET_VALID = Code(
    "certificate-not-yet-valid",
    "The client certificate is before its notBefore.",
    "It becomes valid by itself. If that time has passed, the clock of the node is "
    "wrong: set it.",
    transient=True,
)
CERTIFICATE_NOT_FOR_CLIENTS = Code(
    "certificate-not-for-clients",
    "The usages of the certificate exclude client authentication.",
    "Issue it with `usages: [client auth]` in the cert-manager Certificate.",
)
CERTIFICATE_NOT_JUDGED = WarningCode(
    "certificate-not-judged",
    "The system does not let this process show a file to OpenSSL: that needs /proc, "
    "some free file descriptors, and an OpenSSL that finds its algorithms. Nothing is "
    "known of the certificates.",
    "Mount /proc, raise the limit of open files, or correct what `OPENSSL_CONF` and "
    "`OPENSSL_MODULES` name.",
)
CERTIFICATE_WEAK = WarningCode(
    "certificate-weak",
    "The OpenSSL of this Python does not accept the size of a key, the hash of a "
    "signature, or DSA keys. The OpenSSL of the driver or of the server may have other "
    "limits.",
    "Issue it with ECDSA P-256 or RSA 2048, signed with SHA-256.",
)
CERTIFICATE_KEY_TYPE = Code(
    "certificate-key-type",
    "The key of the certificate cannot sign in TLS, or is on a curve that servers do "
    "not accept by default (P-224, secp256k1, brainpool).",
    "Issue it with ECDSA P-256 or RSA 2048.",
)
CERTIFICATE_EXPLICIT_CURVE = Code(
    "certificate-explicit-curve",
    "The key of the certificate writes the parameters of its curve out instead of "
    "naming the curve. Servers with OpenSSL 1.1.1 and later refuse that.",
    "Make a key with a named curve: `openssl genpkey -algorithm EC -pkeyopt "
    "ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve`.",
)
CERTIFICATE_CURVE = WarningCode(
    "certificate-curve",
    "A PostgreSQL that speaks at most TLS 1.2 accepts client keys on its own "
    "`ssl_ecdh_curve` only, and the default of that is P-256.",
    "Issue it with ECDSA P-256, or let the server speak TLS 1.3.",
)
CERTIFICATE_REFUSED = Code(
    "certificate-refused",
    "OpenSSL refuses the certificate or its key. The message gives OpenSSL's own "
    "reason.",
    "Issue the certificate anew.",
)
CERTIFICATE_EXPIRING = WarningCode(
    "certificate-expiring",
    "A certificate expires within the warning period.",
    "Renew it; on a site, copy the renewed one there.",
)
CERTIFICATE_INTERMEDIATE_DATES = WarningCode(
    "certificate-intermediate-dates",
    "An intermediate certificate is outside its validity. A server that has no other "
    "copy of it refuses the client.",
    "Renew the intermediate and put it after the client certificate.",
)
CERTIFICATE_ISSUER_UNKNOWN = WarningCode(
    "certificate-issuer-unknown",
    "OpenSSL finds no chain of signatures from the client certificate to a CA in the "
    "CA file. That is right if clients and servers have different CAs, and wrong if "
    "they share one.",
    "Ask the server with `probe`. If one CA signs clients and servers, store its "
    "certificate in the CA file, and intermediates after the client certificate.",
    'PostgreSQL rejects connection with "tlsv1 alert unknown ca"',
)
CERTIFICATE_CHAIN_REFUSED = WarningCode(
    "certificate-chain-refused",
    "OpenSSL refuses the chain from the client certificate to a CA in the CA file. "
    "Most often a CA limits which names or how many CAs stand below it, an issuer is "
    "no CA, or a certificate has an extension that OpenSSL does not know. That is "
    "wrong if clients and servers share a CA.",
    "Ask the server with `probe`. If one CA signs clients and servers, issue the "
    "certificate within the limits of its CAs, or by another CA.",
)
CERTIFICATE_NAME_MISMATCH = WarningCode(
    "certificate-name-mismatch",
    "The CN of the client certificate is not the database user. The `cert` rule of "
    "PostgreSQL compares the two byte for byte, unless an identity map says "
    "otherwise. `check` therefore calls it an error; at start-up it is a warning, "
    "since only the server knows its map.",
    "Issue it with the user as `commonName`, or correct the user: `NAUTOBOT_DB_USER`, "
    "or `USER` in the settings file. If the server maps names (pg_ident.conf), set "
    "`UNDERSTACK_DB_IDENTITY_MAP=true`.",
    "certificate authentication failed for user",
)
CERTIFICATE_NOT_STRICT = WarningCode(
    "certificate-not-strict",
    "OpenSSL's strict rules (RFC 5280) refuse the chain. Python 3.13 applies them to "
    "server certificates by default.",
    "Issue CA and certificates as RFC 5280 demands: with key identifiers, key usages "
    "and a critical basicConstraints.",
)
CERTIFICATE_SUBPATH = WarningCode(
    "certificate-subpath",
    "The file is mounted by subPath, and kubelet never updates such a mount.",
    "Mount the whole volume at a directory.",
)
KEY_PATH_ENGINE = WarningCode(
    "key-path-engine",
    "The path of the key has a colon. A libpq with OpenSSL engines takes the part "
    "before it as the name of an engine.",
    "Use a path without a colon.",
)

# --- the CA file ------------------------------------------------------------

CA_IS_CLIENT_CERTIFICATE = Code(
    "ca-is-client-certificate",
    "The CA file holds the client certificate instead of a CA.",
    "Store the certificate of the CA as `ca.crt` of the Secret.",
    'Redis connection refused with "certificate verify failed"',
)
CA_NONE = Code(
    "ca-none",
    "No certificate in the CA file is a CA.",
    "Store the certificate of the CA that signed the server certificate.",
)
CA_WITHOUT_ROOT = Code(
    "ca-without-root",
    "The CA file holds only intermediates, and OpenSSL needs the root above them.",
    "Add the self-signed root certificate to the file.",
)
CA_EXPIRED = Code(
    "ca-expired",
    "No root in the CA file is valid now, and at least one of them has expired.",
    "Mount the renewed CA certificate.",
)
CA_NOT_YET_VALID = Code(
    "ca-not-yet-valid",
    "Every root in the CA file is before its notBefore.",
    "It becomes valid by itself. If that time has passed, the clock of the node is "
    "wrong: set it.",
    transient=True,
)
CA_DATES = WarningCode(
    "ca-dates",
    "One of several CAs is outside its validity.",
    "Remove it, unless its validity is still to come.",
)
CA_EXPIRING = WarningCode(
    "ca-expiring",
    "A CA expires within the warning period.",
    "Distribute the new CA beside the old one before any certificate changes.",
)
CA_SEVERAL = WarningCode(
    "ca-several",
    "The file holds several CAs, as it should while a CA is being changed.",
    "Remove the old CA when the last certificate that it signed is gone.",
)
CA_SAME_SUBJECT = WarningCode(
    "ca-same-subject",
    "Two CAs have the same name. OpenSSL checks a certificate without "
    "AuthorityKeyIdentifier with the first of them only, so one order of the file "
    "fails.",
    "Give the new CA another name, or issue with AuthorityKeyIdentifier.",
)
CA_NOT_FOR_SERVERS = WarningCode(
    "ca-not-for-servers",
    "The usages of a CA exclude server certificates: no certificate that it signed is "
    "accepted from a server.",
    "Store the CA of the servers there, or issue the CA without extended key usages.",
)
CA_HOLDS_CLIENT_CERTIFICATE = WarningCode(
    "ca-holds-client-certificate",
    "The CA file lists the client certificate, which has no effect there.",
    "Remove it from the CA file.",
)
CA_OF_ITSELF = WarningCode(
    "ca-of-itself",
    "The client certificate is self-signed and listed as its own CA: it was issued "
    "with the issuer `selfSigned` instead of the CA.",
    "Issue it with the CA issuer.",
)
CA_HOLDS_LEAF = WarningCode(
    "ca-holds-leaf",
    "A certificate in the CA file is not a CA.",
    "Remove it from the CA file.",
)
CA_HOLDS_KEY = WarningCode(
    "ca-holds-key",
    "The CA file holds a private key, which every client can read.",
    "Store the CA certificate alone. If the key is the key of the CA, replace the CA.",
)
