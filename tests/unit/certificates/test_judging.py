from __future__ import annotations

import os
import pty
import re
import select
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.certificates import mount_files
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
from lab.users import NOBODY
from lab.users import as_user
from lab.users import clients
from tests.examples import examples
from tests.refusals import sentences
from understack_nautobot_settings.certificates import codes
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.certificates.judging import ClientFiles
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.judging import check_files
from understack_nautobot_settings.certificates.judging import describe_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error

ROOT = Authority()
CORPUS = situations(Pki())
USES = pytest.mark.parametrize("use", [POSTGRESQL, REDIS])
CORPUS_TABLE = pytest.mark.parametrize(
    "situation", CORPUS, ids=[situation.name for situation in CORPUS]
)


def never(seconds: float) -> None:
    raise AssertionError(f"Slept {seconds} seconds.")


def written(directory: Path, leaf: Leaf, ca_pem: bytes = ROOT.ca_pem) -> Path:
    write_mount(directory, leaf, ca_pem)
    return directory


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


# --- the corpus ----------------------------------------------------------------


@USES
@CORPUS_TABLE
def test_verdict_code_and_sentence(
    situation: Situation, use: str, tmp_path: Path
) -> None:
    situation.write(tmp_path)
    slept: list[float] = []

    problems = check_certificates(client_files(use, tmp_path), sleep=slept.append)

    assert problems == situation.refusals(use, tmp_path)
    assert sum(slept) <= 0.2


@USES
@CORPUS_TABLE
def test_what_check_adds(situation: Situation, use: str, tmp_path: Path) -> None:
    situation.write(tmp_path)

    problems = inspect_certificates(client_files(use, tmp_path), database_user="app")

    assert {problem.severity for problem in problems} <= {"warning"}
    if situation.warned is not None:
        assert problems == situation.warnings(use, tmp_path)


@CORPUS_TABLE
def test_no_part_of_a_file_is_repeated(situation: Situation, tmp_path: Path) -> None:
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


def test_the_corpus_is_large_and_both_sides_of_it_are_there() -> None:
    names = [situation.name for situation in CORPUS]

    assert len(names) == len(set(names)) > 100
    assert sum(not situation.refused for situation in CORPUS) > 40
    assert sum(bool(situation.refused) for situation in CORPUS) > 80


def test_a_missing_file_is_a_file_not_found_error_with_the_documented_text(
    tmp_path: Path,
) -> None:
    error = settings_error(check_certificates(client_files(POSTGRESQL, tmp_path)))

    assert isinstance(error, FileNotFoundError)
    assert sentences(error) == "\n".join(
        [
            "SSL certificate file required by NAUTOBOT_DB_SSLCERT not found: "
            f"{tmp_path}/tls.crt",
            "SSL certificate file required by NAUTOBOT_DB_SSLKEY not found: "
            f"{tmp_path}/tls.key",
            "SSL certificate file required by NAUTOBOT_DB_SSLROOTCERT not found: "
            f"{tmp_path}/ca.crt",
            f"Mount the secret nautobot-mtls-client at {tmp_path}, or correct the "
            "path.",
        ]
    )


def test_a_path_below_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mtls").write_text("a file")

    problems = check_files(client_files(REDIS, tmp_path / "mtls"))

    assert [problem.code for problem in problems] == ["file-missing"] * 3


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.issue()))
    (tmp_path / "ca.crt").unlink()
    os.mkfifo(tmp_path / "ca.crt")

    assert check_certificates(files) == [
        Problem(
            "file-not-regular",
            "error",
            "NAUTOBOT_REDIS_SSL_CA_CERTS",
            f"{tmp_path}/ca.crt is not a regular file.",
            codes.FILE_NOT_REGULAR.fix,
        )
    ]


def test_a_path_that_cannot_be_followed(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.issue()))
    (tmp_path / "ca.crt").unlink()
    (tmp_path / "ca.crt").symlink_to("ca.crt")

    assert check_certificates(files) == [
        Problem(
            "file-unreadable",
            "error",
            "NAUTOBOT_REDIS_SSL_CA_CERTS",
            f"{tmp_path}/ca.crt cannot be read: Too many levels of symbolic links.",
            "Correct the path, or check the volume and its node.",
        )
    ]


@USES
def test_a_certificate_is_judged_although_its_key_is_missing(
    use: str, tmp_path: Path
) -> None:
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
def test_files_that_are_not_configured_are_not_looked_at(
    use: str, tmp_path: Path
) -> None:
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
def test_a_certificate_is_valid_from_its_first_second_until_its_last(
    use: str, tmp_path: Path
) -> None:
    leaf, authority, start, end = lifetime()
    files = client_files(use, written(tmp_path, leaf, authority.ca_pem))

    def codes(moment: float) -> list[str]:
        return [one.code for one in check_certificates(files, clock=lambda: moment)]

    assert codes(start - 1) == ["certificate-not-yet-valid", "ca-expired"]
    assert codes(start) == []
    assert codes(end - 0.5) == []
    assert codes(end) == ["certificate-expired", "ca-expired"]


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
def test_expiry_is_warned_about_within_the_days_asked_for(
    seconds: int, days: int, codes: list[str], tmp_path: Path
) -> None:
    leaf, authority, _, end = lifetime()
    files = client_files(REDIS, written(tmp_path, leaf, authority.ca_pem))

    problems = inspect_certificates(
        files, clock=lambda: end - seconds, expiry_warning_days=days
    )

    assert [problem.code for problem in problems] == codes


def test_days_left_are_in_the_sentence(tmp_path: Path) -> None:
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
def test_certificates_are_described(use: str, tmp_path: Path) -> None:
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


def test_files_without_certificates_are_described_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(b"nothing")
    (tmp_path / "tls.key").write_bytes(ROOT.issue().key_pem)

    assert describe_certificates(client_files(REDIS, tmp_path)) == []


# --- passwords -----------------------------------------------------------------


@USES
@pytest.mark.parametrize("form", ["traditional", "pkcs8"])
def test_the_right_password_opens_a_key(use: str, form: str, tmp_path: Path) -> None:
    leaf = ROOT.issue(password="open sesame", key_format=form)  # type: ignore[arg-type]
    files = client_files(use, written(tmp_path, leaf))

    assert check_certificates(files, key_password="open sesame") == []
    assert inspect_certificates(files, key_password="open sesame") == []


@USES
@pytest.mark.parametrize("password", ["wrong", "long" * 1000])
def test_a_wrong_password_is_named_and_not_shown(
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


def test_an_empty_password_is_tried_by_libpq_alone(tmp_path: Path) -> None:
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
            f"{tmp_path}/tls.key is encrypted, and nobody can type its password in a "
            "pod.",
            codes.KEY_ENCRYPTED.fix.replace("`", ""),
        )
    ]


def test_nothing_waits_for_input_on_a_terminal(tmp_path: Path) -> None:
    """Every situation is gone through at a terminal where nobody types."""
    for situation in CORPUS:
        situation.write(tmp_path / situation.name)
    program = """
import sys
from pathlib import Path
from lab.corpus import POSTGRESQL, REDIS, client_files
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.judging import describe_certificates
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


# --- who may read --------------------------------------------------------------


def owned(path: Path, owner: int, group: int, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner, group)
    path.chmod(mode)


ROOTS_KEY = {0o400, 0o440, 0o600, 0o640, 0o700, 0o740}
OTHERS_KEY = {0o400, 0o600, 0o700}
EVERY_MODE = (
    *(0o400, 0o404, 0o410, 0o420, 0o440, 0o444, 0o600, 0o601, 0o602, 0o604, 0o610),
    *(0o620, 0o640, 0o641, 0o644, 0o650, 0o660, 0o664, 0o666, 0o700, 0o740, 0o750),
    *(0o755, 0o777),
)


@pytest.mark.parametrize("mode", EVERY_MODE, ids="{:04o}".format)
@pytest.mark.parametrize("uid", clients(), ids="client{}".format)
def test_key_permissions(uid: int, mode: int, place: Path) -> None:
    """Libpq's rule depends on the owner, and not on who asks."""
    directory = written(place / "mtls", ROOT.issue())
    key = directory / "tls.key"
    owners = clients() if os.geteuid() == 0 else (os.geteuid(),)
    for owner in owners:
        # The group is ours, so that group permission lets us read.
        owned(key, owner, uid, mode)
        readable = uid in (0, owner) or bool(mode & 0o040)
        accepted = mode in (ROOTS_KEY if owner == 0 else OTHERS_KEY)
        limit = ("root", "0640") if owner == 0 else ("this owner", "0600")

        with as_user(uid):
            problems, redis_problems = (
                check_certificates(client_files(use, directory))
                for use in (POSTGRESQL, REDIS)
            )

        if not readable:
            codes = [one.code for one in (*problems, *redis_problems)]
            assert codes == ["file-unreadable", "file-unreadable"]
            continue
        assert redis_problems == []
        assert problems == (
            []
            if accepted
            else [
                Problem(
                    "key-mode",
                    "error",
                    "NAUTOBOT_DB_SSLKEY",
                    f"{key} has mode {mode:04o} and owner {owner}:{uid}; libpq "
                    f"accepts a key of {limit[0]} up to mode {limit[1]}.",
                    "Set 'defaultMode: 256' on the secret volume."
                    if owner == 0
                    else "Mount the secret itself, or make the copy 0600.",
                )
            ]
        )


def test_permissions_of_the_file_behind_a_link_count(place: Path) -> None:
    directory = written(place / "mtls", ROOT.issue())
    key = directory / "tls.key"
    key.rename(directory / "other.key")
    key.symlink_to("other.key")
    (directory / "other.key").chmod(0o600)
    good = check_certificates(client_files(POSTGRESQL, directory))
    (directory / "other.key").chmod(0o644)
    open_to_all = check_certificates(client_files(POSTGRESQL, directory))

    assert good == []
    assert [problem.code for problem in open_to_all] == ["key-mode"]


def test_an_unreadable_key_is_explained(place: Path) -> None:
    """Path, mode, owner, who we are, and what to write into the manifest."""
    uid = clients()[-1]
    directory = written(place / "mtls", ROOT.issue())
    key = directory / "tls.key"
    owned(key, 0, 0, 0o400 if uid == NOBODY else 0)
    owner = "0:0" if uid == NOBODY else f"{os.geteuid()}:{os.getegid()}"
    groups = [4711, 4712] if uid == NOBODY else os.getgroups()

    with as_user(uid, groups):
        problems = check_certificates(client_files(REDIS, directory))
        gid = os.getegid()

    gids = ", ".join(str(one) for one in sorted({gid, *groups}))
    assert problems == [
        Problem(
            "file-unreadable",
            "error",
            "NAUTOBOT_REDIS_SSL_KEYFILE",
            f"{key} cannot be read: it has mode {'0400' if uid == NOBODY else '0000'} "
            f"and owner {owner}, this process has uid {uid} and gids {gids}.",
            f"Set 'securityContext: {{fsGroup: {gid or uid}}}' on the pod and "
            "'defaultMode: 256' on the secret volume.",
        )
    ]


def test_a_closed_directory_is_what_is_named(place: Path) -> None:
    uid = clients()[-1]
    directory = written(place / "closed" / "mtls", ROOT.issue())
    mode = 0o700 if uid == NOBODY else 0
    (place / "closed").chmod(mode)
    status = (place / "closed").stat()

    with as_user(uid):
        problems = check_files(client_files(REDIS, directory))
    (place / "closed").chmod(0o700)

    real = os.path.realpath(place / "closed")
    assert [problem.message.split(", this")[0] for problem in problems] == [
        f"{directory / file} cannot be read: {real} has mode {mode:04o} and owner "
        f"{status.st_uid}:{status.st_gid}"
        for file in FILES.values()
    ]


# --- renewal -------------------------------------------------------------------


@USES
def test_a_pair_caught_half_way_is_looked_at_again(use: str, tmp_path: Path) -> None:
    old, new = ROOT.issue(), ROOT.issue()
    files = client_files(use, written(tmp_path, old))
    (tmp_path / "tls.crt").write_bytes(new.cert_pem)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        (tmp_path / "tls.key").write_bytes(new.key_pem)

    assert check_certificates(files, sleep=sleep) == []
    assert slept == [0.2]


@USES
def test_a_volume_whose_content_vanishes_is_looked_at_again(
    use: str, tmp_path: Path
) -> None:
    mount = KubernetesMount(tmp_path)
    mount.write(ROOT.issue(), ROOT.ca_pem)
    data = tmp_path / "..data"
    target = data.readlink()
    data.unlink()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        data.symlink_to(target)

    assert check_certificates(client_files(use, tmp_path), sleep=sleep) == []
    assert slept == [0.2]


def test_what_stays_wrong_is_looked_at_twice_and_no_more(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.key").write_bytes(ROOT.issue().key_pem)
    slept: list[float] = []

    problems = check_certificates(files, sleep=slept.append)

    assert [problem.code for problem in problems] == ["certificate-key-mismatch"]
    assert slept == [0.2]


def test_what_is_not_mounted_is_not_waited_for(tmp_path: Path) -> None:
    problems = check_certificates(client_files(REDIS, tmp_path), sleep=never)

    assert [problem.code for problem in problems] == ["file-missing"] * 3


def test_files_that_never_come_to_rest_are_given_up_on(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.expired()))
    slept: list[float] = []

    def clock() -> float:
        (tmp_path / "ca.crt").write_bytes(ROOT.ca_pem + b"\n" * len(slept))
        os.utime(tmp_path / "ca.crt", ns=(len(slept), len(slept)))
        return time.time()

    problems = check_certificates(files, clock=clock, sleep=slept.append)

    assert [problem.code for problem in problems] == ["certificate-expired"]
    assert slept == [0.2] * 4


@USES
def test_renewal_under_constant_checks_is_no_false_alarm(
    use: str, tmp_path: Path
) -> None:
    mount = KubernetesMount(tmp_path)
    leaves = [ROOT.issue(), ROOT.issue(key="rsa")]
    mount.write(leaves[0], ROOT.ca_pem)
    done = threading.Event()

    def renew() -> None:
        try:
            for number in range(100):
                mount.swap(mount_files(leaves[number % 2], ROOT.ca_pem))
                time.sleep(0.02)
        finally:
            done.set()

    renewing = threading.Thread(target=renew)
    renewing.start()
    alarms = []
    while not done.is_set():
        alarms += check_certificates(
            client_files(use, tmp_path), sleep=lambda _: time.sleep(0.005)
        )
    renewing.join()

    assert alarms == []


@USES
def test_files_that_go_after_they_were_read_are_judged(
    use: str, tmp_path: Path
) -> None:
    """Each file is read once, so that all of the verdict is about one moment."""
    files = client_files(use, written(tmp_path, ROOT.issue()))

    def clock() -> float:
        (tmp_path / "ca.crt").unlink(missing_ok=True)
        return time.time()

    assert check_certificates(files, clock=clock, sleep=never) == []


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
def test_openssl_judges_what_cannot_be_described(
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
def test_a_key_whose_halves_disagree_is_damaged(use: str, tmp_path: Path) -> None:
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
                "pem-damaged",
                "{} holds a certificate that is damaged.",
                "Copy the file again from where it was issued.",
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
def test_what_openssl_makes_of_extensions(
    use: str, leaf: Leaf, expected: tuple[str, str, str], tmp_path: Path
) -> None:
    path = written(tmp_path, leaf) / "tls.crt"
    code, fact, remedy = expected

    assert check_certificates(client_files(use, tmp_path)) == [
        Problem(code, "error", VARIABLES[use]["cert"], fact.format(path), remedy)
    ]


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
def test_a_subpath_mount_is_warned_about(
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


def test_a_system_without_a_table_of_mounts_is_no_problem(tmp_path: Path) -> None:
    directory = written(tmp_path, ROOT.issue())

    assert (
        inspect_certificates(
            client_files(REDIS, directory), mountinfo=str(tmp_path / "none")
        )
        == []
    )


def test_a_colon_in_the_path_of_the_key_is_warned_about(tmp_path: Path) -> None:
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


def test_what_a_server_with_the_same_ca_file_objects_to_is_quoted(
    tmp_path: Path,
) -> None:
    narrow = Authority("narrow-ca", path_length=0)
    leaf = narrow.intermediate("too-deep").issue()
    files = client_files(REDIS, written(tmp_path, leaf, narrow.ca_pem))

    assert inspect_certificates(files) == [
        Problem(
            "certificate-issuer-unknown",
            "warning",
            "NAUTOBOT_REDIS_SSL_CERTFILE",
            f"{tmp_path}/tls.crt (CN=app, issued by CN=too-deep) does not lead to a "
            f"CA in {tmp_path}/ca.crt: path length constraint exceeded.",
            codes.CERTIFICATE_ISSUER_UNKNOWN.fix.replace("`", ""),
        )
    ]


def test_a_new_ca_with_the_name_of_the_old_one_is_told_apart(tmp_path: Path) -> None:
    ours, renewed = Authority("one-ca"), Authority("one-ca")
    files = client_files(REDIS, written(tmp_path, ours.issue(), renewed.ca_pem))

    assert [one.message for one in inspect_certificates(files)] == [
        f"{tmp_path}/tls.crt (CN=app, issued by CN=one-ca) does not lead to a CA in "
        f"{tmp_path}/ca.crt; the CA of that name there has another key."
    ]


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
@settings(
    max_examples=examples(250).max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_mutated_files_give_problems_and_nothing_else(
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
    warnings = inspect_certificates(files, database_user="app")
    describe_certificates(files)

    assert {type(problem) for problem in problems + warnings} <= {Problem}
    assert all(problem.message and problem.hint for problem in problems + warnings)
    # What only a server with this CA knows is a warning.
    chain = {"certificate-issuer-unknown", "certificate-intermediate-dates"}
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
