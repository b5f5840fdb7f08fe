"""Inserting many rows at once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, given as tuples of the named columns' values, in the table's order.

    SQLAlchemy goes through a dict and its types for every row, which takes longer than inserting;
    so only for columns whose values need no conversion.

    Raises:
        ValueError: the columns are not in the table's order.
    """
    if not rows:
        return
    statement, positional = _statement(table, columns, connection.dialect)
    if positional:
        connection.exec_driver_sql(statement, list(rows))
    else:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        connection.exec_driver_sql(statement, named)


@lru_cache
def _statement(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, bool]:
    if [column.name for column in table.columns if column.name in columns] != list(columns):
        raise ValueError(f"{', '.join(columns)} are not in the order of {table.name}")
    compiled = insert(table).compile(dialect=dialect, column_keys=columns)
    return str(compiled), bool(compiled.positional)
