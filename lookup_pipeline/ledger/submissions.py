"""Claiming queued lookups for submission, and giving up on claims whose process died."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, exists, func, literal, null, or_, select, update

from lookup_pipeline.ledger.news import note_news_of
from lookup_pipeline.ledger.states import FailureKind, State
from lookup_pipeline.ledger.tables import IS_PENDING, lookups, memberships
from lookup_pipeline.ledger.times import EPOCH, UtcTime

# A claim is made just before its request leaves, so it only has to outlive one request, not a run;
# its owner renews it while an answer is slow to come.
LEASE = timedelta(seconds=60)
RENEW_AFTER = LEASE / 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A lookup that this process, and no other, may send now.

    Attributes:
        lookup_id: the ledger's id.
        parameters: JSON text of what to send.
        attempts: how often it has been sent, this time included.
        number: which claim of this lookup it is: an answer names the claim that it answers.
        profile_id: the provider's id, where the query names it or an earlier answer did.
    """

    lookup_id: int
    parameters: str
    attempts: int
    number: int
    profile_id: int | None = None


_READY = or_(
    lookups.c.not_before.is_(None), lookups.c.not_before <= bindparam("now", type_=UtcTime)
)

_QUEUED = (
    select(lookups.c.lookup_id)
    .where(
        lookups.c.state == State.QUEUED.value,
        _READY,
        lookups.c.lookup_id.in_(
            select(memberships.c.lookup_id).where(
                memberships.c.lookup_date == bindparam("lookup_date")
            )
        ),
    )
    .order_by(lookups.c.lookup_id)
)

# Built once: composing a statement costs more than running it.
_CLAIM = (
    update(lookups)
    .where(
        lookups.c.lookup_id.in_(bindparam("lookup_ids", expanding=True)),
        lookups.c.state == State.QUEUED.value,
        _READY,
    )
    .values(
        state=State.SUBMITTING.value,
        claimed_by=bindparam("owner"),
        lease_until=bindparam("lease_until", type_=UtcTime),
        attempts=lookups.c.attempts + 1,
        claim_number=lookups.c.claim_number + 1,
        submitted_at=bindparam("now", type_=UtcTime),
    )
    .returning(
        lookups.c.lookup_id,
        lookups.c.parameters,
        lookups.c.attempts,
        lookups.c.claim_number,
        lookups.c.profile_id,
    )
)


def queued_ids(connection: Connection, lookup_date: str, now: datetime) -> list[int]:
    """The partition's lookups that may be sent now, in the order in which they were asked for."""
    return list(connection.scalars(_QUEUED, {"lookup_date": lookup_date, "now": now}))


def count_queued(connection: Connection, lookup_date: str) -> int:
    """How many of the partition's lookups wait to be sent, now or later."""
    return connection.execute(
        select(func.count())
        .select_from(lookups)
        .where(
            lookups.c.state == State.QUEUED.value,
            lookups.c.lookup_id.in_(
                select(memberships.c.lookup_id).where(memberships.c.lookup_date == lookup_date)
            ),
        )
    ).scalar_one()


def was_sent_since(connection: Connection, lookup_date: str, since: datetime) -> bool:
    """Whether any of the partition's lookups was sent since: then its rows are registered."""
    sent = select(memberships.c.lookup_id).where(
        memberships.c.lookup_date == lookup_date,
        memberships.c.lookup_id == lookups.c.lookup_id,
        lookups.c.submitted_at >= since,
    )
    return bool(connection.scalar(select(sent.exists())))


# Nearly always it is one of the partition's own, which an index finds at once.
_ONE_IS_READY = (
    select(lookups.c.lookup_id)
    .where(
        lookups.c.first_date == bindparam("lookup_date"),
        IS_PENDING,
        lookups.c.state == State.QUEUED.value,
        lookups.c.not_before.is_(None),
        exists().where(
            memberships.c.lookup_id == lookups.c.lookup_id,
            memberships.c.lookup_date == bindparam("lookup_date"),
        ),
    )
    .limit(1)
)


def next_ready_at(connection: Connection, lookup_date: str) -> datetime | None:
    """When the first of the partition's queued lookups may be sent; None when none is queued.

    A time in the past means now: the lookup has waited long enough, or never had to.
    """
    if connection.scalar(_ONE_IS_READY, {"lookup_date": lookup_date}) is not None:
        return EPOCH
    return connection.scalar(
        select(
            func.min(func.coalesce(lookups.c.not_before, literal(EPOCH, UtcTime)), type_=UtcTime)
        ).where(
            lookups.c.state == State.QUEUED.value,
            lookups.c.lookup_id.in_(
                select(memberships.c.lookup_id).where(memberships.c.lookup_date == lookup_date)
            ),
        )
    )


def claim(
    connection: Connection, lookup_ids: Sequence[int], owner: str, now: datetime
) -> list[Claim]:
    """Take these lookups for sending, those that are still queued: one atomic statement.

    The caller commits before the request leaves: from then on a crash leaves `submitting`, which
    becomes `unconfirmed` when the lease ends, and is never sent again on its own.
    """
    if not lookup_ids:
        return []
    claimed = connection.execute(
        _CLAIM,
        {"lookup_ids": lookup_ids, "owner": owner, "now": now, "lease_until": now + LEASE},
    )
    return [Claim(*row) for row in claimed]


_RENEW = (
    update(lookups)
    .where(
        lookups.c.lookup_id == bindparam("key"),
        lookups.c.claim_number == bindparam("number"),
        lookups.c.state == State.SUBMITTING.value,
    )
    .values(lease_until=bindparam("lease_until", type_=UtcTime))
)


def renew(connection: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Hold these claims for another lease: their process lives, and waits for the answers."""
    if claims:
        connection.execute(
            _RENEW,
            [
                {"key": each.lookup_id, "number": each.number, "lease_until": now + LEASE}
                for each in claims
            ],
        )


def expire_leases(connection: Connection, now: datetime) -> int:
    """Turn submissions whose process fell silent into `unconfirmed`; returns how many."""
    lost = list(
        connection.scalars(
            update(lookups)
            .where(lookups.c.state == State.SUBMITTING, lookups.c.lease_until < now)
            .values(
                state=State.UNCONFIRMED.value,
                settled_at=now,
                # Of one that the provider's id is known of can be asked whether it was accepted.
                next_poll_at=case(
                    (lookups.c.profile_id.is_not(None), literal(now, UtcTime)), else_=null()
                ),
                failure_kind=FailureKind.UNCONFIRMED.value,
                failure_reason="the process that sent it ended before the answer was recorded",
            )
            .returning(lookups.c.lookup_id)
        )
    )
    if lost:
        note_news_of(connection, lost)
    return len(lost)
