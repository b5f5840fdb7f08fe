"""`run`: the whole job for some partitions, without a daemon.

The same assets, the same sensor and the same instance as the UI: a run started here is seen
there, and what is left over here is finished there.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any

from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    SensorResult,
    build_sensor_context,
)
from dagster._core.events import RunFailureReason
from dagster._core.utils import make_new_run_id
from rich.console import Console

from lookup_pipeline import settings
from lookup_pipeline.assets import names_and_rejected_names
from lookup_pipeline.command_line.display import counts_table, live_bar, remarks, total
from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.datasets.columns import NAMES, PROFILES, REJECTED_NAMES
from lookup_pipeline.enrichment.poll import PollingFailedError
from lookup_pipeline.enrichment.submit import OPERATION
from lookup_pipeline.ledger import Ledger, State, limits
from lookup_pipeline.ledger.counts import PartitionCounts, count_partitions
from lookup_pipeline.ledger.polling import polled_since
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.processes import end_dead_runs, process_tags
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.sensors import lookup_status_sensor
from lookup_pipeline.settings import START_DATE, ConfigurationError, setting

# Seconds between evaluations of the sensor; polls themselves keep to each lookup's own time.
_TURN = 1.0

# Dagster's own log goes to the UI; here it would tear the bar apart. Errors are printed below.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# Time without one answer, once a poll has failed, before the API counts as down.
_PATIENCE = timedelta(seconds=90)


# Dagster puts an error's class before its words.
_OUR_NAMES = re.compile(r"^lookup_pipeline\.[\w.]+: ")


class ExitCode(IntEnum):
    """What the command's exit status says."""

    SETTLED = 0
    ERROR = 1
    STILL_PENDING = 3


class UnknownPartitionError(Exception):
    """A date that is no partition; the message says which are."""


def partition_keys(first: str, last: str | None) -> list[str]:
    """The partitions from `first` to `last`, both included.

    Raises:
        UnknownPartitionError: one of the two is no partition, or they are in the wrong order.
        ConfigurationError: there is no partition at all.
    """
    keys = list(DAILY.get_partition_keys())
    if not keys:
        raise ConfigurationError(
            f"{START_DATE} is {setting(START_DATE)}, a day in the future: there is no partition."
        )
    for key in (first, last or first):
        if key not in keys:
            raise UnknownPartitionError(
                f"There is no partition {key}: they go from {keys[0]} (LOOKUP_PIPELINE_START_DATE)"
                f" to {keys[-1]} (today, UTC)."
            )
    chosen = keys[keys.index(first) : keys.index(last or first) + 1]
    if not chosen:
        raise UnknownPartitionError(f"--to {last} lies before --date {first}.")
    return chosen


def run(
    console: Console,
    definitions: Definitions,
    instance: DagsterInstance,
    lookup_dates: Sequence[str],
    timeout: float,
) -> ExitCode:
    """Enrich these partitions and follow their lookups to the end.

    Args:
        console: where progress and summary go.
        definitions: the project's, whose assets and jobs are run.
        instance: where the runs are recorded.
        lookup_dates: partition keys.
        timeout: seconds after which no lookup is sent and the rest is left for another time.

    Raises:
        WorkFailedError: a run failed; what was in flight has been followed all the same.
    """
    settings.check_numbers()
    end = time.monotonic() + timeout
    ledger = LedgerResource().open()
    end_dead_runs(instance)
    with live_bar(console, ledger, lookup_dates):
        told, failures = _enrich_all(definitions, instance, lookup_dates, end)
        settled = False
        try:
            # Whatever failed: what is in flight is paid for, so it is followed and published.
            settled = _follow(
                definitions, instance, ledger, lookup_dates, end, sending=not failures
            )
        except WorkFailedError as error:
            failures.append(error)
    with ledger.read() as connection:
        counts = count_partitions(connection, lookup_dates)
    console.print(counts_table(counts, "Rows by state"))
    for each in (*told, *remarks(total(counts))):
        console.print(each, soft_wrap=True)
    # Not wrapped: the lines are there to be copied.
    console.print(where_to_look(), soft_wrap=True)
    if failures:
        raise WorkFailedError("\n".join(dict.fromkeys(map(str, failures))))
    if not settled:
        console.print(_still_pending(ledger, counts, timeout), soft_wrap=True)
    return ExitCode.SETTLED if settled else ExitCode.STILL_PENDING


def where_to_look() -> str:
    """Where the Parquet is, and one line that reads it."""
    folder = Folders().output.location(PROFILES)
    return (
        f"Profiles: {folder} (failed_lookups, rejected_names and the others lie beside it).\n"
        f"Read them:  duckdb -c \"FROM read_parquet('{folder}/*/*.parquet')\"\n"
        f"        or  {_python()} -c \"import pandas; print(pandas.read_parquet('{folder}'))\""
    )


def _python() -> str:
    """The interpreter that has pandas, as one would type it here."""
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)


def _enrich_all(
    definitions: Definitions, instance: DagsterInstance, lookup_dates: Sequence[str], end: float
) -> tuple[list[str], list[WorkFailedError]]:
    """Read, register and submit date by date; what is worth telling, and what failed."""
    told: list[str] = []
    failures: list[WorkFailedError] = []
    for lookup_date in lookup_dates:
        try:
            told += _findings(_enrich(definitions, instance, lookup_date, end), lookup_date)
        except WorkFailedError as error:
            failures.append(error)
            if error.step != names_and_rejected_names.op.name:
                # The account, the ledger or the disk: the next date would meet the same.
                break
    return told, failures


def _still_pending(ledger: Ledger, counts: Sequence[PartitionCounts], timeout: float) -> str:
    """How many rows are left, until when those in the queue wait, and what to do."""
    text = f"{total(counts).pending} rows are still pending after {timeout:g} seconds"
    waiting = [each for each in counts if each.states[State.QUEUED]]
    ready_at = [at for each in waiting if (at := _ready_at(ledger, each)) and at > utc_now()]
    if ready_at:
        queued = sum(each.states[State.QUEUED] for each in waiting)
        text += (
            f"; {queued} of them are queued until {min(ready_at):%Y-%m-%d %H:%M:%S} UTC, when the "
            "provider takes requests again"
        )
    return (
        f"{text}. Nothing is lost: run the same command again, or let the daemon's sensor follow "
        "those in flight."
    )


def _ready_at(ledger: Ledger, counts: PartitionCounts) -> datetime | None:
    """When a partition's queued lookups may be sent; None when none is queued."""
    with ledger.read() as connection:
        ready_at = next_ready_at(connection, counts.lookup_date)
        silent_until = limits.blocked_until(connection, OPERATION)
    return ready_at and max(ready_at, silent_until or ready_at)


def _follow(
    definitions: Definitions,
    instance: DagsterInstance,
    ledger: Ledger,
    lookup_dates: Sequence[str],
    end: float,
    *,
    sending: bool,
) -> bool:
    """Evaluate the sensor and do what it asks for; whether everything settled in time.

    Args:
        definitions: the project's.
        instance: where the runs are recorded.
        ledger: what is asked how things stand.
        lookup_dates: the partitions to follow.
        end: when (monotonic) to leave the rest for another time; a poll that has begun may take
            half a minute more.
        sending: whether what is queued is sent as soon as it may; else it is not waited for.
    """
    failing_since: datetime | None = None
    while True:
        try:
            _tick(definitions, instance, lookup_dates)
        except PollingFailedError as error:
            with ledger.read() as connection:
                if failing_since is None or polled_since(connection, failing_since):
                    failing_since = utc_now()
            if error.lasting or utc_now() - failing_since > _PATIENCE:
                raise WorkFailedError(f"{error} Nothing is lost: run it again.") from error
        with ledger.read() as connection:
            pending = [each for each in count_partitions(connection, lookup_dates) if each.pending]
            news = {each.lookup_date for each in partitions_with_news(connection)}
        stale = sorted(news & set(lookup_dates))
        if not pending and not stale:
            return True
        moving = any(sending or each.pending > each.states[State.QUEUED] for each in pending)
        if time.monotonic() >= end or (pending and not moving):
            for lookup_date in stale:
                _execute(definitions, instance, "publish_job", lookup_date)
            return not pending
        if sending:
            _resubmit(definitions, instance, ledger, pending, end)
        time.sleep(min(_TURN, max(end - time.monotonic(), 0)))


def _tick(definitions: Definitions, instance: DagsterInstance, lookup_dates: Sequence[str]) -> None:
    context = build_sensor_context(
        instance=instance,
        resources={"ledger": LedgerResource(), "rocketreach": RocketReach()},
    )
    # The sensor's lines would tear the bar apart as well; its errors are raised.
    context.log.handlers.clear()
    result = lookup_status_sensor(context)
    if isinstance(result, SensorResult):
        for request in result.run_requests or ():
            lookup_date = str(request.partition_key)
            try:
                _execute(definitions, instance, "publish_job", lookup_date)
            except WorkFailedError:
                # Another date shares a lookup with these: its trouble is in the UI, not theirs.
                if lookup_date in lookup_dates:
                    raise


def _resubmit(
    definitions: Definitions,
    instance: DagsterInstance,
    ledger: Ledger,
    pending: Sequence[PartitionCounts],
    end: float,
) -> None:
    """Submit what a limit of the provider had left queued, once its window is open."""
    for each in pending:
        ready_at = _ready_at(ledger, each) if each.states[State.QUEUED] else None
        if ready_at is not None and ready_at <= utc_now():
            _enrich(definitions, instance, each.lookup_date, end)


def _enrich(
    definitions: Definitions, instance: DagsterInstance, lookup_date: str, end: float
) -> ExecuteInProcessResult:
    left = max(end - time.monotonic(), 0)
    return _execute(
        definitions,
        instance,
        "enrichment_job",
        lookup_date,
        {"ops": {"lookups": {"config": {"max_seconds": left}}}},
    )


def _execute(
    definitions: Definitions,
    instance: DagsterInstance,
    job: str,
    lookup_date: str,
    config: Mapping[str, Any] | None = None,
) -> ExecuteInProcessResult:
    run_id = make_new_run_id()
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key=lookup_date,
        run_config={**_QUIET, **(config or {})},
        # Whoever typed the command runs it again; the daemon does not.
        tags={**process_tags(run_id), "dagster/max_retries": "0"},
        raise_on_error=False,
    )
    if _was_interrupted(result):
        raise KeyboardInterrupt
    if not result.success:
        step, reason = _first_error(result)
        raise WorkFailedError(f"{job} of {lookup_date} failed: {reason}", step)
    return result


def _was_interrupted(result: ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C ended the run: Dagster makes an ordinary failure of it."""
    reasons = [
        event.job_failure_data.failure_reason for event in result.all_events if event.is_job_failure
    ]
    return RunFailureReason.UNEXPECTED_TERMINATION in reasons


def _findings(result: ExecuteInProcessResult, lookup_date: str) -> list[str]:
    """What reading a date's files found that a person should know."""
    said = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    found = []
    if "warning" in said[NAMES.name]:
        found.append(f"Warning: {str(said[NAMES.name]['warning'].value).strip('*')}.")
    rejected = said[REJECTED_NAMES.name]["dagster/partition_row_count"].value
    if rejected:
        found.append(f"Rejected of {lookup_date}: {rejected} (rejected_names says why).")
    return found


def _first_error(result: ExecuteInProcessResult) -> tuple[str | None, str]:
    """The step that failed first, and why."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return event.step_key, data.user_failure_data.description
            if data.error:
                # What the asset raised, without Dagster's frames around it: those are in the UI.
                error = data.error.cause or data.error
                return event.step_key, _OUR_NAMES.sub("", error.message.strip())
    return None, "see the run in the Dagster UI"
