"""A neighbouring stack: an HTTPS server that answers nobody without a certificate.

Its clients take certificate, key and CA from variables of their own, ``NOETL_TLS_*``
here, and what Kubernetes asks before it starts a pod cannot present any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.certificates import Authority
from lab.certificates import Mount
from lab.demo import Row
from lab.processes import free_port
from lab.servers.listening import tls_context

PREFIX = "NOETL_TLS_"
PATH = "/api/health"
SECTION = "a neighbouring stack\nover HTTPS"


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Say who asks."""
        names = dict(pair for (pair,) in self.connection.getpeercert()["subject"])
        content = json.dumps({"client": names["commonName"]}).encode()
        self.send_response(200 if self.path == PATH else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a handshake that was refused."""


@contextmanager
def https_server(authority: Authority, port: int = 0) -> Iterator[int]:
    """Serve on a loopback port whoever has a certificate of this authority."""
    server = _Server(("127.0.0.1", port), _Health)
    context = tls_context(authority.server("localhost"), clients=authority.ca_pem)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def command(env: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start the command line in an environment of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "understack_nautobot_settings", *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def neighbours(authority: Authority, mount: Mount) -> list[Row]:
    """Wait for such a server, probe it with and without a certificate."""
    env = {
        f"{PREFIX}CLIENT_CERT": mount.certificate,
        f"{PREFIX}CLIENT_KEY": mount.key,
        f"{PREFIX}CA": mount.ca,
    }
    port = free_port()
    target = (f"https://localhost:{port}{PATH}", "--tls-prefix", PREFIX)
    waiting = command(env, "wait", *target, "--timeout", "60")
    first = waiting.stderr.readline() if waiting.stderr else ""
    with https_server(authority, port):
        _, said = waiting.communicate()
        known = json.loads(_run(env, "probe", *target, "--json"))["targets"][0]
        stranger = {f"{PREFIX}CA": mount.ca}
        answer = json.loads(_run(stranger, "probe", *target, "--json"))["targets"][0]
    refused = answer["problem"]["code"] if answer["problem"] else "let in"
    last = known["stages"][-1]
    return [
        Row(
            SECTION,
            "wait, as init container",
            f"first {_state(first)}, in the end {_state(said)}",
            waiting.returncode == 0 and " failed at " in first,
        ),
        Row(
            SECTION,
            f"probe with {PREFIX}*",
            last["detail"],
            known["ok"] and last["detail"].endswith(": 200"),
        ),
        Row(
            SECTION,
            "probe without certificate",
            refused,
            refused == "probe-client-certificate-required",
        ),
    ]


def expiry_without_kubectl(mount: Mount, days: int) -> Row:
    """Ask a pod itself how long its certificate lives: ``check --json``."""
    env = {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_SSLMODE": "verify-full",
        **mount.database_variables,
        "UNDERSTACK_REDIS_MTLS": "off",
    }
    told = json.loads(_run(env, "check", "--json"))
    left = {one["path"]: one["days_left"] for one in told["certificates"]}
    codes = [problem["code"] for problem in told["problems"]]
    warned = "certificate-expiring" in codes
    return Row(
        f"certificate with\n{days} days left",
        "check --json",
        f"{left[mount.certificate]} days left, {'warns' if warned else 'no warning'}",
        left[mount.certificate] == days and warned == (days < 30),
    )


def _run(env: Mapping[str, str], *words: str) -> str:
    return command(env, *words).communicate()[0]


def _state(lines: str) -> str:
    """Return the state that the last line of a log tells."""
    line = lines.strip().splitlines()[-1]
    return line.partition(": ")[2].partition(":")[0]


def main() -> None:
    """Show these rows alone."""
    from lab.certificates import write_mount
    from lab.demo import show

    authority = Authority()
    with tempfile.TemporaryDirectory(prefix="understack-lab-") as directory:
        mount = write_mount(Path(directory), authority.client(), authority.ca_pem)
        show(neighbours(authority, mount), title="Neighbours")


if __name__ == "__main__":
    main()
