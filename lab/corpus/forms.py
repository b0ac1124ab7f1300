"""Files that are missing, and files whose form is spoilt."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from collections.abc import Mapping
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from lab.certificates import Leaf
from lab.certificates import mount_files
from lab.corpus.situation import DIRECTORY
from lab.corpus.situation import FILES
from lab.corpus.situation import Pki
from lab.corpus.situation import Said
from lab.corpus.situation import Situation


def missing(pki: Pki) -> Iterator[Situation]:
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
                    f"{{{role}}} is a directory, not a file.",
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


class Form(NamedTuple):
    """One way in which a PEM file is spoilt."""

    code: str
    fact: str

    def said(self, role: str) -> Said:
        noun = "private key" if role == "key" else "certificate"
        return Said(self.code, role, f"{{{role}}} {self.fact.replace('<kind>', noun)}")


FORMS = {
    "cr-only": Form("pem-cr-only", "ends its lines with CR alone."),
    "literal-line-ends": Form(
        "pem-literal-line-ends", r"has the two characters \n where a line should end."
    ),
    "one-line": Form("pem-one-line", "has lost its line ends."),
    "indented": Form("pem-indented", "has indented BEGIN or END lines."),
    "base64": Form("pem-base64", "is base64 of a PEM file."),
    "no-armour": Form("pem-no-armour", "is base64 without BEGIN and END lines."),
    "der": Form("pem-der", "is DER, not PEM."),
    "pkcs12": Form("pem-pkcs12", "is a PKCS #12 archive, not PEM."),
    "utf16": Form("pem-utf16", "is UTF-16 text."),
    "no-end": Form("pem-truncated", "ends before the END line of its last block."),
    "no-begin": Form(
        "pem-truncated", "starts after the BEGIN line of its first block."
    ),
    "line-missing": Form("pem-truncated", "holds a <kind> of which a part is missing."),
    "lines-quoted": Form(
        "pem-lines", "has other characters on the line of a BEGIN or END."
    ),
    "lines-apart": Form("pem-lines", "has blank lines within a <kind>."),
    "damaged": Form("pem-damaged", "holds a <kind> that is damaged."),
    "none": Form("pem-none", "holds no PEM block."),
    "blanks": Form("file-empty", "holds only blanks."),
}


def spoilt(content: bytes) -> dict[str, bytes]:
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
        "lines-quoted": b'"%b"\n' % content.rstrip(),
        "lines-apart": content.replace(b"\n", b"\n\n"),
        "lines-apart-at-the-end": content.replace(b"\n-----END", b"\n\n-----END"),
        "blanks": b" \n\n",
        "der": der,
    }


def ill_formed(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue(key="rsa", key_format="pkcs8")
    good = mount_files(leaf, root.ca_pem)
    for role, file in FILES.items():
        for name, content in spoilt(good[file]).items():
            if name == "der" and role == "key":
                continue  # libpq takes it: among the odd ones.
            form = next(form for form in FORMS if name.startswith(form))
            yield Situation(
                f"{role}-{name}",
                {**good, file: content},
                refused=(FORMS[form].said(role),),
            )
    glued = Said(
        "pem-glued",
        "ca",
        "{ca} has an END line and the next BEGIN line joined into one.",
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
            + spoilt(pki.intermediate.cert_pem)["damaged-letter"],
        },
        refused=(FORMS["damaged"].said("cert"),),
    )
    yield Situation(
        "second-ca-cut-off",
        {**good, "ca.crt": root.ca_pem + spoilt(pki.clients.ca_pem)["no-end"]},
        refused=(FORMS["no-end"].said("ca"),),
    )
    yield Situation(
        "all-three-cr-only",
        {name: content.replace(b"\n", b"\r") for name, content in good.items()},
        refused=tuple(FORMS["cr-only"].said(role) for role in FILES),
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
    revoked = pki.root.revocation_list()
    bundle = pkcs7.serialize_certificates(
        [leaf.certificate], serialization.Encoding.PEM
    )
    binary = pkcs7.serialize_certificates(
        [pki.root.certificate], serialization.Encoding.DER
    )
    archive = pkcs12.serialize_key_and_certificates(
        b"app", leaf.key, leaf.certificate, None, serialization.NoEncryption()
    )
    for label, role, content, seen in (
        ("request", "cert", request, "a certificate request"),
        ("pkcs7", "cert", bundle, "a PKCS #7 bundle"),
        ("pkcs7-der", "ca", binary, "a PKCS #7 bundle (DER)"),
        (
            "pkcs7-base64",
            "ca",
            base64.encodebytes(binary),
            "a PKCS #7 bundle (DER)",
        ),
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
                ),
            ),
        )
    for role, label, content in (
        ("cert", "pkcs12", archive),
        ("key", "pkcs12", archive),
        ("cert", "pkcs12-base64", base64.encodebytes(archive)),
    ):
        yield Situation(
            f"{role}-{label}",
            {**good, FILES[role]: content},
            refused=(FORMS["pkcs12"].said(role),),
        )
