import ssl

import pytest

from lab.certificates import write_mount
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import goodbye
from lab.servers.scripted import over_tls
from lab.servers.scripted import silence
from tests.unit.probes.attempts import CA
from tests.unit.probes.attempts import Names
from tests.unit.probes.attempts import https_saying
from tests.unit.probes.attempts import outcome
from tests.unit.probes.attempts import secured
from tests.unit.probes.attempts import walk
from understack_nautobot_settings.probes.https import probe_https
from understack_nautobot_settings.probes.targets import probe_targets
from understack_nautobot_settings.probes.targets import probes_as_json


@pytest.mark.parametrize(
    ("said", "code", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", None, "GET /api/health: 200"),
        (b"HTTP/1.1 403 No\r\n\r\n", "probe-http-status", "GET /api/health: 403"),
        (
            b"HTTP/1.1 503 Later\r\n\r\n",
            "probe-http-unavailable",
            "GET /api/health: 503",
        ),
        (
            b"HTTP/1.1 429 Later\r\n\r\n",
            "probe-http-unavailable",
            "GET /api/health: 429",
        ),
        (b"SSH-2.0-x\r\n", "probe-http-status", "GET /api/health: no HTTP"),
    ],
)
def test_https_probe_uses_the_certificate_of_the_given_prefix(
    mount, said, code, detail
):
    env = {
        "NOETL_TLS_CLIENT_CERT": mount.certificate,
        "NOETL_TLS_CLIENT_KEY": mount.key,
        "NOETL_TLS_CA": mount.ca,
    }
    with ScriptedServer(secured(https_saying(said))) as server:
        url = f"https://localhost:{server.port}/api/health?x=1"
        attempt = walk(probe_https, url, env, Names(), prefix="NOETL_TLS_")

    assert outcome(attempt) == (["dns", "tcp", "tls", "identity", "query"], code)
    assert attempt.stages[-1].detail == detail


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (silence, "probe-silent"),
        (over_tls(tls_context(CA.server()), silence), "probe-silent"),
        (over_tls(tls_context(CA.server()), goodbye), "probe-closed"),
        (secured(silence), "probe-client-certificate-required"),
        (lambda connection: None, "probe-closed"),
        (https_saying(b"HTTP/1.1 400\r\n\r\n"), "probe-not-tls"),
    ],
    ids=["silent", "silent in TLS", "closes", "certificate", "hangs up", "plain"],
)
def test_https_server_without_answer_is_reported(mount, script, code):
    env = {"X_CA": mount.ca}
    with ScriptedServer(script) as server:
        url = f"https://localhost:{server.port}"
        seconds = 0.5 if code == "probe-silent" else 8
        attempt = walk(probe_https, url, env, Names(), prefix="X_", seconds=seconds)

    assert outcome(attempt)[1] == code


def test_https_server_without_common_cipher_is_not_surely_said_to_want_one(mount):
    context = tls_context(CA.server())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    env = {"X_CA": mount.ca}
    with ScriptedServer(over_tls(context, silence)) as server:
        url = f"https://localhost:{server.port}"
        attempt = walk(probe_https, url, env, Names(), prefix="X_")

    assert str(attempt.problem) == (
        f"X_CLIENT_CERT: localhost:{server.port} probably requires a client "
        "certificate, and none is configured. Set X_CLIENT_CERT, and the variable of "
        "its key. If it requires none, compare the ciphers that both sides allow."
    )


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {},
            "X_CA: no CA in the system store issued the certificate of {place} "
            "(CN=localhost). It was issued by CN=understack-mtls-ca. Put the CA that "
            "signed the certificate of the server into a file, and set X_CA, or find "
            "out who answers there.",
        ),
        (
            {"X_CA": "{ca}"},
            "X_CLIENT_CERT: {place} requires a client certificate, and none is "
            "configured. Set X_CLIENT_CERT, and the variable of its key.",
        ),
        (
            {"X_CA": "/nowhere/ca.crt"},
            "X_CA: /nowhere/ca.crt for the server cannot be loaded: no such file or "
            "directory. Mount it, or correct the path.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{ca}"},
            "X_CLIENT_KEY: it is unset, and {ca} holds no private key. Set it to the "
            "path of the key.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{ca}", "X_CLIENT_KEY": "/nowhere/key"},
            "X_CLIENT_KEY: /nowhere/key for the server cannot be loaded: no such file "
            "or directory. Mount it, or correct the path.",
        ),
        (
            {"X_CA": "{ca}", "X_CLIENT_CERT": "{key}", "X_CLIENT_KEY": "{cert}"},
            "X_CLIENT_CERT: {key} holds the private key, and {cert} holds the client "
            "certificate. Correct the keys of the Secret, or the paths.",
        ),
    ],
    ids=["no CA", "no certificate", "no such CA", "no key", "no such key", "swapped"],
)
def test_https_problem_names_the_variables_of_the_prefix(mount, env, line):
    files = {"ca": mount.ca, "cert": mount.certificate, "key": mount.key}
    env = {name: value.format(**files) for name, value in env.items()}
    with ScriptedServer(secured(silence)) as server:
        place = f"localhost:{server.port}"
        attempt = walk(probe_https, f"https://{place}", env, Names(), prefix="X_")

    assert str(attempt.problem) == line.format(place=place, **files)


def test_token_in_url_query_is_not_shown(mount):
    with ScriptedServer(secured(https_saying(b"HTTP/1.1 403 No\r\n\r\n"))) as server:
        url = f"https://localhost:{server.port}/health?token=canary"
        env = {
            "X_CLIENT_CERT": mount.certificate,
            "X_CLIENT_KEY": mount.key,
            "X_CA": mount.ca,
        }
        probes = probe_targets([url], env, tls_prefix="X_")

    assert probes[0].problem.code == "probe-http-status"
    assert probes[0].server_said == "HTTP/1.1 403 No"
    assert "canary" not in str(probes_as_json(probes))


@pytest.mark.parametrize("presents", [False, True])
def test_status_400_is_perhaps_about_the_certificate(tmp_path, mount, presents):
    """nginx answers it to a missing certificate, and to one that has expired."""
    expired = CA.expired()
    files = write_mount(tmp_path, expired, CA.ca_pem)
    remedy, env = "If the server wants a client certificate, set X_CLIENT_CERT", {}
    if presents:
        env = {"X_CLIENT_CERT": files.certificate, "X_CLIENT_KEY": files.key}
        end = expired.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
        remedy = (
            "If it is about the client certificate in X_CLIENT_CERT (CN=app, issued by "
            f"CN=understack-mtls-ca, expired on {end}, 1 day ago), present one that "
            "the server accepts"
        )
    script = over_tls(tls_context(CA.server()), https_saying(b"HTTP/1.1 400 No\r\n"))
    with ScriptedServer(script) as server:
        url = f"https://localhost:{server.port}/"
        env = {**env, "X_CA": mount.ca}
        attempt = walk(probe_https, url, env, Names(), prefix="X_")

    assert str(attempt.problem) == (
        f"URL: localhost:{server.port} answers / with status 400. {remedy}. Otherwise, "
        "correct the URL, or look into the log of the server."
    )


def test_redirect_is_reported_and_not_followed(mount):
    said = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n"
    with ScriptedServer(
        over_tls(tls_context(CA.server()), https_saying(said))
    ) as server:
        url = f"https://localhost:{server.port}/"
        attempt = walk(probe_https, url, {"X_CA": mount.ca}, Names(), prefix="X_")

    assert attempt.stages[-1].detail == "GET /: 302, a redirect that is not followed"
    assert server.connections == 1
