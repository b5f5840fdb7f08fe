"""`run`: the whole job for some partitions, without a daemon.

The same assets, the same sensor and the same instance as the UI: a run started here is seen
there, and what is left over here is finished there.
"""

import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from dagster import DagsterInstance, Definitions, ExecuteInProcessResult
from rich.console import Console

from lookup_pipeline.command_line.display import counts_table, live_bar, remarks, total
from lookup_pipeline.command_line.errors import Failures, WorkFailedError
from lookup_pipeline.command_line.execution import RunFailedError, Runner, Words
from lookup_pipeline.command_line.follow import follow, following_meanwhile
from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, PROFILES, REJECTED_NAMES
from lookup_pipeline.enrichment.lineage import check_lineage
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.counts import PartitionCounts, count_partitions
from lookup_pipeline.ledger.resumption import queued_until, stop
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import end_dead_runs
from lookup_pipeline.resources import Folders, LedgerResource
from lookup_pipeline.settings import check_settings


class ExitCode(IntEnum):
    """What the command's exit status says."""

    SETTLED = 0
    ERROR = 1
    STILL_PENDING = 3


def run(
    console: Console,
    definitions: Definitions,
    instance: DagsterInstance,
    lookup_dates: Sequence[str],
    timeout: float,
    words: Words | None = None,
) -> ExitCode:
    """Enrich these partitions and follow their lookups to the end.

    Args:
        console: where progress and summary go.
        definitions: the project's, whose assets and jobs are run.
        instance: where the runs are recorded.
        lookup_dates: partition keys.
        timeout: seconds after which no lookup is sent and the rest is left for another time.
        words: what the operator says beside.

    Raises:
        WorkFailedError: a run failed; what was in flight has been followed all the same.
    """

    def begin(runner: Runner, dates: Sequence[str]) -> Begun:
        return _enrich_all(runner, dates, words or Words())

    return work(console, definitions, instance, lookup_dates, timeout, begin)


@dataclass(frozen=True)
class Begun:
    """What the first part of a command's work did.

    Attributes:
        told: what is worth telling.
        failures: what failed.
        may_send: whether it makes sense to send more.
    """

    told: Sequence[str]
    failures: Failures
    may_send: bool


def work(
    console: Console,
    definitions: Definitions,
    instance: DagsterInstance,
    lookup_dates: Sequence[str],
    timeout: float,
    begin: Callable[[Runner, Sequence[str]], Begun],
) -> ExitCode:
    """Do what `begin` does, then follow the lookups of these partitions, and sum it up.

    Raises:
        OutdatedLedgerError: the ledger is older than its datasets: nothing was begun.
        WorkFailedError: a run failed; what was in flight has been followed all the same.
    """
    check_settings()
    began = time.monotonic()
    runner = Runner(definitions, instance, time.monotonic() + timeout)
    ledger = LedgerResource().open()
    check_lineage(ledger, Folders().output)
    end_dead_runs(instance)
    try:
        with live_bar(console, ledger, lookup_dates):
            with following_meanwhile(ledger, lookup_dates):
                begun = begin(runner, lookup_dates)
            failures = begun.failures
            # Whatever failed: what is in flight is paid for, so it is followed and published.
            settled = follow(runner, ledger, lookup_dates, failures, sending=begun.may_send)
    except KeyboardInterrupt:
        # Whoever interrupts wants no more sent, by the daemon neither.
        with ledger.write() as connection:
            stop(connection, lookup_dates, "its run was interrupted", utc_now())
        raise
    with ledger.read() as connection:
        counts = count_partitions(connection, lookup_dates)
    console.print(counts_table(counts, "Rows by state"))
    for each in (*begun.told, *remarks(total(counts))):
        console.print(each, soft_wrap=True)
    # Not wrapped: the lines are there to be copied.
    console.print(where_to_look(), soft_wrap=True)
    if failures:
        raise WorkFailedError("\n".join(map(str, failures.values())))
    if not settled:
        took = time.monotonic() - began
        console.print(_still_pending(ledger, counts, took), soft_wrap=True)
    return ExitCode.SETTLED if settled else ExitCode.STILL_PENDING


def _enrich_all(runner: Runner, lookup_dates: Sequence[str], words: Words) -> Begun:
    """Read, register and submit date by date."""
    told: list[str] = []
    failures: Failures = {}
    for lookup_date in lookup_dates:
        try:
            told += _findings(runner.enrich(lookup_date, words), lookup_date)
        except RunFailedError as error:
            failures[lookup_date] = error
            told += _findings(error.result, lookup_date)
            if not error.about_a_file:
                # The account, the ledger or the disk: the next date would meet the same.
                return Begun(told, failures, may_send=False)
    return Begun(told, failures, may_send=True)


def _findings(result: ExecuteInProcessResult, lookup_date: str) -> list[str]:
    """What reading a date's files found that a person should know, if it came so far."""
    said = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    found = [
        f"Warning: {str(warning.value).strip('*')}."
        for asset in (NAMES.name, LOOKUPS.name)
        if (warning := said.get(asset, {}).get("warning"))
    ]
    rejected = said.get(REJECTED_NAMES.name, {}).get("dagster/partition_row_count")
    if rejected and rejected.value:
        found.append(f"Rejected of {lookup_date}: {rejected.value} (rejected_names says why).")
    return found


def where_to_look() -> str:
    """Where the Parquet is, and one line that reads it."""
    folder = Folders().output.location(PROFILES)
    sql = "FROM read_parquet('{}/*/*.parquet')".format(folder.replace("'", "''"))
    python = f"import pandas; print(pandas.read_parquet({folder!r}))"
    return (
        f"Profiles: {folder} (failed_lookups, rejected_names and the others lie beside it).\n"
        f"Read them:  duckdb -c {_quoted(sql)}\n"
        f"        or  {shlex.quote(_python())} -c {_quoted(python)}"
    )


def _quoted(text: str) -> str:
    """In double quotes, for a shell: single ones are what SQL and Python use inside."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def _python() -> str:
    """The interpreter that has pandas, as one would type it here."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)


def _still_pending(ledger: Ledger, counts: Sequence[PartitionCounts], took: float) -> str:
    """How many rows are left, until when those in the queue wait, and what to do."""
    text = f"{total(counts).unsettled} rows are still pending after {took:.0f} seconds"
    waiting = [each for each in counts if each.queued]
    with ledger.read() as connection:
        found = [queued_until(connection, each.lookup_date) for each in waiting]
    ready_at = [at for at in found if at is not None and at > utc_now()]
    if ready_at:
        queued = sum(each.queued for each in waiting)
        text += (
            f"; {queued} of them are queued until {min(ready_at):%Y-%m-%d %H:%M:%S} UTC, when the "
            "limits are expected to let them go out"
        )
    return (
        f"{text}. Nothing is lost: run the same command again, or let the daemon's sensor follow "
        "those in flight."
    )
