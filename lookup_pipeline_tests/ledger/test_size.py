"""How large a ledger is."""

from pathlib import Path

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.size import measure_ledger
from lookup_pipeline.ledger.tables import metadata
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    answer,
    claim_all,
    complete,
    register,
    rows_for,
)


def test_every_table_is_counted_the_largest_first(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "cid"]))
    register(ledger, rows_for(["ann", "ben"]), NEXT_DATE)
    answer(ledger, complete(claim_all(ledger, date=DATE)[0].lookup_id))
    rows = measure_ledger(ledger).rows
    assert rows.keys() == metadata.tables.keys()
    assert list(rows)[:3] == ["memberships", "lookups", "partitions"]
    assert (rows["memberships"], rows["lookups"], rows["payloads"]) == (5, 3, 1)


def test_the_file_and_its_log_are_measured(ledger: Ledger, tmp_path: Path) -> None:
    register(ledger, rows_for(["ann"]))
    size = measure_ledger(ledger)
    assert size.file_bytes == (tmp_path / "ledger.db").stat().st_size > 0
    assert size.log_bytes == (tmp_path / "ledger.db-wal").stat().st_size > 0
