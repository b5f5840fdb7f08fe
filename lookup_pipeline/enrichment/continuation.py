"""Going on with what the provider's limits held back, when the limits allow it again."""

from datetime import datetime, timedelta

from lookup_pipeline.enrichment.account import Plan, find_credits, learn_allowances
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.report import SubmissionReport, SubmissionStoppedError
from lookup_pipeline.ledger import Ledger, allowances, limits
from lookup_pipeline.ledger.continuation import continue_from
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError

# Between looks at an account in trouble: its key is mended or its credits bought by a person.
ACCOUNT_CHECK = timedelta(minutes=15)

# What the account call shows to be over: a key that is not accepted, credits that are used up.
_MENDED_ELSEWHERE = (401, 402)


def note_end(
    ledger: Ledger, lookup_date: str, report: SubmissionReport, *, in_backfill: bool
) -> None:
    """After a submission: have what limits held back go on by itself, and nothing else."""
    with ledger.write() as connection:
        at = report.look_again_at or report.waits_until
        continue_from(connection, lookup_date, at, in_backfill=in_backfill)


def note_trouble(
    ledger: Ledger, lookup_date: str, error: Exception, *, in_backfill: bool, clock: Clock = utc_now
) -> None:
    """After a submission that failed: go on once the account call shows that the trouble is over.

    Not where answers were lost: each try puts more people in doubt. Other trouble is the
    operator's: whether it is over can't be seen from here.
    """
    cause = error.error if isinstance(error, SubmissionStoppedError) else error
    if not isinstance(cause, RocketReachError):
        return
    if cause.status in _MENDED_ELSEWHERE or cause.error_class is ErrorClass.NOT_PROCESSED:
        with ledger.write() as connection:
            at = clock() + ACCOUNT_CHECK
            continue_from(connection, lookup_date, at, in_backfill=in_backfill)


def blocked_until(
    ledger: Ledger, client: RocketReachClient, plan: Plan, *, clock: Clock = utc_now
) -> datetime | None:
    """Until when it is in vain to send lookups; None where they may go out now.

    Asks the account, which is free, but not while the provider wants silence.

    Raises:
        RocketReachError: the account is in trouble, or does not answer.
    """
    silent_until = _silent_until(ledger)
    if silent_until is not None and silent_until > clock():
        return silent_until
    try:
        account = learn_allowances(ledger, client, plan, clock)
    except RocketReachError as error:
        if not error.retry_after or error.error_class is ErrorClass.ACCOUNT:
            raise
        return _silent_until(ledger)
    if find_credits(account, plan) == 0:
        return clock() + ACCOUNT_CHECK
    with ledger.read() as connection:
        left = allowances.left(connection)
    return left.look_again_at if left is not None and not left.lookups else None


def _silent_until(ledger: Ledger) -> datetime | None:
    with ledger.read() as connection:
        return limits.blocked_until(connection, limits.LOOKUPS)
