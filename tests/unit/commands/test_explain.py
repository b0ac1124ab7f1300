import io
import json
import platform
import re
import shlex

import pytest

from understack_nautobot_settings.commands.explain import commands_for
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.commands.reference import codes


def run(*argv):
    stdout, stderr = io.StringIO(), io.StringIO()
    status = main(argv, {}, stdout=stdout, stderr=stderr)
    return status, stdout.getvalue(), stderr.getvalue()


@pytest.mark.parametrize("code", codes(), ids=lambda code: code.id)
def test_every_code_is_explained_with_cause_remedy_and_commands(code):
    status, stdout, stderr = run("explain", code.id)

    assert (status, stderr) == (0, "")
    words = " ".join(stdout.split())
    for text in (code.cause, code.fix, code.replaces):
        assert " ".join(text.replace("`", "").split()) in words
    for command in commands_for(code):
        assert f"\n  {command}\n" in stdout
        program = next(word for word in shlex.split(command) if "=" not in word)
        assert program in {
            *("kubectl", "openssl", "psql", "redis-cli", "curl", "nautobot-server"),
        }


@pytest.mark.parametrize("code", codes(), ids=lambda code: code.id)
def test_remedy_never_writes_over_what_it_reads(code):
    """openssl empties the file of -out before it reads the key of -in."""
    for read, written in re.findall(r"-in (\S+) -out (\S+)", code.fix):
        assert read != written.rstrip("`.")


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("job-stuck", "nautobot-server stuck_jobs"),
        ("file-overruled", "settings show --config nautobot_config.py"),
        ("file-and-value", "settings check"),
        ("ca-bundle-empty", "settings check"),
        ("probe-broker-scheme", "settings show"),
        ("certificate-not-judged", "kubectl get pod POD -n nautobot -o yaml"),
    ],
)
def test_code_is_explained_by_the_command_that_shows_its_subject(code, command):
    (explained,) = (one for one in codes() if one.id == code)

    assert any(one.endswith(command) for one in commands_for(explained))


def test_code_is_explained_in_full():
    assert run("explain", "ca-expired")[1].startswith("ca-expired (error)\n\nCause: ")


def test_explain_json_has_the_documented_keys():
    found = json.loads(run("explain", "probe-db-hba", "--json")[1])

    assert list(found) == [
        *("id", "cause", "fix", "replaces", "severity", "transient", "commands"),
    ]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("certificate-expird", "Did you mean certificate-expired?"),
        ("ca-expred", "Did you mean ca-expired?"),
    ],
)
def test_misspelt_code_is_refused_with_the_nearest(word, meant):
    assert run("explain", word) == (
        2,
        "",
        f"understack-nautobot-settings explain: unknown code '{word}'. {meant}\n",
    )


def test_unknown_code_is_refused_with_the_command_that_lists_codes():
    said = run("explain", "zzz")[2]

    assert len(said) < 200
    assert said.endswith("'understack-nautobot-settings reference problems'.\n")


def test_version_lists_library_python_openssl_and_drivers():
    status, stdout, stderr = run("--version")

    assert (status, stderr) == (0, "")
    names = [line.rpartition(" ")[0] for line in stdout.splitlines()]
    assert len(names) == 6
    assert f"\nPython {platform.python_version()}\n" in stdout
    for name in ("understack-nautobot-settings", "OpenSSL", "libpq", "redis-py"):
        assert re.search(rf"^{name} \S", stdout, re.M)
    assert re.search(r"^Nautobot (\d|not installed$)", stdout, re.M)
