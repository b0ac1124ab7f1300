import json

import pytest

from tests.refusals import sentences
from understack_nautobot_settings import MissingFileError
from understack_nautobot_settings import SettingsError
from understack_nautobot_settings import SettingsWarning
from understack_nautobot_settings import postgresql_tls_settings
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.environment.libpq import libpq_release

ENGINE = "django.db.backends.postgresql"
MOUNT = {
    "sslcert": "/etc/nautobot/mtls/tls.crt",
    "sslkey": "/etc/nautobot/mtls/tls.key",
    "sslrootcert": "/etc/nautobot/mtls/ca.crt",
}


def databases(**options):
    database = {"ENGINE": ENGINE, "HOST": "db", "NAME": "app"}
    if options:
        database["OPTIONS"] = options
    return {"default": database}


def settings(env, base=None, libpq=170005, **options):
    return postgresql_tls_settings(
        {"DATABASES": databases() if base is None else base},
        env,
        check_files=lambda files: [],
        libpq=lambda: libpq,
        **options,
    )


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ({}, {}),
        ({"NAUTOBOT_DB_SSLMODE": ""}, {}),
        ({"NAUTOBOT_DB_SSLMODE": "disable"}, {"sslmode": "disable"}),
        (
            {"NAUTOBOT_DB_SSLMODE": "require"},
            {"sslmode": "require", "sslcertmode": "disable"},
        ),
        ({"NAUTOBOT_DB_SSLMODE": "verify-ca"}, {"sslmode": "verify-ca", **MOUNT}),
        (
            {"NAUTOBOT_DB_SSLMODE": " verify-full\n"},
            {"sslmode": "verify-full", **MOUNT},
        ),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "verify-full",
                "NAUTOBOT_DB_SSLCERT": "/m/c",
                "NAUTOBOT_DB_SSLKEY": "/m/k",
                "NAUTOBOT_DB_SSLROOTCERT": "/m/r",
            },
            {
                "sslmode": "verify-full",
                "sslcert": "/m/c",
                "sslkey": "/m/k",
                "sslrootcert": "/m/r",
            },
        ),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "verify-ca",
                "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
            },
            {"sslmode": "verify-ca", "sslnegotiation": "direct", **MOUNT},
        ),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "require",
                "NAUTOBOT_DB_SSLNEGOTIATION": "postgres",
            },
            {
                "sslmode": "require",
                "sslcertmode": "disable",
                "sslnegotiation": "postgres",
            },
        ),
        ({"NAUTOBOT_DB_SSLNEGOTIATION": "postgres"}, {}),
        ({"NAUTOBOT_DB_SSLCERT": "/nowhere"}, {}),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"target_session_attrs": "read-write"}'},
            {"target_session_attrs": "read-write"},
        ),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "verify-ca",
                "NAUTOBOT_DB_EXTRA_OPTIONS": (
                    '{"sslmode": "verify-ca", "keepalives": 1}'
                ),
            },
            {"sslmode": "verify-ca", "keepalives": 1, **MOUNT},
        ),
    ],
    ids=[
        "unset",
        "empty",
        "disable",
        "require",
        "verify-ca",
        "verify-full with blanks",
        "paths of one's own",
        "direct negotiation",
        "classic negotiation",
        "classic negotiation without TLS",
        "a path without TLS",
        "extra options",
        "extra options that agree",
    ],
)
def test_sslmode_becomes_libpq_parameters(env, options):
    assert settings(env) == {"DATABASES": databases(**options)}


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ({"NAUTOBOT_DB_SSLMODE": "require"}, {"sslmode": "require"}),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "require",
                "NAUTOBOT_DB_SSLNEGOTIATION": "postgres",
            },
            {"sslmode": "require"},
        ),
    ],
    ids=["sslcertmode", "sslnegotiation"],
)
def test_old_libpq_gets_only_parameters_it_knows(env, options):
    assert settings(env, libpq=150006) == {"DATABASES": databases(**options)}


def test_tls_options_are_merged_over_database_options():
    base = databases(connect_timeout=3, sslmode="prefer")

    assert settings({"NAUTOBOT_DB_SSLMODE": "verify-ca"}, base) == {
        "DATABASES": databases(connect_timeout=3, sslmode="verify-ca", **MOUNT)
    }
    assert base == databases(connect_timeout=3, sslmode="prefer")


def test_replica_without_tls_options_gets_those_of_the_default_database():
    base = {**databases(), "replica": {"ENGINE": ENGINE, "HOST": "replica"}}

    found = settings({"NAUTOBOT_DB_SSLMODE": "verify-full"}, base)["DATABASES"]

    assert found["replica"] == {
        "ENGINE": ENGINE,
        "HOST": "replica",
        "OPTIONS": {"sslmode": "verify-full", **MOUNT},
    }


@pytest.mark.parametrize(
    ("env", "said", "own", "options"),
    [
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full"},
            {"sslcert": "/file/c", "sslkey": "/file/k"},
            {},
            {
                "sslmode": "verify-full",
                "sslcert": "/file/c",
                "sslkey": "/file/k",
                "sslrootcert": MOUNT["sslrootcert"],
            },
        ),
        (
            {},
            {"sslmode": "verify-full", "sslrootcert": "/file/r"},
            {"connect_timeout": 3},
            {
                "sslmode": "verify-full",
                "sslrootcert": "/file/r",
                "connect_timeout": 3,
            },
        ),
        (
            {"NAUTOBOT_DB_SSLROOTCERT": "/env/r"},
            {"sslmode": "verify-full"},
            {},
            {"sslmode": "verify-full", "sslrootcert": "/env/r"},
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full"},
            {},
            {"sslrootcert": "/replica/r"},
            {"sslmode": "verify-full", **MOUNT, "sslrootcert": "/replica/r"},
        ),
        ({}, {"sslmode": "disable"}, {}, {}),
    ],
    ids=[
        "paths of the file",
        "all of the file",
        "one path of a variable",
        "CA of its own",
        "plain by the file alone",
    ],
)
def test_replica_without_sslmode_gets_what_is_in_force_for_the_default_database(
    env, said, own, options
):
    base = {**databases(**said), "replica": {"ENGINE": ENGINE, "OPTIONS": own}}

    found = settings(env, base)["DATABASES"]

    assert found["replica"]["OPTIONS"] == options


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"NAUTOBOT_DB_SSLMODE": "verify-full"}, {"sslmode": "verify-full"}),
        ({"NAUTOBOT_DB_SSLMODE": "verify-full"}, {"sslmode": "require"}),
        (
            {"NAUTOBOT_DB_SSLMODE": "disable"},
            {"sslmode": "verify-ca", "sslrootcert": "/file/r"},
        ),
        ({"NAUTOBOT_DB_SSLCERT": "/env/c"}, {"sslmode": "verify-full"}),
    ],
    ids=["without paths", "weaker", "stronger", "one path of a variable"],
)
def test_copy_of_the_default_database_gets_the_same_tls(env, said):
    """A file copies the database above the call, and names another host."""
    base = databases(**said)
    options = {**said, "pool": False}
    base["replica"] = {"ENGINE": ENGINE, "HOST": "replica", "OPTIONS": options}

    found = settings(env, base)["DATABASES"]

    expected = {**found["default"]["OPTIONS"], "pool": False}
    assert found["replica"] == {**base["replica"], "OPTIONS": expected}


@pytest.mark.parametrize(
    "other",
    [
        {"ENGINE": ENGINE, "OPTIONS": {"sslmode": "require"}},
        {"ENGINE": "django.db.backends.mysql"},
    ],
    ids=["TLS options of its own", "other engine"],
)
def test_database_unlike_the_default_is_not_changed(other):
    base = {**databases(), "other": other}

    found = settings({"NAUTOBOT_DB_SSLMODE": "verify-full"}, base)

    assert found["DATABASES"]["other"] == other


@pytest.mark.parametrize(
    ("env", "said", "options"),
    [
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full", "NAUTOBOT_DB_SSLKEY": "/env/k"},
            {"sslcert": "/file/c", "sslkey": "/file/k"},
            {
                "sslmode": "verify-full",
                "sslcert": "/file/c",
                "sslkey": "/env/k",
                "sslrootcert": MOUNT["sslrootcert"],
            },
        ),
        (
            {},
            {"sslmode": "verify-full", "sslrootcert": "/file/r"},
            {"sslmode": "verify-full", "sslrootcert": "/file/r"},
        ),
        (
            {"NAUTOBOT_DB_SSLROOTCERT": "/env/r"},
            {"sslmode": "verify-full", "sslrootcert": "/file/r"},
            {"sslmode": "verify-full", "sslrootcert": "/env/r"},
        ),
        (
            {"NAUTOBOT_DB_SSLNEGOTIATION": "direct"},
            {"sslmode": "verify-full", "sslrootcert": "/file/r"},
            {
                "sslmode": "verify-full",
                "sslrootcert": "/file/r",
                "sslnegotiation": "direct",
            },
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "require"},
            {"sslcertmode": "allow"},
            {"sslmode": "require", "sslcertmode": "allow"},
        ),
    ],
    ids=[
        "file over default, variable over file",
        "no certificate with an sslmode of the file",
        "path of the variable with an sslmode of the file",
        "negotiation with an sslmode of the file",
        "sslcertmode of the file",
    ],
)
def test_variable_wins_over_file_and_file_over_default(env, said, options):
    found = settings(env, databases(**said))

    assert found["DATABASES"]["default"]["OPTIONS"] == options


def test_certificate_path_is_judged_under_the_name_that_set_it():
    judged = []
    postgresql_tls_settings(
        {"DATABASES": databases(sslcert="/file/c")},
        {"NAUTOBOT_DB_SSLMODE": "verify-full", "NAUTOBOT_DB_SSLROOTCERT": "system"},
        check_files=lambda files: judged.append(files) or [],
        libpq=lambda: 170005,
    )

    assert judged == [
        ClientFiles(
            "PostgreSQL",
            CertificateFile("/file/c", "DATABASES.default.OPTIONS.sslcert"),
            CertificateFile(MOUNT["sslkey"], "NAUTOBOT_DB_SSLKEY"),
            None,
        )
    ]


@pytest.mark.parametrize(
    "env",
    [{"NAUTOBOT_DB_SSLMODE": "verify-full"}, {"NAUTOBOT_DB_SSLCERT": "/m/c"}],
    ids=["the sslmode", "a path"],
)
def test_files_of_settings_file_are_judged_where_a_variable_decides(env):
    judged = []

    postgresql_tls_settings(
        {"DATABASES": databases(sslmode="verify-full", **MOUNT)},
        env,
        check_files=lambda files: judged.append(files) or [],
    )

    (files,) = judged
    _, *others = MOUNT.values()
    cert = env.get("NAUTOBOT_DB_SSLCERT", MOUNT["sslcert"])
    assert [file.path for file in files.present()] == [cert, *others]


def test_direct_negotiation_is_written_with_the_first_libpq_that_knows_it():
    env = {"NAUTOBOT_DB_SSLMODE": "require", "NAUTOBOT_DB_SSLNEGOTIATION": "direct"}

    options = settings(env, libpq=170000)["DATABASES"]["default"]["OPTIONS"]

    assert options["sslnegotiation"] == "direct"


PIN = "pkcs11:token=nautobot;pin-value=c4n4ry"
HOSTS = {"default": {"ENGINE": ENGINE, "HOST": "a,b", "PORT": "5432,5433"}}


@pytest.mark.parametrize(
    ("env", "base", "libpq", "line"),
    [
        (
            {"NAUTOBOT_DB_SSLROOTCERT": "system", "NAUTOBOT_DB_SSLMODE": "verify-ca"},
            None,
            170005,
            "NAUTOBOT_DB_SSLROOTCERT: 'system' needs sslmode verify-full, and the "
            "sslmode is verify-ca. Use NAUTOBOT_DB_SSLMODE=verify-full and a driver "
            "with libpq 16 or later, or name a CA file.",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-ca"},
            databases(sslrootcert="system"),
            170005,
            "DATABASES.default.OPTIONS.sslrootcert: 'system' needs sslmode "
            "verify-full, and the sslmode is verify-ca. Use "
            "NAUTOBOT_DB_SSLMODE=verify-full and a driver with libpq 16 or later, or "
            "name a CA file.",
        ),
        (
            {"NAUTOBOT_DB_SSLROOTCERT": "system", "NAUTOBOT_DB_SSLMODE": "verify-full"},
            None,
            150012,
            "NAUTOBOT_DB_SSLROOTCERT: 'system' needs libpq 16.0, and libpq 15.12 is "
            "loaded. Use NAUTOBOT_DB_SSLMODE=verify-full and a driver with libpq 16 or "
            "later, or name a CA file.",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full", "NAUTOBOT_DB_SSLKEY": PIN},
            None,
            170005,
            "NAUTOBOT_DB_SSLKEY: the value names a key in a token, which is not "
            "supported. Set it to the path of a file.",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "verify-full"},
            databases(sslkey=PIN),
            170005,
            "DATABASES.default.OPTIONS.sslkey: the value names a key in a token, "
            "which is not supported. Use a key and a certificate in files.",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "require", "NAUTOBOT_DB_HOST": "/run"},
            {"default": {"ENGINE": ENGINE, "HOST": "/run"}},
            170005,
            "NAUTOBOT_DB_SSLMODE: require needs TLS, and NAUTOBOT_DB_HOST is a Unix "
            "socket. Set NAUTOBOT_DB_HOST, or HOST in the settings file, to a host "
            "name, or NAUTOBOT_DB_SSLMODE=disable.",
        ),
        (
            {"NAUTOBOT_DB_SSLMODE": "require"},
            {"default": {"ENGINE": ENGINE, "HOST": "a,/run/postgresql"}},
            170005,
            "NAUTOBOT_DB_SSLMODE: require needs TLS, and DATABASES.default.HOST is a "
            "Unix socket. Set NAUTOBOT_DB_HOST, or HOST in the settings file, to a "
            "host name, or NAUTOBOT_DB_SSLMODE=disable.",
        ),
        (
            {
                "NAUTOBOT_DB_SSLMODE": "verify_full",
                "NAUTOBOT_DB_SSLNEGOTIATION": "direct",
            },
            None,
            170005,
            "NAUTOBOT_DB_SSLMODE: 'verify_full' is not a valid sslmode. Did you mean "
            "verify-full? (Also valid: verify-ca, require; disable for plain TCP.)",
        ),
        (
            {"NAUTOBOT_DB_PORT": "5432,x"},
            {"default": {"ENGINE": ENGINE, "HOST": "a,b", "PORT": "5432,x"}},
            170005,
            "NAUTOBOT_DB_PORT: the value is not a whole number. Use a whole number "
            "from 1 to 65535.",
        ),
        (
            {"NAUTOBOT_DB_PORT": "9" * 5000},
            {"default": {"ENGINE": ENGINE, "PORT": "9" * 5000}},
            170005,
            "NAUTOBOT_DB_PORT: the value is out of range. Use a whole number from 1 "
            "to 65535.",
        ),
        *(
            (
                {"NAUTOBOT_DB_EXTRA_OPTIONS": json.dumps({name: "c4n4ry"})},
                None,
                170005,
                f"NAUTOBOT_DB_EXTRA_OPTIONS: {name} is not accepted. Remove it from "
                "NAUTOBOT_DB_EXTRA_OPTIONS.",
            )
            for name in ("sslkeylogfile", "dsn", "conninfo", "service", "servicefile")
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"SSLMODE": "c4n4ry"}'},
            None,
            170005,
            "NAUTOBOT_DB_EXTRA_OPTIONS: libpq knows no parameter 'SSLMODE'. Write it "
            "as 'sslmode'.",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"conect_timeout": 5}'},
            None,
            170005,
            "NAUTOBOT_DB_EXTRA_OPTIONS: libpq knows no parameter 'conect_timeout'. "
            "Write it as 'connect_timeout'.",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"keepalives_idle": 99999}'},
            None,
            170005,
            "NAUTOBOT_DB_EXTRA_OPTIONS.keepalives_idle: "
            "'99999' is out of range. Use a whole number from 1 to 32767 (seconds).",
        ),
        (
            {"NAUTOBOT_DB_EXTRA_OPTIONS": '{"tcp_user_timeout": "10s"}'},
            None,
            170005,
            "NAUTOBOT_DB_EXTRA_OPTIONS.tcp_user_timeout: "
            "'10s' is not a whole number. Use a whole number from 1 to 2147483647 "
            "(milliseconds).",
        ),
    ],
)
def test_refusal_is_one_sentence_without_a_secret(env, base, libpq, line):
    with pytest.raises(SettingsError) as caught:
        settings(env, base, libpq=libpq)

    assert sentences(caught.value) == line


@pytest.mark.parametrize(
    ("sslmode", "refused"),
    [("verify-full", True), ("verify-ca", True), ("require", False), ("", False)],
)
@pytest.mark.parametrize(
    ("name", "value"), [("PGSSLCERTMODE", "disable"), ("PGSERVICE", "any")]
)
def test_libpq_variable_that_withholds_client_certificate_is_refused(
    sslmode, refused, name, value
):
    found = []

    settings({"NAUTOBOT_DB_SSLMODE": sslmode, name: value}, problems=found)

    assert [str(problem) for problem in found] == [
        f"{name}: libpq reads this variable and may present no client certificate. "
        "Unset it."
    ] * refused


def test_lists_of_hosts_and_ports_are_accepted():
    env = {"NAUTOBOT_DB_SSLMODE": "require", "NAUTOBOT_DB_PORT": "5432,5433"}

    found = settings(env, HOSTS)["DATABASES"]["default"]

    assert (found["HOST"], found["PORT"]) == ("a,b", "5432,5433")


@pytest.mark.parametrize(
    "base",
    [
        "text",
        {"default": None},
        {"default": []},
        {1: {}},
        {"default": {"OPTIONS": "sslmode=require"}},
        {"default": {"ENGINE": 5}},
        {"default": {"OPTIONS": {"sslmode": 5}}},
        {"replica": {"OPTIONS": [1]}},
    ],
    ids=str,
)
def test_database_settings_of_the_wrong_type_are_refused_in_words(base):
    with pytest.raises(SettingsError) as caught:
        settings({"NAUTOBOT_DB_SSLMODE": "verify-full"}, base)

    (problem,) = caught.value.problems
    assert problem.code == "setting-type"
    assert problem.variable.startswith("DATABASES")


def test_namespace_without_databases_is_treated_as_postgresql():
    found = postgresql_tls_settings(
        {},
        {"NAUTOBOT_DB_SSLMODE": "verify-ca"},
        check_files=lambda files: [],
    )

    assert found == {
        "DATABASES": {"default": {"OPTIONS": {"sslmode": "verify-ca", **MOUNT}}}
    }
    assert postgresql_tls_settings({}, {}) == {}


@pytest.mark.parametrize(
    ("taken", "meant"),
    [
        ({"ENGINE": ""}, {"ENGINE": ENGINE}),
        ({"HOST": "", "NAME": ""}, {"HOST": "localhost", "NAME": "nautobot"}),
        ({"HOST": " db\n", "USER": "app\n"}, {"HOST": "db", "USER": "app"}),
        ({"PORT": "5432\n", "NAME": "app"}, {"PORT": "5432", "NAME": "app"}),
        ({"PORT": "", "USER": " "}, {"PORT": "", "USER": ""}),
    ],
)
def test_database_values_read_by_nautobot_are_stripped(taken, meant):
    """A Secret made by echo ends in a line end, and the chart writes empty values."""
    env = {f"NAUTOBOT_DB_{key}": text for key, text in taken.items()}

    found = settings(env, {"default": {"ENGINE": ENGINE, **taken}})

    assert found == {"DATABASES": {"default": {"ENGINE": ENGINE, **meant}}}


def test_database_values_of_settings_file_are_kept():
    """A service link may set the variable although nobody uses it."""
    env = {"NAUTOBOT_DB_PORT": "tcp://10.0.0.1:5432", "NAUTOBOT_DB_HOST": " x "}
    base = {"default": {"ENGINE": ENGINE, "PORT": "5433", "HOST": " mine "}}

    assert settings(env, base) == {"DATABASES": base}


@pytest.mark.parametrize(
    "host", ["a,b", "::1", "fe80::1%eth0", "/run/postgresql", "@a"]
)
def test_database_host_may_be_name_address_or_socket(host):
    base = {"default": {"ENGINE": ENGINE, "HOST": host}}

    assert settings({"NAUTOBOT_DB_HOST": host}, base) == {"DATABASES": base}


@pytest.mark.parametrize(
    ("hosts", "said"), [("a", "1 host"), ("a,b", "2 hosts"), ("", "1 host")]
)
def test_number_of_ports_unlike_number_of_hosts_is_refused(hosts, said):
    """Libpq stops there."""
    base = {"default": {"ENGINE": ENGINE, "HOST": hosts, "PORT": "1,2,3"}}

    assert refusal({"NAUTOBOT_DB_PORT": "1,2,3"}, base) == (
        f"NAUTOBOT_DB_PORT: there are 3 ports for {said}. Set one port for all "
        "hosts, or one for each."
    )


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        (
            "PORT",
            "tcp://10.0.0.1:5432",
            "NAUTOBOT_DB_PORT: 'tcp://10.0.0.1:5432' is not a whole number. "
            "Use a whole number from 1 to 65535.",
        ),
        *(
            (
                "HOST",
                host,
                "NAUTOBOT_DB_HOST: the value is not a host name alone. Set "
                "NAUTOBOT_DB_HOST to the host alone, or to hosts separated by commas, "
                "and NAUTOBOT_DB_PORT to the port.",
            )
            for host in (
                "postgresql://app:c4n4ry@db",
                "https://db:5432/",
                "db:5432",
                "c4n4ry@db",
                "a,b:5433",
                "d b",
                "db\u200b",
                "$(DB_HOST)",
                "db,<host>",
            )
        ),
        *(
            (
                "HOST",
                host,
                "NAUTOBOT_DB_HOST: libpq takes the brackets for a part of the host's "
                "name. Write the address without brackets.",
            )
            for host in ("[::1]", "db, [fd00::1]")
        ),
        (
            "HOST",
            '"db"',
            "NAUTOBOT_DB_HOST: the value is wrapped in quotes. "
            "Remove the quotes; they are part of the value.",
        ),
    ],
)
def test_invalid_database_value_is_refused(key, text, sentence):
    base = {"default": {"ENGINE": ENGINE, key: text}}

    assert refusal({f"NAUTOBOT_DB_{key}": text}, base) == sentence


def test_engine_of_django_prometheus_is_treated_as_postgresql():
    base = databases()
    base["default"]["ENGINE"] = "django_prometheus.db.backends.postgresql"

    found = settings({"NAUTOBOT_DB_SSLMODE": "require"}, base, libpq=None)

    assert found["DATABASES"]["default"]["OPTIONS"] == {"sslmode": "require"}


def test_only_files_used_by_sslmode_are_judged():
    judged = []

    def check_files(files):
        judged.append(files)
        return []

    for sslmode in ("", "disable", "require", "verify-full"):
        postgresql_tls_settings(
            {"DATABASES": databases()},
            {"NAUTOBOT_DB_SSLMODE": sslmode},
            check_files=check_files,
        )

    assert judged == [
        ClientFiles(
            "PostgreSQL",
            CertificateFile("/etc/nautobot/mtls/tls.crt", "NAUTOBOT_DB_SSLCERT"),
            CertificateFile("/etc/nautobot/mtls/tls.key", "NAUTOBOT_DB_SSLKEY"),
            CertificateFile("/etc/nautobot/mtls/ca.crt", "NAUTOBOT_DB_SSLROOTCERT"),
        )
    ]


MYSQL = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "OPTIONS": {"charset": "utf8mb4"},
    }
}


def test_mysql_keeps_its_own_options():
    assert settings({}, MYSQL) == {"DATABASES": MYSQL}


def refusal(env, base=None, libpq=170005):
    with pytest.raises(SettingsError) as caught:
        settings(env, base, libpq)
    return sentences(caught.value)


def test_engine_that_is_no_module_is_not_shown():
    """A URL with a password may stand there."""
    base = {"default": {"ENGINE": "mysql://app:c4n4ry@db"}}

    assert refusal({"NAUTOBOT_DB_SSLMODE": "verify-ca"}, base).startswith(
        "NAUTOBOT_DB_SSLMODE: the database engine is no module. "
    )


def test_sslmode_with_mysql_is_refused():
    assert refusal({"NAUTOBOT_DB_SSLMODE": "verify-ca"}, MYSQL) == (
        "NAUTOBOT_DB_SSLMODE: the database engine is 'django.db.backends.mysql'. "
        "Unset the PostgreSQL TLS variables, or use a PostgreSQL engine."
    )


OPPORTUNISTIC = (
    "it falls back to plain text when the server, or an attacker in its place, refuses "
    "TLS. Use verify-full, verify-ca or require; disable for plain TCP."
)
OFFERED = {
    "verify-full": (
        "Did you mean verify-full? (Also valid: verify-ca, require; disable for plain "
        "TCP.)"
    ),
    "verify-ca": (
        "Did you mean verify-ca? (Also valid: verify-full, require; disable for plain "
        "TCP.)"
    ),
    "require": (
        "Did you mean require? (Also valid: verify-full, verify-ca; disable for plain "
        "TCP.)"
    ),
    "disable": "Did you mean disable? (Also valid: verify-full, verify-ca, require.)",
    "": "Use verify-full, verify-ca or require; disable for plain TCP.",
}


@pytest.mark.parametrize("word", ["prefer", "allow", "PREFER"])
def test_opportunistic_sslmode_is_refused_with_the_reason(word):
    assert refusal({"NAUTOBOT_DB_SSLMODE": word}) == (
        f"NAUTOBOT_DB_SSLMODE: '{word}' is refused: {OPPORTUNISTIC}"
    )


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("verify_full", "verify-full"),
        ("verifyfull", "verify-full"),
        ("verify_ca", "verify-ca"),
        ("Verify-CA", "verify-ca"),
        ("verify ca", "verify-ca"),
        ("required", "require"),
        ("REQUIRE", "require"),
        ("disabled", "disable"),
        ("true", ""),
        ("1", ""),
        ("on", ""),
    ],
)
def test_misspelt_sslmode_is_refused_with_the_nearest_first(word, nearest):
    assert refusal({"NAUTOBOT_DB_SSLMODE": word}) == (
        f"NAUTOBOT_DB_SSLMODE: '{word}' is not a valid sslmode. {OFFERED[nearest]}"
    )


@pytest.mark.parametrize(("sslmode", "said"), [("", "unset"), ("disable", "disable")])
def test_direct_negotiation_without_tls_is_refused(sslmode, said):
    env = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct", "NAUTOBOT_DB_SSLMODE": sslmode}

    assert refusal(env) == (
        "NAUTOBOT_DB_SSLNEGOTIATION: 'direct' needs TLS, and NAUTOBOT_DB_SSLMODE is "
        f"{said}. Set NAUTOBOT_DB_SSLMODE to verify-full, verify-ca or require, or "
        "unset NAUTOBOT_DB_SSLNEGOTIATION."
    )


@pytest.mark.parametrize(
    ("options", "env", "place"),
    [
        ({"host": "/run"}, {"PGHOST": "db"}, "DATABASES.default.OPTIONS.host"),
        ({}, {"PGHOST": "/run"}, "PGHOST"),
    ],
)
def test_socket_that_needs_tls_is_named_where_it_is_said(options, env, place):
    env = {"NAUTOBOT_DB_SSLMODE": "require", **env}
    base = {"default": {"ENGINE": ENGINE, "OPTIONS": options}}

    assert refusal(env, base).startswith(
        f"NAUTOBOT_DB_SSLMODE: require needs TLS, and {place} is a Unix socket. Set "
    )


def test_tls_without_host_is_refused_unless_libpq_has_one_elsewhere():
    """Django takes a missing HOST for an empty one."""
    env = {"NAUTOBOT_DB_SSLMODE": "require"}
    without = {"ENGINE": ENGINE, "NAME": "app"}

    assert refusal(env, {"default": without}) == (
        "NAUTOBOT_DB_SSLMODE: require needs TLS, and DATABASES.default.HOST is empty, "
        "which means a Unix socket. Set NAUTOBOT_DB_HOST, or HOST in the settings "
        "file, to a host name, or NAUTOBOT_DB_SSLMODE=disable."
    )
    for name in ("host", "hostaddr", "service"):
        base = {"default": {**without, "OPTIONS": {name: "10.0.0.1"}}}
        assert settings(env, base)["DATABASES"]["default"]["OPTIONS"][name]
    for name in ("PGHOST", "PGHOSTADDR"):
        assert settings({**env, name: "10.0.0.1"}, {"default": without})


@pytest.mark.parametrize(
    ("host", "means"),
    [
        ("db,,db2", "has an empty entry, which means a Unix socket"),
        ("db,", "has an empty entry, which means a Unix socket"),
        ("db, /run/postgresql", "is a Unix socket"),
    ],
)
def test_tls_to_a_list_with_a_socket_is_refused(host, means):
    env = {"NAUTOBOT_DB_SSLMODE": "require", "NAUTOBOT_DB_HOST": host}
    base = {"default": {"ENGINE": ENGINE, "HOST": host}}

    assert refusal(env, base).startswith(
        f"NAUTOBOT_DB_SSLMODE: require needs TLS, and NAUTOBOT_DB_HOST {means}. "
    )


def test_direct_negotiation_without_tls_in_the_file_is_refused():
    base = databases(sslmode="disable")

    assert refusal({"NAUTOBOT_DB_SSLNEGOTIATION": "direct"}, base) == (
        "NAUTOBOT_DB_SSLNEGOTIATION: 'direct' needs TLS, and "
        "DATABASES.default.OPTIONS.sslmode is disable. Set NAUTOBOT_DB_SSLMODE to "
        "verify-full, verify-ca or require, or unset NAUTOBOT_DB_SSLNEGOTIATION."
    )


DIRECT = {"NAUTOBOT_DB_SSLNEGOTIATION": "direct", "NAUTOBOT_DB_SSLMODE": "verify-ca"}


def test_direct_negotiation_with_old_libpq_is_refused():
    assert refusal(DIRECT, libpq=160009) == (
        "NAUTOBOT_DB_SSLNEGOTIATION: 'direct' needs libpq 17.0, and libpq 16.9 is "
        "loaded. Install a driver with a newer libpq (psycopg 3 binary, "
        "psycopg2-binary 2.9.10 or later), or unset NAUTOBOT_DB_SSLNEGOTIATION."
    )


def test_direct_negotiation_without_driver_is_warned_about():
    with pytest.warns(SettingsWarning) as caught:
        found = settings(DIRECT, libpq=None)

    assert found["DATABASES"]["default"]["OPTIONS"]["sslnegotiation"] == "direct"
    assert [str(warning.message) for warning in caught] == [
        "NAUTOBOT_DB_SSLNEGOTIATION: no PostgreSQL driver can be imported here to ask "
        "for its libpq. Run this inside the Nautobot image."
    ]


@pytest.mark.parametrize(
    ("extra", "owner"),
    [
        ({"sslmode": "prefer"}, "NAUTOBOT_DB_SSLMODE"),
        ({"sslcert": "/other"}, "NAUTOBOT_DB_SSLCERT"),
        ({"sslcertmode": "allow"}, "NAUTOBOT_DB_SSLMODE"),
        ({"requiressl": 0}, "NAUTOBOT_DB_SSLMODE"),
        ({"password": "canary"}, "NAUTOBOT_DB_PASSWORD"),
        ({"host": "elsewhere"}, "NAUTOBOT_DB_HOST"),
    ],
)
@pytest.mark.parametrize("sslmode", ["", "verify-ca"])
def test_extra_option_owned_by_a_variable_is_refused(extra, owner, sslmode):
    env = {
        "NAUTOBOT_DB_SSLMODE": sslmode,
        "NAUTOBOT_DB_EXTRA_OPTIONS": json.dumps(extra),
    }

    assert refusal(env) == (
        f"NAUTOBOT_DB_EXTRA_OPTIONS: {next(iter(extra))} is decided by {owner}. "
        f"Remove it here and use {owner}."
    )


def test_extra_option_also_set_by_its_variable_is_refused():
    env = {
        "NAUTOBOT_DB_EXTRA_OPTIONS": '{"connect_timeout": 3, "keepalives_idle": 5}',
        "UNDERSTACK_DB_CONNECT_TIMEOUT": "7",
    }

    assert refusal(env) == (
        "NAUTOBOT_DB_EXTRA_OPTIONS: connect_timeout is decided by "
        "UNDERSTACK_DB_CONNECT_TIMEOUT. Remove it here and use "
        "UNDERSTACK_DB_CONNECT_TIMEOUT."
    )


@pytest.mark.parametrize(
    "extra",
    [
        *(
            {"keepalives_idle": 0},
            {"connect_timeout": "-1"},
            {"connect_timeout": " 5 "},
        ),
        *({"isolation_level": 4}, {"prepare_threshold": 0}, {"oauth_issuer": "i"}),
        *({"keepalives": 0}, {"fallback_application_name": "n"}, {"sslcrldir": "/c"}),
    ],
    ids=str,
)
def test_extra_option_that_libpq_or_django_takes_is_kept(extra):
    env = {"NAUTOBOT_DB_EXTRA_OPTIONS": json.dumps(extra)}

    made = settings(env)["DATABASES"]["default"]["OPTIONS"]

    assert made == {**databases()["default"].get("OPTIONS", {}), **extra}


@pytest.mark.parametrize("value", [True, None, 1.5, ["x"], {"a": 1}])
def test_extra_option_of_other_type_is_refused(value):
    env = {"NAUTOBOT_DB_EXTRA_OPTIONS": json.dumps({"keepalives": value})}

    assert refusal(env) == (
        "NAUTOBOT_DB_EXTRA_OPTIONS: the value of 'keepalives' is neither text nor a "
        "whole number. Write the value as a string or an integer."
    )


def test_refused_certificate_path_is_not_reported_missing(tmp_path):
    env = {
        "NAUTOBOT_DB_SSLMODE": "verify-ca",
        "NAUTOBOT_DB_SSLCERT": f"'{tmp_path}/tls.crt'",
        "NAUTOBOT_DB_SSLKEY": f"{tmp_path}/tls.key",
        "NAUTOBOT_DB_SSLROOTCERT": "LS0tLS1CRUdJTiBDRVJU",
    }

    with pytest.raises(MissingFileError) as caught:
        postgresql_tls_settings({"DATABASES": databases()}, env)

    assert sentences(caught.value).splitlines() == [
        f"SSL certificate file required by NAUTOBOT_DB_SSLKEY not found: "
        f"{tmp_path}/tls.key",
        f"Mount the secret nautobot-mtls-client at {tmp_path}, or correct the path.",
        "NAUTOBOT_DB_SSLCERT: the value is wrapped in quotes. Remove the quotes; they "
        "are part of the value.",
        "NAUTOBOT_DB_SSLROOTCERT: the value is the content of a file, not a path. "
        "Mount the file and set the variable to its path.",
    ]


def test_missing_certificate_files_are_all_reported_in_documented_words(tmp_path):
    env = {
        "NAUTOBOT_DB_SSLMODE": "verify-ca",
        "NAUTOBOT_DB_SSLCERT": f"{tmp_path}/tls.crt",
        "NAUTOBOT_DB_SSLKEY": f"{tmp_path}/tls.key",
        "NAUTOBOT_DB_SSLROOTCERT": f"{tmp_path}/ca.crt",
    }

    with pytest.raises(MissingFileError) as caught:
        postgresql_tls_settings({"DATABASES": databases()}, env)

    assert isinstance(caught.value, FileNotFoundError)
    assert sentences(caught.value).splitlines()[:3] == [
        f"SSL certificate file required by {name} not found: {tmp_path}/{file}"
        for name, file in (
            ("NAUTOBOT_DB_SSLCERT", "tls.crt"),
            ("NAUTOBOT_DB_SSLKEY", "tls.key"),
            ("NAUTOBOT_DB_SSLROOTCERT", "ca.crt"),
        )
    ]


def test_libpq_release_is_written_with_a_dot():
    assert libpq_release(170005) == "17.5"


def test_encrypted_key_is_judged_with_sslpassword():
    given = []

    def check_files(files, *, key_password):
        given.append(key_password)
        return []

    found = postgresql_tls_settings(
        {"DATABASES": databases()},
        {
            "NAUTOBOT_DB_SSLMODE": "verify-ca",
            "NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslpassword": "canary"}',
        },
        check_files=check_files,
    )

    assert given == ["canary"]
    assert found == {
        "DATABASES": databases(sslmode="verify-ca", sslpassword="canary", **MOUNT)
    }
