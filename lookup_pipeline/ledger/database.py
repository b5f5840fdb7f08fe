"""Opening the ledger: engine, schema, and the two kinds of transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from lookup_pipeline.ledger import sqlite
from lookup_pipeline.ledger.migrate import migrate

_WRITE = "ledger_write"


class LedgerError(Exception):
    """The ledger can't be opened; the message says which setting to mend."""


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
        """One consistent snapshot; never blocks a writer and is never blocked by one."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with (
            self._engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def open_ledger(url: str) -> Ledger:
    """Open the ledger at an SQLAlchemy URL; create or migrate its schema where needed.

    Raises:
        LedgerError: the URL is not one SQLAlchemy knows, or its driver is not installed.
    """
    engine = _create_engine(url)
    ledger = Ledger(engine)
    migrate(ledger.read, ledger.write)
    return ledger


def _create_engine(url: str) -> Engine:
    cure = "LOOKUP_PIPELINE_LEDGER_URL takes an SQLAlchemy URL, such as sqlite:///data/ledger.db"
    try:
        parsed: URL = make_url(url)
    except ArgumentError as error:
        raise LedgerError(f"The ledger's URL can't be read. {cure}.") from error
    if parsed.get_backend_name() != "sqlite":
        raise LedgerError(
            f"The ledger's URL names {parsed.get_backend_name()!r}; this version keeps its ledger "
            f"in SQLite. {cure}."
        )
    sqlite.prepare(parsed)
    # Without parameters, errors name no person: a log is no place for an e-mail address.
    try:
        engine = create_engine(parsed, hide_parameters=True)
    except (ArgumentError, ImportError) as error:
        raise LedgerError(f"The ledger's URL names a driver that is not here. {cure}.") from error
    sqlite.install(engine, _WRITE)
    return engine
