"""What a certificate says about itself, read with ``cryptography.x509``.

OpenSSL stays the judge of what is valid. This reads names, dates and extensions for
sentences, and what it cannot read it leaves out: a form that OpenSSL accepts and
``cryptography`` (42 and later) does not is no fault of a file.
"""

from __future__ import annotations

import datetime
import threading
import warnings
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.problems import printable

if TYPE_CHECKING:
    from cryptography import x509

# Names of attributes beyond those of RFC 4514, which `cryptography` knows.
_ATTRIBUTES = {
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_PURPOSES = {
    "1.3.6.1.5.5.7.3.1": "server auth",
    "1.3.6.1.5.5.7.3.2": "client auth",
    "1.3.6.1.5.5.7.3.3": "code signing",
    "1.3.6.1.5.5.7.3.4": "email protection",
    "1.3.6.1.5.5.7.3.8": "timestamping",
    "1.3.6.1.5.5.7.3.9": "ocsp signing",
    "2.5.29.37.0": "any",
}
_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
# Object identifiers in DER: a common name; the key of an elliptic curve.
_COMMON_NAME = b"\x06\x03\x55\x04\x03"
_CURVE_KEY = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
NO_NAME = "(no name)"
_LONGEST_NAME = 256

# Filters of warnings belong to the process: two threads must not restore them
# crosswise.
_quiet = threading.Lock()


class Certificate(NamedTuple):
    """One certificate, as it was at the moment when it was read.

    Attributes:
        path: The file it was read from, empty for one that a server presented.
        use: The client that uses the file, as in `ClientFiles`; else empty.
        subject: ``CN=app``, attributes in the order of the certificate, at most
            256 characters of them, ``(no name)`` without any; likewise the issuer.
        serial: Upper-case hexadecimal, as OpenSSL prints it.
        not_after: End of validity; as OpenSSL has it, its second is outside. All
            moments are in UTC.
        seen_at: When it was read.
        common_name: The first CN of the subject, empty without one.
        encoded_name: The octets of that CN, which is what PostgreSQL compares.
        names: The host names and IP addresses that it is for.
        is_self_issued: Whether subject and issuer are the same name.
        is_ca: Whether OpenSSL takes it for a CA; None where no extension can be read.
        key_usages: As cert-manager spells them; None without the extension.
        extended_usages: Likewise, and object identifiers where it has no word.
        key_kind: ``RSA 2048``, ``DSA``, ``secp384r1``, ``Ed25519``, or empty.
        public_key: The hash of its public key; empty where that cannot be read.
    """

    path: str
    use: str
    subject: str
    issuer: str
    serial: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    seen_at: datetime.datetime
    common_name: str = ""
    encoded_name: bytes = b""
    names: tuple[str, ...] = ()
    is_self_issued: bool = False
    is_ca: bool | None = False
    has_critical_constraints: bool = False
    key_usages: tuple[str, ...] | None = None
    extended_usages: tuple[str, ...] | None = None
    key_kind: str = ""
    public_key: bytes = b""
    der: bytes = b""

    @property
    def days_left(self) -> int:
        """Whole days from `seen_at` to the end of validity, negative after it."""
        return (self.not_after - self.seen_at).days

    @property
    def is_expired(self) -> bool:
        """Whether the validity was over."""
        return self.not_after <= self.seen_at

    @property
    def is_early(self) -> bool:
        """Whether the validity had not begun."""
        return self.not_before > self.seen_at

    @property
    def is_valid(self) -> bool:
        """Whether it was read within its validity."""
        return not (self.is_expired or self.is_early)

    @property
    def dates(self) -> str:
        """What the validity means: ``expired on 2026-11-22T04:21:00Z, 1 day ago``."""
        if self.is_expired:
            return f"expired on {self._moment(self.not_after)}"
        if self.is_early:
            return f"not valid before {self._moment(self.not_before)}"
        return f"valid until {utc(self.not_after)}"

    def is_for(self, usage: str) -> bool:
        """Tell whether the extended usages allow ``client auth``, ``server auth``.

        As OpenSSL does: what is for any usage is neither for clients nor for servers.
        """
        return self.extended_usages is None or usage in self.extended_usages

    def _moment(self, moment: datetime.datetime) -> str:
        return f"{utc(moment)}, {distance(moment - self.seen_at)}"

    def as_json(self) -> dict[str, str | int]:
        """Return what ``check --json`` says about it."""
        return {
            "path": self.path,
            "use": self.use,
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": self.serial,
            "not_before": utc(self.not_before),
            "not_after": utc(self.not_after),
            "days_left": self.days_left,
        }


def read_certificate(
    der: bytes, *, now: float, path: str = "", use: str = ""
) -> Certificate:
    """Return the fields of one certificate in DER.

    Args:
        der: The certificate, without PEM armour.
        now: Seconds since the epoch.
        path: The file that holds it.
        use: The client that uses the file.

    Raises:
        ValueError: It is no certificate, or one that `cryptography` cannot read.
    """
    from cryptography import x509

    seen_at = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    # It warns of what it will refuse one day (negative serial numbers, attributes of
    # unusual lengths), which is nothing for the log of a pod.
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = x509.load_der_x509_certificate(der)
            return _certificate(read, der, path, use, seen_at)
        except Exception as error:
            # Many classes, some of them no ValueError, and texts with content.
            raise ValueError("The certificate cannot be read.") from error


def _certificate(
    read: x509.Certificate, der: bytes, path: str, use: str, seen_at: datetime.datetime
) -> Certificate:
    from cryptography import x509

    extensions: dict[Any, Any] = {}
    are_read = True
    try:
        extensions = {type(one.value): one for one in read.extensions}
    except Exception:  # noqa: BLE001 - as in read_certificate
        are_read = False
    key_usages = _key_usages(extensions.get(x509.KeyUsage))
    is_self_issued = _canonical(read.subject) == _canonical(read.issuer)
    constraints = extensions.get(x509.BasicConstraints)
    names = extensions.get(x509.SubjectAlternativeName)
    common_names = read.subject.get_attributes_for_oid(x509.OID_COMMON_NAME)
    key_kind, public_key = _public_key(read)
    # The octets, whatever their encoding.
    _, _, after_oid = read.subject.public_bytes().partition(_COMMON_NAME)
    return Certificate(
        path=path,
        use=use,
        subject=_text(read.subject),
        issuer=_text(read.issuer),
        serial=hexadecimal(read.serial_number),
        not_before=read.not_valid_before_utc,
        not_after=read.not_valid_after_utc,
        seen_at=seen_at,
        common_name="".join(map(_value, common_names[:1]))[:_LONGEST_NAME],
        encoded_name=after_oid[pem.der_content(after_oid)],
        names=tuple(
            printable(str(name.value))
            for name in (names.value if names else ())
            if isinstance(name, x509.DNSName | x509.IPAddress)
        ),
        is_self_issued=is_self_issued,
        is_ca=_is_ca(read, constraints, key_usages, is_self_issued=is_self_issued)
        if are_read
        else None,
        has_critical_constraints=bool(constraints and constraints.critical),
        key_usages=key_usages,
        extended_usages=_extended_usages(extensions.get(x509.ExtendedKeyUsage)),
        key_kind=key_kind,
        public_key=public_key,
        der=der,
    )


def has_explicit_curve(der: bytes) -> bool:
    """Tell whether the key of a certificate writes its curve out."""
    # An identifier names a curve, a sequence writes it out.
    return _CURVE_KEY + b"\x30" in der


def is_signed_by(one: Certificate, issuer: Certificate) -> bool | None:
    """Tell whether the key of an issuer signed a certificate; None where unknown."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = x509.load_der_x509_certificate(one.der)
        above = x509.load_der_x509_certificate(issuer.der)
        if read.issuer != above.subject:
            return None
        try:
            read.verify_directly_issued_by(above)
        except UnsupportedAlgorithm:
            return None
        except Exception:  # noqa: BLE001 - of many classes
            return False
    return True


def utc(moment: datetime.datetime) -> str:
    """Return a moment in UTC as ``2026-11-22T04:21:00Z``."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def distance(left: datetime.timedelta) -> str:
    """Return how far away a moment is: ``in 2 minutes``, ``1 day ago``."""
    seconds = int(abs(left.total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length or unit == "second":
            count = seconds // length
            break
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {words}" if left > datetime.timedelta() else f"{words} ago"


def hexadecimal(number: int) -> str:
    """Return a serial number in upper-case hexadecimal, as OpenSSL prints it."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + "0" * (len(digits) % 2) + digits


def _text(name: x509.Name) -> str:
    named = ((one.rfc4514_attribute_name, _value(one)) for one in name)
    text = ", ".join(f"{_ATTRIBUTES.get(kind, kind)}={value}" for kind, value in named)
    if not text:
        return NO_NAME
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"


def _value(attribute: x509.NameAttribute[Any]) -> str:
    value = attribute.value
    return value.hex() if isinstance(value, bytes) else printable(value)


def _canonical(name: x509.Name) -> list[tuple[str, str]]:
    """Return a name as OpenSSL compares it: without case and repeated blanks."""
    return [
        (one.oid.dotted_string, " ".join(_value(one).lower().split())) for one in name
    ]


def _is_ca(
    read: x509.Certificate,
    constraints: Any,
    key_usages: tuple[str, ...] | None,
    *,
    is_self_issued: bool,
) -> bool:
    """Tell whether OpenSSL takes a certificate for a CA (X509_check_ca)."""
    if key_usages is not None and "cert sign" not in key_usages:
        return False
    if constraints is not None:
        return bool(constraints.value.ca)
    is_old_root = is_self_issued and read.version.name == "v1"
    return is_old_root or key_usages is not None


def _key_usages(extension: Any) -> tuple[str, ...] | None:
    if extension is None:
        return None
    found = (usage for usage in _KEY_USAGES if getattr(extension.value, usage))
    return tuple(usage.replace("key_cert", "cert").replace("_", " ") for usage in found)


def _extended_usages(extension: Any) -> tuple[str, ...] | None:
    if extension is None:
        return None
    oids = (usage.dotted_string for usage in extension.value)
    return tuple(_PURPOSES.get(oid, oid) for oid in oids)


def _public_key(certificate: x509.Certificate) -> tuple[str, bytes]:
    """Return kind and hash of the public key, both empty where it cannot be read."""
    from cryptography import x509

    try:
        key: Any = certificate.public_key()
        digest = x509.SubjectKeyIdentifier.from_public_key(key).digest
    except Exception:  # noqa: BLE001 - as in read_certificate
        return "", b""
    if hasattr(key, "curve"):
        return str(key.curve.name), digest
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return f"{kind} {key.key_size}" if hasattr(key, "key_size") else kind, digest
