"""By which identities a lookup is found: its own and, since the rules changed, newer ones.

A lookup keeps the identity under which it was made. When the rules by which rows mean the same
person change, every lookup learns the identities that its rows have by the new rules, as aliases.
So no row finds its lookup gone, and nobody is looked up a second time for the rules' sake.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from lookup_pipeline.ledger.bulk import insert_rows, is_one_of
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import aliases, identity_rules, lookups, memberships

# No identity holds a line break: what follows it tells that a newer lookup has taken over.
GIVEN_UP = "\n"

_FETCH = 5_000


class KnownLookup(NamedTuple):
    """The lookup that serves an identity now.

    Attributes:
        lookup_id: the ledger's id.
        first_date: the partition that asked for it first.
        state: where it stands.
        identity: its own, of which the one it was found by may be an alias.
    """

    lookup_id: int
    first_date: str | None
    state: State
    identity: str


def known_lookups(connection: Connection, identities: Collection[str]) -> dict[str, KnownLookup]:
    """By identity, those of these that somebody has asked for before."""
    found = connection.execute(
        select(
            lookups.c.identity, lookups.c.lookup_id, lookups.c.first_date, lookups.c.state
        ).where(is_one_of(connection, lookups.c.identity, identities))
    )
    known = {
        row.identity: KnownLookup(row.lookup_id, row.first_date, State(row.state), row.identity)
        for row in found
    }
    if connection.scalar(select(aliases.c.lookup_id).limit(1)) is not None:
        # Its own identity goes before an alias: a newer lookup may have taken over.
        known = _by_alias(connection, [each for each in identities if each not in known]) | known
    return known


def _by_alias(connection: Connection, identities: Collection[str]) -> dict[str, KnownLookup]:
    found = connection.execute(
        select(
            aliases.c.identity.label("alias"),
            lookups.c.lookup_id,
            lookups.c.first_date,
            lookups.c.state,
            lookups.c.identity,
        )
        .join(lookups, lookups.c.lookup_id == aliases.c.lookup_id)
        .where(is_one_of(connection, aliases.c.identity, identities))
    )
    return {
        row.alias: KnownLookup(row.lookup_id, row.first_date, State(row.state), row.identity)
        for row in found
    }


class AskedFor(NamedTuple):
    """One way in which a lookup was asked for.

    Attributes:
        lookup_id: the lookup that answers for it now.
        requested: JSON text of a row that asked; None of what was sent.
        parameters: JSON text of what was sent.
    """

    lookup_id: int
    requested: str | None
    parameters: str


def knows_rules(connection: Connection, version: int) -> bool:
    """Whether every lookup is found by the identities of these rules."""
    return (
        connection.scalar(
            select(identity_rules.c.version).where(identity_rules.c.version == version)
        )
        is not None
    )


def asked_for(connection: Connection) -> Iterator[list[AskedFor]]:
    """All ways in which lookups were asked for, in batches; lookups with a profile first."""
    current = {
        lookup_id: _current(connection, identity) or lookup_id
        for lookup_id, identity in connection.execute(
            select(lookups.c.lookup_id, lookups.c.identity).where(
                lookups.c.identity.like(f"%{GIVEN_UP}%")
            )
        )
    }
    found = connection.execution_options(yield_per=_FETCH).execute(
        select(lookups.c.lookup_id, memberships.c.requested, lookups.c.parameters)
        .outerjoin(memberships, memberships.c.lookup_id == lookups.c.lookup_id)
        .order_by(lookups.c.state != State.COMPLETE.value, lookups.c.lookup_id)
    )
    for rows in found.partitions():
        yield [AskedFor(current.get(row[0], row[0]), row[1], row[2]) for row in rows]


def _current(connection: Connection, identity: str) -> int | None:
    """The lookup that has taken over from one that gave its identity up."""
    own = identity.partition(GIVEN_UP)[0]
    return connection.scalar(select(lookups.c.lookup_id).where(lookups.c.identity == own))


def learn_aliases(connection: Connection, identities: Sequence[tuple[str, int]]) -> None:
    """Have lookups found by further identities, unless something is found by them already."""
    wanted = dict(reversed(identities))
    taken = known_lookups(connection, wanted).keys()
    rows = [
        (identity, lookup_id) for identity, lookup_id in wanted.items() if identity not in taken
    ]
    insert_rows(connection, aliases, ("identity", "lookup_id"), rows)


def note_rules(connection: Connection, version: int, now: datetime) -> None:
    """Note that every lookup is found by the identities of these rules."""
    connection.execute(insert(identity_rules).values(version=version, learned_at=now))
