"""What attackers found: every case holds its whole kind."""

import ast
import io
import json
import os
import resource
import signal
import socket
import threading
from pathlib import Path

import pytest

import understack_nautobot_settings
from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings.checks.nautobot_base import nautobot_settings
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.configuration import configure
from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.problems import SettingsError

CANARY = "hunter2-C4naRy"
COMMANDS = [
    [one] for one in ["check", "show", "probe", "wait", "explain", "reference"]
] + [[]]
KEY = {"NAUTOBOT_SECRET_KEY": "k" * 60}
# What people put into a wrong variable, in forms that no variable takes.
MISPLACED = {
    "password": f"P@$$w0rd!{CANARY}#",
    "private key": f"-----BEGIN PRIVATE KEY-----\nMII{CANARY}\n-----END PRIVATE",
    "JSON": json.dumps({"password": CANARY}),
    "URL": f"redis://user:{CANARY}@h:6379/0",
    "connection string": f"host=h password={CANARY}",
    "query": f"/x?token={CANARY}",
    "credentials": f"app:{CANARY}@db",
}
NAMES = [
    *sorted({name for one in VARIABLES for name in one.names}),
    *("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"),
    *("PGHOST", "PGPASSWORD", "REDIS_URL", "UNDERSTACK_SIT", "NAUTOBOT_DB_HOTS"),
]


def said(argv, env):
    """Return everything that a command writes."""
    out = io.StringIO()
    main(argv, env, stdin=io.StringIO(), stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize("secret", MISPLACED.values(), ids=MISPLACED)
@pytest.mark.parametrize("tls", [{}, {"NAUTOBOT_DB_SSLMODE": "verify-full"}], ids=len)
def test_secret_in_any_variable_is_never_shown(tls, secret):
    shown = set()
    for name in NAMES:
        env = {**KEY, **tls, name: secret}
        texts = [said(argv, env) for argv in (["check"], ["show", "--json"])]
        try:
            configure(nautobot_settings(env), env)
        except SettingsError as error:
            texts += [str(error), repr(error)]
        if any(CANARY.lower() in text.lower() for text in texts):
            shown.add(name)

    assert shown == set()


@pytest.mark.parametrize(
    "secret",
    [CANARY, f"a-very-long-{CANARY}-01"],
)
@pytest.mark.parametrize(
    "name",
    [one.name for one in VARIABLES if one.kind.label == "path"],
)
def test_secret_in_the_place_of_a_path_is_never_shown(name, secret):
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "verify-full", name: secret}

    assert CANARY not in said(["check"], env) + said(["show"], env)


@pytest.mark.parametrize("mark", ["?token=", "#", ";token="])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "JSON"])
def test_secret_in_a_probed_url_is_never_shown(mark, form):
    url = f"https://127.0.0.1:1/path{mark}{CANARY}"

    text = said(["probe", url, "--timeout", "2", *form], KEY)

    assert "https://127.0.0.1:1/path" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "argument",
    [
        f"http://127.0.0.1/?token={CANARY}",
        f"https:/127.0.0.1?token={CANARY}",
        f"HTTPS://h?token={CANARY}",
        f"https://user:{CANARY}@h/",
        f"{CANARY}@h",
        f"password={CANARY}",
        f"--json={CANARY}",
        f"--js={CANARY}",
        f"--e={CANARY}",
        f"--pasword={CANARY}",
        f"-p={CANARY}",
    ],
)
@pytest.mark.parametrize(
    "command",
    [["check"], ["show"], ["probe"], ["wait"], ["explain"], ["reference"], []],
)
def test_secret_in_an_argument_is_never_shown(command, argument):
    assert CANARY not in said([*command, argument], KEY)


@pytest.mark.parametrize("word", ["\x1f", "\x1b[31m", "\udcff", "\u202e", "a\nb"])
@pytest.mark.parametrize("option", ["", "--", "--json=", "--timeout=", "--role="])
@pytest.mark.parametrize(
    "command",
    [["check"], ["show"], ["probe"], ["wait"], ["explain"], ["reference"], []],
)
def test_argument_is_made_printable(command, option, word):
    text = said([*command, f"{option}{word}"], KEY)

    assert text.removesuffix("\n").replace("\n", "").isprintable()
    assert word not in text


@pytest.mark.parametrize("secret", MISPLACED.values(), ids=MISPLACED)
def test_probe_of_a_secret_in_the_place_of_a_host_never_shows_it(secret):
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "disable", "NAUTOBOT_DB_HOST": secret}

    text = said(["probe", "database", "--timeout", "2"], env)

    assert "NAUTOBOT_DB_HOST" in text
    assert CANARY not in text


# --- files that are none ---------------------------------------------------------

MEBIBYTE = 1 << 20
PATHS = sorted(
    {
        *(one.name for one in VARIABLES if one.kind.label == "path"),
        *(name for one in VARIABLES for name in one.names if name.endswith("_FILE")),
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "X_CA", "X_CLIENT_CERT"),
        "X_CLIENT_KEY",
    }
)
PROBE = ["probe", "worker", "https://127.0.0.1:1", "--tls-prefix=X_"]
OPTIONS = {
    "check --config": ["check", "--config", "PATH"],
    "check --env-file": ["check", "--env-file", "PATH"],
    "show --config": ["show", "--config", "PATH"],
    "show --env-file": ["show", "--env-file", "PATH"],
    "show --diff": ["show", "--diff", "PATH"],
    "account": ["reconcile-accounts", "--owner=a", "--token-file=TOKEN", "PATH"],
    "token": ["reconcile-accounts", "--owner=a", "--token-file=PATH", "TOKEN"],
    "CA of Nautobot": [
        *("reconcile-accounts", "--owner=a", "--token-file=TOKEN", "--ca-file=PATH"),
        *("--url=https://127.0.0.1:1", "TOKEN"),
    ],
    "queues": ["reconcile-queues", "--token-file=TOKEN", "PATH"],
}


def sparse(place, size):
    with place.open("wb") as file:
        file.truncate(size)


def filled(place, content):
    place.write_bytes(content)


def bound_socket(place):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))


HOSTILE = {
    "pipe": os.mkfifo,
    "endless device": lambda place: place.symlink_to("/dev/zero"),
    "terminal": lambda place: place.symlink_to("/dev/tty"),
    "memory": lambda place: place.symlink_to("/proc/self/mem"),
    "directory": Path.mkdir,
    "loop": lambda place: place.symlink_to(place.name),
    "socket": bound_socket,
    "2 GiB of nothing": lambda place: sparse(place, 2 << 30),
    "16 MiB of NUL": lambda place: sparse(place, 16 * MEBIBYTE - 1),
    "16 MiB of lines": lambda place: filled(place, b"\n" * (16 * MEBIBYTE - 1)),
    "deep": lambda place: filled(place, b"[" * (MEBIBYTE - 1)),
    "blocks without end": lambda place: filled(
        place, b"-----BEGIN CERTIFICATE-----\n" * 2**15
    ),
    "no path": None,
    "no name": None,
}


@pytest.fixture
def bounded():
    """Fail a test that hangs, or takes memory as a file does."""

    def late(_number, _frame):
        raise AssertionError("hangs")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 512 * 1024


@pytest.fixture
def pod(tmp_path):
    """Return an environment in which everything is on, and nothing listens."""
    authority = Authority()
    mount = write_mount(tmp_path / "mtls", authority.client("app"), authority.ca_pem)
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef01234567")
    here = [("HOST", "127.0.0.1"), ("PORT", "1")]
    return {
        **KEY,
        **{f"NAUTOBOT_DB_{name}": text for name, text in here},
        **{f"NAUTOBOT_REDIS_{name}": text for name, text in here},
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_SSLCERT": mount.certificate,
        "NAUTOBOT_DB_SSLKEY": mount.key,
        "NAUTOBOT_DB_SSLROOTCERT": mount.ca,
        "NAUTOBOT_REDIS_SSL_CA_CERTS": mount.ca,
        "NAUTOBOT_REDIS_SSL_CERTFILE": mount.certificate,
        "NAUTOBOT_REDIS_SSL_KEYFILE": mount.key,
        "X_CA": mount.ca,
        "X_CLIENT_CERT": mount.certificate,
        "X_CLIENT_KEY": mount.key,
    }


def place_of(kind, tmp_path):
    if HOSTILE[kind] is not None:
        HOSTILE[kind](tmp_path / "hostile")
        return str(tmp_path / "hostile")
    return {"no path": "/a\0b", "no name": "/\ud800\udcff"}[kind]


def answered(argv, env):
    """Run a command that has to end with a status, in words."""
    out = io.StringIO()
    status = main(argv, env, stdin=io.StringIO(), stdout=out, stderr=out)
    assert status in (0, 1, 2)
    assert "please report" not in out.getvalue()
    assert "".join(out.getvalue().split()).isprintable()
    return out.getvalue()


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("kind", HOSTILE)
def test_variable_that_names_no_small_file_is_answered(kind, pod, tmp_path):
    path = place_of(kind, tmp_path)
    for name in PATHS:
        env = {**pod, name: path}
        if name.endswith("_FILE"):
            env.pop(name.removesuffix("_FILE"), None)
        if not name.startswith("X_"):
            answered(["check", "--json"], env)
            answered(["show"], env)
        if name.startswith("X_") or "HEARTBEAT" in name:
            answered(PROBE, env)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("part", ["issuer", "client-id", "client-secret"])
@pytest.mark.parametrize("kind", [one for one in HOSTILE if HOSTILE[one]])
def test_sign_on_file_that_is_none_is_answered(kind, part, pod, tmp_path):
    for one in {"issuer", "client-id", "client-secret"} - {part}:
        (tmp_path / one).write_text("https://sso.example.com")
    os.rename(place_of(kind, tmp_path), tmp_path / part)

    answered(["check"], {**pod, "UNDERSTACK_SSO_DIR": str(tmp_path)})


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("argv", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_argument_that_names_no_small_file_is_answered(kind, argv, pod, tmp_path):
    path = place_of(kind, tmp_path)
    token = str(tmp_path / "token")
    argv = [one.replace("PATH", path).replace("TOKEN", token) for one in argv]

    assert answered(argv, pod)


@pytest.mark.usefixtures("bounded")
def test_files_that_change_their_kind_are_answered(pod, tmp_path):
    """A race between looking at a file and reading it leaves no gap."""
    path, stop = tmp_path / "racing", threading.Event()

    def change():
        makers = [one for name, one in HOSTILE.items() if "MiB" not in name and one]
        while not stop.is_set():
            for make in makers:
                make(tmp_path / "next")
                (tmp_path / "next").rename(path)
                path.rmdir() if path.is_dir() else path.unlink()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for name in PATHS:
            env = {**pod, name: str(path)}
            env.pop(name.removesuffix("_FILE"), None)
            answered(["check"], env | {name: str(path)})
            answered(["show"], env | {name: str(path)})
    finally:
        stop.set()
        changing.join()


# The tables of the kernel, which are regular and small, and the null device.
OPENED_ELSEWHERE = {
    ("certificates/lint.py", "mountinfo"),
    ("probes/driver_session.py", "'/proc/self/statm'"),
    ("commands/main.py", "os.devnull"),
}


def test_files_are_opened_by_the_one_reader_alone():
    package = Path(understack_nautobot_settings.__file__).parent
    opened = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = isinstance(node, ast.Call) and node.args
            name = ast.unparse(node.func) if called else ""
            if name in {"open", "io.open", "os.open"} or name.endswith(
                (".read_text", ".read_bytes", ".open", "linecache.getline")
            ):
                opened.add((str(file.relative_to(package)), ast.unparse(node.args[0])))

    assert {one for one in opened if one[0] != "text_files.py"} == OPENED_ELSEWHERE
