"""The ledger: the SQL database that knows every lookup ever asked for, and its state.

Everything here takes an open connection and the current time, and knows nothing of HTTP, CSV,
Parquet or Dagster. SQLite's own ways live in `sqlite.py`; the rest is portable SQL.
"""

from lookup_pipeline.ledger.database import (
    Ledger,
    LedgerError,
    LedgerReplacedError,
    open_ledger,
)
from lookup_pipeline.ledger.states import PENDING, SETTLED, FailureKind, State

__all__ = [
    "PENDING",
    "SETTLED",
    "FailureKind",
    "Ledger",
    "LedgerError",
    "LedgerReplacedError",
    "State",
    "open_ledger",
]
