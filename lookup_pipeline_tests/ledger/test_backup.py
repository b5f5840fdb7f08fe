"""Copies of a ledger: whole, marked, and put in its place only when nobody is sending."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from lookup_pipeline.ledger import Ledger, LedgerError, LedgerReplacedError, State, open_ledger
from lookup_pipeline.ledger.backup import back_up, restore
from lookup_pipeline.ledger.lineage import read_lineage
from lookup_pipeline.ledger.submissions import LEASE
from lookup_pipeline.resources import LedgerResource
from lookup_pipeline_tests.ledger.helpers import (
    T0,
    claim_all,
    register,
    rows_for,
    states_of,
)


def url_of(ledger: Ledger) -> str:
    return f"sqlite:///{ledger.file}"


def backed_up(ledger: Ledger) -> Path:
    file = ledger.file.with_name("backup.db")
    back_up(ledger, file, T0)
    return file


def test_a_copy_holds_what_the_ledger_holds_and_must_be_reconciled(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    copy = open_ledger(f"sqlite:///{backed_up(ledger)}")
    try:
        assert states_of(copy) == states_of(ledger)
        with copy.read() as connection:
            reason = read_lineage(connection).reconcile_reason
    finally:
        copy.close()
    assert reason is not None
    assert "it is a copy of another ledger" in reason
    with ledger.read() as connection:
        assert read_lineage(connection).reconcile_reason is None


def test_a_copy_is_one_file_that_a_read_only_disk_can_hold(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    file = backed_up(ledger)
    assert [path.name for path in file.parent.glob("backup.db*")] == ["backup.db"]
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_copy_is_made_while_others_write(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE lookups SET attempts = 7")
        file = backed_up(ledger)
    with closing(sqlite3.connect(file)) as opened:
        # As it was before the transaction that had not ended.
        assert opened.execute("SELECT attempts FROM lookups").fetchone() == (0,)


def test_a_ledger_whose_file_was_replaced_is_refused_and_opened_anew(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    resource = LedgerResource(url=url_of(ledger))
    used = resource.open()
    file = backed_up(ledger)
    register(ledger, rows_for(["ann", "ben"]))
    restore(url_of(ledger), file, T0)
    for transaction in (used.read, used.write):
        with pytest.raises(LedgerReplacedError, match="replaced or removed"), transaction():
            pass
    assert len(states_of(resource.open())) == 1


def test_a_transaction_begun_before_the_file_was_replaced_does_not_reach_the_new_one(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann"]))
    file = backed_up(ledger)
    with ledger.read() as connection:
        restore(url_of(ledger), file, T0)
        assert connection.exec_driver_sql("SELECT count(*) FROM lookups").scalar() == 1
    with pytest.raises(LedgerReplacedError), ledger.write():
        pass


def test_a_removed_file_is_noticed(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    ledger.file.unlink()
    with pytest.raises(LedgerReplacedError), ledger.read():
        pass


def test_a_restore_is_refused_while_lookups_are_being_sent(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    file = backed_up(ledger)
    claim_all(ledger)
    with pytest.raises(LedgerError, match="2 lookups are being sent"):
        restore(url_of(ledger), file, T0)
    assert set(states_of(ledger).values()) == {State.SUBMITTING}
    restore(url_of(ledger), file, T0 + LEASE + timedelta(seconds=1))


def test_a_restore_into_an_empty_place_makes_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    register(ledger, rows_for(["ann"]))
    url = f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"
    (tmp_path / "new").mkdir()
    assert restore(url, backed_up(ledger), T0) is None
    new = open_ledger(url)
    try:
        assert len(states_of(new)) == 1
    finally:
        new.close()


def test_a_damaged_ledger_can_be_replaced(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    file = backed_up(ledger)
    ledger.close()
    ledger.file.write_bytes(b"not a database, whatever its name says" * 1000)
    kept = restore(url_of(ledger), file, T0)
    assert kept is not None
    new = open_ledger(url_of(ledger))
    try:
        assert len(states_of(new)) == 1
    finally:
        new.close()


def test_a_copy_of_a_newer_version_is_refused(ledger: Ledger) -> None:
    file = backed_up(ledger)
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
        opened.commit()
    with pytest.raises(LedgerError, match="newer version"):
        restore(url_of(ledger), file, T0)
