"""What only SQLite needs: WAL, durable commits, and write transactions that lock at once."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

# Seconds a connection waits for another process's transaction. Stalls of a second are normal
# with several writers; half a minute tells a busy ledger from a stuck one.
BUSY_TIMEOUT = 30

# How long this thread waits, and the name under which a connection keeps what it was told last.
_patience: ContextVar[float | None] = ContextVar("lock_patience", default=None)
_PATIENCE = "lock_patience"

# Of memory for one connection's pages.
CACHE_KB = 65_536

# SQLite writes its log (`-wal`) from the beginning again only when all of it is in the database and
# nobody reads it, and never makes it smaller. Larger than this, it is emptied at the first such
# moment: several transactions of a registration fit, and nobody's disk is filled.
LONGEST_LOG_BYTES = 64 * 1024 * 1024


def prepare(file: str) -> None:
    """Make sure that the folder of an SQLite file exists.

    Raises:
        OSError: it can't be made.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)


def file_of(engine: Engine) -> Path:
    """Return the file of an engine's database."""
    return Path(str(engine.url.database))


def identity_of(file: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one that takes its place; None where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def install(engine: Engine, write_option: str) -> None:
    """Give `engine` SQLite's pragmas, and BEGIN IMMEDIATE where `write_option` is set.

    A transaction that reads first and then writes fails under SQLite's plain BEGIN as soon as
    another process writes in between; IMMEDIATE takes the write lock at the start and waits.
    """

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # No implicit transactions by the driver: `begin` below is the only place that opens one.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")
        _switch_to_wal(cursor)
        # FULL: a committed intent survives a power cut, or a person could be paid for twice.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # SQLite's own 2 MB are a small part of the index of a million identities, whose pages would
        # be read again and again. Taken only as far as it is used.
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        cursor.close()

    @event.listens_for(engine, "checkin")
    def bound_log(connection: sqlite3.Connection | None, _entry: ConnectionPoolEntry) -> None:
        # After each transaction: whoever reads or writes last finds nobody in the way.
        if connection is not None and log_bytes(engine) > LONGEST_LOG_BYTES:
            _empty_log(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(write_option, False)
        if writing and connection.info.get(_PATIENCE, BUSY_TIMEOUT) != _seconds():
            connection.info[_PATIENCE] = _seconds()
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_seconds() * 1000:.0f}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def lock_patience(seconds: float) -> Iterator[None]:
    """Have this thread's transactions wait no longer than this for another process's."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def _seconds() -> float:
    given = _patience.get()
    return BUSY_TIMEOUT if given is None else given


def log_bytes(engine: Engine) -> int:
    """The size of the write-ahead log."""
    try:
        return Path(f"{file_of(engine)}-wal").stat().st_size
    except OSError:
        return 0


def wait_for_short_log(engine: Engine, seconds: float) -> None:
    """Wait until the log is not larger than it should be, for so long at most.

    What is about to read for minutes does this before: readers that follow each other without a
    gap would keep the log from ever being emptied.
    """
    end = time.monotonic() + seconds
    while log_bytes(engine) > LONGEST_LOG_BYTES and time.monotonic() < end:
        with engine.connect():
            # Emptied when it is given back.
            pass
        time.sleep(0.05)


def _empty_log(connection: sqlite3.Connection) -> None:
    """Bring the log into the database and empty it, unless another connection is in the way."""
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute(f"PRAGMA busy_timeout = {_seconds() * 1000:.0f}")


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Make the file a WAL one, unless it is.

    The switch needs the file alone for a moment and does not wait for it as a statement would:
    processes that open a new ledger at once would fail each other.
    """
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                return
            if cursor.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                # Refused without an error: in memory, or where processes can't share memory.
                raise sqlite3.DatabaseError("a database in this place can't be in WAL mode")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
