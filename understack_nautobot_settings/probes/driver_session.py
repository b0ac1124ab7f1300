"""One session of the PostgreSQL driver, in a process of its own.

libpq takes in what a server sends for as long as it sends, and nothing interrupts it.
In a process of its own it has a bound on memory, and an end. What that process runs is
`main`, which imports nothing of this package: that would cost more than the session.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from typing import NamedTuple

_PROGRAM = (
    "import runpy, sys; sys.path[:] = sys.argv[2:]; "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)
_MEMORY = 128 * 1024 * 1024
_LONGEST_TEXT = 4096


class Session(NamedTuple):
    """What came of a session that was let in.

    Attributes:
        driver: ``psycopg2, libpq 17.5``.
        address: Family and socket address of the server.
        row: The only row of the statement, as text.
    """

    driver: str
    address: tuple[int, Any]
    row: tuple[str | None, ...]


class NoDriver(Exception):
    """No PostgreSQL driver can be imported."""


class DriverError(Exception):
    """The driver failed; the text is libpq's."""

    def __init__(self, text: str, *, on_query: bool = False) -> None:
        """Keep the text, and whether it was the statement that failed."""
        super().__init__(text)
        self.on_query = on_query


def database_session(
    parameters: Mapping[str, Any],
    statement: str,
    seconds: float,
    *,
    libpq_since: int = 0,
) -> Session:
    """Connect with a driver that is installed, and run a statement for one row.

    Args:
        parameters: libpq's connection parameters by name.
        statement: Returns one row.
        seconds: After which the session is ended, whatever it does.
        libpq_since: The oldest libpq that knows all parameters, as a number.

    Raises `NoDriver`, `DriverError` where it cannot connect or the statement fails, and
    ``TimeoutError``.
    """
    request = json.dumps([parameters, statement, seconds, libpq_since], default=str)
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-I", "-c", _PROGRAM, __file__, *sys.path],
            input=request.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if ended.returncode == -signal.SIGALRM:
        raise TimeoutError
    try:
        answer = json.loads(ended.stdout)
    except ValueError:
        # Ended by the kernel, where the container has no memory left.
        status = f"ended with status {ended.returncode} and without an answer"
        raise DriverError(f"the process of the driver {status}") from None
    if answer is None:
        raise NoDriver
    if "error" in answer:
        raise DriverError(answer["error"], on_query=answer["on_query"])
    family, place = answer["address"]
    address = family, place if isinstance(place, str) else tuple(place)
    return Session(answer["driver"], address, tuple(answer["row"]))


# What follows runs in that process alone, isolated (-I) and with its memory bounded, so
# that nothing can trace it: the live tests look at what comes out of it.


def main() -> None:  # pragma: no cover - in a process that cannot be traced
    """Read a request from standard input, and write what came of it."""
    parameters, statement, seconds, libpq_since = json.load(sys.stdin)
    answer, driver = None, _driver(libpq_since)
    if driver is not None:
        _limit_memory()
        # Ends the process also where libpq does not return.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = _answer(*driver, parameters, statement)
    sys.stdout.write(json.dumps(answer))


def _driver(libpq_since: int) -> tuple[Any, str] | None:  # pragma: no cover - see main
    """Return a driver and its name, the one that imports faster where both can."""
    found = None
    with suppress(ImportError):
        import psycopg2
        from psycopg2.extensions import libpq_version

        found = psycopg2, "psycopg2", libpq_version()
    if found is None or found[2] < libpq_since:
        with suppress(ImportError):
            import psycopg

            found = psycopg, "psycopg", psycopg.pq.version()
    if found is None:
        return None
    module, name, version = found
    return module, f"{name}, libpq {version // 10000}.{version % 10000}"


def _answer(  # pragma: no cover - see main
    driver: Any, name: str, parameters: dict[str, Any], statement: str
) -> dict[str, Any]:
    on_query = False
    try:
        connection = driver.connect(**parameters)
        on_query = True
        cursor = connection.cursor()
        cursor.execute(statement)
        row = [None if one is None else str(one) for one in cursor.fetchone() or ()]
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            address = [peer.family, peer.getpeername()]
        return {"driver": name, "address": address, "row": row}
    except MemoryError:
        text = "the server sent more than the driver could hold"
    except (driver.Error, TypeError, ValueError) as error:
        text = str(error).strip()[:_LONGEST_TEXT]
    return {"error": text, "on_query": on_query}


def _limit_memory() -> None:  # pragma: no cover - see main
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # A lower bound is in force already.
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, hard))


if __name__ == "__main__":  # pragma: no cover - see main
    main()
