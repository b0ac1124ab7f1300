"""Real Nautobot processes that load the project's example configuration.

Works with every supported Nautobot: the interpreter that has it is a parameter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import understack_nautobot_settings
from lab.certificates import Mount
from lab.nautobot.inside import run_job
from lab.processes import Process
from lab.processes import accepts
from lab.processes import dying_with_us
from lab.processes import free_port
from lab.servers.databases import SESSIONS
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "nautobot_config.py"
# What the example replaces.
BY_HAND_CONFIG = REPOSITORY / "lab" / "nautobot" / "by_hand.py"
PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
START_SECONDS = 120
WEB_PROCESSES = 2
# The full set of migrations takes minutes; tables straight from the models, seconds.
WITHOUT_MIGRATIONS = """\
EXAMPLE = {example!r}
exec(compile(open(EXAMPLE).read(), EXAMPLE, "exec"))


class _None:
    def __contains__(self, app):
        return True

    def __getitem__(self, app):
        return None


MIGRATION_MODULES = _None()
"""


# The session that writes a job's result is the worker's own. It may be gone a moment
# later, so the server notes it while it writes.
RECORD_SESSIONS = f"""
create schema lab;
create table lab.sessions as
    select ''::text as status, seen.* from ({SESSIONS}) seen with no data;
create function lab.record() returns trigger language plpgsql security definer as $$
begin
    insert into lab.sessions
        select new.status, seen.* from ({SESSIONS}) seen where pid = pg_backend_pid();
    return null;
end $$;
create trigger lab_record after update on extras_jobresult
    for each row execute function lab.record();
"""


class NautobotFailed(Exception):
    """A Nautobot command failed; the text ends with what it said."""


def nautobot_environment(
    mount: Mount,
    *,
    db_port: int,
    redis_port: int,
    db_host: str = "localhost",
    redis_host: str = "localhost",
    redis_password: str | None = None,
    partition: str = "",
    role: str = "",
    sslmode: str = "verify-full",
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what a deployment sets for Nautobot, one role of one partition.

    Args:
        mount: The client certificate, for both servers.
        db_port: Port of PostgreSQL, or of what stands in front of it.
        redis_port: Port of Redis, or of what stands in front of it.
        db_host: Its host name.
        redis_host: Its host name.
        redis_password: Password of Redis.
        partition: Partition, and name of the queue of a site worker.
        role: What the process does.
        sslmode: As `NAUTOBOT_DB_SSLMODE`.
        extra: Whatever else is set, or set differently.
    """
    return {
        "NAUTOBOT_ALLOWED_HOSTS": "localhost 127.0.0.1",
        "NAUTOBOT_SECRET_KEY": "lab" * 20,
        "NAUTOBOT_INSTALLATION_METRICS_ENABLED": "false",
        "NAUTOBOT_DB_HOST": db_host,
        "NAUTOBOT_DB_PORT": str(db_port),
        "NAUTOBOT_DB_NAME": "app",
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_PASSWORD": "",
        "NAUTOBOT_DB_SSLMODE": sslmode,
        **mount.database_variables,
        "NAUTOBOT_REDIS_HOST": redis_host,
        "NAUTOBOT_REDIS_PORT": str(redis_port),
        "NAUTOBOT_REDIS_PASSWORD": redis_password or "",
        # What the chart always writes.
        "NAUTOBOT_REDIS_SSL": "false",
        **mount.redis_variables,
        "UNDERSTACK_CONNECTION_PROFILE": "wan",
        "UNDERSTACK_PARTITION": partition,
        "UNDERSTACK_ROLE": role,
        "CELERY_TASK_QUEUES": partition or "default",
        **(extra or {}),
    }


class Nautobot:
    """One Nautobot installation and the environment its processes are given."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        python: str | os.PathLike[str] = sys.executable,
        config: Path = EXAMPLE,
    ) -> None:
        """Describe the installation; nothing runs yet.

        Args:
            directory: Where its files and logs go.
            environment: What the deployment sets: see `nautobot_environment`.
            python: The interpreter that has Nautobot.
            config: The configuration file its processes load.
        """
        self.directory = directory
        self.python = Path(python)
        self.config = config
        self.deployment = dict(environment)
        root = directory / "root"
        root.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of a process: nothing else leaks in."""
        passed_on = {
            name: text
            for name, text in os.environ.items()
            if name in PASSED_ON or name.startswith("COVERAGE_")
        }
        return {
            **passed_on,
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(REPOSITORY),
            "NAUTOBOT_ROOT": str(self.directory / "root"),
            "NAUTOBOT_CONFIG": str(self.config),
            **self.deployment,
        }

    def having(self, **changed: str) -> Nautobot:
        """Return the same installation with some variables set differently."""
        return Nautobot(
            self.directory,
            {**self.deployment, **changed},
            python=self.python,
            config=self.config,
        )

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``nautobot-server``."""
        return [
            str(self.python),
            "-c",
            "from nautobot.core.cli import main; main()",
            *arguments,
        ]

    def server(
        self, *arguments: str, config: Path | None = None, seconds: float = 300
    ) -> str:
        """Run ``nautobot-server`` to its end and return what it printed.

        Raises:
            NautobotFailed: Its exit status is not 0.
        """
        environment = self.environment
        if config is not None:
            environment["NAUTOBOT_CONFIG"] = str(config)
        return _run(
            f"nautobot-server {' '.join(arguments)}",
            self.command(*arguments),
            environment,
            seconds,
            cwd=self.directory,
        )

    def package_command(self, *arguments: str, seconds: float = 120) -> str:
        """Run ``understack-nautobot-settings`` to its end and return what it printed.

        Raises:
            NautobotFailed: Its exit status is not 0.
        """
        return _run(
            f"understack-nautobot-settings {arguments[0]}",
            [str(self.python), "-m", "understack_nautobot_settings", *arguments],
            self.environment,
            seconds,
            cwd=self.directory,
        )

    def without_migrations(self) -> Path:
        """Return a configuration like this one's that knows no migrations.

        For preparing a database, and for what refuses to run while migrations seem
        to be missing.
        """
        path = self.directory / "without_migrations.py"
        path.write_text(WITHOUT_MIGRATIONS.format(example=str(self.config)))
        return path

    def prepare_database(self) -> None:
        """Create the tables from the models, and what Nautobot puts into them."""
        self.server("migrate", "--run-syncdb", config=self.without_migrations())

    def call(
        self, function: Callable[..., Any], *, seconds: float = 300, **arguments: Any
    ) -> Any:
        """Run a function of an importable module inside this Nautobot.

        Arguments and result travel as JSON.

        Raises:
            NautobotFailed: It raised.
        """
        answer = self.directory / f"answer-{os.getpid()}-{id(arguments)}.json"
        request = {
            "module": function.__module__,
            "name": function.__qualname__,
            "arguments": arguments,
            "answer": str(answer),
        }
        _run(
            f"{function.__module__}.{function.__qualname__}",
            [str(self.python), "-m", "lab.nautobot.inside"],
            self.environment,
            seconds,
            cwd=self.directory,
            text=json.dumps(request),
        )
        try:
            return json.loads(answer.read_text())
        finally:
            answer.unlink()

    def run_job(self, queue: str, *, count: int = 1, seconds: float = 120) -> Any:
        """Run Nautobot's LogsCleanup on the queue: see `inside_nautobot.run_job`."""
        return self.call(run_job, queue=queue, count=count, seconds=seconds)

    @contextmanager
    def worker(
        self, queue: str, *, concurrency: int = 1, ready_seconds: float = START_SECONDS
    ) -> Iterator[Process]:
        """Run a Celery worker on the queue; entered when it takes jobs."""
        log = self.directory / f"worker-{queue}.log"
        seen = log.stat().st_size if log.exists() else 0
        process = Process(
            f"The Nautobot worker of queue {queue}",
            self.command(
                "celery",
                "worker",
                "--loglevel=INFO",
                f"--queues={queue}",
                f"--concurrency={concurrency}",
            ),
            log=log,
            ready=lambda: b" ready." in log.read_bytes()[seen:],
            environment=self.environment,
            directory=self.directory,
            ready_seconds=ready_seconds,
        )
        try:
            yield process
        finally:
            # Celery's cold shutdown: it waits for no running job.
            process.end(signal.SIGQUIT)

    @contextmanager
    def web(
        self, *, ready_seconds: float = START_SECONDS
    ) -> Iterator[tuple[Process, int]]:
        """Run the web server on a free loopback port; yields process and port.

        uWSGI, as in the image: workers that are forked once Nautobot has started.
        """
        port = free_port()
        process = Process(
            "Nautobot's web server",
            self.command(
                "start",
                f"--http=127.0.0.1:{port}",
                "--master",
                f"--processes={WEB_PROCESSES}",
                "--enable-threads",
                "--die-on-term",
            ),
            log=self.directory / "web.log",
            ready=lambda: accepts(port),
            environment=self.environment,
            directory=self.directory,
            ready_seconds=ready_seconds,
        )
        try:
            yield process, port
        finally:
            process.end()


def record_sessions(postgres: PostgresServer) -> None:
    """Let the server note which session writes which state of a job result."""
    postgres.sql(RECORD_SESSIONS)


def recorded_sessions(
    postgres: PostgresServer, status: str = "SUCCESS"
) -> list[dict[str, Any]]:
    """Return the sessions that wrote this state, as `PostgresServer.sessions` does."""
    return postgres.rows("select * from lab.sessions where status = %s", [status])


def startup_line(process: Process) -> str:
    """Return what the library says about itself in the log of this process."""
    marker = f"{understack_nautobot_settings.__name__}: "
    for line in process.output.splitlines():
        if marker in line:
            return line.partition(marker)[2]
    return ""


def nautobot_for(
    directory: Path,
    mount: Mount,
    postgres: PostgresServer,
    redis: RedisServer,
    *,
    python: str | os.PathLike[str] = sys.executable,
    partition: str = "",
    role: str = "",
    extra: Mapping[str, str] | None = None,
) -> Nautobot:
    """Return a Nautobot that reaches these two servers directly."""
    environment = nautobot_environment(
        mount,
        db_port=postgres.port,
        redis_port=redis.port,
        redis_password=redis.password,
        partition=partition,
        role=role,
        extra=extra,
    )
    return Nautobot(directory, environment, python=python)


def _run(
    name: str,
    command: list[str],
    environment: dict[str, str],
    seconds: float,
    *,
    cwd: Path,
    text: str = "",
) -> str:
    done = subprocess.run(
        [*dying_with_us(), *command],
        env=environment,
        cwd=cwd,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise NautobotFailed(
            f"{name} ended with status {done.returncode}:\n{done.stdout[-4000:]}"
        )
    return done.stdout
