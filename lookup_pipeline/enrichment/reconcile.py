"""Reconciling: bring a restored, older or empty ledger in line with the datasets and the provider.

By identity, never by lookup id: the ids of a ledger that is gone mean nothing to this one. What
cannot be proved counts as unconfirmed, so nobody is sent twice. Only an operator begins it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
from sqlalchemy import Connection

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PROFILES,
    Dataset,
)
from lookup_pipeline.datasets.profiles import profile_payload
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.datasets.submission_counters import SubmissionCounters
from lookup_pipeline.enrichment.identities import learn_identities, new_lookups_learned
from lookup_pipeline.enrichment.lineage import COUNTER, INCARNATION, VERSION
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.permits import wait_for_permit
from lookup_pipeline.enrichment.poll import OPERATION
from lookup_pipeline.enrichment.publish import PUBLISHED
from lookup_pipeline.enrichment.register import BATCH, REQUESTED_NAMES, requested_rows
from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.answers import store_payloads
from lookup_pipeline.ledger.lineage import (
    is_known_incarnation,
    known_counters,
    newest_lookup,
    read_lineage,
)
from lookup_pipeline.ledger.news import note_news_of
from lookup_pipeline.ledger.publications import published_version
from lookup_pipeline.ledger.reconciliation import (
    WAS_TO_BE_SENT,
    Evidence,
    count_doubtful,
    doubt_unsent,
    finish,
    take_up,
    take_up_refreshes,
)
from lookup_pipeline.ledger.registration import Registered, Registration
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.identity import Query, build_query
from lookup_pipeline.rocketreach import RocketReachClient
from lookup_pipeline.rocketreach.client import MAX_IDS
from lookup_pipeline.rocketreach.models import COMPLETE

# Published rows taken up at once: a profile is some 5 KB of JSON.
_ROWS = 1_000

_KEY_COLUMNS = ("source_file", "source_row", *REQUESTED_NAMES)


@dataclass(slots=True)
class Reconciliation:
    """What reconciling found, in lookups.

    Attributes:
        partitions: partitions whose files show more than the ledger knew.
        taken_up: lookups that files told more of, by the state they are in now.
        doubtful: lookups of which is not known whether they were sent.
        unreadable_rows: published rows that today's rules find no lookup for.
        profiles: the provider's id of each profile that was taken from a file, by lookup id.
    """

    partitions: int = 0
    taken_up: Counter[State] = field(default_factory=Counter)
    doubtful: int = 0
    unreadable_rows: int = 0
    profiles: dict[int, int] = field(default_factory=dict)


def reconcile(
    ledger: Ledger,
    folder: DatasetFolder,
    deadline: timedelta,
    *,
    dry_run: bool = False,
    clock: Clock = utc_now,
) -> Reconciliation:
    """Take up what the published files prove; what they do not prove counts as unconfirmed.

    One transaction: dying in it changes nothing. It is the only one in which files are read, since
    nobody else may send or publish from this ledger before it has ended.

    Args:
        ledger: older than the datasets, or empty.
        folder: the datasets.
        deadline: how long a lookup may stay in flight.
        dry_run: find out what it would do, and do nothing.
        clock: tells the time.

    Raises:
        StorageError: the counters cannot be read.
    """
    learn_identities(ledger)
    found = Reconciliation()
    with ledger.write() as connection:
        _Reconciling(connection, folder, deadline, clock, found).work()
        if dry_run:
            connection.rollback()
    return found


class _File(NamedTuple):
    """A published file that shows more than the ledger knows.

    Attributes:
        dataset: which dataset's.
        lookup_date: partition key.
        facts: what it says of the ledger that wrote it; empty where an older version did.
    """

    dataset: Dataset
    lookup_date: str
    facts: Mapping[str, str]

    @property
    def version(self) -> int:
        """The version that it shows."""
        return int(self.facts.get(VERSION, 0))


class _Reconciling:
    def __init__(
        self,
        connection: Connection,
        folder: DatasetFolder,
        deadline: timedelta,
        clock: Clock,
        found: Reconciliation,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._deadline = deadline
        self._now = clock()
        self._found = found
        self._counters = SubmissionCounters(folder).read()
        # Whether the counters prove that no claim came after those that the ledger knows.
        self._is_sure = False

    def work(self) -> None:
        """Do all of it, within the transaction."""
        held = read_lineage(self._connection)
        known = known_counters(self._connection, [each.writer for each in self._counters])
        knows_all = all(known.get(each.writer) == each.counter for each in self._counters)
        self._is_sure = knows_all and self._is_last(held.counter)
        if not self._is_sure:
            doubt_unsent(self._connection, self._now)
        dates = self._folder.partitions(LOOKUPS)
        registered = {each for each in dates if self._register(each)}
        published = [each for dataset in PUBLISHED for each in self._newer_files(dataset)]
        for each in published:
            self._take_up(each)
        self._found.doubtful = count_doubtful(self._connection)
        versions: dict[str, int] = {}
        for each in published:
            versions[each.lookup_date] = max(each.version, versions.get(each.lookup_date, 0))
        self._found.partitions = len(registered | versions.keys())
        finish(
            self._connection,
            versions,
            sorted({each.facts[INCARNATION] for each in published if each.facts}),
            {each.writer: each.counter for each in self._counters},
            max((int(each.facts.get(COUNTER, 0)) for each in published), default=0),
            max(
                (
                    self._folder.highest_lookup_id(dataset, each)
                    for dataset in (LOOKUPS, *PUBLISHED)
                    for each in self._folder.partitions(dataset)
                ),
                default=0,
            ),
            self._now,
        )

    def _is_last(self, counter: int) -> bool:
        """Whether no lookup was claimed after this counter was read."""
        return bool(self._counters) and all(
            each.counter <= counter and not each.is_open for each in self._counters
        )

    def _newer_files(self, dataset: Dataset) -> list[_File]:
        """Return a published dataset's files that show what the ledger does not know, by date."""
        files = [
            _File(dataset, date, self._folder.facts(dataset, date))
            for date in self._folder.partitions(dataset)
        ]
        return [
            each
            for each in files
            if INCARNATION not in each.facts
            or not is_known_incarnation(self._connection, each.facts[INCARNATION])
            or each.version > published_version(self._connection, each.lookup_date)
        ]

    def _register(self, lookup_date: str) -> bool:
        """Bring a partition's memberships in line with its file; whether any was not.

        What is new here is in doubt: its row was registered before anything of it was sent.
        """
        above = newest_lookup(self._connection)
        registration, total = Registration(lookup_date), Registered()
        with new_lookups_learned(self._connection):
            for rows in self._rows_of(lookup_date):
                total += registration.add(self._connection, requested_rows(rows))
        total += registration.finish(self._connection)
        if not self._is_sure:
            doubt_unsent(self._connection, self._now, above=above)
        return total.changed > 0

    def _rows_of(self, lookup_date: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `lookups` as `names` would have them, with today's identities."""
        names: Iterator[pa.RecordBatch | None] = iter(())
        if self._folder.exists(NAMES, lookup_date):
            names = self._folder.batches(NAMES, lookup_date, BATCH)
        for rows in self._folder.batches(LOOKUPS, lookup_date, BATCH):
            queries = [build_query(*requested) for requested in _requested(rows)]
            usable = [query is not None for query in queries]
            self._found.unreadable_rows += usable.count(False)
            columns = {name: rows.column(name) for name in _KEY_COLUMNS}
            columns["identity"] = pa.array([query and query.identity for query in queries])
            columns["query"] = pa.array([query and query.as_json() for query in queries])
            columns["source_columns"] = _source_columns(rows, next(names, None))
            yield pa.RecordBatch.from_arrays(
                [columns[each.name].cast(each.type) for each in NAMES.schema],
                names=NAMES.schema.names,
            ).filter(pa.array(usable))

    def _take_up(self, file: _File) -> None:
        is_last = self._is_last(int(file.facts.get(COUNTER, -1)))
        for rows in self._folder.batches(file.dataset, file.lookup_date, _ROWS):
            evidence = [
                _evidence(file.dataset, query, row, self._now, is_last=is_last)
                for row, requested in zip(rows.to_pylist(), _requested(rows), strict=True)
                if (query := build_query(*requested)) is not None
            ]
            for taken in take_up(self._connection, evidence, self._now, self._deadline):
                self._found.taken_up[taken.evidence.state] += 1
                if taken.evidence.payload is not None and taken.evidence.profile_id is not None:
                    self._found.profiles[taken.lookup_id] = taken.evidence.profile_id
            take_up_refreshes(self._connection, file.lookup_date, evidence, self._now)


def _requested(rows: pa.RecordBatch) -> Iterator[tuple[str | None, ...]]:
    return zip(*(rows.column(name).to_pylist() for name in REQUESTED_NAMES), strict=True)


def _source_columns(rows: pa.RecordBatch, names: pa.RecordBatch | None) -> Any:
    """Return the CSV's further columns, which `lookups` lacks: of `names` with the same rows."""
    if names is not None and all(
        rows.column(each).equals(names.column(each)) for each in _KEY_COLUMNS
    ):
        return names.column("source_columns")
    return pa.array([[]] * rows.num_rows, NAMES.schema.field("source_columns").type)


def _evidence(
    dataset: Dataset, query: Query, row: dict[str, Any], now: datetime, *, is_last: bool
) -> Evidence:
    """Return what a published row proves about its lookup.

    Args:
        dataset: in which it stands.
        query: what it asks for.
        row: all of its columns.
        now: the current time.
        is_last: whether no lookup was claimed after the file was written.
    """
    if dataset is PROFILES:
        return Evidence(
            query.identity,
            query.as_json(),
            State.COMPLETE,
            api_status=row["status"],
            profile_id=row["profile_id"],
            submitted_at=row["submitted_at"],
            settled_at=row["completed_at"],
            attempts=1,
            payload=profile_payload(row["profile_id"], row),
            credits=int(bool(row["emails"] or row["phones"])),
            refresh_state=_refresh_state(row, is_last=is_last),
            refresh_failure_kind=row.get("refresh_failure_kind"),
        )
    if dataset is FAILED_LOOKUPS:
        kind = row["failure_kind"]
        return Evidence(
            query.identity,
            query.as_json(),
            State.UNCONFIRMED if kind == FailureKind.UNCONFIRMED else State.FAILED,
            submitted_at=row["submitted_at"],
            settled_at=row["failed_at"],
            attempts=row["attempts"],
            failure_kind=kind,
            failure_reason=row["failure_reason"],
            http_status=row["http_status"],
        )
    state = State(row["state"])
    if state is State.SUBMITTING or (state is State.QUEUED and not is_last):
        return Evidence(
            query.identity,
            query.as_json(),
            State.UNCONFIRMED,
            profile_id=row.get("profile_id"),
            submitted_at=row["submitted_at"],
            settled_at=now,
            failure_kind=FailureKind.UNCONFIRMED,
            failure_reason=WAS_TO_BE_SENT,
        )
    return Evidence(
        query.identity,
        query.as_json(),
        state,
        api_status=row["api_status"],
        # A file of an older version has no such column.
        profile_id=row.get("profile_id"),
        submitted_at=row["submitted_at"],
        attempts=int(row["submitted_at"] is not None),
    )


def _refresh_state(row: dict[str, Any], *, is_last: bool) -> State | None:
    """Where the refresh of a published profile stands, as far as that can be known now."""
    # A file of an older version has no such column.
    published = row.get("refresh_state")
    if published is None:
        return None
    state = State(published)
    can_be_known = state is State.FAILED or (state is State.QUEUED and is_last)
    return state if can_be_known else State.UNCONFIRMED


def fetch_profiles(
    ledger: Ledger,
    client: RocketReachClient,
    profiles: Mapping[int, int],
    requests_per_second: float,
    *,
    clock: Clock = utc_now,
) -> int:
    """Replace profiles that were taken from files by what the provider still has; free of charge.

    Args:
        ledger: where they are kept.
        client: the API.
        profiles: the provider's ids, by lookup id.
        requests_per_second: ceiling over all operations and processes; 0 lifts it.
        clock: tells the time.

    Returns:
        How many were replaced.

    Raises:
        RocketReachError: the API does not answer; the profiles from the files stay.
    """
    fetched = 0
    wanted = list(profiles.items())
    for start in range(0, len(wanted), MAX_IDS):
        some = wanted[start : start + MAX_IDS]
        wait_for_permit(ledger, OPERATION, requests_per_second, clock)
        answers = client.check_status(sorted({profile_id for _lookup, profile_id in some}))
        payloads = {each.profile_id: each.payload for each in answers if each.status == COMPLETE}
        found = {lookup: payloads[person] for lookup, person in some if person in payloads}
        with ledger.write() as connection:
            store_payloads(connection, found, clock())
            note_news_of(connection, list(found))
        fetched += len(found)
    return fetched
