"""Polling: the provider is asked about lookups that are due, a hundred at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lookup_pipeline.enrichment.outcomes import Clock, from_status, in_flight
from lookup_pipeline.ledger import SETTLED, Ledger, State, limits
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.clock_steps import heal_moments
from lookup_pipeline.ledger.polling import (
    EARLIER,
    LATER,
    DueLookup,
    claim_due,
    expire_deadlines,
    next_call_at,
    next_due_at,
)
from lookup_pipeline.ledger.publications import expire_publications
from lookup_pipeline.ledger.submissions import expire_leases
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError
from lookup_pipeline.rocketreach.client import MAX_IDS
from lookup_pipeline.rocketreach.models import NOT_QUEUED, StatusAnswer

OPERATION = "checkStatus"
"""The limiter's name for polls."""

# After so many failures in a row the rest of the tick would fail as well.
PATIENCE = 3


class PollingFailedError(Exception):
    """Every call of a tick failed.

    Attributes:
        lasting: whether it stays so until somebody mends the account or the configuration.
    """

    def __init__(self, report: "PollReport", error: RocketReachError) -> None:
        super().__init__(
            f"Every call to the API failed ({report.failed_calls} of {report.calls}): {error}"
        )
        self.lasting = error.error_class is ErrorClass.ACCOUNT


@dataclass(frozen=True, slots=True)
class PollReport:
    """What polling did.

    Attributes:
        calls: status calls made.
        failed_calls: those of them that brought no answer.
        asked: lookups asked about.
        settled: lookups that ended, by answer or by deadline.
        unconfirmed: submissions given up because their process fell silent.
        error: the last failure.
    """

    calls: int = 0
    failed_calls: int = 0
    asked: int = 0
    settled: int = 0
    unconfirmed: int = 0
    error: RocketReachError | None = None

    @property
    def all_failed(self) -> bool:
        """Whether there was something to ask, and every call failed."""
        return self.calls > 0 and self.calls == self.failed_calls

    def raise_if_all_failed(self) -> None:
        """Have silence not look like success.

        Raises:
            PollingFailedError: there was something to ask, and every call failed.
        """
        if self.all_failed and self.error is not None:
            raise PollingFailedError(self, self.error) from self.error


def expire(ledger: Ledger, *, clock: Clock = utc_now) -> PollReport:
    """Give up on lookups past their deadline, and on what died under way. No request.

    First, what was set on a clock that was ahead is made due.
    """
    with ledger.write() as connection:
        now = clock()
        heal_moments(connection, now)
        expire_publications(connection, now)
        return PollReport(
            settled=expire_deadlines(connection, now), unconfirmed=expire_leases(connection, now)
        )


def poll(
    ledger: Ledger,
    client: RocketReachClient,
    *,
    requests_per_second: float,
    deadline: timedelta,
    seconds: float,
    adopts: bool = True,
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> PollReport:
    """Ask about what is due, and record the answers, until nothing is due or time is up.

    The cost grows with what is due, never with what is stored. A call that fails leaves its
    lookups due again a little later. Calls wait for each other's lookups, two seconds in all.

    Args:
        ledger: where lookups are claimed and recorded.
        client: the API.
        requests_per_second: ceiling over all operations and processes; 0 lifts it.
        deadline: how long a lookup may stay in flight.
        seconds: no call begins after so long.
        adopts: whether to ask about unconfirmed lookups whose profile id is known, and to take
            what the provider has accepted for ours.
        clock: tells the time.
        sleep: waits so many seconds.
    """
    end, patience = time.monotonic() + seconds, LATER.total_seconds()
    report, failures = PollReport(), 0
    while (left := end - time.monotonic()) > 0 and failures < PATIENCE:
        if patience > 0 and (wait := _seconds_to_fill(ledger, clock, adopts=adopts)) > 0:
            wait = min(wait, patience, left)
            patience -= wait
            sleep(wait)
            continue
        permits, due = _claim(ledger, requests_per_second, clock, adopts=adopts)
        if permits.slots and due:
            limits.sleep_until(permits.slots[0], clock())
            if (late := clock() - permits.slots[0]) > limits.TOLERATED_DELAY:
                with ledger.write() as connection:
                    limits.delay(connection, late)
            try:
                statuses = client.check_status(sorted({lookup.profile_id for lookup in due}))
            except RocketReachError as error:
                failures += 1
                report = _failed(report, error)
                if error.retry_after is not None:
                    with ledger.write() as connection:
                        limits.block(connection, OPERATION, clock() + error.retry_after)
                if error.error_class is ErrorClass.ACCOUNT:
                    break
            else:
                failures = 0
                report = _answered(report, _record(ledger, due, statuses, clock(), deadline))
        elif permits.slots or permits.blocked or permits.wait.total_seconds() > left:
            break
        else:
            sleep(permits.wait.total_seconds())
    # After the answers: who was asked for the last time and has none now, gets none.
    expired = expire(ledger, clock=clock)
    return replace(
        report, settled=report.settled + expired.settled, unconfirmed=expired.unconfirmed
    )


def _seconds_to_fill(ledger: Ledger, clock: Clock, *, adopts: bool) -> float:
    """Seconds until the next call is as full as it gets in time; 0 where none is to be made."""
    with ledger.read() as connection:
        now = clock()
        call_at = next_call_at(connection, MAX_IDS, now, unconfirmed=adopts)
    return 0 if call_at is None else (call_at - now).total_seconds()


def _claim(
    ledger: Ledger, requests_per_second: float, clock: Clock, *, adopts: bool
) -> tuple[limits.Permits, list[DueLookup]]:
    with ledger.write() as connection:
        # Not before: the ledger may have been locked for a while.
        now = clock()
        due_at = next_due_at(connection, unconfirmed=adopts)
        if due_at is None or due_at > now:
            # Nothing to ask takes no leave away from whoever has something to send.
            return limits.Permits((now,)), []
        permits = limits.take(connection, OPERATION, 1, requests_per_second, now)
        if not permits.slots:
            return permits, []
        return permits, claim_due(connection, MAX_IDS, now, earlier=EARLIER, unconfirmed=adopts)


def _record(
    ledger: Ledger,
    due: Sequence[DueLookup],
    statuses: Sequence[StatusAnswer],
    now: datetime,
    deadline: timedelta,
) -> list[Answer]:
    by_id = {status.profile_id: status for status in statuses}
    answers = []
    for lookup in due:
        status = by_id.get(lookup.profile_id)
        if lookup.state is State.UNCONFIRMED and not _was_accepted(status):
            continue
        answer = (
            in_flight(lookup.lookup_id, None, lookup.submitted_at, now, deadline)
            if status is None
            else from_status(lookup.lookup_id, status, lookup.submitted_at, now, deadline)
        )
        answers.append(replace(answer, claim=lookup.claim, polled=True))
    with ledger.write() as connection:
        record(connection, answers, now)
    return answers


def _was_accepted(status: StatusAnswer | None) -> bool:
    """Whether a status shows that the provider works, or has worked, on a lookup.

    The provider's texts name `not queued` for one that it does not work on; they do not promise
    that every other status means an accepted lookup.
    """
    return status is not None and status.status not in ("", NOT_QUEUED)


def _failed(report: PollReport, error: RocketReachError) -> PollReport:
    return replace(
        report, calls=report.calls + 1, failed_calls=report.failed_calls + 1, error=error
    )


def _answered(report: PollReport, answers: Sequence[Answer]) -> PollReport:
    return replace(
        report,
        calls=report.calls + 1,
        asked=report.asked + len(answers),
        settled=report.settled + sum(answer.state in SETTLED for answer in answers),
    )
