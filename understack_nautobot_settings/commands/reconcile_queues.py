"""``reconcile-queues``: job queues of sites and their jobs, from a file.

Shared by the management command inside Nautobot and the command line outside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace

from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.failures import Unreachable
from understack_nautobot_settings.accounts.failures import Unusable
from understack_nautobot_settings.accounts.rest import RestApi
from understack_nautobot_settings.commands.remote_nautobot import Connect
from understack_nautobot_settings.commands.remote_nautobot import Misused
from understack_nautobot_settings.commands.remote_nautobot import Write
from understack_nautobot_settings.commands.remote_nautobot import add_remote_arguments
from understack_nautobot_settings.commands.remote_nautobot import is_remote
from understack_nautobot_settings.commands.remote_nautobot import printing
from understack_nautobot_settings.commands.remote_nautobot import remote_nautobot
from understack_nautobot_settings.commands.remote_nautobot import unusable_problem
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import WRONG
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.queues.plan import Backend
from understack_nautobot_settings.queues.plan import Job
from understack_nautobot_settings.queues.plan import QueueStep
from understack_nautobot_settings.queues.plan import missing_jobs
from understack_nautobot_settings.queues.plan import queue_steps
from understack_nautobot_settings.queues.remote import RemoteQueues
from understack_nautobot_settings.queues.wishes import Wishes
from understack_nautobot_settings.queues.wishes import read_wishes

SUMMARY = (
    "Make sure that the job queue of each site exists and takes the jobs that a YAML "
    "or JSON file lists. Nothing is changed when anything in it is wrong."
)


def add_queue_arguments(
    parser: argparse.ArgumentParser, *, remote_only: bool = False
) -> None:
    """Add the arguments.

    Args:
        parser: Takes them.
        remote_only: True where there is no database to fall back to.
    """
    parser.add_argument("file", help="the wanted state, .yaml or .json")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change, change nothing"
    )
    add_remote_arguments(parser, remote_only=remote_only)


def run_queue_command(
    options: SimpleNamespace,
    *,
    local: Callable[[], Backend] | None,
    write: Write,
    complain: Write,
    connect: Connect = RestApi,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Reconcile as the arguments say.

    Args:
        options: What `add_queue_arguments` parsed.
        local: Makes the back end for the database; None outside Nautobot.
        write: Takes the lines of the result.
        complain: Takes the lines of what is wrong.
        connect: Makes the API of a remote Nautobot.
        sleep: Waits so many seconds.

    Returns:
        0 when every queue is as wanted, 1 when something has to be corrected first,
        2 when Nautobot could not be asked and trying again may help, or when the
        arguments do not fit together.
    """
    write, complain = printing(write), printing(complain)
    problems: list[Problem] = []
    failure = last = ""
    try:
        wishes = read_wishes(options.file, problems=problems)
        backend = None if problems else _backend(options, local, connect, problems)
        if backend is not None:
            jobs = _jobs(backend, wishes, write, sleep)
            steps = queue_steps(wishes, jobs, backend.queues(), problems=problems)
            if not _errors(problems):
                last = _carry_out(steps, backend, write, dry_run=options.dry_run)
                last = f"queues: {len(wishes.queues)}, {last}"
    except Misused as misused:
        failure = str(misused)
    except Unreachable as unreachable:
        failure = f"Nautobot could not be asked: {unreachable}."
    except Unusable as unusable:
        problems.append(unusable_problem(unusable))
    except Refused as refused:
        problems.append(codes.QUEUE_REFUSED.problem(options.file, f"{refused}."))
    for problem in problems:
        complain(str(problem))
    if failure:
        complain(failure)
    if last:
        write(last)
    if _errors(problems):
        return WRONG
    return COULD_NOT_CHECK if failure else FINE


def _backend(
    options: SimpleNamespace,
    local: Callable[[], Backend] | None,
    connect: Connect,
    problems: list[Problem],
) -> Backend | None:
    if local is not None and not is_remote(options):
        return local()
    remote = remote_nautobot(options, connect=connect, problems=problems)
    return None if remote is None else RemoteQueues(*remote)


def _jobs(
    backend: Backend,
    wishes: Wishes,
    write: Write,
    sleep: Callable[[float], object],
) -> list[Job]:
    """Return the jobs of Nautobot; wait, where the file says so, for those it names."""
    jobs = backend.jobs()
    for _ in range(wishes.attempts - 1):
        missing = missing_jobs(wishes, jobs)
        if not missing:
            break
        write(f"waiting until jobs are registered: {', '.join(map(repr, missing))}")
        sleep(wishes.delay)
        jobs = backend.jobs()
    return jobs


def _carry_out(
    steps: list[QueueStep], backend: Backend, write: Write, *, dry_run: bool
) -> str:
    with backend.all_or_nothing():
        for step in steps:
            if not dry_run:
                backend.apply(step)
    for step in steps:
        write(f"would {step}" if dry_run else str(step))
    return f"changes: {len(steps)}{' (dry run)' if dry_run else ''}"


def _errors(problems: list[Problem]) -> bool:
    return any(one.severity == ERROR for one in problems)
