"""How many lookups go out on which day, by the decisions that submissions make."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from lookup_pipeline.enrichment.budget import (
    LONGEST_WAIT,
    MAX_A_DAY,
    MAX_NEW,
    MIN_CREDITS,
    Sent,
    SubmissionPolicy,
    decide,
)
from lookup_pipeline.ledger import allowances, limits
from lookup_pipeline.ledger.allowances import Known

NOT_RESUMED = "not_resumed"
"""What holds lookups back: a run that ends at a limit, and that nothing resumes."""

NEVER = "limit_of_0"
"""What holds lookups back: a limit that lets nothing out."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What becomes of some lookups that are to be sent.

    Attributes:
        days: lookups that go out, by day (UTC), the first one first.
        held_back: lookups that stay queued until somebody does something, by what holds them.
        seconds: until the last of those that go out has left.
    """

    days: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0

    @property
    def lookups(self) -> int:
        """Lookups that go out: at most a credit each."""
        return sum(self.days.values())

    def __add__(self, other: "Sending") -> "Sending":
        return Sending(
            dict(sorted((Counter(self.days) + Counter(other.days)).items())),
            Counter(self.held_back) + Counter(other.held_back),
            max(self.seconds, other.seconds),
        )


class Simulation:
    """Lets runs send, one after the other, in a time of its own.

    Every lookup is taken to cost a credit, and each window of the plan to open its length after its
    first lookup. A run ends as it does in `submit`: where it would wait for long, or a maximum is
    reached. What the plan's windows and a day's maximum hold back is resumed by itself.
    """

    def __init__(
        self,
        policy: SubmissionPolicy,
        quotas: Sequence[Known],
        sent_today: int,
        now: datetime,
        *,
        resumes: bool = True,
    ) -> None:
        """Begin with what is known.

        Args:
            policy: what every run keeps to.
            quotas: the plan's windows, and the credits above the floor, as they stand.
            sent_today: requests of this day, UTC.
            now: the time at which the first run begins to send.
            resumes: whether a run that ended at a limit is resumed.
        """
        self._policy = policy
        self._quotas = list(quotas)
        self._sent_today = sent_today
        self._start = self._now = now
        self._day = now.date()
        self._resumes = resumes

    @classmethod
    def from_ledger(
        cls,
        connection: Connection,
        policy: SubmissionPolicy,
        now: datetime,
        *,
        resumes: bool = True,
    ) -> "Simulation":
        """Begin with what the ledger knows, after the cooldown that the provider asked for."""
        known, sent = allowances.known(connection), allowances.sent_on(connection, now)
        simulation = cls(policy, known, sent, now, resumes=resumes)
        cooldown = limits.blocked_until(connection, limits.LOOKUPS)
        simulation._now = max(now, cooldown or now)
        return simulation

    def send(self, lookups: int) -> Sending:
        """Let a partition's run send so many lookups, and what resumes it the rest."""
        days: Counter[str] = Counter()
        rate = self._policy.plan.requests_per_second
        by_run, held_by = 0, None
        while (left := lookups - days.total()) and held_by is None:
            self._begin_windows()
            sent = Sent(by_run, self._sent_today)
            decision = decide(self._policy, sent, self._quotas, left, self._now)
            if decision.lookups:
                number = self._before_midnight(decision.lookups)
                self._quotas = [each.spend(number, self._now) for each in self._quotas]
                self._sent_today += number
                days[self._day.isoformat()] += number
                by_run += number
                self._now += timedelta(seconds=number / rate if rate else 0)
            elif self._lets_nothing_out():
                held_by = NEVER
            elif decision.until is None or decision.capped_by in (MAX_NEW, MIN_CREDITS):
                held_by = decision.capped_by
            else:
                ends_run = decision.until - self._now > LONGEST_WAIT
                if ends_run or decision.capped_by == MAX_A_DAY:
                    by_run = 0
                    held_by = None if self._resumes else NOT_RESUMED
                if held_by is None:
                    self._now = decision.until
        held_back = {held_by: left} if held_by else {}
        took = (self._now - self._start).total_seconds() if days else 0
        return Sending(dict(days), held_back, took)

    def _begin_windows(self) -> None:
        """Begin the day and the windows whose time has come."""
        if self._now.date() > self._day:
            self._day, self._sent_today = self._now.date(), 0
        reopened = [each.reopen(self._now) for each in self._quotas]
        self._quotas = [
            each if each.remaining > 0 else each.spend(0, self._now) for each in reopened
        ]

    def _before_midnight(self, number: int) -> int:
        """How many of so many lookups go out before the day ends."""
        rate = self._policy.plan.requests_per_second
        if not rate:
            return number
        until_midnight = (allowances.next_day(self._now) - self._now).total_seconds()
        return max(min(number, int(until_midnight * rate)), 1)

    def _lets_nothing_out(self) -> bool:
        limits_of_windows = [each.limit for each in self._quotas]
        return 0 in (self._policy.max_new, self._policy.max_a_day, *limits_of_windows)
