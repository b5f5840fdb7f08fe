"""What enriching a partition will cost, before anything is written or sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from lookup_pipeline.enrichment.pace import Window, seconds_to_send
from lookup_pipeline.ledger import Ledger, State, allowances
from lookup_pipeline.ledger.allowances import CREDITS, WINDOWS
from lookup_pipeline.ledger.refresh import Refresh, outdated
from lookup_pipeline.ledger.registration import known_lookups
from lookup_pipeline.names.files import NamesFile
from lookup_pipeline.names.identity import REQUESTED_COLUMNS, build_query

# Rows whose lookups are looked for at once.
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a partition's CSV files ask for.

    Attributes:
        lookup_date: partition key.
        usable: rows that can be looked up.
        rejected: rows that can't.
        reused: usable rows whose lookup is known already, or repeats another row's.
        new: lookups that nobody has asked for before.
        refreshed: lookups that follow one whose data are old.
        queued: lookups that were asked for before, and wait in the queue.
    """

    lookup_date: str
    usable: int = 0
    rejected: int = 0
    reused: int = 0
    new: int = 0
    refreshed: int = 0
    queued: int = 0

    @property
    def to_send(self) -> int:
        """Lookups to be sent: at most a credit each."""
        return self.new + self.refreshed + self.queued

    def __add__(self, other: "Forecast") -> "Forecast":
        return Forecast(
            self.lookup_date,
            self.usable + other.usable,
            self.rejected + other.rejected,
            self.reused + other.reused,
            self.new + other.new,
            self.refreshed + other.refreshed,
            self.queued + other.queued,
        )


def forecast(
    ledger: Ledger,
    files_by_date: Sequence[tuple[str, Sequence[NamesFile]]],
    refresh: Refresh,
) -> list[Forecast]:
    """What these partitions ask for, if they are enriched one after the other.

    Args:
        ledger: what is known already; only read.
        files_by_date: partition keys, each with its files, in the order of the runs.
        refresh: who is looked up again.

    Raises:
        UnreadableFile: a file can't be read as a CSV at all.
    """
    # People of an earlier partition are known by the time of a later one.
    seen: set[str] = set()
    return [_of_partition(ledger, date, files, refresh, seen) for date, files in files_by_date]


def _of_partition(
    ledger: Ledger,
    lookup_date: str,
    files: Sequence[NamesFile],
    refresh: Refresh,
    seen: set[str],
) -> Forecast:
    # pandas takes longer to load than all the rest: only where files are read.
    from lookup_pipeline.names.reader import read_names  # noqa: PLC0415

    found = Forecast(lookup_date)
    for batch in read_names(files, _BATCH):
        identities = list(_identities(batch.usable[list(REQUESTED_COLUMNS)].to_numpy().tolist()))
        with ledger.read() as connection:
            found += _of_rows(connection, lookup_date, identities, refresh, seen)
        found = replace(found, rejected=found.rejected + len(batch.rejected))
    return found


def _identities(rows: Sequence[Sequence[str | None]]) -> Iterator[str]:
    for row in rows:
        query = build_query(*row)
        if query is not None:
            yield query.identity


def _of_rows(
    connection: Connection,
    lookup_date: str,
    identities: Sequence[str],
    refresh: Refresh,
    seen: set[str],
) -> Forecast:
    first = [each for each in dict.fromkeys(identities) if each not in seen]
    seen.update(first)
    known = known_lookups(connection, first)
    old = outdated(connection, [each.lookup_id for each in known.values()], lookup_date, refresh)
    new = len(first) - len(known)
    return Forecast(
        lookup_date,
        usable=len(identities),
        reused=len(identities) - new - len(old),
        new=new,
        refreshed=len(old),
        queued=sum(each.state is State.QUEUED for each in known.values()),
    )


def seconds_needed(
    connection: Connection,
    lookups: int,
    per_second: float,
    max_a_day: int | None,
    now: datetime,
) -> float | None:
    """How long so many lookups take by the limits that are known; None where they never end.

    Args:
        connection: a read transaction.
        lookups: how many are to be sent.
        per_second: the ceiling over all operations; 0 for none.
        max_a_day: the operator's own maximum; None for none.
        now: the current time.
    """
    windows = []
    for row in allowances.known(connection):
        if row.name == CREDITS or row.limit is None:
            continue
        length = WINDOWS[row.name]
        opens_in = None
        if row.opened_at is not None:
            opens_in = max((row.opened_at + length - now).total_seconds(), 0)
        windows.append(Window(row.limit, row.remaining, length.total_seconds(), opens_in))
    if max_a_day is not None:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        day = timedelta(days=1)
        sent = allowances.sent_since(connection, today)
        windows.append(
            Window(
                max_a_day,
                max_a_day - sent,
                day.total_seconds(),
                (today + day - now).total_seconds(),
            )
        )
    return seconds_to_send(lookups, per_second, windows)
