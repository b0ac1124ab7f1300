"""Certificates that are renewed, expire and change their CA below live processes."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import Leaf
from lab.certificates import now
from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import recorded_sessions
from lab.nautobot.inside import create_queue
from lab.processes import Process
from lab.wire.client import Client
from lab.wire.deployment import Say
from lab.wire.deployment import Servers
from lab.wire.deployment import site_environment
from lab.wire.front import RedisFront
from lab.wire.promises import Promise
from lab.wire.sections.faults import Stream

SECTION = "renewal"
PARTITION = "site-b"
SHORT_SECONDS = 8
EXPIRED_SECONDS = 4
JOBS_PER_SECOND = 2.0
JOB_MILLISECONDS = 100
DATABASE = ("psycopg2", "psycopg")


class Renewing:
    """Servers and clients whose certificates change, one at a time."""

    def __init__(
        self, behind: Servers, mount: KubernetesMount, front: RedisFront
    ) -> None:
        """Begin with the certificates that the servers have."""
        self._behind = behind
        self._mount = mount
        self.front = front
        self.authority = behind.authority
        self.server = behind.postgres.server
        self.client = behind.authority.client()
        self._servers_trust = behind.authority.ca_pem
        self._clients_trust = behind.authority.ca_pem
        self.mounted()

    def mounted(self, leaf: Leaf | None = None, trust: bytes | None = None) -> None:
        """Swap the mounted directory of every client."""
        self.client = leaf or self.client
        self._clients_trust = trust or self._clients_trust
        self._mount.write(self.client, self._clients_trust)

    def serving(self, leaf: Leaf | None = None, trust: bytes | None = None) -> None:
        """Give the servers other certificates, and let them reload."""
        self.server = leaf or self.server
        self._servers_trust = trust or self._servers_trust
        for server in (self._behind.postgres, self._behind.redis):
            server.install_certificates(self.server, self._servers_trust)
            server.reload()
        self.front.install(self.server, self._servers_trust)


def show(
    directory: Path, behind: Servers, site: Nautobot, _: Process, say: Say
) -> list[Promise]:
    """Renew, expire and change the CA below four clients and a Nautobot worker."""
    mount = KubernetesMount(directory / "mtls")
    original = (behind.postgres.server, behind.authority.ca_pem)
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(
            RedisFront(
                behind.redis.directory / "redis.sock",
                behind.postgres.server,
                behind.authority.ca_pem,
            )
        )
        state = Renewing(behind, mount, front)
        stack.callback(state.serving, *original)
        environment = site_environment(
            behind._replace(mount=mount),
            extra={
                "UNDERSTACK_PARTITION": PARTITION,
                "CELERY_TASK_QUEUES": PARTITION,
                "NAUTOBOT_REDIS_PORT": str(front.port),
            },
        )
        through = {
            **environment,
            "NAUTOBOT_REDIS_PORT": str(behind.gateway.port("redis")),
        }
        started = {
            "psycopg2": Client("psycopg2", environment),
            "psycopg": Client("psycopg", environment),
            "django-redis": Client("cache", environment),
            # The same with Redis' own TLS, which names no serials but judges.
            "django-redis, own TLS": Client("cache", through),
        }
        clients = {
            name: stack.enter_context(client) for name, client in started.items()
        }
        nautobot = site.having(**environment)
        nautobot.call(create_queue, name=PARTITION)
        say(f"a second worker, of {PARTITION}")
        worker = stack.enter_context(nautobot.worker(PARTITION))
        crew = _Crew(directory, behind, nautobot, worker, clients, state, say)
        return [*crew.renewed(), *crew.expired(), *crew.changed()]


class _Crew:
    """The live processes, and what is done to them."""

    def __init__(
        self,
        directory: Path,
        behind: Servers,
        nautobot: Nautobot,
        worker: Process,
        clients: Mapping[str, Client],
        state: Renewing,
        say: Say,
    ) -> None:
        self._directory = directory
        self._behind = behind
        self._web = nautobot.having(UNDERSTACK_ROLE="web")
        self._worker = worker
        self._clients = clients
        self._state = state
        self._say = say

    def renewed(self) -> list[Promise]:
        """Swap the directory once, below open connections."""
        state = self._state
        old = state.client
        before = self._serials()
        jobs = self._stream("renewed")
        new = state.authority.client()
        state.mounted(new)
        kept = self._all("use")
        after = self._serials()
        # A broker connection lives until somebody ends it.
        state.front.serials.clear()
        state.front.hang_up()
        jobs.wait_for_more(3)
        outcome = jobs.finish()
        promises = [
            Promise(
                SECTION,
                f"{name}: the mounted directory is swapped",
                "new connections present the new serial, no restart",
                f"serial {_tail(before.get(name))}, then {_tail(after.get(name))}",
                (before.get(name), after.get(name)) == (old.serial, new.serial)
                and self._clients[name].running
                and kept[name]["ok"],
            )
            for name in ("psycopg2", "psycopg", "django-redis")
        ]
        written = self._written_with()
        broker = set(state.front.serials)
        self._say(f"renewed: {outcome}")
        promises.append(
            Promise(
                SECTION,
                "Celery worker: swapped, and its broker connections dropped",
                "new serial in database and broker, no failed task",
                f"results written with {_tail(written)}, broker "
                f"{', '.join(map(_tail, broker))}; {outcome}",
                written == new.serial
                and broker == {new.serial}
                and self._worker.running
                and outcome.exactly_once
                and not outcome.failed
                and not outcome.refused,
                outcome._asdict(),
            )
        )
        return promises

    def expired(self) -> list[Promise]:
        """Let the certificate end below open connections, and renew it then."""
        state = self._state
        ends = now() + datetime.timedelta(seconds=SHORT_SECONDS)
        state.mounted(state.authority.client(not_after=ends))
        fresh = self._all("new")
        jobs = self._stream("expired")
        while now() <= ends:
            time.sleep(0.1)
        self._say("the certificate has expired")
        connected = self._all("use")
        refused = self._all("new")
        time.sleep(EXPIRED_SECONDS)
        new = state.authority.client()
        state.mounted(new)
        recovered = self._all("new")
        jobs.wait_for_more(3)
        outcome = jobs.finish()
        self._say(f"expired: {outcome}")
        return [
            Promise(
                SECTION,
                "the certificate expires below open connections",
                "they live on; new ones are refused",
                f"{_count(connected)} live on, {len(refused) - _oks(refused)} of "
                f"{len(refused)} new ones refused",
                _oks(fresh) == _oks(connected) == len(fresh) and not _oks(refused),
                {name: answer["error"] for name, answer in refused.items()},
            ),
            Promise(
                SECTION,
                "the new certificate appears after the old has expired",
                "every client connects again, no restart",
                f"{_count(recovered)} connect",
                _oks(recovered) == len(recovered)
                and all(client.running for client in self._clients.values()),
            ),
            Promise(
                SECTION,
                f"Celery worker: without a certificate for {EXPIRED_SECONDS} s",
                "jobs wait or fail once, and go on without a restart",
                str(outcome),
                outcome.exactly_once
                and self._worker.running
                and self._written_with() == new.serial,
                outcome._asdict(),
            ),
        ]

    def changed(self) -> list[Promise]:
        """Change the CA, from the old over both to the new, in every order."""
        state = self._state
        jobs = self._stream("changed")
        failures: list[str] = []
        connections = 0
        orders = 0
        for bundle, *orderings in itertools.product(
            ("old first", "new first"), (True, False), (True, False), (True, False)
        ):
            orders += 1
            old, new = state.authority, Authority()
            pair = [old.ca_pem, new.ca_pem]
            both = b"".join(pair if bundle == "old first" else reversed(pair))
            steps = _steps(state, both, new, orderings)
            for number, step in enumerate(steps):
                step()
                for name, answer in self._all("new").items():
                    connections += 1
                    if not answer["ok"]:
                        failures.append(
                            f"{bundle} {orderings} step {number}, {name}: "
                            f"{answer['error']}"
                        )
            state.authority = new
            if orders % 4 == 0:
                state.front.hang_up()
        self._say(
            f"{orders} orders, {connections} connections, {len(failures)} refused"
        )
        jobs.wait_for_more(3)
        outcome = jobs.finish()
        written = self._written_with()
        self._say(f"changed: {outcome}")
        # Clients that are ahead of the servers: the order nobody may choose.
        stranger = Authority()
        state.mounted(stranger.client())
        ahead = self._all("new")
        state.mounted(state.authority.client())
        return [
            Promise(
                SECTION,
                f"CA change old, both, new: {orders} orders",
                "every new connection after every step succeeds",
                f"{connections} connections, {len(failures)} refused"
                + (f": {failures[0]}" if failures else ""),
                not failures and connections > 0,
                {"orders": orders, "connections": connections, "refused": failures},
            ),
            Promise(
                SECTION,
                "Celery worker during all of these CA changes",
                "no failed task, no restart",
                str(outcome),
                outcome.exactly_once
                and not outcome.failed
                and not outcome.refused
                and self._worker.running
                and written is not None,
                outcome._asdict(),
            ),
            Promise(
                SECTION,
                "control: a client certificate before the servers know its CA",
                "refused",
                f"{len(ahead) - _oks(ahead)} of {len(ahead)} refused",
                not _oks(ahead),
            ),
        ]

    def _stream(self, name: str) -> Stream:
        jobs = Stream(
            self._directory / name,
            self._behind,
            self._web,
            queue=PARTITION,
            per_second=JOBS_PER_SECOND,
            milliseconds=JOB_MILLISECONDS,
        )
        jobs.start()
        return jobs

    def _all(self, request: str) -> dict[str, dict[str, Any]]:
        waiting = {name: one.begin(request) for name, one in self._clients.items()}
        return {name: answer() for name, answer in waiting.items()}

    def _serials(self) -> dict[str, int | None]:
        """Return the serials of new connections, as the server side saw them."""
        self._state.front.serials.clear()
        # One after the other: the worker is quiet, so the last one is ours.
        answers = self._all("new")
        seen: dict[str, int | None] = {
            name: answers[name].get("serial") for name in DATABASE
        }
        came = self._state.front.serials
        seen["django-redis"] = came[-1] if came else None
        return seen

    def _written_with(self) -> int | None:
        """Return the serial of the session that wrote the last result."""
        name = f"nautobot-site-worker@{PARTITION}"
        serials = [
            session["client_serial"]
            for session in recorded_sessions(self._behind.postgres)
            if session["application_name"] == name
        ]
        return int(serials[-1]) if serials else None


def _steps(
    state: Renewing, both: bytes, new: Authority, orderings: list[bool]
) -> list[Callable[[], None]]:
    """Return a CA change, step by step.

    Both sides hold both CAs before a certificate changes, and both certificates have
    changed before a CA goes; within that, who comes first is free.
    """
    phases = (
        (lambda: state.serving(trust=both), lambda: state.mounted(trust=both)),
        (
            lambda: state.serving(leaf=new.server()),
            lambda: state.mounted(leaf=new.client()),
        ),
        (
            lambda: state.serving(trust=new.ca_pem),
            lambda: state.mounted(trust=new.ca_pem),
        ),
    )
    return [
        step
        for phase, servers_first in zip(phases, orderings, strict=True)
        for step in (phase if servers_first else phase[::-1])
    ]


def _tail(serial: int | None) -> str:
    """Return what tells two serial numbers apart."""
    return "none" if serial is None else f"…{serial % 0x1000000:06x}"


def _oks(answers: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(bool(answer["ok"]) for answer in answers.values())


def _count(answers: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{_oks(answers)} of {len(answers)}"
