import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.credentials import read_bootstrap
from understack_nautobot_settings.accounts.credentials import read_credentials
from understack_nautobot_settings.reconciliation.secret import Secret

TOKEN = "5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83"
OTHER_TOKEN = "e1e7094ae9a35ae6f6a2e4d8c41c0a0d1a6a5f2b"
PASSWORD = "Correct-Horse-7"
CANARY = "canary-never-to-be-seen"
ONE_EACH = "Give every user one secret and a token of its own."
FORM = (
    "Mount a secret with the files username, password and token, or username, email "
    'and apiToken, or with the JSON object {"credential": {"username": ..., '
    '"password": ...}}.'
)


def write_secret(directory, **files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (directory / name).write_bytes(data)
    return str(directory)


def documented(username="svc", password=PASSWORD, token=TOKEN):
    """The JSON that the secret backend stores."""
    inner = json.dumps({"password": password, "token": token})
    return json.dumps({"credential": {"username": username, "password": inner}})


def read(*paths):
    problems = []
    credentials = read_credentials(paths, problems=problems)
    return credentials, [str(problem) for problem in problems]


def plain(credential):
    return (
        credential.username,
        credential.password.reveal(),
        credential.token.reveal(),
    )


@pytest.mark.parametrize(
    "files",
    [
        {"username": "svc", "password": PASSWORD, "token": TOKEN},
        {"username": "svc\n", "password": f"{PASSWORD}\n", "token": f" {TOKEN}\n"},
        {"username": "svc", "password": f"{PASSWORD}\r\n", "token": f"{TOKEN}\r\n"},
        {"credential": documented()},
        {"credential": json.dumps(json.loads(documented())["credential"])},
        {
            "credential": json.dumps(
                {"username": "svc", "password": PASSWORD, "token": TOKEN}
            )
        },
        {
            "credential": json.dumps(
                {"username": "svc", "password": {"password": PASSWORD, "token": TOKEN}}
            )
        },
        {
            "credential": json.dumps(
                {"credential": json.dumps(json.loads(documented())["credential"])}
            )
        },
        {
            "username": "svc",
            "password": json.dumps({"password": PASSWORD, "token": TOKEN}),
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
def test_secret_is_read_in_every_documented_form(tmp_path, files):
    credentials, problems = read(write_secret(tmp_path / "s", **files))
    assert problems == []
    assert [plain(one) for one in credentials] == [("svc", PASSWORD, TOKEN)]


def test_hostname_of_bootstrap_secret_is_read(tmp_path):
    path = write_secret(tmp_path / "s", hostname="nautobot.example.com\n", token=TOKEN)
    problems = []

    assert read_bootstrap(path, problems=problems) == (
        Secret(TOKEN),
        "nautobot.example.com",
    )
    assert read_bootstrap(f"{path}/token", problems=problems) == (Secret(TOKEN), "")
    assert problems == []


def test_directory_of_secrets_is_read_sorted_by_username(tmp_path):
    """What Kubernetes keeps behind names with two dots is not read twice."""
    write_secret(tmp_path / "b", username="b", password=PASSWORD, token=TOKEN)
    write_secret(
        tmp_path / "..2026" / "x", username="x", password=PASSWORD, token=TOKEN
    )
    (tmp_path / "a.json").write_text(documented("a", token=OTHER_TOKEN))
    (tmp_path / "README").write_text("not a secret")
    credentials, problems = read(str(tmp_path))
    assert problems == []
    assert [one.username for one in credentials] == ["a", "b"]


def test_json_file_can_be_named(tmp_path):
    path = tmp_path / "secret"
    path.write_text(documented())
    credentials, problems = read(str(path))
    assert problems == []
    assert [one.source for one in credentials] == [str(path)]


def test_secret_mounted_twice_is_read_once(tmp_path):
    """The document mounts one user's secret in several namespaces."""
    first = write_secret(tmp_path / "1", username="svc", password=PASSWORD, token=TOKEN)
    second = write_secret(tmp_path / "2", credential=documented())
    credentials, problems = read(first, second)
    assert problems == []
    assert [one.source for one in credentials] == [first]


GOOD = {"username": "svc", "password": PASSWORD, "token": TOKEN}


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
            "{path}: Nautobot does not accept the username. Use 1 to 150 "
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
            "{path}/password: does not hold UTF-8 text. Mount the secret, or correct "
            "the path.",
        ),
        (
            {"credential": f'{{"credential": {CANARY}'},
            "{path}/credential: is not a JSON object at line 1, column 16. " + FORM,
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
            "{path}/credential: is not a JSON object. " + FORM,
        ),
        (
            {"credential": json.dumps({"username": "svc", "token": 7})},
            "{path}: 'token' is not a string. " + FORM,
        ),
        (
            {"username": "svc", "password": f'{{"{CANARY}'},
            "{path}: is not a JSON object at line 1, column 2. " + FORM,
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
def test_secret_with_fault_is_refused(tmp_path, files, line):
    path = write_secret(tmp_path / "s", **files)
    credentials, problems = read(path)
    assert credentials == []
    assert problems == [line.replace("{path}", path)]


def test_json_with_a_field_twice_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text(
        f'{{"username": "svc", "token": "{TOKEN}", "password": "a", "password": "b"}}'
    )

    credentials, problems = read(str(path))

    assert credentials == []
    assert [line.partition(". ")[0] for line in problems] == [
        f"{path}: has a field twice"
    ]


def test_missing_directory_is_refused(tmp_path):
    path = str(tmp_path / "none")
    assert read(path) == (
        [],
        [f"{path}: does not exist. Mount the secret, or correct the path."],
    )


def test_dangling_link_is_refused(tmp_path):
    path = write_secret(tmp_path / "s", username="svc", password=PASSWORD)
    os.symlink("nowhere", f"{path}/token")
    assert read(path) == (
        [],
        [f"{path}/token: does not exist. Mount the secret, or correct the path."],
    )


def test_two_secrets_for_one_user_are_both_refused(tmp_path):
    first = write_secret(tmp_path / "1", **GOOD)
    second = write_secret(tmp_path / "2", **{**GOOD, "token": OTHER_TOKEN})
    assert read(first, second) == (
        [],
        [f"{second}: {first} says something else of the user 'svc'. {ONE_EACH}"],
    )


def test_one_token_for_two_users_is_refused_for_both(tmp_path):
    first = write_secret(tmp_path / "1", **GOOD)
    second = write_secret(tmp_path / "2", **{**GOOD, "username": "other"})
    third = write_secret(
        tmp_path / "3", username="third", password=PASSWORD, token=OTHER_TOKEN
    )
    credentials, problems = read(first, second, third)
    assert [one.username for one in credentials] == ["third"]
    assert problems == [
        f"{second}: the token of 'other' is also that of 'svc' in {first}. {ONE_EACH}"
    ]


def test_other_secrets_are_read_beside_an_unusable_one(tmp_path):
    write_secret(tmp_path / "bad", username="bad")
    write_secret(tmp_path / "good", **GOOD)
    credentials, problems = read(str(tmp_path))
    assert [one.username for one in credentials] == ["svc"]
    assert problems == [f"{tmp_path}/bad: has no password, no token. {FORM}"]


def test_bootstrap_token_is_read_from_a_file_or_its_directory(tmp_path):
    path = write_secret(tmp_path / "s", token=f"{TOKEN}\n")
    problems = []
    assert read_bootstrap(path, problems=problems) == (Secret(TOKEN), "")
    assert read_bootstrap(f"{path}/token", problems=problems) == (Secret(TOKEN), "")
    assert problems == []


def test_bootstrap_token_of_wrong_length_is_refused(tmp_path):
    path = write_secret(tmp_path / "s", token=CANARY)
    problems = []
    assert read_bootstrap(path, problems=problems) is None
    assert [str(problem) for problem in problems] == [
        f"{path}: the token has 23 characters. Nautobot takes exactly 40, such as "
        "'openssl rand -hex 20' prints."
    ]


@given(st.text(min_size=1))
def test_secret_is_never_shown_in_output(text):
    """Printing, formatting, representing: none of them lets the text through."""
    secret = Secret(text)
    credential = Credential("/s", "svc", secret, secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % (secret,)]  # noqa: UP031
    assert shown == ["<secret>"] * 5
    assert repr(credential) == (
        "Credential(source='/s', username='svc', password=<secret>, token=<secret>, "
        "email=None, superuser=None)"
    )
    assert secret.reveal() == text


def test_secrets_compare_by_their_text():
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@given(content=st.binary(), name=st.sampled_from(["password", "token", "credential"]))
def test_secret_with_any_content_gives_problems_and_never_raises(
    tmp_path_factory, content, name
):
    path = tmp_path_factory.mktemp("s")
    files = {**GOOD, name: content}
    if name == "credential":
        files = {name: content}
    problems = []
    read_credentials([write_secret(path, **files)], problems=problems)
    assert all(problem.code.startswith("credential-") for problem in problems)


# --- the secrets of UnderStack's chart --------------------------------------------

CHART = {"username": "svc", "email": "svc@example.com", "apiToken": TOKEN}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (CHART, Credential("", "svc", None, Secret(TOKEN), "svc@example.com")),
        (
            {"username": "svc", "email": "svc@example.com", "apitoken": TOKEN},
            Credential("", "svc", None, Secret(TOKEN), "svc@example.com"),
        ),
        (
            {**CHART, "isSuperuser": "true\n"},
            Credential("", "svc", None, Secret(TOKEN), "svc@example.com", True),
        ),
        (
            {**CHART, "is_superuser": "False"},
            Credential("", "svc", None, Secret(TOKEN), "svc@example.com", False),
        ),
        (
            {**CHART, "password": PASSWORD},
            Credential("", "svc", Secret(PASSWORD), Secret(TOKEN), "svc@example.com"),
        ),
    ],
    ids=["apiToken", "apitoken", "superuser", "no superuser", "with a password"],
)
def test_secret_of_chart_is_read(tmp_path, files, expected):
    path = write_secret(tmp_path / "s", **files)

    assert read(path) == ([expected._replace(source=path)], [])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda users: users,
        lambda users: {"users": users},
        lambda users: {"tokens": users},
        lambda users: {"tokens": users[1:], "users": users[:1]},
    ],
    ids=["bare", "users", "tokens", "both"],
)
def test_list_of_users_is_read(tmp_path, wrap):
    users = [
        {**CHART, "isSuperuser": True},
        {"username": "b", "email": "b@example.com", "api_token": OTHER_TOKEN},
    ]
    path = tmp_path / "users.json"
    path.write_text(json.dumps(wrap(users)))
    credentials, problems = read(str(path))

    assert problems == []
    assert credentials == [
        Credential(f"{path}[1]", "b", None, Secret(OTHER_TOKEN), "b@example.com"),
        Credential(f"{path}[0]", "svc", None, Secret(TOKEN), "svc@example.com", True),
    ]


def test_every_malformed_user_of_list_is_named_and_the_others_are_read(tmp_path):
    users = [
        7,
        {**CHART, "username": "a"},
        {"username": "b", "email": "b@example.com"},
        None,
        {**CHART, "username": "c", "apiToken": OTHER_TOKEN},
        {**CHART, "username": "no such/name"},
        {"credential": "{"},
    ]
    path = tmp_path / "users.json"
    path.write_text(json.dumps(users))
    credentials, problems = read(str(path))

    assert [one.username for one in credentials] == ["a", "c"]
    assert problems == [
        f"{path}[0]: is not a JSON object. {FORM}",
        f"{path}[2]: has no token. {FORM}",
        f"{path}[3]: has no username, no password, no token. {FORM}",
        f"{path}[5]: Nautobot does not accept the username. Use 1 to 150 letters, "
        "digits, '@', '.', '+', '-' or '_'.",
        f"{path}[6]: is not a JSON object at line 1, column 2. {FORM}",
    ]


@pytest.mark.parametrize("content", [[], {"users": []}, {"tokens": []}])
def test_empty_list_of_users_is_a_problem(tmp_path, content):
    """Otherwise every account would look stale, and go with --prune."""
    path = tmp_path / "users.json"
    path.write_text(json.dumps(content))

    assert read(str(path)) == ([], [f"{path}: holds no credential. {FORM}"])


@pytest.mark.parametrize(
    ("field", "fact"),
    [
        (
            {"password": "\ud83dabcdefghijkl"},
            f"'password' holds half a character. {FORM}",
        ),
        ({"username": "a\udc80"}, f"'username' holds half a character. {FORM}"),
        (
            {"email": "a\0@example.com"},
            "'email' is not an email address. Write an address such as "
            "svc@example.com, or leave it out.",
        ),
    ],
    ids=["half a character", "half a character in the name", "NUL"],
)
def test_json_with_characters_that_no_nautobot_takes_is_refused(tmp_path, field, fact):
    path = tmp_path / "secret"
    path.write_text(json.dumps([{**CHART, **field}, {**CHART, **field}]))

    assert read(str(path)) == ([], [f"{path}[0]: {fact}", f"{path}[1]: {fact}"])


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"email": "x"}, "{path}: has no username, no token. " + FORM),
        (
            {**CHART, "email": "nobody"},
            "{path}: 'email' is not an email address. Write an address such as "
            "svc@example.com, or leave it out.",
        ),
        (
            {**CHART, "superuser": "perhaps"},
            "{path}: 'isSuperuser' or 'superuser' is neither true nor false. Write "
            "true or false.",
        ),
        ({**CHART, "token": OTHER_TOKEN}, "{path}: has two different tokens. " + FORM),
    ],
    ids=["incomplete", "email", "superuser", "two tokens"],
)
def test_secret_of_chart_with_fault_is_refused(tmp_path, fields, line):
    path = write_secret(tmp_path / "s", **fields)

    assert read(path) == ([], [line.replace("{path}", path)])


@pytest.mark.parametrize("name", ["apitoken", "apiToken", "token"])
def test_token_directory_may_use_name_of_chart(tmp_path, name):
    path = write_secret(tmp_path / "s", **{name: TOKEN, "username": "admin"})
    problems = []

    assert read_bootstrap(path, problems=problems) == (Secret(TOKEN), "")
    assert problems == []


@pytest.mark.parametrize(
    ("token", "password", "weak"),
    [
        ("a" * 40, PASSWORD, ["token"]),
        ("ab" * 20, PASSWORD, ["token"]),
        ("0123456789" * 4, PASSWORD, ["token"]),
        (
            "0123456789abcdefghijklmnopqrstuvwxyzABCD",
            PASSWORD,
            ["token"],
        ),
        (TOKEN, "password1", ["password"]),
        (TOKEN, "aaaaaaaaaaaaaaaa", ["password"]),
        (TOKEN, "the-svc-password", ["password"]),
        (TOKEN, TOKEN[:20], ["password"]),
        (TOKEN, PASSWORD, []),
    ],
    ids=[
        "one letter",
        "two letters",
        "digits again and again",
        "counted up",
        "short",
        "one letter many times",
        "username inside",
        "part of the token",
        "strong",
    ],
)
def test_weak_secret_is_reported_and_used(tmp_path, token, password, weak):
    files = {"username": "svc", "password": password, "token": token}
    path = write_secret(tmp_path / "s", **files)
    credentials, problems = read(path)

    assert len(credentials) == 1
    assert problems == [
        f"{path}: the {name} of 'svc' is easy to guess. Store a random one, such as "
        "openssl rand -hex 20 prints."
        for name in weak
    ]


# --- what is mounted may be anything -----------------------------------------------


def test_secret_that_is_not_a_file_is_reported(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    write_secret(tmp_path / "good", **GOOD)
    credentials, problems = read(str(tmp_path))

    assert [one.username for one in credentials] == ["svc"]
    assert problems == [
        f"{tmp_path}/gone: does not exist. Mount the secret, or correct the path.",
        f"{tmp_path}/pipe: is a named pipe, not a file. Mount the secret, or correct "
        "the path.",
    ]


def test_field_linked_to_endless_device_is_refused(tmp_path):
    path = write_secret(tmp_path / "s", username="svc", password=PASSWORD)
    os.symlink("/dev/zero", f"{path}/token")

    assert read(path) == (
        [],
        [
            f"{path}/token: is a device, not a file. Mount the secret, or correct the "
            "path."
        ],
    )


@pytest.mark.parametrize("names", [(), ("README",)])
def test_directory_without_secrets_is_a_problem(tmp_path, names):
    """Otherwise every account would look stale, and go with --prune."""
    for name in names:
        (tmp_path / name).write_text("text")

    assert read(str(tmp_path)) == ([], [f"{tmp_path}: holds no credential. {FORM}"])


@pytest.mark.parametrize(
    "content", ['{"token": 7}', '{"token": null}', '{"token": ""}', '{"username": "a"}']
)
def test_bootstrap_secret_without_token_is_refused(tmp_path, content):
    path = write_secret(tmp_path / "s", credential=content)
    problems = []

    assert read_bootstrap(path, problems=problems) is None
    assert [str(problem) for problem in problems] == [
        f"{path}: has no token. Complete the entry in the secret backend, or the "
        "template of the ExternalSecret."
    ]
