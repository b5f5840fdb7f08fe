"""`lookups`: registers the partition's rows and submits what is new."""

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from dagster import (
    AssetExecutionContext,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)
from pydantic import Field

from lookup_pipeline.assets.operator import asked_at, requeue_wanted
from lookup_pipeline.assets.specs import (
    Stopwatch,
    asset_spec,
    file_metadata,
    state_metadata,
    warning,
)
from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, REJECTED_NAMES
from lookup_pipeline.enrichment.continuation import note_end, note_trouble
from lookup_pipeline.enrichment.forecast import seconds_needed
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.enrichment.submit import (
    SubmissionReport,
    SubmissionStoppedError,
    submit,
)
from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.continuation import continue_from
from lookup_pipeline.ledger.counts import count_partitions, credits_of_run
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.submissions import count_queued, next_ready_at
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.run_tags import is_in_backfill
from lookup_pipeline.settings import (
    LONGEST_RUN,
    MAX_NEW_PER_DAY,
    MAX_NEW_PER_RUN,
    MIN_CREDITS,
    REFRESH_AFTER_DAYS,
    RETRY_FAILED_AFTER_DAYS,
    ConfigurationError,
    check_numbers,
    days,
    maximum,
)
from lookup_pipeline.simulation import refuse_leftover

POOL = "rocketreach"
"""Bounds how many runs submit at once; dagster.yaml gives the limit and its reason."""

# Seconds between lines of progress in the run's log.
_PROGRESS_EVERY = 5


class SubmissionConfig(Config):
    """What one run may be told, in the launchpad or by the command line."""

    max_seconds: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_RUN,
        description="No request leaves later than so many seconds after the run began; the rest "
        "stays queued.",
    )
    max_new_lookups: int | None = Field(
        default=None,
        ge=0,
        description=f"The run sends no more lookups than this; by default {MAX_NEW_PER_RUN}, which "
        "has no maximum by default. The rest stays queued until somebody runs the partition again.",
    )
    force_refresh: bool = Field(
        default=False,
        description="Everybody in this partition is looked up again, once, unless their lookup is "
        "under way or unconfirmed: each may cost a credit. `lookup-pipeline plan --force-refresh` "
        "says how many.",
    )
    resubmit: list[str] = Field(
        default=[],
        description="Lookups of this partition that ended so are sent again, once: each may cost a "
        "credit, and one that is unconfirmed or timed_out may have cost one already. Any of: "
        f"{', '.join(FailureKind)}.",
    )


@multi_asset(
    specs=[asset_spec(LOOKUPS, kinds={"rocketreach", "parquet"}, deps=[NAMES])],
    name="lookups",
    description=LOOKUPS.description,
    pool=POOL,
)
def lookups(
    context: AssetExecutionContext,
    config: SubmissionConfig,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> MaterializeResult[None]:
    """Register the partition's rows, submit what nobody has asked for before, tell what it cost."""
    mark_run(context)
    check_numbers()
    watch, lookup_date, output, book = (
        Stopwatch(),
        context.partition_key,
        folders.output,
        ledger.open(),
    )
    refresh = Refresh(
        utc_now(),
        complete_after=days(REFRESH_AFTER_DAYS),
        failed_after=days(RETRY_FAILED_AFTER_DAYS),
        all_before=asked_at(context) if config.force_refresh else None,
    )
    registered = register(book, output, lookup_date, refresh)
    context.log.info(
        f"{registered.rows} rows registered; {registered.new_lookups} lookups are new, "
        f"{registered.refreshed} of them to refresh what is old."
    )
    resubmitted = requeue_wanted(context, book, config.resubmit)
    forecast = _forecast(book, rocketreach, lookup_date, config)
    context.log.info(
        f"{forecast['lookups_to_send']} lookups to send: {forecast['credits_at_most']} credits at "
        "most."
    )
    report = _submit(context, book, rocketreach, config)
    with book.read() as connection:
        (counts,) = count_partitions(connection, [lookup_date])
        credits_spent = credits_of_run(connection, lookup_date, context.run.run_id)
    told: dict[str, Any] = {
        "rows_rejected": output.rows(REJECTED_NAMES, lookup_date),
        "rows_reused": registered.rows - registered.new_lookups,
        "new_lookups": registered.new_lookups,
        **forecast,
        "refreshed": registered.refreshed,
        "resubmitted": resubmitted,
        "submitted": report.accepted + report.unconfirmed,
        "put_back_into_queue": report.put_back,
    }
    if (why := _why_queued(report, config)) is not None:
        message = f"{counts.states[State.QUEUED]} rows stay queued: {why}"
        context.log.warning(message)
        told |= warning(message)
    if report.waits_until is not None:
        told["queued_until"] = MetadataValue.timestamp(report.waits_until)
    return MaterializeResult(
        metadata={
            **file_metadata(output, LOOKUPS, lookup_date, registered.rows, watch),
            **state_metadata(counts, credits_spent),
            **told,
        }
    )


def _forecast(
    ledger: Ledger, rocketreach: RocketReach, lookup_date: str, config: SubmissionConfig
) -> dict[str, Any]:
    """What is about to be sent, as `lookup-pipeline plan` tells it."""
    most = maximum(MAX_NEW_PER_RUN, config.max_new_lookups)
    with ledger.read() as connection:
        to_send = count_queued(connection, lookup_date)
        credits_at_most = to_send if most is None else min(to_send, most)
        seconds = seconds_needed(
            connection, credits_at_most, rocketreach.rate, maximum(MAX_NEW_PER_DAY), utc_now()
        )
    return {
        "lookups_to_send": to_send,
        "credits_at_most": credits_at_most,
        "expected_seconds": "never: a limit is 0" if seconds is None else round(seconds, 1),
    }


def _why_queued(report: SubmissionReport, config: SubmissionConfig) -> str | None:
    """Why a submission has left some unsent, and what makes it go on; None where it has not."""
    goes_on = "queued_lookups_sensor goes on by itself"
    match report:
        case SubmissionReport(capped_by="max_new_lookups"):
            most = maximum(MAX_NEW_PER_RUN, config.max_new_lookups)
            return f"the run may send {most} lookups (max_new_lookups). Materialize lookups again"
        case SubmissionReport(capped_by="max_new_lookups_per_day"):
            return f"today's lookups ({MAX_NEW_PER_DAY}) are used up; {goes_on} after midnight UTC"
        case SubmissionReport(capped_by="min_credits"):
            return f"no credits are left above {MIN_CREDITS}; {goes_on} when there are more"
        case SubmissionReport(waits_until=datetime() as until):
            return (
                "the provider's limits let the next request out at "
                f"{until:%Y-%m-%d %H:%M:%S} UTC; {goes_on} then"
            )
        case SubmissionReport(out_of_time=True):
            return (
                f"the run's {config.max_seconds:g} seconds (max_seconds) were up. Materialize "
                "lookups again"
            )
    return None


def _submit(
    context: AssetExecutionContext,
    ledger: Ledger,
    rocketreach: RocketReach,
    config: SubmissionConfig,
) -> SubmissionReport:
    lookup_date = context.partition_key
    in_backfill = is_in_backfill(context.run.tags)
    with ledger.write() as connection:
        # Whoever ends this run before its time wants no more sent.
        continue_from(connection, lookup_date, None)
        if next_ready_at(connection, lookup_date) is None:
            # Nothing to send: a settled partition needs neither key nor network.
            return SubmissionReport()
    try:
        refuse_leftover(context.instance, context.run)
        with rocketreach.client() as client:
            report = submit(
                ledger,
                client,
                lookup_date,
                context.run.run_id,
                replace(
                    rocketreach.policy,
                    seconds=_seconds_left(context, config.max_seconds),
                    max_new=maximum(MAX_NEW_PER_RUN, config.max_new_lookups),
                ),
                progress=_Progress(context),
            )
    except (SubmissionStoppedError, RocketReachError, ConfigurationError) as error:
        note_trouble(ledger, lookup_date, error, in_backfill=in_backfill)
        with ledger.read() as connection:
            (counts,) = count_partitions(connection, [lookup_date])
        queued = counts.states[State.QUEUED]
        raise Failure(
            f"{error} ({queued} rows stay queued; a later run of this partition goes on.)",
            metadata={"rows_queued": queued},
            allow_retries=False,
        ) from error
    note_end(ledger, lookup_date, report, in_backfill=in_backfill)
    return report


def _seconds_left(context: AssetExecutionContext, max_seconds: float | None) -> float | None:
    """What is left of the run's time: reading and registering have taken theirs."""
    if max_seconds is None:
        return None
    record = context.instance.get_run_record_by_id(context.run.run_id)
    begun = record.start_time if record else None
    return max(max_seconds - (time.time() - begun), 0) if begun else max_seconds


class _Progress:
    """Writes how far a submission is to the run's log, every few seconds."""

    def __init__(self, context: AssetExecutionContext) -> None:
        self._context = context
        self._next = time.monotonic() + _PROGRESS_EVERY

    def __call__(self, report: SubmissionReport) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_EVERY
            self._context.log.info(f"{report.accepted} lookups accepted so far.")
