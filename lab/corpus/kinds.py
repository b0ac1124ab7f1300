"""Keys, signatures and encodings about which one OpenSSL differs from the next."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from lab.certificates import CA_NAME
from lab.certificates import CLIENT
from lab.certificates import Authority
from lab.certificates import mount_files
from lab.corpus.situation import BOTH
from lab.corpus.situation import POSTGRESQL
from lab.corpus.situation import Pki
from lab.corpus.situation import Said
from lab.corpus.situation import Situation
from lab.corpus.situation import pem_key
from lab.corpus.situation import utc

EXPLICIT = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
EXPLICIT += ("-pkeyopt", "ec_param_enc:explicit")


def kinds(pki: Pki) -> Iterator[Situation]:
    """Yield certificates of every kind of key, signature and name."""
    root = pki.root
    for name, key in {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ed448": ed448.Ed448PrivateKey.generate(),
    }.items():
        leaf = root.issue(key=key, key_format="pkcs8")
        yield Situation(name, mount_files(leaf, root.ca_pem))
    for curve in (ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()):
        leaf = root.issue(key=ec.generate_private_key(curve))
        yield Situation(
            curve.name,
            mount_files(leaf, root.ca_pem),
            refused=(
                Said(
                    "certificate-key-type",
                    "cert",
                    f"the key of {{cert}} ({curve.name}) cannot sign a TLS handshake.",
                ),
            ),
        )
    yield Situation(
        "explicit-curve",
        by_openssl(root, EXPLICIT),
        refused=(
            Said(
                "certificate-explicit-curve",
                "cert",
                "the key of {cert} has explicit curve parameters, which servers "
                "refuse.",
            ),
        ),
    )
    yield Situation(
        "rsa-pss",
        by_openssl(root, ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")),
    )
    yield from _weak(pki)
    yield from _names(pki)


def _weak(pki: Pki) -> Iterator[Situation]:
    def doubt(fact: str) -> tuple[Said, ...]:
        return (Said("certificate-weak", "cert", f"{{cert}} may be refused: {fact}."),)

    root = pki.root
    rsa = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    small = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    hashed = doubt("the hash of its signature is too weak")
    yield Situation("sha1", by_openssl(root, rsa, "-sha1"), doubted=hashed)
    sized = doubt("its key is too small")
    yield Situation("rsa-1024-by-openssl", by_openssl(root, small), doubted=sized)
    key = dsa.generate_private_key(2048)
    yield Situation(
        "dsa",
        mount_files(root.issue(key=key), root.ca_pem),
        doubted=doubt("a DSA 2048 key works at most with TLS 1.2"),
    )
    yield Situation(
        "sha1-with-the-key-of-another",
        {**by_openssl(root, rsa, "-sha1"), "tls.key": root.issue(key="rsa").key_pem},
        refused=(
            Said(
                "certificate-key-mismatch",
                "key",
                "{key} is not the key of {cert} (CN=app).",
            ),
        ),
    )


def _names(pki: Pki) -> Iterator[Situation]:
    """Yield names that PostgreSQL compares octet by octet."""
    root = pki.root

    def other(subject: str) -> tuple[Said, ...]:
        return (
            Said(
                "certificate-name-mismatch",
                "cert",
                f"the certificate in {{cert}} is {subject}, and the database user is "
                "app.",
            ),
        )

    common = NameOID.COMMON_NAME
    for name, attributes, subject in (
        ("common-name-printable", [(common, "app", _ASN1Type.PrintableString)], None),
        ("common-name-t61", [(common, "app", _ASN1Type.T61String)], None),
        (
            "common-name-bmp",
            [(common, "app", _ASN1Type.BMPString)],
            "CN=app in an encoding that PostgreSQL does not accept (BMPString)",
        ),
        (
            "common-name-universal",
            [(common, "app", _ASN1Type.UniversalString)],
            "CN=app in an encoding that PostgreSQL does not accept (BMPString)",
        ),
        ("common-name-in-capitals", [(common, "APP", None)], "CN=APP"),
        ("common-name-with-a-blank", [(common, "app ", None)], "CN=app "),
        (
            "two-common-names-the-first-counts",
            [(common, "app", None), (common, "other", None)],
            None,
        ),
        (
            "two-common-names-the-second-does-not",
            [(common, "other", None), (common, "app", None)],
            "CN=other, CN=app",
        ),
        (
            "organization-and-common-name",
            [(NameOID.ORGANIZATION_NAME, "site", None), (common, "app", None)],
            None,
        ),
    ):
        subject_name = x509.Name(
            x509.NameAttribute(oid, text, _type=kind) for oid, text, kind in attributes
        )
        yield Situation(
            name,
            mount_files(root.issue(subject=subject_name), root.ca_pem),
            warned=other(subject) if subject else (),
            warned_for=frozenset((POSTGRESQL,)),
            found_out=frozenset((POSTGRESQL,)) if subject else frozenset(),
        )


def behind_the_leaf(pki: Pki) -> Iterator[Situation]:
    """Yield what stands behind the leaf, of which servers have their own copies."""
    root, known = pki.root, pki.known
    bare = root.issue(authority_key_id=False)
    leaf = known.issue()
    namesake = mount_files(bare, root.ca_pem)
    namesake["tls.crt"] += pki.namesake.cert_pem
    yield Situation("old-ca-of-the-same-name-behind", namesake)
    copies = {
        "no-ca-flag": _copy(pki, x509.BasicConstraints(False, None)),
        "unknown-critical-extension": _copy(
            pki,
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"),
        ),
        "constrained-to-other-names": _copy(
            pki,
            x509.NameConstraints(None, [x509.DirectoryName(leaf.certificate.subject)]),
        ),
        "of-another-ca": pki.stranger.cert_pem,
    }
    for name, copy in copies.items():
        files = {**mount_files(leaf, root.ca_pem), "tls.crt": leaf.cert_pem + copy}
        yield Situation(f"intermediate-{name}", files)


def _copy(pki: Pki, extension: x509.ExtensionType) -> bytes:
    """Return a copy of the known intermediate that has one extension instead."""
    issued = pki.known.certificate
    builder = x509.CertificateBuilder(
        issuer_name=issued.issuer,
        subject_name=issued.subject,
        public_key=issued.public_key(),
        serial_number=issued.serial_number,
        not_valid_before=issued.not_valid_before_utc,
        not_valid_after=issued.not_valid_after_utc,
    )
    kinds = {type(extension): (extension, True)}
    for one in issued.extensions:
        kinds.setdefault(type(one.value), (one.value, one.critical))
    for value, critical in kinds.values():
        builder = builder.add_extension(value, critical)
    signed = builder.sign(pki.root.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def anchors(pki: Pki) -> Iterator[Situation]:
    """Yield CA files in OpenSSL's own form, and roots that are none."""
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)
    cross = Authority(CA_NAME, issuer=Authority("older-ca"), key=root.key)
    trusted = _trusted(cross.cert_pem, "serverAuth")
    yield Situation("cross-signed-root-with-trust", {**good, "ca.crt": trusted})
    yield Situation(
        "root-with-trust",
        {**good, "ca.crt": _trusted(root.cert_pem, "serverAuth")},
    )
    yield Situation(
        "cross-signed-root",
        {**good, "ca.crt": cross.cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-without-root",
                "ca",
                "{ca} holds only intermediates: CN=understack-mtls-ca.",
                "Add the root certificate: CN=older-ca.",
            ),
        ),
    )
    clients_only = Authority(CA_NAME, key=root.key, usages=("cert sign", *CLIENT))
    yield Situation(
        "ca-for-clients-only",
        {**good, "ca.crt": clients_only.cert_pem},
        warned=(
            Said(
                "ca-not-for-servers",
                "ca",
                "the CA CN=understack-mtls-ca in {ca} is not for server certificates: "
                "its usages are client auth.",
            ),
        ),
        found_out=BOTH,
    )
    any_usage = Authority(CA_NAME, key=root.key, usages=("cert sign", "any"))
    yield Situation(
        "ca-for-any-usage",
        {**good, "ca.crt": any_usage.cert_pem},
        warned=(
            Said(
                "ca-not-for-servers",
                "ca",
                "the CA CN=understack-mtls-ca in {ca} is not for server certificates: "
                "its usages are any.",
            ),
        ),
        found_out=BOTH,
    )
    older = Authority(CA_NAME, key=root.key)
    yield Situation(
        "root-renewed-with-the-same-key", {**good, "ca.crt": older.cert_pem}, warned=()
    )
    named = "CN=understack-mtls-ca (valid until {})"
    ends = (utc(one.certificate.not_valid_after_utc) for one in (older, root))
    listed = "; ".join(map(named.format, ends))
    yield Situation(
        "root-beside-the-one-renewed-with-the-same-key",
        {**good, "ca.crt": older.cert_pem + root.cert_pem},
        warned=(Said("ca-several", "ca", f"{{ca}} holds 2 CAs: {listed}."),),
    )
    lax = "the CA CN=understack-mtls-ca in {ca} has no critical basicConstraints."
    unconstrained = Authority(CA_NAME, key=root.key, constraints="absent")
    for name, content in {
        "root-of-x509-version-1": _first_version(root),
        "root-without-constraints": unconstrained.cert_pem,
    }.items():
        yield Situation(
            name,
            {**good, "ca.crt": content},
            warned=(Said("certificate-not-strict", "ca", lax),),
        )


def _first_version(root: Authority) -> bytes:
    """Return a root as OpenSSL makes it where no extension is asked for."""
    with tempfile.NamedTemporaryFile() as key:
        key.write(pem_key(root))
        key.flush()
        request = ("req", "-new", "-key", key.name, "-subj", f"/CN={CA_NAME}")
        options = ("-req", "-signkey", key.name, "-days", "900")
        return _openssl("x509", *options, content=_openssl(*request))


def _trusted(pem: bytes, purpose: str) -> bytes:
    return _openssl("x509", "-trustout", "-addtrust", purpose, content=pem)


def by_openssl(
    authority: Authority, key_options: tuple[str, ...], *sign_options: str
) -> dict[str, bytes]:
    """Return the files of a leaf that `cryptography` cannot make."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "ca.crt").write_bytes(authority.cert_pem)
        (directory / "ca.key").write_bytes(pem_key(authority))
        (directory / "usages").write_text("extendedKeyUsage=clientAuth\n")
        key = _openssl("genpkey", *key_options)
        (directory / "tls.key").write_bytes(key)
        request = _openssl(
            "req", "-new", "-key", f"{place}/tls.key", "-subj", "/CN=app"
        )
        signed = ("-CA", f"{place}/ca.crt", "-CAkey", f"{place}/ca.key", "-days", "90")
        certificate = _openssl(
            *("x509", "-req", *signed, "-set_serial", "7", *sign_options),
            *("-extfile", f"{place}/usages"),
            content=request,
        )
    return {"tls.crt": certificate, "tls.key": key, "ca.crt": authority.ca_pem}


def _openssl(*arguments: str, content: bytes = b"") -> bytes:
    done = subprocess.run(
        ["openssl", *arguments], input=content, check=True, capture_output=True
    )
    return done.stdout
