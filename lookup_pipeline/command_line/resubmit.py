"""`resubmit`: sends again what ended badly, on the word of whoever pays."""

from collections.abc import Collection, Sequence

import click
from dagster import DagsterInstance, Definitions
from rich.console import Console
from rich.table import Table

from lookup_pipeline.command_line.errors import Failures
from lookup_pipeline.command_line.execution import RunFailedError, Runner
from lookup_pipeline.command_line.run import Begun, ExitCode, work
from lookup_pipeline.enrichment.lineage import check_lineage
from lookup_pipeline.ledger import FailureKind
from lookup_pipeline.ledger.resubmission import count_resubmittable
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.resources import Folders, LedgerResource

# What the provider may have processed: it may be paid for twice.
_MAY_BE_PAID = frozenset({FailureKind.UNCONFIRMED, FailureKind.TIMED_OUT, FailureKind.SERVER_ERROR})


def failure_kinds(
    kinds: Collection[str], *, failed: bool, unconfirmed: bool
) -> frozenset[FailureKind]:
    """The failures that the options mean.

    Raises:
        ValueError: a kind is none; the message says which there are.
    """
    every = frozenset(FailureKind) - {FailureKind.UNCONFIRMED}
    if unknown := set(kinds) - every:
        raise ValueError(
            f"There is no --kind {', '.join(sorted(unknown))}: it takes {', '.join(sorted(every))}."
        )
    chosen = frozenset(map(FailureKind, kinds)) or every if failed else frozenset[FailureKind]()
    return chosen | {FailureKind.UNCONFIRMED} if unconfirmed else chosen


def resubmit(
    console: Console,
    definitions: Definitions,
    instance: DagsterInstance,
    kinds: Collection[FailureKind],
    lookup_date: str | None,
    timeout: float,
    *,
    confirmed: bool,
) -> ExitCode:
    """Say what it may cost, ask, send again, follow and publish.

    Args:
        console: where it is said.
        definitions: the project's.
        instance: where the runs are recorded.
        kinds: the failures to send again.
        lookup_date: one partition; None for all.
        timeout: seconds after which nothing more is sent.
        confirmed: whether to go on without asking.

    Raises:
        WorkFailedError: a run failed.
        OutdatedLedgerError: the ledger must be reconciled first.
        click.Abort: it was not confirmed.
    """
    ledger = LedgerResource().open()
    check_lineage(ledger, Folders().output)
    with ledger.read() as connection:
        wanted = [lookup_date] if lookup_date else list(DAILY.get_partition_keys())
        found = count_resubmittable(connection, kinds, wanted)
    if not found:
        console.print("There is nothing to send again.")
        return ExitCode.SETTLED
    console.print(_table(found))
    number = sum(sum(each.values()) for each in found.values())
    paid = sum(each.get(kind, 0) for each in found.values() for kind in _MAY_BE_PAID)
    console.print(
        f"Sent again, these {number} lookups cost at most {number} credits; {paid} of them may "
        "have been paid for already.",
        soft_wrap=True,
    )
    if not confirmed:
        click.confirm("Send them again?", abort=True)

    def begin(runner: Runner, lookup_dates: Sequence[str]) -> Begun:
        failures: Failures = {}
        for each in lookup_dates:
            try:
                runner.submit(each, found[each])
            except RunFailedError as error:
                failures[each] = error
                break
        return Begun([], failures, may_send=not failures)

    return work(console, definitions, instance, sorted(found), timeout, begin)


def _table(found: dict[str, dict[FailureKind, int]]) -> Table:
    kinds = sorted({kind for each in found.values() for kind in each})
    table = Table("date", *kinds, title="Lookups to send again", title_justify="left")
    for lookup_date, each in found.items():
        table.add_row(lookup_date, *(str(each.get(kind, 0)) for kind in kinds))
    return table
