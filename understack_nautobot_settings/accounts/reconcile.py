"""Makes the accounts of a Nautobot equal to the credentials."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING
from typing import NamedTuple

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.problems import FINE
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import status_with
from understack_nautobot_settings.reconciliation.failures import Refused
from understack_nautobot_settings.reconciliation.failures import Unreachable
from understack_nautobot_settings.reconciliation.failures import Unusable
from understack_nautobot_settings.reconciliation.steps import Found
from understack_nautobot_settings.reconciliation.steps import Run
from understack_nautobot_settings.reconciliation.steps import Step

if TYPE_CHECKING:
    from understack_nautobot_settings.accounts.records import DatabaseAccounts
    from understack_nautobot_settings.accounts.remote import RemoteAccounts

    Backend = DatabaseAccounts | RemoteAccounts


class Summary(NamedTuple):
    """What a run did, or would do.

    Attributes:
        created, updated, unchanged, removed: Usernames.
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
        figures = [f"{len(found)} {name}" for name, found in self._asdict().items()]
        return f"accounts: {', '.join(figures)}"


def reconcile_accounts(
    backend: Backend,
    credentials: Collection[Credential],
    policy: plan.Policy,
    *,
    dry_run: bool,
    problems: list[Problem],
    progress: Callable[[str], object],
) -> Summary:
    """Create, update, rotate and leave alone until accounts equal credentials.

    What is wrong with one account does not keep the others from being made right.
    ``problems`` collects it. Nothing is removed in a run in which any secret was
    unusable, which they tell: its account would look stale. ``progress`` takes a line
    for each step, and one for what is not finished.

    Raises:
        Unreachable: The Nautobot cannot be asked now.
        Unusable: What answers is not what a Nautobot would.
    """
    summary = Summary([], [], [], [], [], problems)
    run = Run(backend, dry_run=dry_run, progress=progress)
    work = _Work(backend, policy, run, summary)
    left = [*(one.username for one in credentials), "stale accounts"]
    try:
        if not work.prepare():
            return summary
        for credential in credentials:
            work.correct(credential)
            del left[0]
        wanted = {one.username for one in credentials}
        for account in work.stale(wanted):
            left[0] = account.username
            work.take_back(account)
    except (Unreachable, Unusable, KeyboardInterrupt):
        progress(f"not finished: {', '.join(left)}")
        raise
    return summary


class _Work(NamedTuple):
    """What a run does, one account after the other."""

    backend: Backend
    policy: plan.Policy
    run: Run
    summary: Summary

    def accepted(self, where: str, work: Callable[[], Found]) -> Found | None:
        """Return what comes of work, None where Nautobot refuses it."""
        try:
            return self.run.settled(work)
        except Refused as refused:
            problem = codes.ACCOUNT_REFUSED.problem(where, f"{refused}.")
            self.summary.problems.append(problem)
            return None

    def prepare(self) -> bool:
        """Make what all accounts share, and tell whether all of it is there."""
        missing = self.accepted("groups and permissions", self._shared)
        for name in missing or ():
            fact = f"there is no group {name!r}."
            problem = codes.ACCOUNT_GROUP_MISSING.problem("--group", fact)
            self.summary.problems.append(problem)
        return missing == []

    def _shared(self) -> list[str]:
        there = self.backend.group_names()
        missing = [name for name in self.policy.groups if name not in there]
        if not missing:
            groups = [
                Step(plan.CREATE_GROUP, detail=name, fields={"name": name})
                for name in self.policy.own_groups
                if name not in there
            ]
            permissions = self.backend.permission_steps(self.policy)
            self.run.carry_out([*groups, *permissions])
        return missing

    def correct(self, credential: Credential) -> None:
        """Make an account equal to its credential."""
        summary = self.summary
        work = partial(self._corrected, credential)
        steps = self.accepted(credential.source, work)
        if isinstance(steps, Problem):
            summary.problems.append(steps)
        elif steps == []:
            summary.unchanged.append(credential.username)
        elif steps:
            created = steps[0].verb == plan.CREATE_USER
            changed = summary.created if created else summary.updated
            changed.append(credential.username)

    def _corrected(
        self, credential: Credential, *, again: bool = False
    ) -> list[Step] | Problem:
        account = self.backend.account(credential)
        in_use = self.backend.token_in_use(credential)
        problem = plan.refusal(credential, account, self.policy, token_in_use=in_use)
        if problem is not None:
            return problem
        steps = self.run.carry_out(plan.account_steps(credential, account, self.policy))
        tokens = () if account is None else account.tokens
        if tokens is not None:
            further = plan.token_steps(credential, tokens, self.policy)
        elif self.run.dry_run:
            later = "look at tokens once the password is set"
            further = [Step(later, credential.username)]
        elif again:
            raise Refused("the user's own password does not show its tokens")
        else:
            more = self._corrected(credential, again=True)
            return more if isinstance(more, Problem) else [*steps, *more]
        return [*steps, *self.run.carry_out(further)]

    def stale(self, wanted: Collection[str]) -> list[plan.Account]:
        """Return the accounts to take back; of those that are kept, say so."""
        find = partial(self.backend.marked_accounts, self.policy)
        marked = self.accepted("stale accounts", find) or []
        stale = [account for account in marked if account.username not in wanted]
        if self.policy.prune and status_with(self.summary.problems) == FINE:
            return stale
        self.summary.stale.extend(account.username for account in stale)
        if self.policy.prune and stale:
            fact = "no stale account was removed, because something else is wrong."
            problem = codes.PRUNE_WITHHELD.problem("--prune", fact)
            self.summary.problems.append(problem)
        return []

    def take_back(self, account: plan.Account) -> None:
        """Remove or release an account whose secret is gone."""
        username = account.username
        steps = plan.stale_steps(account, self.policy)
        if not self.accepted(username, partial(self.run.carry_out, steps)):
            return
        self.summary.removed.append(username)
        if account.tokens is None and steps[0].verb != plan.REMOVE_USER:
            fact = "the user was released, but its token could not be removed."
            self.summary.problems.append(codes.TOKEN_LEFT.problem(username, fact))
