"""Drives a headless Chromium over its DevTools protocol, and hears all it says."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection
from websockets.sync.client import connect

from lab.installation import chromium

START_SECONDS = 60
ANSWER_SECONDS = 30

# The rest keeps it from calling home, which a closed network would make it wait for.
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
)


class Page:
    """One tab.

    Attributes:
        requests: URL of everything that was asked for.
        complaints: What the console, the network or a script said was wrong.
    """

    def __init__(self, socket: ClientConnection, session: str) -> None:
        """Take over a tab."""
        self._socket, self._session, self._last = socket, session, 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events before it are kept."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps({**message, "sessionId": self._session}))
        while True:
            said = self._hear(ANSWER_SECONDS)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                result: dict[str, Any] = said["result"]
                return result

    def _hear(self, seconds: float) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._socket.recv(timeout=seconds))
        method, event = said.get("method"), said.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Network.loadingFailed" and not event.get("canceled"):
            self.complaints.append(event["errorText"])
        elif method == "Network.responseReceived":
            response = event["response"]
            if response["status"] >= 400:
                self.complaints.append(f"{response['status']} {response['url']}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in (
            "error",
            "warning",
        ):
            self.complaints.append(json.dumps(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.complaints.append(event["entry"]["text"])
        return said

    def open(self, url: str) -> None:
        """Open a URL and wait until the page and what it loads are there."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== ''")
        self.until(f"location.href.startsWith({json.dumps(url)})")

    def until(self, expression: str) -> None:
        """Wait for an expression to become true."""
        end = time.monotonic() + ANSWER_SECONDS
        while not self.value(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """Return the value of an expression."""
        result = self.send(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Show pages at this size, in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def page() -> Iterator[Page]:
    """Start a browser with one empty tab; it ends with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        log = Path(profile, "log")
        with log.open("wb") as said:
            process = subprocess.Popen(
                [chromium(), *FLAGS, *sandbox, f"--user-data-dir={profile}"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            with connect(_address(process, log), max_size=None) as socket:
                ask = functools.partial(_browser_call, socket)
                target = ask(1, "Target.createTarget", url="about:blank")["targetId"]
                session = ask(
                    2, "Target.attachToTarget", targetId=target, flatten=True
                )["sessionId"]
                yield Page(socket, session)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _browser_call(
    socket: ClientConnection, number: int, method: str, **parameters: Any
) -> dict[str, Any]:
    socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
    while True:
        said = json.loads(socket.recv(timeout=ANSWER_SECONDS))
        if said.get("id") == number:
            result: dict[str, Any] = said["result"]
            return result


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"DevTools listening on (ws://\S+)", log.read_text("utf-8"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise TimeoutError(f"Chromium did not start:\n{log.read_text('utf-8')[-2000:]}")
