"""Many rows at once, as the driver takes them."""

import pytest
from sqlalchemy import select

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.bulk import insert_rows, is_one_of
from lookup_pipeline.ledger.tables import lookups

COLUMNS = ("identity", "parameters", "state")


def test_rows_go_in_with_the_defaults_of_what_is_not_given(ledger: Ledger) -> None:
    with ledger.write() as connection:
        insert_rows(
            connection, lookups, COLUMNS, [("ann", "{}", "queued"), ("ben", "{}", "queued")]
        )
        found = connection.execute(select(lookups.c.identity, lookups.c.attempts)).all()
    assert found == [("ann", 0), ("ben", 0)]


def test_no_rows_are_no_statement(ledger: Ledger) -> None:
    with ledger.read() as connection:
        insert_rows(connection, lookups, COLUMNS, [])


def test_columns_in_another_order_than_the_tables_are_refused(ledger: Ledger) -> None:
    # They would go into each other's columns.
    with ledger.write() as connection, pytest.raises(ValueError, match="order of lookups"):
        insert_rows(connection, lookups, ("state", "identity"), [("queued", "ann")])


@pytest.mark.parametrize("values", [[], ["ann"], ["ann", "nobody", 'a "quoted"\nname', "ß"]])
def test_any_texts_are_found_and_no_others(ledger: Ledger, values: list[str]) -> None:
    stored = ["ann", "ben", 'a "quoted"\nname', "ß"]
    with ledger.write() as connection:
        insert_rows(connection, lookups, COLUMNS, [(each, "{}", "queued") for each in stored])
        found = connection.scalars(
            select(lookups.c.identity).where(is_one_of(connection, lookups.c.identity, values))
        ).all()
    assert sorted(found) == sorted(set(stored) & set(values))
