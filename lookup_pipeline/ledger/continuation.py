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
from lookup_pipeline.ledger.times import EPOCH


@dataclass(frozen=True, slots=True)
class Waiting:
    """A partition that may go on.

    Attributes:
        lookup_date: partition key.
        in_backfill: whether a backfill wants it.
        requested_at: when a run was asked for that has not taken it up.
    """

    lookup_date: str
    in_backfill: bool
    requested_at: datetime | None = None


def continue_from(
    connection: Connection, lookup_date: str, at: datetime | None, *, in_backfill: bool = False
) -> None:
    """Have a partition's queued lookups go on by themselves from then on; None for never."""
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date == lookup_date)
        .values(continues_at=at, in_backfill=in_backfill, continuation_requested_at=None)
    )


def postpone(connection: Connection, lookup_dates: Collection[str], at: datetime) -> None:
    """Look at these partitions again at that time: they can't go on now."""
    connection.execute(
        update(partitions)
        # A run may have taken one up meanwhile, or somebody may have stopped it.
        .where(partitions.c.lookup_date.in_(lookup_dates), partitions.c.continues_at.is_not(None))
        .values(continues_at=at)
    )


def note_request(connection: Connection, lookup_date: str, now: datetime, until: datetime) -> None:
    """A run that goes on is asked for now; look again at `until` whether it has begun."""
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date == lookup_date)
        .values(continues_at=until, continuation_requested_at=now)
    )


def forget_what_is_sent(connection: Connection, now: datetime) -> None:
    """Partitions of which nothing is queued any more have nothing to go on with."""
    due = connection.scalars(
        select(partitions.c.lookup_date).where(partitions.c.continues_at <= now)
    )
    for lookup_date in list(due):
        if next_ready_at(connection, lookup_date) is None:
            continue_from(connection, lookup_date, None)


def waiting_to_continue(connection: Connection, before: datetime | None = None) -> list[str]:
    """Partitions that go on by themselves, now or later; with `before`, not later than then."""
    waiting = select(partitions.c.lookup_date).where(partitions.c.continues_at.is_not(None))
    if before is not None:
        waiting = waiting.where(partitions.c.continues_at <= before)
    return list(connection.scalars(waiting))


def due_to_continue(connection: Connection, now: datetime) -> list[Waiting]:
    """Partitions whose time has come: nightly ones before those of a backfill, the oldest first.

    Only those that have lookups which may be sent.
    """
    found = connection.execute(
        select(
            partitions.c.lookup_date,
            partitions.c.in_backfill,
            partitions.c.continuation_requested_at,
        )
        .where(partitions.c.continues_at <= now)
        .order_by(func.coalesce(partitions.c.in_backfill, literal(value=False)))
        .order_by(partitions.c.lookup_date)
    )
    waiting = [
        Waiting(row.lookup_date, bool(row.in_backfill), row.continuation_requested_at)
        for row in found
    ]
    ready = {each.lookup_date: next_ready_at(connection, each.lookup_date) for each in waiting}
    return [each for each in waiting if (at := ready[each.lookup_date]) is not None and at <= now]


def queued_until(connection: Connection, lookup_date: str) -> datetime | None:
    """When a partition's queued lookups are expected to go out.

    None when none is queued, or when nothing is known to hold them.
    """
    ready_at = next_ready_at(connection, lookup_date)
    if ready_at is None:
        return None
    continues_at: datetime | None = connection.scalar(
        select(partitions.c.continues_at).where(partitions.c.lookup_date == lookup_date)
    )
    left = allowances.left(connection)
    window = left.opens_at if left is not None and not left.lookups else None
    silence = limits.blocked_until(connection, limits.LOOKUPS)
    until = max(filter(None, (ready_at, continues_at, window, silence)))
    return until if until > EPOCH else None
