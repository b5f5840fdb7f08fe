"""Which ledger this is: its incarnation, and how far it knows what was submitted.

A ledger can be an older copy of itself: restored, copied, rolled back. It then believes that
lookups are still queued which were sent since. So every process that submits raises a counter, in
the ledger and in an object beside the datasets, ahead of the claims that the counter covers. An
object with a higher counter than the ledger's, or of an unknown writer, shows an older ledger.

`datasets.submission_counters` keeps the objects, `enrichment.lineage` compares the two.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, insert, select, update

from lookup_pipeline.ledger.identities import last_lookup
from lookup_pipeline.ledger.tables import incarnations, lineage, submission_counters


@dataclass(frozen=True, slots=True)
class Lineage:
    """Which ledger this is.

    Attributes:
        incarnation: a new one after each reconcile.
        counter: the highest submission counter that it has committed.
        reconcile_reason: why nothing may be sent before it is reconciled; None where it may.
    """

    incarnation: str
    counter: int
    reconcile_reason: str | None


_LINEAGE = select(lineage.c.counter, lineage.c.reconcile_reason)
_INCARNATION = select(incarnations.c.incarnation).order_by(incarnations.c.number.desc()).limit(1)


def read_lineage(connection: Connection) -> Lineage:
    """Return which ledger this is."""
    held = connection.execute(_LINEAGE).one()
    incarnation = connection.execute(_INCARNATION).scalar_one()
    return Lineage(incarnation, held.counter, held.reconcile_reason)


def is_known_incarnation(connection: Connection, incarnation: str) -> bool:
    """Whether this ledger is, or was once, that incarnation."""
    known = select(incarnations.c.number).where(incarnations.c.incarnation == incarnation)
    return connection.scalar(known) is not None


def begin_incarnation(connection: Connection, ancestors: Collection[str], now: datetime) -> None:
    """Make this ledger a new incarnation, one that takes up what these others published."""
    for each in (*ancestors, uuid4().hex):
        if not is_known_incarnation(connection, each):
            connection.execute(insert(incarnations).values(incarnation=each, since=now))


def known_counters(connection: Connection, writers: Collection[str]) -> dict[str, int]:
    """Return the counters of those of these writers that the ledger knows."""
    found = connection.execute(
        select(submission_counters).where(submission_counters.c.writer.in_(writers))
    )
    return {row.writer: row.counter for row in found}


def raise_counter(connection: Connection, writer: str) -> int:
    """Return the next counter, now the writer's. The caller commits it before it claims."""
    counter: int = connection.execute(
        update(lineage).values(counter=lineage.c.counter + 1).returning(lineage.c.counter)
    ).scalar_one()
    note_counter(connection, writer, counter)
    return counter


def note_counter(connection: Connection, writer: str, counter: int) -> None:
    """Know a writer's counter; the ledger's own is never lower."""
    changed = connection.execute(
        update(submission_counters)
        .where(submission_counters.c.writer == writer)
        .values(counter=counter)
    )
    if not changed.rowcount:
        connection.execute(insert(submission_counters).values(writer=writer, counter=counter))
    raise_to(connection, counter)


def raise_to(connection: Connection, counter: int) -> None:
    """Have the next counter be higher than this one."""
    connection.execute(update(lineage).where(lineage.c.counter < counter).values(counter=counter))


def require_reconcile(connection: Connection, reason: str) -> None:
    """Have nothing sent and nothing published before the ledger is reconciled."""
    connection.execute(update(lineage).values(reconcile_reason=reason))


def newest_lookup(connection: Connection) -> int:
    """Return the highest lookup id that is in use, here or in what a lost ledger published."""
    above: int = connection.execute(select(lineage.c.lookup_ids_above)).scalar_one()
    return max(last_lookup(connection), above)
