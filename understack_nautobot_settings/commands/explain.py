"""The command ``explain``: what is known of a problem code. And the versions."""

import argparse
import platform
import re
import ssl
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from typing import Any

from understack_nautobot_settings.commands import command
from understack_nautobot_settings.commands.reference import codes
from understack_nautobot_settings.commands.terminal import Terminal
from understack_nautobot_settings.environment.libpq import libpq_release
from understack_nautobot_settings.environment.libpq import libpq_version
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import Code

_MOUNT = "/etc/nautobot/mtls"
# Of -cert, openssl sends the first certificate alone; drivers send the whole file.
_FILES = (
    f"-cert {_MOUNT}/tls.crt -cert_chain {_MOUNT}/tls.crt -key {_MOUNT}/tls.key "
    f"-CAfile {_MOUNT}/ca.crt"
)
_POD = "kubectl exec -n nautobot POD -c CONTAINER --"
_CHECK = f"{_POD} {command.PROGRAM} check"
_SECRET = "kubectl describe externalsecret,certificate,secret -n nautobot"  # noqa: S105
_LEAF = f"openssl x509 -in {_MOUNT}/tls.crt -noout -subject -issuer -dates -purpose"
_CA = (
    f"openssl storeutl -noout -text -certs {_MOUNT}/ca.crt | "
    "grep -E 'Issuer:|Subject:|Not '"
)
_DB_PORT, _REDIS_PORT = "${NAUTOBOT_DB_PORT:-5432}", "${NAUTOBOT_REDIS_PORT:-6379}"
_TLS = 'openssl s_client -connect "$NAUTOBOT_{}_HOST:{}"'
_DATABASE_TLS = f"{_TLS.format('DB', _DB_PORT)} -alpn postgresql {_FILES}"
_REDIS_TLS = f"{_TLS.format('REDIS', _REDIS_PORT)} {_FILES}"
# A variable that is unset leaves an empty word, and not the next one in its place.
_PSQL = (
    'PGPASSWORD="$NAUTOBOT_DB_PASSWORD" '
    'PGSSLNEGOTIATION="${NAUTOBOT_DB_SSLNEGOTIATION:-postgres}" psql '
    f"\"host='$NAUTOBOT_DB_HOST' port='{_DB_PORT}' dbname='$NAUTOBOT_DB_NAME' "
    f"user='$NAUTOBOT_DB_USER' sslmode=verify-full sslcert={_MOUNT}/tls.crt "
    f"sslkey={_MOUNT}/tls.key sslrootcert={_MOUNT}/ca.crt\" -c 'select 1'"
)
# A gateway routes by the name, which redis-cli does not send by itself.
_REDIS = (
    'REDISCLI_AUTH="$NAUTOBOT_REDIS_PASSWORD" redis-cli -h "$NAUTOBOT_REDIS_HOST" '
    f'-p "{_REDIS_PORT}" '
    '${NAUTOBOT_REDIS_USERNAME:+--user "$NAUTOBOT_REDIS_USERNAME"} '
    '--tls --sni "$NAUTOBOT_REDIS_HOST" '
    f"--cert {_MOUNT}/tls.crt --key {_MOUNT}/tls.key --cacert {_MOUNT}/ca.crt ping"
)
_SHOW = f"{_POD} {command.PROGRAM} show"
# Only a superuser may read them, and PostgreSQL's own pod logs one in.
_RULES = (
    "kubectl exec -n nautobot nautobot-cluster-1 -c postgres -- "
    "psql -c 'select * from pg_hba_file_rules'"
)

_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("probe-db-(hba|certificate)", (_PSQL, _RULES)),
    ("probe-(db|libpq|not-postgresql|direct)|db-", (_PSQL, _SHOW)),
    ("probe-(redis|not-redis)", (_REDIS, f"{_REDIS.removesuffix('ping')}info")),
    ("probe-(heartbeat|worker)", (f"{_POD} {command.PROGRAM} probe worker --ping",)),
    ("probe-http", ("curl -v --cert CERT --key KEY --cacert CA URL",)),
    ("probe-driver", (f"{_POD} {command.PROGRAM} --version",)),
    ("probe-brok", (_SHOW,)),
    ("probe-(dns|refused|network|timeout)", (f"{_POD} getent hosts NAME", _SHOW)),
    ("probe-client", (_DATABASE_TLS, _REDIS_TLS, _LEAF)),
    ("probe|gateway", (_DATABASE_TLS, _REDIS_TLS, "kubectl get tlsroute -A")),
    ("ca-(?!bundle)", (_CA, _SECRET)),
    ("certificate-(sub|not-judged)", ("kubectl get pod POD -n nautobot -o yaml",)),
    ("tls-not|setting-|file-overruled", (f"{_SHOW} --config nautobot_config.py",)),
    ("(certificate|key|pem)-|file-(?!and)", (_LEAF, _SECRET)),
    ("(credential|account|token|prune|nautobot-unusable)", (_SECRET,)),
    ("queue-", ("nautobot-server reconcile_job_queues --dry-run FILE",)),
    ("job-stuck", ("nautobot-server stuck_jobs",)),
    ("redis|broker|celery", (_SHOW, _REDIS)),
    ("service-link", ("kubectl get service -n nautobot", _CHECK)),
    ("plugin", (f"{_POD} pip list", _CHECK)),
    ("", (f"{_POD} env", _CHECK)),
)
"""Patterns of codes and the commands that tell more; the first match counts."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    known = [code.id for code in codes()]
    parser.add_argument(
        "code",
        type=partial(command.known_word, "code", known, listed_by="reference problems"),
        metavar="CODE",
        help="the code of a problem, such as certificate-expired",
    )
    command.add_json(parser)


def _run(arguments: Any, console: command.Console) -> command.Outcome:
    del console
    (code,) = (one for one in codes() if one.id == arguments.code)
    if arguments.json:
        content = code._asdict() | {"commands": commands_for(code)}
        return command.Outcome(FINE, command.as_json(content))
    passes = " Waiting can help." if code.transient else ""
    lines = [f"{code.id} ({code.severity})"]
    lines += _paragraph("Cause", code.cause + passes)
    lines += _paragraph("What to do", code.fix)
    if code.replaces:
        lines += _paragraph("Also seen as", code.replaces)
    lines += ["", "Commands that tell more:"]
    lines += [f"  {line}" for line in commands_for(code)]
    return command.Outcome(FINE, "\n".join(lines) + "\n")


COMMAND = command.Command(
    "explain the code of a problem",
    "Print the cause of a problem, what to do, and the commands that tell more. "
    "Needs neither an environment nor Nautobot.",
    _add_arguments,
    _run,
)


def commands_for(code: Code) -> list[str]:
    """Return the commands that tell more about a problem."""
    return list(next(found for kind, found in _COMMANDS if re.match(kind, code.id)))


def _paragraph(title: str, markdown: str) -> list[str]:
    text = f"{title}: {markdown.replace('`', '')}"
    return ["", *Terminal(width=78).wrapped(text)]


def versions() -> str:
    """Return the versions that matter, a line for each; absent ones are named."""
    number = libpq_version()
    libpq = libpq_release(number) if number else "no driver installed"
    found = {
        command.PROGRAM: _version(command.PROGRAM),
        "Python": platform.python_version(),
        "OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL "),
        "libpq": libpq,
        "redis-py": _version("redis"),
        "Nautobot": _version("nautobot"),
    }
    return "".join(f"{name} {text}\n" for name, text in found.items())


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
