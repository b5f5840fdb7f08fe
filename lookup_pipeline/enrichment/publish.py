"""Publishing: a partition's datasets, from one snapshot of the ledger, replaced together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from lookup_pipeline.datasets.columns import (
    FAILED_LOOKUPS,
    LOOKUPS,
    NAMES,
    PENDING_LOOKUPS,
    PROFILES,
)
from lookup_pipeline.datasets.profiles import profile_row
from lookup_pipeline.datasets.row_reconciliation import (
    ASKED,
    KEYS,
    RowDigests,
    RowReconciliation,
    named_rows,
    reconcile_rows,
    rows_that_differ,
)
from lookup_pipeline.datasets.storage import DatasetFolder, PartitionWriter, replace_together
from lookup_pipeline.enrichment.lineage import check_lineage, check_published, facts_of
from lookup_pipeline.enrichment.outcomes import Clock
from lookup_pipeline.enrichment.register import identifying
from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.counts import credits_of_partition
from lookup_pipeline.ledger.identities import known_lookups, own_identity
from lookup_pipeline.ledger.people import People, people_of
from lookup_pipeline.ledger.publications import (
    LedgerRow,
    PublicationClaim,
    claim_publication,
    news_version,
    record_publication,
    release_publication,
    rows_of,
)
from lookup_pipeline.ledger.times import utc_now
from lookup_pipeline.names.identity import is_current
from lookup_pipeline.rocketreach.models import KNOWN_STATUSES

PUBLISHED = (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)

# Rows compared at once.
_BATCH = 20_000


class NotReadyError(Exception):
    """The partition has nothing to publish yet; the message says what to materialize first."""


class RowReconciliationError(Exception):
    """A row would be lost, doubled or about somebody else; nothing was replaced.

    Attributes:
        reconciliation: what does not add up.
    """

    def __init__(self, lookup_date: str, reconciliation: RowReconciliation) -> None:
        assets = "`names` and then `lookups`" if reconciliation.duplicates else "`lookups`"
        super().__init__(
            f"The rows of {lookup_date} do not add up, so nothing was published: "
            f"{reconciliation.problem}. Materialize {assets} of {lookup_date} and publish again "
            f"(`lookup-pipeline run --date {lookup_date}` does both); who was looked up before "
            "costs nothing."
        )
        self.reconciliation = reconciliation


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published.

    Attributes:
        version: the partition's news that the files show.
        replaced: whether its files are the newest; not when a newer version was there already, or
            came while they were moved: then the partition is published again.
        reconciliation: rows by dataset.
        states: rows by state.
        refreshes: profiles with a refresh that has brought none, by its state.
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
    refreshes: dict[State, int]
    credits: int
    new_credits: int
    failure_kinds: dict[str, int]
    unknown_statuses: dict[str, int]
    profiles_with_extra: int
    people: People


def publish(
    ledger: Ledger,
    folder: DatasetFolder,
    lookup_date: str,
    *,
    clock: Clock = utc_now,
    reports_credits: bool = True,
) -> Publication:
    """Write the partition's three datasets from the ledger and put them in place together.

    The order makes it safe to die anywhere: version and rows are read in one snapshot, the files
    are written beside their targets and reconciled, a claim says who moves them into place, then
    they are moved, then the version is noted. No write transaction is open while a file is written
    or moved. A death before the note only means that the same is written again. One that stalled,
    and moved its files after a newer publication, has the partition published again. A file that
    can't be put in place leaves all three as they were; what an object store does,
    `replace_together` says.

    Args:
        ledger: what is published.
        folder: where to.
        lookup_date: partition key.
        clock: tells the time.
        reports_credits: whether the caller tells what was newly spent; else a later one does.

    Raises:
        NotReadyError: `names` or `lookups` has not been materialized.
        RowReconciliationError: a row would be lost, doubled or about somebody else; nothing was
            replaced.
        OutdatedLedgerError: the ledger is older than the files; nothing was replaced.
        StorageError: a file can't be written or put in place.
    """
    for dataset in (NAMES, LOOKUPS):
        if not folder.exists(dataset, lookup_date):
            raise NotReadyError(
                f"`{dataset.name}` has no file for {lookup_date}: materialize `names` and "
                "`lookups` of this partition first (enrichment_job does all of it)."
            )
    check_lineage(ledger, folder)
    check_published(ledger, folder, lookup_date)
    with ExitStack() as stack:
        writers = {
            dataset.name: stack.enter_context(folder.writer(dataset, lookup_date))
            for dataset in PUBLISHED
        }
        counts, served = _Counts(), RowDigests()
        with ledger.read_at_length() as connection:
            version = news_version(connection, lookup_date)
            facts = facts_of(connection, lookup_date)
            credits_spent = credits_of_partition(connection, lookup_date)
            people = people_of(connection, lookup_date)
            for rows in rows_of(connection, lookup_date):
                _write(writers, rows, counts)
                served.add(
                    [row.source_file for row in rows],
                    [row.source_row for row in rows],
                    (_comparable(own_identity(row.identity)) for row in rows),
                )
        for writer in writers.values():
            writer.note(facts)
            writer.finish()
        reconciliation = _reconcile(ledger, folder, lookup_date, writers, served)
        if not reconciliation.balanced:
            raise RowReconciliationError(lookup_date, reconciliation)
        with ledger.write() as connection:
            claim = claim_publication(connection, lookup_date, version, clock())
        new_credits = None
        if claim is not None:
            reported = credits_spent if reports_credits else None
            new_credits = _put_in_place(ledger, writers, claim, reported, clock)
    return Publication(
        version,
        new_credits is not None,
        reconciliation,
        {state: counts.states[state] for state in State},
        {state: counts.refreshes[state] for state in State},
        credits_spent,
        new_credits or 0,
        dict(counts.failure_kinds),
        dict(counts.unknown_statuses),
        counts.profiles_with_extra,
        people,
    )


def _put_in_place(
    ledger: Ledger,
    writers: dict[str, PartitionWriter],
    claim: PublicationClaim,
    credits_spent: int | None,
    clock: Clock,
) -> int | None:
    """Move the files, then note it; the credits told of first, None where a newer one came."""
    try:
        replace_together(writers.values())
    except BaseException:
        # Old files that were put back may lie over newer ones as well.
        with ledger.write() as connection:
            release_publication(connection, claim)
        raise
    with ledger.write() as connection:
        if not release_publication(connection, claim):
            return None
        return record_publication(
            connection, claim.lookup_date, claim.version, credits_spent, clock()
        )


def _reconcile(
    ledger: Ledger,
    folder: DatasetFolder,
    lookup_date: str,
    writers: dict[str, PartitionWriter],
    served: RowDigests,
) -> RowReconciliation:
    """Compare `names`, `lookups` and what is about to be published, row by row.

    Never by `lookup_id`: a refresh changes it, and so does a ledger that was restored.

    Args:
        ledger: asked where a row and its lookup have different identities.
        folder: where `names` and `lookups` lie.
        lookup_date: partition key.
        writers: the finished files, by dataset.
        served: for each row of the ledger, the identity of its lookup.
    """
    found = reconcile_rows(
        RowDigests.of_requests(folder.batches(NAMES, lookup_date, _BATCH, ASKED)),
        RowDigests.of_requests(folder.batches(LOOKUPS, lookup_date, _BATCH, ASKED)),
        {
            name: RowDigests.of_requests(writer.batches(_BATCH, ASKED))
            for name, writer in writers.items()
        },
    )
    if not found.balanced:
        return found
    asked = RowDigests()
    for files, lines, identities in _identities(folder, lookup_date):
        asked.add(files, lines, identities)
    suspects = set(rows_that_differ(asked, served))
    if not suspects:
        return found
    # Since the rules changed, the row may be found by another identity than the lookup's own.
    resolved = RowDigests()
    for files, lines, identities in _identities(folder, lookup_date):
        rows = [
            (file, line, identity)
            for file, line, identity in zip(files, lines, identities, strict=True)
            if identity is not None and (file, line) in suspects
        ]
        with ledger.read() as connection:
            known = known_lookups(connection, {identity for _, _, identity in rows})
        resolved.add(
            [file for file, _, _ in rows],
            [line for _, line, _ in rows],
            [
                own_identity(known[identity].identity) if identity in known else identity
                for _, _, identity in rows
            ],
        )
    return replace(found, served_otherwise=named_rows(rows_that_differ(resolved, served)))


def _identities(
    folder: DatasetFolder, lookup_date: str
) -> Iterator[tuple[list[str], list[int], list[str | None]]]:
    """Files, lines and identities of `names`; no identity where older rules made it."""
    for batch in folder.batches(NAMES, lookup_date, _BATCH, [*KEYS, "identity"]):
        columns: dict[str, list[Any]] = batch.to_pydict()
        # A file that an older version wrote has no such column.
        identities = columns.get("identity", [None] * batch.num_rows)
        yield columns[KEYS[0]], columns[KEYS[1]], [_comparable(each) for each in identities]


def _comparable(identity: str | None) -> str | None:
    return identity if identity is not None and is_current(identity) else None


class _Counts:
    def __init__(self) -> None:
        self.states: Counter[State] = Counter()
        self.refreshes: Counter[State] = Counter()
        self.failure_kinds: Counter[str] = Counter()
        self.unknown_statuses: Counter[str] = Counter()
        self.profiles_with_extra = 0


def _write(writers: dict[str, PartitionWriter], rows: list[LedgerRow], counts: _Counts) -> None:
    batches: dict[str, list[dict[str, Any]]] = {name: [] for name in writers}
    for row in rows:
        counts.states[row.state] += 1
        if row.refresh_state is not None:
            counts.refreshes[row.refresh_state] += 1
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
        "refresh_state": row.refresh_state,
        "refresh_failure_kind": row.refresh_failure_kind,
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
        "profile_id": row.profile_id,
        "submitted_at": row.submitted_at,
        "last_polled_at": row.last_polled_at,
    }
