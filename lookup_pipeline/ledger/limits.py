"""One limiter for all processes: when each request may leave.

The rate is kept by spacing requests evenly: one timestamp, that of the next free slot, is the whole
state. Slots are given out a moment before they come, so that none is lost while a process wakes up.
Silence that the provider asked for with Retry-After is kept per operation.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from lookup_pipeline.ledger.tables import limits

ALL = "all"
"""All operations together."""

LOOKUPS = "lookup"
"""The operation that submits."""

# So long before its time a slot may be taken: longer than a process needs to wake up and to commit,
# and short, since whoever asks for silence meanwhile is heard by the next ones only.
AHEAD = timedelta(milliseconds=250)

# Slots lie so much further apart than the rate asks for: requests arrive some milliseconds late,
# and eleven that left within a second and 20 ms must not arrive within one.
_MARGIN = 1.02


WAKE_UP = timedelta(milliseconds=50)
"""No slot is sooner: until it is committed and its process awake, the provider's second would begin
late."""

TOLERATED_DELAY = timedelta(milliseconds=10)
"""So much later than its slot a request may leave without a word: `_MARGIN` leaves the room."""

# A process that was stopped for longer than the second in which its request counts is no reason
# to wait longer.
_LONGEST_DELAY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Permits:
    """Leave to send.

    Attributes:
        slots: when each request may leave: now, or in a moment.
        wait: how long to wait before asking again, when there is none.
        blocked: whether the provider asked for the silence.
    """

    slots: tuple[datetime, ...] = field(default=())
    wait: timedelta = timedelta(0)
    blocked: bool = False


# Built once: composing a statement costs more than running it.
_NEXT_AT = select(limits.c.next_at).where(limits.c.name == ALL).with_for_update()
_BLOCKED_UNTIL = select(limits.c.blocked_until).where(
    or_(limits.c.name == bindparam("operation"), limits.c.name == ALL)
)


def take(
    connection: Connection, operation: str, wanted: int, per_second: float, now: datetime
) -> Permits:
    """Take leave for up to `wanted` requests of one operation, within a write transaction.

    Args:
        connection: the caller's write transaction.
        operation: whose silence is kept, besides `ALL`.
        wanted: how many requests are ready.
        per_second: the ceiling over all operations and processes; 0 lifts it.
        now: the current time.
    """
    blocked = blocked_until(connection, operation)
    if blocked is not None and blocked > now:
        return Permits(wait=blocked - now, blocked=True)
    if per_second <= 0 or wanted <= 0:
        return Permits((now,) * wanted)
    interval = timedelta(microseconds=ceil(_MARGIN * 1_000_000 / per_second))
    next_at: datetime | None = connection.scalar(_NEXT_AT)
    # Further ahead than slots are ever given out, it is of a clock that was set back since.
    is_old = next_at is None or next_at > now + AHEAD + interval + _LONGEST_DELAY
    soonest = now + WAKE_UP
    start = soonest if next_at is None or is_old else max(next_at, soonest)
    if start - now > AHEAD:
        return Permits(wait=start - now - AHEAD)
    granted = min(wanted, 1 + (now + AHEAD - start) // interval)
    _set(connection, ALL, next_at=start + granted * interval)
    return Permits(tuple(start + place * interval for place in range(granted)))


def delay(connection: Connection, by: timedelta) -> None:
    """Move the next slots on: a request left so much later than its slot, and would meet them."""
    next_at: datetime | None = connection.scalar(_NEXT_AT)
    if next_at is not None:
        _set(connection, ALL, next_at=next_at + min(by, _LONGEST_DELAY))


def sleep_until(slot: datetime, now: datetime) -> None:
    """Wait for a slot that was taken: no longer than it can be ahead."""
    # Not even for no time: that would hand the interpreter to another thread.
    if slot > now:
        time.sleep(min(slot - now, AHEAD).total_seconds())


def block(connection: Connection, operation: str, until: datetime) -> None:
    """Keep silent about one operation, in every process, until then."""
    known = blocked_until(connection, operation)
    if known is None or known < until:
        _set(connection, operation, blocked_until=until)


def blocked_until(connection: Connection, operation: str) -> datetime | None:
    """Until when the provider asked for silence about this operation, or about all."""
    return max(
        filter(
            None,
            connection.scalars(_BLOCKED_UNTIL, {"operation": operation}),
        ),
        default=None,
    )


def cooldowns(connection: Connection, now: datetime) -> dict[str, datetime]:
    """The operations that the provider asked not to be called for, and until when."""
    found = connection.execute(
        select(limits.c.name, limits.c.blocked_until)
        .where(limits.c.blocked_until > now)
        .order_by(limits.c.name)
    )
    return {row.name: row.blocked_until for row in found}


def lift_cooldowns(connection: Connection) -> None:
    """Have every operation be called again, whatever the provider asked for."""
    connection.execute(update(limits).values(blocked_until=None))


def _set(connection: Connection, name: str, **values: datetime) -> None:
    changed = connection.execute(update(limits).where(limits.c.name == name).values(**values))
    if not changed.rowcount:
        connection.execute(insert(limits).values(name=name, **values))
