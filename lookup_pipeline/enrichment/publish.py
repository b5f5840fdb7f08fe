"""Publishing: a partition's datasets, from one snapshot of the ledger, replaced together."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.datasets.profiles import profile_row
from lookup_pipeline.datasets.row_reconciliation import KEYS, RowReconciliation, reconcile_rows
from lookup_pipeline.datasets.storage import DatasetFolder, PartitionWriter, replace_together
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.register import identifying
from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.counts import credits_of_partition
from lookup_pipeline.ledger.people import People, people_of
from lookup_pipeline.ledger.publications import (
    LedgerRow,
    begin_recording,
    news_version,
    record_publication,
    rows_of,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.rocketreach.models import KNOWN_STATUSES

PUBLISHED = (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)


class NotReadyError(Exception):
    """The partition has nothing to publish yet; the message says what to materialize first."""


class RowReconciliationError(Exception):
    """A row would be lost or doubled; nothing was replaced.

    Attributes:
        reconciliation: what does not add up.
    """

    def __init__(self, reconciliation: RowReconciliation) -> None:
        super().__init__(
            f"The rows do not add up, so nothing was published: {reconciliation.problem}. "
            "Materialize `names` and `lookups` of this partition again; if that does not help, it "
            "is a defect."
        )
        self.reconciliation = reconciliation


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published.

    Attributes:
        version: the partition's news that the files show.
        replaced: whether the files were replaced; not when a newer version was there already.
        reconciliation: rows by dataset.
        states: rows by state.
        credits: credits spent on lookups that this partition asked for first.
        new_credits: those of them that no publication had told of before.
        failure_kinds: failed rows by kind.
        unknown_statuses: pending rows by a status that the provider's texts do not name.
        profiles_with_extra: profiles with fields, or types of fields, that no column holds.
        people: who the profiles are, by the provider's ids.
    """

    version: int
    replaced: bool
    reconciliation: RowReconciliation
    states: dict[State, int]
    credits: int
    new_credits: int
    failure_kinds: dict[str, int]
    unknown_statuses: dict[str, int]
    profiles_with_extra: int
    people: People


def publish(
    ledger: Ledger, folder: DatasetFolder, lookup_date: str, *, clock: Clock = utc_now
) -> Publication:
    """Write the partition's three datasets from the ledger and put them in place together.

    The order makes it safe to die anywhere: version and rows are read in one snapshot, the files
    are written beside their targets and reconciled, then put in place, then the version is
    noted. A death before the note only means that the same is written again. A file that can't be
    put in place leaves all three as they were; what an object store does, `replace_together` says.

    Raises:
        NotReadyError: `names` or `lookups` has not been materialized.
        RowReconciliationError: a row would be lost or doubled; nothing was replaced.
        StorageError: a file can't be written or put in place.
    """
    for dataset in (NAMES, LOOKUPS):
        if not folder.exists(dataset, lookup_date):
            raise NotReadyError(
                f"`{dataset.name}` has no file for {lookup_date}: materialize `names` and "
                "`lookups` of this partition first (enrichment_job does all of it)."
            )
    with ExitStack() as stack:
        writers = {
            dataset.name: stack.enter_context(folder.writer(dataset, lookup_date))
            for dataset in PUBLISHED
        }
        counts = _Counts()
        with ledger.read() as connection:
            version = news_version(connection, lookup_date)
            credits_spent = credits_of_partition(connection, lookup_date)
            people = people_of(connection, lookup_date)
            for rows in rows_of(connection, lookup_date):
                _write(writers, rows, counts)
        for writer in writers.values():
            writer.finish()
        reconciliation = reconcile_rows(
            folder.read(NAMES, lookup_date, KEYS),
            folder.read(LOOKUPS, lookup_date, KEYS),
            {name: writer.read(KEYS) for name, writer in writers.items()},
        )
        if not reconciliation.balanced:
            raise RowReconciliationError(reconciliation)
        with ledger.write() as connection:
            new_credits = 0
            replaced = begin_recording(connection, lookup_date, version)
            if replaced:
                replace_together(writers.values())
                new_credits = record_publication(
                    connection, lookup_date, version, credits_spent, clock()
                )
    return Publication(
        version,
        replaced,
        reconciliation,
        {state: counts.states[state] for state in State},
        credits_spent,
        new_credits,
        dict(counts.failure_kinds),
        dict(counts.unknown_statuses),
        counts.profiles_with_extra,
        people,
    )


class _Counts:
    def __init__(self) -> None:
        self.states: Counter[State] = Counter()
        self.failure_kinds: Counter[str] = Counter()
        self.unknown_statuses: Counter[str] = Counter()
        self.profiles_with_extra = 0


def _write(writers: dict[str, PartitionWriter], rows: list[LedgerRow], counts: _Counts) -> None:
    batches: dict[str, list[dict[str, Any]]] = {name: [] for name in writers}
    for row in rows:
        counts.states[row.state] += 1
        if row.state is State.COMPLETE:
            values = _profile(row)
            counts.profiles_with_extra += values["extra"] is not None
            batches[PROFILES.name].append(values)
        elif row.state in (State.FAILED, State.UNCONFIRMED):
            counts.failure_kinds[str(row.failure_kind)] += 1
            batches[FAILED_LOOKUPS.name].append(_failed(row))
        else:
            if row.api_status is not None and row.api_status not in KNOWN_STATUSES:
                counts.unknown_statuses[row.api_status] += 1
            batches[PENDING_LOOKUPS.name].append(_pending(row))
    for name, batch in batches.items():
        writers[name].write(batch)


def _profile(row: LedgerRow) -> dict[str, Any]:
    return {
        **identifying(row),
        "submitted_at": row.submitted_at,
        "completed_at": row.settled_at,
        "profile_id": row.profile_id,
        **profile_row(row.payload or b"{}"),
    }


def _failed(row: LedgerRow) -> dict[str, Any]:
    return {
        **identifying(row),
        "failure_kind": row.failure_kind,
        "failure_reason": row.failure_reason,
        "http_status": row.http_status,
        "attempts": row.attempts,
        "submitted_at": row.submitted_at,
        "failed_at": row.settled_at,
    }


def _pending(row: LedgerRow) -> dict[str, Any]:
    return {
        **identifying(row),
        "state": row.state.value,
        "api_status": row.api_status,
        "submitted_at": row.submitted_at,
        "last_polled_at": row.last_polled_at,
    }
