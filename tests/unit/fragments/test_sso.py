import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import sso_settings

BASE = ["nautobot.core.authentication.ObjectPermissionBackend"]
ISSUER = "https://id.example.org/realms/understack"


def on(issuer=ISSUER, client_id="nautobot", secret="s3cret", scope=("groups",)):
    return {
        "AUTHENTICATION_BACKENDS": [
            "social_core.backends.open_id_connect.OpenIdConnectAuth",
            "nautobot.core.authentication.ObjectPermissionBackend",
        ],
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": issuer,
        "SOCIAL_AUTH_OIDC_KEY": client_id,
        "SOCIAL_AUTH_OIDC_SECRET": secret,
        "SOCIAL_AUTH_OIDC_SCOPE": list(scope),
    }


@pytest.fixture
def mounted(tmp_path):
    def mount(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", "-")
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        return {"UNDERSTACK_SSO_DIR": str(tmp_path)}

    return mount


def test_sso_with_mounted_secret_is_on(mounted):
    env = mounted(issuer=f"{ISSUER}\n", client_id="nb\n", client_secret="s3cret\n")

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on(client_id="nb")


def test_sso_without_client_id_uses_the_default(mounted):
    assert (
        sso_settings(
            {"AUTHENTICATION_BACKENDS": BASE},
            mounted(issuer=ISSUER, client_secret="s3cret"),
        )
        == on()
    )


def test_sso_with_variables_is_on():
    env = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
        "SOCIAL_AUTH_OIDC_SCOPE": "groups, email",
    }

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on(
        scope=("groups", "email")
    )


def test_sso_with_files_and_variables_is_on(mounted):
    env = {**mounted(issuer=ISSUER), "SOCIAL_AUTH_OIDC_SECRET": "s3cret"}

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on()


def test_sso_with_some_parts_in_the_settings_file_is_on():
    """A file that takes the secret from its variable by itself is one of these."""
    base = {
        "AUTHENTICATION_BACKENDS": BASE,
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_KEY": "of-file",
        "SOCIAL_AUTH_OIDC_SECRET": "of-file",
    }
    env = {"SOCIAL_AUTH_OIDC_SECRET": "s3cret"}

    assert sso_settings(base, env) == on(client_id="of-file")
    assert sso_settings(base, {}) == {"AUTHENTICATION_BACKENDS": BASE}


def test_sso_of_the_settings_file_beside_a_directory_with_other_names_is_kept(mounted):
    base = {"SOCIAL_AUTH_OIDC_SECRET": "of-file"}

    assert sso_settings(base, mounted(clientsecret="other")) == {}


def test_sso_of_variables_beside_a_directory_with_other_names_is_on(mounted):
    env = {
        **mounted(clientsecret="other"),
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
    }

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on()


@pytest.mark.parametrize(
    "files", [{}, {"issuer": "", "client_secret": ""}], ids=["no files", "empty files"]
)
def test_sso_with_empty_directory_is_off(mounted, files):
    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, mounted(**files)) == {
        "AUTHENTICATION_BACKENDS": BASE
    }


def test_sso_with_files_of_other_names_alone_is_refused(tmp_path):
    (tmp_path / "clientsecret").write_text("s3cret")

    assert refusal({"UNDERSTACK_SSO_DIR": str(tmp_path)}) == (
        f"UNDERSTACK_SSO_DIR: {tmp_path} has files, but none of issuer, client-id and "
        "client-secret. Rename the keys of the Secret, or mount none to switch "
        "sign-on off."
    )


def test_sso_without_default_directory_is_off():
    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, {}) == {
        "AUTHENTICATION_BACKENDS": BASE
    }
    assert sso_settings({}, {}) == {}


def refusal(env):
    with pytest.raises(SettingsError) as caught:
        sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env)
    return sentences(caught.value)


def test_sso_with_partial_secret_names_the_missing_part(mounted):
    env = mounted(issuer=ISSUER)
    directory = env["UNDERSTACK_SSO_DIR"]

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_SECRET: single sign-on has issuer, but no client-secret. "
        f"Set it, or store it in {directory}/client-secret; to do without single "
        "sign-on, remove the other parts."
    )


def test_sso_with_client_id_alone_names_both_missing_parts(mounted):
    env = {**mounted(client_secret=""), "SOCIAL_AUTH_OIDC_KEY": "nautobot"}
    directory = env["UNDERSTACK_SSO_DIR"]

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: single sign-on has client-id, but no issuer. "
        f"Set it, or store it in {directory}/issuer; to do without single sign-on, "
        "remove the other parts.\n"
        "SOCIAL_AUTH_OIDC_SECRET: single sign-on has client-id, but no client-secret. "
        f"Set it, or store it in {directory}/client-secret; to do without single "
        "sign-on, remove the other parts."
    )


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.org",
        "id.example.org",
        "https://",
        "https://[x",
        "https://id.example.org\nhttps://id.example.net",
        "https://id.example.org/a b",
        "https://id.example.org:x",
        "https://id.example.org:65536",
    ],
)
def test_sso_issuer_without_https_is_refused(mounted, issuer):
    env = mounted(issuer=issuer, client_secret="s3cret")

    assert refusal(env) == (
        f"UNDERSTACK_SSO_DIR: the issuer in {env['UNDERSTACK_SSO_DIR']}/issuer is not "
        "an https URL. Use the provider's https:// issuer URL."
    )


def test_sso_issuer_without_https_in_variable_is_refused(mounted):
    env = {
        **mounted(client_secret="s3cret"),
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "http://id.example.org",
    }

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: the issuer is not an https URL. "
        "Use the provider's https:// issuer URL."
    )


@pytest.mark.parametrize(
    ("issuer", "line"),
    [
        (
            f"{ISSUER}/.well-known/openid-configuration",
            "is the URL of the discovery document. Remove "
            "/.well-known/openid-configuration, which the client appends.",
        ),
        (
            f"{ISSUER}/.well-known/openid-configuration/",
            "is the URL of the discovery document. Remove "
            "/.well-known/openid-configuration, which the client appends.",
        ),
        (
            f"{ISSUER}?realm=a",
            "has a query or a fragment, which no issuer has. Use the provider's "
            "https:// issuer URL.",
        ),
        (
            f"{ISSUER}#a",
            "has a query or a fragment, which no issuer has. Use the provider's "
            "https:// issuer URL.",
        ),
    ],
)
def test_sso_issuer_that_cannot_be_appended_to_is_refused(issuer, line):
    env = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": issuer,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
    }

    assert refusal(env) == f"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: the issuer {line}"


def test_sso_issuer_loses_slash_at_its_end(mounted):
    """The client appends ``/.well-known``, and many providers know no ``//``."""
    assert (
        sso_settings({}, mounted(issuer=f"{ISSUER}/", client_secret="s3cret")) == on()
    )


def test_sso_issuer_of_the_file_is_judged_where_a_variable_completes_it():
    said = {"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "http://id.example.org"}

    with pytest.raises(SettingsError) as refused:
        sso_settings(said, {"SOCIAL_AUTH_OIDC_SECRET": "s3cret"})

    assert sentences(refused.value) == (
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: the issuer of the settings file is not an "
        "https URL. Use the provider's https:// issuer URL."
    )


def test_sso_scopes_of_the_variable_win_over_a_file_that_configures_the_rest():
    said = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
        "SOCIAL_AUTH_OIDC_SCOPE": ["email"],
    }

    assert sso_settings(said, {"SOCIAL_AUTH_OIDC_SCOPE": "groups"}) == on()


def test_sso_scopes_alone_leave_single_sign_on_off():
    assert sso_settings({}, {"SOCIAL_AUTH_OIDC_SCOPE": "groups"}) == {}


def test_sso_secret_with_line_break_leaves_single_sign_on_on():
    problems = []
    env = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret\n",
    }

    assert sso_settings({}, env, problems=problems) == on(secret="s3cret\n")
    assert [one.code for one in problems] == ["value-line-break"]


def test_sso_part_given_as_variable_and_file_is_refused(mounted):
    env = mounted(issuer=ISSUER, client_secret="s3cret")
    path = f"{env['UNDERSTACK_SSO_DIR']}/client-secret"

    assert refusal({**env, "SOCIAL_AUTH_OIDC_SECRET": "other"}) == (
        f"SOCIAL_AUTH_OIDC_SECRET: the file {path} is there as well. "
        "Remove one of the two."
    )


def test_sso_directory_that_is_set_and_missing_is_refused(tmp_path):
    directory = tmp_path / "missing"

    assert refusal({"UNDERSTACK_SSO_DIR": str(directory)}) == (
        f"UNDERSTACK_SSO_DIR: {directory} does not exist. Mount the secret there, or "
        "unset UNDERSTACK_SSO_DIR to do without single sign-on."
    )


def test_sso_directory_that_cannot_be_read_as_a_path_is_one_problem():
    """Nothing is said of the default, which nobody asked for."""
    assert refusal({"UNDERSTACK_SSO_DIR": "'/opt/sso'"}) == (
        "UNDERSTACK_SSO_DIR: the value is wrapped in quotes. "
        "Remove the quotes; they are part of the value."
    )


@pytest.mark.parametrize(
    ("said", "env", "expected"),
    [
        (
            {"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER, "SOCIAL_AUTH_OIDC_KEY": "nb"},
            {"SOCIAL_AUTH_OIDC_SECRET": "s3cret"},
            on(client_id="nb"),
        ),
        (
            {"SOCIAL_AUTH_OIDC_SECRET": "of the file"},
            {"SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER},
            on(secret="of the file"),
        ),
        (
            {"SOCIAL_AUTH_OIDC_SECRET": "of the file"},
            {
                "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
                "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
            },
            on(),
        ),
        ({"SOCIAL_AUTH_OIDC_SECRET": "of the file"}, {}, {}),
    ],
    ids=["issuer and client id", "secret", "variable wins", "the file alone"],
)
def test_sso_part_of_the_file_is_kept_unless_a_variable_is_set(said, env, expected):
    assert sso_settings(said, env) == expected


def test_sso_directory_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    assert refusal({"UNDERSTACK_SSO_DIR": str(path)}) == (
        f"UNDERSTACK_SSO_DIR: {path} is not a directory. "
        "Check the mount, and securityContext.fsGroup of the pod."
    )


def test_sso_part_that_is_a_directory_is_refused(mounted, tmp_path):
    (tmp_path / "client-secret").mkdir()

    assert refusal(mounted(issuer=ISSUER)) == (
        f"UNDERSTACK_SSO_DIR: {tmp_path}/client-secret is a directory, not a file. "
        "Check the mount, and securityContext.fsGroup of the pod."
    )


def test_sso_part_that_is_not_utf8_is_refused(mounted, tmp_path):
    assert refusal(mounted(issuer=ISSUER, client_secret=b"\xff\xfes")) == (
        f"UNDERSTACK_SSO_DIR: {tmp_path}/client-secret does not "
        "hold UTF-8 text. Check the mount, and securityContext.fsGroup of the pod."
    )


def test_authentication_backends_of_base_are_not_changed(mounted):
    base = list(BASE)

    sso_settings(
        {"AUTHENTICATION_BACKENDS": base},
        mounted(issuer=ISSUER, client_secret="s3cret"),
    )["AUTHENTICATION_BACKENDS"].append("x")

    assert base == BASE
    assert (
        sso_settings(
            {"AUTHENTICATION_BACKENDS": BASE},
            mounted(issuer=ISSUER, client_secret="s3cret"),
        )
        == on()
    )


@pytest.mark.parametrize(
    ("backends", "codes"),
    [
        (["x.Backend", *BASE], ["sso-backend-missing"]),
        (["my.OpenIdConnectAuth", *BASE], []),
    ],
    ids=["other", "own"],
)
def test_backends_that_the_file_chose_are_kept(backends, codes):
    """A list without OpenID Connect makes the configuration useless: one warning."""
    env = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
    }
    problems = []

    found = sso_settings({"AUTHENTICATION_BACKENDS": backends}, env, problems=problems)

    assert found["AUTHENTICATION_BACKENDS"] == backends
    assert [one.code for one in problems] == codes


def test_sso_is_judged_whatever_other_fragments_found(mounted):
    with pytest.raises(SettingsError) as caught:
        sso_settings({}, {"SOCIAL_AUTH_OIDC_SECRET": "s3cret"})
    (error,) = caught.value.problems
    complete = mounted(issuer=ISSUER, client_secret="s3cret")
    partial = {"SOCIAL_AUTH_OIDC_KEY": "nb"}
    problems = [error]

    assert sso_settings({}, complete, problems=problems) == on()
    assert sso_settings({}, partial, problems=problems) == {}
    assert len(problems) == 3


def test_sso_file_is_read_as_its_variable(mounted):
    """A client secret is free text: one line end goes, blanks are part of it."""
    files = mounted(issuer=f" {ISSUER}\n", client_id=" nb\r\n", client_secret=" s3 \n")

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, files) == on(
        client_id="nb", secret=" s3 "
    )


def test_sso_file_with_quoted_value_is_refused(mounted, tmp_path):
    env = mounted(issuer=f'"{ISSUER}"', client_secret="s3cret")

    with pytest.raises(SettingsError) as refused:
        sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env)

    assert str(refused.value).startswith(
        f"{tmp_path}/issuer: the value is wrapped in quotes. Remove the quotes; they "
        "are part of the value. [value-quoted]\n"
    )
