"""Counting lookups by state: what `status` shows and what metadata carries."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from lookup_pipeline.ledger.states import PENDING, State
from lookup_pipeline.ledger.tables import lookups, memberships


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """How one partition stands, in rows.

    Attributes:
        lookup_date: partition key.
        states: rows by the state of their lookup; every state is there.
        credits: credits spent on lookups that this partition asked for first.
    """

    lookup_date: str
    states: dict[State, int]
    credits: int

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.states.values())

    @property
    def pending(self) -> int:
        """Rows whose lookup is queued or under way."""
        return sum(self.states[state] for state in PENDING)

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
    spent = func.sum(case((memberships.c.reused.is_(False), lookups.c.credits), else_=0))
    query = (
        select(memberships.c.lookup_date, lookups.c.state, func.count(), spent)
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .group_by(memberships.c.lookup_date, lookups.c.state)
    )
    if lookup_dates is not None:
        query = query.where(memberships.c.lookup_date.in_(lookup_dates))
    found = {date: PartitionCounts(date, _no_states(), 0) for date in lookup_dates or ()}
    for date, state, rows, credits_spent in connection.execute(query):
        so_far = found.get(date) or PartitionCounts(date, _no_states(), 0)
        so_far.states[State(state)] = rows
        found[date] = PartitionCounts(date, so_far.states, so_far.credits + credits_spent)
    return [found[date] for date in sorted(found)]


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


def _no_states() -> dict[State, int]:
    return dict.fromkeys(State, 0)
