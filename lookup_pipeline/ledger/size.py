"""How large the ledger has become."""

from dataclasses import dataclass

from sqlalchemy import func, select

from lookup_pipeline.ledger.database import Ledger
from lookup_pipeline.ledger.tables import metadata


@dataclass(frozen=True, slots=True)
class LedgerSize:
    """What the ledger takes on disk, and what it holds.

    Attributes:
        file_bytes: of the database's file.
        log_bytes: of its write-ahead log, the part that is not in the file yet included.
        rows: by table, the largest first.
    """

    file_bytes: int
    log_bytes: int
    rows: dict[str, int]


def measure_ledger(ledger: Ledger) -> LedgerSize:
    """Measure the ledger. Counts every table: a second or two for a million lookups.

    Raises:
        LedgerError: the database fails.
    """
    with ledger.read() as connection:
        rows = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
        largest_first = sorted(rows, key=lambda name: (-rows[name], name))
        return LedgerSize(
            ledger.file_bytes, ledger.log_bytes, {name: rows[name] for name in largest_first}
        )
