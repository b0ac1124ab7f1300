import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import sentences
from understack_nautobot_settings import MissingFileError
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import redis_tls_settings
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.problems import Problem

MUTUAL = {
    "ssl_cert_reqs": "required",
    "ssl_check_hostname": True,
    "ssl_ca_certs": "/etc/nautobot/mtls/ca.crt",
    "ssl_certfile": "/etc/nautobot/mtls/tls.crt",
    "ssl_keyfile": "/etc/nautobot/mtls/tls.key",
}
SYSTEM = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
BACKEND = "django_redis.cache.RedisCache"


def caches(location, pool=None, **options):
    if pool is not None:
        options["CONNECTION_POOL_KWARGS"] = pool
    return {"default": {"BACKEND": BACKEND, "LOCATION": location, "OPTIONS": options}}


def settings(
    env,
    cache="redis://localhost:6379/1",
    broker="redis://localhost:6379/0",
    *,
    mounted=True,
    base=None,
    **options,
):
    return redis_tls_settings(
        {
            "CACHES": caches(cache) if base is None else base,
            "CELERY_BROKER_URL": broker,
        },
        env,
        check_files=lambda files: [],
        exists=lambda path: mounted,
        **options,
    )


def on(
    cache="rediss://localhost:6379/1",
    broker="rediss://localhost:6379/0",
    tls=MUTUAL,
    **pool,
):
    return {
        "CACHES": caches(cache, {**pool, **tls}),
        "CELERY_BROKER_URL": broker,
        "CELERY_BROKER_USE_SSL": tls,
        "CELERY_REDIS_BACKEND_USE_SSL": tls,
    }


def off(cache="redis://localhost:6379/1", broker="redis://localhost:6379/0", pool=None):
    return {"CACHES": caches(cache, pool), "CELERY_BROKER_URL": broker}


def test_mounted_ca_turns_mutual_tls_on_for_cache_and_broker():
    assert settings({}) == on()


@pytest.mark.parametrize("scheme", ["", " ", " redis", "rediss ", "rediss\n"])
def test_url_of_nautobot_with_empty_scheme_or_blanks_in_it_is_built_again(scheme):
    """Nautobot takes the variable as it is; Celery knows no such transport."""
    env = {"NAUTOBOT_REDIS_SCHEME": scheme, "NAUTOBOT_REDIS_PASSWORD": "p;/"}
    start = f"{scheme}://:p;/@localhost:6379/"

    found = settings(env, f"{start}1", f"{start}0")

    assert found == on(broker="rediss://:p%3B%2F@localhost:6379/0", password="p;/")


def test_redis_settings_without_mounted_ca_are_unchanged():
    assert settings({}, mounted=False) == off()


@pytest.mark.parametrize("word", ["false", "true"])
def test_redis_ssl_value_of_chart_does_not_turn_mutual_tls_off(word):
    scheme = "rediss" if word == "true" else "redis"
    env = {"NAUTOBOT_REDIS_SSL": word}

    assert (
        settings(env, f"{scheme}://localhost:6379/1", f"{scheme}://localhost:6379/0")
        == on()
    )


def test_redis_mtls_off_keeps_plain_urls():
    assert settings({"UNDERSTACK_REDIS_MTLS": "off"}) == off()


def test_redis_mtls_off_checks_no_file():
    env = {"UNDERSTACK_REDIS_MTLS": "off", "NAUTOBOT_REDIS_SSL_CA_CERTS": "/nowhere"}

    assert redis_tls_settings({}, env) == {}


@pytest.mark.parametrize(
    ("env", "mounted"),
    [({"UNDERSTACK_REDIS_MTLS": "off"}, True), ({}, False)],
    ids=["off", "not mounted"],
)
def test_rediss_without_private_ca_is_verified_with_system_store(env, mounted):
    found = settings(env, "rediss://r:1/1", "rediss://r:1/0", mounted=mounted)

    assert found == on("rediss://r:1/1", "rediss://r:1/0", SYSTEM)


def test_verification_options_reach_cache_and_broker():
    env = {
        "NAUTOBOT_REDIS_SSL_CERT_REQS": "optional",
        "NAUTOBOT_REDIS_SSL_CHECK_HOSTNAME": "false",
    }
    tls = {**MUTUAL, "ssl_cert_reqs": "optional", "ssl_check_hostname": False}

    assert settings(env) == on(tls=tls)


@pytest.mark.parametrize("mounted", [True, False])
def test_redis_without_verification_is_warned_about(mounted):
    tls = {
        **(MUTUAL if mounted else {}),
        "ssl_cert_reqs": "none",
        "ssl_check_hostname": False,
    }
    env = {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none"}

    with pytest.warns(SettingsWarning) as caught:
        found = settings(env, "rediss://r:1/1", "rediss://r:1/0", mounted=mounted)

    assert found == on("rediss://r:1/1", "rediss://r:1/0", tls)
    assert [str(warning.message) for warning in caught] == [
        "NAUTOBOT_REDIS_SSL_CERT_REQS: 'none' accepts any server certificate, so any "
        "server that answers gets the Redis password. Set "
        "NAUTOBOT_REDIS_SSL_CERT_REQS=required."
    ]


def test_verification_off_without_tls_is_not_warned_about():
    env = {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none"}

    assert settings(env, mounted=False) == off()


def test_redis_files_are_judged_under_their_variable_names():
    judged = []

    def check_files(files):
        judged.append(files)
        return []

    redis_tls_settings(
        {},
        {"NAUTOBOT_REDIS_SSL_CERTFILE": "/m/c"},
        check_files=check_files,
        exists=lambda path: False,
    )

    assert judged == [
        ClientFiles(
            "Redis",
            CertificateFile("/m/c", "NAUTOBOT_REDIS_SSL_CERTFILE"),
            CertificateFile("/etc/nautobot/mtls/tls.key", "NAUTOBOT_REDIS_SSL_KEYFILE"),
            CertificateFile("/etc/nautobot/mtls/ca.crt", "NAUTOBOT_REDIS_SSL_CA_CERTS"),
        )
    ]


@pytest.mark.parametrize(
    "name",
    [
        "NAUTOBOT_REDIS_SSL_CA_CERTS",
        "NAUTOBOT_REDIS_SSL_CERTFILE",
        "NAUTOBOT_REDIS_SSL_KEYFILE",
    ],
)
def test_redis_path_that_is_set_and_missing_is_an_error(tmp_path, name):
    path = tmp_path / "missing"

    with pytest.raises(MissingFileError) as caught:
        redis_tls_settings({}, {name: str(path)})

    lines = sentences(caught.value).splitlines()
    assert f"SSL certificate file required by {name} not found: {path}" in lines


def test_redis_mtls_on_with_missing_ca_is_an_error(tmp_path):
    with pytest.raises(MissingFileError):
        redis_tls_settings(
            {},
            {
                "UNDERSTACK_REDIS_MTLS": "on",
                "NAUTOBOT_REDIS_SSL_CERTFILE": str(tmp_path),
            },
        )


PASSWORD = "p/a#s?s[1]\n%41"
QUOTED = "p%2Fa%23s%3Fs%5B1%5D%0A%2541"


@pytest.mark.parametrize(
    ("env", "pool", "who"),
    [
        ({"NAUTOBOT_REDIS_PASSWORD": PASSWORD}, {"password": PASSWORD}, f":{QUOTED}@"),
        (
            {"NAUTOBOT_REDIS_PASSWORD": PASSWORD, "NAUTOBOT_REDIS_USERNAME": "u@x"},
            {"username": "u@x", "password": PASSWORD},
            f"u%40x:{QUOTED}@",
        ),
        (
            {
                "NAUTOBOT_REDIS_PASSWORD": QUOTED,
                "NAUTOBOT_REDIS_PASSWORD_ENCODED": "true",
            },
            {"password": PASSWORD},
            f":{QUOTED}@",
        ),
    ],
    ids=["password", "user", "encoded already"],
)
@pytest.mark.parametrize("mounted", [True, False])
def test_redis_url_built_by_nautobot_is_rebuilt(env, pool, who, mounted):
    raw = f"{env.get('NAUTOBOT_REDIS_USERNAME', '')}:{env['NAUTOBOT_REDIS_PASSWORD']}@"

    found = settings(
        env,
        f"redis://{raw}localhost:6379/1",
        f"redis://{raw}localhost:6379/0",
        mounted=mounted,
    )

    if mounted:
        assert found == on(broker=f"rediss://{who}localhost:6379/0", **pool)
    else:
        assert found == off(broker=f"redis://{who}localhost:6379/0", pool=pool)


def test_redis_password_from_file_reaches_cache_and_broker(tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")

    found = settings({"NAUTOBOT_REDIS_PASSWORD_FILE": str(file)})

    assert found == on(broker=f"rediss://:{QUOTED}@localhost:6379/0", password=PASSWORD)


@pytest.mark.parametrize(
    ("url", "secured"),
    [
        ("redis://:p%2Fw@broker:1/0", "rediss://:p%2Fw@broker:1/0"),
        ("redis://a:1/0;redis://b:1/0", "rediss://a:1/0;rediss://b:1/0"),
        ("redis://broker:1//0", "rediss://broker:1//0"),
        ("redis://broker:1", "rediss://broker:1"),
        (
            "rediss://:p@broker/0?heartbeat=3",
            "rediss://:p@broker/0?heartbeat=3",
        ),
    ],
)
def test_broker_url_of_operator_changes_only_its_scheme(url, secured):
    found = settings({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url)

    assert found == on(broker=secured)


def test_redis_database_numbers_of_settings_file_are_kept():
    """Several Nautobots may share one Redis, each with numbers of its own."""
    raw = f"redis://:{PASSWORD}@localhost:6379"

    found = settings({"NAUTOBOT_REDIS_PASSWORD": PASSWORD}, f"{raw}/12", f"{raw}/3")

    assert found == on(
        "rediss://localhost:6379/12",
        f"rediss://:{QUOTED}@localhost:6379/3",
        password=PASSWORD,
    )


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_empty_broker_url_becomes_the_url_of_nautobot(empty):
    """Celery would turn to a RabbitMQ on localhost."""
    env = {"NAUTOBOT_CELERY_BROKER_URL": empty, "NAUTOBOT_REDIS_PASSWORD": "p/w"}
    raw = "redis://:p/w@localhost:6379"

    assert settings(env, f"{raw}/1", empty) == on(
        broker="rediss://:p%2Fw@localhost:6379/0", password="p/w"
    )
    assert settings(env, f"{raw}/1", empty, mounted=False) == off(
        broker="redis://:p%2Fw@localhost:6379/0", pool={"password": "p/w"}
    )


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (" rediss://:p@b:1/0\n", "rediss://:p@b:1/0"),
        ("amqps://b:1/0\n", "amqps://b:1/0"),
    ],
)
def test_broker_url_with_blanks_is_stripped(url, kept):
    found = settings({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url)

    assert found["CELERY_BROKER_URL"] == kept


def test_redis_password_that_looks_like_a_url_is_kept():
    env = {"NAUTOBOT_REDIS_PASSWORD": ";sentinel://s"}
    broker = "redis://:;sentinel://s@localhost:6379/0"

    found = settings(env, broker=broker)

    assert found["CELERY_BROKER_URL"] == (
        "rediss://:%3Bsentinel%3A%2F%2Fs@localhost:6379/0"
    )


@pytest.mark.parametrize(
    "urls", ["redis://a/0;rediss://b/0", "rediss://a/0;redis://b/0"]
)
def test_broker_urls_that_mix_tls_and_plain_are_refused(urls):
    """kombu would verify nothing after a failover from the plain one."""
    env = {"NAUTOBOT_CELERY_BROKER_URL": urls}

    assert refusal(env, broker=urls, mounted=False) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URLs mix redis:// and rediss://, and share "
        "one set of TLS options. Use rediss:// for all of them."
    )
    assert settings(env, broker=urls)["CELERY_BROKER_URL"] == (
        "rediss://a/0;rediss://b/0"
    )


def test_cache_urls_that_mix_tls_and_plain_are_refused():
    urls = ["rediss://a/1", "redis://b/1"]

    assert refusal({}, cache=urls, mounted=False) == (
        "CACHES.default.LOCATION: the URLs mix redis:// and rediss://, and share one "
        "set of TLS options. Use rediss:// for all of them."
    )


@pytest.mark.parametrize(
    ("scheme", "meant"),
    [("redi", "redis"), ("redsi", "redis"), ("redis s", "rediss"), ("redid", "redis")],
)
def test_broker_url_with_misspelt_scheme_is_refused(scheme, meant):
    url = f"{scheme}://redis-master:6379/0"

    assert refusal({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url) == (
        "NAUTOBOT_CELERY_BROKER_URL: Celery has no transport for the scheme "
        f"'{scheme}' of the URL. Did you mean {meant}://?"
    )


def test_broker_url_without_password_that_is_malformed_is_told_its_form():
    url = "rediss://redis-master:six/0"

    assert refusal({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URL cannot be taken apart into host, port and "
        "password. Write it as redis://HOST:PORT/0."
    )


@pytest.mark.parametrize("who", ["", ":c4n4ry@"])
def test_broker_url_with_several_hosts_is_told_to_be_several_urls(who):
    url = f"sentinel://{who}one:26379,two:26379/0"
    env = {"NAUTOBOT_CELERY_BROKER_URL": url, "UNDERSTACK_REDIS_MTLS": "off"}

    assert refusal(env, broker=url) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URL cannot be taken apart into host, port and "
        "password. Write a URL for each host: sentinel://HOST:PORT;sentinel://HOST:PORT."
    )


@pytest.mark.parametrize(
    "query", ["db=1", "heartbeat=5&socket_timeout=c4n4ry", "virtual_host=1"]
)
def test_broker_url_with_parameter_that_kombu_does_not_know_is_refused(query):
    """kombu raises TypeError for it, in every worker."""
    url = f"redis://redis-master:6379/0?{query}"

    assert refusal({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URL has a parameter that Celery does not know "
        "and stops at. Remove what follows the question mark; options of the "
        "connection go into CELERY_BROKER_TRANSPORT_OPTIONS, and the number of the "
        "database behind the port: /0."
    )


def test_broker_url_with_parameter_of_kombu_is_accepted():
    url = "redis://redis-master:6379/0?heartbeat=5&connect_timeout=3&empty="

    found = settings({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url, mounted=False)

    assert found["CELERY_BROKER_URL"] == url


def test_broker_url_without_scheme_is_refused():
    url = "redis-master:6379/0"

    assert refusal({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URL has no scheme, so Celery takes it for the "
        "host of a RabbitMQ. Begin it with redis:// or rediss://."
    )


def test_broker_url_with_a_semicolon_in_the_password_is_refused_in_one_sentence():
    """At which Celery parts the URL in two."""
    assert refusal({}, broker="redis://:c4n;4ry@b:6379/0") == (
        "CELERY_BROKER_URL: one of several URLs has no scheme, so Celery takes it for "
        "the host of a RabbitMQ. Begin it with redis:// or rediss://, and write %3B "
        "for a semicolon in a password."
    )


@pytest.mark.parametrize(
    ("location", "secured"),
    [
        ("redis://:p@c:1/1", "rediss://:p@c:1/1"),
        ("redis://a/1,redis://b/1", "rediss://a/1,rediss://b/1"),
        (["redis://a/1", "redis://b/1"], ["rediss://a/1", "rediss://b/1"]),
    ],
)
def test_cache_location_of_operator_changes_only_its_scheme(location, secured):
    assert settings({}, cache=location) == on(cache=secured)


@pytest.mark.parametrize(
    "start", ["redis://localhost:6379/1?db=", "redis://localhost:6379/01", "redis://"]
)
def test_url_that_only_begins_like_the_one_of_nautobot_is_kept(start):
    location = f"{start}2"

    found = settings({"NAUTOBOT_REDIS_USERNAME": ""}, cache=location)

    assert found == on(cache=location.replace("redis:", "rediss:"))


@pytest.mark.parametrize("scheme", ["amqps", "sqs", "amqp"])
def test_broker_that_is_not_redis_gets_no_redis_keys(scheme):
    url = f"{scheme}://broker/0"

    assert settings({"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url) == {
        "CACHES": caches("rediss://localhost:6379/1", MUTUAL),
        "CELERY_BROKER_URL": url,
    }


def test_redis_socket_keeps_its_scheme_and_gets_no_tls():
    env = {"NAUTOBOT_REDIS_SCHEME": "unix", "NAUTOBOT_REDIS_HOST": "/run/r.sock"}
    location = "unix:///run/r.sock?db=1"

    found = settings(env, location, "redis+socket:///run/r.sock?virtual_host=0")

    assert found == off(location, "redis+socket:///run/r.sock?virtual_host=0")


def test_cache_that_is_not_redis_is_not_changed():
    base = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    assert settings({}, base=base) == {**on(), "CACHES": base}
    assert settings({}, base=base, broker="amqps://b") == {
        "CACHES": base,
        "CELERY_BROKER_URL": "amqps://b",
    }


@pytest.mark.parametrize("backend", ["", f" {BACKEND}\n"])
def test_empty_cache_backend_becomes_the_default_and_blanks_are_stripped(backend):
    base = caches("redis://localhost:6379/1")
    base["default"]["BACKEND"] = backend

    assert settings({"NAUTOBOT_CACHES_BACKEND": backend}, base=base) == on()


def test_missing_file_that_a_settings_file_names_as_the_default_does_is_told_once():
    problems = []

    redis_tls_settings(
        {"CELERY_BROKER_USE_SSL": {"ssl_ca_certs": "/etc/nautobot/mtls/ca.crt"}},
        {"UNDERSTACK_REDIS_MTLS": "on"},
        problems=problems,
    )

    missing = [one.variable for one in problems if "ca.crt" in one.message]
    assert missing == ["NAUTOBOT_REDIS_SSL_CA_CERTS"]


def test_redis_options_of_file_are_merged_and_not_changed():
    base = caches(
        "redis://localhost:6379/1",
        {"max_connections": 7, "ssl_cert_reqs": "optional"},
        PASSWORD="",
    )
    broker_ssl = {"ssl_ciphers": "HIGH", "ssl_cert_reqs": "optional"}

    found = redis_tls_settings(
        {
            "CACHES": base,
            "CELERY_BROKER_URL": "redis://localhost:6379/0",
            "CELERY_BROKER_USE_SSL": broker_ssl,
            "CELERY_REDIS_BACKEND_USE_SSL": broker_ssl,
        },
        {},
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert found == {
        "CACHES": caches(
            "rediss://localhost:6379/1",
            {"max_connections": 7, **MUTUAL, "ssl_cert_reqs": "optional"},
            PASSWORD="",
        ),
        "CELERY_BROKER_URL": "rediss://localhost:6379/0",
        "CELERY_BROKER_USE_SSL": {**broker_ssl, **MUTUAL, "ssl_cert_reqs": "optional"},
        "CELERY_REDIS_BACKEND_USE_SSL": {
            **broker_ssl,
            **MUTUAL,
            "ssl_cert_reqs": "optional",
        },
    }
    assert base == caches(
        "redis://localhost:6379/1",
        {"max_connections": 7, "ssl_cert_reqs": "optional"},
        PASSWORD="",
    )
    assert broker_ssl == {"ssl_ciphers": "HIGH", "ssl_cert_reqs": "optional"}


def test_namespace_without_redis_settings_gets_tls_options():
    found = redis_tls_settings(
        {},
        {},
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert found == {
        "CACHES": {"default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": MUTUAL}}},
        "CELERY_BROKER_USE_SSL": MUTUAL,
        "CELERY_REDIS_BACKEND_USE_SSL": MUTUAL,
    }


def refusal(*args, **options):
    with pytest.raises(SettingsError) as caught:
        settings(*args, **options)
    return sentences(caught.value)


@pytest.mark.parametrize("mounted", [True, False])
def test_tls_options_in_broker_url_are_refused(mounted):
    url = "rediss://:canary@b/0?ssl_cert_reqs=none"

    assert refusal(
        {"NAUTOBOT_CELERY_BROKER_URL": url}, broker=url, mounted=mounted
    ) == (
        "NAUTOBOT_CELERY_BROKER_URL: the URL sets ssl_cert_reqs, which replaces the "
        "configured TLS. Remove it and use the variables NAUTOBOT_REDIS_SSL_*."
    )


def test_tls_options_in_urls_of_the_settings_file_are_refused():
    assert refusal(
        {}, "redis://c/1?ssl_check_hostname=0", "redis://b/0?ssl_keyfile=k"
    ) == (
        "CACHES.default.LOCATION: the URL sets ssl_check_hostname, which replaces the "
        "configured TLS. Remove it and use the variables NAUTOBOT_REDIS_SSL_*.\n"
        "CELERY_BROKER_URL: the URL sets ssl_keyfile, which replaces the "
        "configured TLS. Remove it and use the variables NAUTOBOT_REDIS_SSL_*."
    )


@pytest.mark.parametrize("mounted", [True, False])
def test_unknown_redis_certificate_requirement_is_refused(mounted):
    env = {"NAUTOBOT_REDIS_SSL_CERT_REQS": "CERT_NONE"}

    assert refusal(env, mounted=mounted) == (
        "NAUTOBOT_REDIS_SSL_CERT_REQS: 'CERT_NONE' is not a valid certificate "
        "requirement. Did you mean none? (Also valid: required, optional.)"
    )


@pytest.mark.parametrize("name", ["UNDERSTACK_REDIS_MTLS", "NAUTOBOT_REDIS_SCHEME"])
def test_files_are_not_judged_where_it_is_unknown_whether_tls_is_asked_for(name):
    """One mistake, one message."""
    problems, judged = [], []

    redis_tls_settings(
        {},
        {name: "onn", "NAUTOBOT_REDIS_SSL_CA_CERTS": "/m/ca.crt"},
        problems=problems,
        check_files=lambda files: judged.append(files) or [],
    )

    assert [problem.variable for problem in problems] == [name]
    assert judged == []


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CACHES_BACKEND"])
def test_redis_value_in_quotes_is_refused(variable):
    env = {f"NAUTOBOT_{variable}": '"rediss://:canary@b/0"'}

    assert refusal(env, broker='"rediss://:canary@b/0"') == (
        f"NAUTOBOT_{variable}: the value is wrapped in quotes. "
        "Remove the quotes; they are part of the value."
    )


@pytest.mark.parametrize("path", ["/celery", "/1/", "/-1"])
def test_broker_url_without_number_of_a_database_is_refused(path):
    """Where kombu raises ValueError; redis-py takes database 0."""
    assert refusal({}, broker=f"redis://:canary@b{path}") == (
        "CELERY_BROKER_URL: what follows the port in the URL is not the number of a "
        "database. End the URL with a number: /0."
    )


SENTINEL = (
    "{}: this library configures TLS for the data connections, and none for those to "
    "Redis Sentinel. Connect to Redis directly, or set UNDERSTACK_REDIS_MTLS=off and "
    "protect both connections in another way."
)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"CLIENT_CLASS": "django_redis.client.SentinelClient"}, "CLIENT_CLASS"),
        (
            {"CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory"},
            "CONNECTION_FACTORY",
        ),
        (
            {"CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool"},
            "CONNECTION_POOL_CLASS",
        ),
    ],
)
def test_cache_behind_sentinel_is_refused(options, place):
    base = caches("redis://primary/1", **options)

    assert refusal({}, base=base) == SENTINEL.format(f"CACHES.default.OPTIONS.{place}")
    env = {"UNDERSTACK_REDIS_MTLS": "off"}
    assert settings(env, base=base)["CACHES"] == base


def test_caches_behind_sentinel_by_a_setting_are_refused_once():
    options = {"CLIENT_CLASS": "django_redis.client.DefaultClient"}
    base = caches("redis://primary/1", **options)
    name = "DJANGO_REDIS_CONNECTION_FACTORY"

    with pytest.raises(SettingsError) as caught:
        redis_tls_settings(
            {
                "CACHES": {**base, "sessions": base["default"]},
                name: "django_redis.pool.SentinelConnectionFactory",
            },
            {},
            check_files=lambda files: [],
            exists=lambda path: True,
        )

    assert [str(one) for one in caught.value.problems] == [SENTINEL.format(name)]


@pytest.mark.parametrize(
    ("env", "place"),
    [
        ({}, "CELERY_BROKER_URL"),
        ({"NAUTOBOT_CELERY_BROKER_URL": "redis://unused"}, "CELERY_BROKER_URL"),
        (
            {"NAUTOBOT_CELERY_BROKER_URL": "sentinel://a:26379;sentinel://b:26379"},
            "NAUTOBOT_CELERY_BROKER_URL",
        ),
    ],
)
def test_broker_behind_sentinel_is_refused(env, place):
    url = "sentinel://a:26379;sentinel://b:26379"

    assert refusal(env, broker=url) == SENTINEL.format(place)
    assert settings(env, broker=url, mounted=False) == off(broker=url)


@pytest.mark.parametrize("broker", ["redis://localhost:6379/0", "amqp://mq//"])
def test_result_backend_behind_sentinel_is_refused(broker):
    problems = []

    redis_tls_settings(
        {
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": "sentinel://a:26379/0;sentinel://b:26379/0",
        },
        {},
        problems=problems,
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert list(map(str, problems)) == [SENTINEL.format("CELERY_RESULT_BACKEND")]


NATIVE = pytest.mark.parametrize(
    "backend",
    [
        "django.core.cache.backends.redis.RedisCache",
        "django_prometheus.cache.backends.redis.NativeRedisCache",
    ],
)


@NATIVE
def test_django_redis_backend_gets_flat_tls_options(backend):
    base = {
        "default": {
            "BACKEND": backend,
            "LOCATION": "redis://localhost:6379/1",
            "OPTIONS": {"db": "2"},
        }
    }

    assert settings({}, base=base)["CACHES"] == {
        "default": {
            "BACKEND": backend,
            "LOCATION": "rediss://localhost:6379/1",
            "OPTIONS": {"db": "2", **MUTUAL},
        }
    }


@NATIVE
def test_django_redis_backend_with_options_of_other_package_is_refused(backend):
    base = caches("redis://localhost:6379/1", CLIENT_CLASS="x.DefaultClient")
    base["default"]["BACKEND"] = backend
    said = (
        "{}: Django's own Redis backend does not accept the options of django-redis "
        "that CACHES.default has. Use django_redis.cache.RedisCache."
    )

    by_variable = {"NAUTOBOT_CACHES_BACKEND": backend}
    assert refusal(by_variable, base=base) == said.format("NAUTOBOT_CACHES_BACKEND")
    assert refusal({}, base=base) == said.format("CACHES.default.BACKEND")


SAID = {
    "ssl_cert_reqs": ssl.CERT_REQUIRED,
    "ssl_ca_certs": "/file/ca.crt",
    "ssl_check_hostname": False,
}


def test_redis_variable_wins_over_file_and_file_over_default():
    judged = []
    found = redis_tls_settings(
        {
            "CACHES": caches("redis://localhost:6379/1", dict(SAID)),
            "CELERY_BROKER_URL": "redis://localhost:6379/0",
            "CELERY_BROKER_USE_SSL": dict(SAID),
        },
        {"NAUTOBOT_REDIS_SSL_KEYFILE": "/env/tls.key"},
        check_files=lambda files: judged.append(files) or [],
        exists=lambda path: True,
    )

    chosen = {
        **MUTUAL,
        "ssl_ca_certs": "/file/ca.crt",
        "ssl_check_hostname": False,
        "ssl_keyfile": "/env/tls.key",
    }
    pool = found["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert pool == chosen
    assert found["CELERY_BROKER_USE_SSL"] == chosen
    assert found["CELERY_REDIS_BACKEND_USE_SSL"] == {
        **MUTUAL,
        "ssl_keyfile": "/env/tls.key",
    }
    assert judged[0] == ClientFiles(
        "Redis",
        CertificateFile(MUTUAL["ssl_certfile"], "NAUTOBOT_REDIS_SSL_CERTFILE"),
        CertificateFile("/env/tls.key", "NAUTOBOT_REDIS_SSL_KEYFILE"),
        CertificateFile(
            "/file/ca.crt", "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS.ssl_ca_certs"
        ),
    )


@pytest.mark.parametrize("none", [None, "none", "CERT_NONE", ssl.CERT_NONE, 0])
def test_settings_file_without_variable_cannot_switch_verification_off(none):
    base = caches("redis://localhost:6379/1", {"ssl_cert_reqs": none})

    with pytest.warns(SettingsWarning) as caught:
        found = settings({}, base=base)

    pool = found["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert pool == MUTUAL
    assert [str(one.message) for one in caught] == [
        "NAUTOBOT_REDIS_SSL_CERT_REQS: the settings file says ssl_cert_reqs none in "
        "CACHES.default.OPTIONS.CONNECTION_POOL_KWARGS, and the variable is unset, so "
        "the server certificate is verified nevertheless. Set "
        "NAUTOBOT_REDIS_SSL_CERT_REQS=none for connections without verification."
    ]


@pytest.mark.parametrize(
    ("env", "said", "url"),
    [
        ({}, "redis://localhost:6379/2", "rediss://localhost:6379/2"),
        (
            {"NAUTOBOT_REDIS_PASSWORD": "p/a#s"},
            "redis://:p/a#s@localhost:6379/2",
            "rediss://:p%2Fa%23s@localhost:6379/2",
        ),
        ({}, "redis://:x@LOCALHOST/2", "rediss://:x@LOCALHOST/2"),
    ],
    ids=["that Nautobot would build", "with its password", "of the file"],
)
@pytest.mark.parametrize("broker", [None, "amqp://mq//"])
def test_result_backend_in_the_same_redis_uses_tls(env, said, url, broker):
    """Whatever the broker is."""
    found = redis_tls_settings(
        {"CELERY_RESULT_BACKEND": said, "CELERY_BROKER_URL": broker},
        env,
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert found["CELERY_RESULT_BACKEND"] == url
    assert found["CELERY_REDIS_BACKEND_USE_SSL"] == MUTUAL


def test_result_backend_in_the_redis_of_the_broker_uses_tls():
    """The broker is, wherever it is, as a variable of its own may say."""
    found = redis_tls_settings(
        {
            "CELERY_BROKER_URL": "redis://Jobs/0",
            "CELERY_RESULT_BACKEND": "redis://jobs/2",
        },
        {"NAUTOBOT_REDIS_HOST": "redis"},
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert found["CELERY_BROKER_URL"] == "rediss://Jobs/0"
    assert found["CELERY_RESULT_BACKEND"] == "rediss://jobs/2"
    assert found["CELERY_REDIS_BACKEND_USE_SSL"] == MUTUAL


def test_wish_for_tls_in_the_pool_goes_into_the_url():
    """redis-py takes ``ssl`` for a client with a host, and for no connection."""
    found = settings({}, base=caches("redis://r/1", {"ssl": True}), mounted=False)

    assert found["CACHES"] == caches("rediss://r/1", SYSTEM)


def test_result_backend_over_tls_beside_a_plain_broker_is_verified():
    """Celery refuses such a URL without options."""
    found = redis_tls_settings(
        {
            "CELERY_RESULT_BACKEND": "rediss://other/2",
            "CELERY_BROKER_URL": "redis://localhost/0",
        },
        {},
        exists=lambda path: False,
    )

    assert found["CELERY_REDIS_BACKEND_USE_SSL"] == SYSTEM
    assert "CELERY_BROKER_USE_SSL" not in found


@pytest.mark.parametrize(
    ("env", "said", "url"),
    [
        ({}, "redis://:p/a#s@localhost:6379/2", "redis://:p%2Fa%23s@localhost:6379/2"),
        (
            {"NAUTOBOT_REDIS_SCHEME": "unix", "NAUTOBOT_REDIS_HOST": "/r.sock"},
            "unix://:p/a#s@/r.sock?db=2",
            "redis+socket://:p%2Fa%23s@/r.sock?virtual_host=2",
        ),
    ],
    ids=["TCP", "socket"],
)
def test_result_backend_that_nautobot_would_build_without_tls_is_built_anew(
    env, said, url
):
    env = {**env, "NAUTOBOT_REDIS_PASSWORD": "p/a#s", "UNDERSTACK_REDIS_MTLS": "off"}

    assert redis_tls_settings({"CELERY_RESULT_BACKEND": said}, env) == {
        "CELERY_RESULT_BACKEND": url,
        "CACHES": {
            "default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": {"password": "p/a#s"}}}
        },
    }


def test_cache_and_broker_of_the_file_in_one_other_redis_agree():
    """The certificates go to the broker: the variable names a Redis that is unused."""
    env = {"NAUTOBOT_REDIS_HOST": "unused"}

    found = settings(env, "redis://own:6379/1", "redis://own:6379/0")

    assert found["CACHES"]["default"]["LOCATION"] == "rediss://own:6379/1"
    assert found["CELERY_BROKER_URL"] == "rediss://own:6379/0"


def test_redis_of_the_variable_keeps_its_tls_beside_one_of_the_file():
    base = {
        **caches("redis://own/1"),
        "more": caches("redis://named:6380/2")["default"],
    }
    env = {"NAUTOBOT_REDIS_HOST": "named"}

    found = settings(env, broker="redis://own/0", base=base)

    assert [one["LOCATION"] for one in found["CACHES"].values()] == [
        "rediss://own/1",
        "rediss://named:6380/2",
    ]


def test_cache_on_the_host_of_a_broker_that_is_no_redis_is_left_alone():
    env = {"NAUTOBOT_REDIS_HOST": "named"}

    with pytest.warns(SettingsWarning, match="its host is not named, so it keeps"):
        found = settings(env, "redis://own:6379/1", "amqp://own:5672//")

    assert found["CACHES"]["default"]["LOCATION"] == "redis://own:6379/1"


def test_sentinel_url_that_cannot_be_taken_apart_is_refused():
    """Celery's message would show the start of the password."""
    url = "sentinel://:p/w@one:26379"

    assert refusal({}, broker=url, mounted=False) == (
        "CELERY_BROKER_URL: the URL cannot be taken apart into host, port and "
        "password. Percent-encode the password in it: %2F for /, %23 for #, %3F for ?."
    )


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("rediss://localhost/2?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://localhost/2?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs"),
        ("redis://localhost/2?ssl_keyfile=k", "ssl_keyfile"),
    ],
)
def test_result_backend_with_tls_options_in_its_url_is_refused(url, option):
    """Celery takes the option of the URL in place of the setting."""
    problems = []

    redis_tls_settings(
        {"CELERY_RESULT_BACKEND": url},
        {},
        problems=problems,
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert [one.fact for one in problems] == [
        f"CELERY_RESULT_BACKEND: the URL sets {option}, which replaces the "
        "configured TLS."
    ]


def test_result_backend_that_says_what_the_variable_says_is_taken():
    problems = []

    redis_tls_settings(
        {"CELERY_RESULT_BACKEND": "rediss://localhost/2?ssl_cert_reqs=none"},
        {"NAUTOBOT_REDIS_SSL_CERT_REQS": "none"},
        problems=problems,
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert [one for one in problems if one.severity == "error"] == []


def test_result_backend_without_tls_is_kept_where_no_certificate_is_mounted():
    found = redis_tls_settings(
        {
            "CELERY_BROKER_URL": "rediss://localhost:6379/0",
            "CELERY_RESULT_BACKEND": "redis://localhost:6380/2",
        },
        {},
        exists=lambda path: False,
    )

    assert found == {
        "CELERY_BROKER_URL": "rediss://localhost:6379/0",
        "CELERY_BROKER_USE_SSL": SYSTEM,
    }


def test_result_backend_in_another_redis_is_left_alone_without_tls_options():
    with pytest.warns(SettingsWarning) as caught:
        found = redis_tls_settings(
            {"CELERY_RESULT_BACKEND": "redis://other/2"},
            {},
            check_files=lambda files: [],
            exists=lambda path: True,
        )

    assert found.keys() == {"CACHES", "CELERY_BROKER_USE_SSL"}
    assert [str(one.message) for one in caught] == [
        "CELERY_RESULT_BACKEND: its host is not localhost, so it keeps its scheme and "
        f"gets no client certificate. {LEFT}"
    ]


LEFT = "Give it TLS options of its own in the settings file, if it needs them."


@pytest.mark.parametrize(
    ("cache", "line"),
    [
        (
            {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://127.0.0.1:6380/0",
            },
            "CACHES.other: its host is not redis, so it keeps its scheme and gets no "
            f"client certificate. {LEFT}",
        ),
        (
            {
                "BACKEND": "django_valkey.cache.ValkeyCache",
                "LOCATION": "valkey://redis:6379/1",
            },
            "CACHES.other: this cache uses Valkey's client, which is not configured "
            f"here, so it gets no TLS. {LEFT}",
        ),
        (
            {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "valkey://redis:6379/1",
            },
            "CACHES.other.LOCATION: the scheme of the URL is unknown here, so it gets "
            f"no TLS. {LEFT}",
        ),
    ],
    ids=["other host", "valkey", "unknown scheme"],
)
def test_cache_left_without_tls_is_warned_about(cache, line):
    env = {"NAUTOBOT_REDIS_HOST": "redis"}
    base = {**caches("redis://redis:6379/1"), "other": cache}

    with pytest.warns(SettingsWarning) as caught:
        found = settings(env, base=base)

    assert found["CACHES"]["other"] == cache
    assert found["CACHES"]["default"]["LOCATION"] == "rediss://redis:6379/1"
    assert [str(one.message) for one in caught] == [line]
    assert settings(env, base=base, mounted=False)["CACHES"] == base


@pytest.mark.parametrize("url", ["valkey://redis:6379/0", "VALKEYS://redis:6379/0"])
@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"])
def test_valkey_of_celery_is_left_without_tls_and_warned_about(name, url):
    given = {"CACHES": caches("redis://redis:6379/1"), name: url}

    with pytest.warns(SettingsWarning) as caught:
        found = redis_tls_settings(
            given,
            {"NAUTOBOT_REDIS_HOST": "redis"},
            check_files=lambda files: [],
            exists=lambda path: True,
        )

    assert found.get(name, url) == url
    assert [str(one.message) for one in caught] == [
        f"{name}: the scheme of the URL is unknown here, so it gets no TLS. {LEFT}"
    ]


def test_cache_on_the_address_of_the_variable_uses_tls():
    env = {"NAUTOBOT_REDIS_HOST": "[FD00::1]"}

    found = settings(env, "redis://:own@[fd00::1]:6380/1", "amqps://b")

    assert found["CACHES"] == caches("rediss://:own@[fd00::1]:6380/1", MUTUAL)


def test_cache_on_another_socket_is_kept_without_warning():
    other = {"BACKEND": BACKEND, "LOCATION": "unix:///run/more@1.sock?db=1"}
    base = {**caches("redis://redis:6379/1"), "other": other}

    found = settings({"NAUTOBOT_REDIS_HOST": "redis"}, base=base)

    assert found["CACHES"]["other"] == other


def test_cache_with_several_urls_of_which_one_is_unknown_gets_no_tls():
    """redis-py would stop at TLS options beside redis://."""
    urls = "redis://localhost:6379/1,valkey://localhost:6379/1"

    with pytest.warns(SettingsWarning, match="the scheme of the URL is unknown here"):
        found = settings({}, urls)

    assert found["CACHES"] == caches(urls)


def test_cache_elsewhere_with_own_tls_options_is_kept_without_warning():
    other = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "rediss://elsewhere:6380/0",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"ssl_ca_certs": "/other/ca.crt"}},
    }
    env = {"NAUTOBOT_REDIS_HOST": "redis"}

    found = settings(env, base={**caches("redis://redis:6379/1"), "other": other})

    pool = found["CACHES"]["other"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert pool == {
        "ssl_ca_certs": "/other/ca.crt",
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }


OPTIONS = {"ssl_ca_certs": "/own/ca.crt", "ssl_cert_reqs": "required"}
VERIFIED = {**OPTIONS, "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("start", "env"),
    [
        ("redis://redis:6379", {"NAUTOBOT_REDIS_HOST": "redis"}),
        ("redis://elsewhere:6379", {"NAUTOBOT_REDIS_HOST": "redis"}),
        ("redis://redis:6379", {"UNDERSTACK_REDIS_MTLS": "off"}),
    ],
    ids=["URL of Nautobot", "URL of the file", "Redis mTLS off"],
)
def test_tls_options_of_file_make_its_plain_urls_secure(start, env):
    """With them kombu uses TLS, and redis-py stops at such a URL."""
    base = {
        "CACHES": caches(f"{start}/1", OPTIONS),
        "CELERY_BROKER_URL": f"{start}/0",
        "CELERY_BROKER_USE_SSL": OPTIONS,
    }

    found = redis_tls_settings(base, env, exists=lambda path: False)

    cache = found["CACHES"]["default"]
    secured = start.replace("redis://", "rediss://")
    assert cache["LOCATION"] == f"{secured}/1"
    assert cache["OPTIONS"]["CONNECTION_POOL_KWARGS"] == VERIFIED
    assert found["CELERY_BROKER_URL"] == f"{secured}/0"
    assert found["CELERY_BROKER_USE_SSL"] == VERIFIED


def test_tls_options_of_file_for_sentinel_keep_its_url():
    pool = {"ssl": True, **OPTIONS}
    base = caches("redis://service/1", pool, CLIENT_CLASS="x.SentinelClient")

    found = settings({}, base=base, mounted=False)

    assert found["CACHES"]["default"]["LOCATION"] == "redis://service/1"
    assert found["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"] == pool


def test_default_cache_without_host_variable_is_secured():
    base = caches("redis://somewhere:6379/1")

    found = settings({}, base=base)

    assert found["CACHES"]["default"]["LOCATION"] == "rediss://somewhere:6379/1"


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        (["redis://a/0", "redis://b/0"], ["rediss://a/0", "rediss://b/0"]),
        (("redis://a/0",), ["rediss://a/0"]),
        ("redis://a/0;redis://b/0", "rediss://a/0;rediss://b/0"),
    ],
    ids=["list", "tuple", "text"],
)
def test_every_url_in_broker_list_is_secured(broker, expected):
    found = settings({}, broker=broker)

    assert found["CELERY_BROKER_URL"] == expected
    assert found["CELERY_BROKER_USE_SSL"] == MUTUAL


RIVAL = (
    "{}: Celery reads this variable itself and takes it in place of its settings, so "
    "it would connect elsewhere and without their TLS. Unset it; use "
    "NAUTOBOT_CELERY_BROKER_URL for another broker."
)


@pytest.mark.parametrize(
    "name",
    [
        "CELERY_BROKER_URL",
        "CELERY_BROKER_READ_URL",
        "CELERY_BROKER_WRITE_URL",
        "CELERY_RESULT_BACKEND",
        "CELERY_LOADER",
        "BROKER_URL",
        "RESULT_BACKEND",
        "LOADER",
    ],
)
def test_celery_url_variable_is_refused(name):
    assert refusal({name: "redis://:c4n4ry@elsewhere/0"}) == RIVAL.format(name)


@pytest.mark.parametrize("mode", ["off", "on"])
def test_redis_socket_url_is_written_in_the_form_of_celery(mode):
    env = {
        "NAUTOBOT_REDIS_SCHEME": "unix",
        "NAUTOBOT_REDIS_HOST": "/run/redis.sock",
        "NAUTOBOT_REDIS_PASSWORD": "a/b",
        "UNDERSTACK_REDIS_MTLS": mode,
    }
    url = "unix://:a/b@/run/redis.sock?db="

    found = settings(env, base=caches(f"{url}1"), broker=f"{url}0")

    assert found["CELERY_BROKER_URL"] == (
        "redis+socket://:a%2Fb@/run/redis.sock?virtual_host=0"
    )
    assert "CELERY_BROKER_USE_SSL" not in found
    assert (
        settings(env, base=found["CACHES"], broker=found["CELERY_BROKER_URL"])[
            "CELERY_BROKER_URL"
        ]
        == found["CELERY_BROKER_URL"]
    )


@pytest.mark.parametrize(
    ("cache", "broker", "line"),
    [
        (
            "redis://localhost/1",
            "unix:///run/redis.sock?db=0",
            "CELERY_BROKER_URL: Celery knows no unix:// transport. Write "
            "redis+socket:///path?virtual_host=0.",
        ),
        (
            "redis://localhost/1",
            ["redis://a/0", "amqp://b//"],
            "CELERY_BROKER_URL: the URLs mix amqp:// and rediss://, and share one set "
            "of TLS options. Use rediss:// for all of them.",
        ),
        (
            "redis://:c4/n4ry@localhost/1",
            None,
            "CACHES.default.LOCATION: the URL cannot be taken apart into host, port "
            "and password. Percent-encode the password in it: %2F for /, %23 for #, "
            "%3F for ?.",
        ),
        (
            "redis://:4/c4n4ry@localhost/1",
            None,
            "CACHES.default.LOCATION: the URL cannot be taken apart into host, port "
            "and password. Percent-encode the password in it: %2F for /, %23 for #, "
            "%3F for ?.",
        ),
        (
            "redis://:4#c4n4ry@localhost/1",
            None,
            "CACHES.default.LOCATION: the URL cannot be taken apart into host, port "
            "and password. Percent-encode the password in it: %2F for /, %23 for #, "
            "%3F for ?.",
        ),
        (
            f"redis://localhost:{'9' * 5000}/1",
            None,
            "CACHES.default.LOCATION: the URL cannot be taken apart into host, port "
            "and password. Write it as redis://HOST:PORT/0.",
        ),
    ],
    ids=[
        *("socket", "mixed brokers", "raw slash", "slash after digits"),
        *("hash after digits", "endless port"),
    ],
)
def test_unusable_redis_url_is_refused(cache, broker, line):
    assert refusal({}, cache, broker) == line


def test_separate_broker_read_url_is_refused():
    with pytest.raises(SettingsError) as caught:
        redis_tls_settings(
            {"CELERY_BROKER_READ_URL": "redis://elsewhere/0"},
            {},
            check_files=lambda files: [],
            exists=lambda path: True,
        )

    assert sentences(caught.value) == (
        "CELERY_BROKER_READ_URL: Celery connects to this URL in place of "
        "CELERY_BROKER_URL, and no TLS was configured for it. Remove it; "
        "CELERY_BROKER_URL is for reading and writing."
    )


@pytest.mark.parametrize("env", [{}, {"NAUTOBOT_REDIS_HOST": "of-the-cache"}])
def test_event_broker_in_plain_text_is_warned_about(env):
    brokers = {"redis": {"OPTIONS": {"url": "redis://:c4n4ry@localhost:6379/2"}}}

    with pytest.warns(SettingsWarning) as caught:
        redis_tls_settings(
            {"EVENT_BROKERS": brokers, "CELERY_BROKER_URL": "redis://localhost/0"},
            env,
            check_files=lambda files: [],
            exists=lambda path: True,
        )

    assert [str(one.message) for one in caught] == [
        "EVENT_BROKERS.redis: Nautobot's event broker takes its TLS options from its "
        "URL alone, and this URL has none. Begin it with rediss:// and add "
        "ssl_ca_certs, ssl_certfile and ssl_keyfile as parameters of the URL."
    ]


@pytest.mark.parametrize("nothing", [None, ""])
def test_file_that_names_no_path_gets_the_default(nothing):
    found = redis_tls_settings(
        {
            "CELERY_BROKER_URL": "redis://localhost:6379/0",
            "CELERY_BROKER_USE_SSL": {"ssl_ca_certs": nothing},
        },
        {},
        check_files=lambda files: [],
        exists=lambda path: True,
    )

    assert found["CELERY_BROKER_USE_SSL"] == MUTUAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHES", []),
        ("CACHES", {"default": "redis://"}),
        ("CACHES", {"default": {"LOCATION": 5}}),
        ("CACHES", {"default": {"OPTIONS": {"CONNECTION_POOL_KWARGS": [1]}}}),
        ("CELERY_BROKER_URL", 5),
        ("CELERY_BROKER_URL", ["redis://a/0", None]),
        ("CELERY_BROKER_URL", {"url": "redis://a/0"}),
        ("CELERY_BROKER_USE_SSL", "yes"),
    ],
    ids=str,
)
def test_redis_settings_of_the_wrong_type_are_refused_in_words(name, value):
    with pytest.raises(SettingsError) as caught:
        redis_tls_settings(
            {name: value}, {}, check_files=lambda files: [], exists=lambda path: True
        )

    (problem,) = caught.value.problems
    assert problem.code == "setting-type"
    assert problem.variable.startswith(name)


@given(
    st.sampled_from(["redis", "rediss", "unix", "amqps"]),
    st.sampled_from(["auto", "on", "off"]),
    st.booleans(),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
    ),
)
def test_second_run_keeps_cache_and_broker_in_the_same_mode(
    scheme, mode, mounted, password
):
    env = {"UNDERSTACK_REDIS_MTLS": mode, "NAUTOBOT_REDIS_PASSWORD": password}
    who = f":{password}@" if password else ""
    broker = (
        f"{scheme}://broker/0"
        if scheme == "amqps"
        else f"redis://{who}localhost:6379/0"
    )
    options = {
        "check_files": lambda files: [],
        "exists": lambda path: mounted,
        "problems": [],
    }

    first = redis_tls_settings(
        {
            "CACHES": caches(f"redis://{who}localhost:6379/1"),
            "CELERY_BROKER_URL": broker,
        },
        env,
        **options,
    )
    second = redis_tls_settings(
        {
            "CACHES": first["CACHES"],
            "CELERY_BROKER_URL": first["CELERY_BROKER_URL"],
            "CELERY_BROKER_USE_SSL": first.get("CELERY_BROKER_USE_SSL"),
            "CELERY_REDIS_BACKEND_USE_SSL": first.get("CELERY_REDIS_BACKEND_USE_SSL"),
        },
        env,
        **options,
    )

    assert second == first
    cache_over_tls = first["CACHES"]["default"]["LOCATION"].startswith("rediss://")
    assert cache_over_tls == (mode == "on" or (mode == "auto" and mounted))
    if scheme != "amqps":
        assert first["CELERY_BROKER_URL"].startswith("rediss://") == cache_over_tls


@pytest.mark.parametrize(
    ("env", "remedy"),
    [
        ({}, " For a Redis without TLS set UNDERSTACK_REDIS_MTLS=off."),
        ({"UNDERSTACK_REDIS_MTLS": "on"}, ""),
        ({"NAUTOBOT_REDIS_SSL_CA_CERTS": "/m/ca.crt"}, ""),
    ],
    ids=["detected", "on", "by a path"],
)
def test_refused_redis_file_without_explicit_mode_tells_how_to_switch_off(env, remedy):
    problem = Problem("any", "error", "NAME", "it is wrong.", "Mend it.")

    found = []
    redis_tls_settings(
        {"CACHES": caches("redis://localhost:6379/1")},
        env,
        problems=found,
        check_files=lambda files: [problem],
        exists=lambda path: True,
    )

    assert [one.hint for one in found] == [f"Mend it.{remedy}"]
