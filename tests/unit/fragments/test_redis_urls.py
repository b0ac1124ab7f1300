from urllib.parse import unquote
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.fragments.redis_urls import RedisAddress
from understack_nautobot_settings.fragments.redis_urls import broker_place
from understack_nautobot_settings.fragments.redis_urls import host_of
from understack_nautobot_settings.fragments.redis_urls import nautobot_url
from understack_nautobot_settings.fragments.redis_urls import over_tls
from understack_nautobot_settings.fragments.redis_urls import redis_address
from understack_nautobot_settings.fragments.redis_urls import scheme_of
from understack_nautobot_settings.fragments.redis_urls import ssl_options

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "redis://localhost:6379/0"),
        (
            {"NAUTOBOT_REDIS_HOST": "r", "NAUTOBOT_REDIS_PORT": "6380"},
            "redis://r:6380/0",
        ),
        ({"NAUTOBOT_REDIS_SSL": "true"}, "rediss://localhost:6379/0"),
        ({"NAUTOBOT_REDIS_SSL": "false"}, "redis://localhost:6379/0"),
        ({"NAUTOBOT_REDIS_PASSWORD": "a/b"}, "redis://:a/b@localhost:6379/0"),
        ({"NAUTOBOT_REDIS_USERNAME": "u"}, "redis://u:@localhost:6379/0"),
        (
            {"NAUTOBOT_REDIS_USERNAME": "u", "NAUTOBOT_REDIS_PASSWORD": "p"},
            "redis://u:p@localhost:6379/0",
        ),
        (
            {"NAUTOBOT_REDIS_SCHEME": "unix", "NAUTOBOT_REDIS_HOST": "/run/r.sock"},
            "unix:///run/r.sock?db=0",
        ),
        ({"NAUTOBOT_REDIS_PORT": "tcp://10.0.0.1:6379"}, None),
        ({"NAUTOBOT_REDIS_PORT": ""}, None),
        ({"NAUTOBOT_REDIS_SSL": "ture"}, None),
    ],
)
def test_url_of_nautobot_is_built_from_its_variables(env, url):
    assert nautobot_url(env, 0) == url


def address(**env):
    problems = []
    found = redis_address(
        Reader({f"NAUTOBOT_REDIS_{k}": v for k, v in env.items()}, problems)
    )
    return found, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "redis://localhost:6379/1"),
        ({"HOST": "", "PORT": ""}, "redis://localhost:6379/1"),
        ({"PASSWORD": "a/b#c?d"}, "redis://:a%2Fb%23c%3Fd@localhost:6379/1"),
        (
            {"PASSWORD": "a%2Fb", "PASSWORD_ENCODED": "true"},
            "redis://:a%2Fb@localhost:6379/1",
        ),
        ({"PASSWORD": "%41"}, "redis://:%2541@localhost:6379/1"),
        ({"HOST": "fd00::1"}, "redis://[fd00::1]:6379/1"),
        ({"HOST": "[fd00::1]"}, "redis://[fd00::1]:6379/1"),
        ({"SSL": "true", "SCHEME": "redis"}, "redis://localhost:6379/1"),
        (
            {"SCHEME": "unix", "HOST": "/run/r.sock", "PASSWORD": "p@"},
            "unix://:p%40@/run/r.sock?db=1",
        ),
    ],
)
def test_redis_url_is_built_from_its_variables(env, url):
    found, problems = address(**env)

    assert found.url(1, credentials=True) == url
    assert problems == []


@pytest.mark.parametrize(
    "host",
    [
        "redis:6380",
        "fade:6380",
        "[fd00::1]:6379",
        "redis://redis",
        "u:canary@redis",
        "canary/x@redis",
        "redis#x",
        "red is",
        "redis\u200b",
        "\ufeffredis",
        "$(REDIS_HOST)",
        "redis\u2013a",
        "redis-a,redis-b",
    ],
)
def test_redis_host_that_is_not_a_host_name_is_refused(host):
    found, problems = address(HOST=host)

    assert found.host == "localhost"
    assert problems == [
        "NAUTOBOT_REDIS_HOST: the value is not a host name alone. Set "
        "NAUTOBOT_REDIS_HOST to the host alone, and NAUTOBOT_REDIS_PORT to the port."
    ]


@pytest.mark.parametrize(
    "host",
    [
        "redis",
        "r_1.example.org.",
        "10.0.0.1",
        "::1",
        "[fe80::1%eth0]",
        "bücher",
        "हिंदी",
    ],
)
def test_redis_host_may_be_name_or_address(host):
    found, problems = address(HOST=host)

    assert (found.host, problems) == (host, [])


@pytest.mark.parametrize("host", ["/run/redis.sock", "@redis"])
def test_socket_as_redis_host_without_its_scheme_is_refused(host):
    found, problems = address(HOST=host)

    assert found.host == "localhost"
    assert problems == [
        "NAUTOBOT_REDIS_HOST: it names a Unix socket, and the scheme is redis. Set "
        "NAUTOBOT_REDIS_SCHEME to unix, or this to a host name."
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("redis://:p@w@Redis:6379/0", "redis"),
        ("rediss://[FD00::1]:6379/0", "fd00::1"),
        ("redis://redis/0/1?a=[]@b", "redis"),
        ("unix:///run/redis.sock", ""),
    ],
)
def test_host_of_url_is_found(url, host):
    """The certificates go to it: no part of a password may be taken for it."""
    assert host_of(url) == host


def test_service_link_as_redis_port_is_reported():
    _, problems = address(PORT="tcp://10.0.0.1:6379")

    assert problems == [
        "NAUTOBOT_REDIS_PORT: 'tcp://10.0.0.1:6379' is not a whole number. "
        "Use a whole number from 1 to 65535."
    ]


def test_encoded_password_that_is_not_utf8_is_refused():
    """Decoded all the same it would be another password."""
    found, problems = address(PASSWORD="canary%FF", PASSWORD_ENCODED="true")

    assert found.password == ""
    assert problems == [
        "NAUTOBOT_REDIS_PASSWORD: what is percent-encoded in the value is not UTF-8. "
        "Encode it as UTF-8, or unset NAUTOBOT_REDIS_PASSWORD_ENCODED."
    ]


@given(username=TEXT, password=TEXT)
def test_credentials_in_redis_url_decode_unchanged(username, password):
    found = RedisAddress("rediss", "r", 6379, username, password)

    split = urlsplit(found.url(0, credentials=True))

    assert unquote(split.username or "") == username
    assert unquote(split.password or "") == password
    assert (split.hostname, split.port, split.path) == ("r", 6379, "/0")


def test_redis_address_shows_no_credential():
    shown = repr(RedisAddress("rediss", "r", 6379, "canary", "canary"))

    assert shown == "<RedisAddress rediss r 6379>"


def test_empty_redis_credentials_are_left_out():
    assert RedisAddress("redis", "r", 1, "", "p").credentials() == {"password": "p"}
    assert RedisAddress("redis", "r", 1, "", "").credentials() == {}
    assert (
        RedisAddress("redis", "r", 1, "u", "p").url(0, credentials=False)
        == "redis://r:1/0"
    )


@pytest.mark.parametrize(
    ("url", "secured"),
    [
        ("redis://u:p@h:1/0?x=y", "rediss://u:p@h:1/0?x=y"),
        ("rediss://h", "rediss://h"),
        ("unix:///run/r.sock", "unix:///run/r.sock"),
        ("amqps://h", "amqps://h"),
    ],
)
def test_url_of_redis_changes_to_tls_and_others_stay(url, secured):
    assert over_tls(url) == secured


@pytest.mark.parametrize(
    ("url", "scheme"), [("REDISS://h", "rediss"), ("h:6379", ""), ("", "")]
)
def test_scheme_of_url_is_found(url, scheme):
    assert scheme_of(url) == scheme


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://h/0", []),
        ("redis://h/0?socket_timeout=1&ssl_cert_reqs=none", ["ssl_cert_reqs"]),
        ("redis://h/0?ssl_ca_certs=&ssl=true", ["ssl_ca_certs", "ssl"]),
        ("redis://[h/0?ssl_cert_reqs=none", ["ssl_cert_reqs"]),
    ],
)
def test_tls_options_in_url_are_found(url, options):
    assert ssl_options(url) == options


@pytest.mark.parametrize(
    ("broker", "place"),
    [
        ("rediss://a/0;rediss://b/0", "NAUTOBOT_CELERY_BROKER_URL"),
        (["rediss://a/0", "rediss://b/0"], "NAUTOBOT_CELERY_BROKER_URL"),
        ("rediss://a/0", "CELERY_BROKER_URL"),
        ("", "CELERY_BROKER_URL"),
    ],
)
def test_place_of_broker_url_is_its_variable_whatever_its_scheme(broker, place):
    env = {"NAUTOBOT_CELERY_BROKER_URL": "redis://a/0; redis://b/0"}

    assert broker_place(broker, env) == place
    assert broker_place("", {}) == "CELERY_BROKER_URL"
