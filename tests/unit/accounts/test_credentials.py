import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import Secret
from understack_nautobot_settings.accounts.credentials import read_credentials
from understack_nautobot_settings.accounts.credentials import read_token

TOKEN = "0123456789abcdef0123456789abcdef01234567"
OTHER_TOKEN = "f" * 40
CANARY = "canary-never-to-be-seen"
FORM = (
    "Mount a secret with the files username, password and token, or with the JSON "
    'object {"credential": {"username": ..., "password": ...}}.'
)


def write_secret(directory, **files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (directory / name).write_bytes(data)
    return str(directory)


def documented(username="svc", password="pw", token=TOKEN):
    """The JSON that the secret backend stores."""
    inner = json.dumps({"password": password, "token": token})
    return json.dumps({"credential": {"username": username, "password": inner}})


def read(*paths):
    problems = []
    credentials = read_credentials(paths, problems=problems)
    return credentials, [str(problem) for problem in problems]


def plain(credential):
    return (
        credential.hostname,
        credential.username,
        credential.password.reveal(),
        credential.token.reveal(),
    )


@pytest.mark.parametrize(
    "files",
    [
        {"username": "svc", "password": "pw", "token": TOKEN},
        {"username": "svc\n", "password": "pw\n", "token": f" {TOKEN}\n"},
        {"username": "svc", "password": "pw\r\n", "token": f"{TOKEN}\r\n"},
        {"credential": documented()},
        {"credential": json.dumps(json.loads(documented())["credential"])},
        {
            "credential": json.dumps(
                {"username": "svc", "password": "pw", "token": TOKEN}
            )
        },
        {
            "credential": json.dumps(
                {"username": "svc", "password": {"password": "pw", "token": TOKEN}}
            )
        },
        {
            "credential": json.dumps(
                {"credential": json.dumps(json.loads(documented())["credential"])}
            )
        },
        {
            "username": "svc",
            "password": json.dumps({"password": "pw", "token": TOKEN}),
        },
        {"username": "svc", "credential": documented("another")},
    ],
    ids=[
        "files",
        "files with line ends",
        "files with DOS line ends",
        "documented JSON",
        "JSON without the outer object",
        "flat JSON",
        "JSON in JSON, not as text",
        "JSON in JSON twice",
        "password file with the backend's JSON",
        "a file beside the JSON decides",
    ],
)
def test_a_secret_is_read_in_every_documented_form(tmp_path, files):
    credentials, problems = read(write_secret(tmp_path / "s", **files))
    assert problems == []
    assert [plain(one) for one in credentials] == [("", "svc", "pw", TOKEN)]


def test_the_hostname_is_read(tmp_path):
    path = write_secret(
        tmp_path / "s",
        hostname="nautobot.example.com\n",
        username="svc",
        password="pw",
        token=TOKEN,
    )
    credentials, _ = read(path)
    assert [one.hostname for one in credentials] == ["nautobot.example.com"]


def test_a_directory_of_secrets_is_read_sorted_by_username(tmp_path):
    """What Kubernetes keeps behind names with two dots is not read twice."""
    write_secret(tmp_path / "b", username="b", password="pw", token=TOKEN)
    write_secret(tmp_path / "..2026" / "x", username="x", password="pw", token=TOKEN)
    (tmp_path / "a.json").write_text(documented("a", token=OTHER_TOKEN))
    (tmp_path / "README").write_text("not a secret")
    credentials, problems = read(str(tmp_path))
    assert problems == []
    assert [one.username for one in credentials] == ["a", "b"]


def test_a_json_file_can_be_named(tmp_path):
    path = tmp_path / "secret"
    path.write_text(documented())
    credentials, problems = read(str(path))
    assert problems == []
    assert [one.source for one in credentials] == [str(path)]


def test_the_same_said_twice_counts_once(tmp_path):
    """The document mounts one user's secret in several namespaces."""
    first = write_secret(tmp_path / "1", username="svc", password="pw", token=TOKEN)
    second = write_secret(tmp_path / "2", credential=documented())
    credentials, problems = read(first, second)
    assert problems == []
    assert [one.source for one in credentials] == [first]


GOOD = {"username": "svc", "password": "pw", "token": TOKEN}


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({}, "{path}: holds no credential. " + FORM),
        ({"username": "svc"}, "{path}: has no password, no token. " + FORM),
        (
            {**GOOD, "username": ""},
            "{path}: has no username. " + FORM,
        ),
        (
            {**GOOD, "username": "no such/name"},
            "{path}: the username is not one that Nautobot takes. Use 1 to 150 "
            "letters, digits, '@', '.', '+', '-' or '_'.",
        ),
        (
            {**GOOD, "token": "rvwe3457797fd4321a79a5f06830701b8xyz12"},
            "{path}: the token has 38 characters. Nautobot takes exactly 40, such as "
            "'openssl rand -hex 20' prints.",
        ),
        (
            {**GOOD, "token": TOKEN[:-1] + "ä"},
            "{path}: the token has characters that no HTTP header takes. Nautobot "
            "takes exactly 40, such as 'openssl rand -hex 20' prints.",
        ),
        (
            {**GOOD, "token": TOKEN[:20] + " " + TOKEN[21:]},
            "{path}: the token has characters that no HTTP header takes. Nautobot "
            "takes exactly 40, such as 'openssl rand -hex 20' prints.",
        ),
        (
            {**GOOD, "password": f" {CANARY}"},
            "{path}: the password begins or ends with a blank, or holds a NUL. Store "
            "a password of 1 to 128 characters without blanks around it.",
        ),
        (
            {**GOOD, "password": CANARY * 10},
            "{path}: the password has more than 128 characters. Store a password of "
            "1 to 128 characters without blanks around it.",
        ),
        (
            {**GOOD, "password": b"\xff" + CANARY.encode()},
            "{path}/password: does not hold UTF-8 text. Check the secret and how it "
            "is mounted.",
        ),
        (
            {"credential": f'{{"credential": {CANARY}'},
            "{path}/credential: is not a JSON object from line 1, column 16. " + FORM,
        ),
        (
            {"credential": f'["{CANARY}"]'},
            "{path}/credential: is not a JSON object. " + FORM,
        ),
        (
            {"credential": "[" * 100_000},
            "{path}/credential: is not a JSON object. " + FORM,
        ),
        (
            {"credential": json.dumps({"credential": 7})},
            "{path}/credential: 'credential' is not an object. " + FORM,
        ),
        (
            {"credential": json.dumps({"username": "svc", "token": 7})},
            "{path}/credential: 'token' is not a string. " + FORM,
        ),
        (
            {"username": "svc", "password": f'{{"{CANARY}'},
            "{path}: is not a JSON object from line 1, column 2. " + FORM,
        ),
    ],
    ids=[
        "nothing",
        "parts missing",
        "empty username",
        "foreign username",
        "the document's own token",
        "accent in the token",
        "blank in the token",
        "blank before the password",
        "long password",
        "password not UTF-8",
        "broken JSON",
        "JSON list",
        "deep JSON",
        "credential is a number",
        "token is a number",
        "broken JSON in the password",
    ],
)
def test_what_is_no_credential_is_refused_in_words(tmp_path, files, line):
    path = write_secret(tmp_path / "s", **files)
    credentials, problems = read(path)
    assert credentials == []
    assert problems == [line.replace("{path}", path)]


def test_a_directory_that_is_not_there(tmp_path):
    path = str(tmp_path / "none")
    assert read(path) == (
        [],
        [
            f"{path}: cannot be read: No such file or directory. Mount the secret "
            "there, or correct the path."
        ],
    )


def test_a_file_that_leads_nowhere(tmp_path):
    path = write_secret(tmp_path / "s", username="svc", password="pw")
    os.symlink("nowhere", f"{path}/token")
    assert read(path) == (
        [],
        [
            f"{path}/token: cannot be read: No such file or directory. Check the "
            "secret and how it is mounted."
        ],
    )


def test_two_secrets_for_one_user_are_both_refused(tmp_path):
    first = write_secret(tmp_path / "1", **GOOD)
    second = write_secret(tmp_path / "2", **{**GOOD, "token": OTHER_TOKEN})
    assert read(first, second) == (
        [],
        [
            f"{second}: {first} has another password or token for 'svc'. Give every "
            "user one secret."
        ],
    )


def test_one_token_for_two_users_is_refused_for_both(tmp_path):
    first = write_secret(tmp_path / "1", **GOOD)
    second = write_secret(tmp_path / "2", **{**GOOD, "username": "other"})
    third = write_secret(
        tmp_path / "3", username="third", password="pw", token=OTHER_TOKEN
    )
    credentials, problems = read(first, second, third)
    assert [one.username for one in credentials] == ["third"]
    assert problems == [
        f"{second}: the token of 'other' is also that of 'svc' in {first}. Give every "
        "user a token of its own."
    ]


def test_one_unusable_secret_keeps_no_other_from_being_read(tmp_path):
    write_secret(tmp_path / "bad", username="bad")
    write_secret(tmp_path / "good", **GOOD)
    credentials, problems = read(str(tmp_path))
    assert [one.username for one in credentials] == ["svc"]
    assert problems == [f"{tmp_path}/bad: has no password, no token. {FORM}"]


def test_the_bootstrap_token_is_read_from_a_file_or_its_directory(tmp_path):
    path = write_secret(tmp_path / "s", token=f"{TOKEN}\n")
    problems = []
    assert read_token(path, problems=problems) == Secret(TOKEN)
    assert read_token(f"{path}/token", problems=problems) == Secret(TOKEN)
    assert problems == []


def test_a_bootstrap_token_that_is_none_is_refused(tmp_path):
    path = write_secret(tmp_path / "s", token=CANARY)
    problems = []
    assert read_token(path, problems=problems) is None
    assert [str(problem) for problem in problems] == [
        f"{path}/token: the token has 23 characters. Nautobot takes exactly 40, such "
        "as 'openssl rand -hex 20' prints."
    ]


@given(st.text(min_size=1))
def test_a_secret_shows_in_no_output(text):
    """Printing, formatting, representing: none of them lets the text through."""
    secret = Secret(text)
    credential = Credential("/s", "", "svc", secret, secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % (secret,)]  # noqa: UP031
    assert shown == ["<secret>"] * 5
    assert repr(credential) == (
        "Credential(source='/s', hostname='', username='svc', password=<secret>, "
        "token=<secret>)"
    )
    assert secret.reveal() == text


def test_secrets_compare_by_their_text():
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@given(content=st.binary(), name=st.sampled_from(["password", "token", "credential"]))
def test_whatever_a_file_holds_reading_it_only_makes_problems(
    tmp_path_factory, content, name
):
    path = tmp_path_factory.mktemp("s")
    files = {**GOOD, name: content}
    if name == "credential":
        files = {name: content}
    problems = []
    read_credentials([write_secret(path, **files)], problems=problems)
    assert all(problem.code.startswith("credential-") for problem in problems)
