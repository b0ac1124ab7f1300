from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.certificates import mount_files
from lab.certificates import write_mount
from lab.corpus import FILES
from lab.corpus import POSTGRESQL
from lab.corpus import REDIS
from lab.corpus import client_files
from lab.users import NOBODY
from lab.users import as_user
from lab.users import clients
from tests.examples import examples
from tests.refusals import sentences
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error

ROOT = Authority()
USES = pytest.mark.parametrize("use", [POSTGRESQL, REDIS])


def never(seconds: float) -> None:
    raise AssertionError(f"Slept {seconds} seconds.")


def written(directory: Path, leaf: Leaf, ca_pem: bytes = ROOT.ca_pem) -> Path:
    write_mount(directory, leaf, ca_pem)
    return directory


def everything(files: ClientFiles) -> list[Problem]:
    """Return what start-up and `check` say, and describe the certificates."""
    describe_certificates(files)
    found = check_certificates(files, sleep=lambda _: None)
    return [*found, *inspect_certificates(files._replace(user="app"))]


# --- what is no file -----------------------------------------------------------


def test_missing_file_raises_file_not_found_error_with_documented_text(
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


def test_relative_path_of_missing_file_is_to_be_written_whole() -> None:
    files = client_files(POSTGRESQL, Path("mtls"))
    error = settings_error(check_certificates(files))

    assert sentences(error).endswith(
        "not found: mtls/ca.crt\nSet the variable to the whole path of the file, from "
        "/ on."
    )


def test_path_below_a_file_is_reported_missing(tmp_path: Path) -> None:
    (tmp_path / "mtls").write_text("a file")

    problems = check_certificates(client_files(REDIS, tmp_path / "mtls"), sleep=never)

    assert [problem.code for problem in problems] == ["file-missing"] * 3


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(600_000_000)


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = {
    "fifo": (fifo, "file-not-regular", "is a named pipe, not a file."),
    "device": (link_to_zero, "file-not-regular", "is a device, not a file."),
    "directory": (Path.mkdir, "file-not-regular", "is a directory, not a file."),
    "huge": (huge, "file-too-large", "holds more than 1 MiB."),
    "loop": (
        link_to_itself,
        "file-unreadable",
        "cannot be read: Too many levels of symbolic links.",
    ),
}


@USES
@pytest.mark.parametrize("file", FILES.values())
@pytest.mark.parametrize(
    ("make", "code", "words"), NO_FILES.values(), ids=list(NO_FILES)
)
def test_certificate_file_that_is_not_small_and_regular_is_refused_at_once(
    make: Callable[[Path], None],
    code: str,
    words: str,
    file: str,
    use: str,
    tmp_path: Path,
) -> None:
    files = client_files(use, written(tmp_path, ROOT.issue()))
    (tmp_path / file).unlink()
    make(tmp_path / file)

    assert [(one.code, one.message) for one in everything(files)] == [
        (code, f"{tmp_path / file} {words}")
    ]


def test_links_that_lead_to_one_another_are_not_blamed_on_the_mode(
    tmp_path: Path,
) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.crt").unlink()
    link_to_itself(tmp_path / "tls.crt")

    (found,) = check_certificates(files, sleep=never)
    assert found.hint == "Correct the path, or check the volume and its node."


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.crt", b"line\nbreak.crt", b"\x1b[31mred.crt", b"a\x00b", b"x" * 300],
    ids=["not-utf-8", "line-break", "escape", "nul", "too-long"],
)
@pytest.mark.parametrize("there", [True, False], ids=["there", "missing"])
def test_file_name_with_any_bytes_is_shown_on_one_line(
    name: bytes, there: bool, tmp_path: Path
) -> None:
    path = os.path.join(tmp_path, os.fsdecode(name))
    if there and b"\0" not in name and len(name) < 256:
        Path(path).write_bytes(b"nothing")
    file = CertificateFile(path, "NAUTOBOT_REDIS_SSL_CA_CERTS")

    problems = everything(ClientFiles(REDIS, None, None, file))

    assert len(problems) == 1
    assert str(problems[0]).isprintable()


@given(
    st.text(st.characters(exclude_characters="/", exclude_categories=[]), min_size=1)
)
@example("\ud800")
@example("\udcff")
@example("caf\u00e9")
@example("a\0b")
@examples(200)
def test_nonexistent_path_with_any_name_is_a_problem_and_never_raises(
    name: str,
) -> None:
    file = CertificateFile(f"/nonexistent/{name}", "NAUTOBOT_DB_SSLCERT")

    problems = everything(ClientFiles(POSTGRESQL, file, None, None))

    assert [one.code for one in problems if one.severity == "error"] in (
        ["file-missing"],
        ["file-unreadable"],
    )
    assert all(str(one).isprintable() for one in problems)


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
def test_key_permissions_are_judged_by_owner_as_libpq_does(
    uid: int, mode: int, place: Path
) -> None:
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


def test_key_behind_link_is_judged_by_permissions_of_its_target(place: Path) -> None:
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


def test_unreadable_key_is_reported_with_owner_mode_and_remedy(place: Path) -> None:
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


def test_file_in_unreadable_directory_names_the_directory(place: Path) -> None:
    uid = clients()[-1]
    directory = written(place / "closed" / "mtls", ROOT.issue())
    mode = 0o700 if uid == NOBODY else 0
    (place / "closed").chmod(mode)
    status = (place / "closed").stat()

    with as_user(uid):
        problems = check_certificates(client_files(REDIS, directory), sleep=never)
    (place / "closed").chmod(0o700)

    real = os.path.realpath(place / "closed")
    assert [problem.message.split(", this")[0] for problem in problems] == [
        f"{directory / file} cannot be read: {real} has mode {mode:04o} and owner "
        f"{status.st_uid}:{status.st_gid}"
        for file in FILES.values()
    ]


# --- renewal -------------------------------------------------------------------


@USES
def test_certificate_and_key_read_during_renewal_are_read_again(
    use: str, tmp_path: Path
) -> None:
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
def test_volume_that_is_empty_for_a_moment_is_read_again(
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


def test_mismatch_that_remains_is_reported_after_second_read(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.issue()))
    (tmp_path / "tls.key").write_bytes(ROOT.issue().key_pem)
    slept: list[float] = []

    problems = check_certificates(files, sleep=slept.append)

    assert [problem.code for problem in problems] == ["certificate-key-mismatch"]
    assert slept == [0.2]


def test_missing_mount_is_reported_without_waiting(tmp_path: Path) -> None:
    problems = check_certificates(client_files(REDIS, tmp_path), sleep=never)

    assert [problem.code for problem in problems] == ["file-missing"] * 3


def test_files_that_keep_changing_are_judged_after_four_retries(tmp_path: Path) -> None:
    files = client_files(REDIS, written(tmp_path, ROOT.expired()))
    slept: list[float] = []

    def clock() -> float:
        (tmp_path / "ca.crt").write_bytes(ROOT.ca_pem + b"\n" * len(slept))
        os.utime(tmp_path / "ca.crt", ns=(len(slept), len(slept)))
        return time.time()

    problems = check_certificates(files, clock=clock, sleep=slept.append)

    assert [problem.code for problem in problems] == ["certificate-expired"]
    assert slept == [0.2] * 4


class Opening:
    """Calls a function when the interpreter opens a file for the nth time."""

    def __init__(self) -> None:
        self.left, self.act = 0, lambda: None
        sys.addaudithook(self.hook)

    def hook(self, event: str, details: tuple[object, ...]) -> None:
        # One event from open(), with a mode, and one from its opener.
        if event != "open" or details[1] is None or not self.left:
            return
        self.left -= 1
        if not self.left:
            self.act()

    def at(self, number: int, act: Callable[[], None]) -> None:
        """Act just before the file of that number is opened, counted from now."""
        self.left, self.act = number, act


OPENING = Opening()


@USES
@pytest.mark.parametrize("number", [1, 2, 3], ids=["cert", "key", "ca"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "and-again"])
def test_renewal_at_any_moment_reports_no_problem(
    again: bool, number: int, use: str, tmp_path: Path
) -> None:
    mount = KubernetesMount(tmp_path)
    mount.write(ROOT.issue(), ROOT.ca_pem)
    slept: list[float] = []

    def renew() -> None:
        mount.swap(mount_files(ROOT.issue(key="rsa"), ROOT.ca_pem))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if again and len(slept) == 1:
            OPENING.at(number, renew)

    OPENING.at(number, renew)

    assert check_certificates(client_files(use, tmp_path), sleep=sleep) == []
    # Between certificate and key alone does a renewal part what belongs together.
    assert len(slept) == (1 + again if number == 2 else 0)


@USES
def test_files_deleted_after_reading_are_still_judged(use: str, tmp_path: Path) -> None:
    """Each file is read once, so that all of the verdict is about one moment."""
    files = client_files(use, written(tmp_path, ROOT.issue()))

    def clock() -> float:
        (tmp_path / "ca.crt").unlink(missing_ok=True)
        return time.time()

    assert check_certificates(files, clock=clock, sleep=never) == []


# --- races ---------------------------------------------------------------------


SOUND = mount_files(ROOT.issue(), ROOT.ca_pem)


def swapped(directory: Path) -> Callable[[], None]:
    mount = KubernetesMount(directory)
    mount.swap(SOUND)
    others = [mount_files(ROOT.issue(key="rsa"), ROOT.ca_pem), SOUND]

    def turn() -> None:
        others.append(others.pop(0))
        mount.swap(others[0])

    return turn


def vanishing(directory: Path) -> Callable[[], None]:
    def turn() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for name, content in SOUND.items():
            (directory / name).write_bytes(content)

    turn()
    return turn


def of_changing_kind(directory: Path) -> Callable[[], None]:
    """A file that becomes a pipe, a directory and a file again."""
    directory.mkdir(parents=True)
    for name, content in SOUND.items():
        (directory / name).write_bytes(content)
    path, kinds = directory / "ca.crt", [fifo, Path.mkdir, link_to_zero]

    def turn() -> None:
        path.unlink()
        kinds.append(kinds.pop(0))
        kinds[0](path)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        path.write_bytes(SOUND["ca.crt"])

    return turn


RACES = {
    "swapped": (swapped, set()),
    "vanishing": (
        vanishing,
        {"file-missing", "file-empty", "pem-truncated", "key-mode", "pem-none"},
    ),
    "of-changing-kind": (
        of_changing_kind,
        {"file-missing", "file-not-regular", "file-empty"},
    ),
}


@pytest.mark.parametrize(("make", "seen"), RACES.values(), ids=list(RACES))
def test_files_that_change_constantly_give_only_known_problems(
    make: Callable[[Path], Callable[[], None]], seen: set[str], tmp_path: Path
) -> None:
    turn = make(tmp_path / "mtls")
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            turn()

    changing = threading.Thread(target=change)
    changing.start()
    files = client_files(REDIS, tmp_path / "mtls")
    try:
        found = {one.code for _ in range(20) for one in everything(files)}
    finally:
        done.set()
        changing.join()

    # What a reader meets in one moment may be a key of another moment.
    assert found <= seen | {"certificate-key-mismatch"}
