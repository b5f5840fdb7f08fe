"""Looking people up again whose data are old: a new lookup takes the place of the old one.

The old lookup keeps what it found, and the rows of older partitions keep the old lookup until they
are registered again. It only gives up its identity, by which rows find their lookup, to the one
that follows it. That one keeps the newest complete lookup before it in mind, whose profile its rows
show until it has one of its own: whatever becomes of a refresh, nobody loses a profile by it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    cast,
    false,
    func,
    or_,
    select,
    update,
)

from lookup_pipeline.ledger.bulk import is_one_of
from lookup_pipeline.ledger.identities import (
    GIVEN_UP,
    KnownLookup,
    current_lookups,
    own_identity,
)
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import lookups, memberships


@dataclass(frozen=True, slots=True)
class Refresh:
    """Who is looked up again when they stand in a partition.

    Attributes:
        now: the current time.
        complete_after: people found so long ago, in a partition that is newer than the one that
            asked; None for nobody. Where a refresh ended without a profile, its own end counts.
        failed_after: people never found and last asked for so long ago, likewise; None for nobody.
            Never what is unconfirmed: that is the operator's to decide.
        all_before: everybody whose lookup ended before then, in any partition: somebody has asked
            for it at that time. None for nobody.
    """

    now: datetime
    complete_after: timedelta | None = None
    failed_after: timedelta | None = None
    all_before: datetime | None = None

    @property
    def is_off(self) -> bool:
        """Whether nobody is looked up again."""
        return (self.complete_after, self.failed_after, self.all_before) == (None, None, None)


def lookups_of(connection: Connection, lookup_date: str) -> set[int]:
    """The lookups that serve a partition's rows now, and those that have taken over from them."""
    found = connection.execute(
        select(lookups.c.lookup_id, lookups.c.identity)
        .join(memberships, memberships.c.lookup_id == lookups.c.lookup_id)
        .where(memberships.c.lookup_date == lookup_date)
    )
    served, followed = set(), []
    for row in found:
        served.add(row.lookup_id)
        if GIVEN_UP in row.identity:
            followed.append(row.lookup_id)
    newer = current_lookups(connection, followed)
    return served.union(each.lookup_id for each in newer.values())


def outdated(
    connection: Connection,
    lookup_ids: Collection[int],
    lookup_date: str,
    served_before: Collection[int],
    refresh: Refresh,
) -> set[int]:
    """Those of a partition's lookups that are to be followed by new ones.

    By age, only in a partition newer than the one that asked, and only for people who are new to
    it: a partition that is materialized again costs nothing.

    Args:
        connection: a transaction.
        lookup_ids: the lookups that its rows find.
        lookup_date: partition key.
        served_before: the lookups that served its rows before; see `lookups_of`.
        refresh: who is looked up again.
    """
    if refresh.is_off:
        return set()
    keeps = lookups.c.keeps_lookup_id.is_not(None)
    aged = and_(
        or_(
            _ended(State.COMPLETE, refresh.now, refresh.complete_after),
            _ended(State.FAILED, refresh.now, refresh.complete_after) & keeps,
            _ended(State.FAILED, refresh.now, refresh.failed_after) & ~keeps,
        ),
        lookups.c.first_date < lookup_date,
    )
    asked_for: ColumnElement[bool] = false()
    if refresh.all_before is not None:
        asked_for = lookups.c.state.in_([State.COMPLETE.value, State.FAILED.value]) & (
            lookups.c.settled_at < refresh.all_before
        )
    found = select(lookups.c.lookup_id, asked_for.label("asked_for")).where(
        is_one_of(connection, lookups.c.lookup_id, lookup_ids),
        # One that timed out and is still asked about may yet end, and may have been paid for.
        lookups.c.next_poll_at.is_(None),
        or_(aged, asked_for),
    )
    return {
        row.lookup_id
        for row in connection.execute(found)
        if row.asked_for or row.lookup_id not in served_before
    }


def _ended(state: State, now: datetime, after: timedelta | None) -> ColumnElement[bool]:
    if after is None:
        return false()
    return (lookups.c.state == state.value) & (lookups.c.settled_at <= now - after)


def keep_late_profile(connection: Connection, identity: str, lookup_id: int) -> list[int]:
    """Have a profile shown that came after a newer lookup had taken over.

    Args:
        connection: a write transaction.
        identity: of the lookup that is complete now.
        lookup_id: its number.

    Returns:
        The lookup that shows it now, if one does: not where it has, or keeps, a newer profile.
    """
    shows = (
        update(lookups)
        .where(
            lookups.c.identity == own_identity(identity),
            lookups.c.state != State.COMPLETE.value,
            func.coalesce(lookups.c.keeps_lookup_id, 0) < lookup_id,
        )
        .values(keeps_lookup_id=lookup_id)
        .returning(lookups.c.lookup_id)
    )
    return list(connection.scalars(shows))


def give_up_identities(connection: Connection, followed: Mapping[str, KnownLookup]) -> None:
    """Free lookups' identities for the ones that follow them.

    Args:
        connection: a write transaction.
        followed: the lookups, by the identity of the one that follows. It is their own, or one of
            newer rules; then it takes the place of their own, also where an even older lookup has
            given that up.
    """
    for identity, lookup in followed.items():
        given_up = lookups.c.lookup_id == lookup.lookup_id
        if lookup.identity != identity:
            # A range, which the index of identities finds; LIKE goes through all lookups.
            begins, ends = lookup.identity + GIVEN_UP, lookup.identity + chr(ord(GIVEN_UP) + 1)
            given_up |= (lookups.c.identity >= begins) & (lookups.c.identity < ends)
        connection.execute(
            update(lookups)
            .where(given_up)
            .values(identity=identity + GIVEN_UP + cast(lookups.c.lookup_id, String))
        )
