"""Submitting: a partition's queued lookups go to the provider, each one once.

One thread owns the ledger; workers own the connections. One turn of its loop is one transaction:
record the answers that have come in, and claim as many lookups as there are free workers and
leave to send. So the intent is on disk before a request leaves, a crash leaves no more than
`WORKERS` lookups in doubt, and under load a commit serves several lookups.

The thread is not the caller's: an interrupt reaches the main thread only, and could otherwise fall
between a claim and its request, which nobody would ever send.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.account import learn_allowances
from lookup_pipeline.enrichment.budget import LONGEST_WAIT, Budget, SubmissionPolicy
from lookup_pipeline.enrichment.failure_tracker import FailureTracker
from lookup_pipeline.enrichment.lineage import CounterKeeper
from lookup_pipeline.enrichment.outcomes import Clock, from_error, from_lookup
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.ledger import (
    Ledger,
    LedgerError,
    LedgerReplacedError,
    allowances,
    limits,
)
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.clock_steps import heal_moments
from lookup_pipeline.ledger.resumption import RENEW_EVERY, is_outage_known
from lookup_pipeline.ledger.resumption import renew as renew_wait
from lookup_pipeline.ledger.submissions import (
    RENEW_AFTER,
    Claim,
    claim,
    expire_leases,
    next_ready_at,
    queued_ids,
    renew,
)
from lookup_pipeline.ledger.times import EPOCH, utc_now
from lookup_pipeline.rocketreach import (
    ErrorClass,
    LookupAnswer,
    RocketReachClient,
    RocketReachError,
)
from lookup_pipeline.rocketreach.errors import LONGEST_COOLDOWN

# Requests at once. Ten a second at a second or more each keep this many busy; more would only
# put more lookups in doubt when the process dies.
WORKERS = 16

# Seconds between looks at the clock while nothing happens.
_TURN = 1.0

# Seconds for which answers in hand are offered to a ledger that is locked or has no room: what is
# not recorded may have been paid for. Long enough to free a disk.
_RECORD_SECONDS = 600

# Seconds between reports of progress.
_REPORT = 0.25

# Seconds that the first answer waits for others to share its transaction: nothing beside a
# request's own time, and under load a commit serves half a dozen lookups instead of one.
_GATHER = 0.004


def submit(
    ledger: Ledger,
    folder: DatasetFolder,
    client: RocketReachClient,
    lookup_date: str,
    owner: str,
    policy: SubmissionPolicy,
    *,
    clock: Clock = utc_now,
    progress: Callable[[SubmissionReport], None] = lambda _report: None,
) -> SubmissionReport:
    """Send every queued lookup of a partition, and record what comes back.

    Args:
        ledger: where lookups are claimed and recorded.
        folder: the datasets, beside which the submission shows how far it is.
        client: the API.
        lookup_date: partition key.
        owner: the run that does it, kept with each lookup it sends.
        policy: what an operator may set.
        clock: tells the time.
        progress: told now and then how far it is.

    Returns:
        What was done; `waits_until`, `capped_by` or `out_of_time` is set where the rest stays
        queued, which is a normal end.

    Raises:
        SubmissionStoppedError: the account or the API is in trouble; the rest is queued.
        OutdatedLedgerError: the ledger is older than its datasets; the rest is queued.
        StorageError: the submission cannot show how far it is; the rest is queued.
    """
    with (
        # Outermost: the last counter is raised when no answer is awaited any more.
        CounterKeeper(ledger, folder, clock) as keeper,
        ThreadPoolExecutor(WORKERS, thread_name_prefix="lookup") as workers,
        ThreadPoolExecutor(1, thread_name_prefix="submission") as thread,
    ):
        _start_all(workers)
        run = _Submission(ledger, client, lookup_date, owner, policy, clock, workers, keeper)
        try:
            work = thread.submit(run.work)
            while not wait([work], timeout=_REPORT).done:
                progress(run.report)
        finally:
            # Interrupted or not: what is in the air is answered or times out, and is recorded.
            run.claim_no_more()
        work.result()
    progress(run.report)
    run.raise_if_stopped()
    return run.report


def _start_all(workers: ThreadPoolExecutor) -> None:
    """Have every worker running before the first claim.

    A machine that gives no more threads then stops the submission before anybody is in doubt.
    """
    barrier = threading.Barrier(WORKERS)
    try:
        wait([workers.submit(barrier.wait) for _ in range(WORKERS)])
    except BaseException:
        barrier.abort()
        raise


_Result = tuple[Claim, LookupAnswer | RocketReachError]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one look at the ledger came to.

    Attributes:
        claims: what to send, at which moment.
        at: when it was claimed.
        pause: when to look again; None where only an answer can bring news: every worker is busy,
            or nothing is left to send.
        asks_account: whether the account has to be asked first.
        probes: whether it is asked since requests have failed.
    """

    claims: Sequence[tuple[Claim, datetime]] = ()
    at: datetime = EPOCH
    pause: timedelta | None = None
    asks_account: bool = False
    probes: bool = False


_NOW = timedelta(0)

# Until the next counter is shown beside the datasets: a few milliseconds on a local disk.
_COUNTER_PAUSE = timedelta(milliseconds=20)


def _begin_tracking(ledger: Ledger, lookup_date: str, now: datetime) -> FailureTracker:
    """Begin as careful as what the ledger knows of earlier attempts asks for."""
    with ledger.read() as connection:
        outage_known = is_outage_known(connection, lookup_date)
        cooldown = limits.blocked_until(connection, limits.LOOKUPS)
    failures = FailureTracker(now, outage_known=outage_known)
    if cooldown is not None and now - cooldown < LONGEST_COOLDOWN:
        failures.is_careful = True
    return failures


class _Submission:
    def __init__(
        self,
        ledger: Ledger,
        client: RocketReachClient,
        lookup_date: str,
        owner: str,
        policy: SubmissionPolicy,
        clock: Clock,
        workers: ThreadPoolExecutor,
        keeper: CounterKeeper,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._lookup_date = lookup_date
        self._owner = owner
        self._policy = policy
        self._clock = clock
        self._workers = workers
        self._keeper = keeper
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        # By lookup: the claim whose answer is awaited, and since when it is held.
        self._in_air: dict[int, tuple[Claim, datetime]] = {}
        self._budget = Budget(policy)
        # Answers whose commit has not succeeded yet: a ledger that is locked loses none.
        self._unrecorded: list[Answer] = []
        self._ids: deque[int] = deque()
        self._failures = _begin_tracking(ledger, lookup_date, clock())
        # By lookup: the number of its request, in the order of sending, and when it left.
        self._requests: dict[int, tuple[int, datetime]] = {}
        self._sent = 0
        # When those left that were not processed and have not been given back to their day.
        self._put_back: list[datetime] = []
        # How much later than its slot a request has left since the last turn, at most.
        self._late = _NOW
        self._ends_at = (
            None if policy.seconds is None else clock() + timedelta(seconds=policy.seconds)
        )
        self._renewed_at = clock()
        self._may_claim = True
        self.report = SubmissionReport()

    def work(self) -> None:
        """Send until nothing is left to send, or something stops it; record every answer."""
        try:
            self._send_all()
        finally:
            self._drain()

    def claim_no_more(self) -> None:
        """Have `work` come to its end: nothing new is sent."""
        self._may_claim = False

    def _send_all(self) -> None:
        with self._ledger.write() as connection:
            heal_moments(connection, self._clock())
            expire_leases(connection, self._clock())
        wait = 0.0
        while True:
            self._collect(wait)
            turn = self._turn()
            for each, slot in turn.claims:
                self._workers.submit(self._send, each, slot)
                self._in_air[each.lookup_id] = (each, turn.at)
                self._sent += 1
                self._requests[each.lookup_id] = (self._sent, slot)
            if turn.asks_account:
                self._failures.stopped_by = self._budget.ask_account(
                    self._ledger, self._client, self._clock
                )
                warning = self._budget.credit_warning
                self.report = replace(self.report, credit_warning=warning)
            if turn.probes:
                self._probe()
            if turn.pause is None and not self._in_air:
                return
            wait = _TURN if turn.pause is None else min(turn.pause.total_seconds(), _TURN)

    def _probe(self) -> None:
        """Ask the account, which is free, whether the API answers again."""
        try:
            learn_allowances(self._ledger, self._client, self._policy.plan, self._clock)
        except RocketReachError as error:
            self._failures.note_probe(error, self._clock())
        else:
            self._failures.note_probe(None, self._clock())

    def _drain(self) -> None:
        while self._in_air:
            self._collect(_TURN)
            with suppress(LedgerError), self._ledger.write() as connection:
                self._renew(connection, self._clock())
        end = time.monotonic() + _RECORD_SECONDS
        while self._unrecorded:
            try:
                with self._ledger.write() as connection:
                    record(connection, self._unrecorded, self._clock())
                    allowances.give_back(connection, self._put_back)
                self._unrecorded.clear()
                self._put_back.clear()
            except LedgerError as error:
                if time.monotonic() > end or isinstance(error, LedgerReplacedError):
                    lost = len(self._unrecorded)
                    raise LedgerError(
                        f"{error} {lost} answers could not be recorded: their lookups become "
                        "unconfirmed."
                    ) from error
                time.sleep(_TURN)

    def raise_if_stopped(self) -> None:
        """Raise what stopped the submission, if anything did."""
        trouble = self._failures.at_the_end(out_of_time=self.report.out_of_time)
        if trouble is not None:
            raise SubmissionStoppedError(*trouble, self.report)

    def _send(self, each: Claim, slot: datetime) -> None:
        result: LookupAnswer | RocketReachError
        limits.sleep_until(slot, self._clock())
        if self._policy.plan.requests_per_second:
            self._late = max(self._late, self._clock() - slot)
        try:
            parameters = msgspec.json.decode(each.parameters)
            result = self._client.lookup(parameters, self._policy.plan.lookup_type)
        except RocketReachError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a lost worker must not lose its lookup
            # A defect of ours after the request may have left: in doubt, like a lost connection.
            result = RocketReachError(ErrorClass.AMBIGUOUS, f"unexpected {type(error).__name__}")
        self._results.put((each, result))

    def _collect(self, wait: float) -> None:
        """Take the answers that are there, waiting so long for the first."""
        finished: list[_Result] = []
        try:
            if self._in_air:
                finished.append(self._results.get(timeout=wait))
                time.sleep(_GATHER)
            else:
                time.sleep(wait)
            while True:
                finished.append(self._results.get_nowait())
        except queue.Empty:
            pass
        for each, _ in finished:
            del self._in_air[each.lookup_id]
        now = self._clock()
        self._unrecorded += [self._answer(each, result, now) for each, result in finished]

    def _turn(self) -> _Turn:
        """One transaction: record what came in, claim what goes out."""
        with self._keeper.shown_when_committed(), self._ledger.write() as connection:
            # Not before: the ledger may have been locked for a while.
            now = self._clock()
            record(connection, self._unrecorded, now)
            allowances.give_back(connection, self._put_back)
            if (until := self._failures.take_cooldown()) is not None:
                limits.block(connection, limits.LOOKUPS, until)
            if self._late > limits.TOLERATED_DELAY:
                limits.delay(connection, self._late)
                self._late = _NOW
            self._renew(connection, now)
            turn = self._claim(connection, now)
        self._unrecorded.clear()
        self._put_back.clear()
        return turn

    def _renew(self, connection: Connection, now: datetime) -> None:
        old = [each for each, since in self._in_air.values() if now - since > RENEW_AFTER]
        renew(connection, old, now)
        if abs(now - self._renewed_at) >= RENEW_EVERY:
            heal_moments(connection, now)
            renew_wait(connection, self._lookup_date, self._owner, now)
            self._renewed_at = now
        self._in_air |= {each.lookup_id: (each, now) for each in old}

    def _claim(self, connection: Connection, now: datetime) -> _Turn:
        if self._has_ended():
            return _Turn()
        if not self._ids:
            self._ids.extend(queued_ids(connection, self._lookup_date, now))
        ready_at = now if self._ids else next_ready_at(connection, self._lookup_date)
        if ready_at is None:
            return _Turn()
        if self._ends_at is not None and max(now, ready_at) >= self._ends_at:
            self.report = replace(self.report, out_of_time=True)
            return _Turn()
        cooldown = limits.blocked_until(connection, limits.LOOKUPS)
        ready_at = max(ready_at, cooldown or ready_at)
        if ready_at > now:
            return self._pause(ready_at, now, in_cooldown=ready_at == cooldown)
        free = min(WORKERS - len(self._in_air), len(self._ids))
        if self._failures.is_careful:
            return self._claim_carefully(connection, now)
        return self._claim_some(connection, free, now) if free else _Turn()

    def _claim_carefully(self, connection: Connection, now: datetime) -> _Turn:
        """Send nobody new while an outage may have begun; one alone once the account answers."""
        if self._in_air:
            return _Turn()
        if self._failures.is_probed:
            return self._claim_some(connection, 1, now)
        if self._failures.probe_at > now:
            return self._pause(self._failures.probe_at, now)
        return _Turn(pause=_NOW, probes=True)

    def _has_ended(self) -> bool:
        stopped = self._failures.stopped_by is not None
        return stopped or self.report.was_limited or not self._may_claim

    def _claim_some(self, connection: Connection, free: int, now: datetime) -> _Turn:
        decision = self._budget.decide(connection, free, now)
        if decision.asks_account:
            return _Turn(pause=_NOW, asks_account=True)
        if decision.capped_by is not None:
            # What is in the air may yet be put back, and leave room.
            if not self._in_air:
                self.report = replace(
                    self.report, capped_by=decision.capped_by, waits_until=decision.until
                )
            return _Turn()
        if decision.until is not None:
            return self._pause(decision.until, now, decision.look_again_at)
        if not (covered := self._keeper.room(connection)):
            return _Turn(pause=_COUNTER_PAUSE)
        rate = self._policy.plan.requests_per_second
        permits = limits.take(connection, limits.LOOKUPS, min(decision.lookups, covered), rate, now)
        if not permits.slots:
            return self._pause(now + permits.wait, now)
        claims: list[Claim] = []
        while self._ids and (open_slots := len(permits.slots) - len(claims)):
            # Where another process was faster there are fewer claims: the next ones take the slots.
            wanted = [self._ids.popleft() for _ in range(min(open_slots, len(self._ids)))]
            claims += claim(connection, wanted, self._owner, now)
        allowances.spend(connection, permits.slots[: len(claims)], now)
        self._keeper.note_claims(len(claims))
        for each in claims:
            self._budget.note_sent(each.lookup_id)
        all_busy = len(self._in_air) + len(claims) >= WORKERS
        to_send = list(zip(claims, permits.slots, strict=False))
        return _Turn(to_send, now, None if all_busy else _NOW)

    def _pause(
        self,
        until: datetime,
        now: datetime,
        or_earlier: datetime | None = None,
        *,
        in_cooldown: bool = False,
    ) -> _Turn:
        """Wait for what may go out then; gives the run up where that is too long."""
        if in_cooldown:
            # Whether it is over then, one request shows.
            self._failures.is_careful = True
        if until - now > LONGEST_WAIT:
            self.report = replace(
                self.report,
                waits_until=until,
                look_again_at=or_earlier or until,
                in_cooldown=in_cooldown,
            )
            return _Turn()
        pause = min(until, or_earlier or until) - now
        return _Turn(pause=max(pause, timedelta(milliseconds=1)))

    def _answer(
        self, each: Claim, result: LookupAnswer | RocketReachError, now: datetime
    ) -> Answer:
        number, left_at = self._requests.pop(each.lookup_id)
        if isinstance(result, LookupAnswer):
            self._failures.note_answer(number)
            answer = from_lookup(each, result, now, self._policy.deadline)
        else:
            self._failures.note_error(result, now, number)
            answer = from_error(
                each,
                result,
                now,
                tries=max(self._failures.failures, 1),
                others_succeed=self._failures.answered > 0,
                max_tries=self._policy.max_tries,
            )
        if answer.not_processed:
            self._budget.note_put_back(answer.lookup_id)
            self._put_back.append(left_at)
        self.report = self.report.with_answer(answer)
        return answer
