import pytest

from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import hardening_settings

ON = {
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "CSRF_COOKIE_SECURE": True,
    "CSRF_COOKIE_SAMESITE": "Lax",
    "SECURE_HSTS_SECONDS": 31536000,
    "SECURE_CONTENT_TYPE_NOSNIFF": True,
}


@pytest.mark.parametrize(
    "env", [{}, {"UNDERSTACK_HARDENING": ""}, {"UNDERSTACK_HARDENING": "off"}]
)
def test_hardening_switched_off_sets_nothing(env):
    assert hardening_settings({"DEBUG": True, "ALLOWED_HOSTS": ["*"]}, env) == {}


def test_hardening_switched_on_secures_cookies_and_transport():
    env = {"UNDERSTACK_HARDENING": "on"}

    assert (
        hardening_settings(
            {"DEBUG": False, "ALLOWED_HOSTS": ["nautobot.example.org"]}, env
        )
        == ON
    )


def test_hsts_lifetime_can_be_set():
    env = {"UNDERSTACK_HARDENING": "on", "UNDERSTACK_HSTS_SECONDS": "300"}

    assert hardening_settings({"DEBUG": False, "ALLOWED_HOSTS": []}, env) == {
        **ON,
        "SECURE_HSTS_SECONDS": 300,
    }


@pytest.mark.parametrize("hosts", [["*"], ["nautobot.example.org", "*"]])
def test_hardening_with_debug_and_any_host_is_refused_for_both(hosts):
    env = {
        "UNDERSTACK_HARDENING": "on",
        "NAUTOBOT_DEBUG": "true",
        "NAUTOBOT_ALLOWED_HOSTS": " ".join(hosts),
    }

    with pytest.raises(SettingsError) as caught:
        hardening_settings({"DEBUG": True, "ALLOWED_HOSTS": hosts}, env)

    assert sentences(caught.value) == (
        "UNDERSTACK_HARDENING: DEBUG is on, and its error pages show settings to "
        "everybody. Unset NAUTOBOT_DEBUG.\n"
        "UNDERSTACK_HARDENING: ALLOWED_HOSTS is '*', so any Host header is accepted. "
        "List the host names in NAUTOBOT_ALLOWED_HOSTS."
    )


@pytest.mark.parametrize("hosts", ["", "*.example"])
def test_hardening_with_debug_and_any_host_of_the_file_names_the_file(hosts):
    """Variables that are not set, or say something else, cannot be unset."""
    env = {"UNDERSTACK_HARDENING": "on", "NAUTOBOT_ALLOWED_HOSTS": hosts}

    with pytest.raises(SettingsError) as caught:
        hardening_settings({"DEBUG": True, "ALLOWED_HOSTS": ["*"]}, env)

    assert sentences(caught.value) == (
        "UNDERSTACK_HARDENING: DEBUG is on, and its error pages show settings to "
        "everybody. Remove DEBUG from the settings file, which assigns it.\n"
        "UNDERSTACK_HARDENING: ALLOWED_HOSTS is '*', so any Host header is accepted. "
        "Remove ALLOWED_HOSTS from the settings file, which assigns it. List the host "
        "names in NAUTOBOT_ALLOWED_HOSTS."
    )
