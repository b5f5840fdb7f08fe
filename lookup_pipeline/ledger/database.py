"""Opening the ledger: engine, schema, and the two kinds of transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, SQLAlchemyError

from lookup_pipeline.ledger import sqlite
from lookup_pipeline.ledger.migrate import migrate

_WRITE = "ledger_write"

# A publication of a million rows reads for three minutes.
_LONGEST_WAIT_SECONDS = 300.0


class LedgerError(Exception):
    """The ledger can't be opened, read or written; the message says why and what to mend."""


class LedgerReplacedError(LedgerError):
    """The ledger's file is another one than when it was opened: what was read of it is void."""


class Ledger:
    """An open ledger. Safe to share between threads; cheap to keep, costly to open.

    Bound to the file that it was opened on: where that is replaced, by a restore for instance,
    every transaction is refused, since lookups have other numbers in another file.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = sqlite.file_of(engine)
        self._identity: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        """Where the ledger is, any password masked."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path:
        """The database's file."""
        return self._file

    @property
    def file_bytes(self) -> int:
        """The size of the database's file."""
        return self._file.stat().st_size

    @property
    def log_bytes(self) -> int:
        """The size of its write-ahead log."""
        return sqlite.log_bytes(self._engine)

    @property
    def was_replaced(self) -> bool:
        """Whether the file is another one than when the ledger was opened, or gone."""
        return sqlite.identity_of(self._file) != self._identity

    def bind(self) -> None:
        """Bind the ledger to the file as it is now."""
        self._identity = sqlite.identity_of(self._file)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; never blocks a writer and is never blocked by one.

        Raises:
            LedgerError: the database fails.
        """
        with self._told_plainly(), self._engine.connect() as connection, connection.begin():
            self._refuse_replaced()
            yield connection

    @contextmanager
    def read_at_length(self) -> Iterator[Connection]:
        """A snapshot that may be held for minutes; see `read`.

        Begins once SQLite's log is short, or after five minutes: without a moment in which nobody
        reads, the log grows for ever.

        Raises:
            LedgerError: the database fails.
        """
        with self._told_plainly():
            sqlite.wait_for_short_log(self._engine, _LONGEST_WAIT_SECONDS)
        with self.read() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            LedgerError: the database fails; nothing of the block is kept.
        """
        with (
            self._told_plainly(),
            self._engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            self._refuse_replaced()
            yield connection

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # Without the error that it comes from: a driver's text may quote a row.
            raise LedgerError(
                f"The ledger {self.url} fails: {_in_words(error)}. What it holds is kept: see that "
                "it is a ledger, that it can be read and written, that its disk has room and that "
                "no other process holds it, then run again."
            ) from None

    def _refuse_replaced(self) -> None:
        # Within the transaction: a connection made before this look is of the file looked at.
        if self._identity is not None and self.was_replaced:
            raise LedgerReplacedError(
                f"The file of the ledger {self.url} was replaced or removed while it was in use. "
                "Nothing more is recorded from here: run again, which opens the new file."
            )

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def _in_words(error: SQLAlchemyError) -> str:
    """What failed, without a value: SQLite's texts name tables and columns, others quote rows."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error) and isinstance(error, DatabaseError):
        return str(cause)
    kind = type(error if cause is None else cause).__name__
    return " ".join(filter(None, (kind, getattr(cause, "sqlstate", None))))


def open_ledger(url: str) -> Ledger:
    """Open the ledger at an SQLAlchemy URL; create or migrate its schema where needed.

    Raises:
        LedgerError: the URL is not one SQLAlchemy knows, its driver is not installed, or the
            database fails.
    """
    engine = _create_engine(url)
    ledger = Ledger(engine)
    migrate(ledger.read, ledger.write)
    ledger.bind()
    return ledger


def file_of_url(url: str) -> Path:
    """Return the file of the ledger at an SQLAlchemy URL, whether or not it is there.

    Raises:
        LedgerError: the URL is not one of a file.
    """
    return Path(str(_parse(url).database))


_CURE = "LOOKUP_PIPELINE_LEDGER_URL takes an SQLAlchemy URL, such as sqlite:///data/ledger.db"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"The ledger's URL can't be read. {_CURE}.") from error
    if parsed.get_backend_name() != "sqlite":
        raise LedgerError(
            f"The ledger's URL names {parsed.get_backend_name()!r}; this version keeps its ledger "
            f"in SQLite. {_CURE}."
        )
    if not parsed.database or parsed.database == ":memory:":
        raise LedgerError(f"A ledger in memory would forget who has been paid for. {_CURE}.")
    return parsed


def _create_engine(url: str) -> Engine:
    parsed = _parse(url)
    file = str(parsed.database)
    try:
        sqlite.prepare(file)
    except OSError as error:
        raise LedgerError(
            f"The folder of the ledger {file} can't be made: {error.strerror}. {_CURE}."
        ) from error
    # Without parameters, errors name no person: a log is no place for an e-mail address.
    try:
        engine = create_engine(parsed, hide_parameters=True)
    except (ArgumentError, ImportError) as error:
        raise LedgerError(f"The ledger's URL names a driver that is not here. {_CURE}.") from error
    sqlite.install(engine, _WRITE)
    return engine
