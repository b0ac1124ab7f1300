import datetime

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings.certificates import files
from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.checks.provenance import settings_provenance
from understack_nautobot_settings.checks.settings_file import SettingsFile
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.text_files import read_bytes

KEY = {"NAUTOBOT_SECRET_KEY": "key-0123456789" * 4}
REDIS_PATHS = {
    "NAUTOBOT_REDIS_SSL_CA_CERTS",
    "NAUTOBOT_REDIS_SSL_CERTFILE",
    "NAUTOBOT_REDIS_SSL_KEYFILE",
}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    authority = Authority()
    mount = write_mount(
        tmp_path_factory.mktemp("mtls"), authority.client(), authority.ca_pem
    )
    return {
        **KEY,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        "NAUTOBOT_DB_USER": "app",
        **mount.database_variables,
        **mount.redis_variables,
    }


def codes(inspection):
    return [problem.code for problem in inspection.problems]


def in_days(days):
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days)
    return later.timestamp


def test_good_certificate_files_are_described_for_each_client(mounted):
    problems, certificates = inspect_environment(mounted)

    assert problems == []
    assert [(one.use, one.subject) for one in certificates] == [
        ("PostgreSQL", "CN=app"),
        ("PostgreSQL", "CN=understack-mtls-ca"),
        ("Redis", "CN=app"),
        ("Redis", "CN=understack-mtls-ca"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"DATABASES": {"default": {"HOST": "db", "USER": 12345}}},
        {"DATABASES": {"default": {"HOST": "db", "USER": "app", "OPTIONS": []}}},
        {"UNDERSTACK_PARTITION": 12},
    ],
    ids=str,
)
def test_setting_of_the_wrong_type_is_the_only_thing_said_of_it(mounted, said):
    """As a file has it that reads its values from YAML."""
    env = {**mounted, "NAUTOBOT_CELERY_TASK_QUEUES": "12"}
    env |= {"NAUTOBOT_DB_HOST": "db", "NAUTOBOT_REDIS_HOST": "redis"}
    env |= dict.fromkeys(("NAUTOBOT_DB_SSLNEGOTIATION", "UNDERSTACK_PARTITION"), "")
    base = {**base_settings(env), **said}

    found = inspect_environment(env, namespace=base, role="site-worker").problems

    (name,) = said
    assert [one.code for one in found if one.variable.startswith(name)] == [
        "setting-type"
    ]
    assert not {"db-user-missing", "site-host-missing"} & {one.code for one in found}


def test_user_who_is_a_number_is_compared_with_the_certificate(mounted):
    options = {"sslmode": "verify-full"}
    for name, variable in variables.DB_FILES.items():
        options[name] = mounted[variable.name]
    by_hand = {"DATABASES": {"default": {"USER": 12345, "OPTIONS": options}}}
    file = SettingsFile("config.py", by_hand, {}, None, [], {})

    assert "certificate-name-mismatch" in codes(inspect_environment(KEY, file=file))


@pytest.mark.parametrize("judged", [False, True], ids=["file", "variable as well"])
def test_certificate_files_that_the_settings_file_names_are_judged_once(
    tmp_path, judged
):
    paths = {name: str(tmp_path / name) for name in ("sslcert", "sslkey")}
    ca = str(tmp_path / "sslrootcert")
    options = {"sslmode": "verify-full", **paths}
    env = {**KEY, "NAUTOBOT_DB_SSLROOTCERT": ca}
    if not judged:
        options["sslrootcert"] = ca
        del env["NAUTOBOT_DB_SSLROOTCERT"]
    base = {"DATABASES": {"default": {"OPTIONS": options, "USER": "app"}}}
    made, problems = evaluate(base, env)
    decided = decided_settings(base, made)
    file = SettingsFile("config.py", {**base, **made}, base, decided, problems, {})

    found = inspect_environment(env, file=file).problems

    assert [one.code for one in found] == ["file-missing"] * 3


def test_certificate_files_without_tls_are_not_judged():
    options = {"sslmode": "disable", **dict.fromkeys(variables.DB_FILES, "/nowhere")}
    settings = {"DATABASES": {"default": {"OPTIONS": options}}}
    file = SettingsFile("config.py", settings, {}, None, [], {})

    assert inspect_environment(KEY, file=file) == ([], [])


def test_role_that_is_asked_for_does_not_hide_a_wrong_one_of_the_pod():
    env = {**KEY, "UNDERSTACK_ROLE": "siteworker", "NAUTOBOT_DB_SSLMODE": "disable"}

    assert codes(inspect_environment(env, role="worker")) == ["value-invalid"]


@pytest.fixture
def opened(monkeypatch):
    paths = []
    monkeypatch.setattr(
        files, "read_bytes", lambda path: paths.append(path) or read_bytes(path)
    )
    return paths


def test_inspection_opens_each_certificate_file_once(mounted, opened):
    """What is reported is of one moment, though a renewal may come in between."""
    problems, certificates = inspect_environment(mounted)

    assert (problems, len(certificates)) == ([], 4)
    assert sorted(opened) == sorted({*opened})
    assert len(opened) == 3


def test_provenance_opens_each_certificate_file_once(mounted, opened):
    assert settings_provenance(mounted).problems == []
    assert sorted(opened) == sorted({*opened})
    assert len(opened) == 3


def test_unknown_issuer_with_encrypted_key_is_reported(mounted, tmp_path):
    """Given sslpassword, an encrypted key hides nothing that a plain one shows."""
    leaf = Authority("foreign").client(password="canary")
    foreign = write_mount(tmp_path, leaf, Authority().ca_pem)
    found = inspect_environment(
        {
            **mounted,
            "NAUTOBOT_DB_SSLCERT": foreign.certificate,
            "NAUTOBOT_DB_SSLKEY": foreign.key,
            "NAUTOBOT_DB_SSLROOTCERT": foreign.ca,
            "NAUTOBOT_DB_EXTRA_OPTIONS": '{"sslpassword": "canary"}',
        }
    )

    assert codes(found) == ["certificate-issuer-unknown"]
    assert "canary" not in str(found)


def test_inspection_lists_errors_before_warnings():
    found = inspect_environment({"PGHOSTADDR": "10.0.0.1"})

    assert codes(found) == ["secret-key-missing", "libpq-variable"]


def test_inspection_without_role_uses_the_role_of_the_environment(mounted):
    env = {**mounted, "UNDERSTACK_ROLE": "site-worker"}

    assert "site-partition-missing" in codes(inspect_environment(env))
    assert "site-partition-missing" in codes(
        inspect_environment(env, role="site-worker")
    )
    assert "site-partition-missing" not in codes(inspect_environment(env, role="web"))
    assert "site-partition-missing" in codes(
        inspect_environment(mounted, role="site-worker")
    )


def test_role_argument_decides_the_application_name():
    partition = "p" * 45
    env = {
        **KEY,
        "UNDERSTACK_PARTITION": partition,
        "CELERY_TASK_QUEUES": partition,
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
    }

    assert "application-name-long" in codes(
        inspect_environment(env, role="site-worker")
    )
    assert "application-name-long" not in codes(inspect_environment(env, role="web"))


def test_unknown_role_is_reported_with_the_nearest(mounted):
    env = {**mounted, "UNDERSTACK_ROLE": "siteworker"}

    assert [str(one) for one in inspect_environment(env).problems] == [
        "UNDERSTACK_ROLE: 'siteworker' is not a valid role. Did you mean site-worker? "
        "(Also valid: web, worker, beat.)"
    ]


@pytest.mark.parametrize(
    ("days_left", "env", "days", "warned"),
    [
        pytest.param(31, {}, None, False, id="before the default window"),
        pytest.param(29, {}, None, True, id="within the default window"),
        pytest.param(
            29, {"UNDERSTACK_EXPIRY_WARNING": "10"}, None, False, id="by variable"
        ),
        pytest.param(29, {"UNDERSTACK_EXPIRY_WARNING": "10"}, 60, True, id="by option"),
    ],
)
def test_certificate_expiry_within_window_is_warned_about(
    mounted, days_left, env, days, warned
):
    lifetime = inspect_environment(mounted).certificates[0].days_left
    clock = in_days(lifetime - days_left)

    found = inspect_environment(
        {**mounted, **env}, expiry_warning_days=days, clock=clock
    )

    assert bool(found.problems) is warned


def test_expired_certificate_is_an_error(mounted):
    found = inspect_environment(mounted, clock=in_days(4000))

    assert {problem.severity for problem in found.problems} >= {"error"}
    assert found.certificates[0].days_left < 0


@pytest.mark.parametrize(
    ("issuer", "held", "code"),
    [
        (Authority(), "leaf", "ca-is-client-certificate"),
        (Authority().intermediate(), "issuer", "ca-without-root"),
    ],
    ids=["client certificate", "intermediate"],
)
def test_ca_file_without_ca_gets_one_remedy(tmp_path, mounted, issuer, held, code):
    """With the right CA in its place, what follows from this one is gone."""
    leaf = issuer.client()
    mount = write_mount(tmp_path, leaf, {"leaf": leaf, "issuer": issuer}[held].cert_pem)
    env = {
        **mounted,
        "UNDERSTACK_REDIS_MTLS": "off",
        **mount.database_variables,
        **dict.fromkeys(mounted.keys() & REDIS_PATHS, ""),
    }

    assert codes(inspect_environment(env)) == [code]


def test_user_unlike_common_name_is_an_error_unless_names_are_mapped(mounted):
    env = {**mounted, "NAUTOBOT_DB_USER": "nautobot"}
    found = inspect_environment(env)
    mapped = {**env, "UNDERSTACK_DB_IDENTITY_MAP": "true"}

    assert [problem.severity for problem in found.problems] == ["error"]
    assert inspect_environment(mapped).problems == []

    assert [str(problem) for problem in found.problems] == [
        "NAUTOBOT_DB_SSLCERT: the certificate in "
        f"{mounted['NAUTOBOT_DB_SSLCERT']} is CN=app, and the database user is "
        "nautobot. Issue it with the user as commonName, or correct the user: "
        "NAUTOBOT_DB_USER, or USER in the settings file. If the server maps names "
        "(pg_ident.conf), set UNDERSTACK_DB_IDENTITY_MAP=true."
    ]


def test_inspection_with_namespace_extends_it():
    found = inspect_environment(KEY, namespace={"SECRET_KEY": "short"})

    assert codes(found) == ["file-overruled"]
    assert codes(inspect_environment({}, namespace={"SECRET_KEY": "short"})) == [
        "secret-key-short"
    ]


def test_invalid_expiry_window_is_reported():
    found = inspect_environment({**KEY, "UNDERSTACK_EXPIRY_WARNING": "a month"})

    assert [str(problem) for problem in found.problems] == [
        "UNDERSTACK_EXPIRY_WARNING: the value is not a whole number. Use a whole "
        "number from 0 to 36500 (days)."
    ]
