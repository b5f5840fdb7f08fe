"""The sensor that follows lookups to their end and has finished partitions published.

Level-triggered: every tick derives what to do from the ledger alone, so a missed tick, a failed
run, or deleted output heals by itself. There is no cursor to lose.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy import Connection

from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage
from lookup_pipeline.enrichment.poll import PollReport, expire, poll
from lookup_pipeline.enrichment.published_files import check_files
from lookup_pipeline.jobs import publish_job
from lookup_pipeline.ledger import Ledger, limits
from lookup_pipeline.ledger.polling import next_due_at
from lookup_pipeline.ledger.publications import (
    PartitionWithNews,
    is_settled,
    note_requested,
    partitions_with_news,
    wait_before_next_request,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.partitions import DAILY
from lookup_pipeline.processes import end_dead_runs
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.settings import PUBLISH_INTERVAL, ConfigurationError, number
from lookup_pipeline.tick import bounded
from lookup_pipeline.under_way import EVERY_JOB, partitions_stopped_since, partitions_under_way

# Seconds between ticks: a lookup takes seconds to minutes, and an idle tick costs milliseconds.
INTERVAL = 15

# No call begins after this long: the last one may take 15 seconds, and 10 are left of the tick
# (`tick.TICK_SECONDS`) to record its answer and to ask for runs.
POLL_SECONDS = 20

# Run requests a tick: each takes the daemon a moment, and the rest come at the next tick.
MAX_REQUESTS = 25


@sensor(
    name="lookup_status_sensor",
    job=publish_job,
    minimum_interval_seconds=INTERVAL,
    default_status=DefaultSensorStatus.RUNNING,
    description="Asks the provider about lookups in flight (free of charge) and has partitions "
    "with news published.",
)
def lookup_status_sensor(
    context: SensorEvaluationContext,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> SensorResult | SkipReason:
    """Poll what is due, then request `publish_job` for partitions whose files are out of date."""
    return bounded(lambda: _tick(context, ledger, folders, rocketreach))


def _tick(
    context: SensorEvaluationContext,
    ledger: LedgerResource,
    folders: Folders,
    rocketreach: RocketReach,
) -> SensorResult | SkipReason:
    entered = time.monotonic()
    if dead := end_dead_runs(context.instance):
        context.log.warning(f"Runs whose process is gone, now marked as failed: {dead}")
    book = ledger.open()
    trouble: Exception | None = None
    try:
        report = poll_due(book, rocketreach, POLL_SECONDS - (time.monotonic() - entered))
    except (ConfigurationError, RocketReachError) as error:
        # What is known can be published without the API.
        report, trouble = expire(book), error
    told = (
        f"{report.asked} lookups asked about in {report.calls} calls, {report.settled} settled"
        f"{f', {report.unconfirmed} given up as unconfirmed' if report.unconfirmed else ''}."
    )
    if report.calls or report.settled or report.unconfirmed:
        context.log.info(told)
    try:
        check_lineage(book, folders.output)
    except (OutdatedLedgerError, StorageError) as error:
        # Answers are recorded all the same; no file is replaced by an older state.
        return SkipReason(f"{told} {error}")
    for message in (messages := check_files(book, folders.output)):
        context.log.warning(message)
    requests = list(_publications(book, context.instance))
    if requests:
        if trouble is not None:
            context.log.error(str(trouble))
        elif report.error is not None:
            context.log.error(f"{report.failed_calls} calls failed: {report.error}")
        return SensorResult(run_requests=requests)
    # Only where there is nothing to publish, since a failed tick loses its run requests.
    if trouble is not None:
        raise trouble
    report.raise_if_all_failed()
    messages += _cooldowns(book)
    return SkipReason(" ".join([told, *messages, "No partition has news to publish."]))


def _cooldowns(ledger: Ledger) -> list[str]:
    """What the provider asked not to be called for, told in the tick."""
    with ledger.read() as connection:
        found = limits.cooldowns(connection, utc_now())
    return [
        f"The provider asked for no {name} requests until {at:%Y-%m-%d %H:%M:%S} UTC; "
        "`lookup-pipeline resume` lifts it."
        for name, at in found.items()
    ]


def poll_due(ledger: Ledger, rocketreach: RocketReach, seconds: float) -> PollReport:
    """Ask the provider about what is due; what is too late is given up in any case.

    Raises:
        ConfigurationError: the key or the address is missing, and something is due.
        RocketReachError: the key can't be one.
    """
    with ledger.read() as connection:
        due_at = next_due_at(connection, unconfirmed=rocketreach.adopts)
    if due_at is None or due_at > utc_now():
        # Nothing to ask: an idle pipeline needs neither key nor network.
        return expire(ledger)
    with rocketreach.client() as client:
        return poll(
            ledger,
            client,
            requests_per_second=rocketreach.rate,
            deadline=rocketreach.deadline,
            seconds=seconds,
            adopts=rocketreach.adopts,
        )


def _publications(ledger: Ledger, instance: DagsterInstance) -> Iterator[RunRequest]:
    now = utc_now()
    with ledger.read() as connection:
        news = partitions_with_news(connection)
        due = [each for each in news if is_due(connection, each, now)]
    dates = {each.lookup_date for each in due}
    due += _of_stopped_runs(instance, [each for each in news if each.lookup_date not in dates])
    # One that lies before a start date that was moved can't be run. Only those that are due are
    # looked at, since Dagster takes half a millisecond for each.
    due = [each for each in due if DAILY.has_partition_key(each.lookup_date)]
    if not due:
        return
    # A run publishes its partition itself, or is a publication; while it sends, for hours where
    # the plan's windows are short, its rows stay as they are and what is complete can be shown.
    under_way = partitions_under_way(instance, now, EVERY_JOB, sending=False)
    chosen = [each for each in due if each.lookup_date not in under_way][:MAX_REQUESTS]
    if not chosen:
        return
    with ledger.write() as connection:
        note_requested(connection, [each.lookup_date for each in chosen], now)
    for each in chosen:
        # The time makes every request a new one: a key that has failed once is blocked for ever.
        # That it is not asked for too often is the ledger's part.
        yield RunRequest(
            run_key=f"{each.lookup_date}/{each.news_version}/{now:%Y%m%dT%H%M%S%f}",
            partition_key=each.lookup_date,
        )


def is_due(connection: Connection, news: PartitionWithNews, now: datetime) -> bool:
    """Whether it is time to publish a partition: not too often while it is in the making."""
    if news.requested_at is not None:
        return _is_over(news.requested_at, wait_before_next_request(news.attempts), now)
    if news.published_at is None:
        return True
    interval = timedelta(seconds=number(PUBLISH_INTERVAL))
    # What only the ones published of late are asked, since it may go through all their rows.
    return _is_over(news.published_at, interval, now) or is_settled(connection, news.lookup_date)


def _is_over(since: datetime, pause: timedelta, now: datetime) -> bool:
    """Whether a pause is over; what lies ahead was noted on a clock that was ahead."""
    return not timedelta(0) <= now - since < pause


def _of_stopped_runs(
    instance: DagsterInstance, waiting: Sequence[PartitionWithNews]
) -> list[PartitionWithNews]:
    """Return those whose run was cancelled or failed since they were published, or asked for.

    It would have published them at its end: they wait for no interval.
    """
    known = {
        each.lookup_date: max(filter(None, (each.published_at, each.requested_at)))
        for each in waiting
    }
    if not known:
        return []
    stopped = partitions_stopped_since(instance, min(known.values()))
    return [
        each
        for each in waiting
        if (at := stopped.get(each.lookup_date)) is not None and at > known[each.lookup_date]
    ]
