"""Servers that settings lead to: named by who says them, judged before connecting."""

import pytest

from tests.unit.checks.databases import database
from tests.unit.checks.databases import lines
from understack_nautobot_settings.checks.servers import check_database_identity
from understack_nautobot_settings.checks.servers import check_gateway


@pytest.mark.parametrize(
    ("env", "sslmode", "host"),
    [
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-ca", "NAUTOBOT_DB_HOST": "db.example.org"},
            "NAUTOBOT_DB_SSLMODE",
            "NAUTOBOT_DB_HOST",
        ),
        (
            {"NAUTOBOT_DB_HOST": "elsewhere"},
            "DATABASES.default.OPTIONS.sslmode",
            "DATABASES.default.HOST",
        ),
    ],
    ids=["by variables", "by the settings file"],
)
def test_sslmode_verify_ca_is_warned_about(env, sslmode, host):
    assert lines(check_database_identity(database(sslmode="verify-ca"), env)) == [
        f"{sslmode}: 'verify-ca' accepts any server certificate of the private CA for "
        "the database, that of Redis included. Use verify-full once the server "
        f"certificate carries the name in {host}."
    ]
    assert check_database_identity(database(sslmode="verify-full")) == []
    assert check_database_identity({}) == []


DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}
WAN = {"UNDERSTACK_CONNECTION_PROFILE": "wan"}
NO_NAME = (
    "is an address, and a TLS hello names no address. Use the host name that the "
    "gateway routes by."
)
PLAIN_FIRST = (
    "NAUTOBOT_DB_SSLNEGOTIATION: libpq asks for TLS in plain text first, which a "
    "TLS-passthrough gateway does not pass on. Set it to direct (libpq 17, PostgreSQL "
    "17), unless the gateway forwards by port alone."
)


@pytest.mark.parametrize(
    ("host", "options", "env", "sentences"),
    [
        pytest.param("db.example.org", {}, DIRECT, [], id="a host name"),
        pytest.param(
            "10.0.0.1",
            {},
            DIRECT,
            [f"NAUTOBOT_DB_HOST: '10.0.0.1' {NO_NAME}"],
            id="IPv4",
        ),
        pytest.param(
            "fd00::1", {}, DIRECT, [f"NAUTOBOT_DB_HOST: 'fd00::1' {NO_NAME}"], id="IPv6"
        ),
        pytest.param(
            "a.example.org,10.0.0.1",
            {},
            DIRECT,
            [f"NAUTOBOT_DB_HOST: '10.0.0.1' {NO_NAME}"],
            id="one of two hosts",
        ),
        pytest.param(
            "db.example.org.",
            {},
            DIRECT,
            [
                "NAUTOBOT_DB_HOST: 'db.example.org.' ends with a dot, which neither "
                "a route of a gateway nor a certificate has. Use 'db.example.org'."
            ],
            id="a trailing dot",
        ),
        pytest.param(
            "db.example.org",
            {"sslsni": 0},
            DIRECT,
            [
                "NAUTOBOT_DB_EXTRA_OPTIONS: sslsni=0 keeps the host name out of the "
                "TLS hello. Remove it: the gateway routes by that name."
            ],
            id="no SNI by option",
        ),
        pytest.param(
            "db.example.org",
            {},
            {**DIRECT, "PGSSLSNI": "0"},
            [
                "PGSSLSNI: sslsni=0 keeps the host name out of the TLS hello. Remove "
                "it: the gateway routes by that name."
            ],
            id="no SNI by libpq's variable",
        ),
        pytest.param(
            "db.example.org",
            {"sslsni": "1"},
            {**DIRECT, "PGSSLSNI": "0"},
            [],
            id="an option beats libpq's variable",
        ),
        pytest.param("10.0.0.1", {}, {}, [], id="no sign of a gateway"),
        pytest.param("db.example.org", {}, WAN, [PLAIN_FIRST], id="far, classic"),
        pytest.param("db.example.org", {}, {**WAN, **DIRECT}, [], id="far, direct"),
    ],
)
def test_host_that_gateway_cannot_route_is_warned_about(host, options, env, sentences):
    settings = database(host, sslmode="verify-ca", **options)
    env = {**env, "NAUTOBOT_DB_HOST": host}

    assert lines(check_gateway(settings, env)) == sentences


def test_host_with_trailing_dot_and_verify_full_is_warned_about():
    settings = database("db.example.org.", sslmode="verify-full")

    assert lines(check_gateway(settings, {})) == [
        "DATABASES.default.HOST: 'db.example.org.' ends with a dot, which neither "
        "a route of a gateway nor a certificate has. Use 'db.example.org'."
    ]


@pytest.mark.parametrize("options", [{}, {"sslmode": "disable"}])
def test_gateway_check_without_tls_gives_no_warning(options):
    assert check_gateway(database("10.0.0.1", **options), {**WAN, **DIRECT}) == []


def test_site_worker_gets_gateway_warnings_for_database_and_redis():
    settings = {
        **database(sslmode="verify-full"),
        "CACHES": {"default": {"LOCATION": "rediss://10.0.0.2:6379/1"}},
        "CELERY_BROKER_URL": "rediss://10.0.0.3:6379/0",
        "CELERY_BROKER_USE_SSL": {"ssl_cert_reqs": "required"},
    }
    env = {"NAUTOBOT_REDIS_HOST": "10.0.0.2"}

    assert lines(check_gateway(settings, env, role="site-worker")) == [
        PLAIN_FIRST,
        f"NAUTOBOT_REDIS_HOST: '10.0.0.2' {NO_NAME}",
        f"CELERY_BROKER_URL: '10.0.0.3' {NO_NAME}",
    ]
    assert check_gateway(settings, env, role="worker") == []


def test_client_certificate_without_database_user_is_an_error():
    settings = database(sslmode="verify-full", sslcert="/c", sslkey="/k")

    assert lines(check_database_identity(settings)) == [
        "NAUTOBOT_DB_USER: it is unset, so the name of the operating system's user is "
        "sent with the client certificate. Set NAUTOBOT_DB_USER to the CN of the "
        "client certificate."
    ]
    assert lines(check_database_identity(settings, {"NAUTOBOT_DB_USER": "app"})) == [
        "DATABASES.default.USER: it is empty, so the name of the operating system's "
        "user is sent with the client certificate. Let the settings file use "
        "NAUTOBOT_DB_USER."
    ]
    settings["DATABASES"]["default"]["USER"] = "app"
    assert check_database_identity(settings) == []
    assert check_database_identity(database(sslmode="disable", sslcert="/c")) == []


def test_remote_database_without_sslmode_is_warned_about():
    (problem,) = check_database_identity(database())

    assert (problem.code, problem.severity) == ("db-sslmode-unset", "warning")
    assert check_database_identity(database(host="localhost")) == []
    assert check_database_identity(database(sslmode="disable")) == []


@pytest.mark.parametrize("word", ["prefer", "allow"])
def test_opportunistic_sslmode_of_the_settings_file_is_warned_about(word):
    found = check_database_identity(database(sslmode=word, host="db"))

    assert [one.severity for one in found] == ["warning"]
    assert lines(found) == [
        f"DATABASES.default.OPTIONS.sslmode: it is {word}, so libpq does not verify "
        "the server db, and uses plain text if the server offers no TLS. Set "
        "NAUTOBOT_DB_SSLMODE=verify-full, or disable for plain text."
    ]
    assert check_database_identity(database(sslmode=word, host="localhost")) == []


def test_unknown_sslmode_of_the_settings_file_is_an_error():
    found = check_database_identity(database(sslmode="Verify-Full"))

    assert [one.severity for one in found] == ["error"]
    assert lines(found) == [
        "DATABASES.default.OPTIONS.sslmode: 'Verify-Full' is not a valid sslmode. Did "
        "you mean verify-full? (Also valid: verify-ca, require; disable for plain TCP.)"
    ]


def test_sslmode_that_the_settings_file_does_not_use_is_told_once():
    """By `configure-not-called`."""
    env = {"NAUTOBOT_DB_SSLMODE": "verify-full"}

    assert check_database_identity(database(sslmode="prefer"), env) == []
    assert check_database_identity(database(), env) == []


def test_further_database_without_verification_is_warned_about():
    """Whatever is true of the default one; a copy of that one is Nautobot's."""
    sound = database(sslmode="verify-full")["DATABASES"]["default"]
    other = {**sound, "HOST": "replica", "OPTIONS": {"sslmode": "prefer"}}
    copy = {**other, "HOST": "copy"}
    settings = {"DATABASES": {"default": sound, "replica": other, "job_logs": copy}}

    (line,) = lines(
        check_database_identity(settings, {"NAUTOBOT_DB_SSLMODE": "verify-full"})
    )

    assert line == (
        "DATABASES.replica.OPTIONS.sslmode: it is prefer, so libpq does not verify the "
        "server replica, and uses plain text if the server offers no TLS. Write "
        "verify-full there, or disable for plain text."
    )


def test_unset_sslmode_of_several_databases_is_one_warning():
    default = database()["DATABASES"]["default"]
    near = {**default, "HOST": "localhost"}
    far = {"one": {**default, "HOST": "one"}, "two": {**default, "HOST": "two"}}

    found = check_database_identity({"DATABASES": {"default": near, **far}})

    assert [one.fact for one in found] == [
        "NAUTOBOT_DB_SSLMODE: it is unset, so libpq does not verify the server one, "
        "and uses plain text if the server offers no TLS."
    ]
