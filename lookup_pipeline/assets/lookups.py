"""`lookups`: registers the partition's rows and submits what is new."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetExecutionContext,
    Config,
    Failure,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)
from dagster._core.storage.tags import BACKFILL_ID_TAG
from pydantic import Field

from lookup_pipeline.assets.specs import (
    Stopwatch,
    asset_spec,
    file_metadata,
    state_metadata,
    warning,
)
from lookup_pipeline.datasets.columns import LOOKUPS, NAMES
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.enrichment.submit import (
    SubmissionReport,
    SubmissionStoppedError,
    submit,
)
from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.counts import count_partitions, credits_of_run
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.settings import LONGEST_RUN, ConfigurationError, check_numbers
from lookup_pipeline.simulation import refuse_leftover

POOL = "rocketreach"
"""Bounds how many runs submit at once; dagster.yaml gives the limit and its reason."""

ASKED_AT_TAG = "lookup_pipeline/asked_at"
"""Says, on runs that a command makes of one word of its user, when that was given (ISO 8601)."""

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
    registered = register(book, output, lookup_date)
    context.log.info(
        f"{registered.rows} rows registered; {registered.new_lookups} lookups are new."
    )
    resubmitted = _requeue(context, book, config.resubmit)
    report = _submit(context, book, rocketreach, config.max_seconds)
    with book.read() as connection:
        (counts,) = count_partitions(connection, [lookup_date])
        credits_spent = credits_of_run(connection, lookup_date, context.run.run_id)
    told: dict[str, Any] = {
        "new_lookups": registered.new_lookups,
        "resubmitted": resubmitted,
        "submitted": report.accepted + report.unconfirmed,
        "put_back_into_queue": report.put_back,
    }
    if report.waits_until is not None:
        message = (
            f"{counts.states[State.QUEUED]} rows stay queued: the provider's limits let the next "
            f"request out at {report.waits_until:%Y-%m-%d %H:%M:%S} UTC. Materialize lookups again "
            "after that"
        )
        context.log.warning(message)
        told |= {
            "queued_until": MetadataValue.timestamp(report.waits_until),
            **warning(message),
        }
    elif report.out_of_time:
        message = (
            f"{counts.states[State.QUEUED]} rows stay queued: the run's {config.max_seconds:g} "
            "seconds (max_seconds) were up. Materialize lookups again"
        )
        context.log.warning(message)
        told |= warning(message)
    return MaterializeResult(
        metadata={
            **file_metadata(output, LOOKUPS, lookup_date, registered.rows, watch),
            **state_metadata(counts, credits_spent),
            **told,
        }
    )


def _requeue(context: AssetExecutionContext, ledger: Ledger, wanted: list[str]) -> int:
    """Put what the operator wants sent again into the queue: what had ended when it was asked for.

    One word is good for one request a lookup, whatever runs come of it.
    """
    if not wanted:
        return 0
    try:
        kinds = [FailureKind(kind) for kind in wanted]
    except ValueError as error:
        raise Failure(
            f"`resubmit` in the run's config: {error}; it takes any of {', '.join(FailureKind)}.",
            allow_retries=False,
        ) from error
    with ledger.write() as connection:
        requeued = requeue(connection, context.partition_key, kinds, _asked_at(context))
    context.log.info(f"{requeued} lookups are sent again: {', '.join(kinds)}.")
    return requeued


def _asked_at(context: AssetExecutionContext) -> datetime:
    """When somebody asked for this run, or for the whole of which it is a part."""
    tags, instance = context.run.tags, context.instance
    if ASKED_AT_TAG in tags:
        return datetime.fromisoformat(tags[ASKED_AT_TAG])
    backfill = instance.get_backfill(tags[BACKFILL_ID_TAG]) if BACKFILL_ID_TAG in tags else None
    if backfill is not None:
        return datetime.fromtimestamp(backfill.backfill_timestamp, UTC)
    # One that the daemon repeats, since its process died, was asked for when the first one was.
    first = instance.get_run_record_by_id(context.run.root_run_id or context.run.run_id)
    return first.create_timestamp if first else utc_now()


def _submit(
    context: AssetExecutionContext,
    ledger: Ledger,
    rocketreach: RocketReach,
    max_seconds: float | None,
) -> SubmissionReport:
    lookup_date = context.partition_key
    with ledger.read() as connection:
        if next_ready_at(connection, lookup_date) is None:
            # Nothing to send: a settled partition needs neither key nor network.
            return SubmissionReport()
    try:
        refuse_leftover(context.instance, context.run)
        with rocketreach.client() as client:
            return submit(
                ledger,
                client,
                lookup_date,
                context.run.run_id,
                replace(rocketreach.policy, seconds=_seconds_left(context, max_seconds)),
                progress=_Progress(context),
            )
    except (SubmissionStoppedError, RocketReachError, ConfigurationError) as error:
        with ledger.read() as connection:
            (counts,) = count_partitions(connection, [lookup_date])
        queued = counts.states[State.QUEUED]
        raise Failure(
            f"{error} ({queued} rows stay queued; a later run of this partition goes on.)",
            metadata={"rows_queued": queued},
            allow_retries=False,
        ) from error


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
