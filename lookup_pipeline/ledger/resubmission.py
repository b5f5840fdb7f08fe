"""Sending settled lookups again: only on the word of an operator, since it may cost once more."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, update

from lookup_pipeline.ledger.identities import is_current
from lookup_pipeline.ledger.news import note_news_of
from lookup_pipeline.ledger.states import RESUBMITTABLE, FailureKind, State
from lookup_pipeline.ledger.tables import lookups, memberships


def count_resubmittable(
    connection: Connection, kinds: Collection[FailureKind], lookup_dates: Collection[str]
) -> dict[str, dict[FailureKind, int]]:
    """By partition and kind, how many lookups an operator could have sent again.

    One that stands in several partitions counts in the oldest of them only: it is sent once.

    Args:
        connection: a read transaction.
        kinds: the failures wanted.
        lookup_dates: the partitions wanted.
    """
    oldest = func.min(memberships.c.lookup_date).label("lookup_date")
    found = (
        select(oldest, lookups.c.failure_kind)
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .where(_wanted(kinds), memberships.c.lookup_date.in_(lookup_dates))
        .group_by(lookups.c.lookup_id)
    )
    each = found.subquery()
    counted = connection.execute(
        select(each.c.lookup_date, each.c.failure_kind, func.count())
        .group_by(each.c.lookup_date, each.c.failure_kind)
        .order_by(each.c.lookup_date, each.c.failure_kind)
    )
    by_date: dict[str, dict[FailureKind, int]] = {}
    for lookup_date, kind, number in counted:
        by_date.setdefault(lookup_date, {})[FailureKind(kind)] = number
    return by_date


def requeue(
    connection: Connection,
    lookup_date: str,
    kinds: Collection[FailureKind],
    settled_before: datetime,
) -> int:
    """Put a partition's lookups that ended so back into the queue; returns how many.

    Args:
        connection: a write transaction.
        lookup_date: partition key.
        kinds: the failures to send again.
        settled_before: those that ended later are left alone: nobody has asked for them, and a
            request that is repeated must not take up what its first try left behind.
    """
    requeued = list(
        connection.scalars(
            update(lookups)
            .where(
                _wanted(kinds),
                lookups.c.settled_at < settled_before,
                lookups.c.lookup_id.in_(
                    select(memberships.c.lookup_id).where(memberships.c.lookup_date == lookup_date)
                ),
            )
            .values(
                state=State.QUEUED.value,
                # As if it had never been sent: a new try has its own deadline, and all its tries.
                attempts=0,
                claimed_by=None,
                # What is still said of the earlier request no longer counts, but for its profile.
                claim_number=lookups.c.claim_number + 1,
                # Where it was answered before, a status says nothing of the request to come.
                profile_id=case((lookups.c.api_status.is_(None), lookups.c.profile_id)),
                lease_until=None,
                not_before=None,
                next_poll_at=None,
                deadline_at=None,
                settled_at=None,
                failure_kind=None,
                failure_reason=None,
                http_status=None,
            )
            .returning(lookups.c.lookup_id)
        )
    )
    note_news_of(connection, requeued)
    return len(requeued)


def _wanted(kinds: Collection[FailureKind]) -> ColumnElement[bool]:
    return and_(
        lookups.c.state.in_(sorted(RESUBMITTABLE)),
        lookups.c.failure_kind.in_(sorted(kinds)),
        # Else somebody would be paid for whom a newer lookup has found: free of charge for an older
        # partition that is materialized again.
        is_current(),
    )
