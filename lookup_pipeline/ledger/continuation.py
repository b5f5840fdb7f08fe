"""Partitions whose queued lookups go on by themselves: what limits held back, not what was stopped.

Whoever interrupts a run or gives it a maximum wants no more sent; such a partition is not here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, literal, select, update

from lookup_pipeline.ledger import allowances, limits
from lookup_pipeline.ledger.submissions import next_ready_at
from lookup_pipeline.ledger.tables import partitions


@dataclass(frozen=True, slots=True)
class Waiting:
    """A partition that may go on.

    Attributes:
        lookup_date: partition key.
        in_backfill: whether a backfill wants it.
    """

    lookup_date: str
    in_backfill: bool


def continue_from(
    connection: Connection, lookup_date: str, at: datetime | None, *, in_backfill: bool = False
) -> None:
    """Have a partition's queued lookups go on by themselves from then on; None for never."""
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date == lookup_date)
        .values(continues_at=at, in_backfill=in_backfill)
    )


def postpone(connection: Connection, lookup_dates: Collection[str], at: datetime) -> None:
    """Look at these partitions again at that time: they can't go on now."""
    connection.execute(
        update(partitions).where(partitions.c.lookup_date.in_(lookup_dates)).values(continues_at=at)
    )


def waiting_to_continue(connection: Connection) -> list[str]:
    """Partitions that go on by themselves, now or later."""
    return list(
        connection.scalars(
            select(partitions.c.lookup_date).where(partitions.c.continues_at.is_not(None))
        )
    )


def due_to_continue(connection: Connection, now: datetime) -> list[Waiting]:
    """Partitions whose time has come: nightly ones before those of a backfill, the oldest first.

    Only those that have lookups which may be sent.
    """
    found = connection.execute(
        select(partitions.c.lookup_date, partitions.c.in_backfill)
        .where(partitions.c.continues_at <= now)
        .order_by(func.coalesce(partitions.c.in_backfill, literal(value=False)))
        .order_by(partitions.c.lookup_date)
    )
    waiting = [Waiting(row.lookup_date, bool(row.in_backfill)) for row in found]
    ready = {each.lookup_date: next_ready_at(connection, each.lookup_date) for each in waiting}
    return [each for each in waiting if (at := ready[each.lookup_date]) is not None and at <= now]


def queued_until(connection: Connection, lookup_date: str) -> datetime | None:
    """When a partition's queued lookups are expected to go out; None when none is queued."""
    ready_at = next_ready_at(connection, lookup_date)
    if ready_at is None:
        return None
    continues_at: datetime | None = connection.scalar(
        select(partitions.c.continues_at).where(partitions.c.lookup_date == lookup_date)
    )
    left = allowances.left(connection)
    window = left.opens_at if left is not None and not left.lookups else None
    silence = limits.blocked_until(connection, limits.LOOKUPS)
    return max(filter(None, (ready_at, continues_at, window, silence)))
