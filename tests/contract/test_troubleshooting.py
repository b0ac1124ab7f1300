"""Every error text of the documents and of the known faults is found by searching."""

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGE = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")
SYMPTOMS = [
    # The documents.
    "FileNotFoundError: SSL certificate file required by NAUTOBOT_DB_SSLCERT not found",
    "tlsv1 alert unknown ca",
    "certificate verify failed",
    "no pg_hba.conf entry",
    "connection requires a valid client certificate",
    "certificate authentication failed for user",
    "missing ca.key secret data",
    "x509: certificate signed by unknown authority",
    "[SSL: CERTIFICATE_VERIFY_FAILED]",
    "self-signed certificate in certificate chain",
    "[SSL] PEM lib",
    "SSL error: certificate has expired",
    "SecretSyncedError",
    "SyncError",
    "the health check reports Redis as unavailable",
    "the pod runs, and every task fails",
    "carriage returns",
    "no traffic through the gateway",
    "the pod stays in `Init`",
    # The known faults.
    "pg_hba.conf rejects connection",
    "server closed the connection unexpectedly",
    "no start line",
    "Error 524297",
    "key values mismatch",
    "private key file has group or world access",
    "Permission denied",
    "an error of psycopg2 with an empty message",
    "unexpected keyword argument 'ssl_cert_reqs'",
    "EOF occurred in violation of protocol",
    "JSONDecodeError",
    "ImportError",
    "invalid literal for int()",
    "tcp://10.0.0.1:6379",
    "invalid sslmode value",
    "invalid connection option",
    "weak sslmode",
    "Enter PEM pass phrase",
    "DisallowedHost",
    "a wrong URN",
    "an empty token",
    "a connection hangs",
    "WRONGPASS",
    # Nautobot, where a job is run on a queue.
    "is not a valid choice.",
    "No celery workers found for queue",
    "Unable to process request: No celery workers running on queue",
]


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_symptom_stands_in_a_heading(symptom):
    """The search ranks headings first."""
    headings = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert any(symptom.lower() in heading.lower() for heading in headings)


def test_symptoms_on_the_page_have_cause_and_link():
    sections = re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
    symptoms = [one for one in sections if "**Next:**" in one]
    assert len(symptoms) == len(re.findall(r"^### ", PAGE, re.MULTILINE)) > 40
    for section in symptoms:
        cause, _, look = section.partition("\n")[2].partition("**Next:**")
        assert cause.strip(), section
        assert look.strip(), section
