"""Certificates as the product documents describe them, made in memory.

The defaults are the good case: CA ``CN=understack-mtls-ca``, ECDSA P-256, critical
basicConstraints, key identifiers on both sides; leaves live three years and keys
are written the way cert-manager writes them. Every option exists to break one of
these on purpose.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.oid import NameOID

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
KeyChoice = Literal["ec", "rsa"] | PrivateKey
Constraints = Literal["critical", "plain", "absent"]

CA_NAME = "understack-mtls-ca"
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
LEAF_LIFETIME = 26280 * HOUR
CA_LIFETIME = 3650 * DAY
# Issued a little in the past, so that no clock in the test is behind it.
BACKDATED = datetime.timedelta(minutes=5)

CLIENT = ("client auth",)
SERVER = ("digital signature", "key encipherment", "server auth")
CLIENT_AND_SERVER = (*SERVER, "client auth")

_EXTENDED = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
_BASIC = {
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
}


def now() -> datetime.datetime:
    """Return the present, in UTC, in whole seconds as certificates keep it."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


@dataclass(frozen=True)
class Leaf:
    """A certificate with its private key; intermediates follow in `chain_pem`."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    key_pem: bytes = field(repr=False)
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def cert_pem(self) -> bytes:
        """The certificate alone."""
        return _pem(self.certificate)

    @property
    def chain_pem(self) -> bytes:
        """The certificate, then every intermediate below the root."""
        return b"".join(map(_pem, (self.certificate, *self.intermediates)))

    @property
    def serial(self) -> int:
        """The serial number; PostgreSQL shows it in decimal as `client_serial`."""
        return self.certificate.serial_number

    @property
    def common_name(self) -> str:
        """The CN of the subject, empty without one."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""


class Authority:
    """A certificate authority: a root, or an intermediate below `issuer`."""

    def __init__(
        self,
        common_name: str = CA_NAME,
        *,
        issuer: Authority | None = None,
        key: KeyChoice = "ec",
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        path_length: int | None = None,
        is_ca: bool = True,
        constraints: Constraints = "critical",
        usages: Iterable[str] = ("digital signature", "cert sign", "crl sign"),
        subject_key_id: bool = True,
        authority_key_id: bool = True,
    ) -> None:
        """Make the key and the certificate, signed by the issuer or by itself."""
        self.issuer = issuer
        self.key = _private_key(key)
        self.certificate = _certificate(
            subject=_name(common_name),
            key=self.key,
            issuer=issuer,
            not_before=not_before or now() - BACKDATED,
            not_after=not_after or now() + CA_LIFETIME,
            constraints=constraints,
            is_ca=is_ca,
            path_length=path_length,
            usages=tuple(usages),
            san=(),
            subject_key_id=subject_key_id,
            authority_key_id=authority_key_id,
            serial=None,
        )

    @property
    def cert_pem(self) -> bytes:
        """The authority's own certificate."""
        return _pem(self.certificate)

    @property
    def ca_pem(self) -> bytes:
        """What belongs into ``ca.crt``: the root of this authority."""
        return self.root.cert_pem

    @property
    def root(self) -> Authority:
        """The self-signed authority at the top."""
        return self if self.issuer is None else self.issuer.root

    @property
    def serial(self) -> int:
        """The serial number of the authority's certificate."""
        return self.certificate.serial_number

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The intermediates from this authority upwards, without the root."""
        if self.issuer is None:
            return ()
        return (self.certificate, *self.issuer.chain)

    def intermediate(
        self, common_name: str = "understack-mtls-intermediate", **options: object
    ) -> Authority:
        """Return an authority signed by this one; options as for `Authority`."""
        return Authority(common_name, issuer=self, **options)  # type: ignore[arg-type]

    def issue(
        self,
        common_name: str | None = "app",
        *,
        san: Iterable[str | x509.GeneralName] = (),
        usages: Iterable[str] = CLIENT,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        key: KeyChoice = "ec",
        key_format: Literal["traditional", "pkcs8"] = "traditional",
        password: str | None = None,
        constraints: Constraints = "critical",
        is_ca: bool = False,
        subject_key_id: bool = True,
        authority_key_id: bool = True,
        serial: int | None = None,
        subject: x509.Name | None = None,
    ) -> Leaf:
        """Return a leaf, by default the client certificate of user ``app``.

        Args:
            common_name: CN of the subject; None for an empty subject.
            san: Names of the server; a text that is an IP address becomes one.
            usages: As cert-manager spells them, basic and extended mixed
                (``client auth``, ``server auth``, ``digital signature`` …);
                empty for neither extension.
            not_before: Start of validity; five minutes ago by default.
            not_after: End of validity; in three years by default.
            key: ``ec`` (P-256), ``rsa`` (2048) or a private key to use again.
            key_format: ``traditional`` (SEC1 / PKCS#1, as cert-manager) or ``pkcs8``.
            password: Encrypts `key_pem`.
            constraints: How basicConstraints is written.
            is_ca: The CA flag of basicConstraints.
            subject_key_id: Whether the extension is there.
            authority_key_id: Whether the extension is there.
            serial: Serial number; random by default.
            subject: The whole subject, instead of `common_name`.
        """
        private = _private_key(key)
        certificate = _certificate(
            subject=_name(common_name) if subject is None else subject,
            key=private,
            issuer=self,
            not_before=not_before or now() - BACKDATED,
            not_after=not_after or now() + LEAF_LIFETIME,
            constraints=constraints,
            is_ca=is_ca,
            path_length=None,
            usages=tuple(usages),
            san=tuple(san),
            subject_key_id=subject_key_id,
            authority_key_id=authority_key_id,
            serial=serial,
        )
        return Leaf(
            certificate, private, _key_pem(private, key_format, password), self.chain
        )

    def client(self, common_name: str = "app", **options: object) -> Leaf:
        """Return a client leaf; options as for `issue`."""
        return self.issue(common_name, **options)  # type: ignore[arg-type]

    def server(self, *names: str, **options: object) -> Leaf:
        """Return a server leaf for these names; ``localhost`` and its IPs by default.

        The CN is the first name. Options as for `issue`.
        """
        san = names or ("localhost", "127.0.0.1", "::1")
        options.setdefault("usages", SERVER)
        return self.issue(san[0], san=san, **options)  # type: ignore[arg-type]

    def expired(self, common_name: str = "app", **options: object) -> Leaf:
        """Return a leaf whose validity ended yesterday."""
        return self.issue(
            common_name,
            not_before=now() - 30 * DAY,
            not_after=now() - DAY,
            **options,  # type: ignore[arg-type]
        )

    def revocation_list(
        self, *leaves: Leaf, next_update: datetime.datetime | None = None
    ) -> bytes:
        """Return the list (CRL) of these leaves, good for a day unless told."""
        last = (next_update or now()) - DAY
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, last, next_update or now() + DAY
        )
        for leaf in leaves:
            one = x509.RevokedCertificateBuilder(leaf.serial, last)
            builder = builder.add_revoked_certificate(one.build())
        signed = builder.sign(self.key, _digest(self.key))
        return signed.public_bytes(serialization.Encoding.PEM)

    def not_yet_valid(self, common_name: str = "app", **options: object) -> Leaf:
        """Return a leaf whose validity starts in a day and a half."""
        return self.issue(
            common_name,
            not_before=now() + 1.5 * DAY,
            not_after=now() + 30 * DAY,
            **options,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Mount:
    """The three files of a mounted certificate."""

    directory: Path

    @property
    def certificate(self) -> str:
        """Path of ``tls.crt``."""
        return str(self.directory / "tls.crt")

    @property
    def key(self) -> str:
        """Path of ``tls.key``."""
        return str(self.directory / "tls.key")

    @property
    def ca(self) -> str:
        """Path of ``ca.crt``."""
        return str(self.directory / "ca.crt")

    @property
    def database_variables(self) -> dict[str, str]:
        """The variables that name the files for PostgreSQL."""
        return {
            "NAUTOBOT_DB_SSLCERT": self.certificate,
            "NAUTOBOT_DB_SSLKEY": self.key,
            "NAUTOBOT_DB_SSLROOTCERT": self.ca,
        }

    @property
    def redis_variables(self) -> dict[str, str]:
        """The variables that name the files for Redis."""
        return {
            "NAUTOBOT_REDIS_SSL_CA_CERTS": self.ca,
            "NAUTOBOT_REDIS_SSL_CERTFILE": self.certificate,
            "NAUTOBOT_REDIS_SSL_KEYFILE": self.key,
        }


def mount_files(leaf: Leaf, ca_pem: bytes) -> dict[str, bytes]:
    """Return the content of a certificate Secret by file name."""
    return {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem, "ca.crt": ca_pem}


def write_mount(
    directory: str | os.PathLike[str],
    leaf: Leaf,
    ca_pem: bytes,
    *,
    key_mode: int = 0o600,
) -> Mount:
    """Write ``tls.crt``, ``tls.key`` and ``ca.crt`` as plain files."""
    mount = Mount(Path(directory))
    mount.directory.mkdir(parents=True, exist_ok=True)
    for name, content in mount_files(leaf, ca_pem).items():
        _write(mount.directory / name, content, key_mode if name == "tls.key" else None)
    return mount


class KubernetesMount(Mount):
    """A Secret volume as kubelet writes it, swapped as kubelet swaps it.

    The files are links to ``..data/<name>``, and ``..data`` is a link to a directory
    named after the time of writing. A renewal writes a new directory and renames one
    link over the other, so a reader sees the old files or the new, file by file.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Create the empty mount point."""
        super().__init__(Path(directory))
        self.directory.mkdir(parents=True, exist_ok=True)

    def write(self, leaf: Leaf, ca_pem: bytes, *, key_mode: int = 0o600) -> Mount:
        """Write the Secret for the first time, or swap it for a new one."""
        return self.swap(mount_files(leaf, ca_pem), key_mode=key_mode)

    def swap(self, files: Mapping[str, bytes], *, key_mode: int = 0o600) -> Mount:
        """Replace the whole content by these files, atomically."""
        data = self.directory / "..data"
        old = data.resolve() if data.is_symlink() else None
        stamp = datetime.datetime.now(datetime.timezone.utc)
        new = Path(
            tempfile.mkdtemp(
                prefix=stamp.strftime("..%Y_%m_%d_%H_%M_%S."), dir=self.directory
            )
        )
        new.chmod(0o755)
        for name, content in files.items():
            _write(new / name, content, key_mode if name.endswith(".key") else None)
        link = self.directory / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(data)
        for name in files:
            visible = self.directory / name
            if not visible.is_symlink():
                visible.symlink_to(f"..data/{name}")
        for visible in self.directory.iterdir():
            if not visible.name.startswith("..") and visible.name not in files:
                visible.unlink()
        if old is not None:
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        return self


def _write(path: Path, content: bytes, mode: int | None) -> None:
    # Created with the mode it keeps: a key is never readable to others in between.
    path.unlink(missing_ok=True)
    mode = 0o644 if mode is None else mode
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)


def _name(common_name: str | None) -> x509.Name:
    if common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _private_key(choice: KeyChoice) -> PrivateKey:
    if choice == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if choice == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert not isinstance(choice, str)
    return choice


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    own = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return None if own else hashes.SHA256()


def _key_pem(key: PrivateKey, key_format: str, password: str | None) -> bytes:
    formats = {
        "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
        "pkcs8": serialization.PrivateFormat.PKCS8,
    }
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, formats[key_format], encryption
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _general_name(name: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    *,
    subject: x509.Name,
    key: PrivateKey,
    issuer: Authority | None,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
    constraints: Constraints,
    is_ca: bool,
    path_length: int | None,
    usages: tuple[str, ...],
    san: tuple[str | x509.GeneralName, ...],
    subject_key_id: bool,
    authority_key_id: bool,
    serial: int | None,
) -> x509.Certificate:
    unknown = set(usages) - set(_BASIC) - set(_EXTENDED)
    if unknown:
        raise ValueError(f"Unknown usages: {sorted(unknown)}")
    signer = issuer.key if issuer is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if constraints != "absent":
        builder = builder.add_extension(
            x509.BasicConstraints(is_ca, path_length), constraints == "critical"
        )
    if subject_key_id:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
        )
    if authority_key_id:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            False,
        )
    basic = [usage for usage in usages if usage in _BASIC]
    if basic:
        flags = {flag: usage in basic for usage, flag in _BASIC.items()}
        builder = builder.add_extension(
            x509.KeyUsage(**flags, encipher_only=False, decipher_only=False), True
        )
    extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), False)
    if san:
        # RFC 5280: critical where the subject is empty.
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in san]),
            not list(subject),
        )
    return builder.sign(signer, _digest(signer))
