"""What attackers found: every case holds its whole kind."""

import io
import json

import pytest

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
