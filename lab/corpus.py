"""Situations in which the files of a client certificate can be.

Each has its files, and what the library says about them: whole sentences, written
out. Real servers say in `tests/live` whether the verdict is right.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from lab.certificates import CLIENT_AND_SERVER
from lab.certificates import DAY
from lab.certificates import SERVER
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.certificates import mount_files
from lab.certificates import now
from understack_nautobot_settings.certificates.judging import CertificateFile
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.problems import MissingFile
from understack_nautobot_settings.problems import Problem

POSTGRESQL = "PostgreSQL"
REDIS = "Redis"
BOTH = frozenset((POSTGRESQL, REDIS))
NOBODY: frozenset[str] = frozenset()

FILES = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
VARIABLES = {
    POSTGRESQL: {
        "cert": "NAUTOBOT_DB_SSLCERT",
        "key": "NAUTOBOT_DB_SSLKEY",
        "ca": "NAUTOBOT_DB_SSLROOTCERT",
    },
    REDIS: {
        "cert": "NAUTOBOT_REDIS_SSL_CERTFILE",
        "key": "NAUTOBOT_REDIS_SSL_KEYFILE",
        "ca": "NAUTOBOT_REDIS_SSL_CA_CERTS",
    },
}

DIRECTORY = b"<a directory>"
"""Stands for a directory in place of a file."""


class Said(NamedTuple):
    """One problem: code, file (``cert``, ``key``, ``ca``), fact, remedy.

    ``{cert}`` in a text is the path of the certificate, ``{cert_variable}`` the name
    of its variable; likewise for the others.
    """

    code: str
    file: str
    fact: str
    remedy: str


class Situation(NamedTuple):
    """Files, and what is said about them.

    Attributes:
        name: For the id of a test.
        files: Content by file name; `DIRECTORY` for a directory, missing if absent.
        refused: What start-up refuses, in its order; empty where it accepts.
        refused_for: The uses to which that applies.
        pinned: True where Python 3.13 accepts it for Redis: it trusts any
            certificate of the CA file, root or not.
        warned: What `check` adds; None where that is not the point.
        warned_for: The uses to which that applies.
        found_out: The uses that fail although start-up accepts, for a reason that
            only the server's answer shows.
        key_mode: Mode of the key file.
        texts: Values for the sentences.
    """

    name: str
    files: Mapping[str, bytes]
    refused: tuple[Said, ...] = ()
    refused_for: frozenset[str] = BOTH
    pinned: bool = False
    warned: tuple[Said, ...] | None = None
    warned_for: frozenset[str] = BOTH
    found_out: frozenset[str] = NOBODY
    key_mode: int = 0o600
    texts: Mapping[str, str] = {}

    def write(self, directory: Path) -> None:
        """Write the files; the key gets its mode, the others are readable."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            path = directory / name
            if content == DIRECTORY:
                path.mkdir()
                continue
            path.write_bytes(content)
            path.chmod(self.key_mode if name == FILES["key"] else 0o644)

    def refusals(self, use: str, directory: Path) -> list[Problem]:
        """Return what start-up says for one client, the files in a directory."""
        applies = use in self.refused_for and not self._is_pinned(use)
        return self._problems(self.refused, "error", use, directory) if applies else []

    def warnings(self, use: str, directory: Path) -> list[Problem]:
        """Return what `check` adds."""
        if use not in self.warned_for:
            return []
        return self._problems(self.warned or (), "warning", use, directory)

    def connects(self, use: str) -> bool:
        """Tell whether a real client gets through to a real server."""
        refused = bool(self.refused) and use in self.refused_for
        return not refused and use not in self.found_out

    def _is_pinned(self, use: str) -> bool:
        return self.pinned and use == REDIS and sys.version_info >= (3, 13)

    def _problems(
        self, said: tuple[Said, ...], severity: str, use: str, directory: Path
    ) -> list[Problem]:
        words = {
            **{role: str(directory / name) for role, name in FILES.items()},
            **{f"{role}_variable": name for role, name in VARIABLES[use].items()},
            "directory": str(directory),
            **self.texts,
        }
        return [
            (MissingFile if one.code == "file-missing" else Problem)(
                one.code,
                severity,
                VARIABLES[use][one.file],
                one.fact.format(**words),
                one.remedy.format(**words),
            )
            for one in said
        ]


def client_files(use: str, directory: Path) -> ClientFiles:
    """Return the files of a client in a directory."""
    cert, key, ca = (
        CertificateFile(str(directory / FILES[role]), VARIABLES[use][role])
        for role in ("cert", "key", "ca")
    )
    return ClientFiles(use, cert, key, ca)


class Pki:
    """The authorities of the corpus, and the servers' side of it."""

    def __init__(self) -> None:
        """Make the authorities."""
        self.root = Authority()
        self.intermediate = self.root.intermediate()
        self.clients = Authority("understack-client-ca")
        self.lax = Authority("lax-ca", constraints="plain")
        self.namesake = Authority()
        self.stranger = Authority("somebody-else")

    @property
    def trusted_for_clients(self) -> bytes:
        """What the servers trust: PEM of several CAs."""
        trusted = (self.root, self.clients, self.lax)
        return b"".join(authority.ca_pem for authority in trusted)


def situations(pki: Pki) -> list[Situation]:
    """Return the whole corpus; the files are made anew."""
    return [
        *_good(pki),
        *_odd(pki),
        *_missing(pki),
        *_ill_formed(pki),
        *_mismatched(pki),
        *_not_usable(pki),
        *_authorities(pki),
    ]


# --- what works ----------------------------------------------------------------


def _good(pki: Pki) -> Iterator[Situation]:
    root = pki.root
    leaf = root.issue()
    for name, kind in {
        "ec": root.issue(),
        "ec-pkcs8": root.issue(key_format="pkcs8"),
        "rsa": root.issue(key="rsa"),
        "rsa-pkcs8": root.issue(key="rsa", key_format="pkcs8"),
        "p384": root.issue(key=ec.generate_private_key(ec.SECP384R1())),
        "no-usages-at-all": root.issue(usages=()),
        "client-and-server-auth": root.issue(usages=CLIENT_AND_SERVER),
        "key-agreement-only": root.issue(usages=("key agreement", "client auth")),
        "valid-for-31-days": root.issue(not_after=now() + 31 * DAY),
    }.items():
        yield Situation(name, mount_files(kind, root.ca_pem), warned=())
    below = pki.intermediate.issue()
    yield Situation("intermediate-sent", mount_files(below, root.ca_pem), warned=())
    yield Situation(
        "intermediate-in-ca-file-only",
        {
            **mount_files(below, root.ca_pem + pki.intermediate.cert_pem),
            "tls.crt": below.cert_pem,
        },
        warned=(),
    )
    yield Situation(
        "root-sent-as-well",
        {**mount_files(below, root.ca_pem), "tls.crt": below.chain_pem + root.cert_pem},
        warned=(),
    )
    yield Situation(
        "key-and-certificate-in-each",
        {
            "tls.crt": leaf.key_pem + leaf.cert_pem,
            "tls.key": leaf.cert_pem + leaf.key_pem,
            "ca.crt": root.ca_pem,
        },
        warned=(),
    )
    yield Situation(
        "parameters-before-key",
        {
            **mount_files(leaf, root.ca_pem),
            "tls.key": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
            b"-----END EC PARAMETERS-----\n" + leaf.key_pem,
        },
        warned=(),
    )
    yield Situation(
        "same-ca-twice", mount_files(leaf, root.ca_pem + root.ca_pem), warned=()
    )


def _odd(pki: Pki) -> Iterator[Situation]:
    """Yield what works, and deserves a word or two."""
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)
    yield Situation(
        "crlf",
        {name: content.replace(b"\n", b"\r\n") for name, content in good.items()},
        warned=tuple(
            Said(
                "pem-crlf",
                role,
                f"{{{role}}} ends its lines with CR LF.",
                "Extract its blocks with filterPEM in the ExternalSecret template.",
            )
            for role in FILES
        ),
    )
    yield Situation(
        "byte-order-mark",
        {name: b"\xef\xbb\xbf" + content for name, content in good.items()},
        warned=tuple(
            Said(
                "pem-byte-order-mark",
                role,
                f"{{{role}}} starts with a byte order mark.",
                "Save it as UTF-8 without one.",
            )
            for role in FILES
        ),
    )
    for name, bend in {
        "leading-text": lambda content: b"Bag Attributes\n  name: x\n" + content,
        "trailing-blanks": lambda content: content.replace(b"\n", b"  \n"),
        "trailing-lines": lambda content: content + b"\n\n  \n",
        "no-final-line-end": lambda content: content.rstrip(b"\n"),
        "text-after": lambda content: content + b"# the end",
    }.items():
        yield Situation(
            name, {file: bend(content) for file, content in good.items()}, warned=()
        )
    yield Situation(
        "expires-in-29-days",
        mount_files(ends := root.issue(not_after=now() + 29.5 * DAY), root.ca_pem),
        warned=(
            Said(
                "certificate-expiring",
                "cert",
                "CN=app in {cert} expires in 29 days, on {end}.",
                "Renew it; on a site, copy the renewed certificate there.",
            ),
        ),
        texts={"end": _utc(ends.certificate.not_valid_after_utc)},
    )
    yield Situation(
        "other-common-name",
        mount_files(root.issue("nautobot"), root.ca_pem),
        warned=(
            Said(
                "certificate-name-mismatch",
                "cert",
                "{cert} is CN=nautobot, and the database user is app.",
                "Issue it with commonName app; only an identity map on the server "
                "makes another name work.",
            ),
        ),
        warned_for=frozenset((POSTGRESQL,)),
        found_out=frozenset((POSTGRESQL,)),
    )
    yield Situation(
        "no-name-at-all",
        mount_files(root.issue(None, san=("app",)), root.ca_pem),
        warned=(
            Said(
                "certificate-name-mismatch",
                "cert",
                "{cert} is without a name, and the database user is app.",
                "Issue it with commonName app; only an identity map on the server "
                "makes another name work.",
            ),
        ),
        warned_for=frozenset((POSTGRESQL,)),
        found_out=frozenset((POSTGRESQL,)),
    )
    key = _der_key(leaf, serialization.PrivateFormat.TraditionalOpenSSL)
    for name, content in {
        "der-key": key,
        "der-key-pkcs8": _der_key(leaf, serialization.PrivateFormat.PKCS8),
    }.items():
        yield Situation(
            name,
            {**good, "tls.key": content},
            refused=(_FORMS["der"].said("key"),),
            refused_for=frozenset((REDIS,)),
            warned=(
                Said(
                    "key-der",
                    "key",
                    "{key} is DER, which libpq takes and Redis clients do not.",
                    "Convert it: 'openssl pkey -inform DER'.",
                ),
            ),
            warned_for=frozenset((POSTGRESQL,)),
        )


# --- files ---------------------------------------------------------------------


def _missing(pki: Pki) -> Iterator[Situation]:
    good = mount_files(pki.root.issue(), pki.root.ca_pem)
    for role, file in FILES.items():
        rest = {name: content for name, content in good.items() if name != file}
        yield Situation(f"{role}-missing", rest, refused=(_missing_file(role),))
        yield Situation(
            f"{role}-empty",
            {**rest, file: b""},
            refused=(
                Said(
                    "file-empty",
                    role,
                    f"{{{role}}} is empty.",
                    f"Fill the key {file} of the mounted secret at its source.",
                ),
            ),
        )
        yield Situation(
            f"{role}-is-a-directory",
            {**rest, file: DIRECTORY},
            refused=(
                Said(
                    "file-not-regular",
                    role,
                    f"{{{role}}} is a directory.",
                    "Point it at the file in it; a subPath mount of a key that the "
                    "secret does not have makes a directory as well.",
                ),
            ),
        )
    yield Situation(
        "nothing-mounted", {}, refused=tuple(_missing_file(role) for role in FILES)
    )


def _missing_file(role: str) -> Said:
    return Said(
        "file-missing",
        role,
        f"SSL certificate file required by {{{role}_variable}} not found: {{{role}}}",
        "Mount the secret nautobot-mtls-client at {directory}, or correct the path.",
    )


# --- form ----------------------------------------------------------------------


class _Form(NamedTuple):
    """One way in which a PEM file is spoilt."""

    code: str
    fact: str
    certificate_remedy: str
    key_remedy: str = ""

    def said(self, role: str) -> Said:
        remedy = self.certificate_remedy
        noun = "certificate"
        if role == "key":
            remedy, noun = self.key_remedy or remedy, "private key"
        return Said(
            self.code,
            role,
            f"{{{role}}} {self.fact.replace('<kind>', noun)}",
            remedy.replace("<kind>", noun),
        )


_BLOCK_SCALAR = "in YAML as a block scalar (|)."
_WHOLE = "Copy the whole file again from where it was issued."
_AGAIN = "Copy it again from where it was issued."

_FORMS = {
    "cr-only": _Form(
        "pem-cr-only",
        "ends its lines with CR alone.",
        "Turn CR into LF at the source of the secret; removing CR would leave one "
        "long line.",
    ),
    "literal-line-ends": _Form(
        "pem-literal-line-ends",
        r"has the two characters \n where a line should end.",
        f"Store real line ends, {_BLOCK_SCALAR}",
    ),
    "one-line": _Form(
        "pem-one-line",
        "has lost its line ends.",
        f"Store it with its line ends, {_BLOCK_SCALAR}",
    ),
    "indented": _Form(
        "pem-indented",
        "has indented BEGIN or END lines.",
        "Remove the blanks before them; in a Helm template use 'nindent' with a "
        "block scalar (|).",
    ),
    "base64": _Form(
        "pem-base64",
        "is base64 of a PEM file.",
        "Decode it once; 'data' of a Secret takes base64, 'stringData' the text.",
    ),
    "no-armour": _Form(
        "pem-no-armour",
        "is base64 without BEGIN and END lines.",
        "Put it between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----.",
        "Put it between -----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----.",
    ),
    "der": _Form(
        "pem-der",
        "is DER, not PEM.",
        "Convert it: 'openssl x509 -inform DER'.",
        "Convert it: 'openssl pkey -inform DER'.",
    ),
    "pkcs12": _Form(
        "pem-pkcs12",
        "is a PKCS #12 archive, not PEM.",
        "Take certificate and key out of it: 'openssl pkcs12 -nodes'.",
    ),
    "utf16": _Form("pem-utf16", "is UTF-16 text.", "Save it as ASCII or UTF-8."),
    "no-end": _Form(
        "pem-truncated", "ends before the END line of its last block.", _WHOLE
    ),
    "no-begin": _Form(
        "pem-truncated", "starts after the BEGIN line of its first block.", _WHOLE
    ),
    "line-missing": _Form(
        "pem-truncated", "holds a <kind> of which a part is missing.", _WHOLE
    ),
    "damaged": _Form("pem-damaged", "holds a <kind> that is damaged.", _AGAIN),
    "none": _Form(
        "pem-none",
        "holds no PEM block.",
        "Look at the source of the secret: a template that was not rendered, or an "
        "error message, is stored as readily as a certificate.",
    ),
    "blanks": _Form(
        "file-empty",
        "holds nothing but blanks.",
        "Fill the key of the mounted secret at its source.",
    ),
}


def _spoilt(content: bytes) -> dict[str, bytes]:
    lines = content.splitlines()
    middle = len(lines) // 2
    der = base64.b64decode(b"".join(line for line in lines if b"-----" not in line))
    return {
        "cr-only": content.replace(b"\n", b"\r"),
        "literal-line-ends": content.replace(b"\n", rb"\n"),
        "one-line": b" ".join(lines),
        "one-line-without-blanks": b"".join(lines) + b"\n",
        "indented": b"".join(b"    " + line + b"\n" for line in lines),
        "base64": base64.encodebytes(content),
        "base64-one-line": base64.b64encode(content),
        "no-armour": b"\n".join(lines[1:-1]),
        "utf16": content.decode().encode("utf-16"),
        "utf16-big-endian": content.decode().encode("utf-16-be"),
        "no-end": b"\n".join(lines[:-1]) + b"\n",
        "no-end-within-a-line": content[: len(content) // 2],
        "no-begin": b"\n".join(lines[1:]) + b"\n",
        "line-missing": b"\n".join(lines[:middle] + lines[middle + 1 :]) + b"\n",
        "damaged-letter": content.replace(lines[middle], b"!" + lines[middle][1:]),
        "damaged-content": content.replace(lines[1], b"MIIB" + b"A" * 60),
        "none-template": b"{{ .tls_crt | b64dec }}\n",
        "none-page": b"<html><body>403 Forbidden</body></html>\n",
        "none-value": b"<no value>",
        "blanks": b" \n\n",
        "der": der,
    }


def _ill_formed(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue(key="rsa", key_format="pkcs8")
    good = mount_files(leaf, root.ca_pem)
    for role, file in FILES.items():
        for name, content in _spoilt(good[file]).items():
            if name == "der" and role == "key":
                continue  # libpq takes it: among the odd ones.
            form = next(form for form in _FORMS if name.startswith(form))
            yield Situation(
                f"{role}-{name}",
                {**good, file: content},
                refused=(_FORMS[form].said(role),),
            )
    glued = Said(
        "pem-glued",
        "ca",
        "{ca} has an END line and the next BEGIN line joined into one.",
        "Put a line end between the blocks; every file that is concatenated has to "
        "end with one.",
    )
    bundle = root.ca_pem.rstrip(b"\n") + pki.clients.ca_pem
    yield Situation("ca-glued", {**good, "ca.crt": bundle}, refused=(glued,))
    below = pki.intermediate.issue()
    yield Situation(
        "cert-glued",
        {
            **mount_files(below, root.ca_pem),
            "tls.crt": below.cert_pem.rstrip(b"\n") + pki.intermediate.cert_pem,
        },
        refused=(glued._replace(file="cert", fact=glued.fact.replace("ca", "cert")),),
    )
    yield Situation(
        "intermediate-damaged",
        {
            **mount_files(below, root.ca_pem),
            "tls.crt": below.cert_pem
            + _spoilt(pki.intermediate.cert_pem)["damaged-letter"],
        },
        refused=(_FORMS["damaged"].said("cert"),),
    )
    yield Situation(
        "second-ca-cut-off",
        {**good, "ca.crt": root.ca_pem + _spoilt(pki.clients.ca_pem)["no-end"]},
        refused=(_FORMS["no-end"].said("ca"),),
    )
    yield Situation(
        "all-three-cr-only",
        {name: content.replace(b"\n", b"\r") for name, content in good.items()},
        refused=tuple(_FORMS["cr-only"].said(role) for role in FILES),
    )
    yield from _other_kinds(pki, leaf, good)


def _other_kinds(
    pki: Pki, leaf: Leaf, good: Mapping[str, bytes]
) -> Iterator[Situation]:
    public = leaf.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    openssh = leaf.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(leaf.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki.root.certificate.subject)
        .last_update(now() - DAY)
        .next_update(now() + DAY)
        .sign(pki.root.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    bundle = pkcs7.serialize_certificates(
        [leaf.certificate], serialization.Encoding.PEM
    )
    archive = pkcs12.serialize_key_and_certificates(
        b"app", leaf.key, leaf.certificate, None, serialization.NoEncryption()
    )
    for label, role, content, seen in (
        ("request", "cert", request, "a certificate request"),
        ("pkcs7", "cert", bundle, "a PKCS #7 bundle"),
        ("key-as-cert", "cert", leaf.key_pem, "a private key"),
        ("public-key", "key", public, "a public key"),
        ("openssh-key", "key", openssh, "a key in OpenSSH's own format"),
        ("cert-as-key", "key", leaf.cert_pem, "a certificate"),
        ("key-as-ca", "ca", leaf.key_pem, "a private key"),
        ("revocation-list", "ca", revoked, "a revocation list"),
        (
            "other-kind",
            "ca",
            b"-----BEGIN DH PARAMETERS-----\nMAYCAQMCAQI=\n"
            b"-----END DH PARAMETERS-----\n",
            "a PEM block of another kind",
        ),
    ):
        noun = "private key" if role == "key" else "certificate"
        yield Situation(
            label,
            {**good, FILES[role]: content},
            refused=(
                Said(
                    "pem-other-kind",
                    role,
                    f"{{{role}}} holds {seen}, not a {noun}.",
                    f"Store the {noun} there.",
                ),
            ),
        )
    for role in ("cert", "key"):
        yield Situation(
            f"{role}-pkcs12",
            {**good, FILES[role]: archive},
            refused=(_FORMS["pkcs12"].said(role),),
        )


# --- the pair ------------------------------------------------------------------


def _mismatched(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)
    mismatch = Said(
        "certificate-key-mismatch",
        "key",
        "{key} is not the key of {cert} (CN=app).",
        "Mount certificate and key of the same secret.",
    )
    for name, other in {
        "key-of-another": root.issue(),
        "key-of-another-kind": root.issue(key="rsa"),
    }.items():
        yield Situation(name, {**good, "tls.key": other.key_pem}, refused=(mismatch,))
    yield Situation(
        "swapped",
        {**good, "tls.crt": leaf.key_pem, "tls.key": leaf.cert_pem},
        refused=(
            Said(
                "certificate-key-swapped",
                "cert",
                "{cert} holds the private key, and {key} the certificate.",
                "Swap {cert_variable} and {key_variable}, or the two keys of the "
                "secret.",
            ),
        ),
    )
    yield Situation(
        "ca-first",
        {**good, "tls.crt": root.cert_pem + leaf.cert_pem},
        refused=(
            Said(
                "certificate-ca-first",
                "cert",
                "{cert} starts with the CA CN=understack-mtls-ca, and the certificate "
                "CN=app comes later.",
                "Put the client certificate first and its intermediates after it.",
            ),
        ),
    )
    yield Situation(
        "ca-as-cert",
        {**good, "tls.crt": root.cert_pem},
        refused=(
            mismatch._replace(
                fact="{key} is not the key of {cert} (CN=understack-mtls-ca)."
            ),
        ),
    )
    encrypted = Said(
        "key-encrypted",
        "key",
        "{key} is encrypted, and a pod has nobody to type the password.",
        "Store the key without a password: 'openssl pkey'.",
    )
    for form in ("traditional", "pkcs8"):
        locked = root.issue(password="canary", key=leaf.key, key_format=form)
        yield Situation(
            f"encrypted-{form}",
            {**good, "tls.crt": locked.cert_pem, "tls.key": locked.key_pem},
            refused=(encrypted,),
        )
    yield Situation(
        "encrypted-under-a-damaged-certificate",
        {
            **good,
            "tls.crt": _spoilt(leaf.cert_pem)["cr-only"],
            "tls.key": root.issue(password="canary", key_format="pkcs8").key_pem,
        },
        refused=(_FORMS["cr-only"].said("cert"), encrypted),
    )


def _not_usable(pki: Pki) -> Iterator[Situation]:
    root = pki.root
    old, early = root.expired(), root.not_yet_valid()
    expired = Said(
        "certificate-expired",
        "cert",
        "{cert} (CN=app) expired on {end}.",
        "Renew it; on a site, copy the renewed certificate there.",
    )
    yield Situation(
        "expired",
        mount_files(old, root.ca_pem),
        refused=(expired,),
        warned=(),
        texts={"end": _utc(old.certificate.not_valid_after_utc)},
    )
    yield Situation(
        "not-yet-valid",
        mount_files(early, root.ca_pem),
        refused=(
            Said(
                "certificate-not-yet-valid",
                "cert",
                "{cert} (CN=app) is not valid before {start}.",
                "Wait until then, or set the clock of the node.",
            ),
        ),
        warned=(),
        texts={"start": _utc(early.certificate.not_valid_before_utc)},
    )
    usages = Said(
        "certificate-not-for-clients",
        "cert",
        "{cert} is not for client authentication: its usages are server auth.",
        "Issue it with 'usages: [client auth]' in the cert-manager Certificate.",
    )
    server = root.issue(usages=SERVER)
    yield Situation("server-auth", mount_files(server, root.ca_pem), refused=(usages,))
    yield Situation(
        "any-usage",
        mount_files(root.issue(usages=("any",)), root.ca_pem),
        refused=(usages._replace(fact=usages.fact.replace("server auth", "any")),),
    )
    yield Situation(
        "key-encipherment-only",
        mount_files(
            root.issue(usages=("key encipherment", "client auth"), key="rsa"),
            root.ca_pem,
        ),
        refused=(
            usages._replace(
                fact="{cert} is not for client authentication: its key usages are "
                "key encipherment, and neither digital signature nor key agreement."
            ),
        ),
    )
    both = root.expired(usages=SERVER)
    yield Situation(
        "server-auth-and-expired",
        mount_files(both, root.ca_pem),
        refused=(usages, expired),
        texts={"end": _utc(both.certificate.not_valid_after_utc)},
    )
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    yield Situation(
        "rsa-1024",
        mount_files(root.issue(key=small), root.ca_pem),
        refused=(
            Said(
                "certificate-weak",
                "cert",
                "OpenSSL refuses {cert}: its key is too small, or damaged.",
                "Issue it with ECDSA P-256 or RSA 2048, signed with SHA-256.",
            ),
        ),
    )


# --- the CA file ---------------------------------------------------------------


def _authorities(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)

    yield Situation(
        "ca-is-the-client-certificate",
        {**good, "ca.crt": leaf.cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-is-client-certificate",
                "ca",
                "{ca} holds the client certificate CN=app, not a CA.",
                "Store the certificate of CN=understack-mtls-ca there.",
            ),
        ),
    )
    yield Situation(
        "ca-is-some-certificate",
        {**good, "ca.crt": root.server("redis.example").cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-none",
                "ca",
                "{ca} holds no CA, only CN=redis.example.",
                "Store the certificate of the CA that signed the server certificate "
                "there.",
            ),
        ),
    )
    yield Situation(
        "ca-is-an-intermediate",
        {**good, "ca.crt": pki.intermediate.cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-without-root",
                "ca",
                "{ca} holds only intermediates: CN=understack-mtls-intermediate.",
                "Add the root certificate: CN=understack-mtls-ca.",
            ),
        ),
    )
    gone = Authority("gone-ca", not_before=now() - 9 * DAY, not_after=now() - DAY)
    soon = Authority("next-ca", not_before=now() + DAY, not_after=now() + 9 * DAY)
    texts = {
        "gone": _utc(gone.certificate.not_valid_after_utc),
        "soon": _utc(soon.certificate.not_valid_before_utc),
        "root_end": _utc(root.certificate.not_valid_after_utc),
        "clients_end": _utc(pki.clients.certificate.not_valid_after_utc),
        "namesake_end": _utc(pki.namesake.certificate.not_valid_after_utc),
    }
    yield Situation(
        "ca-outside-of-its-validity",
        {**good, "ca.crt": gone.ca_pem + soon.ca_pem},
        refused=(
            Said(
                "ca-expired",
                "ca",
                "{ca} holds no CA that is valid now: CN=gone-ca (expired on {gone}), "
                "CN=next-ca (not valid before {soon}).",
                "Mount the renewed CA certificate.",
            ),
        ),
        texts=texts,
    )
    several = "Right during a change of CA; remove the old one when no certificate of "
    several += "it is left."
    dates = "Remove it, unless it only waits for its time."
    yield Situation(
        "ca-change-with-an-expired-one",
        {**good, "ca.crt": gone.ca_pem + root.ca_pem},
        warned=(
            Said(
                "ca-dates",
                "ca",
                "the CA CN=gone-ca in {ca} is expired on {gone}.",
                dates,
            ),
            Said(
                "ca-several",
                "ca",
                "{ca} holds 2 CAs: CN=gone-ca expired on {gone}; "
                "CN=understack-mtls-ca until {root_end}.",
                several,
            ),
        ),
        texts=texts,
    )
    for name, bundle, order in (
        ("old-first", pki.clients.ca_pem + root.ca_pem, (1, 0)),
        ("new-first", root.ca_pem + pki.clients.ca_pem, (0, 1)),
    ):
        named = (
            "CN=understack-mtls-ca until {root_end}",
            "CN=understack-client-ca until {clients_end}",
        )
        yield Situation(
            f"two-cas-{name}",
            {**good, "ca.crt": bundle},
            warned=(
                Said(
                    "ca-several",
                    "ca",
                    "{ca} holds 2 CAs: " + "; ".join(named[i] for i in order) + ".",
                    several,
                ),
            ),
            texts=texts,
        )
    for name, bundle, order in (
        ("right-one-first", root.ca_pem + pki.namesake.ca_pem, (0, 1)),
        ("right-one-last", pki.namesake.ca_pem + root.ca_pem, (1, 0)),
    ):
        named = ("{root_end}", "{namesake_end}")
        yield Situation(
            f"same-subject-{name}",
            {**good, "ca.crt": bundle},
            warned=(
                Said(
                    "ca-several",
                    "ca",
                    "{ca} holds 2 CAs: "
                    + "; ".join(
                        f"CN=understack-mtls-ca until {named[i]}" for i in order
                    )
                    + ".",
                    several,
                ),
                Said(
                    "ca-same-subject",
                    "ca",
                    "{ca} holds 2 CAs named CN=understack-mtls-ca.",
                    "Give a new CA a new name; a certificate without "
                    "AuthorityKeyIdentifier is checked with the first one only.",
                ),
            ),
            texts=texts,
        )
    yield Situation(
        "client-certificate-among-the-cas",
        {**good, "ca.crt": root.ca_pem + leaf.cert_pem},
        warned=(
            Said(
                "ca-holds-client-certificate",
                "ca",
                "{ca} lists the client certificate CN=app among the CAs.",
                "Remove it from the CA file.",
            ),
        ),
    )
    yield Situation(
        "server-certificate-among-the-cas",
        {**good, "ca.crt": root.ca_pem + root.server("redis.example").cert_pem},
        warned=(
            Said(
                "ca-holds-leaf",
                "ca",
                "{ca} lists CN=redis.example, which is no CA.",
                "Remove it from the CA file.",
            ),
        ),
    )
    yield Situation(
        "key-of-a-ca",
        {**good, "ca.crt": root.ca_pem + _pem_key(pki.stranger)},
        warned=(
            Said(
                "ca-holds-key",
                "ca",
                "{ca} holds a private key.",
                "Store the CA certificate alone; if the key is the CA's, replace the "
                "CA.",
            ),
        ),
    )
    yield from _separate_authorities(pki, texts)


def _separate_authorities(pki: Pki, texts: Mapping[str, str]) -> Iterator[Situation]:
    root = pki.root

    def unknown(subject: str, issuer: str) -> Said:
        return Said(
            "certificate-issuer-unknown",
            "cert",
            f"{{cert}} ({subject}, issued by {issuer}) does not lead to a CA in "
            "{ca}.",
            "Where one CA signs clients and servers, mount its certificate; where two "
            "do, ask the server with 'probe'.",
        )

    yield Situation(
        "separate-client-ca",
        mount_files(pki.clients.issue(), root.ca_pem),
        warned=(unknown("CN=app", "CN=understack-client-ca"),),
    )
    below = pki.intermediate.issue()
    yield Situation(
        "intermediate-nowhere",
        {**mount_files(below, root.ca_pem), "tls.crt": below.cert_pem},
        warned=(unknown("CN=app", "CN=understack-mtls-intermediate"),),
        found_out=BOTH,
    )
    yield Situation(
        "unknown-client-ca",
        mount_files(pki.stranger.issue(), root.ca_pem),
        warned=(unknown("CN=app", "CN=somebody-else"),),
        found_out=BOTH,
    )
    yield Situation(
        "wrong-ca-file",
        mount_files(root.issue(), pki.stranger.ca_pem),
        warned=(unknown("CN=app", "CN=understack-mtls-ca"),),
        found_out=BOTH,
    )
    alone = Authority(
        "app",
        is_ca=False,
        usages=("digital signature", "client auth"),
    )
    itself = Leaf(alone.certificate, alone.key, _pem_key(alone))
    yield Situation(
        "self-signed-as-its-own-ca",
        mount_files(itself, alone.cert_pem),
        warned=(
            Said(
                "ca-of-itself",
                "ca",
                "{ca} lists the self-signed client certificate CN=app as its own CA.",
                "Issue it with the CA issuer, not with a selfSigned one.",
            ),
        ),
        found_out=BOTH,
    )
    weary = pki.root.intermediate(
        "weary-intermediate", not_before=now() - 9 * DAY, not_after=now() - DAY
    )
    yield Situation(
        "intermediate-expired",
        mount_files(weary.issue(), root.ca_pem),
        warned=(
            Said(
                "certificate-intermediate-dates",
                "cert",
                "the intermediate CN=weary-intermediate in {cert} is expired on "
                "{weary}.",
                "Put the renewed intermediate after the client certificate.",
            ),
        ),
        found_out=BOTH,
        texts={"weary": _utc(weary.certificate.not_valid_after_utc)},
    )
    near = Authority("ending-ca", not_after=now() + 9.5 * DAY)
    yield Situation(
        "ca-expiring",
        mount_files(root.issue(), root.ca_pem + near.ca_pem),
        warned=(
            Said(
                "ca-expiring",
                "ca",
                "the CA CN=ending-ca in {ca} expires in 9 days, on {near}.",
                "Distribute the new CA beside the old one before any certificate "
                "changes.",
            ),
            Said(
                "ca-several",
                "ca",
                "{ca} holds 2 CAs: CN=understack-mtls-ca until {root_end}; "
                "CN=ending-ca until {near}.",
                "Right during a change of CA; remove the old one when no certificate "
                "of it is left.",
            ),
        ),
        texts={**texts, "near": _utc(near.certificate.not_valid_after_utc)},
    )
    yield from _lint(pki)


def _lint(pki: Pki) -> Iterator[Situation]:
    root = pki.root

    def strict(what: str) -> Said:
        return Said(
            "certificate-not-strict",
            "cert",
            f"OpenSSL's strict rules refuse {{cert}} under {{ca}}: {what}.",
            "Issue CA and certificates as RFC 5280 asks; Python 3.13 holds servers of "
            "this CA to it.",
        )

    def several(other: Authority, name: str) -> Said:
        return Said(
            "ca-several",
            "ca",
            f"{{ca}} holds 2 CAs: CN=understack-mtls-ca until "
            f"{_utc(root.certificate.not_valid_after_utc)}; CN={name} until "
            f"{_utc(other.certificate.not_valid_after_utc)}.",
            "Right during a change of CA; remove the old one when no certificate of "
            "it is left.",
        )

    yield Situation(
        "basic-constraints-not-critical",
        mount_files(pki.lax.issue(), root.ca_pem + pki.lax.ca_pem),
        warned=(
            several(pki.lax, "lax-ca"),
            Said(
                "certificate-not-strict",
                "ca",
                "basicConstraints of the CA CN=lax-ca in {ca} is not critical.",
                "Issue the CA anew as RFC 5280 asks; Python 3.13 refuses the servers "
                "of this one.",
            ),
        ),
    )
    yield Situation(
        "no-authority-key-identifier",
        mount_files(root.issue(authority_key_id=False), root.ca_pem),
        warned=(strict("a certificate has no AuthorityKeyIdentifier"),),
    )


# --- pieces --------------------------------------------------------------------


def _utc(moment: object) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _pem_key(authority: Authority) -> bytes:
    return authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _der_key(leaf: Leaf, form: serialization.PrivateFormat) -> bytes:
    return leaf.key.private_bytes(
        serialization.Encoding.DER, form, serialization.NoEncryption()
    )
