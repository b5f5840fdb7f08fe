"""Resuming what a limit, trouble or the death of a run left undone, when it may be resumed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lookup_pipeline.datasets.storage import StorageError
from lookup_pipeline.enrichment import budget
from lookup_pipeline.enrichment.account import Plan, find_credits, learn_allowances
from lookup_pipeline.enrichment.lineage import OutdatedLedgerError
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.ledger import Ledger, LedgerError, allowances, limits
from lookup_pipeline.ledger.resumption import (
    LONGEST_PAUSE,
    STOPPED,
    WaitReason,
    find_wait,
    hold,
    pause_after,
    resolve,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.errors import MissingNamesFolder, UnreadableFile
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError

# Between looks at an account in trouble: its key is mended or its credits bought by a person.
ACCOUNT_CHECK = timedelta(minutes=15)

# An outage that the free account call does not show costs one person in doubt an attempt.
_LONGEST_AFTER_LOSS = timedelta(hours=6)

LIMITS = "the provider's limits"
COOLDOWN = "the provider's cooldown (Retry-After); `lookup-pipeline resume` lifts it"

# These wait for a person.
_WAIT_FOR_SOMEBODY = frozenset({WaitReason.ACCOUNT, WaitReason.CONFIGURATION})


@dataclass(frozen=True, slots=True)
class Cause:
    """What is in the way.

    Attributes:
        reason: of which kind it is.
        detail: what happened, for a person to read; holds no personal data.
        is_loss: whether each attempt may put somebody in doubt.
    """

    reason: WaitReason
    detail: str
    is_loss: bool = False

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after so many failed attempts in a row (from 1)."""
        longest = _LONGEST_AFTER_LOSS if self.is_loss else LONGEST_PAUSE
        return max(pause_after(attempts, longest), self._least)

    def pause_between_checks(self, attempts: int) -> timedelta:
        """How long to wait before the account is asked again, which is free."""
        return max(pause_after(attempts, ACCOUNT_CHECK), self._least)

    @property
    def _least(self) -> timedelta:
        return ACCOUNT_CHECK if self.reason in _WAIT_FOR_SOMEBODY else timedelta(0)


def cause_of(error: BaseException) -> Cause:
    """Tell why a run failed: our own errors in their words, others by their name alone."""
    match error:
        case SubmissionStoppedError():
            is_loss = error.error.error_class is ErrorClass.AMBIGUOUS
            return Cause(_reason_of(error.error), str(error), is_loss)
        case RocketReachError():
            reason = _reason_of(error)
        case LedgerError() | OutdatedLedgerError():
            reason = WaitReason.LEDGER
        case StorageError() | MissingNamesFolder():
            reason = WaitReason.STORAGE
        case UnreadableFile():
            reason = WaitReason.INPUT
        case OSError():
            return Cause(WaitReason.STORAGE, error.strerror or type(error).__name__)
        case _:
            return Cause(WaitReason.ERROR, f"{type(error).__name__}; the UI shows the run")
    return Cause(reason, str(error))


def _reason_of(error: RocketReachError) -> WaitReason:
    is_account = error.error_class is ErrorClass.ACCOUNT
    return WaitReason.ACCOUNT if is_account else WaitReason.OUTAGE


def note_end(
    ledger: Ledger,
    lookup_date: str,
    report: SubmissionReport,
    *,
    resumes: bool,
    clock: Clock = utc_now,
) -> None:
    """After a submission: what it has left waits, until its limit allows it or an operator does.

    Args:
        ledger: where it is noted.
        lookup_date: partition key.
        report: what the submission did.
        resumes: whether what the run leaves undone is taken up again by itself.
        clock: tells the time.
    """
    at = report.look_again_at or report.waits_until
    with ledger.write() as connection:
        now = clock()
        if report.out_of_time:
            detail = "the run's time was up"
            hold(connection, lookup_date, WaitReason.RUN_LIMIT, detail, None, now)
        elif report.capped_by == budget.MAX_NEW or (report.was_limited and not resumes):
            detail = "the run had a maximum of its own"
            hold(connection, lookup_date, WaitReason.RUN_LIMIT, detail, None, now)
        elif at is not None:
            detail = report.capped_by or (COOLDOWN if report.in_cooldown else LIMITS)
            hold(connection, lookup_date, WaitReason.LIMITS, detail, at, now)
        else:
            resolve(connection, lookup_date)


def note_failure(
    ledger: Ledger,
    lookup_date: str,
    cause: Cause,
    *,
    sent: int = 0,
    resumes: bool = True,
    clock: Clock = utc_now,
) -> None:
    """After a failed run: have its partition taken up again, each time after a longer pause.

    Args:
        ledger: where it is noted.
        lookup_date: partition key.
        cause: why it failed.
        sent: lookups that were accepted before: whoever gets on begins with a short pause again.
        resumes: whether what the run leaves undone is taken up again by itself.
        clock: tells the time.
    """
    with ledger.write() as connection:
        now = clock()
        wait = find_wait(connection, lookup_date)
        attempts = 1 if wait is None or sent else wait.attempts + 1
        resumes = resumes and cause.reason not in STOPPED
        until = now + cause.pause(attempts) if resumes else None
        hold(connection, lookup_date, cause.reason, cause.detail, until, now, attempts=attempts)


def find_block(
    ledger: Ledger, client: RocketReachClient, plan: Plan, *, clock: Clock = utc_now
) -> tuple[datetime, str] | None:
    """Until when it is in vain to send lookups, and why; None where they may go out now.

    Asks the account, which is free, but not during a cooldown that the provider asked for.

    Raises:
        RocketReachError: the account is in trouble, or does not answer.
    """
    cooldown = _cooldown(ledger)
    if cooldown is not None and cooldown > clock():
        return cooldown, COOLDOWN
    try:
        account = learn_allowances(ledger, client, plan, clock)
    except RocketReachError as error:
        if not error.retry_after or error.error_class is ErrorClass.ACCOUNT:
            raise
        cooldown = _cooldown(ledger)
        return None if cooldown is None else (cooldown, COOLDOWN)
    if find_credits(account, plan) == 0:
        return clock() + ACCOUNT_CHECK, f"no {plan.lookup_type} credits are left"
    with ledger.read() as connection:
        left = allowances.left(connection)
    return (left.look_again_at, LIMITS) if left is not None and not left.lookups else None


def _cooldown(ledger: Ledger) -> datetime | None:
    with ledger.read() as connection:
        return limits.blocked_until(connection, limits.LOOKUPS)
