"""What attackers found: every case holds its whole kind."""

import ast
import importlib
import io
import json
import os
import re
import resource
import signal
import socket
import threading
from collections import deque
from pathlib import Path

import pytest

import understack_nautobot_settings
from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings.certificates import pem
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.commands import explain
from understack_nautobot_settings.commands import masking
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.configuration import configure
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.variables import VARIABLES
from understack_nautobot_settings.probes import refusals
from understack_nautobot_settings.problems import SettingsError

HERE = "tests/contract/test_attacks.py"
ROOT = Path(__file__).parents[2]
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
    # What the sslmode has no part in is tried without one.
    for name in [one for one in NAMES if not tls or "DB" in one or one[:2] == "PG"]:
        env = {**KEY, **tls, name: secret}
        texts = [said(argv, env) for argv in (["check"], ["show", "--json"])]
        try:
            configure(base_settings(env), env)
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
def test_secret_in_path_variable_is_never_shown(name, secret):
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "verify-full", name: secret}

    assert CANARY not in said(["check"], env) + said(["show"], env)


@pytest.mark.parametrize("mark", ["?token=", "#", ";token="])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "JSON"])
def test_secret_in_probed_url_is_never_shown(mark, form):
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
def test_secret_in_argument_is_never_shown(command, argument):
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
def test_secret_in_host_variable_is_never_shown_by_probe(secret):
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


# What no file can have for its name, or nobody expects there.
NAMES_OF_NONE = {
    "no path": "/a\0b",
    "no characters": "/\ud800\udcff",
    "no UTF-8": "/\udcff.crt",
    "two lines": "/a\nb.crt",
    "longer than any": "redis://" * 2**14,
}
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
    "1 MiB of NUL": lambda place: sparse(place, MEBIBYTE - 1),
    "16 MiB of lines": lambda place: filled(place, b"\n" * (16 * MEBIBYTE - 1)),
    "256 KiB of lines": lambda place: filled(place, b"\n" * (MEBIBYTE // 4)),
    "deep": lambda place: filled(place, b"[" * (MEBIBYTE - 1)),
    "blocks without end": lambda place: filled(
        place, b"-----BEGIN CERTIFICATE-----\n" * 2**15
    ),
}


@pytest.fixture
def bounded():
    """Fail a test that hangs, or takes memory as a file does."""

    def late(_number, _frame):
        raise AssertionError("hangs")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handlers = {
        number: signal.signal(number, late)
        for number in (signal.SIGALRM, signal.SIGVTALRM)
    }
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    for number, handler in handlers.items():
        signal.signal(number, handler)
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
        **mount.database_variables,
        **mount.redis_variables,
        "X_CA": mount.ca,
        "X_CLIENT_CERT": mount.certificate,
        "X_CLIENT_KEY": mount.key,
    }


def place_of(kind, tmp_path):
    if kind in NAMES_OF_NONE:
        return NAMES_OF_NONE[kind]
    HOSTILE[kind](tmp_path / "hostile")
    return str(tmp_path / "hostile")


def judging(pod, name):
    """Return the environment with only those certificates on that a path is of."""
    if not name.startswith("NAUTOBOT_REDIS_SSL"):
        pod = {**pod, "UNDERSTACK_REDIS_MTLS": "off"}
    if not name.startswith("NAUTOBOT_DB_SSL"):
        pod = {**pod, "NAUTOBOT_DB_SSLMODE": "disable"}
    return pod


def answered(argv, env):
    """Run a command that has to end with a status, in words."""
    out = io.StringIO()
    status = main(argv, env, stdin=io.StringIO(), stdout=out, stderr=out)
    assert status in (0, 1, 2)
    assert "please report" not in out.getvalue()
    assert "".join(out.getvalue().split()).isprintable()
    return out.getvalue()


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("kind", [*HOSTILE, *NAMES_OF_NONE])
def test_variable_with_unusual_file_ends_with_status(kind, pod, tmp_path):
    path = place_of(kind, tmp_path)
    for name in PATHS:
        env = {**judging(pod, name), name: path}
        if name.endswith("_FILE"):
            env.pop(name.removesuffix("_FILE"), None)
        if not name.startswith("X_"):
            answered(["check", "--json"], env)
            answered(["show"], env)
        if name.startswith("X_") or "HEARTBEAT" in name:
            answered(PROBE, env)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("part", ["issuer", "client-id", "client-secret"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_sso_part_with_unusual_file_ends_with_status(kind, part, tmp_path):
    for one in {"issuer", "client-id", "client-secret"} - {part}:
        (tmp_path / one).write_text("https://sso.example.com")
    os.rename(place_of(kind, tmp_path), tmp_path / part)

    answered(["check"], {**KEY, "UNDERSTACK_SSO_DIR": str(tmp_path)})


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("argv", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", [*HOSTILE, *NAMES_OF_NONE])
def test_argument_with_unusual_file_ends_with_status(kind, argv, pod, tmp_path):
    path = place_of(kind, tmp_path)
    token = str(tmp_path / "token")
    argv = [one.replace("PATH", path).replace("TOKEN", token) for one in argv]

    assert answered(argv, judging(pod, ""))


@pytest.mark.usefixtures("bounded")
def test_vanishing_directory_ends_with_status(pod, tmp_path):
    mount, gone, stop = tmp_path / "mtls", tmp_path / "gone", threading.Event()
    argv = ["reconcile-accounts", "--owner=a", f"--token-file={mount}", str(mount)]

    def change():
        while not stop.is_set():
            mount.rename(gone)
            mount.write_text("")
            mount.unlink()
            mount.symlink_to(mount)
            mount.unlink()
            gone.rename(mount)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(20):
            answered(["check"], pod)
            answered(["show"], {**KEY, "UNDERSTACK_SSO_DIR": str(mount)})
            answered(argv, pod)
    finally:
        stop.set()
        changing.join()


@pytest.mark.parametrize("name", [b"\xff.json", b"a\nb.json", b"\x1b[31m.json"])
def test_names_of_secrets_are_made_printable(name, tmp_path):
    os.mkfifo(os.fsencode(tmp_path) + b"/" + name)
    argv = ["reconcile-accounts", "--owner=a", "--token-file=/nowhere", str(tmp_path)]

    assert "is a named pipe, not a file" in answered(argv, KEY)


# What a settings file may write where the path of a certificate belongs.
WRITTEN = {
    **NAMES_OF_NONE,
    "bytes": b"/nowhere.crt",
    "number": 7,
    "list": ["/nowhere.crt"],
    "path": Path("/nowhere.crt"),
}


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize(
    ("switch", "write"),
    [
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full"},
            lambda base, options: base["DATABASES"]["default"].update(OPTIONS=options),
        ),
        (
            {"UNDERSTACK_REDIS_MTLS": "on"},
            lambda base, options: base["CACHES"]["default"].update(
                OPTIONS={"CONNECTION_POOL_KWARGS": options}
            ),
        ),
        (
            {"UNDERSTACK_REDIS_MTLS": "on"},
            lambda base, options: base.update(CELERY_BROKER_USE_SSL=options),
        ),
    ],
    ids=["database", "cache", "broker"],
)
def test_unusual_path_in_settings_file_is_refused_in_words(switch, write, kind):
    env = {**KEY, **switch}
    base = base_settings(env)
    files = [*variables.DB_FILES, *variables.REDIS_FILES]
    write(base, dict.fromkeys(files, WRITTEN[kind]))

    with pytest.raises(SettingsError) as raised:
        configure(base, env)

    assert str(raised.value).replace("\n", "").isprintable()
    assert len(str(raised.value)) < MEBIBYTE / 64


@pytest.mark.usefixtures("bounded")
def test_file_changing_kind_while_read_ends_with_status(pod, tmp_path):
    """A race between looking at a file and reading it leaves no gap."""
    path, stop = tmp_path / "racing", threading.Event()

    def change():
        makers = [one for name, one in HOSTILE.items() if "iB" not in name]
        while not stop.is_set():
            for make in makers:
                make(tmp_path / "next")
                (tmp_path / "next").rename(path)
                path.rmdir() if path.is_dir() else path.unlink()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for name in PATHS:
            env = {**judging(pod, name), name: str(path)}
            env.pop(name.removesuffix("_FILE"), None)
            answered(["check"], env | {name: str(path)})
            answered(["show"], env | {name: str(path)})
    finally:
        stop.set()
        changing.join()


# --- patterns ---------------------------------------------------------------------

PACKAGE = Path(understack_nautobot_settings.__file__).parent
# Names inside a function that stand for one of these patterns.
LOCAL = {
    "_LABELS[wanted]": list(pem._LABELS.values()),
    "pattern": [pattern for pattern, _ in pem._KINDS],
    "kind": [kind for kind, _ in explain._COMMANDS],
    "_FORMS[key]": list(masking._FORMS.values()),
    "words": [words for words, *_ in (*refusals._OWN, *refusals._WORDS)],
}
CHARACTERS = 'aA0 \t\n\r_-./:@,$|"\\[]{}<>=%'


def used_patterns():
    """Yield every pattern of the package with the function that it is used by."""
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        place = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(tree):
            used = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if not used or node.func.attr not in SEARCHES:
                continue
            owner, what = ast.unparse(node.func.value), node.func.attr
            by_name = owner == "re"
            if not by_name and not owner.isupper():
                # Of a text, or of a path: no pattern hides in a name of its own.
                assert what in {"split", "match"}, f"{place}: {owner}.{what}"
                continue
            name = ast.unparse(node.args[0]) if by_name else owner
            module = vars(importlib.import_module(place))
            for one in LOCAL.get(name) or [eval(name, module)]:
                yield f"{place}: {name} {what}", re.compile(one), what


SEARCHES = ("search", "match", "fullmatch", "finditer", "findall", "sub", "split")


def inputs_against(pattern):
    """Yield what makes a pattern try again and again: its own words, without end."""
    text = pattern.pattern
    text = text if isinstance(text, str) else text.decode()
    words = [*CHARACTERS, *re.findall(r"[A-Za-z0-9 :/@\"_-]{2,}", text)]
    for word in dict.fromkeys([*words, *(f"{one}a" for one in words)]):
        for start, end in (("", "\x01"), ("${a:-" if "$" in text else "a", "")):
            content = f"{start}{word * (2**17 // len(word))}{end}"
            yield content if isinstance(pattern.pattern, str) else content.encode()


PATTERNS = list(used_patterns())


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    ("pattern", "function"),
    [one[1:] for one in PATTERNS],
    ids=[one[0] for one in PATTERNS],
)
def test_pattern_takes_linear_time(pattern, function):
    # What is quadratic takes much longer; counted is the processor's time alone.
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10)
    extra = [""] if function == "sub" else []
    for content in inputs_against(pattern):
        used = getattr(pattern, function)(*extra, content)
        if function == "finditer":
            deque(used, 0)


# --- who opens files --------------------------------------------------------------

# The tables of the kernel, which are regular and small, and the null device.
OPENED_ELSEWHERE = {
    ("certificates/lint.py", "mountinfo"),
    ("commands/command.py", "os.devnull"),
}


def test_package_opens_files_only_in_the_text_file_reader():
    opened = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = isinstance(node, ast.Call) and node.args
            name = ast.unparse(node.func) if called else ""
            if name in {"open", "io.open", "os.open"} or name.endswith(
                (".read_text", ".read_bytes", ".open", "linecache.getline")
            ):
                opened.add((str(file.relative_to(PACKAGE)), ast.unparse(node.args[0])))

    assert {one for one in opened if one[0] != "text_files.py"} == OPENED_ELSEWHERE


# --- the table of attacks ----------------------------------------------------------


def names_of_tests(path):
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (one for one in tree.body if isinstance(one, ast.FunctionDef))
    return {one.name for one in functions if one.name.startswith("test_")}


def test_every_test_in_the_table_of_attacks_exists():
    page = (ROOT / "docs/explanation/security.md").read_text()
    _, _, rest = page.partition("## Attacks tried")
    table = [line for line in rest.split("\n## ")[0].splitlines() if line[:1] == "|"]
    named = set()
    for line in table[2:]:
        attack, outcome, tests = (one.strip() for one in line.strip("|").split("|"))
        found = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", tests)
        assert found or attack.startswith("**"), line
        assert not found or outcome.startswith(("failed", "worked", "there was")), line
        named |= {(path or HERE, name) for path, name in found}

    assert {one for one in named if one[1] not in names_of_tests(one[0])} == set()
    ours = {name for path, name in named if path == HERE}
    about_itself = test_every_test_in_the_table_of_attacks_exists.__name__
    assert names_of_tests(HERE) - ours == {about_itself}
