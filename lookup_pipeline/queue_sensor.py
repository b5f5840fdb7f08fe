"""The sensor that resumes what a limit, trouble or the death of a run left undone.

Level-triggered like the other one: which partitions wait, and why, stands in the ledger; whether
they may be resumed is asked of the account, which is free.
"""

from datetime import datetime, timedelta

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy import Connection

from lookup_pipeline.assets.attempt import find_cause
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage
from lookup_pipeline.enrichment.resumption import find_block
from lookup_pipeline.jobs import enrichment_job, submission_job
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.clock_steps import heal_moments
from lookup_pipeline.ledger.resumption import (
    Stage,
    Wait,
    WaitReason,
    begin,
    due_to_resume,
    find_wait,
    find_waits,
    hold,
    note_request,
    pause_after,
    postpone,
    stop,
    waits_to_look_at,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.run_tags import (
    IN_BACKFILL_TAG,
    NIGHTLY_PRIORITY,
    NOT_NOTED_TAG,
    PRIORITY_TAG,
    RESUMES_TAG,
    is_in_backfill,
)
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline.tick import bounded
from lookup_pipeline.under_way import (
    SUBMITTING_JOBS,
    may_resume,
    partition_of,
    partitions_under_way,
)

# Seconds between ticks. The shortest window that a run does not wait out itself is an hour.
INTERVAL = 30

# A run that was asked for and never came to be is asked for again after this long.
_RUN_BEGINS_WITHIN = timedelta(minutes=5)


@sensor(
    name="queued_lookups_sensor",
    jobs=[submission_job, enrichment_job],
    minimum_interval_seconds=INTERVAL,
    default_status=DefaultSensorStatus.RUNNING,
    description="Resumes partitions that limits, an outage, a full disk or a killed run left "
    "unfinished, once the account allows it: the oldest first, nightly ones before those of a "
    "backfill, one at a time. It spends the credits that the run which left them would have spent.",
)
def queued_lookups_sensor(
    context: SensorEvaluationContext,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> SensorResult | SkipReason:
    """Request a run for the first partition that waits, if lookups may go out now."""
    return bounded(lambda: _tick(context, ledger, folders, rocketreach))


def _tick(
    context: SensorEvaluationContext,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> SensorResult | SkipReason:
    book, now = ledger.open(), utc_now()
    _note_failed_runs(context.instance, book, now)
    with book.write() as connection:
        heal_moments(connection, now)
        idle = not waits_to_look_at(connection, now)
        later = [(each.until, each) for each in find_waits(connection) if each.until is not None]
    if idle:
        return SkipReason(f"No partition waits to be resumed now.{_told_of(later)}")
    try:
        check_lineage(book, folders.output)
    except (OutdatedLedgerError, StorageError) as error:
        return SkipReason(str(error))
    if partitions_under_way(context.instance, now, SUBMITTING_JOBS):
        # What the window holds is that run's first.
        return SkipReason("A run that submits is under way.")
    waiting = _waiting(context, book, now)
    if not waiting:
        return SkipReason("No partition waits to be resumed any more.")
    until, why = _blocked(book, rocketreach, waiting, now)
    if until is not None:
        return SkipReason(
            f"{len(waiting)} partitions wait{why}; looks again at {until:%Y-%m-%d %H:%M:%S} UTC."
        )
    first = waiting[0]
    # The time makes every request a new one: a key that has failed once is blocked for ever.
    key = f"{first.lookup_date}/{now:%Y%m%dT%H%M%S%f}"
    with book.write() as connection:
        note_request(connection, first.lookup_date, key, now, now + _RUN_BEGINS_WITHIN)
    return SensorResult(run_requests=[_request(first, key)])


def _told_of(later: list[tuple[datetime, Wait]]) -> str:
    """What waits for its time."""
    if not later:
        return ""
    until, first = min(later, key=lambda each: each[0])
    why = f"{first.reason}: {first.detail}"
    return f" {len(later)} wait, {first.lookup_date} until {until:%Y-%m-%d %H:%M:%S} UTC ({why})."


def _note_failed_runs(instance: DagsterInstance, ledger: Ledger, now: datetime) -> None:
    """Note the partitions of runs that failed since they could not write to the ledger."""
    failed = RunsFilter(tags={NOT_NOTED_TAG: "true"}, statuses=[DagsterRunStatus.FAILURE])
    for run in instance.get_runs(failed):
        lookup_date = partition_of(run)
        if lookup_date is not None:
            with ledger.write() as connection:
                if find_wait(connection, lookup_date) is None:
                    begin(
                        connection,
                        lookup_date,
                        Stage.READ,
                        run.run_id,
                        now,
                        in_backfill=is_in_backfill(run.tags),
                        resumes=may_resume(run),
                    )
        instance.add_run_tags(run.run_id, {NOT_NOTED_TAG: "false"})


def _waiting(context: SensorEvaluationContext, ledger: Ledger, now: datetime) -> list[Wait]:
    """The partitions that may be resumed, the first one first."""
    with ledger.read() as connection:
        found = waits_to_look_at(connection, now)
    # Dagster's database is asked outside of the ledger's transactions.
    ended = [(each, _how_its_run_ended(context.instance, each, now)) for each in found]
    with ledger.write() as connection:
        for wait, how in ended:
            if find_wait(connection, wait.lookup_date) != wait:
                # A run has taken it up meanwhile.
                continue
            if how is None:
                if wait.request is not None:
                    # It never came to be.
                    postpone(connection, [wait.lookup_date], now, now)
            elif how is DagsterRunStatus.CANCELED:
                context.log.warning(f"{wait.lookup_date} is not resumed: its run was canceled.")
                stop(connection, [wait.lookup_date], "its run was canceled", now)
            else:
                _hold_interrupted(connection, wait, now)
        due = due_to_resume(connection, now)
    # One that lies before a start date that was moved can't be run.
    return [each for each in due if DAILY.has_partition_key(each.lookup_date)]


def _how_its_run_ended(
    instance: DagsterInstance, wait: Wait, now: datetime
) -> DagsterRunStatus | None:
    """The final status of the run that has a partition; None where it works, or was not begun."""
    if wait.request is not None:
        runs = instance.get_runs(RunsFilter(tags={RESUMES_TAG: wait.request}), limit=1)
        run = runs[0] if runs else None
    elif wait.reason is WaitReason.RUNNING and wait.run_id is not None:
        run = instance.get_run_by_id(wait.run_id)
        if run is None and wait.until is not None and wait.until <= now:
            # Another host's, or of an instance that is gone; it has not renewed its wait.
            return DagsterRunStatus.FAILURE
    else:
        return None
    return run.status if run is not None and run.is_finished else None


def _hold_interrupted(connection: Connection, wait: Wait, now: datetime) -> None:
    """Have a partition whose run ended without a note of its own resumed after a pause."""
    attempts = wait.attempts + 1
    if wait.resumes:
        reason, until = WaitReason.INTERRUPTED, now + pause_after(attempts)
        detail = "its run ended unexpectedly; the UI shows it"
    else:
        reason, until = WaitReason.RUN_LIMIT, None
        detail = "its run had a maximum of its own, and ended unexpectedly"
    hold(connection, wait.lookup_date, reason, detail, until, now, attempts=attempts)


def _blocked(
    ledger: Ledger, rocketreach: RocketReach, waiting: list[Wait], now: datetime
) -> tuple[datetime | None, str]:
    """Until when sending is in vain, if so, and why; the partitions wait until then."""
    try:
        with rocketreach.client() as client:
            block = find_block(ledger, client, rocketreach.plan)
        if block is None:
            return None, ""
        until, why = block
        reason: dict[str, object] = {"reason": WaitReason.LIMITS, "detail": why}
    except (ConfigurationError, RocketReachError) as error:
        cause, why = find_cause(error), str(error)
        attempts = 1 + max(each.attempts for each in waiting)
        until = now + cause.pause_between_checks(attempts)
        reason = {"reason": cause.reason, "detail": cause.detail, "attempts": attempts}
    with ledger.write() as connection:
        postpone(connection, [each.lookup_date for each in waiting], until, now, **reason)
    return until, f": {why}"


def _request(waiting: Wait, key: str) -> RunRequest:
    tags = {RESUMES_TAG: key}
    tags |= {IN_BACKFILL_TAG: "true"} if waiting.in_backfill else {PRIORITY_TAG: NIGHTLY_PRIORITY}
    job = enrichment_job if waiting.stage is Stage.READ else submission_job
    return RunRequest(run_key=key, job_name=job.name, partition_key=waiting.lookup_date, tags=tags)
