"""``nautobot-server stuck_jobs``: jobs whose message is gone."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.core.management.base import CommandParser

from understack_nautobot_settings.commands.command import seconds
from understack_nautobot_settings.problems import COULD_NOT_CHECK
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import WRONG
from understack_nautobot_settings.problems import printable
from understack_nautobot_settings.queues import stuck_jobs


class Command(BaseCommand):
    """Names stuck jobs, and ends or resubmits those that it is told to."""

    help = (
        "List jobs that are PENDING, on no queue and held by no worker, so that they "
        "will never run. Those that are named can be ended as FAILURE, or resubmitted "
        "under their own id. Exit status 0 if there is none or all that were named are "
        "dealt with, 1 if there are some, 2 if the database or the broker cannot be "
        "asked."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "action", nargs="?", choices=("list", "end", "resubmit"), default="list"
        )
        parser.add_argument(
            "jobs", nargs="*", help="ids of job results, or names of jobs"
        )
        parser.add_argument(
            "--older-than",
            type=seconds,
            default=stuck_jobs.GRACE_SECONDS,
            metavar="SECONDS",
            help="how old a job has to be, 900 by default",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would change, change nothing",
        )

    def _say(self, text: str) -> None:
        # Names of jobs may hold escape sequences.
        self.stdout.write(printable(text))

    def _complain(self, text: str) -> None:
        self.stderr.write(printable(text))

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look, act, and leave with the status."""
        try:
            status = self._act(options)
        except stuck_jobs.FAILURES as error:
            reason = str(error).strip().partition("\n")[0]
            self._complain(f"Cannot look for stuck jobs: {reason}")
            status = COULD_NOT_CHECK
        if status:
            sys.exit(status)

    def _act(self, options: dict[str, Any]) -> int:
        action, names = options["action"], set(options["jobs"])
        if action != "list" and not names:
            self._complain(f"Name the jobs to {action}: their ids, or their names.")
            return COULD_NOT_CHECK
        found = stuck_jobs.stuck_jobs(options["older_than"], ask_workers=True)
        if action == "list":
            for job in found:
                self._say(str(job))
            self._say(f"stuck jobs: {len(found)}")
            return WRONG if found else FINE
        chosen = [job for job in found if names & {job.id, job.name}]
        unknown = names - {text for job in chosen for text in (job.id, job.name)}
        for name in sorted(unknown):
            age = f"{options['older_than']:g} seconds"
            self._complain(
                f"{name}: no stuck job older than {age} has this id or name."
            )
        dry = options["dry_run"]
        dealt_with = [self._deal_with(job, action, dry_run=dry) for job in chosen]
        suffix = " (dry run)" if dry else ""
        self._say(f"stuck jobs: {len(found)}, named: {len(chosen)}{suffix}")
        return FINE if all(dealt_with) and not unknown else WRONG

    def _deal_with(
        self, job: stuck_jobs.StuckJob, action: str, *, dry_run: bool
    ) -> bool:
        """End or resubmit a job, and tell whether that can be done."""
        inputs = stuck_jobs.inputs_of(job) if action == "resubmit" else None
        if isinstance(inputs, str):
            self._complain(f"{job} cannot be resubmitted: {inputs}")
            return False
        if dry_run:
            self._say(f"would {action} {job}")
        elif (
            stuck_jobs.end(job) if inputs is None else stuck_jobs.resubmit(job, inputs)
        ):
            self._say(f"{action} {job}")
        else:
            self._say(f"{job} is not pending any more")
        return True
