"""The sections of a run, in their order."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from lab.installation import MissingProgram
from lab.nautobot.deployment import Nautobot
from lab.wire import stream
from lab.wire.deployment import CONCURRENCY
from lab.wire.deployment import PARTITION
from lab.wire.deployment import Say
from lab.wire.deployment import prepared_nautobot
from lab.wire.deployment import servers
from lab.wire.promises import Promise
from lab.wire.promises import broken
from lab.wire.sections import beside
from lab.wire.sections import faults
from lab.wire.sections import fleet
from lab.wire.sections import flows
from lab.wire.sections import gateway_job
from lab.wire.sections import hostile
from lab.wire.sections import renewal
from lab.wire.sections import round_trips
from lab.wire.sections import scale
from lab.wire.sections import swaps
from lab.wire.sections import transactions

WITHOUT_NAUTOBOT = (
    round_trips.SECTION,
    hostile.SECTION,
    swaps.SECTION,
    fleet.SECTION,
    beside.SECTION,
    scale.SECTION,
)
# In namespaces of their own, with servers of their own.
APART = (flows.SECTION,)
WITH_NAUTOBOT = (
    gateway_job.SECTION,
    renewal.SECTION,
    transactions.SECTION,
    faults.SECTION,
)
SECTIONS = (*APART, *WITHOUT_NAUTOBOT, *WITH_NAUTOBOT)


def everything(directory: Path, say: Say, only: Iterable[str]) -> list[Promise]:
    """Show the sections that were asked for, each to its end.

    Raises:
        MissingProgram: A server can neither be found nor installed.
    """
    wanted = set(only)
    shown: list[Promise] = []

    def attempt(section: str, show: Callable[[], list[Promise]]) -> None:
        if section not in wanted:
            return
        say(f"-- {section}")
        try:
            shown.extend(show())
        except MissingProgram:
            raise
        except Exception as error:  # noqa: BLE001 - the other sections go on
            say(f"{section}: {error}")
            shown.append(broken(section, error))

    attempt(flows.SECTION, lambda: flows.show(directory / "flows", say))
    if wanted & set(WITHOUT_NAUTOBOT):
        with ExitStack() as stack:
            behind = stack.enter_context(servers(directory / "plain"))
            attempt(round_trips.SECTION, lambda: round_trips.show(behind, say))
            attempt(hostile.SECTION, lambda: hostile.show(directory, say))
            attempt(swaps.SECTION, lambda: swaps.show(directory, say))
            attempt(
                beside.SECTION, lambda: beside.show(directory / "beside", behind, say)
            )
            attempt(scale.SECTION, lambda: scale.show(directory / "scale", behind, say))
            attempt(fleet.SECTION, lambda: fleet.show(directory / "fleet", behind, say))
    if wanted & set(WITH_NAUTOBOT):
        with ExitStack() as stack:
            behind = stack.enter_context(servers(directory / "site"))
            say("Nautobot's database: tables from the models")
            site = prepared_nautobot(
                directory / "nautobot", behind, stream.SOURCE + transactions.SOURCE
            )
            stream.record_ends(behind.postgres)
            site.call(stream.prepare, queue=PARTITION)
            web = site.having(UNDERSTACK_ROLE="web")
            _with_worker(attempt, directory, behind, site, web, say)
    return shown


def _with_worker(
    attempt: Callable[[str, Callable[[], list[Promise]]], None],
    directory: Path,
    behind: object,
    site: Nautobot,
    web: Nautobot,
    say: Say,
) -> None:
    say("Nautobot's worker")
    with site.worker(PARTITION, concurrency=CONCURRENCY) as worker:
        attempt(
            gateway_job.SECTION,
            lambda: gateway_job.show(behind, site, web, worker, say),
        )
        attempt(
            renewal.SECTION,
            lambda: renewal.show(directory / "renewal", behind, site, worker, say),
        )
        attempt(
            transactions.SECTION,
            lambda: transactions.show(directory / "transactions", behind, site, say),
        )
        attempt(
            faults.SECTION,
            lambda: faults.show(directory / "faults", behind, web, say),
        )
