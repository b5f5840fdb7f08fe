"""Registration: a partition's rows become memberships, each person one lookup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.ledger import Ledger, State
from lookup_pipeline.ledger.publications import partitions_with_news
from lookup_pipeline.ledger.registration import Registered, Registration, RequestedRow
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    FILE,
    NEXT_DATE,
    answer,
    claim_all,
    complete,
    fresh_ledger,
    lookup_of,
    news,
    published_rows,
    register,
    row,
    rows_for,
    states_of,
)

Key = tuple[str, int]


def asked(ledger: Ledger, date: str = DATE) -> list[tuple[str, int, str]]:
    """What the partition asks for, in the order in which it is published."""
    return [
        (found.source_file, found.source_row, found.requested)
        for found in published_rows(ledger, date)
    ]


def expected(rows: list[RequestedRow]) -> list[tuple[str, int, str]]:
    return sorted((each.source_file, each.source_row, each.requested) for each in rows)


def reused(ledger: Ledger, date: str = DATE) -> dict[Key, bool]:
    return {
        (found.source_file, found.source_row): found.reused
        for found in published_rows(ledger, date)
    }


def test_every_row_becomes_a_membership_with_a_queued_lookup(ledger: Ledger) -> None:
    rows = rows_for(["ann", "ben"])
    assert register(ledger, rows) == Registered(rows=2, new_lookups=2, changed=2)
    assert asked(ledger) == expected(rows)
    assert {found.state for found in published_rows(ledger)} == {State.QUEUED}


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_registering_again_changes_nothing(ledger: Ledger, batch: int) -> None:
    rows = [*rows_for(["ann", "ben", "ann"]), *rows_for(["cid"], file="z.csv")]
    register(ledger, rows)
    before, version = published_rows(ledger), news(ledger)
    assert register(ledger, rows, batch=batch) == Registered(rows=4)
    assert published_rows(ledger) == before
    assert news(ledger) == version


def test_a_person_in_two_rows_is_one_lookup(ledger: Ledger) -> None:
    assert register(ledger, rows_for(["ann", "ben", "ann"])).new_lookups == 2
    first, _ben, second = published_rows(ledger)
    assert first.lookup_id == second.lookup_id
    assert (first.reused, second.reused) == (False, True)


def test_a_person_in_two_files_is_one_lookup(ledger: Ledger) -> None:
    rows = [row(2, "ann", file="a.csv"), row(2, "ann", file="b.csv")]
    assert register(ledger, rows).new_lookups == 1
    assert len({found.lookup_id for found in published_rows(ledger)}) == 1
    assert reused(ledger) == {("a.csv", 2): False, ("b.csv", 2): True}


def test_a_person_in_two_dates_is_one_lookup(ledger: Ledger) -> None:
    register(ledger, [row(2, "ann")])
    again = register(ledger, [row(2, "ann", file="next.csv")], NEXT_DATE)
    assert again == Registered(rows=1, new_lookups=0, changed=1)
    assert reused(ledger, NEXT_DATE) == {("next.csv", 2): True}
    assert published_rows(ledger)[0].lookup_id == published_rows(ledger, NEXT_DATE)[0].lookup_id


def test_a_person_already_looked_up_is_not_sent_again(ledger: Ledger) -> None:
    register(ledger, [row(2, "ann")])
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann"), b'{"a":1}'))
    register(ledger, [row(9, "ann", file="next.csv")], NEXT_DATE)
    assert claim_all(ledger, date=NEXT_DATE) == []
    assert published_rows(ledger, NEXT_DATE)[0].payload == b'{"a":1}'


def test_the_first_spelling_decides_what_is_sent(ledger: Ledger) -> None:
    rows = [
        RequestedRow(FILE, 2, "ann", '{"name":"Ann"}', "{}"),
        RequestedRow(FILE, 3, "ann", '{"name":"ANN"}', "{}"),
    ]
    register(ledger, rows)
    assert [claimed.parameters for claimed in claim_all(ledger)] == ['{"name":"Ann"}']


def test_who_asked_first_stays_when_everything_is_registered_again(ledger: Ledger) -> None:
    here, there = rows_for(["ann", "ben", "ann"]), rows_for(["ben", "cid"], file="next.csv")
    register(ledger, here)
    register(ledger, there, NEXT_DATE)
    before = reused(ledger), reused(ledger, NEXT_DATE)
    assert register(ledger, there, NEXT_DATE).changed == 0
    assert register(ledger, here).changed == 0
    assert (reused(ledger), reused(ledger, NEXT_DATE)) == before


def test_who_asked_first_stays_when_only_the_spelling_changes(ledger: Ledger) -> None:
    register(ledger, [row(2, "ann"), row(3, "ann")])
    changed = register(ledger, [row(2, "ann", spelling=" B."), row(3, "ann", spelling=" C.")])
    assert changed == Registered(rows=2, new_lookups=0, changed=2)
    assert reused(ledger) == {(FILE, 2): False, (FILE, 3): True}


def test_who_asked_first_stays_when_a_line_is_put_above(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "ann"]))
    register(ledger, rows_for(["ben"], file="next.csv"), NEXT_DATE)
    register(ledger, rows_for(["new", "ann", "ben", "ann"]))
    assert list(reused(ledger).values()) == [False, False, False, True]
    assert list(reused(ledger, NEXT_DATE).values()) == [True]


def test_a_row_that_leaves_the_file_leaves_the_partition_and_its_lookup_stays(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann", "ben", "cid"]))
    version = news(ledger)
    left = [row(2, "ann"), row(4, "cid")]
    assert register(ledger, left) == Registered(rows=2, new_lookups=0, changed=1)
    assert asked(ledger) == expected(left)
    assert len(states_of(ledger)) == 3
    assert news(ledger) == version + 1


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_rows_that_leave_the_ends_of_a_file_leave_the_partition(ledger: Ledger, batch: int) -> None:
    register(ledger, rows_for(["ann", "ben", "cid", "dan", "eve"]))
    left = [row(3, "ben"), row(4, "cid")]
    assert register(ledger, left, batch=batch).changed == 3
    assert asked(ledger) == expected(left)


@pytest.mark.parametrize("gone", ["a.csv", "b.csv", "c.csv"])
@pytest.mark.parametrize("batch", [1, 1000])
def test_a_file_that_vanishes_takes_its_rows_along(ledger: Ledger, gone: str, batch: int) -> None:
    rows = [
        each for file in ("a.csv", "b.csv", "c.csv") for each in rows_for(["ann", file], file=file)
    ]
    register(ledger, rows)
    left = [each for each in rows if each.source_file != gone]
    # With the first file goes the row that asked for "ann" first: the next one takes its part.
    assert register(ledger, left, batch=batch).changed == (3 if gone == "a.csv" else 2)
    assert asked(ledger) == expected(left)


def test_a_row_that_means_someone_else_now_gets_that_persons_lookup(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    changed = register(ledger, rows_for(["ann", "cid"]))
    assert changed == Registered(rows=2, new_lookups=1, changed=1)
    assert published_rows(ledger)[1].lookup_id == lookup_of(ledger, "cid")


def test_a_row_registered_in_one_partition_leaves_the_others_alone(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    before, version = published_rows(ledger), news(ledger)
    register(ledger, [row(2, "cid")], NEXT_DATE)
    register(ledger, [], NEXT_DATE)
    assert (published_rows(ledger), news(ledger)) == (before, version)


def test_a_partition_without_a_row_becomes_known_so_that_it_is_published(ledger: Ledger) -> None:
    assert register(ledger, []) == Registered()
    with ledger.read() as connection:
        (found,) = partitions_with_news(connection)
    assert (found.lookup_date, found.news_version) == (DATE, 1)
    register(ledger, [])
    assert news(ledger) == 1


def test_a_partition_that_loses_all_its_rows_is_news(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    version = news(ledger)
    assert register(ledger, []).changed == 2
    assert asked(ledger) == []
    assert news(ledger) == version + 1


def test_a_registration_that_died_half_way_is_simply_run_again(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben", "cid", "dan"]))
    wanted = [row(2, "ann"), row(4, "eve"), row(6, "fay")]
    registration = Registration(DATE)
    with ledger.write() as connection:
        registration.add(connection, wanted[:2])
    register(ledger, wanted)
    assert asked(ledger) == expected(wanted)


_PERSON = st.tuples(st.sampled_from(["ann", "ben", "cid", "dan"]), st.sampled_from(["", " B."]))
_VERSION = st.dictionaries(
    st.tuples(st.sampled_from(["a.csv", "b/1.csv", "c.csv"]), st.integers(2, 9)), _PERSON
).map(
    lambda found: [
        row(line, person, file=file, spelling=spelling)
        for (file, line), (person, spelling) in sorted(found.items())
    ]
)


@settings(deadline=None, database=None, max_examples=35)
@given(st.lists(st.tuples(_VERSION, st.integers(1, 12)), min_size=1, max_size=4), st.booleans())
def test_any_sequence_of_versions_ends_in_exactly_the_last_one(
    versions: list[tuple[list[RequestedRow], int]], reverse_files: bool
) -> None:
    with fresh_ledger() as ledger:
        for rows, batch in versions:
            # Files may come in any order, each in one piece.
            ordered = sorted(rows, key=lambda each: each.source_file, reverse=reverse_files)
            before, version = asked(ledger), news(ledger)
            done = register(ledger, ordered, batch=batch)
            assert done.rows == len(rows)
            assert asked(ledger) == expected(rows)
            assert (done.changed > 0) == (asked(ledger) != before)
            assert (news(ledger) > version) == (done.changed > 0 or version == 0)
            assert register(ledger, ordered, batch=3).changed == 0
        identities = {each.identity for rows, _batch in versions for each in rows}
        assert len(states_of(ledger)) == len(identities)
        for found in published_rows(ledger):
            (asked_for,) = [
                each
                for each in versions[-1][0]
                if (each.source_file, each.source_row) == (found.source_file, found.source_row)
            ]
            assert found.lookup_id == lookup_of(ledger, asked_for.identity)


@settings(deadline=None, database=None, max_examples=30)
@given(_VERSION, st.integers(1, 12))
def test_exactly_one_row_of_a_new_person_asked_first(rows: list[RequestedRow], batch: int) -> None:
    with fresh_ledger() as ledger:
        register(ledger, rows, batch=batch)
        firsts = [found.lookup_id for found in published_rows(ledger) if not found.reused]
        assert sorted(firsts) == sorted(states_of(ledger))
