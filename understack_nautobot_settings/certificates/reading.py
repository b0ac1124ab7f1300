"""What a DER-encoded certificate says about itself (RFC 5280).

The standard library reads certificates only for a connection it has verified, and
an expired one is exactly what has to be described. OpenSSL stays the judge of what
is valid; this only reads out names, dates and extensions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_SEQUENCE = 0x30
_SET = 0x31
_INTEGER = 0x02
_BIT_STRING = 0x03
_OCTET_STRING = 0x04
_BOOLEAN = 0x01
_OID = 0x06
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_BMP_STRING = 0x1E
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_LONG_FORM = 0x80
_INDEFINITE = 0x80
# RFC 5280: two-digit years from 50 on are of the last century.
_PIVOT_YEAR = 50
_MARCH = 3

_COMMON_NAME = "2.5.4.3"
_ATTRIBUTES = {
    _COMMON_NAME: "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
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
    "digital signature",
    "content commitment",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
)
_BASIC_CONSTRAINTS = "2.5.29.19"
_KEY_USAGE = "2.5.29.15"
_EXTENDED_KEY_USAGE = "2.5.29.37"
_AUTHORITY_KEY_ID = "2.5.29.35"
_ALTERNATIVE_NAMES = "2.5.29.17"
_DNS_NAME = 0x82
_IP_ADDRESS = 0x87
_IPV4_OCTETS = 4


class X509(NamedTuple):
    """The fields of a certificate that operators ask for.

    Attributes:
        der: The certificate itself.
        subject: ``CN=app``, attributes in the order of the certificate.
        issuer: As the subject.
        same_names: True where subject and issuer are the same name.
        common_name: The first CN of the subject, empty without one.
        serial: Upper-case hexadecimal, as OpenSSL prints it.
        not_before: Start of validity, seconds since the epoch.
        not_after: End of validity, seconds since the epoch.
        is_ca: The CA flag of basicConstraints.
        has_critical_constraints: True where basicConstraints is critical.
        key_usages: As cert-manager spells them; None without the extension.
        extended_usages: Likewise, and object identifiers where it has no word.
        names_issuer_key: True with an AuthorityKeyIdentifier.
    """

    der: bytes
    subject: str
    issuer: str
    same_names: bool
    common_name: str
    serial: str
    not_before: int
    not_after: int
    is_ca: bool
    has_critical_constraints: bool
    key_usages: tuple[str, ...] | None
    extended_usages: tuple[str, ...] | None
    names_issuer_key: bool


def read_x509(der: bytes) -> X509:
    """Return the fields of one certificate.

    Args:
        der: The certificate, without PEM armour.

    Raises:
        ValueError: It is no certificate, or one that is cut off or damaged.
    """
    try:
        return _certificate(der)
    except (IndexError, StopIteration, OverflowError) as error:
        raise ValueError("The certificate is cut off or damaged.") from error


def alternative_names(der: bytes) -> tuple[str, ...]:
    """Return the host names and IP addresses that a certificate is for.

    Args:
        der: The certificate, without PEM armour.

    Raises:
        ValueError: It is no certificate, or one that is cut off or damaged.
    """
    try:
        _, outer = next(_items(der))
        _, body = next(_items(outer))
        content = _extensions(_items(body))[0].get(_ALTERNATIVE_NAMES)
        if content is None:
            return ()
        _, sequence = next(_items(content))
        names = [_general_name(tag, value) for tag, value in _items(sequence)]
    except (IndexError, StopIteration) as error:
        raise ValueError("The certificate is cut off or damaged.") from error
    return tuple(name for name in names if name)


def _general_name(tag: int, value: bytes) -> str:
    if tag == _DNS_NAME:
        return value.decode("ascii", "backslashreplace")
    if tag == _IP_ADDRESS:
        import socket

        family = socket.AF_INET if len(value) == _IPV4_OCTETS else socket.AF_INET6
        return socket.inet_ntop(family, value)
    return ""


def readable(ders: Iterable[bytes]) -> Iterator[X509]:
    """Yield the fields of those certificates that can be read."""
    for der in ders:
        with suppress(ValueError):
            yield read_x509(der)


def utc(moment: int) -> str:
    """Return seconds since the epoch as ``2026-11-22T04:21:00Z``."""
    year, month, day, hour, minute, second, *_ = time.gmtime(moment)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def is_valid(certificate: X509, now: int) -> bool:
    """Tell whether a moment, in seconds since the epoch, is within the validity.

    As OpenSSL has it: the last second is not.
    """
    return certificate.not_before <= now < certificate.not_after


def dates(certificate: X509, now: int) -> str:
    """Return what the validity means now: ``expired on 2026-11-22T04:21:00Z``."""
    if certificate.not_after <= now:
        return f"expired on {utc(certificate.not_after)}"
    if certificate.not_before > now:
        return f"not valid before {utc(certificate.not_before)}"
    return f"until {utc(certificate.not_after)}"


def _certificate(der: bytes) -> X509:
    _, outer = next(_items(der))
    tag, body = next(_items(outer))
    if tag != _SEQUENCE:
        raise ValueError("The certificate has no body.")
    fields = _items(body)
    tag, value = next(fields)
    if tag == _VERSION:
        tag, value = next(fields)
    if tag != _INTEGER:
        raise ValueError("The certificate has no serial number.")
    number = int.from_bytes(value, "big", signed=True)
    next(fields)
    _, issuer = next(fields)
    _, validity = next(fields)
    _, subject = next(fields)
    next(fields)
    not_before, not_after = (_moment(*item) for item in _items(validity))
    names = list(_attributes(subject))
    extensions, critical = _extensions(fields)
    return X509(
        der=der,
        subject=_text(names),
        issuer=_text(list(_attributes(issuer))),
        same_names=subject == issuer,
        common_name=next((text for oid, text in names if oid == _COMMON_NAME), ""),
        serial=hexadecimal(number),
        not_before=not_before,
        not_after=not_after,
        is_ca=_is_ca(extensions.get(_BASIC_CONSTRAINTS)),
        has_critical_constraints=_BASIC_CONSTRAINTS in critical,
        key_usages=_key_usages(extensions.get(_KEY_USAGE)),
        extended_usages=_extended_usages(extensions.get(_EXTENDED_KEY_USAGE)),
        names_issuer_key=_AUTHORITY_KEY_ID in extensions,
    )


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element of a DER sequence."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length == _INDEFINITE:
            raise ValueError("The certificate is not DER.")
        if length & _LONG_FORM:
            size = length & ~_LONG_FORM
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("The certificate is cut off.")
        yield tag, data[position : position + length]
        position += length


def _oid(content: bytes) -> str:
    numbers: list[int] = []
    number = 0
    for octet in content:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    # The first two numbers share one: 40 times the first, plus the second.
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _attributes(name: bytes) -> Iterator[tuple[str, str]]:
    for _, group in _items(name):
        for _, attribute in _items(group):
            (_, oid), (tag, value) = _items(attribute)
            encoding = "utf-16-be" if tag == _BMP_STRING else "utf-8"
            text = value.decode(encoding, "backslashreplace")
            yield (
                _oid(oid),
                "".join(
                    character if character.isprintable() else f"\\x{ord(character):02x}"
                    for character in text
                ),
            )


def _text(names: list[tuple[str, str]]) -> str:
    return ", ".join(f"{_ATTRIBUTES.get(oid, oid)}={text}" for oid, text in names)


def hexadecimal(number: int) -> str:
    """Return a serial number in upper-case hexadecimal, as OpenSSL prints it."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + "0" * (len(digits) % 2) + digits


def _moment(tag: int, content: bytes) -> int:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME and text[:2].isdigit():
        text = ("19" if int(text[:2]) >= _PIVOT_YEAR else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("The certificate has no dates.")
    digits = text.removesuffix("Z")
    if len(digits) != len("YYYYMMDDhhmmss") or not digits.isdecimal():
        raise ValueError("The certificate has unreadable dates.")
    month, day, hour, minute, second = (
        int(digits[start : start + 2]) for start in range(4, 14, 2)
    )
    # Days of the civil calendar, years counted from March.
    year = int(digits[:4]) - (month < _MARCH)
    days = (
        365 * year
        + year // 4
        - year // 100
        + year // 400
        + (153 * ((month + 9) % 12) + 2) // 5
        + day
        - 719469
    )
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _extensions(
    fields: Iterator[tuple[int, bytes]],
) -> tuple[dict[str, bytes], set[str]]:
    """Return the extensions, and which of them are critical."""
    extensions: dict[str, bytes] = {}
    critical: set[str] = set()
    for tag, content in fields:
        if tag != _EXTENSIONS:
            continue
        _, sequence = next(_items(content))
        for _, extension in _items(sequence):
            (_, oid), *flags, (_, value) = _items(extension)
            name = _oid(oid)
            extensions[name] = value
            if any(flag != b"\0" for _, flag in flags):
                critical.add(name)
    return extensions, critical


def _is_ca(content: bytes | None) -> bool:
    if content is None:
        return False
    _, sequence = next(_items(content))
    return any(tag == _BOOLEAN and value != b"\0" for tag, value in _items(sequence))


def _key_usages(content: bytes | None) -> tuple[str, ...] | None:
    if content is None:
        return None
    _, bits = next(_items(content))
    return tuple(
        usage
        for position, usage in enumerate(_KEY_USAGES)
        if len(bits) > 1 + position // 8
        and bits[1 + position // 8] & 0x80 >> position % 8
    )


def _extended_usages(content: bytes | None) -> tuple[str, ...] | None:
    if content is None:
        return None
    _, sequence = next(_items(content))
    oids = (_oid(value) for _, value in _items(sequence))
    return tuple(_PURPOSES.get(oid, oid) for oid in oids)
