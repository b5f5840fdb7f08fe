"""What a partition publishes: its rows in one snapshot, and the version that was written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import zstandard
from sqlalchemy import BindParameter, Connection, Row, bindparam, exists, literal, select, update

from lookup_pipeline.ledger.states import PENDING, State
from lookup_pipeline.ledger.tables import lookups, memberships, partitions, payloads

# Rows fetched at once: some 5 KB each once unpacked, so a few MB of memory.
FETCH = 1_000


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of a partition with its lookup's state, as published.

    Attributes:
        requested: JSON text of the row as it was asked for.
        identity: the lookup's, as stored: a newer lookup may have taken it over.
        payload: the profile's JSON where the lookup is complete.
    """

    lookup_id: int
    source_file: str
    source_row: int
    reused: bool
    requested: str
    identity: str
    state: State
    api_status: str | None
    profile_id: int | None
    attempts: int
    submitted_at: datetime | None
    last_polled_at: datetime | None
    settled_at: datetime | None
    failure_kind: str | None
    failure_reason: str | None
    http_status: int | None
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class PartitionWithNews:
    """A partition whose files are older than the ledger.

    Attributes:
        lookup_date: partition key.
        news_version: the news to publish.
        published_at: when it was published last, if ever.
        attempts: publications asked for since one succeeded.
        requested_at: when one was asked for last.
    """

    lookup_date: str
    news_version: int
    published_at: datetime | None
    attempts: int
    requested_at: datetime | None


def news_version(connection: Connection, lookup_date: str) -> int:
    """The partition's count of news; 0 when the ledger has never heard of it."""
    found = connection.scalar(
        select(partitions.c.news_version).where(partitions.c.lookup_date == lookup_date)
    )
    return found or 0


def published_version(connection: Connection, lookup_date: str) -> int:
    """Return the version that the ledger takes for published; 0 where it knows of none."""
    found = connection.scalar(
        select(partitions.c.published_version).where(partitions.c.lookup_date == lookup_date)
    )
    return found or 0


def rows_of(connection: Connection, lookup_date: str) -> Iterator[list[LedgerRow]]:
    """The partition's rows ordered by file and line, in batches, payloads unpacked.

    Call it in the same read transaction as `news_version`: together they are the snapshot.
    """
    unpack = zstandard.ZstdDecompressor().decompress
    found = connection.execution_options(yield_per=FETCH).execute(
        select(
            memberships.c.lookup_id,
            memberships.c.source_file,
            memberships.c.source_row,
            memberships.c.reused,
            memberships.c.requested,
            lookups.c.identity,
            lookups.c.state,
            lookups.c.api_status,
            lookups.c.profile_id,
            lookups.c.attempts,
            lookups.c.submitted_at,
            lookups.c.last_polled_at,
            lookups.c.settled_at,
            lookups.c.failure_kind,
            lookups.c.failure_reason,
            lookups.c.http_status,
            payloads.c.payload,
        )
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .outerjoin(payloads, payloads.c.lookup_id == memberships.c.lookup_id)
        .where(memberships.c.lookup_date == lookup_date)
        .order_by(memberships.c.source_file, memberships.c.source_row)
    )
    for batch in found.partitions():
        yield [_ledger_row(row, unpack) for row in batch]


def _ledger_row(row: Row[*tuple[Any, ...]], unpack: Callable[[bytes], bytes]) -> LedgerRow:
    values = row._asdict()
    values["state"] = State(values["state"])
    if values["payload"] is not None:
        values["payload"] = unpack(values["payload"])
    return LedgerRow(**values)


def begin_recording(connection: Connection, lookup_date: str, version: int) -> bool:
    """Lock the partition for replacing its files; whether `version` is still worth writing.

    False when a newer version has been published meanwhile: those files stay. The lock lasts
    until the caller's transaction ends.
    """
    published = connection.scalar(
        select(partitions.c.published_version)
        .where(partitions.c.lookup_date == lookup_date)
        .with_for_update()
    )
    return published is None or published <= version


def record_publication(
    connection: Connection, lookup_date: str, version: int, credits_spent: int, now: datetime
) -> int:
    """Note that the partition's files show `version`, and what it has cost so far.

    Returns:
        The credits that no publication of this partition has told of before.
    """
    told: int | None = connection.scalar(
        select(partitions.c.published_credits).where(partitions.c.lookup_date == lookup_date)
    )
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date == lookup_date)
        .values(
            published_version=version,
            published_at=now,
            published_credits=credits_spent,
            publication_attempts=0,
            publication_requested_at=None,
        )
    )
    return credits_spent - (told or 0)


def partitions_with_news(connection: Connection) -> list[PartitionWithNews]:
    """Every partition whose files do not show what the ledger holds, the oldest first."""
    found = connection.execute(
        select(
            partitions.c.lookup_date,
            partitions.c.news_version,
            partitions.c.published_at,
            partitions.c.publication_attempts,
            partitions.c.publication_requested_at,
        )
        .where(partitions.c.news_version > partitions.c.published_version)
        .order_by(partitions.c.lookup_date)
    )
    return [PartitionWithNews(*row) for row in found]


# Written out: an index that holds some rows only serves no condition whose values come later.
_IS_PENDING = lookups.c.state.in_(
    bindparam("pending", sorted(PENDING), expanding=True, literal_execute=True)
)
_DATE: BindParameter[str] = bindparam("lookup_date")
_SERVES = memberships.c.lookup_id == lookups.c.lookup_id
_WAITS_FOR_ITS_OWN = (
    select(literal(value=True))
    .where(lookups.c.first_date == _DATE, _IS_PENDING)
    .where(exists().where(_SERVES, memberships.c.lookup_date == _DATE))
    .limit(1)
)
_WAITS = (
    select(literal(value=True))
    .join_from(memberships, lookups, _SERVES)
    .where(memberships.c.lookup_date == _DATE, _IS_PENDING)
    .limit(1)
)


def is_settled(connection: Connection, lookup_date: str) -> bool:
    """Whether no row of a partition waits for its lookup.

    Most partitions that wait do so for a lookup of their own, which an index finds at once; else
    this goes through the partition's rows.
    """
    given = {"lookup_date": lookup_date}
    return not any(connection.scalar(each, given) for each in (_WAITS_FOR_ITS_OWN, _WAITS))


def note_requested(connection: Connection, lookup_dates: Sequence[str], now: datetime) -> None:
    """Note that publication was asked for: the next request waits longer, under a new key."""
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date.in_(lookup_dates))
        .values(
            publication_attempts=partitions.c.publication_attempts + 1,
            publication_requested_at=now,
        )
    )


def wait_before_next_request(attempts: int) -> timedelta:
    """How long to leave a requested publication alone before asking again.

    A minute covers a run that queues and starts normally; it doubles with every attempt, up to
    half an hour, so that a publication that can't succeed does not fill the run list.
    """
    return timedelta(minutes=min(2 ** max(attempts - 1, 0), 30))
