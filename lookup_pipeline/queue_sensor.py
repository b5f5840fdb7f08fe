"""The sensor that goes on with what the provider's limits held back.

Level-triggered like the other one: which partitions wait stands in the ledger, whether they may go
on is asked of the account, which is free.
"""

from datetime import datetime, timedelta

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.continuation import ACCOUNT_CHECK, blocked_until
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage
from lookup_pipeline.jobs import submission_job
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.continuation import (
    Waiting,
    continue_from,
    due_to_continue,
    forget_what_is_sent,
    note_request,
    postpone,
    waiting_to_continue,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.run_tags import GOES_ON_TAG, IN_BACKFILL_TAG, NIGHTLY_PRIORITY, PRIORITY_TAG
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline.under_way import SUBMITTING_JOBS, partitions_under_way

# Seconds between ticks. The shortest window that a run does not wait out itself is an hour.
INTERVAL = 30

# A run that was asked for and never came to be is asked for again after this long.
_RUN_BEGINS_WITHIN = timedelta(minutes=5)

# The run's time of creation is the database's.
_CLOCKS_DIFFER_BY = timedelta(seconds=30)


@sensor(
    name="queued_lookups_sensor",
    job=submission_job,
    minimum_interval_seconds=INTERVAL,
    default_status=DefaultSensorStatus.RUNNING,
    description="Goes on with lookups that the provider's limits held back, once the limits allow "
    "it: the oldest partition first, nightly ones before those of a backfill, one at a time. It "
    "spends the credits that the run which left them queued would have spent.",
)
def queued_lookups_sensor(
    context: SensorEvaluationContext,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> SensorResult | SkipReason:
    """Request `submission_job` for the first partition that waits, if lookups may go out now."""
    book, now = ledger.open(), utc_now()
    with book.read() as connection:
        idle = not waiting_to_continue(connection, now)
    if idle:
        return SkipReason("No partition waits for the provider's limits.")
    try:
        check_lineage(book, folders.output)
    except (OutdatedLedgerError, StorageError) as error:
        return SkipReason(str(error))
    if partitions_under_way(context.instance, now, SUBMITTING_JOBS):
        # What the window holds is that run's first.
        return SkipReason("A run that submits is under way.")
    waiting = _waiting(context, book, now)
    if not waiting:
        return SkipReason("No partition waits for the provider's limits any more.")
    until, reason = _blocked(book, rocketreach, now)
    if until is not None:
        _postpone(book, waiting, until)
        return SkipReason(
            f"{len(waiting)} partitions wait{reason}; looks again at {until:%Y-%m-%d %H:%M:%S} UTC."
        )
    first = waiting[0]
    with book.write() as connection:
        note_request(connection, first.lookup_date, now, now + _RUN_BEGINS_WITHIN)
    return SensorResult(run_requests=[_request(first, now)])


def _waiting(context: SensorEvaluationContext, ledger: Ledger, now: datetime) -> list[Waiting]:
    """The partitions that may go on, the first one first."""
    with ledger.write() as connection:
        forget_what_is_sent(connection, now)
        due = due_to_continue(connection, now)
        taken = [each for each in due if _was_taken_up(context.instance, each)]
        for each in taken:
            # Its run ended before it came to submitting: cancelled, or failed with its own message.
            context.log.warning(f"{each.lookup_date} goes on no more by itself: its run has ended.")
            continue_from(connection, each.lookup_date, None)
    # One that lies before a start date that was moved can't be run.
    return [each for each in due if each not in taken and DAILY.has_partition_key(each.lookup_date)]


def _was_taken_up(instance: DagsterInstance, waiting: Waiting) -> bool:
    """Whether the run that was asked for came to be."""
    if waiting.requested_at is None:
        return False
    found = RunsFilter(
        tags={GOES_ON_TAG: waiting.lookup_date},
        created_after=waiting.requested_at - _CLOCKS_DIFFER_BY,
    )
    return instance.get_runs_count(found) > 0


def _blocked(
    ledger: Ledger, rocketreach: RocketReach, now: datetime
) -> tuple[datetime | None, str]:
    """Until when to send nothing, if so, and why."""
    try:
        with rocketreach.client() as client:
            return blocked_until(ledger, client, rocketreach.plan), ""
    except (ConfigurationError, RocketReachError) as error:
        return now + ACCOUNT_CHECK, f": {error}"


def _postpone(ledger: Ledger, waiting: list[Waiting], until: datetime) -> None:
    with ledger.write() as connection:
        postpone(connection, [each.lookup_date for each in waiting], until)


def _request(waiting: Waiting, now: datetime) -> RunRequest:
    tags = {GOES_ON_TAG: waiting.lookup_date}
    tags |= {IN_BACKFILL_TAG: "true"} if waiting.in_backfill else {PRIORITY_TAG: NIGHTLY_PRIORITY}
    return RunRequest(
        # The time makes every request a new one: a key that has failed once is blocked for ever.
        run_key=f"{waiting.lookup_date}/{now:%Y%m%dT%H%M%S%f}",
        partition_key=waiting.lookup_date,
        tags=tags,
    )
