import os

import pytest

from lab.certificates import Authority
from tests.unit.checks.databases import database
from tests.unit.checks.databases import lines
from understack_nautobot_settings.checks.environment import check_ca_bundles
from understack_nautobot_settings.checks.environment import check_environment
from understack_nautobot_settings.checks.environment import check_libpq_variables
from understack_nautobot_settings.checks.environment import check_metrics
from understack_nautobot_settings.checks.environment import check_role
from understack_nautobot_settings.checks.environment import check_spelling
from understack_nautobot_settings.checks.environment import check_tls_variables
from understack_nautobot_settings.checks.environment import check_unused
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.values import check_allowed_hosts
from understack_nautobot_settings.checks.values import check_nautobot_values
from understack_nautobot_settings.environment.libpq import LIBPQ_VARIABLES
from understack_nautobot_settings.environment.nautobot_variables import READINGS
from understack_nautobot_settings.environment.variables import VARIABLES


def test_clean_environment_has_no_problem():
    env = {"PATH": "/usr/bin", "NAUTOBOT_REDIS_PORT": "6379", "NAUTOBOT_ROOT": "/opt"}

    assert check_environment(database(sslmode="verify-full"), env) == []


def test_environment_check_finds_every_kind_of_problem():
    env = {
        "NAUTOBOT_EMAIL_PORT": "smtp",
        "NAUTOBOT_DB_SSLMOD": "verify-full",
        "PGSERVICE": "x",
        "UNDERSTACK_REDIS_MTLS": "off",
        "NAUTOBOT_REDIS_SSL_CA_CERTS": "/m/ca.crt",
        "UNDERSTACK_REDIS_RETRIES": "5",
        "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
        "SSL_CERT_FILE": "/nowhere",
    }

    problems = check_environment(
        database("10.0.0.1", sslmode="verify-ca"), env, role="site-worker"
    )

    assert [problem.code for problem in problems] == [
        "nautobot-value-invalid",
        "variable-misspelt",
        "libpq-variable",
        "db-verify-ca",
        "redis-path-unused",
        "variable-unused",
        "gateway-address",
        "ca-bundle-empty",
        "site-partition-missing",
    ]


# --- what Nautobot stops at ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        pytest.param(
            "NAUTOBOT_REDIS_PORT",
            "tcp://10.0.0.1:6379",
            "'tcp://10.0.0.1:6379' is what Kubernetes writes for a Service called "
            "nautobot-redis. Set 'enableServiceLinks: false' on the pod, or set the "
            "variable to the port.",
            id="service link of Redis",
        ),
        pytest.param(
            "NAUTOBOT_DB_PORT",
            "tcp://10.0.0.1:5432",
            "'tcp://10.0.0.1:5432' is what Kubernetes writes for a Service called "
            "nautobot-db. Set 'enableServiceLinks: false' on the pod, or set the "
            "variable to the port.",
            id="service link of the database",
        ),
        pytest.param(
            "NAUTOBOT_REDIS_SSL",
            "ture",
            "'ture' is not a boolean, and Nautobot stops at it. Use true or false, "
            "or remove the variable.",
            id="untruthy",
        ),
        pytest.param(
            "NAUTOBOT_REDIS_SSL",
            " true",
            "' true' is not a boolean, and Nautobot stops at it. Use true or false, "
            "or remove the variable.",
            id="true with a blank, which Nautobot does not strip",
        ),
        pytest.param(
            "NAUTOBOT_REDIS_PORT",
            "",
            "an empty value is not a whole number, and Nautobot stops at it. Use "
            "digits, or remove the variable.",
            id="empty",
        ),
        pytest.param(
            "NAUTOBOT_PER_PAGE_DEFAULTS",
            "25,fifty",
            "the value is not whole numbers separated by commas, and Nautobot stops "
            "at it. Use digits and commas, or remove the variable.",
            id="a list of numbers",
        ),
        pytest.param(
            "NAUTOBOT_NTC_SUPPORT_CONTRACT_EXPIRATION_DATE",
            "tomorrow",
            "the value is not a date, and Nautobot stops at it. Use the form "
            "2026-11-22, or remove the variable.",
            id="a date",
        ),
        pytest.param(
            "NAUTOBOT_KUBERNETES_JOB_MANIFEST",
            "{token: x}",
            "the value is not JSON, and Nautobot stops at it. Use JSON, or remove "
            "the variable.",
            id="JSON, whose content is not shown",
        ),
        pytest.param(
            "NAUTOBOT_KUBERNETES_JOB_MANIFEST",
            "[" * 100_000,
            "the value is not JSON, and Nautobot stops at it. Use JSON, or remove "
            "the variable.",
            id="JSON too deep for the parser",
        ),
    ],
)
def test_value_that_stops_nautobot_is_reported(name, value, sentence):
    assert lines(check_nautobot_values({name: value})) == [f"{name}: {sentence}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NAUTOBOT_REDIS_PORT", " 6379 "),
        ("NAUTOBOT_REDIS_SSL", "YES"),
        ("NAUTOBOT_DEBUG", "Off"),
        ("NAUTOBOT_MAX_PAGE_SIZE", ""),
        ("NAUTOBOT_REGEX_TIMEOUT", "0.5"),
        ("NAUTOBOT_PER_PAGE_DEFAULTS", "25, 50"),
        ("NAUTOBOT_NTC_SUPPORT_CONTRACT_EXPIRATION_DATE", "2026-11-22"),
        ("NAUTOBOT_KUBERNETES_JOB_MANIFEST", "{}"),
        ("NAUTOBOT_DB_PORT", "5432"),
    ],
)
def test_value_that_nautobot_accepts_is_no_problem(name, value):
    assert check_nautobot_values({name: value}) == []


def test_invalid_value_is_refused_for_every_nautobot_variable():
    for reading in READINGS:
        for name in reading.names:
            assert len(check_nautobot_values({name: "?"})) == 1


# --- misspelt names ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("NAUTOBOT_DB_SSL_MODE", "NAUTOBOT_DB_SSLMODE"),
        ("NAUTOBOT_DB_SSLMOD", "NAUTOBOT_DB_SSLMODE"),
        ("NATUOBOT_DB_SSLMODE", "NAUTOBOT_DB_SSLMODE"),
        ("NAUTBOT_DB_SSLMODE", "NAUTOBOT_DB_SSLMODE"),
        ("nautobot_db_sslmode", "NAUTOBOT_DB_SSLMODE"),
        ("NAUTOBOT-DB-SSLMODE", "NAUTOBOT_DB_SSLMODE"),
        ("NAUTOBOT_REDIS_SSL_CA_CERT", "NAUTOBOT_REDIS_SSL_CA_CERTS"),
        ("UNDERSTACK_PARTITON", "UNDERSTACK_PARTITION"),
        ("UNDERSTAK_PARTITION", "UNDERSTACK_PARTITION"),
        ("SOCIAL_AUTH_OIDC_ENDPOINT", "SOCIAL_AUTH_OIDC_OIDC_ENDPOINT"),
        ("NAUTOBOT_SECRET_KEY_FIL", "NAUTOBOT_SECRET_KEY_FILE"),
        ("NAUTOBOT_ALLOWED_HOST", "NAUTOBOT_ALLOWED_HOSTS"),
    ],
)
def test_misspelt_variable_name_is_warned_about_with_the_nearest(name, nearest):
    assert lines(check_spelling({name: "x"})) == [
        f"{name}: this name is unknown; {nearest} is known. Correct the name, or "
        "ignore this if a program of yours reads it."
    ]


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"NAUTOBOT_URL": "x", "NAUTOBOT_TOKEN": "x"}, id="API clients"),
        pytest.param({"NAUTOBOT_GOLDEN_GIT_TOKEN": "x"}, id="like nothing known"),
        pytest.param({"NAUTOBOT_DB_SSLMODE": "x"}, id="known"),
        pytest.param({"NAUTOBAT_DB_COLOUR": "x"}, id="like nothing after the prefix"),
        pytest.param({"NAUTOBOT_BANNER_TOP": "x"}, id="known to Nautobot"),
        pytest.param({"NAUTOBOT_DB_SSL_MODE": " "}, id="empty"),
        pytest.param({"REDIS_PORT": "x", "DATABASE_URL": "x"}, id="other programs"),
        pytest.param(
            {
                "NAUTOBOT_REDIS_SERVICE_HOST": "10.0.0.1",
                "NAUTOBOT_REDIS_SERVICE_PORT": "6379",
                "NAUTOBOT_REDIS_SERVICE_PORT_TCP_REDIS": "6379",
                "NAUTOBOT_REDIS_PORT_6379_TCP": "tcp://10.0.0.1:6379",
                "NAUTOBOT_REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
            },
            id="service links",
        ),
        pytest.param(
            {
                "NAUTOBOT_CELERY_WORKER_PROMETHEUS_SERVICE_PORT": "80",
                "NAUTOBOT_CELERY_WORKER_PROMETHEUS_PORT": "tcp://10.0.0.1:80",
                "NAUTOBOT_CELERY_WORKER_PROMETHEUS_PORT_80_TCP_PORT": "80",
            },
            id="service links like a known name",
        ),
        pytest.param(
            {
                "NAUTOBOT_DB_PASSWORDS": "x",
                "NAUTOBOT_EXTRA_PLUGINS_CONFIG": (
                    '{"a": {"b": "${NAUTOBOT_DB_PASSWORDS}"}}'
                ),
            },
            id="referred to by the plugin configuration",
        ),
        pytest.param(
            {
                "NAUTOBOT_DB_PASSWORDS": "x",
                "NAUTOBOT_EXTRA_PLUGINS_CONFIG": (
                    r'{"a": {"b": "$\u003cNAUTOBOT_DB_PASSWORDS\u003e"}}'
                ),
            },
            id="referred to by the plugin configuration that Helm wrote",
        ),
    ],
)
def test_variable_name_unlike_any_known_is_not_reported(env):
    assert check_spelling(env) == []


def test_variable_referenced_in_plugin_file_is_not_reported_misspelt(tmp_path):
    path = tmp_path / "plugins.json"
    path.write_text('{"a": {"b": "$<NAUTOBOT_DB_PASSWORDS>"}}')
    env = {
        "NAUTOBOT_DB_PASSWORDS": "x",
        "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": str(path),
    }

    assert check_spelling(env) == []
    assert (
        len(check_spelling({**env, "NAUTOBOT_EXTRA_PLUGINS_CONFIG_FILE": "/no"})) == 1
    )


# --- libpq ---------------------------------------------------------------------


def test_every_libpq_variable_is_reported():
    env = dict.fromkeys(LIBPQ_VARIABLES, "x")

    problems = check_libpq_variables({}, env)

    assert [problem.variable for problem in problems] == list(LIBPQ_VARIABLES)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "PGHOSTADDR",
            "libpq takes hostaddr from this variable. Unset it; if you need it, "
            "use NAUTOBOT_DB_EXTRA_OPTIONS.",
        ),
        (
            "PGUSER",
            "libpq takes user from this variable. Unset it; if you need it, use "
            "NAUTOBOT_DB_USER.",
        ),
        (
            "PGSSLMODE",
            "the settings decide sslmode, and other programs take it from this "
            "variable. Unset it.",
        ),
        (
            "PGHOST",
            "the settings decide host, and other programs take it from this "
            "variable. Unset it.",
        ),
    ],
)
def test_libpq_variable_is_reported_with_its_effect(name, sentence):
    settings = database(sslmode="verify-full")

    assert lines(check_libpq_variables(settings, {name: "x"})) == [
        f"{name}: {sentence}"
    ]


def test_libpq_variable_with_mysql_or_empty_is_not_reported():
    assert check_libpq_variables(database(engine="mysql"), {"PGHOST": "x"}) == []
    assert check_libpq_variables(database(), {"PGHOST": "", "PGDATA": "/x"}) == []


# --- what has no effect --------------------------------------------------------


@pytest.mark.parametrize(("sslmode", "said"), [("", "unset"), ("require", "require")])
def test_certificate_path_unused_by_sslmode_is_warned_about(sslmode, said):
    env = {"NAUTOBOT_DB_SSLMODE": sslmode, "NAUTOBOT_DB_SSLKEY": "/m/tls.key"}

    assert lines(check_unused({}, env)) == [
        f"NAUTOBOT_DB_SSLKEY: NAUTOBOT_DB_SSLMODE is {said}, so no certificate is "
        "presented or verified. Set NAUTOBOT_DB_SSLMODE to verify-full, or unset the "
        "paths."
    ]


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full", "verify_full"])
def test_certificate_path_used_by_sslmode_is_not_warned_about(sslmode):
    env = {"NAUTOBOT_DB_SSLMODE": sslmode, "NAUTOBOT_DB_SSLKEY": "/m/tls.key"}

    assert check_unused({}, env) == []


def test_certificate_path_used_by_sslmode_of_the_file_is_not_warned_about():
    env = {"NAUTOBOT_DB_SSLKEY": "/m/tls.key"}

    assert check_unused(database(sslmode="verify-full"), env) == []
    assert len(check_unused(database(sslmode="require"), env)) == 1
    assert len(check_unused(database(sslmode="prefer"), env)) == 1


def test_certificate_path_that_a_file_uses_itself_is_not_warned_about():
    """Of a file that configures TLS by hand, from the same variables."""
    env = {
        "NAUTOBOT_DB_SSLCERT": "/m/tls.crt",
        "NAUTOBOT_REDIS_SSL_CA_CERTS": "/m/ca.crt",
        "UNDERSTACK_REDIS_MTLS": "off",
    }
    tls = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/m/ca.crt"}
    by_hand = {
        **database(sslmode="require", sslcert="/m/tls.crt"),
        "CELERY_BROKER_USE_SSL": tls,
    }

    assert check_unused(by_hand, env) == []
    by_hand = {
        **database(sslmode="require", sslcert="/m/tls.crt", sslcertmode="disable"),
        "CELERY_BROKER_USE_SSL": {**tls, "ssl_ca_certs": "/other"},
    }
    assert [one.variable for one in check_unused(by_hand, env)] == [*env][:2]


def test_redis_path_with_mutual_tls_off_is_warned_about():
    path = {"NAUTOBOT_REDIS_SSL_CA_CERTS": "/m/ca.crt"}

    assert check_unused({}, {**path, "UNDERSTACK_REDIS_MTLS": "auto"}) == []
    assert lines(check_unused({}, {**path, "UNDERSTACK_REDIS_MTLS": "off"})) == [
        "NAUTOBOT_REDIS_SSL_CA_CERTS: UNDERSTACK_REDIS_MTLS is off, so this file is "
        "not looked at; over TLS, the system's CAs verify the server. Unset "
        "UNDERSTACK_REDIS_MTLS, or unset the paths."
    ]


NO_HOST = (
    "a name in the value is one that no request can have. Write each name by itself, "
    "without scheme, port or quotes; the variable has blanks between names. Write an "
    "IPv6 address in brackets, and an international name as xn--. .example.com stands "
    "for every name below example.com."
)


@pytest.mark.parametrize(
    "hosts",
    [
        *("a.example,b.example", "https://a.example", "a.example:8080", "[::1],b"),
        *("*.example", '["*"]', "'a.example'", "a.example\n", "m\u00fcnchen.example"),
        "::1",
    ],
)
def test_allowed_host_that_no_request_can_name_is_refused(hosts):
    """Nautobot takes it as it stands, and answers every request with status 400."""
    name = "NAUTOBOT_ALLOWED_HOSTS"
    wrong, right = (
        {name: text} for text in (f"ok.example {hosts}", " a.b  .c.d 10.0.0.1 [::1] *")
    )

    found = check_allowed_hosts(base_settings(wrong), wrong)

    assert lines(found) == [f"{name}: {NO_HOST}"]
    assert check_allowed_hosts(base_settings(right), right) == []


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["a.example", "b.example"], []),
        (["a.example b.example"], [f"ALLOWED_HOSTS: {NO_HOST}"]),
        (
            "*",
            [
                "ALLOWED_HOSTS: the settings file assigns a value that is not a list "
                "of str. Assign a list of str."
            ],
        ),
    ],
    ids=["split by the file", "split at nothing", "no list"],
)
def test_allowed_hosts_of_the_settings_file_are_judged_as_they_are(hosts, expected):
    env = {"NAUTOBOT_ALLOWED_HOSTS": "a.example,b.example"}

    assert lines(check_allowed_hosts({"ALLOWED_HOSTS": hosts}, env)) == expected


@pytest.mark.parametrize(
    ("name", "switch", "value", "other"),
    [
        (
            "UNDERSTACK_DB_KEEPALIVES_IDLE",
            "UNDERSTACK_CONNECTION_PROFILE",
            "wan",
            "lan",
        ),
        ("UNDERSTACK_JOB_RESULT_RETRIES", "UNDERSTACK_CONNECTION_PROFILE", "wan", ""),
        ("UNDERSTACK_HSTS_SECONDS", "UNDERSTACK_HARDENING", "on", "off"),
        ("UNDERSTACK_EXPIRY_UNHEALTHY", "UNDERSTACK_APP", "true", ""),
    ],
)
def test_variable_without_its_switch_is_warned_about(name, switch, value, other):
    assert lines(check_unused({}, {name: "9", switch: other})) == [
        f"{name}: it has no effect unless {switch} is {value}. Set {switch} to "
        f"{value}, or unset this."
    ]
    assert check_unused({}, {name: "9", switch: value}) == []
    assert check_unused({}, {name: " "}) == []


def test_wan_variables_without_wan_profile_are_warned_about():
    """What the reference calls part of ``wan`` is warned about without it."""
    names = {
        one.name
        for one in VARIABLES
        if "profile `wan`" in one.help.replace("\n", " ") and one.settings
    }

    found = check_unused({}, dict.fromkeys(names, "60"))

    assert {problem.variable for problem in found} == names


# --- CA bundles for HTTPS ------------------------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    private, public = Authority().ca_pem, Authority("public").ca_pem
    contents = {
        "private": private,
        "public": public,
        "both": public + b"\n" + private,
        "empty": b"",
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    os.mkfifo(directory / "pipe")
    (directory / "endless").symlink_to("/dev/zero")
    return directory


PRIVATE = (
    "holds private CAs only, and takes the place of the public ones: HTTPS to Git, "
    "webhooks and single sign-on fails. Unset it, since PostgreSQL and Redis have "
    "variables of their own, or name a bundle of the public CAs and yours."
)
NOTHING = (
    "is missing, cannot be read, or holds no certificate. Unset it, or name a bundle "
    "with the public CAs."
)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("private", PRIVATE),
        ("both", None),
        ("empty", NOTHING),
        ("missing", NOTHING),
        ("pipe", NOTHING),
        ("endless", NOTHING),
    ],
)
def test_ca_bundle_without_public_cas_is_warned_about(
    bundles, variable, name, sentence
):
    env = {variable: f"{bundles}/{name}"}

    problems = check_ca_bundles({}, env, system_bundles=[f"{bundles}/public"])

    assert lines(problems) == (
        [f"{variable}: {bundles}/{name} {sentence}"] if sentence else []
    )


@pytest.mark.parametrize(
    ("variable", "fact"),
    [
        (
            "SSLKEYLOGFILE",
            "Python writes the keys of every TLS session to this file, and with them "
            "recorded traffic can be decrypted, passwords included.",
        ),
        (
            "OPENSSL_CONF",
            "OpenSSL reads this file in place of its own configuration: it can load "
            "code, and lower what TLS asks of a server.",
        ),
    ],
)
def test_variable_that_affects_every_tls_connection_is_reported(variable, fact):
    assert lines(check_tls_variables({variable: "/tmp/x", "PGHOST": "h"})) == [
        f"{variable}: {fact} Unset it. If you need it, let nobody else read or write "
        "the file."
    ]


def test_requests_bundle_that_is_a_directory_is_accepted(bundles):
    assert check_ca_bundles({}, {"REQUESTS_CA_BUNDLE": str(bundles)}) == []


@pytest.mark.parametrize(("name", "count"), [("private", 1), ("both", 0)])
def test_bundle_without_system_store_is_compared_with_mutual_tls_ca(
    bundles, name, count
):
    settings = database(sslmode="verify-full", sslrootcert=f"{bundles}/private")
    env = {"SSL_CERT_FILE": f"{bundles}/{name}"}

    problems = check_ca_bundles(settings, env, system_bundles=["/nowhere"])

    assert len(problems) == count


# --- roles ---------------------------------------------------------------------


FAR = {
    "DATABASES": {"default": {"HOST": "db.example.org"}},
    "CACHES": {"default": {"LOCATION": "rediss://redis.example.org:6379/1"}},
    "CELERY_BROKER_URL": "rediss://redis.example.org:6379/0",
}


@pytest.mark.parametrize(
    "env",
    [
        {"UNDERSTACK_PARTITION": "a", "UNDERSTACK_SITE": "b", "CELERY_TASK_QUEUES": q}
        for q in ("a", "b", "default,b")
    ],
    ids=["partition", "site", "site and default"],
)
def test_site_worker_queue_must_be_its_partition_or_site(env):
    assert check_role(FAR, env, role="site-worker") == []
    assert check_role(FAR, env | {"CELERY_TASK_QUEUES": "c"}, role="site-worker") != []


@pytest.mark.parametrize("name", ["UNDERSTACK_PARTITION", "UNDERSTACK_SITE"])
def test_site_of_the_settings_file_counts_as_that_of_the_variable(name):
    env = {"UNDERSTACK_PARTITION": "p", "CELERY_TASK_QUEUES": "a"}
    settings = {**FAR, "UNDERSTACK_PARTITION": "p", name: "a"}

    assert check_role(settings, env, role="site-worker") == []
    assert check_role({**FAR, name: "a"}, {}, role="site-worker") != []


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("localhost", "NAUTOBOT_DB_HOST: it is unset, so"),
        ("", "DATABASES.default.HOST:"),
        ("127.0.0.1", "DATABASES.default.HOST:"),
        ("/run/postgresql", "DATABASES.default.HOST:"),
    ],
)
def test_site_worker_without_hosts_is_an_error(host, place):
    env = {"UNDERSTACK_PARTITION": "a", "CELERY_TASK_QUEUES": "a"}
    settings = {
        "DATABASES": {"default": {"HOST": host}},
        "CACHES": {"default": {"LOCATION": "redis://localhost:6379/1"}},
    }
    remedy = "Set it to the host name of the gateway of the global cluster."

    assert len(check_role(settings, {}, role="site-worker")) == 3
    assert lines(check_role(settings, env, role="site-worker")) == [
        f"{place} a site worker would connect to {host or 'a socket'} in its own pod. "
        f"{remedy}",
        "NAUTOBOT_REDIS_HOST: it is unset, so a site worker would connect to localhost "
        f"in its own pod. {remedy}",
    ]


def test_site_worker_with_localhost_in_the_environment_names_the_variable():
    settings = {**FAR, "DATABASES": {"default": {"HOST": "localhost"}}}
    env = {
        "NAUTOBOT_DB_HOST": "localhost",
        "UNDERSTACK_PARTITION": "a",
        "CELERY_TASK_QUEUES": "a",
    }

    (problem,) = check_role(settings, env, role="site-worker")

    assert problem.fact == (
        "NAUTOBOT_DB_HOST: a site worker would connect to localhost in its own pod."
    )


def test_site_worker_whose_file_names_its_own_pod_is_an_error():
    """Though the variables name another server."""
    env = {
        "NAUTOBOT_DB_HOST": "db.example.org",
        "NAUTOBOT_REDIS_HOST": "redis.example.org",
        "UNDERSTACK_PARTITION": "a",
        "CELERY_TASK_QUEUES": "a",
    }
    settings = {**FAR, "CELERY_BROKER_URL": "redis://localhost:6379/0"}

    (line,) = lines(check_role(settings, env, role="site-worker"))

    assert line == (
        "CELERY_BROKER_URL: a site worker would connect to localhost in its own pod. "
        "Set it to the host name of the gateway of the global cluster."
    )


@pytest.mark.parametrize("broker", ["sqs://", "memory://"])
def test_site_worker_without_a_server_for_cache_and_broker_connects_to_none(broker):
    env = {"UNDERSTACK_PARTITION": "a", "CELERY_TASK_QUEUES": "a"}
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    caches = {"default": {**local, "LOCATION": "here"}}
    settings = {**FAR, "CACHES": caches, "CELERY_BROKER_URL": broker}

    assert check_role(settings, env, role="site-worker") == []


def test_log_level_set_by_chart_is_not_warned_about():
    assert check_unused({}, {"NAUTOBOT_LOG_LEVEL": "INFO"}) == []


def test_invalid_switch_gives_no_warning_about_its_variables():
    env = {
        "UNDERSTACK_CONNECTION_PROFILE": "wam",
        "UNDERSTACK_DB_KEEPALIVES_IDLE": "60",
    }

    assert check_unused({}, env) == []


@pytest.mark.parametrize(
    ("env", "sentences"),
    [
        pytest.param(
            {"UNDERSTACK_PARTITION": "dfw3", "CELERY_TASK_QUEUES": "dfw3"},
            [],
            id="good",
        ),
        pytest.param(
            {"UNDERSTACK_PARTITION": "dfw3", "CELERY_TASK_QUEUES": "default,dfw3"},
            [],
            id="one of two queues",
        ),
        pytest.param(
            {"CELERY_TASK_QUEUES": "dfw3"},
            [
                "UNDERSTACK_PARTITION: it is unset, and a site worker must know its "
                "partition. Set UNDERSTACK_PARTITION from the cluster-data "
                "ConfigMap."
            ],
            id="no partition",
        ),
        pytest.param(
            {"UNDERSTACK_PARTITION": "dfw3"},
            [
                "CELERY_TASK_QUEUES: it is unset, so it does not have the queue dfw3 "
                "of the site. Add dfw3 to taskQueues of the worker in the chart's "
                "values."
            ],
            id="no queues",
        ),
        pytest.param(
            {"UNDERSTACK_PARTITION": "dfw3", "CELERY_TASK_QUEUES": "default"},
            [
                "CELERY_TASK_QUEUES: 'default' does not have the queue dfw3 of the "
                "site. Add dfw3 to taskQueues of the worker in the chart's values."
            ],
            id="another queue",
        ),
        pytest.param(
            {"UNDERSTACK_PARTITION": "dfw3", "CELERY_TASK_QUEUES": "default, dfw3"},
            [
                "CELERY_TASK_QUEUES: 'default, dfw3' has blanks, which Celery takes "
                "for part of a queue's name. Write default,dfw3."
            ],
            id="a blank",
        ),
        pytest.param(
            {
                "UNDERSTACK_PARTITION": "dfw3-1",
                "UNDERSTACK_SITE": "dfw3",
                "CELERY_TASK_QUEUES": "dfw3",
            },
            [],
            id="queue of the site",
        ),
        pytest.param(
            {
                "UNDERSTACK_PARTITION": "dfw3-1",
                "UNDERSTACK_SITE": "dfw3",
                "CELERY_TASK_QUEUES": "default",
            },
            [
                "CELERY_TASK_QUEUES: 'default' does not have the queue dfw3-1 or dfw3 "
                "of the site. Add dfw3-1 or dfw3 to taskQueues of the worker in the "
                "chart's values."
            ],
            id="neither queue",
        ),
    ],
)
def test_site_worker_without_partition_or_queue_is_reported(env, sentences):
    assert lines(check_role(FAR, env, role="site-worker")) == sentences


WORKER_OF_THE_CHART = {
    "UNDERSTACK_PARTITION": "dfw3",
    # The chart writes the first into each container, the other into its own alone.
    "NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES": "true",
    "NAUTOBOT_K8S_COMPONENT": "nautobot-celery-default",
}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        pytest.param({}, True, id="worker"),
        pytest.param({"NAUTOBOT_K8S_COMPONENT": ""}, False, id="init container"),
        pytest.param(
            {"NAUTOBOT_K8S_COMPONENT": "", "CELERY_TASK_QUEUES": "default"},
            True,
            id="queue of another worker",
        ),
        pytest.param(
            {"NAUTOBOT_CELERY_HEALTH_PROBES_AS_FILES": ""}, True, id="not of the chart"
        ),
    ],
)
def test_init_container_of_chart_needs_no_queue(changed, missing):
    problems = check_role(FAR, {**WORKER_OF_THE_CHART, **changed}, role="site-worker")

    assert [one.code for one in problems] == ["site-queue-missing"] * missing


@pytest.mark.parametrize("role", [None, "web", "worker", "beat"])
def test_other_roles_need_no_partition_and_no_queue(role):
    assert check_role({}, {}, role=role) == []


@pytest.mark.parametrize("role", [None, "web", "worker", "beat", "site-worker"])
@pytest.mark.parametrize(
    ("changed", "open_"),
    [
        pytest.param({}, True, id="open"),
        pytest.param({"NAUTOBOT_METRICS_AUTHENTICATED": "true"}, False, id="login"),
        pytest.param({"NAUTOBOT_METRICS_ENABLED": "False"}, False, id="no metrics"),
        pytest.param({"UNDERSTACK_HARDENING": "off"}, False, id="not hardened"),
    ],
)
def test_metrics_without_login_on_hardened_web_pod_are_reported(changed, open_, role):
    hardened = {"UNDERSTACK_HARDENING": "on", "NAUTOBOT_METRICS_ENABLED": "True"}
    assert lines(check_metrics({}, {**hardened, **changed}, role=role)) == (
        [
            "NAUTOBOT_METRICS_AUTHENTICATED: it is not set to true, so /metrics needs "
            "no login and no token. Set NAUTOBOT_METRICS_AUTHENTICATED=true and give "
            "Prometheus a token, or do not route /metrics from outside the cluster."
        ]
        if open_ and role == "web"
        else []
    )


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"METRICS_ENABLED": True, "METRICS_AUTHENTICATED": False}, 1),
        ({"METRICS_ENABLED": True, "METRICS_AUTHENTICATED": True}, 0),
        ({"METRICS_ENABLED": False, "METRICS_AUTHENTICATED": False}, 0),
    ],
    ids=["open", "login", "no metrics"],
)
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_metrics_are_judged_by_the_settings_in_force(settings, count, enabled):
    env = {"UNDERSTACK_HARDENING": "on", "NAUTOBOT_METRICS_ENABLED": enabled}

    assert len(check_metrics(settings, env, role="web")) == count


def test_metrics_that_the_settings_file_opens_are_its_problem():
    env = {
        "UNDERSTACK_HARDENING": "on",
        "NAUTOBOT_METRICS_ENABLED": "true",
        "NAUTOBOT_METRICS_AUTHENTICATED": "true",
    }

    assert lines(check_metrics({"METRICS_AUTHENTICATED": False}, env, role="web")) == [
        "METRICS_AUTHENTICATED: it is not set to true, so /metrics needs no login and "
        "no token. Let the settings file use NAUTOBOT_METRICS_AUTHENTICATED, which is "
        "true."
    ]


def test_chart_variable_that_the_settings_file_reads_is_no_problem():
    assert (
        check_unused({"CELERY_TASK_ACKS_LATE": True}, {"CELERY_TASK_ACKS_LATE": "true"})
        == []
    )


@pytest.mark.parametrize("value", ["true", "false"])
def test_chart_variable_that_nothing_reads_is_warned_about(value):
    assert lines(check_environment({}, {"CELERY_TASK_ACKS_LATE": value})) == [
        "CELERY_TASK_ACKS_LATE: neither Nautobot nor Celery reads it from the "
        "environment. Set the Django setting of the same name in nautobot_config.py, "
        "or remove the value from the chart's values."
    ]


def test_chart_variable_that_is_empty_is_no_problem():
    assert lines(check_environment({}, {"CELERY_TASK_ACKS_LATE": ""})) == []
