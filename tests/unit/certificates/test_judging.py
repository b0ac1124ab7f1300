from __future__ import annotations

import datetime
import os
import pty
import re
import resource
import select
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.certificates import now
from lab.certificates import write_mount
from lab.corpus import FILES
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import VARIABLES
from lab.corpus import Pki
from lab.corpus import Situation
from lab.corpus import client_files
from lab.corpus import situations
from tests.examples import examples
from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.problems import Problem

ROOT = Authority()
CORPUS = situations(Pki())
DSA = dsa.generate_private_key(2048)
MINUTE = datetime.timedelta(minutes=1)
USES = pytest.mark.parametrize("use", [POSTGRESQL, REDIS])
CORPUS_TABLE = pytest.mark.parametrize(
    "situation", CORPUS, ids=[situation.name for situation in CORPUS]
)


def never(seconds: float) -> None:
    raise AssertionError(f"Slept {seconds} seconds.")


def written(directory: Path, leaf: Leaf, ca_pem: bytes = ROOT.ca_pem) -> Path:
    write_mount(directory, leaf, ca_pem)
    return directory


# --- the corpus ----------------------------------------------------------------


@USES
@CORPUS_TABLE
def test_certificate_files_get_the_expected_problems(
    situation: Situation, use: str, tmp_path: Path
) -> None:
    situation.write(tmp_path)
    slept: list[float] = []

    problems = check_certificates(client_files(use, tmp_path), sleep=slept.append)

    assert problems == situation.refusals(use, tmp_path)
    assert sum(slept) <= 0.2


@USES
@CORPUS_TABLE
def test_inspection_adds_only_the_expected_warnings(
    situation: Situation, use: str, tmp_path: Path
) -> None:
    situation.write(tmp_path)

    user = "app" if use == "PostgreSQL" else None
    problems = inspect_certificates(client_files(use, tmp_path)._replace(user=user))

    assert {problem.severity for problem in problems} <= {"warning"}
    if situation.warned is not None:
        assert problems == situation.warnings(use, tmp_path)


def test_user_that_is_not_utf8_is_not_the_name_of_the_certificate(tmp_path):
    leaf, authority = Authority().client("app"), Authority()
    write_mount(tmp_path, leaf, authority.ca_pem)
    files = client_files("PostgreSQL", tmp_path)._replace(user="app\udcfc")

    problems = inspect_certificates(files)

    assert "certificate-name-mismatch" in {problem.code for problem in problems}


@CORPUS_TABLE
def test_problems_never_quote_file_content(
    situation: Situation, tmp_path: Path
) -> None:
    situation.write(tmp_path)
    said = str(
        [
            check_certificates(client_files(use, tmp_path), sleep=lambda _: None)
            + inspect_certificates(client_files(use, tmp_path))
            for use in (POSTGRESQL, REDIS)
        ]
    )
    pieces = {
        piece
        for content in situation.files.values()
        for piece in re.findall(r"[A-Za-z0-9+/]{16}", content.decode("latin-1"))
    }

    assert [piece for piece in pieces if piece in said] == []


def test_corpus_has_many_accepted_and_many_refused_situations() -> None:
    names = [situation.name for situation in CORPUS]

    assert len(names) == len(set(names)) > 100
    assert sum(not situation.refused for situation in CORPUS) > 40
    assert sum(bool(situation.refused) for situation in CORPUS) > 80


@USES
def test_certificate_without_key_is_still_judged(use: str, tmp_path: Path) -> None:
    files = client_files(use, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.key").unlink()
    (tmp_path / "tls.crt").write_bytes(b"nothing")
    (tmp_path / "ca.crt").write_bytes(b"nothing")

    assert [problem.code for problem in check_certificates(files)] == [
        "file-missing",
        "pem-none",
        "pem-none",
    ]


@USES
@pytest.mark.parametrize(
    ("key", "codes"),
    [
        (b"nothing", ["pem-none"]),
        (b"\n", ["file-empty"]),
        (ROOT.ca_pem, ["pem-other-kind"]),
        (ROOT.issue().key_pem, []),
    ],
    ids=["no PEM", "blanks", "certificate", "key"],
)
def test_key_without_certificate_is_still_judged(
    use: str, key: bytes, codes: list[str], tmp_path: Path
) -> None:
    files = client_files(use, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.crt").write_bytes(b"")
    (tmp_path / "tls.key").write_bytes(key)

    found = [problem.code for problem in check_certificates(files)]

    assert found == ["file-empty", *codes]


def test_mode_of_key_without_certificate_is_still_judged(tmp_path: Path) -> None:
    files = client_files(POSTGRESQL, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.crt").unlink()
    (tmp_path / "tls.key").chmod(0o644)

    assert [problem.code for problem in check_certificates(files)] == [
        "file-missing",
        "key-mode",
    ]


@USES
def test_files_that_are_not_configured_are_not_read(use: str, tmp_path: Path) -> None:
    directory = written(tmp_path, leaf := ROOT.issue())
    files = client_files(use, directory)
    ca_only = files._replace(cert=None, key=None)
    no_ca = files._replace(ca=None)
    (tmp_path / "tls.crt").write_bytes(leaf.cert_pem + leaf.key_pem)
    (tmp_path / "tls.crt").chmod(0o600)
    key_in_certificate = files._replace(key=None)

    for some in (ca_only, no_ca, key_in_certificate):
        assert check_certificates(some, sleep=never) == []
        assert inspect_certificates(some) == []
    assert [one.path for one in describe_certificates(ca_only)] == [
        f"{tmp_path}/ca.crt"
    ]
    assert check_certificates(ClientFiles(use, None, None, None)) == []
    assert describe_certificates(ClientFiles(use, None, None, None)) == []


# --- time ----------------------------------------------------------------------


def lifetime() -> tuple[Leaf, Authority, int, int]:
    """Return a leaf and a CA of the same lifetime, which is long over."""
    start, end = now() - 900 * DAY, now() - 500 * DAY
    authority = Authority("old-ca", not_before=start, not_after=end)
    leaf = authority.issue(not_before=start, not_after=end)
    return leaf, authority, int(start.timestamp()), int(end.timestamp())


@USES
def test_certificate_is_valid_from_first_to_last_second(
    use: str, tmp_path: Path
) -> None:
    leaf, authority, start, end = lifetime()
    files = client_files(use, written(tmp_path, leaf, authority.ca_pem))

    def codes(moment: float) -> list[str]:
        return [one.code for one in check_certificates(files, clock=lambda: moment)]

    assert codes(start - 1) == ["certificate-not-yet-valid", "ca-not-yet-valid"]
    assert codes(start) == []
    assert codes(end - 0.5) == []
    assert codes(end) == ["certificate-expired", "ca-expired"]


@USES
def test_ca_that_ends_before_it_begins_never_becomes_valid(
    use: str, tmp_path: Path
) -> None:
    begin, end = now() - DAY, now() + DAY
    authority = Authority("ca", not_before=begin, not_after=end)
    times = [f"{one:%y%m%d%H%M%S}Z".encode() for one in (begin, end)]
    der = pem.certificates(authority.ca_pem)[0]
    there, back = b"\x17\r".join(times), b"\x17\r".join(times[::-1])
    assert der.count(there) == 1
    reversed_pem = pem.armoured(der.replace(there, back), "CERTIFICATE")
    files = client_files(use, written(tmp_path, ROOT.issue(), reversed_pem))

    assert [one.code for one in check_certificates(files)] == ["ca-expired"]


@pytest.mark.parametrize(
    ("seconds", "days", "codes"),
    [
        (30 * 86400 + 1, 30, []),
        (30 * 86400, 30, ["certificate-expiring", "ca-expiring"]),
        (1, 30, ["certificate-expiring", "ca-expiring"]),
        (0, 30, []),
        (1, 0, []),
        (90 * 86400, 90, ["certificate-expiring", "ca-expiring"]),
    ],
)
def test_certificate_expiry_within_given_days_is_warned_about(
    seconds: int, days: int, codes: list[str], tmp_path: Path
) -> None:
    leaf, authority, _, end = lifetime()
    files = client_files(REDIS, written(tmp_path, leaf, authority.ca_pem))

    problems = inspect_certificates(
        files, clock=lambda: end - seconds, expiry_warning_days=days
    )

    assert [problem.code for problem in problems] == codes


def test_expiry_warning_states_the_days_left(tmp_path: Path) -> None:
    leaf, authority, _, end = lifetime()
    files = client_files(REDIS, written(tmp_path, leaf, authority.ca_pem))
    date = f"{leaf.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"

    messages = [
        problem.message
        for problem in inspect_certificates(files, clock=lambda: end - 1.5 * 86400)
    ]

    assert messages == [
        f"CN=app in {tmp_path}/tls.crt expires in 1 day, on {date}.",
        f"the CA CN=old-ca in {tmp_path}/ca.crt expires in 1 day, on {date}.",
    ]


@USES
def test_certificates_are_described_with_subject_issuer_serial_and_days_left(
    use: str, tmp_path: Path
) -> None:
    start = now().replace(year=2031, month=2, day=3)
    authority = Authority("a-ca", not_before=start, not_after=start + 400 * DAY)
    between = authority.intermediate(
        "between", not_before=start, not_after=start + 200 * DAY
    )
    leaf = between.issue(
        not_before=start, not_after=start + 100 * DAY, serial=0xABCDEF0123456789
    )
    directory = written(tmp_path, leaf, authority.ca_pem)
    moment = (start + 150.25 * DAY).timestamp()

    described = describe_certificates(
        client_files(use, directory), clock=lambda: moment
    )

    def utc(days: int) -> str:
        return f"{start + days * DAY:%Y-%m-%dT%H:%M:%SZ}"

    def serial(authority: Authority) -> str:
        digits = f"{authority.serial:X}"
        return "0" * (len(digits) % 2) + digits

    def fields(path: str, names: tuple[str, str], serial: str, days: int, left: int):
        return {
            "path": f"{tmp_path}/{path}",
            "use": use,
            "subject": names[0],
            "issuer": names[1],
            "serial": serial,
            "not_before": utc(0),
            "not_after": utc(days),
            "days_left": left,
        }

    leaf_serial = "ABCDEF0123456789"
    assert [one.as_json() for one in described] == [
        fields("tls.crt", ("CN=app", "CN=between"), leaf_serial, 100, -51),
        fields("tls.crt", ("CN=between", "CN=a-ca"), serial(between), 200, 49),
        fields("ca.crt", ("CN=a-ca", "CN=a-ca"), serial(authority), 400, 249),
    ]


def test_files_without_certificates_have_no_description(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(b"nothing")
    (tmp_path / "tls.key").write_bytes(ROOT.issue().key_pem)

    assert describe_certificates(client_files(REDIS, tmp_path)) == []


# --- passwords -----------------------------------------------------------------


@USES
@pytest.mark.parametrize("form", ["traditional", "pkcs8"])
def test_encrypted_key_with_right_password_is_accepted(
    use: str, form: str, tmp_path: Path
) -> None:
    leaf = ROOT.issue(password="open sesame", key_format=form)  # type: ignore[arg-type]
    files = client_files(use, written(tmp_path, leaf))

    assert check_certificates(files, key_password="open sesame") == []
    assert inspect_certificates(files, key_password="open sesame") == []


@USES
@pytest.mark.parametrize("password", ["wrong", "long" * 1000])
def test_encrypted_key_with_wrong_password_is_refused_without_showing_it(
    use: str, password: str, tmp_path: Path
) -> None:
    files = client_files(use, written(tmp_path, ROOT.issue(password="open sesame")))

    assert check_certificates(files, key_password=password) == [
        Problem(
            "key-encrypted",
            "error",
            VARIABLES[use]["key"],
            f"{tmp_path}/tls.key is encrypted, and sslpassword does not open it.",
            "Correct sslpassword, or store the key without a password.",
        )
    ]


OLD_CIPHERS = {
    "des": ("rsa", "-traditional", "-des"),
    "rc2": ("pkcs8", "-topk8", "-v1", "PBE-SHA1-RC2-40"),
    "md5-des": ("pkcs8", "-topk8", "-v1", "PBE-MD5-DES"),
}


@USES
@pytest.mark.parametrize("options", OLD_CIPHERS.values(), ids=list(OLD_CIPHERS))
def test_key_with_old_cipher_and_right_password_is_only_a_warning(
    use: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    written(tmp_path, ROOT.issue(key="rsa"))
    key = tmp_path / "tls.key"
    command, *rest = options
    key.rename(tmp_path / "plain.key")
    subprocess.run(
        [
            *("openssl", command, "-provider", "legacy", "-provider", "default", *rest),
            *("-in", tmp_path / "plain.key", "-out", key),
            *("-passout", "pass:open sesame"),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)

    files = client_files(use, tmp_path)
    problems = check_certificates(files, key_password="open sesame")

    assert [(one.code, one.severity, one.message) for one in problems] == [
        (
            "key-old-cipher",
            "warning",
            f"{key} is encrypted with a cipher that the OpenSSL of this Python does "
            "not load.",
        )
    ]


@pytest.mark.parametrize(
    ("key", "password", "code"),
    [
        ("other", None, "certificate-key-mismatch"),
        ("sound", None, None),
        ("encrypted", "open sesame", "pem-der"),
        ("encrypted", None, "pem-der"),
        ("dsa", None, "certificate-weak"),
    ],
)
def test_binary_key_is_judged_like_its_text_form(
    key: str, password: str | None, code: str | None, tmp_path: Path
) -> None:
    leaf = ROOT.issue(key=DSA) if key == "dsa" else ROOT.issue()
    files = client_files(POSTGRESQL, written(tmp_path, leaf))
    secret = serialization.BestAvailableEncryption(b"open sesame")
    der = (ROOT.issue() if key == "other" else leaf).key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        secret if key == "encrypted" else serialization.NoEncryption(),
    )
    (tmp_path / "tls.key").write_bytes(der)

    problems = check_certificates(files, key_password=password, sleep=lambda _: None)

    assert [one.code for one in problems] == ([code] if code else [])
    accepted = [] if key == "encrypted" else ["key-der"]
    assert [one.code for one in inspect_certificates(files)] == accepted


@USES
def test_certificate_not_yet_valid_states_when_it_will_be(
    use: str, tmp_path: Path
) -> None:
    """Waiting helps, which `wait` knows from the code."""
    start = now() + 2.5 * MINUTE
    files = client_files(use, written(tmp_path, ROOT.issue(not_before=start)))

    (problem,) = check_certificates(files)

    assert problem.message == (
        f"{tmp_path}/tls.crt (CN=app) is not valid before "
        f"{start:%Y-%m-%dT%H:%M:%SZ}, in 2 minutes."
    )
    assert codes.CERTIFICATE_NOT_YET_VALID.transient


def test_empty_key_password_is_accepted_for_postgresql_only(tmp_path: Path) -> None:
    leaf = ROOT.issue()
    written(tmp_path, leaf)
    plain, key = tmp_path / "tls.key", tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", plain, "-out", key, "-passout", "pass:"],
        check=True,
        capture_output=True,
    )
    key.replace(plain)
    plain.chmod(0o600)

    assert check_certificates(client_files(POSTGRESQL, tmp_path)) == []
    assert check_certificates(client_files(REDIS, tmp_path)) == [
        Problem(
            "key-encrypted",
            "error",
            "NAUTOBOT_REDIS_SSL_KEYFILE",
            f"{tmp_path}/tls.key is encrypted, and a pod cannot ask for its password.",
            codes.KEY_ENCRYPTED.fix.replace("`", ""),
        )
    ]


def test_encrypted_key_on_terminal_never_asks_for_a_password(tmp_path: Path) -> None:
    """What is encrypted is gone through at a terminal where nobody types.

    OpenSSL asks for the password of an encrypted block, of whatever kind, and never
    otherwise.
    """
    encrypted = {
        f"{situation.name}-as-{name or 'it is'}": (situation, name)
        for situation in CORPUS
        for name in ("", *situation.files)
        if any(b"ENCRYPTED" in one for one in situation.files.values())
    }
    assert len(encrypted) >= 12
    for place, (situation, name) in encrypted.items():
        situation.write(tmp_path / place)
        if name:
            key = (tmp_path / place / "tls.key").read_bytes()
            locked = key.replace(b"EC PRIVATE KEY", b"CERTIFICATE")
            (tmp_path / place / name).write_bytes(key + locked)
    program = """
import sys
from pathlib import Path
from lab.corpus import POSTGRESQL, REDIS, client_files
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.files import describe_certificates
from tests.refusals import sentences
assert sys.stdin.isatty()
for directory in sorted(Path(sys.argv[1]).iterdir()):
    for use in POSTGRESQL, REDIS:
        files = client_files(use, directory)
        check_certificates(files, sleep=lambda seconds: None)
        inspect_certificates(files)
        describe_certificates(files)
print("done", open("/dev/tty").name)
"""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program, str(tmp_path)])
    shown, deadline = b"", time.monotonic() + 120
    while b"done /dev/tty" not in shown:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
        shown += os.read(terminal, 4096)
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert (shown.strip(), status) == (b"done /dev/tty", 0)


# --- what OpenSSL can read and we cannot ---------------------------------------


NOT_FOR_CLIENTS = ROOT.issue(usages=("server auth",))


def indefinite(certificate: bytes) -> bytes:
    """Return a certificate whose body has no length: BER, which OpenSSL takes."""

    def opened(data: bytes) -> tuple[bytes, bytes]:
        size = data[1] & 0x7F
        start, length = 2 + size, int.from_bytes(data[2 : 2 + size], "big")
        return data[start : start + length], data[start + length :]

    outer, _ = opened(certificate)
    body, rest = opened(outer)
    content = b"\x30\x80" + body + b"\0\0" + rest
    return pem.armoured(
        b"\x30\x82" + len(content).to_bytes(2, "big") + content, "CERTIFICATE"
    )


@USES
@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (ROOT.issue(), None),
        (ROOT.expired(), "{} has expired."),
        (ROOT.not_yet_valid(), "{} is not valid yet."),
        (
            NOT_FOR_CLIENTS,
            "{} is not for client authentication: its usages exclude it.",
        ),
    ],
    ids=["valid", "expired", "early", "server"],
)
def test_certificate_that_cannot_be_parsed_is_judged_by_openssl(
    use: str, leaf: Leaf, message: str | None, tmp_path: Path
) -> None:
    der = serialization.Encoding.DER
    files = client_files(use, written(tmp_path, leaf))
    (tmp_path / "tls.crt").write_bytes(indefinite(leaf.certificate.public_bytes(der)))
    (tmp_path / "ca.crt").write_bytes(indefinite(ROOT.certificate.public_bytes(der)))

    messages = [problem.message for problem in check_certificates(files)]

    assert messages == ([message.format(tmp_path / "tls.crt")] if message else [])
    assert describe_certificates(files) == []
    # What was signed is no longer what is there, which servers notice.
    expected = (
        f"{tmp_path}/tls.crt does not lead to a CA in {tmp_path}/ca.crt: certificate "
        "signature failure."
    )
    if leaf is not NOT_FOR_CLIENTS:
        assert [one.message for one in inspect_certificates(files)] == [expected]


@USES
def test_certificate_with_a_host_name_in_latin_1_is_accepted(
    use: str, tmp_path: Path
) -> None:
    leaf = ROOT.issue(san=["caf#.example"])
    authority = ROOT.issue("root", san=["caf#.example"], is_ca=True, usages=())
    write_mount(tmp_path, leaf, ROOT.ca_pem + authority.cert_pem)
    for name in ("tls.crt", "ca.crt"):
        blocks = pem.certificates((tmp_path / name).read_bytes())
        odd = [one.replace(b"caf#", b"caf\xe9") for one in blocks]
        armoured = [pem.armoured(one, "CERTIFICATE") for one in odd]
        (tmp_path / name).write_bytes(b"".join(armoured))

    assert check_certificates(client_files(use, tmp_path)) == []


@USES
def test_files_that_the_system_does_not_show_to_openssl_are_one_warning(
    use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two file descriptors left, and three files to show at once."""
    # As in a new process, which would look for a directory with the next one.
    monkeypatch.setattr(tempfile, "tempdir", None)
    files = client_files(use, written(tmp_path, ROOT.issue()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, hard))
    try:
        judged, inspected = check_certificates(files), inspect_certificates(files)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert [(one.severity, one.code, one.message) for one in judged] == [
        (
            "warning",
            "certificate-not-judged",
            f"{tmp_path}/tls.crt could not be shown to OpenSSL: Too many open files.",
        )
    ]
    assert inspected == []


def test_openssl_without_algorithms_is_one_warning(tmp_path: Path) -> None:
    """Its configuration is read once a process, so another one is asked."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(
        "openssl_conf = one\n[one]\nproviders = two\n[two]\nlost = three\n"
        "[three]\nmodule = /nowhere.so\nactivate = 1\n"
    )
    written(tmp_path, ROOT.issue())
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lab.corpus import client_files\n"
        "from understack_nautobot_settings.certificates.judging import "
        "check_certificates\n"
        "files = client_files('Redis', Path(sys.argv[1]))\n"
        "print(*(one.code for one in check_certificates(files)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={"OPENSSL_CONF": str(configuration), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.stdout == "certificate-not-judged\n", found.stderr


@USES
def test_key_with_mismatched_halves_is_reported_damaged(
    use: str, tmp_path: Path
) -> None:
    """The public half fits the certificate, so that only its use shows the fault."""
    files = client_files(use, written(tmp_path, leaf := ROOT.issue()))
    der = bytearray(
        leaf.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    der[20] ^= 1
    (tmp_path / "tls.key").write_bytes(pem.armoured(bytes(der), "EC PRIVATE KEY"))

    assert check_certificates(files) == [
        Problem(
            "pem-damaged",
            "error",
            VARIABLES[use]["key"],
            f"{tmp_path}/tls.key holds a private key that is damaged.",
            "Copy the file again from where it was issued.",
        )
    ]


def with_extension(oid: str, content: bytes) -> Leaf:
    """Return a leaf with a critical extension of any content."""
    key = ROOT.issue()
    builder = (
        x509.CertificateBuilder()
        .subject_name(key.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .public_key(key.key.public_key())
        .serial_number(7)
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + 90 * DAY)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content), True
        )
    )
    return Leaf(builder.sign(ROOT.key, hashes.SHA256()), key.key, key.key_pem)


@USES
@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (
            with_extension("2.5.29.15", b"\x04\x01\x00"),
            (
                "certificate-refused",
                "{} has an extension that OpenSSL does not accept.",
                "Copy the file again from where it was issued. If it is the same "
                "there, issue the certificate anew.",
            ),
        ),
        (
            with_extension("1.2.3.4", b"\x05\x00"),
            (
                "certificate-refused",
                "OpenSSL refuses {}: unhandled critical extension.",
                "Issue the certificate anew.",
            ),
        ),
    ],
    ids=["usage-of-the-wrong-type", "unknown-critical-extension"],
)
def test_certificate_with_invalid_extensions_is_refused(
    use: str, leaf: Leaf, expected: tuple[str, str, str], tmp_path: Path
) -> None:
    path = written(tmp_path, leaf) / "tls.crt"
    code, fact, remedy = expected

    files = client_files(use, tmp_path)
    assert check_certificates(files) == [
        Problem(code, "error", VARIABLES[use]["cert"], fact.format(path), remedy)
    ]
    assert inspect_certificates(files) == []


# --- mounts --------------------------------------------------------------------


MOUNTS = {
    "whole-volume": ("/ {directory}", []),
    "one-file": ("/..2026_11_22_04_21_00.123/tls.crt {directory}/tls.crt", ["tls.crt"]),
    "every-file": (
        "/a {directory}/tls.crt\n/b {directory}/tls.key\n/c {directory}/ca.crt",
        ["tls.crt", "tls.key", "ca.crt"],
    ),
    "directory-of-one-version": (
        "/..2026_11_22_04_21_00.123 {directory}",
        ["tls.crt", "tls.key", "ca.crt"],
    ),
    "somewhere-else": ("/ /\n/tls.crt /other/tls.crt\n/ {directory}s", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("table", "pinned"), MOUNTS.values(), ids=list(MOUNTS))
@pytest.mark.parametrize("name", ["mtls", "with a blank"])
def test_subpath_mount_is_warned_about(
    table: str, pinned: list[str], name: str, tmp_path: Path
) -> None:
    directory = written(tmp_path / name, ROOT.issue())
    escaped = str(directory).replace(" ", r"\040")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "".join(
            f"36 35 0:31 {line} ro,relatime master:1 - tmpfs tmpfs rw\n"
            for line in table.format(directory=escaped).splitlines()
        )
        + "something else\n"
    )
    roles = {file: role for role, file in FILES.items()}

    problems = inspect_certificates(
        client_files(REDIS, directory), mountinfo=str(mountinfo)
    )

    assert problems == [
        Problem(
            "certificate-subpath",
            "warning",
            VARIABLES[REDIS][roles[file]],
            f"{directory}/{file} is mounted by subPath, so a renewal never reaches it.",
            f"Mount the whole volume at {directory}.",
        )
        for file in pinned
    ]


def test_system_without_mountinfo_gives_no_problem(tmp_path: Path) -> None:
    directory = written(tmp_path, ROOT.issue())

    assert (
        inspect_certificates(
            client_files(REDIS, directory), mountinfo=str(tmp_path / "none")
        )
        == []
    )


def test_colon_in_key_path_is_warned_about_for_postgresql_only(tmp_path: Path) -> None:
    directory = written(tmp_path / "a:b", ROOT.issue())

    assert inspect_certificates(client_files(REDIS, directory)) == []
    assert inspect_certificates(client_files(POSTGRESQL, directory)) == [
        Problem(
            "key-path-engine",
            "warning",
            "NAUTOBOT_DB_SSLKEY",
            f"{directory}/tls.key has a colon; libpq may take the part before it "
            "as the name of an OpenSSL engine.",
            "Use a path without a colon.",
        )
    ]


def test_chain_beyond_the_limits_of_its_ca_is_quoted_from_openssl(
    tmp_path: Path,
) -> None:
    """It does lead to the CA, so nobody is told to look for another one."""
    narrow = Authority("narrow-ca", path_length=0)
    leaf = narrow.intermediate("too-deep").issue()
    files = client_files(REDIS, written(tmp_path, leaf, narrow.ca_pem))

    assert inspect_certificates(files) == [
        Problem(
            "certificate-chain-refused",
            "warning",
            "NAUTOBOT_REDIS_SSL_CERTFILE",
            f"OpenSSL refuses {tmp_path}/tls.crt with the CAs of {tmp_path}/ca.crt: "
            "path length constraint exceeded.",
            codes.CERTIFICATE_CHAIN_REFUSED.fix.replace("`", ""),
        )
    ]


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
def test_certificate_of_a_weak_ca_may_be_refused(tmp_path: Path, strict: bool) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak = Authority("weak-ca", key=key, subject_key_id=strict)
    files = client_files(REDIS, written(tmp_path, weak.issue(), weak.ca_pem))

    found = {one.code: one for one in inspect_certificates(files)}

    assert set(found) == {
        "certificate-weak",
        *([] if strict else ["certificate-not-strict"]),
    }
    assert found["certificate-weak"] == Problem(
        "certificate-weak",
        "warning",
        "NAUTOBOT_REDIS_SSL_CERTFILE",
        f"{tmp_path}/tls.crt may be refused with the CAs of {tmp_path}/ca.crt: CA "
        "certificate key too weak.",
        "Issue the CA, and what it signs, anew with ECDSA P-256 or RSA 2048, signed "
        "with SHA-256.",
    )


@pytest.mark.parametrize("named", [True, False], ids=["key id", "no key id"])
def test_new_ca_with_same_name_and_other_key_is_reported(
    tmp_path: Path, named: bool
) -> None:
    ours, renewed = Authority("one-ca"), Authority("one-ca")
    leaf = ours.issue(authority_key_id=named)
    files = client_files(REDIS, written(tmp_path, leaf, renewed.ca_pem))

    assert [one.message for one in inspect_certificates(files)] == [
        f"{tmp_path}/tls.crt (CN=app, issued by CN=one-ca) does not lead to a CA in "
        f"{tmp_path}/ca.crt; the CA CN=one-ca there has another key."
    ]


def test_issuer_of_an_intermediate_that_is_missing_is_named(tmp_path: Path) -> None:
    """The first of two certificates of one CA leads on to a root that is not there."""
    root = Authority("one-ca")
    cross = Authority("one-ca", issuer=Authority("older-ca"), key=root.key)
    bundle = cross.cert_pem + root.cert_pem
    files = client_files(REDIS, written(tmp_path, root.issue(), bundle))

    assert [one.message for one in inspect_certificates(files)] == [
        f"{tmp_path}/tls.crt (CN=app, issued by CN=one-ca) does not lead to a CA in "
        f"{tmp_path}/ca.crt; the certificate of CN=older-ca, above CN=one-ca, is "
        "missing."
    ]


def test_identifier_of_another_key_is_not_reported_as_another_key(
    tmp_path: Path,
) -> None:
    """The signature is of the CA, and OpenSSL does not look at it."""
    ours = Authority("one-ca", subject_key_id=False)
    other = x509.SubjectKeyIdentifier(b"another key")
    builder = x509.CertificateBuilder(
        issuer_name=ours.certificate.subject,
        subject_name=ours.certificate.subject,
        public_key=ours.key.public_key(),
        serial_number=7,
        not_valid_before=now() - DAY,
        not_valid_after=now() + 90 * DAY,
    )
    for value, critical in (
        (x509.BasicConstraints(True, None), True),
        (other, False),
    ):
        builder = builder.add_extension(value, critical)
    ca = builder.sign(ours.key, hashes.SHA256())
    pem = ca.public_bytes(serialization.Encoding.PEM)
    files = client_files(REDIS, written(tmp_path, ours.issue(), pem))

    assert [one.message for one in inspect_certificates(files)] == [
        f"{tmp_path}/tls.crt (CN=app, issued by CN=one-ca) does not lead to a CA in "
        f"{tmp_path}/ca.crt: unable to get local issuer certificate."
    ]


def test_root_without_ca_flag_is_reported_once(tmp_path: Path) -> None:
    ours = Authority("one-ca", is_ca=False)
    files = client_files(REDIS, written(tmp_path, ours.issue(), ours.ca_pem))

    assert [one.message for one in inspect_certificates(files)] == [
        f"{tmp_path}/ca.crt lists CN=one-ca, which is not a CA."
    ]


def test_self_signed_certificate_of_a_server_may_stay_in_the_ca_file(
    tmp_path: Path,
) -> None:
    server = Authority("db.example", is_ca=False, usages=("server auth",))
    bundle = ROOT.cert_pem + server.cert_pem
    files = client_files(REDIS, written(tmp_path, ROOT.issue(), bundle))

    (found,) = (one for one in inspect_certificates(files) if "leaf" in one.code)
    assert found.message == f"{tmp_path}/ca.crt lists CN=db.example, which is not a CA."
    assert found.hint == (
        "Remove it, unless a server presents this very certificate. If it was meant as "
        "a CA, issue it anew with basicConstraints CA:TRUE and the key usage cert sign."
    )


# --- mutation ------------------------------------------------------------------


Mutation = Callable[[bytes], bytes]
POSITION = st.integers(0, 10_000)


def flipped(position: int, bits: int) -> Mutation:
    def mutate(content: bytes) -> bytes:
        at = position % len(content)
        return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]

    return mutate


def cut(start: int, end: int) -> Mutation:
    def mutate(content: bytes) -> bytes:
        first, last = sorted((start % len(content), end % len(content)))
        return content[:first] + content[last:]

    return mutate


def joined(start: int, end: int) -> Mutation:
    def mutate(content: bytes) -> bytes:
        return content[: start % len(content)] + content[end % len(content) :]

    return mutate


def inserted(position: int, what: bytes) -> Mutation:
    def mutate(content: bytes) -> bytes:
        at = position % len(content)
        return content[:at] + what + content[at:]

    return mutate


MUTATIONS = st.one_of(
    st.builds(flipped, POSITION, st.integers(1, 255)),
    st.builds(cut, POSITION, POSITION),
    st.builds(joined, POSITION, POSITION),
    st.builds(
        inserted,
        POSITION,
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\n", b"\r", b"-----", b" ", b"\0", ROOT.cert_pem]),
        ),
    ),
)


@given(
    file=st.sampled_from(list(FILES.values())),
    mutations=st.lists(MUTATIONS, min_size=1, max_size=3),
    kind=st.sampled_from(["ec", "rsa", "chain"]),
)
@example(file="tls.crt", mutations=[inserted(27, b"\0")], kind="chain")
@example(file="tls.crt", mutations=[inserted(27, b"\x80 ")], kind="chain")
@settings(
    max_examples=examples(250).max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_mutated_files_give_problems_exactly_when_they_cannot_connect(
    file: str, mutations: list[Mutation], kind: str, tmp_path: Path
) -> None:
    leaf = LEAVES[kind]
    directory = written(tmp_path, leaf)
    content = (directory / file).read_bytes()
    for mutate in mutations:
        content = mutate(content) or b"\n"
    (directory / file).write_bytes(content)
    files = client_files(POSTGRESQL, directory)

    problems = check_certificates(files, sleep=lambda _: None)
    warnings = inspect_certificates(files._replace(user="app"))
    describe_certificates(files)

    assert {type(problem) for problem in problems + warnings} <= {Problem}
    assert all(problem.message and problem.hint for problem in problems + warnings)
    # What only a server with this CA knows is a warning.
    chain = {
        "certificate-issuer-unknown",
        "certificate-chain-refused",
        "certificate-intermediate-dates",
    }
    told = problems or chain & {problem.code for problem in warnings}
    assert connects(directory) == (not told)


LEAVES = {
    "ec": ROOT.issue(),
    "rsa": ROOT.issue(key="rsa", key_format="pkcs8"),
    "chain": ROOT.intermediate().issue(),
}


SERVER = ROOT.server()


def connects(directory: Path) -> bool:
    """Tell whether Python's ssl gets through to a server of its own."""
    with tempfile.TemporaryDirectory() as place:
        mount = write_mount(place, SERVER, ROOT.ca_pem)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_cert_chain(mount.certificate, mount.key)
        server.load_verify_locations(mount.ca)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_cert_chain(directory / "tls.crt", directory / "tls.key", "none")
        client.load_verify_locations(directory / "ca.crt")
        sides = [
            client.wrap_bio(to_client, to_server, server_hostname="localhost"),
            server.wrap_bio(to_server, to_client, server_side=True),
        ]
        for side in sides * 2:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except OSError:
        return False
    return True


def test_tls_version_that_the_system_allows_is_no_fault_of_a_certificate(tmp_path):
    """It is one of connections, and over TLS 1.2 they are made."""
    mount = write_mount(tmp_path, ROOT.client(), ROOT.ca_pem)
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
        "MaxProtocol = TLSv1.2\n"
    )
    env = {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "OPENSSL_CONF": str(configuration),
        **mount.database_variables,
    }
    done = subprocess.run(
        [sys.executable, "-m", "understack_nautobot_settings", "check"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
