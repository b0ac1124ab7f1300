from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest

from understack_nautobot_settings.certificates.codes import FILE_MISSING
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.checks.inspection import Inspection
from understack_nautobot_settings.commands.check import inspection_text
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.commands.terminal import columns
from understack_nautobot_settings.problems import Problem

TABLE = Terminal(table=True, width=60, symbols=True)

PROBLEMS = [
    Problem(
        "value-invalid",
        "error",
        "NAUTOBOT_DB_SSLMODE",
        "'verify_full' is not a valid sslmode.",
        "Did you mean verify-full? (Also valid: verify-ca, require; disable for "
        "plain TCP.)",
    ),
    Problem("libpq-variable", "warning", "PGHOSTADDR", "It is set.", ""),
]
END = datetime(2029, 11, 21, 4, 21, tzinfo=timezone.utc)
CERTIFICATE = Certificate(
    "/etc/nautobot/mtls/tls.crt",
    "PostgreSQL",
    "CN=app",
    "CN=understack-mtls-ca",
    "01AB",
    datetime(2026, 11, 22, 4, 21, tzinfo=timezone.utc),
    END,
    END - timedelta(days=1094),
)


def test_problems_in_pipe_have_one_line_each():
    assert inspection_text(Inspection(PROBLEMS, [CERTIFICATE]), Terminal()) == (
        "error value-invalid NAUTOBOT_DB_SSLMODE: 'verify_full' is not a valid "
        "sslmode. Did you mean verify-full? (Also valid: verify-ca, require; disable "
        "for plain TCP.)\n"
        "warning libpq-variable PGHOSTADDR: It is set.\n"
        "certificate /etc/nautobot/mtls/tls.crt (PostgreSQL): subject CN=app, issuer "
        "CN=understack-mtls-ca, serial 01AB, valid from 2026-11-22T04:21:00Z to "
        "2029-11-21T04:21:00Z, 1094 days left\n"
        "1 error, 1 warning\n"
    )


def test_fact_that_ends_with_a_path_is_separated_from_the_remedy():
    missing = Problem("c", "error", "V", "not found: /etc/tls.crt", "Mount it.")

    assert inspection_text(Inspection([missing], []), Terminal()) == (
        "error c V: not found: /etc/tls.crt. Mount it.\n1 error, 0 warnings\n"
    )


def test_expired_certificate_has_no_days_left():
    expired = CERTIFICATE._replace(seen_at=END + timedelta(days=2))

    assert inspection_text(Inspection([], [expired]), Terminal()).endswith(
        "2029-11-21T04:21:00Z, expired 2 days ago\n0 errors, 0 warnings\n"
    )


def test_problems_on_terminal_are_a_table():
    certificates = [CERTIFICATE, CERTIFICATE._replace(use="Redis")]

    assert inspection_text(Inspection(PROBLEMS, certificates), TABLE) == (
        "Problems                                  1 error, 1 warning\n"
        "────────────────────────────────────────────────────────────\n"
        "✗ NAUTOBOT_DB_SSLMODE                          value-invalid\n"
        "  'verify_full' is not a valid sslmode.\n"
        "  → Did you mean verify-full? (Also valid: verify-ca,\n"
        "    require; disable for plain TCP.)\n"
        "\n"
        "! PGHOSTADDR                                  libpq-variable\n"
        "  It is set.\n"
        "\n"
        "Certificates                                               1\n"
        "────────────────────────────────────────────────────────────\n"
        "/etc/nautobot/mtls/tls.crt (PostgreSQL,       1094 days left\n"
        "Redis)\n"
        "  subject   CN=app\n"
        "  issuer    CN=understack-mtls-ca\n"
        "  serial    01AB\n"
        "  valid     2026-11-22T04:21:00Z to 2029-11-21T04:21:00Z\n"
    )


def test_same_problem_of_several_variables_is_one_block():
    problems = [
        Problem("c", "warning", variable, "It is old.", "")
        for variable in ("NAUTOBOT_DB_SSLCERT", "NAUTOBOT_REDIS_SSL_CERTFILE")
    ]

    assert inspection_text(Inspection(problems, []), TABLE) == (
        "Problems                                 0 errors, 1 warning\n"
        "────────────────────────────────────────────────────────────\n"
        "! NAUTOBOT_DB_SSLCERT, NAUTOBOT_REDIS_SSL_CERTFILE         c\n"
        "  It is old.\n"
    )


def test_files_of_a_missing_volume_are_one_block():
    missing = [
        FILE_MISSING.missing_file(
            name, f"required by {name} not found: /m/{file}", "X."
        )
        for name, file in (
            ("NAUTOBOT_DB_SSLCERT", "tls.crt"),
            ("NAUTOBOT_DB_SSLROOTCERT", "ca.crt"),
            ("NAUTOBOT_REDIS_SSL_CA_CERTS", "ca.crt"),
        )
    ]

    assert inspection_text(Inspection(missing, []), TABLE).splitlines()[2:] == [
        "✗ NAUTOBOT_DB_SSLCERT, NAUTOBOT_DB_SSLROOTCERT,",
        "  NAUTOBOT_REDIS_SSL_CA_CERTS                   file-missing",
        "  required by NAUTOBOT_DB_SSLCERT not found: /m/tls.crt",
        "  required by NAUTOBOT_DB_SSLROOTCERT not found: /m/ca.crt",
        "  required by NAUTOBOT_REDIS_SSL_CA_CERTS not found:",
        "  /m/ca.crt",
        "  → X.",
    ]


def test_different_facts_with_one_remedy_are_one_block():
    problems = [
        Problem("c", "warning", variable, fact, "")
        for variable, fact in (("ONE", "It is old."), ("TWO", "It is new."))
    ]

    assert inspection_text(Inspection(problems, []), TABLE).splitlines()[2:] == [
        "! ONE, TWO                                                 c",
        "  ONE: It is old.",
        "  TWO: It is new.",
    ]


def test_terminal_without_unicode_gets_ascii():
    text = inspection_text(Inspection(PROBLEMS, [CERTIFICATE]), Terminal(table=True))

    assert text.isascii()
    assert "E NAUTOBOT_DB_SSLMODE" in text
    assert "W PGHOSTADDR" in text


def test_check_without_problems_says_so_in_words():
    assert inspection_text(Inspection([], []), TABLE) == "✓ No problems found.\n"
    assert inspection_text(Inspection([], []), Terminal()) == "0 errors, 0 warnings\n"


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_table_of_problems_is_never_wider_than_the_terminal(width):
    terminal = Terminal(table=True, width=width, symbols=True)
    long = Problem("c" * 30, "error", "V" * 35, "word " * 40, "/path" * 40)
    certificate = CERTIFICATE._replace(path="/a" * 60, subject="CN=" + "x" * 200)

    text = inspection_text(Inspection([long, *PROBLEMS], [certificate]), terminal)

    assert max(map(columns, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=-1.5), "expired 1 day ago"),
        (timedelta(seconds=-11), "expired 11 seconds ago"),
        (timedelta(hours=5), "0 days left"),
        (timedelta(days=1), "1 day left"),
    ],
)
def test_time_left_is_counted_in_words(left, words):
    certificate = CERTIFICATE._replace(seen_at=END - left)

    assert words in inspection_text(Inspection([], [certificate]), TABLE)
