"""What can be wrong with certificates, keys and CA files."""

from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import WARNING
from understack_nautobot_settings.problems import Code

# --- files ------------------------------------------------------------------

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

# --- certificates: the form of a file ---------------------------------------

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

# --- certificates: the pair -------------------------------------------------

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

# --- certificates: the CA file ----------------------------------------------

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
