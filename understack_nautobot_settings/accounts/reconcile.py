"""Makes the accounts of a Nautobot equal to the credentials."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.failures import Unreachable
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

Found = TypeVar("Found")

ATTEMPTS = 3
"""A user and its token are two requests, and each may meet another run's."""


class Backend(Protocol):
    """A Nautobot, by whatever way it is reached.

    Attributes:
        takes_back: True where the steps of a refused account are undone.
    """

    takes_back: bool

    def shared_steps(self, policy: Policy) -> list[Step]:
        """Return what all accounts need and is not there yet."""

    def missing_groups(self, policy: Policy) -> list[str]:
        """Return those of ``policy.groups`` that do not exist."""

    def account(self, credential: Credential) -> Account | None:
        """Return the user of a credential, None where there is no such user."""

    def token_in_use(self, credential: Credential) -> bool:
        """Tell whether any user has the token of a credential."""

    def marked_accounts(self, policy: Policy) -> list[Account]:
        """Return every account that carries the mark of the owner."""

    def apply(self, step: Step, credential: Credential | None, policy: Policy) -> None:
        """Carry out one step."""

    def one_at_a_time(self, policy: Policy) -> AbstractContextManager[object]:
        """Return what keeps the steps of one account together, where that can be.

        Two runs for one owner then take turns, too.
        """


class Summary(NamedTuple):
    """What a run did, or would do.

    Attributes:
        created: Usernames that did not exist.
        updated: Usernames of which something differed.
        unchanged: Usernames that were right.
        removed: Usernames that were taken back.
        stale: Usernames that carry the mark, are in no secret, and were kept.
        problems: What went wrong; the accounts concerned are in none of the above.
    """

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    removed: list[str]
    stale: list[str]
    problems: list[Problem]

    def __str__(self) -> str:
        """Return the figures as one line."""
        figures = ", ".join(
            f"{len(getattr(self, name))} {name}" for name in self._fields[:-1]
        )
        return f"accounts: {figures}, {len(self.problems)} problems"


def reconcile_accounts(
    backend: Backend,
    credentials: Iterable[Credential],
    policy: Policy,
    *,
    dry_run: bool,
    problems: Iterable[Problem] = (),
    progress: Callable[[str], object],
) -> Summary:
    """Create, update, rotate and leave alone until accounts equal credentials.

    What is wrong with one account does not keep the others from being made right.
    Nothing is removed in a run in which any secret was unusable: its account would
    look stale.

    Args:
        backend: The Nautobot.
        credentials: What the secrets say.
        policy: How to treat what is found.
        dry_run: Report the steps and make none.
        problems: What was already found wrong with the secrets.
        progress: Takes one line for each step.

    Returns:
        What was done.

    Raises:
        Unreachable: The Nautobot cannot be asked now.
        Unusable: What answers is not what a Nautobot would.
    """
    summary = Summary([], [], [], [], [], [*problems])
    run = _Run(backend, policy, dry_run, progress)
    credentials = list(credentials)
    try:
        missing = backend.missing_groups(policy)
        if not missing:
            run.settled(lambda: run.carry_out(backend.shared_steps(policy), None))
    except Refused as refused:
        summary.problems.append(_refused("groups and permissions", refused))
        return summary
    if missing:
        summary.problems.extend(
            codes.ACCOUNT_GROUP_MISSING.problem(
                "--group", f"there is no group {name!r}."
            )
            for name in missing
        )
        return summary
    for credential in credentials:
        try:
            steps = run.settled(partial(run.account, credential))
        except Refused as refused:
            summary.problems.append(_refused(credential.source, refused))
            continue
        if isinstance(steps, Problem):
            summary.problems.append(steps)
        elif not steps:
            summary.unchanged.append(credential.username)
        elif steps[0].verb == plan.CREATE_USER:
            summary.created.append(credential.username)
        else:
            summary.updated.append(credential.username)
    try:
        marked = backend.marked_accounts(policy)
    except Refused as refused:
        summary.problems.append(_refused("stale accounts", refused))
        return summary
    wanted = {one.username for one in credentials}
    stale = [account for account in marked if account.username not in wanted]
    _take_back(run, stale, summary)
    return summary


class _Run:
    """Steps on their way from the plan to the back end."""

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        dry_run: bool,
        progress: Callable[[str], object],
    ) -> None:
        self.backend = backend
        self.policy = policy
        self.dry_run = dry_run
        self.progress = progress
        self._lines: list[str] = []

    def settled(self, work: Callable[[], Found]) -> Found:
        """Do the work; where it fails, look again: another run may have come between.

        Over REST nothing keeps two runs apart, and Nautobot answers the slower one
        with a refusal, or with an internal error where its database refuses.
        """
        for _ in range(ATTEMPTS - 1):
            with suppress(Refused, Unreachable):
                return self._together(work)
        return self._together(work)

    def _together(self, work: Callable[[], Found]) -> Found:
        self._lines.clear()
        try:
            with self.backend.one_at_a_time(self.policy):
                done = work()
        except (Refused, Unreachable):
            if self.backend.takes_back:
                self._lines.clear()
            raise
        finally:
            for line in self._lines:
                self.progress(line)
        return done

    def carry_out(self, steps: Iterable[Step], credential: Credential | None) -> None:
        for step in steps:
            if not self.dry_run:
                self.backend.apply(step, credential, self.policy)
            self._lines.append(f"would {step}" if self.dry_run else str(step))

    def account(self, credential: Credential) -> list[Step] | Problem:
        account = self.backend.account(credential)
        problem = plan.refusal(credential, account, self.policy)
        if problem is not None:
            return problem
        in_use = self.backend.token_in_use(credential)
        if plan.token_taken(credential, account, in_use=in_use):
            return _taken(credential)
        steps = plan.account_steps(credential, account, self.policy)
        self.carry_out(steps, credential)
        tokens = () if account is None else account.tokens
        if tokens is None:
            if self.dry_run:
                look = Step(plan.LOOK_AGAIN, credential.username)
                self.carry_out([look], credential)
                return [*steps, look]
            account = self.backend.account(credential)
            tokens = account.tokens if account is not None else None
            if tokens is None:
                raise Refused("its tokens are not visible with its own password")
            if plan.token_taken(credential, account, in_use=in_use):
                return _taken(credential)
        further = plan.token_steps(credential, tokens, self.policy)
        self.carry_out(further, credential)
        return [*steps, *further]


def _take_back(run: _Run, stale: list[Account], summary: Summary) -> None:
    if not run.policy.prune or not stale:
        summary.stale.extend(account.username for account in stale)
        return
    if any(problem.severity == ERROR for problem in summary.problems):
        summary.stale.extend(account.username for account in stale)
        summary.problems.append(
            codes.PRUNE_WITHHELD.problem(
                "--prune",
                f"{len(stale)} stale accounts were kept, because not every secret "
                "could be used.",
            )
        )
        return
    for account in stale:
        steps = plan.stale_steps(account, run.policy)
        try:
            run.settled(partial(run.carry_out, steps, None))
        except Refused as refused:
            summary.problems.append(_refused(account.username, refused))
            continue
        summary.removed.append(account.username)
        if account.tokens is None and steps[0].verb != plan.REMOVE_USER:
            summary.problems.append(
                codes.TOKEN_LEFT.problem(
                    account.username,
                    "the user was released, but its token could not be removed.",
                )
            )


def _taken(credential: Credential) -> Problem:
    return codes.TOKEN_TAKEN.problem(
        credential.source,
        f"the token for {credential.username!r} belongs to another user.",
    )


def _refused(where: str, refused: Refused) -> Problem:
    return codes.ACCOUNT_REFUSED.problem(
        where, f"Nautobot refused a change: {refused}."
    )
