"""Registering: the usable rows of a partition become memberships and, where new, lookups."""

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from lookup_pipeline.datasets.columns import LOOKUPS, NAMES, REQUESTED
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.publications import LedgerRow, rows_of
from lookup_pipeline.ledger.refresh import Refresh
from lookup_pipeline.ledger.registration import Registered, Registration, RequestedRow
from lookup_pipeline.names.identity import build_query

# Rows in one transaction: long enough to be fast, short enough that no other writer waits.
BATCH = 5_000

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
        FileNotFoundError: `names` has not been materialized for this partition.
        ValueError: `names` holds a row that can't be looked up (written by other rules).
    """
    registration, total = Registration(lookup_date, refresh), Registered()
    for batch in folder.batches(NAMES, lookup_date, BATCH):
        rows = _requested_rows(batch)
        with ledger.write() as connection:
            total += registration.add(connection, rows)
        progress(total.rows)
    with ledger.write() as connection:
        total += registration.finish(connection)
    _write_lookups(ledger, folder, lookup_date)
    return total


def _requested_rows(batch: pa.RecordBatch) -> list[RequestedRow]:
    return [_requested_row(row) for row in batch.to_pylist()]


def _requested_row(row: dict[str, Any]) -> RequestedRow:
    requested = {name: row[name] for name in REQUESTED_NAMES}
    query = build_query(*requested.values())
    if query is None:
        raise ValueError(
            f"{row['source_file']}, line {row['source_row']}: this row of `names` can't be looked "
            "up by today's rules. Materialize `names` of this partition again."
        )
    return RequestedRow(
        row["source_file"],
        row["source_row"],
        query.identity,
        _json(query.parameters),
        _json({**requested, "source_columns": dict(row["source_columns"] or ())}),
        query.profile_id,
    )


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _write_lookups(ledger: Ledger, folder: DatasetFolder, lookup_date: str) -> None:
    with folder.writer(LOOKUPS, lookup_date) as writer:
        with ledger.read() as connection:
            for rows in rows_of(connection, lookup_date, with_payloads=False):
                writer.write([{**identifying(row), "reused": row.reused} for row in rows])
        writer.finish()
        writer.replace()


def identifying(row: LedgerRow) -> dict[str, object]:
    """The columns that say which row this is and what it asked for, `source_columns` included."""
    requested: dict[str, object] = msgspec.json.decode(row.requested)
    return {
        "lookup_id": row.lookup_id,
        "source_file": row.source_file,
        "source_row": row.source_row,
        **requested,
    }
