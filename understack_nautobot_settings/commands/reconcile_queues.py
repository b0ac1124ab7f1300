"""``reconcile-queues``: job queues of sites and their jobs, from a file.

Shared by the management command inside Nautobot and the command line outside.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from understack_nautobot_settings.commands.command import Command
from understack_nautobot_settings.commands.command import given_path
from understack_nautobot_settings.commands.remote_nautobot import Write
from understack_nautobot_settings.commands.remote_nautobot import add_remote_arguments
from understack_nautobot_settings.commands.remote_nautobot import outcome_of
from understack_nautobot_settings.commands.remote_nautobot import run_command
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import status_with
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.queues.plan import missing_jobs
from understack_nautobot_settings.queues.plan import queue_steps
from understack_nautobot_settings.queues.remote import RemoteQueues
from understack_nautobot_settings.queues.wishes import Wishes
from understack_nautobot_settings.queues.wishes import read_wishes
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.steps import Run
from understack_nautobot_settings.reconciliation.steps import Step

SUMMARY = (
    "Make sure that the job queue of each site exists and takes the jobs that a YAML "
    "or JSON file lists. Nothing is changed when anything in it is wrong."
)


def add_queue_arguments(
    parser: argparse.ArgumentParser, *, remote_only: bool = False
) -> None:
    """Add the arguments; see `add_remote_arguments`."""
    parser.add_argument(
        "file", type=given_path, metavar="FILE", help="the queue file, .yaml or .json"
    )
    add_remote_arguments(parser, remote_only=remote_only)


def _reconcile(
    options: Any,
    backend_of: Callable[[type[RemoteQueues]], Any],
    problems: list[Problem],
    write: Write,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    wishes = read_wishes(options.file, problems=problems)
    backend = None if problems else backend_of(RemoteQueues)
    if backend is None:
        return ""
    run = Run(backend, dry_run=options.dry_run, progress=write)

    def work() -> list[Step]:
        problems.clear()
        steps = queue_steps(wishes, *backend.jobs_and_queues(), problems=problems)
        return run.carry_out(steps) if status_with(problems) == FINE else []

    try:
        _wait_for_jobs(backend, wishes, write, sleep)
        steps = run.settled(work)
    except Refused as refused:
        problems.append(codes.QUEUE_REFUSED.problem(options.file, f"{refused}."))
    if status_with(problems) != FINE:
        return ""
    dry = " (dry run)" if options.dry_run else ""
    return f"queues: {len(wishes.queues)}, changes: {len(steps)}{dry}"


def _wait_for_jobs(
    backend: Any, wishes: Wishes, write: Write, sleep: Callable[[float], object]
) -> None:
    """Wait, where the file says so, until the jobs that it names are registered."""
    for _ in range(wishes.attempts - 1):
        with backend.transaction():
            missing = missing_jobs(wishes, backend.jobs_and_queues()[0])
        if not missing:
            break
        write(f"waiting until jobs are registered: {', '.join(map(repr, missing))}")
        sleep(wishes.delay)


run_queue_command = partial(run_command, _reconcile)
"""Reconciles as the arguments say, and returns the exit status; see `run_command`.

``sleep`` waits a number of seconds.
"""

COMMAND = Command(
    "make job queues of a remote Nautobot match a file",
    "Make job queues, and the jobs allowed on them, equal to a file, over the REST "
    "API with a token. Inside Nautobot, use 'nautobot-server reconcile_job_queues'. "
    "Exit status 2 if Nautobot could not be asked.",
    partial(add_queue_arguments, remote_only=True),
    partial(outcome_of, _reconcile),
)
