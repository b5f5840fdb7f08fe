"""`run`: the whole job for some partitions, without a daemon.

The same assets, the same sensor and the same instance as the UI: a run started here is seen
there, and what is left over here is finished there.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from dagster import (
    AssetKey,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    SensorResult,
    build_sensor_context,
)
from rich.console import Console

from lookup_pipeline.command_line.display import counts_table, live_bar
from lookup_pipeline.command_line.errors import WorkFailedError
from lookup_pipeline.datasets.columns import NAMES, PROFILES
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
        timeout: seconds after which no request begins and the rest is left for another time.

    Raises:
        WorkFailedError: a run failed.
    """
    end = time.monotonic() + timeout
    ledger = LedgerResource().open()
    warnings: list[str] = []
    end_dead_runs(instance)
    with live_bar(console, ledger, lookup_dates):
        for lookup_date in lookup_dates:
            result = _enrich(definitions, instance, lookup_date, end)
            warnings += _warnings(result, NAMES.name)
        settled = _follow(definitions, instance, ledger, lookup_dates, end)
    with ledger.read() as connection:
        counts = count_partitions(connection, lookup_dates)
    console.print(counts_table(counts, "Rows by state"))
    for each in warnings:
        console.print(f"Warning: {each}.", soft_wrap=True)
    # Not wrapped: the lines are there to be copied.
    console.print(where_to_look(), soft_wrap=True)
    if not settled:
        console.print(
            f"{sum(each.pending for each in counts)} rows are still pending after {timeout:g} "
            "seconds. Nothing is lost: run the same command again, or let the daemon's sensor "
            "follow them."
        )
    return ExitCode.SETTLED if settled else ExitCode.STILL_PENDING


def where_to_look() -> str:
    """Where the Parquet is, and one line that reads it."""
    folder = Folders().output.location(PROFILES)
    return (
        f"Profiles: {folder} (failed_lookups, rejected_names and the others lie beside it).\n"
        f"Read them:  duckdb -c \"FROM read_parquet('{folder}/*/*.parquet')\"\n"
        f"        or  python -c \"import pandas; print(pandas.read_parquet('{folder}'))\""
    )


def _follow(
    definitions: Definitions,
    instance: DagsterInstance,
    ledger: Ledger,
    lookup_dates: Sequence[str],
    end: float,
) -> bool:
    """Evaluate the sensor and do what it asks for; whether everything settled in time."""
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
            stale = {news.lookup_date for news in partitions_with_news(connection)}
        if not pending and not stale & set(lookup_dates):
            return True
        if time.monotonic() >= end:
            for lookup_date in sorted(stale & set(lookup_dates)):
                _execute(definitions, instance, "publish_job", lookup_date)
            return not pending
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
        if each.states[State.QUEUED]:
            with ledger.read() as connection:
                ready_at = next_ready_at(connection, each.lookup_date)
                silent_until = limits.blocked_until(connection, OPERATION)
            if ready_at is not None and max(ready_at, silent_until or ready_at) <= utc_now():
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
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=lookup_date,
        run_config={**_QUIET, **(config or {})},
        # Whoever typed the command runs it again; the daemon does not.
        tags={**process_tags(), "dagster/max_retries": "0"},
        raise_on_error=False,
    )
    if not result.success:
        raise WorkFailedError(f"{job} of {lookup_date} failed: {_first_error(result)}")
    return result


def _warnings(result: ExecuteInProcessResult, asset: str) -> list[str]:
    """What an asset's materialization warns of."""
    return [
        str(event.materialization.metadata["warning"].value).strip("*")
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(asset) and "warning" in event.materialization.metadata
    ]


def _first_error(result: ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            if data.error:
                # What the asset raised, without Dagster's frames around it: those are in the UI.
                return _OUR_NAMES.sub("", (data.error.cause or data.error).message.strip())
    return "see the run in the Dagster UI"
