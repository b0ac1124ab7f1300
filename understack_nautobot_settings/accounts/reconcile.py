"""Makes the accounts of a Nautobot equal to the credentials."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING
from typing import NamedTuple
from typing import TypeVar

from understack_nautobot_settings.accounts import codes
from understack_nautobot_settings.accounts import plan
from understack_nautobot_settings.accounts.credentials import Credential
from understack_nautobot_settings.accounts.failures import Refused
from understack_nautobot_settings.accounts.failures import Unreachable
from understack_nautobot_settings.accounts.plan import Account
from understack_nautobot_settings.accounts.plan import Policy
from understack_nautobot_settings.accounts.plan import Step
from understack_nautobot_settings.accounts.plan import Token
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem

if TYPE_CHECKING:
    from understack_nautobot_settings.accounts.records import DatabaseAccounts
    from understack_nautobot_settings.accounts.remote import RemoteAccounts

    Backend = DatabaseAccounts | RemoteAccounts

Found = TypeVar("Found")

ATTEMPTS = 3
"""A user and its token are two requests, and each may meet another run's."""


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

    Raises:
        Unreachable: The Nautobot cannot be asked now.
        Unusable: What answers is not what a Nautobot would.
    """
    problems = [*problems]
    summary = Summary([], [], [], [], [], problems)
    run = _Run(backend, policy, dry_run, progress)
    try:
        missing = run.settled(run.prepare)
    except Refused as refused:
        problems.append(_refused("groups and permissions", refused))
        return summary
    for name in missing:
        fact = f"there is no group {name!r}."
        problems.append(codes.ACCOUNT_GROUP_MISSING.problem("--group", fact))
    if missing:
        return summary
    for credential in credentials:
        try:
            steps = run.settled(partial(run.account, credential))
        except Refused as refused:
            problems.append(_refused(credential.source, refused))
            continue
        if isinstance(steps, Problem):
            problems.append(steps)
        elif not steps:
            summary.unchanged.append(credential.username)
        elif steps[0].verb == plan.CREATE_USER:
            summary.created.append(credential.username)
        else:
            summary.updated.append(credential.username)
    try:
        marked = backend.marked_accounts(policy)
    except Refused as refused:
        problems.append(_refused("stale accounts", refused))
        return summary
    wanted = {one.username for one in credentials}
    stale = [account for account in marked if account.username not in wanted]
    _take_back(run, stale, summary)
    return summary


@dataclass
class _Run:
    """Steps on their way from the plan to the back end."""

    backend: Backend
    policy: Policy
    dry_run: bool
    progress: Callable[[str], object]
    lines: list[str] = field(default_factory=list)

    def settled(self, work: Callable[[], Found]) -> Found:
        """Do the work; where it fails, look again: another run may have come between.

        Over REST nothing keeps two runs apart, and Nautobot answers the slower one
        with a refusal, or with an internal error where its database refuses.
        """
        attempts = 0
        while True:
            attempts += 1
            self.lines.clear()
            try:
                with self.backend.one_at_a_time(self.policy):
                    return work()
            except (Refused, Unreachable):
                if self.backend.takes_back:
                    self.lines.clear()
                if attempts == ATTEMPTS:
                    raise
            finally:
                for line in self.lines:
                    self.progress(line)

    def carry_out(self, steps: Iterable[Step], credential: Credential | None) -> None:
        for step in steps:
            if not self.dry_run:
                self.backend.apply(step, credential, self.policy)
            self.lines.append(f"would {step}" if self.dry_run else str(step))

    def prepare(self) -> list[str]:
        """Make what all accounts share; return the further groups that are missing."""
        there = self.backend.group_names()
        missing = [name for name in self.policy.groups if name not in there]
        if not missing:
            groups = [
                Step(plan.CREATE_GROUP, "", name)
                for name in self.policy.own_groups
                if name not in there
            ]
            permissions = self.backend.permission_steps(self.policy)
            self.carry_out([*groups, *permissions], None)
        return missing

    def account(self, credential: Credential) -> list[Step] | Problem:
        account = self.backend.account(credential)
        problem = plan.refusal(credential, account, self.policy)
        if problem is not None:
            return problem
        in_use = self.backend.token_in_use(credential)
        tokens = () if account is None else account.tokens
        if in_use and _is_foreign(credential, tokens):
            return _taken(credential)
        steps = plan.account_steps(credential, account, self.policy)
        self.carry_out(steps, credential)
        if tokens is None and not self.dry_run:
            account = self.backend.account(credential)
            tokens = None if account is None else account.tokens
            if tokens is None:
                raise Refused("its tokens are not visible with its own password")
            if in_use and _is_foreign(credential, tokens):
                return _taken(credential)
        further = (
            [Step(plan.LOOK_AGAIN, credential.username)]
            if tokens is None
            else plan.token_steps(credential, tokens, self.policy)
        )
        self.carry_out(further, credential)
        return [*steps, *further]


def _take_back(run: _Run, stale: list[Account], summary: Summary) -> None:
    problems = summary.problems
    unsure = any(problem.severity == ERROR for problem in problems)
    if not run.policy.prune or unsure:
        summary.stale.extend(account.username for account in stale)
        if run.policy.prune and stale:
            fact = "stale accounts were kept, because not every secret could be used."
            problems.append(
                codes.PRUNE_WITHHELD.problem("--prune", f"{len(stale)} {fact}")
            )
        return
    for account in stale:
        username = account.username
        steps = plan.stale_steps(account, run.policy)
        try:
            run.settled(partial(run.carry_out, steps, None))
        except Refused as refused:
            problems.append(_refused(username, refused))
            continue
        summary.removed.append(username)
        if account.tokens is None and steps[0].verb != plan.REMOVE_USER:
            fact = "the user was released, but its token could not be removed."
            problems.append(codes.TOKEN_LEFT.problem(username, fact))


def _is_foreign(credential: Credential, tokens: tuple[Token, ...] | None) -> bool:
    """Tell whether a token in use is another user's: it is none of the visible ones."""
    return tokens is not None and all(one.key != credential.token for one in tokens)


def _taken(credential: Credential) -> Problem:
    fact = f"the token for {credential.username!r} belongs to another user."
    return codes.TOKEN_TAKEN.problem(credential.source, fact)


def _refused(where: str, refused: Refused) -> Problem:
    fact = f"Nautobot refused a change: {refused}."
    return codes.ACCOUNT_REFUSED.problem(where, fact)
