"""Envoy as the gateway of a global cluster: TLS passthrough, routed by SNI.

One listener for PostgreSQL and one for Redis, as the documents describe; whoever
names no known host in its ClientHello, or speaks something else than TLS first, is
disconnected.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import installation
from lab.processes import Process
from lab.processes import accepts
from lab.processes import free_port

HOST = "127.0.0.1"
BASE_IDS = 60_000


class Route:
    """One listener of the gateway, and the server behind it."""

    def __init__(self, port: int, *names: str) -> None:
        """Describe the route.

        Args:
            port: Loopback port of the server.
            *names: Host names that lead to it; ``localhost`` by default.
        """
        self.target = port
        self.names = names or ("localhost",)
        self.port = 0


class Gateway:
    """A running Envoy; ports stay the same when it is killed and started again."""

    host = HOST

    def __init__(self, **routes: Route) -> None:
        """Describe the gateway; it starts when the context is entered.

        Args:
            **routes: The routes by name, ``postgres=Route(…), redis=Route(…)``.
        """
        self.routes = routes
        self.admin_port = 0
        self._directory: Path | None = None
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running program."""
        assert self._process is not None, "The gateway was not started."
        return self._process

    def port(self, route: str) -> int:
        """Return where the gateway listens for this route."""
        return self.routes[route].port

    def __enter__(self) -> Gateway:
        """Choose ports and start."""
        self._directory = Path(tempfile.mkdtemp(prefix="understack-lab-"))
        try:
            for route in self.routes.values():
                route.port = free_port()
            self.admin_port = free_port()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """End the gateway and remove its files."""
        self._remove()

    def start(self) -> None:
        """Start, or start again on the same ports."""
        assert self._directory is not None
        configuration = self._directory / "envoy.json"
        configuration.write_text(json.dumps(self._configuration()))
        self._process = Process(
            "Envoy",
            [
                installation.envoy(),
                "-c",
                configuration,
                "--base-id",
                str(BASE_IDS + self.admin_port),
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                # A restart in the test is a restart, not a handover.
                "--disable-hot-restart",
            ],
            log=self._directory / "log",
            ready=self._ready,
            directory=self._directory,
        )

    def stop(self) -> None:
        """End it in an orderly way."""
        self.process.end()

    def kill(self) -> None:
        """End it the hard way."""
        self.process.end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it, and start it on the same ports."""
        self.kill()
        self.start()

    def statistics(self) -> dict[str, int]:
        """Return Envoy's counters and gauges by name."""
        url = f"http://{HOST}:{self.admin_port}/stats?format=json"
        with urllib.request.urlopen(url, timeout=10) as answer:
            stats = json.load(answer)["stats"]
        return {one["name"]: one["value"] for one in stats if "value" in one}

    def connections(self, route: str) -> int:
        """Return how many connections the route carries right now."""
        return self.statistics()[f"cluster.{route}.upstream_cx_active"]

    def _ready(self) -> bool:
        ports = (self.admin_port, *(route.port for route in self.routes.values()))
        return all(map(accepts, ports))

    def _remove(self) -> None:
        if self._process is not None:
            self._process.end(signal.SIGKILL)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _configuration(self) -> dict[str, Any]:
        return {
            "admin": {"address": _address(self.admin_port)},
            "static_resources": {
                "listeners": [
                    _listener(name, route.port, route.names)
                    for name, route in self.routes.items()
                ],
                "clusters": [
                    _cluster(name, route.target) for name, route in self.routes.items()
                ],
            },
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def _listener(name: str, port: int, names: Iterable[str]) -> Mapping[str, Any]:
    return {
        "name": name,
        "address": _address(port),
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": _typed(
                    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
                ),
            }
        ],
        "filter_chains": [
            {
                "filter_chain_match": {"server_names": list(names)},
                "filters": [
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typed_config": _typed(
                            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                            stat_prefix=name,
                            cluster=name,
                        ),
                    }
                ],
            }
        ],
    }


def _cluster(name: str, port: int) -> Mapping[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}
            ],
        },
    }
