"""``nautobot-server reconcile_job_queues``: queues of sites and their jobs."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.core.management.base import CommandParser

from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.queues import codes
from understack_nautobot_settings.queues import plan as job_queues

FINE = 0
WRONG = 1
COULD_NOT = 2


class Command(BaseCommand):
    """Creates queues, and allows jobs on them, as one file describes it."""

    help = (
        "Make sure that the job queue of each site exists and takes the jobs that a "
        "YAML or JSON file lists. Nothing is changed when anything in it is wrong."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments."""
        parser.add_argument("file", help="the wanted state, .yaml or .json")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would change, change nothing",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile, and leave with the status."""
        del args
        status = self._reconcile(options["file"], dry_run=options["dry_run"])
        if status:
            sys.exit(status)

    def _reconcile(self, path: str, *, dry_run: bool) -> int:
        from django.db import DatabaseError
        from django.db import transaction

        from understack_nautobot_settings.queues import records as job_queue_records

        problems: list[Problem] = []
        text = _text(path, problems)
        wishes = (
            []
            if text is None
            else job_queues.read_wishes(path, text, problems=problems)
        )
        steps: list[job_queues.QueueStep] = []
        try:
            with transaction.atomic():
                if not problems:
                    steps = job_queues.queue_steps(
                        wishes,
                        job_queue_records.jobs(),
                        job_queue_records.queues(),
                        problems=problems,
                    )
                for step in steps if not problems else ():
                    if not dry_run:
                        job_queue_records.apply(step)
        except DatabaseError as error:
            reason = str(error).strip().partition("\n")[0]
            self.stderr.write(f"Nautobot's database could not be asked: {reason}")
            return COULD_NOT
        for problem in problems:
            self.stderr.write(str(problem))
        if problems:
            return WRONG
        for step in steps:
            self.stdout.write(f"would {step}" if dry_run else str(step))
        suffix = " (dry run)" if dry_run else ""
        self.stdout.write(f"queues: {len(wishes)}, changes: {len(steps)}{suffix}")
        return FINE


def _text(path: str, problems: list[Problem]) -> str | None:
    fact = ""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError:
        fact = "does not hold UTF-8 text."
    except OSError as error:
        fact = f"cannot be read: {os.strerror(error.errno or 0)}."
    problems.append(
        codes.QUEUE_FILE_UNREADABLE.problem(path, fact, "Correct the path.")
    )
    return None
