"""Bringing a ledger's schema up to date, on first use, by whichever process comes first."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

# The newest file in migrations/versions; a test holds it to what Alembic says. Knowing it here
# spares every start the import of Alembic.
HEAD = "0012"

Transaction = Callable[[], AbstractContextManager[Connection]]


def migrate(read: Transaction, write: Transaction) -> None:
    """Upgrade the schema to `HEAD` unless it is there.

    The upgrade runs in one write transaction, and looks again once it holds the lock: of two
    processes that start at once, the second finds the work done.
    """
    with read() as connection:
        if _revision(connection) == HEAD:
            return
    with write() as connection:
        if _revision(connection) != HEAD:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - needed on first use only
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
