import contextlib
import errno
import io
import json
import os
import pty
import re
import socket
import stat
import subprocess
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.certificates import Authority
from lab.certificates import write_mount
from tests.contract import test_faults
from tests.examples import examples
from understack_nautobot_settings.commands import main as cli
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.variables import VARIABLES

KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}
COLOUR = "\x1b["


def run(*argv, env=KEY):
    stdout, stderr = io.StringIO(), io.StringIO()
    status = main(argv, env, stdout=stdout, stderr=stderr)
    return status, stdout.getvalue(), stderr.getvalue()


def test_main_runs_in_any_thread():
    """Signals arrive at the main thread alone, and are its own there."""
    with ThreadPoolExecutor() as pool:
        found = pool.submit(run, "explain", "probe-dns").result()

    assert found[0] == 0


# --- check ---------------------------------------------------------------------


def test_check_without_problem_ends_with_status_0():
    assert run("check") == (0, "0 errors, 0 warnings\n", "")


def test_check_with_error_ends_with_status_1():
    assert run("check", env={**KEY, "NAUTOBOT_DB_SSLMODE": "verify_full"}) == (
        1,
        "error value-invalid NAUTOBOT_DB_SSLMODE: 'verify_full' is not a valid "
        "sslmode. Did you mean verify-full? (Also valid: verify-ca, require; "
        "disable for plain TCP.)\n"
        "1 error, 0 warnings\n",
        "",
    )


def test_check_with_warning_ends_with_status_0():
    status, stdout, _ = run("check", env={**KEY, "PGSERVICE": "x"})

    assert (status, stdout.splitlines()[-1]) == (0, "0 errors, 1 warning")


def test_check_json_has_the_documented_keys(tmp_path):
    authority = Authority()
    mount = write_mount(tmp_path, authority.client(), authority.ca_pem)
    env = {
        **KEY,
        "PGSERVICE": "x",
        **mount.redis_variables,
    }

    status, stdout, stderr = run("check", "--json", env=env)

    found = json.loads(stdout)
    assert (status, stderr, list(found)) == (0, "", ["problems", "certificates"])
    assert found["problems"] == [
        {
            "code": "libpq-variable",
            "severity": "warning",
            "variable": "PGSERVICE",
            "message": "libpq takes service from this variable.",
            "hint": "Unset it; if you need it, use NAUTOBOT_DB_EXTRA_OPTIONS.",
        }
    ]
    leaf, _ = found["certificates"]
    assert list(leaf) == [
        "path",
        "use",
        "subject",
        "issuer",
        "serial",
        "not_before",
        "not_after",
        "days_left",
    ]
    assert (leaf["path"], leaf["use"], leaf["subject"], leaf["days_left"]) == (
        mount.certificate,
        "Redis",
        "CN=app",
        1094,
    )


def test_check_takes_role_and_days_as_options():
    status, stdout, _ = run("check", "--role", "site-worker", "--expiry-warning", "60")

    assert status == 1
    assert "error site-partition-missing UNDERSTACK_PARTITION: " in stdout


def test_check_with_env_file_checks_that_environment(tmp_path):
    other = tmp_path / "pod.env"
    other.write_text("NAUTOBOT_DB_SSLMODE=verify_full\n")

    status, stdout, _ = run("check", "--env-file", str(other))

    codes = {line.split()[1] for line in stdout.splitlines()[:-1]}
    assert (status, codes) == (1, {"value-invalid", "secret-key-missing"})


@pytest.mark.parametrize("command", ["check", "show"])
def test_invalid_env_file_ends_with_status_2(tmp_path, command):
    other = tmp_path / "pod.env"
    other.write_text("c4n4ry\n")

    assert run(command, "--env-file", str(other)) == (
        2,
        "",
        f"understack-nautobot-settings {command}: --env-file: {other} has no "
        "NAME=VALUE in line 1. Write the file with 'env', or with 'env -0' if a value "
        "has line breaks.\n",
    )


def test_check_without_files_ignores_missing_mount():
    env = {**KEY, "NAUTOBOT_DB_SSLMODE": "verify-full", "NAUTOBOT_DB_USER": "app"}

    assert run("check", env=env)[0] == 1
    assert run("check", "--without-files", env=env) == (0, "0 errors, 0 warnings\n", "")


@pytest.mark.parametrize("command", ["check", "show"])
def test_secrets_that_are_mounted_elsewhere_are_not_missed_without_files(command):
    env = {
        **KEY,
        "NAUTOBOT_DB_PASSWORD_FILE": "/nowhere/password",
        # The client secret is a file.
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "https://id.example.org",
    }

    assert run(command, env=env)[0] == 1
    status, _, stderr = run(command, "--without-files", env=env)
    assert (status, stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "show"])
def test_config_option_without_nautobot_ends_with_status_2(
    tmp_path, monkeypatch, command
):
    monkeypatch.setitem(sys.modules, "nautobot", None)
    (tmp_path / "nautobot_config.py").write_text("")

    assert run(command, "--config", f"{tmp_path}/nautobot_config.py") == (
        2,
        "",
        f"understack-nautobot-settings {command}: --config: Nautobot cannot be "
        "imported here. Run this in the Nautobot image.\n",
    )
    assert run(command, "--config", f"{tmp_path}/missing.py") == (
        2,
        "",
        f"understack-nautobot-settings {command}: --config: {tmp_path}/missing.py "
        "does not exist. Name the settings file of the deployment, "
        "nautobot_config.py.\n",
    )


# --- show ----------------------------------------------------------------------


def test_show_json_has_the_documented_keys():
    status, stdout, stderr = run("show", "--json")

    found = json.loads(stdout)
    assert (status, stderr) == (0, "")
    assert list(found) == ["settings", "sources", "fingerprint"]
    assert found["settings"]["SECRET_KEY"] == "***"
    assert found["sources"]["SECRET_KEY"] == "variable NAUTOBOT_SECRET_KEY"
    assert found["sources"]["NAUTOBOT_SECRET_KEY"] == "variable"
    assert re.fullmatch(r"[0-9a-f]{16}", found["fingerprint"])


def test_setting_with_name_of_its_variable_shows_its_source(tmp_path):
    (tmp_path / "issuer").write_text("https://sso.example.org")
    (tmp_path / "client-secret").write_text("s")
    env = {
        **KEY,
        "UNDERSTACK_PARTITION": "rxdb-lab",
        "UNDERSTACK_SSO_DIR": str(tmp_path),
    }

    sources = json.loads(run("show", "--json", env=env)[1])["sources"]

    assert sources["UNDERSTACK_PARTITION"] == "variable UNDERSTACK_PARTITION"
    assert sources["UNDERSTACK_SITE"] == "default"
    assert sources["SOCIAL_AUTH_OIDC_SECRET"] == f"file {tmp_path}/client-secret"
    assert sources["UNDERSTACK_SSO_DIR"] == "variable"


def test_show_with_value_that_stops_nautobot_reports_it_and_shows_the_rest():
    """Nautobot takes no blank before a truth value, and makes no URL of it."""
    env = {**KEY, "NAUTOBOT_REDIS_SSL": " true"}

    status, stdout, stderr = run("show", env=env)

    assert status == 1
    assert "CELERY_BROKER_URL" not in stdout
    assert stderr == (
        "error nautobot-value-invalid NAUTOBOT_REDIS_SSL: ' true' is not a boolean, "
        "and Nautobot stops at it. Use true or false, or remove the variable.\n"
    )


def test_problems_of_show_go_to_standard_error():
    status, stdout, stderr = run("show", env={})

    assert status == 1
    assert "DATABASES.default.HOST\tlocalhost\tbase\n" in stdout
    assert stderr.startswith("error secret-key-missing NAUTOBOT_SECRET_KEY: ")


def test_diff_with_differences_shows_them_and_ends_with_status_1(tmp_path):
    there = tmp_path / "there.json"
    there.write_text(run("show", "--json", env={**KEY, "NAUTOBOT_DB_HOST": "db"})[1])

    assert run("show", "--diff", str(there)) == (
        1,
        "DATABASES.default.HOST\n  - db\n  + localhost\n",
        "",
    )
    same = run("show", "--diff", str(there), env={**KEY, "NAUTOBOT_DB_HOST": "db"})
    assert same == (0, "The settings are the same; secrets are not compared.\n", "")


def test_diff_with_standard_input_reads_what_a_file_may_hold():
    text = "\ufeff" + run("show", "--json")[1]
    stdout = io.StringIO()

    status = main(["show", "--diff", "-"], KEY, stdin=io.StringIO(text), stdout=stdout)

    assert (status, stdout.getvalue()) == (
        0,
        "The settings are the same; secrets are not compared.\n",
    )


def test_diff_of_equal_settings_reports_different_fingerprints(tmp_path):
    there = tmp_path / "there.json"
    there.write_text(run("show", "--json", env={**KEY, "UNDERSTACK_ROLE": "web"})[1])

    assert run("show", "--diff", str(there)) == (
        0,
        "The settings are the same, but the fingerprints differ: a variable that "
        "decides no setting differs, or the release of this library. Secrets are not "
        "compared.\n",
        "",
    )


def test_diff_is_printed_as_json(tmp_path):
    there = tmp_path / "there.json"
    theirs = run("show", "--json", env={**KEY, "NAUTOBOT_DB_HOST": "db"})[1]
    there.write_text(theirs)

    status, stdout, _ = run("show", "--json", "--diff", str(there))

    assert status == 1
    assert json.loads(stdout) == {
        "differences": [
            {"setting": "DATABASES.default.HOST", "here": "localhost", "there": "db"}
        ],
        "fingerprints": {
            "here": json.loads(run("show", "--json")[1])["fingerprint"],
            "there": json.loads(theirs)["fingerprint"],
        },
    }


def test_diff_with_unusable_file_ends_with_status_2(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")

    assert run("show", "--diff", f"{tmp_path}/missing") == (
        2,
        "",
        f"understack-nautobot-settings show: --diff: {tmp_path}/missing does not "
        "exist. Name the file that 'show --json' of the other pod wrote.\n",
    )
    assert run("show", "--diff", str(other)) == (
        2,
        "",
        f"understack-nautobot-settings show: --diff: {other} is not the output of "
        "'show --json'. Name the file that 'show --json' of the other pod wrote.\n",
    )


def test_diff_reads_a_pipe():
    theirs = run("show", "--json")[1]

    process = command("show", "--diff", "-", env=KEY, input=theirs.encode())

    assert process.returncode == 0
    assert process.stdout == b"The settings are the same; secrets are not compared.\n"


def test_diff_reads_standard_input():
    theirs = io.StringIO(run("show", "--json")[1])

    assert main(["show", "--diff", "-"], KEY, stdin=theirs, stdout=io.StringIO()) == 0


def settings_of_nautobot(monkeypatch, settings):
    package, core = types.ModuleType("nautobot"), types.ModuleType("nautobot.core")
    core.settings = settings
    monkeypatch.setitem(sys.modules, "nautobot", package)
    monkeypatch.setitem(sys.modules, "nautobot.core", core)
    if settings is not None:
        monkeypatch.setitem(sys.modules, "nautobot.core.settings", settings)


def test_show_with_nautobot_extends_its_settings(monkeypatch):
    settings = types.ModuleType("nautobot.core.settings")
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 7200}
    settings.parse = "no setting"
    settings_of_nautobot(monkeypatch, settings)

    status, stdout, _ = run("show", "--with-nautobot")

    assert status == 0
    assert "CELERY_BROKER_TRANSPORT_OPTIONS.visibility_timeout\t7200\tbase\n" in stdout
    assert "parse" not in stdout


def test_show_with_nautobot_beside_a_settings_file_ends_with_status_2():
    assert run("show", "--with-nautobot", "--config", "nautobot_config.py") == (
        2,
        "",
        "understack-nautobot-settings show: --with-nautobot: --config names a settings "
        "file, which extends Nautobot's settings itself. Use one of the two.\n",
    )


def test_show_with_nautobot_option_without_nautobot_ends_with_status_2(monkeypatch):
    monkeypatch.setitem(sys.modules, "nautobot", types.ModuleType("nautobot"))
    monkeypatch.setitem(sys.modules, "nautobot.core", None)

    assert run("show", "--with-nautobot") == (
        2,
        "",
        "understack-nautobot-settings show: Nautobot cannot be imported here. Run this "
        "in the Nautobot image.\n",
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Invalid truthy value: `s3cret`"), "ValueError; 'check' tells why"),
        (
            FileNotFoundError(errno.ENOENT, "No directory in ['/s3cret']"),
            "FileNotFoundError: No such file or directory; check NAUTOBOT_ROOT, HOME "
            "and the directory for temporary files",
        ),
    ],
    ids=["value", "system"],
)
def test_text_of_an_exception_of_nautobot_is_not_shown(monkeypatch, error, said):
    class Core(types.ModuleType):
        def __getattr__(self, name):
            raise error

    monkeypatch.setitem(sys.modules, "nautobot", types.ModuleType("nautobot"))
    monkeypatch.setitem(sys.modules, "nautobot.core", Core("nautobot.core"))

    assert run("show", "--with-nautobot") == (
        2,
        "",
        f"understack-nautobot-settings show: Nautobot's own settings raise {said}.\n",
    )


# --- reference -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "start"),
    [
        (["reference"], "# Variables\n"),
        (["reference", "variables", "--format", "markdown"], "# Variables\n"),
        (["reference", "--format", "json-schema"], "{\n"),
        (["reference", "--format", "env"], "# Remove the #"),
        (["reference", "problems"], "# Problems\n"),
    ],
)
def test_reference_is_printed(argv, start):
    status, stdout, stderr = run(*argv)

    assert (status, stderr) == (0, "")
    assert stdout.startswith(start)


def test_reference_problems_in_other_format_than_markdown_is_refused():
    assert run("reference", "problems", "--format", "env") == (
        2,
        "",
        "understack-nautobot-settings reference: problems are printed as markdown "
        "only.\n",
    )


# --- usage ---------------------------------------------------------------------


ROLES = "Use one of: web, worker, beat, site-worker."


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("chekc", ": unknown command 'chekc'. Did you mean check?"),
        ("--json check", ": unknown command '--json'. Use one of: check, show, "),
        ("check --jsno", " check: unknown option '--jsno'. Did you mean --json?"),
        ("check x", " check: unexpected argument 'x'. Use --help for the arguments."),
        ("check --role king", f" check: unknown role 'king'. {ROLES}"),
        ("check --role worke", " check: unknown role 'worke'. Did you mean worker?"),
        (
            "check --expiry-warning -1",
            " check: --expiry-warning: '-1' is not a number of days. Use --help",
        ),
        (
            "check --expiry-warning x=c4n4ry",
            " check: --expiry-warning: 'x…' is not a number of days.",
        ),
        (
            "reconcile-queues f --timeout x=c4n4ry",
            " reconcile-queues: --timeout: 'x…' is not a number of seconds.",
        ),
        (
            "check --expiry-warning",
            " check: --expiry-warning: expected one argument. Use --help",
        ),
        # An empty shell variable, in quotes.
        ("check --config ", " check: --config: the path is empty. "),
        ("show --diff ", " show: --diff: the path is empty. "),
        ("reconcile-queues ", " reconcile-queues: FILE: the path is empty. "),
        ("probe databse", " probe: unknown target 'databse'. Did you mean database?"),
        (
            "probe http://a",
            " probe: unknown target 'http://a'. Did you mean https://HOST?",
        ),
        ("probe https://u:c4n4ry@a", " probe: A URL is https://HOST:PORT/PATH, "),
        ("wait --timeout 1s", " wait: --timeout: '1s' is not a number of seconds."),
        ("probe a\x1b[2Jb", " probe: unknown target 'a\\x1b[2Jb'. Use one of: "),
        ("check --\x1b[2J", " check: unknown option '--\\x1b[2J'. "),
        ("reference problms", " reference: unknown topic 'problms'. Did you mean prob"),
        ("reference --format yaml", " reference: unknown format 'yaml'. Use one of: "),
    ],
)
def test_wrong_usage_ends_with_status_2_and_a_suggestion(argv, said):
    status, stdout, stderr = run(*argv.split(" "))

    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith(f"understack-nautobot-settings{said}")
    assert "c4n4ry" not in stderr


def test_call_without_command_prints_help_and_ends_with_status_2():
    assert run() == (2, "", run("--help")[1])


@pytest.mark.parametrize("argv", [[], *([name] for name in cli.COMMANDS)])
def test_help_goes_to_standard_output(argv):
    status, stdout, stderr = run(*argv, "--help")

    assert (status, stderr) == (0, "")
    assert stdout.startswith(
        " ".join(["usage: understack-nautobot-settings", *argv, "[-h]"])
    )
    assert all(len(line) <= 80 for line in stdout.splitlines())


def test_overview_names_every_command():
    overview = run("--help")[1]

    for name in cli.COMMANDS:
        assert f"\n  {name} " in overview
        assert cli.command(name).help in " ".join(overview.split())


def test_unexpected_exception_is_named_without_its_text():
    class Broken(dict):
        def get(self, name, default=None):
            raise RuntimeError("s3cret")

    status, stdout, stderr = run("show", env=Broken())

    assert (status, stdout) == (2, "")
    assert re.fullmatch(
        r"understack-nautobot-settings show: RuntimeError in test_main.py, line \d+\. "
        r"Please report this\.\n",
        stderr,
    )


def test_interrupt_ends_with_status_130_and_no_output():
    class Interrupted(dict):
        def get(self, name, default=None):
            raise KeyboardInterrupt

    assert run("show", env=Interrupted()) == (130, "", "")


# --- as a process --------------------------------------------------------------


def python(*words, env, **options):
    return subprocess.run(
        [sys.executable, *words],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True,
        check=False,
        timeout=60,
        **options,
    )


def command(*argv, env, **options):
    return python("-m", "understack_nautobot_settings", *argv, env=env, **options)


def test_check_imports_neither_nautobot_nor_django():
    """Nor imports them, whatever is switched on."""
    script = (
        "import sys\n"
        "for name in ('nautobot', 'django', 'redis', 'kombu', 'celery'):\n"
        "    sys.modules[name] = None\n"
        "from understack_nautobot_settings.commands.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    env = {"UNDERSTACK_LOG_FORMAT": "json", "UNDERSTACK_APP": "true", **KEY}
    process = python("-c", script, "check", env=env)

    assert (process.returncode, process.stderr) == (0, b"")
    assert process.stdout == b"0 errors, 0 warnings\n"


def test_wait_after_sigterm_ends_with_status_130():
    """As the first process of a container too, which only its own handlers reach."""
    process = subprocess.Popen(
        [sys.executable, "-m", "understack_nautobot_settings", "wait", "database"],
        env={
            "PYTHONPATH": os.pathsep.join(sys.path),
            "NAUTOBOT_DB_HOST": "127.0.0.1",
            "NAUTOBOT_DB_PORT": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert b"database: failed at tcp: " in process.stderr.readline()
        process.terminate()
        rest = process.communicate(timeout=60)

    assert (process.returncode, rest) == (130, (b"", b""))


def test_probe_after_sigterm_ends_with_status_130():
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "understack_nautobot_settings", "probe", "cache"],
            env={
                "PYTHONPATH": os.pathsep.join(sys.path),
                "NAUTOBOT_REDIS_HOST": "127.0.0.1",
                "NAUTOBOT_REDIS_PORT": str(server.getsockname()[1]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process, server.accept()[0]:
            process.terminate()
            rest = process.communicate(timeout=60)

    assert (process.returncode, rest) == (130, (b"", b""))


def test_process_with_a_probe_that_is_late_ends_without_its_thread():
    """Python ends it inside of cryptography, which aborts: status 134."""
    script = (
        "import atexit, threading\n"
        "from understack_nautobot_settings.commands import main\n"
        "def late():\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "    return 2\n"
        "atexit.register(print, 'the threads are ended')\n"
        "main.main = late\n"
        "main.run()\n"
    )

    process = python("-c", script, env={})

    assert (process.returncode, process.stdout, process.stderr) == (2, b"", b"")


def test_check_in_pipe_has_no_colour():
    process = command("check", env={**KEY, "NAUTOBOT_DB_SSLMODE": "verify_full"})

    assert (process.returncode, process.stderr) == (1, b"")
    assert COLOUR.encode() not in process.stdout
    assert process.stdout.count(b"\n") == 2


def test_closed_pipe_ends_with_status_0():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        process = subprocess.run(
            [sys.executable, "-m", "understack_nautobot_settings", "reference"],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    assert (process.returncode, process.stderr) == (0, b"")


def test_output_after_closed_pipe_is_discarded():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        assert main(["reference"], {}, stdout=closed) == 0
        # What is written from now on goes nowhere, and is no error either.
        print("more", file=closed)


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">&-", 1, b""),
        ("2>&-", 1, b""),
        (">&- 2>&-", 1, b""),
        (
            "> /dev/full",
            2,
            b"understack-nautobot-settings: standard output: No space left on device\n",
        ),
        ("2> /dev/full", 1, b""),
    ],
)
def test_unwritable_stream_gives_no_traceback(redirection, status, said):
    line = f"exec {sys.executable} -m understack_nautobot_settings check {redirection}"

    process = subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (process.returncode, process.stderr) == (status, said)


class FullStream(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, "ignored")


def test_result_that_cannot_be_written_ends_with_status_2():
    stderr = io.StringIO()

    assert main(["check"], KEY, stdout=FullStream(), stderr=stderr) == 2
    assert stderr.getvalue() == (
        "understack-nautobot-settings: standard output: No space left on device\n"
    )
    assert main(["check"], KEY, stdout=FullStream(), stderr=FullStream()) == 2


def test_arguments_of_the_process_are_the_default(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["understack-nautobot-settings", "reference"])

    assert main() == 0
    assert capsys.readouterr().out.startswith("# Variables\n")


def test_bytes_that_are_not_utf8_are_escaped():
    env = {**KEY, "NAUTOBOT_DB_HOST": os.fsdecode(b"\xff"), "LC_ALL": "C"}

    process = command("show", env=env)

    assert process.returncode == 1
    assert process.stderr == (
        b"error value-not-utf8 NAUTOBOT_DB_HOST: the value holds bytes that are not "
        b"UTF-8. Store it as UTF-8 text.\n"
    )
    assert b"DATABASES.default.HOST\t\\udcff\tvariable" in process.stdout


def at_a_terminal(*argv, env):
    """Run at a pseudo-terminal of 80 columns; return status and what it shows."""
    process_id, terminal = pty.fork()
    if not process_id:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "understack_nautobot_settings", *argv],
            {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1", **env},
        )
    shown = b""
    # Reading fails once the last process at the terminal has gone.
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    _, status = os.waitpid(process_id, 0)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


WRONG = {
    **KEY,
    "NAUTOBOT_DB_SSLMODE": "verify_full",
    "NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379",
    "COLUMNS": "80",
}


def test_check_on_terminal_is_a_coloured_table():
    status, shown = at_a_terminal("check", env=WRONG)

    assert status == 1
    assert COLOUR in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "✗ NAUTOBOT_DB_SSLMODE" in plain
    assert max(map(len, plain.splitlines())) == 80


@pytest.mark.parametrize("argv", [["check"], ["show"]])
def test_no_color_switches_colour_off(argv):
    _, shown = at_a_terminal(*argv, env={**WRONG, "NO_COLOR": "1"})

    assert "─" * 80 in shown
    assert COLOUR not in shown


# --- secrets, and whatever an environment may hold -----------------------------

CANARY = "c4n4ry"
ROWS = [
    pytest.param(row.values[0], id=row.id)
    for row in [*test_faults.REFUSED, *test_faults.WARNED]
]


@pytest.mark.parametrize("env", ROWS)
@pytest.mark.parametrize(
    "argv", [["check"], ["check", "--json"], ["show"], ["show", "--json"]]
)
def test_problem_never_shows_a_secret(argv, env, tmp_path):
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{CANARY} of the file")
    env = {
        "NAUTOBOT_SECRET_KEY": f"{CANARY}-of-the-key-{'x' * 50}",
        "NAUTOBOT_DB_PASSWORD_FILE": str(secret_file),
        "NAUTOBOT_REDIS_PASSWORD": f"{CANARY}/of#redis?[1]%41",
        "SOCIAL_AUTH_OIDC_SECRET": f"{CANARY} of sign-on",
        "PLUGIN_TOKEN": f"{CANARY}-of-a-plugin",
        "UNDERSTACK_REDIS_MTLS": "off",
        "PGPASSWORD": f"{CANARY} of libpq",
        **{name: value.replace("canary", CANARY) for name, value in env.items()},
    }

    status, stdout, stderr = run(*argv, env=env)

    assert status in (0, 1)
    assert CANARY not in stdout + stderr


names = st.sampled_from(
    sorted(
        {name for one in VARIABLES for name in one.names}
        | NAUTOBOT_NAMES
        | {"NAUTOBOT_DB_SSLMOD", "PGSSLSNI", "PGHOSTADDR", "COLUMNS"}
    )
)
texts = st.one_of(
    st.text(st.characters(exclude_characters="\x00"), max_size=40),
    st.sampled_from(
        [
            *("true", "off", "verify-full", "direct", "wan", "site-worker", "6379"),
            *("tcp://10.0.0.1:6379", "/nowhere", "/", "/dev/null", "a,b", "10.0.0.1"),
            *('{"p": {"a": "${HOME}"}}', '{"p": {"a": [{}]}}', "{", "rediss://h/1"),
            *("nautobot_golden_config", "mysql", "redis://:a@b@[::1]:1/?x=y#z"),
        ]
    ),
)
SECRET = {name for one in VARIABLES if one.secret for name in [one.name]}


def hidden(name, value, directory):
    """Put the canary where a secret goes, by value or by file."""
    if name in SECRET:
        if name.endswith("_CONFIG"):
            return json.dumps({"p": {"password": f"{CANARY}{value}", "a": "${C4}"}})
        return f"{CANARY}{value}"
    if name.removesuffix("_FILE") in SECRET:
        return os.path.join(directory, "secret")
    return value


@given(
    env=st.dictionaries(names, texts, max_size=12),
    argv=st.sampled_from(
        [
            ["check"],
            ["check", "--json", "--role", "site-worker"],
            ["show"],
            ["show", "--json"],
        ]
    ),
)
@examples(300)
def test_environment_never_breaks_a_command_or_shows_a_secret(env, argv):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "secret")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CANARY)
        os.chmod(path, stat.S_IRUSR)
        env = {name: hidden(name, value, directory) for name, value in env.items()}

        status, stdout, stderr = run(*argv, env={"C4": CANARY, **env})

    assert status in (0, 1)
    assert "report this" not in stderr
    assert CANARY not in stdout + stderr
    if "--json" in argv:
        json.loads(stdout)
