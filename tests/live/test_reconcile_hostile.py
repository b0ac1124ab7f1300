"""What a hostile server gets out of ``reconcile-accounts`` and ``reconcile-queues``."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import resource
import signal
import ssl
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import now
from lab.servers.listening import tls_context
from lab.servers.scripted import ScriptedServer
from lab.servers.scripted import over_tls
from understack_nautobot_settings.commands.main import main
from understack_nautobot_settings.reconciliation.rest import RestApi
from understack_nautobot_settings.reconciliation.secret import Secret

BOOTSTRAP = "5ddbb01cbf8ad84cc7c3daef75fb1ca3dc5c5f83"
ACCOUNT = "e1e7094ae9a35ae6f6a2e4d8c41c0a0d1a6a5f2b"
PASSWORD = "Correct-Horse-7"
ESCAPE = "\x1b[31m\r\nforged line"
MEBIBYTE = 1 << 20


def request_of(connection):
    """Return the first line and the rest of a request."""
    said = b""
    while b"\r\n\r\n" not in said:
        chunk = connection.recv(65536)
        if not chunk:
            return "", b""
        said += chunk
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    # What is not read when a connection closes resets it, and the answer is lost.
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    first, _, rest = said.partition(b"\r\n")
    return first.decode(), rest


def answering(answer, heard=None):
    """Return a script that answers each request by ``answer(path)``."""

    def converse(connection):
        first, rest = request_of(connection)
        if heard is not None:
            heard.append(rest)
        if first:
            connection.sendall(answer(first.split()[1]))

    return converse


def response(content, status="200 OK", headers=""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def page(results, following=None, count=None):
    return {
        "count": len(results) if count is None else count,
        "next": following,
        "previous": None,
        "results": results,
    }


@pytest.fixture
def served(authority):
    """Return the context of a server behind TLS that speaks by a script."""
    context = tls_context(authority.server("localhost"))

    def served(script):
        return ScriptedServer(over_tls(context, script))

    return served


@pytest.fixture(params=["accounts", "queues"])
def reconcile(request, tmp_path, mount):
    """Run one of both commands against a port, and return what came of it."""
    account = tmp_path / "account"
    account.mkdir()
    fields = {"username": "svc", "password": PASSWORD, "token": ACCOUNT}
    for name, text in {**fields, "hostname": "evil.example"}.items():
        (account / name).write_text(text)
    (tmp_path / "token").write_text(BOOTSTRAP)
    (tmp_path / "queues.json").write_text('{"queues": {"site-a": {}}}')

    def reconcile(port, *options, printed=None, host="localhost", stdout=None):
        words = {
            "accounts": ["reconcile-accounts", account, "--owner=a", "--prune"],
            "queues": ["reconcile-queues", tmp_path / "queues.json"],
        }[request.param]
        words += [f"--url=https://{host}:{port}", f"--ca-file={mount.ca}"]
        words += [f"--token-file={tmp_path / 'token'}", *options]
        stdout, stderr = stdout or io.StringIO(), io.StringIO()
        status = main([*map(str, words)], {}, stdout=stdout, stderr=stderr)
        said = stdout.getvalue() + stderr.getvalue()
        for secret in (BOOTSTRAP, ACCOUNT, PASSWORD, "\x1b", "please report"):
            assert secret not in said
        if printed is not None:
            printed += stdout.getvalue().splitlines()
        return status, stderr.getvalue()

    return reconcile


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_refused_and_sends_no_credential(served, reconcile, status):
    heard = []
    with served(answering(lambda _: response({}), heard)) as thief:
        location = f"Location: https://localhost:{thief.port}/api/\r\n"
        answer = response(b"", f"{status} Moved", location)
        with served(answering(lambda _: answer)) as server:
            assert reconcile(server.port) == (
                1,
                "Nautobot: the URL answers with a redirect (HTTP "
                f"{status}), which is not followed: credentials go to the named server "
                "only. Correct --url and --ca-file, or the proxy in front of "
                "Nautobot.\n",
            )
    assert (heard, thief.connections) == ([], 0)


@pytest.fixture
def proxied(monkeypatch, tmp_path):
    """Return a server that every variable and file of the machine points to."""
    heard = []
    with ScriptedServer(answering(lambda _: response({}), heard)) as thief:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{thief.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{thief.port}")
        (tmp_path / ".netrc").write_text("default login thief password c4n4ry\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        yield thief
    assert (heard, thief.connections) == ([], 0)


@pytest.mark.usefixtures("proxied")
def test_proxies_and_netrc_get_no_credential(served, reconcile):
    heard = []
    with served(answering(lambda _: response(page([])), heard)) as server:
        reconcile(server.port, "--timeout=5")

    sent = b"".join(heard)
    assert BOOTSTRAP.encode() in sent
    assert b"c4n4ry" not in sent


@pytest.mark.usefixtures("proxied")
def test_probe_of_a_url_asks_no_proxy(served, mount, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "example.com")
    files = {"X_CA": mount.ca, "X_CLIENT_CERT": mount.certificate}
    files["X_CLIENT_KEY"] = mount.key
    with served(answering(lambda _: response({}))) as server:
        url = f"https://localhost:{server.port}/"
        out = io.StringIO()
        status = main(["probe", url, "--tls-prefix=X_"], files, stdout=out)

    assert status == 0, out.getvalue()


@pytest.mark.parametrize(
    "form",
    [
        "https://localhost:{thief}/api/users/groups/?offset=1",
        "https://LOCALHOST:{thief}/api/users/groups/?offset=1",
        "//localhost:{thief}/api/",
        "http://localhost:{own}/api/users/groups/?offset=1",
        "https://127.0.0.1:{own}/api/users/groups/?offset=1",
        "https://localhost/api/users/groups/?offset=1",
        "https://x@localhost:{own}/api/",
        "https://localhost:{own}@localhost:{thief}/api/",
        "ftp://localhost:{own}/",
        "file:///etc/passwd",
        "https://[::1/",
        "/api/users/groups/ HTTP/1.1\r\nX: y",
    ],
)
def test_next_page_on_other_server_is_refused(served, reconcile, form):
    heard, ports = [], {}

    def answer(_path):
        link = form.format(**ports)
        return response(page([{"id": 1, "name": "a"}], link, count=2))

    with (
        served(answering(lambda _: response({}), heard)) as thief,
        served(answering(answer)) as server,
    ):
        ports |= {"thief": thief.port, "own": server.port}
        status, said = reconcile(server.port)
    assert status == 1
    assert "the next page of a listing is on another server" in said
    assert (heard, thief.connections, server.connections) == ([], 0, 1)


@pytest.mark.parametrize("offsets", [1, 2, 10**9], ids=["same", "cycle", "growing"])
@pytest.mark.parametrize("count", [2, 99])
def test_listing_without_end_is_an_error(served, reconcile, offsets, count):
    asked = []

    def answer(path):
        asked.append(path)
        number = len(asked) % offsets
        link = f"{urlsplit(path).path}?offset={number}"
        # The same few records again and again, as of a server that ignores the offset.
        records = [{"id": str(number % 2), "name": "x"}]
        return response(page(records, link, count=count))

    with served(answering(answer)) as server:
        status, said = reconcile(server.port)
    assert (status, "repeats a page, or never ends" in said) == (1, True)
    assert len(asked) <= 4


def dripping(connection):
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def dripping_headers(connection):
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def silent(connection):
    request_of(connection)
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("script", [dripping, dripping_headers, silent])
def test_run_after_timeout_ends_with_status_2(served, reconcile, script):
    """The time of each read would start anew with every byte."""
    with served(script) as server:
        assert reconcile(server.port, "--timeout=0.5") == (
            2,
            "Nautobot could not be asked: the run took longer than 0.5 seconds "
            "(--timeout).\n",
        )


def endless(connection):
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def endless_chunks(connection):
    request_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


@pytest.mark.parametrize("script", [endless, endless_chunks])
def test_endless_answer_is_refused_with_bounded_memory(served, reconcile, script):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with served(script) as server:
        status, said = reconcile(server.port)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (status, "an answer is larger than 16 MiB" in said) == (1, True)
    assert grown < 128 * 1024


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"<html>",
        b"[" * 100_000,
        b"\xff",
        b'{"count": 1' + b"0" * 10_000 + b', "next": null, "results": []}',
        b"{}",
        b'{"results": {}, "next": null}',
        b'{"results": [7], "next": null}',
        b'{"results": [[]], "next": null}',
        b'{"results": [{}], "next": 7}',
        b'{"results": [{}], "next": null}',
        b'{"results": [{"id": [], "name": {}}], "next": null}',
        b'{"results": [{"id": 1, "name": 1}], "next": null}',
    ],
)
def test_answer_that_is_not_the_rest_api_is_a_problem(served, reconcile, content):
    with served(answering(lambda _: response(content))) as server:
        status, said = reconcile(server.port)
    assert status == 1
    assert said.startswith("Nautobot: what answers at this URL is not the REST API")


@pytest.mark.parametrize(
    "text",
    [
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X" * 100_000,
    ],
)
def test_server_that_speaks_no_http_is_a_problem(served, reconcile, text):
    with served(answering(lambda _: text)) as server:
        status, said = reconcile(server.port)
    assert (status, "does not speak HTTP" in said) == (1, True)


def test_incomplete_listing_changes_nothing(served, reconcile):
    """Half a listing would make the other half look stale."""
    with served(answering(lambda _: response(page([], count=5)))) as server:
        status, said = reconcile(server.port)
    assert status == 2
    assert "changed while it was read" in said


def test_refusal_shows_no_text_of_the_server(served, reconcile):
    refused = response({ESCAPE: [ESCAPE], "name": [BOOTSTRAP]}, "400 Bad")
    with served(answering(lambda _: refused)) as server:
        status, said = reconcile(server.port)
    assert status == 1
    assert "HTTP 400" in said
    assert "forged" not in said


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_transient_http_error_ends_with_status_2(served, reconcile, status):
    with served(answering(lambda _: response(b"", f"{status} x"))) as server:
        assert reconcile(server.port) == (
            2,
            f"Nautobot could not be asked: the server answers HTTP {status}.\n",
        )


@pytest.mark.parametrize("status", [401, 403])
def test_token_that_logs_nobody_in_is_told_from_a_missing_permission(
    served, reconcile, status
):
    refused = response({"detail": BOOTSTRAP}, f"{status} x")
    with served(answering(lambda _: refused)) as server:
        assert reconcile(server.port) == (
            1,
            f"Nautobot: the server answers HTTP {status} to a request that every "
            "active user may make. Correct the token in the file of --token-file, or "
            "--url.\n",
        )


@pytest.mark.parametrize("status", [400, 404, 405, 421])
def test_url_where_no_nautobot_lists_anything_is_a_problem(served, reconcile, status):
    """No permission of any user is wrong there: 400 is a host that Django refuses."""
    with served(answering(lambda _: response(b"<html>", f"{status} x"))) as server:
        code, said = reconcile(server.port)
    assert code == 1
    assert re.fullmatch(
        r"Nautobot: the server does not list (users/groups|extras/job-queues)/ as a "
        rf"Nautobot does: HTTP {status}\. Correct --url and --ca-file, or the proxy in "
        r"front of Nautobot\.\n",
        said,
    )


def empty_nautobot(changed):
    """Return the script of a Nautobot that has nothing; `changed` answers changes."""

    def converse(connection):
        first, _ = request_of(connection)
        method = first.partition(" ")[0]
        if method == "GET":
            connection.sendall(response(page([])))
        elif method == "OPTIONS":
            connection.sendall(response({}, "403 Forbidden"))
        else:
            connection.sendall(changed())

    return converse


@pytest.fixture
def python_takes_sigint():
    """A shell that starts tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("python_takes_sigint")
def test_interrupted_run_says_what_was_perhaps_done(served, reconcile, number):
    """As the first process of a container, which nothing ends by itself."""
    printed = []

    def interrupt():
        os.kill(os.getpid(), number)
        return response({"id": "1"}, "201 Created")

    with served(empty_nautobot(interrupt)) as server:
        assert reconcile(server.port, printed=printed) == (130, "")
    assert printed[0] in (
        "perhaps done: create group 'accounts created by a'",
        "perhaps done: site-a: create queue",
    )


@pytest.mark.parametrize(
    "answer",
    [response(b"<html>Log in</html>"), response(b"", "204 No Content")],
    ids=["login page", "nothing"],
)
def test_change_with_foreign_answer_is_not_taken_for_done(served, reconcile, answer):
    """A proxy that wants a login may answer a change with a page and status 200."""
    with served(empty_nautobot(lambda: answer)) as server:
        assert reconcile(server.port) == (
            1,
            "Nautobot: what answers at this URL is not the REST API of a Nautobot. "
            "Correct --url and --ca-file, or the proxy in front of Nautobot.\n",
        )


@pytest.mark.parametrize(
    "length",
    [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
)
def test_answer_that_ends_too_early_ends_with_status_2(served, reconcile, length):
    short = b"HTTP/1.1 200 OK\r\n" + length
    with served(answering(lambda _: short)) as server:
        assert reconcile(server.port) == (
            2,
            "Nautobot could not be asked: an answer of Nautobot ends too early.\n",
        )


@pytest.mark.parametrize(
    ("host", "days", "why"),
    [
        ("localhost", None, "unable to get local issuer certificate"),
        ("localhost", -1, "certificate has expired"),
        (
            "127.0.0.1",
            90,
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
    ],
    ids=["foreign CA", "expired", "another name"],
)
def test_server_with_unusable_certificate_gets_no_token(
    reconcile, authority, host, days, why
):
    issuer = authority
    if days is None:
        issuer, days = Authority(), 90
    end = now() + timedelta(days=days)
    leaf = issuer.server("localhost", not_before=end - 2 * DAY, not_after=end)
    heard = []
    script = over_tls(tls_context(leaf), answering(lambda _: response({}), heard))
    with ScriptedServer(script) as server:
        assert reconcile(server.port, host=host) == (
            1,
            f"Nautobot: the server's certificate is not trusted: {why}. Correct --url "
            "and --ca-file, or the proxy in front of Nautobot.\n",
        )
    assert heard == []


def test_time_between_requests_does_not_count(served, authority):
    """A file of queues may wait for jobs longer than all requests may take."""
    context = ssl.create_default_context(cadata=authority.ca_pem.decode())
    with served(answering(lambda _: response(page([])))) as server:
        url = f"https://localhost:{server.port}"
        api = RestApi(url, Secret(BOOTSTRAP), context=context, seconds=2)
        assert api.records("users/groups/") == []
        time.sleep(2)
        assert api.records("users/groups/") == []


class Watched(io.StringIO):
    """Standard output; takes nothing more once it is full."""

    full = False

    def write(self, text):
        if self.full:
            raise OSError(errno.ENOSPC, "ignored")
        return super().write(text)


@pytest.mark.parametrize("reconcile", ["accounts"], indirect=True)
def test_step_is_written_as_soon_as_it_is_made(served, reconcile):
    stdout, seen = Watched(), []

    def made():
        seen.append(stdout.getvalue())
        return response({"id": 1}, "201 Created")

    with served(empty_nautobot(made)) as server:
        reconcile(server.port, stdout=stdout)
    assert seen == ["", "create group 'accounts created by a'\n"]


@pytest.mark.parametrize("reconcile", ["accounts"], indirect=True)
def test_run_goes_on_where_its_lines_cannot_be_written(served, reconcile):
    stdout, made = Watched(), []
    stdout.full = True

    def answer():
        made.append("change")
        return response({"id": 1}, "201 Created")

    with served(empty_nautobot(answer)) as server:
        status, said = reconcile(server.port, stdout=stdout)
    assert (status, len(made)) == (2, 2)
    assert said.endswith("standard output: No space left on device\n")


def test_unreachable_server_ends_with_status_2(served, reconcile):
    with served(silent) as server:
        port = server.port
    assert reconcile(port) == (
        2,
        "Nautobot could not be asked: no connection to Nautobot: Connection refused.\n",
    )
