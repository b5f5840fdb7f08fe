"""SQLite's write-ahead log stays within bounds, also where somebody always reads."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lookup_pipeline.ledger import Ledger, database, open_ledger, sqlite
from lookup_pipeline.ledger.tables import lookups
from lookup_pipeline_tests.ledger.helpers import sqlite_url, states_of

BOUND = 200_000


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LONGEST_LOG_BYTES", BOUND)


@pytest.fixture
def log(tmp_path: Path, ledger: Ledger) -> Path:
    assert states_of(ledger) == {}
    return tmp_path / "ledger.db-wal"


def write(ledger: Ledger, size: int) -> None:
    """One transaction that adds so many bytes to the log, and some more."""
    with ledger.write() as connection:
        number = len(states_of(ledger))
        row = {"identity": f"{number}", "parameters": "x" * size, "state": "queued"}
        connection.execute(lookups.insert().values(row))


def size_of(log: Path) -> int:
    return log.stat().st_size


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Another process's snapshot."""
    other = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM lookups").fetchone()
    try:
        yield
    finally:
        other.close()


def test_it_is_emptied_as_soon_as_it_is_too_large(ledger: Ledger, log: Path) -> None:
    write(ledger, 1_000)
    assert 0 < size_of(log) < BOUND, "a small one stays: it is written over"
    for _ in range(20):
        write(ledger, BOUND // 4)
        assert size_of(log) < BOUND * 1.5
    write(ledger, BOUND)
    assert size_of(log) == 0


def test_what_a_long_reader_left_is_emptied_once_it_is_gone(
    ledger: Ledger, log: Path, tmp_path: Path
) -> None:
    with reading(tmp_path):
        for _ in range(10):
            began = time.monotonic()
            write(ledger, BOUND)
            assert time.monotonic() - began < 1, "nobody waits for the reader"
        assert size_of(log) > 10 * BOUND
    # The next transaction of whatever kind.
    states_of(ledger)
    assert size_of(log) == 0


def test_a_long_reader_of_our_own_empties_it_when_it_ends(ledger: Ledger, log: Path) -> None:
    with ledger.read_at_length() as connection:
        assert connection.execute(lookups.select()).all() == []
        write(ledger, 2 * BOUND)
        assert size_of(log) > BOUND
    assert size_of(log) == 0


def test_long_readers_that_overlap_leave_a_gap_for_it_to_be_emptied(
    ledger: Ledger, log: Path, tmp_path: Path
) -> None:
    begun = threading.Event()

    def read() -> None:
        with other.read_at_length():
            begun.set()

    other = open_ledger(sqlite_url(tmp_path))
    second = threading.Thread(target=read)
    with reading(tmp_path):
        write(ledger, 2 * BOUND)
        second.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    second.join()
    assert size_of(log) == 0
    other.close()


def test_a_long_reader_does_not_wait_for_ever(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LONGEST_WAIT_SECONDS", 0.2)
    with reading(tmp_path):
        write(ledger, 2 * BOUND)
        with ledger.read_at_length() as connection:
            assert len(connection.execute(lookups.select()).all()) == 1


def test_a_log_that_can_not_be_emptied_now_fails_nobody(
    ledger: Ledger, log: Path, tmp_path: Path
) -> None:
    write(ledger, 1_000)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    with reading(tmp_path):
        write(ledger, 2 * BOUND)
        other.execute("BEGIN IMMEDIATE")
        assert len(states_of(ledger)) == 2
        other.execute("ROLLBACK")
    other.close()
    write(ledger, 1_000)
    assert size_of(log) == 0
