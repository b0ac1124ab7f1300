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


def test_a_mounted_secret_turns_it_on(mounted):
    env = mounted(issuer=f"{ISSUER}\n", client_id="nb\n", client_secret="s3cret\n")

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on(client_id="nb")


def test_the_client_id_has_a_default(mounted):
    assert (
        sso_settings(
            {"AUTHENTICATION_BACKENDS": BASE},
            mounted(issuer=ISSUER, client_secret="s3cret"),
        )
        == on()
    )


def test_variables_turn_it_on():
    env = {
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": ISSUER,
        "SOCIAL_AUTH_OIDC_SECRET": "s3cret",
        "SOCIAL_AUTH_OIDC_SCOPE": "groups, email",
    }

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on(
        scope=("groups", "email")
    )


def test_files_and_variables_complete_each_other(mounted):
    env = {**mounted(issuer=ISSUER), "SOCIAL_AUTH_OIDC_SECRET": "s3cret"}

    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env) == on()


def test_an_empty_directory_means_off(mounted):
    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, mounted()) == {
        "AUTHENTICATION_BACKENDS": BASE
    }


def test_nothing_at_the_default_path_means_off():
    assert sso_settings({"AUTHENTICATION_BACKENDS": BASE}, {}) == {
        "AUTHENTICATION_BACKENDS": BASE
    }
    assert sso_settings({}, {}) == {}


def refusal(env):
    with pytest.raises(SettingsError) as caught:
        sso_settings({"AUTHENTICATION_BACKENDS": BASE}, env)
    return sentences(caught.value)


def test_a_partial_secret_names_what_is_missing(mounted):
    env = mounted(issuer=ISSUER)
    directory = env["UNDERSTACK_SSO_DIR"]

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_SECRET: single sign-on has issuer, but no client-secret. "
        f"Set it, or add the file {directory}/client-secret; remove the others for no "
        "single sign-on."
    )


def test_a_client_id_alone_lacks_both_others(mounted):
    env = {**mounted(client_secret=""), "SOCIAL_AUTH_OIDC_KEY": "nautobot"}
    directory = env["UNDERSTACK_SSO_DIR"]

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: single sign-on has client-id, but no issuer. "
        f"Set it, or add the file {directory}/issuer; remove the others for no single "
        "sign-on.\n"
        "SOCIAL_AUTH_OIDC_SECRET: single sign-on has client-id, but no client-secret. "
        f"Set it, or add the file {directory}/client-secret; remove the others for no "
        "single sign-on."
    )


@pytest.mark.parametrize(
    "issuer", ["http://id.example.org", "id.example.org", "https://", "https://[x"]
)
def test_an_issuer_without_tls_is_refused(mounted, issuer):
    env = mounted(issuer=issuer, client_secret="s3cret")

    assert refusal(env) == (
        f"UNDERSTACK_SSO_DIR: the issuer in {env['UNDERSTACK_SSO_DIR']}/issuer is not "
        "an https URL. Use the provider's https:// issuer URL."
    )


def test_an_issuer_without_tls_is_refused_in_a_variable(mounted):
    env = {
        **mounted(client_secret="s3cret"),
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "http://id.example.org",
    }

    assert refusal(env) == (
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: the issuer is not an https URL. "
        "Use the provider's https:// issuer URL."
    )


def test_a_part_given_twice_is_refused(mounted):
    env = mounted(issuer=ISSUER, client_secret="s3cret")
    path = f"{env['UNDERSTACK_SSO_DIR']}/client-secret"

    assert refusal({**env, "SOCIAL_AUTH_OIDC_SECRET": "other"}) == (
        f"SOCIAL_AUTH_OIDC_SECRET: the file {path} is there as well. "
        "Remove one of the two."
    )


def test_a_directory_that_somebody_named_has_to_exist(tmp_path):
    directory = tmp_path / "missing"

    assert refusal({"UNDERSTACK_SSO_DIR": str(directory)}) == (
        f"UNDERSTACK_SSO_DIR: {directory} does not exist. "
        "Check the mount of the single sign-on secret."
    )


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    assert refusal({"UNDERSTACK_SSO_DIR": str(path)}) == (
        f"UNDERSTACK_SSO_DIR: {path} is not a directory. "
        "Check the mount of the single sign-on secret."
    )


def test_a_part_that_cannot_be_read_is_refused(mounted, tmp_path):
    (tmp_path / "client-secret").mkdir()

    assert refusal(mounted(issuer=ISSUER)) == (
        f"UNDERSTACK_SSO_DIR: {tmp_path}/client-secret is a directory, not a file. "
        "Check the mount of the single sign-on secret."
    )


def test_a_part_that_is_not_text_is_refused(mounted, tmp_path):
    assert refusal(mounted(issuer=ISSUER, client_secret=b"\xff\xfes")) == (
        f"UNDERSTACK_SSO_DIR: {tmp_path}/client-secret does not "
        "hold UTF-8 text. Check the mount of the single sign-on secret."
    )


def test_the_base_is_not_changed(mounted):
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
