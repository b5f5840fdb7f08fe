"""Counting rows by state, credits by who asked first, and what one run has sent."""

from lookup_pipeline.ledger import FailureKind, Ledger, State
from lookup_pipeline.ledger.answers import Answer
from lookup_pipeline.ledger.counts import (
    ChargesInDoubt,
    PartitionCounts,
    charges_in_doubt,
    count_partitions,
    credits_of_run,
)
from lookup_pipeline_tests.ledger.helpers import (
    DATE,
    NEXT_DATE,
    OTHER,
    OWNER,
    answer,
    claim_all,
    complete,
    failed,
    in_flight,
    lookup_of,
    news,
    register,
    row,
    rows_for,
    unconfirmed,
)


def counts(ledger: Ledger, *dates: str) -> list[PartitionCounts]:
    with ledger.read() as connection:
        return count_partitions(connection, dates or None)


def spent_by(ledger: Ledger, owner: str, date: str = DATE) -> int:
    with ledger.read() as connection:
        return credits_of_run(connection, date, owner)


def every_state(ledger: Ledger) -> None:
    people = ["ann", "ben", "cid", "dan", "eve"]
    register(ledger, rows_for(people))
    ann, ben, cid, dan, _eve = (claimed.lookup_id for claimed in claim_all(ledger))
    answer(ledger, complete(ann), failed(ben), unconfirmed(cid), in_flight(dan))
    register(ledger, rows_for([*people, "fay"]))


def test_every_state_is_counted_by_rows(ledger: Ledger) -> None:
    every_state(ledger)
    (found,) = counts(ledger)
    assert found.states == dict.fromkeys(State, 1)
    assert (found.rows, found.pending, found.credits) == (6, 3, 1)
    assert found.match_rate == 1 / 3


def test_rows_that_share_a_lookup_count_each_and_its_credit_once(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ann"]))
    register(ledger, [row(2, "ann", file="next.csv")], NEXT_DATE)
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    here, there = counts(ledger)
    assert (here.lookup_date, here.rows, here.credits) == (DATE, 2, 1)
    assert (there.lookup_date, there.rows, there.credits) == (NEXT_DATE, 1, 0)


def test_a_credit_stays_with_the_partition_that_asked_when_its_row_has_left_the_file(
    ledger: Ledger,
) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    register(ledger, rows_for(["ann"]), NEXT_DATE)
    claim_all(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    register(ledger, rows_for(["ben"]))
    here, there = counts(ledger)
    assert (here.rows, here.credits) == (1, 1)
    assert (there.rows, there.credits) == (1, 0)
    register(ledger, [])
    assert [(found.rows, found.credits) for found in counts(ledger)] == [(0, 1), (1, 0)]


def test_what_a_lookup_cost_is_news_of_the_partition_that_pays(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, rows_for(["ann"]), NEXT_DATE)
    claim_all(ledger)
    register(ledger, [])
    before = news(ledger)
    answer(ledger, complete(lookup_of(ledger, "ann")))
    assert news(ledger) == before + 1


def test_partitions_asked_for_by_name_are_there_without_a_row(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]), NEXT_DATE)
    assert [(found.lookup_date, found.rows) for found in counts(ledger, NEXT_DATE, DATE)] == [
        (DATE, 0),
        (NEXT_DATE, 1),
    ]
    assert counts(ledger, DATE)[0].match_rate is None


def test_only_partitions_asked_for_are_counted(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann"]))
    register(ledger, rows_for(["ann", "ben"]), NEXT_DATE)
    assert [found.lookup_date for found in counts(ledger, DATE)] == [DATE]
    assert [found.rows for found in counts(ledger)] == [1, 2]


def test_an_empty_ledger_counts_nothing(ledger: Ledger) -> None:
    assert counts(ledger) == []
    assert spent_by(ledger, OWNER) == 0


def test_a_run_has_spent_what_its_own_lookups_cost(ledger: Ledger) -> None:
    register(ledger, rows_for(["ann", "ben"]))
    claim_all(ledger, owner=OWNER)
    answer(ledger, complete(lookup_of(ledger, "ann")), failed(lookup_of(ledger, "ben")))
    register(ledger, rows_for(["ann", "ben", "cid", "dan"]))
    claim_all(ledger, owner=OTHER)
    answer(ledger, complete(lookup_of(ledger, "cid")), complete(lookup_of(ledger, "dan")))
    assert spent_by(ledger, OWNER) == 1
    assert spent_by(ledger, OTHER) == 2
    assert spent_by(ledger, OWNER, NEXT_DATE) == 0


def test_what_may_have_been_charged_is_every_try_that_was_not_answered_for_good(
    ledger: Ledger,
) -> None:
    def in_doubt(*dates: str) -> dict[str, ChargesInDoubt]:
        with ledger.read() as connection:
            return charges_in_doubt(connection, dates or None)

    register(ledger, rows_for(["ann", "ben", "cid", "dan", "eve", "fay", "gus"]))
    assert in_doubt() == {}
    numbers = {each.lookup_id: each.number for each in claim_all(ledger)}
    assert in_doubt() == {DATE: ChargesInDoubt(in_flight=7)}
    ann, ben, cid, dan, eve, fay, gus = (
        lookup_of(ledger, name) for name in ("ann", "ben", "cid", "dan", "eve", "fay", "gus")
    )
    answer(
        ledger,
        complete(ann),
        failed(ben),
        in_flight(cid),
        Answer(dan, State.UNCONFIRMED, numbers[dan], failure_kind=FailureKind.UNCONFIRMED),
        # Answered 500, and tried again.
        Answer(eve, State.QUEUED, numbers[eve]),
        Answer(fay, State.FAILED, failure_kind=FailureKind.SERVER_ERROR),
        # Certainly not processed.
        Answer(gus, State.QUEUED, numbers[gus], not_processed=True),
    )
    expected = ChargesInDoubt(in_flight=1, unconfirmed=1, other_tries=2)
    assert in_doubt() == in_doubt(DATE, NEXT_DATE) == {DATE: expected}
    assert expected.total == 4
    assert in_doubt(NEXT_DATE) == {}
    claim_all(ledger)
    answer(ledger, complete(eve), complete(dan), complete(cid))
    # Eve's first try stays in doubt; what came late tells of its own try.
    assert in_doubt() == {DATE: ChargesInDoubt(in_flight=1, other_tries=2)}
