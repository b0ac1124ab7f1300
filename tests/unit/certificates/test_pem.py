from __future__ import annotations

import base64
import textwrap

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from lab.certificates import Authority
from tests.examples import examples
from understack_nautobot_settings.certificates import pem

ROOT = Authority()
LEAF = ROOT.issue()
DER = LEAF.certificate.public_bytes(serialization.Encoding.DER)
KEY = LEAF.key_pem


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (LEAF.cert_pem, pem.CERTIFICATE),
        (ROOT.cert_pem + LEAF.cert_pem, pem.CERTIFICATE),
        (b"text\n" + LEAF.cert_pem.replace(b"\n", b"\r\n"), pem.CERTIFICATE),
        (b"\xef\xbb\xbf" + LEAF.cert_pem, pem.CERTIFICATE),
        (KEY, pem.PRIVATE_KEY),
        (LEAF.cert_pem + KEY, pem.PRIVATE_KEY),
        (ROOT.issue(password="secret").key_pem, pem.PRIVATE_KEY),
        (ROOT.issue(password="secret", key_format="pkcs8").key_pem, pem.PRIVATE_KEY),
    ],
)
def test_well_formed_pem_has_no_fault(content: bytes, wanted: str) -> None:
    assert pem.pem_fault(content, wanted) is None


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (pem.armoured(DER, "CERTIFICATE"), "our own"),
        (LEAF.cert_pem, "cryptography's"),
        (LEAF.cert_pem.rstrip(), "no final line end"),
        (LEAF.cert_pem.replace(b"\n", b"\r\n"), "CRLF"),
        (LEAF.cert_pem.replace(b"\n", b" \n"), "trailing blanks"),
        (b"\xef\xbb\xbf" + LEAF.cert_pem, "byte order mark"),
        (LEAF.cert_pem.replace(b" CERT", b" X509 CERT"), "old label"),
        (LEAF.cert_pem.replace(b" CERT", b" TRUSTED CERT"), "OpenSSL's label"),
        (KEY + LEAF.cert_pem + KEY, "between keys"),
        (
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
            + LEAF.cert_pem,
            "after a damaged one",
        ),
    ],
)
def test_certificate_in_any_accepted_form_is_found(content: bytes, form: str) -> None:
    assert pem.certificates(content) == [DER], form


def test_truncated_certificate_is_left_out() -> None:
    assert pem.certificates(pem.armoured(DER[:-3], "CERTIFICATE")) == []
    assert pem.certificates(b"") == []


def test_trusted_certificate_is_read_without_openssl_additions() -> None:
    trusted = pem.armoured(DER + b"\x30\x00", "TRUSTED CERTIFICATE")

    assert pem.certificates(trusted) == [DER]


def test_armoured_text_has_lines_of_64_characters() -> None:
    text = base64.b64encode(DER).decode()

    assert pem.armoured(DER, "CERTIFICATE").decode() == "\n".join(
        [
            "-----BEGIN CERTIFICATE-----",
            *textwrap.wrap(text, 64),
            "-----END CERTIFICATE-----",
            "",
        ]
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (DER, True),
        (b"0\x03\x02\x01\x00", True),
        (b"0", False),
        (b"", False),
        (b"0123456789", False),
        (LEAF.cert_pem, False),
    ],
)
def test_der_is_distinguished_from_text(content: bytes, expected: bool) -> None:
    assert pem.is_der(content) is expected


@given(st.binary(max_size=300), st.sampled_from([pem.CERTIFICATE, pem.PRIVATE_KEY]))
@examples(500)
def test_content_without_wanted_block_has_a_fault_in_words(
    content: bytes, wanted: str
) -> None:
    code, words = pem.pem_fault(content, wanted) or (None, "")

    assert code is not None
    assert words.endswith(".")
    assert code.fix


MEBIBYTE = 2**20
HOSTILE = {
    "begins": b"-----BEGIN CERTIFICATE-----\n",
    "begins-of-other-labels": b"-----BEGIN %d PRIVATE KEY-----\n",
    "ends-in-one-line": b"-----END CERTIFICATE-----",
    "begins-in-one-line": b"-----BEGIN CERTIFICATE-----",
    "begin-with-blanks": b"-----BEGIN CERTIFICATE-----          ",
    "headers": b"Proc-Type: 4,\n",
    "header-and-blanks": b"Proc-Type:                ",
    "blanks": b"    ",
    "dashes": b"-----",
    "letters": b"TUlJ",
    "sequences": b"0\x80",
    "empty-blocks": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("wanted", [pem.CERTIFICATE, pem.PRIVATE_KEY])
def test_any_mebibyte_is_parsed_in_linear_time(piece: bytes, wanted: str) -> None:
    """In quadratic time this test would not end within the day."""
    count = MEBIBYTE // len(piece)
    pieces = (piece % number if b"%d" in piece else piece for number in range(count))
    content = b"".join(pieces)

    pem.is_encrypted(content)
    pem.holds(content, wanted)
    pem.first_block(content, wanted)
    assert pem.certificates(content) == []
    assert pem.pem_fault(content, wanted)
