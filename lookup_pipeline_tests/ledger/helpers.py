"""A ledger in a file of its own, and short names for what the tests do to it."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, select

from lookup_pipeline.ledger import Ledger, State, open_ledger
from lookup_pipeline.ledger.answers import Answer, record
from lookup_pipeline.ledger.publications import LedgerRow, news_version, rows_of
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered, Registration, RequestedRow
from lookup_pipeline.ledger.submissions import Claim, claim, queued_ids
from lookup_pipeline.ledger.tables import lookups, memberships

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DATE = "2026-01-05"
NEXT_DATE = "2026-01-06"
FILE = "2026-01-05.csv"
OWNER = "run-1"
OTHER = "run-2"
# The number of a lookup's first claim, and of its second.
FIRST, ANOTHER = 1, 2


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


@cache
def _empty_ledger() -> bytes:
    """A migrated ledger's file: a copy opens in a tenth of the time of a migration."""
    with tempfile.TemporaryDirectory() as name:
        open_ledger(sqlite_url(Path(name))).close()
        return (Path(name) / "ledger.db").read_bytes()


@contextmanager
def fresh_ledger() -> Iterator[Ledger]:
    """A ledger for one example of a property, gone at the end."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "ledger.db").write_bytes(_empty_ledger())
        ledger = open_ledger(sqlite_url(folder))
        yield ledger
        ledger.close()
    finally:
        shutil.rmtree(folder)


def row(source_row: int, person: str, *, file: str = FILE, spelling: str = "") -> RequestedRow:
    """A row that asks for a person; `spelling` alters what was asked for, not who is meant."""
    return RequestedRow(
        file, source_row, person, f'{{"name":"{person}"}}', f'{{"asked":"{person}{spelling}"}}'
    )


def rows_for(people: Iterable[str], *, file: str = FILE) -> list[RequestedRow]:
    """One row a person, from line 2 on."""
    return [row(line, person, file=file) for line, person in enumerate(people, start=2)]


def register(
    ledger: Ledger,
    rows: Sequence[RequestedRow],
    date: str = DATE,
    batch: int = 1000,
    refresh: Refresh | None = None,
) -> Registered:
    """Register a whole partition."""
    registration, total = Registration(date, refresh), Registered()
    for start in range(0, len(rows), batch):
        with ledger.write() as connection:
            total += registration.add(connection, rows[start : start + batch])
    with ledger.write() as connection:
        return total + registration.finish(connection)


def claim_all(
    ledger: Ledger, now: datetime = T0, *, owner: str = OWNER, date: str = DATE
) -> list[Claim]:
    with ledger.write() as connection:
        return claim(connection, queued_ids(connection, date, now), owner, now)


def answer(ledger: Ledger, *answers: Answer, now: datetime = T0) -> int:
    with ledger.write() as connection:
        return record(connection, answers, now)


def published_rows(ledger: Ledger, date: str = DATE) -> list[LedgerRow]:
    with ledger.read() as connection:
        return [found for batch in rows_of(connection, date) for found in batch]


def serving(ledger: Ledger, date: str = DATE) -> list[int]:
    """The lookups that a partition's rows ask for, in the order of the rows."""
    with ledger.read() as connection:
        found = connection.scalars(
            select(memberships.c.lookup_id)
            .where(memberships.c.lookup_date == date)
            .order_by(memberships.c.source_file, memberships.c.source_row)
        )
        return list(found)


def news(ledger: Ledger, date: str = DATE) -> int:
    with ledger.read() as connection:
        return news_version(connection, date)


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Collect the statements that the block has any database execute."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_further: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@contextmanager
def explained() -> Iterator[list[str]]:
    """Collect how SQLite finds what the block asks for: the plans, line by line."""
    lines: list[str] = []

    def explain(
        _connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        if not many:
            found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            lines.extend(row[-1] for row in found)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield lines
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


def lookup_of(ledger: Ledger, person: str) -> int:
    with ledger.read() as connection:
        found: int = connection.scalars(
            select(lookups.c.lookup_id).where(lookups.c.identity == person)
        ).one()
    return found


def claim_number(ledger: Ledger, lookup_id: int) -> int:
    """The number of a lookup's latest request."""
    with ledger.read() as connection:
        wanted = select(lookups.c.claim_number).where(lookups.c.lookup_id == lookup_id)
        number: int = connection.scalars(wanted).one()
    return number


def states(connection: Connection) -> dict[int, State]:
    found = connection.execute(select(lookups.c.lookup_id, lookups.c.state))
    return {lookup_id: State(state) for lookup_id, state in found}


def states_of(ledger: Ledger) -> dict[int, State]:
    with ledger.read() as connection:
        return states(connection)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the table holds about one lookup."""

    state: State
    attempts: int
    profile_id: int | None
    claimed_by: str | None
    claim_number: int
    not_before: datetime | None
    next_poll_at: datetime | None
    deadline_at: datetime | None
    settled_at: datetime | None
    failure_kind: str | None
    failure_reason: str | None
    keeps_lookup_id: int | None


def stored(ledger: Ledger, lookup_id: int) -> Stored:
    with ledger.read() as connection:
        return stored_lookups(connection)[lookup_id]


def stored_lookups(connection: Connection) -> dict[int, Stored]:
    return {
        found.lookup_id: Stored(
            State(found.state),
            found.attempts,
            found.profile_id,
            found.claimed_by,
            found.claim_number,
            found.not_before,
            found.next_poll_at,
            found.deadline_at,
            found.settled_at,
            found.failure_kind,
            found.failure_reason,
            found.keeps_lookup_id,
        )
        for found in connection.execute(select(lookups))
    }


def complete(lookup_id: int, payload: bytes = b"{}", *, claim: int | None = None) -> Answer:
    return Answer(lookup_id, State.COMPLETE, claim=claim, profile_id=7, payload=payload, credits=1)


def in_flight(
    lookup_id: int,
    *,
    profile_id: int | None = 7,
    poll_at: datetime | None = T0 + 3 * SECOND,
    deadline: datetime = T0 + timedelta(hours=24),
    api_status: str | None = "searching",
    claim: int | None = None,
) -> Answer:
    return Answer(
        lookup_id,
        State.IN_FLIGHT,
        claim=claim,
        api_status=api_status,
        profile_id=profile_id,
        next_poll_at=poll_at,
        deadline_at=deadline,
    )


def asked_in_vain(ledger: Ledger, lookup_id: int, at: datetime) -> None:
    """The provider was asked about a lookup, and had no final answer."""
    still = Answer(lookup_id, State.IN_FLIGHT, polled=True, next_poll_at=at + SECOND)
    answer(ledger, still, now=at)


def failed(lookup_id: int, kind: str = "not_found", *, claim: int | None = None) -> Answer:
    return Answer(
        lookup_id,
        State.FAILED,
        claim=claim,
        failure_kind=kind,
        failure_reason="no such person",
    )


def unconfirmed(lookup_id: int, claim: int | None = FIRST) -> Answer:
    return Answer(lookup_id, State.UNCONFIRMED, claim=claim, failure_kind="unconfirmed")


def put_back(
    lookup_id: int,
    claim: int | None = FIRST,
    *,
    not_before: datetime | None = None,
    not_processed: bool = True,
) -> Answer:
    return Answer(
        lookup_id, State.QUEUED, claim=claim, not_before=not_before, not_processed=not_processed
    )
