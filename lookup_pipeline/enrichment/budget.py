"""How many lookups may go out now: by the operator's maxima, and by what the plan still allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from lookup_pipeline.enrichment.account import Plan, credit_warning, learn_allowances
from lookup_pipeline.enrichment.outcomes import MAX_TRIES, Clock
from lookup_pipeline.ledger import Ledger, allowances
from lookup_pipeline.ledger.allowances import Known
from lookup_pipeline.ledger.times import EPOCH
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError

MAX_NEW = "max_new_lookups"
"""What stopped a submission: the run's own maximum."""

MAX_A_DAY = "max_new_lookups_per_day"
"""What stopped a submission: the maximum of a day."""

MIN_CREDITS = "min_credits"
"""What stopped a submission: the floor of credits."""

LONGEST_WAIT = timedelta(seconds=90)
"""A run waits this long for a window of the plan to open (the shortest lasts a minute); for a
longer one it ends, the rest queued."""

# While the account does not tell what is left, what is used up is asked about so often.
_ACCOUNT_SILENCE = timedelta(minutes=1)

# How often it is asked in a row, where it asks for patience or is needed, and the shortest pause.
_ACCOUNT_TRIES = 3
_SHORTEST = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class SubmissionPolicy:
    """What an operator may set.

    Attributes:
        plan: what holds for the account.
        deadline: how long a lookup may stay in flight.
        seconds: no request leaves after so long; None for as long as it takes.
        max_new: lookups that this submission may send; None for any number.
        max_a_day: lookups that all may send on one day, UTC; None for any number.
        max_tries: how often a person is sent whom the provider answers with 500.
    """

    plan: Plan
    deadline: timedelta
    seconds: float | None = None
    max_new: int | None = None
    max_a_day: int | None = None
    max_tries: int = MAX_TRIES


@dataclass(frozen=True, slots=True)
class SendDecision:
    """What may go out.

    Attributes:
        lookups: how many may go out now.
        until: when more may, where none may now and it is known.
        look_again_at: when to ask again, which may be sooner.
        capped_by: the operator's maximum that is reached.
        asks_account: whether the account has to be asked first.
    """

    lookups: int = 0
    until: datetime | None = None
    look_again_at: datetime | None = None
    capped_by: str | None = None
    asks_account: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What has been sent already.

    Attributes:
        by_run: lookups by this submission.
        today: requests of this day, UTC, by all.
    """

    by_run: int
    today: int


def decide(
    policy: SubmissionPolicy,
    sent: Sent,
    every: Sequence[Known],
    wanted: int,
    now: datetime,
) -> SendDecision:
    """Decide how many of the lookups that are wanted now may go out.

    Submissions and estimates both ask here, so that one is what the other says.

    Args:
        policy: what an operator may set.
        sent: what has been sent already.
        every: the plan's windows and the credits above the floor, as they stand.
        wanted: lookups that are ready.
        now: the current time.
    """
    if policy.max_new is not None:
        wanted = min(wanted, policy.max_new - sent.by_run)
        if wanted <= 0:
            return SendDecision(capped_by=MAX_NEW)
    if policy.max_a_day is not None:
        wanted = min(wanted, policy.max_a_day - sent.today)
        if wanted <= 0:
            return SendDecision(until=allowances.next_day(now), capped_by=MAX_A_DAY)
    left = allowances.find_left(every)
    if left is None:
        return SendDecision(wanted)
    if left.lookups:
        return SendDecision(min(wanted, left.lookups))
    if left.look_again_at <= now:
        return SendDecision(asks_account=True)
    # Where our own claims have used them up, the account is asked in a moment.
    floor = left.by == allowances.CREDITS and left.opens_at - now > _ACCOUNT_SILENCE
    return SendDecision(
        until=left.opens_at,
        look_again_at=left.look_again_at,
        capped_by=MIN_CREDITS if floor else None,
    )


class Budget:
    """The budget of one submission.

    Attributes:
        credit_warning: that the account's credits are not recognised, where they are not.
    """

    def __init__(self, policy: SubmissionPolicy) -> None:
        self.credit_warning: str | None = None
        self._policy = policy
        self._knows_account = False
        self._asks_at = EPOCH
        self._asked_in_vain = 0
        self._sent: set[int] = set()

    def note_sent(self, lookup_id: int) -> None:
        """This submission sends a lookup."""
        self._sent.add(lookup_id)

    def note_put_back(self, lookup_id: int) -> None:
        """It went back into the queue, and certainly was not processed: it has cost nothing."""
        self._sent.discard(lookup_id)

    def decide(self, connection: Connection, wanted: int, now: datetime) -> SendDecision:
        """How many of the lookups that are wanted now may go out."""
        if not self._knows_account:
            if self._asks_at > now:
                return SendDecision(until=self._asks_at)
            return SendDecision(asks_account=True)
        sent_today = allowances.sent_on(connection, now)
        return decide(
            self._policy,
            Sent(len(self._sent), sent_today),
            allowances.known(connection),
            wanted,
            now,
        )

    def ask_account(
        self, ledger: Ledger, client: RocketReachClient, clock: Clock
    ) -> tuple[str, RocketReachError] | None:
        """Learn what the plan still allows; what is in the way of sending more, if anything is.

        Without an answer, submission goes on by what is known: `Retry-After` is still obeyed.
        """
        self._knows_account = True
        try:
            account = learn_allowances(ledger, client, self._policy.plan, clock)
        except RocketReachError as error:
            if error.error_class is ErrorClass.ACCOUNT:
                return "The account is in trouble", error
            self._asked_in_vain += 1
            needed = self._policy.plan.min_credits > 0
            asks_again = self._asked_in_vain < _ACCOUNT_TRIES and (needed or error.retry_after)
            if asks_again:
                self._knows_account = False
                self._asks_at = clock() + max(error.retry_after or _SHORTEST, _SHORTEST)
            elif needed:
                return "Whether the floor of credits is kept can't be told", error
            with ledger.write() as connection:
                allowances.look_again(connection, clock() + _ACCOUNT_SILENCE)
        else:
            self._asked_in_vain = 0
            self.credit_warning = credit_warning(account, self._policy.plan)
        return None
