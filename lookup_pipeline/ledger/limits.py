"""One limiter for all processes: when the next request may leave.

The rate is kept by spacing requests evenly (the generic cell rate algorithm: one timestamp holds
the whole state). Silence that the provider asked for with Retry-After is kept per operation.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from lookup_pipeline.ledger.tables import limits

ALL = "all"

# Unused time may be caught up by this many requests: without it, a process that wakes a moment
# late loses that moment for good; with more, the provider would see a burst.
SLACK = 2


@dataclass(frozen=True, slots=True)
class Permits:
    """Leave to send.

    Attributes:
        granted: how many requests may leave now.
        wait: how long to wait for the next one, when none may.
        blocked: whether the provider asked for the silence.
    """

    granted: int
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
        return Permits(0, blocked - now, blocked=True)
    if per_second <= 0 or wanted <= 0:
        return Permits(max(wanted, 0))
    # Rounded up: a microsecond less for each would let one request too many into a second.
    interval = timedelta(microseconds=ceil(1_000_000 / per_second))
    next_at: datetime | None = connection.scalar(_NEXT_AT)
    earliest = now - SLACK * interval
    start = earliest if next_at is None else max(next_at, earliest)
    if start > now:
        return Permits(0, start - now)
    granted = min(wanted, 1 + int((now - start) / interval))
    _set(connection, ALL, next_at=start + granted * interval)
    return Permits(granted)


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


def _set(connection: Connection, name: str, **values: datetime) -> None:
    changed = connection.execute(update(limits).where(limits.c.name == name).values(**values))
    if not changed.rowcount:
        connection.execute(insert(limits).values(name=name, **values))
