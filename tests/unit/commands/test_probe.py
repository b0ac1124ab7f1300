import pytest

from lab.servers.scripted import ScriptedServer
from tests.unit.probes.attempts import PASSWORD
from tests.unit.probes.attempts import environment
from tests.unit.probes.attempts import good_redis
from tests.unit.probes.attempts import secured
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.commands.probe import probes_text
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.probes.attempt import Probe
from understack_nautobot_settings.probes.attempt import Stage
from understack_nautobot_settings.problems import Problem

TABLE = Terminal(table=True, width=60, symbols=True)


@pytest.mark.parametrize(
    ("terminal", "text"),
    [
        (
            Terminal(),
            "cache tcp failed 0.500 s\nerror c NAUTOBOT_REDIS_HOST: nobody answers. "
            "Start it.\n0 of 1 target ok\n",
        ),
        (
            TABLE,
            "cache                                                0.500 s\n"
            "────────────────────────────────────────────────────────────\n"
            "✗ tcp\n\n"
            "✗ NAUTOBOT_REDIS_HOST                                      c\n"
            "  nobody answers.\n"
            "  → Start it.\n",
        ),
    ],
    ids=["pipe", "terminal"],
)
def test_failed_stage_does_not_repeat_the_problem(terminal, text):
    problem = Problem(
        "c", "error", "NAUTOBOT_REDIS_HOST", "nobody answers.", "Start it."
    )
    stage = Stage("tcp", False, 0.5, problem.message)
    found = probes_text([Probe("cache", False, (stage,), problem)], terminal)

    assert [line.rstrip() for line in found.splitlines()] == text.splitlines()


@pytest.mark.parametrize(
    ("said", "by", "line"),
    [
        ("busy", "", "The server said: busy\n"),
        ("busy", "libpq", "libpq said: busy\n"),
        ("nobody answers", "libpq", ""),
    ],
    ids=["server", "driver", "in the problem"],
)
def test_what_was_said_is_shown_once_with_who_said_it(said, by, line):
    problem = Problem("c", "error", "V", "nobody answers.", "Start it.")
    probe = Probe("cache", False, (), problem, said, said_by=by)

    assert probes_text([probe], Terminal()) == (
        f"error c V: nobody answers. Start it.\n{line}0 of 1 target ok\n"
    )


class Output:
    encoding = "utf-8"

    def __init__(self, tty=False):
        self.text = ""
        self._tty = tty

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return self._tty


def command(*words, env=None, tty=False):
    stdout, stderr = Output(tty), Output(tty)
    status = main(list(words), env or {}, stdout=stdout, stderr=stderr)
    return status, stdout.text, stderr.text


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
def test_probe_command_reports_the_failed_stage(mount, tty):
    with ScriptedServer(secured(good_redis())) as server:
        env = environment(mount, redis_port=server.port, NO_COLOR="1", COLUMNS="80")
        status, out, err = command("probe", "cache", "database", env=env, tty=tty)

    assert (status, err) == (2, "")
    assert "probe-refused" in out
    assert PASSWORD not in out
    assert ("1 of 2 targets ok" in out) != tty
    assert max(map(len, out.splitlines())) <= 80 or not tty


def test_probe_command_prints_json(mount):
    import json

    status, out, _ = command("probe", "--json", "cache", env=environment(mount))

    assert status == 2
    assert json.loads(out)["targets"][0]["problem"]["code"] == "probe-refused"


def test_probe_with_destination_alone_asks_that_worker(mount):
    words = ("worker", "--destination=celery@there", "--timeout=2")
    status, out, _ = command("probe", *words, env=environment(mount))

    assert status != 0
    assert "worker heartbeat ok 0.000 s: skipped: celery@there is on another" in out
    assert "worker ping failed" in out


def test_probe_with_unknown_target_ends_with_status_2():
    status, out, err = command("probe", "everything")

    assert (status, out) == (2, "")
    assert err.startswith(
        "understack-nautobot-settings probe: unknown target 'everything'. Use one of: "
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://:443/",
        "https://h:port/",
        "https://h:0/",
        "https://[::1",
        "https://h/a b",
        "https://h/\r\n",
        "https://me:canary@h:port/",
        "https://me:canary@localhost/",
    ],
)
def test_probe_url_that_leads_nowhere_is_refused_without_showing_it(url):
    """Nor does any probe send a password, or show it."""
    assert command("probe", url) == (
        2,
        "",
        "understack-nautobot-settings probe: A URL is https://HOST:PORT/PATH, port "
        "and path optional, without a user and without blanks.\n",
    )


@pytest.mark.parametrize("seconds", ["soon", "-1", "9999999999"])
def test_probe_timeout_that_is_not_a_number_is_refused(seconds):
    status, _, err = command("probe", f"--timeout={seconds}")

    assert status == 2
    assert "is not a number of seconds." in err


def test_wait_command_ends_with_status_0_if_all_targets_are_up(mount):
    with ScriptedServer(secured(good_redis())) as server:
        env = environment(mount, redis_port=server.port)
        status, out, err = command("wait", "cache", "broker", "--timeout", "5", env=env)

    assert status == 0
    assert "2 of 2 targets ok" in out
    assert [line.split("  ")[-1] for line in err.splitlines()] == [
        "cache: up",
        "broker: up",
    ]


def test_wait_command_after_timeout_ends_with_status_2(mount):
    env = environment(mount)
    status, _, err = command("wait", "cache", "--timeout", "0.5", env=env)

    assert status == 2
    assert "understack-nautobot-settings wait: gave up after " in err


def test_wait_command_with_permanent_error_ends_with_status_1(mount):
    env = environment(mount, NAUTOBOT_REDIS_SSL_CERT_REQS="perhaps")
    status, _, err = command("wait", "cache", env=env, tty=True)

    assert status == 1
    assert "s: this error does not go away by itself\n" in err.replace("\r\n", "\n")
