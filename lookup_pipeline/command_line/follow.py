"""Following the lookups of some partitions to their end, with the daemon's own sensor."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from dagster import DagsterInstance, SensorResult, build_sensor_context

from lookup_pipeline.command_line.errors import Failures, WorkFailedError
from lookup_pipeline.command_line.execution import Runner
from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError, check_lineage
from lookup_pipeline.enrichment.poll import PollingFailedError
from lookup_pipeline.enrichment.publish import NotReadyError, RowReconciliationError, publish
from lookup_pipeline.enrichment.resumption import ACCOUNT_CHECK, find_block
from lookup_pipeline.ledger import Ledger, LedgerError, LedgerReplacedError
from lookup_pipeline.ledger.counts import count_partitions
from lookup_pipeline.ledger.polling import polled_since
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.resumption import due_to_resume, find_waits, postpone
from lookup_pipeline.ledger.sqlite import BUSY_TIMEOUT
from lookup_pipeline.ledger.submissions import was_sent_since
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.resources import Folders, LedgerResource, RocketReach
from lookup_pipeline.rocketreach import RocketReachError
from lookup_pipeline.sensors import is_due, lookup_status_sensor, poll_due
from lookup_pipeline.settings import ConfigurationError
from lookup_pipeline.tick import TickTimeoutError

# Seconds between evaluations of the sensor; polls themselves keep to each lookup's own time.
_TURN = 1.0

# Seconds that a poll beside a run may take: the run's end waits for it.
_POLL_SECONDS = 5

# Time without one answer, once a poll has failed, before the API counts as down.
_PATIENCE = timedelta(seconds=90)

# Under which the API's own failure stands beside those of the partitions.
_API = "API"


def follow(
    runner: Runner,
    ledger: Ledger,
    lookup_dates: Sequence[str],
    failures: Failures,
    *,
    sending: bool,
) -> bool:
    """Evaluate the sensor and do what it asks for; whether everything settled in time.

    Whatever fails, the others are followed, and what is known at the end is published. A poll that
    has begun when the runner's time is up may take half a minute more.

    Args:
        runner: runs what the sensor asks for.
        ledger: what is asked how things stand.
        lookup_dates: the partitions to follow.
        failures: those of these partitions so far; new ones are added.
        sending: whether what limits hold back is sent as soon as it may; else it is not waited for.

    Raises:
        OutdatedLedgerError: the ledger is older than its datasets: nothing can be published.
    """
    publisher, api = _Publisher(runner, lookup_dates, failures), _Api(ledger, lookup_dates)
    queue = _Queue(ledger, lookup_dates)
    output = Folders().output
    while True:
        # The sensor would wait for it to be reconciled.
        check_lineage(ledger, output)
        requested, trouble = _evaluate(runner.instance)
        publisher.publish(requested)
        with ledger.read() as connection:
            counts = count_partitions(connection, lookup_dates)
            pending = [each for each in counts if each.unsettled]
            news = {each.lookup_date for each in partitions_with_news(connection)}
        stale = publisher.still_to_do(news)
        if not pending and not stale:
            return True
        in_flight = any(each.unsettled > each.queued for each in pending)
        waiting = queue.waiting(runner.seconds_left) if sending else []
        if trouble is not None and in_flight and api.is_gone(trouble):
            failures.setdefault(_API, WorkFailedError(f"{trouble} Nothing is lost: run it again."))
            in_flight, sending, waiting = False, False, []
        if not runner.seconds_left or (pending and not in_flight and not waiting):
            publisher.publish(stale)
            return not pending
        if (lookup_date := queue.next_of(waiting)) is not None:
            try:
                with following_meanwhile(ledger, lookup_dates):
                    runner.submit(lookup_date)
            except WorkFailedError as error:
                failures.setdefault(lookup_date, error)
                sending = False
        time.sleep(min(_TURN, runner.seconds_left))


@contextmanager
def following_meanwhile(ledger: Ledger, lookup_dates: Collection[str]) -> Iterator[None]:
    """Poll and publish in a thread of its own until the block ends, as the daemon's sensor does.

    A run that sends may wait for windows of the plan for hours. The thread keeps away from Dagster,
    whose runs share locks within a process: the run itself tells of the publication at its end, and
    what fails here is left to it.
    """
    done, since = threading.Event(), utc_now()

    def work() -> None:
        while not done.wait(_TURN):
            # Whoever holds the ledger's lock for long, or fills its disk, holds up the run as well.
            with suppress(LedgerError, ConfigurationError, RocketReachError):
                poll_due(ledger, RocketReach(), _POLL_SECONDS)
                _publish_what_is_sent(ledger, lookup_dates, since)

    with ThreadPoolExecutor(1, thread_name_prefix="following") as thread:
        working = thread.submit(work)
        try:
            yield
        finally:
            done.set()
    working.result()


def _publish_what_is_sent(ledger: Ledger, lookup_dates: Collection[str], since: datetime) -> None:
    """Publish those of these partitions whose run has registered their rows, and sends."""
    with ledger.read() as connection:
        due = [
            each.lookup_date
            for each in partitions_with_news(connection)
            if each.lookup_date in lookup_dates
            and is_due(connection, each, utc_now())
            and was_sent_since(connection, each.lookup_date, since)
        ]
    for lookup_date in due:
        # A run that reads the partition's files anew publishes it itself.
        with suppress(NotReadyError, OutdatedLedgerError, RowReconciliationError, StorageError):
            publish(ledger, Folders().output, lookup_date, reports_credits=False)


class _Publisher:
    """Publishes what is asked for, and asks nothing twice of a partition that can't be."""

    def __init__(self, runner: Runner, lookup_dates: Sequence[str], failures: Failures) -> None:
        self._runner = runner
        self._ours = frozenset(lookup_dates)
        self._failures = failures
        self._given_up: set[str] = set()

    def still_to_do(self, news: Collection[str]) -> list[str]:
        """Those of our partitions with news that can still be published."""
        return sorted(self._ours.intersection(news) - self._given_up)

    def publish(self, lookup_dates: Iterable[str]) -> None:
        """Publish these; a failure is noted where the partition is ours.

        Another date may share a lookup with ours: its trouble is in the UI, not ours.
        """
        for lookup_date in lookup_dates:
            if lookup_date in self._given_up:
                continue
            try:
                self._runner.publish(lookup_date)
            except WorkFailedError as error:
                self._given_up.add(lookup_date)
                if lookup_date in self._ours:
                    self._failures.setdefault(lookup_date, error)


class _Api:
    """Tells a moment of trouble from an API that is gone."""

    def __init__(self, ledger: Ledger, lookup_dates: Sequence[str]) -> None:
        self._ledger = ledger
        self._lookup_dates = lookup_dates
        self._failing_since: datetime | None = None

    def is_gone(self, trouble: Exception) -> bool:
        """Whether it is in vain to go on asking after this trouble."""
        if not isinstance(trouble, PollingFailedError) or trouble.lasting:
            return True
        with self._ledger.read() as connection:
            since = self._failing_since
            if since is None or polled_since(connection, since, self._lookup_dates):
                self._failing_since = utc_now()
                return False
        return utc_now() - since > _PATIENCE


class _Queue:
    """Our partitions that limits hold back: what `queued_lookups_sensor` does, for these alone."""

    def __init__(self, ledger: Ledger, lookup_dates: Sequence[str]) -> None:
        self._ledger = ledger
        self._ours = frozenset(lookup_dates)

    def waiting(self, seconds_left: float) -> list[str]:
        """Those that may be resumed before the time is over."""
        end = utc_now() + timedelta(seconds=seconds_left)
        with self._ledger.read() as connection:
            return [
                each.lookup_date
                for each in find_waits(connection, self._ours)
                if each.until is not None and each.until <= end
            ]

    def next_of(self, waiting: Sequence[str]) -> str | None:
        """The one that may go on now, if one may."""
        with self._ledger.write() as connection:
            due = [
                each.lookup_date
                for each in due_to_resume(connection, utc_now())
                if each.lookup_date in waiting
            ]
        if not due:
            return None
        rocketreach = RocketReach()
        try:
            with rocketreach.client() as client:
                block = find_block(self._ledger, client, rocketreach.plan)
            if block is None:
                return due[0]
            until, _ = block
        except RocketReachError:
            until = utc_now() + ACCOUNT_CHECK
        with self._ledger.write() as connection:
            postpone(connection, due, until, utc_now())
        return None


def _evaluate(instance: DagsterInstance) -> tuple[list[str], Exception | None]:
    """One tick of the sensor: the partitions it wants published, and why it failed if it did."""
    context = build_sensor_context(
        instance=instance,
        resources={
            "ledger": LedgerResource(),
            "folders": Folders(),
            "rocketreach": RocketReach(),
        },
    )
    # The sensor's lines would tear the bar apart as well; its errors are told at the end.
    context.log.handlers.clear()
    try:
        result = _patiently(lambda: lookup_status_sensor(context))
    except (PollingFailedError, ConfigurationError, RocketReachError) as error:
        return [], error
    requests = (result.run_requests or ()) if isinstance(result, SensorResult) else ()
    return [str(request.partition_key) for request in requests], None


def _patiently(tick: Callable[[], object]) -> object:
    """Repeat a tick that another writer holds up: ticks give up sooner than a command does."""
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return tick()
        except LedgerReplacedError:
            raise
        except (LedgerError, TickTimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(_TURN)
