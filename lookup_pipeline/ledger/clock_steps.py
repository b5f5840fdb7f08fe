"""No moment in the ledger is obeyed for longer than its rule could have set it.

Clocks are set wrong and set right again, and whoever writes `now + 5 minutes` on a clock that is a
year ahead would have the ledger wait for a year. So the ledger keeps the latest time that it was
told. Where the clock is behind that, it was ahead before, and every moment to come counts as due.
What was written in between, untold, is due as soon as it lies beyond its own horizon.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    case,
    insert,
    literal,
    select,
    type_coerce,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from lookup_pipeline.ledger.polling import LATE_POLL
from lookup_pipeline.ledger.states import PENDING, State
from lookup_pipeline.ledger.submissions import LEASE
from lookup_pipeline.ledger.tables import (
    allowances,
    limits,
    lookups,
    partitions,
    publication_claims,
    waits,
)
from lookup_pipeline.ledger.times import EPOCH, MICROSECOND, UtcTime

CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""So much the clocks of several hosts may differ without being set: nothing is made of it."""

# The row of `limits` whose `next_at` is the latest time that was told.
_CLOCK = "clock"

# The time is noted no more often: a tick or a run tells it, and each note is a write.
_NOTED_EVERY = timedelta(seconds=10)

# A maximum of the day is waited for until midnight.
_LONGEST_WAIT = timedelta(days=1)
_LONGEST_COOLDOWN = timedelta(hours=1)
_LONGEST_BETWEEN_LOOKS = timedelta(hours=1)


def heal_moments(connection: Connection, now: datetime) -> bool:
    """Have what was set on a clock that was ahead be due; whether the clock has stepped back.

    Call it at the beginning of whatever goes by the ledger's moments. In a ledger without such
    moments it costs a few looks into indices.
    """
    latest: datetime | None = connection.scalar(
        select(limits.c.next_at).where(limits.c.name == _CLOCK)
    )
    stepped_back = latest is not None and latest - now > CLOCKS_DIFFER_BY
    _make_due(connection, now, stepped_back=stepped_back)
    if latest is None:
        connection.execute(insert(limits).values(name=_CLOCK, next_at=now))
    elif stepped_back or now - latest >= _NOTED_EVERY:
        connection.execute(update(limits).where(limits.c.name == _CLOCK).values(next_at=now))
    return stepped_back


def _make_due(connection: Connection, now: datetime, *, stepped_back: bool) -> None:
    def too_far(column: Column[Any], horizon: timedelta) -> ColumnElement[bool]:
        limit = now if stepped_back else now + horizon + CLOCKS_DIFFER_BY
        return column > literal(limit, UtcTime)

    _date_back(connection, now, too_far(lookups.c.submitted_at, timedelta(0)))
    connection.execute(
        update(lookups).where(too_far(lookups.c.next_poll_at, LATE_POLL)).values(next_poll_at=now)
    )
    connection.execute(
        update(lookups)
        .where(lookups.c.state == State.SUBMITTING.value, too_far(lookups.c.lease_until, LEASE))
        .values(lease_until=now + LEASE)
    )
    connection.execute(
        update(limits)
        .where(too_far(limits.c.blocked_until, _LONGEST_COOLDOWN))
        .values(blocked_until=None)
    )
    connection.execute(
        update(allowances)
        .where(too_far(allowances.c.look_again_at, _LONGEST_BETWEEN_LOOKS))
        .values(look_again_at=now)
    )
    connection.execute(
        update(waits).where(too_far(waits.c.until, _LONGEST_WAIT)).values(until=now, noted_at=now)
    )
    if stepped_back:
        _heal_what_has_no_index(connection, now)


def _date_back(connection: Connection, now: datetime, ahead: ColumnElement[bool]) -> None:
    """Count what was sent in the future as sent now, with the deadline that it was given.

    What has ended keeps its times: they are published.
    """
    given = type_coerce(lookups.c.deadline_at, BigInteger) - type_coerce(
        lookups.c.submitted_at, BigInteger
    )
    deadline = literal((now - EPOCH) // MICROSECOND, BigInteger) + given
    connection.execute(
        update(lookups)
        .where(lookups.c.state.in_(sorted(PENDING)), ahead)
        .values(
            submitted_at=now,
            deadline_at=type_coerce(deadline, UtcTime),
            not_before=None,
            next_poll_at=case((lookups.c.next_poll_at.is_not(None), literal(now, UtcTime))),
        )
    )


def _heal_what_has_no_index(connection: Connection, now: datetime) -> None:
    """The rest, for which the whole tables are read: the clock has stepped back."""
    ahead = literal(now, UtcTime)
    pending = lookups.c.state.in_(sorted(PENDING))
    connection.execute(
        update(lookups).where(pending, lookups.c.not_before > ahead).values(not_before=None)
    )
    connection.execute(
        update(lookups).where(pending, lookups.c.last_polled_at > ahead).values(last_polled_at=now)
    )
    connection.execute(
        update(partitions)
        .where(partitions.c.publication_requested_at > ahead)
        .values(publication_requested_at=None)
    )
    connection.execute(
        update(partitions).where(partitions.c.published_at > ahead).values(published_at=now)
    )
    connection.execute(
        update(partitions).where(partitions.c.files_checked_at > ahead).values(files_checked_at=now)
    )
    connection.execute(
        update(publication_claims)
        .where(publication_claims.c.claimed_at > ahead)
        .values(claimed_at=now)
    )
    connection.execute(
        update(allowances).where(allowances.c.opened_at > ahead).values(opened_at=now)
    )
