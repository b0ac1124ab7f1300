"""Starts a program, waits until it is ready, and makes sure that it ends.

A program dies with whoever started it, even where that one was killed: the kernel
delivers the signal (`prctl(2)`, PR_SET_PDEATHSIG) when the starting *thread* ends,
so start from a thread that lives as long as the program should.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from lab.installation import SYSTEM_PROGRAMS
from lab.installation import MissingProgram

READY_SECONDS = 60.0
END_SECONDS = 30.0
POLL_SECONDS = 0.05
LOG_TAIL = 3000


class NotStarted(Exception):
    """A program ended, or was not ready in time; the text ends with its log."""


class Process:
    """One running program that writes to one log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: str | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        """Start the program and return when it is ready.

        Args:
            name: What an error calls the program.
            command: Program and arguments.
            log: File that its output is appended to.
            ready: Asked again and again until it says yes.
            environment: The whole environment; this process' own by default.
            directory: Working directory.
            user: Whom to run as; this process' user by default.
            end_signal: What ends it, from us or from the kernel after us.
            ready_seconds: How long to wait for `ready`.

        Raises:
            NotStarted: It ended, or is not ready in time.
        """
        self.name = name
        self.log = log
        self.end_signal = end_signal
        with open(log, "ab") as output:
            self._popen = subprocess.Popen(
                [*dying_with_us(end_signal, user), *command],
                env=None if environment is None else dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(ready, ready_seconds)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def cpu_seconds(self) -> float:
        """CPU time that it has taken itself, without its children (`proc(5)`)."""
        status = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, status[11:13])) / os.sysconf("SC_CLK_TCK")

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """Everything in the log so far."""
        return self.log.read_text(errors="replace")

    @property
    def tcp_ports(self) -> set[int]:
        """Local ports of the TCP connections that it and its children hold.

        What a server calls the port of its client: this tells whose a session is.
        """
        return tcp_ports(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        if self.running:
            self._popen.send_signal(number)

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Wait for its end and return the exit status."""
        return self._popen.wait(seconds)

    def end(self, number: signal.Signals | None = None) -> int:
        """End it and everything it started, and return the exit status."""
        # PostgreSQL's children have sessions of their own, outlive a crash for a
        # moment, and keep the next server from starting.
        children = _handles(_family(self.pid)[1:])
        self.send(number or self.end_signal)
        try:
            self._popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        # Whatever is left of its session, the program included.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for handle in children:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], END_SECONDS)
            os.close(handle)
        return self._popen.wait(END_SECONDS)

    def pause(self) -> None:
        """Stop it and its children without ending them: connected, and silent."""
        _signal(_family(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it and its children go on."""
        _signal(reversed(_family(self.pid)), signal.SIGCONT)

    def _wait(self, ready: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise NotStarted(
                    f"{self.name} ended with status {self._popen.returncode}:\n"
                    f"{self.output[-LOG_TAIL:]}"
                )
            if time.monotonic() > end:
                raise NotStarted(
                    f"{self.name} is not ready after {seconds:.0f} s:\n"
                    f"{self.output[-LOG_TAIL:]}"
                )
            time.sleep(POLL_SECONDS)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        # A child may end between being found and being told.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _handles(pids: Iterable[int]) -> list[int]:
    """Return descriptors of processes, which no later process can inherit."""
    handles = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
    return handles


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether somebody accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def dying_with_us(
    number: signal.Signals = signal.SIGTERM, user: str | None = None
) -> list[str]:
    """Return what goes before a command: the signal it gets when we end, its user."""
    setpriv = shutil.which("setpriv", path=SYSTEM_PROGRAMS)
    if setpriv is None:
        raise MissingProgram(
            "setpriv is not on the PATH. Install Debian's package util-linux."
        )
    command = [setpriv, "--pdeathsig", number.name.removeprefix("SIG")]
    if user is not None:
        command += ["--reuid", user, "--regid", user_group(user), "--clear-groups"]
    return [*command, "--"]


def tcp_ports(pid: int) -> set[int]:
    """Return the local ports of a process and its children, as it sees them."""
    own = {inode for member in _family(pid) for inode in _socket_inodes(member)}
    return {port for inode, port in _tcp_sockets(pid) if inode in own}


def user_group(user: str) -> str:
    """Return the id of the user's own group."""
    import pwd

    return str(pwd.getpwnam(user).pw_gid)


def _family(pid: int) -> list[int]:
    """Return the process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _socket_inodes(pid: int) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(descriptor.path)
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _tcp_sockets(pid: int) -> Iterator[tuple[str, int]]:
    """Yield inode and local port of every TCP socket over IPv4: see proc(5).

    Of the network namespace that the process is in.
    """
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        yield fields[9], int(fields[1].rpartition(":")[2], 16)
