"""Opening the ledger: engine, schema, and the two kinds of transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from lookup_pipeline.ledger import sqlite
from lookup_pipeline.ledger.migrate import migrate

_WRITE = "ledger_write"


class LedgerError(Exception):
    """The ledger can't be opened, read or written; the message says why and what to mend."""


class Ledger:
    """An open ledger. Safe to share between threads; cheap to keep, costly to open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def url(self) -> str:
        """Where the ledger is, any password masked."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot; never blocks a writer and is never blocked by one.

        Raises:
            LedgerError: the database fails.
        """
        with self._told_plainly(), self._engine.connect() as connection, connection.begin():
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
            yield connection

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            # The others are mistakes of ours.
            if type(error) not in (DatabaseError, OperationalError):
                raise
            raise LedgerError(
                f"The ledger {self.url} fails: {error.orig}. What it holds is kept: see that it is "
                "a ledger, that it can be read and written, that its disk has room and that no "
                "other process holds it, then run again."
            ) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def open_ledger(url: str) -> Ledger:
    """Open the ledger at an SQLAlchemy URL; create or migrate its schema where needed.

    Raises:
        LedgerError: the URL is not one SQLAlchemy knows, its driver is not installed, or the
            database fails.
    """
    engine = _create_engine(url)
    ledger = Ledger(engine)
    migrate(ledger.read, ledger.write)
    return ledger


def _create_engine(url: str) -> Engine:
    cure = "LOOKUP_PIPELINE_LEDGER_URL takes an SQLAlchemy URL, such as sqlite:///data/ledger.db"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"The ledger's URL can't be read. {cure}.") from error
    if parsed.get_backend_name() != "sqlite":
        raise LedgerError(
            f"The ledger's URL names {parsed.get_backend_name()!r}; this version keeps its ledger "
            f"in SQLite. {cure}."
        )
    if not parsed.database or parsed.database == ":memory:":
        raise LedgerError(f"A ledger in memory would forget who has been paid for. {cure}.")
    try:
        sqlite.prepare(parsed.database)
    except OSError as error:
        raise LedgerError(
            f"The folder of the ledger {parsed.database} can't be made: {error.strerror}. {cure}."
        ) from error
    # Without parameters, errors name no person: a log is no place for an e-mail address.
    try:
        engine = create_engine(parsed, hide_parameters=True)
    except (ArgumentError, ImportError) as error:
        raise LedgerError(f"The ledger's URL names a driver that is not here. {cure}.") from error
    sqlite.install(engine, _WRITE)
    return engine
