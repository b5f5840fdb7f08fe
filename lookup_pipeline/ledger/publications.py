"""What a partition publishes: its rows in one snapshot, and the version that was written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import zstandard
from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from lookup_pipeline.ledger.news import note_news
from lookup_pipeline.ledger.shown import is_shown, keeps_profile, shown
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import (
    IS_PENDING,
    lookups,
    memberships,
    partitions,
    payloads,
    publication_claims,
)

# Rows fetched at once: some 5 KB each once unpacked, so a few MB of memory.
FETCH = 1_000

# How long a publication may take to move its files before it counts as dead. Three renames take
# milliseconds, copies of the largest objects minutes.
PUBLICATION_LEASE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of a partition with its lookup's state, as published.

    Where the row's lookup is a refresh without a profile, what is said about the lookup is that of
    the complete one before it, but for `identity` and the refresh's own two.

    Attributes:
        requested: JSON text of the row as it was asked for.
        identity: of the row's lookup, as stored: a newer lookup may have taken it over.
        payload: the profile's JSON where the lookup is complete.
        refresh_state: where the refresh stands, if there is one without a profile.
        refresh_failure_kind: why it ended so.
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
    refresh_state: State | None
    refresh_failure_kind: str | None


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
            shown.c.lookup_id,
            memberships.c.source_file,
            memberships.c.source_row,
            memberships.c.reused,
            memberships.c.requested,
            lookups.c.identity,
            shown.c.state,
            shown.c.api_status,
            shown.c.profile_id,
            shown.c.attempts,
            shown.c.submitted_at,
            shown.c.last_polled_at,
            shown.c.settled_at,
            shown.c.failure_kind,
            shown.c.failure_reason,
            shown.c.http_status,
            payloads.c.payload,
            case((keeps_profile, lookups.c.state)).label("refresh_state"),
            case((keeps_profile, lookups.c.failure_kind)).label("refresh_failure_kind"),
        )
        .join(lookups, lookups.c.lookup_id == memberships.c.lookup_id)
        .join(shown, is_shown)
        .outerjoin(payloads, payloads.c.lookup_id == shown.c.lookup_id)
        .where(memberships.c.lookup_date == lookup_date)
        .order_by(memberships.c.source_file, memberships.c.source_row)
    )
    for batch in found.partitions():
        yield [_ledger_row(row, unpack) for row in batch]


def _ledger_row(row: Row[*tuple[Any, ...]], unpack: Callable[[bytes], bytes]) -> LedgerRow:
    values = row._asdict()
    values["state"] = State(values["state"])
    if values["refresh_state"] is not None:
        values["refresh_state"] = State(values["refresh_state"])
    if values["payload"] is not None:
        values["payload"] = unpack(values["payload"])
    return LedgerRow(**values)


@dataclass(frozen=True, slots=True)
class PublicationClaim:
    """A publication that moves its files into place.

    Attributes:
        token: its own, so that no other publication speaks for it.
        lookup_date: partition key.
        version: the news that its files show.
    """

    token: str
    lookup_date: str
    version: int


def claim_publication(
    connection: Connection, lookup_date: str, version: int, now: datetime
) -> PublicationClaim | None:
    """Note that files of `version` are about to be moved into place.

    None where a newer version is in place, or about to be: then those files stay. The files are
    moved after the caller's transaction has ended, and the claim is released after that. Two
    publications may hold claims on one partition: the one of the older version, or else the one
    that ends last, is told when it releases its own.
    """
    if _newest_version(connection, lookup_date) > version:
        return None
    claim = PublicationClaim(uuid4().hex, lookup_date, version)
    connection.execute(
        insert(publication_claims).values(
            token=claim.token, lookup_date=lookup_date, version=version, claimed_at=now
        )
    )
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date == lookup_date, partitions.c.claimed_version < version)
        .values(claimed_version=version)
    )
    return claim


def highest_version(connection: Connection, lookup_date: str) -> int:
    """Return the highest version that files of this ledger can show; 0 for none."""
    found = connection.scalar(
        select(partitions.c.claimed_version).where(partitions.c.lookup_date == lookup_date)
    )
    return found or 0


def release_publication(connection: Connection, claim: PublicationClaim) -> bool:
    """Give a claim up; whether its version is the newest that was moved into place.

    Where it is not, its files may lie over newer ones: that is news, so that the partition is
    published again.
    """
    newest = _newest_version(connection, claim.lookup_date)
    connection.execute(delete(publication_claims).where(publication_claims.c.token == claim.token))
    if newest > claim.version:
        note_news(connection, [claim.lookup_date])
    return newest <= claim.version


def expire_publications(connection: Connection, now: datetime) -> None:
    """Give up on publications that died while they moved files: their partitions have news."""
    # A claim of the far future was made by a clock that was wrong.
    is_over = or_(
        publication_claims.c.claimed_at < now - PUBLICATION_LEASE,
        publication_claims.c.claimed_at > now + PUBLICATION_LEASE,
    )
    dates = set(
        connection.scalars(
            delete(publication_claims).where(is_over).returning(publication_claims.c.lookup_date)
        )
    )
    note_news(connection, dates)


def _newest_version(connection: Connection, lookup_date: str) -> int:
    """The newest version that was moved, or is being moved, into place; locks the partition."""
    published = connection.scalar(
        select(partitions.c.published_version)
        .where(partitions.c.lookup_date == lookup_date)
        .with_for_update()
    )
    claimed = connection.scalar(
        select(func.max(publication_claims.c.version)).where(
            publication_claims.c.lookup_date == lookup_date
        )
    )
    return max(published or 0, claimed or 0)


def record_publication(
    connection: Connection,
    lookup_date: str,
    version: int,
    credits_spent: int | None,
    now: datetime,
) -> int:
    """Note that the partition's files show `version`, and what it has cost so far.

    Args:
        connection: a write transaction.
        lookup_date: partition key.
        version: the partition's news that the files show.
        credits_spent: what is told of; None where nobody tells it now.
        now: the current time.

    Returns:
        The credits that no publication of this partition has told of before.
    """
    told: int = (
        connection.scalar(
            select(partitions.c.published_credits).where(partitions.c.lookup_date == lookup_date)
        )
        or 0
    )
    if credits_spent is None:
        credits_spent = told
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
    return credits_spent - told


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


_DATE: BindParameter[str] = bindparam("lookup_date")
_SERVES = memberships.c.lookup_id == lookups.c.lookup_id
_WAITS_FOR_ITS_OWN = (
    select(literal(value=True))
    .where(lookups.c.first_date == _DATE, IS_PENDING)
    .where(exists().where(_SERVES, memberships.c.lookup_date == _DATE))
    .limit(1)
)
_WAITS = (
    select(literal(value=True))
    .join_from(memberships, lookups, _SERVES)
    .where(memberships.c.lookup_date == _DATE, IS_PENDING)
    .limit(1)
)


def is_settled(connection: Connection, lookup_date: str) -> bool:
    """Whether no row of a partition waits for its lookup.

    Most partitions that wait do so for a lookup of their own, which an index finds at once; else
    this goes through the partition's rows.
    """
    given = {"lookup_date": lookup_date}
    return not any(connection.scalar(each, given) for each in (_WAITS_FOR_ITS_OWN, _WAITS))


class PublishedPartition(NamedTuple):
    """A partition without news, and the version that its files should show."""

    lookup_date: str
    version: int


def partitions_to_check(
    connection: Connection, limit: int, now: datetime
) -> list[PublishedPartition]:
    """Published partitions whose files were not looked at for longest, so many at most."""
    checked_at = partitions.c.files_checked_at
    # A time of the future was noted by a clock that was wrong.
    never = or_(checked_at.is_(None), checked_at > now)
    found = connection.execute(
        select(partitions.c.lookup_date, partitions.c.published_version)
        .where(
            partitions.c.published_version > 0,
            partitions.c.published_version == partitions.c.news_version,
        )
        .order_by(case((never, 0), else_=1), checked_at, partitions.c.lookup_date)
        .limit(limit)
    )
    return [PublishedPartition(*row) for row in found]


def note_files_checked(connection: Connection, lookup_dates: Sequence[str], now: datetime) -> None:
    """Note that these partitions' files had their turn to be looked at."""
    connection.execute(
        update(partitions)
        .where(partitions.c.lookup_date.in_(lookup_dates))
        .values(files_checked_at=now)
    )


def note_outdated_files(connection: Connection, found: Sequence[PublishedPartition]) -> None:
    """Count news for those that still should show what their files do not.

    Not where a publication has moved files since they were looked at, or is about to.
    """
    moving = exists().where(publication_claims.c.lookup_date == partitions.c.lookup_date)
    for each in found:
        unchanged = connection.scalar(
            select(partitions.c.lookup_date).where(
                partitions.c.lookup_date == each.lookup_date,
                partitions.c.published_version == each.version,
                partitions.c.news_version == each.version,
                ~moving,
            )
        )
        if unchanged is not None:
            note_news(connection, [each.lookup_date])


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
