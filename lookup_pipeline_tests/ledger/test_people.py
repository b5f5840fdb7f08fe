"""Rows that asked differently and got one profile are shown as one person."""

from dataclasses import replace

from lookup_pipeline.ledger import Ledger
from lookup_pipeline.ledger.people import People, people_of
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    FILE,
    NEXT_DATE,
    answer,
    claim_all,
    complete,
    lookup_of,
    register,
    row,
    rows_for,
)


def people(ledger: Ledger, date: str = DATE, most: int = 20) -> People:
    with ledger.read() as connection:
        return people_of(connection, date, most)


def found(ledger: Ledger, person: str, profile_id: int) -> None:
    answer(ledger, replace(complete(lookup_of(ledger, person)), profile_id=profile_id))


def test_a_partition_without_profiles_has_found_nobody(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    assert people(ledger) == People(0, 0, {})


def test_two_lookups_with_one_profile_are_one_person(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ann@example.org", "ben"]))
    claim_all(ledger)
    found(ledger, "ann", 7)
    found(ledger, "ann@example.org", 7)
    found(ledger, "ben", 8)
    assert people(ledger) == People(2, 1, {7: [f"{FILE}:2", f"{FILE}:3"]})
    assert people(ledger, most=0) == People(2, 1, {})


def test_two_rows_of_one_lookup_have_not_asked_twice(ledger: Ledger) -> None:
    register(ledger, [row(2, "ann"), row(3, "ann")])
    claim_all(ledger)
    found(ledger, "ann", 7)
    assert people(ledger) == People(1, 0, {})


def test_only_the_partitions_own_rows_count(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, rows_for(["ann@example.org"]), NEXT_DATE)
    claim_all(ledger)
    claim_all(ledger, date=NEXT_DATE)
    found(ledger, "ann", 7)
    found(ledger, "ann@example.org", 7)
    assert people(ledger) == people(ledger, NEXT_DATE) == People(1, 0, {})
