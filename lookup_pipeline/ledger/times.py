"""Time as the ledger keeps it: microseconds since 1970 UTC, in a BIGINT.

Integers order, compare and index the same in every database; SQLite has no timestamp type and
SQLAlchemy's own drops the time zone there.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """The current time, aware, in UTC: the clock used wherever none is given."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in Python, microseconds since 1970 UTC in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Python to database."""
        del dialect
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Database to Python."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)
