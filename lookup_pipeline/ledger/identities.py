"""By which identities a lookup is found: its own and, since the rules changed, newer ones.

A lookup keeps the identity under which it was made. When the rules by which rows mean the same
person change, every lookup learns the identities that its rows have by the new rules, as aliases.
So no row finds its lookup gone, and nobody is looked up a second time for the rules' sake.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, insert, select, update

from lookup_pipeline.ledger.bulk import insert_rows, is_one_of
from lookup_pipeline.ledger.news import note_news
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import aliases, identity_rules, lookups, memberships

# No identity holds a line break: what follows it tells that a newer lookup has taken over.
GIVEN_UP = "\n"

_FETCH = 5_000


def own_identity(stored: str) -> str:
    """A lookup's identity, also where a newer lookup has taken it over."""
    return stored.partition(GIVEN_UP)[0]


def is_current() -> ColumnElement[bool]:
    """Whether rows still find a lookup: no newer one has taken over."""
    return lookups.c.identity.not_like(f"%{GIVEN_UP}%")


class KnownLookup(NamedTuple):
    """The lookup that serves an identity now.

    Attributes:
        lookup_id: the ledger's id.
        first_date: the partition that asked for it first.
        state: where it stands.
        identity: its own, of which the one it was found by may be an alias.
        keeps_lookup_id: the complete lookup that it refreshes.
    """

    lookup_id: int
    first_date: str | None
    state: State
    identity: str
    keeps_lookup_id: int | None = None

    @property
    def profile_lookup_id(self) -> int | None:
        """The lookup whose profile its rows show; None where there is none."""
        return self.lookup_id if self.state is State.COMPLETE else self.keeps_lookup_id


_KNOWN = (
    lookups.c.lookup_id,
    lookups.c.first_date,
    lookups.c.state,
    lookups.c.identity,
    lookups.c.keeps_lookup_id,
)


def _known(row: Row[*tuple[Any, ...]]) -> KnownLookup:
    return KnownLookup(
        row.lookup_id, row.first_date, State(row.state), row.identity, row.keeps_lookup_id
    )


def known_lookups(connection: Connection, identities: Collection[str]) -> dict[str, KnownLookup]:
    """By identity, those of these that somebody has asked for before."""
    known = _by_own_identity(connection, identities)
    if connection.scalar(select(aliases.c.lookup_id).limit(1)) is not None:
        # Its own identity goes before an alias: a newer lookup may have taken over.
        known = _by_alias(connection, [each for each in identities if each not in known]) | known
    return known


def _by_own_identity(connection: Connection, identities: Collection[str]) -> dict[str, KnownLookup]:
    found = connection.execute(
        select(*_KNOWN).where(is_one_of(connection, lookups.c.identity, identities))
    )
    return {row.identity: _known(row) for row in found}


def _by_alias(connection: Connection, identities: Collection[str]) -> dict[str, KnownLookup]:
    found = connection.execute(
        select(aliases.c.identity.label("alias"), *_KNOWN)
        .join(lookups, lookups.c.lookup_id == aliases.c.lookup_id)
        .where(is_one_of(connection, aliases.c.identity, identities))
    )
    return {row.alias: _known(row) for row in found}


def current_lookups(connection: Connection, lookup_ids: Collection[int]) -> dict[int, KnownLookup]:
    """By the id of each of these lookups, itself or the one that has taken over from it."""
    found = connection.execute(
        select(lookups.c.lookup_id, lookups.c.identity).where(
            is_one_of(connection, lookups.c.lookup_id, lookup_ids)
        )
    )
    own = {row.lookup_id: own_identity(row.identity) for row in found}
    known = _by_own_identity(connection, set(own.values()))
    return {lookup_id: known[who] for lookup_id, who in own.items() if who in known}


class AskedFor(NamedTuple):
    """One way in which a lookup was asked for.

    Attributes:
        lookup_id: the lookup that answers for it now.
        requested: JSON text of a row that asked; None of what was sent.
        parameters: JSON text of what was sent.
        row: the row's partition, file and line.
    """

    lookup_id: int
    requested: str | None
    parameters: str
    row: tuple[str | None, str | None, int | None]


def last_lookup(connection: Connection) -> int:
    """The newest lookup's id; 0 where there is none."""
    return connection.scalar(select(func.max(lookups.c.lookup_id))) or 0


def learned_up_to(connection: Connection, version: int) -> int:
    """Up to which lookup all are found by the identities of these rules; 0 for none."""
    found = select(identity_rules.c.learned_up_to).where(identity_rules.c.version == version)
    return connection.scalar(found) or 0


def asked_for(
    connection: Connection, after: int, prefix: str, *, unsent: bool = False
) -> Iterator[list[AskedFor]]:
    """The ways in which lookups were asked for, in batches.

    Those with a profile come first, then what may yet get one, then what waits, then what failed;
    among equals the older ones.

    Args:
        connection: a transaction.
        after: only lookups that are newer than this one.
        prefix: only those whose identity does not begin with this.
        unsent: only those that were never sent.
    """
    wanted = [lookups.c.lookup_id > after, lookups.c.identity.not_like(f"{prefix}%")]
    if unsent:
        wanted.append(_UNSENT)
    found = connection.execution_options(yield_per=_FETCH).execute(
        select(
            lookups.c.lookup_id,
            lookups.c.identity,
            memberships.c.requested,
            lookups.c.parameters,
            memberships.c.lookup_date,
            memberships.c.source_file,
            memberships.c.source_row,
        )
        .outerjoin(memberships, memberships.c.lookup_id == lookups.c.lookup_id)
        .where(*wanted)
        .order_by(case(_RANKS, value=lookups.c.state, else_=1), lookups.c.lookup_id)
    )
    for rows in found.partitions():
        followed_by = _followers(connection, [row.identity for row in rows])
        yield [
            AskedFor(
                followed_by.get(row.identity, row.lookup_id),
                row.requested,
                row.parameters,
                (row.lookup_date, row.source_file, row.source_row),
            )
            for row in rows
        ]


def _followers(connection: Connection, identities: Collection[str]) -> dict[str, int]:
    """By the identities that were given up, the lookups that have taken over."""
    own = {each: own_identity(each) for each in identities if GIVEN_UP in each}
    if not own:
        return {}
    found = connection.execute(
        select(lookups.c.identity, lookups.c.lookup_id).where(
            is_one_of(connection, lookups.c.identity, set(own.values()))
        )
    )
    followers = {row.identity: row.lookup_id for row in found}
    return {each: followers[name] for each, name in own.items() if name in followers}


def learn_aliases(connection: Connection, identities: Sequence[tuple[str, int]]) -> None:
    """Have lookups found by further identities, unless something is found by them already."""
    wanted = dict(reversed(identities))
    taken = known_lookups(connection, wanted).keys()
    rows = [
        (identity, lookup_id) for identity, lookup_id in wanted.items() if identity not in taken
    ]
    insert_rows(connection, aliases, ("identity", "lookup_id"), rows)


def serve_unsent(connection: Connection, rows: Sequence[tuple[str, AskedFor]]) -> None:
    """Have rows whose lookup was never sent served by the one that has their identity.

    Else two lookups would be sent for what is one person by these rules.
    """
    known = known_lookups(connection, {identity for identity, _asked in rows})
    for identity, asked in rows:
        winner = known.get(identity)
        if winner is None or winner.lookup_id == asked.lookup_id:
            continue
        date, file, line = asked.row
        still_unsent = select(lookups.c.lookup_id).where(
            lookups.c.lookup_id == asked.lookup_id, _UNSENT
        )
        if winner.profile_lookup_id is None:
            # The row shows a profile until its refresh has one: it stays with that.
            still_unsent = still_unsent.where(lookups.c.keeps_lookup_id.is_(None))
        moved = connection.execute(
            update(memberships)
            .where(
                memberships.c.lookup_date == date,
                memberships.c.source_file == file,
                memberships.c.source_row == line,
                memberships.c.lookup_id.in_(still_unsent),
            )
            .values(lookup_id=winner.lookup_id, reused=True)
        )
        if moved.rowcount and date is not None:
            note_news(connection, [date])


def ask_anew(connection: Connection, rows: Sequence[tuple[str, AskedFor]]) -> None:
    """Have lookups that were never sent ask what one of their rows asks, by today's rules.

    Args:
        connection: a write transaction.
        rows: JSON text of what to send, with the row that asks for it.
    """
    wanted: dict[int, list[tuple[str, AskedFor]]] = {}
    for parameters, asked in rows:
        wanted.setdefault(asked.lookup_id, []).append((parameters, asked))
    for lookup_id, of_lookup in wanted.items():
        if of_lookup[0][1].parameters in {parameters for parameters, _asked in of_lookup}:
            continue
        connection.execute(
            update(lookups)
            .where(lookups.c.lookup_id == lookup_id, _UNSENT)
            .values(parameters=of_lookup[0][0])
        )


def note_learned(connection: Connection, version: int, up_to: int, now: datetime) -> None:
    """Note that all lookups up to this one are found by the identities of these rules."""
    values = {"learned_up_to": up_to, "learned_at": now}
    changed = connection.execute(
        update(identity_rules).where(identity_rules.c.version == version).values(values)
    )
    if not changed.rowcount:
        connection.execute(insert(identity_rules).values(version=version, **values))


_UNSENT = and_(lookups.c.state == State.QUEUED.value, lookups.c.submitted_at.is_(None))
_RANKS = {State.COMPLETE.value: 0, State.QUEUED.value: 2, State.FAILED.value: 3}
