from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from lab.certificates import CLIENT_AND_SERVER
from lab.certificates import Authority
from tests.examples import examples
from understack_nautobot_settings.certificates.reading import X509
from understack_nautobot_settings.certificates.reading import read_x509
from understack_nautobot_settings.certificates.reading import utc

UTC = datetime.timezone.utc
ROOT = Authority()
KEY = ec.generate_private_key(ec.SECP256R1())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def named(*attributes: x509.NameAttribute) -> X509:
    name = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2026, 1, 1))
        .not_valid_after(datetime.datetime(2027, 1, 1))
    )
    return read_x509(der(builder.sign(KEY, hashes.SHA256())))


def test_every_field() -> None:
    start = datetime.datetime(1999, 2, 28, 23, 59, 58, tzinfo=UTC)
    end = datetime.datetime(2061, 2, 28, 12, 30, 1, tzinfo=UTC)
    leaf = ROOT.issue(
        "app", usages=CLIENT_AND_SERVER, not_before=start, not_after=end, serial=0x0F01
    )

    assert read_x509(der(leaf.certificate)) == X509(
        der=der(leaf.certificate),
        subject="CN=app",
        issuer="CN=understack-mtls-ca",
        same_names=False,
        common_name="app",
        serial="0F01",
        not_before=int(start.timestamp()),
        not_after=int(end.timestamp()),
        is_ca=False,
        has_critical_constraints=True,
        key_usages=("digital signature", "key encipherment"),
        extended_usages=("server auth", "client auth"),
        names_issuer_key=True,
    )


def test_a_certificate_without_extensions() -> None:
    bare = named(x509.NameAttribute(NameOID.COMMON_NAME, "bare"))

    assert bare._replace(der=b"") == X509(
        der=b"",
        subject="CN=bare",
        issuer="CN=bare",
        same_names=True,
        common_name="bare",
        serial="01",
        not_before=1767225600,
        not_after=1798761600,
        is_ca=False,
        has_critical_constraints=False,
        key_usages=None,
        extended_usages=None,
        names_issuer_key=False,
    )


@pytest.mark.parametrize(
    ("constraints", "is_ca", "expected"),
    [
        ("critical", True, (True, True)),
        ("plain", True, (True, False)),
        ("absent", True, (False, False)),
        ("critical", False, (False, True)),
    ],
)
def test_constraints(
    constraints: str, is_ca: bool, expected: tuple[bool, bool]
) -> None:
    authority = Authority("a-ca", constraints=constraints, is_ca=is_ca)  # type: ignore[arg-type]
    read = read_x509(der(authority.certificate))

    assert (read.is_ca, read.has_critical_constraints) == expected


@pytest.mark.parametrize(
    ("attributes", "subject", "common_name"),
    [
        ([], "", ""),
        (
            [
                (NameOID.COUNTRY_NAME, "DE"),
                (NameOID.ORGANIZATION_NAME, "Ünder, Stack"),
                (NameOID.COMMON_NAME, "first"),
                (NameOID.COMMON_NAME, "second"),
            ],
            "C=DE, O=Ünder, Stack, CN=first, CN=second",
            "first",
        ),
        ([(NameOID.COMMON_NAME, "a\nb\x1b[31m")], "CN=a\\x0ab\\x1b[31m", None),
        ([(x509.ObjectIdentifier("1.2.3.4567"), "x")], "1.2.3.4567=x", ""),
        ([(x509.ObjectIdentifier("2.999.1"), "x")], "2.999.1=x", ""),
    ],
    ids=["empty", "several", "control-characters", "unknown", "joint-iso"],
)
def test_names(
    attributes: list[tuple[x509.ObjectIdentifier, str]],
    subject: str,
    common_name: str | None,
) -> None:
    read = named(*(x509.NameAttribute(oid, text) for oid, text in attributes))

    assert read.subject == subject
    assert read.common_name == (subject[3:] if common_name is None else common_name)


def test_names_in_two_byte_characters() -> None:
    attribute = x509.NameAttribute(
        NameOID.COMMON_NAME, "Größe", _type=_ASN1Type.BMPString
    )

    assert named(attribute).subject == "CN=Größe"


@given(
    st.datetimes(
        datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59)
    )
)
@examples(300)
def test_any_date(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    leaf = ROOT.issue(
        key=KEY,
        not_before=datetime.datetime(1950, 1, 1, tzinfo=UTC),
        not_after=moment,
    )

    read = read_x509(der(leaf.certificate))

    assert read.not_after == (moment - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // (
        datetime.timedelta(seconds=1)
    )
    assert utc(read.not_after) == f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@given(serial=st.integers(1, 2**159 - 1))
@examples(50)
def test_any_serial(serial: int) -> None:
    leaf = ROOT.issue(key=KEY, serial=serial)
    text = read_x509(der(leaf.certificate)).serial

    assert (int(text, 16), len(text) % 2, text) == (serial, 0, text.upper())


def test_negative_serials_keep_their_sign() -> None:
    content = der(ROOT.issue(key=KEY, serial=0x11223344).certificate)
    content = content.replace(b"\x02\x04\x11\x22\x33\x44", b"\x02\x04\xff\x22\x33\x44")

    assert read_x509(content).serial == "-DDCCBC"


CONTENT = der(ROOT.issue(key=KEY).certificate)


@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(lambda end: CONTENT[:end], st.integers(0, len(CONTENT))),
        st.builds(
            lambda at, byte: CONTENT[:at] + bytes([byte]) + CONTENT[at + 1 :],
            st.integers(0, len(CONTENT) - 1),
            st.integers(0, 255),
        ),
    )
)
@examples(2000)
def test_anything_else_is_a_value_error(content: bytes) -> None:
    try:
        read = read_x509(content)
    except ValueError:
        return
    assert read.subject.isprintable()
    assert read.issuer.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x02\x30\x00",
        b"\x30\x02\x02\x00",
        b"\x30\x04\x30\x02\x04\x00",
        CONTENT.replace(b"\x17\x0d", b"\x17\x0b"),
        CONTENT.replace(b"\x17\x0d", b"\x05\x0d"),
        CONTENT.replace(b"\x17\x0d2", b"\x17\x0dx"),
    ],
    ids=[
        "nothing",
        "one-byte",
        "empty",
        "indefinite",
        "no-fields",
        "no-body",
        "no-serial",
        "short-date",
        "no-date",
        "letters-for-a-date",
    ],
)
def test_what_is_no_certificate(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_x509(content)
