import ssl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lab.certificates import CLIENT
from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import now
from lab.certificates import write_mount
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import after_ssl_request
from lab.servers.scripted import over_tls
from lab.servers.scripted import silence
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import OTHER
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import accepting
from tests.unit.probes.attempts import cache
from tests.unit.probes.attempts import database
from tests.unit.probes.attempts import failing
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import refusing
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import walk
from tests.unit.probes.attempts import walk_to
from understack_nautobot_settings.probes.attempt import Attempt
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.driver_session import DriverError
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.postgresql import probe_database
from understack_nautobot_settings.probes.redis import probe_cache
from understack_nautobot_settings.probes.server import Server
from understack_nautobot_settings.probes.tls import NO_TLS
from understack_nautobot_settings.probes.tls import Tls
from understack_nautobot_settings.probes.tls import seen_certificate
from understack_nautobot_settings.probes.tls import symptom_of


def test_redis_without_ca_file_names_every_variable_to_change():
    """The files may be mounted, and UNDERSTACK_REDIS_MTLS off."""
    with ScriptedServer(over_tls(tls_context(CA.server()), silence)) as server:
        settings = cache(server.port, None, scheme="redis")
        settings["CACHES"]["default"]["LOCATION"] = f"rediss://localhost:{server.port}"
        attempt = walk(probe_cache, settings, Names())

    assert attempt.problem.hint == (
        "Put the CA that signed the certificate of Redis into a file, set "
        "NAUTOBOT_REDIS_SSL_CA_CERTS to it and unset UNDERSTACK_REDIS_MTLS, or find "
        "out who answers there."
    )


def test_log_of_keys_that_cannot_be_written_is_not_blamed_on_the_files(
    monkeypatch, tmp_path
):
    mount = write_mount(tmp_path, CA.client(), CA.ca_pem)
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    with ScriptedServer(silence) as server:
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert attempt.problem.code == "probe-broken"
    assert str(attempt.problem).startswith(
        "SSLKEYLOGFILE: Python cannot write to its file: no such file or directory. "
    )


def test_openssl_without_algorithms_is_not_blamed_on_the_files(monkeypatch, tmp_path):
    mount = write_mount(tmp_path, CA.client(), CA.ca_pem)

    def no_context(*_, **options):
        del options
        raise ssl.SSLError(161, "[SSL: LIBRARY_HAS_NO_CIPHERS] library has no ciphers")

    with ScriptedServer(silence) as server:
        monkeypatch.setattr(ssl, "SSLContext", no_context)
        monkeypatch.setattr(ssl, "create_default_context", no_context)
        attempt = walk(probe_cache, cache(server.port, mount), Names())

    assert attempt.problem.code == "probe-broken"
    assert attempt.problem.message.startswith("OpenSSL starts no TLS: ")


@pytest.mark.parametrize(
    ("leaf", "code", "message"),
    [
        (
            OTHER.server(),
            "probe-server-ca",
            "no CA in {ca} issued the certificate of {place} (CN=localhost). It was "
            "issued by CN=another-ca.",
        ),
        (
            CA.server("db.example", "db"),
            "probe-server-name",
            "the certificate of {place} is for db.example, db, not for localhost.",
        ),
        (
            CA.server(*(f"{one}.example" for one in range(8))),
            "probe-server-name",
            "the certificate of {place} is for 0.example, 1.example, 2.example, "
            "3.example, 4.example, 5.example and 2 more, not for localhost.",
        ),
        (
            CA.server(not_before=now() - 2 * DAY, not_after=now() - DAY),
            "probe-server-expired",
            "the certificate of {place} expired on {after}.",
        ),
        (
            CA.server(not_before=now() + DAY, not_after=now() + 2 * DAY),
            "probe-server-not-yet-valid",
            "the certificate of {place} is not valid before {before}.",
        ),
        (
            CA.server(usages=CLIENT),
            "probe-server-purpose",
            "the certificate of {place} (CN=localhost) is not for servers.",
        ),
    ],
    ids=["foreign", "name", "names", "expired", "early", "purpose"],
)
@pytest.mark.parametrize("kind", ["database", "cache"])
def test_server_certificate_that_fails_verification_gets_its_code(
    mount, kind, leaf, code, message
):
    context = tls_context(leaf)
    script = over_tls(context, silence)
    libpq = "certificate verify failed"
    if code == "probe-server-name":
        libpq = 'server certificate for "db.example" does not match host name'
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        driver = failing(DriverError(libpq))
        attempt = walk_to(kind, server.port, mount, driver=driver)

    form = "%Y-%m-%dT%H:%M:%SZ"
    assert outcome(attempt) == (["dns", "tcp", "tls", "identity"], code)
    assert attempt.problem.message == message.format(
        ca=mount.ca,
        place=f"localhost:{server.port}",
        after=leaf.certificate.not_valid_after_utc.strftime(form),
        before=leaf.certificate.not_valid_before_utc.strftime(form),
    )
    detail = attempt.stages[-1].detail
    assert detail.startswith("configured host localhost, certif")
    assert detail.endswith((", refused", ", verified"))
    assert ("expired " in detail) == (code == "probe-server-expired")


@pytest.mark.parametrize("host", ["db\x1b[2K\r\nok: all is well", "canary@db!example"])
@pytest.mark.parametrize("succeeds", [True, False], ids=["accepted", "refused"])
def test_invalid_host_name_is_not_shown_in_any_stage(mount, host, succeeds):
    """Neither escape sequences nor what may be a password reach the terminal."""
    driver = accepting
    if not succeeds:
        driver = failing(DriverError("does not match host name"))
    with ScriptedServer(after_ssl_request(secured(silence))) as server:
        settings = database(server.port, mount, host=host, hostaddr="127.0.0.1")
        attempt = walk(probe_database, settings, Names(), driver=driver)

    said = [stage.detail for stage in attempt.stages] + [str(attempt.problem or "")]
    assert "configured host (not shown), " in " ".join(said)
    assert all(text.isprintable() and "canary" not in text for text in said)


def test_expired_ca_is_distinguished_from_expired_certificate(tmp_path):
    old = Authority(not_before=now() - 9 * DAY, not_after=now() - DAY)
    mount = write_mount(tmp_path, CA.client(), old.ca_pem)
    script = after_ssl_request(over_tls(tls_context(old.server()), silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert attempt.problem.code == "probe-server-expired"
    assert attempt.problem.message == (
        f"a CA of the certificate of localhost:{server.port} is expired."
    )


@pytest.mark.parametrize("kind", ["database", "cache"])
def test_ca_for_clients_only_is_reported_as_the_cause(tmp_path, kind):
    narrow = Authority("clients", usages=("cert sign", "client auth"))
    mount = write_mount(tmp_path, narrow.client(), narrow.ca_pem)
    script = over_tls(tls_context(narrow.server()), silence)
    if kind == "database":
        script = after_ssl_request(script)
    with ScriptedServer(script) as server:
        attempt = walk_to(kind, server.port, mount)

    assert attempt.problem.code == "probe-server-purpose"
    assert attempt.problem.variable.endswith(("_SSLROOTCERT", "_SSL_CA_CERTS"))
    assert attempt.problem.message == (
        f"the CA CN=clients in {mount.ca} is not for server certificates: its usages "
        f"are client auth. Therefore the certificate of localhost:{server.port} "
        "(CN=localhost) is not accepted."
    )


def test_ca_without_the_one_above_it_is_not_reported_as_a_foreign_ca(tmp_path):
    """OpenSSL takes the first certificate of the CA, which another CA issued."""
    cross = Authority("understack-mtls-ca", issuer=OTHER, key=CA.key)
    mount = write_mount(tmp_path, CA.client(), cross.cert_pem + CA.cert_pem)
    with ScriptedServer(after_ssl_request(secured(silence))) as server:
        settings = database(server.port, mount)
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    place, ca = f"localhost:{server.port}", f"{tmp_path}/ca.crt"
    assert attempt.problem.code == "probe-server-ca"
    assert attempt.problem.message == (
        f"the certificate of {place} (CN=localhost) leads to a CA in {ca} that is no "
        "root, and the CA above it is missing."
    )
    assert attempt.problem.hint == (
        f"Put the CA above it into {ca}, or its own self-signed certificate in its "
        "place."
    )


def test_server_chain_without_intermediate_is_refused(mount):
    leaf = CA.intermediate().server()
    bare = type(leaf)(leaf.certificate, leaf.key, leaf.key_pem)
    script = after_ssl_request(over_tls(tls_context(bare), silence))
    with ScriptedServer(script) as server:
        attempt = walk(
            probe_database, database(server.port, mount), Names(), driver=refusing
        )

    assert attempt.problem.code == "probe-server-ca"


@pytest.mark.parametrize(
    ("error", "symptom"),
    [
        (TimeoutError(), "TimeoutError"),
        (ConnectionResetError(104, "Connection reset by peer"), "ConnectionResetError"),
        (
            ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"),
            "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        ),
    ],
)
def test_symptom_is_a_word_without_details(error, symptom):
    assert symptom_of(error) == symptom


def refusing_name(description):
    """A server that ends the handshake with an alert, and no certificate is sent."""
    context = tls_context(CA.server())
    context.sni_callback = lambda *seen: description
    return over_tls(context, silence)


@pytest.mark.parametrize(
    ("description", "code", "message"),
    [
        (
            ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME,
            "probe-gateway-name",
            "localhost:{port} answers that it does not know the name localhost.",
        ),
        (
            ssl.ALERT_DESCRIPTION_ACCESS_DENIED,
            "probe-tls-handshake",
            "the TLS handshake with localhost:{port} fails: alert access denied.",
        ),
        (
            ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE,
            "probe-tls-handshake",
            "the TLS handshake with localhost:{port} fails: alert handshake failure.",
        ),
    ],
    ids=["name", "access", "handshake"],
)
def test_alert_without_client_certificate_is_not_blamed_on_it(
    mount, description, code, message
):
    """PostgreSQL asks for a certificate, and says later that it wants one."""
    with ScriptedServer(after_ssl_request(refusing_name(description))) as server:
        settings = database(server.port, mount, mode="require")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert outcome(attempt) == (["dns", "tcp", "tls"], code)
    assert attempt.problem.message == message.format(port=server.port)


def test_name_that_was_not_sent_is_not_said_to_be_unknown(mount):
    script = after_ssl_request(refusing_name(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME))
    with ScriptedServer(script) as server:
        settings = database(server.port, mount, host="127.0.0.1", mode="require")
        attempt = walk(probe_database, settings, Names(), driver=refusing)

    assert attempt.problem.message == (
        f"the TLS handshake with 127.0.0.1:{server.port} fails: unrecognized name."
    )


def test_plain_text_is_told_by_a_python_that_does_not_know_the_reason(mount):
    """Of OpenSSL 3.2 and later, Python 3.12 has no name for it."""

    class Unnamed(Tls):
        def context(self):
            return self

        def wrap_socket(self, connection, server_hostname):
            raise ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:1000)")

    tls = Unnamed(*NO_TLS)
    with ScriptedServer(silence) as listening:
        endpoint = Endpoint("Redis", "localhost", listening.port, "X")
        server = Server(Attempt("cache", 5.0), Names(), (endpoint,), tls)
        with server.reach() as connection, pytest.raises(Failed) as failed:
            server.secure(connection)

    assert failed.value.problem.code == "probe-not-tls"


def test_client_files_that_cannot_be_loaded_are_reported(mount):
    settings = cache(1, mount, ssl_certfile=mount.key)
    with ScriptedServer(silence) as server:
        settings["CACHES"]["default"]["LOCATION"] = f"rediss://localhost:{server.port}"
        attempt = walk(probe_cache, settings, Names())

    assert outcome(attempt) == (["dns", "tcp", "tls"], "probe-client-files")
    assert attempt.problem.variable == "NAUTOBOT_REDIS_SSL_CERTFILE"


def test_certificate_whose_names_cannot_be_read_counts_as_unreadable():
    """Nothing is claimed about whom it is for."""
    der = CA.server("db.example").certificate.public_bytes(Encoding.DER)

    assert seen_certificate(der).names == ("db.example",)
    assert seen_certificate(der.replace(b"db.example", b"\xff" * 10)) is None
