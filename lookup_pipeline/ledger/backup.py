"""Copies of the ledger: made while it is in use, and put back in its place."""

import os
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, select

from lookup_pipeline.ledger.database import Ledger, LedgerError, file_of_url, open_ledger
from lookup_pipeline.ledger.lineage import require_reconcile
from lookup_pipeline.ledger.migrate import HEAD
from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.submissions import LEASE
from lookup_pipeline.ledger.tables import lookups

# What SQLite keeps beside a database that is in use.
_COMPANIONS = ("-wal", "-shm")

_BY_HAND = "it is a copy of another ledger, made {when:%Y-%m-%d %H:%M:%S} UTC"


def back_up(ledger: Ledger, file: Path, now: datetime) -> None:
    """Copy the ledger into a new file while it is in use; the copy cannot be used unreconciled.

    Args:
        ledger: the ledger; readers and writers go on.
        file: where the copy goes; complete and verified once it is there.
        now: the current time.

    Raises:
        LedgerError: the file is there already, cannot be written, or is not sound.
    """
    if file.exists():
        raise LedgerError(f"{file} exists already. Choose another name, or remove it first.")
    _copy(ledger.file, file, _BY_HAND.format(when=now))


def restore(ledger_url: str, copy: Path, now: datetime) -> Path | None:
    """Put a copy in the place of the ledger; it must be reconciled before anything is sent.

    Processes that have the old file open are refused by it from then on.

    Args:
        ledger_url: SQLAlchemy URL of the ledger.
        copy: a backup, or any other sound copy; it stays as it is.
        now: the current time.

    Returns:
        Where the ledger is kept that was there; None where there was none.

    Raises:
        LedgerError: the copy is no sound ledger, or a submission is running.
    """
    verify(copy)
    ledger_file = file_of_url(ledger_url)
    if ledger_file.exists():
        _refuse_running(ledger_url, now)
    new = ledger_file.with_name(f"{ledger_file.name}.restoring")
    _remove(new)
    _copy(copy, new, f"it was restored from {copy} on {now:%Y-%m-%d %H:%M:%S} UTC")
    kept = None
    if ledger_file.exists():
        kept = ledger_file.with_name(f"{ledger_file.name}.replaced-{now:%Y%m%dT%H%M%S}")
        _set_aside(ledger_file, kept)
    new.rename(ledger_file)
    _sync_folder(ledger_file)
    return kept


def verify(file: Path) -> None:
    """Check that a file is a sound ledger, of this version or an older one.

    Raises:
        LedgerError: it is not.
    """
    if not file.is_file():
        raise LedgerError(f"{file} is not there, or is no file.")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            (state,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
            has_lookups = opened.execute(
                "SELECT count(*) FROM sqlite_master WHERE name IN ('lookups', 'alembic_version')"
            ).fetchone() == (2,)
            revision = "" if not has_lookups else _revision(opened)
    except sqlite3.Error as error:
        raise LedgerError(f"{file} cannot be read as a ledger: {error}.") from error
    if state != "ok":
        raise LedgerError(f"{file} is damaged ({state}). Use another copy.")
    if not has_lookups:
        raise LedgerError(f"{file} is a database, but no ledger of this pipeline.")
    if revision > HEAD:
        raise LedgerError(
            f"{file} was written by a newer version of lookup_pipeline (schema {revision}, this "
            f"version knows {HEAD}). Install that version first."
        )


def _revision(opened: sqlite3.Connection) -> str:
    (found,) = opened.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


def _copy(source: Path, target: Path, reason: str) -> None:
    """Copy a database in one step, whole and durably; the copy says why it must be reconciled."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    _remove(unfinished)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            original.backup(copy)
        opened = open_ledger(f"sqlite:///{unfinished}")
        try:
            with opened.write() as connection:
                require_reconcile(connection, reason)
        finally:
            opened.close()
        with closing(sqlite3.connect(unfinished)) as copy:
            # One file that can be moved alone, and read from a disk that is read-only.
            copy.execute("PRAGMA journal_mode = DELETE")
        verify(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(target)
        _sync_folder(target)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"{target} cannot be written: {error}. The ledger itself is as it was: make room, or "
            "choose another place."
        ) from error
    finally:
        _remove(unfinished)


def _refuse_running(url: str, now: datetime) -> None:
    """Refuse to take a ledger away from a submission that is running.

    Raises:
        LedgerError: one is.
    """
    try:
        ledger = open_ledger(url)
    except LedgerError:
        # It is damaged: nobody submits from it.
        return
    try:
        with ledger.read() as connection:
            running = _submitting(connection, now)
    finally:
        ledger.close()
    if running:
        raise LedgerError(
            f"{running} lookups are being sent from the ledger right now. Stop the daemon and "
            "every run, wait a minute, then restore."
        )


def _set_aside(file: Path, kept: Path) -> None:
    """Move a ledger, with all that belongs to it, to another name."""
    for ending in ("", *_COMPANIONS):
        with suppress(FileNotFoundError):
            file.with_name(file.name + ending).rename(kept.with_name(kept.name + ending))


def _submitting(connection: Connection, now: datetime) -> int:
    """Return how many lookups a living process is sending now."""
    return connection.execute(
        select(func.count()).where(
            lookups.c.state == State.SUBMITTING.value,
            lookups.c.lease_until > now,
            # Beyond that it is of a clock that was wrong.
            lookups.c.lease_until <= now + LEASE,
        )
    ).scalar_one()


def _remove(file: Path) -> None:
    for ending in ("", *_COMPANIONS):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _sync_folder(file: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
