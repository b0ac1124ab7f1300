"""Faults of hand-written configurations: what is owed instead, in whole sentences.

One row for each fault that settings decide. Every environment carries secrets, and
whatever comes out of a row is searched for them.
"""

import traceback

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from tests.refusals import sentences
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks import start_up
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.start_up import startup_line
from understack_nautobot_settings.evaluation import evaluate

CANARY = "canary"
SECRETS = {
    "NAUTOBOT_SECRET_KEY": f"{CANARY}-of-the-key-{'x' * 50}",
    "NAUTOBOT_DB_PASSWORD": f"{CANARY}-of-the-database",
    "NAUTOBOT_REDIS_PASSWORD": f"{CANARY}/of#redis?[1]%41",
    "PLUGIN_TOKEN": f"{CANARY}-of-a-plugin",
    "UNDERSTACK_REDIS_MTLS": "off",
}
CONFIG = "NAUTOBOT_EXTRA_PLUGINS_CONFIG"
MODES = "Use verify-full, verify-ca or require; disable for plain TCP."
IN_CLEAR = (
    "is refused: it falls back to plain text when the server, or an attacker in its "
    "place, refuses TLS. " + MODES
)
URL_TLS = (
    "which replaces the configured TLS. Remove it and use the variables "
    "NAUTOBOT_REDIS_SSL_*."
)


def row(name, env, *sentences):
    return pytest.param(env, list(sentences), id=name)


REFUSED = [
    row(
        "misspelt",
        {"NAUTOBOT_DB_SSLMODE": "verify_full"},
        "NAUTOBOT_DB_SSLMODE: 'verify_full' is not a valid sslmode. "
        "Did you mean verify-full? (Also valid: verify-ca, require; disable for plain "
        "TCP.)",
    ),
    row(
        "wrong case",
        {"NAUTOBOT_DB_SSLMODE": "Verify-CA"},
        "NAUTOBOT_DB_SSLMODE: 'Verify-CA' is not a valid sslmode. "
        "Did you mean verify-ca? (Also valid: verify-full, require; disable for plain "
        "TCP.)",
    ),
    row(
        "a truth value",
        {"NAUTOBOT_DB_SSLMODE": "true"},
        "NAUTOBOT_DB_SSLMODE: 'true' is not a valid sslmode. " + MODES,
    ),
    row(
        "prefer",
        {"NAUTOBOT_DB_SSLMODE": "prefer"},
        f"NAUTOBOT_DB_SSLMODE: 'prefer' {IN_CLEAR}",
    ),
    row(
        "allow",
        {"NAUTOBOT_DB_SSLMODE": "allow"},
        f"NAUTOBOT_DB_SSLMODE: 'allow' {IN_CLEAR}",
    ),
    row(
        "an unknown requirement",
        {"NAUTOBOT_REDIS_SSL_CERT_REQS": "yes"},
        "NAUTOBOT_REDIS_SSL_CERT_REQS: 'yes' is not a valid certificate requirement. "
        "Use required, optional or none.",
    ),
    row(
        "TLS options in the broker URL",
        {
            "NAUTOBOT_CELERY_BROKER_URL": (
                f"rediss://:{CANARY}@b/0?ssl_cert_reqs=none&ssl_check_hostname=0"
            )
        },
        f"NAUTOBOT_CELERY_BROKER_URL: the URL sets ssl_cert_reqs, {URL_TLS}",
        f"NAUTOBOT_CELERY_BROKER_URL: the URL sets ssl_check_hostname, {URL_TLS}",
    ),
    *(
        row(
            f"a broker URL with {character} in its password",
            {
                "NAUTOBOT_CELERY_BROKER_URL": (
                    f"redis://:{CANARY}{character}{CANARY}@redis:6379/0"
                )
            },
            "NAUTOBOT_CELERY_BROKER_URL: the URL cannot be taken apart into host, port "
            "and password. Percent-encode the password in it: %2F for /, %23 for #, "
            "%3F for ?.",
        )
        for character in "/#?"
    ),
    row(
        "a broker URL whose password begins like a port",
        {"NAUTOBOT_CELERY_BROKER_URL": f"redis://:12/{CANARY}@redis:6379/0"},
        "NAUTOBOT_CELERY_BROKER_URL: the URL cannot be taken apart into host, port and "
        "password. Percent-encode the password in it: %2F for /, %23 for #, %3F for ?.",
    ),
    row(
        "no secret key",
        {"NAUTOBOT_SECRET_KEY": ""},
        "NAUTOBOT_SECRET_KEY: there is no secret key. Set NAUTOBOT_SECRET_KEY, or "
        "NAUTOBOT_SECRET_KEY_FILE, to the value that all pods share.",
    ),
    *(
        row(name, {CONFIG: text}, f"{CONFIG}: {sentence}")
        for name, text, sentence in (
            (
                "not JSON",
                f'{{"a": {{"token": "{CANARY}",}}}}',
                "the text is not JSON at line 1, column 25: there is a comma too many. "
                "Correct the JSON at the line and column of the message.",
            ),
            (
                "a list of pairs",
                f'[["a", "{CANARY}"]]',
                "the JSON at line 1, column 1 is an array, not an object. Write one "
                "object: braces around names and values.",
            ),
            (
                "a byte order mark",
                f'\ufeff{{"a": {{"token": "{CANARY}"}}}}',
                "the text has a byte order mark at line 1, column 1. Save it as UTF-8 "
                "without a byte order mark.",
            ),
            (
                "NaN",
                f'{{"a": {{"{CANARY}": NaN}}}}',
                "the JSON at line 1, column 18 has NaN, Infinity or a number too large "
                "to be kept. Write a finite number, or a string.",
            ),
            (
                "a name twice",
                f'{{"a": {{"{CANARY}": 1, "{CANARY}": 2}}}}',
                "the JSON at line 1, column 21 gives a name a second time in the same "
                "object. Remove one of the two.",
            ),
        )
    ),
    row(
        "variables that are unset, all of them",
        {
            CONFIG: f'{{"a": {{"t": "${{NOT_SET}}", "b": [{{"c": "{CANARY}${{NOR}}"}}'
            "]}}"
        },
        f"{CONFIG}: a.t refers to NOT_SET, which is not set. Set the variable, or "
        "give a default, as in ${NAME:-text}.",
        f"{CONFIG}: a.b[0].c refers to NOR, which is not set. Set the variable, or "
        "give a default, as in ${NAME:-text}.",
    ),
    row(
        "null and text for a whole plugin",
        {CONFIG: f'{{"nautobot_golden_config": null, "b": "{CANARY}"}}'},
        f"{CONFIG}: the configuration of 'nautobot_golden_config' is null. Write an "
        "object, {} for none.",
        f"{CONFIG}: the configuration of 'b' is not an object. Write an object, {{}} "
        "for none.",
    ),
    row(
        "a malformed reference",
        {CONFIG: f'{{"a": {{"t": "{CANARY} ${{NOT SET}}"}}}}'},
        f"{CONFIG}: a.t has a malformed reference at character 8. Write ${{NAME}}, "
        "${NAME:-default} or, with a type (bool, int, float or json), ${NAME|int}; "
        "$${ for ${ itself.",
    ),
    row(
        "a plugin that is not installed, strictly",
        {
            "NAUTOBOT_EXTRA_PLUGINS": "nowhere_to_be_found",
            "NAUTOBOT_EXTRA_PLUGINS_STRICT": "true",
        },
        "NAUTOBOT_EXTRA_PLUGINS: 'nowhere_to_be_found' is not installed. Install it in "
        "the image, or correct the name.",
    ),
    row(
        "a partial sign-on secret",
        {"SOCIAL_AUTH_OIDC_SECRET": f"{CANARY}-of-sign-on"},
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: single sign-on has client-secret, but no "
        "issuer. Set it, or store it in /opt/nautobot/sso/issuer; to do without single "
        "sign-on, remove the other parts.",
    ),
    row(
        "an issuer without TLS",
        {
            "SOCIAL_AUTH_OIDC_SECRET": f"{CANARY}-of-sign-on",
            "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT": "http://id.example.org",
        },
        "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT: the issuer is not an https URL. Use the "
        "provider's https:// issuer URL.",
    ),
    row(
        "a line end inside a partition",
        {"UNDERSTACK_PARTITION": "dfw3\nstaging"},
        r"UNDERSTACK_PARTITION: 'dfw3\nstaging' has characters that a name cannot "
        r"have: '\n'. Use letters, digits, '.', '_' and '-' only.",
    ),
    row(
        "bytes in the Redis password",
        {"NAUTOBOT_REDIS_PASSWORD": f"{CANARY}\udcff"},
        "NAUTOBOT_REDIS_PASSWORD: the value holds bytes that are not UTF-8. Store it "
        "as UTF-8 text.",
    ),
    row(
        "a Kubernetes service link as the port",
        {"NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379"},
        "NAUTOBOT_REDIS_PORT: 'tcp://10.0.0.1:6379' is not a whole number. "
        "Use a whole number from 1 to 65535.",
    ),
    row(
        "a boolean that is none",
        {"NAUTOBOT_REDIS_SSL": "ture"},
        "NAUTOBOT_REDIS_SSL: 'ture' is neither true nor false. Use true or false.",
    ),
    row(
        "direct negotiation without TLS",
        {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"},
        "NAUTOBOT_DB_SSLNEGOTIATION: 'direct' needs TLS, and NAUTOBOT_DB_SSLMODE is "
        "unset. Set NAUTOBOT_DB_SSLMODE to verify-full, verify-ca or require, or unset "
        "NAUTOBOT_DB_SSLNEGOTIATION.",
    ),
]


@pytest.fixture(autouse=True)
def _no_lines_left_waiting():
    yield
    start_up._waiting.clear()


def everything(error):
    """Return whatever somebody could print of an exception."""
    seen = [str(error), repr(error), error.args, vars(error), error.problems]
    seen += [error.__context__, error.__cause__]
    seen += traceback.format_exception(error)
    frame = error.__traceback__
    while frame is not None:
        if "understack_nautobot_settings" in frame.tb_frame.f_code.co_filename:
            # The namespace and the environment are the caller's.
            seen += [
                value
                for name, value in frame.tb_frame.f_locals.items()
                if name not in {"namespace", "env"}
            ]
        frame = frame.tb_next
    return repr(seen)


@pytest.mark.parametrize(("env", "lines"), REFUSED)
def test_fault_is_refused_in_words_without_secret(env, lines):
    env = {**SECRETS, **env}
    namespace = base_settings(env)

    with pytest.raises(SettingsError) as caught:
        configure(namespace, env)

    assert sentences(caught.value).splitlines() == lines
    assert CANARY not in everything(caught.value)


WARNED = [
    row(
        "no verification",
        {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none", "NAUTOBOT_REDIS_SSL": "true"},
        "NAUTOBOT_REDIS_SSL_CERT_REQS: 'none' accepts any server certificate, so any "
        "server that answers gets the Redis password. Set "
        "NAUTOBOT_REDIS_SSL_CERT_REQS=required. [redis-cert-reqs-none]",
    ),
    row(
        "a plugin that is not installed",
        {"NAUTOBOT_EXTRA_PLUGINS": "nowhere_to_be_found"},
        "NAUTOBOT_EXTRA_PLUGINS: 'nowhere_to_be_found' is not installed and is "
        "skipped. Install it in the image, or correct the name. [plugin-skipped]",
    ),
    row(
        "configuration of a plugin that is not loaded",
        {CONFIG: '{"nowhere_to_be_found": {"token": "${PLUGIN_TOKEN}"}}'},
        f"{CONFIG}: 'nowhere_to_be_found' is configured and not loaded. Correct the "
        "name, install the plugin, add it to NAUTOBOT_EXTRA_PLUGINS, or remove its "
        "configuration. [plugin-config-unused]",
    ),
]


@pytest.mark.parametrize(("env", "sentences"), WARNED)
def test_fault_is_warned_about_without_secret(env, sentences, caplog):
    env = {**SECRETS, **env}
    namespace = base_settings(env)

    configure(namespace, env)

    start_up.look_again(namespace)
    mode, *warnings = caplog.messages
    assert warnings == list(sentences)
    assert CANARY not in mode
    assert CANARY not in repr(warnings)


def settings_of(**env):
    env = {**SECRETS, **env}
    evaluation = evaluate(base_settings(env), env)
    assert [str(problem) for problem in evaluation.problems] == []
    assert CANARY not in startup_line(evaluation.settings)
    return evaluation.settings


def test_rediss_without_private_ca_is_verified():
    settings = settings_of(NAUTOBOT_REDIS_SSL="true")

    pool = settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    for tls in (pool, settings["CELERY_BROKER_USE_SSL"]):
        assert tls["ssl_cert_reqs"] == "required"
        assert tls["ssl_check_hostname"] is True


def test_missing_ca_file_is_an_error_and_not_a_downgrade(tmp_path):
    env = {
        **SECRETS,
        "UNDERSTACK_REDIS_MTLS": "",
        "NAUTOBOT_REDIS_SSL": "true",
        "NAUTOBOT_REDIS_SSL_CA_CERTS": f"{tmp_path}/ca.crt",
    }

    with pytest.raises(SettingsError) as caught:
        configure(base_settings(env), env)

    assert (
        "SSL certificate file required by NAUTOBOT_REDIS_SSL_CA_CERTS not found: "
        f"{tmp_path}/ca.crt"
    ) in sentences(caught.value).splitlines()
    assert CANARY not in everything(caught.value)


@pytest.fixture
def mounted(tmp_path):
    authority = Authority()
    mount = write_mount(tmp_path, authority.client(), authority.ca_pem)
    return {
        "UNDERSTACK_REDIS_MTLS": "",
        **mount.redis_variables,
    }


def test_escaped_reference_and_hashes_are_kept():
    text = '{"nautobot_golden_config": {"t": "$${X} $2b$12$canary $NAME $$ $$<Y>"}}'
    env = {**SECRETS, CONFIG: text}

    settings = evaluate(base_settings(env), env).settings

    assert settings["PLUGINS_CONFIG"]["nautobot_golden_config"]["t"] == (
        "${X} $2b$12$canary $NAME $$ $<Y>"
    )


def test_existing_options_are_merged():
    env = {**SECRETS, "NAUTOBOT_DB_SSLMODE": "disable"}
    namespace = base_settings(env)
    namespace["DATABASES"]["default"]["OPTIONS"] = {"pool": True}
    namespace["CELERY_BROKER_TRANSPORT_OPTIONS"] = {"visibility_timeout": 7200}

    configure(namespace, env)

    assert namespace["DATABASES"]["default"]["OPTIONS"]["pool"] is True
    assert namespace["DATABASES"]["default"]["OPTIONS"]["sslmode"] == "disable"
    transport = namespace["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert transport["visibility_timeout"] == 7200
    assert "ssl" not in transport


def test_cache_and_broker_both_switch_to_tls(mounted):
    settings = settings_of(**mounted, NAUTOBOT_REDIS_SSL="false")

    assert settings["CACHES"]["default"]["LOCATION"].startswith("rediss://")
    assert settings["CELERY_BROKER_URL"].startswith("rediss://")


def test_timeouts_are_on_by_default():
    settings = settings_of()

    pool = settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert settings["DATABASES"]["default"]["OPTIONS"]["connect_timeout"] == 10
    broker = settings["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert (pool["socket_connect_timeout"], pool["socket_timeout"]) == (5, 5)
    assert (broker["socket_connect_timeout"], broker["socket_timeout"]) == (5, 30)


@pytest.mark.parametrize("lacking", ["CERTFILE", "KEYFILE"])
def test_certificate_without_key_or_key_without_certificate_is_an_error(
    mounted, tmp_path, lacking
):
    name = f"NAUTOBOT_REDIS_SSL_{lacking}"
    env = {**SECRETS, **mounted, name: f"{tmp_path}/missing"}

    with pytest.raises(SettingsError) as caught:
        configure(base_settings(env), env)

    first = sentences(caught.value).splitlines()[0]
    assert first == (
        f"SSL certificate file required by {name} not found: {tmp_path}/missing"
    )


def test_broker_that_is_not_redis_gets_no_redis_keys(mounted):
    settings = settings_of(**mounted, NAUTOBOT_CELERY_BROKER_URL="amqps://broker")

    assert "CELERY_BROKER_USE_SSL" not in settings
    assert "CELERY_REDIS_BACKEND_USE_SSL" not in settings


def test_password_is_encoded_for_broker_and_unchanged_for_cache():
    settings = settings_of()

    pool = settings["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert pool["password"] == SECRETS["NAUTOBOT_REDIS_PASSWORD"]
    assert settings["CELERY_BROKER_URL"] == (
        "redis://:canary%2Fof%23redis%3F%5B1%5D%2541@localhost:6379/0"
    )
