"""Registering a partition's rows: which lookup serves each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, select, update

from lookup_pipeline.ledger.bulk import insert_rows, is_one_of
from lookup_pipeline.ledger.identities import (
    KnownLookup,
    current_lookups,
    known_lookups,
    learn_aliases,
)
from lookup_pipeline.ledger.lineage import newest_lookup
from lookup_pipeline.ledger.news import note_news
from lookup_pipeline.ledger.reading import is_read_anew
from lookup_pipeline.ledger.refresh import (
    Refresh,
    give_up_identities,
    lookups_of,
    outdated,
)
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import lookups, memberships


class RequestedRow(NamedTuple):
    """A usable row of a partition, as the ledger keeps it.

    Attributes:
        source_file: path below the names folder.
        source_row: physical line of the file.
        identity: by which two rows mean the same person.
        parameters: JSON text of what to send to the provider.
        requested: JSON text of the row as it was asked for.
        profile_id: the provider's id, where the row asks by it.
    """

    source_file: str
    source_row: int
    identity: str
    parameters: str
    requested: str
    profile_id: int | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration found and did, counted in rows.

    Attributes:
        rows: rows registered.
        new_lookups: lookups that nobody had asked for before, or not for long.
        refreshed: those of them that follow an older one.
        changed: memberships added, altered or removed.
    """

    rows: int = 0
    new_lookups: int = 0
    refreshed: int = 0
    changed: int = 0

    def __add__(self, other: "Registered") -> "Registered":
        return Registered(
            self.rows + other.rows,
            self.new_lookups + other.new_lookups,
            self.refreshed + other.refreshed,
            self.changed + other.changed,
        )


class Served(NamedTuple):
    """By which lookup a row is served, and whether that was known before the row."""

    lookup_id: int
    reused: bool


@dataclass(slots=True)
class Registration:
    """Brings one partition's memberships in line with its rows, batch by batch.

    Rows must come ordered by file and line, each file in one piece. A batch owns the lines from
    the last row of the batch before to its own last row: what the ledger holds in between and the
    batch does not, has left the file. So memory is bounded by the batch (and a number for each
    lookup that is the partition's own), an unchanged row costs no write, and a registration that
    dies half-way is simply run again.
    """

    lookup_date: str
    refresh: Refresh | None = None
    _paid_here: set[int] = field(default_factory=set)
    _served_before: set[int] | None = field(default=None)
    _last: tuple[str, int] | None = field(default=None)
    _files: list[str] = field(default_factory=list)
    _served: list[Served] = field(default_factory=list)

    @property
    def served(self) -> list[Served]:
        """By which lookup each row of the last batch is served."""
        return self._served

    def add(self, connection: Connection, rows: Sequence[RequestedRow]) -> Registered:
        """Register one batch of rows within the caller's write transaction."""
        total = Registered()
        self._served = []
        for source_file, group in groupby(rows, key=lambda row: row.source_file):
            of_file = list(group)
            if self._last is None or self._last[0] != source_file:
                total += self._finish_file(connection)
                self._files.append(source_file)
                self._last = (source_file, 0)
            total += self._add_range(connection, self._last[1], of_file)
            self._last = (source_file, of_file[-1].source_row)
        if total.changed:
            note_news(connection, [self.lookup_date])
        return total

    def finish(self, connection: Connection) -> Registered:
        """Remove what lies after the last row and in files that are gone; after the last batch.

        Also makes the partition known where it has no row at all, so that it is published.
        """
        removed = self._finish_file(connection) + self._remove(
            connection, memberships.c.source_file.not_in(self._files)
        )
        note_news(connection, [self.lookup_date], only_new=not removed.changed)
        return removed

    def _finish_file(self, connection: Connection) -> Registered:
        if self._last is None:
            return Registered()
        source_file, source_row = self._last
        return self._remove(
            connection,
            and_(memberships.c.source_file == source_file, memberships.c.source_row > source_row),
        )

    def _remove(self, connection: Connection, where: ColumnElement[bool]) -> Registered:
        removed = connection.execute(
            delete(memberships).where(
                memberships.c.lookup_date == self.lookup_date,
                where,
            )
        )
        return Registered(changed=removed.rowcount)

    def _give_up_outdated(
        self, connection: Connection, known: Mapping[str, KnownLookup]
    ) -> set[int]:
        if self.refresh is None or self.refresh.is_off:
            return set()
        if self._served_before is None:
            # Once, before rows move: one that was here on another line is no new one.
            self._served_before = lookups_of(connection, self.lookup_date)
        old = outdated(
            connection,
            [each.lookup_id for each in known.values()],
            self.lookup_date,
            self._served_before,
            self.refresh,
        )
        # By several aliases, the first.
        followed = {each.lookup_id: (who, each) for who, each in reversed(list(known.items()))}
        give_up_identities(connection, dict(followed[lookup_id] for lookup_id in sorted(old)))
        return old

    def _add_range(
        self, connection: Connection, after: int, rows: Sequence[RequestedRow]
    ) -> Registered:
        source_file, upto = rows[0].source_file, rows[-1].source_row
        held = {
            row.source_row: _Held(row.lookup_id, row.reused, row.requested)
            for row in connection.execute(
                _HELD,
                {
                    "date": self.lookup_date,
                    "file": source_file,
                    "after": after,
                    "upto": upto,
                },
            )
        }
        identities = {row.identity for row in rows}
        known = known_lookups(connection, identities)
        if found_anew := _lookups_read_anew(connection, rows, known, held):
            learn_aliases(connection, found_anew)
            known = known_lookups(connection, identities)
        old = self._give_up_outdated(connection, known)
        replaced = {who: each for who, each in known.items() if each.lookup_id in old}
        known = {who: each for who, each in known.items() if who not in replaced}
        new = [row for row in rows if row.identity not in known]
        created = _create(connection, new, self.lookup_date, replaced)
        served_by = known | created
        own = _own_lookups(connection, rows, served_by, held)
        added: list[tuple[object, ...]] = []
        altered: list[tuple[int, _Held]] = []
        for row in rows:
            serves = own.get(row.source_row) or served_by[row.identity]
            lookup_id = serves.lookup_id
            # The first row of the partition that asked first; the same one however rows move.
            first = serves.first_date == self.lookup_date and lookup_id not in self._paid_here
            if first:
                self._paid_here.add(lookup_id)
            self._served.append(Served(lookup_id, not first))
            before = held.pop(row.source_row, None)
            if before is None:
                added.append(
                    (
                        self.lookup_date,
                        source_file,
                        row.source_row,
                        lookup_id,
                        not first,
                        row.requested,
                    )
                )
            elif before != (values := _Held(lookup_id, not first, row.requested)):
                altered.append((row.source_row, values))
        insert_rows(connection, memberships, _MEMBERSHIP, added)
        for source_row, values in altered:
            connection.execute(
                update(memberships)
                .where(
                    memberships.c.lookup_date == self.lookup_date,
                    memberships.c.source_file == source_file,
                    memberships.c.source_row == source_row,
                )
                .values(values._asdict())
            )
        gone = Registered()
        if held:
            gone = self._remove(
                connection,
                and_(
                    memberships.c.source_file == source_file,
                    is_one_of(connection, memberships.c.source_row, held.keys()),
                ),
            )
        return replace(
            gone,
            rows=len(rows),
            new_lookups=len(created),
            refreshed=len(replaced),
            changed=gone.changed + len(added) + len(altered),
        )


def _create(
    connection: Connection,
    rows: Sequence[RequestedRow],
    lookup_date: str,
    replaced: Mapping[str, KnownLookup],
) -> dict[str, KnownLookup]:
    # The first row of an identity decides what is sent: later spellings share its lookup.
    first = {row.identity: row for row in reversed(rows)}
    if not first:
        return {}
    # Numbered here, since a rebuilt ledger goes on above the numbers that are published.
    numbers = count(newest_lookup(connection) + 1)
    made = [(next(numbers), row) for row in rows if first[row.identity] is row]
    keeps = {who: each.profile_lookup_id for who, each in replaced.items()}
    insert_rows(
        connection,
        lookups,
        (
            "lookup_id",
            "identity",
            "parameters",
            "state",
            "profile_id",
            "first_date",
            "keeps_lookup_id",
        ),
        [
            (
                lookup_id,
                row.identity,
                row.parameters,
                State.QUEUED.value,
                # Where an older lookup was answered, a status says nothing of this one.
                None if row.identity in replaced else row.profile_id,
                lookup_date,
                keeps.get(row.identity),
            )
            for lookup_id, row in made
        ],
    )
    return {
        row.identity: KnownLookup(
            lookup_id, lookup_date, State.QUEUED, row.identity, keeps.get(row.identity)
        )
        for lookup_id, row in made
    }


class _Held(NamedTuple):
    """What a membership says about its row."""

    lookup_id: int
    reused: bool
    requested: str


def _own_lookups(
    connection: Connection,
    rows: Sequence[RequestedRow],
    served_by: Mapping[str, KnownLookup],
    held: Mapping[int, _Held],
) -> dict[int, KnownLookup]:
    """By its line, the lookup that a row keeps although newer rules would find another for it.

    Older rules took for two people what these take for one. What was sent for the row was paid for,
    and its answer is the row's own; so is that of a newer lookup which has taken over.
    """

    def is_doubtful(row: RequestedRow) -> bool:
        before, found = held.get(row.source_row), served_by[row.identity]
        return (
            before is not None
            and found.lookup_id != before.lookup_id
            and (found.identity != row.identity or found.profile_lookup_id is None)
            and _say_the_same(row.requested, before.requested)
        )

    doubtful = {row.source_row: held[row.source_row] for row in rows if is_doubtful(row)}
    if not doubtful:
        return {}
    ids = {each.lookup_id for each in doubtful.values()}
    sent = {
        lookup_id: each
        for lookup_id, each in current_lookups(connection, ids).items()
        if each.state in _SENT or each.profile_lookup_id is not None
    }
    return {line: sent[each.lookup_id] for line, each in doubtful.items() if each.lookup_id in sent}


def _lookups_read_anew(
    connection: Connection,
    rows: Sequence[RequestedRow],
    known: Mapping[str, KnownLookup],
    held: Mapping[int, _Held],
) -> list[tuple[str, int]]:
    """Return identities that nobody has asked for, with the lookup that was sent for their row.

    A column that was carried through, and that a newer version reads, changes whom the row asks by,
    not whom it means: what was sent for it was paid for.
    """
    same = [
        (row.identity, before.lookup_id)
        for row in rows
        if row.identity not in known
        and (before := held.get(row.source_row)) is not None
        and is_read_anew(before.requested, row.requested)
    ]
    current = current_lookups(connection, {lookup_id for _identity, lookup_id in same})
    sent = [
        (identity, current[lookup_id])
        for identity, lookup_id in same
        if lookup_id in current
        and (current[lookup_id].state in _SENT or current[lookup_id].profile_lookup_id is not None)
    ]
    # Of several for one identity, one with a profile.
    sent.sort(key=lambda each: each[1].profile_lookup_id is None)
    return [(identity, lookup.lookup_id) for identity, lookup in sent]


def _say_the_same(one: str, other: str) -> bool:
    """Whether two rows' JSON texts hold the same; what is missing in one is null in another."""
    first, second = (
        {key: value for key, value in msgspec.json.decode(text).items() if value is not None}
        for text in (one, other)
    )
    return bool(first == second)


# Complete, or on its way to be.
_SENT = (State.COMPLETE, State.IN_FLIGHT, State.SUBMITTING, State.UNCONFIRMED)

_MEMBERSHIP = ("lookup_date", "source_file", "source_row", *_Held._fields)
_HELD = select(
    memberships.c.source_row,
    memberships.c.lookup_id,
    memberships.c.reused,
    memberships.c.requested,
).where(
    memberships.c.lookup_date == bindparam("date"),
    memberships.c.source_file == bindparam("file"),
    memberships.c.source_row > bindparam("after"),
    memberships.c.source_row <= bindparam("upto"),
)
