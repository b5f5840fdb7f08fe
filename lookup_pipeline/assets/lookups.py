"""`lookups`: registers the partition's rows and submits what is new."""

from collections.abc import Collection, Iterator
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetObservation,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableRecord,
    multi_asset,
)

from lookup_pipeline.assets.attempt import attempt, note_stage
from lookup_pipeline.assets.operator import asked_at, requeue_wanted, wanted_kinds
from lookup_pipeline.assets.specs import (
    Stopwatch,
    asset_spec,
    file_metadata,
    state_metadata,
    warning,
)
from lookup_pipeline.assets.submission import (
    SubmissionConfig,
    run_policy,
    submit_partition,
    why_queued,
)
from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, REJECTED_NAMES
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.duration_estimate import NEVER, Sending, Simulation
from lookup_pipeline.enrichment.forecast import forecast_names
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.register import register
from lookup_pipeline.ledger import FailureKind, Ledger
from lookup_pipeline.ledger.counts import count_partitions, credits_of_run
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.resubmission import count_resubmittable
from lookup_pipeline.ledger.resumption import Stage
from lookup_pipeline.ledger.submissions import count_queued
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.private_errors import with_private_errors
from lookup_pipeline.processes import mark_run
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.settings import (
    REFRESH_AFTER_DAYS,
    RETRY_FAILED_AFTER_DAYS,
    ConfigurationError,
    check_settings,
    days,
)
from lookup_pipeline.under_way import may_resume

POOL = "rocketreach"
"""Bounds how many runs submit at once; dagster.yaml gives the limit and its reason."""


@multi_asset(
    specs=[asset_spec(LOOKUPS, kinds={"rocketreach", "parquet"}, deps=[NAMES])],
    name="lookups",
    description=LOOKUPS.description,
    pool=POOL,
)
@with_private_errors
def lookups(
    context: AssetExecutionContext,
    config: SubmissionConfig,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> Iterator[AssetObservation | MaterializeResult[None]]:
    """Register the partition's rows, submit what nobody has asked for before, tell what it cost."""
    mark_run(context)
    watch, lookup_date, output = Stopwatch(), context.partition_key, folders.output
    resumes = may_resume(context.run)
    with attempt(context, ledger, Stage.REGISTER, resumes=resumes) as book:
        check_settings()
        refresh, kinds = _refresh(context, config), wanted_kinds(config.resubmit)
        if kinds or not refresh.is_off:
            # Yielded, so that it is recorded at once; what a step logs as an event waits for its
            # end.
            yield _costs_before(context, book, rocketreach, output, refresh, kinds, config)
        try:
            registered = register(book, output, lookup_date, refresh)
        except OutdatedLedgerError as error:
            raise Failure(str(error), allow_retries=False) from error
        context.log.info(
            f"{registered.rows} rows registered; {registered.new_lookups} lookups are new, "
            f"{registered.refreshed} of these take the place of old ones."
        )
        resubmitted = requeue_wanted(context, book, kinds)
        note_stage(context, book, Stage.SUBMIT, resumes=resumes)
        forecast = _forecast(context, book, rocketreach, config)
        context.log.info(
            f"{forecast['lookups_to_send']} lookups to send: {forecast['credits_at_most']} "
            "credits at most."
        )
        report = submit_partition(context, book, output, rocketreach, config)
    with book.read() as connection:
        (counts,) = count_partitions(connection, [lookup_date])
        credits_spent = credits_of_run(connection, lookup_date, context.run.run_id)
    told: dict[str, Any] = {
        "rows_rejected": output.rows(REJECTED_NAMES, lookup_date),
        "rows_reused": registered.rows - registered.new_lookups,
        "new_lookups": registered.new_lookups - registered.refreshed,
        **forecast,
        "refreshed": registered.refreshed,
        "resubmitted": resubmitted,
        "submitted": report.accepted + report.unconfirmed,
        "put_back_into_queue": report.put_back,
    }
    warnings = [] if report.credit_warning is None else [report.credit_warning]
    if (why := why_queued(context, report, config)) is not None:
        warnings.append(f"{counts.queued} rows stay queued: {why}")
    for each in warnings:
        context.log.warning(each)
    if warnings:
        told |= warning("; ".join(warnings))
    if report.waits_until is not None:
        told["queued_until"] = MetadataValue.timestamp(report.waits_until)
    yield MaterializeResult(
        metadata={
            **file_metadata(output, LOOKUPS, lookup_date, registered.rows, watch),
            **state_metadata(counts, credits_spent),
            **told,
        }
    )


def _refresh(context: AssetExecutionContext, config: SubmissionConfig) -> Refresh:
    """Who is looked up again."""
    return Refresh(
        utc_now(),
        complete_after=days(REFRESH_AFTER_DAYS),
        failed_after=days(RETRY_FAILED_AFTER_DAYS),
        all_before=asked_at(context) if config.force_refresh else None,
    )


def _costs_before(
    context: AssetExecutionContext,
    ledger: Ledger,
    rocketreach: RocketReach,
    output: DatasetFolder,
    refresh: Refresh,
    kinds: Collection[FailureKind],
    config: SubmissionConfig,
) -> AssetObservation:
    """Say what sending people again may cost, before any of their lookups is touched.

    In the run's log, and in the asset's own record, whatever becomes of the run.
    """
    lookup_date = context.partition_key
    expected = forecast_names(ledger, output, lookup_date, refresh)
    with ledger.read() as connection:
        again = count_resubmittable(connection, kinds, [lookup_date])
    resubmitted = sum(again.get(lookup_date, {}).values())
    to_send = expected.to_send + resubmitted
    credits_at_most = _send(context, ledger, rocketreach, config, to_send).lookups
    message = (
        f"About to be sent: {expected.new} new lookups, {expected.refreshed} refreshes, "
        f"{resubmitted} resubmissions, {expected.queued} that wait in the queue. That costs "
        f"{credits_at_most} credits at most."
    )
    context.log.info(message)
    return AssetObservation(
        LOOKUPS.name,
        partition=lookup_date,
        description=message,
        metadata={
            "new_lookups": expected.new,
            "refreshed": expected.refreshed,
            "resubmitted": resubmitted,
            "queued_lookups": expected.queued,
            "credits_at_most": credits_at_most,
        },
    )


def _forecast(
    context: AssetExecutionContext,
    ledger: Ledger,
    rocketreach: RocketReach,
    config: SubmissionConfig,
) -> dict[str, Any]:
    """What is about to be sent, as `lookup-pipeline plan` tells it."""
    with ledger.read() as connection:
        to_send = count_queued(connection, context.partition_key)
    sending = _send(context, ledger, rocketreach, config, to_send)
    found: dict[str, Any] = {
        "lookups_to_send": to_send,
        "credits_at_most": sending.lookups,
        "expected_seconds": "never: a limit is 0"
        if NEVER in sending.held_back
        else round(sending.seconds, 1),
    }
    if len(sending.days) > 1:
        found["lookups_by_day"] = MetadataValue.table(
            [TableRecord({"day": day, "lookups": sent}) for day, sent in sending.days.items()]
        )
    return found


def _send(
    context: AssetExecutionContext,
    ledger: Ledger,
    rocketreach: RocketReach,
    config: SubmissionConfig,
    lookups: int,
) -> Sending:
    """Simulate that this run sends so many lookups, and what resumes it the rest.

    Raises:
        Failure: a setting is invalid; a partition that has nothing to send needs none.
    """
    if not lookups:
        return Sending()
    try:
        policy, resumes = run_policy(rocketreach, config), may_resume(context.run)
    except ConfigurationError as error:
        raise Failure(f"{error} ({lookups} lookups stay queued.)", allow_retries=False) from error
    with ledger.read() as connection:
        simulation = Simulation.from_ledger(connection, policy, utc_now(), resumes=resumes)
    return simulation.send(lookups)
