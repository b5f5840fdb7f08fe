"""Counting lookups by state: what `status` shows and what metadata carries."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, case, func, or_, select

from lookup_pipeline.ledger.shown import keeps_profile
from lookup_pipeline.ledger.states import PENDING, FailureKind, State
from lookup_pipeline.ledger.tables import lookups, memberships


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """How one partition stands, in rows.

    Attributes:
        lookup_date: partition key.
        states: rows by the state of the lookup that they show; every state is there.
        credits: credits spent on lookups that this partition asked for first.
        refreshes: those of the complete rows whose lookup is a refresh without a profile, by its
            state; every state is there.
    """

    lookup_date: str
    states: dict[State, int]
    credits: int
    refreshes: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.states.values())

    @property
    def pending(self) -> int:
        """Rows that have neither a profile nor a failure yet."""
        return sum(self.states[state] for state in PENDING)

    @property
    def pending_refreshes(self) -> int:
        """Rows with a profile whose refresh is queued or under way."""
        return sum(self.refreshes[state] for state in PENDING)

    @property
    def unsettled(self) -> int:
        """Rows whose lookup, a refresh or not, is queued or under way."""
        return self.pending + self.pending_refreshes

    @property
    def queued(self) -> int:
        """Rows whose lookup, a refresh or not, waits to be sent."""
        return self.states[State.QUEUED] + self.refreshes[State.QUEUED]

    @property
    def unconfirmed(self) -> int:
        """Rows whose lookup, a refresh or not, may have been processed, and charged."""
        return self.states[State.UNCONFIRMED] + self.refreshes[State.UNCONFIRMED]

    @property
    def match_rate(self) -> float | None:
        """The share of settled rows that have a profile; None when none is settled."""
        settled = self.rows - self.pending
        return self.states[State.COMPLETE] / settled if settled else None


def count_partitions(
    connection: Connection, lookup_dates: Collection[str] | None = None
) -> list[PartitionCounts]:
    """How partitions stand, the oldest first.

    Args:
        connection: a read transaction.
        lookup_dates: the partitions wanted, rows or not; None for all that have rows.
    """
    rows = (
        select(
            memberships.c.lookup_date,
            lookups.c.state,
            keeps_profile.label("is_refresh"),
            func.count(),
        )
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .group_by(memberships.c.lookup_date, lookups.c.state, "is_refresh")
    )
    if lookup_dates is not None:
        rows = rows.where(memberships.c.lookup_date.in_(lookup_dates))
    spent = _credits_by_partition(connection, lookup_dates)
    counted = list(connection.execute(rows))
    dates = {*spent, *(lookup_dates or ()), *(row[0] for row in counted)}
    found = {
        date: PartitionCounts(date, dict.fromkeys(State, 0), spent.get(date, 0))
        for date in sorted(dates)
    }
    for date, state, is_refresh, number in counted:
        if is_refresh:
            found[date].refreshes[State(state)] += number
        found[date].states[State.COMPLETE if is_refresh else State(state)] += number
    return list(found.values())


def credits_of_partition(connection: Connection, lookup_date: str) -> int:
    """The credits spent so far on lookups that this partition asked for first.

    By the partition that asked, not by its rows: a row that has left the file was paid for.
    """
    return _credits_by_partition(connection, [lookup_date]).get(lookup_date, 0)


def _credits_by_partition(
    connection: Connection, lookup_dates: Collection[str] | None
) -> dict[str, int]:
    spent = (
        select(lookups.c.first_date, func.sum(lookups.c.credits))
        .where(lookups.c.credits > 0, lookups.c.first_date.is_not(None))
        .group_by(lookups.c.first_date)
    )
    if lookup_dates is not None:
        spent = spent.where(lookups.c.first_date.in_(lookup_dates))
    return {str(date): int(total) for date, total in connection.execute(spent)}


def credits_of_run(connection: Connection, lookup_date: str, owner: str) -> int:
    """The credits that a partition's lookups have cost so far, of those that a run submitted."""
    spent: int = connection.execute(
        select(func.coalesce(func.sum(lookups.c.credits), 0)).where(
            lookups.c.claimed_by == owner,
            lookups.c.lookup_id.in_(
                select(memberships.c.lookup_id).where(memberships.c.lookup_date == lookup_date)
            ),
        )
    ).scalar_one()
    return spent


@dataclass(frozen=True, slots=True)
class ChargesInDoubt:
    """Credits that may have been charged beyond those that are known: one for each try.

    A try that certainly was not processed does not count, nor does one that the provider has
    answered for good. Tries before an operator had a lookup sent again were told of then.

    Attributes:
        in_flight: sent, and not answered for good yet.
        unconfirmed: sent, and perhaps processed.
        other_tries: given up on (timed out, answered 500 each time), or answered 500 before the
            try that counts.
    """

    in_flight: int = 0
    unconfirmed: int = 0
    other_tries: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_flight + self.unconfirmed + self.other_tries

    def __add__(self, other: "ChargesInDoubt") -> "ChargesInDoubt":
        return ChargesInDoubt(
            self.in_flight + other.in_flight,
            self.unconfirmed + other.unconfirmed,
            self.other_tries + other.other_tries,
        )


# Failures that are the provider's own word, and free of charge.
_ANSWERED = (FailureKind.NOT_FOUND, FailureKind.FAILED, FailureKind.INVALID_QUERY)


def charges_in_doubt(
    connection: Connection, lookup_dates: Collection[str] | None = None
) -> dict[str, ChargesInDoubt]:
    """Return what may have been charged beyond the known credits, by the partition that asked.

    Args:
        connection: a read transaction.
        lookup_dates: the partitions wanted; None for all.
    """
    is_answered = or_(
        lookups.c.state == State.COMPLETE.value,
        and_(
            lookups.c.state == State.FAILED.value,
            lookups.c.failure_kind.in_([kind.value for kind in _ANSWERED]),
        ),
    )
    in_doubt = lookups.c.attempts - case((is_answered, 1), else_=0)
    found = (
        select(lookups.c.first_date, lookups.c.state, func.sum(in_doubt))
        .where(in_doubt > 0, lookups.c.first_date.is_not(None))
        .group_by(lookups.c.first_date, lookups.c.state)
    )
    if lookup_dates is not None:
        found = found.where(lookups.c.first_date.in_(lookup_dates))
    charges: dict[str, ChargesInDoubt] = {}
    for date, state, tries in connection.execute(found):
        match State(state):
            case State.SUBMITTING | State.IN_FLIGHT:
                more = ChargesInDoubt(in_flight=int(tries))
            case State.UNCONFIRMED:
                more = ChargesInDoubt(unconfirmed=int(tries))
            case _:
                more = ChargesInDoubt(other_tries=int(tries))
        charges[date] = charges.get(date, ChargesInDoubt()) + more
    return charges
