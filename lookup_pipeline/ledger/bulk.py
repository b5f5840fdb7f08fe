"""Many rows at once: inserting them, finding them."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Dialect, Table, func, insert, select


def is_one_of(
    connection: Connection, column: ColumnElement[Any], values: Collection[str] | Collection[int]
) -> ColumnElement[bool]:
    """Whether a column holds one of many numbers, or of many texts without NUL characters.

    In SQLite the values come in one JSON text: it takes no more than 32,766 parameters, and to read
    a statement with thousands takes it longer than to find the rows.
    """
    if connection.dialect.name != "sqlite":
        return column.in_(values)
    as_json = msgspec.json.encode(list(values)).decode()
    return column.in_(select(func.json_each(as_json).table_valued("value").c.value))


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
