"""Which lookups are due for a question to the provider, and which have waited too long."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)

from lookup_pipeline.ledger.news import note_news_of
from lookup_pipeline.ledger.states import FailureKind, State
from lookup_pipeline.ledger.tables import lookups, memberships
from lookup_pipeline.ledger.times import UtcTime

# While one process asks about a lookup, others leave it alone; when that process dies, the
# lookup is due again after this long. Polls are free, so a short time costs nothing.
POLL_LEASE = timedelta(seconds=30)

# A lookup may be asked about so much later than its own time, and so much earlier, that others
# share its call: at ten lookups a second, a poll every second would else take a call each time.
LATER = timedelta(seconds=2)
EARLIER = timedelta(seconds=1.5)

# A lookup that has timed out may still end at the provider, and was paid for then: it is asked
# about now and then, a hundred in one free call, until an answer is no longer to be expected.
LATE_POLL = timedelta(hours=1)
LATE_POLLS_END = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DueLookup:
    """A lookup to ask the provider about.

    Attributes:
        lookup_id: the ledger's id.
        profile_id: the provider's id.
        submitted_at: when it was sent: the age decides when to ask again.
        state: in flight; or settled, where a late answer may still come.
        claim: the number of the request that is asked about: an operator may have another one sent
            before the answer comes.
    """

    lookup_id: int
    profile_id: int
    submitted_at: datetime
    state: State
    claim: int


def claim_due(
    connection: Connection,
    limit: int,
    now: datetime,
    *,
    earlier: timedelta = timedelta(0),
    unconfirmed: bool = True,
) -> list[DueLookup]:
    """Take up to `limit` lookups that are due, or will be so soon, the longest due first.

    Those in flight, those that have timed out of late, and with `unconfirmed` those of which it can
    be asked whether the provider has accepted them: only they have a next time.
    """
    due = (
        select(lookups.c.lookup_id)
        .where(lookups.c.next_poll_at <= now + earlier, _asked_about(unconfirmed=unconfirmed))
        .order_by(lookups.c.next_poll_at)
        .limit(limit)
    )
    claimed = connection.execute(
        update(lookups)
        .where(lookups.c.lookup_id.in_(due.scalar_subquery()))
        .values(
            next_poll_at=case(
                (lookups.c.state == State.IN_FLIGHT, literal(now + POLL_LEASE, UtcTime)),
                (
                    lookups.c.settled_at > now - LATE_POLLS_END,
                    literal(now + LATE_POLL, UtcTime),
                ),
                else_=null(),
            )
        )
        .returning(
            lookups.c.lookup_id,
            lookups.c.profile_id,
            lookups.c.submitted_at,
            lookups.c.state,
            lookups.c.claim_number,
        )
    )
    # When one was sent is not known where a reconcile has put it in doubt.
    return [
        DueLookup(
            row.lookup_id,
            row.profile_id,
            row.submitted_at or now,
            State(row.state),
            row.claim_number,
        )
        for row in claimed
    ]


def _asked_about(*, unconfirmed: bool) -> ColumnElement[bool]:
    return true() if unconfirmed else lookups.c.state != State.UNCONFIRMED.value


def next_call_at(
    connection: Connection, limit: int, now: datetime, *, unconfirmed: bool = True
) -> datetime | None:
    """When a call for up to `limit` lookups is as full as it gets in time; None if nothing is due.

    As soon as so many are due, and no later than `LATER` after the first one's own time. Sooner
    where waiting adds nobody: one that is sent from now on is not due before then.
    """
    times: Sequence[datetime] = connection.scalars(
        select(lookups.c.next_poll_at)
        .where(
            lookups.c.next_poll_at <= now + LATER + EARLIER, _asked_about(unconfirmed=unconfirmed)
        )
        .order_by(lookups.c.next_poll_at)
        .limit(limit)
    ).all()
    if not times or times[0] > now:
        return None
    if len(times) == limit:
        return min(times[-1], times[0] + LATER)
    last = max(each for each in times if each <= times[0] + LATER + EARLIER)
    return last - EARLIER


def next_due_at(connection: Connection, *, unconfirmed: bool = True) -> datetime | None:
    """When the next lookup is due; None when there is nothing to ask about."""
    return connection.scalar(
        select(lookups.c.next_poll_at)
        # Databases sort what has no such time differently.
        .where(lookups.c.next_poll_at.is_not(None), _asked_about(unconfirmed=unconfirmed))
        .order_by(lookups.c.next_poll_at)
        .limit(1)
    )


def polled_since(connection: Connection, since: datetime, lookup_dates: Collection[str]) -> bool:
    """Whether the provider has answered a poll about any row of these partitions since."""
    answered = (
        select(literal(value=True))
        .join_from(memberships, lookups, memberships.c.lookup_id == lookups.c.lookup_id)
        .where(memberships.c.lookup_date.in_(lookup_dates), lookups.c.last_polled_at > since)
        .limit(1)
    )
    return connection.scalar(answered) is not None


def expire_deadlines(connection: Connection, now: datetime) -> int:
    """Give up on lookups past their deadline; returns how many.

    A later answer still wins: those that can be asked about stay due, though rarely.

    Only on those that were asked about since: after days without polling, the provider may have
    had the answer for long. One that the provider never gave an id for cannot be asked about:
    whether it was processed is not known, so it is `unconfirmed`.
    """
    unknown = lookups.c.profile_id.is_(None)
    asked_since = lookups.c.last_polled_at >= lookups.c.deadline_at
    expired = list(
        connection.scalars(
            update(lookups)
            .where(
                lookups.c.state == State.IN_FLIGHT,
                lookups.c.deadline_at < now,
                or_(unknown, asked_since),
            )
            .values(
                state=case((unknown, State.UNCONFIRMED.value), else_=State.FAILED.value),
                failure_kind=case(
                    (unknown, FailureKind.UNCONFIRMED.value), else_=FailureKind.TIMED_OUT.value
                ),
                failure_reason=func.coalesce(
                    "no final answer before the deadline; the last status was "
                    + lookups.c.api_status,
                    "no final answer before the deadline",
                ),
                settled_at=now,
                next_poll_at=case((unknown, null()), else_=literal(now + LATE_POLL, UtcTime)),
            )
            .returning(lookups.c.lookup_id)
        )
    )
    if expired:
        note_news_of(connection, expired)
    return len(expired)
