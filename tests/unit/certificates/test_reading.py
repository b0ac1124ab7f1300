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
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import distance
from understack_nautobot_settings.certificates.reading import read_certificate
from understack_nautobot_settings.certificates.reading import utc

UTC = datetime.timezone.utc
ROOT = Authority()
KEY = ec.generate_private_key(ec.SECP256R1())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


NOW = datetime.datetime(2026, 6, 1, tzinfo=UTC)


def read(content: bytes) -> Certificate:
    return read_certificate(content, now=NOW.timestamp())


def named(*attributes: x509.NameAttribute) -> Certificate:
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
    return read(der(builder.sign(KEY, hashes.SHA256())))


def test_certificate_fields_are_all_read() -> None:
    start = datetime.datetime(1999, 2, 28, 23, 59, 58, tzinfo=UTC)
    end = datetime.datetime(2061, 2, 28, 12, 30, 1, tzinfo=UTC)
    leaf = ROOT.issue(
        "app", usages=CLIENT_AND_SERVER, not_before=start, not_after=end, serial=0x0F01
    )

    found = read_certificate(
        der(leaf.certificate), now=NOW.timestamp(), path="/m/tls.crt", use="Redis"
    )

    assert found == Certificate(
        path="/m/tls.crt",
        use="Redis",
        subject="CN=app",
        issuer="CN=understack-mtls-ca",
        serial="0F01",
        not_before=start,
        not_after=end,
        seen_at=NOW,
        common_name="app",
        encoded_name=b"app",
        is_self_issued=False,
        is_ca=False,
        has_critical_constraints=True,
        key_usages=("digital signature", "key encipherment"),
        extended_usages=("server auth", "client auth"),
        key_kind="secp256r1",
        public_key=x509.SubjectKeyIdentifier.from_public_key(
            leaf.key.public_key()
        ).digest,
        der=der(leaf.certificate),
    )
    assert found.as_json() == {
        "path": "/m/tls.crt",
        "use": "Redis",
        "subject": "CN=app",
        "issuer": "CN=understack-mtls-ca",
        "serial": "0F01",
        "not_before": "1999-02-28T23:59:58Z",
        "not_after": "2061-02-28T12:30:01Z",
        "days_left": 12691,
    }


def test_certificate_without_extensions_is_read() -> None:
    bare = named(x509.NameAttribute(NameOID.COMMON_NAME, "bare"))

    assert bare._replace(der=b"", public_key=b"") == Certificate(
        path="",
        use="",
        subject="CN=bare",
        issuer="CN=bare",
        serial="01",
        not_before=datetime.datetime(2026, 1, 1, tzinfo=UTC),
        not_after=datetime.datetime(2027, 1, 1, tzinfo=UTC),
        seen_at=NOW,
        common_name="bare",
        encoded_name=b"bare",
        is_self_issued=True,
        key_kind="secp256r1",
    )


@pytest.mark.parametrize(
    ("constraints", "is_ca", "expected"),
    [
        ("critical", True, (True, True)),
        ("plain", True, (True, False)),
        ("absent", True, (True, False)),
        ("critical", False, (False, True)),
    ],
)
def test_constraints_are_read_as_openssl_does(
    constraints: str, is_ca: bool, expected: tuple[bool, bool]
) -> None:
    authority = Authority("a-ca", constraints=constraints, is_ca=is_ca)  # type: ignore[arg-type]
    found = read(der(authority.certificate))

    assert (found.is_ca, found.has_critical_constraints) == expected


@pytest.mark.parametrize(
    ("attributes", "subject", "common_name"),
    [
        ([], "(no name)", ""),
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
        ([(NameOID.COMMON_NAME, "a\nb\x1b[31m")], r"CN=a\nb\x1b[31m", None),
        ([(x509.ObjectIdentifier("1.2.3.4567"), "x")], "1.2.3.4567=x", ""),
        ([(x509.ObjectIdentifier("2.999.1"), "x")], "2.999.1=x", ""),
    ],
    ids=["empty", "several", "control-characters", "unknown", "joint-iso"],
)
def test_subject_and_common_name_are_read(
    attributes: list[tuple[x509.ObjectIdentifier, str]],
    subject: str,
    common_name: str | None,
) -> None:
    found = named(*(x509.NameAttribute(oid, text) for oid, text in attributes))

    assert found.subject == subject
    assert found.common_name == (subject[3:] if common_name is None else common_name)


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        (_ASN1Type.UTF8String, "Größe".encode()),
        (_ASN1Type.BMPString, "Größe".encode("utf-16-be")),
        (_ASN1Type.UniversalString, "Größe".encode("utf-32-be")),
    ],
    ids=["UTF8String", "BMPString", "UniversalString"],
)
def test_name_in_any_encoding_is_read_and_its_bytes_kept(
    kind: _ASN1Type, encoded: bytes
) -> None:
    found = named(x509.NameAttribute(NameOID.COMMON_NAME, "Größe", _type=kind))

    assert (found.subject, found.encoded_name) == ("CN=Größe", encoded)


def test_long_name_is_kept_whole_and_shown_shortened() -> None:
    units = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number:04}")
        for number in range(1000)
    ]

    found = named(*units, x509.NameAttribute(NameOID.COMMON_NAME, "app"))

    assert (len(found.subject), found.subject[-1]) == (257, "…")
    assert (found.common_name, found.encoded_name) == ("app", b"app")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds ago"),
        (1, "in 1 second"),
        (-59, "59 seconds ago"),
        (120, "in 2 minutes"),
        (-3600, "1 hour ago"),
        (86399, "in 23 hours"),
        (-86400, "1 day ago"),
        (400 * 86400, "in 400 days"),
    ],
)
def test_time_distance_is_written_in_words(seconds: int, words: str) -> None:
    assert distance(datetime.timedelta(seconds=seconds)) == words


def test_certificate_dates_state_the_distance_from_now() -> None:
    bare = named(x509.NameAttribute(NameOID.COMMON_NAME, "bare"))
    day = datetime.timedelta(days=1)

    assert [
        bare._replace(seen_at=moment).dates
        for moment in (bare.not_before - day, NOW, bare.not_after + day)
    ] == [
        "not valid before 2026-01-01T00:00:00Z, in 1 day",
        "valid until 2027-01-01T00:00:00Z",
        "expired on 2027-01-01T00:00:00Z, 1 day ago",
    ]


@given(
    st.datetimes(
        datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59)
    )
)
@examples(300)
def test_expiry_date_is_read_for_any_date(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    leaf = ROOT.issue(
        key=KEY,
        not_before=datetime.datetime(1950, 1, 1, tzinfo=UTC),
        not_after=moment,
    )

    found = read(der(leaf.certificate))

    assert found.not_after == moment
    assert utc(found.not_after) == f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@given(serial=st.integers(1, 2**159 - 1))
@examples(50)
def test_serial_is_read_as_hex_for_any_number(serial: int) -> None:
    leaf = ROOT.issue(key=KEY, serial=serial)
    text = read(der(leaf.certificate)).serial

    assert (int(text, 16), len(text) % 2, text) == (serial, 0, text.upper())


def test_negative_serial_keeps_its_sign() -> None:
    content = der(ROOT.issue(key=KEY, serial=0x11223344).certificate)
    content = content.replace(b"\x02\x04\x11\x22\x33\x44", b"\x02\x04\xff\x22\x33\x44")

    assert read(content).serial == "-DDCCBC"


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
def test_certificate_with_any_content_is_read_or_raises_value_error(
    content: bytes,
) -> None:
    try:
        found = read(content)
    except ValueError:
        return
    assert found.subject.isprintable()
    assert found.issuer.isprintable()
    assert found.as_json()


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
def test_content_that_is_not_a_certificate_raises_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^The certificate cannot be read\.$"):
        read(content)


def malformed(oid: str, content: bytes) -> x509.Certificate:
    """Return a certificate with an extension that cannot be read."""
    issued = ROOT.issue(key=KEY).certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(issued.subject)
        .issuer_name(issued.issuer)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(issued.not_valid_before_utc)
        .not_valid_after(issued.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content), False
        )
    )
    return builder.sign(ROOT.key, hashes.SHA256())


@pytest.mark.parametrize(
    ("oid", "content"),
    [
        ("2.5.29.15", b"\x04\x01\x00"),
        ("2.5.29.17", b"\x30\x04\x82\x02\xff\xff"),
        ("2.5.29.17", b"\x30\x05\x87\x03\x01\x02\x03"),
    ],
    ids=["key-usage", "name-that-is-no-ascii", "address-of-three"],
)
def test_certificate_with_unreadable_extension_is_read_without_extensions(
    oid: str, content: bytes
) -> None:
    """Nothing is claimed about extensions then, the CA flag included."""
    found = read(der(malformed(oid, content)))

    assert (found.subject, found.is_ca, found.key_usages) == ("CN=app", None, None)
    assert found.names == ()


def test_alternative_names_are_read_as_hosts_and_addresses() -> None:
    server = ROOT.server("redis.example", "10.0.0.1", "::1", key=KEY)

    assert read(der(server.certificate)).names == ("redis.example", "10.0.0.1", "::1")
    assert read(der(ROOT.issue(key=KEY).certificate)).names == ()


def test_certificate_with_60000_names_is_read() -> None:
    """As many as the largest file that is read has room for."""
    names = [f"n{number:x}.example" for number in range(60_000)]
    server = ROOT.server(*names, key=KEY)

    assert len(read(der(server.certificate)).names) == len(names)
