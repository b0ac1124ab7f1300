"""What runs inside Nautobot, shown on a real one: ``tox run -e fleet``.

API users and tokens from mounted secrets in both formats (in the database, and over
the REST API of a remote Nautobot), the queues of sites with a job on one, and
``/health/`` and ``/metrics`` while certificates near their end; and beside it a
neighbouring stack over HTTPS. Progress goes to standard error, the table to standard
output; exit status as for `lab.demo`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import secrets
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from typing import NamedTuple

from lab.account_secrets import ChartSecret
from lab.account_secrets import MountedSecret
from lab.account_secrets import WrittenDocument
from lab.certificates import Authority
from lab.certificates import KubernetesMount
from lab.certificates import now
from lab.demo import REDIS_PASSWORD
from lab.demo import Row
from lab.demo import Say
from lab.demo import end_in_order
from lab.demo import exit_status
from lab.demo import progress
from lab.demo import show
from lab.demo import tell
from lab.fleet_inside import bootstrap
from lab.installation import MissingProgram
from lab.nautobot.deployment import Nautobot
from lab.nautobot.deployment import NautobotFailed
from lab.nautobot.deployment import nautobot_for
from lab.processes import NotStarted
from lab.processes import free_port
from lab.servers.databases import PostgresServer
from lab.servers.databases import RedisServer
from lab.servers.front import Front
from lab.servers.listening import tls_context
from lab.servers.neighbour import expiry_without_kubectl
from lab.servers.neighbour import neighbours

SITE = "site-b"
JOB = "Logs Cleanup"
OPERATOR = "operator"
REMOTE_SITE = "remote-site"
LEFT = "understack_certificate_seconds_left"
DAY = 86400
# A worker refreshes its gauges once a minute.
REFRESH_SECONDS = 90.0
TOKENS = """
select token.id::text, username, description, md5(key) as digest
from users_token token join auth_user owner on owner.id = token.user_id
"""
CHART_QUEUES = f"""\
queues: [{SITE}, {REMOTE_SITE}]
jobs:
  failOnMissing: true
  waitFor: {{attempts: 3, delaySeconds: 1}}
  enable: {{groupings: [], names: [{JOB}]}}
  queueAssignments:
    - {{names: [{JOB}], queues: [{REMOTE_SITE}, default]}}
"""
QUEUES = f"""\
queues:
  {SITE}:
    description: Celery workers of {SITE}
    jobs:
      - name: {JOB}
        enable: true
"""


class Answer(NamedTuple):
    """What a web server answered."""

    status: int
    text: str

    @property
    def content(self) -> Any:
        """The JSON in it."""
        return json.loads(self.text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit status."""
    argparse.ArgumentParser(
        prog="python -m lab fleet",
        description="Shows accounts, queues, health and metrics on a real Nautobot.",
    ).parse_args(argv)
    signal.signal(signal.SIGTERM, end_in_order)
    if importlib.util.find_spec("nautobot") is None:
        tell("Nautobot is not installed. Run: tox run -e fleet")
        return 2
    say = progress()
    try:
        rows = demonstrate(say)
    except MissingProgram as error:
        tell(str(error))
        return 2
    except (NotStarted, NautobotFailed) as error:
        tell(str(error))
        return 1
    say("everything ended and removed")
    show(rows, title="Inside Nautobot")
    return exit_status(rows)


def demonstrate(say: Say) -> list[Row]:
    """Do all of it, and return what was seen."""
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="understack-lab-"))
        )
        say("certificates for 90 days, PostgreSQL, Redis, Nautobot's database")
        authority = Authority()
        mount = KubernetesMount(directory / "mtls")
        renew(mount, authority, days=90)
        postgres = stack.enter_context(PostgresServer(18, authority=authority))
        redis = stack.enter_context(
            RedisServer(authority=authority, password=REDIS_PASSWORD)
        )
        metrics_port = free_port()
        nautobot = nautobot_for(
            directory,
            mount,
            postgres,
            redis,
            partition=SITE,
            extra={
                "UNDERSTACK_APP": "true",
                "NAUTOBOT_METRICS_ENABLED": "true",
            },
        )
        nautobot.prepare_database()
        # Its health check takes tables without migrations for missing migrations.
        nautobot = Nautobot(
            directory,
            nautobot.deployment,
            python=nautobot.python,
            config=nautobot.without_migrations(),
        )
        say("Nautobot's web server")
        keys = {name: secrets.token_hex(20) for name in (OPERATOR, REMOTE_SITE)}
        nautobot.call(bootstrap, keys=keys)
        web = nautobot.having(
            UNDERSTACK_ROLE="web", **sharing_metrics(directory / "web-metrics")
        )
        worker = nautobot.having(
            UNDERSTACK_ROLE="site-worker",
            NAUTOBOT_CELERY_WORKER_PROMETHEUS_PORTS=str(metrics_port),
            **sharing_metrics(directory / "worker-metrics"),
        )
        _, port = stack.enter_context(web.web())
        url = f"http://127.0.0.1:{port}"
        context = tls_context(authority.server("localhost"))
        front = stack.enter_context(Front(port, context))
        token_file = directory / "bootstrap-token"
        token_file.write_text(keys[REMOTE_SITE])
        remote = ["--url", f"https://localhost:{front.port}", "--ca-file", mount.ca]
        remote += ["--token-file", str(token_file)]

        rows: list[Row] = []
        expiry = Expiry(say, web, url, mount, authority)
        expiry.worker_url = f"http://127.0.0.1:{metrics_port}/metrics"
        expiry.web_at(90)
        expiry.web_at(29)
        key = keys[OPERATOR]
        of_queues = [
            *queues(say, web, worker, directory, url, key=key, stack=stack),
            *remote_queues(say, web, directory / "chart-queues.yaml", remote),
        ]
        expiry.worker_at(29)
        # A worker looks once a minute; meanwhile, something else is shown.
        expiry.web_at(0)
        rows += accounts(say, web, postgres, directory / "secrets", url)
        of_remote = [
            *remote_accounts(say, web, postgres, directory / "remote", url, remote)
        ]
        expiry.worker_at(0)
        rows += of_queues + of_remote
        expiry.web_at(90)
        sections = list(dict.fromkeys(row.section for row in expiry.rows))
        rows += sorted(expiry.rows, key=lambda row: sections.index(row.section))
        say("a neighbouring stack over HTTPS")
        rows += neighbours(authority, mount)
        say("ending everything")
    return rows


def sharing_metrics(directory: Path) -> dict[str, str]:
    """Return what lets the processes of one pod share metrics, as in the image."""
    directory.mkdir()
    # Nautobot reads the one, prometheus-client warns without the other.
    return {
        "prometheus_multiproc_dir": str(directory),
        "PROMETHEUS_MULTIPROC_DIR": str(directory),
    }


def renew(mount: KubernetesMount, authority: Authority, *, days: int) -> None:
    """Swap the mounted certificate for one that has so many days left."""
    spare = datetime.timedelta(days=days, hours=6)
    mount.write(authority.client("app", not_after=now() + spare), authority.ca_pem)


def fetch(
    url: str,
    *,
    token: str = "",
    method: str = "GET",
    content: Any = None,
    accept: str = "application/json",
) -> Answer:
    """Ask a web server, and take any status for an answer."""
    headers = {"Accept": accept}
    if token:
        headers["Authorization"] = f"Token {token}"
    data = None
    if content is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(content).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return whose tokens appeared, vanished or changed."""
    keys = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    return sorted((after.get(key) or before[key])[0] for key in keys)


def api_tokens(postgres: PostgresServer) -> dict[str, list[str]]:
    """Return owner, description and a digest of every API token, by its id."""
    return {
        row["id"]: [row["username"], row["description"], row["digest"]]
        for row in postgres.rows(TOKENS)
    }


class Reconciliation:
    """One way of reconciling accounts, run again and again."""

    def __init__(
        self, section: str, postgres: PostgresServer, run: Callable[..., str]
    ) -> None:
        """Name the rows, and how a run is made."""
        self.section = section
        self.postgres = postgres
        self.run = run

    def row(
        self,
        fact: str,
        *options: str,
        says: str,
        changed: Sequence[str],
        secret_texts: Sequence[str],
    ) -> Row:
        """Run once, and judge what it said and what it changed."""
        before = api_tokens(self.postgres)
        printed = self.run(*options)
        found = difference(before, api_tokens(self.postgres))
        last = printed.strip().splitlines()[-1]
        shown = any(text in printed for text in secret_texts)
        seen = f"{last}; tokens changed: {', '.join(found) or 'none'}"
        right = says in last and found == sorted(changed) and not shown
        return Row(self.section, fact, seen, right)

    def twice_at_once(self, changed: str) -> Row:
        """Run two at the same time: both end well, and one of them does the work."""
        before = api_tokens(self.postgres)
        with ThreadPoolExecutor(2) as pool:
            printed = [*pool.map(lambda _: self.run(), range(2))]
        found = difference(before, api_tokens(self.postgres))
        seen = f"both ended well; tokens changed: {', '.join(found) or 'none'}"
        right = found == [changed] and all("0 problems" in text for text in printed)
        return Row(self.section, "two runs at once", seen, right)


def accounts(
    say: Say, nautobot: Nautobot, postgres: PostgresServer, directory: Path, url: str
) -> Iterator[Row]:
    """Show ``nautobot-server reconcile_accounts``."""
    directory.mkdir()
    first = MountedSecret(directory / "one", f"{SITE}-openstack", "nautobot.example")
    second = MountedSecret(directory / "two", f"{SITE}-workflow", "nautobot.example")
    third = WrittenDocument(directory / "three.json", f"{SITE}-json")
    chart = ChartSecret(directory / "chart", f"{SITE}-chart")
    names = [one.username for one in (first, second, third, chart)]
    texts = [*first.fields.values(), *second.fields.values()]
    texts += [third.token, chart.token]
    hidden = [text for text in texts if text not in (*names, "nautobot.example")]

    def run(*options: str) -> str:
        return nautobot.server(
            "reconcile_accounts", str(directory), f"--owner={SITE}", *options
        )

    local = Reconciliation("users and tokens\nfrom secrets", postgres, run)
    say("nautobot-server reconcile_accounts, again and again")
    yield local.row(
        "dry run",
        "--dry-run",
        says="4 created, 0 updated, 0 unchanged",
        changed=[],
        secret_texts=hidden,
    )
    yield local.row(
        "first run",
        says="4 created, 0 updated, 0 unchanged",
        changed=names,
        secret_texts=hidden,
    )
    yield local.row(
        "second run",
        says="0 created, 0 updated, 4 unchanged",
        changed=[],
        secret_texts=hidden,
    )
    at_once = ChartSecret(directory / "at-once", f"{SITE}-at-once")
    yield local.twice_at_once(at_once.username)
    old = first.token
    first.rotate("token")
    yield local.row(
        "one secret rotated",
        says="0 created, 1 updated, 4 unchanged",
        changed=[first.username],
        secret_texts=[*hidden, first.token],
    )
    answers = [fetch(f"{url}/api/", token=one).status for one in (first.token, old)]
    yield Row(
        local.section,
        "REST API, new and old token",
        f"HTTP {answers[0]} and {answers[1]}",
        answers == [200, 403],
    )


def remote_accounts(
    say: Say,
    nautobot: Nautobot,
    postgres: PostgresServer,
    directory: Path,
    url: str,
    arguments: list[str],
) -> Iterator[Row]:
    """Show ``understack-nautobot-settings reconcile-accounts``."""
    directory.mkdir()
    one = MountedSecret(directory / "one", "remote-openstack", "nautobot.example")
    two = MountedSecret(directory / "two", "remote-workflow", "nautobot.example")
    chart = ChartSecret(directory / "chart", "remote-chart")

    def run(*options: str) -> str:
        return nautobot.package_command(
            "reconcile-accounts", str(directory), "--owner=remote", *arguments, *options
        )

    remote = Reconciliation("the same over\nthe REST API", postgres, run)
    say("understack-nautobot-settings reconcile-accounts, again and again")
    hidden = [one.token, two.token, chart.token, one.fields["password"]]
    yield remote.row(
        "first run",
        says="3 created, 0 updated, 0 unchanged",
        changed=[one.username, two.username, chart.username],
        secret_texts=hidden,
    )
    yield remote.row(
        "second run",
        says="0 created, 0 updated, 3 unchanged",
        changed=[],
        secret_texts=hidden,
    )
    at_once = ChartSecret(directory / "at-once", "remote-at-once")
    yield remote.twice_at_once(at_once.username)
    one.rotate("token", "password")
    chart.rotate()
    hidden += [one.token, chart.token, one.fields["password"]]
    yield remote.row(
        "two secrets rotated, one password too",
        says="0 created, 2 updated, 2 unchanged",
        changed=[one.username, chart.username],
        secret_texts=hidden,
    )
    status = {fetch(f"{url}/api/", token=it.token).status for it in (one, chart)}
    yield Row(remote.section, "REST API, new tokens", f"HTTP {status}", status == {200})


def queues(
    say: Say,
    nautobot: Nautobot,
    worker: Nautobot,
    directory: Path,
    url: str,
    *,
    key: str,
    stack: ExitStack,
) -> Iterator[Row]:
    """Show ``nautobot-server reconcile_job_queues``, and a job on the queue."""
    section = "queue of a site"
    wanted = directory / "queues.yaml"
    wanted.write_text(QUEUES)
    job = fetch(f"{url}/api/extras/jobs/?name=Logs%20Cleanup", token=key)
    (record,) = job.content["results"]

    def send() -> Answer:
        arguments = {"cleanup_types": ["extras.ObjectChange"], "max_age": 30}
        return fetch(
            f"{url}/api/extras/jobs/{record['id']}/run/",
            token=key,
            method="POST",
            content={"data": arguments, "job_queue": SITE},
        )

    refused = send()
    yield Row(
        section,
        "a job sent there before",
        f"refused: HTTP {refused.status} {refused.text}",
        refused.status in (400, 403),
    )
    say("nautobot-server reconcile_job_queues, twice")
    for run, expected in (("first run", "changes: "), ("second run", "changes: 0")):
        printed = nautobot.server("reconcile_job_queues", str(wanted))
        last = printed.strip().splitlines()[-1]
        changes = last != "queues: 1, changes: 0"
        yield Row(
            section, run, last, expected in last and changes == (run == "first run")
        )
    say(f"a worker on queue {SITE}, and {JOB} sent to it")
    stack.enter_context(worker.worker(SITE))
    sent = send()
    yield Row(
        section, "the same job sent now", f"HTTP {sent.status}", sent.status == 201
    )
    status = "not accepted"
    if sent.status == 201:
        status = _job_status(url, key, sent.content["job_result"]["id"])
    yield Row(section, f"job {JOB} on {SITE}", status, status == "SUCCESS")


def remote_queues(
    say: Say, nautobot: Nautobot, wanted: Path, arguments: list[str]
) -> Iterator[Row]:
    """Show ``understack-nautobot-settings reconcile-queues``, in the chart's form."""
    wanted.write_text(CHART_QUEUES)
    say("understack-nautobot-settings reconcile-queues, twice")
    for run in ("first run", "second run"):
        printed = nautobot.package_command("reconcile-queues", str(wanted), *arguments)
        last = printed.strip().splitlines()[-1]
        changes = last != "queues: 2, changes: 0"
        right = last.startswith("queues: 2") and changes == (run == "first run")
        yield Row("the chart's queues\nover the REST API", run, last, right)


def _job_status(url: str, key: str, result: str) -> str:
    deadline = time.monotonic() + 120
    while True:
        answer = fetch(f"{url}/api/extras/job-results/{result}/", token=key)
        if answer.content["date_done"] or time.monotonic() > deadline:
            return str(answer.content["status"]["value"])
        time.sleep(0.5)


class Expiry:
    """Watches ``/health/`` and ``/metrics`` while the certificate grows older."""

    def __init__(
        self,
        say: Say,
        nautobot: Nautobot,
        url: str,
        mount: KubernetesMount,
        authority: Authority,
    ) -> None:
        """Take what is watched."""
        self._say = say
        self._nautobot = nautobot
        self._url = url
        self.worker_url = ""
        self._mount = mount
        self._authority = authority
        self.rows: list[Row] = []

    def web_at(self, days: int) -> None:
        """Swap the certificate, and look at the web server at once."""
        self._say(f"certificate with {days} days left, mounted under running processes")
        renew(self._mount, self._authority, days=days)
        section = f"certificate with\n{days} days left"
        again = any(row.section.startswith(section) for row in self.rows)
        section += "\n(renewed)" if again else ""
        # First of all: the first request of a web process may well be a scrape.
        page = fetch(f"{self._url}/metrics/", accept="text/plain").text
        health = fetch(f"{self._url}/health/?format=json")
        words = health.content["CertificateBackend"]
        healthy = days > 1
        expected = words.startswith("working" if healthy else "unavailable")
        others = {
            name: status
            for name, status in health.content.items()
            if name != "CertificateBackend" and status != "working"
        }
        self.rows.append(
            Row(
                section,
                "web /health/",
                f"HTTP {health.status}: {words}{others or ''}",
                health.status == (200 if healthy else 500) and expected and not others,
            )
        )
        self._judge(section, "web /metrics/", page, "web", days)
        printed = self._nautobot.server("check")
        warned = "understack.certificate-expiring" in printed
        self.rows.append(
            Row(
                section,
                "nautobot-server check",
                "warns of the expiry" if warned else "says nothing of it",
                warned == (days < 30),
            )
        )
        told = expiry_without_kubectl(self._mount, days)
        self.rows.append(told._replace(section=section))

    def worker_at(self, days: int) -> None:
        """Wait until the worker has looked at the certificate again."""
        self._say(f"the worker's metrics, until they tell {days} days")
        deadline = time.monotonic() + REFRESH_SECONDS
        while True:
            page = fetch(self.worker_url, accept="text/plain").text
            if _days_left(page, self._mount.certificate, "worker") == days:
                break
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        section = f"certificate with\n{days} days left"
        self._judge(section, "worker /metrics", page, "worker", days)

    def _judge(
        self, section: str, fact: str, page: str, process: str, days: int
    ) -> None:
        left = _days_left(page, self._mount.certificate, process)
        modes = [
            line
            for line in page.splitlines()
            if line.startswith("understack_connection_tls_info")
            and f'process="{process}"' in line
        ]
        mutual = sum('tls="mutual"' in line for line in modes)
        self.rows.append(
            Row(
                section,
                fact,
                f"{LEFT} = {left} days; {mutual} of {len(modes)} connections mutual",
                left == days and (mutual, len(modes)) == (3, 3),
            )
        )


def _days_left(page: str, path: str, process: str) -> int | None:
    """Return the whole days that a metrics page tells of a file; None if none."""
    labels = (f'path="{path}"', f'process="{process}"', 'use="PostgreSQL"')
    for line in page.splitlines():
        if line.startswith(f"{LEFT}{{") and all(label in line for label in labels):
            return int(float(line.rpartition(" ")[2]) // DAY)
    return None


if __name__ == "__main__":
    sys.exit(main())
