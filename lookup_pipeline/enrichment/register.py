"""Registering: the usable rows of a partition become memberships and, where new, lookups."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from lookup_pipeline.collector import without_collecting
from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, REQUESTED
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.identities import learn_identities, new_lookups_learned
from lookup_pipeline.enrichment.lineage import check_lineage
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.publications import LedgerRow
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered, Registration, RequestedRow, Served
from lookup_pipeline.names.identity import build_query, is_current, profile_id_of

# Rows in one transaction: long enough to be fast, short enough that no other writer waits.
BATCH = 50_000

REQUESTED_NAMES = tuple(column.name for column in REQUESTED)


def register(
    ledger: Ledger,
    folder: DatasetFolder,
    lookup_date: str,
    refresh: Refresh | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Registered:
    """Bring the ledger in line with the partition's `names`, and write its `lookups` dataset.

    Idempotent: a person already looked up is reused, an unchanged row costs nothing, a row that
    has left the file leaves the partition (its lookup stays known). Spends no credit.

    Args:
        ledger: where the lookups are kept.
        folder: where `names` lies and `lookups` goes.
        lookup_date: partition key.
        refresh: who is looked up again; by default nobody.
        progress: told how many rows are registered so far.

    Raises:
        OutdatedLedgerError: the ledger is older than its datasets; nothing is registered.
        FileNotFoundError: `names` has not been materialized for this partition.
        ValueError: `names` holds a row that can't be looked up (written by other rules).
    """
    # Before anything is registered: an empty ledger would not look empty any more.
    check_lineage(ledger, folder)
    learn_identities(ledger)
    registration, total = Registration(lookup_date, refresh), Registered()
    with folder.writer(LOOKUPS, lookup_date) as writer:
        for batch in folder.batches(NAMES, lookup_date, BATCH):
            with without_collecting():
                rows = requested_rows(batch)
                with ledger.write() as connection, new_lookups_learned(connection):
                    total += registration.add(connection, rows)
                writer.write_batch(_lookups(batch, registration.served))
            progress(total.rows)
        with ledger.write() as connection:
            total += registration.finish(connection)
        writer.finish()
        writer.replace()
    return total


# A row as it was asked for, as the ledger keeps it in JSON. A struct: it is read and written
# several times as fast as a dict.
_Requested = msgspec.defstruct(
    "_Requested",
    [
        *((name, str | None, None) for name in REQUESTED_NAMES),
        ("source_columns", dict[str, str], msgspec.field(default_factory=dict)),
    ],
    # Most of what a row could say it does not: a fifth of the ledger's size.
    omit_defaults=True,
)


_encode = msgspec.json.Encoder().encode


def requested_rows(batch: pa.RecordBatch) -> list[RequestedRow]:
    """A batch of `names`, column by column: going through rows as dicts takes twice as long."""
    columns: dict[str, list[Any]] = {
        name: batch.column(name).to_pylist() for name in batch.schema.names
    }
    # A file that an older version wrote has no such columns: then as if by older rules.
    unknown = [""] * batch.num_rows
    columns = {"identity": unknown, "query": unknown, **columns}
    names = ("source_file", "source_row", "identity", "query", "source_columns")
    requested = zip(*(columns[name] for name in REQUESTED_NAMES), strict=True)
    return [
        _requested_row(*row)
        for row in zip(*(columns[name] for name in names), requested, strict=True)
    ]


def _requested_row(
    source_file: str,
    source_row: int,
    identity: str,
    query: str,
    further: list[tuple[str, str]],
    requested: Sequence[str | None],
) -> RequestedRow:
    if not is_current(identity):
        # Other rules have come since `names` was materialized.
        built = build_query(*requested)
        if built is None:
            raise ValueError(
                f"{source_file}, line {source_row}: this row of `names` can't be looked up by "
                "today's rules. Materialize `names` of this partition again."
            )
        identity, query = built.identity, built.as_json()
    return RequestedRow(
        source_file,
        source_row,
        identity,
        query,
        _encode(_Requested(*requested, dict(further))).decode(),
        profile_id_of(identity),
    )


def _lookups(names: pa.RecordBatch, served: Sequence[Served]) -> pa.RecordBatch:
    columns = {name: names.column(name) for name in names.schema.names}
    columns["lookup_id"] = pa.array([each.lookup_id for each in served], pa.int64())
    columns["reused"] = pa.array([each.reused for each in served], pa.bool_())
    return pa.RecordBatch.from_arrays(
        [columns[field.name] for field in LOOKUPS.schema], schema=LOOKUPS.schema
    )


def identifying(row: LedgerRow) -> dict[str, object]:
    """The columns that say which row this is and what it asked for, `source_columns` included."""
    requested: dict[str, object] = msgspec.json.decode(row.requested)
    return {
        "lookup_id": row.lookup_id,
        "source_file": row.source_file,
        "source_row": row.source_row,
        **requested,
    }
